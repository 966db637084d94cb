//! What the open roll holds, from its first body until it is handed to the lander.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::rejects::Rejects;
use super::spill::{self, Spill};
use super::tables::Tables;
use crate::batch::{Buffers, Due, FileKey, Open, Router, RowGroup};
use crate::config;
use crate::decode::{Counts, Decoded, Reject};
use crate::encode::{Encoder, Layout, Staged};
use crate::journal::{Disk as _, RealDisk};
use crate::record::{Micros, Roll, SeqRange};

/// A roll whose files are finished in the staging directory. One with an empty path is in the lake
/// already.
#[derive(Clone)]
pub(super) struct Finished {
    pub(super) roll: Roll,
    pub(super) range: SeqRange,
    pub(super) counts: Counts,
    pub(super) files: Vec<(FileKey, Staged)>,
    pub(super) rejects: Vec<(Arc<str>, Staged)>,
}

impl Finished {
    /// Its staging files.
    pub(super) fn staged(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(|(_, staged)| staged.path.as_path());
        let all = files.chain(self.rejects.iter().map(|(_, staged)| staged.path.as_path()));
        all.filter(|path| !path.as_os_str().is_empty())
    }
}

/// The open roll.
pub(super) struct OpenRoll {
    roll: Roll,
    staging: PathBuf,
    layouts: BTreeMap<Arc<str>, Layout>,
    routers: BTreeMap<Arc<str>, Router>,
    range: Option<SeqRange>,
    since: Option<Micros>,
    counts: Counts,
    source_bytes: u64,
    buffers: Buffers,
    spill: Spill,
    encoders: BTreeMap<FileKey, Encoder>,
    rejects: BTreeMap<Arc<str>, Rejects>,
    /// Arrow bytes encoded so far and what they came to, over all rolls: the estimate of what
    /// still waits.
    encoded: (u64, u64),
    staged: u64,
}

impl OpenRoll {
    pub(super) fn new(
        roll: Roll,
        tables: &Tables,
        landing: &config::Landing,
        node: &str,
        staging: &Path,
    ) -> anyhow::Result<OpenRoll> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(landing.decode_threads.get())
            .thread_name(|_| "encode".to_owned())
            .build()?;
        let threads = Arc::new(threads);
        let mut layouts = BTreeMap::new();
        let mut routers = BTreeMap::new();
        for (name, table) in tables {
            let privacy = table.rules.to_string();
            let metadata = [
                ("sessionlake.version", env!("CARGO_PKG_VERSION")),
                ("sessionlake.node", node),
                ("sessionlake.schema", table.schema.fingerprint.as_str()),
                ("sessionlake.partition", table.template.as_str()),
                ("sessionlake.privacy", privacy.as_str()),
            ];
            let layout = Layout::new(&table.schema, landing.compression, &metadata)?
                .with_threads(Arc::clone(&threads));
            layouts.insert(Arc::clone(name), layout);
            routers.insert(Arc::clone(name), Router::new(table.template.clone()));
        }
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let buffers = Buffers::new(bytes(landing.row_group_bytes), bytes(landing.memory_bytes / 2));
        Ok(OpenRoll {
            roll,
            staging: staging.to_owned(),
            layouts,
            routers,
            range: None,
            since: None,
            counts: Counts::default(),
            source_bytes: 0,
            buffers,
            spill: Spill::new(spill::path(staging, roll)),
            encoders: BTreeMap::new(),
            rejects: BTreeMap::new(),
            // Before anything was measured: a tenth, as JSON sessions usually come to.
            encoded: (10, 1),
            staged: 0,
        })
    }

    /// Its number.
    pub(super) fn roll(&self) -> Roll {
        self.roll
    }

    /// Takes up bodies, which follow on those before. What they come to is pushed after.
    pub(super) fn begin(&mut self, range: SeqRange, source_bytes: u64, now: Micros) {
        let first = self.range.map_or(range.first, |r| r.first.min(range.first));
        self.range = Some(SeqRange { first, last: range.last });
        self.since.get_or_insert(now);
        self.source_bytes += source_bytes;
    }

    /// Takes in what bodies decoded to.
    pub(super) fn push(&mut self, batches: Vec<(Arc<str>, Decoded)>) -> anyhow::Result<()> {
        for (table, decoded) in batches {
            self.counts += decoded.counts;
            self.reject(&table, &decoded.rejects)?;
            let router = self.routers.get_mut(&table).ok_or_else(|| unknown(&table))?;
            let routed = router.route(&decoded.batch)?;
            self.buffers.push(&table, decoded.batch, routed);
        }
        while let Some(due) = self.buffers.due()? {
            match due {
                Due::Encode(group) => self.encode(group)?,
                Due::Park(pass) => {
                    let place = self.spill.park(&pass.rows)?;
                    self.buffers.park(pass, place);
                }
            }
        }
        Ok(())
    }

    /// What the roll decision looks at.
    pub(super) fn open(&self) -> Open {
        let (from, to) = self.encoded;
        let estimate = |bytes: usize| (bytes as u64).saturating_mul(to) / from.max(1);
        let written = self
            .encoders
            .iter()
            .map(|(file, encoder)| encoder.bytes() + estimate(self.buffers.bytes_of(file)));
        let waiting = estimate(self.buffers.largest_bytes());
        Open {
            since: self.since,
            file_bytes: written.max().unwrap_or(0).max(waiting),
            rows: self.counts.rows,
            source_bytes: self.source_bytes,
        }
    }

    /// Files that the roll has so far.
    pub(super) fn partitions(&self) -> usize {
        self.buffers.files().filter(|file| !self.encoders.contains_key(file)).count()
            + self.encoders.len()
    }

    /// Bytes that the footers of the files take until they are written: with many partitions and
    /// small row groups more than the rows.
    pub(super) fn footer_bytes(&self) -> usize {
        self.encoders.values().map(Encoder::footer_bytes).sum()
    }

    /// Whether more than `most` bytes wait on disk, or so many that the journal may soon lack room.
    pub(super) fn parked_too_much(&self, most: u64) -> bool {
        let parked = self.spill.bytes();
        // Where the system does not say what is left, a full disk will.
        let left = || RealDisk.free_bytes(&self.staging).unwrap_or(u64::MAX);
        parked > most || (parked > 0 && parked > left() / 3)
    }

    /// Bytes that wait in memory.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffers.bytes()
    }

    /// Finishes the roll, if any body is in it, and begins the next.
    pub(super) fn finish(&mut self) -> anyhow::Result<Option<Finished>> {
        let Some(range) = self.range.take() else { return Ok(None) };
        // File by file, so that no more than one footer grows at a time.
        let mut files = BTreeMap::new();
        while let Some(group) = self.buffers.drain()? {
            let key = group.file.clone();
            self.encode(group)?;
            if let Some(encoder) = self.encoders.remove(&key) {
                files.insert(key, encoder.finish()?);
            }
        }
        for (key, encoder) in std::mem::take(&mut self.encoders) {
            files.insert(key, encoder.finish()?);
        }
        let files: Vec<(FileKey, Staged)> = files.into_iter().collect();
        let mut rejects = Vec::new();
        for (table, written) in std::mem::take(&mut self.rejects) {
            rejects.push((table, written.finish()?));
        }
        let roll = self.roll;
        let counts = std::mem::take(&mut self.counts);
        self.roll = roll.next();
        self.spill.clear(spill::path(&self.staging, self.roll));
        self.routers.values_mut().for_each(Router::begin);
        self.since = None;
        self.source_bytes = 0;
        Ok(Some(Finished { roll, range, counts, files, rejects }))
    }

    fn encode(&mut self, group: RowGroup) -> anyhow::Result<()> {
        let encoder = match self.encoders.entry(group.file.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let table = &group.file.table;
                let layout = self.layouts.get(table).ok_or_else(|| unknown(table))?;
                self.staged += 1;
                let path = self.staging.join(format!("{}-{}.parquet", self.roll, self.staged));
                entry.insert(Encoder::create(&path, layout)?)
            }
        };
        let before = encoder.bytes();
        let mut batches = Vec::with_capacity(group.parked.len() + group.batches.len());
        for parked in group.parked {
            batches.push(self.spill.fetch(&parked, encoder.schema())?);
        }
        batches.extend(group.batches);
        encoder.row_group(&batches)?;
        self.encoded.0 += group.bytes as u64;
        self.encoded.1 += encoder.bytes() - before;
        Ok(())
    }

    fn reject(&mut self, table: &Arc<str>, rejects: &[Reject]) -> anyhow::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let written = match self.rejects.entry(Arc::clone(table)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.staged += 1;
                let path = self.staging.join(format!("{}-{}.ndjson", self.roll, self.staged));
                entry.insert(Rejects::create(path)?)
            }
        };
        written.write(rejects)
    }
}

fn unknown(table: &str) -> anyhow::Error {
    anyhow!("the journal holds bodies for table {table}, which no configuration has named")
}
