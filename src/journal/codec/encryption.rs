//! Encryption of bodies: AES-256-GCM under keys that are derived from the operator's secret.
//!
//! ```text
//!  format 3, by the frame's flag:    nonce (12) ‖ ciphertext ‖ tag (16)
//!  formats 1 and 2, by their prefix: "\0SLE1" (5) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! # Nonces
//! A nonce is synthetic, as in the SIV modes: the first 96 bits of an HMAC-SHA256, under a key of its
//! own, of exactly what the cipher is given: the length of the associated data, these, and the
//! plaintext, which is the body as compressed. So two encryptions under one nonce are of the same
//! input, and then they are equal, but for a chance of 2⁻⁹⁷ n² for n bodies of one secret. That a
//! body becomes other bytes when the compressor or its level changes does no harm: these are another
//! input, with another nonce. No random numbers are needed, so a machine that was cloned with the
//! state of its generator repeats none.
//!
//! Format 3 has keys that format 2 had not. Inputs of the two are laid out differently, and one key
//! for both could give one nonce to two of them.
//!
//! # Associated data
//! The frame's flags and the whole head of the body: retry key, first line, form, inflated length,
//! table. A body cannot be given to another table or decompressed to another length. The number and
//! the time are not covered: they are given after the body was encrypted. Somebody who can write to
//! the disk can still delete bodies, or repeat and reorder them.
//!
//! # Facts that the disk shows
//! Times, tables, forms, the lengths of bodies as they came and as compressed, and which bodies of a
//! journal are equal: by their retry keys, which stand in frames and checkpoints in the clear. In a
//! journal that is not encrypted these are a hash whose seed is in the segment's head, with which
//! anybody could test a guess, and which for short bodies could be inverted. So an encrypted journal
//! keeps the HMAC of that hash instead: it says as much as the equality of ciphertexts would.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use bytes::Bytes;

use crate::journal::frame::{BodyFlags, RetryKey};

/// Bytes that encryption adds to a body.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_LEN + 16;
/// Bytes that encryption added to a body in formats 1 and 2.
pub(crate) const FORMAT_2_OVERHEAD_BYTES: usize = FORMAT_2_PREFIX.len() + OVERHEAD_BYTES;
/// The beginning of encrypted bodies of formats 1 and 2.
pub(crate) const FORMAT_2_PREFIX: &[u8] = b"\0SLE1";

/// Encrypts and decrypts bodies. Cheap to clone; `Debug` shows nothing of the keys.
#[derive(Clone)]
pub struct BodyCipher(Arc<Keys>);

struct Keys {
    body: LessSafeKey,
    nonce: hmac::Key,
    retry: hmac::Key,
    /// The keys of formats 1 and 2.
    body_2: LessSafeKey,
    nonce_2: hmac::Key,
}

impl std::fmt::Debug for BodyCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl BodyCipher {
    /// Makes a cipher of keys that `derive` derives from a secret, one for each purpose. The same
    /// secret must give the same key for a purpose at every start. Returns `None` if the
    /// cryptographic library refuses a key.
    pub fn derived(derive: impl Fn(&[u8]) -> [u8; 32]) -> Option<BodyCipher> {
        let body =
            |purpose| Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derive(purpose)).ok()?));
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &derive(purpose));
        Some(BodyCipher(Arc::new(Keys {
            body: body(b"sessionlake body seal 3")?,
            nonce: mac(b"sessionlake body nonce 3"),
            retry: mac(b"sessionlake body retry 3"),
            body_2: body(b"sessionlake body seal 1")?,
            nonce_2: mac(b"sessionlake body nonce 1"),
        })))
    }

    /// Encrypts `plaintext` as the body of a frame with these flags and this head. Takes about a
    /// millisecond a megabyte. Returns `None` if it is too long for the cipher (64 GiB).
    pub(crate) fn encrypt(
        &self,
        flags: BodyFlags,
        head_bytes: &[u8],
        plaintext: &[u8],
    ) -> Option<Bytes> {
        let associated = associated_data(flags, head_bytes);
        let mut mac = hmac::Context::with_key(&self.0.nonce);
        mac.update(&(associated.len() as u64).to_le_bytes());
        mac.update(&associated);
        mac.update(plaintext);
        seal(&self.0.body, &mac.sign(), &associated, b"", plaintext)
    }

    /// Decrypts what [`encrypt`](Self::encrypt) returned for the same flags and head. Returns `None`
    /// for anything else, and for what was encrypted with another secret.
    pub(crate) fn decrypt(
        &self,
        flags: BodyFlags,
        head_bytes: &[u8],
        stored: &[u8],
    ) -> Option<Bytes> {
        open(&self.0.body, &associated_data(flags, head_bytes), stored)
    }

    /// Decrypts a body of format 1 or 2.
    pub(crate) fn open_format_2(&self, sealed: &[u8]) -> Option<Bytes> {
        open(&self.0.body_2, FORMAT_2_PREFIX, sealed.strip_prefix(FORMAT_2_PREFIX)?)
    }

    /// Encrypts a body as format 2 did, whose retry key is of the result.
    pub(crate) fn seal_format_2(&self, body: &[u8]) -> Option<Bytes> {
        let nonce = hmac::sign(&self.0.nonce_2, body);
        seal(&self.0.body_2, &nonce, FORMAT_2_PREFIX, FORMAT_2_PREFIX, body)
    }

    /// Returns the retry key that an encrypted journal keeps in place of `key`.
    pub(crate) fn retry_key(&self, key: RetryKey) -> RetryKey {
        let mut mac = hmac::Context::with_key(&self.0.retry);
        mac.update(&key.hash.to_le_bytes());
        mac.update(&key.body_bytes.to_le_bytes());
        let mac = mac.sign();
        let hash = mac.as_ref().first_chunk().map_or(0, |first| u128::from_le_bytes(*first));
        RetryKey { hash, ..key }
    }
}

/// Tells whether a body of format 1 or 2 is encrypted.
pub(crate) fn is_sealed_by_format_2(body: &[u8]) -> bool {
    body.starts_with(FORMAT_2_PREFIX)
}

fn associated_data(flags: BodyFlags, head_bytes: &[u8]) -> Vec<u8> {
    let mut associated = Vec::with_capacity(1 + head_bytes.len());
    associated.push(flags.to_byte());
    associated.extend_from_slice(head_bytes);
    associated
}

/// Encrypts `plaintext` with the beginning of `mac` as the nonce, behind `prefix`.
fn seal(
    key: &LessSafeKey,
    mac: &hmac::Tag,
    associated: &[u8],
    prefix: &[u8],
    plaintext: &[u8],
) -> Option<Bytes> {
    let nonce: [u8; NONCE_LEN] = *mac.as_ref().first_chunk()?;
    let mut out = Vec::with_capacity(prefix.len() + plaintext.len() + OVERHEAD_BYTES);
    out.extend_from_slice(prefix);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let text = out.get_mut(start..)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), text).ok()?;
    out.extend_from_slice(tag.as_ref());
    Some(out.into())
}

/// Decrypts `nonce ‖ ciphertext ‖ tag`.
fn open(key: &LessSafeKey, associated: &[u8], sealed: &[u8]) -> Option<Bytes> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = text.to_vec();
    let len = key.open_in_place(nonce, Aad::from(associated), &mut text).ok()?.len();
    text.truncate(len);
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(secret: u8) -> BodyCipher {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &[secret; 32]);
        let derive = |purpose: &[u8]| {
            let mac = hmac::sign(&secret, purpose);
            *mac.as_ref().first_chunk().expect("32 bytes")
        };
        BodyCipher::derived(derive).expect("keys of the right length")
    }

    const FLAGS: BodyFlags = BodyFlags { has_key: true, is_compressed: false, is_encrypted: true };

    #[test]
    fn what_was_encrypted_opens_with_its_key_its_flags_and_its_head_only() {
        let body = b"{\"userId\":\"ann\"}";
        let stored = cipher(7).encrypt(FLAGS, b"head", body).expect("encrypted");
        assert_eq!(stored.len(), body.len() + OVERHEAD_BYTES);
        assert!(memchr::memmem::find(&stored, b"ann").is_none());
        assert_eq!(cipher(7).decrypt(FLAGS, b"head", &stored).expect("opens"), &body[..]);
        assert_eq!(cipher(8).decrypt(FLAGS, b"head", &stored), None);
        assert_eq!(cipher(7).decrypt(FLAGS, b"heaD", &stored), None);
        let compressed = BodyFlags { is_compressed: true, ..FLAGS };
        assert_eq!(cipher(7).decrypt(compressed, b"head", &stored), None);
        for at in 0..stored.len() {
            let mut broken = stored.to_vec();
            broken[at] ^= 1;
            assert_eq!(cipher(7).decrypt(FLAGS, b"head", &broken), None, "byte {at}");
        }
        for short in 0..OVERHEAD_BYTES {
            assert_eq!(cipher(7).decrypt(FLAGS, b"head", &stored[..short]), None);
        }
        let empty = cipher(7).encrypt(FLAGS, b"head", b"").expect("encrypted");
        assert_eq!(cipher(7).decrypt(FLAGS, b"head", &empty).expect("opens"), "");
    }

    #[test]
    fn a_nonce_is_of_all_that_the_cipher_is_given() {
        let nonce = |flags, head: &[u8], body: &[u8]| {
            let stored = cipher(7).encrypt(flags, head, body).expect("encrypted");
            stored[..NONCE_LEN].to_vec()
        };
        let one = nonce(FLAGS, b"head", b"body");
        assert_eq!(one, nonce(FLAGS, b"head", b"body"));
        let compressed = BodyFlags { is_compressed: true, ..FLAGS };
        for other in [
            nonce(FLAGS, b"head", b"bodY"),
            nonce(FLAGS, b"heaD", b"body"),
            nonce(compressed, b"head", b"body"),
            // The same bytes with the limit between head and body elsewhere.
            nonce(FLAGS, b"headb", b"ody"),
            nonce(FLAGS, b"hea", b"dbody"),
        ] {
            assert_ne!(one, other);
        }
        let format_2 = cipher(7).seal_format_2(b"body").expect("encrypted");
        assert_ne!(one, &format_2[5..17]);
    }

    #[test]
    fn bodies_of_format_2_open_with_their_key_only() {
        let sealed = cipher(7).seal_format_2(b"{\"userId\":\"ann\"}").expect("encrypted");
        // Computed with other libraries, as the version before format 3 did.
        let digits: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digits,
            "00534c4531c487af6e83bef7e5901709a698d530d9b26034834645c38dde07b10464ec66c2ebcb8665b742\
             2949a77e8464"
        );
        assert!(is_sealed_by_format_2(&sealed) && !is_sealed_by_format_2(b"{}"));
        assert_eq!(cipher(7).open_format_2(&sealed).expect("opens"), "{\"userId\":\"ann\"}");
        assert_eq!(cipher(8).open_format_2(&sealed), None);
        for at in [0, 6, 20, sealed.len() - 1] {
            let mut broken = sealed.to_vec();
            broken[at] ^= 1;
            assert_eq!(cipher(7).open_format_2(&broken), None, "byte {at}");
        }
        assert_eq!(cipher(7).open_format_2(FORMAT_2_PREFIX), None);
    }

    #[test]
    fn a_retry_key_cannot_be_computed_without_the_secret() {
        let key = RetryKey::of(1, "table", b"body");
        let kept = cipher(7).retry_key(key);
        assert_eq!(kept, cipher(7).retry_key(key));
        assert_ne!(kept.hash, key.hash);
        assert_ne!(kept.hash, cipher(8).retry_key(key).hash);
        assert_ne!(kept.hash, cipher(7).retry_key(RetryKey::of(1, "table", b"bodY")).hash);
        assert_eq!(kept.body_bytes, 4);
    }
}
