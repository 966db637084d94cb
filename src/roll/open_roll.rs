//! What the open roll holds, from its first body until it is handed to the lander.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::data_files::Files;
use super::options::Options;
use super::quarantine_writer::Rejects;
use super::spill::{self, Spill};
use crate::batch::{Buffers, Due, FileKey, Open, Router};
use crate::decode::{Counts, Decoded, Reject};
use crate::encode::Staged;
use crate::journal::{Disk as _, RealDisk};
use crate::record::{Micros, Roll, SeqRange};
use crate::table::Tables;

/// A roll whose files are finished in the staging directory. One with an empty path is in the lake
/// already.
#[derive(Clone)]
pub(crate) struct Finished {
    pub(crate) roll: Roll,
    pub(crate) range: SeqRange,
    pub(crate) counts: Counts,
    pub(crate) files: Vec<(FileKey, Staged)>,
    pub(crate) rejects: Vec<(Arc<str>, Staged)>,
}

impl Finished {
    /// Its staging files.
    pub(crate) fn staged(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(|(_, staged)| staged.path.as_path());
        let all = files.chain(self.rejects.iter().map(|(_, staged)| staged.path.as_path()));
        all.filter(|path| !path.as_os_str().is_empty())
    }
}

/// The open roll.
pub(crate) struct OpenRoll {
    routers: BTreeMap<Arc<str>, Router>,
    range: Option<SeqRange>,
    since: Option<Micros>,
    counts: Counts,
    source_bytes: u64,
    buffers: Buffers,
    spill: Spill,
    files: Files,
    rejects: BTreeMap<Arc<str>, Rejects>,
}

impl OpenRoll {
    pub(crate) fn new(
        roll: Roll,
        tables: &Tables,
        options: &Options,
        node: &str,
        staging: &Path,
    ) -> anyhow::Result<OpenRoll> {
        let routers = tables
            .specs()
            .iter()
            .map(|table| (Arc::clone(&table.name), Router::new(table.partition.clone())))
            .collect();
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let buffers = Buffers::new(bytes(options.row_group_bytes), bytes(options.memory_bytes / 2));
        Ok(OpenRoll {
            routers,
            range: None,
            since: None,
            counts: Counts::default(),
            source_bytes: 0,
            buffers,
            spill: Spill::new(spill::path(staging, roll), options.memory_bytes / 4),
            files: Files::new(roll, tables, options, node, staging)?,
            rejects: BTreeMap::new(),
        })
    }

    /// Its number.
    pub(crate) fn roll(&self) -> Roll {
        self.files.roll()
    }

    /// Returns whether no body is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_none()
    }

    /// Takes up bodies, which follow on those before. What they come to is pushed after.
    pub(crate) fn begin(&mut self, range: SeqRange, source_bytes: u64, now: Micros) {
        let first = self.range.map_or(range.first, |r| r.first.min(range.first));
        self.range = Some(SeqRange { first, last: range.last });
        self.since.get_or_insert(now);
        self.source_bytes += source_bytes;
    }

    /// Takes in what bodies decoded to.
    pub(crate) fn push(&mut self, batches: Vec<(Arc<str>, Decoded)>) -> anyhow::Result<()> {
        for (table, decoded) in batches {
            self.counts += decoded.counts;
            self.reject(&table, &decoded.rejects)?;
            let router = self.routers.get_mut(&table).ok_or_else(|| unknown(&table))?;
            let routed = router.route(&decoded.batch)?;
            self.buffers.push(&table, decoded.batch, routed)?;
        }
        while let Some(due) = self.buffers.due()? {
            match due {
                Due::Encode(group) => self.files.encode(&group, &self.spill)?,
                Due::Park(passes) => {
                    let stored = self.spill.park(&passes, self.files.threads())?;
                    for (pass, stored) in passes.into_iter().zip(stored) {
                        self.buffers.park(pass, stored);
                    }
                }
            }
        }
        Ok(())
    }

    /// What the roll decision looks at.
    pub(crate) fn open(&self) -> Open {
        let written = self.files.bytes(|file| self.buffers.bytes_of(file)).max();
        let waiting = self.files.estimate(self.buffers.largest_bytes());
        Open {
            since: self.since,
            file_bytes: written.unwrap_or(0).max(waiting),
            rows: self.counts.rows,
            source_bytes: self.source_bytes,
        }
    }

    /// Files that the roll has so far.
    pub(crate) fn partitions(&self) -> usize {
        self.buffers.files().filter(|file| !self.files.has(file)).count() + self.files.count()
    }

    /// Bytes that the footers of the files take until they are written: with many partitions and
    /// small row groups more than the rows.
    pub(crate) fn footer_bytes(&self) -> usize {
        self.files.footer_bytes()
    }

    /// Whether more than `most` bytes wait on disk, or so many that the journal may soon lack room, or
    /// in so many places that a file's rows cannot be read in one go.
    pub(crate) fn parked_too_much(&self, most: u64) -> bool {
        let parked = self.spill.bytes();
        // Where the system does not say what is left, a full disk will.
        let left = || RealDisk.free_bytes(self.files.staging()).unwrap_or(u64::MAX);
        parked > most
            || self.buffers.most_places() + 2 > self.spill.most_places()
            || (parked > 0 && parked > left() / 3)
    }

    /// Bytes that wait in memory.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffers.bytes()
    }

    /// Finishes the roll, if any body is in it, and begins the next.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Option<Finished>> {
        let Some(range) = self.range.take() else { return Ok(None) };
        let files = self.files.finish(&mut self.buffers, &self.spill)?;
        let mut rejects = Vec::new();
        for (table, written) in std::mem::take(&mut self.rejects) {
            rejects.push((table, written.finish()?));
        }
        let counts = std::mem::take(&mut self.counts);
        let roll = self.files.begin_next();
        self.spill.clear(spill::path(self.files.staging(), self.files.roll()));
        self.routers.values_mut().for_each(Router::begin);
        self.since = None;
        self.source_bytes = 0;
        Ok(Some(Finished { roll, range, counts, files, rejects }))
    }

    fn reject(&mut self, table: &Arc<str>, rejects: &[Reject]) -> anyhow::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let written = match self.rejects.entry(Arc::clone(table)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Rejects::create(self.files.path("ndjson"))?)
            }
        };
        written.write(rejects)
    }
}

pub(crate) fn unknown(table: &str) -> anyhow::Error {
    anyhow!("the journal holds bodies for table {table}, which no configuration has named")
}
