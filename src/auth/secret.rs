//! Secrets, and the digests that stand in for them.

use std::sync::Arc;

use aws_lc_rs::digest;

/// The secret that a password is verified against.
#[derive(Clone)]
pub(super) enum Secret {
    /// An Argon2 hash in its usual text form.
    Hash(Arc<str>),
    /// The password itself, from a file of its own or a variable.
    Plain(Arc<str>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Secret {
    /// Returns the digest that the tokens of our token endpoint depend on: another secret voids them.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (Secret::Hash(text) | Secret::Plain(text)) = self;
        sha256(text.as_bytes())
    }
}

/// Parses a `token_hash`.
pub(super) fn parse_token_hash(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (to, two) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Returns the `token_hash` of a token.
#[must_use]
pub(crate) fn token_hash(token: &str) -> String {
    sha256(token.as_bytes()).iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}"))
}

/// Returns the SHA-256 digest of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
