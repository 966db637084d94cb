//! Compression of bodies.
//!
//! A body of sessions becomes an eighth of itself in half a millisecond. To write the rest of it takes longer
//! on a slow disk, and less of the processor on a fast one: docs/performance.md has the figures. And a
//! journal that fills because nothing lands holds a longer outage.
//!
//! A compressed body is a Zstandard frame without a checksum (the journal's frame has one).

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::Decompressor;

use crate::zstd_context::with_compressed;

/// The compression level, chosen by `cargo bench --bench journal`.
const LEVEL: i32 = -3;
/// Minimum bytes of a body worth compressing: a smaller one takes a block or two of the disk anyway.
pub(crate) const LEAST_BYTES: usize = 4 << 10;
/// Maximum bytes of a body that is compressed: a larger one is rare, and would keep its thread busy
/// for long.
pub(crate) const MOST_BYTES: usize = 8 << 20;

/// Compresses a body; `None` unless that saves an eighth of it.
pub(crate) fn compress(body: &[u8]) -> Option<Bytes> {
    let most_bytes = body.len() - body.len().div_ceil(8);
    let small = |out: &[u8]| (out.len() <= most_bytes).then(|| Bytes::copy_from_slice(out));
    // A body that cannot be compressed is written as it came.
    with_compressed(LEVEL, body, small).ok().flatten()
}

/// Decompresses the result of [`compress`] for a body of `inflated_bytes`; `None` if it is anything
/// else.
pub(crate) fn decompress(compressed: &[u8], inflated_bytes: u32) -> Option<Bytes> {
    thread_local! {
        static KEPT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    // No more is allocated than what the frame itself says of its content.
    let says = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten();
    if says != Some(u64::from(inflated_bytes)) {
        return None;
    }
    let body = KEPT.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(kept) => kept,
            None => kept.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(compressed, inflated_bytes as usize).ok()
    })?;
    (body.len() == inflated_bytes as usize).then(|| body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(bytes: usize) -> Vec<u8> {
        let line =
            b"{\"userSessionId\":\"ABC\",\"duration\":12345,\"userActions\":[{\"name\":\"x\"}]}\n";
        line.iter().copied().cycle().take(bytes).collect()
    }

    #[test]
    fn what_was_compressed_comes_back_whatever_came_before() {
        for bytes in [64, MOST_BYTES, 4_096, 900_000, 100] {
            let body = sessions(bytes);
            match compress(&body) {
                Some(compressed) => {
                    assert!(compressed.len() <= bytes - bytes / 8);
                    let back = decompress(&compressed, bytes as u32).expect("whole");
                    assert!(back == body, "{bytes}");
                }
                None => assert!(bytes <= 100, "{bytes} bytes do not become smaller"),
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_stays_as_it_is() {
        let mut dice = crate::search::Dice(7);
        let noise: Vec<u8> = (0..100_000).map(|_| dice.byte()).collect();
        // A kept buffer that is long enough for all of it does not change that.
        assert!(compress(&sessions(900_000)).is_some());
        assert_eq!(compress(&noise), None);
        assert_eq!(compress(b""), None);
        assert_eq!(compress(b"{}\n"), None);
    }

    #[test]
    fn other_bytes_or_another_length_are_nothing() {
        let body = sessions(10_000);
        let compressed = compress(&body).expect("smaller");
        assert_eq!(decompress(&compressed, 9_999), None);
        assert_eq!(decompress(&compressed, u32::MAX), None);
        assert_eq!(decompress(&compressed[..compressed.len() - 1], 10_000), None);
        assert_eq!(decompress(b"", 0), None);
        assert_eq!(decompress(b"no frame", 10_000), None);
    }
}
