//! Options of the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::JournalError;
use super::codec::compression::LEAST_BYTES;
use super::codec::encryption::BodyCipher;
use super::frame::MAX_BODY_BYTES;

/// The longest node prefix.
const MAX_PREFIX_BYTES: usize = 64;

/// Bytes of a usual bulk: senders send what they have every minute, up to about a megabyte.
const USUAL_BULK_BYTES: u64 = 1 << 20;

/// Returns the least quota of a journal that takes bodies of `body_bytes`.
#[must_use]
pub fn quota_for_body(body_bytes: u64) -> u64 {
    body_bytes.saturating_mul(2)
}

/// Options of the journal: its directory, its limits and the encoding of bodies.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the segments. Made if missing.
    pub dir: PathBuf,
    /// Put before a new journal's node name, with a `-`. May be empty. Ignored when the journal
    /// exists: a node keeps its name.
    pub node_prefix: String,
    /// Frames in a segment, in bytes, before the next one is begun. A larger body gets a segment
    /// of its own.
    pub segment_bytes: u64,
    /// Maximum bytes of all segments together, unless `new_quota` has another.
    pub quota_bytes: u64,
    /// The quota that is to hold from now on.
    pub new_quota: NewQuota,
    /// Bytes that must stay free on the file system.
    pub reserve_bytes: u64,
    /// Time after its acknowledgement during which a body is recognised when it comes again. Zero
    /// turns this off.
    pub retry_window: Duration,
    /// Maximum body bytes, as they came, that wait for the writer or are being written. A larger body
    /// waits until the queue is empty.
    pub queue_bytes: u64,
    /// Maximum bytes of bodies that are kept in memory for the reader that lands them
    /// ([`Reader::taking_handed`](super::Reader::taking_handed)) instead of being read from their segments; 0 keeps
    /// none.
    pub hand_on_bytes: u64,
    /// Bodies of so many bytes, and of 8 MiB at most, are written compressed if that makes them
    /// smaller; `None`: none are.
    pub compress_from_bytes: Option<usize>,
    /// Compress them always, and not only while many wait for the disk (half of the queue, or seven eighths of
    /// `hand_on_bytes`) or more than an eighth of the quota is not committed.
    pub compress_always: bool,
    /// Decrypts bodies that are encrypted, and encrypts new ones if `encrypt` is set.
    pub cipher: Option<BodyCipher>,
    /// Write new bodies encrypted; needs a cipher.
    pub encrypt: bool,
    /// Set damaged segments aside instead of refusing to open.
    pub skip_damaged: bool,
}

/// A quota that replaces the one of the start while the journal is open. Clones share it.
///
/// One below what is in use refuses bodies until enough has landed; nothing is given up for it.
#[derive(Clone, Debug, Default)]
pub struct NewQuota(Arc<AtomicU64>);

impl NewQuota {
    /// Sets it, in bytes; not 0.
    pub fn set(&self, bytes: u64) {
        // Relaxed: a body that comes at the same moment may meet either.
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

impl Options {
    /// Creates options with the usual limits: segments of 64 MiB, 10 GiB in all, 1 GiB left free, a retry window of
    /// ten minutes, a queue of 64 MiB, bodies of 4 KiB to 8 MiB compressed, damage refused.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            node_prefix: String::new(),
            segment_bytes: 64 << 20,
            quota_bytes: 10 << 30,
            new_quota: NewQuota::default(),
            reserve_bytes: 1 << 30,
            retry_window: Duration::from_secs(600),
            queue_bytes: 64 << 20,
            hand_on_bytes: 0,
            compress_from_bytes: Some(LEAST_BYTES),
            compress_always: true,
            cipher: None,
            encrypt: false,
            skip_damaged: false,
        }
    }

    /// Returns the quota that holds now.
    pub(crate) fn quota_now_bytes(&self) -> u64 {
        self.new_quota.get().unwrap_or(self.quota_bytes)
    }

    /// Returns the bytes that are not committed from which on bodies are compressed in any case.
    pub(crate) fn many_pending_bytes(&self) -> u64 {
        self.quota_now_bytes() / 8
    }

    /// Returns the KiB of bodies that wait for the disk from which on bodies are compressed: half of the queue, or seven
    /// eighths of the memory for bodies that are handed on, which those that wait for the disk have as well.
    pub(crate) fn many_waiting_kib(&self) -> u64 {
        let half = u64::from(self.queue_kib()) / 2;
        match self.hand_on_bytes {
            0 => half,
            bytes => half.min(bytes / 1024 / 8 * 7),
        }
    }

    /// Returns the permits of the queue, one for each KiB.
    pub(crate) fn queue_kib(&self) -> u32 {
        u32::try_from(self.queue_bytes >> 10).unwrap_or(u32::MAX).clamp(1, 1 << 28)
    }

    /// Returns the maximum bytes of a body. Half the quota at most: a larger body could wait for space
    /// that never comes free, because the segment being written is not deleted.
    pub(crate) fn body_limit_bytes(&self) -> u64 {
        MAX_BODY_BYTES.min(self.quota_now_bytes() / 2)
    }

    /// Returns the bytes of a usual bulk, for which there must be room if the journal is to be called
    /// ready: 1 MiB, or the largest body if that is smaller.
    pub(crate) fn usual_bulk_bytes(&self) -> u64 {
        USUAL_BULK_BYTES.min(self.body_limit_bytes())
    }

    /// Returns the cipher for new bodies, if they are to be encrypted.
    pub(crate) fn encrypt_with(&self) -> Option<&BodyCipher> {
        self.cipher.as_ref().filter(|_| self.encrypt)
    }

    /// Refuses options that cannot work.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        let prefix = &self.node_prefix;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(plain) || prefix.starts_with('.')
        {
            return Err(JournalError::Options(format!(
                "the node prefix {prefix:?} must be at most {MAX_PREFIX_BYTES} letters, digits, -, _ \
             or ., and not begin with a dot"
            )));
        }
        if self.encrypt && self.cipher.is_none() {
            let why = "bodies are to be encrypted, and there is no key";
            return Err(JournalError::Options(why.into()));
        }
        Ok(())
    }
}
