//! Slots of connections, and the idle connections that make room when there is none.
//!
//! - A connection holds an ordinary slot, of which there are `max_connections`, or one of
//!   [`SPARE_CONNECTIONS`] spare ones. On a spare slot health and metrics are answered; a request for
//!   anything else takes an ordinary slot first, and is refused with 503 if none is free in time.
//!   So connections that ask for nothing, however many, keep nobody from health.
//! - When no slot is free, connections without a request are closed: first those of the peer that
//!   has the most connections, the longest idle first. A connection that was opened or used a moment
//!   ago is spared. A request is never cut.
//! - A slot is given back when the socket is closed.
//!
//! Whose connections are closed is a pure function of the open ones ([`victims`]).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::{EVICTED, HTTP_CONNECTIONS};
use crate::peers::{Peer, PeerPermit};

use super::connection_state::ConnectionState;
use super::log_pace::LogPace;

/// Connections that are accepted besides `max_connections`, on which health and metrics are answered.
pub const SPARE_CONNECTIONS: usize = 32;
/// The longest that a request on a spare slot waits for an ordinary one.
const WAIT: Duration = Duration::from_secs(5);
/// The interval at which idle connections are looked for while somebody waits for a slot.
const RETRY: Duration = Duration::from_millis(50);
/// The least idle time of a connection that is closed to make room.
const GRACE: Duration = Duration::from_secs(1);
/// The same for a peer that has more than a quarter of all connections.
const GRACE_OF_MANY: Duration = Duration::from_millis(100);
/// One connection more is closed at a time for so many that are open, since all are looked through.
const OPEN_BY_VICTIM: usize = 256;

/// The slots of all connections.
#[derive(Debug)]
pub(super) struct Slots {
    ordinary: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    // A lock, held to enter or remove one connection, and to look through all when no slot is free.
    open: Mutex<Table>,
    pace: LogPace,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// The last look for idle connections.
    last_look: Option<Instant>,
    connections: HashMap<u64, OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    peer: Peer,
    state: Arc<ConnectionState>,
    evicted: CancellationToken,
}

/// A permit for a connection.
#[derive(Debug)]
pub(super) enum SlotPermit {
    Ordinary { _permit: OwnedSemaphorePermit },
    Spare { _permit: OwnedSemaphorePermit },
}

/// The slot of one connection, counted as open until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    // A lock, held for one look or one exchange.
    permit: Mutex<SlotPermit>,
    _of_peer: Option<PeerPermit>,
}

impl SlotPermit {
    fn ordinary(permit: OwnedSemaphorePermit) -> SlotPermit {
        SlotPermit::Ordinary { _permit: permit }
    }

    fn spare(permit: OwnedSemaphorePermit) -> SlotPermit {
        SlotPermit::Spare { _permit: permit }
    }
}

impl Slots {
    /// Creates the slots for `max_connections` connections, and the spare ones.
    pub(super) fn new(max_connections: usize) -> Arc<Slots> {
        let semaphore = |permits: usize| Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Slots {
            ordinary: Arc::new(semaphore(max_connections)),
            spare: Arc::new(semaphore(SPARE_CONNECTIONS)),
            open: Mutex::default(),
            pace: LogPace::default(),
        })
    }

    /// Waits for a permit, and closes idle connections while there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the slots as they are.
    pub(super) async fn acquire(&self) -> SlotPermit {
        if let Ok(permit) = Arc::clone(&self.ordinary).try_acquire_owned() {
            return SlotPermit::ordinary(permit);
        }
        if let Ok(permit) = Arc::clone(&self.spare).try_acquire_owned() {
            return SlotPermit::spare(permit);
        }
        let mut ordinary = pin!(Arc::clone(&self.ordinary).acquire_owned());
        let mut spare = pin!(Arc::clone(&self.spare).acquire_owned());
        loop {
            self.make_room(Instant::now());
            tokio::select! {
                biased;
                Ok(permit) = &mut ordinary => return SlotPermit::ordinary(permit),
                Ok(permit) = &mut spare => return SlotPermit::spare(permit),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Enters a connection. `evicted` is cancelled when it has to make room.
    pub(super) fn enter(
        self: &Arc<Self>,
        permit: SlotPermit,
        of_peer: Option<PeerPermit>,
        peer: Peer,
        state: Arc<ConnectionState>,
        evicted: CancellationToken,
    ) -> Arc<Slot> {
        metrics::gauge!(HTTP_CONNECTIONS).increment(1.0);
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, OpenConnection { peer, state, evicted });
        drop(open);
        let permit = Mutex::new(permit);
        Arc::new(Slot { slots: Arc::clone(self), number, permit, _of_peer: of_peer })
    }

    /// Closes some idle connections, if there are any, for one of many that wait. All connections are
    /// looked through, so however many wait, it is done once in [`RETRY`].
    fn make_room_for_many(&self, now: Instant) {
        let mut open = self.open.lock();
        if open.last_look.is_some_and(|last| now.saturating_duration_since(last) < RETRY) {
            return;
        }
        open.last_look = Some(now);
        drop(open);
        self.make_room(now);
    }

    /// Closes some idle connections, if there are any. For the accept loop, which waits for one
    /// connection at a time.
    pub(super) fn make_room(&self, now: Instant) {
        let open = self.open.lock();
        // One that is closing already is neither counted nor chosen.
        let staying = open.connections.iter().filter(|(_, one)| !one.evicted.is_cancelled());
        let idle: Vec<_> =
            staying.map(|(number, one)| (*number, one.peer, one.state.idle_for(now))).collect();
        let connections = idle.len();
        let victims = victims(&idle, 1 + connections / OPEN_BY_VICTIM);
        for number in &victims {
            if let Some(one) = open.connections.get(number) {
                one.evicted.cancel();
            }
        }
        drop(open);
        if victims.is_empty() {
            return;
        }
        metrics::counter!(EVICTED).increment(victims.len() as u64);
        if let Some(closed) = self.pace.count(victims.len() as u64, now) {
            warn!(
                connections,
                closed,
                "all connections are in use: idle ones are closed to make room, first those of the \
                 peer that has the most"
            );
        }
    }
}

impl Slot {
    /// Waits for an ordinary slot in place of a spare one. Returns false if none was free in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the slot as it is.
    pub(super) async fn become_ordinary(&self) -> bool {
        if self.is_ordinary() {
            return true;
        }
        let ordinary = &self.slots.ordinary;
        if let Ok(permit) = Arc::clone(ordinary).try_acquire_owned() {
            *self.permit.lock() = SlotPermit::ordinary(permit);
            return true;
        }
        let mut next = pin!(Arc::clone(ordinary).acquire_owned());
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            self.slots.make_room_for_many(Instant::now());
            tokio::select! {
                biased;
                Ok(permit) = &mut next => {
                    *self.permit.lock() = SlotPermit::ordinary(permit);
                    return true;
                }
                () = tokio::time::sleep(RETRY) => {}
            }
            // Another request of the connection may have been first.
            if self.is_ordinary() {
                return true;
            }
        }
        false
    }

    fn is_ordinary(&self) -> bool {
        matches!(*self.permit.lock(), SlotPermit::Ordinary { .. })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        metrics::gauge!(HTTP_CONNECTIONS).decrement(1.0);
        self.slots.open.lock().connections.remove(&self.number);
    }
}

/// Returns the numbers of at most `most` connections to close. A connection is its number, its peer
/// and its idle time, `None` while it has a request.
fn victims(connections: &[(u64, Peer, Option<Duration>)], most: usize) -> Vec<u64> {
    let mut held: HashMap<Peer, usize> = HashMap::new();
    for (_, peer, _) in connections {
        *held.entry(*peer).or_default() += 1;
    }
    let mut found: Vec<(usize, Duration, u64)> = connections
        .iter()
        .filter_map(|(number, peer, idle)| {
            let held = held.get(peer).copied().unwrap_or_default();
            let grace = if held * 4 > connections.len() { GRACE_OF_MANY } else { GRACE };
            idle.filter(|idle| *idle >= grace).map(|idle| (held, idle, *number))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().take(most).map(|(_, _, number)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    fn idle(seconds: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn the_longest_idle_of_the_peer_that_has_the_most_makes_room() {
        let open = [
            (1, peer(1), idle(50.0)),
            (2, peer(2), idle(2.0)),
            (3, peer(2), idle(3.0)),
            (4, peer(2), None),
        ];
        assert_eq!(victims(&open, 1), [3]);
        assert_eq!(victims(&open, 9), [3, 2, 1], "a connection with a request is never one");
    }

    #[test]
    fn who_came_a_moment_ago_is_spared() {
        let of_many: Vec<_> = (0..8).map(|number| (number, peer(1), idle(0.2))).collect();
        assert_eq!(victims(&of_many, 1).len(), 1);
        let mut open: Vec<_> =
            (0..8).map(|number| (number, peer(number as u8), idle(0.2))).collect();
        assert!(victims(&open, 8).is_empty());
        open.push((8, peer(8), idle(1.0)));
        assert_eq!(victims(&open, 8), [8]);
        assert!(victims(&[(1, peer(1), idle(0.05))], 1).is_empty());
    }

    #[tokio::test]
    async fn a_spare_slot_becomes_an_ordinary_one_when_somebody_leaves_or_is_idle() {
        let slots = Slots::new(1);
        let enter = |permit, state: &Arc<ConnectionState>| {
            let evicted = CancellationToken::new();
            let slot = slots.enter(permit, None, peer(1), Arc::clone(state), evicted.clone());
            (slot, evicted)
        };
        let busy = ConnectionState::new();
        busy.request_began(true);
        let (first, first_evicted) = enter(slots.acquire().await, &busy);
        let (second, _) = enter(slots.acquire().await, &ConnectionState::new());
        assert!(first.is_ordinary() && !second.is_ordinary());
        let waiting = tokio::spawn(async move { second.become_ordinary().await });
        tokio::time::sleep(4 * RETRY).await;
        assert!(!waiting.is_finished() && !first_evicted.is_cancelled(), "it has a request");
        busy.request_ended();
        first_evicted.cancelled().await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(slots.open.lock().connections.len(), 0);
    }

    #[tokio::test]
    async fn connections_are_looked_through_once_however_many_wait() {
        let slots = Slots::new(4);
        let mut held = Vec::new();
        for _ in 0..4 {
            let (state, evicted) = (ConnectionState::new(), CancellationToken::new());
            let permit = slots.acquire().await;
            held.push((slots.enter(permit, None, peer(1), state, evicted.clone()), evicted));
        }
        let evicted = || held.iter().filter(|(_, evicted)| evicted.is_cancelled()).count();
        let later = Instant::now() + 2 * GRACE;
        slots.make_room_for_many(later);
        slots.make_room_for_many(later);
        assert_eq!(evicted(), 1);
        slots.make_room_for_many(later + RETRY);
        assert_eq!(evicted(), 2);
    }
}
