//! Rotation: the active segment is ended, and the next one begun.
//!
//! A segment can fail to be made for reasons that pass: no file descriptor, no space. Until it has its
//! name, no byte of a body or a record is at stake, so this is no end of the journal: the body that
//! it was for is refused ([`AppendError::NoSegment`]), what fits goes into the old segment, control
//! records always, and a second later it is tried again, whether bodies come or not.
//!
//! A rename that failed is undone, since it may have taken effect. A directory that cannot be synced
//! is final: the new segment may or may not be the last one after a crash, and records that were
//! written to the old one would be passed over.
//!
//! A segment whose bodies are all committed cannot be deleted while it is the active one. It is ended
//! early when that gives back enough, and whenever room is refused: on a small disk nothing else would
//! ever make room, as no body comes that could end it.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::active_segment::{FailedRotation, begin_segment, enough_bytes};
use super::segment::{self, NotMade};
use super::writer::Writer;
use super::{AppendError, JournalError, release};

/// The time between two tries to make a segment.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn enough_bytes(&self) -> u64 {
        enough_bytes(self.shared.options.segment_bytes, self.active.frames_at)
    }

    /// Begins the next segment. Everything before it is durable, and so is its own head. The inner
    /// error refuses the body that it is for, and leaves the journal as it was.
    ///
    /// # Errors
    /// Final, and the journal is poisoned: the directory is gone, or cannot be said to have or not to
    /// have the segment.
    pub(super) fn rotate(&mut self) -> Result<Result<(), AppendError>, JournalError> {
        let rotated = self.try_rotate();
        if let Err(error) = &rotated {
            // Now, so that the request this was for is refused with the reason.
            self.shared.poison(error.to_string());
        }
        rotated
    }

    fn try_rotate(&mut self) -> Result<Result<(), AppendError>, JournalError> {
        if let Some(failed) = &self.failed_rotation
            && failed.at.elapsed() < TRY_AGAIN_AFTER
        {
            return Ok(Err(AppendError::NoSegment { reason: failed.reason.clone() }));
        }
        // Or it would be made in a directory that is somebody else's by now.
        self.shared.directory.check()?;
        let first_seq = self.last_seq + 1;
        match begin_segment(&self.shared, first_seq, &self.control) {
            Ok(active) => {
                self.free.written(active.len);
                self.active = active;
                if self.failed_rotation.take().is_some() {
                    tracing::info!("segments of the journal can be made again");
                    self.shared.state().no_segment = None;
                }
                Ok(Ok(()))
            }
            Err(NotMade::NoContent(error)) => Ok(Err(self.not_rotated(&error))),
            Err(NotMade::NotRenamed(error)) => {
                let path = self.shared.directory.path().join(segment::file_name(first_seq));
                self.undo_rename(&path)?;
                Ok(Err(self.not_rotated(&error)))
            }
            Err(NotMade::NameNotSynced(error)) => Err(error),
        }
    }

    /// Makes sure that the next segment has no name, after a rename that failed.
    fn undo_rename(&self, path: &Path) -> Result<(), JournalError> {
        match self.shared.disk.remove(path) {
            Ok(()) => self.shared.directory.sync(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(JournalError::Io { what: "remove", path: path.to_owned(), source }),
        }
    }

    fn not_rotated(&mut self, error: &JournalError) -> AppendError {
        let reason = error.to_string();
        if self.failed_rotation.is_none() {
            tracing::warn!(
                "no further segment of the journal can be made, so bodies are refused (503) when the \
                 last one is full, and it is tried again every second: {reason}"
            );
        }
        self.failed_rotation = Some(FailedRotation { at: Instant::now(), reason: reason.clone() });
        self.shared.state().no_segment = Some(reason.clone());
        AppendError::NoSegment { reason }
    }

    /// Tells whether the active segment has bodies, all of them durable and committed.
    pub(super) fn is_committed(&self) -> bool {
        self.group.is_empty()
            && self.last_seq >= self.active.first_seq
            && self.last_seq <= self.control.committed_seq
    }

    /// Ends the active segment if all of it is committed, and deletes it.
    pub(super) fn make_room(&mut self) -> Result<(), JournalError> {
        if self.is_committed() && self.rotate()?.is_ok() {
            release::release(&self.shared);
        }
        Ok(())
    }

    /// Does what cannot wait for a request: looks whether the directory is still there, tries again
    /// to make a segment, and makes room.
    pub(super) fn tick(&mut self) -> Result<(), JournalError> {
        self.shared.directory.check_with(&*self.active.file, &self.active.path)?;
        let usual_bytes = self.shared.options.usual_bulk_bytes();
        if self.failed_rotation.is_some() {
            // A refusal is told already.
            let _ = self.rotate()?;
        } else if self.is_committed() && self.free.check(&self.shared, usual_bytes).is_err() {
            self.make_room()?;
        }
        Ok(())
    }
}
