//! Bodies that are written compressed: when that pays, and how it is done.
//!
//! A body of sessions becomes a sixth to a ninth of itself in half a millisecond. That is time well
//! spent where the disk takes longer for what is left out: see [`Pays`]. It is also well spent when
//! the journal fills because nothing lands, since it then holds a longer outage.
//!
//! What is written compressed is a Zstandard frame without a checksum (the journal's frame has one).
//! The retry key is of the body as it came, so that the choice, which may change from one body to
//! the next, changes nothing that a sender sees.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::lock::lock;

/// The fastest level that makes JSON small: `cargo bench --bench journal`.
const LEVEL: i32 = -7;
/// A smaller body is written with one block or two whatever is done to it.
pub(crate) const LEAST_BYTES: usize = 4 << 10;
/// Larger ones are compressed where blocking is allowed.
pub(crate) const LONG_BYTES: usize = 2 << 20;

/// Which bodies are written compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    Never,
    /// Those of 4 KiB and more, while the disk is slow or the journal more than half full.
    Auto,
    /// All that become smaller by it.
    Always,
}

/// The body compressed; `None` unless that saves an eighth of it.
pub(crate) fn compress(body: &[u8]) -> Option<Bytes> {
    thread_local! {
        /// A context is a megabyte, and costs more to make than a small body does to compress.
        static KEPT: RefCell<Option<(Compressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        let (compressor, out) = match kept {
            Some(kept) => kept,
            None => kept.insert((Compressor::new(LEVEL).ok()?, Vec::new())),
        };
        out.clear();
        // An error says that it does not fit.
        let most_bytes = body.len() - body.len().div_ceil(8);
        out.reserve_exact(most_bytes);
        // What was kept from a larger body must not let this one have more.
        let written = compressor.compress_to_buffer(body, out);
        let compressed = match written {
            Ok(bytes) if bytes <= most_bytes => Some(Bytes::copy_from_slice(out)),
            _ => None,
        };
        if body.len() > LONG_BYTES {
            *out = Vec::new();
        }
        compressed
    })
}

/// What [`compress`] was given, which had `inflated_bytes`; `None` if it is something else.
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

/// Syncs below this say more about the way to the disk than about its speed.
const TELLING_BYTES: u64 = 128 << 10;
/// After this much, what was seen before counts half.
const HALF_BYTES: f64 = (32 << 20) as f64;
/// Not judged before this much was seen.
const ENOUGH_BYTES: f64 = (4 << 20) as f64;
/// A disk is slow below the first and no longer above the second, in bytes a second: two cores that
/// receive, decode and encode as fast as they can write 500 to 600 MB a second.
const SLOW: f64 = 400e6;
const FAST: f64 = 600e6;

/// Whether the disk is slow enough for [`Compression::Auto`].
///
/// What counts is the time of a sync alone. That of a write is the processor's, so it grows on a
/// busy machine, and to compress would then make it worse.
#[derive(Debug, Default)]
pub(crate) struct Pays {
    /// Bytes that were synced lately, and the seconds that took.
    seen: Mutex<(f64, f64)>,
    /// Relaxed: the next body will see it.
    pays: AtomicBool,
}

impl Pays {
    /// Takes note of a sync of so many new bytes.
    pub(crate) fn synced(&self, bytes: u64, took: Duration) {
        if bytes < TELLING_BYTES {
            return;
        }
        let (seen_bytes, seen_s) = &mut *lock(&self.seen);
        let bytes = bytes as f64;
        let fade = (-bytes / HALF_BYTES).exp2();
        *seen_bytes = *seen_bytes * fade + bytes;
        *seen_s = *seen_s * fade + took.as_secs_f64();
        if *seen_bytes < ENOUGH_BYTES {
            return;
        }
        let below = |speed: f64| *seen_bytes < *seen_s * speed;
        let paid = self.pays.load(Ordering::Relaxed);
        let pays = below(if paid { FAST } else { SLOW });
        if pays != paid {
            self.pays.store(pays, Ordering::Relaxed);
            tracing::debug!(pays, bytes = *seen_bytes, seconds = *seen_s, "compression of bodies");
        }
    }

    pub(crate) fn now(&self) -> bool {
        self.pays.load(Ordering::Relaxed)
    }
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
        for bytes in [64, 5_000_000, 4_096, 900_000, 100] {
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
        // A kept buffer with room for all of it does not change that.
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

    #[test]
    fn a_slow_disk_pays_a_fast_one_does_not_and_small_syncs_say_nothing() {
        let at = |pays: &Pays, megabytes_a_second: u64| {
            for _ in 0..200 {
                pays.synced(1 << 20, Duration::from_micros((1 << 20) / megabytes_a_second));
            }
            pays.now()
        };
        let pays = Pays::default();
        pays.synced(3 << 20, Duration::from_secs(1));
        assert!(!pays.now(), "one sync is no disk");
        assert!(at(&pays, 125));
        assert!(at(&pays, 500), "in between, it stays as it was");
        assert!(!at(&pays, 1_000));
        assert!(!at(&pays, 500));
        assert!(at(&pays, 300));
        let pays = Pays::default();
        for _ in 0..100_000 {
            pays.synced(1_000, Duration::from_millis(1));
        }
        assert!(!pays.now(), "a lone document waits for the sync, not for the bytes");
    }
}
