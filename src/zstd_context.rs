//! Zstandard with one compression context for each thread.
//!
//! A context takes a megabyte, and making one costs more than compressing a small input: see
//! docs/performance.md.

use std::cell::RefCell;
use std::io;

use zstd::bulk::Compressor;

/// The level and the compressor of a thread, and the buffer for its output.
type Context = (i32, Compressor<'static>, Vec<u8>);

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The largest output buffer, in bytes, that a thread keeps for its next input.
const MAX_KEPT_BYTES: usize = 2 << 20;

/// Compresses `bytes` and returns what `then` makes of the result. `then` must not compress: the
/// thread's context is in use.
///
/// # Errors
/// The codec fails, for instance on a level that it does not know.
pub(crate) fn with_compressed<T>(
    level: i32,
    bytes: &[u8],
    then: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    CONTEXT.with_borrow_mut(|kept| {
        let context = kept.take().filter(|(of, ..)| *of == level);
        let (level, mut compressor, mut output) = match context {
            Some(context) => context,
            None => (level, Compressor::new(level)?, Vec::new()),
        };
        output.clear();
        output.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, &mut output)?;
        let made = then(&output);
        if output.capacity() > MAX_KEPT_BYTES {
            output = Vec::new();
        }
        *kept = Some((level, compressor, output));
        Ok(made)
    })
}
