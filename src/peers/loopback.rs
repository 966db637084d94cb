//! Hosts of URLs that are this machine.

use std::net::IpAddr;

/// Returns whether the host of a URL, with the brackets of an IPv6 address, is this machine by its name or address:
/// what is sent there needs no TLS.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_addresses() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["", "a.example", "10.0.0.1", "localhost.a.example", "[::2]"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
