//! The report of `sessionlake check`.

use std::fmt::Write as _;

use super::error_report;

/// Result of one of the checks.
pub(super) enum CheckResult {
    /// It passed; a phrase for the report.
    Passed(String),
    /// It keeps serve from starting.
    Fatal(anyhow::Error),
    /// It keeps rows from landing; serve starts and takes bodies.
    NotLanding(anyhow::Error),
    /// It keeps rows that have landed from the readers of their table; serve starts, and they land.
    NotVisible(anyhow::Error),
}

impl From<anyhow::Result<String>> for CheckResult {
    fn from(outcome: anyhow::Result<String>) -> CheckResult {
        outcome.map_or_else(CheckResult::Fatal, CheckResult::Passed)
    }
}

/// Returns a line for each check, and the verdict.
pub(super) fn report(checks: &[(&str, CheckResult)]) -> String {
    let (mut text, mut fatal, mut away, mut hidden) = (String::new(), false, false, false);
    for (name, found) in checks {
        fatal |= matches!(found, CheckResult::Fatal(_));
        away |= matches!(found, CheckResult::NotLanding(_));
        hidden |= matches!(found, CheckResult::NotVisible(_));
        // Writing to a String cannot fail.
        let _ = match found {
            CheckResult::Passed(said) => writeln!(text, "ok      {name:<9} {said}"),
            CheckResult::Fatal(error)
            | CheckResult::NotLanding(error)
            | CheckResult::NotVisible(error) => {
                let _ =
                    writeln!(text, "failed  {name:<9} {}", error_report::lines(error).join(": "));
                match error_report::advice(error) {
                    Some(advice) => writeln!(text, "{:18}{advice}", ""),
                    None => Ok(()),
                }
            }
        };
    }
    text.push_str(match (fatal, away, hidden) {
        (true, _, _) => "This configuration would not start.\n",
        (false, true, _) => {
            "This configuration would start, but could not write to the lake: data would wait in \
             the journal.\n"
        }
        (false, false, true) => {
            "This configuration would start and land data, but readers of a table would not see it: it \
             would wait in the lake for its table.\n"
        }
        (false, false, false) => "This configuration would start.\n",
    });
    text
}
