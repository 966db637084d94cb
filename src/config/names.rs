//! Addresses, paths of requests, and names.
//!
//! An error is half a sentence to follow the text: `"3000"` **`is not HOST:PORT`**.

use std::net::{SocketAddr, ToSocketAddrs};

/// Resolves `HOST:PORT` by the system's resolver to at least one address, IPv4 first.
pub(super) fn resolve(text: &str) -> Result<Vec<SocketAddr>, String> {
    let shaped = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok() && !host.contains("//")
    });
    if !shaped {
        return Err("is not HOST:PORT".to_owned());
    }
    let mut addresses: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("has a host that cannot be resolved ({error})"))?
        .collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    match addresses.is_empty() {
        true => Err("has a host that resolves to no address".to_owned()),
        false => Ok(addresses),
    }
}

/// Checks a path to take requests on: plain segments, none of them empty, and not one of the
/// program's own.
pub(super) fn http_path(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    if !text.starts_with('/') || !text.chars().all(plain) {
        return Err("is not a path of letters, digits and -_.~ that begins with /".to_owned());
    }
    let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
    if parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err("has an empty part, . or ..".to_owned());
    }
    let own = ["/metrics", "/health", "/oauth2/token"].contains(&text.trim_end_matches('/'));
    if own || text.starts_with("/health/") {
        return Err("is a path of the program's own".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks a table's name, which is a directory that engines must not hide.
pub(crate) fn table_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let named = (1..=64).contains(&text.len()) && text.chars().all(plain);
    match named && !text.starts_with('_') {
        true => Ok(text.to_owned()),
        false => Err("is not 1 to 64 of a-z, 0-9 and _, beginning without _".to_owned()),
    }
}

/// Checks the prefix of a node's name.
pub(super) fn node_prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text.len() <= 32 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("is not up to 32 of a-z, 0-9 and -".to_owned()),
    }
}
