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

use super::eviction::Usage;

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
    h2: AtomicBool,
    unread_body: AtomicBool,
    late_head: AtomicBool,
    // A lock, held for one step; taken four times a request and now and then.
    exchanges: Mutex<Exchanges>,
}

/// Requests and answers under way, in the order of their numbers and of their begin.
#[derive(Debug)]
struct Exchanges {
    next: u64,
    /// Heads that have arrived, and are not answered.
    requests: BTreeMap<u64, Instant>,
    /// Answers that have not been handed to the socket.
    unfinished: BTreeMap<u64, Instant>,
    /// The time of the last request or answer.
    busy_at: Instant,
}

impl Exchanges {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.unfinished.is_empty()
    }
}

impl ConnectionState {
    pub(super) fn new() -> Arc<ConnectionState> {
        let (requests, unfinished) = (BTreeMap::new(), BTreeMap::new());
        let exchanges = Exchanges { next: 0, requests, unfinished, busy_at: Instant::now() };
        Arc::new(ConnectionState {
            begun: AtomicU64::default(),
            h2: AtomicBool::default(),
            unread_body: AtomicBool::default(),
            late_head: AtomicBool::default(),
            exchanges: Mutex::new(exchanges),
        })
    }

    /// Records that the head of a request has arrived. Returns the number of the request.
    pub(super) fn request_began(&self, h1: bool) -> u64 {
        if !h1 {
            self.h2.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut exchanges = self.exchanges();
        let number = exchanges.number();
        exchanges.requests.insert(number, Instant::now());
        number
    }

    /// Records that a request was answered, or that its client has gone.
    pub(super) fn request_ended(&self, number: u64) {
        let mut exchanges = self.exchanges();
        exchanges.requests.remove(&number);
        exchanges.busy_at = Instant::now();
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
        match self.usage(now) {
            Usage::Idle(idle) => Some(idle),
            Usage::Busy(_) => None,
        }
    }

    /// Returns the idle time, or the age of the oldest request or answer under way.
    pub(super) fn usage(&self, now: Instant) -> Usage {
        let exchanges = self.exchanges();
        if exchanges.is_idle() {
            return Usage::Idle(now.saturating_duration_since(exchanges.busy_at));
        }
        let oldest = |of: &BTreeMap<u64, Instant>| of.first_key_value().map(|(_, at)| *at);
        let since = oldest(&exchanges.requests).into_iter().chain(oldest(&exchanges.unfinished));
        let since = since.min().unwrap_or(now);
        Usage::Busy(now.saturating_duration_since(since))
    }

    /// Returns the age of the oldest answer that has not been handed to the socket.
    pub(super) fn unread_for(&self, now: Instant) -> Option<Duration> {
        let exchanges = self.exchanges();
        let (_, at) = exchanges.unfinished.first_key_value()?;
        Some(now.saturating_duration_since(*at))
    }

    /// Returns the number of requests that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Returns whether bytes that arrive now belong to the head of a request.
    pub(super) fn awaits_head(&self) -> bool {
        !self.h2.load(Ordering::Relaxed) && self.exchanges().requests.is_empty()
    }

    /// Tracks an answer until the returned guard is dropped.
    pub(super) fn track_answer(self: &Arc<Self>) -> AnswerInProgress {
        let mut exchanges = self.exchanges();
        let number = exchanges.number();
        exchanges.unfinished.insert(number, Instant::now());
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
        let exchanges = self.exchanges();
        if let Some((_, at)) = exchanges.unfinished.first_key_value() {
            return (now.duration_since(*at) >= timeouts.answer)
                .then_some(CloseReason::AnswerUnread);
        }
        let quiet = exchanges.requests.is_empty() && self.h2.load(Ordering::Relaxed);
        (quiet && now.duration_since(exchanges.busy_at) >= timeouts.idle)
            .then_some(CloseReason::Idle)
    }

    fn exchanges(&self) -> MutexGuard<'_, Exchanges> {
        self.exchanges.lock()
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
        let mut exchanges = self.state.exchanges();
        exchanges.unfinished.remove(&self.number);
        exchanges.busy_at = Instant::now();
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
        let request = state.request_began(false);
        assert_eq!(at(1000), None, "a request has its own deadlines");
        let (old, new) = (state.track_answer(), state.track_answer());
        state.request_ended(request);
        assert_eq!((at(29), at(31)), (None, Some(CloseReason::AnswerUnread)));
        drop(old);
        assert_eq!(at(31), Some(CloseReason::AnswerUnread));
        drop(new);
        assert_eq!((at(74), at(76)), (None, Some(CloseReason::Idle)));
    }

    #[test]
    fn the_oldest_request_or_answer_tells_for_how_long_it_is_busy() {
        let (state, start) = (ConnectionState::new(), Instant::now());
        let second = Duration::from_secs(1);
        let busy = |at| matches!(state.usage(at), Usage::Busy(time) if time > second);
        assert!(state.idle_for(start).is_some());
        let (old, new) = (state.request_began(false), state.request_began(false));
        state.request_ended(old);
        assert!(busy(start + 2 * second) && state.unread_for(start + 2 * second).is_none());
        let answer = state.track_answer();
        state.request_ended(new);
        assert!(busy(start + 2 * second));
        assert!(state.unread_for(start + 2 * second).is_some_and(|unread| unread > second));
        drop(answer);
        assert!(state.idle_for(start + 2 * second).is_some());
        assert!(state.unread_for(start).is_none());
    }
}
