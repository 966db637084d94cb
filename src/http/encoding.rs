//! The Content-Encoding of a body, and the reader that decodes it.
//!
//! | name | accepted |
//! |---|---|
//! | `gzip`, `x-gzip` | one or more members, zeros after each, as gzip(1) takes them |
//! | `deflate` | a zlib stream, or raw deflate, which some clients send under this name |
//! | `zstd` | one or more frames with windows up to 8 MiB (RFC 9659), skippable ones among them |
//! | `br` | one stream, windows up to 16 MiB |
//!
//! A body encoded twice is refused. The memory of a decoder besides its output is bounded by
//! [`Encoding::window_bytes`].

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use tokio::io::{AsyncBufRead, AsyncRead};
use warp::http::HeaderMap;
use warp::http::header::CONTENT_ENCODING;

/// The accepted names, as `Accept-Encoding` has them.
pub(super) const NAMES: &str = "gzip, deflate, zstd, br";

/// The base-2 logarithm of the largest zstd window in bytes.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A Content-Encoding that is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("Content-Encoding {got:?} is not taken: send none, or one of {NAMES}")]
pub(super) struct UnknownEncoding {
    /// The value of the header.
    got: String,
}

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
    Zstd,
    Brotli,
}

impl Encoding {
    /// Returns the encoding that the headers name; `None` for a body that is sent as it is.
    ///
    /// # Errors
    /// [`UnknownEncoding`], also for several on top of each other.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Encoding>, UnknownEncoding> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            // Bytes that are no text are no known name, and are shown as well as they can be.
            let text = String::from_utf8_lossy(value.as_bytes());
            for name in text.split(',').map(str::trim) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                let (None, Some(encoding)) = (found, Encoding::named(name)) else {
                    return Err(UnknownEncoding { got: all(headers) });
                };
                found = Some(encoding);
            }
        }
        Ok(found)
    }

    fn named(name: &str) -> Option<Encoding> {
        Some(match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Encoding::Gzip,
            "deflate" => Encoding::Deflate,
            "zstd" => Encoding::Zstd,
            "br" => Encoding::Brotli,
            _ => return None,
        })
    }

    /// Returns the name of the encoding.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Zstd => "zstd",
            Encoding::Brotli => "br",
        }
    }

    /// Returns the most bytes of its output that a decoder keeps to copy from.
    pub(super) const fn window_bytes(self) -> u64 {
        match self {
            Encoding::Gzip | Encoding::Deflate => 32 << 10,
            Encoding::Zstd => 1 << ZSTD_WINDOW_LOG,
            Encoding::Brotli => 16 << 20,
        }
    }

    /// Returns whether the reader of [`Encoding::inflate`] stops after each member of several. The
    /// caller then passes over zeros, with which tapes and block devices fill up what they store, and
    /// begins another reader if bytes are left.
    pub(super) const fn separates_members(self) -> bool {
        matches!(self, Encoding::Gzip)
    }

    /// Returns a reader of the decoded bytes of `encoded`, whose first byte is `first`.
    ///
    /// The reader may stop before the end of `encoded`: the caller has to look for bytes after the end
    /// of the stream.
    pub(super) fn inflate<'a, R>(
        self,
        encoded: R,
        first: u8,
    ) -> Box<dyn AsyncRead + Send + Unpin + 'a>
    where
        R: AsyncBufRead + Send + Unpin + 'a,
    {
        match self {
            // One member: see `Encoding::separates_members`.
            Encoding::Gzip => Box::new(GzipDecoder::new(encoded)),
            Encoding::Deflate if is_zlib(first) => Box::new(ZlibDecoder::new(encoded)),
            Encoding::Deflate => Box::new(DeflateDecoder::new(encoded)),
            Encoding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                let mut zstd = ZstdDecoder::with_params(encoded, &[window]);
                zstd.multiple_members(true);
                Box::new(zstd)
            }
            Encoding::Brotli => Box::new(BrotliDecoder::new(encoded)),
        }
    }
}

/// Returns whether a deflate stream that begins with `first` has a zlib header.
///
/// The low four bits of that header are 8. In raw deflate they would be a stored block with a one
/// among its padding bits, which encoders write as zeros.
fn is_zlib(first: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7
}

/// Returns the values of all headers, for a message.
fn all(headers: &HeaderMap) -> String {
    let values: Vec<_> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    values.join(", ")
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Result<Option<Encoding>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Encoding::of(&headers).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_known_in_any_case_and_identity_is_none() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&[""]), Ok(None));
        assert_eq!(of(&["GZip"]), Ok(Some(Encoding::Gzip)));
        assert_eq!(of(&["x-gzip"]), Ok(Some(Encoding::Gzip)));
        assert_eq!(of(&["identity, br"]), Ok(Some(Encoding::Brotli)));
        assert_eq!(of(&["deflate"]), Ok(Some(Encoding::Deflate)));
        assert_eq!(of(&["zstd"]), Ok(Some(Encoding::Zstd)));
    }

    #[test]
    fn several_and_unknown_ones_are_refused_by_name() {
        for values in [&["gzip, gzip"][..], &["gzip", "br"], &["lzma"], &["gzip;q=1"]] {
            let error = of(values).unwrap_err();
            assert!(error.contains(&values.join(", ")) && error.contains(NAMES), "{error}");
        }
    }
}
