//! The command `sessionlake admin`: has a running server roll, reload or drain.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::operators::{Listener, Target};
use super::{Failure, Outcome, manual, out, runtime};
use crate::config::Environment;

/// The time beyond that of a roll for which an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Have a running server roll, reload or drain.
///
/// Asks the listener of operators (status_listen of serve) with the credentials of one of them. roll
/// lands everything that was acknowledged before, and says what has landed; reload does what SIGHUP
/// does, and says what has changed and what needs a restart; drain does what SIGTERM does, and does
/// not wait for the end.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake admin roll http://127.0.0.1:3001
      Before a query that has to see everything.

  sessionlake admin reload
      After a change of the configuration."))]
pub(super) struct Args {
    /// The action of the server.
    #[arg(value_enum)]
    action: Action,

    #[command(flatten)]
    target: Target,

    /// roll: the seconds to wait until all has landed, at most 240.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=240))]
    wait: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Action {
    Roll,
    Reload,
    Drain,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let listener = Listener::of(&args.target, environment)?;
    let (status, text) = runtime::current_thread()?.block_on(ask(args, &listener))?;
    let answer: Value = serde_json::from_str(&text).map_err(|_| {
        anyhow!("{} answered {status}, and not as a listener of operators", listener.base())
    })?;
    match status {
        StatusCode::OK | StatusCode::ACCEPTED => {
            out::report(&said(&answer))?;
            // What was asked for has not happened yet, and may not.
            let is_late = matches!(args.action, Action::Roll) && status == StatusCode::ACCEPTED;
            Ok(if is_late { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        _ => Err(Failure::Running(refused(&answer, status))),
    }
}

async fn ask(args: &Args, listener: &Listener) -> anyhow::Result<(StatusCode, String)> {
    let path = match args.action {
        Action::Roll => format!("admin/roll?wait={}", args.wait),
        Action::Reload => "admin/reload".to_owned(),
        Action::Drain => "admin/drain".to_owned(),
    };
    let client = listener.client().timeout(PATIENCE + Duration::from_secs(args.wait));
    let client = client.build().context("cannot set up the HTTP client")?;
    let request = listener.request(&client, Method::POST, &path)?;
    let answer = request.send().await.with_context(|| listener.no_answer())?;
    let status = answer.status();
    Ok((status, answer.text().await.with_context(|| listener.no_answer())?))
}

/// Returns an answer as lines.
fn said(answer: &Value) -> String {
    let status = answer["status"].as_str().unwrap_or_default();
    let has_changed = answer["reloaded"].as_array().is_none_or(|reloaded| !reloaded.is_empty());
    let mut text = match has_changed {
        true => format!("{status}\n"),
        false => format!("{status}: nothing that can be reloaded has changed\n"),
    };
    for roll in answer["rolls"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "roll {}: {} rows, {} rejects, {} files, {} bytes\n",
            roll["roll"], roll["rows"], roll["rejects"], roll["files"], roll["bytes"]
        ));
    }
    if let Some(waiting @ 1..) = answer["bodies_waiting"].as_u64() {
        text.push_str(&format!("{waiting} bodies wait\n"));
    }
    if let Some(waiting @ 1..) = answer["rolls_waiting_for_tables"].as_u64() {
        text.push_str(&format!(
            "{waiting} rolls are in the lake, and not in their Delta or Iceberg tables yet\n"
        ));
    }
    for (key, verb) in [("reloaded", "reloaded"), ("needs_restart", "needs a restart:")] {
        for name in answer[key].as_array().into_iter().flatten() {
            text.push_str(&format!("{verb} {}\n", name.as_str().unwrap_or_default()));
        }
    }
    text
}

/// Returns the error of an answer that is a refusal, with every problem.
fn refused(answer: &Value, status: StatusCode) -> anyhow::Error {
    let mut text = answer["error"].as_str().map_or_else(|| status.to_string(), str::to_owned);
    for problem in answer["problems"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n  {}", problem.as_str().unwrap_or_default()));
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("; give the credentials of an operator with --user or --token");
    }
    anyhow::Error::msg(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_in_lines() {
        let answer = serde_json::json!({
            "status": "landed", "bodies_waiting": 2,
            "rolls": [{"roll": 7, "rows": 3, "rejects": 1, "files": 1, "bytes": 99}],
        });
        let text = "landed\nroll 7: 3 rows, 1 rejects, 1 files, 99 bytes\n2 bodies wait\n";
        assert_eq!(said(&answer), text);
        let answer = serde_json::json!({
            "status": "reloaded", "reloaded": ["log = \"debug\""], "needs_restart": ["lake"],
        });
        assert_eq!(said(&answer), "reloaded\nreloaded log = \"debug\"\nneeds a restart: lake\n");
        let answer = serde_json::json!({"status": "reloaded", "reloaded": [], "needs_restart": []});
        assert_eq!(said(&answer), "reloaded: nothing that can be reloaded has changed\n");
        let answer = serde_json::json!({"error": "reload failed", "problems": ["a:1: b", "c"]});
        let error = refused(&answer, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(error.to_string(), "reload failed\n  a:1: b\n  c");
    }
}
