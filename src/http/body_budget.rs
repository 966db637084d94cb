//! The memory that all request bodies share.
//!
//! The budget is counted in blocks, so that a body asks once every 64 KiB and not for every chunk.
//! Bytes are reserved before they are kept, and given back when nothing holds them any more: bytes
//! that are handed on (to the journal, to a thread, to the client as an answer) take their
//! reservation along ([`Reservation::hold`]). The journal bounds the compressed and encrypted copies
//! that it makes.
//!
//! Bodies wait for one another in order. One that waits too long is refused, which also frees what it
//! holds, so that two half-read bodies cannot wait for each other for ever. A body that exceeds the
//! whole budget is refused at once, so that none waits behind it.
//!
//! A peer has a quarter of the budget for all its bodies together, so that a slow one cannot hold
//! everything. A single body may have more than that; once it has had it for
//! [`BudgetTimeouts::large`], it is refused as soon as others wait.
//!
//! Bodies of up to [`SMALL_BODY_BYTES`] do not wait for large ones: when the budget is in use, they take
//! from memory that is kept for them ([`BodyBudget::with_small_bodies`]). A few hundred compressed bytes
//! can become a large body, so one that outgrows it there has only [`BudgetTimeouts::outgrown`] to get
//! all of its memory from the budget, and is refused then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::metrics::BODY_MEMORY_BYTES;
use crate::peers::{Peer, PeerShares};

use super::body_buffers::BodyBuffers;

/// The unit of the budget, in bytes.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;
/// Most bytes of a body that may use the memory for small ones: the bulks of the exporter are smaller.
pub(super) const SMALL_BODY_BYTES: u64 = 1 << 20;
const SMALL_BODY_BLOCKS: u32 = (SMALL_BODY_BYTES / BLOCK_BYTES) as u32;

/// The time that bodies may take for what delays others.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetTimeouts {
    /// The time that a body waits for memory.
    pub(super) memory: Duration,
    /// The time between two chunks of a body.
    pub(super) chunk: Duration,
    /// The time from holding more than the share of a peer to the end of the body, if others wait:
    /// less than they do.
    pub(super) large: Duration,
    /// The time that a body waits which has outgrown the memory for small ones, where others need it.
    pub(super) outgrown: Duration,
}

impl BudgetTimeouts {
    /// The defaults, all well within a sender's 30 s.
    pub(super) const DEFAULT: BudgetTimeouts = BudgetTimeouts {
        memory: Duration::from_secs(4),
        chunk: Duration::from_secs(5),
        large: Duration::from_secs(3),
        outgrown: Duration::from_millis(500),
    };
}

/// Memory in blocks, of which a peer may have a quarter.
#[derive(Debug)]
struct Pool {
    blocks: Arc<Semaphore>,
    peers: PeerShares,
}

/// Blocks, with those of them that count as the peer's.
struct Acquired {
    held: OwnedSemaphorePermit,
    of_peer: OwnedSemaphorePermit,
}

impl Pool {
    fn new(blocks: usize) -> Pool {
        Pool {
            blocks: Arc::new(Semaphore::new(blocks)),
            peers: PeerShares::new(blocks.div_ceil(4)),
        }
    }

    /// Returns the most blocks of one peer.
    fn share(&self) -> u32 {
        u32::try_from(self.peers.permits()).unwrap_or(u32::MAX)
    }

    /// Waits for `more` blocks, `of_peer` of them from the peer's share.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    async fn acquire(&self, peer: Peer, of_peer: u32, more: u32) -> Result<Acquired, AcquireError> {
        let of_peer = self.peers.of(peer).acquire_many_owned(of_peer).await?;
        let held = Arc::clone(&self.blocks).acquire_many_owned(more).await?;
        Ok(Acquired { held, of_peer })
    }

    /// Returns `blocks` if nobody has to wait for them.
    fn try_acquire(&self, peer: Peer, blocks: u32) -> Option<Acquired> {
        let of_peer = self.peers.of(peer).try_acquire_many_owned(blocks.min(self.share())).ok()?;
        let held = Arc::clone(&self.blocks).try_acquire_many_owned(blocks).ok()?;
        Some(Acquired { held, of_peer })
    }
}

/// The pool that a reservation is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolKind {
    /// That of all bodies.
    All,
    /// That of small ones.
    Small,
}

/// The memory budget of all bodies together.
#[derive(Debug)]
pub(super) struct BodyBudget {
    all: Pool,
    /// Grows when larger bodies are to be taken. Relaxed: nothing else is ordered by it.
    total_blocks: AtomicU32,
    /// For small bodies when `all` is in use.
    small: Option<Pool>,
    /// Bodies that wait for memory. Relaxed: nothing else is ordered by it.
    waiting: AtomicUsize,
    /// What the bytes are read into.
    pub(super) buffers: Arc<BodyBuffers>,
    pub(super) timeouts: BudgetTimeouts,
}

/// The reason for which memory was not reserved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BudgetError {
    /// Other bodies held it for too long.
    TimedOut,
    /// The whole budget is smaller.
    ExceedsBudget,
}

/// The part of the budget that one body holds. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<BodyBudget>,
    peer: Peer,
    from: PoolKind,
    blocks: u32,
    held: Option<OwnedSemaphorePermit>,
    of_peer: Option<OwnedSemaphorePermit>,
    over_share_at: Option<Instant>,
}

impl BodyBudget {
    /// Creates a budget of `bytes`, rounded up to whole blocks.
    pub(super) fn new(bytes: u64) -> Self {
        BodyBudget::with_timeouts(bytes, BudgetTimeouts::DEFAULT)
    }

    /// Creates a budget of `bytes` with other timeouts than the defaults.
    pub(super) fn with_timeouts(bytes: u64, timeouts: BudgetTimeouts) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(most).min(most);
        BodyBudget {
            all: Pool::new(blocks),
            total_blocks: AtomicU32::new(u32::try_from(blocks).unwrap_or(u32::MAX)),
            small: None,
            waiting: AtomicUsize::new(0),
            buffers: Arc::new(BodyBuffers::new(bytes)),
            timeouts,
        }
    }

    /// Adds `bytes` for small bodies when the budget is in use.
    pub(super) fn with_small_bodies(mut self, bytes: u64) -> Self {
        let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(Semaphore::MAX_PERMITS);
        self.small = Some(Pool::new(blocks.min(Semaphore::MAX_PERMITS)));
        self
    }

    /// Raises the budget of all bodies to `bytes`, unless it has them. It never shrinks: bodies hold of it.
    /// Returns what it has then.
    pub(super) fn raise_to(&self, bytes: u64) -> u64 {
        let wanted = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        let before = self.total_blocks.fetch_max(wanted, Ordering::Relaxed);
        self.all.blocks.add_permits(wanted.saturating_sub(before) as usize);
        u64::from(wanted.max(before)) * BLOCK_BYTES
    }

    /// Creates an empty reservation for a body of `peer`.
    pub(super) fn reserve(self: &Arc<Self>, peer: Peer) -> Reservation {
        Reservation {
            budget: Arc::clone(self),
            peer,
            from: PoolKind::All,
            blocks: 0,
            held: None,
            of_peer: None,
            over_share_at: None,
        }
    }

    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> u64 {
        self.all.blocks.available_permits() as u64 * BLOCK_BYTES
    }
}

impl Reservation {
    /// Grows the reservation to at least `bytes` in all. Never shrinks it.
    ///
    /// # Errors
    /// [`BudgetError`]; the reservation is as it was.
    ///
    /// # Cancel safety
    /// A dropped future leaves the reservation as it was.
    pub(super) async fn grow_to(&mut self, bytes: u64) -> Result<(), BudgetError> {
        let wanted =
            u32::try_from(bytes.div_ceil(BLOCK_BYTES)).map_err(|_| BudgetError::ExceedsBudget)?;
        if wanted <= self.blocks {
            return Ok(());
        }
        if wanted > self.budget.total_blocks.load(Ordering::Relaxed) {
            return Err(BudgetError::ExceedsBudget);
        }
        let timeouts = &self.budget.timeouts;
        let outgrows = self.from == PoolKind::Small && wanted > SMALL_BODY_BLOCKS;
        let patience =
            if outgrows { timeouts.outgrown.min(timeouts.memory) } else { timeouts.memory };
        let waiting = Waiting::begin(&self.budget.waiting);
        let acquired = tokio::time::timeout(patience, self.acquire(wanted)).await;
        drop(waiting);
        let Ok(Ok((from, acquired))) = acquired else { return Err(BudgetError::TimedOut) };
        metrics::gauge!(BODY_MEMORY_BYTES).increment(bytes_of(wanted - self.blocks));
        if from != self.from {
            // It has all of its memory from the other pool now.
            (self.from, self.held, self.of_peer) = (from, None, None);
        }
        self.blocks = wanted;
        merge(&mut self.of_peer, acquired.of_peer);
        merge(&mut self.held, acquired.held);
        if from == PoolKind::All && wanted > self.budget.all.share() {
            self.over_share_at.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Waits for what is missing to `wanted` blocks, or for all of them from the other pool.
    async fn acquire(&self, wanted: u32) -> Result<(PoolKind, Acquired), AcquireError> {
        let BodyBudget { all, small, .. } = &*self.budget;
        let small = small.as_ref().filter(|_| wanted <= SMALL_BODY_BLOCKS);
        let more = |pool: &Pool| {
            let of_peer = wanted.min(pool.share()).saturating_sub(permits(&self.of_peer));
            (of_peer, wanted - self.blocks)
        };
        match (self.from, small) {
            (PoolKind::Small, Some(small)) => {
                let (of_peer, more) = more(small);
                Ok((PoolKind::Small, small.acquire(self.peer, of_peer, more).await?))
            }
            // Outgrown.
            (PoolKind::Small, None) => {
                let of_peer = wanted.min(all.share());
                Ok((PoolKind::All, all.acquire(self.peer, of_peer, wanted).await?))
            }
            (PoolKind::All, Some(small)) if self.blocks == 0 => {
                if let Some(acquired) = all.try_acquire(self.peer, wanted) {
                    return Ok((PoolKind::All, acquired));
                }
                let of_peer = |pool: &Pool| wanted.min(pool.share());
                tokio::select! {
                    acquired = all.acquire(self.peer, of_peer(all), wanted) => Ok((PoolKind::All, acquired?)),
                    acquired = small.acquire(self.peer, of_peer(small), wanted) => Ok((PoolKind::Small, acquired?)),
                }
            }
            (PoolKind::All, _) => {
                let (of_peer, more) = more(all);
                Ok((PoolKind::All, all.acquire(self.peer, of_peer, more).await?))
            }
        }
    }

    /// Reserves what a body is expected to take, or the whole share of its peer if that is less, so
    /// that it waits for others while it holds something only if it becomes longer. For an empty
    /// reservation.
    ///
    /// # Errors
    /// [`BudgetError::TimedOut`], as of [`grow_to`](Self::grow_to).
    ///
    /// # Cancel safety
    /// A dropped future leaves the reservation as it was.
    pub(super) async fn reserve_expected(
        &mut self,
        expected_bytes: u64,
    ) -> Result<(), BudgetError> {
        let share_bytes = u64::from(self.budget.all.share()) * BLOCK_BYTES;
        self.grow_to(expected_bytes.min(share_bytes)).await
    }

    /// Gives back the reservation beyond `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        drop(self.take(self.blocks.saturating_sub(blocks)));
    }

    /// Takes `bytes` out of the reservation, as one of their own.
    pub(super) fn split(&mut self, bytes: u64) -> Reservation {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        self.take(blocks.min(self.blocks))
    }

    fn take(&mut self, blocks: u32) -> Reservation {
        let mut taken = self.budget.reserve(self.peer);
        let split = |held: &mut Option<OwnedSemaphorePermit>, blocks: u32| {
            held.as_mut().and_then(|held| held.split(blocks as usize))
        };
        taken.from = self.from;
        taken.blocks = blocks;
        taken.held = split(&mut self.held, blocks);
        self.blocks -= blocks;
        // The peer's share goes by what is left: a body that was over it may still be.
        let spare = permits(&self.of_peer).saturating_sub(self.blocks);
        taken.of_peer = split(&mut self.of_peer, spare.min(blocks));
        taken
    }

    /// Returns the time after which the body is refused if others wait; `None` unless it holds more
    /// than the share of its peer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.over_share_at.map(|at| at + self.budget.timeouts.large)
    }

    /// Returns whether other bodies wait for memory.
    pub(super) fn is_contended(&self) -> bool {
        self.budget.waiting.load(Ordering::Relaxed) > 0
    }

    /// Returns `bytes` so that they keep the reservation for as long as they, or parts of them, are
    /// held.
    pub(super) fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(ReservedBytes { bytes, _reservation: Arc::clone(self) })
    }
}

/// Counts a body as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct ReservedBytes {
    bytes: Bytes,
    _reservation: Arc<Reservation>,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.blocks > 0 {
            metrics::gauge!(BODY_MEMORY_BYTES).decrement(bytes_of(self.blocks));
        }
    }
}

fn permits(held: &Option<OwnedSemaphorePermit>) -> u32 {
    let permits = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    u32::try_from(permits).unwrap_or(u32::MAX)
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

fn bytes_of(blocks: u32) -> f64 {
    f64::from(blocks) * BLOCK_BYTES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    fn hurried(blocks: u64, memory_ms: u64) -> Arc<BodyBudget> {
        let memory = Duration::from_millis(memory_ms);
        let timeouts = BudgetTimeouts { memory, ..BudgetTimeouts::DEFAULT };
        Arc::new(BodyBudget::with_timeouts(blocks * BLOCK_BYTES, timeouts))
    }

    #[tokio::test]
    async fn holds_whole_blocks_and_gives_them_back() {
        let memory = Arc::new(BodyBudget::new(4 * BLOCK_BYTES));
        let mut one = memory.reserve(peer(1));
        assert_eq!(one.grow_to(1).await, Ok(()));
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        assert_eq!(one.grow_to(BLOCK_BYTES).await, Ok(()));
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        assert_eq!(one.grow_to(3 * BLOCK_BYTES + 1).await, Ok(()));
        assert_eq!(memory.free_bytes(), 0);
        one.shrink_to(BLOCK_BYTES + 1);
        assert_eq!(memory.free_bytes(), 2 * BLOCK_BYTES);
        let two = one.split(1);
        drop(one);
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        drop(two);
        assert_eq!(memory.free_bytes(), 4 * BLOCK_BYTES);
        assert_eq!(memory.all.peers.of(peer(1)).available_permits(), 1);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused_and_who_waits_a_little_is_served() {
        let memory = hurried(1, 100);
        let mut one = memory.reserve(peer(1));
        let mut two = memory.reserve(peer(2));
        assert_eq!(one.grow_to(1).await, Ok(()));
        assert_eq!(two.grow_to(1).await, Err(BudgetError::TimedOut));

        let later = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(one);
        };
        let (got, ()) = tokio::join!(two.grow_to(1), later);
        assert_eq!(got, Ok(()));
    }

    #[tokio::test]
    async fn more_than_there_is_is_refused_at_once() {
        let memory = Arc::new(BodyBudget::new(BLOCK_BYTES));
        let mut one = memory.reserve(peer(1));
        let began = Instant::now();
        assert_eq!(one.grow_to(BLOCK_BYTES + 1).await, Err(BudgetError::ExceedsBudget));
        assert_eq!(one.grow_to(u64::MAX).await, Err(BudgetError::ExceedsBudget));
        assert_eq!(memory.free_bytes(), BLOCK_BYTES);
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_peer_has_a_quarter_for_its_bodies_together_and_all_for_one_alone() {
        let memory = hurried(16, 50);
        let (mut one, mut two) = (memory.reserve(peer(1)), memory.reserve(peer(1)));
        assert_eq!(one.grow_to(3 * BLOCK_BYTES).await, Ok(()));
        assert_eq!(two.grow_to(2 * BLOCK_BYTES).await, Err(BudgetError::TimedOut));
        assert_eq!(two.grow_to(BLOCK_BYTES).await, Ok(()));
        assert_eq!((one.deadline(), two.deadline()), (None, None));
        let mut other = memory.reserve(peer(2));
        assert_eq!(other.grow_to(4 * BLOCK_BYTES).await, Ok(()));
        drop((one, two));
        let mut alone = memory.reserve(peer(1));
        assert_eq!(alone.grow_to(5 * BLOCK_BYTES).await, Ok(()));
        assert!(alone.deadline().is_some(), "it has to hurry");
    }

    /// A budget of 64 blocks that large bodies hold, and memory of 32 for small ones.
    async fn held_by_large() -> (Arc<BodyBudget>, Reservation) {
        let timeouts = BudgetTimeouts {
            memory: Duration::from_millis(300),
            outgrown: Duration::from_millis(50),
            ..BudgetTimeouts::DEFAULT
        };
        let memory = BodyBudget::with_timeouts(64 * BLOCK_BYTES, timeouts);
        let memory = Arc::new(memory.with_small_bodies(32 * BLOCK_BYTES));
        let mut large = memory.reserve(peer(1));
        assert_eq!(large.grow_to(64 * BLOCK_BYTES).await, Ok(()));
        (memory, large)
    }

    #[tokio::test]
    async fn small_bodies_do_not_wait_for_large_ones() {
        let (memory, large) = held_by_large().await;
        let began = Instant::now();
        let mut small = memory.reserve(peer(2));
        assert_eq!(small.grow_to(1).await, Ok(()));
        assert_eq!(small.grow_to(8 * BLOCK_BYTES).await, Ok(()));
        assert!(began.elapsed() < Duration::from_millis(40));
        assert_eq!((small.from, small.deadline()), (PoolKind::Small, None));
        // Its peer has a quarter of that memory as well, and others the rest.
        let mut more = memory.reserve(peer(2));
        assert_eq!(more.grow_to(1).await, Err(BudgetError::TimedOut));
        let mut other = memory.reserve(peer(3));
        assert_eq!(other.grow_to(1).await, Ok(()));
        // Memory that is taken out of it goes back where it came from.
        let part = small.split(BLOCK_BYTES);
        drop((small, other, part));
        let free = |memory: &BodyBudget| memory.small.as_ref().unwrap().blocks.available_permits();
        assert_eq!((free(&memory), memory.free_bytes()), (32, 0));
        drop(large);
        let mut usual = memory.reserve(peer(2));
        assert_eq!(usual.grow_to(1).await, Ok(()));
        assert_eq!((usual.from, free(&memory)), (PoolKind::All, 32));
    }

    #[tokio::test]
    async fn a_body_that_outgrows_the_memory_for_small_ones_has_less_time() {
        let (memory, large) = held_by_large().await;
        let mut bomb = memory.reserve(peer(2));
        assert_eq!(bomb.grow_to(4 * BLOCK_BYTES).await, Ok(()));
        let began = Instant::now();
        assert_eq!(bomb.grow_to(17 * BLOCK_BYTES).await, Err(BudgetError::TimedOut));
        assert!(began.elapsed() < Duration::from_millis(250), "it held the memory of others");
        drop(large);
        assert_eq!(bomb.grow_to(17 * BLOCK_BYTES).await, Ok(()));
        assert_eq!((bomb.from, memory.free_bytes()), (PoolKind::All, (64 - 17) * BLOCK_BYTES));
        drop(bomb);
        assert_eq!(memory.free_bytes(), 64 * BLOCK_BYTES);
        assert_eq!(memory.all.peers.of(peer(2)).available_permits(), 16);
    }

    #[tokio::test]
    async fn who_holds_the_bytes_holds_the_reservation() {
        let memory = Arc::new(BodyBudget::new(4 * BLOCK_BYTES));
        let mut reservation = memory.reserve(peer(1));
        assert_eq!(reservation.grow_to(BLOCK_BYTES).await, Ok(()));
        let bytes = Arc::new(reservation).hold(Bytes::from_static(b"{}\n{}"));
        let line = bytes.slice(..2);
        drop(bytes);
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        assert_eq!(line, "{}");
        drop(line);
        assert_eq!(memory.free_bytes(), 4 * BLOCK_BYTES);
    }
}
