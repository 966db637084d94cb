//! The state that a connection shares with its requests, and the reasons to close it.
//!
//! HTTP/2 lets a client ask for answers and read none of them: with a window of nothing they are held
//! for as long as the connection lives, which pings keep alive. So each answer is tracked from the
//! moment it exists until its last byte has been handed to the socket. A connection whose oldest
//! answer is too old is cut; an idle one of HTTP/2 is closed, as hyper closes those of HTTP/1.1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The times after which a connection is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// The time with an answer that is not read.
    pub(super) answer: Duration,
    /// The time without a request.
    pub(super) idle: Duration,
}

/// The reason to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// An answer has not been read for long.
    AnswerUnread,
    /// There has been no request for long.
    Idle,
}

/// The requests of one connection. The atomics are relaxed everywhere: in HTTP/1.1 one task polls them
/// all, and in HTTP/2 only a counter and two flags that are never reset are shared.
#[derive(Debug)]
pub(super) struct ConnectionState {
    begun: AtomicU64,
    in_flight: AtomicU64,
    h2: AtomicBool,
    unread_body: AtomicBool,
    late_head: AtomicBool,
    // A lock, held for one step; taken twice a request and now and then.
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    next: u64,
    unfinished: BTreeMap<u64, Instant>,
    /// The time of the last request or answer.
    busy_at: Instant,
}

impl ConnectionState {
    pub(super) fn new() -> Arc<ConnectionState> {
        let answers = Answers { next: 0, unfinished: BTreeMap::new(), busy_at: Instant::now() };
        Arc::new(ConnectionState {
            begun: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            h2: AtomicBool::default(),
            unread_body: AtomicBool::default(),
            late_head: AtomicBool::default(),
            answers: Mutex::new(answers),
        })
    }

    /// Records that the head of a request has arrived.
    pub(super) fn request_began(&self, h1: bool) {
        if !h1 {
            self.h2.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a request was answered, or that its client has gone.
    pub(super) fn request_ended(&self) {
        self.answers().busy_at = Instant::now();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that an answer is sent before its request's body has arrived: the socket then has to be
    /// closed in steps.
    pub(super) fn leave_body_unread(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    /// Returns whether an answer was sent before its request's body had arrived.
    pub(super) fn has_unread_body(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
    }

    /// Records that a head has begun and did not arrive in time.
    pub(super) fn head_is_late(&self) {
        self.late_head.store(true, Ordering::Relaxed);
    }

    /// Returns whether a head had begun and did not arrive in time.
    pub(super) fn had_late_head(&self) -> bool {
        self.late_head.load(Ordering::Relaxed)
    }

    /// Returns the time since the last request or answer, or since the connection was opened; `None`
    /// while there is a request or an answer that has not been handed to the socket.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let answers = self.answers();
        let idle = self.in_flight.load(Ordering::Relaxed) == 0 && answers.unfinished.is_empty();
        idle.then(|| now.saturating_duration_since(answers.busy_at))
    }

    /// Returns the number of requests that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Returns whether bytes that arrive now belong to the head of a request.
    pub(super) fn awaits_head(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0 && !self.h2.load(Ordering::Relaxed)
    }

    /// Tracks an answer until the returned guard is dropped.
    pub(super) fn track_answer(self: &Arc<Self>) -> AnswerInProgress {
        let mut answers = self.answers();
        let number = answers.next;
        answers.next += 1;
        answers.unfinished.insert(number, Instant::now());
        AnswerInProgress { state: Arc::clone(self), number }
    }

    /// Waits until there is a reason to close the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(super) async fn close_reason(&self, timeouts: Timeouts) -> CloseReason {
        let check_every = timeouts.answer.min(timeouts.idle) / 8;
        loop {
            tokio::time::sleep(check_every).await;
            if let Some(reason) = self.reason_at(timeouts, Instant::now()) {
                return reason;
            }
        }
    }

    /// Returns the reason to close the connection at `now`.
    fn reason_at(&self, timeouts: Timeouts, now: Instant) -> Option<CloseReason> {
        let answers = self.answers();
        if let Some((_, at)) = answers.unfinished.first_key_value() {
            return (now.duration_since(*at) >= timeouts.answer)
                .then_some(CloseReason::AnswerUnread);
        }
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0 && self.h2.load(Ordering::Relaxed);
        (quiet && now.duration_since(answers.busy_at) >= timeouts.idle).then_some(CloseReason::Idle)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock()
    }
}

/// An answer whose last byte has not been handed to the socket.
#[derive(Debug)]
pub(super) struct AnswerInProgress {
    state: Arc<ConnectionState>,
    number: u64,
}

impl Drop for AnswerInProgress {
    fn drop(&mut self) {
        let mut answers = self.state.answers();
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
        let timeouts = Timeouts { answer: 30 * second, idle: 75 * second };
        let (state, start) = (ConnectionState::new(), Instant::now());
        let at = |seconds| state.reason_at(timeouts, start + seconds * second);
        assert_eq!(at(1000), None, "no request yet: the head has its own deadline");
        state.request_began(false);
        assert_eq!(at(1000), None, "a request has its own deadlines");
        let (old, new) = (state.track_answer(), state.track_answer());
        state.request_ended();
        assert_eq!((at(29), at(31)), (None, Some(CloseReason::AnswerUnread)));
        drop(old);
        assert_eq!(at(31), Some(CloseReason::AnswerUnread));
        drop(new);
        assert_eq!((at(74), at(76)), (None, Some(CloseReason::Idle)));
    }
}
