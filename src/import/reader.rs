//! The bytes of an input, decompressed.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use anyhow::Context as _;

/// Opens the file at `path`.
///
/// # Errors
/// The file cannot be opened; the error names it.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns a reader that inflates gzip and zstd, recognised by their first bytes, and passes on
/// everything else.
///
/// # Errors
/// The first bytes cannot be read.
pub(super) fn decompress(mut raw: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    // A pipe may give them one by one.
    let mut head = Vec::new();
    (&mut raw).take(4).read_to_end(&mut head)?;
    let (gzip, zstd) = (head.starts_with(&[0x1f, 0x8b]), head == [0x28, 0xb5, 0x2f, 0xfd]);
    // Reads that are larger than its buffer go past it.
    let raw = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(raw));
    Ok(if gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(raw))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
    } else {
        Box::new(raw)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_recognised_however_the_bytes_arrive() {
        struct Slow(Cursor<Vec<u8>>);
        impl Read for Slow {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let one = out.len().min(1);
                self.0.read(&mut out[..one])
            }
        }
        let packed = zstd::encode_all(&b"{1}\n"[..], 1).unwrap();
        for (bytes, expected) in [(packed, "{1}\n"), (b"{}".to_vec(), "{}"), (Vec::new(), "")] {
            let mut text = String::new();
            let mut reader = decompress(Box::new(Slow(Cursor::new(bytes)))).unwrap();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}
