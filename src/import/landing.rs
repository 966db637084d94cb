//! The landing of an import: its chunks through the engine, from where it has got to.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::chunk_source::{ChunkSource, Origin};
use super::extent::Progress;
use super::files::{ChunkOptions, Failure, Files, Part};
use super::manifest::{ImportManifest, Manifests};
use super::options::Input;
use super::planned::Lines;
use super::report::Report;
use super::seals::LakeRollLog;
use super::staging::Staging;
use crate::clock::{Clock, SystemClock};
use crate::dedup::{Index, IndexOptions};
use crate::privacy;
use crate::publish::pauses::Pauses;
use crate::publish::publisher::Publisher;
use crate::record::{Micros, Seq};
use crate::roll::care::Care;
use crate::roll::doubles::Dedup;
use crate::roll::engine::{Engine, Mode};
use crate::roll::{self, RollLimits};
use crate::status::{LogObserver, Observer, Observers, Readiness, RollControl};
use crate::table::Tables;

/// Most rows of an import that are remembered for `dedup`.
const MOST_ROWS: u64 = 50_000_000;

/// The parts that an import lands with.
pub(super) struct Landing<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) options: &'a roll::Options,
    pub(super) key: Option<&'a privacy::Key>,
    pub(super) pauses: Pauses,
    pub(super) node: &'a str,
    pub(super) tables: &'a Tables,
    pub(super) staging: &'a Staging,
    pub(super) report: &'a Report,
}

/// The outcome of an attempt to land an import.
pub(super) struct Landed {
    /// First chunk of each file.
    pub(super) first_chunks: Vec<Option<u64>>,
    /// Files that were passed over.
    pub(super) failures: Vec<Failure>,
    /// All files are in.
    pub(super) complete: bool,
}

impl Landing<'_> {
    /// Lands what has no receipt yet: a roll that was sealed as it was sealed, then the rest.
    pub(super) fn land(
        &self,
        manifest: &ImportManifest,
        lines: Lines,
        stream: Option<Files>,
        progress: &mut Progress,
    ) -> anyhow::Result<Landed> {
        let table = self.tables.of_documents().next().ok_or_else(|| anyhow!("no table"))?;
        let options = ChunkOptions {
            table: Arc::clone(&table.name),
            received_at: Micros(manifest.started_at_us),
            chunk_bytes: manifest.chunk_bytes,
            rule: manifest.chunk_rule(),
        };
        let part = |(file, input): (usize, Option<Input>)| {
            let of = manifest.files.get(file)?;
            let (content, bytes) = (of.content.clone(), of.bytes);
            Some(Part { file, input: input?, content, bytes, skip: 0, chunks: None })
        };
        let origin = match (lines, stream) {
            (_, Some(files)) => Origin::Files(Box::new(files)),
            (Lines::Files(inputs), None) if manifest.has_extents() => {
                return self.land_files(manifest, &inputs, &options, progress);
            }
            (Lines::Files(inputs), None) => {
                let parts = inputs.into_iter().enumerate().filter_map(part).collect();
                Origin::Files(Box::new(Files::new(parts, true, self.report.bar())))
            }
            (Lines::Quarantine(lines), None) => Origin::Lines(lines.into_iter()),
        };
        let dedup = match &origin {
            Origin::Files(_) => self.dedup()?,
            // Each line of the quarantine lands.
            Origin::Lines(_) => Dedup::Off,
        };
        self.land_in_order(origin, options, dedup, progress)
    }

    /// Returns what decides on doubles among the rolls that this process lands, if the table leaves them
    /// out. What an earlier one has landed of the import is not known to it.
    fn dedup(&self) -> anyhow::Result<Dedup> {
        let windows = self.tables.specs().iter().filter_map(|spec| spec.dedup_window_ms);
        let Some(window_ms) = windows.max() else { return Ok(Dedup::Off) };
        let options = IndexOptions {
            window_us: i64::try_from(window_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            max_rows: MOST_ROWS,
            memory_bytes: self.options.memory_bytes,
        };
        let index = Index::open(self.staging.private(), self.node, options)?;
        index.begin(Seq::FIRST)?;
        Ok(Dedup::Decide(Arc::new(index)))
    }

    /// Lands chunks whose numbers follow from the order of the files alone.
    fn land_in_order(
        &self,
        origin: Origin,
        options: ChunkOptions,
        dedup: Dedup,
        progress: &mut Progress,
    ) -> anyhow::Result<Landed> {
        let mut source = ChunkSource::new(origin, options, Seq::FIRST);
        source.from = progress.next;
        let mut roll = progress.next_roll;
        if let Some(sealed) = progress.sealed.take() {
            let range = sealed.range;
            (source.from, source.last) = (range.first, Some(range.last));
            let dedup = Dedup::Sealed(sealed.left_out);
            self.engine(&mut source, Mode::Redo(roll, range), false, dedup)?;
            source.last = None;
            roll = roll.next();
        }
        self.engine(&mut source, Mode::Live(roll), false, dedup)?;
        let first_chunks = source.first_chunks().iter().copied().map(Some).collect();
        Ok(Landed { first_chunks, failures: Vec::new(), complete: true })
    }

    /// Lands what is left of each file that is there. A file that fails is passed over.
    fn land_files(
        &self,
        manifest: &ImportManifest,
        inputs: &[Option<Input>],
        options: &ChunkOptions,
        progress: &mut Progress,
    ) -> anyhow::Result<Landed> {
        let part = |file: usize, skip, chunks| {
            let input = inputs.get(file).cloned().flatten()?;
            let of = manifest.files.get(file)?;
            let (content, bytes) = (of.content.clone(), of.bytes);
            Some(Part { file, input, content, bytes, skip, chunks })
        };
        let bar = || self.report.bar();
        if let Some(sealed) = progress.sealed.take() {
            let extents = sealed.extents.iter();
            let parts = extents.map(|e| part(e.file, e.skip, Some((e.chunks, e.ends)))).collect();
            let parts: Option<_> = parts;
            let roll = progress.next_roll;
            let parts = parts.with_context(|| format!("a file of roll {roll} is not there"))?;
            let files = Origin::Files(Box::new(Files::new(parts, true, bar())));
            let mut source = ChunkSource::new(files, options.clone(), sealed.range.first);
            source.last = Some(sealed.range.last);
            let dedup = Dedup::Sealed(sealed.left_out.clone());
            self.engine(&mut source, Mode::Redo(roll, sealed.range), true, dedup)?;
            progress.landed(&sealed);
        }
        let files = progress.files.iter().enumerate().filter(|(_, file)| !file.ended);
        let parts = files.filter_map(|(at, file)| part(at, file.chunks, None)).collect();
        let files = Origin::Files(Box::new(Files::new(parts, false, bar())));
        let mut source = ChunkSource::new(files, options.clone(), progress.next);
        self.engine(&mut source, Mode::Live(progress.next_roll), true, self.dedup()?)?;
        progress.landed_all(source.handed_out());
        for file in source.ended() {
            progress.ended(*file);
        }
        let firsts = progress.files.iter().map(|file| Some(file.ranges.first()?.0));
        Ok(Landed {
            first_chunks: firsts.collect(),
            failures: source.failures(),
            complete: progress.files.iter().all(|file| file.ended),
        })
    }

    /// Makes and publishes rolls of `source` until it ends.
    fn engine(
        &self,
        source: &mut ChunkSource,
        mode: Mode,
        name_files: bool,
        dedup: Dedup,
    ) -> anyhow::Result<()> {
        let Landing { manifests, options, node, tables, staging, report, .. } = *self;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let observers: Vec<Arc<dyn Observer>> =
            vec![Arc::new(LogObserver::quiet()), report.lines()];
        let observers = Observers::new(Arc::clone(&clock), observers);
        let limits = RollLimits {
            age_us: i64::MAX,
            file_bytes: options.roll_bytes,
            rows: options.roll_rows.unwrap_or(u64::MAX),
            source_bytes: u64::MAX,
        };
        let index = match &dedup {
            Dedup::Decide(index) => Some(Arc::clone(index)),
            Dedup::Off | Dedup::Sealed(_) => None,
        };
        let engine = Engine {
            options,
            node: node.into(),
            limits,
            tables,
            privacy_key: self.key,
            staging: &staging.files,
            clock,
            observers: &observers,
            dedup,
            control: &RollControl::default(),
            // Its seals name no bodies, and somebody sees the error.
            care: &Care::default(),
            is_last: None,
        };
        let publisher = Publisher::new(
            manifests.lake.clone(),
            node.into(),
            tables,
            manifests.runtime.clone(),
            Arc::new(Readiness::new()),
            observers.clone(),
        )
        .with_pauses(self.pauses)
        .with_dedup(index);
        let extents = name_files.then(|| source.extents.clone());
        let mut log = LakeRollLog { manifests, node, extents };
        let again = matches!(mode, Mode::Redo(..));
        engine.run(source, mode, &mut |manifest| {
            publisher.publish(&mut log, manifest, again).map(drop)
        })?;
        Ok(())
    }
}
