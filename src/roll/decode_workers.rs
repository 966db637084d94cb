//! Bodies to batches, on threads, in parts of bounded size.
//!
//! A part has a bounded number of lines, bytes and list elements, because a short line or element
//! costs many times its bytes once it is a row: a body of 256 MiB of `{}` would be tens of gigabytes
//! of columns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender};

use crate::decode::{Counts, Decoded, Decoder, Progress, Room};
use crate::privacy::Applied;
use crate::record::Body;
use crate::table::Tables;

/// Most bytes of JSON in a part: large enough that the cost of a batch does not show.
pub(crate) const PART_BYTES: usize = 4 << 20;
/// Most lines in a part.
const PART_LINES: u64 = 32_768;
/// Most bytes of columns that elements of lists and fields without a column take in a part. Real
/// sessions are far below it when [`PART_BYTES`] are full.
const PART_COLUMN_BYTES: usize = 8 << 20;

/// What is empty of a part.
const EMPTY: Room = Room { lines: PART_LINES, bytes: PART_BYTES, column_bytes: PART_COLUMN_BYTES };

/// Bodies to be decoded together.
pub(crate) struct Job {
    pub(crate) bodies: Vec<Body>,
    pub(crate) parts: Sender<anyhow::Result<Part>>,
}

/// What comes of a job, in order. Without an end, the thread has died.
pub(crate) enum Part {
    /// Batches by table.
    Decoded(Vec<(Arc<str>, Decoded)>),
    /// There are no more.
    End,
}

/// Decodes until there are no more jobs.
pub(crate) fn decode(
    tables: &Tables,
    privacy: &[Option<Applied>],
    node: &Arc<str>,
    jobs: &Receiver<Job>,
) {
    let mut decoders = Decoders { tables, privacy, node, decoders: BTreeMap::new(), room: EMPTY };
    for Job { bodies, parts } in jobs {
        // A decoder that panics has a bug. The bodies stay in the journal, landing stops with an
        // error that says which they are, and receiving goes on.
        let done = catch_unwind(AssertUnwindSafe(|| decoders.job(&bodies, &parts)));
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
        // Nobody listens once the engine is being thrown away.
        let _ = parts.send(Err(failed));
    }
}

/// The decoders of a thread, one a table. They learn from job to job.
struct Decoders<'a> {
    tables: &'a Tables,
    /// The rules of each table.
    privacy: &'a [Option<Applied>],
    node: &'a Arc<str>,
    decoders: BTreeMap<Arc<str>, Decoder>,
    /// What is left of the part's room.
    room: Room,
}

impl Decoders<'_> {
    fn job(&mut self, bodies: &[Body], parts: &Sender<anyhow::Result<Part>>) -> anyhow::Result<()> {
        for body in bodies {
            let mut progress = Progress::NEW;
            while !self.read(body, &mut progress)? {
                if parts.send(Ok(self.part()?)).is_err() {
                    return Ok(());
                }
            }
        }
        let _ = parts.send(Ok(self.part()?));
        let _ = parts.send(Ok(Part::End));
        Ok(())
    }

    /// Reads on until the part is full (false) or the body has ended (true).
    fn read(&mut self, body: &Body, progress: &mut Progress) -> anyhow::Result<bool> {
        let decoder = match self.decoders.entry(Arc::clone(&body.table)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let table = self.tables.by_name(&body.table).ok_or_else(|| {
                    let (seq, table) = (body.seq, &body.table);
                    anyhow!("body {seq} is for table {table}, which no configuration has named")
                })?;
                entry.insert(Decoder::new(Arc::clone(&table.schema), Arc::clone(self.node)))
            }
        };
        let (lines, bytes, columns) = (decoder.lines(), progress.bytes(), decoder.column_bytes());
        let ended = decoder.read(body, progress, self.room);
        let Room { lines: lines_left, bytes: bytes_left, column_bytes: columns_left } = self.room;
        self.room = Room {
            lines: lines_left.saturating_sub(decoder.lines() - lines),
            bytes: bytes_left.saturating_sub(progress.bytes() - bytes),
            column_bytes: columns_left.saturating_sub(decoder.column_bytes() - columns),
        };
        Ok(ended)
    }

    fn part(&mut self) -> anyhow::Result<Part> {
        self.room = EMPTY;
        let mut parts = Vec::new();
        for (name, decoder) in &mut self.decoders {
            let mut decoded = decoder.finish();
            if decoded.counts == Counts::default() {
                continue;
            }
            if let Some(privacy) =
                self.tables.id(name).and_then(|id| self.privacy.get(id.index())?.as_ref())
            {
                privacy.apply(&mut decoded)?;
            }
            parts.push((Arc::clone(name), decoded));
        }
        Ok(Part::Decoded(parts))
    }
}
