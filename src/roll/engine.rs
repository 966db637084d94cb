//! The engine: threads that turn bodies in sequence order into published rolls.
//!
//! ```text
//!  source ─▶ dispatcher ─jobs─▶ decode workers ─parts─▶ batcher ─▶ open roll ─Manifest─▶ publisher
//!                └───────────── slots in order ────────────┘
//! ```
//! The dispatcher sends every job to whichever worker is free, and its slot in the order to the
//! batcher, which takes the parts of one job after the other. Every arrow is bounded: jobs by
//! number and by bytes, the parts of a job by one that waits, the publisher by one roll. While the
//! store is away everything stands still, and bodies that are acknowledged meanwhile wait in the
//! journal.
//!
//! Rolls open and finish in [`Batcher`] alone, which tells the observers.

use std::cell::Cell;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::care::{
    BodyFailure, Care, MOST_SET_ASIDE, RollFailure, SourceFailure, UnknownTable, Work,
};
use super::decode_workers::{DecodeWorker, Job, Output, PART_BYTES};
use super::disk_space::{NoRoom, Room};
use super::dispatcher::{Dispatched, Dispatcher, Slot, TICK};
use super::doubles::Dedup;
use super::entry_allowance::EntryAllowance;
use super::manifest::Manifest;
use super::open_roll::OpenRoll;
use super::options::Options;
use super::source::Source;
use crate::batch::{RollLimits, RollReason, decide};
use crate::clock::Clock;
use crate::derive::FlatTables;
use crate::metrics::ROLL_DURATION;
use crate::privacy::{self, Applied};
use crate::record::{Roll, SeqRange};
use crate::status::{Observers, RollControl, RollEvent};
use crate::table::Tables;

/// The rolls to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Makes one roll, which is sealed already, of all bodies of the source.
    Redo(Roll, SeqRange),
    /// Makes rolls from this number on, by the limits, until the source ends.
    Live(Roll),
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The source has ended, and all of it is published.
    Source,
    /// A roll was the last by [`Engine::is_last`]: it is published, and bodies after it were given up.
    Boundary,
}

/// Makes rolls of the bodies of a source.
pub(crate) struct Engine<'a> {
    pub(crate) options: &'a Options,
    /// Name of the node, for `_ingest_id` and the footers.
    pub(crate) node: Arc<str>,
    /// Limits at which a roll ends.
    pub(crate) limits: RollLimits,
    /// All tables that bodies may be for.
    pub(crate) tables: &'a Tables,
    /// Secret of the privacy rules; needed when a table has any.
    pub(crate) privacy_key: Option<&'a privacy::Key>,
    /// Staging directory. It is emptied when the engine starts.
    pub(crate) staging: &'a Path,
    pub(crate) clock: Arc<dyn Clock>,
    /// Observers that are notified of every step of the rolls.
    pub(crate) observers: &'a Observers,
    /// The way in which it is decided what rolls leave out.
    pub(crate) dedup: Dedup,
    /// Limits that change while it runs.
    pub(crate) control: &'a RollControl,
    /// The care taken with bodies of which no roll can be made.
    pub(crate) care: &'a Care<'a>,
    /// Tells of each roll, once it is finished, whether the run is to end after it: bodies that were
    /// decoded ahead are given up then, and are still with the source.
    pub(crate) is_last: Option<&'a IsLast<'a>>,
}

/// See [`Engine::is_last`].
pub(crate) type IsLast<'a> = dyn Fn(&Manifest) -> bool + Sync + 'a;

/// Spilled bytes at which a roll ends, for some megabytes of each of a thousand partitions. It ends
/// earlier when they are a third of the free disk space.
const MAX_SPILLED_BYTES: u64 = 4 << 30;
/// Times that room on the disk is waited for, a tick each.
const MOST_WAITS: u32 = 100;
/// A limit of fewer rows than this makes every body a job of its own.
const SMALL_ROLL_ROWS: u64 = 100_000;

/// Sets a flag when its thread ends, also by a panic.
struct EndFlag<'a>(&'a AtomicBool);

impl Drop for EndFlag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes a finished roll. Returns once its staging files are no longer needed.
pub(crate) type Publish<'a> = dyn FnMut(Manifest) -> anyhow::Result<()> + Send + 'a;

impl Engine<'_> {
    /// Runs until the source ends or a roll is the last, and every roll is published.
    ///
    /// # Errors
    /// The source or `publish` fails, or, as a [`RollFailure`], a roll cannot be made. What was not
    /// published is still with the source.
    ///
    /// # Panics
    /// One of its threads does, other than those that make rolls; the same holds.
    pub(crate) fn run(
        &self,
        source: &mut dyn Source,
        mode: Mode,
        publish: &mut Publish<'_>,
    ) -> anyhow::Result<Ended> {
        // Staging files of an earlier attempt are of no use.
        let staging = || format!("staging directory {}", self.staging.display());
        if self.staging.exists() {
            std::fs::remove_dir_all(self.staging).with_context(staging)?;
        }
        // Its files are put into the lake, so their modes are those that files of a lake have.
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true).mode(0o700).create(self.staging).with_context(staging)?;

        let privacy = &Applied::by_table(self.tables, self.privacy_key)?;
        let workers = self.options.decode_threads.get();
        let flat = &FlatTables::new(self.tables)?;
        let (jobs, jobs_out) = bounded::<Job>(workers);
        let (slots, slots_out) = bounded::<anyhow::Result<Dispatched>>(workers);
        // Never more in it than slots.
        let (freed, freed_out) = unbounded();
        let (rolls, rolls_out) = bounded::<Manifest>(1);
        let (published_in, published) = unbounded();

        let allowance = &EntryAllowance::new(Arc::clone(&self.clock));
        let (abandoned, publisher_ended) = (&AtomicBool::new(false), &AtomicBool::new(false));
        let dispatcher = Dispatcher {
            jobs,
            slots: slots.clone(),
            freed: freed_out,
            in_flight_bytes: 0,
            max_in_flight_bytes: usize::try_from(self.options.memory_bytes / 4)
                .unwrap_or(usize::MAX),
            // A roll ends where a job ends: with a low limit on rows, every body is a job of its own.
            job_bytes: if self.limits.rows < SMALL_ROLL_ROWS { 1 } else { PART_BYTES },
            abandoned,
            care: self.care,
        };
        let fingerprints = &*self.dedup.fingerprints(self.tables);
        let worker = DecodeWorker {
            tables: self.tables,
            privacy,
            flat,
            node: &self.node,
            allowance,
            care: self.care,
            fingerprints,
            decides: self.care.decides && matches!(mode, Mode::Live(_)),
        };
        std::thread::scope(|scope| {
            let _ended = EndFlag(abandoned);
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
            thread("dispatch").spawn_scoped(scope, move || {
                let _ = slots.send(dispatcher.run(source).map(|()| Dispatched::End));
            })?;
            for _ in 0..workers {
                let jobs = jobs_out.clone();
                thread("decode").spawn_scoped(scope, move || worker.run(&jobs))?;
            }
            drop(jobs_out);
            let publisher = thread("publish").spawn_scoped(scope, move || {
                let _ended = EndFlag(publisher_ended);
                rolls_out.iter().try_for_each(|manifest| {
                    publish(manifest)?;
                    let _ = published_in.send(());
                    Ok(())
                })
            })?;
            let (slots, freed_in) = (&slots_out, &freed);
            let (unpublished, is_over) = (Cell::new(0), Cell::new(false));
            let batcher = Batcher {
                engine: self,
                mode,
                slots,
                freed: freed_in,
                published: &published,
                unpublished,
                is_over,
                publisher_ended,
            };
            let batched = batcher.batch(rolls);
            drop((slots_out, freed));
            let published =
                publisher.join().unwrap_or_else(|_| Err(anyhow!("the publisher panicked")));
            // The publisher's error is the cause when both failed.
            published.and(batched)
        })
    }
}

/// Fills the open roll with job after job, and finishes it when a limit is reached.
struct Batcher<'a> {
    engine: &'a Engine<'a>,
    mode: Mode,
    slots: &'a Receiver<anyhow::Result<Dispatched>>,
    freed: &'a Sender<usize>,
    /// Has an item for each roll that is published.
    published: &'a Receiver<()>,
    /// Rolls that were sent to the publisher, less those items that were taken.
    unpublished: Cell<u64>,
    /// A roll was the last.
    is_over: Cell<bool>,
    publisher_ended: &'a AtomicBool,
}

impl Batcher<'_> {
    fn batch(&self, rolls: Sender<Manifest>) -> anyhow::Result<Ended> {
        let Engine { tables, options, staging, node, dedup, .. } = self.engine;
        let (Mode::Redo(first, _) | Mode::Live(first)) = self.mode;
        let mut open = OpenRoll::new(first, tables, options, node, staging, dedup.clone())?;
        let batched = self.fill(&mut open, &rolls);
        if batched.is_err() {
            // Now and not by the next engine: the publisher may wait for the disk space.
            remove_files_of(open.roll(), staging);
        }
        batched
    }

    fn fill(&self, open: &mut OpenRoll, rolls: &Sender<Manifest>) -> anyhow::Result<Ended> {
        let engine = self.engine;
        loop {
            self.wait_for_room(open)?;
            let (mut lines, mut taken) = (0, 0);
            match self.slots.recv_timeout(TICK) {
                Ok(item) => match item? {
                    Dispatched::Job(Slot { range, bytes, output }) => {
                        let full = |open| engine.care.is_full(open, Some(range));
                        if self.is_live() && open.range().is_some_and(full) {
                            self.end_roll(open, rolls, RollReason::Apart)?;
                        }
                        self.begin(open, range, bytes as u64);
                        lines = self.make(open, Some(range), |open| take(open, &output))?;
                        taken = bytes;
                        match engine.care.record_at(range.first) {
                            Some(record) => record.ends(),
                            None => {
                                let _ = self.freed.send(std::mem::take(&mut taken));
                            }
                        }
                    }
                    Dispatched::End => break,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the dispatcher panicked"),
            }
            if self.publisher_ended.load(Ordering::Relaxed) {
                bail!(PUBLISHER_STOPPED);
            }
            open.take_rejected().iter().for_each(|event| engine.observers.emit(event));
            engine.observers.emit(&RollEvent::Filling {
                roll: open.roll(),
                lines,
                buffered_bytes: open.buffered_bytes() as u64,
                open_partitions: open.partitions(),
            });
            self.roll_if_due(open, rolls)?;
            if self.is_over.get() && open.is_empty() {
                return Ok(Ended::Boundary);
            }
            if taken > 0 {
                // The next suspects begin when nothing else is under way.
                let _ = self.freed.send(taken);
            }
        }
        if let Mode::Redo(_, range) = self.mode {
            // The roll has the range that was sealed, even if bodies of it were lost since.
            self.begin(open, range, 0);
        }
        self.end_roll(open, rolls, RollReason::End)?;
        Ok(Ended::Source)
    }

    fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    /// Does a step of the open roll. `at` are the bodies that it takes in.
    ///
    /// # Errors
    /// A [`RollFailure`], if the step fails or panics; a body whose table is unknown or that cannot be
    /// read.
    fn make<T>(
        &self,
        open: &mut OpenRoll,
        at: Option<SeqRange>,
        step: impl FnOnce(&mut OpenRoll) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (range, source_bytes) = (open.range(), open.state().source_bytes);
        let made = catch_unwind(AssertUnwindSafe(|| step(open)))
            .unwrap_or_else(|_| Err(anyhow!("a step of the roll panicked")));
        let (Some(cause), Some(range)) = (made.as_ref().err(), range) else { return made };
        if cause.is::<UnknownTable>() || cause.is::<SourceFailure>() {
            return made;
        }
        let body = cause.downcast_ref::<BodyFailure>().map(|failure| failure.seq);
        let (at, is_of_decoder) = match body {
            Some(seq) => (Some(SeqRange { first: seq, last: seq }), true),
            None => (at, false),
        };
        let is_sealed = !self.is_live();
        made.map_err(|cause| {
            RollFailure { range, at, is_of_decoder, is_sealed, source_bytes, cause }.into()
        })
    }

    /// Finishes the open roll, unless it is empty, and sends it to the publisher.
    fn end_roll(
        &self,
        open: &mut OpenRoll,
        rolls: &Sender<Manifest>,
        reason: RollReason,
    ) -> anyhow::Result<()> {
        let Some(range) = open.range() else { return Ok(()) };
        let record = self.engine.care.record_at(range.first);
        if let Some(record) = record {
            record.begins(Work::Finish(range));
        }
        let began = Instant::now();
        let manifest = self.make(open, None, OpenRoll::finish)?;
        let took = began.elapsed();
        metrics::histogram!(ROLL_DURATION, "stage" => "encode").record(took);
        if let Some(record) = record {
            record.ends();
        }
        if let Some(manifest) = manifest {
            let roll = manifest.roll;
            self.engine.observers.emit(&RollEvent::Stage { roll, stage: "encode", took });
            self.send(rolls, manifest, reason)?;
        }
        if record.is_some() {
            // Otherwise the bodies before the next ones might be suspects still when these are tried,
            // and the process could die of these over and over.
            self.await_publisher();
        }
        Ok(())
    }

    /// Waits until every roll is published, or the publisher has ended.
    fn await_publisher(&self) {
        while self.unpublished.get() > 0 && self.published.recv().is_ok() {
            self.unpublished.update(|rolls| rolls.saturating_sub(1));
        }
    }

    fn room(&self, open: &OpenRoll) -> Result<Room, NoRoom> {
        open.room(self.engine.options.disk_reserve_bytes)
    }

    /// Waits until a roll may begin, while earlier ones that are published give their room back.
    ///
    /// # Errors
    /// There is none after a while.
    fn wait_for_room(&self, open: &OpenRoll) -> anyhow::Result<()> {
        for _ in 0..MOST_WAITS {
            if self.room(open).is_ok() || self.publisher_ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
        self.room(open)?;
        Ok(())
    }

    /// Adds bodies to the open roll. The first ones open it.
    fn begin(&self, open: &mut OpenRoll, range: SeqRange, source_bytes: u64) {
        let first = open.is_empty();
        open.add_bodies(range, source_bytes, self.engine.clock.now());
        if first {
            self.engine.observers.emit(&RollEvent::Opened { roll: open.roll() });
        }
    }

    /// Sends a finished roll to the publisher.
    fn send(
        &self,
        rolls: &Sender<Manifest>,
        manifest: Manifest,
        reason: RollReason,
    ) -> anyhow::Result<()> {
        self.engine.observers.emit(&RollEvent::Finished {
            roll: manifest.roll,
            range: manifest.range,
            reason: reason.as_str(),
            lines: manifest.counts.lines,
            rows: manifest.counts.rows,
            rejects: manifest.counts.rejects,
            files: manifest.file_count(),
            bytes: manifest.file_bytes(),
        });
        // Work on suspects that was begun is ended in order.
        let is_suspected = self.engine.care.suspects_at(manifest.range.last.next()).is_some();
        let is_last = self.engine.is_last.is_some_and(|is_last| is_last(&manifest));
        self.is_over.set(is_last && self.is_live() && !is_suspected);
        let before = self.published.try_iter().count() as u64;
        self.unpublished.update(|rolls| (rolls + 1).saturating_sub(before));
        rolls.send(manifest).map_err(|_| anyhow!(PUBLISHER_STOPPED))
    }

    /// Finishes the roll if a limit is reached.
    fn roll_if_due(&self, open: &mut OpenRoll, rolls: &Sender<Manifest>) -> anyhow::Result<()> {
        let engine = self.engine;
        if !self.is_live() {
            return Ok(());
        }
        let crowded = open.footer_bytes() as u64 > engine.options.memory_bytes / 5 * 2;
        let source_bytes = engine.limits.source_bytes.min(engine.control.source_bytes());
        let limits = RollLimits { source_bytes, ..engine.limits };
        let is_asked = open.range().is_some_and(|range| engine.control.is_asked(range));
        let due = decide(&limits, &open.state(), engine.clock.now())
            .or(crowded.then_some(RollReason::Footers))
            .or(open.spilled_too_much(MAX_SPILLED_BYTES).then_some(RollReason::Spilled))
            .or(self.room(open).is_ok_and(|room| room == Room::Scarce).then_some(RollReason::Disk))
            .or(open.has_most_doubles().then_some(RollReason::Doubles))
            .or(self.is_cut_short(open).then_some(RollReason::Apart))
            .or(is_asked.then_some(RollReason::Asked));
        due.map_or(Ok(()), |reason| self.end_roll(open, rolls, reason))
    }

    /// Returns true when the roll ends early for the sake of bodies of which none can be made.
    fn is_cut_short(&self, open: &OpenRoll) -> bool {
        let full = open.range().is_some_and(|range| self.engine.care.is_full(range, None));
        full || open.set_aside() >= MOST_SET_ASIDE
    }
}

/// The error when the publisher has ended early. Its own is the cause.
const PUBLISHER_STOPPED: &str = "the publisher stopped";

/// Deletes the staging files of a roll that is given up. The next engine deletes those that cannot be
/// deleted now.
fn remove_files_of(roll: Roll, staging: &Path) {
    let prefix = format!("{roll}-");
    for entry in std::fs::read_dir(staging).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Pushes all parts of a job into the open roll. Returns their lines.
fn take(open: &mut OpenRoll, output: &Receiver<anyhow::Result<Output>>) -> anyhow::Result<u64> {
    let mut lines = 0;
    for item in output {
        match item? {
            Output::Part(part) => {
                lines += part.counts.lines;
                open.push(part)?;
            }
            Output::End(bodies) => {
                open.add_digest(bodies);
                return Ok(lines);
            }
        }
    }
    Err(anyhow!("a decoder stopped before it was done"))
}
