//! The journal: a write-ahead log of bodies. A body is durable here before its sender is answered,
//! and is kept until it is in the lake.
//!
//! # Promises
//! 1. *Acked is durable.* [`Journal::append`] answers after the body, its segment and the
//!    segment's name are synced.
//! 2. *In order, once.* Bodies are numbered 1, 2, 3 … without a gap; a number is never used for
//!    two bodies, whatever was released or lost in between. A [`Reader`] hands out each durable
//!    body once, in order, and none that is not durable.
//! 3. *A retry is recognised* within [`Options::retry_window`], over restarts and releases:
//!    it gets the first one's [`Receipt`], `duplicate: true`, and is not stored.
//! 4. *A failed write or sync is final.* Nothing in that group is acked, nothing is written after
//!    it, everything later is refused as poisoned. The next start recovers.
//! 5. *No silent gap.* A torn tail, which can only hold what was never acked, is cut. Anything
//!    else that is not as written stops [`Journal::open`], unless the options say to go on without
//!    it.
//! 6. *Bounded.* Bytes on disk by the quota and the reserve, waiting bytes by the queue; what does
//!    not fit is refused before it is written. Control records are exempt: they empty the journal.
//!
//! # On disk
//! ```text
//!  <dir>/lock                        held as long as the journal is open
//!  <dir>/00000000000000000001.seg    named by its first body
//!  <dir>/00000000000000004096.seg    the last one is being written
//!
//!  segment    head | checkpoint | body | body | seal | body | committed | … | closed
//! ```
//! The head names the node and the format; the checkpoint says everything that earlier segments
//! said besides bodies (rolls, lost bodies, the retry window), so that these can be deleted. The
//! bytes are in `frame`, `control` and `segment`.
//!
//! # Threads
//! Callers hash a body, wait for a share of the queue, compress (if need be), encrypt and sum it, and hand it over. One
//! writer thread takes what waits, makes one vectored write and one sync, moves the durable mark and
//! answers (group commit): a lone body waits for nobody, many share a sync. Bodies that are durable are handed on
//! in memory to the reader that lands them, as far as they fit (`handed`). Before a new segment
//! gets its first body, the one before it is synced, and its own head and name are.
//!
//! # Recovery
//! | state on disk | treated as |
//! |---|---|
//! | `*.seg.new` | a segment that was being made: removed |
//! | in the last segment, a bad frame at X and no frame behind it with `group_start` > X | a torn tail: cut at X |
//! | in the last segment, a bad frame at X and a frame behind it with `group_start` > X | damage |
//! | a bad head, or a bad frame in an earlier segment | damage |
//! | a missing number above the last committed one | a missing segment |
//!
//! A sync that failed may leave bytes that can be read and are not on disk. So a start writes the
//! last segment's bytes again from the last known durable offset on, and syncs them, before it
//! counts them as durable. Then it begins a new segment. With [`Options::skip_damaged`], a damaged
//! segment is renamed to `*.damaged`; its whole bodies stay, the others are given up, and that is
//! remembered.
//!
//! A start relies on one thing that the journal does not check: its user commits a roll before it
//! seals the next, and all rolls that [`Recovery::sealed`] names before it seals any. So a whole seal
//! proves that rolls before it whose records are damaged have landed.
//!
//! # Failure modes that are not covered
//! A device that lies about flushes; damage to the very last group when the journal was not closed
//! in order (it looks like a torn tail, and is reported as such).

mod active_segment;
mod append;
mod codec;
mod control;
mod direct;
mod directory;
mod disk;
mod error;
mod frame;
mod handed;
mod identity;
mod options;
mod progress;
mod quota;
mod reader;
mod real_disk;
mod recovery;
mod release;
mod request;
mod rescue;
mod retry_window;
mod rotation;
mod salvage;
mod scan;
mod segment;
mod set_aside;
mod state;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;

pub use codec::encryption::BodyCipher;
pub use control::MAX_SETTINGS_BYTES;
pub(crate) use directory::LOCK;
pub use disk::{Disk, DiskDir, DiskFile, DiskLock};
pub(crate) use disk::{read_full_at, write_all_at};
pub use error::{AppendError, JournalError};
pub use handed::MemoryGuard;
pub use options::{NewQuota, Options, quota_for_body};
pub use progress::ReplayProgress;
pub use reader::{Next, Reader};
pub use real_disk::RealDisk;
pub use rescue::{Rescued, rescue};

use crate::clock::Clock;
use crate::record::{Form, Roll, Seq, SeqRange};
use parking_lot::Mutex;
use request::Request;
use state::Shared;

/// Time for which [`Journal::append`] waits for a share of the queue before it returns
/// [`AppendError::Busy`].
pub const BUSY_AFTER: Duration = Duration::from_secs(5);

/// A body to be recorded.
#[derive(Clone, Debug)]
pub struct NewBody {
    /// The table its documents belong to.
    pub table: Arc<str>,
    /// The form of its documents.
    pub form: Form,
    /// Number of its first line, counted from 1.
    pub first_line: u64,
    /// The documents, inflated.
    pub bytes: Bytes,
}

/// Proof that a body is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The body's number.
    pub seq: Seq,
    /// An equal body was recorded before, within the retry window; `seq` is that one's.
    pub duplicate: bool,
}

/// The range of bodies of a roll, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The roll's number.
    pub roll: Roll,
    /// Its bodies.
    pub range: SeqRange,
    /// Settings by which the roll is made again with the same bytes. Opaque here; at most
    /// [`MAX_SETTINGS_BYTES`].
    pub settings: Vec<u8>,
}

/// The outcome of the recovery at a start.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The number that the next body gets.
    pub next: Seq,
    /// The roll that may be sealed next.
    pub next_roll: Roll,
    /// The first body that is in no seal (and not lost).
    pub unsealed_from: Seq,
    /// The tables of the bodies from there on, in the order of their names.
    pub waiting_tables: Vec<String>,
    /// Rolls that were sealed and not committed, in order: to be done again.
    pub sealed: Vec<Seal>,
    /// Bytes cut off the last segment, never acked.
    pub torn_bytes: u64,
    /// Segments that this start gave up, by [`Options::skip_damaged`].
    pub skipped: Vec<SkippedSegment>,
}

/// A segment that was set aside, or is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedSegment {
    /// The path of the damaged file now; `None` if the segment is missing.
    pub path: Option<PathBuf>,
    /// Numbers of the bodies that are gone, in order. For the last segment this is an upper bound: it
    /// says which numbers will not be used again.
    pub lost: Vec<SeqRange>,
    /// The number of its bodies that are whole, and stay in the journal.
    pub kept: u64,
    /// The reason.
    pub why: String,
}

/// The state of the journal.
#[derive(Clone, Debug)]
pub struct Status {
    /// Bytes of all segments on disk.
    pub backlog_bytes: u64,
    /// The number of segments.
    pub segments: usize,
    /// The last durable body; 0 if there was none yet.
    pub last_seq: Seq,
    /// The last body of the last committed roll; 0 if there was none yet.
    pub committed_seq: Seq,
    /// The first failed write or sync, or the loss of the directory.
    pub poisoned: Option<String>,
    /// The answer that a usual bulk (of 1 MiB, or the largest body if that is smaller) would get now.
    pub accepting: Result<(), AppendError>,
}

/// The sizes of the journal and of its pending bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all segments on disk.
    pub size_bytes: u64,
    /// Bytes of them that are of bodies which have not landed. Within a segment some of whose bodies
    /// have landed, by their share of its bodies.
    pub pending_bytes: u64,
    /// Bodies that have not landed. Those that were given up count until a later one has landed.
    pub pending_bodies: u64,
    /// Maximum bytes of all segments.
    pub quota_bytes: u64,
    /// Free bytes of the file system, if it tells.
    pub free_bytes: Option<u64>,
    /// Bytes of them that are left free.
    pub reserve_bytes: u64,
}

/// A handle to the journal. Clones are cheap and share everything.
///
/// The directory stays locked until the last handle and the last [`Reader`] are dropped; the last
/// one waits for the writer thread.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    requests: Option<Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.requests = None;
        let thread = self.thread.get_mut().take();
        if let Some(thread) = thread {
            // A panic there has poisoned the journal already, and been answered.
            let _ = thread.join();
        }
    }
}

impl Journal {
    /// Locks the directory, recovers what it holds and starts the writer. Blocks: every byte of
    /// every segment is read and checked. [`replay`](Self::replay) with a progress that nobody sees.
    ///
    /// # Errors
    /// Those of [`replay`](Self::replay).
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Journal, Recovery), JournalError> {
        Journal::replay(disk, clock, options, &Arc::default())
    }

    /// Locks the directory, recovers what it holds and starts the writer. Blocks: every byte of
    /// every segment is read and checked, which `progress` shows and can end.
    ///
    /// # Errors
    /// [`JournalError::Locked`]; [`JournalError::Damaged`] or [`JournalError::Missing`] unless
    /// [`Options::skip_damaged`]; [`JournalError::NoKey`] or [`JournalError::WrongKey`] if the first
    /// body that is encrypted and waits cannot be decrypted; [`JournalError::Version`];
    /// [`JournalError::Options`]; [`JournalError::Io`]; [`JournalError::Stopped`]. After an error nothing has been
    /// lost: at most a torn tail was cut and committed segments were deleted.
    pub fn replay(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        progress: &Arc<ReplayProgress>,
    ) -> Result<(Journal, Recovery), JournalError> {
        let opened = recovery::open(disk, clock, options, progress).map_err(|error| {
            // Other faults are found by the next start.
            if progress.is_stopped() { JournalError::Stopped } else { error }
        })?;
        release::release(&opened.shared);
        let (requests, thread) = opened.writer.start()?;
        let inner = Inner {
            shared: opened.shared,
            requests: Some(requests),
            thread: Mutex::new(Some(thread)),
        };
        let journal = Journal { inner: Arc::new(inner) };
        if let Some(seq) = opened.encrypted_from {
            // A wrong key is found here, and not when the first roll is due.
            journal.reader(seq).next(Duration::ZERO)?;
        }
        Ok((journal, opened.recovery))
    }

    /// Returns the node's name, made once for a journal: `[prefix-]` and eight random characters.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.shared.node
    }

    /// Sends a request to the writer. Returns it if the writer is gone.
    fn send(&self, request: Request) -> Option<Request> {
        match &self.inner.requests {
            Some(requests) => requests.send(request).err().map(|error| error.0),
            None => Some(request),
        }
    }

    /// Returns a reader of durable bodies from `from` on, as they come. `from` may lie in the future.
    /// For a released body, the first [`Reader::next`] fails.
    #[must_use]
    pub fn reader(&self, from: Seq) -> Reader {
        Reader::new(self.clone(), from)
    }

    /// Records a roll's range and settings. Blocks; durable on return. Works after
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// [`JournalError::OutOfOrder`] unless it is the next roll, begins at the first unsealed body
    /// and ends at a durable one; [`JournalError::Poisoned`].
    pub fn seal(&self, seal: &Seal) -> Result<(), JournalError> {
        let (answer, outcome) = crossbeam_channel::bounded(1);
        drop(self.send(Request::Seal(seal.clone(), answer)));
        outcome.recv().unwrap_or_else(|_| Err(self.inner.shared.poison_error()))
    }

    /// Marks the oldest sealed roll as being in the lake, then deletes segments that are no longer
    /// needed. Blocks; the mark is durable on return. Works after [`close`](Self::close).
    ///
    /// A segment that cannot be deleted is logged and tried again at the next commit.
    ///
    /// # Errors
    /// [`JournalError::OutOfOrder`] if it is not the oldest sealed roll;
    /// [`JournalError::Poisoned`].
    pub fn committed(&self, roll: Roll) -> Result<(), JournalError> {
        let (answer, outcome) = crossbeam_channel::bounded(1);
        drop(self.send(Request::Committed(roll, answer)));
        let shared = &self.inner.shared;
        outcome.recv().unwrap_or_else(|_| Err(shared.poison_error()))?;
        let committed_seq = shared.state().committed_seq;
        shared.handed.drop_before(Seq(committed_seq).next());
        release::release(shared);
        Ok(())
    }

    /// Returns the bodies that were given up by [`Options::skip_damaged`], within `range` or right
    /// before it, in order. Committed ones may be left out.
    #[must_use]
    pub fn lost(&self, range: SeqRange) -> Vec<SeqRange> {
        let lost = self.inner.shared.state().lost.clone();
        let mut first = range.first;
        for one in lost.iter().rev() {
            if one.first < first && one.last.next() >= first {
                first = one.first;
            }
        }
        lost.into_iter().filter(|one| one.last >= first && one.first <= range.last).collect()
    }

    /// Returns the state of the journal. Asks the file system for its free space.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.inner.shared;
        let accepting = quota::accepting(shared);
        let state = shared.state();
        Status {
            backlog_bytes: state.bytes,
            segments: state.segments.len(),
            last_seq: Seq(state.last_seq),
            committed_seq: Seq(state.committed_seq),
            poisoned: state.poisoned.clone(),
            accepting,
        }
    }

    /// Returns the last body that is durable, and the last that is released. Asks no disk.
    #[must_use]
    pub(crate) fn positions(&self) -> (Seq, Seq) {
        let state = self.inner.shared.state();
        (Seq(state.last_seq), Seq(state.committed_seq))
    }

    /// Returns what it takes and what waits in it. Asks the file system for its free space.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let shared = &self.inner.shared;
        let free_bytes = shared.disk.free_bytes(&shared.options.dir).ok();
        let state = shared.state();
        let (pending_bodies, pending_bytes) = state.pending();
        Usage {
            size_bytes: state.bytes,
            pending_bytes,
            pending_bodies,
            quota_bytes: shared.options.quota_now_bytes(),
            free_bytes,
            reserve_bytes: shared.options.reserve_bytes,
        }
    }

    /// Returns the number of bodies that were taken from memory.
    #[cfg(test)]
    pub(crate) fn handed_bodies(&self) -> u64 {
        self.inner.shared.handed.taken()
    }

    /// Returns the bytes of memory of bodies that are handed on, or will be.
    #[must_use]
    pub(crate) fn handed_bytes(&self) -> u64 {
        self.inner.shared.handed.held_bytes()
    }

    /// Returns how many bodies wait to be released, and their bytes on disk. Asks no disk.
    #[must_use]
    pub fn pending(&self) -> (u64, u64) {
        self.inner.shared.state().pending()
    }

    /// Returns the first failed write or sync, or the loss of the directory, if there was one: final
    /// until the journal is opened again.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.shared.state().poisoned.clone()
    }

    /// Returns the bytes that the journal leaves free on its file system.
    #[must_use]
    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.inner.shared.options.reserve_bytes
    }

    /// Checks that the directory is still the one that was opened: that its lock has its name. A file
    /// that was made durable in the directory before the call is then there for the next start.
    ///
    /// # Errors
    /// [`JournalError::Gone`]; [`JournalError::Io`] if that cannot be found out.
    pub(crate) fn check_directory(&self) -> Result<(), JournalError> {
        self.inner.shared.directory.check()
    }

    /// Refuses further bodies, and waits until those that were accepted are durable and answered.
    /// Blocks. Readers then drain and return [`Next::Closed`]; seals and commits still work. Closing
    /// twice does nothing.
    pub fn close(&self) {
        self.inner.shared.state().closing = true;
        self.inner.shared.end_waiting();
        let (answer, done) = crossbeam_channel::bounded(1);
        drop(self.send(Request::Close(answer)));
        // An error means that the writer is gone, and has answered everyone.
        let _ = done.recv();
    }
}
