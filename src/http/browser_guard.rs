//! The browser guard: requests that a web page makes a browser send are refused before a byte of
//! their body is read.
//!
//! A machine that runs the receiver often has a browser too. Any page in it can POST text to loopback
//! without being asked, and a page whose own name has been made to mean 127.0.0.1 can read the
//! answers as well (DNS rebinding). No sender of sessions is a page, so:
//! - a request with an `Origin`, or with a `Sec-Fetch-Site` other than `none` (an address that was
//!   typed in), is refused;
//! - except GET and HEAD to an operator's route by a page of this receiver's own: `Sec-Fetch-Site`
//!   is `same-origin`, and `Origin` is missing or names the host that was asked for. Where no
//!   credentials are asked for, that host has to be known;
//! - on loopback, where no credentials are asked for, the host of every request has to be known.
//!
//! Known hosts are addresses, `localhost` and the names that the configuration lists. A rebound
//! page's own name is none of these.

use std::net::{IpAddr, SocketAddr};

use warp::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use warp::http::{HeaderMap, Method};

use super::refusal::Refusal;
use super::request::RequestHead;
use super::route::Class;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Characters of an unknown host that a refusal repeats.
const SHOWN_CHARACTERS: usize = 100;

/// The sender of a request, as far as a browser's headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initiator {
    /// A program, or a person at a browser.
    Program,
    /// A page that came from the host and port that it asks for.
    SameOrigin,
    /// Any other page.
    CrossOrigin,
}

/// The guard of one listener.
#[derive(Debug)]
pub(super) struct BrowserGuard {
    loopback: bool,
    /// Names that the listener is known by, in lower case.
    names: Vec<String>,
}

impl BrowserGuard {
    /// Creates the guard of a listener at `address` that is known by `names` as well.
    pub(super) fn new(address: Option<SocketAddr>, names: &[String]) -> BrowserGuard {
        BrowserGuard {
            loopback: address.is_none_or(|address| address.ip().to_canonical().is_loopback()),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// Checks that the request was not sent by a web page, or by a page that may send it.
    /// `authenticated` says whether operators are asked for credentials, which a rebound page does
    /// not have.
    ///
    /// # Errors
    /// [`Refusal::FromPage`], or [`Refusal::Host`].
    pub(super) fn check_page(
        &self,
        class: Class,
        head: &RequestHead,
        authenticated: bool,
    ) -> Result<(), Refusal> {
        let authority = head.peer.authority.as_deref();
        self.check(class, &head.method, &head.headers, authority, authenticated)
    }

    /// Checks a request by its parts, as [`check_page`](Self::check_page) does.
    ///
    /// # Errors
    /// Those of it.
    pub(super) fn check(
        &self,
        class: Class,
        method: &Method,
        headers: &HeaderMap,
        authority: Option<&str>,
        authenticated: bool,
    ) -> Result<(), Refusal> {
        match initiator(headers, authority) {
            Initiator::Program => Ok(()),
            Initiator::SameOrigin if may_read(class, method) => match authenticated {
                true => Ok(()),
                false => self.check_known(headers, authority),
            },
            Initiator::SameOrigin | Initiator::CrossOrigin => Err(Refusal::FromPage),
        }
    }

    /// Checks that a request to a loopback address asks for a known host, in its target
    /// (`authority`) and its header. For routes that ask for no credentials.
    ///
    /// # Errors
    /// [`Refusal::Host`].
    pub(super) fn check_host(
        &self,
        headers: &HeaderMap,
        authority: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.loopback { self.check_known(headers, authority) } else { Ok(()) }
    }

    fn check_known(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Refusal> {
        // A request without any is HTTP/1.0, which no browser speaks.
        match hosts(headers, authority).find(|host| !self.is_known(host)) {
            None => Ok(()),
            Some(host) => {
                Err(Refusal::Host { asked: host.chars().take(SHOWN_CHARACTERS).collect() })
            }
        }
    }

    fn is_known(&self, host: &str) -> bool {
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if let Some(v6) = host.strip_prefix('[') {
            let address = v6.split_once(']').map(|(address, _)| address.parse::<IpAddr>());
            return matches!(address, Some(Ok(_)));
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|known| known == name)
    }
}

/// Returns whether a page of the receiver's own may ask for a route of `class` by `method`.
fn may_read(class: Class, method: &Method) -> bool {
    let reads = method == Method::GET || method == Method::HEAD;
    reads && matches!(class, Class::Public | Class::Operator)
}

/// Returns every host that a request names.
fn hosts<'a>(headers: &'a HeaderMap, authority: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let given = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    authority.into_iter().chain(given)
}

/// Returns the sender of a request. Headers that contradict one another are a foreign page's.
fn initiator(headers: &HeaderMap, authority: Option<&str>) -> Initiator {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let (sites, origins): (Vec<&[u8]>, Vec<&[u8]>) = (values(SEC_FETCH_SITE), values(ORIGIN));
    let own_site = sites == [b"same-origin"];
    match origins.as_slice() {
        [] if sites.iter().all(|site| *site == b"none") => Initiator::Program,
        [] if own_site => Initiator::SameOrigin,
        [origin] if own_site && is_origin_of(origin, headers, authority) => Initiator::SameOrigin,
        _ => Initiator::CrossOrigin,
    }
}

/// Returns whether `origin` names the host and port that the request asks for.
fn is_origin_of(origin: &[u8], headers: &HeaderMap, authority: Option<&str>) -> bool {
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let mut asked = hosts(headers, authority).peekable();
    let known = asked.peek().is_some();
    host.is_some_and(|host| known && asked.all(|asked| asked.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_host_is_an_address_localhost_or_a_name_that_is_known() {
        let names = ["Lake.Example.com".to_owned()];
        let guard = BrowserGuard::new("127.0.0.1:3000".parse().ok(), &names);
        let asked =
            |host: &'static str| guard.check_host(&headers(&[("host", host)]), None).is_ok();
        for host in [
            "127.0.0.1",
            "127.0.0.1:3000",
            "[::1]:3000",
            "192.0.2.7:80",
            "localhost:3000",
            "LOCALHOST.",
            "a.localhost",
            "lake.example.COM:443",
        ] {
            assert!(asked(host), "{host}");
        }
        for host in [
            "evil.test",
            "evil.test:3000",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "",
            "[::1",
            "127.0.0.1@evil.test",
            "xlake.example.com",
        ] {
            assert!(!asked(host), "{host}");
        }
        assert!(guard.check_host(&HeaderMap::new(), None).is_ok());
        assert!(guard.check_host(&HeaderMap::new(), Some("evil.test")).is_err());
        let open = BrowserGuard::new("192.0.2.7:3000".parse().ok(), &[]);
        assert!(open.check_host(&HeaderMap::new(), Some("evil.test")).is_ok());
    }

    #[test]
    fn the_sender_is_what_a_browser_says_it_is() {
        let own = Initiator::SameOrigin;
        for (lines, authority, expected) in [
            (vec![], None, Initiator::Program),
            (vec![("sec-fetch-site", "none")], None, Initiator::Program),
            (vec![("sec-fetch-mode", "cors")], None, Initiator::Program),
            (vec![("sec-fetch-site", "same-origin")], None, own),
            (
                vec![("host", "h:1"), ("origin", "http://H:1"), ("sec-fetch-site", "same-origin")],
                None,
                own,
            ),
            (vec![("origin", "https://h"), ("sec-fetch-site", "same-origin")], Some("h"), own),
        ] {
            assert_eq!(initiator(&headers(&lines), authority), expected, "{lines:?}");
        }
        for lines in [
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "")],
            vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")],
            vec![("origin", "http://evil.test")],
            vec![("origin", "null")],
            // Without the browser's word for it, an equal Origin is not enough.
            vec![("host", "h"), ("origin", "http://h")],
            vec![("host", "h"), ("origin", "http://h"), ("sec-fetch-site", "none")],
            vec![("host", "h"), ("origin", "http://h:80"), ("sec-fetch-site", "same-origin")],
            vec![("host", "h"), ("origin", "null"), ("sec-fetch-site", "same-origin")],
            vec![("host", "h"), ("origin", "ftp://h"), ("sec-fetch-site", "same-origin")],
            vec![("origin", "http://"), ("sec-fetch-site", "same-origin")],
            vec![
                ("host", "h"),
                ("origin", "http://h"),
                ("origin", "http://h"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            assert_eq!(initiator(&headers(&lines), None), Initiator::CrossOrigin, "{lines:?}");
        }
    }

    #[test]
    fn own_pages_read_what_operators_read_and_nothing_else() {
        for (class, method, expected) in [
            (Class::Operator, Method::GET, true),
            (Class::Operator, Method::HEAD, true),
            (Class::Operator, Method::POST, false),
            (Class::Operator, Method::OPTIONS, false),
            (Class::Public, Method::GET, true),
            (Class::Endpoint, Method::GET, false),
            (Class::Endpoint, Method::HEAD, false),
            (Class::Endpoint, Method::PUT, false),
        ] {
            assert_eq!(may_read(class, &method), expected, "{class:?} {method}");
        }
    }

    #[test]
    fn own_pages_ask_for_a_known_host_wherever_no_credentials_are_needed() {
        for address in ["127.0.0.1:3000", "192.0.2.7:3000"] {
            let guard = BrowserGuard::new(address.parse().ok(), &["lake".to_owned()]);
            let check = |host: &'static str, authenticated| {
                let headers = headers(&[("host", host), ("sec-fetch-site", "same-origin")]);
                guard.check(Class::Operator, &Method::GET, &headers, None, authenticated)
            };
            assert!(check("lake", false).is_ok());
            assert!(check("192.0.2.7:3000", false).is_ok());
            assert!(matches!(check("evil.test", false), Err(Refusal::Host { .. })), "{address}");
            assert!(check("evil.test", true).is_ok(), "it has no credentials");
        }
    }
}
