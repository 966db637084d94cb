//! Bodies that are handed on in memory: durable ones which the reader that lands them has not taken
//! yet, so that it need not read, decompress and decrypt what was just written.
//!
//! A body has its share of [`Options::hand_on_bytes`](super::Options::hand_on_bytes) from when it is
//! durable until it is taken. One that is written compressed or encrypted has it from before it is queued,
//! since it is a second copy of it; of others the queue holds the same bytes. A body that gets no share is
//! read from its segment like any other. So bodies do not pile up here while nothing lands: the first of
//! them stay, and later ones are on disk only.
//!
//! The writer puts a body here once its group is synced and before the durable mark moves; a group that
//! fails puts none. What is here is a copy: whoever drops it loses nothing but time.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::NewBody;
use crate::record::{Body, Micros, Seq};

/// Whatever counts the memory of a body. It is dropped when the journal keeps no more of the body, or
/// counts it itself.
pub type MemoryGuard = Arc<dyn Any + Send + Sync>;

/// Approximate bytes of memory that a body takes besides its own.
const BODY_BYTES: u64 = 256;
/// Most bytes of a body that is handed on: a longer one is decoded piece by piece from its segment.
const MOST_BYTES: u64 = 8 << 20;

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
    /// Its share of the memory, if it has it already.
    share: Option<Share>,
}

/// A share of the memory, given back when dropped.
struct Share {
    held_bytes: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that waits to be taken.
struct Waiting {
    body: Body,
    end: FrameEnd,
    _share: Share,
}

/// The bodies that are handed on, by number.
pub(crate) struct Handed {
    most_bytes: u64,
    /// Bytes of all shares. Relaxed: nothing else is ordered by it.
    held_bytes: Arc<AtomicU64>,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    #[cfg(test)]
    taken: AtomicU64,
}

impl Handed {
    /// Creates it with memory of `most_bytes`; 0 hands nothing on.
    pub(crate) fn new(most_bytes: u64) -> Handed {
        Handed {
            most_bytes,
            held_bytes: Arc::default(),
            waiting: Mutex::default(),
            #[cfg(test)]
            taken: AtomicU64::default(),
        }
    }

    /// Returns what is to be handed on of `new`, which was received at `received_at`; `None` if it is too long.
    pub(crate) fn prepare(&self, new: &NewBody, received_at: Micros) -> Option<ToHandOn> {
        if self.most_bytes == 0 || new.bytes.len() as u64 > MOST_BYTES {
            return None;
        }
        let NewBody { table, form, first_line, bytes } = new.clone();
        let seq = Seq(0);
        let body = Body { seq, received_at, table, form, first_line, bytes, stored: None };
        Some(ToHandOn { body, share: None })
    }

    /// Takes the share of a body now; drops the body if there is no room.
    pub(crate) fn with_share(&self, to_hand_on: ToHandOn) -> Option<ToHandOn> {
        let share = Some(self.share(&to_hand_on.body)?);
        Some(ToHandOn { share, ..to_hand_on })
    }

    fn share(&self, body: &Body) -> Option<Share> {
        let bytes = body.bytes.len() as u64 + BODY_BYTES;
        let add = |held: u64| Some(held + bytes).filter(|held| *held <= self.most_bytes);
        self.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Share { held_bytes: Arc::clone(&self.held_bytes), bytes })
    }

    /// Adds bodies that are durable, with their numbers and where their frames end, those that there is room for.
    pub(crate) fn add(&self, bodies: impl Iterator<Item = (u64, FrameEnd, ToHandOn)>) {
        let mut bodies = bodies.peekable();
        if bodies.peek().is_none() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for (seq, end, ToHandOn { mut body, share }) in bodies {
            let Some(share) = share.or_else(|| self.share(&body)) else { continue };
            body.seq = Seq(seq);
            waiting.insert(seq, Waiting { body, end, _share: share });
        }
    }

    /// Takes body `seq`, if it is here. Drops those before it.
    pub(crate) fn take(&self, seq: Seq) -> Option<(Body, FrameEnd)> {
        let mut waiting = self.waiting.lock();
        drop_before(&mut waiting, seq.0);
        let Waiting { body, end, .. } = waiting.remove(&seq.0)?;
        #[cfg(test)]
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some((body, end))
    }

    /// Tells whether a group of frames of `bytes` probably has room.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.held_bytes() + bytes <= self.most_bytes
    }

    /// Drops the bodies before `seq`, which have landed.
    pub(crate) fn drop_before(&self, seq: Seq) {
        drop_before(&mut self.waiting.lock(), seq.0);
    }

    /// Returns the number of bodies that were taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns the bytes of all shares.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

fn drop_before(waiting: &mut BTreeMap<u64, Waiting>, seq: u64) {
    while let Some(first) = waiting.first_entry().filter(|first| *first.key() < seq) {
        first.remove();
    }
}
