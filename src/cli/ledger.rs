//! `sessionlake verify --ledger`: a sender's ledgers against the sessions of a lake.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Outcome, out, runtime, sample};
use crate::audit::sample::Table;
use crate::error_text::shown;
use crate::lake::{Lake, Options};
use crate::simulate::ledger::{Comparison, Verdict};

/// Compares, and prints at most `top` ids of each kind that differs.
pub(super) fn run(lake: &Options, ledgers: &[PathBuf], top: usize) -> Outcome {
    let lake = Lake::open_existing(lake)?;
    let schema = sample::schema()?;
    let table = sample::table(&lake, &schema);
    let verdict = runtime::current_thread()?.block_on(check(&table, ledgers))?;
    out::write(&text(&verdict, top))?;
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads every ledger and the ids of every row, and compares them.
///
/// # Errors
/// A ledger or a file of the lake cannot be read.
async fn check(table: &Table<'_>, ledgers: &[PathBuf]) -> anyhow::Result<Verdict> {
    let mut comparison = Comparison::default();
    for path in ledgers {
        let read = comparison.read(path);
        read.with_context(|| format!("cannot read {}", path.display()))?;
    }
    table.ids(|id| comparison.found(id)).await?;
    Ok(comparison.verdict())
}

/// Formats the verdict: the figures, and at most `most` ids of each kind that differs.
fn text(verdict: &Verdict, most: usize) -> String {
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
            let _ = writeln!(text, "  {}", shown(id));
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
