//! A sender's ledgers held against a lake.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Table;
use crate::simulate::ledger::{Comparison, Verdict};

/// Reads every ledger and the ids of every row, and compares.
///
/// # Errors
/// A ledger or a file of the lake cannot be read.
pub async fn check(table: &Table<'_>, ledgers: &[PathBuf]) -> anyhow::Result<Verdict> {
    let mut comparison = Comparison::default();
    for path in ledgers {
        let read = comparison.read(path);
        anyhow::Context::with_context(read, || format!("cannot read {}", path.display()))?;
    }
    table.ids(|id| comparison.found(id)).await?;
    Ok(comparison.verdict())
}

/// The verdict for people: the figures, and at most `most` ids of each kind that is off.
#[must_use]
pub fn text(verdict: &Verdict, most: usize) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} acknowledged sessions, {} rows in the lake; {} of {} uncertain ones have arrived",
        verdict.acked, verdict.rows, verdict.uncertain_found, verdict.uncertain
    );
    let kinds = [
        ("missing", &verdict.missing),
        ("doubled", &verdict.doubled),
        ("unexpected", &verdict.unexpected),
    ];
    for (kind, ids) in kinds {
        let _ = writeln!(text, "{} {kind}", ids.len());
        for id in ids.iter().take(most) {
            let _ = writeln!(text, "  {id}");
        }
        if ids.len() > most {
            let _ = writeln!(text, "  and {} more", ids.len() - most);
        }
    }
    text.push_str(match verdict.holds() {
        true => "Every acknowledged session is in the lake once.\n",
        false => "The lake is not what was acknowledged.\n",
    });
    text
}
