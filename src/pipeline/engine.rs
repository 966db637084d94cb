//! From bodies in sequence order to landed rolls.
//!
//! ```text
//!  source ─▶ feeder ─jobs─▶ decoders ─▶ in order again ─▶ open roll ─Finished─▶ lander
//! ```
//! Every arrow is bounded: jobs by a number of permits that come back when a job has been taken in
//! order, the lander by one roll that waits. While the store is away everything stands still, and
//! what is acknowledged meanwhile waits in the journal.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::land::{Lander, RollLog};
use super::open_roll::{Finished, OpenRoll};
use super::tables::Tables;
use crate::batch::{Limits, Reason, decide};
use crate::clock::Clock;
use crate::config;
use crate::decode::{Decoded, Decoder};
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
    Again(Roll),
    /// Rolls from this number on, by the limits, until the source ends.
    Live(Roll),
}

/// What an engine needs.
pub(super) struct Setup<'a> {
    pub(super) landing: &'a config::Landing,
    pub(super) limits: Limits,
    pub(super) tables: &'a Tables,
    pub(super) staging: &'a Path,
    pub(super) clock: Arc<dyn Clock>,
}

/// JSON bytes that are decoded together: large enough that the cost of a batch does not show.
const JOB_BYTES: usize = 4 << 20;
/// Rolls below this many rows are cut at single bodies.
const SMALL_ROLL_ROWS: u64 = 100_000;
/// How long a body may wait for others to be decoded with.
const GATHER: Duration = Duration::from_millis(20);
/// How often the age of the open roll is looked at.
const TICK: Duration = Duration::from_millis(100);

struct Job {
    number: u64,
    bodies: Vec<Body>,
}

struct Done {
    number: u64,
    range: SeqRange,
    source_bytes: u64,
    decoded: Vec<(Arc<str>, Decoded)>,
}

/// Runs until the source ends and everything it had has landed.
///
/// # Errors
/// Whatever stops it: the source, a staging file, the roll log. What has not landed is still with
/// the source.
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
    let (permits, permit) = bounded(workers + 2);
    for _ in 0..workers + 2 {
        let _ = permits.send(());
    }
    let (jobs, jobs_out) = bounded::<Job>(workers + 2);
    let (done, done_out) = bounded::<anyhow::Result<Done>>(workers + 2);
    let (rolls, rolls_out) = bounded::<Finished>(1);

    // A roll ends where a job ends: with a low limit on rows, every body is a job of its own.
    let job_bytes = if setup.limits.rows < SMALL_ROLL_ROWS { 1 } else { JOB_BYTES };
    let abandoned = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let feeder_done = done.clone();
        scope.spawn(move || {
            if let Err(error) = feed(source, job_bytes, &jobs, &permit, abandoned) {
                let _ = feeder_done.send(Err(error));
            }
        });
        for _ in 0..workers {
            let (jobs, done) = (jobs_out.clone(), done.clone());
            scope.spawn(move || decode(setup.tables, &lander.node, &jobs, &done));
        }
        drop((jobs_out, done));
        let landing = scope.spawn(move || -> anyhow::Result<()> {
            for finished in rolls_out {
                lander.land(log, &finished, matches!(mode, Mode::Again(_)))?;
            }
            Ok(())
        });
        let batched = batch(setup, lander, mode, &done_out, &permits, rolls);
        // Without these the threads before would wait for ever after an error.
        abandoned.store(true, Ordering::Relaxed);
        drop((done_out, permits));
        let landed = landing.join().unwrap_or_else(|_| Err(anyhow!("the lander panicked")));
        // The lander's error is the cause when both failed.
        landed.and(batched)
    })
}

/// Cuts the source into jobs.
fn feed(
    source: &mut dyn Source,
    job_bytes: usize,
    jobs: &Sender<Job>,
    permit: &Receiver<()>,
    abandoned: &AtomicBool,
) -> anyhow::Result<()> {
    let mut number = 0;
    loop {
        let mut bodies = Vec::new();
        let mut bytes = 0;
        let mut end = false;
        while bytes < job_bytes {
            let wait = if bodies.is_empty() { TICK } else { GATHER };
            match source.next(wait)? {
                Next::Body(body) => {
                    bytes += body.bytes.len();
                    bodies.push(body);
                }
                Next::Waited => break,
                Next::Closed => {
                    end = true;
                    break;
                }
            }
        }
        if !bodies.is_empty() {
            if permit.recv().is_err() || jobs.send(Job { number, bodies }).is_err() {
                return Ok(());
            }
            number += 1;
        } else if abandoned.load(Ordering::Relaxed) {
            return Ok(());
        }
        if end {
            return Ok(());
        }
    }
}

fn decode(
    tables: &Tables,
    node: &Arc<str>,
    jobs: &Receiver<Job>,
    done: &Sender<anyhow::Result<Done>>,
) {
    let mut decoders: HashMap<Arc<str>, Decoder> = HashMap::new();
    for Job { number, bodies } in jobs {
        let (Some(first), Some(last)) = (bodies.first(), bodies.last()) else { continue };
        let range = SeqRange { first: first.seq, last: last.seq };
        let mut used: BTreeMap<Arc<str>, ()> = BTreeMap::new();
        let mut source_bytes = 0;
        let mut failed = None;
        for body in &bodies {
            source_bytes += body.bytes.len() as u64;
            let Some(table) = tables.get(&body.table) else {
                failed = Some(anyhow!(
                    "body {} is for table {}, which no configuration has named",
                    body.seq,
                    body.table
                ));
                break;
            };
            let decoder = decoders
                .entry(Arc::clone(&body.table))
                .or_insert_with(|| Decoder::new(Arc::clone(&table.schema), Arc::clone(node)));
            decoder.push(body);
            used.insert(Arc::clone(&body.table), ());
        }
        drop(bodies);
        let result = match failed {
            Some(error) => Err(error),
            None => {
                let decoded = used
                    .into_keys()
                    .filter_map(|table| {
                        let decoded = decoders.get_mut(&table)?.finish();
                        Some((table, decoded))
                    })
                    .collect();
                Ok(Done { number, range, source_bytes, decoded })
            }
        };
        if done.send(result).is_err() {
            return;
        }
    }
}

/// Puts jobs back in order, fills the open roll, and decides when it is over.
fn batch(
    setup: &Setup<'_>,
    lander: &Lander<'_>,
    mode: Mode,
    done: &Receiver<anyhow::Result<Done>>,
    permits: &Sender<()>,
    rolls: Sender<Finished>,
) -> anyhow::Result<()> {
    let (Mode::Again(first) | Mode::Live(first)) = mode;
    let mut open = OpenRoll::new(first, setup.tables, setup.landing, &lander.node, setup.staging);
    let mut early: BTreeMap<u64, Done> = BTreeMap::new();
    let mut expected = 0;
    loop {
        let ended = match done.recv_timeout(TICK) {
            Ok(done) => {
                let done = done?;
                early.insert(done.number, done);
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        while let Some(next) = early.remove(&expected) {
            expected += 1;
            open.push(next.range, next.source_bytes, next.decoded, setup.clock.now())?;
            let _ = permits.try_send(());
            roll_if_due(setup, mode, &mut open, &rolls)?;
        }
        metrics::gauge!(names::BUFFERED_BYTES).set(open.buffered_bytes() as f64);
        roll_if_due(setup, mode, &mut open, &rolls)?;
        if ended {
            if !early.is_empty() {
                return Err(anyhow!("a decoder stopped before it was done"));
            }
            if let Some(finished) = open.finish()? {
                send(&rolls, finished, Reason::End)?;
            }
            return Ok(());
        }
    }
}

fn roll_if_due(
    setup: &Setup<'_>,
    mode: Mode,
    open: &mut OpenRoll,
    rolls: &Sender<Finished>,
) -> anyhow::Result<()> {
    if matches!(mode, Mode::Again(_)) {
        return Ok(());
    }
    if let Some(reason) = decide(&setup.limits, &open.open(), setup.clock.now())
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
