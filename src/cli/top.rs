//! The command `sessionlake top`: the state of a running server in the terminal.

mod screen;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::operators::Target;
use super::watch::{AWAY, PAUSE, Watcher};
use super::{Failure, Outcome, manual, out, runtime};
use crate::config::Environment;

/// The time between two questions for what does not come by events.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Leaves the screen as it was: back from the other screen, with a cursor.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const ENTER: &str = "\x1b[?1049h\x1b[?25l";

/// Show the state of a running server in the terminal, every second.
///
/// Asks the status page of the server (status_listen): what comes and lands, what waits at each station and
/// since when, trouble with what to do, the last rolls and rejects. Where standard output is no terminal, a
/// line a second is printed instead.
///
/// Ctrl-C ends it. Without an answer, and when the server is gone for a minute, the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake top
      Of the server on this machine.

  SESSIONLAKE_OPERATOR_TOKEN=… \\
  sessionlake top https://lake.example:3001
      Of another one.

  sessionlake top --count 1 --json
      Its state now, for a program to read."))]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// End after this many states.
    #[arg(
        long,
        value_name = "N",
        default_value_t = u64::MAX,
        hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    count: u64,
    /// Print JSON, a state a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let watcher = Watcher::new(&args.target, environment)?;
    let is_screen = !args.json && args.count == u64::MAX && std::io::stdout().is_terminal();
    runtime::current_thread()?.block_on(async {
        // Before anything is drawn.
        let first = watcher.status(0).await?;
        if is_screen {
            out::write(ENTER)?;
        }
        let ended = tokio::select! {
            ended = follow(args, &watcher, first, is_screen) => ended,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        };
        if is_screen {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        }
        ended
    })
}

async fn follow(args: &Args, watcher: &Watcher, first: Value, is_screen: bool) -> Outcome {
    let mut status = first;
    let (mut left, mut answered) = (args.count, Instant::now());
    let mut shown = show(&status, args.json, is_screen, None);
    loop {
        shown?;
        left -= 1;
        if left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let mut why = None;
        match next(watcher, &mut status, &mut left, args.json, is_screen, &mut answered).await {
            Ok(()) => {}
            Err(error) if answered.elapsed() > AWAY => return Err(error.into()),
            Err(error) => why = Some(format!("{error:#}")),
        }
        if left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
        shown = show(&status, args.json, is_screen, why.as_deref());
    }
}

/// Shows what comes by one stream of events, to its end; without one, asks once.
async fn next(
    watcher: &Watcher,
    status: &mut Value,
    left: &mut u64,
    json: bool,
    is_screen: bool,
    answered: &mut Instant,
) -> anyhow::Result<()> {
    let Some(mut events) = watcher.events(None).await? else {
        *status = watcher.status(i64::MAX - 1).await?;
        *answered = Instant::now();
        return Ok(());
    };
    let mut reported = Instant::now();
    while let Some(event) = events.next().await? {
        *answered = Instant::now();
        // The first is of the second that was asked for before.
        if event.name != "state" || event.data["now"] == status["now"] {
            continue;
        }
        if is_screen && reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            *status = watcher.status(0).await?;
        }
        if let (Some(status), Value::Object(new)) = (status.as_object_mut(), event.data) {
            status.extend(new);
        }
        let shown = show(status, json, is_screen, None);
        shown.map_err(|_| anyhow::anyhow!("cannot write to standard output"))?;
        *left -= 1;
        if *left == 0 {
            break;
        }
    }
    Ok(())
}

/// Prints a status: as JSON, on the whole screen, or as a line. `why` is the reason for which it is old.
fn show(status: &Value, json: bool, is_screen: bool, why: Option<&str>) -> Result<(), Failure> {
    if json {
        return out::json(&format!("{status}\n"));
    }
    if !is_screen {
        let line = why.map_or_else(|| screen::line(status), |why| format!("no answer: {why}"));
        return out::report(&format!("{line}\n"));
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let (width, height) = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
    let mut text = "\x1b[H".to_owned();
    for line in screen::lines(status, why).iter().take(height) {
        let line = crate::error_text::printable(line);
        text.extend(line.chars().take(width));
        // The rest of the line is cleared; the last line has no end, so that nothing scrolls.
        text.push_str("\x1b[K\r\n");
    }
    text.truncate(text.len() - 2);
    text.push_str("\x1b[J");
    out::write(&text)
}
