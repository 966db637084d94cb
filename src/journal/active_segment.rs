//! The active segment: the last one, which is being written.

use std::path::PathBuf;
use std::time::Instant;

use super::control::{self, Control};
use super::disk::DiskFile;
use super::segment::{self, NotMade, SegmentHead};
use super::state::{Segment, Shared};
use super::{identity, release};

/// A head up to this size is no reason to make a segment longer.
const LARGE_HEAD_BYTES: u64 = 1 << 20;

/// The segment being written.
pub(crate) struct ActiveSegment {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
    pub(crate) salt: u64,
    pub(crate) frames_at: u64,
    /// Bytes that are written and durable.
    pub(crate) len: u64,
}

/// The last try to make a segment, if it failed.
pub(crate) struct FailedRotation {
    pub(crate) at: Instant,
    pub(crate) reason: String,
}

/// Returns the bytes of frames after which a segment ends, if it is to have `segment_bytes` and begins
/// with a head and a checkpoint of `head_bytes`. A full retry window makes a checkpoint of 36 MB,
/// which a segment of the usual size would not be worth.
pub(crate) fn enough_bytes(segment_bytes: u64, head_bytes: u64) -> u64 {
    if head_bytes > LARGE_HEAD_BYTES { segment_bytes.max(2 * head_bytes) } else { segment_bytes }
}

/// Makes a segment that begins with body `first_seq`, and enters it in the state.
pub(crate) fn begin_segment(
    shared: &Shared,
    first_seq: u64,
    control: &Control,
) -> Result<ActiveSegment, NotMade> {
    let now = shared.clock.now();
    let salt = identity::random(shared.directory.path()).map_err(NotMade::NoContent)?;
    let head = SegmentHead {
        format: segment::FORMAT,
        node: shared.node.clone(),
        seed: shared.seed,
        salt,
        first_seq,
        created_at: now,
    };
    let window = shared.window().entries(now);
    let checkpoint = control::encode_checkpoint(control, &window);
    let new = segment::create(&*shared.disk, &shared.directory, &head, &checkpoint)?;
    let entry = Segment {
        path: new.path.clone(),
        format: segment::FORMAT,
        salt,
        frames_at: new.len,
        durable: new.len,
        last_seq: first_seq - 1,
    };
    let mut state = shared.state();
    let replaced = state.segments.insert(first_seq, entry).map_or(0, |old| old.durable);
    state.bytes = (state.bytes + new.len).saturating_sub(replaced);
    state.lost.clone_from(&control.lost);
    let (bytes, segments) = (state.bytes, state.segments.len());
    drop(state);
    release::record_size(bytes, segments);
    shared.changed.notify_all();
    Ok(ActiveSegment {
        file: new.file,
        path: new.path,
        first_seq,
        salt,
        frames_at: new.len,
        len: new.len,
    })
}
