//! The report of `sessionlake check`.

use std::fmt::Write as _;

use serde_json::json;

use super::error_report;
use crate::{config, error_text};

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

/// The parts that were looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scope {
    /// The configuration and the files that it names.
    Files,
    /// Everything but the address and the state directory.
    BesideServer,
    /// Everything.
    All,
}

/// The verdict of all checks together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// `serve` would start and land.
    Starts,
    /// Settings and files are right; nothing else was looked at.
    Valid,
    /// Settings and files are right, and the lake can be written; address and state directory, which a
    /// running server has, were not looked at.
    Lands,
    /// It would not start.
    DoesNotStart,
    /// It would start, and rows would wait in the journal.
    DoesNotLand,
    /// It would start and land, and rows would wait in the lake for their table.
    NotVisible,
}

impl Verdict {
    /// Returns the verdict of `checks`, made within `scope`: the worst of them.
    pub(super) fn of(checks: &[(&str, CheckResult)], scope: Scope) -> Verdict {
        let has = |is: fn(&CheckResult) -> bool| checks.iter().any(|(_, found)| is(found));
        if has(|found| matches!(found, CheckResult::Fatal(_))) {
            Verdict::DoesNotStart
        } else if has(|found| matches!(found, CheckResult::NotLanding(_))) {
            Verdict::DoesNotLand
        } else if has(|found| matches!(found, CheckResult::NotVisible(_))) {
            Verdict::NotVisible
        } else {
            match scope {
                Scope::Files => Verdict::Valid,
                Scope::BesideServer => Verdict::Lands,
                Scope::All => Verdict::Starts,
            }
        }
    }

    /// Tells whether every check has passed.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Verdict::Starts | Verdict::Lands | Verdict::Valid)
    }

    /// Returns the word of the verdict in JSON.
    fn word(self) -> &'static str {
        match self {
            Verdict::Starts => "starts",
            Verdict::Valid => "valid",
            Verdict::Lands => "lands",
            Verdict::DoesNotStart => "does_not_start",
            Verdict::DoesNotLand => "does_not_land",
            Verdict::NotVisible => "not_visible",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Verdict::Starts => "This configuration would start.",
            Verdict::Valid => {
                "This configuration is valid. Address, state directory and lake were not looked at."
            }
            Verdict::Lands => {
                "This configuration is valid, and the lake can be written. Address and state directory, which \
                 the running server has, were not looked at."
            }
            Verdict::DoesNotStart => "This configuration would not start.",
            Verdict::DoesNotLand => {
                "This configuration would start, but could not write to the lake: data would wait in \
                 the journal."
            }
            Verdict::NotVisible => {
                "This configuration would start and land data, but readers of a table would not see \
                 it: it would wait in the lake for its table."
            }
        }
    }
}

/// Returns a line for each check, and the verdict.
pub(super) fn report(checks: &[(&str, CheckResult)], verdict: Verdict) -> String {
    let mut text = String::new();
    for (name, found) in checks {
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
    text.push_str(verdict.sentence());
    text.push('\n');
    text
}

/// Returns the report as one JSON object: `verdict`, and `checks` in the order in which they were made,
/// each with `name`, `ok`, `text` and, where there is some, `advice`. Ends in a newline.
pub(super) fn json(checks: &[(&str, CheckResult)], verdict: Verdict) -> String {
    let checks = checks.iter().map(|(name, found)| match found {
        CheckResult::Passed(said) => json!({"name": name, "ok": true, "text": said}),
        CheckResult::Fatal(error)
        | CheckResult::NotLanding(error)
        | CheckResult::NotVisible(error) => {
            let text = error_report::lines(error).join(": ");
            match error_report::advice(error) {
                Some(advice) => json!({"name": name, "ok": false, "text": text, "advice": advice}),
                None => json!({"name": name, "ok": false, "text": text}),
            }
        }
    });
    let checks: Vec<_> = checks.collect();
    format!("{}\n", json!({"verdict": verdict.word(), "checks": checks}))
}

/// Returns the report on a configuration that cannot be read, in the form of [`json()`]: a check for each
/// problem, and the verdict `invalid`.
pub(super) fn invalid(error: &config::Error) -> String {
    let problems = error.problems().iter();
    let problems = problems.map(|problem| {
        let text = error_text::printable_error(&error_text::lines(problem).join(": "));
        json!({"name": "settings", "ok": false, "text": text})
    });
    let checks: Vec<_> = problems.collect();
    format!("{}\n", json!({"verdict": "invalid", "checks": checks}))
}
