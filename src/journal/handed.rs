//! Bodies that are handed on in memory: durable ones which the reader that lands them has not taken
//! yet, so that it need not read, decompress and decrypt what was just written.
//!
//! A body has its share of [`Options::hand_on_bytes`](super::Options::hand_on_bytes) from before it is queued
//! until it is taken. One that gets no share is read from its segment like any other: so bodies do not pile up
//! here while nothing lands, the first of them stay, and later ones are on disk only.
//!
//! That costs half as much again as to hand a body on. So where bodies come faster than they land, one for which
//! there is no room waits for it, in turn, and they come as fast as they land. It does not wait
//!
//! - unless the reader has lately taken [`LEAST_RATE`], some of it from here: where landing is slower, or stands
//!   still, or is busy with what is on disk, no sender is held up for it;
//! - longer than all that wait would take at that rate, and [`LONGEST_WAIT`] at most;
//! - while landing pauses for a moment, to encode a row group: the bytes of [`Credit`] go by, and come again as
//!   bodies are taken, one for [`CREDIT_SHARE`].
//!
//! The writer puts a body here once its group is synced and before the durable mark moves; a group that
//! fails puts none. What is here is a copy: whoever drops it loses nothing but time.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::NewBody;
use crate::record::{Body, Micros, Seq};

/// Whatever counts the memory of a body. It is dropped when the journal keeps no more of the body, or
/// counts it itself.
pub type MemoryGuard = Arc<dyn Any + Send + Sync>;

/// Approximate bytes of memory that a body takes besides its own.
const BODY_BYTES: u64 = 256;
/// Most bytes of a body that is handed on: a longer one is decoded piece by piece from its segment.
const MOST_BYTES: u64 = 8 << 20;

/// Bytes a second that landing has to take for bodies to wait for it.
const LEAST_RATE: u64 = 64 << 20;
/// Longest time for which a body waits for its share.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Time over which the rate is measured, or longer if nothing is taken.
const RATE_OVER: Duration = Duration::from_millis(250);
/// Nobody waits for a reader that has taken nothing for so long.
const IDLE_AFTER: Duration = Duration::from_secs(1);
#[cfg(test)]
const HOUR: Duration = Duration::from_secs(3600);

/// Bytes that are taken for each that may go by without waiting.
const CREDIT_SHARE: u64 = 64;

/// The end of a body's frame in its segment, where a reader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameEnd {
    /// The first body of the segment.
    pub(crate) first_seq: u64,
    pub(crate) offset: u64,
}

/// A body on its way to be handed on. It has no number yet.
pub(crate) struct ToHandOn {
    body: Body,
    /// Its share of the memory.
    share: Share,
}

impl ToHandOn {
    /// Creates it from `new`, which was received at `received_at`.
    pub(crate) fn new(new: &NewBody, received_at: Micros, share: Share) -> ToHandOn {
        let NewBody { table, form, first_line, bytes } = new.clone();
        let seq = Seq(0);
        let body = Body { seq, received_at, table, form, first_line, bytes, stored: None };
        ToHandOn { body, share }
    }
}

/// A share of the memory, one permit for each byte, given back when dropped.
pub(crate) struct Share {
    _permits: OwnedSemaphorePermit,
}

/// A body that waits for its share. Counted until it is dropped.
struct InLine<'h> {
    handed: &'h Handed,
    bytes: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.handed.in_line_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that waits to be taken.
struct Waiting {
    body: Body,
    end: FrameEnd,
    _share: Share,
}

/// Bytes of bodies that may go by without waiting for a share. Relaxed: nothing else is ordered by it.
struct Credit {
    most_bytes: u64,
    bytes: AtomicU64,
}

impl Credit {
    /// Spends `bytes`, if there are so many.
    fn spend(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn add(&self, bytes: u64) {
        let more = |left: u64| Some((left + bytes).min(self.most_bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// The rate at which the reader takes bodies, from memory or from disk.
#[derive(Default)]
struct Pace {
    /// When the bytes began to be counted.
    since: Option<Instant>,
    /// When a body was last taken from memory.
    last: Option<Instant>,
    bytes: u64,
    /// The last rate that was measured is [`LEAST_RATE`] or more.
    is_fast: bool,
}

impl Pace {
    fn add(&mut self, bytes: u64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.bytes += bytes;
        let time = now.duration_since(since);
        if time >= RATE_OVER {
            self.is_fast =
                u128::from(self.bytes) * 1000 >= u128::from(LEAST_RATE) * time.as_millis();
            (self.since, self.bytes) = (Some(now), 0);
        }
    }

    fn is_fast(&self, now: Instant) -> bool {
        let is_late = |last: Instant| now.duration_since(last) >= IDLE_AFTER;
        self.is_fast && !self.last.is_none_or(is_late)
    }
}

/// The bodies that are handed on, by number.
pub(crate) struct Handed {
    most_bytes: u64,
    /// A permit for each byte that is free.
    free: Arc<Semaphore>,
    /// Bytes of the bodies that wait for a share. Relaxed: nothing else is ordered by it.
    in_line_bytes: AtomicU64,
    credit: Credit,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    pace: Mutex<Pace>,
    #[cfg(test)]
    taken: AtomicU64,
}

impl Handed {
    /// Creates it with memory of `most_bytes`; 0 hands nothing on.
    pub(crate) fn new(most_bytes: u64) -> Handed {
        let permits = usize::try_from(most_bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Handed {
            most_bytes: permits as u64,
            free: Arc::new(Semaphore::new(permits)),
            in_line_bytes: AtomicU64::default(),
            credit: Credit { most_bytes: permits as u64, bytes: AtomicU64::new(permits as u64) },
            waiting: Mutex::default(),
            pace: Mutex::default(),
            #[cfg(test)]
            taken: AtomicU64::default(),
        }
    }

    /// Returns the share of a body of `body_bytes`, and waits for it while bodies are taken; `None` if there is
    /// no room, or the body is too long.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it leaves no trace.
    pub(crate) async fn share(&self, body_bytes: u64) -> Option<Share> {
        if body_bytes > MOST_BYTES || body_bytes + BODY_BYTES > self.most_bytes {
            return None;
        }
        let bytes = u32::try_from(body_bytes + BODY_BYTES).ok()?;
        if let Ok(permits) = Arc::clone(&self.free).try_acquire_many_owned(bytes) {
            return Some(Share { _permits: permits });
        }
        if !self.pace.lock().is_fast(Instant::now()) || self.credit.spend(u64::from(bytes)) {
            return None;
        }
        let bytes_before = self.in_line_bytes.fetch_add(u64::from(bytes), Ordering::Relaxed);
        let _in_line = InLine { handed: self, bytes: u64::from(bytes) };
        let wait_ms = (bytes_before + u64::from(bytes)) * 1000 / LEAST_RATE + 1;
        let most = LONGEST_WAIT.min(Duration::from_millis(wait_ms));
        let permits = Arc::clone(&self.free).acquire_many_owned(bytes);
        let permits = tokio::time::timeout(most, permits).await.ok()?.ok()?;
        Some(Share { _permits: permits })
    }

    /// Adds bodies that are durable, with their numbers and where their frames end.
    pub(crate) fn add(&self, bodies: impl Iterator<Item = (u64, FrameEnd, ToHandOn)>) {
        let mut bodies = bodies.peekable();
        if bodies.peek().is_none() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for (seq, end, ToHandOn { mut body, share }) in bodies {
            body.seq = Seq(seq);
            waiting.insert(seq, Waiting { body, end, _share: share });
        }
    }

    /// Takes body `seq`, if it is here. Drops those before it.
    pub(crate) fn take(&self, seq: Seq) -> Option<(Body, FrameEnd)> {
        let mut waiting = self.waiting.lock();
        drop_before(&mut waiting, seq.0);
        let Waiting { body, end, .. } = waiting.remove(&seq.0)?;
        let bytes = body.bytes.len() as u64;
        self.credit.add(bytes / CREDIT_SHARE);
        let now = Instant::now();
        let mut pace = self.pace.lock();
        pace.add(bytes, now);
        pace.last = Some(now);
        #[cfg(test)]
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some((body, end))
    }

    /// Takes note of a body of `bytes` that the reader has read from disk.
    pub(crate) fn read_from_disk(&self, bytes: u64) {
        self.pace.lock().add(bytes, Instant::now());
    }

    /// Ends all waiting: who waits or comes gets no share.
    pub(crate) fn end_waiting(&self) {
        self.free.close();
    }

    /// Drops the bodies before `seq`, which have landed.
    pub(crate) fn drop_before(&self, seq: Seq) {
        drop_before(&mut self.waiting.lock(), seq.0);
    }

    /// Has bodies wait for an hour, whether others are taken or not.
    #[cfg(test)]
    pub(crate) fn always_wait(&self) {
        *self.pace.lock() =
            Pace { is_fast: true, last: Instant::now().checked_add(HOUR), ..Pace::default() };
        self.credit.bytes.store(0, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn add_credit(&self, bytes: u64) {
        self.credit.add(bytes);
    }

    #[cfg(test)]
    pub(crate) fn spend_credit(&self) {
        self.credit.spend(self.credit_bytes());
    }

    #[cfg(test)]
    pub(crate) fn credit_bytes(&self) -> u64 {
        self.credit.bytes.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the bodies that are here.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> u64 {
        let waiting = self.waiting.lock();
        waiting.values().map(|one| one.body.bytes.len() as u64 + BODY_BYTES).sum()
    }

    /// Returns the bytes of bodies that wait for a share.
    #[cfg(test)]
    pub(crate) fn in_line_bytes(&self) -> u64 {
        self.in_line_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of bodies that were taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns the bytes of all shares.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.most_bytes.saturating_sub(self.free.available_permits() as u64)
    }
}

fn drop_before(waiting: &mut BTreeMap<u64, Waiting>, seq: u64) {
    while let Some(first) = waiting.first_entry().filter(|first| *first.key() < seq) {
        first.remove();
    }
}
