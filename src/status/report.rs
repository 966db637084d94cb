//! The parts of the status that are made of figures: stations, limits, rolls, tables, rejects.

use serde_json::{Value, json};

use super::board::{RollState, RollStatus};
use super::history::History;
use super::reading::Reading;
use super::rejects::RejectBoard;
use super::totals::Totals;
use crate::metrics as names;
use crate::record::Micros;

/// Seconds whose mean is a rate.
pub(super) const RATE_SECONDS: usize = 10;
/// The share of the quota that waits before it is said when the journal is full.
const LEAST_PENDING: f64 = 0.01;
/// The share of the quota from which on it is full.
const FULL: f64 = 0.99;
/// The longest time in which it is said to be full: a week.
const MOST_SECONDS: f64 = 7.0 * 86_400.0;

/// Returns the way of a record: what each station does, what waits there, and since when.
pub(super) fn stations(
    reading: &Reading,
    history: &History,
    rolls: &[RollStatus],
    oldest: Option<Micros>,
) -> Value {
    let mean = |column: &str| history.mean(column, RATE_SECONDS);
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
            "per_second": {"lines": mean("lines_per_second"), "bytes": mean("bytes_per_second")},
            "waiting": {
                "requests": sum(names::HTTP_IN_FLIGHT),
                "bytes": sum(names::BODY_MEMORY_BYTES),
            },
            "oldest": null,
        },
        {
            "name": "journal",
            "per_second": {"bytes": mean("bytes_per_second")},
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
                "rows": mean("landed_rows_per_second"),
                "bytes": mean("landed_bytes_per_second"),
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

/// Returns the time until the journal has its quota, by the growth of the last ten minutes; none while it
/// does not grow, or so slowly or with so little in it that this says nothing.
pub(super) fn full_in_seconds(reading: &Reading, history: &History) -> Option<f64> {
    let (size, quota) =
        (reading.sum(names::JOURNAL_SIZE_BYTES), reading.sum(names::JOURNAL_QUOTA_BYTES));
    let pending = reading.sum(names::JOURNAL_PENDING_BYTES);
    if pending < quota * LEAST_PENDING || size >= quota * FULL {
        return None;
    }
    let growth = history.growth("pending_bytes").filter(|growth| *growth > 1.0)?;
    let seconds = ((quota - size).max(0.0) / growth).round();
    (seconds < MOST_SECONDS).then_some(seconds)
}

pub(super) fn limits(reading: &Reading, history: &History) -> Value {
    let sum = |name| reading.sum(name);
    let (size, quota) = (sum(names::JOURNAL_SIZE_BYTES), sum(names::JOURNAL_QUOTA_BYTES));
    json!({
        "journal_size_bytes": size,
        "journal_quota_bytes": quota,
        "journal_full_in_seconds": full_in_seconds(reading, history),
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

pub(super) fn roll(roll: &RollStatus) -> Value {
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

/// Returns the tables: figures since the start, and those counted over restarts under `total`.
pub(super) fn tables(reading: &Reading, totals: &Totals) -> Value {
    let of = |name: &str, table: &str| -> f64 {
        let series = reading.series(name).iter();
        series.filter(|one| one.label("table") == Some(table)).map(|one| one.value).sum()
    };
    let (landed, since) = totals.tables();
    let tables = reading.series(names::LANDED_ROWS).iter().filter_map(|one| one.label("table"));
    let table = |table: &str| {
        let total = landed.get(table).copied().unwrap_or_default();
        json!({
            "table": table,
            "rows": of(names::LANDED_ROWS, table),
            "files": of(names::LANDED_FILES, table),
            "bytes": of(names::LANDED_BYTES, table),
            "rejects": of(names::REJECTS, table),
            "doubled": of(names::DOUBLED, table),
            "total": {
                "since": since.rfc3339(), "rows": total.rows, "files": total.files,
                "bytes": total.bytes, "small_files": total.small_files,
            },
        })
    };
    tables.map(table).collect()
}

/// Returns lines that were no rows, by table and reason, each with its last sample. Those that have not
/// been committed are counted under `decoded` alone.
pub(super) fn rejects(reading: &Reading, board: &RejectBoard) -> Value {
    let mut rejects = match counted(reading, names::REJECTS, "lines") {
        Value::Array(rejects) => rejects,
        _ => Vec::new(),
    };
    for (table, code, decoded, sample) in board.by_reason() {
        let known = rejects.iter_mut().find(|one| one["table"] == *table && one["reason"] == code);
        match known {
            Some(known) => {
                known["decoded"] = json!(decoded);
                known["last"] = sample;
            }
            None => rejects.push(json!({
                "table": table, "reason": code, "lines": 0, "decoded": decoded, "last": sample,
            })),
        }
    }
    Value::Array(rejects)
}

/// Returns the series of a counter that are not zero, each an object of its labels and its value.
pub(super) fn counted(reading: &Reading, name: &str, value: &str) -> Value {
    let counted = reading.series(name).iter().filter(|series| series.value > 0.0);
    let objects = counted.map(|series| {
        let labels = series.labels.iter().map(|(label, value)| (label.clone(), json!(value)));
        Value::Object(labels.chain([(value.to_owned(), json!(series.value))]).collect())
    });
    objects.collect()
}
