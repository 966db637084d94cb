//! Errors for people: each cause once, with advice on the usual failures of a store.

use crate::{error_text, lake};

/// Returns the texts of the error and its causes, outermost first, without repetitions or control
/// characters.
pub(super) fn lines(error: &anyhow::Error) -> Vec<String> {
    let lines = error_text::lines(error.as_ref());
    // Texts of several lines are our own: lists of problems. Those of others are one line where they
    // come in.
    lines.into_iter().map(|line| error_text::printable_error(&line)).collect()
}

/// Returns advice on the error, where there is some.
pub(super) fn advice(error: &anyhow::Error) -> Option<&'static str> {
    lake::advice(error.as_ref())
}
