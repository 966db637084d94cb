//! Files in pieces of whole lines, as the engine takes bodies.
//!
//! A piece is at least so many bytes and ends where a line ends; it never goes over the end of a
//! file. Lines are numbered within their file, pieces through all of them: with the same files and
//! the same size, every piece is the same again. A file that is one JSON array is one piece.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use indicatif::ProgressBar;

use super::Source;
use crate::config::Input;
use crate::journal::Next;
use crate::record::{Body, Form, Micros, Seq};

/// Longest line, and largest file that is one JSON array.
const LINE_BYTES: usize = 256 << 20;

/// What every piece has.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) table: Arc<str>,
    pub(super) received_at: Micros,
    pub(super) piece_bytes: usize,
}

/// All pieces of several files.
pub(super) struct Pieces {
    common: Common,
    waiting: VecDeque<Input>,
    open: Option<Opened>,
    next: Seq,
    /// Pieces before this one have landed: they are read over.
    pub(super) from: Seq,
    /// The last piece of a sealed roll that is made again.
    pub(super) last: Option<Seq>,
    /// First piece of each file that was begun.
    pub(super) first_pieces: Vec<Seq>,
    bar: ProgressBar,
}

struct Opened {
    name: String,
    reader: Box<dyn Read + Send>,
    /// Read, and not yet handed out.
    rest: Vec<u8>,
    line: u64,
    array: Option<bool>,
    ended: bool,
}

impl Pieces {
    pub(super) fn new(inputs: Vec<Input>, common: Common, bar: ProgressBar) -> Pieces {
        Pieces {
            common,
            waiting: inputs.into(),
            open: None,
            next: Seq::FIRST,
            from: Seq::FIRST,
            last: None,
            first_pieces: Vec::new(),
            bar,
        }
    }

    fn piece(&mut self) -> anyhow::Result<Option<(Vec<u8>, u64)>> {
        loop {
            let file = match &mut self.open {
                Some(file) => file,
                None => {
                    let Some(input) = self.waiting.pop_front() else { return Ok(None) };
                    self.first_pieces.push(self.next);
                    self.open.insert(Opened::new(&input, &self.bar)?)
                }
            };
            let line = file.line;
            let piece = file.piece(self.common.piece_bytes);
            if let Some(piece) = piece.with_context(|| format!("cannot read {}", file.name))? {
                return Ok(Some((piece, line)));
            }
            self.open = None;
        }
    }
}

impl Source for Pieces {
    fn next(&mut self, _timeout: Duration) -> anyhow::Result<Next> {
        loop {
            if self.last.is_some_and(|last| self.next > last) {
                return Ok(Next::Closed);
            }
            let Some((bytes, first_line)) = self.piece()? else { return Ok(Next::Closed) };
            let seq = self.next;
            self.next = seq.next();
            if seq >= self.from {
                return Ok(Next::Body(Body {
                    seq,
                    received_at: self.common.received_at,
                    table: Arc::clone(&self.common.table),
                    form: Form::Ndjson,
                    first_line,
                    bytes: Bytes::from(bytes),
                }));
            }
        }
    }
}

impl Opened {
    fn new(input: &Input, bar: &ProgressBar) -> anyhow::Result<Opened> {
        let (name, raw): (String, Box<dyn Read + Send>) = match input {
            Input::Stdin => ("standard input".to_owned(), Box::new(std::io::stdin())),
            Input::File(path) => (path.display().to_string(), Box::new(open(path)?)),
        };
        let reader = unpacked(Box::new(bar.wrap_read(raw)));
        let reader = reader.with_context(|| format!("cannot read {name}"))?;
        Ok(Opened { name, reader, rest: Vec::new(), line: 1, array: None, ended: false })
    }

    /// The next piece: at least `piece_bytes` and to the end of a line, or what is left.
    fn piece(&mut self, piece_bytes: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let mut want = piece_bytes;
        loop {
            if self.rest.len() < want && !self.ended {
                let missing = want - self.rest.len();
                self.rest.reserve_exact(missing);
                let read = (&mut self.reader).take(missing as u64).read_to_end(&mut self.rest)?;
                self.ended = read < missing;
            }
            if self.ended {
                break;
            }
            let array = self.array();
            if !array && let Some(at) = memchr::memrchr(b'\n', &self.rest) {
                let after = self.rest.split_off(at + 1);
                let piece = std::mem::replace(&mut self.rest, after);
                self.line += memchr::memchr_iter(b'\n', &piece).count() as u64;
                return Ok(Some(piece));
            }
            want *= 2;
            if want > LINE_BYTES {
                let what = if array { "a JSON array" } else { "a line" };
                let (line, most) = (self.line, LINE_BYTES >> 20);
                bail!("{what} of more than {most} MiB begins at or after line {line}");
            }
        }
        Ok(Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty()))
    }

    /// Whether the file is a JSON array. Asked while more is to come; blank bytes say nothing yet.
    fn array(&mut self) -> bool {
        let text = self.rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.rest);
        match (self.array, text.trim_ascii_start().first()) {
            (Some(array), _) => array,
            (None, Some(first)) => *self.array.insert(*first == b'['),
            (None, None) => true,
        }
    }
}

pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Inflates gzip and zstd, told by their first bytes.
pub(super) fn unpacked(raw: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    let mut raw = BufReader::with_capacity(1 << 20, raw);
    let head = raw.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(raw))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
    } else {
        Box::new(raw)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn pieces(files: &[&[u8]], piece_bytes: usize) -> anyhow::Result<Vec<(u64, u64, String)>> {
        let dir = tempfile::tempdir()?;
        let mut inputs = Vec::new();
        for (n, bytes) in files.iter().enumerate() {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, bytes)?;
            inputs.push(Input::File(path));
        }
        let common = Common { table: "t".into(), received_at: Micros(5), piece_bytes };
        let mut source = Pieces::new(inputs, common, ProgressBar::hidden());
        let mut found = Vec::new();
        while let Next::Body(body) = source.next(Duration::ZERO)? {
            let text = String::from_utf8(body.bytes.to_vec())?;
            found.push((body.seq.0, body.first_line, text));
        }
        assert_eq!(source.first_pieces.len(), files.len());
        Ok(found)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn pieces_end_with_lines_and_files() {
        let found = pieces(&[b"{1}\n{2}\n{33333}\n{4}", &gzip(b"{5}\n{6}\n"), b""], 6).unwrap();
        let expected = [
            (1, 1, "{1}\n"),
            (2, 2, "{2}\n"),
            (3, 3, "{33333}\n{4}"),
            (4, 1, "{5}\n"),
            (5, 2, "{6}\n"),
        ];
        let found: Vec<_> = found.iter().map(|(s, l, t)| (*s, *l, t.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_array_is_one_piece() {
        let found = pieces(&[b" [{},\n{},\n{}]", b"\xef\xbb\xbf[\n{}]", b"{}\n{}\n"], 3).unwrap();
        assert_eq!(found[0], (1, 1, " [{},\n{},\n{}]".to_owned()));
        assert_eq!(found[1].2, "\u{feff}[\n{}]");
        assert_eq!(found[2].2, "{}\n");
    }

    #[test]
    fn what_breaks_off_is_named() {
        let packed = gzip(&[b'x'; 5000]);
        let error = pieces(&[&packed[..packed.len() - 9]], 100).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot read /"), "{error:#}");
    }
}
