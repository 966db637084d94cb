//! Bodies that were set aside whole, and are tried again.
//!
//! Such a body is decoded as it was when it came: all of its lines at once, in its form. Only one of
//! which there is a row is landed. The decoder may fail on it as it did before, which harms nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::chunk_source::Line;
use crate::bulk_action;
use crate::decode::{Counts, Decoder, Progress, ReadLimit};
use crate::record::{Body, Form, Micros, Seq};
use crate::table::Spec;

/// The limits of what is decoded at a time.
const TRIED: ReadLimit = ReadLimit { lines: 32_768, bytes: 4 << 20, column_bytes: 8 << 20 };

/// Returns a body as a line of an import. `first_line` is the number of its first line.
pub(super) fn line(first_line: u64, bytes: Bytes) -> Line {
    let body = Some(form_of(&bytes));
    Line { number: first_line, bytes, body }
}

/// Returns the form of a body: an entry does not have it, and a bulk begins with an action.
fn form_of(text: &[u8]) -> Form {
    let mut lines = text.split(|byte| *byte == b'\n');
    match lines.find(|line| !bulk_action::is_blank(line)).and_then(bulk_action::read) {
        Some(_) => Form::Elasticsearch,
        None => Form::Ndjson,
    }
}

/// Decodes a body for nothing. Returns its counts, or the reason if the decoder fails.
pub(super) fn tried(table: &Spec, line: &Line) -> Result<Counts, String> {
    let body = Body {
        seq: Seq::FIRST,
        received_at: Micros(0),
        table: Arc::clone(&table.name),
        form: line.body.unwrap_or(Form::Ndjson),
        first_line: line.number,
        bytes: line.bytes.clone(),
        stored: None,
    };
    let decode = || -> anyhow::Result<Counts> {
        #[cfg(test)]
        crate::roll::test_faults::decoding("replay", &body)?;
        let decoder = Decoder::new(Arc::clone(&table.schema), "replay".into());
        let mut decoder = decoder.with_line_limit(table.line_limit_bytes);
        let (mut counts, mut progress) = (Counts::default(), Progress::NEW);
        loop {
            let ended = decoder.read(&body, &mut progress, TRIED);
            counts += decoder.finish().counts;
            if ended {
                return Ok(counts);
            }
        }
    };
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(tried) => tried.map_err(|error| format!("{error:#}")),
        // Its message may have parts of the body in it.
        Err(_) => Err("the decoder panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_begins_with_an_action_is_a_bulk() {
        for (text, form) in [
            ("\n{\"index\":{}}\n{\"id\":\"a\"}\n", Form::Elasticsearch),
            ("\u{feff}{\"create\":{\"_id\":\"1\"}}\n{}\n", Form::Elasticsearch),
            ("{\"id\":\"a\"}\n{\"index\":{}}\n", Form::Ndjson),
            ("[{\"id\":\"a\"}]", Form::Ndjson),
            ("{\"index\":5}\n", Form::Ndjson),
            ("", Form::Ndjson),
        ] {
            assert_eq!(form_of(text.as_bytes()), form, "{text}");
        }
    }
}
