//! Setting a damaged segment aside, with `skip_damaged`, and keeping what is whole of it.
//!
//! The file stays as it is, under a name that ends in `.damaged`. Its whole bodies are copied to new
//! segments, one for each run of consecutive numbers, since a segment has no gaps. They keep their
//! numbers, times and keys; what lies between is remembered as lost, as for a missing segment.
//!
//! In order, each step durable before the next:
//! 1. the new last segment, whose checkpoint says which bodies are lost (by the caller);
//! 2. the second name of the damaged file;
//! 3. the segments of its runs, the last one first;
//! 4. the segment of the first body in place of the damaged one, or nothing if that body is lost.
//!
//! Until the last step the damaged file has its old name, so a start that was cut off leaves a journal
//! that is refused as it was before, or skipped again with the same outcome. Where a file cannot have
//! two names it is renamed instead; a crash in between then leaves whole bodies in the file that was
//! set aside, for `sessionlake rescue`.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use super::control::{self, Control};
use super::disk::{DiskFile, read_full_at, write_all_at};
use super::frame::{HEADER_BYTES, Header};
use super::salvage::Run;
use super::scan::SegmentFile;
use super::segment::{self, DAMAGED_SUFFIX, NEW_SUFFIX, SegmentHead};
use super::state::{Segment, Shared};
use super::{JournalError, identity};

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// A damaged segment that is to be set aside.
pub(crate) struct Aside {
    pub(crate) it: SegmentFile,
    /// The name that it is to have.
    pub(crate) path: PathBuf,
    /// Its head, if that can be read.
    pub(crate) head: Option<SegmentHead>,
    /// The bodies to keep.
    pub(crate) runs: Vec<Run>,
}

/// Chooses the name of a file that is set aside: one that no other file has. `names` are those of the
/// directory.
///
/// # Errors
/// [`JournalError::Io`].
pub(crate) fn choose_name(it: &SegmentFile, names: &[String]) -> Result<PathBuf, JournalError> {
    let mut number = 1;
    loop {
        let mut path = it.path.clone().into_os_string();
        path.push(DAMAGED_SUFFIX);
        if number > 1 {
            path.push(format!("-{number}"));
        }
        let path = PathBuf::from(path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_free = !names.iter().any(|taken| taken == name);
        // A start that was cut off may have given it the name already.
        if is_free || it.file.is_at(&path).map_err(it.cannot("look for"))? {
            return Ok(path);
        }
        number += 1;
    }
}

/// Tells whether an error of a link says that the file cannot have two names. Any other is no reason
/// to take away the one that it has.
fn has_one_name_only(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let refusals = [Errno::PERM, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS, Errno::MLINK];
    Errno::from_io_error(error).is_some_and(|error| refusals.contains(&error))
}

impl Aside {
    /// Does it. The checkpoint of the last segment says already what is lost.
    ///
    /// # Errors
    /// [`JournalError`]; nothing is lost that was not before.
    pub(crate) fn set_aside(self, shared: &Shared, control: &Control) -> Result<(), JournalError> {
        let old = &self.it.path;
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { what, path, source }
        };
        let mut has_old_name = true;
        if !self.it.file.is_at(&self.path).map_err(io("look for", &self.path))?
            && let Err(error) = shared.disk.link(old, &self.path)
        {
            if !has_one_name_only(&error) {
                return Err(io("give a second name to", old)(error));
            }
            tracing::warn!(%error, path = %old.display(), "cannot give a file a second name");
            shared.disk.rename(old, &self.path).map_err(io("rename", old))?;
            has_old_name = false;
        }
        shared.directory.sync()?;
        let Some(head) = &self.head else {
            return if has_old_name { self.remove_old(shared) } else { Ok(()) };
        };
        // The last one first: what a start that was cut off leaves in the damaged file is what lies
        // before the segments that it has made.
        for run in self.runs.iter().rev() {
            self.keep(run, head, shared, control)?;
            shared.directory.sync()?;
        }
        let is_replaced =
            self.runs.first().is_some_and(|run| run.range.first.0 == self.it.first_seq);
        if has_old_name && !is_replaced { self.remove_old(shared) } else { Ok(()) }
    }

    fn remove_old(&self, shared: &Shared) -> Result<(), JournalError> {
        let path = &self.it.path;
        match shared.disk.remove(path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(JournalError::Io { what: "remove", path: path.clone(), source })
            }
            _ => shared.directory.sync(),
        }
    }

    /// Copies a run to a segment of its own, synced, and enters it. Its name is not yet durable.
    fn keep(
        &self,
        run: &Run,
        head: &SegmentHead,
        shared: &Shared,
        control: &Control,
    ) -> Result<(), JournalError> {
        let first_seq = run.range.first.0;
        let path = shared.directory.path().join(segment::file_name(first_seq));
        let mut new = path.clone().into_os_string();
        new.push(NEW_SUFFIX);
        let new = PathBuf::from(new);
        let head = SegmentHead {
            format: head.format,
            node: shared.node.clone(),
            seed: shared.seed,
            salt: identity::random(shared.directory.path())?,
            first_seq,
            created_at: head.created_at,
        };
        // The retry window is in the last segment's.
        let checkpoint = control::encode_checkpoint(control, &[]);
        let (file, frames_at) = segment::write_new(&*shared.disk, &new, &head, &checkpoint)?;
        let mut len = frames_at;
        for offset in &run.offsets {
            len = self.copy_frame(*offset, &*file, &new, (head.salt, len))?;
        }
        let io = |what| {
            let path = new.clone();
            move |source| JournalError::Io { what, path, source }
        };
        file.sync().map_err(io("sync"))?;
        shared.disk.rename(&new, &path).map_err(io("rename"))?;
        let (format, salt, last_seq) = (head.format, head.salt, run.range.last.0);
        let kept = Segment { path, format, salt, frames_at, durable: len, last_seq };
        let mut state = shared.state();
        state.segments.insert(first_seq, kept);
        state.bytes += len;
        Ok(())
    }

    /// Copies a frame to `to`, and returns the offset behind it.
    fn copy_frame(
        &self,
        offset: u64,
        to: &dyn DiskFile,
        to_path: &Path,
        (salt, at): (u64, u64),
    ) -> Result<u64, JournalError> {
        let changed = || JournalError::Damaged {
            path: self.it.path.clone(),
            offset,
            why: "it changed while it was read".into(),
        };
        let from_salt = self.head.as_ref().map_or(0, |head| head.salt);
        let write_error =
            |source| JournalError::Io { what: "write", path: to_path.to_owned(), source };
        let mut buffer = vec![0; HEADER_BYTES];
        read_full_at(&*self.it.file, &mut buffer, offset).map_err(self.it.cannot("read"))?;
        let header = Header::decode(&buffer, from_salt).ok_or_else(changed)?;
        let copied = Header { group_start: at, ..header }.encode(salt);
        write_all_at(to, &mut [IoSlice::new(&copied)], at).map_err(write_error)?;
        let (mut done, mut crc) = (HEADER_BYTES as u64, 0);
        while done < header.frame_bytes() {
            let left = usize::try_from(header.frame_bytes() - done).unwrap_or(usize::MAX);
            buffer.resize(left.min(COPY_BYTES), 0);
            let read = read_full_at(&*self.it.file, &mut buffer, offset + done);
            if read.map_err(self.it.cannot("read"))? < buffer.len() {
                return Err(changed());
            }
            crc = crc32c::crc32c_append(crc, &buffer);
            write_all_at(to, &mut [IoSlice::new(&buffer)], at + done).map_err(write_error)?;
            done += buffer.len() as u64;
        }
        if crc != header.payload_crc {
            return Err(changed());
        }
        Ok(at + done)
    }
}
