//! Decode workers: threads that turn the bodies of jobs into rows and rejects, part by part.
//!
//! A part has a bounded number of lines, bytes and list elements, because a short line or element
//! costs many times its bytes once it is a row: a body of 256 MiB of `{}` would be tens of gigabytes
//! of columns.
//!
//! A decoder that fails or panics has a bug, and only a body can be the reason. The bodies whose rows
//! were not handed on are then decoded one by one, each tried before anything of it is handed on; one
//! that fails again, twice, is set aside where that may be decided ([`super::care`]), and ends the job
//! otherwise. Suspects are decoded like this from the start.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use crossbeam_channel::{Receiver, Sender};

use super::care::{BodyFailure, Care, SetAside, SourceFailure, UnknownTable};
use super::entry_allowance::EntryAllowance;
use super::joined_rejects::Joiner;
use super::set_aside;
use super::stored_window;
use crate::decode::{Counts, Decoded, Decoder, Progress, ReadLimit, Reject};
use crate::dedup::{Fingerprint, Fingerprints};
use crate::derive::{Derived, Explosion, FlatTables};
use crate::error_text;
use crate::fields::Tally;
use crate::privacy::Applied;
use crate::record::{BodiesDigest, Body, BodyRows};
use crate::table::{TableId, Tables};

/// Bytes of JSON in a part: large enough that the fixed cost of a batch is negligible. A job that has some
/// more is one part, or several of the same length: a short one at the end would cost as much as a long one.
pub(crate) const PART_BYTES: usize = 4 << 20;
/// Most lines in a part.
const PART_LINES: u64 = 32_768;
/// Most bytes of columns in a part that elements of lists and fields without a column take. Real
/// sessions are far below it at [`PART_BYTES`] of JSON.
const PART_COLUMN_BYTES: usize = 8 << 20;

/// Most bytes of rows of flat tables that a decode worker makes for a part. Real sessions are far below
/// it; a few hundred short ones with many empty elements are not.
const PART_FLAT_BYTES: usize = 16 << 20;

/// Returns the limit of an empty part of a job: less than two times [`PART_BYTES`].
fn part_limit(bodies: &[Body]) -> ReadLimit {
    let bytes: u64 = bodies.iter().map(Body::text_bytes).sum();
    let parts = (bytes / PART_BYTES as u64).max(1);
    let bytes = usize::try_from(bytes.div_ceil(parts)).unwrap_or(PART_BYTES).max(PART_BYTES);
    ReadLimit { lines: PART_LINES, bytes, column_bytes: PART_COLUMN_BYTES }
}

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
    /// The job has no more parts: the digest of its bodies. A channel that closes without it is of a thread
    /// that died.
    End(BodiesDigest),
}

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub(crate) table: TableId,
    pub(crate) batch: RecordBatch,
    /// The bodies of the rows, in their order.
    pub(crate) bodies: Vec<BodyRows>,
    /// Of a flat table: for each row the index of its parent's row in the part's batch of that table.
    pub(crate) of: Option<Vec<u32>>,
    /// What the rows are compared by, each; empty if they are not compared.
    pub(crate) fingerprints: Vec<Option<Fingerprint>>,
}

impl From<Derived> for TableRows {
    fn from(derived: Derived) -> TableRows {
        let Derived { table, batch, bodies, of } = derived;
        TableRows { table, batch, bodies, of: Some(of), fingerprints: Vec::new() }
    }
}

/// Rows, rejects and counts of a run of lines, for several tables.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Rows by table, those of a flat table behind their parent's. Flat ones are outside of the counts.
    pub(crate) rows: Vec<TableRows>,
    /// Rows of flat tables that are made when the part is taken in, batch by batch: too many to be held
    /// all at once.
    pub(crate) late: Vec<Explosion>,
    /// Rejected lines by table.
    pub(crate) rejects: Vec<(TableId, Vec<Reject>)>,
    /// Counts of documents, over all tables.
    pub(crate) counts: Counts,
    /// Counts of fields without a column, of tables that have any.
    pub(crate) fields: Vec<(TableId, Tally)>,
    /// Bodies that were set aside. Their entries are among the rejects.
    pub(crate) set_aside: SetAside,
}

impl Part {
    /// Adds the rows of a flat table, as long as they take no more than `left` bytes.
    fn explode(&mut self, mut explosion: Explosion, left: &mut usize) -> anyhow::Result<()> {
        let Some(after) = left.checked_sub(explosion.bytes()) else {
            self.late.push(explosion);
            return Ok(());
        };
        *left = after;
        while let Some(derived) = explosion.next_batch()? {
            self.rows.push(derived.into());
        }
        Ok(())
    }
}

/// Makes the rows of a flat table for nothing.
fn try_out(mut explosion: Explosion) -> anyhow::Result<()> {
    while explosion.next_batch()?.is_some() {}
    Ok(())
}

/// Times that a body is tried by itself before it counts as one that cannot be decoded.
const TRIES: usize = 2;
/// Most characters of the reason for which a body is set aside.
const REASON_CHARACTERS: usize = 200;

type Parts = Sender<anyhow::Result<Output>>;

/// The parts of a decode worker, shared by all of them.
#[derive(Clone, Copy)]
pub(crate) struct DecodeWorker<'a> {
    pub(crate) tables: &'a Tables,
    /// Rules of each table, by id.
    pub(crate) privacy: &'a [Option<Applied>],
    pub(crate) flat: &'a FlatTables,
    pub(crate) node: &'a Arc<str>,
    /// The short rejects that may stand alone.
    pub(crate) allowance: &'a EntryAllowance,
    pub(crate) care: &'a Care<'a>,
    /// What makes the fingerprints of each table, by id.
    pub(crate) fingerprints: &'a [Option<Fingerprints>],
    /// True when a body that cannot be decoded may be set aside at once.
    pub(crate) decides: bool,
}

impl DecodeWorker<'_> {
    /// Applies the privacy rules of a table.
    fn protect(&self, table: TableId, decoded: &mut Decoded) -> anyhow::Result<()> {
        let Some(Some(privacy)) = self.privacy.get(table.index()) else { return Ok(()) };
        privacy.apply(decoded).map_err(|error| match error {
            // Lines that are stored are read to be sealed.
            ArrowError::IoError(..) => SourceFailure(error.into()).into(),
            error => error.into(),
        })
    }

    /// Makes the fingerprints of rows of a table, if it has a use for them.
    fn fingerprints_of(
        &self,
        table: TableId,
        batch: &RecordBatch,
    ) -> anyhow::Result<Vec<Option<Fingerprint>>> {
        match self.fingerprints.get(table.index()) {
            Some(Some(fingerprints)) => Ok(fingerprints.of(batch)?),
            _ => Ok(Vec::new()),
        }
    }

    /// Decodes jobs until there are no more.
    pub(crate) fn run(self, jobs: &Receiver<Job>) {
        let joiner = Joiner::new(self.allowance);
        let (decoders, part) = (BTreeMap::new(), part_limit(&[]));
        let (limit, is_abandoned) = (part, false);
        let mut decoders = Decoders { worker: self, joiner, decoders, part, limit, is_abandoned };
        for Job { bodies, output } in jobs {
            if let Err(failed) = decoders.job(&bodies, &output) {
                decoders.clear();
                // Nobody may take it any more.
                let _ = output.send(Err(failed));
            }
        }
    }
}

/// The decoders of a thread, one a table. They learn from job to job.
struct Decoders<'a> {
    worker: DecodeWorker<'a>,
    joiner: Joiner<'a>,
    decoders: BTreeMap<TableId, Decoder>,
    /// The limit of each part of the job.
    part: ReadLimit,
    /// The rest of it for the part that is being made.
    limit: ReadLimit,
    /// True when nobody takes the parts of the job: the engine is being torn down.
    is_abandoned: bool,
}

/// The place up to which the rows of a job were handed on.
struct Sent {
    /// Index of the first body that was not handed on whole.
    body: usize,
    /// The place within it.
    progress: Progress,
}

/// The digest of a job's bodies. Each is hashed when it is about to be decoded, so that its bytes come from
/// memory once.
#[derive(Default)]
struct JobDigest {
    digest: BodiesDigest,
    /// Bodies that are in it.
    bodies: usize,
}

impl JobDigest {
    /// Adds those of the first `count` of `bodies` that are not in it.
    fn add_first(&mut self, bodies: &[Body], count: usize) {
        for body in bodies.iter().take(count).skip(self.bodies) {
            self.digest += BodiesDigest::of(body);
        }
        self.bodies = self.bodies.max(count);
    }
}

impl Decoders<'_> {
    /// Decodes a job. Returns early when nobody takes its parts any more.
    fn job(&mut self, bodies: &[Body], output: &Parts) -> anyhow::Result<()> {
        bodies.iter().try_for_each(|body| self.table(body).map(drop))?;
        self.is_abandoned = false;
        self.part = part_limit(bodies);
        self.limit = self.part;
        let mut sent = Sent { body: 0, progress: Progress::NEW };
        let mut digest = JobDigest::default();
        let suspect = |body: &Body| self.worker.care.suspects_at(body.seq).is_some();
        if bodies.first().is_some_and(suspect)
            || caught(|| self.together(bodies, &mut digest, &mut sent, output))?.is_err()
        {
            self.clear();
            let Sent { body: first, mut progress } = sent;
            for body in bodies.iter().skip(first) {
                if self.is_abandoned {
                    break;
                }
                self.alone(body, std::mem::replace(&mut progress, Progress::NEW), output)?;
            }
        }
        if !self.is_abandoned {
            digest.add_first(bodies, bodies.len());
            let _ = output.send(Ok(Output::End(digest.digest)));
        }
        Ok(())
    }

    /// Decodes bodies into parts that several of them may share.
    fn together(
        &mut self,
        bodies: &[Body],
        digest: &mut JobDigest,
        sent: &mut Sent,
        output: &Parts,
    ) -> anyhow::Result<()> {
        for (at, body) in bodies.iter().enumerate() {
            if self.is_abandoned {
                break;
            }
            digest.add_first(bodies, at + 1);
            let mut progress = Progress::NEW;
            if let Some(why) = self.worker.care.set_aside.get(&body.seq) {
                self.send_part(output)?;
                *sent = Sent { body: at, progress };
                let part = self.set_aside(body, why)?;
                self.send(part, output);
                *sent = Sent { body: at + 1, progress: Progress::NEW };
                continue;
            }
            while !self.is_abandoned && !self.read(body, &mut progress)? {
                self.send_part(output)?;
                *sent = Sent { body: at, progress: progress.clone() };
            }
        }
        self.send_part(output)?;
        *sent = Sent { body: bodies.len(), progress: Progress::NEW };
        Ok(())
    }

    /// Decodes a body from `from` on into parts of its own, once it is known that this can be done.
    ///
    /// # Errors
    /// A [`BodyFailure`], if it cannot and the body may not be set aside.
    fn alone(&mut self, body: &Body, from: Progress, output: &Parts) -> anyhow::Result<()> {
        let seq = body.seq;
        let known = self.worker.care.set_aside.get(&seq).cloned();
        let is_known = known.is_some();
        let why = match known {
            Some(why) => Some(why),
            None => self.why_not(body, &from)?,
        };
        if let Some(why) = why {
            if !is_known && (!self.worker.decides || from.bytes() > 0) {
                return Err(BodyFailure { seq, why }.into());
            }
            let part = self.set_aside(body, &why)?;
            self.send(part, output);
            return Ok(());
        }
        let mut progress = from;
        caught(|| {
            while !self.is_abandoned && !self.read(body, &mut progress)? {
                self.send_part(output)?;
            }
            self.send_part(output)
        })?
        .map_err(|why| BodyFailure { seq, why }.into())
    }

    /// Decodes a body from `from` on for nothing. Returns the reason if that fails each time.
    fn why_not(&mut self, body: &Body, from: &Progress) -> Result<Option<String>, SourceFailure> {
        let mut why = None;
        for _ in 0..TRIES {
            let mut progress = from.clone();
            let tried = caught(|| {
                while !self.read(body, &mut progress)? {
                    drop(self.tried_part()?);
                }
                self.tried_part().map(drop)
            })?;
            let Err(reason) = tried else { return Ok(None) };
            why = Some(reason);
            self.clear();
        }
        Ok(why)
    }

    /// Makes the part of a body that is set aside: one reject with all of its bytes.
    fn set_aside(&self, body: &Body, why: &str) -> anyhow::Result<Part> {
        let table = self.table(body)?;
        let spec = self.worker.tables.get(table).context("a table of another list")?;
        let node = Arc::clone(self.worker.node);
        let mut decoded = Decoder::new(Arc::clone(&spec.schema), node).finish();
        let reject = set_aside::reject(body, why)?;
        let lines = reject.lines;
        decoded.rejects.push(reject);
        decoded.counts = Counts { lines, rejects: lines, ..Counts::default() };
        self.worker.protect(table, &mut decoded)?;
        Ok(Part {
            rejects: vec![(table, decoded.rejects)],
            counts: decoded.counts,
            set_aside: [(body.seq, why.to_owned())].into(),
            ..Part::default()
        })
    }

    fn table(&self, body: &Body) -> Result<TableId, UnknownTable> {
        let unknown = || UnknownTable { seq: body.seq, table: body.table.to_string() };
        let table = self.worker.tables.id(&body.table);
        // No document is of a flat table.
        let is_flat =
            |id: &TableId| self.worker.tables.get(*id).is_some_and(|spec| spec.rows.is_derived());
        table.filter(|id| !is_flat(id)).ok_or_else(unknown)
    }

    /// Forgets what was decoded and not handed on.
    fn clear(&mut self) {
        self.decoders.clear();
        self.limit = self.part;
    }

    /// Decodes on from `progress` until the part is full (false) or the body has ended (true).
    fn read(&mut self, body: &Body, progress: &mut Progress) -> anyhow::Result<bool> {
        #[cfg(test)]
        super::test_faults::decoding(self.worker.node, body)?;
        let table = self.table(body)?;
        let decoder = match self.decoders.entry(table) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let spec = self.worker.tables.get(table).context("a table of another list")?;
                let node = Arc::clone(self.worker.node);
                let decoder = Decoder::new(Arc::clone(&spec.schema), node);
                let decoder = decoder.by_revision(spec.revision);
                let decoder = decoder.with_line_limit(spec.line_limit_bytes);
                entry.insert(decoder.within(spec.quarantined_outside()))
            }
        };
        let (lines, bytes, columns) = (decoder.lines(), progress.bytes(), decoder.column_bytes());
        let ended = stored_window::decode(decoder, body, progress, self.limit);
        let ended = ended.map_err(SourceFailure)?;
        let ReadLimit { lines: lines_left, bytes: bytes_left, column_bytes: columns_left } =
            self.limit;
        self.limit = ReadLimit {
            lines: lines_left.saturating_sub(decoder.lines() - lines),
            bytes: bytes_left.saturating_sub(progress.bytes() - bytes),
            column_bytes: columns_left.saturating_sub(decoder.column_bytes() - columns),
        };
        Ok(ended)
    }

    /// Hands on what was decoded.
    fn send_part(&mut self, output: &Parts) -> anyhow::Result<()> {
        let part = self.part()?;
        self.send(part, output);
        Ok(())
    }

    fn send(&mut self, part: Part, output: &Parts) {
        self.is_abandoned = output.send(Ok(Output::Part(part))).is_err();
    }

    /// Ends the part, joins short rejects, applies the privacy rules to all, and begins the next.
    fn part(&mut self) -> anyhow::Result<Part> {
        self.part_of(true)
    }

    /// Ends a part that is not handed on: no allowance is spent on its rejects.
    fn tried_part(&mut self) -> anyhow::Result<Part> {
        self.part_of(false)
    }

    fn part_of(&mut self, is_kept: bool) -> anyhow::Result<Part> {
        self.limit = self.part;
        let (mut part, mut flat_bytes) = (Part::default(), PART_FLAT_BYTES);
        let worker = self.worker;
        for (table, decoder) in &mut self.decoders {
            let mut decoded = decoder.finish();
            if decoded.counts == Counts::default() {
                continue;
            }
            if is_kept {
                decoded.rejects = self.joiner.join(*table, std::mem::take(&mut decoded.rejects));
            }
            worker.protect(*table, &mut decoded)?;
            worker.flat.lift(*table, &mut decoded.batch)?;
            if is_kept && let Some(spec) = worker.tables.get(*table) {
                let fields = Tally::of(&decoded.batch, &spec.schema);
                part.fields.extend((!fields.is_empty()).then_some((*table, fields)));
            }
            part.counts += decoded.counts;
            let Decoded { batch, bodies, rejects, .. } = decoded;
            let explosions = worker.flat.explode(*table, &batch, &bodies)?;
            let fingerprints = worker.fingerprints_of(*table, &batch)?;
            part.rows.push(TableRows { table: *table, batch, bodies, of: None, fingerprints });
            for explosion in explosions {
                if is_kept {
                    part.explode(explosion, &mut flat_bytes)?;
                } else {
                    try_out(explosion)?;
                }
            }
            if !rejects.is_empty() {
                part.rejects.push((*table, rejects));
            }
        }
        Ok(part)
    }
}

/// Runs `decode`, and returns the reason if it fails or panics.
///
/// # Errors
/// The source could not be read, which says nothing of the bodies.
fn caught<T>(
    decode: impl FnOnce() -> anyhow::Result<T>,
) -> Result<Result<T, String>, SourceFailure> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(error)) => {
            let error = error.downcast::<SourceFailure>().map_or_else(Ok, Err)?;
            let text = error_text::one_line(error.as_ref());
            Ok(Err(error_text::bounded(&text, REASON_CHARACTERS)))
        }
        // Its message may have parts of the body in it.
        Err(_) => Ok(Err("the decoder panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use crossbeam_channel::{bounded, unbounded};

    use super::super::care::Suspects;
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
        output_of(tables, bodies, &allowance(), &Care::default())
    }

    fn allowance() -> EntryAllowance {
        EntryAllowance::new(Arc::new(crate::clock::ManualClock::at(Micros(0))))
    }

    fn output_of(
        tables: &Tables,
        bodies: Vec<Body>,
        allowance: &EntryAllowance,
        care: &Care<'_>,
    ) -> Vec<anyhow::Result<Output>> {
        let (jobs, waiting) = bounded(1);
        let (output, outputs) = unbounded();
        jobs.send(Job { bodies, output }).unwrap();
        drop(jobs);
        let node = Arc::from("n");
        let (node, flat) = (&node, &FlatTables::new(tables).unwrap());
        let worker = DecodeWorker {
            tables,
            privacy: &[],
            flat,
            node,
            allowance,
            care,
            fingerprints: &[],
            decides: false,
        };
        worker.run(&waiting);
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
        let [Ok(Output::Part(part)), Ok(Output::End(_))] = &output[..] else { panic!() };
        let rows: Vec<_> =
            part.rows.iter().map(|rows| (rows.table, rows.batch.num_rows())).collect();
        let (a, b) = (tables.id("a").unwrap(), tables.id("b").unwrap());
        assert_eq!(rows, [(a, 1), (b, 4)]);
        let rejects: Vec<_> = part.rejects.iter().map(|(id, all)| (*id, all[0].seq)).collect();
        assert_eq!(rejects, [(b, Seq(3))]);
        assert_eq!(part.counts, Counts { lines: 6, rows: 5, rejects: 1, ..Counts::default() });
    }

    #[test]
    fn a_body_that_is_tried_first_takes_as_many_entries_of_the_allowance_as_any_other() {
        let tables = tables(&["a"]);
        let table = tables.id("a").unwrap();
        let left = |suspects| {
            let allowance = allowance();
            let care = Care { suspects, ..Care::default() };
            let bodies = vec![body(1, "a", &"x\n".repeat(50)), body(2, "a", &"y\n".repeat(40))];
            let output = output_of(&tables, bodies, &allowance, &care);
            let counts = output.iter().filter_map(|output| match output {
                Ok(Output::Part(part)) => Some(part.counts.rejects),
                _ => None,
            });
            assert_eq!(counts.sum::<u64>(), 90);
            std::iter::from_fn(|| allowance.take(table).then_some(())).count()
        };
        let suspects = Suspects { until: Seq(9), roll_bodies: 1, job_bodies: 1, record: None };
        assert_eq!(left(Some(suspects)), left(None));
    }

    #[test]
    fn a_body_that_is_set_aside_counts_for_its_lines() {
        let tables = tables(&["a"]);
        let set_aside: SetAside = [(Seq(2), "why".to_owned())].into();
        let care = Care { set_aside, ..Care::default() };
        let bodies = vec![body(1, "a", "{}\n"), body(2, "a", "{}\n\n{\n"), body(3, "a", "{}\n")];
        let output = output_of(&tables, bodies, &allowance(), &care);
        let mut sum = Counts::default();
        for output in output {
            if let Output::Part(part) = output.unwrap() {
                sum += part.counts;
                for reject in part.rejects.iter().flat_map(|(_, rejects)| rejects) {
                    assert_eq!((reject.lines, reject.line, reject.last_line), (2, 1, 3));
                }
            }
        }
        assert_eq!((sum.lines, sum.rows, sum.rejects), (4, 2, 2));
    }

    #[test]
    fn a_body_of_an_unknown_table_ends_the_job_with_an_error_that_names_both() {
        let output = output(&tables(&["a"]), vec![body(1, "a", "{}\n"), body(2, "gone", "{}\n")]);
        let error = output.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(error.contains("body 2") && error.contains("table gone"), "{error}");
    }
}
