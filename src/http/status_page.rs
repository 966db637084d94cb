//! The status page: one file, made of those in `status_page/`, that asks for nothing but `/status.json` and
//! `/events`.
//!
//! Its policy lets the browser run the one script and the one style that it has, by their digests, and
//! load nothing from elsewhere.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use super::reply::{self, Response};

const HTML: &str = include_str!("status_page/page.html");
const STYLE: &str = include_str!("status_page/page.css");
const SCRIPTS: [&str; 3] = [
    include_str!("status_page/charts.js"),
    include_str!("status_page/parts.js"),
    include_str!("status_page/page.js"),
];

/// The page, as it is sent.
pub(super) struct Page {
    text: Bytes,
    /// Its Content-Security-Policy, with the digests of its script and style.
    policy: HeaderValue,
}

impl Page {
    /// Puts the page together.
    pub(super) fn new() -> Page {
        let script = format!("\n\"use strict\";\n{}", SCRIPTS.concat());
        let style = format!("\n{STYLE}");
        let text = HTML.replacen("/*style*/", &style, 1).replacen("/*script*/", &script, 1);
        Page { text: text.into(), policy: policy(&script, &style) }
    }

    /// Returns the response with the page.
    pub(super) fn response(&self) -> Response {
        let mut response =
            reply::typed(StatusCode::OK, "text/html; charset=utf-8", self.text.clone());
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        protect(response.headers_mut());
        response
    }
}

/// Adds the headers by which a browser keeps to itself what it was told.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Returns the Content-Security-Policy of a page with this script and style.
fn policy(script: &str, style: &str) -> HeaderValue {
    let hash = |text: &str| {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        STANDARD.encode(digest)
    };
    let (script, style) = (hash(script), hash(style));
    let text = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Letters, digits and signs of ASCII.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_for_nothing_outside() {
        let page = Page::new();
        let text = std::str::from_utf8(&page.text).unwrap();
        assert!(text.len() < 100 << 10, "{}", text.len());
        for tag in ["script", "style"] {
            let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
            let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            assert!(content.len() > 1000, "{tag}");
            assert_eq!(text.matches(&format!("<{tag}")).count(), 1, "one {tag}");
        }
        // The namespace of SVG is a name, and nothing that is fetched.
        let without = text.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "//cdn", "src=", "@import", "url(", " style=", "onclick"] {
            assert!(!without.contains(word), "{word}");
        }
        let policy = page.policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    }
}
