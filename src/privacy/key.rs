//! The secret, and the keys derived from it.
//!
//! Keys are derived from it, one for hashes, one for sealing rejected lines, others for other stations
//! ([`Key::derive`]), so that none reveals another. A sealed text is base64 of `nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret_path::{self, Kept};

/// The least bytes of a secret.
const LEAST_BYTES: usize = 32;
/// Bytes that the cipher adds.
const TAG_BYTES: usize = 16;
/// Hex digits of a hash: 128 bits, for which equal hashes mean equal values.
const HASH_BYTES: usize = 16;

/// The secret of the rules. Cheap to clone; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Key(Arc<Keys>);

struct Keys {
    secret: hmac::Key,
    hash: hmac::Key,
    seal: RandomizedNonceKey,
}

/// The reason why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such file.
    #[error(
        "cannot read the file that privacy_key names (not named here, as it may be the secret \
         itself): {source}"
    )]
    Missing {
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is there, and cannot be read.
    #[error("cannot read the privacy key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Too short to be a secret.
    #[error("the privacy key {} has less than {LEAST_BYTES} bytes", path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
    /// The cipher refused the key.
    #[error("the privacy key {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Key {
    /// Reads the secret in `path`: the bytes of the file, without white space around them.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Key, KeyError> {
        let bytes =
            secret_path::read(path, Kept::Secret).map_err(
                |source| match secret_path::may_be_shown(&source) {
                    true => KeyError::Read { path: path.to_owned(), source },
                    false => KeyError::Missing { source },
                },
            )?;
        let secret = bytes.trim_ascii();
        if secret.len() < LEAST_BYTES {
            return Err(KeyError::Short { path: path.to_owned() });
        }
        Key::of(secret).ok_or_else(|| KeyError::Unusable { path: path.to_owned() })
    }

    pub(super) fn of(secret: &[u8]) -> Option<Key> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &[u8]| hmac::sign(&secret, purpose);
        let hash = hmac::Key::new(hmac::HMAC_SHA256, derive(b"sessionlake hash 1").as_ref());
        let seal = RandomizedNonceKey::new(&AES_256_GCM, derive(b"sessionlake seal 1").as_ref());
        Some(Key(Arc::new(Keys { hash, seal: seal.ok()?, secret })))
    }

    /// Derives a key of 256 bits for another purpose. The same secret and purpose give the same key.
    #[must_use]
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mac = hmac::sign(&self.0.secret, purpose);
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(mac.as_ref()) {
            *to = *from;
        }
        key
    }

    /// Appends the hash that replaces `value` to `out`.
    pub(super) fn hash(&self, value: &[u8], out: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |d| char::from(*d));
        for byte in hmac::sign(&self.0.hash, value).as_ref().iter().take(HASH_BYTES) {
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }

    /// Encrypts `text`, so that only the secret opens it; `None` if the system gives no random numbers.
    #[must_use]
    pub fn seal(&self, text: &[u8]) -> Option<String> {
        self.seal_between("", text, "")
    }

    /// Encrypts `text` as [`Key::seal`] does and puts it between two texts, with as few copies as
    /// possible: `text` may be a whole body.
    pub(super) fn seal_between(&self, before: &str, text: &[u8], after: &str) -> Option<String> {
        let mut sealed = Vec::with_capacity(text.len() + TAG_BYTES);
        sealed.extend_from_slice(text);
        let nonce = self.0.seal.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
        // The nonce's bytes are whole groups of base64: what follows can be written after it.
        const { assert!(NONCE_LEN.is_multiple_of(3)) };
        let bytes = base64::encoded_len(NONCE_LEN + sealed.len(), true)?;
        let mut out = String::with_capacity(before.len() + bytes + after.len());
        out.push_str(before);
        STANDARD.encode_string(nonce.as_ref(), &mut out);
        STANDARD.encode_string(&sealed, &mut out);
        out.push_str(after);
        Some(out)
    }

    /// Opens what [`Key::seal`] returned; `None` for anything else.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let mut whole = STANDARD.decode(sealed).ok()?;
        let (nonce, text) = whole.split_at_mut_checked(12)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.seal.open_in_place(nonce, Aad::empty(), text).ok()?;
        Some(text.to_vec())
    }
}
