//! The state of a receiver as a sentence.

use super::stage::Stage;
use crate::record::Micros;

/// A time within which the journal is full that is worth a word in the sentence.
const SOON_SECONDS: f64 = 86_400.0;

/// The facts that the sentence of state is made of.
pub(super) struct Facts {
    pub(super) stage: Stage,
    /// The reasons for which no bodies are taken.
    pub(super) reasons: Vec<String>,
    pub(super) trouble: Option<(Micros, &'static str)>,
    /// The mean of the last seconds.
    pub(super) lines_per_second: f64,
    /// The time at which lines came last, since the start.
    pub(super) last_received: Option<Micros>,
    /// The time at which the oldest body that has not landed was received.
    pub(super) oldest: Option<Micros>,
    pub(super) pending_bytes: f64,
    /// The time until the journal is full, if it fills.
    pub(super) full_in_seconds: Option<f64>,
    pub(super) now: Micros,
}

/// Returns the state as a sentence.
pub(super) fn sentence(facts: &Facts) -> String {
    let mut parts = Vec::new();
    parts.push(match (&facts.stage, &*facts.reasons) {
        (Stage::Starting(why), _) => {
            format!("Starting, and takes no sessions yet: {}", first_part(why))
        }
        (Stage::Stopping(why), _) => format!("Stopping: {}", first_part(why)),
        (Stage::Running, []) if facts.lines_per_second >= 0.05 => {
            format!("Receiving {} lines/s", short(facts.lines_per_second))
        }
        (Stage::Running, []) => match facts.last_received {
            Some(at) => {
                format!("Ready; no sessions are coming in, the last came at {}", facts.time(at))
            }
            None => "Ready; no sessions have come in since the start".to_owned(),
        },
        (Stage::Running, reasons) => {
            let reasons: Vec<&str> = reasons.iter().map(|why| first_part(why)).collect();
            format!("Takes no sessions: {}", reasons.join("; "))
        }
    });
    match facts.oldest {
        // The stage says what waits.
        _ if facts.stage != Stage::Running => {}
        Some(at) => {
            let wait = match facts.pending_bytes > 0.0 {
                true => {
                    let bytes = bytesize::ByteSize::b(facts.pending_bytes as u64);
                    format!("{} wait", bytes.display().si())
                }
                false => "some wait".to_owned(),
            };
            parts.push(format!("landed up to {}, {wait}", facts.time(at)));
        }
        None if facts.last_received.is_some() => parts.push("all of it has landed".to_owned()),
        // Of a journal that has not been read, nothing is known.
        None => {}
    }
    if let Some(seconds) = facts.full_in_seconds.filter(|seconds| *seconds < SOON_SECONDS)
        && facts.reasons.is_empty()
    {
        parts.push(format!("at this rate the journal is full in {}", long(seconds)));
    }
    if let Some((since, part)) = facts.trouble {
        parts.push(format!("trouble since {}: {part}", facts.time(since)));
    }
    parts.join("; ")
}

impl Facts {
    /// Returns a time of day, with the day if it is another one than now. Times are of UTC.
    fn time(&self, at: Micros) -> String {
        // 2026-11-29T14:02:10Z
        let text = at.rfc3339().unwrap_or_default();
        let same_day = self.now.rfc3339().is_some_and(|now| now.get(..10) == text.get(..10));
        let clock = text.get(11..19).unwrap_or_default();
        match same_day {
            true => format!("{clock} UTC"),
            false => format!("{} {clock} UTC", text.get(..10).unwrap_or_default()),
        }
    }
}

/// Returns a sentence without what follows its first part: trouble is told by itself.
fn first_part(why: &str) -> &str {
    why.split_once("; ").map_or(why, |(first, _)| first)
}

/// Returns a rate with as many digits as say something.
fn short(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

/// Returns a duration in the unit that says most.
pub(crate) fn long(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_796_000_000_000_000);

    fn facts() -> Facts {
        Facts {
            stage: Stage::Running,
            reasons: Vec::new(),
            trouble: None,
            lines_per_second: 0.0,
            last_received: None,
            oldest: None,
            pending_bytes: 0.0,
            full_in_seconds: None,
            now: NOW,
        }
    }

    #[test]
    fn the_sentence_says_what_comes_what_has_landed_and_what_is_wrong() {
        assert_eq!(sentence(&facts()), "Ready; no sessions have come in since the start");
        let at = Micros(NOW.0 - 70_000_000);
        let time = &at.rfc3339().unwrap()[11..19];
        let idle = Facts { last_received: Some(at), ..facts() };
        let expected = format!(
            "Ready; no sessions are coming in, the last came at {time} UTC; all of it has landed"
        );
        assert_eq!(sentence(&idle), expected);
        let receiving = Facts {
            lines_per_second: 412.3,
            oldest: Some(at),
            pending_bytes: 3e6,
            last_received: Some(NOW),
            ..facts()
        };
        let expected = format!("Receiving 412 lines/s; landed up to {time} UTC, 3.0 MB wait");
        assert_eq!(sentence(&receiving), expected);
        let filling = Facts { full_in_seconds: Some(10_800.0), ..receiving };
        let expected = format!("{expected}; at this rate the journal is full in 3 h");
        assert_eq!(sentence(&filling), expected);
        let away = Facts { trouble: Some((Micros(0), "lake")), ..facts() };
        let expected = "Ready; no sessions have come in since the start; trouble since 1970-01-01 \
                        00:00:00 UTC: lake";
        assert_eq!(sentence(&away), expected);
        let full =
            Facts { reasons: vec!["the journal is full; raise the quota".to_owned()], ..idle };
        let expected = "Takes no sessions: the journal is full; all of it has landed";
        assert_eq!(sentence(&full), expected);
        let starting = Stage::Starting("replaying the journal: 37 %".to_owned());
        let expected = "Starting, and takes no sessions yet: replaying the journal: 37 %";
        assert_eq!(sentence(&Facts { stage: starting, ..facts() }), expected);
        let stopping = Stage::Stopping("12 bodies wait for /lake; lake: is away".to_owned());
        let expected = "Stopping: 12 bodies wait for /lake";
        assert_eq!(sentence(&Facts { stage: stopping, ..facts() }), expected);
    }
}
