//! The chunker: decompresses one file, hashes it on the way, and cuts it into chunks.
//!
//! A chunk has about the size that is asked for and ends between documents ([`super::boundary`]):
//! never within one that extends over several lines, and never between an action line of the
//! Elasticsearch form and its document, or the `_id` would be lost and the document of an update taken
//! for a row. A file that is one JSON array is one chunk.
//!
//! Chunks depend on nothing but the file, the size and the [`ChunkRule`], so that an interrupted
//! import finds its chunks again.

use std::io::{Cursor, Read};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use indicatif::ProgressBar;
use twox_hash::XxHash3_128;

use super::options::Input;
use super::{boundary, reader};
use crate::bulk_action::BYTE_ORDER_MARK;
use crate::foreign_format::{ForeignFormat, HEAD_BYTES};
use crate::record::{Body, Form, Micros, Seq};

/// Largest line, and largest file that is one JSON array, in bytes.
const MAX_LINE_BYTES: usize = 256 << 20;
/// Bytes read at a time: they are still in the nearest cache when their lines are counted.
const READ_BYTES: usize = 256 << 10;
/// Bytes of a page of memory.
const PAGE_BYTES: usize = 4096;

/// The bytes of white space and of the UTF-8 byte order mark.
pub(super) const BLANK: &[u8] = b" \t\r\n\xef\xbb\xbf";

/// The rule by which files are cut into chunks. An import goes on by the rule that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkRule {
    /// Cuts at any end of a line; a file that begins with a bracket is an array. Manifests of
    /// version 1.
    Lines,
    /// Cuts at any end of a line, but not between an action and its document. Manifests of version 2.
    Actions,
    /// Cuts as the module's documentation says.
    Documents,
}

/// The layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Lines,
    Array,
}

/// A file that is being cut.
pub(super) struct Chunker {
    /// Name of the file, for messages.
    pub(super) name: String,
    /// Expected hash of the content.
    content: Option<String>,
    hasher: XxHash3_128,
    rule: ChunkRule,
    reader: Box<dyn Read + Send>,
    /// The read bytes: the first [`Chunker::filled`] of them are not yet handed out, the others are
    /// free.
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes of the content that were read so far.
    pub(super) read_bytes: u64,
    /// Number of the first line that is not yet handed out.
    pub(super) line: u64,
    /// Line feeds in what is not yet handed out.
    line_feeds: u64,
    /// The layout of the file; none before enough of it has been read.
    layout: Option<Layout>,
    ended: bool,
    /// The format of the file, if it is none that is taken.
    pub(super) foreign: Option<ForeignFormat>,
}

impl Chunker {
    /// Opens `input` and counts the bytes that are read on `bar`. With `content`, the hash of the
    /// file when it was looked at first, [`Chunker::is_unchanged`] compares.
    ///
    /// # Errors
    /// The file cannot be opened, or its first bytes not be read.
    pub(super) fn open(
        input: &Input,
        content: Option<String>,
        rule: ChunkRule,
        bar: &ProgressBar,
    ) -> anyhow::Result<Chunker> {
        let (name, raw): (String, Box<dyn Read + Send>) = match input {
            Input::Stdin => ("standard input".to_owned(), Box::new(std::io::stdin())),
            Input::File(path) => (path.display().to_string(), Box::new(reader::open(path)?)),
        };
        let reader = reader::decompress(Box::new(bar.wrap_read(raw)));
        let mut reader = reader.with_context(|| format!("cannot read {name}"))?;
        let mut head = Vec::new();
        let read = (&mut reader).take(HEAD_BYTES as u64).read_to_end(&mut head);
        read.with_context(|| format!("cannot read {name}"))?;
        let foreign = ForeignFormat::of(&head);
        let reader = Box::new(Cursor::new(head).chain(reader));
        Ok(Chunker {
            name,
            content,
            hasher: XxHash3_128::new(),
            rule,
            reader,
            buffer: Vec::new(),
            filled: 0,
            read_bytes: 0,
            line: 1,
            line_feeds: 0,
            layout: None,
            ended: false,
            foreign,
        })
    }

    /// Returns the next chunk as a body of `table` that no journal has; `None` at the end of the file.
    ///
    /// # Errors
    /// Those of [`Chunker::next_chunk`], with the name of the file.
    pub(super) fn next_body(
        &mut self,
        chunk_bytes: usize,
        table: &Arc<str>,
    ) -> anyhow::Result<Option<Body>> {
        let first_line = self.line;
        let (_, spare) = bounded(0);
        let chunk = self.next_chunk(chunk_bytes, &spare);
        let chunk = chunk.with_context(|| format!("cannot read {}", self.name))?;
        let Some((mut buffer, len)) = chunk else { return Ok(None) };
        buffer.truncate(len);
        Ok(Some(Body {
            seq: Seq::FIRST,
            received_at: Micros(0),
            table: Arc::clone(table),
            form: self.form(),
            first_line,
            bytes: Bytes::from(buffer),
            stored: None,
        }))
    }

    /// Returns the next chunk, as a buffer and the number of its bytes that are the chunk; `None` at
    /// the end of the file. The buffer for the chunk after it is taken from `spare` if one is there.
    ///
    /// # Errors
    /// The file cannot be read; a line or array of more than 256 MiB.
    pub(super) fn next_chunk(
        &mut self,
        chunk_bytes: usize,
        spare: &Receiver<Vec<u8>>,
    ) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
        let mut want = chunk_bytes;
        loop {
            self.fill(want)?;
            self.detect_layout();
            if self.ended {
                break;
            }
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if self.layout == Some(Layout::Lines)
                && let Some(at) = self.rule.cut(read)
            {
                return Ok(Some(self.split(at, chunk_bytes, spare)));
            }
            want *= 2;
            if want > MAX_LINE_BYTES {
                if self.layout == Some(Layout::Lines)
                    && self.rule == ChunkRule::Documents
                    && let Some(end) = memchr::memrchr(b'\n', read)
                {
                    return Ok(Some(self.split(end + 1, chunk_bytes, spare)));
                }
                let array = self.layout != Some(Layout::Lines);
                let what = if array { "a JSON array" } else { "a line" };
                let (line, most) = (self.line, MAX_LINE_BYTES >> 20);
                bail!("{what} of more than {most} MiB begins at or after line {line}");
            }
        }
        let len = std::mem::take(&mut self.filled);
        Ok((len > 0).then(|| (std::mem::take(&mut self.buffer), len)))
    }

    /// Hands out the read bytes up to `at`, as [`Chunker::next_chunk`] does.
    fn split(
        &mut self,
        at: usize,
        chunk_bytes: usize,
        spare: &Receiver<Vec<u8>>,
    ) -> (Vec<u8>, usize) {
        let rest = self.buffer.get(at..self.filled).unwrap_or_default();
        let mut next = spare.try_recv().unwrap_or_default();
        if next.len() < rest.len() {
            next.resize(rest.len().max(chunk_bytes), 0);
        }
        if let Some(begin) = next.get_mut(..rest.len()) {
            begin.copy_from_slice(rest);
        }
        let left = line_feeds(rest);
        self.filled = rest.len();
        self.line += std::mem::replace(&mut self.line_feeds, left) - left;
        (std::mem::replace(&mut self.buffer, next), at)
    }

    /// Reads the file to its end, and hashes it, without cutting it: no line is counted, and no byte is kept.
    /// Returns whether all of it is blank; `None` where only cutting tells whether the file can be cut,
    /// which is one that may be an array or has very long lines. It has to be opened again then.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read_uncut(&mut self) -> std::io::Result<Option<bool>> {
        self.fill(READ_BYTES)?;
        self.buffer.resize(READ_BYTES + PAGE_BYTES, 0);
        self.detect_layout();
        if self.rule != ChunkRule::Documents || self.layout != Some(Layout::Lines) {
            return Ok(None);
        }
        let mut read = self.buffer.get(..self.filled).unwrap_or_default();
        let (mut blank, mut line_bytes) = (true, 0);
        loop {
            blank = blank && read.iter().all(|byte| BLANK.contains(byte));
            // The longest line that may have ended in what was read.
            if line_bytes + read.len() > MAX_LINE_BYTES / 2 {
                return Ok(None);
            }
            line_bytes = match memchr::memrchr(b'\n', read) {
                Some(at) => read.len() - at - 1,
                None => line_bytes + read.len(),
            };
            if self.ended {
                return Ok(Some(blank));
            }
            let start = self.read_place();
            let n = self.read_some(start, start + READ_BYTES)?;
            read = self.buffer.get(start..start + n).unwrap_or_default();
        }
    }

    /// Returns the place in the buffer for the next bytes: as far from the beginning of a page as they are in the
    /// file. Processors that copy by one instruction (`rep movsb`) take five times as long where the target is
    /// some bytes further into its page than the source, and large buffers begin 16 bytes into one.
    fn read_place(&self) -> usize {
        let in_file = usize::try_from(self.read_bytes).unwrap_or(0);
        in_file.wrapping_sub(self.buffer.as_ptr().addr()) % PAGE_BYTES
    }

    /// Returns the form in which the decoder has to take the chunks. Under the rule of actions it is the
    /// Elasticsearch form, which is that of lines only: one that begins with a bracket is no array.
    pub(super) fn form(&self) -> Form {
        match (self.rule, self.layout) {
            (ChunkRule::Actions, Some(Layout::Lines)) => Form::Elasticsearch,
            _ => Form::Ndjson,
        }
    }

    /// Returns whether the file, read to its end, is the one that was hashed before. Another would be
    /// remembered by a content that it no longer has.
    pub(super) fn is_unchanged(&self) -> bool {
        self.content.as_ref().is_none_or(|content| *content == self.content_read())
    }

    /// Returns the hash of what was read of a file whose content is expected: 32 hexadecimal digits.
    pub(super) fn content_read(&self) -> String {
        format!("{:032x}", self.hasher.finish_128())
    }

    /// Reads until the buffer holds `want` bytes or the file has ended.
    fn fill(&mut self, want: usize) -> std::io::Result<()> {
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        while self.filled < want && !self.ended {
            let end = want.min(self.filled + READ_BYTES);
            let n = self.read_some(self.filled, end)?;
            let read = self.buffer.get(self.filled..self.filled + n).unwrap_or_default();
            self.line_feeds += line_feeds(read);
            self.filled += n;
        }
        Ok(())
    }

    /// Reads some bytes into the buffer from `start` on, and hashes them; none at the end of the file.
    fn read_some(&mut self, start: usize, end: usize) -> std::io::Result<usize> {
        let free = self.buffer.get_mut(start..end).unwrap_or_default();
        let n = loop {
            match self.reader.read(free) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.ended = n == 0;
        self.read_bytes += n as u64;
        if self.content.is_some() {
            self.hasher.write(free.get(..n).unwrap_or_default());
        }
        Ok(n)
    }

    /// Detects the layout of the file from its beginning.
    fn detect_layout(&mut self) {
        if self.layout.is_none() {
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            self.layout = self.rule.layout(read, self.ended);
        }
    }
}

impl ChunkRule {
    /// Returns the layout of a file that begins with `read`, or `None` if more of it has to be read.
    ///
    /// An array whose bracket closes in its first line is one only if nothing comes after it.
    fn layout(self, read: &[u8], ended: bool) -> Option<Layout> {
        let text = read.strip_prefix(BYTE_ORDER_MARK).unwrap_or(read).trim_ascii_start();
        match text.first() {
            None => return ended.then_some(Layout::Lines),
            Some(b'[') if self == ChunkRule::Lines => return Some(Layout::Array),
            Some(b'[') => {}
            Some(_) => return Some(Layout::Lines),
        }
        let line_feed = memchr::memchr(b'\n', text);
        let line = line_feed.and_then(|at| text.get(..at)).unwrap_or(text);
        match array_end(line) {
            Some(end) if text.get(end..).unwrap_or_default().trim_ascii().is_empty() => {
                ended.then_some(Layout::Array)
            }
            Some(_) => Some(Layout::Lines),
            None => (ended || line_feed.is_some()).then_some(Layout::Array),
        }
    }

    /// Returns the offset at which the chunk at the beginning of `read` may end, or `None` if more has
    /// to be read. The last line of `read` may be incomplete.
    fn cut(self, read: &[u8]) -> Option<usize> {
        if self == ChunkRule::Documents {
            return boundary::last(read);
        }
        let mut cut = memchr::memrchr(b'\n', read)? + 1;
        if self == ChunkRule::Lines {
            return Some(cut);
        }
        // From here to the cut there are only blank lines, and actions behind the cut.
        let mut at = cut;
        while let Some(end) = at.checked_sub(1) {
            let before = read.get(..end).unwrap_or_default();
            let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            let line = before.get(start..).unwrap_or_default();
            if boundary::expects_document(line) {
                cut = start;
            } else if !line.trim_ascii().is_empty() {
                break;
            }
            at = start;
        }
        (cut > 0).then_some(cut)
    }
}

/// Returns the offset behind the array that `line` begins with, or `None` if it does not end in it.
fn array_end(line: &[u8]) -> Option<usize> {
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

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_does_not_end_between_an_action_and_its_document() {
        let cut = |read: &str| ChunkRule::Actions.cut(read.as_bytes());
        assert_eq!(cut("{\"a\":1}\n{\"b\""), Some(8));
        assert_eq!(cut("{\"a\":1}\n{\"index\":{}}\n{\"b\""), Some(8));
        assert_eq!(cut("{\"a\":1}\r\n{\"create\":{\"_id\":\"1\"}}\r\n \r\n\n{\"b\""), Some(9));
        assert_eq!(cut("{\"a\":1}\n{\"update\":{}}\n{\"index\":{}}\n"), Some(8));
        assert_eq!(cut("{\"a\":1}\n{\"delete\":{\"_id\":\"1\"}}\n{"), Some(31));
        assert_eq!(cut("{\"index\":{\"price\":3}}\n{"), Some(22));
        assert_eq!(cut("\n\n\n"), Some(3));
        // Nothing else is left: the chunk has to grow.
        assert_eq!(cut("\u{feff}{\"index\":{}}\n\n{\"a"), None);
        assert_eq!(cut("{\"a"), None);
        assert_eq!(ChunkRule::Lines.cut(b"{\"a\":1}\n{\"index\":{}}\n{\"b\""), Some(21));
    }

    /// An interrupted import goes on by the rule that it began with, or chunks would have other rows.
    #[test]
    fn the_rules_of_earlier_builds_cut_at_any_line() {
        let read = b"{\"a\":1}\n{\n\"a\":\n";
        assert_eq!(ChunkRule::Lines.cut(read), Some(read.len()));
        assert_eq!(ChunkRule::Actions.cut(read), Some(read.len()));
        assert_eq!(ChunkRule::Documents.cut(read), Some(8));
        assert_eq!(ChunkRule::Actions.cut(b"{\"a\":1}{\"a\":2}{"), None);
    }

    #[test]
    fn a_bracket_is_an_array_unless_more_comes_after_its_line() {
        let layout = |read: &str, ended| ChunkRule::Documents.layout(read.as_bytes(), ended);
        let (array, lines) = (Some(Layout::Array), Some(Layout::Lines));
        assert_eq!(layout(" \n", false), None);
        assert_eq!(layout(" \n", true), lines);
        assert_eq!(layout("\u{feff}\n [{\"a\":\"]\\\"\"", false), None);
        assert_eq!(layout("[{\"a\":\"]\\\"\",\n", false), array);
        assert_eq!(layout("[{\"a\":1},{\"a\":[2]}]\r\n", false), None);
        assert_eq!(layout("[{\"a\":1},{\"a\":[2]}]\r\n", true), array);
        assert_eq!(layout("[1]\n{", false), lines);
        assert_eq!(layout("[oops", true), array);
        assert_eq!(ChunkRule::Lines.layout(b"[1]\n{", false), array);
    }
}
