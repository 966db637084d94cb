//! What a web page makes a browser send is refused, before a byte of its body is read.
//!
//! Whoever runs the receiver on their own machine has a browser there too. Any page in it can POST
//! text to loopback without being asked, and a page whose own name has been made to mean 127.0.0.1
//! can read the answers as well (DNS rebinding). No sender of sessions is a page, so:
//! - a request with an `Origin`, or with a `Sec-Fetch-Site` other than `none` (an address that was
//!   typed in), is not taken;
//! - on loopback, where nobody is asked who they are, the host that was asked for is an address,
//!   `localhost`, or a name that the configuration knows. A page's own name is none of these.

use std::net::{IpAddr, SocketAddr};

use warp::http::HeaderMap;
use warp::http::header::{HOST, HeaderName, ORIGIN};

use super::reply::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The longest host that a refusal repeats.
const SHOWN_CHARACTERS: usize = 100;

/// Which hosts may be asked for.
#[derive(Debug)]
pub(super) struct Pages {
    loopback: bool,
    /// In lower case.
    names: Vec<String>,
}

impl Pages {
    /// For a listener at `address` that is known by these names as well.
    pub(super) fn new(address: Option<SocketAddr>, names: &[String]) -> Pages {
        Pages {
            loopback: address.is_none_or(|address| address.ip().to_canonical().is_loopback()),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a browser says that a page made it send this.
    pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
        let elsewhere = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none");
        match headers.contains_key(ORIGIN) || elsewhere {
            true => Err(Refusal::FromPage),
            false => Ok(()),
        }
    }

    /// Whether the host that was asked for (`authority`, where the target names one) is ours, in a
    /// place where nobody is asked who they are.
    pub(super) fn host(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Refusal> {
        if !self.loopback {
            return Ok(());
        }
        let given = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        // Without any it is HTTP/1.0, which no browser speaks.
        match authority.into_iter().chain(given).find(|host| !self.is_ours(host)) {
            None => Ok(()),
            Some(host) => {
                Err(Refusal::Host { asked: host.chars().take(SHOWN_CHARACTERS).collect() })
            }
        }
    }

    fn is_ours(&self, host: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_is_an_address_localhost_or_a_name_that_is_known() {
        let pages = Pages::new("127.0.0.1:3000".parse().ok(), &["Lake.Example.com".to_owned()]);
        let asked = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            pages.host(&headers, None).is_ok()
        };
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
        assert!(pages.host(&HeaderMap::new(), None).is_ok());
        assert!(pages.host(&HeaderMap::new(), Some("evil.test")).is_err());
        let open = Pages::new("192.0.2.7:3000".parse().ok(), &[]);
        assert!(open.host(&HeaderMap::new(), Some("evil.test")).is_ok());
    }

    #[test]
    fn what_a_browser_says_of_a_page_is_believed() {
        let sent = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Pages::check(&headers).is_ok()
        };
        assert!(sent("sec-fetch-site", "none"));
        assert!(sent("sec-fetch-mode", "cors"));
        for site in ["cross-site", "same-site", "same-origin", ""] {
            assert!(!sent("sec-fetch-site", site), "{site}");
        }
        assert!(!sent("origin", "http://evil.test"));
        assert!(!sent("origin", "null"));
    }
}
