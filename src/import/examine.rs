//! The examination of a file before anything of it lands: it must be able to become rows.
//!
//! A file that cannot is refused by name, so that the others of the command land and nothing of it is
//! remembered as imported.

use std::sync::Arc;

use indicatif::ProgressBar;

use super::chunker::{ChunkRule, Chunker};
use super::options::Input;
use crate::decode::{Decoder, Progress, ReadLimit};
use crate::schema::BUILTIN;
use crate::table::Spec;

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Lines that are decoded between two checks of whether one has become a row.
const STEP: ReadLimit = ReadLimit { lines: 100, ..ReadLimit::NONE };

/// Reads the file `input` up to its first row in `table` that is not null in every column, which is in its
/// first lines if it is what it should be. Returns the reason if there is no such row in all of it.
///
/// # Errors
/// The file cannot be read, or begins with more than one chunk can hold.
pub(super) fn refusal(input: &Input, table: &Spec) -> anyhow::Result<Option<String>> {
    let mut file = Chunker::open(input, None, ChunkRule::Documents, &ProgressBar::hidden())?;
    if let Some(format) = file.foreign {
        return Ok(Some(format!("it is {format}")));
    }
    let decoder = Decoder::new(Arc::clone(&table.schema), "".into());
    let mut decoder = decoder.with_line_limit(table.line_limit_bytes);
    let (mut first_reject, mut unmatched) = (None, 0);
    while let Some(body) = file.next_body(CHUNK_BYTES, &table.name)? {
        let mut progress = Progress::NEW;
        loop {
            let ended = decoder.read(&body, &mut progress, STEP);
            let decoded = decoder.finish();
            unmatched += decoded.counts.unmatched;
            if decoded.counts.rows > decoded.counts.unmatched {
                return Ok(None);
            }
            let first = decoded.rejects.into_iter().next();
            first_reject = first_reject.or(first.map(|reject| (reject.line, reject.reason)));
            if ended {
                break;
            }
        }
    }
    if unmatched > 0 {
        return Ok(Some(unmatched_reason(unmatched, &table.name)));
    }
    let why = first_reject.map_or_else(
        || "it has no document".to_owned(),
        |(line, reason)| format!("the first fault is in line {line}, {reason}"),
    );
    Ok(Some(format!("no line of it becomes a row: {why}")))
}

/// Returns the text for documents that fill no column of the table `table`, which are all that there are.
pub(super) fn unmatched_reason(documents: u64, table: &str) -> String {
    let others: Vec<&str> = BUILTIN.iter().copied().filter(|other| *other != table).collect();
    format!(
        "none of its {documents} documents has a field of the table {table} with a value that fits, so that \
         each would be a row of nulls: is it for another --table ({} are built in), or does it need a \
         --schema of its own (see sessionlake schema infer)?",
        others.join(", ")
    )
}
