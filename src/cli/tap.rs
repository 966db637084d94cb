//! The command `sessionlake tap`: follows rejects of a running server, without their values.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::Value;

use super::operators::Target;
use super::watch::{AWAY, Events, PAUSE, Watcher};
use super::{Outcome, manual, out, runtime};
use crate::config::Environment;

/// Follow lines that a running server cannot make rows of, without their values.
///
/// Asks the status page of the server (status_listen). Each line that is printed has the time, the table,
/// the code, the body and the line in it, the reason, and the line itself: names of fields that the schema
/// has, the structure and the types are shown, values never, and » is where the defect is. Lines come when
/// they are decoded, a few a second at most; how many are not shown is said. All are in the quarantine
/// (sessionlake quarantine show). A roll that is made again, after a failure or a restart, shows its
/// rejects again.
///
/// Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake tap
      Of the server on this machine.

  SESSIONLAKE_OPERATOR_TOKEN=… \\
  sessionlake tap --json --last 20 \\
      https://lake.example:3001
      The last 20, then all that come, as JSON."))]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Begin with the last N rejects, 20 at most.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=20))]
    last: u8,
    /// End after N rejects.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let watcher = Watcher::new(&args.target, environment)?;
    runtime::current_thread()?.block_on(async {
        tokio::select! {
            followed = follow(args, &watcher) => followed,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        }
    })
}

async fn follow(args: &Args, watcher: &Watcher) -> Outcome {
    let status = watcher.status(i64::MAX).await?;
    let kept = status["reject_samples"].as_array().cloned().unwrap_or_default();
    let mut known = kept.first().and_then(id).unwrap_or(0);
    let mut left = args.limit;
    for sample in kept.iter().take(args.last.into()).rev() {
        if left == 0 {
            break;
        }
        left -= 1;
        print(sample, args.json)?;
    }
    let mut answered = Instant::now();
    while left > 0 {
        match read(args, watcher, &mut known, &mut left, &mut answered).await {
            Ok(()) => {}
            Err(error) if answered.elapsed() > AWAY => return Err(error.into()),
            Err(error) => tell(&format!("{error:#}; trying again")),
        }
        if left > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads one stream to its end.
async fn read(
    args: &Args,
    watcher: &Watcher,
    known: &mut u64,
    left: &mut u64,
    answered: &mut Instant,
) -> anyhow::Result<()> {
    let mut events: Events = match watcher.events(Some(*known)).await? {
        Some(events) => events,
        None => anyhow::bail!("the server has as many streams of events as it may"),
    };
    while let Some(event) = events.next().await? {
        *answered = Instant::now();
        // Another start of the server counts anew.
        if event.id.is_some_and(|id| id < *known) {
            *known = 0;
            return Ok(());
        }
        if event.name != "rejects" {
            continue;
        }
        let rejects = event.data["rejects"].as_array().cloned().unwrap_or_default();
        for sample in rejects.iter().filter(|sample| id(sample).is_some_and(|id| id > *known)) {
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            print(sample, args.json).map_err(|_| anyhow::anyhow!("cannot write"))?;
        }
        *known = event.id.unwrap_or(*known);
        match event.data["skipped"].as_u64() {
            Some(skipped) if skipped > 0 => {
                tell(&format!("{skipped} more are not shown: they come too fast"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn id(sample: &Value) -> Option<u64> {
    sample["id"].as_u64()
}

fn print(sample: &Value, json: bool) -> Result<(), super::Failure> {
    match json {
        true => out::json(&format!("{sample}\n")),
        false => out::report(&format!("{}\n", line(sample))),
    }
}

/// Returns a reject as a line.
fn line(sample: &Value) -> String {
    let text = |name: &str| sample[name].as_str().unwrap_or_default();
    let number = |name: &str| sample[name].as_u64().unwrap_or_default();
    let lines = match number("lines") {
        1 => format!("line {}", number("line")),
        lines => format!("{lines} lines from {} on", number("line")),
    };
    let masked = sample["masked"].as_str().unwrap_or("(sealed, or too long to show)");
    format!(
        "{} {} {} body {} {lines}: {}  {masked}",
        text("at"),
        text("table"),
        text("reason"),
        number("body"),
        text("text"),
    )
}

fn tell(text: &str) {
    use std::io::Write as _;
    let text = crate::error_text::printable_error(text);
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reject_is_a_line() {
        let mut sample = json!({
            "id": 3, "at": "2026-11-29T14:02:10Z", "table": "t", "reason": "not_json", "body": 17,
            "line": 3, "lines": 1, "bytes": 9, "text": "malformed number at byte 6",
            "masked": "{\"aaa\" »0}",
        });
        let said = "2026-11-29T14:02:10Z t not_json body 17 line 3: malformed number at byte 6  {\"aaa\" »0}";
        assert_eq!(line(&sample), said);
        (sample["masked"], sample["lines"]) = (Value::Null, json!(7));
        assert!(line(&sample).ends_with(
            "7 lines from 3 on: malformed number at byte 6  (sealed, or too long to show)"
        ));
    }
}
