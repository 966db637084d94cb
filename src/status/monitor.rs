//! The monitor: what a status page shows, sampled every second.
//!
//! Its figures are those of the metrics, which it reads from their text, and of observers: nothing on the
//! path of a record knows of it. One thing calls [`Monitor::sample`]. The text of each second is made
//! when the first viewer asks for it, and all others of that second get the same.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::board::Board;
use super::history::{History, Point};
use super::readiness::Readiness;
use super::reading::Reading;
use super::rejects::RejectBoard;
use super::report;
use super::sentence::{Facts, sentence};
use super::totals::Totals;
use crate::metrics as names;
use crate::record::Micros;

/// Version of the form of the JSON. Members are added without a new one.
const VERSION: u32 = 1;
/// Rolls that are shown.
const ROLLS: usize = 20;
/// Rejects that are shown, and that one event has.
const SAMPLES: usize = 20;

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

/// A query of a table in the lake, to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownQuery {
    /// The table.
    pub table: String,
    /// The engine.
    pub engine: &'static str,
    /// The statements. They have no credentials in them.
    pub text: String,
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
    /// Queries of the tables, to be copied.
    pub queries: Vec<ShownQuery>,
}

/// The observers that a monitor shows.
#[derive(Clone, Debug, Default)]
pub struct Boards {
    /// The last rolls.
    pub rolls: Arc<Board>,
    /// The last rejects.
    pub rejects: Arc<RejectBoard>,
    /// What has landed, and come by hour.
    pub totals: Arc<Totals>,
}

/// The source of the status page's figures.
pub struct Monitor {
    about: About,
    /// What does not change, as JSON without its braces.
    fixed: String,
    metrics: names::Handle,
    readiness: Arc<Readiness>,
    boards: Boards,
    // Held while a text is made, once a second: a viewer and the sampler wait for one another at most
    // that long.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    history: History,
    last: Reading,
    at: Option<Micros>,
    last_received: Option<Micros>,
    reasons: Vec<(&'static str, String)>,
    /// The texts of this second, once they were asked for.
    report: Option<String>,
    event: Option<Arc<str>>,
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
        boards: Boards,
    ) -> Monitor {
        let fixed = json!({
            "queries": about.queries.iter().map(|query| json!({
                "table": query.table, "engine": query.engine, "text": query.text,
            })).collect::<Vec<_>>(),
        });
        let fixed = fixed.to_string().trim_matches(['{', '}']).to_owned();
        Monitor { about, fixed, metrics, readiness, boards, state: Mutex::default() }
    }

    /// Takes a sample at `now`. To be called every second. `reasons` are those for which no bodies are
    /// taken, by part.
    pub fn sample(&self, now: Micros, reasons: Vec<(&'static str, String)>) {
        let reading = Reading::of(&self.metrics.render());
        let mut state = self.state.lock();
        let before = state.at.map(|before| (now.0 - before.0) as f64 / 1e6);
        if let Some(seconds) = before.filter(|seconds| *seconds > 0.0) {
            let point = point(now, seconds, &state.last, &reading);
            state.history.push(point);
            let sum = |reading: &Reading| reading.sum(names::RECEIVED_LINES);
            let lines = sum(&reading) - sum(&state.last);
            self.boards.totals.received(now, lines);
            if lines > 0.0 {
                state.last_received = Some(now);
            }
        }
        (state.last, state.at, state.reasons) = (reading, Some(now), reasons);
        (state.report, state.event) = (None, None);
    }

    /// Takes note of the reasons for which no bodies are taken, between two samples.
    pub fn note(&self, reasons: Vec<(&'static str, String)>) {
        let mut state = self.state.lock();
        (state.reasons, state.report, state.event) = (reasons, None, None);
    }

    /// Returns the last sample as JSON, with the history after `after`, Unix time in seconds.
    #[must_use]
    pub fn report(&self, after: i64) -> String {
        let mut state = self.state.lock();
        let report = match state.report.take() {
            Some(report) => report,
            None => self.make_report(&state),
        };
        let history = state.history.to_json(after);
        let text = format!("{report},\"history\":{history}}}");
        state.report = Some(report);
        text
    }

    /// Returns the last sample as the JSON of an event: what changes every second, with the last second of
    /// the history.
    #[must_use]
    pub fn event(&self) -> Arc<str> {
        let mut state = self.state.lock();
        if let Some(event) = &state.event {
            return event.clone();
        }
        let mut event = self.live(&state);
        if let Some(members) = event.as_object_mut() {
            members.insert("history".to_owned(), state.history.last_second());
        }
        let event: Arc<str> = event.to_string().into();
        state.event = Some(event.clone());
        event
    }

    /// Returns the number of the last reject of which there is a sample; 0 before the first.
    #[must_use]
    pub fn last_reject(&self) -> u64 {
        self.boards.rejects.count()
    }

    /// Returns the last rejects after the one with the number `after` as JSON, if there are any, with the
    /// number of the last of them.
    #[must_use]
    pub fn rejects_after(&self, after: u64) -> Option<(u64, String)> {
        let (rejects, skipped) = self.boards.rejects.after(after, SAMPLES);
        let last = rejects.last()?["id"].as_u64()?;
        Some((last, json!({"rejects": rejects, "skipped": skipped}).to_string()))
    }

    /// Makes the report, without the history and the last brace.
    fn make_report(&self, state: &State) -> String {
        let reading = &state.last;
        let mut report = self.live(state);
        let (samples, _) = self.boards.rejects.after(0, SAMPLES);
        let more = json!({
            "rolls": self.boards.rolls.rolls().iter().take(ROLLS).map(report::roll).collect::<Vec<_>>(),
            "tables": report::tables(reading, &self.boards.totals),
            "rejects": report::rejects(reading, &self.boards.rejects),
            "reject_samples": samples.into_iter().rev().collect::<Vec<_>>(),
            "refused": report::counted(reading, names::REQUESTS_REFUSED, "requests"),
            "unknown_fields": report::counted(reading, names::UNKNOWN_FIELD_ROWS, "rows"),
            "hours": self.boards.totals.hours(),
            "settings": self.about.settings.list().iter().map(|setting| json!({
                "key": setting.key, "value": setting.value, "origin": setting.origin,
            })).collect::<Vec<_>>(),
        });
        if let (Some(report), Value::Object(more)) = (report.as_object_mut(), more) {
            report.extend(more);
        }
        let mut text = report.to_string();
        text.pop();
        format!("{text},{}", self.fixed)
    }

    /// Returns what changes every second.
    fn live(&self, state: &State) -> Value {
        let (reading, history) = (&state.last, &state.history);
        let now = state.at.unwrap_or_default();
        let (rolls, oldest) = (self.boards.rolls.rolls(), self.readiness.oldest_pending());
        let troubles = self.readiness.troubles();
        let sentence = sentence(&Facts {
            stage: self.readiness.stage(),
            reasons: state.reasons.iter().map(|(_, why)| why.clone()).collect(),
            trouble: troubles.first().map(|trouble| (trouble.since, trouble.part)),
            lines_per_second: history.mean("lines_per_second", report::RATE_SECONDS),
            last_received: state.last_received,
            oldest,
            pending_bytes: reading.sum(names::JOURNAL_PENDING_BYTES),
            full_in_seconds: report::full_in_seconds(reading, history),
            now,
        });
        json!({
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
                "ready": state.reasons.is_empty(),
                "reasons": state.reasons.iter().map(|(part, why)| json!({
                    "part": part, "reason": why,
                })).collect::<Vec<_>>(),
            },
            "trouble": troubles.iter().map(|trouble| json!({
                "part": trouble.part, "since": trouble.since.rfc3339(), "reason": trouble.why,
            })).collect::<Vec<_>>(),
            "stations": report::stations(reading, history, &rolls, oldest),
            "limits": report::limits(reading, history),
        })
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

#[cfg(test)]
mod tests;
