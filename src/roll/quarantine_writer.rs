//! Quarantine files of the open roll: one file a table, one entry a line.
//!
//! `{"code":"…","reason":"…","seq":7,"line":3,"raw":"…"}`, as [`crate::lake::QuarantineEntry`] reads it; bytes that are no UTF-8, or would be longer escaped
//! than in base64, are `"raw":{"base64":"…"}`. An entry is written as it is made: a line of hundreds
//! of megabytes is not held a second time, and takes about a third more than its bytes at most.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::{Serialize, Serializer};

use crate::decode::Reject;
use crate::record::{Seq, StoredRange};

/// Bytes of a stored line that are written at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A quarantine file of the open roll.
pub(crate) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    entries: u64,
}

/// A finished quarantine file in the staging directory.
#[derive(Clone, Debug)]
pub(crate) struct StagedRejects {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Rejects {
    /// Creates a file at `path`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Rejects> {
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Rejects { path, file: BufWriter::new(file), entries: 0 })
    }

    /// Writes an entry for each of `rejects`.
    ///
    /// # Errors
    /// The file cannot be written; it is of no use then.
    pub(crate) fn write(&mut self, rejects: &[Reject]) -> anyhow::Result<()> {
        for reject in rejects {
            let written = write(&mut self.file, reject);
            written.with_context(|| self.path.display().to_string())?;
            self.entries += 1;
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
        Ok(StagedRejects { path: self.path, bytes, entries: self.entries })
    }
}

fn write(out: &mut impl std::io::Write, reject: &Reject) -> std::io::Result<()> {
    let Seq(seq) = reject.seq;
    if let Some(stored) = &reject.stored {
        return write_stored(out, reject, stored);
    }
    let (code, reason) = (reject.code.as_str(), reject.reason.as_str());
    let entry = EntryLine { code, reason, seq, line: reject.line, raw: Raw::of(&reject.raw) };
    serde_json::to_writer(&mut *out, &entry)?;
    out.write_all(b"\n")
}

/// Writes the entry of a line that is not held, piece by piece.
fn write_stored(
    out: &mut impl std::io::Write,
    reject: &Reject,
    stored: &StoredRange,
) -> std::io::Result<()> {
    let (code, reason) = (reject.code.as_str(), serde_json::to_string(&reject.reason)?);
    let (Seq(seq), line) = (reject.seq, reject.line);
    write!(
        out,
        "{{\"code\":\"{code}\",\"reason\":{reason},\"seq\":{seq},\"line\":{line},\
         \"raw\":{{\"base64\":\""
    )?;
    let mut encoder = EncoderWriter::new(&mut *out, &STANDARD);
    stored.read(PIECE_BYTES, |piece| encoder.write_all(piece))?;
    encoder.finish()?;
    drop(encoder);
    out.write_all(b"\"}}\n")
}

#[derive(Serialize)]
struct EntryLine<'a> {
    code: &'a str,
    reason: &'a str,
    seq: u64,
    line: u64,
    raw: Raw<'a>,
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
        let escapes = raw.iter().map(|byte| match byte {
            0..0x20 => 5,
            b'"' | b'\\' => 1,
            _ => 0,
        });
        let escapes: usize = escapes.sum();
        match std::str::from_utf8(raw) {
            // A short line is for people to read.
            Ok(text) if escapes <= raw.len() / 3 + 64 => Raw::Text(text),
            _ => Raw::Bytes { base64: raw },
        }
    }
}

fn encoded<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decode::RejectCode;
    use crate::record::{BodiesDigest, StoredText};

    fn entry(raw: &[u8]) -> (Vec<u8>, crate::lake::QuarantineEntry) {
        let reject = Reject {
            seq: Seq(7),
            line: 3,
            code: RejectCode::NotObject,
            reason: "not a \"JSON\" object".into(),
            raw: bytes::Bytes::copy_from_slice(raw),
            stored: None,
        };
        let mut out = Vec::new();
        write(&mut out, &reject).unwrap();
        let read = serde_json::from_slice(&out).unwrap();
        (out, read)
    }

    #[derive(Debug)]
    struct Text(Vec<u8>);

    impl StoredText for Text {
        fn text_bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn digest(&self) -> BodiesDigest {
            BodiesDigest::default()
        }

        fn last_byte(&self) -> Option<u8> {
            None
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let rest = &self.0[offset as usize..];
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    #[test]
    fn a_line_that_is_not_held_is_written_piece_by_piece_and_given_back() {
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|n| (n % 251) as u8).collect();
        for range in [0..bytes.len(), 1..PIECE_BYTES + 2, 5..5] {
            let text = Arc::new(Text(bytes.clone()));
            let stored = StoredRange { text, range: range.start as u64..range.end as u64 };
            let reject = Reject {
                seq: Seq(7),
                line: 3,
                code: RejectCode::TooLong,
                reason: "a \"reason\"".into(),
                raw: bytes::Bytes::new(),
                stored: Some(stored),
            };
            let mut out = Vec::new();
            write(&mut out, &reject).unwrap();
            let read: crate::lake::QuarantineEntry = serde_json::from_slice(&out).unwrap();
            assert_eq!(read.bytes(), &bytes[range]);
            assert_eq!((read.seq, read.line, &*read.reason), (7, 3, "a \"reason\""));
        }
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
            assert_eq!(read.bytes(), raw);
            assert_eq!(read.code.as_deref(), Some("not_object"));
            assert_eq!((read.seq, read.line, &*read.reason), (7, 3, "not a \"JSON\" object"));
            assert!(out.len() <= 200 + raw.len() / 3 * 4, "{} of {}", out.len(), raw.len());
        }
        assert_eq!(
            entry(b"x\ty is a line of text").0,
            b"{\"code\":\"not_object\",\"reason\":\"not a \\\"JSON\\\" object\",\"seq\":7,\"line\":3,\"raw\":\"x\\ty is a line of text\"}\n"
        );
    }
}
