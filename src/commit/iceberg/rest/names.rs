//! Names in the paths of requests.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, but for slashes.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Between the levels of a namespace, unless the catalog says otherwise.
pub(super) const SEPARATOR: &str = "\u{1f}";

/// Encodes one name.
///
/// # Errors
/// The name is empty, `.` or `..`, which a URL takes away.
pub(super) fn encode(name: &str) -> Result<String, String> {
    match name {
        "" | "." | ".." => Err(format!("`{name}` is no name in a catalog")),
        _ => Ok(utf8_percent_encode(name, ENCODED).to_string()),
    }
}

/// Encodes a value of a form.
pub(super) fn encode_value(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

/// Encodes a namespace as one part of a path.
///
/// # Errors
/// A level has no name, or has the separator in it.
pub(super) fn encode_namespace(levels: &[String], separator: &str) -> Result<String, String> {
    if let Some(level) = levels.iter().find(|level| level.is_empty() || level.contains(separator)) {
        let level = crate::error_text::shown(level);
        return Err(format!("`{level}` is no level of a namespace"));
    }
    encode(&levels.join(separator))
}

/// Encodes a path that is encoded already, but for its slashes.
pub(super) fn encode_again(path: &str) -> String {
    utf8_percent_encode(path, ENCODED_PATH).to_string()
}

/// Checks the prefix that a catalog wants before its paths, which stands in them as it is.
///
/// # Errors
/// It would change the rest of the address.
pub(super) fn check_prefix(prefix: &str) -> Result<&str, String> {
    let prefix = prefix.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%:@!$&'()*+,;=/".contains(c);
    let is_name = |part: &str| encode(part).is_ok();
    if prefix.chars().all(plain) && (prefix.is_empty() || prefix.split('/').all(is_name)) {
        return Ok(prefix);
    }
    Err(format!("its prefix `{}` is no part of a path", crate::error_text::shown(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(encode("a/b ?#%ü+~").unwrap(), "a%2Fb%20%3F%23%25%C3%BC%2B~");
        for name in ["", ".", ".."] {
            assert!(encode(name).is_err());
        }
        let levels = |levels: &[&str]| levels.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of = |names: &[&str]| encode_namespace(&levels(names), SEPARATOR);
        assert_eq!(of(&["a", "b.c"]).unwrap(), "a%1Fb.c");
        assert!(of(&[]).is_err() && of(&["a", ""]).is_err() && of(&["a\u{1f}b"]).is_err());
        assert_eq!(encode_again("/a%1Fb/c"), "/a%251Fb/c");
    }

    #[test]
    fn a_prefix_cannot_lead_elsewhere() {
        assert_eq!(check_prefix("/catalogs/12:34/").unwrap(), "catalogs/12:34");
        assert_eq!(check_prefix("arn%3Aaws").unwrap(), "arn%3Aaws");
        assert_eq!(check_prefix("").unwrap(), "");
        for prefix in ["../x", "a/../b", "a//b", "a?b", "a#b", "a\\b", "a b"] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }
}
