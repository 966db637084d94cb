//! JSON strings: copied out, or skipped.

use super::parser::{Parsed, Parser};
use super::reject::Defect;
use super::scan;

impl Parser<'_> {
    /// Appends the string whose opening quote stands before `at` to `out`, decoded. Returns the
    /// position after its closing quote. `out` may have grown when this fails.
    #[inline]
    pub(super) fn text(&mut self, at: usize, out: &mut Vec<u8>) -> Parsed<usize> {
        let end = scan::copy_plain(self.src, at, out);
        if self.byte(end) == b'"' { Ok(end + 1) } else { self.text_on(end, out) }
    }

    /// Appends the rest of a string with an escape (or a fault) at `at`.
    #[cold]
    fn text_on(&mut self, mut at: usize, out: &mut Vec<u8>) -> Parsed<usize> {
        while self.byte(at) != b'"' {
            let (char, after) = self.escape(at)?;
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            at = scan::copy_plain(self.src, after, out);
        }
        Ok(at + 1)
    }

    /// Checks the string whose opening quote stands before `at`; returns the position after it.
    pub(super) fn skip_text(&mut self, at: usize) -> Parsed<usize> {
        let mut at = scan::skip_plain(self.src, at);
        while self.byte(at) != b'"' {
            let (_, after) = self.escape(at)?;
            at = scan::skip_plain(self.src, after);
        }
        Ok(at + 1)
    }

    /// Decodes the escape at `at`; returns its character and the position after it.
    fn escape(&mut self, at: usize) -> Parsed<(char, usize)> {
        if self.byte(at) != b'\\' {
            // At a line's end, the closing quote may be missing.
            if self.lenient && !matches!(self.byte(at), b'\n' | b'\r') && at < self.src.len() {
                return Ok(('\u{fffd}', at + 1));
            }
            return self.fail(Defect::Control, at);
        }
        let char = match self.byte(at + 1) {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(at),
            0x20.. if self.lenient => return Ok(('\u{fffd}', at + 2)),
            _ if self.ends(at + 1) => return self.fail(Defect::Escape, at + 1),
            _ => return self.fail(Defect::Escape, at),
        };
        Ok((char, at + 2))
    }

    fn unicode(&mut self, at: usize) -> Parsed<(char, usize)> {
        if self.lenient {
            // Whatever follows is text, but for what ends it.
            return Ok(('\u{fffd}', at + 2));
        }
        let first = self.hex(at)?;
        if let Some(char) = char::from_u32(first) {
            return Ok((char, at + 6));
        }
        if first < 0xdc00 && self.byte(at + 6) == b'\\' && self.byte(at + 7) == b'u' {
            let second = self.hex(at + 6)?;
            if let 0xdc00..=0xdfff = second {
                let pair = 0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00));
                return Ok((char::from_u32(pair).unwrap_or('\u{fffd}'), at + 12));
            }
        }
        self.fail(Defect::Surrogate, at)
    }

    /// Returns whether the line or the body ends at `at`.
    fn ends(&self, at: usize) -> bool {
        matches!(self.src.get(at), None | Some(b'\n'))
    }

    /// Returns the value of the four hexadecimal digits of the `\u` escape at `at`.
    fn hex(&mut self, at: usize) -> Parsed<u32> {
        let mut value = 0;
        for place in at + 2..at + 6 {
            let Some(digit) = char::from(self.byte(place)).to_digit(16) else {
                return self.fail(Defect::Escape, if self.ends(place) { place } else { at });
            };
            value = value << 4 | digit;
        }
        Ok(value)
    }
}
