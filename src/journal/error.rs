//! Errors of the journal, grouped by the action that they ask of the caller.
//!
//! [`AppendError`] is for the answer to the sender: refused now, and when to send again. [`JournalError`]
//! is for the operator: it names the file and the offset, and says what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::record::{Seq, SeqRange};

/// The reason why a body was not recorded.
///
/// [`Full`](Self::Full), [`DiskReserve`](Self::DiskReserve), [`NoSegment`](Self::NoSegment),
/// [`Busy`](Self::Busy), [`Closed`](Self::Closed) and [`TooLarge`](Self::TooLarge) mean that nothing
/// was written.
/// After [`Poisoned`](Self::Poisoned) the body may or may not be found by the next start; it was
/// not acknowledged, and it is there at most once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The segments have reached the quota.
    #[error(
        "the journal is full: {used_bytes} of {quota_bytes} bytes; it empties as rolls are \
         committed (raise the journal's quota if that is too slow)"
    )]
    Full {
        /// Bytes of all segments now.
        used_bytes: u64,
        /// The quota.
        quota_bytes: u64,
    },
    /// The file system has less space than must stay free.
    #[error(
        "the journal's disk has {free_bytes} bytes free, and {reserve_bytes} must stay free: \
         free some space, or lower the reserve"
    )]
    DiskReserve {
        /// Bytes free for this user.
        free_bytes: u64,
        /// The reserve.
        reserve_bytes: u64,
    },
    /// The next segment could not be made, and the last one is full. Tried again every second.
    #[error("no further segment of the journal can be made: {reason}; it is tried again")]
    NoSegment {
        /// The error of the last try.
        reason: String,
    },
    /// The writer's queue stayed full for [`BUSY_AFTER`](super::BUSY_AFTER): the disk is slower than
    /// the senders.
    #[error("the journal's queue stayed full: the disk is slower than what comes in")]
    Busy,
    /// A write or a sync failed earlier, or the directory is gone. Final until the program is started
    /// again.
    #[error("the journal stopped: {reason}; start the program again")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// [`Journal::close`](super::Journal::close) was called.
    #[error("the journal is closed")]
    Closed,
    /// The body can never be taken.
    #[error("a body of {bytes} bytes is more than the journal takes ({limit_bytes} bytes)")]
    TooLarge {
        /// Bytes of the body.
        bytes: u64,
        /// The most that a body may have: just under 4 GiB, or half the quota.
        limit_bytes: u64,
    },
}

impl AppendError {
    /// Returns the time after which trying again is worth it; `None` if it never is.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            AppendError::Busy => 1,
            AppendError::Full { .. } | AppendError::NoSegment { .. } | AppendError::Closed => 5,
            AppendError::DiskReserve { .. } => 10,
            AppendError::Poisoned { .. } => 30,
            AppendError::TooLarge { .. } => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// The reason why the journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another `Journal` of this one, has the directory.
    #[error(
        "{} is in use by another process: stop that one, or give this one a state directory of \
         its own",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or the directory that it was done to.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file of the running journal has lost its name: the directory was deleted, unmounted,
    /// replaced or moved away under it.
    #[error(
        "{} is no longer the file that this process opened: the state directory was deleted, \
         unmounted or replaced under it",
        path.display()
    )]
    Gone {
        /// The name.
        path: PathBuf,
    },
    /// Bytes that were once durable are not what was written.
    #[error(
        "{} is damaged at offset {offset}: {why}; restore the file, or start once with \
         --skip-damaged to set it aside and go on without its bodies",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Offset of the first bad frame.
        offset: u64,
        /// The fault.
        why: String,
    },
    /// A file is no segment that can be read, not even in part.
    #[error("{} cannot be read as a segment: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// A segment is not there, and its bodies were never committed.
    #[error(
        "the segment with bodies {} to {} is missing before {}; restore it, or start once with \
         --skip-damaged to go on without these bodies",
        range.first, range.last, before.display()
    )]
    Missing {
        /// The bodies that are not there.
        range: SeqRange,
        /// The segment that follows the gap.
        before: PathBuf,
    },
    /// A segment was written by a later version of the program.
    #[error(
        "{} has journal format {found}, this version knows {known}: use the version that wrote it",
        path.display()
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// A body that has not landed is encrypted, and [`Options::cipher`](super::Options::cipher) is
    /// not set.

    #[error(
        "body {seq} in {} is encrypted, and there is no key: set privacy_key to the secret that it \
         was written with, or move the state directory away to begin anew without its bodies",
        path.display()
    )]
    NoKey {
        /// The first such body.
        seq: Seq,
        /// Its segment.
        path: PathBuf,
    },
    /// A body is encrypted with another key.
    #[error(
        "body {seq} in {} is encrypted, and privacy_key does not open it: set privacy_key to the \
         secret that it was written with (if it is, somebody has changed the file), or move the \
         state directory away to begin anew without its bodies",
        path.display()
    )]
    WrongKey {
        /// The body.
        seq: Seq,
        /// Its segment.
        path: PathBuf,
    },
    /// A reader asked for a body that was committed and deleted.
    #[error("body {seq} was released; the journal holds bodies from {first} on")]
    Released {
        /// The body asked for.
        seq: Seq,
        /// The first that is still held.
        first: Seq,
    },
    /// A write or a sync failed earlier, or the directory is gone. Final until the program is started
    /// again.
    #[error("the journal stopped: {reason}; start the program again")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// A seal or a commit that does not follow from those before it. Nothing was written.
    #[error("out of order: {0}")]
    OutOfOrder(String),
    /// The replay was ended by [`ReplayProgress::stop`](super::ReplayProgress::stop).
    #[error("the replay of the journal was stopped; nothing of it is lost")]
    Stopped,
    /// The options cannot be used.
    #[error("journal options: {0}")]
    Options(String),
}
