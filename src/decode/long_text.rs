//! Texts that are longer than the limit of the table, as far as they have been passed over, and the
//! rules by which they end.
//!
//! The end is found byte by byte, by quotes and brackets alone, with nothing held of what was passed:
//! - A *line* ends with its line feed.
//! - An *object* ends where its last brace closes. One that is broken ends before all of the body is
//!   taken along: at a line feed within a string, which JSON has nowhere, or where a line begins with
//!   `{` after one that ends with `}`, between which JSON has a comma.
//! - An *element* of an array ends where its bracket closes, or before the next comma or bracket.
//! - The *rest* of an array whose end cannot be told reaches to the end of the body.

use super::reject::RejectCode;
use super::scan;

/// The rule by which a long text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Line,
    Object,
    Element,
    Rest,
}

/// A text that is being passed over.
#[derive(Clone, Debug)]
pub(super) struct LongText {
    extent: Extent,
    /// Its beginning, in bytes of the body.
    pub(super) from: u64,
    /// The line that it begins on; of an array, its element.
    pub(super) line: u64,
    pub(super) code: RejectCode,
    pub(super) reason: String,
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that is not blank.
    last: u8,
    /// The last byte.
    before: u8,
    /// Where the line of `last` ends, without its carriage return.
    line_end: Option<u64>,
    /// Line feeds that were passed.
    pub(super) line_feeds: u64,
}

/// The end of a long text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongEnd {
    /// The end of what is rejected, in bytes of the body.
    pub(super) kept: u64,
    /// The beginning of what follows.
    pub(super) next: u64,
}

impl LongText {
    pub(super) fn new(
        extent: Extent,
        from: u64,
        line: u64,
        code: RejectCode,
        reason: String,
    ) -> LongText {
        LongText {
            extent,
            from,
            line,
            code,
            reason,
            depth: 0,
            in_string: false,
            escaped: false,
            last: 0,
            before: 0,
            line_end: None,
            line_feeds: 0,
        }
    }

    /// Passes over `bytes`, which begin at `offset` of the body. Returns the end, if it is among them.
    pub(super) fn pass(&mut self, bytes: &[u8], offset: u64) -> Option<LongEnd> {
        let end = match self.extent {
            Extent::Rest => None,
            Extent::Line => {
                let found = memchr::memchr(b'\n', bytes);
                found.map(|at| self.at_line_feed(bytes, at, offset))
            }
            Extent::Object | Extent::Element => self.pass_value(bytes, offset),
        };
        self.before = bytes.last().copied().unwrap_or(self.before);
        end
    }

    /// Returns the end at the line feed at `at`.
    fn at_line_feed(&mut self, bytes: &[u8], at: usize, offset: u64) -> LongEnd {
        self.line_feeds += 1;
        let feed = offset + at as u64;
        LongEnd { kept: self.without_return(bytes, at, offset), next: feed + 1 }
    }

    /// Returns the position of the line feed at `at`, or of the carriage return before it.
    fn without_return(&self, bytes: &[u8], at: usize, offset: u64) -> u64 {
        let before =
            at.checked_sub(1).map_or(self.before, |at| bytes.get(at).copied().unwrap_or(0));
        offset + at as u64 - u64::from(before == b'\r')
    }

    fn pass_value(&mut self, bytes: &[u8], offset: u64) -> Option<LongEnd> {
        let object = self.extent == Extent::Object;
        let mut at = 0;
        loop {
            if self.in_string && !self.escaped {
                at = scan::skip_plain(bytes, at);
            }
            let byte = *bytes.get(at)?;
            let position = offset + at as u64;
            if self.in_string {
                match byte {
                    b'\n' if object => return Some(self.at_line_feed(bytes, at, offset)),
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                at += 1;
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => {
                    self.line_feeds += 1;
                    if self.line_end.is_none() {
                        self.line_end = Some(self.without_return(bytes, at, offset));
                    }
                }
                b'{' if object && self.last == b'}' && self.line_end.is_some() => {
                    let kept = self.line_end.unwrap_or(position);
                    return Some(LongEnd { kept, next: position });
                }
                b',' | b']' | b'}' if !object && self.depth == 0 => {
                    return Some(LongEnd { kept: position, next: position });
                }
                _ => {
                    match byte {
                        b'"' => self.in_string = true,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => {
                            self.depth = self.depth.saturating_sub(1);
                            if self.depth == 0 {
                                let next = position + 1;
                                return Some(LongEnd { kept: next, next });
                            }
                        }
                        _ => {}
                    }
                    (self.last, self.line_end) = (byte, None);
                }
            }
            at += 1;
        }
    }
}

/// Returns the reason of what is longer than `limit` bytes.
pub(super) fn too_long(limit: usize) -> String {
    format!("longer than line_limit, which is {limit} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is rejected and what follows, read at once and in windows of every length.
    fn pass(extent: Extent, text: &str) -> (String, String) {
        let ends = |window: usize| {
            let mut long = LongText::new(extent, 0, 1, RejectCode::TooLong, String::new());
            let mut offset = 0;
            for part in text.as_bytes().chunks(window) {
                if let Some(end) = long.pass(part, offset) {
                    return (end, long.line_feeds);
                }
                offset += part.len() as u64;
            }
            (LongEnd { kept: offset, next: offset }, long.line_feeds)
        };
        let whole = ends(text.len());
        for window in 1..text.len() {
            assert_eq!(ends(window), whole, "{text} in windows of {window}");
        }
        let (kept, next) = (whole.0.kept as usize, whole.0.next as usize);
        (text[..kept].to_owned(), text[next..].to_owned())
    }

    #[test]
    fn a_long_text_ends_where_its_rule_says_however_it_is_cut() {
        for (extent, text, kept, next) in [
            (Extent::Line, "xx{\"\r\n{}", "xx{\"", "{}"),
            (Extent::Line, "xx", "xx", ""),
            (Extent::Object, "{\"a\":\"}\\\"}\"}{}", "{\"a\":\"}\\\"}\"}", "{}"),
            (Extent::Object, "{\n\"a\":[{}\n,{}]\n}\n{}", "{\n\"a\":[{}\n,{}]\n}", "\n{}"),
            (Extent::Object, "{\"a\":\"x\r\n{}", "{\"a\":\"x", "{}"),
            (Extent::Object, "{\"a\":\"x\\\n{}", "{\"a\":\"x\\", "{}"),
            (Extent::Object, "{\"a\":{}\r\n\n {\"b\":1}\n", "{\"a\":{}", "{\"b\":1}\n"),
            (Extent::Object, "{\"a\":[{},\n{}\n", "{\"a\":[{},\n{}\n", ""),
            (Extent::Element, "{\"a\":[\",]\"]} ,1]", "{\"a\":[\",]\"]}", " ,1]"),
            (Extent::Element, "\"a,]\" ,1]", "\"a,]\" ", ",1]"),
            (Extent::Element, "12345]", "12345", "]"),
            (Extent::Rest, "[1,\n2", "[1,\n2", ""),
        ] {
            let (was, after) = pass(extent, text);
            assert_eq!((&*was, &*after), (kept, next), "{extent:?} {text}");
        }
    }
}
