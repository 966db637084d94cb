//! Zstandard with a context that the thread keeps.
//!
//! A context is a megabyte, and costs more to make than a small piece does to compress: see
//! docs/performance.md.

use std::cell::RefCell;
use std::io;

use zstd::bulk::Compressor;

/// The compressor of a thread, with its level, and room for what it puts out.
type Context = (i32, Compressor<'static>, Vec<u8>);

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Room that a thread keeps for what it compresses next.
const KEPT_BYTES: usize = 2 << 20;

/// What `then` makes of `bytes` compressed. It may not compress anything itself.
///
/// # Errors
/// Of the codec, such as for a level it does not know.
pub(crate) fn with_compressed<T>(
    level: i32,
    bytes: &[u8],
    then: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    CONTEXT.with_borrow_mut(|kept| {
        let fitting = kept.take().filter(|(of, ..)| *of == level);
        let (level, mut compressor, mut room) = match fitting {
            Some(context) => context,
            None => (level, Compressor::new(level)?, Vec::new()),
        };
        room.clear();
        room.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, &mut room)?;
        let then = then(&room);
        if room.capacity() > KEPT_BYTES {
            room = Vec::new();
        }
        *kept = Some((level, compressor, room));
        Ok(then)
    })
}
