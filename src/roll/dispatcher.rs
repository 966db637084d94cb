//! The feeder: bodies in sequence order, cut into jobs for the decoders.
//!
//! Every job goes to whichever decoder is free, and its place in the order to the batcher. What is
//! on its way is bounded by bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::decode_workers::{Job, Output};
use super::source::{Next, Source};
use crate::record::{Body, SeqRange};

/// How long the first body of a job may wait for others to be decoded with.
const GATHER: Duration = Duration::from_millis(20);
/// What a body costs besides its bytes, about.
const BODY_BYTES: usize = 128;
/// How often the age of the open roll is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Said to nobody: whoever could hear it has ended.
const UNWANTED: &str = "nobody takes what is read";

/// A job's place in the order.
pub(crate) struct Place {
    pub(crate) range: SeqRange,
    pub(crate) bytes: usize,
    pub(crate) output: Receiver<anyhow::Result<Output>>,
}

/// What the feeder says. That it has ended is said too: a feeder that died just falls silent, and
/// what came of it until then must not pass for the whole.
pub(crate) enum Fed {
    Job(Place),
    End,
}

/// Cuts the source into jobs.
pub(crate) struct Feeder<'a> {
    pub(crate) jobs: Sender<Job>,
    pub(crate) places: Sender<anyhow::Result<Fed>>,
    pub(crate) freed: Receiver<usize>,
    pub(crate) in_flight_bytes: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) job_bytes: usize,
    pub(crate) abandoned: &'a AtomicBool,
}

impl Feeder<'_> {
    pub(crate) fn feed(mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        let mut ended = false;
        while !ended && !self.abandoned.load(Ordering::Relaxed) {
            let mut bodies = Vec::new();
            let mut bytes = 0;
            // From the first body on: bodies that keep trickling in do not put it off.
            let mut due = None;
            while bytes < self.job_bytes {
                let left = |due: Instant| due.checked_duration_since(Instant::now());
                let Some(wait) = due.map_or(Some(TICK), left) else { break };
                match source.next(wait)? {
                    Next::Body(body) => {
                        due.get_or_insert_with(|| Instant::now() + GATHER);
                        bytes += body.bytes.len() + BODY_BYTES;
                        bodies.push(body);
                    }
                    Next::TimedOut => break,
                    Next::Ended => {
                        ended = true;
                        break;
                    }
                }
            }
            self.send(bodies, bytes)?;
        }
        Ok(())
    }

    /// Waits until there is room for the job.
    fn send(&mut self, bodies: Vec<Body>, bytes: usize) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (bodies.first(), bodies.last()) else { return Ok(()) };
        let range = SeqRange { first: first.seq, last: last.seq };
        while self.in_flight_bytes > 0 && self.in_flight_bytes + bytes > self.in_flight_max {
            self.in_flight_bytes -= self.freed.recv().context(UNWANTED)?;
        }
        self.in_flight_bytes += bytes;
        self.in_flight_bytes -= self.freed.try_iter().sum::<usize>();
        let (output, parts) = bounded(1);
        let place = Fed::Job(Place { range, bytes, output: parts });
        self.places.send(Ok(place)).map_err(|_| anyhow!(UNWANTED))?;
        self.jobs.send(Job { bodies, output }).map_err(|_| anyhow!(UNWANTED))
    }
}
