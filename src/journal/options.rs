//! Where the journal is, and its limits.

use std::path::PathBuf;
use std::time::Duration;

use super::JournalError;
use super::codec::compression::LEAST_BYTES;
use super::codec::encryption::BodyCipher;
use super::frame::MAX_BODY_BYTES;

/// The longest node prefix.
const MAX_PREFIX_BYTES: usize = 64;

/// Where the journal is, and its limits.
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
    /// The most that all segments may hold together.
    pub quota_bytes: u64,
    /// What must stay free on the file system.
    pub reserve_bytes: u64,
    /// How long after its ack a body is recognised when it comes again. Zero turns this off.
    pub retry_window: Duration,
    /// The most body bytes, as they came, that wait for the writer or are being written. A larger
    /// body waits
    /// until the queue is empty.
    pub queue_bytes: u64,
    /// Bodies of so many bytes, and of 8 MiB at most, are written compressed if that makes them
    /// smaller; `None`: none are.
    pub compress_from_bytes: Option<usize>,
    /// Decrypts bodies that are encrypted, and encrypts new ones if `encrypt` is set.
    pub cipher: Option<BodyCipher>,
    /// Write new bodies encrypted; needs a cipher.
    pub encrypt: bool,
    /// Go on without damaged segments.
    pub skip_damaged: bool,
}

impl Options {
    /// The usual limits: segments of 64 MiB, 10 GiB in all, 1 GiB left free, a retry window of
    /// ten minutes, a queue of 64 MiB, bodies of 4 KiB to 8 MiB compressed, damage refused.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            node_prefix: String::new(),
            segment_bytes: 64 << 20,
            quota_bytes: 10 << 30,
            reserve_bytes: 1 << 30,
            retry_window: Duration::from_secs(600),
            queue_bytes: 64 << 20,
            compress_from_bytes: Some(LEAST_BYTES),
            cipher: None,
            encrypt: false,
            skip_damaged: false,
        }
    }

    /// Permits of the queue, one a KiB.
    pub(crate) fn queue_kib(&self) -> u32 {
        u32::try_from(self.queue_bytes >> 10).unwrap_or(u32::MAX).clamp(1, 1 << 28)
    }

    /// Half the quota at most: otherwise a body could wait for room that never comes, because the
    /// segment being written is not deleted.
    pub(crate) fn body_limit_bytes(&self) -> u64 {
        MAX_BODY_BYTES.min(self.quota_bytes / 2)
    }

    /// The cipher for new bodies.
    pub(crate) fn encrypt_with(&self) -> Option<&BodyCipher> {
        self.cipher.as_ref().filter(|_| self.encrypt)
    }

    /// Refuses what cannot work.
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
