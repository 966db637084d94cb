//! The log as JSON: an event is one object on one line, its fields flat beside `message`.
//!
//! ```json
//! {"timestamp":"2026-11-29T23:30:06.123456Z","level":"INFO","target":"sessionlake::status::log","message":"landed","roll":7,"rows":412}
//! ```
//! `timestamp`, `level`, `target` and `message` come first and are always there. A field that has one of
//! these names ends in `_`. Numbers and booleans are such; all else is text, without control characters, of
//! bounded length, and without passwords of addresses.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, SystemClock};
use crate::error_text;

/// Most bytes of a text.
const TEXT_BYTES: usize = 6 << 10;
/// Members that every line has.
const OWN: [&str; 4] = ["timestamp", "level", "target", "message"];

/// Formats events as JSON.
pub(super) struct JsonEvents;

impl<S, N> FormatEvent<S, N> for JsonEvents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut members = Members::default();
        event.record(&mut members);
        let metadata = event.metadata();
        // Of libraries that log in the older way.
        let target = members.fields.remove("log.target");
        members.fields.retain(|name, _| !name.starts_with("log."));
        let target = target.as_ref().and_then(Value::as_str).unwrap_or(metadata.target());
        writer.write_str(&line(*metadata.level(), target, &members.message, &members.fields))
    }
}

/// Returns an event as a line.
pub(super) fn line(
    level: Level,
    target: &str,
    message: &str,
    fields: &BTreeMap<String, Value>,
) -> String {
    let now = SystemClock.now();
    let seconds = now.rfc3339().unwrap_or_default();
    let now = format!("{}.{:06}Z", seconds.trim_end_matches('Z'), now.0.rem_euclid(1_000_000));
    let own = [now, level.to_string(), target.to_owned(), text(message)];
    let mut line = String::from("{");
    for (name, value) in OWN.into_iter().zip(own) {
        // Writing to a String cannot fail.
        let _ = write!(line, "\"{name}\":{},", Value::from(value));
    }
    for (name, value) in fields {
        let end = if OWN.contains(&&**name) { "_" } else { "" };
        let _ = write!(line, "{}:{value},", Value::from(format!("{name}{end}")));
    }
    line.pop();
    line.push_str("}\n");
    line
}

/// Returns a text as a line shows it.
fn text(text: &str) -> String {
    error_text::line(text, TEXT_BYTES, &[])
}

/// The message and the fields of an event.
#[derive(Default)]
struct Members {
    message: String,
    fields: BTreeMap<String, Value>,
}

impl Members {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, text(value).into()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_object_on_one_line_with_flat_fields() {
        let fields = BTreeMap::from([
            ("roll".to_owned(), Value::from(7)),
            ("level".to_owned(), Value::from("high")),
        ]);
        let said = line(Level::INFO, "a::b", "two\nlines \"and\" http://u:SECRET@h/", &fields);
        assert_eq!(said.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(read["message"], "two\\nlines \"and\" http://[hidden]@h/");
        assert_eq!((&read["level"], &read["target"]), (&"INFO".into(), &"a::b".into()));
        assert_eq!((&read["roll"], &read["level_"]), (&7.into(), &"high".into()));
        assert!(
            said.starts_with("{\"timestamp\":\"20") && said.contains("Z\",\"level\""),
            "{said}"
        );
        let long = line(Level::WARN, "a", &"x".repeat(1 << 20), &BTreeMap::new());
        assert!(long.len() < 8 << 10 && serde_json::from_str::<Value>(&long).is_ok());
    }
}
