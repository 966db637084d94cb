//! The documents of a file, without a schema.

use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::Array as _;
use indicatif::ProgressBar;
use serde_json::value::RawValue;

use super::chunker::{ChunkRule, Chunker};
use super::options::Input;
use crate::columnar::values::strings;
use crate::decode::{Decoder, Progress, ReadLimit};
use crate::json::{Members, pointer_tokens};
use crate::schema::{EXTRA, TableSchema};
use crate::table::LINE_LIMIT_BYTES;

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Lines that are decoded at a time.
const STEP: ReadLimit = ReadLimit { lines: 1000, ..ReadLimit::NONE };

/// The documents of a file, and the lines that are none.
#[derive(Debug, Default)]
pub struct Read {
    /// The number of documents.
    pub documents: u64,
    /// The number of lines that are none.
    pub rejects: u64,
    /// The first of them, counted from 1, and its fault.
    pub first_reject: Option<(u64, String)>,
}

/// Reads the documents of `input` in all forms and packings that an import takes, and calls `each` with
/// the members of each: names, and values as they stood.
///
/// # Errors
/// The file cannot be read, is of a format that is not taken, or has a line longer than an import takes;
/// those of `each`.
pub fn read_documents(
    input: &Input,
    mut each: impl FnMut(&[(String, Box<RawValue>)]) -> anyhow::Result<()>,
) -> anyhow::Result<Read> {
    let mut file = Chunker::open(input, None, ChunkRule::Documents, &ProgressBar::hidden())?;
    if let Some(format) = file.foreign {
        anyhow::bail!("{} is {format}", file.name);
    }
    // Without a column, all of a document is in `_extra`.
    let decoder = Decoder::new(Arc::new(TableSchema::default()), "".into());
    let mut decoder = decoder.with_line_limit(Some(LINE_LIMIT_BYTES));
    let mut read = Read::default();
    let table: Arc<str> = "".into();
    while let Some(body) = file.next_body(CHUNK_BYTES, &table)? {
        let mut progress = Progress::NEW;
        let mut ended = false;
        while !ended {
            ended = decoder.read(&body, &mut progress, STEP);
            let decoded = decoder.finish();
            read.documents += decoded.counts.rows;
            read.rejects += decoded.counts.rejects;
            let first = decoded.rejects.into_iter().next();
            let first = first.map(|reject| (reject.line, reject.reason));
            read.first_reject = read.first_reject.take().or(first);
            let extra = decoded.batch.column_by_name(EXTRA).and_then(|column| strings(column));
            let extra = extra.context("a batch without _extra")?;
            for row in 0..extra.len() {
                let text = if extra.is_valid(row) { extra.value(row) } else { "{}" };
                let Members(members) = serde_json::from_str(text)?;
                let name = |(pointer, value): (String, _)| {
                    // A key that is no pointer is the `_id` of an action.
                    pointer_tokens(&pointer).next().map(|name| (name, value))
                };
                each(&members.into_iter().filter_map(name).collect::<Vec<_>>())?;
            }
        }
    }
    Ok(read)
}
