//! Lines that the tests send.

/// The schema of tables of sessions, which may have flat tables and leave doubles out.
pub(super) const SESSIONS: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null},
    {"name": "tenantId", "type": ["null", "string"], "default": null},
    {"name": "userSessionId", "type": ["null", "string"], "default": null},
    {"name": "startTime", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null},
    {"name": "events", "type": {"type": "array", "items": ["null",
        {"type": "record", "name": "event", "fields": [{"name": "of", "type": "string"}]}]}}
]}"#;

/// Returns a document as a line, or with `broken` a line that is none.
pub(super) fn line(id: &str, day: u64, broken: bool) -> String {
    let end = if broken { "" } else { "}" };
    format!("{{\"id\":\"{id}\",\"on\":\"{day}\"{end}\n")
}

/// Returns a session with events as a line; broken as [`line`] makes it.
pub(super) fn session(id: &str, day: u64, broken: bool) -> String {
    let event = |position| match position {
        1 => "null".to_owned(),
        _ => format!("{{\"of\":\"{id}/{position}\"}}"),
    };
    let events: Vec<String> = (0..events_of(id)).map(event).collect();
    let events = events.join(",");
    let end = if broken { "" } else { "}" };
    format!(
        "{{\"id\":\"{id}\",\"on\":\"{day}\",\"events\":[{events}],\
         \"tenantId\":\"t\",\"userSessionId\":\"{id}\",\"startTime\":{day}{end}\n"
    )
}

/// Returns the number of a document's events, of which the second is null.
fn events_of(id: &str) -> i64 {
    id.bytes().map(i64::from).sum::<i64>() % 4
}

/// Returns the positions of a document's events in the flat table.
pub(super) fn rows_of_events(id: &str) -> Vec<i64> {
    (0..events_of(id)).filter(|position| *position != 1).collect()
}

/// Returns the document with a field that no column has, whose value is the id.
pub(super) fn with_plan(line: &str, id: &str) -> String {
    line.replacen(",\"on\"", &format!(",\"plan\":\"{id}\",\"on\""), 1)
}
