//! Paths of files in a log: URLs relative to the table, percent-encoded.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but letters, digits, what URLs never reserve, and `/` and `=` between names. A `:` in the
/// first part would make a scheme of it.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'=');

/// Returns the path of the file `name`, relative to the table, for the log. What Hive has escaped in the
/// name is escaped once more, since readers decode the path once and look for the name.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, ESCAPED).to_string()
}

/// Returns the name of the file of a path in a log: relative to the table, or the whole URL of a file
/// elsewhere. `None` if it decodes to no text.
pub(super) fn decode(path: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_as_they_were() {
        for (name, encoded) in [
            ("date=2026-11-28/n-00000001.parquet", "date=2026-11-28/n-00000001.parquet"),
            ("land=a%2Fb/n.parquet", "land=a%252Fb/n.parquet"),
            ("land=a b/n.parquet", "land=a%20b/n.parquet"),
            ("land=a=b/n.parquet", "land=a=b/n.parquet"),
            ("land=ä/n.parquet", "land=%C3%A4/n.parquet"),
            ("land=😀/n.parquet", "land=%F0%9F%98%80/n.parquet"),
            ("land='\"/n.parquet", "land=%27%22/n.parquet"),
            ("land=10:00/n.parquet", "land=10%3A00/n.parquet"),
            ("land=a+b&c#d?e/n.parquet", "land=a%2Bb%26c%23d%3Fe/n.parquet"),
            ("land=\t\n\\/n.parquet", "land=%09%0A%5C/n.parquet"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(name));
        }
        assert_eq!(decode("%ff"), None);
    }
}
