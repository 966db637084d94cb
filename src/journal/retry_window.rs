//! The retry window: which bodies were acknowledged lately, and which are on their way.
//!
//! An entry lives for the window's length from its acknowledgement. Age is counted by a clock of
//! the window's own, which goes forward with the wall clock and stands still when that jumps
//! back: a jump can shorten or lengthen an entry's life by the jump, but none lives for ever.
//! A start that finds a body in the last segment counts from when it was received instead, which
//! the frame says: earlier by its wait in the queue, some seconds at most.
//! At most [`MAX_ENTRIES`] are kept; past that the oldest go first, which is counted and told of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::frame::Key;
use super::{AppendError, Receipt};
use crate::record::{Micros, Seq};

/// The most entries that are kept: about 100 MB of memory at worst.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// A clock that is behind by less than this has not jumped: callers asked it in turn and came here
/// in another.
const JUMP_US: i64 = 1_000_000;

/// How often it is told that the window is full.
const TOLD_EVERY_US: i64 = 60_000_000;

/// What became of a body.
pub(crate) type Outcome = Result<Receipt, AppendError>;

/// One acknowledged body. `at` is wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) seq: Seq,
    pub(crate) at: Micros,
}

/// What is known of a body before it is stored.
pub(crate) enum Known {
    /// Acknowledged within the window.
    Acked(Seq),
    /// On its way: the outcome will come here.
    InFlight(oneshot::Receiver<Outcome>),
    /// Nothing.
    New,
}

/// Acknowledged and in-flight bodies by key.
pub(crate) struct Window {
    length_us: i64,
    max_entries: usize,
    acked: HashMap<Key, Seq>,
    /// The same, oldest first; `at` counted by `age_us`.
    order: VecDeque<Entry>,
    in_flight: HashMap<Key, Vec<oneshot::Sender<Outcome>>>,
    /// Lengths of bodies that an earlier start acknowledged, and the last of these bodies.
    earlier_lengths: HashSet<u32>,
    earlier_last: Seq,
    /// The window's own clock.
    age_us: i64,
    last_now: Micros,
    /// Entries that went before their time, and when that was told, by `age_us`.
    dropped: u64,
    told_us: Option<i64>,
}

impl Window {
    /// A window with the entries of a checkpoint, oldest first. A length of 0 keeps none.
    pub(crate) fn new(length: Duration, now: Micros, entries: Vec<Entry>) -> Window {
        let mut window = Window {
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
            told_us: None,
        };
        if window.is_on() {
            for entry in entries {
                let age_us = now.0.saturating_sub(entry.at.0).max(0);
                window.insert(Entry { at: Micros(-age_us), ..entry });
            }
            window.tick(now);
        }
        window
    }

    #[cfg(test)]
    pub(crate) fn bounded_to(mut self, max_entries: usize) -> Window {
        self.max_entries = max_entries;
        self
    }

    #[cfg(test)]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether retries are recognised at all.
    pub(crate) fn is_on(&self) -> bool {
        self.length_us > 0
    }

    /// What is known of this body. Joins the waiters of one in flight.
    pub(crate) fn look_up(&mut self, key: Key, now: Micros) -> Known {
        self.tick(now);
        if let Some(seq) = self.acked.get(&key) {
            return Known::Acked(*seq);
        }
        match self.in_flight.get_mut(&key) {
            Some(waiters) => {
                let (sender, receiver) = oneshot::channel();
                waiters.push(sender);
                Known::InFlight(receiver)
            }
            None => Known::New,
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
    pub(crate) fn acked(&self, key: Key) -> Option<Seq> {
        self.acked.get(&key).copied()
    }

    /// Marks a body as handed to the writer.
    pub(crate) fn begin(&mut self, key: Key) {
        self.in_flight.entry(key).or_default();
    }

    /// The body is durable.
    pub(crate) fn ack(&mut self, key: Key, seq: Seq, now: Micros) {
        self.tick(now);
        self.insert(Entry { key, seq, at: Micros(self.age_us) });
        self.answer(key, &Ok(Receipt { seq, duplicate: true }));
    }

    /// The body was not stored: its waiters get the same answer.
    pub(crate) fn fail(&mut self, key: Key, error: &AppendError) {
        self.answer(key, &Err(error.clone()));
    }

    /// The live entries, oldest first, in wall-clock time: for a checkpoint.
    pub(crate) fn entries(&mut self, now: Micros) -> Vec<Entry> {
        self.tick(now);
        let shift_us = now.0.saturating_sub(self.age_us);
        let wall =
            |entry: &Entry| Entry { at: Micros(entry.at.0.saturating_add(shift_us)), ..*entry };
        self.order.iter().map(wall).collect()
    }

    fn answer(&mut self, key: Key, outcome: &Outcome) {
        for waiter in self.in_flight.remove(&key).unwrap_or_default() {
            // A waiter that went away needs no answer.
            let _ = waiter.send(outcome.clone());
        }
    }

    fn insert(&mut self, entry: Entry) {
        if self.order.len() >= self.max_entries {
            self.drop_oldest();
            self.count_dropped();
        }
        self.acked.insert(entry.key, entry.seq);
        self.order.push_back(entry);
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        metrics::counter!("sessionlake_retry_window_dropped_total").increment(1);
        let told = self.told_us.is_some_and(|told| self.age_us - told < TOLD_EVERY_US);
        if !told {
            self.told_us = Some(self.age_us);
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
        if !(-JUMP_US..=0).contains(&passed_us) {
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
