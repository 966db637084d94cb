//! The dispatcher: bodies in sequence order, cut into jobs for the decode workers.
//!
//! A job goes to whichever worker is free, and its slot in the order to the batcher. The bytes of
//! bodies in flight are bounded: the batcher sends them back when it has taken in the job's output.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::care::{Care, Work};
use super::decode_workers::{Job, Output};
use super::source::{Next, Source};
use crate::record::{Body, SeqRange};

/// Time that the first body of a job waits for more bodies to be decoded with it.
const LINGER: Duration = Duration::from_millis(20);
/// Approximate bytes of memory that a body takes besides its own.
const BODY_BYTES: usize = 128;
/// Most bytes that are held of a body that is stored: two windows with lines of the usual limit.
const STORED_BYTES: u64 = 32 << 20;
/// Interval at which the age of the open roll is checked when no bodies come.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The error when the other threads have ended. Nobody reads it: theirs is the cause.
const STOPPED: &str = "the engine has stopped";

/// A job's slot in the order of jobs.
pub(crate) struct Slot {
    /// Bodies of the job.
    pub(crate) range: SeqRange,
    /// Bytes of the bodies, to be sent back when the output is taken in.
    pub(crate) bytes: usize,
    /// Output of whichever worker decodes the job.
    pub(crate) output: Receiver<anyhow::Result<Output>>,
}

/// An item from the dispatcher. Its end is an item too: a dispatcher that died just falls silent,
/// and the jobs until then must not pass for all.
pub(crate) enum Dispatched {
    /// The next job.
    Job(Slot),
    /// The source has ended.
    End,
}

/// Cuts the bodies of a source into jobs.
pub(crate) struct Dispatcher<'a> {
    /// Jobs for the workers.
    pub(crate) jobs: Sender<Job>,
    /// The order of jobs.
    pub(crate) slots: Sender<anyhow::Result<Dispatched>>,
    /// Bytes of jobs whose output was taken in.
    pub(crate) freed: Receiver<usize>,
    /// Bytes of jobs whose output was not taken in yet.
    pub(crate) in_flight_bytes: usize,
    /// Most bytes in flight, but for a single job that is larger.
    pub(crate) max_in_flight_bytes: usize,
    /// Bytes at which a job is complete.
    pub(crate) job_bytes: usize,
    /// Set when the engine is being torn down.
    pub(crate) abandoned: &'a AtomicBool,
    /// Suspects, which are dispatched few at a time.
    pub(crate) care: &'a Care<'a>,
}

/// Returns the bytes that are held of `body` while it is decoded.
fn held_bytes(body: &Body) -> usize {
    let bytes = match body.stored {
        Some(_) => body.text_bytes().min(STORED_BYTES),
        None => body.text_bytes(),
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Dispatcher<'_> {
    /// Dispatches until the source ends or the engine is torn down.
    ///
    /// # Errors
    /// The source fails, or another thread has ended.
    pub(crate) fn run(mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        let mut ended = false;
        while !ended && !self.abandoned.load(Ordering::Relaxed) {
            // One that is larger than all of that is alone.
            while self.in_flight_bytes > self.max_in_flight_bytes {
                self.in_flight_bytes -= self.freed.recv().context(STOPPED)?;
            }
            let mut bodies = Vec::new();
            let mut bytes = 0;
            // Set by the first body: bodies that keep trickling in do not put it off.
            let mut due = None;
            while bytes < self.job_bytes {
                let left = |due: Instant| due.checked_duration_since(Instant::now());
                let Some(wait) = due.map_or(Some(TICK), left) else { break };
                match source.next(wait)? {
                    Next::Body(body) => {
                        due.get_or_insert_with(|| Instant::now() + LINGER);
                        bytes += held_bytes(&body) + BODY_BYTES;
                        bodies.push(body);
                        if self.is_enough(&bodies) {
                            break;
                        }
                    }
                    Next::TimedOut => break,
                    Next::Ended => {
                        ended = true;
                        break;
                    }
                }
            }
            self.dispatch(bodies, bytes)?;
        }
        Ok(())
    }

    /// Returns true when a job of suspects has as many bodies as it may.
    fn is_enough(&self, bodies: &[Body]) -> bool {
        let suspects = bodies.first().and_then(|body| self.care.suspects_at(body.seq));
        suspects.is_some_and(|suspects| bodies.len() as u64 >= suspects.job_bodies)
    }

    /// Sends a job, once the bytes in flight allow it. Sends none for no bodies.
    fn dispatch(&mut self, bodies: Vec<Body>, bytes: usize) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (bodies.first(), bodies.last()) else { return Ok(()) };
        let range = SeqRange { first: first.seq, last: last.seq };
        let record = self.care.record_at(range.first);
        let most = if record.is_some() { 0 } else { self.max_in_flight_bytes };
        while self.in_flight_bytes > 0 && self.in_flight_bytes + bytes > most {
            self.in_flight_bytes -= self.freed.recv().context(STOPPED)?;
        }
        if let Some(record) = record {
            record.begins(Work::Job(range));
        }
        self.in_flight_bytes += bytes;
        self.in_flight_bytes -= self.freed.try_iter().sum::<usize>();
        let (output, receiver) = bounded(1);
        let slot = Slot { range, bytes, output: receiver };
        self.slots.send(Ok(Dispatched::Job(slot))).map_err(|_| anyhow!(STOPPED))?;
        self.jobs.send(Job { bodies, output }).map_err(|_| anyhow!(STOPPED))
    }
}
