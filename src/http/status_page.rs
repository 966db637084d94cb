//! The status page: one file, embedded, that asks for nothing but `/status.json`.
//!
//! Its policy lets the browser run the one script and the one style that it has, by their digests, and
//! load nothing from elsewhere.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use super::reply::{self, Response};

const PAGE: &str = include_str!("status_page.html");

/// Returns the page, with the policy that [`policy`] has made.
pub(super) fn response(policy: &HeaderValue) -> Response {
    let mut response = reply::typed(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
    protect(response.headers_mut());
    response
}

/// Adds the headers by which a browser keeps to itself what it was told.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Returns the Content-Security-Policy of the page.
pub(super) fn policy() -> HeaderValue {
    let hash = |tag| {
        let digest = digest::digest(&digest::SHA256, content(tag).as_bytes());
        STANDARD.encode(digest)
    };
    let (script, style) = (hash("script"), hash("style"));
    let text = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Letters, digits and signs of ASCII.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Returns what stands in the page's one element with this tag.
fn content(tag: &str) -> &'static str {
    let begin = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    begin.split_once(&format!("</{tag}>")).map_or("", |(content, _)| content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_for_nothing_outside() {
        assert!(PAGE.len() < 100 << 10, "{}", PAGE.len());
        for tag in ["script", "style"] {
            assert!(content(tag).len() > 1000, "{tag}");
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "one {tag}");
        }
        // The namespace of SVG is a name, and nothing that is fetched.
        let without = PAGE.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "//cdn", "src=", "@import", "url(", " style=", "onclick"] {
            assert!(!without.contains(word), "{word}");
        }
        let policy = policy();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'; script-src 'sha256-"));
    }
}
