//! Parts of files as chunks, one after the other: read, counted, and skipped where they have landed.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use indicatif::ProgressBar;

use super::chunker::{ChunkRule, Chunker};
use super::options::Input;
use crate::record::{Form, Micros};

/// The attributes that all chunks of an import share.
#[derive(Clone, Debug)]
pub(super) struct ChunkOptions {
    /// Table of the rows.
    pub(super) table: Arc<str>,
    /// `_ingest_time` of the rows.
    pub(super) received_at: Micros,
    /// Bytes after which a chunk ends with its line.
    pub(super) chunk_bytes: usize,
    /// Rule by which files are cut.
    pub(super) rule: ChunkRule,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Index of the file in the manifest.
    pub(super) file: usize,
    pub(super) input: Input,
    /// Hash of its content, where that is known.
    pub(super) content: Option<String>,
    /// Length of its content, where that is known.
    pub(super) bytes: Option<u64>,
    /// Chunks of the file before the part: they are read and skipped.
    pub(super) skip: u64,
    /// The chunks of the part and whether the file ends with them; none for all that are left.
    pub(super) chunks: Option<(u64, bool)>,
}

/// A file that could not be read to its end.
#[derive(Debug)]
pub(super) struct Failure {
    /// Index of the file in the manifest.
    pub(super) file: usize,
    /// Lines before the first one that is not in a chunk.
    pub(super) lines: u64,
    pub(super) error: anyhow::Error,
}

/// Parts of files, one after the other.
pub(super) struct Files {
    /// Parts that are not begun yet.
    waiting: VecDeque<Part>,
    open: Option<OpenPart>,
    /// The chunk that was read last.
    held: Option<Chunk>,
    /// A failure is an error.
    strict: bool,
    /// The error, to be returned after the chunk that was read last.
    error: Option<anyhow::Error>,
    failures: Vec<Failure>,
    /// Files that were read to their end.
    ended: Vec<usize>,
    /// First chunk of each file that was begun, and of the next.
    first_chunks: Vec<u64>,
    chunks: u64,
    bar: ProgressBar,
    spare: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

/// A part that is being read.
struct OpenPart {
    part: Part,
    chunker: Box<Chunker>,
    /// Chunks of the file that were read.
    read: u64,
}

/// A chunk of a file.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Number of its first line.
    pub(super) first_line: u64,
    pub(super) form: Form,
    /// Index of the file in the manifest.
    pub(super) file: usize,
    /// Chunks of the file before it.
    pub(super) skip: u64,
}

/// The outcome of reading on in the open part.
enum Step {
    Chunk(Chunk),
    Skipped,
    /// The file has ended.
    Ended,
    /// The part has ended, and the file goes on.
    Whole,
    /// The file is not as it was when it was hashed.
    Changed,
}

/// Most buffers that wait to be used again.
const SPARE_BUFFERS: usize = 16;

/// The buffer of a chunk. Dropped after decoding, it goes back to the chunker: fresh memory costs as
/// much as the reading.
struct ChunkBuffer {
    buffer: Vec<u8>,
    len: usize,
    spare: Sender<Vec<u8>>,
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        // Full, or nobody reads any more: it is freed.
        let _ = self.spare.try_send(std::mem::take(&mut self.buffer));
    }
}

impl Files {
    /// Queues `parts`. Bytes read are counted on `bar`. With `strict`, a file that fails is an error
    /// and not passed over.
    pub(super) fn new(parts: VecDeque<Part>, strict: bool, bar: ProgressBar) -> Files {
        Files {
            waiting: parts,
            open: None,
            held: None,
            strict,
            error: None,
            failures: Vec::new(),
            ended: Vec::new(),
            first_chunks: Vec::new(),
            chunks: 0,
            bar,
            spare: bounded(SPARE_BUFFERS),
        }
    }

    /// Opens the first part. Of an input that can be read only once, this is the look at what it is.
    ///
    /// # Errors
    /// It cannot be opened, or is of a format that is not taken.
    pub(super) fn open_first(&mut self, rule: ChunkRule) -> anyhow::Result<()> {
        match self.waiting.pop_front() {
            Some(part) => self.open(part, rule),
            None => Ok(()),
        }
    }

    /// Returns the files that could not be read to their end.
    pub(super) fn failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }

    /// Returns the files that were read to their end.
    pub(super) fn ended(&self) -> &[usize] {
        &self.ended
    }

    /// Returns the number of the first chunk of each file that was begun.
    pub(super) fn first_chunks(&self) -> &[u64] {
        &self.first_chunks
    }

    /// Returns the next chunk, and whether it is the last one of its file.
    ///
    /// # Errors
    /// If failures are errors, a file that cannot be read, or is not as it was.
    pub(super) fn next_chunk(
        &mut self,
        options: &ChunkOptions,
    ) -> anyhow::Result<Option<(Chunk, bool)>> {
        loop {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            let Some(open) = &mut self.open else {
                let Some(part) = self.waiting.pop_front() else { return Ok(None) };
                let file = part.file;
                if let Err(error) = self.open(part, options.rule) {
                    self.fail(Failure { file, lines: 0, error });
                }
                continue;
            };
            let file = open.part.file;
            match open.step(options, &self.spare) {
                Ok(Step::Skipped) => self.chunks += 1,
                Ok(Step::Chunk(chunk)) => {
                    self.chunks += 1;
                    if let Some(held) = self.held.replace(chunk) {
                        return Ok(Some((held, false)));
                    }
                }
                Ok(Step::Ended) => {
                    self.open = None;
                    self.ended.push(file);
                    if let Some(held) = self.held.take() {
                        return Ok(Some((held, true)));
                    }
                }
                Ok(Step::Whole) => {
                    self.open = None;
                    if let Some(held) = self.held.take() {
                        return Ok(Some((held, false)));
                    }
                }
                Ok(Step::Changed) => {
                    let error = anyhow!("{} has changed while it was imported", open.chunker.name);
                    self.open = None;
                    let lines = self.held.take().map_or(0, |held| held.first_line - 1);
                    self.fail(Failure { file, lines, error });
                }
                Err(error) => {
                    let lines = open.chunker.line.saturating_sub(1);
                    self.open = None;
                    self.fail(Failure { file, lines, error });
                    if let Some(held) = self.held.take() {
                        return Ok(Some((held, false)));
                    }
                }
            }
        }
    }

    fn open(&mut self, part: Part, rule: ChunkRule) -> anyhow::Result<()> {
        self.first_chunks.push(self.chunks + 1);
        let once = part.content.is_none();
        let chunker = Chunker::open(&part.input, part.content.clone(), rule, &self.bar)?;
        // Files were looked at when they were planned.
        if let Some(format) = chunker.foreign.filter(|_| once) {
            bail!("{} is {format}", chunker.name);
        }
        self.open = Some(OpenPart { part, chunker: Box::new(chunker), read: 0 });
        Ok(())
    }

    fn fail(&mut self, failure: Failure) {
        match self.strict {
            true => self.error = Some(failure.error),
            false => self.failures.push(failure),
        }
    }
}

impl OpenPart {
    fn step(
        &mut self,
        options: &ChunkOptions,
        (to_spare, spare): &(Sender<Vec<u8>>, Receiver<Vec<u8>>),
    ) -> anyhow::Result<Step> {
        let Part { skip, chunks, .. } = self.part;
        let file = &mut self.chunker;
        let whole = chunks.is_some_and(|(chunks, _)| self.read >= skip + chunks);
        if whole && chunks.is_some_and(|(_, ends)| !ends) {
            return Ok(Step::Whole);
        }
        let first_line = file.line;
        let chunk = file.next_chunk(options.chunk_bytes, spare);
        let chunk = chunk.with_context(|| format!("cannot read {}", file.name))?;
        // Bytes that were appended since it was hashed would be in no content that is remembered.
        if self.part.bytes.is_some_and(|bytes| file.read_bytes > bytes) {
            return Ok(Step::Changed);
        }
        let Some((buffer, len)) = chunk else {
            let missing = chunks.is_some_and(|(chunks, ends)| !ends || self.read < skip + chunks);
            return Ok(match file.is_unchanged() && !missing && self.read >= skip {
                true => Step::Ended,
                false => Step::Changed,
            });
        };
        if whole {
            return Ok(Step::Changed);
        }
        self.read += 1;
        // A long line's buffer is not kept: there may never be another.
        let spare = match buffer.len() > options.chunk_bytes * 2 {
            true => bounded(0).0,
            false => to_spare.clone(),
        };
        let bytes = Bytes::from_owner(ChunkBuffer { buffer, len, spare });
        if self.read <= skip {
            return Ok(Step::Skipped);
        }
        let (form, skip) = (file.form(), self.read - 1);
        Ok(Step::Chunk(Chunk { bytes, first_line, form, file: self.part.file, skip }))
    }
}
