//! Bodies as they lie in an encrypted journal.
//!
//! ```text
//!  "\0SLE1" (5) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)
//! ```
//! The nonce is the beginning of an HMAC of the body under a key of its own (as SIV modes make
//! theirs): equal bodies are equal when sealed, so that the journal recognises a retry without
//! knowing what it is, and different bodies have different nonces but for a chance of 2⁻⁹⁶ a pair.
//! What the disk tells beyond lengths is which bodies are equal.
//!
//! No body of documents begins with a NUL: the receiver refuses what looks as if it were sealed, so
//! that nobody can hand in what would not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use bytes::Bytes;

use super::Key;

const MAGIC: &[u8] = b"\0SLE1";

/// Bytes that sealing adds.
pub const SEAL_BYTES: usize = 5 + 12 + 16;

/// The keys for bodies.
pub(super) struct BodyKeys {
    nonce: hmac::Key,
    seal: LessSafeKey,
}

impl BodyKeys {
    /// Both are derived from the secret, for this purpose only.
    pub(super) fn new(nonce: &[u8], seal: &[u8]) -> Option<BodyKeys> {
        let seal = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, seal).ok()?);
        Some(BodyKeys { nonce: hmac::Key::new(hmac::HMAC_SHA256, nonce), seal })
    }
}

/// Whether `body` is sealed, or looks so.
#[must_use]
pub fn is_sealed(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

impl Key {
    /// `body` as it goes to the journal; `None` if it is too long for the cipher (64 GiB).
    #[must_use]
    pub fn seal_body(&self, body: &[u8]) -> Option<Bytes> {
        let keys = self.bodies();
        let mac = hmac::sign(&keys.nonce, body);
        let mut nonce = [0; NONCE_LEN];
        for (to, from) in nonce.iter_mut().zip(mac.as_ref()) {
            *to = *from;
        }
        let mut out = Vec::with_capacity(body.len() + SEAL_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(body);
        let text = out.get_mut(start..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = keys.seal.seal_in_place_separate_tag(nonce, Aad::from(MAGIC), text).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(out.into())
    }

    /// What [`Key::seal_body`] was given; `None` if it is not whole, or was sealed with another.
    #[must_use]
    pub fn open_body(&self, sealed: &[u8]) -> Option<Bytes> {
        let rest = sealed.strip_prefix(MAGIC)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let len = self.bodies().seal.open_in_place(nonce, Aad::from(MAGIC), &mut text).ok()?.len();
        text.truncate(len);
        Some(text.into())
    }
}
