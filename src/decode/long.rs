//! Lines and documents that are longer than the limit of the table: they are passed over unparsed, and
//! whole in quarantine. Of such a text no more than a window is held.

use super::body::BodyReader;
use super::long_text::{Extent, LongEnd, LongText};
use super::progress::State;
use super::reject::{Defect, Fault, RawForm, Reject};
use crate::record::StoredRange;

impl BodyReader<'_> {
    /// Begins to pass over what begins at the progress: because of `fault`, or because it is too long.
    pub(super) fn begin_long(&mut self, extent: Extent, fault: Option<Fault>) {
        self.rows.discard();
        self.too_long = false;
        let fault = fault.unwrap_or(Fault { defect: Defect::TooLong, at: 0 });
        let at = self.progress.at;
        let reason = self.reason(fault, at);
        let from = self.progress.base + at as u64;
        let long = LongText::new(extent, from, self.progress.line, fault.code(), reason);
        self.progress.long = Some(Box::new(long));
    }

    /// Passes over the long text that was begun, from the progress on, and rejects it. Returns false
    /// when the window ends before it does.
    pub(super) fn pass_long(&mut self) -> bool {
        let Some(mut long) = self.progress.long.take() else { return true };
        self.parser.src = self.full;
        let (base, at) = (self.progress.base, self.progress.at.min(self.full.len()));
        let bytes = self.full.get(at..).unwrap_or_default();
        let offset = base + at as u64;
        let end = match long.pass(bytes, offset) {
            Some(end) => end,
            None if self.progress.more() => {
                self.progress.long = Some(long);
                self.progress.at = self.full.len();
                self.progress.starved = true;
                return false;
            }
            None => {
                let end = offset + bytes.len() as u64;
                LongEnd { kept: end, next: end }
            }
        };
        let kept = end.kept.max(long.from);
        let raw = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
        let (raw, stored) = match &self.progress.stored {
            None => (self.body.bytes.slice(raw(long.from)..raw(kept)), None),
            Some(text) => {
                let range = StoredRange { text: text.clone(), range: long.from..kept };
                (bytes::Bytes::new(), Some(range))
            }
        };
        let LongText { line, code, reason, line_feeds, .. } = *long;
        let (seq, last_line, form) = (self.body.seq, line, RawForm::Text);
        self.rows.reject(Reject {
            seq,
            lines: 1,
            line,
            last_line,
            code,
            reason,
            raw,
            stored,
            form,
        });
        self.progress.at = raw_position(end.next, base);
        if self.progress.state == State::AfterElement {
            self.progress.line = self.progress.line.saturating_add(1);
        } else {
            self.progress.in_doubt = true;
            self.progress.line = self.progress.line.saturating_add(line_feeds);
            self.progress.on_line = if line_feeds == 0 { self.progress.on_line + 1 } else { 0 };
        }
        true
    }
}

fn raw_position(next: u64, base: u64) -> usize {
    usize::try_from(next.saturating_sub(base)).unwrap_or(usize::MAX)
}
