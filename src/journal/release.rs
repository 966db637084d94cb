//! Deletion of segments whose bodies have landed.
//!
//! A segment goes when it is not the one being written and all its bodies are committed; what it
//! held besides bodies is in the checkpoints behind it. Oldest first: but removals may reach the
//! disk in any order, so a start takes gaps below the committed mark for granted.

use std::io::ErrorKind;

use super::state::Shared;
use crate::metrics::{JOURNAL_SEGMENTS, JOURNAL_SIZE_BYTES};

/// Removes segments that are no longer needed, on the caller's thread. A segment that cannot be
/// removed now is tried again at the next release: it takes space, and breaks no promise.
pub(crate) fn release(shared: &Shared) {
    let _one_at_a_time = shared.releasing.lock();
    // Or it would remove the segments of whoever has the directory by now.
    if let Err(error) = shared.directory.check() {
        shared.poison(error.to_string());
        return;
    }
    let mut removed = 0_u64;
    loop {
        // Out of the map first: a reader then hears "released" and not "no such file".
        let victim = {
            let mut state = shared.state();
            let committed = state.committed_seq;
            let is_last = state.segments.len() <= 1;
            match state.segments.first_entry() {
                Some(oldest) if !is_last && oldest.get().last_seq <= committed => {
                    Some(oldest.remove_entry())
                }
                _ => None,
            }
        };
        let Some((first_seq, segment)) = victim else { break };
        match shared.disk.remove(&segment.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %segment.path.display(), %error, "cannot remove a segment");
                shared.state().segments.insert(first_seq, segment);
                break;
            }
            _ => {
                let mut state = shared.state();
                state.bytes = state.bytes.saturating_sub(segment.durable);
                removed += 1;
            }
        }
    }
    if removed > 0 {
        if let Err(error) = shared.directory.sync() {
            shared.poison(error.to_string());
        }
        let (bytes, segments) = {
            let state = shared.state();
            (state.bytes, state.segments.len())
        };
        record_size(bytes, segments);
    }
}

/// Updates the gauges of the journal's size.
pub(crate) fn record_size(bytes: u64, segments: usize) {
    metrics::gauge!(JOURNAL_SIZE_BYTES).set(bytes as f64);
    metrics::gauge!(JOURNAL_SEGMENTS).set(segments as f64);
}
