//! Quarantine files of the open roll: one file a table, one entry a line.
//!
//! `{"code":"…","reason":"…","seq":7,"line":3,"raw":"…"}`, as [`crate::lake::QuarantineEntry`] reads it; bytes that are no UTF-8, or would be longer escaped
//! than in base64, are `"raw":{"base64":"…"}`, and from [`COMPRESSED_FROM_BYTES`] on `"raw":{"zstd":"…"}`, in
//! base64. An entry of several lines has `"last_line"` and their number `"lines"` before `raw`, which is
//! their text, or a list `"raw":["…","…"]`, or `"raw":{"packed":"…"}` if that is shorter.
//!
//! An entry is written as it is made: a line of hundreds of megabytes is not held a second time, and takes
//! about a third more than its bytes at most. Entries of several lines take at most twice the bytes that
//! these had in the body, with their ends, and 200 bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::care::SourceFailure;
use crate::decode::{RawForm, Reject, RejectCode};
use crate::packed_lines;
use crate::record::{Seq, StoredRange};

/// Bytes of a stored line that are written at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The bytes from which on a line is compressed: what is sent compressed stays as small.
const COMPRESSED_FROM_BYTES: usize = 256 << 10;
/// The level at which that is done: it is to cost little.
const COMPRESSION_LEVEL: i32 = 1;

/// A quarantine file of the open roll.
pub(crate) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    lines: RejectLines,
}

/// A finished quarantine file in the staging directory.
#[derive(Clone, Debug)]
pub(crate) struct StagedRejects {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Lines of its entries, by the code of their defect.
    pub(crate) lines: RejectLines,
}

/// Lines in quarantine, by the code of their defect.
pub(crate) type RejectLines = BTreeMap<RejectCode, u64>;

impl Rejects {
    /// Creates a file at `path`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Rejects> {
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Rejects { path, file: BufWriter::new(file), lines: RejectLines::new() })
    }

    /// Writes an entry for each of `rejects`.
    ///
    /// # Errors
    /// The file cannot be written; it is of no use then. As a [`SourceFailure`], a line that is stored
    /// cannot be read.
    pub(crate) fn write(&mut self, rejects: &[Reject]) -> anyhow::Result<()> {
        for reject in rejects {
            let written = write(&mut self.file, reject);
            written.map_err(|error| match error.downcast::<SourceFailure>() {
                Ok(failure) => anyhow::Error::from(failure),
                Err(error) => anyhow::Error::from(error).context(self.path.display().to_string()),
            })?;
            *self.lines.entry(reject.code).or_default() += reject.lines;
        }
        Ok(())
    }

    /// Flushes the file and returns it. It is not synced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<StagedRejects> {
        let named = |path: &Path| path.display().to_string();
        self.file.flush().with_context(|| named(&self.path))?;
        let bytes = self.file.get_ref().metadata().with_context(|| named(&self.path))?.len();
        Ok(StagedRejects { path: self.path, bytes, lines: self.lines })
    }
}

fn write(out: &mut impl Write, reject: &Reject) -> std::io::Result<()> {
    let Seq(seq) = reject.seq;
    let several = reject.lines != 1;
    let head = EntryHead {
        code: reject.code.as_str(),
        reason: &reject.reason,
        seq,
        line: reject.line,
        last_line: several.then_some(reject.last_line),
        lines: several.then_some(reject.lines),
    };
    let head = serde_json::to_vec(&head)?;
    out.write_all(head.strip_suffix(b"}").unwrap_or(&head))?;
    out.write_all(b",\"raw\":")?;
    match (&reject.stored, reject.form) {
        (Some(stored), _) => write_stored(out, stored)?,
        (None, RawForm::Packed) => write_packed(out, &reject.raw)?,
        (None, RawForm::Text) if reject.raw.len() >= COMPRESSED_FROM_BYTES => {
            write_compressed(out, |compressor| compressor.write_all(&reject.raw))?;
        }
        (None, RawForm::Text) => serde_json::to_writer(&mut *out, &Raw::of(&reject.raw))?,
    }
    out.write_all(b"}\n")
}

/// Writes several lines, as a list of texts if that is no more than twice what they had in the body.
fn write_packed(out: &mut impl Write, packed: &Bytes) -> std::io::Result<()> {
    let lines = packed_lines::unpack(packed).unwrap_or_default();
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    let escapes: usize = lines.iter().map(|line| escapes(line)).sum();
    let texts: Result<Vec<&str>, _> = lines.iter().map(|line| std::str::from_utf8(line)).collect();
    match texts {
        Ok(texts) if lines.len() + escapes <= bytes => serde_json::to_writer(out, &texts)?,
        _ => serde_json::to_writer(out, &Packed { packed })?,
    }
    Ok(())
}

/// Writes a line that is not held, piece by piece.
fn write_stored(out: &mut impl Write, stored: &StoredRange) -> std::io::Result<()> {
    write_compressed(out, |compressor| {
        let mut is_written = true;
        let write = |piece: &[u8]| compressor.write_all(piece).inspect_err(|_| is_written = false);
        stored.read(PIECE_BYTES, write).map_err(|error| match is_written {
            // A body is not to blame for that, see `super::care`.
            true => std::io::Error::other(SourceFailure(error.into())),
            false => error,
        })
    })
}

/// Writes a large line compressed, as `write` gives it.
fn write_compressed(
    out: &mut impl Write,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    out.write_all(b"{\"zstd\":\"")?;
    let mut encoder = EncoderWriter::new(&mut *out, &STANDARD);
    let mut compressor = zstd::stream::Encoder::new(&mut encoder, COMPRESSION_LEVEL)?;
    write(&mut compressor)?;
    compressor.finish()?;
    encoder.finish()?;
    drop(encoder);
    out.write_all(b"\"}")
}

#[derive(Serialize)]
struct EntryHead<'a> {
    code: &'a str,
    reason: &'a str,
    seq: u64,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
}

#[derive(Serialize)]
struct Packed<'a> {
    #[serde(serialize_with = "encoded")]
    packed: &'a [u8],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Raw<'a> {
    Text(&'a str),
    Bytes {
        #[serde(serialize_with = "encoded")]
        base64: &'a [u8],
    },
}

impl Raw<'_> {
    fn of(raw: &[u8]) -> Raw<'_> {
        match std::str::from_utf8(raw) {
            // A short line is for people to read.
            Ok(text) if escapes(raw) <= raw.len() / 3 + 64 => Raw::Text(text),
            _ => Raw::Bytes { base64: raw },
        }
    }
}

/// Returns the bytes that `text` takes more as JSON, at most.
fn escapes(text: &[u8]) -> usize {
    let escapes = text.iter().map(|byte| match byte {
        0..0x20 => 5,
        b'"' | b'\\' => 1,
        _ => 0,
    });
    escapes.sum()
}

fn encoded<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decode::RejectCode;
    use crate::record::TextInMemory;

    fn entry(raw: &[u8]) -> (Vec<u8>, crate::lake::QuarantineEntry) {
        let reject = Reject {
            seq: Seq(7),
            lines: 1,
            line: 3,
            last_line: 3,
            code: RejectCode::NotObject,
            reason: "not a \"JSON\" object".into(),
            raw: Bytes::copy_from_slice(raw),
            stored: None,
            form: RawForm::Text,
        };
        let mut out = Vec::new();
        write(&mut out, &reject).unwrap();
        let read = serde_json::from_slice(&out).unwrap();
        (out, read)
    }

    #[test]
    fn a_line_that_is_not_held_is_written_piece_by_piece_and_given_back() {
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|n| (n % 251) as u8).collect();
        for range in [0..bytes.len(), 1..PIECE_BYTES + 2, 5..5] {
            let text = Arc::new(TextInMemory(bytes.clone()));
            let stored = StoredRange { text, range: range.start as u64..range.end as u64 };
            let reject = Reject {
                seq: Seq(7),
                lines: 1,
                line: 3,
                last_line: 3,
                code: RejectCode::TooLong,
                reason: "a \"reason\"".into(),
                raw: Bytes::new(),
                stored: Some(stored),
                form: RawForm::Text,
            };
            let mut out = Vec::new();
            write(&mut out, &reject).unwrap();
            let read: crate::lake::QuarantineEntry = serde_json::from_slice(&out).unwrap();
            assert_eq!(read.texts().unwrap(), [&bytes[range]]);
            assert_eq!((read.seq, read.line, &*read.reason), (7, 3, "a \"reason\""));
        }
    }

    #[test]
    fn a_stored_line_that_cannot_be_read_is_no_fault_of_its_body() {
        let of = |bytes: usize| Reject {
            seq: Seq(7),
            lines: 1,
            line: 3,
            last_line: 3,
            code: RejectCode::TooLong,
            reason: "a reason".into(),
            raw: Bytes::new(),
            stored: Some(StoredRange {
                text: Arc::new(TextInMemory(vec![7; bytes])),
                range: 0..100,
            }),
            form: RawForm::Text,
        };
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rejects::create(dir.path().join("q")).unwrap();
        file.write(&[of(100)]).unwrap();
        // The text is shorter than it was.
        let failed = file.write(&[of(99)]).unwrap_err();
        assert!(failed.is::<SourceFailure>(), "{failed:#}");
        // A staging file that cannot be written is another matter.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (path, file) = ("/dev/full".into(), BufWriter::with_capacity(1, full));
        let failed =
            Rejects { path, file, lines: RejectLines::new() }.write(&[of(100)]).unwrap_err();
        assert!(!failed.is::<SourceFailure>(), "{failed:#}");
    }

    #[test]
    fn an_entry_gives_its_bytes_back_and_is_not_much_longer_than_they_are() {
        let dirty = [b"tab\there ".repeat(100), b"\x01".to_vec()].concat();
        for raw in [
            &b"x"[..],
            b"",
            b"{\"s\":\"a\\b\"",
            "ä\u{2028}".as_bytes(),
            b"\xff\xfe{",
            b"\x01",
            &b"\x01".repeat(100_000),
            &b"\"".repeat(100_000),
            &dirty,
        ] {
            let (out, read) = entry(raw);
            assert_eq!(read.texts().unwrap(), [raw]);
            assert_eq!(read.code.as_deref(), Some("not_object"));
            assert_eq!((read.seq, read.line, &*read.reason), (7, 3, "not a \"JSON\" object"));
            assert!(out.len() <= 200 + raw.len() / 3 * 4, "{} of {}", out.len(), raw.len());
        }
        assert_eq!(
            entry(b"x\ty is a line of text").0,
            b"{\"code\":\"not_object\",\"reason\":\"not a \\\"JSON\\\" object\",\"seq\":7,\"line\":3,\"raw\":\"x\\ty is a line of text\"}\n"
        );
    }

    #[test]
    fn a_large_line_is_compressed_and_given_back() {
        for raw in [b"{\n".repeat(32 << 20), vec![b' '; COMPRESSED_FROM_BYTES]] {
            let (out, read) = entry(&raw);
            assert!(out.len() < 64 << 10, "{} of {}", out.len(), raw.len());
            assert_eq!(read.texts().unwrap(), [&raw[..]]);
        }
        let mut dice = 1_u64;
        let noise = std::iter::repeat_with(|| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(1 << 20).collect();
        let (out, read) = entry(&noise);
        assert!(out.len() < noise.len() / 3 * 4 + 1000, "{}", out.len());
        assert_eq!(read.texts().unwrap(), [&noise[..]]);
    }

    #[test]
    fn several_lines_are_given_back_one_by_one_and_take_at_most_twice_what_they_had() {
        for line in
            ["x", "{", "\"", "", "\u{1}", "\t{", "ä", "{\"a\" 1", "no document\nof two lines"]
        {
            for lines in [2, 3, 1000] {
                let mut packed = Vec::new();
                (0..lines).for_each(|_| packed_lines::push(&mut packed, line.as_bytes()));
                several(packed, &vec![line.as_bytes(); lines]);
            }
        }
        let lines: [&[u8]; 3] = [b"\xff", b"text", b""];
        let mut packed = Vec::new();
        lines.iter().for_each(|line| packed_lines::push(&mut packed, line));
        several(packed, &lines);
    }

    const MOST: u64 = (1 << 53) - 1;

    fn several(packed: Vec<u8>, lines: &[&[u8]]) {
        let reject = Reject {
            seq: Seq(MOST),
            lines: lines.len() as u64,
            line: MOST - 1,
            last_line: MOST,
            code: RejectCode::NotObject,
            reason: "not a JSON object at byte 1".into(),
            raw: packed.into(),
            stored: None,
            form: RawForm::Packed,
        };
        let mut out = Vec::new();
        write(&mut out, &reject).unwrap();
        let read: crate::lake::QuarantineEntry = serde_json::from_slice(&out).unwrap();
        assert_eq!((read.lines, read.last_line), (lines.len() as u64, Some(MOST)));
        assert_eq!(read.texts().unwrap(), lines);
        let came: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(out.len() <= 2 * came + 200, "{} of {came}: {lines:?}", out.len());
    }

    #[test]
    fn an_entry_of_several_lines_says_so_before_them() {
        let mut packed = Vec::new();
        [b"{{", b"xy"].iter().for_each(|line| packed_lines::push(&mut packed, *line));
        let reject = Reject {
            seq: Seq(7),
            lines: 2,
            line: 3,
            last_line: 5,
            code: RejectCode::NotJson,
            reason: "r".into(),
            raw: packed.into(),
            stored: None,
            form: RawForm::Packed,
        };
        let mut out = Vec::new();
        write(&mut out, &reject).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"code\":\"not_json\",\"reason\":\"r\",\"seq\":7,\"line\":3,\"last_line\":5,\"lines\":2,\"raw\":[\"{{\",\"xy\"]}\n"
        );
    }
}
