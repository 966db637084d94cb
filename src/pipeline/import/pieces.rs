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
use crossbeam_channel::{Receiver, Sender, bounded};
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
    spare: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

struct Opened {
    name: String,
    reader: Box<dyn Read + Send>,
    /// The first [`Opened::filled`] bytes are read and not yet handed out; the others are room.
    buffer: Vec<u8>,
    filled: usize,
    line: u64,
    /// Line feeds in what is not yet handed out.
    line_feeds: u64,
    array: Option<bool>,
    ended: bool,
}

/// Bytes to read at a time: what was read is still in the nearest cache when its lines are
/// counted.
const READ_BYTES: usize = 256 << 10;
/// Buffers that wait to be used again.
const SPARE_BUFFERS: usize = 16;

/// A piece; when it has been decoded its buffer is used again, since fresh memory costs as much as
/// the reading.
struct Piece {
    buffer: Vec<u8>,
    len: usize,
    spare: Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Full, or nobody reads any more: it is freed.
        let _ = self.spare.try_send(std::mem::take(&mut self.buffer));
    }
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
            spare: bounded(SPARE_BUFFERS),
        }
    }

    fn piece(&mut self) -> anyhow::Result<Option<(Bytes, u64)>> {
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
            let (to_spare, spare) = &self.spare;
            let piece = file.piece(self.common.piece_bytes, spare);
            let piece = piece.with_context(|| format!("cannot read {}", file.name))?;
            if let Some((buffer, len)) = piece {
                // A long line's buffer is not kept: there may never be another.
                let spare = if buffer.len() > self.common.piece_bytes * 2 {
                    bounded(0).0
                } else {
                    to_spare.clone()
                };
                return Ok(Some((Bytes::from_owner(Piece { buffer, len, spare }), line)));
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
                    bytes,
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
        Ok(Opened {
            name,
            reader,
            buffer: Vec::new(),
            filled: 0,
            line: 1,
            line_feeds: 0,
            array: None,
            ended: false,
        })
    }

    /// The next piece, at least `piece_bytes` and to the end of a line, or what is left: a buffer,
    /// and how many bytes of it.
    fn piece(
        &mut self,
        piece_bytes: usize,
        spare: &Receiver<Vec<u8>>,
    ) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
        let mut want = piece_bytes;
        loop {
            self.fill(want)?;
            if self.ended {
                break;
            }
            let array = self.array();
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if !array && let Some(at) = memchr::memrchr(b'\n', read) {
                let rest = read.get(at + 1..).unwrap_or_default();
                let mut next = spare.try_recv().unwrap_or_default();
                if next.len() < rest.len() {
                    next.resize(rest.len().max(piece_bytes), 0);
                }
                if let Some(begin) = next.get_mut(..rest.len()) {
                    begin.copy_from_slice(rest);
                }
                self.filled = rest.len();
                self.line += std::mem::take(&mut self.line_feeds);
                return Ok(Some((std::mem::replace(&mut self.buffer, next), at + 1)));
            }
            want *= 2;
            if want > LINE_BYTES {
                let what = if array { "a JSON array" } else { "a line" };
                let (line, most) = (self.line, LINE_BYTES >> 20);
                bail!("{what} of more than {most} MiB begins at or after line {line}");
            }
        }
        let len = std::mem::take(&mut self.filled);
        Ok((len > 0).then(|| (std::mem::take(&mut self.buffer), len)))
    }

    /// Reads until there are `want` bytes, or the file has ended.
    fn fill(&mut self, want: usize) -> std::io::Result<()> {
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        while self.filled < want && !self.ended {
            let end = want.min(self.filled + READ_BYTES);
            let room = self.buffer.get_mut(self.filled..end).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.filled += n;
                    let read = room.get(..n).unwrap_or_default();
                    self.line_feeds += memchr::memchr_iter(b'\n', read).count() as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the file is a JSON array. Asked while more is to come; blank bytes say nothing yet.
    fn array(&mut self) -> bool {
        let read = self.buffer.get(..self.filled).unwrap_or_default();
        let text = read.strip_prefix(b"\xef\xbb\xbf").unwrap_or(read);
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
    // Reads that are larger than its buffer go past it.
    let mut raw = BufReader::with_capacity(64 << 10, raw);
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
