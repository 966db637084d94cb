//! What a connection and the requests on it know of each other, and when the connection has to go.
//!
//! HTTP/2 lets a client have answers made and take none of them: with a window of nothing they are
//! held for as long as the connection lives, which pings keep alive. So each answer is followed from
//! the moment it is there until its last byte has been handed to the socket. A connection whose
//! oldest answer is too old is cut; one of HTTP/2 on which nothing happens is closed as HTTP/1.1's
//! are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// How long a connection may go on as it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// With an answer that is not taken.
    pub(super) answer: Duration,
    /// With no request.
    pub(super) idle: Duration,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It has an answer that is not taken.
    Unread,
    /// It has had no request for long.
    Idle,
}

/// One connection's requests. The atomics are relaxed everywhere: one task polls them all in
/// HTTP/1.1, and in HTTP/2 only a counter and two flags that never go back are shared.
#[derive(Debug)]
pub(super) struct Watch {
    begun: AtomicU64,
    in_flight: AtomicU64,
    h2: AtomicBool,
    unread: AtomicBool,
    // A lock, held for one step; taken twice a request and now and then.
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    next: u64,
    unfinished: BTreeMap<u64, Instant>,
    /// When there was last a request or an answer.
    busy_at: Instant,
}

impl Watch {
    pub(super) fn new() -> Arc<Watch> {
        let answers = Answers { next: 0, unfinished: BTreeMap::new(), busy_at: Instant::now() };
        Arc::new(Watch {
            begun: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            h2: AtomicBool::default(),
            unread: AtomicBool::default(),
            answers: Mutex::new(answers),
        })
    }

    /// A request's head has come.
    pub(super) fn begins(&self, h1: bool) {
        if !h1 {
            self.h2.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has been answered, or its client has gone.
    pub(super) fn ends(&self) {
        self.answers().busy_at = Instant::now();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The answer goes out before the request's body has come in: close gently.
    pub(super) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether an answer went out before its request's body had come in.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether bytes that come now belong to the head of a request.
    pub(super) fn awaits_head(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0 && !self.h2.load(Ordering::Relaxed)
    }

    /// An answer is there, and unfinished until what this returns is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Unfinished {
        let mut answers = self.answers();
        let number = answers.next;
        answers.next += 1;
        answers.unfinished.insert(number, Instant::now());
        Unfinished { watch: Arc::clone(self), number }
    }

    /// Waits until the connection has to go.
    pub(super) async fn trouble(&self, patience: Patience) -> Trouble {
        let look_every = patience.answer.min(patience.idle) / 8;
        loop {
            tokio::time::sleep(look_every).await;
            if let Some(trouble) = self.look(patience, Instant::now()) {
                return trouble;
            }
        }
    }

    fn look(&self, patience: Patience, now: Instant) -> Option<Trouble> {
        let answers = self.answers();
        if let Some((_, at)) = answers.unfinished.first_key_value() {
            return (now.duration_since(*at) >= patience.answer).then_some(Trouble::Unread);
        }
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0 && self.h2.load(Ordering::Relaxed);
        (quiet && now.duration_since(answers.busy_at) >= patience.idle).then_some(Trouble::Idle)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // No panic can leave it half changed.
        lock(&self.answers)
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub(super) struct Unfinished {
    watch: Arc<Watch>,
    number: u64,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut answers = self.watch.answers();
        answers.unfinished.remove(&self.number);
        answers.busy_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_counts_and_idle_is_who_has_none() {
        let second = Duration::from_secs(1);
        let patience = Patience { answer: 30 * second, idle: 75 * second };
        let (watch, start) = (Watch::new(), Instant::now());
        let at = |seconds| watch.look(patience, start + seconds * second);
        assert_eq!(at(1000), None, "no request yet: the head has its own deadline");
        watch.begins(false);
        assert_eq!(at(1000), None, "a request has its own deadlines");
        let (old, new) = (watch.answer(), watch.answer());
        watch.ends();
        assert_eq!((at(29), at(31)), (None, Some(Trouble::Unread)));
        drop(old);
        assert_eq!(at(31), Some(Trouble::Unread));
        drop(new);
        assert_eq!((at(74), at(76)), (None, Some(Trouble::Idle)));
    }
}
