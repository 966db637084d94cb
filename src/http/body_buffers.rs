//! Buffers of bodies, which are used again.
//!
//! A body of the exporter is most of a megabyte, and is freed by another thread than that which read it.
//! The system's allocator gives such memory back and gets it anew for the next one, page by page, which
//! costs as much as to copy the body.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// The least capacity of a buffer that is used again.
const LEAST_BYTES: usize = 64 << 10;
/// The greatest capacity of one. Bulks of the exporter are below it.
const MOST_BYTES: usize = 2 << 20;
/// Most bytes of buffers that wait to be used, and their share of the memory for bodies, if that is less.
const MOST_IDLE_BYTES: usize = 32 << 20;
const IDLE_SHARE: u64 = 8;
/// Capacities are multiples of this, so that bodies of nearly the same length can use one another's.
const STEP_BYTES: usize = 128 << 10;

/// Buffers that wait to be used, the one that was used last at the end.
#[derive(Debug)]
pub(super) struct BodyBuffers {
    idle: Mutex<Idle>,
}

#[derive(Debug)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    most_bytes: usize,
}

/// A buffer of one body. Goes back when it is dropped.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    pub(super) bytes: Vec<u8>,
    buffers: Arc<BodyBuffers>,
}

impl BodyBuffers {
    /// Creates the buffers of bodies that have `memory_bytes` in all.
    pub(super) fn new(memory_bytes: u64) -> BodyBuffers {
        let share = usize::try_from(memory_bytes / IDLE_SHARE).unwrap_or(usize::MAX);
        let most_bytes = share.min(MOST_IDLE_BYTES);
        BodyBuffers { idle: Mutex::new(Idle { buffers: Vec::new(), bytes: 0, most_bytes }) }
    }

    /// Returns an empty buffer for a body of `len` bytes, of no more than twice the capacity unless that is
    /// small.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> BodyBuffer {
        let bytes = self.idle.lock().take(len).unwrap_or_else(|| match len {
            LEAST_BYTES..=MOST_BYTES => Vec::with_capacity(len.next_multiple_of(STEP_BYTES)),
            _ => Vec::with_capacity(len),
        });
        BodyBuffer { bytes, buffers: Arc::clone(self) }
    }
}

impl Idle {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let most = len.max(LEAST_BYTES).saturating_mul(2);
        let fits = |buffer: &Vec<u8>| (len..=most).contains(&buffer.capacity());
        let at = self.buffers.iter().rposition(fits).filter(|_| len >= LEAST_BYTES)?;
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (LEAST_BYTES..=MOST_BYTES).contains(&capacity)
            && self.bytes + capacity <= self.most_bytes
        {
            buffer.clear();
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }
}

impl BodyBuffer {
    /// Returns what it holds; it goes back when nobody holds that any more.
    pub(super) fn into_bytes(mut self) -> Bytes {
        if self.bytes.capacity() < LEAST_BYTES {
            return std::mem::take(&mut self.bytes).into();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for BodyBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for BodyBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.bytes);
        self.buffers.idle.lock().put(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Arc<BodyBuffers>, len: usize) -> Bytes {
        let mut buffer = buffers.take(len);
        assert!(buffer.bytes.is_empty());
        buffer.bytes.resize(len, b'x');
        buffer.into_bytes()
    }

    #[test]
    fn a_buffer_is_used_again_when_nobody_holds_its_body_any_more() {
        let buffers = Arc::new(BodyBuffers::new(1 << 30));
        let first = filled(&buffers, 896_000);
        let at = first.as_ptr();
        let line = first.slice(..10);
        drop(first);
        let second = filled(&buffers, 896_000);
        assert_ne!(second.as_ptr(), at, "its line is held");
        assert_eq!(line, "xxxxxxxxxx");
        drop(line);
        let third = filled(&buffers, 880_000);
        assert_eq!(third.as_ptr(), at);
        assert_eq!(buffers.idle.lock().bytes, 0);
        drop((second, third));
        assert_eq!(buffers.idle.lock().buffers.len(), 2);
    }

    #[test]
    fn no_body_has_far_more_than_it_needs_and_little_waits() {
        let buffers = Arc::new(BodyBuffers::new(1 << 30));
        drop(filled(&buffers, 1 << 20));
        for len in [10, 100_000, 300_000] {
            let buffer = buffers.take(len);
            assert!(buffer.bytes.capacity() <= 2 * len.max(LEAST_BYTES), "{len}");
        }
        let many: Vec<Bytes> = (0..64).map(|_| filled(&buffers, 896_000)).collect();
        drop(many);
        let idle = buffers.idle.lock();
        assert!(idle.bytes <= MOST_IDLE_BYTES && idle.bytes > MOST_IDLE_BYTES / 2);
        assert_eq!(idle.bytes, idle.buffers.iter().map(Vec::capacity).sum::<usize>());
        drop(idle);
        // Neither the smallest nor the largest are kept.
        let other = Arc::new(BodyBuffers::new(1 << 30));
        drop((filled(&other, 1_000), filled(&other, 3 << 20)));
        assert_eq!(other.idle.lock().bytes, 0);
        // Little memory has few.
        let few = Arc::new(BodyBuffers::new(16 << 20));
        drop([(); 8].map(|()| filled(&few, 896_000)));
        assert_eq!(few.idle.lock().buffers.len(), 2);
    }
}
