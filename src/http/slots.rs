//! Slots of connections, and the idle connections that make room when there is none.
//!
//! - A connection holds an ordinary slot, of which there are `max_connections`, or one of
//!   [`SPARE_CONNECTIONS`] spare ones. On a spare slot health and metrics are answered; a request for
//!   anything else takes an ordinary slot first, and is refused with 503 if none is free in time.
//!   So connections that ask for nothing, however many, keep nobody from health.
//! - When no slot is free, other connections are closed for a newcomer: see `eviction`. One for which
//!   none makes room is closed itself, so that nobody waits behind it.
//! - A slot is given back when the socket is closed.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::{EVICTED, HTTP_CONNECTIONS};
use crate::peers::{Network, Peer, PeerPermit};

use super::connection_state::ConnectionState;
use super::eviction::{Candidate, Usage, victims};
use super::log_pace::LogPace;

/// Connections that are accepted besides `max_connections`, on which health and metrics are answered.
pub const SPARE_CONNECTIONS: usize = 32;
/// The longest that a request on a spare slot waits for an ordinary one.
const WAIT: Duration = Duration::from_secs(5);
/// The interval at which idle connections are looked for while somebody waits for a slot.
const RETRY: Duration = Duration::from_millis(50);
/// The longest that a newcomer waits to be accepted, until others have left for it.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);
/// Peers for which there was no room a moment ago that are remembered.
const MAX_HOPELESS: usize = 4096;
/// The time after which an answer that is not read is given up for those who find no place.
const UNREAD: Duration = Duration::from_secs(1);
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
    /// Newcomers for which nobody made room, and when that was found. All connections are looked
    /// through, and however many of a peer come, it is done once in [`RETRY`].
    hopeless: HashMap<Peer, Instant>,
    connections: HashMap<u64, OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    peer: Peer,
    state: Arc<ConnectionState>,
    closing: Closing,
}

/// The requests of a connection's slot to close it.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing {
    /// It is idle, and closes unless a request has come meanwhile, which is answered first.
    pub(super) evicted: CancellationToken,
    /// It closes at once.
    pub(super) cut: CancellationToken,
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
    /// Held by the one request that waits for an ordinary slot.
    becoming: tokio::sync::Mutex<()>,
    peer: Peer,
    closing: Closing,
    /// The gauge that it was added to, which it is taken from: that of the recorder of its begin.
    counted: metrics::Gauge,
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

    /// Returns a permit for a newcomer, for which other connections are closed if there is none.
    /// `None` if none makes room for it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the slots as they are.
    pub(super) async fn acquire(&self, newcomer: Peer) -> Option<SlotPermit> {
        if let Ok(permit) = Arc::clone(&self.ordinary).try_acquire_owned() {
            return Some(SlotPermit::ordinary(permit));
        }
        if let Ok(permit) = Arc::clone(&self.spare).try_acquire_owned() {
            return Some(SlotPermit::spare(permit));
        }
        let mut ordinary = pin!(Arc::clone(&self.ordinary).acquire_owned());
        let mut spare = pin!(Arc::clone(&self.spare).acquire_owned());
        let deadline = Instant::now() + ACCEPT_WAIT;
        let mut is_hopeful = false;
        loop {
            is_hopeful |= self.make_room(Some(newcomer), Instant::now());
            if !is_hopeful || Instant::now() >= deadline {
                return None;
            }
            tokio::select! {
                biased;
                Ok(permit) = &mut ordinary => return Some(SlotPermit::ordinary(permit)),
                Ok(permit) = &mut spare => return Some(SlotPermit::spare(permit)),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Enters a connection, which `closing` closes when it has to make room.
    pub(super) fn enter(
        self: &Arc<Self>,
        permit: SlotPermit,
        of_peer: Option<PeerPermit>,
        peer: Peer,
        state: Arc<ConnectionState>,
        closing: Closing,
    ) -> Arc<Slot> {
        let counted = metrics::gauge!(HTTP_CONNECTIONS);
        counted.increment(1.0);
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        let connection = OpenConnection { peer, state, closing: closing.clone() };
        open.connections.insert(number, connection);
        drop(open);
        Arc::new(Slot {
            slots: Arc::clone(self),
            number,
            permit: Mutex::new(permit),
            becoming: tokio::sync::Mutex::default(),
            peer,
            closing,
            counted,
            _of_peer: of_peer,
        })
    }

    /// Closes some connections for a newcomer; without one, some that are idle. Returns whether it is
    /// worth waiting for a slot.
    pub(super) fn make_room(&self, newcomer: Option<Peer>, now: Instant) -> bool {
        let mut open = self.open.lock();
        let known = newcomer.and_then(|newcomer| open.hopeless.get(&newcomer));
        if known.is_some_and(|at| now.saturating_duration_since(*at) < RETRY) {
            return false;
        }
        let mut staying = Vec::with_capacity(open.connections.len());
        for (number, one) in &open.connections {
            let usage = one.state.usage(now);
            let evicted = one.closing.evicted.is_cancelled() && matches!(usage, Usage::Idle(_));
            // One that leaves already is neither counted nor chosen.
            if !evicted && !one.closing.cut.is_cancelled() {
                staying.push(Candidate { number: *number, peer: one.peer, usage });
            }
        }
        let connections = staying.len();
        let victims = victims(&staying, newcomer, 1 + connections / OPEN_BY_VICTIM);
        let chosen = victims.numbers.iter().filter_map(|number| open.connections.get(number));
        for one in chosen {
            match one.state.usage(now) {
                Usage::Idle(_) => one.closing.evicted.cancel(),
                Usage::Busy(_) => one.closing.cut.cancel(),
            }
        }
        if let Some(newcomer) = newcomer {
            if open.hopeless.len() >= MAX_HOPELESS {
                open.hopeless.clear();
            }
            match victims.worth_waiting {
                true => open.hopeless.remove(&newcomer),
                false => open.hopeless.insert(newcomer, now),
            };
        }
        drop(open);
        if !victims.numbers.is_empty() {
            let closed = victims.numbers.len() as u64;
            self.count_closed(
                closed,
                connections,
                now,
                "all connections are in use: some are closed to make room, first idle ones of the \
                 networks that have the most",
            );
        }
        victims.worth_waiting
    }

    /// Closes the connections of `networks` with an answer that has not been read for a second.
    pub(super) fn close_unread(&self, networks: &[Network], now: Instant) {
        let open = self.open.lock();
        let unread = open.connections.values().filter(|one| {
            networks.contains(&one.peer.widest_network())
                && !one.closing.cut.is_cancelled()
                && one.state.unread_for(now).is_some_and(|unread| unread >= UNREAD)
        });
        let closed = unread.inspect(|one| one.closing.cut.cancel()).count() as u64;
        let connections = open.connections.len();
        drop(open);
        if closed > 0 {
            self.count_closed(
                closed,
                connections,
                now,
                "many requests are in flight: connections whose answers are not read are closed",
            );
        }
    }

    fn count_closed(&self, closed: u64, connections: usize, now: Instant, text: &str) {
        metrics::counter!(EVICTED).increment(closed);
        if let Some(closed) = self.pace.count(closed, now) {
            warn!(connections, closed, "{text}");
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
        tokio::time::timeout(WAIT, self.wait_for_ordinary()).await.is_ok()
    }

    async fn wait_for_ordinary(&self) {
        // Further requests of the connection wait for the first of them.
        let _first = self.becoming.lock().await;
        if self.is_ordinary() {
            return;
        }
        let ordinary = &self.slots.ordinary;
        let mut next = pin!(Arc::clone(ordinary).acquire_owned());
        loop {
            tokio::select! {
                biased;
                Ok(permit) = &mut next => {
                    *self.permit.lock() = SlotPermit::ordinary(permit);
                    return;
                }
                () = tokio::time::sleep(RETRY) => {}
            }
            self.slots.make_room(Some(self.peer), Instant::now());
        }
    }

    /// Waits until the connection has to make room for another one.
    pub(super) async fn is_to_leave(&self) {
        tokio::select! {
            () = self.closing.evicted.cancelled() => {}
            () = self.closing.cut.cancelled() => {}
        }
    }

    fn is_ordinary(&self) -> bool {
        matches!(*self.permit.lock(), SlotPermit::Ordinary { .. })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counted.decrement(1.0);
        self.slots.open.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    #[tokio::test]
    async fn a_spare_slot_becomes_an_ordinary_one_when_somebody_leaves_or_is_idle() {
        let slots = Slots::new(1);
        let enter = |permit, state: &Arc<ConnectionState>| {
            let closing = Closing::default();
            let slot = slots.enter(permit, None, peer(1), Arc::clone(state), closing.clone());
            (slot, closing.evicted)
        };
        let acquire = async || slots.acquire(peer(1)).await.unwrap();
        let busy = ConnectionState::new();
        let request = busy.request_began(true);
        let (first, first_evicted) = enter(acquire().await, &busy);
        let (second, _) = enter(acquire().await, &ConnectionState::new());
        assert!(first.is_ordinary() && !second.is_ordinary());
        let waiting = tokio::spawn(async move { second.become_ordinary().await });
        tokio::time::sleep(4 * RETRY).await;
        assert!(!waiting.is_finished() && !first_evicted.is_cancelled(), "it has a request");
        busy.request_ended(request);
        first_evicted.cancelled().await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(slots.open.lock().connections.len(), 0);
    }

    fn address(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    #[tokio::test]
    async fn a_newcomer_of_the_network_that_has_all_is_turned_away_and_another_is_let_in() {
        let slots = Slots::new(4);
        let mut held = Vec::new();
        let long_ago = ConnectionState::new();
        long_ago.request_began(true);
        while let Some(permit) = slots.acquire(address("10.0.0.1")).await {
            let closing = Closing::default();
            let of = address("10.0.0.1");
            let slot = slots.enter(permit, None, of, Arc::clone(&long_ago), closing.clone());
            held.push((slot, closing));
        }
        assert_eq!(held.len(), 4 + SPARE_CONNECTIONS);
        assert!(slots.acquire(address("10.0.0.1")).await.is_none());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let leaving = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                held.retain(|(_, closing)| !closing.cut.is_cancelled());
            }
        };
        let good = slots.acquire(address("192.0.2.1"));
        let permit = tokio::select! { permit = good => permit, () = leaving => None };
        assert!(permit.is_some());
        assert_eq!(held.len(), 3 + SPARE_CONNECTIONS);
    }

    #[tokio::test]
    async fn answers_that_are_not_read_close_connections_of_the_heaviest_networks() {
        let slots = Slots::new(4);
        let mut open = Vec::new();
        for of in ["10.0.0.1", "10.0.0.2", "192.0.2.1"] {
            let (state, closing) = (ConnectionState::new(), Closing::default());
            let permit = slots.acquire(address(of)).await.unwrap();
            let slot = slots.enter(permit, None, address(of), Arc::clone(&state), closing.clone());
            let answer = state.track_answer();
            open.push((slot, closing, answer));
        }
        let heavy = [address("10.0.0.1").widest_network()];
        let cut =
            || open.iter().map(|(_, closing, _)| closing.cut.is_cancelled()).collect::<Vec<_>>();
        slots.close_unread(&heavy, Instant::now() + UNREAD / 2);
        assert_eq!(cut(), [false; 3]);
        slots.close_unread(&heavy, Instant::now() + UNREAD);
        assert_eq!(cut(), [true, true, false]);
    }
}
