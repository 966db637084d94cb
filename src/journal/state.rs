//! State that the writer, the readers and the handles share.
//!
//! Two locks, never held together and never across I/O: `state` (the segments and how far
//! they are durable) and `window` (the bodies that were seen). The writer takes each once a group;
//! readers take `state` when they have used up what they knew to be durable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::codec::compression::MOST_BYTES;
use super::directory::Directory;
use super::disk::Disk;
use super::handed::Handed;
use super::retry_window::RetryWindow;
use super::{AppendError, JournalError, Options};
use crate::clock::Clock;
use crate::record::SeqRange;

/// One segment on disk. Its key in [`State::segments`] is its first sequence number.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) format: u32,
    pub(crate) salt: u64,
    /// Offset of the first frame behind the head and the checkpoint.
    pub(crate) frames_at: u64,
    /// Bytes of the file that are durable; the whole file for all but the last.
    pub(crate) durable: u64,
    /// Its last durable body; the one before its first if it has none.
    pub(crate) last_seq: u64,
}

/// The state of the journal on disk.
pub(crate) struct State {
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Bytes of all segments.
    pub(crate) bytes: u64,
    /// The last durable body; 0 if none.
    pub(crate) last_seq: u64,
    pub(crate) committed_seq: u64,
    pub(crate) lost: Vec<SeqRange>,
    /// The error of the last try to make a segment, if that failed.
    pub(crate) no_segment: Option<String>,
    /// The first failure.
    pub(crate) poisoned: Option<String>,
    /// Set by `close`: no new bodies.
    pub(crate) closing: bool,
    /// Set when everything accepted before `close` is durable.
    pub(crate) closed: bool,
}

impl State {
    /// Returns how many bodies are not committed, and their bytes.
    pub(crate) fn pending(&self) -> (u64, u64) {
        (self.last_seq.saturating_sub(self.committed_seq), self.pending_bytes())
    }

    /// Returns the bytes of bodies that are not committed, within a segment by their share of its bodies.
    pub(crate) fn pending_bytes(&self) -> u64 {
        let committed = self.committed_seq;
        let of = |(first, segment): (&u64, &Segment)| {
            let bytes = segment.durable.saturating_sub(segment.frames_at);
            let bodies = (segment.last_seq + 1).saturating_sub(*first);
            let pending = segment.last_seq.saturating_sub(committed).min(bodies);
            // In 128 bits: both factors may be large.
            let share = u128::from(bytes) * u128::from(pending) / u128::from(bodies.max(1));
            u64::try_from(share).unwrap_or(bytes)
        };
        self.segments.iter().map(of).sum()
    }
}

/// Everything behind a [`Journal`](super::Journal).
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) node: String,
    /// Seeds the retry keys.
    pub(crate) seed: u64,
    state: Mutex<State>,
    /// Notified when the state has changed.
    pub(crate) changed: Condvar,
    window: Mutex<RetryWindow>,
    /// Permits of the writer's queue, one for each KiB of body.
    pub(crate) queue_permits: Arc<Semaphore>,
    /// Bodies that are handed on in memory.
    pub(crate) handed: Handed,
    /// More is not committed than [`Options::many_pending_bytes`]. Relaxed: nothing else is ordered by it.
    pub(crate) has_many_pending: AtomicBool,
    /// One release at a time.
    pub(crate) releasing: Mutex<()>,
    /// Unlocked with the last handle or reader.
    pub(crate) directory: Directory,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "the parts, each named")]
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        node: String,
        seed: u64,
        state: State,
        window: RetryWindow,
        directory: Directory,
    ) -> Shared {
        let queue_permits = Arc::new(Semaphore::new(options.queue_kib() as usize));
        let handed = Handed::new(options.hand_on_bytes);
        Shared {
            disk,
            clock,
            options,
            node,
            seed,
            state: Mutex::new(state),
            changed: Condvar::new(),
            window: Mutex::new(window),
            queue_permits,
            handed,
            has_many_pending: AtomicBool::new(false),
            releasing: Mutex::new(()),
            directory,
        }
    }

    /// Tells whether a body of `body_bytes` is to be compressed: where that costs less than to write all of it,
    /// because the disk does not keep up or has to hold it for long.
    pub(crate) fn compresses(&self, body_bytes: usize) -> bool {
        let options = &self.options;
        let Some(least_bytes) = options.compress_from_bytes else { return false };
        if !(least_bytes..=MOST_BYTES).contains(&body_bytes) {
            return false;
        }
        let queue_kib = options.queue_kib() as usize;
        let waiting_kib = queue_kib.saturating_sub(self.queue_permits.available_permits());
        options.compress_always
            || waiting_kib as u64 > options.many_waiting_kib()
            || self.has_many_pending.load(Ordering::Relaxed)
    }

    /// Locks the state. A panic under the lock leaves whole values: each change is a few assignments.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Locks the retry window.
    pub(crate) fn window(&self) -> MutexGuard<'_, RetryWindow> {
        self.window.lock()
    }

    /// Records the first failure, and wakes all waiters. Nothing is written after this.
    pub(crate) fn poison(&self, reason: String) {
        let mut state = self.state();
        if state.poisoned.is_none() {
            tracing::error!(%reason, "the journal stopped");
            state.poisoned = Some(reason);
        }
        drop(state);
        self.end_waiting();
        self.changed.notify_all();
    }

    /// Ends the waiting of bodies for memory and for the queue.
    pub(crate) fn end_waiting(&self) {
        self.queue_permits.close();
        self.handed.end_waiting();
    }

    /// Returns the reason why no body is accepted, whatever its size, if there is one.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        let state = self.state();
        match &state.poisoned {
            Some(reason) => Some(AppendError::Poisoned { reason: reason.clone() }),
            None => state.closing.then_some(AppendError::Closed),
        }
    }

    /// Returns the error of a journal whose writer cannot answer.
    pub(crate) fn poison_error(&self) -> JournalError {
        let reason = self.state().poisoned.clone();
        JournalError::Poisoned { reason: reason.unwrap_or_else(|| WRITER_GONE.into()) }
    }
}

/// The reason given when the writer's thread ended without one.
pub(crate) const WRITER_GONE: &str = "the writer thread has ended";
