//! Boundaries between documents, found near the end of what was read.
//!
//! JSON has nowhere a `{` right after a `}`, and no line feed within a string: where a line ends with the
//! one and the next begins with the other, a document ends, whatever stands before. No other place need
//! be looked at where documents have lines of their own. A line that no document can begin or go on with
//! has a boundary before and after it.
//!
//! Documents in a row without line feeds are followed from the first on, up to the last that ends.

use crate::bulk_action::{self, BYTE_ORDER_MARK, Verb};

/// Returns the offset of the last boundary in `read`, which begins at one and whose last document may be
/// incomplete. Blank lines, of which there may be nothing else, stand after it.
pub(super) fn last(read: &[u8]) -> Option<usize> {
    between_lines(read).or_else(|| in_a_row(read))
}

/// Returns whether `line` is an action whose document is the next line.
pub(super) fn expects_document(line: &[u8]) -> bool {
    bulk_action::read(unmarked(line)).is_some_and(|action| action.verb != Verb::Delete)
}

fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Returns the offset of the last line that begins at a boundary.
fn between_lines(read: &[u8]) -> Option<usize> {
    let last = memchr::memrchr(b'\n', read)?;
    let mut end = last;
    let first = |line: &[u8]| unmarked(line).trim_ascii_start().first().copied();
    let mut next = first(read.get(end + 1..).unwrap_or_default());
    let mut only_blank = next.is_none();
    loop {
        let before = read.get(..end).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let line = before.get(start..).unwrap_or_default();
        if let Some(begin) = first(line) {
            only_blank = false;
            if next.is_some_and(|next| parts(begin, line, next)) && !expects_document(line) {
                return Some(end + 1);
            }
            next = Some(begin);
        }
        match start.checked_sub(1) {
            Some(at) => end = at,
            None => return only_blank.then_some(last + 1),
        }
    }
}

/// Returns whether there is a boundary between `line`, which begins with `begin`, and a line that begins
/// with `next`.
fn parts(begin: u8, line: &[u8], next: u8) -> bool {
    let between = next == b'{' && line.trim_ascii_end().ends_with(b"}");
    between || !is_of_document(begin) || !is_of_document(next)
}

/// Returns whether a line of a document may begin with `byte`.
fn is_of_document(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'-' | b'0'..=b'9')
        || matches!(byte, b't' | b'f' | b'n')
}

/// Returns the offset of the last document that follows another one on its line, if `read` is nothing but
/// documents up to there.
fn in_a_row(read: &[u8]) -> Option<usize> {
    let (mut depth, mut text, mut escaped) = (0_usize, false, false);
    let (mut last, mut ended) = (None, false);
    for (at, byte) in read.iter().enumerate() {
        match byte {
            // No string goes on in another line.
            b'\n' if text => break,
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            _ if text => {}
            b'{' | b'[' => {
                if depth == 0 && ended {
                    last = Some(at);
                }
                depth += 1;
            }
            b'}' | b']' => match depth.checked_sub(1) {
                Some(left) => (depth, ended) = (left, true),
                None => break,
            },
            b'\n' if depth == 0 => ended = false,
            // The bytes of the mark.
            b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf => {}
            _ if depth == 0 => break,
            _ => {}
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(read: &str) -> Option<&str> {
        last(read.as_bytes()).map(|at| &read[at..])
    }

    #[test]
    fn a_line_begins_at_a_boundary() {
        assert_eq!(cut("{\"a\":1}\n{\"b\""), Some("{\"b\""));
        assert_eq!(cut("{\"a\":1}\r\n\n \r\n\u{feff}{\"b\""), Some("\n \r\n\u{feff}{\"b\""));
        assert_eq!(cut("{\"a\":1}\n{\"b\":2}\n"), Some("{\"b\":2}\n"), "what follows is not known");
        assert_eq!(cut("oops\n{\"b\":2}\noops\n"), Some("oops\n"));
        assert_eq!(cut("oops\n{\"b\""), Some("{\"b\""));
        assert_eq!(cut(" \n\n\n"), Some(""));
        assert_eq!(cut("{\"a\":1}\n"), None);
        assert_eq!(cut("{\"a"), None);
    }

    #[test]
    fn a_document_of_several_lines_is_whole() {
        let pretty = "{\n\"a\": [\n{\n\"b\": 1\n},\n{\n\"b\": 2\n}\n]\n}\n";
        for end in 0..pretty.len() {
            assert_eq!(cut(&pretty[..end]), None, "{end}");
            let text = format!("{pretty}\n{}", &pretty[..end]);
            let expected = (end > 0).then(|| format!("\n{}", &pretty[..end]));
            assert_eq!(cut(&text), expected.as_deref(), "{end}");
        }
    }

    #[test]
    fn an_action_stays_with_its_document() {
        assert_eq!(cut("{\"a\":1}\n{\"index\":{}}\n{\"b\""), Some("{\"index\":{}}\n{\"b\""));
        let text = "{\"a\":1}\n{\"update\":{}}\n{\"index\":{}}\n{";
        assert_eq!(cut(text), Some(&text[8..]));
        assert_eq!(cut("{\"a\":1}\n{\"delete\":{\"_id\":\"1\"}}\n{"), Some("{"));
        assert_eq!(cut("{\"index\":{\"price\":3}}\n{"), Some("{"));
        assert_eq!(cut("\u{feff}{\"index\":{}}\n\n{\"a"), None);
    }

    #[test]
    fn documents_in_a_row_end_where_the_next_begins() {
        assert_eq!(cut("{\"a\":\"}{\"}{\"b\":[{}"), Some("{\"b\":[{}"));
        assert_eq!(cut("\u{feff}{\"a\":{}} \u{feff}{\"b\":\"\\\"}{"), Some("{\"b\":\"\\\"}{"));
        assert_eq!(cut("{\"a\":1}\n{\"b\":2}{\"c"), Some("{\"b\":2}{\"c"), "a line first");
        assert_eq!(cut("{\"index\":{}}\n{\"a\":2"), None);
        assert_eq!(cut("{\"a\":{}}x{\"b\":1}"), None);
        assert_eq!(cut("{\"a\":1}}{\"b\":1}{"), None);
    }
}
