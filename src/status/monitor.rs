//! The monitor: what a status page shows, sampled every second.
//!
//! Its figures are those of the metrics, which it reads from their text: nothing on the way of a record
//! knows of it. One thing calls [`Monitor::sample`]; a viewer costs a JSON text.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::board::{Board, RollState, RollStatus};
use super::history::{History, Point};
use super::readiness::Readiness;
use super::reading::Reading;
use crate::metrics as names;
use crate::record::Micros;

/// Version of the form of the JSON. Members are added without a new one.
const VERSION: u32 = 1;
/// Rolls that are shown.
const ROLLS: usize = 20;

/// A setting in force.
#[derive(Clone, Debug)]
pub struct ShownSetting {
    /// Its key.
    pub key: &'static str,
    /// Its value as it was given, without secrets.
    pub value: String,
    /// Its origin: `flag`, `environment`, `default`, or the file and the line.
    pub origin: String,
}

/// Settings in force. Clones share them.
#[derive(Clone, Default)]
pub struct InForce(Arc<Mutex<Vec<ShownSetting>>>);

impl InForce {
    /// Takes settings.
    #[must_use]
    pub fn new(settings: Vec<ShownSetting>) -> InForce {
        InForce(Arc::new(Mutex::new(settings)))
    }

    /// Returns the settings.
    #[must_use]
    pub fn list(&self) -> Vec<ShownSetting> {
        self.0.lock().clone()
    }

    /// Takes the settings `keys`, of those that it has, over from `newer`, in all clones.
    pub fn take(&self, keys: &[&str], newer: &InForce) {
        let newer = newer.list();
        for setting in self.0.lock().iter_mut().filter(|setting| keys.contains(&setting.key)) {
            if let Some(newer) = newer.iter().find(|newer| newer.key == setting.key) {
                setting.clone_from(newer);
            }
        }
    }
}

/// Shows none of them: that two settings are the same does not depend on where they come from.
impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").finish_non_exhaustive()
    }
}

/// Facts that do not change while the program runs.
#[derive(Clone, Debug)]
pub struct About {
    /// The node, once it is known.
    pub node: Arc<OnceLock<String>>,
    /// The lake.
    pub lake: String,
    /// The time of the start.
    pub started: Micros,
    /// Settings in force.
    pub settings: InForce,
}

/// The source of the status page's figures.
pub struct Monitor {
    about: About,
    metrics: names::Handle,
    readiness: Arc<Readiness>,
    board: Arc<Board>,
    // Held for a copy or a text: a viewer and the sampler wait for one another at most that long.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    history: History,
    last: Reading,
    at: Option<Micros>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Monitor {
    /// Makes a monitor without any sample.
    #[must_use]
    pub fn new(
        about: About,
        metrics: names::Handle,
        readiness: Arc<Readiness>,
        board: Arc<Board>,
    ) -> Monitor {
        Monitor { about, metrics, readiness, board, state: Mutex::default() }
    }

    /// Takes a sample at `now`. To be called every second.
    pub fn sample(&self, now: Micros) {
        let reading = Reading::of(&self.metrics.render());
        let mut state = self.state.lock();
        if let Some(before) = state.at {
            let seconds = (now.0 - before.0) as f64 / 1e6;
            if seconds > 0.0 {
                let point = point(now, seconds, &state.last, &reading);
                state.history.push(point);
            }
        }
        (state.last, state.at) = (reading, Some(now));
    }

    /// Returns what is known at `now` as JSON, with the history after `after`, Unix time in seconds.
    /// `reasons` are those for which no bodies are taken, by part.
    #[must_use]
    pub fn report(&self, now: Micros, after: i64, reasons: &[(&'static str, String)]) -> String {
        let state = self.state.lock();
        let (reading, history) = (&state.last, &state.history);
        let (rolls, oldest) = (self.board.rolls(), self.readiness.oldest_pending());
        let last = |column: &str| history.last().and_then(|point| point.get(column));
        let troubles = self.readiness.troubles();
        let sentence = sentence(&Facts {
            reasons: reasons.iter().map(|(_, why)| why.clone()).collect(),
            trouble: troubles.first().map(|trouble| (trouble.since, trouble.part)),
            lines_per_second: last("lines_per_second").unwrap_or_default(),
            oldest,
            pending_bytes: reading.sum(names::JOURNAL_PENDING_BYTES),
            now,
        });
        let by_part = |(part, why): &(&'static str, String)| json!({"part": part, "reason": why});
        let report = json!({
            "version": VERSION,
            "now": now.rfc3339(),
            "program": {
                "version": env!("CARGO_PKG_VERSION"),
                "started": self.about.started.rfc3339(),
                "node": self.about.node.get(),
                "lake": self.about.lake,
            },
            "state": {
                "sentence": sentence,
                "ready": reasons.is_empty(),
                "reasons": reasons.iter().map(by_part).collect::<Vec<_>>(),
            },
            "trouble": troubles.iter().map(|trouble| json!({
                "part": trouble.part, "since": trouble.since.rfc3339(), "reason": trouble.why,
            })).collect::<Vec<_>>(),
            "stations": stations(reading, history, &rolls, oldest),
            "limits": limits(reading, history),
            "rolls": rolls.iter().take(ROLLS).map(roll).collect::<Vec<_>>(),
            "tables": tables(reading),
            "rejects": counted(reading, names::REJECTS, "lines"),
            "refused": counted(reading, names::REQUESTS_REFUSED, "requests"),
            "unknown_fields": counted(reading, names::UNKNOWN_FIELD_ROWS, "rows"),
            "settings": self.about.settings.list().iter().map(|setting| json!({
                "key": setting.key, "value": setting.value, "origin": setting.origin,
            })).collect::<Vec<_>>(),
            "history": history.to_json(after),
        });
        report.to_string()
    }
}

fn point(now: Micros, seconds: f64, before: &Reading, reading: &Reading) -> Point {
    let rate = |name| ((reading.sum(name) - before.sum(name)) / seconds) as f32;
    let ack = |q| reading.quantile_since(before, names::ACK_DURATION, q);
    let ack = |q| ack(q).map_or(f32::NAN, |seconds| seconds as f32);
    let memory = reading.sum(names::BODY_MEMORY_BYTES) + reading.sum(names::BUFFERED_BYTES);
    let values = [
        rate(names::RECEIVED_LINES),
        rate(names::RECEIVED_BYTES),
        rate(names::LANDED_ROWS),
        rate(names::LANDED_BYTES),
        ack(0.5),
        ack(0.99),
        reading.sum(names::JOURNAL_PENDING_BYTES) as f32,
        reading.sum(names::JOURNAL_PENDING_BODIES) as f32,
        memory as f32,
        reading.sum("process_resident_memory_bytes") as f32,
    ];
    Point { at: now.0.div_euclid(1_000_000), values }
}

/// The facts that the sentence of state is made of.
struct Facts {
    reasons: Vec<String>,
    trouble: Option<(Micros, &'static str)>,
    lines_per_second: f64,
    oldest: Option<Micros>,
    pending_bytes: f64,
    now: Micros,
}

/// Returns the state as a sentence.
fn sentence(facts: &Facts) -> String {
    let mut parts = Vec::new();
    parts.push(match (&*facts.reasons, facts.lines_per_second) {
        ([], rate) if rate >= 0.05 => format!("Receiving {} lines/s", short(rate)),
        ([], _) => "Ready, and nothing comes".to_owned(),
        (reasons, _) => format!("Takes no bodies: {}", reasons.join("; ")),
    });
    let time = |at: Micros| {
        let text = at.rfc3339().unwrap_or_default();
        let same_day = facts.now.rfc3339().is_some_and(|now| now.get(..10) == text.get(..10));
        // 2026-11-29T14:02:10Z
        let clock = text.get(11..19).unwrap_or_default();
        if same_day { clock.to_owned() } else { text.replace('T', " ") }
    };
    parts.push(match facts.oldest {
        Some(at) => format!("all landed up to {}", time(at)),
        None => "all landed".to_owned(),
    });
    if facts.oldest.is_some() && facts.pending_bytes > 0.0 {
        parts.push(format!(
            "{} wait",
            bytesize::ByteSize::b(facts.pending_bytes as u64).display().si()
        ));
    }
    if let Some((since, part)) = facts.trouble {
        parts.push(format!("in trouble since {}: {part}", time(since)));
    }
    parts.join("; ")
}

/// Returns a rate with as many digits as say something.
fn short(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

/// Returns the way of a record: what each station does, what waits there, and since when.
fn stations(
    reading: &Reading,
    history: &History,
    rolls: &[RollStatus],
    oldest: Option<Micros>,
) -> Value {
    let last = |column: &str| history.last().and_then(|point| point.get(column));
    let sum = |name| reading.sum(name);
    let open = rolls.iter().find(|roll| roll.state == RollState::Open);
    let publishing = rolls.iter().rev().filter(|roll| {
        matches!(roll.state, RollState::Finished | RollState::Sealed | RollState::Landed)
    });
    let publishing: Vec<_> = publishing.collect();
    let since = sum(names::OLDEST_WAITING_ROLL);
    let visible_since = (since > 0.0).then_some(Micros((since * 1e6) as i64));
    let text = |at: Option<Micros>| at.and_then(Micros::rfc3339);
    json!([
        {
            "name": "receive",
            "per_second": {"lines": last("lines_per_second"), "bytes": last("bytes_per_second")},
            "waiting": {
                "requests": sum(names::HTTP_IN_FLIGHT),
                "bytes": sum(names::BODY_MEMORY_BYTES),
            },
            "oldest": null,
        },
        {
            "name": "journal",
            "per_second": {"bytes": last("bytes_per_second")},
            "waiting": {
                "bodies": sum(names::JOURNAL_PENDING_BODIES),
                "bytes": sum(names::JOURNAL_PENDING_BYTES),
            },
            "oldest": text(oldest),
        },
        {
            "name": "roll",
            "per_second": {},
            "waiting": {
                "lines": open.map_or(0, |roll| roll.lines),
                "bytes": sum(names::BUFFERED_BYTES),
                "partitions": sum(names::OPEN_PARTITIONS),
            },
            "oldest": text(open.map(|roll| roll.opened_at)),
        },
        {
            "name": "lake",
            "per_second": {
                "rows": last("landed_rows_per_second"),
                "bytes": last("landed_bytes_per_second"),
            },
            "waiting": {"rolls": publishing.len()},
            "oldest": text(publishing.first().map(|roll| roll.opened_at)),
        },
        {
            "name": "table",
            "per_second": {},
            "waiting": {"rolls": sum(names::WAITING_ROLLS)},
            "oldest": text(visible_since),
        },
    ])
}

fn limits(reading: &Reading, history: &History) -> Value {
    let sum = |name| reading.sum(name);
    let (size, quota) = (sum(names::JOURNAL_SIZE_BYTES), sum(names::JOURNAL_QUOTA_BYTES));
    let growth = history.growth("pending_bytes").filter(|growth| *growth > 1.0);
    json!({
        "journal_size_bytes": size,
        "journal_quota_bytes": quota,
        "journal_full_in_seconds": growth.map(|growth| ((quota - size).max(0.0) / growth).round()),
        "disk_free_bytes": sum(names::JOURNAL_DISK_FREE_BYTES),
        "disk_reserve_bytes": sum(names::JOURNAL_DISK_RESERVE_BYTES),
        "body_memory_bytes": sum(names::BODY_MEMORY_BYTES),
        "body_memory_limit_bytes": sum(names::BODY_MEMORY_LIMIT_BYTES),
        "buffered_bytes": sum(names::BUFFERED_BYTES),
        "buffered_limit_bytes": sum(names::BUFFERED_LIMIT_BYTES),
        "resident_memory_bytes": sum("process_resident_memory_bytes"),
        "ack_limit_seconds": 30,
    })
}

fn roll(roll: &RollStatus) -> Value {
    let state = match roll.state {
        RollState::Open => "open",
        RollState::Finished => "finished",
        RollState::Sealed => "sealed",
        RollState::Landed => "landed",
        RollState::Committed => "committed",
        RollState::Discarded => "discarded",
    };
    json!({
        "roll": roll.roll.0, "state": state, "cause": roll.reason,
        "opened": roll.opened_at.rfc3339(), "changed": roll.changed_at.rfc3339(),
        "lines": roll.lines, "rows": roll.rows, "rejects": roll.rejects,
        "files": roll.files, "bytes": roll.bytes, "retries": roll.retries, "error": roll.error,
    })
}

fn tables(reading: &Reading) -> Value {
    let of = |name: &str, table: &str| -> f64 {
        let series = reading.series(name).iter();
        series.filter(|one| one.label("table") == Some(table)).map(|one| one.value).sum()
    };
    let tables = reading.series(names::LANDED_ROWS).iter().filter_map(|one| one.label("table"));
    let table = |table| {
        json!({
            "table": table,
            "rows": of(names::LANDED_ROWS, table),
            "files": of(names::LANDED_FILES, table),
            "bytes": of(names::LANDED_BYTES, table),
            "rejects": of(names::REJECTS, table),
            "doubled": of(names::DOUBLED, table),
        })
    };
    tables.map(table).collect()
}

/// Returns the series of a counter that are not zero, each an object of its labels and its value.
fn counted(reading: &Reading, name: &str, value: &str) -> Value {
    let counted = reading.series(name).iter().filter(|series| series.value > 0.0);
    let objects = counted.map(|series| {
        let labels = series.labels.iter().map(|(label, value)| (label.clone(), json!(value)));
        Value::Object(labels.chain([(value.to_owned(), json!(series.value))]).collect())
    });
    objects.collect()
}

#[cfg(test)]
mod tests;
