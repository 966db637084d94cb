//! From bodies in sequence order to landed rolls.
//!
//! ```text
//!  source ─▶ feeder ─jobs─▶ decoders ─parts─▶ batch ─▶ open roll ─Finished─▶ lander
//!               └──────── jobs in order ─────────┘
//! ```
//! The feeder hands every job to whichever decoder is free, and its place in the order to the
//! batcher, which takes the parts of one job after the other. Every arrow is bounded: jobs by
//! number and by bytes, the parts of a job by one that waits, the lander by one roll. While the
//! store is away everything stands still, and what is acknowledged meanwhile waits in the journal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::decoding::{Job, PART_BYTES, Part, decode};
use super::land::{Lander, RollLog};
use super::open_roll::{Finished, OpenRoll};
use super::tables::Tables;
use crate::batch::{Limits, Reason, decide};
use crate::clock::Clock;
use crate::config;
use crate::journal::Next;
use crate::metrics as names;
use crate::record::{Body, Roll, SeqRange};

/// Bodies in sequence order.
pub(super) trait Source: Send {
    fn next(&mut self, timeout: Duration) -> anyhow::Result<Next>;
}

/// Which rolls to make.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// One roll that is sealed already, of everything the source has.
    Again(Roll, SeqRange),
    /// Rolls from this number on, by the limits, until the source ends.
    Live(Roll),
}

/// What an engine needs.
pub(super) struct Setup<'a> {
    pub(super) landing: &'a config::Landing,
    pub(super) limits: Limits,
    pub(super) tables: &'a Tables,
    pub(super) staging: &'a Path,
    /// Counts the lines that were taken up, for whoever watches.
    pub(super) taken: &'a AtomicU64,
    pub(super) clock: Arc<dyn Clock>,
}

/// Rolls below this many rows are cut at single bodies.
const SMALL_ROLL_ROWS: u64 = 100_000;
/// A roll ends when it has this many bytes waiting on disk: room for some megabytes of each of a
/// thousand partitions.
const PARKED_BYTES: u64 = 4 << 30;
/// How long a body may wait for others to be decoded with.
const GATHER: Duration = Duration::from_millis(20);
/// How often the age of the open roll is looked at.
const TICK: Duration = Duration::from_millis(100);

/// A job's place in the order.
struct Place {
    range: SeqRange,
    bytes: usize,
    parts: Receiver<anyhow::Result<Part>>,
}

/// Tells the feeder that nobody wants more, also when the batcher panics.
struct Abandon<'a>(&'a AtomicBool);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs until the source ends and everything it had has landed.
///
/// # Errors
/// Whatever stops it: the source, a staging file, the roll log. What has not landed is still with
/// the source.
///
/// # Panics
/// When one of its threads does; the same holds.
pub(super) fn run(
    setup: &Setup<'_>,
    lander: &Lander<'_>,
    source: &mut dyn Source,
    log: &mut dyn RollLog,
    mode: Mode,
) -> anyhow::Result<()> {
    // What an earlier attempt left is of no use.
    let staging = || format!("staging directory {}", setup.staging.display());
    if setup.staging.exists() {
        std::fs::remove_dir_all(setup.staging).with_context(staging)?;
    }
    std::fs::create_dir_all(setup.staging).with_context(staging)?;

    let workers = setup.landing.decode_threads.get();
    let (jobs, jobs_out) = bounded::<Job>(workers);
    let (places, places_out) = bounded::<anyhow::Result<Place>>(workers);
    // Never more in it than places.
    let (freed, freed_out) = unbounded();
    let (rolls, rolls_out) = bounded::<Finished>(1);

    let abandoned = &AtomicBool::new(false);
    let feeder = Feeder {
        jobs,
        places: places.clone(),
        freed: freed_out,
        in_flight_bytes: 0,
        in_flight_max: usize::try_from(setup.landing.memory_bytes / 4).unwrap_or(usize::MAX),
        // A roll ends where a job ends: with a low limit on rows, every body is a job of its own.
        job_bytes: if setup.limits.rows < SMALL_ROLL_ROWS { 1 } else { PART_BYTES },
        abandoned,
    };
    std::thread::scope(|scope| {
        let _abandon = Abandon(abandoned);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("feed").spawn_scoped(scope, move || {
            if let Err(error) = feeder.feed(source) {
                let _ = places.send(Err(error));
            }
        })?;
        for _ in 0..workers {
            let jobs = jobs_out.clone();
            thread("decode")
                .spawn_scoped(scope, move || decode(setup.tables, &lander.node, &jobs))?;
        }
        drop(jobs_out);
        let landing = thread("land").spawn_scoped(scope, move || -> anyhow::Result<()> {
            for finished in rolls_out {
                lander.land(log, &finished, matches!(mode, Mode::Again(..)))?;
            }
            Ok(())
        })?;
        let batched = batch(setup, lander, mode, &places_out, &freed, rolls);
        drop((places_out, freed));
        let landed = landing.join().unwrap_or_else(|_| Err(anyhow!("the lander panicked")));
        // The lander's error is the cause when both failed.
        landed.and(batched)
    })
}

/// Cuts the source into jobs.
struct Feeder<'a> {
    jobs: Sender<Job>,
    places: Sender<anyhow::Result<Place>>,
    freed: Receiver<usize>,
    in_flight_bytes: usize,
    in_flight_max: usize,
    job_bytes: usize,
    abandoned: &'a AtomicBool,
}

impl Feeder<'_> {
    fn feed(mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        let mut ended = false;
        while !ended && !self.abandoned.load(Ordering::Relaxed) {
            let mut bodies = Vec::new();
            let mut bytes = 0;
            while bytes < self.job_bytes {
                let wait = if bodies.is_empty() { TICK } else { GATHER };
                match source.next(wait)? {
                    Next::Body(body) => {
                        bytes += body.bytes.len();
                        bodies.push(body);
                    }
                    Next::Waited => break,
                    Next::Closed => {
                        ended = true;
                        break;
                    }
                }
            }
            if !self.send(bodies, bytes) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until there is room for the job. False: nobody wants it.
    fn send(&mut self, bodies: Vec<Body>, bytes: usize) -> bool {
        let (Some(first), Some(last)) = (bodies.first(), bodies.last()) else { return true };
        let range = SeqRange { first: first.seq, last: last.seq };
        while self.in_flight_bytes > 0 && self.in_flight_bytes + bytes > self.in_flight_max {
            let Ok(freed) = self.freed.recv() else { return false };
            self.in_flight_bytes -= freed;
        }
        self.in_flight_bytes += bytes;
        self.in_flight_bytes -= self.freed.try_iter().sum::<usize>();
        let (parts, parts_out) = bounded(1);
        self.places.send(Ok(Place { range, bytes, parts: parts_out })).is_ok()
            && self.jobs.send(Job { bodies, parts }).is_ok()
    }
}

/// Fills the open roll with job after job, and decides when it is over.
fn batch(
    setup: &Setup<'_>,
    lander: &Lander<'_>,
    mode: Mode,
    places: &Receiver<anyhow::Result<Place>>,
    freed: &Sender<usize>,
    rolls: Sender<Finished>,
) -> anyhow::Result<()> {
    let (Mode::Again(first, _) | Mode::Live(first)) = mode;
    let mut open = OpenRoll::new(first, setup.tables, setup.landing, &lander.node, setup.staging)?;
    loop {
        match places.recv_timeout(TICK) {
            Ok(place) => {
                let Place { range, bytes, parts } = place?;
                open.begin(range, bytes as u64, setup.clock.now());
                take(&mut open, &parts, setup.taken)?;
                let _ = freed.send(bytes);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        metrics::gauge!(names::BUFFERED_BYTES).set(open.buffered_bytes() as f64);
        metrics::gauge!(names::OPEN_PARTITIONS).set(open.partitions() as f64);
        roll_if_due(setup, mode, &mut open, &rolls)?;
    }
    if let Mode::Again(_, range) = mode {
        // Whatever was left of the bodies in the journal, the roll is the one that was sealed.
        open.begin(range, 0, setup.clock.now());
    }
    if let Some(finished) = open.finish()? {
        send(&rolls, finished, Reason::End)?;
    }
    Ok(())
}

/// All parts of a job.
fn take(
    open: &mut OpenRoll,
    parts: &Receiver<anyhow::Result<Part>>,
    taken: &AtomicU64,
) -> anyhow::Result<()> {
    for part in parts {
        match part? {
            Part::Decoded(batches) => {
                let lines: u64 = batches.iter().map(|(_, decoded)| decoded.counts.lines).sum();
                taken.fetch_add(lines, Ordering::Relaxed);
                open.push(batches)?;
            }
            Part::End => return Ok(()),
        }
    }
    Err(anyhow!("a decoder stopped before it was done"))
}

fn roll_if_due(
    setup: &Setup<'_>,
    mode: Mode,
    open: &mut OpenRoll,
    rolls: &Sender<Finished>,
) -> anyhow::Result<()> {
    if matches!(mode, Mode::Again(..)) {
        return Ok(());
    }
    let crowded = open.footer_bytes() as u64 > setup.landing.memory_bytes / 5 * 2;
    let due = decide(&setup.limits, &open.open(), setup.clock.now())
        .or(crowded.then_some(Reason::Footers))
        .or((open.parked_bytes() > PARKED_BYTES).then_some(Reason::Parked));
    if let Some(reason) = due
        && let Some(finished) = open.finish()?
    {
        send(rolls, finished, reason)?;
    }
    Ok(())
}

fn send(rolls: &Sender<Finished>, finished: Finished, reason: Reason) -> anyhow::Result<()> {
    tracing::debug!(roll = finished.roll.0, reason = reason.as_str(), "rolling");
    rolls.send(finished).map_err(|_| anyhow!("the lander stopped"))
}
