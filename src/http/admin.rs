//! Administration: what an operator has a running server do.
//!
//! | request | effect | answer |
//! |---|---|---|
//! | `POST /admin/roll?wait=SECONDS` | seals what is open, lands it, and waits until readers of Delta and Iceberg tables see it | 200 with what landed; 202 if that takes longer than `wait` (60 s) |
//! | `POST /admin/reload` | as SIGHUP | 200 with what changed and what needs a restart; 422 with every problem, and nothing has changed |
//! | `POST /admin/drain` | as SIGTERM | 202 at once |
//!
//! # Who may
//! Operators with credentials, on loopback as well: without a file of them nobody is told from anybody,
//! and every user of the machine, and every program that is made to ask for a URL, would be one. So
//! without `status_credentials` all of it is refused. Web pages are refused by the browser guard, the
//! receiver's own among them: a browser adds credentials that it once was given to what a page asks for.
//!
//! Each request that is admitted is in the log, with the operator's name.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use warp::http::{Method, StatusCode};

use super::refusal::Refusal;
use super::reply::{self, Response};
use crate::intake::Gate;
use crate::record::{Roll, Seq};
use crate::status::{Board, Control, RollState, RollStatus};

/// The paths begin so.
pub(super) const PREFIX: &str = "/admin/";
/// The time for which a roll is waited for, unless the request says otherwise.
const WAIT: Duration = Duration::from_secs(60);
/// The longest: a connection lives for little longer.
const LONGEST_WAIT: Duration = Duration::from_secs(240);
/// The interval at which a roll is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The time that the board may take to know of a roll that has left the journal.
const BOARD_WITHIN: Duration = Duration::from_secs(1);

/// What administration works on.
pub(super) struct Administered<'a> {
    pub(super) control: &'a Control,
    pub(super) gate: &'a Gate,
    pub(super) board: &'a Board,
}

/// The one who asks.
pub(super) struct Operator {
    pub(super) name: Arc<str>,
    pub(super) address: IpAddr,
}

/// Answers a request of an operator, if there is something at `path`.
///
/// # Errors
/// Another path or method, or a server that cannot do it now.
pub(super) async fn answer(
    on: &Administered<'_>,
    operator: &Operator,
    method: &Method,
    path: &str,
    query: &str,
) -> Result<Response, Refusal> {
    let action = path.strip_prefix(PREFIX).unwrap_or_default();
    if !["roll", "reload", "drain"].contains(&action) {
        return Err(Refusal::NoStatus { asked: path.chars().take(200).collect() });
    }
    if *method != Method::POST {
        return Err(Refusal::NotPost { method: method.clone() });
    }
    let wait = match action {
        "roll" => wait(query)?,
        _ => WAIT,
    };
    let (name, address) = (&operator.name, operator.address);
    tracing::info!(operator = %name, peer = %address, "an operator asks: {action}");
    match action {
        "roll" => roll(on, operator, wait).await,
        "reload" => reload(on.control).await,
        _ => Ok(drain(on.control)),
    }
}

/// Returns the `wait` of a query, in seconds.
fn wait(query: &str) -> Result<Duration, Refusal> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, given)) = pairs.find(|(name, _)| *name == "wait") else { return Ok(WAIT) };
    let seconds = given.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT.as_secs());
    let most = LONGEST_WAIT.as_secs();
    seconds.map(Duration::from_secs).ok_or(Refusal::Wait { most })
}

/// Lands what was acknowledged before now.
async fn roll(
    on: &Administered<'_>,
    operator: &Operator,
    wait: Duration,
) -> Result<Response, Refusal> {
    let intake = on.gate.intake()?;
    let (last, landed) = intake.positions();
    on.control.rolls.ask(last);
    let began = Instant::now();
    let mut left_journal = None;
    let is_landed = loop {
        let now = Instant::now();
        if intake.positions().1 >= last {
            let at = *left_journal.get_or_insert(now);
            let is_shown = last <= landed
                || rolls(on.board, landed, last).any(|roll| {
                    roll.range.is_some_and(|range| range.first <= last && range.last >= last)
                });
            let is_told = is_shown || now.duration_since(at) > BOARD_WITHIN;
            if is_told && invisible(on.board, last, on.control.rolls.visible()) == 0 {
                break true;
            }
        }
        if now.duration_since(began) >= wait {
            break false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut done: Vec<RollStatus> = rolls(on.board, landed, last).collect();
    done.reverse();
    let waiting = last.0.saturating_sub(intake.positions().1.0.max(landed.0));
    let name = &operator.name;
    let said = if is_landed {
        "rolled, as asked"
    } else {
        "rolling, as asked: not all has landed within the time to wait"
    };
    tracing::info!(operator = %name, rolls = done.len(), bodies_waiting = waiting, "{said}");
    let done: Vec<_> = done
        .iter()
        .map(|roll| {
            json!({
                "roll": roll.roll.0, "rows": roll.rows, "rejects": roll.rejects,
                "files": roll.files, "bytes": roll.bytes,
            })
        })
        .collect();
    let (status, word) = match is_landed {
        true => (StatusCode::OK, "landed"),
        false => (StatusCode::ACCEPTED, "landing"),
    };
    let mut text = json!({"status": word, "rolls": done, "bodies_waiting": waiting});
    let invisible = invisible(on.board, last, on.control.rolls.visible());
    if !is_landed && invisible > 0 {
        text["rolls_waiting_for_tables"] = invisible.into();
    }
    Ok(reply::json(status, text.to_string()))
}

/// Returns the rolls that have landed since `landed`, up to that of the body `last`, the latest first.
fn rolls(board: &Board, landed: Seq, last: Seq) -> impl Iterator<Item = RollStatus> {
    board.rolls().into_iter().filter(move |roll| {
        roll.state == RollState::Committed
            && roll.range.is_some_and(|range| range.last > landed && range.first <= last)
    })
}

/// Returns the number of rolls with bodies up to `last` that have landed, and that readers of a table with a
/// log do not see yet: `visible` is the last one that they see.
fn invisible(board: &Board, last: Seq, visible: Roll) -> usize {
    rolls(board, Seq(0), last).filter(|roll| roll.roll > visible).count()
}

async fn reload(control: &Control) -> Result<Response, Refusal> {
    let answer = control.reload().await.ok_or(Refusal::NoReload)?;
    Ok(match answer {
        Ok(said) => {
            let text = json!({
                "status": "reloaded", "reloaded": said.reloaded, "needs_restart": said.needs_restart,
            });
            reply::json(StatusCode::OK, text.to_string())
        }
        Err(problems) => {
            let text = json!({
                "status": "error",
                "error": "reload failed, and everything stays as it was",
                "problems": problems,
            });
            reply::json(StatusCode::UNPROCESSABLE_ENTITY, text.to_string())
        }
    })
}

fn drain(control: &Control) -> Response {
    let word = match control.drain() {
        true => "draining",
        false => "draining already",
    };
    reply::json(StatusCode::ACCEPTED, json!({"status": word}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Micros, SeqRange};
    use crate::status::{Observer as _, RollControl, RollEvent};

    #[test]
    fn rolls_that_a_table_lacks_are_counted_up_to_the_body_that_was_asked_for() {
        let board = Board::default();
        for number in 1..=3 {
            let (roll, range) =
                (Roll(number), SeqRange { first: Seq(number * 10), last: Seq(number * 10 + 9) });
            board.observe(Micros(1), &RollEvent::Redone { roll, range });
            let (rows, rejects, doubled, files, bytes) = (1, 0, 0, 1, 1);
            let committed = RollEvent::Committed { roll, rows, rejects, doubled, files, bytes };
            board.observe(Micros(2), &committed);
        }
        assert_eq!(invisible(&board, Seq(29), Roll(0)), 2);
        assert_eq!(invisible(&board, Seq(25), Roll(1)), 1);
        assert_eq!(invisible(&board, Seq(29), Roll(2)), 0);
        assert_eq!(invisible(&board, Seq(39), RollControl::default().visible()), 0);
    }

    #[test]
    fn a_wait_is_a_bounded_number_of_seconds() {
        assert_eq!(wait("").unwrap(), WAIT);
        assert_eq!(wait("wait=0").unwrap(), Duration::ZERO);
        assert_eq!(wait("a=b&wait=7").unwrap(), Duration::from_secs(7));
        for wrong in ["wait=", "wait=1m", "wait=-1", "wait=241"] {
            assert!(matches!(wait(wrong), Err(Refusal::Wait { most: 240 })), "{wrong}");
        }
    }
}
