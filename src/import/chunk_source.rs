//! The chunk source: files or lines that are imported, as bodies for the engine.
//!
//! A chunk is whole documents of one file ([`super::chunker`]), or one line of the quarantine, or a whole body in it. Lines are
//! numbered within their file, chunks through all files: with the same parts of files, size and rule,
//! every chunk is the same again. A chunk is handed out once the one after it was read, so that the last
//! one of a file is known as such.
//!
//! A file that fails ends at its last whole chunk, and the next one begins; of one that has changed, the
//! chunk at its end is not handed out, since it may end where the file as it was goes on: [`ChunkSource::failures`]
//! says so. When a sealed roll is made again, and for imports whose seals do not name files, a failure
//! is an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::chunker::ChunkRule;
use super::extent::{Extent, ExtentLog};
use super::files::{Chunk, ChunkOptions, Failure, Files};
use crate::record::{Body, Form, Seq};
use crate::roll::source::{Next, Source};

/// Chunks of an import, in order.
pub(super) struct ChunkSource {
    options: ChunkOptions,
    origin: Origin,
    /// Number of the next chunk.
    next: Seq,
    /// Chunks before this one have landed: they are read and skipped.
    pub(super) from: Seq,
    /// The last chunk to be returned, or `None` for all: a sealed roll that is redone ends here.
    pub(super) last: Option<Seq>,
    /// The chunks that were handed out and are not sealed.
    pub(super) extents: ExtentLog,
    handed_out: Vec<Extent>,
}

/// The origin of chunks.
pub(super) enum Origin {
    /// Files, one after the other.
    Files(Box<Files>),
    /// Lines of one file of the quarantine.
    Lines(std::vec::IntoIter<Line>),
}

/// One line, with its number in the body that it came in; or a whole body, which begins on that line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    /// The form of a whole body; `None` for a line.
    pub(super) body: Option<Form>,
}

impl Line {
    /// Returns the form in which the decoder has to take it by `rule`. The Elasticsearch form is that of
    /// lines only: one that begins with a bracket is no array. Documents in a row or over several lines
    /// are some in the other.
    pub(super) fn form(&self, rule: ChunkRule) -> Form {
        if let Some(form) = self.body {
            return form;
        }
        let several = rule == ChunkRule::Documents || memchr::memchr(b'\n', &self.bytes).is_some();
        match several && !self.bytes.trim_ascii_start().starts_with(b"[") {
            true => Form::Ndjson,
            false => Form::Elasticsearch,
        }
    }
}

impl ChunkSource {
    /// Makes the source of all chunks of `origin`, numbered from `next` on.
    pub(super) fn new(origin: Origin, options: ChunkOptions, next: Seq) -> ChunkSource {
        let (extents, handed_out) = (ExtentLog::default(), Vec::new());
        ChunkSource { options, origin, next, from: next, last: None, extents, handed_out }
    }

    /// Returns the files that could not be read to their end.
    pub(super) fn failures(&mut self) -> Vec<Failure> {
        match &mut self.origin {
            Origin::Files(files) => files.failures(),
            Origin::Lines(_) => Vec::new(),
        }
    }

    /// Returns all chunks that were handed out, by file.
    pub(super) fn handed_out(&self) -> &[Extent] {
        &self.handed_out
    }

    /// Returns the files that were read to their end.
    pub(super) fn ended(&self) -> &[usize] {
        match &self.origin {
            Origin::Files(files) => files.ended(),
            Origin::Lines(_) => &[],
        }
    }

    /// Returns the number of the first chunk of each file that was begun, when all chunks were read
    /// from the first one on.
    pub(super) fn first_chunks(&self) -> &[u64] {
        match &self.origin {
            Origin::Files(files) => files.first_chunks(),
            Origin::Lines(_) => &[],
        }
    }
}

impl Source for ChunkSource {
    fn next(&mut self, _timeout: Duration) -> anyhow::Result<Next> {
        loop {
            let seq = self.next;
            if self.last.is_some_and(|last| seq > last) {
                return Ok(Next::Ended);
            }
            let (bytes, first_line, form) = match &mut self.origin {
                Origin::Files(files) => {
                    let Some((chunk, ends)) = files.next_chunk(&self.options)? else {
                        return Ok(Next::Ended);
                    };
                    let Chunk { bytes, first_line, form, file, skip } = chunk;
                    let extent = Extent { file, skip, chunks: 1, ends };
                    self.extents.push(seq, extent);
                    Extent::push(&mut self.handed_out, extent);
                    (bytes, first_line, form)
                }
                Origin::Lines(lines) => {
                    let Some(line) = lines.next() else { return Ok(Next::Ended) };
                    let form = line.form(self.options.rule);
                    (line.bytes, line.number, form)
                }
            };
            self.next = seq.next();
            if seq >= self.from {
                let ChunkOptions { table, received_at, .. } = &self.options;
                let (table, received_at) = (Arc::clone(table), *received_at);
                let stored = None;
                let body = Body { seq, received_at, table, form, first_line, bytes, stored };
                return Ok(Next::Body(body));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use indicatif::ProgressBar;

    use super::super::content_hash;
    use super::super::files::Part;
    use super::super::options::Input;
    use super::*;
    use crate::record::Micros;

    fn source(inputs: Vec<(Input, Option<String>)>, chunk_bytes: usize) -> ChunkSource {
        let rule = ChunkRule::Documents;
        let options = ChunkOptions { table: "t".into(), received_at: Micros(5), chunk_bytes, rule };
        let part = |(file, (input, content))| Part {
            file,
            input,
            content,
            bytes: None,
            skip: 0,
            chunks: None,
        };
        let parts = inputs.into_iter().enumerate().map(part).collect();
        let files = Files::new(parts, true, ProgressBar::hidden());
        ChunkSource::new(Origin::Files(Box::new(files)), options, Seq::FIRST)
    }

    fn chunks(files: &[&[u8]], chunk_bytes: usize) -> anyhow::Result<Vec<(u64, u64, String)>> {
        let dir = tempfile::tempdir()?;
        let mut inputs = Vec::new();
        for (n, bytes) in files.iter().enumerate() {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, bytes)?;
            let input = Input::File(path);
            let content = content_hash::of(&input)?.map(|content| content.hash);
            inputs.push((input, content));
        }
        let mut source = source(inputs, chunk_bytes);
        let mut found = Vec::new();
        while let Next::Body(body) = source.next(Duration::ZERO)? {
            let text = String::from_utf8(body.bytes.to_vec())?;
            found.push((body.seq.0, body.first_line, text));
        }
        assert_eq!(source.first_chunks().len(), files.len());
        Ok(found)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn chunks_end_with_lines_and_files() {
        let found = chunks(&[b"{1}\n{2}\n{33333}\n{4}", &gzip(b"{5}\n{6}\n"), b""], 6).unwrap();
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
    fn an_array_is_one_chunk() {
        let found = chunks(&[b" [{},\n{},\n{}]", b"\xef\xbb\xbf[\n{}]", b"{}\n{}\n"], 3).unwrap();
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
        for chunk_bytes in 1..=text.len() + 1 {
            let found = chunks(&[text.as_bytes()], chunk_bytes).unwrap();
            let whole: String = found.iter().map(|(_, _, text)| text.as_str()).collect();
            assert_eq!(whole, text, "{chunk_bytes}");
            let mut line = 1;
            for (_, first_line, text) in &found {
                assert_eq!(*first_line, line, "{chunk_bytes}");
                line += text.matches('\n').count() as u64;
                let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                assert!(!actions.iter().any(|a| last.contains(a)), "{chunk_bytes}: {text}");
            }
        }
        // By itself, or the chunk would be all that is read.
        assert!(chunks(&[text.as_bytes()], 1).unwrap().len() > 2);
    }

    #[test]
    fn a_chunk_is_whole_documents_whatever_the_size() {
        let text = "\u{feff}{\n  \"a\": [\n    {\n      \"b\": \"}{\"\n    },\n    {\"c\": 1}\n  ]\n}\n{\n\"a\": \
                    {\n\"b\": 1\n}\n}{\"a\":1}{\"a\":\"}\\\"{\"} {\"a\":{}}\n\n{\"a\":3}\r\n{\"a\":\n4}";
        let mut most = 0;
        for chunk_bytes in 1..=text.len() + 1 {
            let found = chunks(&[text.as_bytes()], chunk_bytes).unwrap();
            let whole: String = found.iter().map(|(_, _, text)| text.as_str()).collect();
            assert_eq!(whole, text, "{chunk_bytes}");
            let (mut line, mut documents) = (1, 0);
            for (_, first_line, text) in &found {
                assert_eq!(*first_line, line, "{chunk_bytes}");
                line += text.matches('\n').count() as u64;
                let text = text.trim_start_matches('\u{feff}');
                let read =
                    serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
                let read: Vec<_> = read.collect::<Result<_, _>>().expect("documents");
                documents += read.len();
            }
            assert_eq!(documents, 7, "{chunk_bytes}");
            most = most.max(found.len());
        }
        assert_eq!(most, 7, "every document by itself");
    }

    #[test]
    fn a_file_whose_first_line_is_in_brackets_is_cut_as_any_other() {
        let found = chunks(&[b"[1]\n{2}\n{3}\n", b"[{},{}]\n"], 6).unwrap();
        let found: Vec<_> = found.iter().map(|(_, l, t)| (*l, t.as_str())).collect();
        assert_eq!(found, [(1, "[1]\n{2}\n"), (3, "{3}\n"), (1, "[{},{}]\n")]);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("growing");
        std::fs::write(&path, "{1}\n").unwrap();
        let input = Input::File(path.clone());
        let content = content_hash::of(&input).unwrap().map(|content| content.hash);
        std::fs::write(&path, "{1}\n{2}\n").unwrap();
        let mut source = source(vec![(input, content)], 100);
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
        let content = content_hash::of(&input).unwrap().map(|content| content.hash);
        assert_eq!(content, None);
        let writer = std::thread::spawn(move || std::fs::write(path, "{1}\n{2}\n").unwrap());
        let mut source = source(vec![(input, content)], 100);
        let Next::Body(body) = source.next(Duration::ZERO).unwrap() else { panic!("a chunk") };
        assert_eq!(&body.bytes[..], b"{1}\n{2}\n");
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Ended));
        writer.join().unwrap();
    }

    #[test]
    fn what_breaks_off_is_named() {
        let packed = gzip(&[b'x'; 5000]);
        let error = chunks(&[&packed[..packed.len() - 9]], 100).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot read /"), "{error:#}");
    }
}
