//! Counting the lines of a body.

use crate::bulk_action::is_blank;

/// Returns the number of lines that are more than white space. A byte order mark counts as white
/// space.
pub(super) fn count(body: &[u8]) -> u64 {
    let mut lines = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        let line = body.get(start..end).unwrap_or_default();
        lines += u64::from(!is_blank(line));
        start = end + 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn lines_are_counted_without_the_blank_ones() {
        for (body, expected) in [
            ("", 0),
            ("\n", 0),
            ("\r\n \t\r\n", 0),
            ("\u{feff}", 0),
            ("\u{feff}\r\n", 0),
            ("{}\n\u{feff}\n\u{feff}{}\n\u{feff}", 2),
            ("{}", 1),
            ("{}\n", 1),
            ("{}\r\n{}\r\n", 2),
            ("\n{}\n\n{}", 2),
            ("\u{feff}{}\n{}\n{}", 3),
        ] {
            assert_eq!(count(body.as_bytes()), expected, "{body:?}");
        }
    }
}
