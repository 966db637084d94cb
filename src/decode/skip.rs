//! Skipping a value without a column, checked to the letter.

use super::number;
use super::parser::{MAX_DEPTH, Parsed, Parser};
use super::reject::Defect;

/// The most levels that [`Parser::pass_over`] passes over.
const MOST_PASSED: u32 = 1 << 20;

impl Parser<'_> {
    /// Checks the value at `at`; returns the position after it.
    pub(super) fn skip(&mut self, at: usize) -> Parsed<usize> {
        match self.byte(at) {
            b'{' | b'[' => self.skip_nested::<false>(at),
            _ => self.skip_scalar(at),
        }
    }

    /// Finds the end of the value at `at`, which is at fault. Within it may be malformed escapes,
    /// control characters in strings (but for a line's end), zeros before a number, and more levels
    /// than a document may have; any other fault is one here too.
    pub(super) fn pass_over(&mut self, at: usize) -> Parsed<usize> {
        self.depth = 0;
        self.lenient = true;
        let end = match self.byte(at) {
            b'{' | b'[' => self.skip_nested::<true>(at),
            _ => self.skip_scalar(at),
        };
        self.lenient = false;
        end
    }

    fn skip_scalar(&mut self, at: usize) -> Parsed<usize> {
        match self.byte(at) {
            b'"' => self.skip_text(at + 1),
            b'-' | b'0'..=b'9' => self.skip_number(at),
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'n' => self.literal(at, b"null"),
            _ => self.fail(Defect::Value, at),
        }
    }

    fn skip_number(&mut self, at: usize) -> Parsed<usize> {
        if let Some(end) = number::short_end(self.src, at) {
            return Ok(end);
        }
        let mut from = at;
        if self.lenient {
            from += usize::from(self.byte(at) == b'-');
            while self.byte(from) == b'0' && self.byte(from + 1).is_ascii_digit() {
                from += 1;
            }
        }
        Ok(from + self.number(from)?.len())
    }

    /// Skips an object or an array by a loop. The bits of one word say which of the open levels are
    /// objects; where there are more levels, the overflow is in a vector.
    fn skip_nested<const LENIENT: bool>(&mut self, at: usize) -> Parsed<usize> {
        const { assert!(MAX_DEPTH <= u128::BITS) };
        let mut objects = 0u128;
        let mut outer = Vec::new();
        let mut levels = 0;
        let mut at = at;
        loop {
            // A value stands here.
            at = self.blank(at);
            let open = self.byte(at);
            if open == b'{' || open == b'[' {
                if self.depth + levels >= MAX_DEPTH {
                    if !LENIENT || levels >= MOST_PASSED {
                        return self.fail(Defect::TooDeep, at);
                    }
                    outer.push(objects >> (MAX_DEPTH - 1));
                }
                levels += 1;
                objects = objects << 1 | u128::from(open == b'{');
                at = self.blank(at + 1);
                match (open, self.byte(at)) {
                    (b'{', b'}') | (b'[', b']') => {
                        at += 1;
                        levels -= 1;
                        objects >>= 1;
                        if LENIENT && levels >= MAX_DEPTH {
                            objects |= outer.pop().unwrap_or(0) << (MAX_DEPTH - 1);
                        }
                    }
                    (b'{', _) => {
                        at = self.skip_key(at)?;
                        continue;
                    }
                    _ => continue,
                }
            } else {
                at = self.skip_scalar(at)?;
            }
            // A value ended here.
            loop {
                if levels == 0 {
                    return Ok(at);
                }
                at = self.blank(at);
                let object = objects & 1 == 1;
                match (self.byte(at), object) {
                    (b',', true) => {
                        at = self.blank(at + 1);
                        at = self.skip_key(at)?;
                        break;
                    }
                    (b',', false) => {
                        at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        at += 1;
                        levels -= 1;
                        objects >>= 1;
                        if LENIENT && levels >= MAX_DEPTH {
                            objects |= outer.pop().unwrap_or(0) << (MAX_DEPTH - 1);
                        }
                    }
                    (_, true) => return self.fail(Defect::CommaOrBrace, at),
                    (_, false) => return self.fail(Defect::CommaOrBracket, at),
                }
            }
        }
    }

    fn skip_key(&mut self, at: usize) -> Parsed<usize> {
        if self.byte(at) != b'"' {
            return self.fail(Defect::Key, at);
        }
        let after = self.skip_text(at + 1)?;
        self.colon(after)
    }
}
