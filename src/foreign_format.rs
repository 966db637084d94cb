//! Formats of bytes that are taken neither by the receiver nor by an import, recognised by how they begin.
//!
//! None of them can be mistaken for JSON, whose text holds no NUL and begins with white space, a
//! byte order mark, a bracket or a brace in UTF-8.

use std::fmt;

/// The number of bytes at the beginning that [`ForeignFormat::of`] looks at.
pub(crate) const HEAD_BYTES: usize = 512;

/// A format that is recognised and not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignFormat {
    /// Its name.
    pub(crate) name: &'static str,
    /// The remedy that a sender has.
    remedy: &'static str,
}

impl fmt::Display for ForeignFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ForeignFormat { name, remedy } = self;
        write!(f, "{name}, and not JSON in UTF-8: {remedy}")
    }
}

const UNPACK: &str = "unpack it first";
const TO_UTF8: &str = "convert it to UTF-8 first, for instance by iconv -t UTF-8";
const TO_JSON: &str = "write it as one JSON document a line first";

/// Formats by their first bytes. One that begins as another does stands before it.
const BY_MAGIC: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "gzip", UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd", UNPACK),
    (b"BZh", "bzip2", UNPACK),
    (b"\xfd7zXZ\0", "xz", UNPACK),
    (b"\x5d\0\0", "lzma", UNPACK),
    (b"LZIP", "lzip", UNPACK),
    (b"\x04\x22\x4d\x18", "lz4", UNPACK),
    (b"\xff\x06\0\0sNaPpY", "snappy", UNPACK),
    (b"\x1f\x9d", "compress (.Z)", UNPACK),
    (b"x\x01", "zlib", UNPACK),
    (b"x\x5e", "zlib", UNPACK),
    (b"x\x9c", "zlib", UNPACK),
    (b"x\xda", "zlib", UNPACK),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "a zip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"PAR1", "Parquet", TO_JSON),
    (b"Obj\x01", "Avro", TO_JSON),
    (b"ORC", "ORC", TO_JSON),
    (b"ARROW1", "Arrow", TO_JSON),
    (b"SQLite format 3\0", "a SQLite database", TO_JSON),
    (b"\xff\xfe\0\0", "text in UTF-32", TO_UTF8),
    (b"\0\0\xfe\xff", "text in UTF-32", TO_UTF8),
    (b"\xff\xfe", "text in UTF-16", TO_UTF8),
    (b"\xfe\xff", "text in UTF-16", TO_UTF8),
];

impl ForeignFormat {
    /// Returns the format of what begins with `head`, or `None` for everything that may be JSON.
    pub(crate) fn of(head: &[u8]) -> Option<ForeignFormat> {
        let known = BY_MAGIC.iter().find(|(magic, ..)| head.starts_with(magic));
        if let Some((_, name, remedy)) = known {
            return Some(ForeignFormat { name, remedy });
        }
        // Without a byte order mark: JSON begins with ASCII.
        let utf = |name| Some(ForeignFormat { name, remedy: TO_UTF8 });
        match head {
            [1..=127, 0, 0, 0, ..] | [0, 0, 0, 1..=127, ..] => return utf("text in UTF-32"),
            [1..=127, 0, ..] | [0, 1..=127, ..] => return utf("text in UTF-16"),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                return Some(ForeignFormat { name: "zstd", remedy: UNPACK });
            }
            _ => {}
        }
        let tar = head.get(257..).is_some_and(|rest| rest.starts_with(b"ustar"));
        tar.then_some(ForeignFormat { name: "a tar archive", remedy: UNPACK })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(head: &[u8]) -> Option<&'static str> {
        ForeignFormat::of(head).map(|format| format.name)
    }

    #[test]
    fn text_in_other_encodings_is_recognised_with_and_without_its_mark() {
        for text in ["{\"a\":1}", "\r\n[{}]", "\u{feff}{\"ä\":1}"] {
            let utf_16: Vec<u16> = text.encode_utf16().collect();
            let utf_32: Vec<u32> = text.chars().map(u32::from).collect();
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let bytes: Vec<u8> = utf_16.iter().copied().flat_map(bytes).collect();
                assert_eq!(name(&bytes), Some("text in UTF-16"), "{text:?}");
            }
            for bytes in [u32::to_le_bytes, u32::to_be_bytes] {
                let bytes: Vec<u8> = utf_32.iter().copied().flat_map(bytes).collect();
                assert_eq!(name(&bytes), Some("text in UTF-32"), "{text:?}");
            }
        }
    }

    #[test]
    fn what_may_be_json_is_no_foreign_format() {
        for head in ["", "\u{feff}", "{", "[", " \n{}", "x", "{\"a\":\"\u{feff}\"}", "17", "PK"] {
            assert_eq!(name(head.as_bytes()), None, "{head:?}");
        }
        let mut tar = vec![b'a'; 600];
        assert_eq!(name(&tar), None);
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(name(&tar), Some("a tar archive"));
    }
}
