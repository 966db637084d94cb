//! A status as lines of text.

use serde_json::Value;

use crate::status::long;

/// Rolls, rejects and tables that are shown.
const MOST: usize = 6;

/// Returns the status as one line of names and values.
pub(super) fn line(status: &Value) -> String {
    let limits = &status["limits"];
    let trouble: Vec<&str> = names(&status["trouble"], "part");
    let ready = if status["state"]["ready"] == true { "ready" } else { "not-ready" };
    let second = |column: &str| latest(status, column);
    let figures = [
        ("received", count(second("lines_per_second")) + "/s"),
        ("landed", count(second("landed_rows_per_second")) + "/s"),
        ("p50", seconds(second("ack_p50_seconds"))),
        ("p99", seconds(second("ack_p99_seconds"))),
        ("pending", bytes(second("pending_bytes"))),
        ("journal", percent(&limits["journal_size_bytes"], &limits["journal_quota_bytes"])),
        ("memory", bytes(limits["resident_memory_bytes"].as_f64())),
        ("trouble", if trouble.is_empty() { "none".to_owned() } else { trouble.join(",") }),
    ];
    let figures = figures.map(|(name, value)| format!("{name}={}", value.replace(' ', "")));
    format!("{} {ready} {}", text(&status["now"]), figures.join(" "))
}

/// Returns the status as the lines of a screen. `why` is the reason for which it is old.
pub(super) fn lines(status: &Value, why: Option<&str>) -> Vec<String> {
    let (program, limits) = (&status["program"], &status["limits"]);
    let mut lines = vec![
        format!(
            "sessionlake {}  node {}  lake {}  {}",
            text(&program["version"]),
            text(&program["node"]),
            text(&program["lake"]),
            text(&status["now"])
        ),
        match why {
            Some(why) => format!("NO ANSWER: {why}"),
            None => text(&status["state"]["sentence"]),
        },
        String::new(),
    ];
    for part in list(&status["state"]["reasons"]) {
        lines.push(format!("NOT READY {}: {}", text(&part["part"]), text(&part["reason"])));
    }
    for part in list(&status["trouble"]) {
        let (name, since) = (text(&part["part"]), text(&part["since"]));
        lines.push(format!("TROUBLE {name} since {since}: {}", text(&part["reason"])));
    }
    lines.push(format!("{:<10} {:<28} {:<40} {}", "", "a second", "waiting", "oldest"));
    for station in list(&status["stations"]) {
        lines.push(format!(
            "{:<10} {:<28} {:<40} {}",
            text(&station["name"]),
            figures(&station["per_second"]),
            figures(&station["waiting"]),
            clock(&station["oldest"])
        ));
    }
    let second = |column: &str| latest(status, column);
    let full = limits["journal_full_in_seconds"].as_f64();
    lines.extend([
        String::new(),
        format!(
            "answered   half within {}, 99 of 100 within {}",
            seconds(second("ack_p50_seconds")),
            seconds(second("ack_p99_seconds"))
        ),
        format!(
            "journal    {} of {} used{}",
            percent(&limits["journal_size_bytes"], &limits["journal_quota_bytes"]),
            bytes(limits["journal_quota_bytes"].as_f64()),
            full.map(|full| format!(", full in {}", long(full))).unwrap_or_default()
        ),
        format!(
            "memory     {} of bodies, {} of rows, {} in all",
            bytes(limits["body_memory_bytes"].as_f64()),
            bytes(limits["buffered_bytes"].as_f64()),
            bytes(limits["resident_memory_bytes"].as_f64())
        ),
    ]);
    part(&mut lines, "rolls", list(&status["rolls"]), |roll| {
        format!(
            "{:>8} {:<10} {:<7} {}  {} rows, {} rejects, {} files, {}  {}",
            count(roll["roll"].as_f64()),
            text(&roll["state"]),
            text(&roll["cause"]),
            clock(&roll["changed"]),
            count(roll["rows"].as_f64()),
            count(roll["rejects"].as_f64()),
            count(roll["files"].as_f64()),
            bytes(roll["bytes"].as_f64()),
            if roll["error"].is_null() { String::new() } else { text(&roll["error"]) }
        )
    });
    part(&mut lines, "tables", list(&status["tables"]), |table| {
        let total = &table["total"];
        format!(
            "{:<24} {} rows, {} files ({} small), {}",
            text(&table["table"]),
            count(total["rows"].as_f64()),
            count(total["files"].as_f64()),
            count(total["small_files"].as_f64()),
            bytes(total["bytes"].as_f64())
        )
    });
    part(&mut lines, "last rejects", list(&status["reject_samples"]), |sample| {
        let masked = sample["masked"].as_str().unwrap_or("(sealed, or too long to show)");
        let (at, table) = (clock(&sample["at"]), text(&sample["table"]));
        format!("{at} {table}: {}  {masked}", text(&sample["text"]))
    });
    lines
}

/// Adds a part with a title, unless it is empty.
fn part(lines: &mut Vec<String>, title: &str, of: &[Value], line: impl Fn(&Value) -> String) {
    if !of.is_empty() {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(of.iter().take(MOST).map(|one| format!("  {}", line(one))));
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn names<'a>(value: &'a Value, member: &str) -> Vec<&'a str> {
    list(value).iter().filter_map(|one| one[member].as_str()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("–").to_owned()
}

/// Returns the time of day of a time.
fn clock(value: &Value) -> String {
    value.as_str().and_then(|text| text.get(11..19)).unwrap_or("–").to_owned()
}

/// Returns the value of a column in the last second of the history.
fn latest(status: &Value, column: &str) -> Option<f64> {
    let history = &status["history"];
    let at = list(&history["columns"]).iter().position(|name| name == column)?;
    list(&history["seconds"]).last()?.get(at)?.as_f64()
}

/// Returns the members of an object as figures.
fn figures(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten();
    let mut members: Vec<_> = members.filter(|(_, value)| value.is_number()).collect();
    members.sort_by_key(|(name, _)| *name == "bytes");
    let figures = members.into_iter().map(|(name, value)| match &**name {
        "bytes" => bytes(value.as_f64()),
        _ => format!("{} {name}", count(value.as_f64())),
    });
    figures.collect::<Vec<_>>().join(", ")
}

fn bytes(value: Option<f64>) -> String {
    value.map_or_else(none, |value| bytesize::ByteSize::b(value as u64).display().si().to_string())
}

fn count(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 && value < 10.0 && value.fract() > 0.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
        None => none(),
    }
}

fn seconds(value: Option<f64>) -> String {
    match value {
        Some(value) if value < 1.0 => format!("{:.1} ms", value * 1e3),
        Some(value) => format!("{value:.1} s"),
        None => none(),
    }
}

fn percent(part: &Value, all: &Value) -> String {
    match (part.as_f64(), all.as_f64()) {
        (Some(part), Some(all)) if all > 0.0 => format!("{:.0}%", 100.0 * part / all),
        _ => none(),
    }
}

fn none() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_line_and_a_screen() {
        let status = json!({
            "now": "2026-11-29T14:02:10Z",
            "program": {"version": "0.1.0", "node": "n1", "lake": "/lake"},
            "state": {"sentence": "Receiving 412 lines/s", "ready": true, "reasons": []},
            "trouble": [{"part": "lake", "since": "2026-11-29T14:00:00Z", "reason": "is away"}],
            "stations": [{"name": "receive", "per_second": {"lines": 412.3, "bytes": null},
                "waiting": {"requests": 2, "bytes": 1_200_000}, "oldest": "2026-11-29T14:02:09Z"}],
            "limits": {"journal_size_bytes": 30, "journal_quota_bytes": 1000,
                "journal_full_in_seconds": 10_800, "resident_memory_bytes": 2.1e8},
            "history": {"columns": ["at", "lines_per_second", "ack_p99_seconds"],
                "seconds": [[1, 5.0, 0.001], [2, 412.0, 0.0123]]},
            "reject_samples": [{"at": "2026-11-29T14:02:08Z", "table": "t", "text": "not JSON",
                "masked": "»aaa"}],
        });
        let said = line(&status);
        assert_eq!(
            said,
            "2026-11-29T14:02:10Z ready received=412/s landed=–/s p50=– p99=12.3ms pending=– journal=3% \
             memory=210.0MB trouble=lake"
        );
        let screen = lines(&status, None).join("\n");
        for part in [
            "TROUBLE lake since 2026-11-29T14:00:00Z: is away",
            "412 lines",
            "2 requests, 1.2 MB",
            "3% of 1.0 kB used, full in 3 h",
            "14:02:08 t: not JSON  »aaa",
        ] {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
        assert!(lines(&status, Some("gone"))[1].starts_with("NO ANSWER: gone"));
        assert!(!lines(&json!({}), None).is_empty(), "of another version");
    }
}
