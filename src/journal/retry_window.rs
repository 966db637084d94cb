//! The retry window: bodies that were acknowledged lately, and those on their way.
//!
//! An entry lives for the window's length from its acknowledgement. Age is counted by a clock of
//! the window's own, which goes forward with the wall clock and stands still when that jumps
//! back: a jump can shorten or lengthen an entry's life by the jump, but none lives for ever.
//! A start that finds a body in the last segment counts from when it was received instead, which
//! the frame says: earlier by its wait in the queue, some seconds at most.
//! At most [`MAX_ENTRIES`] are kept; past that the oldest go first, which is counted and logged.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::frame::RetryKey;
use super::{AppendError, Receipt};
use crate::record::{Micros, Seq};

/// Maximum number of entries: about 100 MB of memory.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// Microseconds by which a clock may go back without having jumped: callers ask it in one order and
/// come here in another.
const CLOCK_JUMP_US: i64 = 1_000_000;

/// Microseconds between two warnings that the window is full.
const WARN_INTERVAL_US: i64 = 60_000_000;

/// The outcome of appending a body.
pub(crate) type Outcome = Result<Receipt, AppendError>;

/// One acknowledged body. `at` is wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryEntry {
    pub(crate) key: RetryKey,
    pub(crate) seq: Seq,
    pub(crate) at: Micros,
}

/// The state of a body in the window.
pub(crate) enum Lookup {
    /// Acknowledged within the window.
    Acknowledged(Seq),
    /// On its way: the receiver gets its outcome.
    InFlight(oneshot::Receiver<Outcome>),
    /// Neither acknowledged within the window nor on its way.
    Unknown,
}

/// Acknowledged and in-flight bodies by key.
pub(crate) struct RetryWindow {
    length_us: i64,
    max_entries: usize,
    acked: HashMap<RetryKey, Seq>,
    /// The acknowledged bodies, oldest first; their `at` is counted by `age_us`.
    order: VecDeque<RetryEntry>,
    in_flight: HashMap<RetryKey, Vec<oneshot::Sender<Outcome>>>,
    /// Lengths of bodies that an earlier start acknowledged, and the last of these bodies.
    earlier_lengths: HashSet<u32>,
    earlier_last: Seq,
    /// The window's own clock.
    age_us: i64,
    last_now: Micros,
    /// Entries dropped before their time, and when that was logged, by `age_us`.
    dropped: u64,
    warned_us: Option<i64>,
}

impl RetryWindow {
    /// Creates a window with the entries of a checkpoint, oldest first. A length of 0 keeps none.
    pub(crate) fn new(length: Duration, now: Micros, entries: Vec<RetryEntry>) -> RetryWindow {
        let mut window = RetryWindow {
            length_us: i64::try_from(length.as_micros()).unwrap_or(i64::MAX),
            max_entries: MAX_ENTRIES,
            acked: HashMap::new(),
            order: VecDeque::new(),
            in_flight: HashMap::new(),
            earlier_lengths: HashSet::new(),
            earlier_last: Seq(0),
            age_us: 0,
            last_now: now,
            dropped: 0,
            warned_us: None,
        };
        if window.is_on() {
            for entry in entries {
                let age_us = now.0.saturating_sub(entry.at.0).max(0);
                window.insert(RetryEntry { at: Micros(-age_us), ..entry });
            }
            window.tick(now);
        }
        window
    }

    #[cfg(test)]
    pub(crate) fn bounded_to(mut self, max_entries: usize) -> RetryWindow {
        self.max_entries = max_entries;
        self
    }

    #[cfg(test)]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Tells whether retries are recognised at all.
    pub(crate) fn is_on(&self) -> bool {
        self.length_us > 0
    }

    /// Looks a body up, and joins the waiters of one in flight.
    pub(crate) fn look_up(&mut self, key: RetryKey, now: Micros) -> Lookup {
        self.tick(now);
        if let Some(seq) = self.acked.get(&key) {
            return Lookup::Acknowledged(*seq);
        }
        match self.in_flight.get_mut(&key) {
            Some(waiters) => {
                let (sender, receiver) = oneshot::channel();
                waiters.push(sender);
                Lookup::InFlight(receiver)
            }
            None => Lookup::Unknown,
        }
    }

    /// Prepares [`may_be_earlier`](Self::may_be_earlier): the entries so far are of earlier starts.
    pub(crate) fn keep_lengths(&mut self) {
        self.earlier_lengths = self.order.iter().map(|entry| entry.key.body_bytes).collect();
        self.earlier_last = self.order.back().map_or(Seq(0), |entry| entry.seq);
    }

    /// Tells whether an earlier start may have acknowledged a body of this length within the
    /// window. It may have had other settings, and so other keys for the same bodies.
    pub(crate) fn may_be_earlier(&mut self, body_bytes: u32) -> bool {
        if self.order.front().is_none_or(|oldest| oldest.seq > self.earlier_last) {
            self.earlier_lengths = HashSet::new();
        }
        self.earlier_lengths.contains(&body_bytes)
    }

    /// Returns the number of an acknowledged body.
    pub(crate) fn acked(&self, key: RetryKey) -> Option<Seq> {
        self.acked.get(&key).copied()
    }

    /// Marks a body as handed to the writer.
    pub(crate) fn begin(&mut self, key: RetryKey) {
        self.in_flight.entry(key).or_default();
    }

    /// Records that the body is durable, and answers its waiters.
    pub(crate) fn ack(&mut self, key: RetryKey, seq: Seq, now: Micros) {
        self.tick(now);
        self.insert(RetryEntry { key, seq, at: Micros(self.age_us) });
        self.answer(key, &Ok(Receipt { seq, duplicate: true }));
    }

    /// Records that the body was not stored: its waiters get the same error.
    pub(crate) fn fail(&mut self, key: RetryKey, error: &AppendError) {
        self.answer(key, &Err(error.clone()));
    }

    /// Returns the live entries for a checkpoint, oldest first, in wall-clock time.
    pub(crate) fn entries(&mut self, now: Micros) -> Vec<RetryEntry> {
        self.tick(now);
        let shift_us = now.0.saturating_sub(self.age_us);
        let wall = |entry: &RetryEntry| RetryEntry {
            at: Micros(entry.at.0.saturating_add(shift_us)),
            ..*entry
        };
        self.order.iter().map(wall).collect()
    }

    fn answer(&mut self, key: RetryKey, outcome: &Outcome) {
        for waiter in self.in_flight.remove(&key).unwrap_or_default() {
            // A waiter that went away needs no answer.
            let _ = waiter.send(outcome.clone());
        }
    }

    fn insert(&mut self, entry: RetryEntry) {
        if self.order.len() >= self.max_entries {
            self.drop_oldest();
            self.count_dropped();
        }
        self.acked.insert(entry.key, entry.seq);
        self.order.push_back(entry);
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        metrics::counter!(crate::metrics::RETRY_WINDOW_DROPPED).increment(1);
        let warned = self.warned_us.is_some_and(|at| self.age_us - at < WARN_INTERVAL_US);
        if !warned {
            self.warned_us = Some(self.age_us);
            tracing::warn!(
                "the retry window is full with {} bodies: the oldest are forgotten before their \
                 time, {} so far, and would be stored again if they came again",
                self.max_entries,
                self.dropped
            );
        }
    }

    fn tick(&mut self, now: Micros) {
        let passed_us = now.0.saturating_sub(self.last_now.0);
        if passed_us > 0 {
            self.age_us = self.age_us.saturating_add(passed_us);
        }
        if !(-CLOCK_JUMP_US..=0).contains(&passed_us) {
            self.last_now = now;
        }
        while let Some(oldest) = self.order.front()
            && self.age_us.saturating_sub(oldest.at.0) >= self.length_us
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && self.acked.get(&oldest.key) == Some(&oldest.seq)
        {
            self.acked.remove(&oldest.key);
        }
    }
}
