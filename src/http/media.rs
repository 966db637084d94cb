//! The media type of a body, and what its bytes are: both have to be JSON in UTF-8.
//!
//! A body that is packed or in another encoding than its headers say is refused, and not guessed at.
//! Its limits, its memory and its identity are decided by the headers before it is read; and a proxy
//! that loses a header is found by the first bulk, instead of by what is missing later.

use warp::http::HeaderMap;
use warp::http::header::{CONTENT_TYPE, TRANSFER_ENCODING};

use crate::foreign_format::ForeignFormat;

use super::encoding::Encoding;
use super::refusal::{CONTENT_TYPES, Refusal};

/// Checks the headers that say how a body is written.
///
/// # Errors
/// [`Refusal::ContentType`], [`Refusal::Charset`], [`Refusal::TransferEncoding`].
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    // Only the framing by `chunked` is taken off; a coding below it would stay on the body.
    for value in headers.get_all(TRANSFER_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        let known = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("chunked");
        if !text.split(',').map(str::trim).all(known) {
            return Err(Refusal::TransferEncoding { got: text.into_owned() });
        }
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    if !name.is_empty() && !CONTENT_TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Refusal::ContentType { got: name.to_owned() });
    }
    for (key, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        let charset = value.trim().trim_matches('"');
        // ASCII is UTF-8.
        let known = ["utf-8", "utf8", "us-ascii"].iter().any(|k| k.eq_ignore_ascii_case(charset));
        if key.trim().eq_ignore_ascii_case("charset") && !known {
            return Err(Refusal::Charset { got: charset.to_owned() });
        }
    }
    Ok(())
}

/// Checks that a body, whose Content-Encoding was `encoding` and has been taken off, may be JSON.
///
/// # Errors
/// [`Refusal::ForeignFormat`].
pub(super) fn check_body(bytes: &[u8], encoding: Option<Encoding>) -> Result<(), Refusal> {
    let Some(format) = ForeignFormat::of(bytes) else { return Ok(()) };
    let undeclared = encoding.is_none() && matches!(format.name, "gzip" | "zstd");
    Err(match undeclared {
        true => Refusal::UndeclaredEncoding { encoding: format.name },
        false => Refusal::ForeignFormat { format },
    })
}
