//! One file: unpacked, hashed on the way, and cut into pieces.
//!
//! A piece is about so many bytes and ends where a line ends, but never between an action line
//! of the Elasticsearch form and its document: the `_id` would be lost, and the document of an
//! update would be taken for a row. A file that is one JSON array is one piece.
//!
//! Where the cuts are depends on nothing but the file, the size and the [`Rule`].

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use crossbeam_channel::Receiver;
use indicatif::ProgressBar;
use xxhash_rust::xxh3::Xxh3;

use super::manifest;
use super::options::Input;
use crate::bulk_action::{self, Verb};
use crate::record::Form;

/// Longest line, and largest file that is one JSON array.
const LINE_BYTES: usize = 256 << 20;
/// Bytes to read at a time: what was read is still in the nearest cache when its lines are
/// counted.
const READ_BYTES: usize = 256 << 10;

/// How files are cut. A run goes on by the rule that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// At any end of a line; whatever begins with a bracket is an array.
    Lines,
    /// As above.
    Documents,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Lines,
    Array,
}

/// A file that is being cut.
pub(super) struct Opened {
    pub(super) name: String,
    /// What is read must come to this hash.
    content: Option<String>,
    hasher: Xxh3,
    rule: Rule,
    reader: Box<dyn Read + Send>,
    /// The first [`Opened::filled`] bytes are read and not yet handed out; the others are room.
    buffer: Vec<u8>,
    filled: usize,
    /// Number of the first line that is not yet handed out.
    pub(super) line: u64,
    /// Line feeds in what is not yet handed out.
    line_feeds: u64,
    /// Not known before enough has been read.
    layout: Option<Layout>,
    ended: bool,
}

impl Opened {
    pub(super) fn new(
        input: &Input,
        content: Option<String>,
        rule: Rule,
        bar: &ProgressBar,
    ) -> anyhow::Result<Opened> {
        let (name, raw): (String, Box<dyn Read + Send>) = match input {
            Input::Stdin => ("standard input".to_owned(), Box::new(std::io::stdin())),
            Input::File(path) => (path.display().to_string(), Box::new(open(path)?)),
        };
        let reader = unpacked(Box::new(bar.wrap_read(raw)));
        let reader = reader.with_context(|| format!("cannot read {name}"))?;
        Ok(Opened {
            name,
            content,
            hasher: Xxh3::new(),
            rule,
            reader,
            buffer: Vec::new(),
            filled: 0,
            line: 1,
            line_feeds: 0,
            layout: None,
            ended: false,
        })
    }

    /// The next piece: a buffer, and how many bytes of it.
    pub(super) fn piece(
        &mut self,
        piece_bytes: usize,
        spare: &Receiver<Vec<u8>>,
    ) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
        let mut want = piece_bytes;
        loop {
            self.fill(want)?;
            self.look();
            if self.ended {
                break;
            }
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if self.layout == Some(Layout::Lines)
                && let Some(at) = self.rule.cut(read)
            {
                let rest = read.get(at..).unwrap_or_default();
                let mut next = spare.try_recv().unwrap_or_default();
                if next.len() < rest.len() {
                    next.resize(rest.len().max(piece_bytes), 0);
                }
                if let Some(begin) = next.get_mut(..rest.len()) {
                    begin.copy_from_slice(rest);
                }
                let left = line_feeds(rest);
                self.filled = rest.len();
                self.line += std::mem::replace(&mut self.line_feeds, left) - left;
                return Ok(Some((std::mem::replace(&mut self.buffer, next), at)));
            }
            want *= 2;
            if want > LINE_BYTES {
                let array = self.layout != Some(Layout::Lines);
                let what = if array { "a JSON array" } else { "a line" };
                let (line, most) = (self.line, LINE_BYTES >> 20);
                bail!("{what} of more than {most} MiB begins at or after line {line}");
            }
        }
        let len = std::mem::take(&mut self.filled);
        Ok((len > 0).then(|| (std::mem::take(&mut self.buffer), len)))
    }

    /// How the decoder has to take the pieces. The Elasticsearch form is that of lines only: a line
    /// of them that begins with a bracket is no array.
    pub(super) fn form(&self) -> Form {
        match (self.rule, self.layout) {
            (Rule::Documents, Some(Layout::Lines)) => Form::Elasticsearch,
            _ => Form::Ndjson,
        }
    }

    /// Fails when the file, read to its end, is not the one that was hashed before: it would be
    /// remembered by a content that it has no more.
    pub(super) fn unchanged(&self) -> anyhow::Result<()> {
        let read = manifest::hash(&self.hasher);
        if self.content.as_ref().is_some_and(|content| *content != read) {
            bail!("{} has changed while it was imported", self.name);
        }
        Ok(())
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
                    if self.content.is_some() {
                        self.hasher.update(read);
                    }
                    self.line_feeds += line_feeds(read);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds out how the file is laid out, from its beginning.
    fn look(&mut self) {
        if self.layout.is_none() {
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            self.layout = self.rule.layout(read, self.ended);
        }
    }
}

impl Rule {
    /// How a file that begins with `read` is laid out; none when more of it has to be read.
    ///
    /// An array whose bracket closes in its first line is one only if nothing comes after it.
    fn layout(self, read: &[u8], ended: bool) -> Option<Layout> {
        let text = read.strip_prefix(BYTE_ORDER_MARK).unwrap_or(read).trim_ascii_start();
        match text.first() {
            None => return ended.then_some(Layout::Lines),
            Some(b'[') if self == Rule::Documents => {}
            Some(b'[') => return Some(Layout::Array),
            Some(_) => return Some(Layout::Lines),
        }
        let line_feed = memchr::memchr(b'\n', text);
        let line = line_feed.and_then(|at| text.get(..at)).unwrap_or(text);
        match closed(line) {
            Some(end) if text.get(end..).unwrap_or_default().trim_ascii().is_empty() => {
                ended.then_some(Layout::Array)
            }
            Some(_) => Some(Layout::Lines),
            None => (ended || line_feed.is_some()).then_some(Layout::Array),
        }
    }

    /// Where the piece that `read` begins with may end; none when more has to be read. The last
    /// line may be incomplete.
    fn cut(self, read: &[u8]) -> Option<usize> {
        let mut cut = memchr::memrchr(b'\n', read)? + 1;
        if self == Rule::Lines {
            return Some(cut);
        }
        // From here to the cut there are only blank lines, and actions behind the cut.
        let mut at = cut;
        while let Some(end) = at.checked_sub(1) {
            let before = read.get(..end).unwrap_or_default();
            let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            let line = before.get(start..).unwrap_or_default();
            if begins_document(line) {
                cut = start;
            } else if !line.trim_ascii().is_empty() {
                break;
            }
            at = start;
        }
        (cut > 0).then_some(cut)
    }
}

/// Whether the next line belongs to this one.
fn begins_document(line: &[u8]) -> bool {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    bulk_action::read(line).is_some_and(|action| action.verb != Verb::Delete)
}

/// The end of the array that `line` begins with, if it is in it.
fn closed(line: &[u8]) -> Option<usize> {
    let (mut depth, mut text, mut escaped) = (0_usize, false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            _ if text => {}
            b'[' => depth += 1,
            b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The bytes that some senders put before everything else.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Inflates gzip and zstd, told by their first bytes.
pub(super) fn unpacked(mut raw: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
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
    fn a_piece_does_not_end_between_an_action_and_its_document() {
        let cut = |read: &str| Rule::Documents.cut(read.as_bytes());
        assert_eq!(cut("{\"a\":1}\n{\"b\""), Some(8));
        assert_eq!(cut("{\"a\":1}\n{\"index\":{}}\n{\"b\""), Some(8));
        assert_eq!(cut("{\"a\":1}\r\n{\"create\":{\"_id\":\"1\"}}\r\n \r\n\n{\"b\""), Some(9));
        assert_eq!(cut("{\"a\":1}\n{\"update\":{}}\n{\"index\":{}}\n"), Some(8));
        assert_eq!(cut("{\"a\":1}\n{\"delete\":{\"_id\":\"1\"}}\n{"), Some(31));
        assert_eq!(cut("{\"index\":{\"price\":3}}\n{"), Some(22));
        assert_eq!(cut("\n\n\n"), Some(3));
        // Nothing else is left: the piece has to grow.
        assert_eq!(cut("\u{feff}{\"index\":{}}\n\n{\"a"), None);
        assert_eq!(cut("{\"a"), None);
        assert_eq!(Rule::Lines.cut(b"{\"a\":1}\n{\"index\":{}}\n{\"b\""), Some(21));
    }

    #[test]
    fn a_bracket_is_an_array_unless_more_comes_after_its_line() {
        let layout = |read: &str, ended| Rule::Documents.layout(read.as_bytes(), ended);
        let (array, lines) = (Some(Layout::Array), Some(Layout::Lines));
        assert_eq!(layout(" \n", false), None);
        assert_eq!(layout(" \n", true), lines);
        assert_eq!(layout("\u{feff}\n [{\"a\":\"]\\\"\"", false), None);
        assert_eq!(layout("[{\"a\":\"]\\\"\",\n", false), array);
        assert_eq!(layout("[{\"a\":1},{\"a\":[2]}]\r\n", false), None);
        assert_eq!(layout("[{\"a\":1},{\"a\":[2]}]\r\n", true), array);
        assert_eq!(layout("[1]\n{", false), lines);
        assert_eq!(layout("[oops", true), array);
        assert_eq!(Rule::Lines.layout(b"[1]\n{", false), array);
    }

    #[test]
    fn what_is_packed_is_told_however_it_arrives() {
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
            let mut reader = unpacked(Box::new(Slow(Cursor::new(bytes)))).unwrap();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}
