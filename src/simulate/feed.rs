//! The feed: makes sessions at a rate, and hands on bulks when they are full or no session
//! finishes.
//!
//! Runs on a thread of its own, so that making sessions never waits for sending but through
//! `deliver`, and sending never for making.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bulk::{Batcher, Bulk, Layout};
use super::faults::Faults;
use super::generate::{Generator, Random, Shape};

/// The sessions to make, their number and their rate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The sessions.
    pub shape: Shape,
    /// Layout of the bulks.
    pub layout: Layout,
    /// The limits of the run; the first that is reached ends it.
    pub limits: RunLimits,
    /// The rate; none for as fast as sessions are taken.
    pub rate: Option<Rate>,
    /// A bulk that is not full goes when no session has finished for this long.
    pub flush: Duration,
    /// Faults on request.
    pub faults: Faults,
}

/// Limits of a run. Without any it goes on until it is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunLimits {
    /// Ends the run after this number of sessions.
    pub sessions: Option<u64>,
    /// Ends the run after the session that makes this number of bytes full.
    pub bytes: Option<u64>,
    /// Ends the run after this time.
    pub duration: Option<Duration>,
}

/// The rate at which sessions finish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Sessions a second.
    Sessions(f64),
    /// Bytes a second.
    Bytes(f64),
}

impl Rate {
    /// Parses `500/s` (sessions) or `20MB/s`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is no rate, such as 500/s (sessions) or 20MB/s");
        let amount = text.trim();
        let amount = amount.strip_suffix("/s").unwrap_or(amount).trim();
        let rate = match amount.parse::<f64>() {
            Ok(sessions) => Rate::Sessions(sessions),
            Err(_) => {
                let bytes = amount.parse::<bytesize::ByteSize>().map_err(|_| wrong())?;
                Rate::Bytes(bytes.as_u64() as f64)
            }
        };
        match rate {
            Rate::Sessions(amount) | Rate::Bytes(amount) if amount > 0.0 && amount.is_finite() => {
                Ok(rate)
            }
            _ => Err(wrong()),
        }
    }
}

/// Sessions and bytes that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Number of sessions.
    pub sessions: u64,
    /// Their bytes, with action lines.
    pub bytes: u64,
}

/// Makes bulks and delivers each, until a limit, `stop`, or until `deliver` wants no more.
/// The last bulk is delivered however small it is.
pub(crate) fn feed(plan: &Plan, stop: &AtomicBool, mut deliver: impl FnMut(Bulk) -> bool) -> Made {
    let started = Instant::now();
    let mut generator = Generator::new(plan.shape);
    let mut chance = Random::new(plan.shape.seed ^ 0xfa17);
    let mut batcher = Batcher::new(plan.layout.clone());
    let mut made = Made::default();
    let ended = |made: &Made| {
        let RunLimits { sessions, bytes, duration } = plan.limits;
        sessions.is_some_and(|limit| made.sessions >= limit)
            || bytes.is_some_and(|limit| made.bytes >= limit)
            || duration.is_some_and(|limit| started.elapsed() >= limit)
            || stop.load(Ordering::Relaxed)
    };
    let mut finished = Duration::ZERO;
    while !ended(&made) {
        if let Some(rate) = plan.rate {
            let due = Duration::from_secs_f64(match rate {
                Rate::Sessions(rate) => made.sessions as f64 / rate,
                Rate::Bytes(rate) => made.bytes as f64 / rate,
            });
            let flush = finished + plan.flush;
            if !batcher.is_empty() && flush < due {
                if wait(started, flush, &|| ended(&made)) {
                    break;
                }
                if !deliver(batcher.cut(plan.faults.plan(&mut chance))) {
                    return made;
                }
            }
            if wait(started, due, &|| ended(&made)) {
                break;
            }
            finished = started.elapsed();
        }
        made.bytes += batcher.add(&mut generator) as u64;
        made.sessions += 1;
        if batcher.is_full() && !deliver(batcher.cut(plan.faults.plan(&mut chance))) {
            return made;
        }
    }
    if !batcher.is_empty() {
        deliver(batcher.cut(plan.faults.plan(&mut chance)));
    }
    made
}

/// Sleeps until `due` after `started`; returns true if the run ended first.
fn wait(started: Instant, due: Duration, ended: &dyn Fn() -> bool) -> bool {
    loop {
        let left = due.saturating_sub(started.elapsed());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
        if ended() {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::Format;
    use super::*;

    fn plan() -> Plan {
        Plan {
            shape: Shape {
                seed: 1,
                format: Format::Oldest,
                drift_ppm: 0,
                tenants: 1,
                from_ms: 0,
                period_ms: 86_400_000,
                sessions: 1_000,
            },
            layout: Layout::Plain,
            limits: RunLimits::default(),
            rate: None,
            flush: Duration::from_secs(30),
            faults: Faults::default(),
        }
    }

    fn run(plan: &Plan) -> (Made, Vec<usize>) {
        let mut bulks = Vec::new();
        let made = feed(plan, &AtomicBool::new(false), |bulk| {
            bulks.push(bulk.ids.len());
            true
        });
        (made, bulks)
    }

    #[test]
    fn the_first_limit_ends_it_and_the_rest_is_sent() {
        let limits = RunLimits { sessions: Some(2_500), ..RunLimits::default() };
        let (made, bulks) = run(&Plan { limits, ..plan() });
        assert_eq!((made.sessions, bulks), (2_500, vec![1_000, 1_000, 500]));
        let limits = RunLimits { bytes: Some(10_000), ..limits };
        let (made, bulks) = run(&Plan { limits, ..plan() });
        assert!(made.bytes >= 10_000 && made.bytes < 10_300, "{made:?}");
        assert_eq!(bulks, [made.sessions as usize]);
    }

    #[test]
    fn a_rate_is_kept_and_a_bulk_goes_when_nothing_finishes() {
        let started = Instant::now();
        let limits = RunLimits { sessions: Some(5), ..RunLimits::default() };
        let rate = Some(Rate::Sessions(10.0));
        let (_, bulks) = run(&Plan { limits, rate, flush: Duration::from_millis(20), ..plan() });
        assert_eq!(bulks, [1; 5], "no session finished for 20 ms after each");
        assert!(started.elapsed() >= Duration::from_millis(400));
        let (_, bulks) = run(&Plan { limits, rate: Some(Rate::Sessions(500.0)), ..plan() });
        assert_eq!(bulks, [5]);
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(Rate::parse("500/s"), Ok(Rate::Sessions(500.0)));
        assert_eq!(Rate::parse("0.5"), Ok(Rate::Sessions(0.5)));
        assert_eq!(Rate::parse("20MB/s"), Ok(Rate::Bytes(20_000_000.0)));
        assert_eq!(Rate::parse("1 MiB/s"), Ok(Rate::Bytes(1_048_576.0)));
        for wrong in ["", "0", "-3/s", "fast", "inf"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong:?} passed");
        }
    }
}
