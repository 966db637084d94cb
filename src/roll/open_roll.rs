//! The open roll: rows and rejects from its first body until it is handed to the publisher.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::care::SetAside;
use super::data_files::DataFiles;
use super::decode_workers::{Part, TableRows};
use super::disk_space::{NoRoom, Room, free_bytes, room, staged_bytes};
use super::doubles::{Dedup, Doubles};
use super::manifest::Manifest;
use super::open_tables::OpenTables;
use super::options::Options;
use super::reject_samples::RejectSamples;
use super::spill::{self, Spill};
use crate::batch::{Buffers, Due, RollState};
use crate::decode::Counts;
use crate::fields::Tally;
use crate::record::{BodiesDigest, Micros, Roll, SeqRange};
use crate::status::RollEvent;
use crate::table::{TableId, Tables};

/// The open roll.
pub(crate) struct OpenRoll {
    node: Arc<str>,
    specs: Tables,
    tables: OpenTables,
    range: Option<SeqRange>,
    digest: BodiesDigest,
    since: Option<Micros>,
    counts: Counts,
    /// Counts of fields without a column.
    fields: BTreeMap<TableId, Tally>,
    doubles: Doubles,
    set_aside: SetAside,
    /// Rejects that the observers have not been told of.
    rejected: RejectSamples,
    source_bytes: u64,
    buffers: Buffers,
    spill: Spill,
    files: DataFiles,
    /// A part had a fault for the end of the roll.
    #[cfg(test)]
    is_faulty: bool,
}

impl OpenRoll {
    /// Opens the roll with the number `roll`, which has no bodies yet. Its staging files will be in
    /// `staging`.
    ///
    /// # Errors
    /// A table that this version cannot write.
    pub(crate) fn new(
        roll: Roll,
        tables: &Tables,
        options: &Options,
        node: &str,
        staging: &Path,
        dedup: Dedup,
    ) -> anyhow::Result<OpenRoll> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(options.decode_threads.get())
            .thread_name(|_| "encode".to_owned())
            .build()?;
        let threads = Arc::new(threads);
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(OpenRoll {
            node: node.into(),
            specs: tables.clone(),
            tables: OpenTables::new(tables, options, node, &threads)?,
            range: None,
            digest: BodiesDigest::default(),
            since: None,
            counts: Counts::default(),
            fields: BTreeMap::new(),
            doubles: Doubles::new(dedup, tables),
            set_aside: SetAside::new(),
            rejected: RejectSamples::default(),
            source_bytes: 0,
            buffers: Buffers::new(bytes(options.row_group_bytes), bytes(options.memory_bytes / 2)),
            spill: Spill::new(spill::path(staging, roll), options.memory_bytes / 4),
            files: DataFiles::new(roll, threads, bytes(options.memory_bytes), staging),
            #[cfg(test)]
            is_faulty: false,
        })
    }

    /// Returns the roll's number.
    pub(crate) fn roll(&self) -> Roll {
        self.files.roll()
    }

    /// Returns true when no bodies were added.
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_none()
    }

    /// Returns the rejects since the last call, as events.
    pub(crate) fn take_rejected(&mut self) -> Vec<RollEvent> {
        self.rejected.take(self.files.roll(), &self.specs)
    }

    /// Returns the bodies so far.
    pub(crate) fn range(&self) -> Option<SeqRange> {
        self.range
    }

    /// Returns the number of bodies that were set aside.
    pub(crate) fn set_aside(&self) -> usize {
        self.set_aside.len()
    }

    /// Adds bodies, which follow on those before. Their parts are pushed after.
    pub(crate) fn add_bodies(&mut self, range: SeqRange, source_bytes: u64, now: Micros) {
        let first = self.range.map_or(range.first, |r| r.first.min(range.first));
        self.range = Some(SeqRange { first, last: range.last });
        self.since.get_or_insert(now);
        self.source_bytes += source_bytes;
    }

    /// Adds the digest of bodies.
    pub(crate) fn add_digest(&mut self, digest: BodiesDigest) {
        self.digest += digest;
    }

    /// Takes in a decoded part. Encodes row groups that are full, and spills rows past the memory
    /// budget.
    ///
    /// # Errors
    /// A staging file cannot be written; the roll is of no use then.
    pub(crate) fn push(&mut self, part: Part) -> anyhow::Result<()> {
        #[cfg(test)]
        {
            self.is_faulty |= super::test_faults::pushed(&self.node, &part)?;
        }
        self.counts += part.counts;
        for (id, fields) in part.fields {
            self.fields.entry(id).or_default().add(fields);
        }
        self.set_aside.extend(part.set_aside);
        for (id, rejects) in part.rejects {
            let schema = self.specs.get(id).map(|spec| &*spec.schema);
            self.rejected.add(id, schema, &rejects);
            self.tables.get_mut(id)?.quarantine(&rejects, || self.files.path("ndjson"))?;
        }
        self.doubles.begin_part();
        for rows in part.rows {
            self.push_rows(rows)?;
        }
        self.relieve()?;
        for mut explosion in part.late {
            while let Some(derived) = explosion.next_batch()? {
                self.push_rows(derived.into())?;
                self.relieve()?;
            }
        }
        Ok(())
    }

    fn push_rows(&mut self, mut rows: TableRows) -> anyhow::Result<()> {
        self.counts.rows -= self.doubles.leave_out(self.files.roll(), &mut rows)?;
        let TableRows { table, batch, bodies, of, .. } = rows;
        debug_assert!(of.is_none_or(|of| of.len() == batch.num_rows()));
        let routed = self.tables.get_mut(table)?.router.route(&batch, &bodies)?;
        self.buffers.push(table, batch, routed)?;
        Ok(())
    }

    /// Encodes row groups that are full, and spills rows past the memory budget.
    fn relieve(&mut self) -> anyhow::Result<()> {
        while let Some(due) = self.buffers.due()? {
            match due {
                Due::Encode(group) => self.files.encode(&group, &self.tables, &self.spill)?,
                Due::Spill(chunks) => {
                    let receipts = self.spill.write(&chunks, self.files.threads())?;
                    for (chunk, receipt) in chunks.into_iter().zip(receipts) {
                        self.buffers.spilled(chunk, receipt);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the inputs of the roll decision.
    pub(crate) fn state(&self) -> RollState {
        let written = self.files.bytes(|file| self.buffers.bytes_of(file)).max();
        let waiting = self.files.estimate(self.buffers.largest_bytes());
        RollState {
            since: self.since,
            file_bytes: written.unwrap_or(0).max(waiting),
            rows: self.counts.rows,
            source_bytes: self.source_bytes,
        }
    }

    /// Returns true when the roll has as many rows as may be compared with later ones, or left out.
    pub(crate) fn has_most_doubles(&self) -> bool {
        self.doubles.is_full(self.roll())
    }

    /// Returns the number of data files that the roll has so far.
    pub(crate) fn partitions(&self) -> usize {
        self.buffers.files().filter(|file| !self.files.has(file)).count() + self.files.count()
    }

    /// Returns the bytes of memory that the footers of the files take until they are written: with
    /// many partitions and small row groups more than the rows.
    pub(crate) fn footer_bytes(&self) -> usize {
        self.files.footer_bytes()
    }

    /// Returns true when more than `most` bytes are spilled, or so many that the disk may soon be
    /// full, or a file's rows in so many extents that they cannot be read in one go.
    pub(crate) fn spilled_too_much(&self, most: u64) -> bool {
        let spilled = self.spill.bytes();
        // A system that does not say how much is free still fails writes to a full disk.
        let free = || free_bytes(self.files.staging()).unwrap_or(u64::MAX);
        spilled > most
            || self.buffers.most_extents() + 2 > self.spill.most_extents()
            || (spilled > 0 && spilled > free() / 3)
    }

    /// Returns what the free space of the staging directory's disk allows, of which `reserve` bytes are to
    /// stay free.
    ///
    /// # Errors
    /// There is no room, and nothing of this roll to be had back.
    pub(crate) fn room(&self, reserve: u64) -> Result<Room, NoRoom> {
        if reserve == 0 {
            return Ok(Room::Enough);
        }
        let staging = self.files.staging();
        // A system that does not say how much is free still fails writes to a full disk.
        let free = free_bytes(staging).unwrap_or(u64::MAX);
        if free >= reserve {
            return Ok(Room::Enough);
        }
        room(free, reserve, staged_bytes(self.roll(), staging))
    }

    /// Returns the bytes of rows in memory.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffers.bytes()
    }

    /// Finishes the roll and opens the next. Returns `None`, and leaves the roll open, when it has no
    /// bodies.
    ///
    /// # Errors
    /// A staging file cannot be written; the roll is of no use then.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Option<Manifest>> {
        let Some(range) = self.range.take() else { return Ok(None) };
        #[cfg(test)]
        if std::mem::take(&mut self.is_faulty) {
            super::test_faults::finished(&self.node)?;
        }
        let digest = std::mem::take(&mut self.digest);
        let files = self.files.finish(&mut self.buffers, &self.tables, &self.spill, digest)?;
        let counts = std::mem::take(&mut self.counts);
        let roll = self.files.begin_next();
        let mut manifest = Manifest::new(Arc::clone(&self.node), roll, range, counts, &self.specs);
        manifest.bodies = Some(digest);
        manifest.set_aside = std::mem::take(&mut self.set_aside);
        let (left_out, doubled) = self.doubles.finish();
        manifest.left_out = left_out;
        for (table, rows) in doubled {
            manifest.add_doubled(table, rows);
        }
        for (key, encoded) in files {
            let router = &self.tables.get_mut(key.table)?.router;
            let values = router
                .values(&key.partition)
                .with_context(|| format!("partition {} is none of the roll's", key.partition))?;
            let overflow = router.overflows(&key.partition);
            manifest.add_file(key.table, key.partition, values, overflow, encoded);
        }
        for (table, mut fields) in std::mem::take(&mut self.fields) {
            manifest.add_fields(table, fields.take());
        }
        for (table, staged) in self.tables.finish()? {
            manifest.add_quarantine(table, staged);
        }
        self.spill.clear(spill::path(self.files.staging(), self.files.roll()));
        self.since = None;
        self.source_bytes = 0;
        Ok(Some(manifest))
    }
}
