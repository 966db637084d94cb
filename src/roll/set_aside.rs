//! The entry of the quarantine that a body becomes when it is set aside ([`super::care`]).
//!
//! It is one reject with all bytes of the body, and counts for as many lines as are not blank, and for one
//! at least: what was received, landed and is in quarantine is counted alike.

use std::sync::Arc;

use super::care::SourceFailure;
use crate::decode::{RawForm, Reject, RejectCode};
use crate::record::{Body, StoredRange};

/// Bytes of a stored body that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Makes the reject of a body that is set aside because of `why`.
///
/// # Errors
/// The body is stored, and cannot be read.
pub(super) fn reject(body: &Body, why: &str) -> Result<Reject, SourceFailure> {
    let mut lines = LineCount::default();
    let whole = |text| StoredRange { text: Arc::clone(text), range: 0..body.text_bytes() };
    let stored = body.stored.as_ref().map(whole);
    match &stored {
        None => lines.read(&body.bytes),
        Some(stored) => stored
            .read(PIECE_BYTES, |piece| {
                lines.read(piece);
                Ok(())
            })
            .map_err(|error| SourceFailure(error.into()))?,
    }
    Ok(Reject {
        seq: body.seq,
        lines: lines.not_blank.max(1),
        line: body.first_line,
        last_line: body.first_line.saturating_add(lines.before_last),
        code: RejectCode::SetAside,
        reason: format!("the body was set aside whole: {why}"),
        raw: body.bytes.clone(),
        stored,
        form: RawForm::Text,
    })
}

/// Counts lines of a text that comes piece by piece.
#[derive(Default)]
struct LineCount {
    /// Lines that are not blank.
    not_blank: u64,
    /// Ends of lines.
    ends: u64,
    /// Ends of lines before the last line that is not blank.
    before_last: u64,
    /// True when the line that is being read is not blank.
    is_counted: bool,
}

impl LineCount {
    fn read(&mut self, piece: &[u8]) {
        for (at, part) in piece.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                self.ends += 1;
                self.is_counted = false;
            }
            if !self.is_counted && !part.trim_ascii().is_empty() {
                self.not_blank += 1;
                self.is_counted = true;
                self.before_last = self.ends;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_blank_are_counted_however_they_come() {
        let text = b"\n \r\n{\"a\":\n1}\n\n\tx\n \n";
        for size in 1..=text.len() {
            let mut count = LineCount::default();
            text.chunks(size).for_each(|piece| count.read(piece));
            assert_eq!((count.not_blank, count.before_last, count.ends), (3, 5, 7), "{size}");
        }
        let mut count = LineCount::default();
        count.read(b"{}");
        assert_eq!((count.not_blank, count.before_last), (1, 0));
    }
}
