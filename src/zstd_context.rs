//! Zstandard with one compression context for each thread.
//!
//! A context takes a megabyte, and making one costs more than compressing a small input: see
//! docs/performance.md.

use std::cell::RefCell;
use std::io;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name,
};

/// The level and the context of a thread, and the buffer for its output.
type Context = (i32, CCtx<'static>, Vec<u8>);

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The largest output buffer, in bytes, that a thread keeps for its next input.
const MAX_KEPT_BYTES: usize = 2 << 20;
/// A part of fewer bytes is in a block with its neighbour: a code of its own costs some hundred bytes.
const PART_BYTES: usize = 2048;

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
    with_compressed_parts(level, bytes, &[], then)
}

/// Compresses `bytes` into one frame, in which a block ends at each of `cuts`, which ascend. What is before and
/// behind one has codes of its own then. Small parts are not told apart.
///
/// # Errors
/// As [`with_compressed`].
pub(crate) fn with_compressed_parts<T>(
    level: i32,
    bytes: &[u8],
    cuts: &[usize],
    then: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    CONTEXT.with_borrow_mut(|kept| {
        let context = kept.take().filter(|(of, ..)| *of == level);
        let (level, mut context, mut output) = match context {
            Some(context) => context,
            None => {
                let mut context = CCtx::create();
                context.set_parameter(CParameter::CompressionLevel(level)).map_err(error)?;
                (level, context, Vec::new())
            }
        };
        let cuts = of_size(cuts, bytes.len());
        output.clear();
        // A block that ends early has a header of its own.
        output.reserve(compress_bound(bytes.len()) + cuts.len() * 64);
        if cuts.is_empty() {
            context.compress2(&mut output, bytes).map_err(error)?;
        } else {
            in_parts(&mut context, bytes, &cuts, &mut output)?;
        }
        let made = then(&output);
        if output.capacity() > MAX_KEPT_BYTES {
            output = Vec::new();
        }
        *kept = Some((level, context, output));
        Ok(made)
    })
}

/// Returns those of `cuts` between which, and before and behind which, there is enough.
fn of_size(cuts: &[usize], len: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for cut in cuts {
        let before = cut.saturating_sub(kept.last().copied().unwrap_or(0));
        if before >= PART_BYTES && len.saturating_sub(*cut) >= PART_BYTES {
            kept.push(*cut);
        }
    }
    kept
}

fn in_parts(
    context: &mut CCtx<'static>,
    bytes: &[u8],
    cuts: &[usize],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    context.reset(ResetDirective::SessionOnly).map_err(error)?;
    // Parameters are those for inputs of this size, and the frame says the size.
    context.set_pledged_src_size(Some(bytes.len() as u64)).map_err(error)?;
    let mut to = OutBuffer::around(output);
    let mut from = 0;
    for (at, end) in cuts.iter().copied().chain([bytes.len()]).enumerate() {
        let mut part = InBuffer::around(bytes.get(from..end).unwrap_or_default());
        from = end;
        let directive = match at == cuts.len() {
            true => ZSTD_EndDirective::ZSTD_e_end,
            false => ZSTD_EndDirective::ZSTD_e_flush,
        };
        loop {
            let before = (part.pos(), to.pos());
            let left = context.compress_stream2(&mut to, &mut part, directive).map_err(error)?;
            if left == 0 {
                break;
            }
            if before == (part.pos(), to.pos()) {
                return Err(io::Error::other("a compressed page is longer than it can be"));
            }
        }
    }
    Ok(())
}

fn error(code: usize) -> io::Error {
    io::Error::other(get_error_name(code).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Dice;

    #[test]
    fn frames_in_parts_are_read_as_one() {
        let mut dice = Dice(3);
        for len in [0, 1, 100, 5_000, 70_000, 400_000, 3_000_000] {
            let bytes: Vec<u8> =
                (0..len).map(|at| dice.below(3 + at as u64 / 4_000) as u8).collect();
            for cuts in [vec![], vec![len / 2], vec![0, len / 3, len / 3, len - len / 4, len]] {
                for level in [1, 3, -5, 1] {
                    let made = with_compressed_parts(level, &bytes, &cuts, <[u8]>::to_vec).unwrap();
                    assert_eq!(zstd::bulk::decompress(&made, len).unwrap(), bytes);
                    let size = zstd::zstd_safe::get_frame_content_size(&made);
                    assert_eq!(size.unwrap(), Some(len as u64));
                }
            }
        }
    }

    #[test]
    fn parts_with_codes_of_their_own_are_smaller() {
        let mut dice = Dice(4);
        let few = (0..40_000).map(|_| dice.below(4) as u8);
        let mut bytes: Vec<u8> = few.collect();
        bytes.extend((0..40_000).map(|_| 100 + dice.below(60) as u8));
        let size = |cuts: &[usize]| with_compressed_parts(1, &bytes, cuts, <[u8]>::len).unwrap();
        assert!(size(&[40_000]) * 100 < size(&[]) * 97, "{} {}", size(&[40_000]), size(&[]));
        assert_eq!(size(&[10, 79_999]), size(&[]));
    }
}
