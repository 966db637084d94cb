//! What is imported, in pieces of whole lines, as the engine takes bodies.
//!
//! A piece never goes over the end of a file (`cuts`). Lines are numbered within their file, pieces
//! through all of them: with the same files, size and rule, every piece is the same again. Lines of
//! the quarantine are a piece each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use indicatif::ProgressBar;

use super::chunker::{Opened, Rule};
use super::options::Input;
use crate::record::{Body, Form, Micros, Seq};
use crate::roll::source::{Next, Source};

/// What every piece has.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) table: Arc<str>,
    pub(super) received_at: Micros,
    pub(super) piece_bytes: usize,
    pub(super) rule: Rule,
}

/// All pieces of a run.
pub(super) struct Pieces {
    common: Common,
    origin: Origin,
    next: Seq,
    /// Pieces before this one have landed: they are read over.
    pub(super) from: Seq,
    /// The last piece of a sealed roll that is made again.
    pub(super) last: Option<Seq>,
    /// First piece of each file that was begun.
    pub(super) first_pieces: Vec<Seq>,
}

/// Where the pieces come from.
pub(super) enum Origin {
    Files(Files),
    /// Lines of one file of the quarantine.
    Lines(std::vec::IntoIter<Line>),
}

/// A line on its own, and the number that it had in its body.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

impl Line {
    /// How the decoder has to take it. The Elasticsearch form is that of lines only: one that
    /// begins with a bracket is no array. A document over several lines is one in the other.
    pub(super) fn form(&self) -> Form {
        let several = memchr::memchr(b'\n', &self.bytes).is_some();
        match several && !self.bytes.trim_ascii_start().starts_with(b"[") {
            true => Form::Ndjson,
            false => Form::Elasticsearch,
        }
    }
}

/// Files, one after the other.
pub(super) struct Files {
    /// With the hash of the content, where it is known.
    waiting: VecDeque<(Input, Option<String>)>,
    open: Option<Box<Opened>>,
    bar: ProgressBar,
    spare: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

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

impl Files {
    pub(super) fn new(inputs: VecDeque<(Input, Option<String>)>, bar: ProgressBar) -> Files {
        Files { waiting: inputs, open: None, bar, spare: bounded(SPARE_BUFFERS) }
    }

    /// The next piece: its bytes, its first line's number, its form.
    fn piece(
        &mut self,
        common: &Common,
        next: Seq,
        first_pieces: &mut Vec<Seq>,
    ) -> anyhow::Result<Option<(Bytes, u64, Form)>> {
        loop {
            let file = match &mut self.open {
                Some(file) => file,
                None => {
                    let Some((input, content)) = self.waiting.pop_front() else {
                        return Ok(None);
                    };
                    first_pieces.push(next);
                    let opened = Opened::new(&input, content, common.rule, &self.bar)?;
                    self.open.insert(Box::new(opened))
                }
            };
            let line = file.line;
            let (to_spare, spare) = &self.spare;
            let piece = file.piece(common.piece_bytes, spare);
            let piece = piece.with_context(|| format!("cannot read {}", file.name))?;
            if let Some((buffer, len)) = piece {
                // A long line's buffer is not kept: there may never be another.
                let spare = if buffer.len() > common.piece_bytes * 2 {
                    bounded(0).0
                } else {
                    to_spare.clone()
                };
                let bytes = Bytes::from_owner(Piece { buffer, len, spare });
                return Ok(Some((bytes, line, file.form())));
            }
            file.unchanged()?;
            self.open = None;
        }
    }
}

impl Pieces {
    pub(super) fn new(origin: Origin, common: Common) -> Pieces {
        let (next, from) = (Seq::FIRST, Seq::FIRST);
        Pieces { common, origin, next, from, last: None, first_pieces: Vec::new() }
    }
}

impl Source for Pieces {
    fn next(&mut self, _timeout: Duration) -> anyhow::Result<Next> {
        loop {
            let seq = self.next;
            if self.last.is_some_and(|last| seq > last) {
                return Ok(Next::Ended);
            }
            let piece = match &mut self.origin {
                Origin::Files(files) => files.piece(&self.common, seq, &mut self.first_pieces)?,
                Origin::Lines(lines) => lines.next().map(|line| {
                    let form = line.form();
                    (line.bytes, line.number, form)
                }),
            };
            let Some((bytes, first_line, form)) = piece else { return Ok(Next::Ended) };
            self.next = seq.next();
            if seq >= self.from {
                let Common { table, received_at, .. } = &self.common;
                let (table, received_at) = (Arc::clone(table), *received_at);
                return Ok(Next::Body(Body { seq, received_at, table, form, first_line, bytes }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::manifest;
    use super::*;

    fn source(inputs: Vec<(Input, Option<String>)>, piece_bytes: usize) -> Pieces {
        let rule = Rule::Documents;
        let common = Common { table: "t".into(), received_at: Micros(5), piece_bytes, rule };
        Pieces::new(Origin::Files(Files::new(inputs.into(), ProgressBar::hidden())), common)
    }

    fn pieces(files: &[&[u8]], piece_bytes: usize) -> anyhow::Result<Vec<(u64, u64, String)>> {
        let dir = tempfile::tempdir()?;
        let mut inputs = Vec::new();
        for (n, bytes) in files.iter().enumerate() {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, bytes)?;
            let input = Input::File(path);
            let content = manifest::content(&input)?;
            inputs.push((input, content));
        }
        let mut source = source(inputs, piece_bytes);
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
    fn actions_stay_with_their_documents_whatever_the_size() {
        let text = "\u{feff}{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n\n{\"a\":2}\n\
                    {\"update\":{\"_id\":\"2\"}}\r\n\r\n{\"doc\":{}}\r\n{\"delete\":{\"_id\":\"3\"}}\n\
                    {\"create\":{}}\n{\"create\":{}}\n{\"a\":4}\n[{\"a\":5}]\n";
        let actions = ["index", "create", "update"].map(|verb| format!("{{\"{verb}\""));
        for piece_bytes in 1..=text.len() + 1 {
            let found = pieces(&[text.as_bytes()], piece_bytes).unwrap();
            let whole: String = found.iter().map(|(_, _, text)| text.as_str()).collect();
            assert_eq!(whole, text, "{piece_bytes}");
            let mut line = 1;
            for (_, first_line, text) in &found {
                assert_eq!(*first_line, line, "{piece_bytes}");
                line += text.matches('\n').count() as u64;
                let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                assert!(!actions.iter().any(|a| last.contains(a)), "{piece_bytes}: {text}");
            }
        }
        // By itself, or the piece would be all that is read.
        assert!(pieces(&[text.as_bytes()], 1).unwrap().len() > 2);
    }

    #[test]
    fn a_file_whose_first_line_is_in_brackets_is_cut_as_any_other() {
        let found = pieces(&[b"[1]\n{2}\n{3}\n", b"[{},{}]\n"], 6).unwrap();
        let found: Vec<_> = found.iter().map(|(_, l, t)| (*l, t.as_str())).collect();
        assert_eq!(found, [(1, "[1]\n"), (2, "{2}\n"), (3, "{3}\n"), (1, "[{},{}]\n")]);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("growing");
        std::fs::write(&path, "{1}\n").unwrap();
        let input = Input::File(path.clone());
        let content = manifest::content(&input).unwrap();
        std::fs::write(&path, "{1}\n{2}\n").unwrap();
        let mut source = source(vec![(input, content)], 100);
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Body(_)));
        let Err(error) = source.next(Duration::ZERO) else { panic!("it has changed") };
        assert!(
            error.to_string().ends_with("growing has changed while it was imported"),
            "{error}"
        );
    }

    #[test]
    fn a_pipe_is_read_once_and_known_by_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let input = Input::File(path.clone());
        // Nobody writes yet: looking at it does not wait.
        let content = manifest::content(&input).unwrap();
        assert_eq!(content, None);
        let writer = std::thread::spawn(move || std::fs::write(path, "{1}\n{2}\n").unwrap());
        let mut source = source(vec![(input, content)], 100);
        let Next::Body(body) = source.next(Duration::ZERO).unwrap() else { panic!("a piece") };
        assert_eq!(&body.bytes[..], b"{1}\n{2}\n");
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Ended));
        writer.join().unwrap();
    }

    #[test]
    fn what_breaks_off_is_named() {
        let packed = gzip(&[b'x'; 5000]);
        let error = pieces(&[&packed[..packed.len() - 9]], 100).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot read /"), "{error:#}");
    }
}
