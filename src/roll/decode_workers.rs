//! Decode workers: threads that turn the bodies of jobs into rows and rejects, part by part.
//!
//! A part has a bounded number of lines, bytes and list elements, because a short line or element
//! costs many times its bytes once it is a row: a body of 256 MiB of `{}` would be tens of gigabytes
//! of columns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender};

use super::stored_window;
use crate::decode::{Counts, Decoded, Decoder, Progress, ReadLimit, Reject};
use crate::privacy::Applied;
use crate::record::{Body, BodyRows};
use crate::table::{TableId, Tables};

/// Most bytes of JSON in a part: large enough that the fixed cost of a batch is negligible.
pub(crate) const PART_BYTES: usize = 4 << 20;
/// Most lines in a part.
const PART_LINES: u64 = 32_768;
/// Most bytes of columns in a part that elements of lists and fields without a column take. Real
/// sessions are far below it at [`PART_BYTES`] of JSON.
const PART_COLUMN_BYTES: usize = 8 << 20;

/// The limit of an empty part.
const PART: ReadLimit =
    ReadLimit { lines: PART_LINES, bytes: PART_BYTES, column_bytes: PART_COLUMN_BYTES };

/// Bodies to be decoded together.
pub(crate) struct Job {
    pub(crate) bodies: Vec<Body>,
    /// Takes the parts, in order.
    pub(crate) output: Sender<anyhow::Result<Output>>,
}

/// An item of a job's output.
pub(crate) enum Output {
    /// The next part, in the order of the bodies' lines.
    Part(Part),
    /// The job has no more parts. A channel that closes without it is of a thread that died.
    End,
}

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub(crate) table: TableId,
    pub(crate) batch: RecordBatch,
    /// The bodies of the rows, in their order.
    pub(crate) bodies: Vec<BodyRows>,
}

/// Rows, rejects and counts of a run of lines, for several tables.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Rows by table. A table derived from documents could add its own, outside of the counts.
    pub(crate) rows: Vec<TableRows>,
    /// Rejected lines by table.
    pub(crate) rejects: Vec<(TableId, Vec<Reject>)>,
    /// Counts of documents, over all tables.
    pub(crate) counts: Counts,
}

/// Decodes jobs until there are no more. `privacy` has the rules of each table, by id.
pub(crate) fn decode(
    tables: &Tables,
    privacy: &[Option<Applied>],
    node: &Arc<str>,
    jobs: &Receiver<Job>,
) {
    let mut decoders = Decoders { tables, privacy, node, decoders: BTreeMap::new(), limit: PART };
    for Job { bodies, output } in jobs {
        // A decoder that panics has a bug. The bodies stay in the journal, landing stops with an
        // error that says which they are, and receiving goes on.
        let done = catch_unwind(AssertUnwindSafe(|| decoders.job(&bodies, &output)));
        let failed = match done {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(_) => {
                let seq = |body: Option<&Body>| body.map_or(0, |body| body.seq.0);
                let (first, last) = (seq(bodies.first()), seq(bodies.last()));
                anyhow!("the decoder panicked in one of the bodies {first} to {last}")
            }
        };
        decoders.decoders.clear();
        // The receiver is gone when the engine is being torn down.
        let _ = output.send(Err(failed));
    }
}

/// The decoders of a thread, one a table. They learn from job to job.
struct Decoders<'a> {
    tables: &'a Tables,
    privacy: &'a [Option<Applied>],
    node: &'a Arc<str>,
    decoders: BTreeMap<TableId, Decoder>,
    /// The rest of the part's limit.
    limit: ReadLimit,
}

impl Decoders<'_> {
    fn job(
        &mut self,
        bodies: &[Body],
        output: &Sender<anyhow::Result<Output>>,
    ) -> anyhow::Result<()> {
        for body in bodies {
            let (seq, name) = (body.seq, &body.table);
            let table = self.tables.id(name).with_context(|| {
                format!("body {seq} is for table {name}, which no configuration has named")
            })?;
            let mut progress = Progress::NEW;
            while !self.read(table, body, &mut progress)? {
                if output.send(Ok(Output::Part(self.part()?))).is_err() {
                    return Ok(());
                }
            }
        }
        let _ = output.send(Ok(Output::Part(self.part()?)));
        let _ = output.send(Ok(Output::End));
        Ok(())
    }

    /// Decodes on from `progress` until the part is full (false) or the body has ended (true).
    fn read(
        &mut self,
        table: TableId,
        body: &Body,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        let decoder = match self.decoders.entry(table) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let spec = self.tables.get(table).context("a table of another list")?;
                let decoder = Decoder::new(Arc::clone(&spec.schema), Arc::clone(self.node));
                let decoder = decoder.by_revision(spec.revision);
                let decoder = decoder.with_line_limit(spec.line_limit_bytes);
                entry.insert(decoder.within(spec.quarantined_outside()))
            }
        };
        let (lines, bytes, columns) = (decoder.lines(), progress.bytes(), decoder.column_bytes());
        let ended = stored_window::decode(decoder, body, progress, self.limit)?;
        let ReadLimit { lines: lines_left, bytes: bytes_left, column_bytes: columns_left } =
            self.limit;
        self.limit = ReadLimit {
            lines: lines_left.saturating_sub(decoder.lines() - lines),
            bytes: bytes_left.saturating_sub(progress.bytes() - bytes),
            column_bytes: columns_left.saturating_sub(decoder.column_bytes() - columns),
        };
        Ok(ended)
    }

    /// Ends the part, applies the privacy rules to it, and begins the next.
    fn part(&mut self) -> anyhow::Result<Part> {
        self.limit = PART;
        let mut part = Part::default();
        for (table, decoder) in &mut self.decoders {
            let mut decoded = decoder.finish();
            if decoded.counts == Counts::default() {
                continue;
            }
            if let Some(Some(privacy)) = self.privacy.get(table.index()) {
                privacy.apply(&mut decoded)?;
            }
            part.counts += decoded.counts;
            let Decoded { batch, bodies, rejects, .. } = decoded;
            part.rows.push(TableRows { table: *table, batch, bodies });
            if !rejects.is_empty() {
                part.rejects.push((*table, rejects));
            }
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use crossbeam_channel::{bounded, unbounded};

    use super::*;
    use crate::record::{Form, Micros, Seq};
    use crate::schema::TableSchema;
    use crate::table::{Spec, Template};

    fn tables(names: &[&str]) -> Tables {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let spec = |name: &&str| Spec::new(*name, Arc::clone(&schema), Template::default());
        Tables::new(names.iter().map(spec).collect()).unwrap()
    }

    fn body(seq: u64, table: &str, text: &str) -> Body {
        Body {
            seq: Seq(seq),
            received_at: Micros(0),
            table: table.into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            stored: None,
        }
    }

    /// Decodes the bodies as one job.
    fn output(tables: &Tables, bodies: Vec<Body>) -> Vec<anyhow::Result<Output>> {
        let (jobs, waiting) = bounded(1);
        let (output, outputs) = unbounded();
        jobs.send(Job { bodies, output }).unwrap();
        drop(jobs);
        decode(tables, &[], &"n".into(), &waiting);
        outputs.iter().collect()
    }

    #[test]
    fn a_part_has_rows_and_rejects_by_table_and_the_counts_of_all() {
        let tables = tables(&["a", "b", "unused"]);
        let document = "{\"userId\":\"u\"}\n";
        let bodies = vec![
            body(1, "b", &document.repeat(3)),
            body(2, "a", document),
            body(3, "b", &format!("{document}no document\n")),
        ];
        let output = output(&tables, bodies);
        let [Ok(Output::Part(part)), Ok(Output::End)] = &output[..] else { panic!() };
        let rows: Vec<_> =
            part.rows.iter().map(|rows| (rows.table, rows.batch.num_rows())).collect();
        let (a, b) = (tables.id("a").unwrap(), tables.id("b").unwrap());
        assert_eq!(rows, [(a, 1), (b, 4)]);
        let rejects: Vec<_> = part.rejects.iter().map(|(id, all)| (*id, all[0].seq)).collect();
        assert_eq!(rejects, [(b, Seq(3))]);
        assert_eq!(part.counts, Counts { lines: 6, rows: 5, rejects: 1, ..Counts::default() });
    }

    #[test]
    fn a_body_of_an_unknown_table_ends_the_job_with_an_error_that_names_both() {
        let output = output(&tables(&["a"]), vec![body(1, "a", "{}\n"), body(2, "gone", "{}\n")]);
        let error = output.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(error.contains("body 2") && error.contains("table gone"), "{error}");
    }
}
