//! The profile of the generator's sessions: a table in Markdown, computed from the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::generate::{Generator, Shape};

#[derive(Default)]
struct Counted {
    sessions: u64,
    bytes: Vec<u64>,
    actions: Vec<u64>,
    duration_s: Vec<u64>,
    action_ms: Vec<u64>,
    members: u64,
    nulls: u64,
    bounces: u64,
    new_users: u64,
    errors: u64,
    goals: u64,
    rage: u64,
    crashes: u64,
    parts: u64,
    shares: [BTreeMap<String, u64>; 3],
    users: std::collections::HashSet<String>,
}

/// Returns the table of the first `sessions` of `shape`. A pure function of the two.
///
/// # Errors
/// The generator wrote something that is no JSON.
pub fn profile(shape: Shape, sessions: u64) -> anyhow::Result<String> {
    let mut generator = Generator::new(shape);
    let mut line = Vec::new();
    let mut counted = Counted::default();
    for _ in 0..sessions {
        line.clear();
        generator.next(&mut line);
        let document: Map<String, Value> = serde_json::from_slice(&line)?;
        counted.count(&document, line.len() as u64);
    }
    Ok(counted.table())
}

impl Counted {
    fn count(&mut self, document: &Map<String, Value>, bytes: u64) {
        self.sessions += 1;
        self.bytes.push(bytes);
        let actions = document.get("userActions").and_then(Value::as_array);
        let actions = actions.map(Vec::as_slice).unwrap_or_default();
        self.actions.push(actions.len() as u64);
        let int = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_u64);
        self.duration_s.extend(int(document, "duration").map(|ms| ms / 1_000));
        for action in actions.iter().filter_map(Value::as_object) {
            self.action_ms.extend(int(action, "duration"));
        }
        self.nulls_of(document);
        let on = |name: &str| u64::from(document.get(name) == Some(&Value::Bool(true)));
        self.bounces += on("bounce");
        self.new_users += on("newUser");
        self.errors += on("hasError");
        self.crashes += on("hasCrash");
        let some = |name: &str| u64::from(int(document, name).is_some_and(|count| count > 0));
        self.goals += some("matchingConversionGoalsCount");
        self.rage += some("numberOfRageClicks") | some("numberOfRageTaps");
        self.parts += some("partNumber");
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let user = text("userType").zip(text("applicationType"));
        let user = user.map(|(user, application)| format!("{user}, {application}"));
        let named = [user, text("country"), text("browserFamily")];
        for (shares, name) in self.shares.iter_mut().zip(named) {
            *shares.entry(name.unwrap_or_else(|| "none".to_owned())).or_default() += 1;
        }
        self.users.extend(text("internalUserId"));
    }

    fn nulls_of(&mut self, members: &Map<String, Value>) {
        for value in members.values() {
            self.members += 1;
            match value {
                Value::Null => self.nulls += 1,
                Value::Object(inner) => self.nulls_of(inner),
                Value::Array(items) => {
                    for inner in items.iter().filter_map(Value::as_object) {
                        self.nulls_of(inner);
                    }
                }
                _ => {}
            }
        }
    }

    fn table(mut self) -> String {
        let mut text =
            String::from("| of a session | p50 | p90 | p99 | most |\n|---|--:|--:|--:|--:|\n");
        let mut row = |name: &str, values: &mut Vec<u64>| {
            values.sort_unstable();
            let at = |percent: usize| {
                let place = (values.len() * percent).div_ceil(100).max(1) - 1;
                values.get(place).copied().unwrap_or_default()
            };
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "| {name} | {} | {} | {} | {} |", at(50), at(90), at(99), at(100));
        };
        row("bytes", &mut self.bytes);
        row("user actions", &mut self.actions);
        row("duration in seconds", &mut self.duration_s);
        row("duration of an action in ms", &mut self.action_ms);
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        text.push_str("\n| share | % |\n|---|--:|\n");
        let sessions = self.sessions;
        for (name, part, whole) in [
            ("members that are null", self.nulls, self.members),
            ("bounces", self.bounces, sessions),
            ("sessions of new users", self.new_users, sessions),
            ("sessions with an error", self.errors, sessions),
            ("sessions with a crash", self.crashes, sessions),
            ("sessions that reach a goal", self.goals, sessions),
            ("sessions with rage clicks or taps", self.rage, sessions),
            ("parts of sessions that were split", self.parts, sessions),
        ] {
            let _ = writeln!(text, "| {name} | {:.1} |", share(part, whole));
        }
        let titles = ["user and application", "country", "browser"];
        for (title, shares) in titles.iter().zip(&self.shares) {
            let _ = write!(text, "\n| {title} | % |\n|---|--:|\n");
            let mut shares: Vec<_> = shares.iter().collect();
            shares.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
            for (name, count) in shares.iter().take(8) {
                let _ = writeln!(text, "| {name} | {:.1} |", share(**count, sessions));
            }
            let rest: u64 = shares.iter().skip(8).map(|(_, count)| **count).sum();
            if rest > 0 {
                let _ = writeln!(text, "| others | {:.1} |", share(rest, sessions));
            }
        }
        let _ = writeln!(text, "\n{} sessions of {} users.", sessions, self.users.len());
        text
    }
}
