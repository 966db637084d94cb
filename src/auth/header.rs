//! The `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes a name and a secret from base64, with a colon between them.
pub(super) fn pair(value: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}
