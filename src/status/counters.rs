//! The metrics of rolls.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::events::RollEvent;
use super::observers::Observer;
use crate::metrics as names;
use crate::record::{Micros, Roll};

/// Most fields without a column that have a series of their own. Further ones are `other`.
const MOST_FIELDS: usize = 50;

/// Counts rolls, their rows, rejects, files and retries in the process-wide recorder.
#[derive(Debug, Default)]
pub struct MetricsObserver {
    /// Tables and fields that have a series.
    fields: Mutex<BTreeSet<(String, String)>>,
    /// The causes of rolls that are finished and not committed.
    causes: Mutex<BTreeMap<Roll, &'static str>>,
}

/// Most rolls whose cause is remembered: more are never under way at a time.
const MOST_CAUSES: usize = 64;
/// The cause of rolls that an earlier attempt had sealed.
const REDONE: &str = "redone";

/// Returns the causes of rolls, for limits with these names.
pub(crate) fn causes(limits: &[&'static str]) -> Vec<&'static str> {
    limits.iter().map(|limit| cause_of(limit)).chain([REDONE]).collect()
}

/// Returns the cause of a roll that the limit `reason` has ended.
fn cause_of(reason: &'static str) -> &'static str {
    // The source of a server ends when it stops.
    if reason == "end" { "drain" } else { reason }
}

/// Returns the stage that a step of a roll belongs to.
fn stage_of(step: &str) -> &'static str {
    match step {
        "upload the files of" => "upload",
        "commit" => "commit",
        _ => "prepare",
    }
}

impl MetricsObserver {
    /// Remembers the cause of a roll, unless it is known.
    fn note_cause(&self, roll: Roll, cause: &'static str) {
        let mut causes = self.causes.lock();
        causes.entry(roll).or_insert(cause);
        while causes.len() > MOST_CAUSES {
            causes.pop_first();
        }
    }

    /// Counts the rows of `table` that have a field without a column.
    fn count_field(&self, table: &str, field: &str, rows: u64) {
        let mut known = self.fields.lock();
        let key = (table.to_owned(), field.to_owned());
        let has_series =
            known.contains(&key) || (known.len() < MOST_FIELDS && known.insert(key.clone()));
        let label = if has_series { key.1 } else { names::OTHER_FIELDS.to_owned() };
        metrics::counter!(names::UNKNOWN_FIELD_ROWS, "table" => key.0, "field" => label)
            .increment(rows);
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, at: Micros, event: &RollEvent) {
        match event {
            RollEvent::Filling { buffered_bytes, open_partitions, .. } => {
                metrics::gauge!(names::BUFFERED_BYTES).set(*buffered_bytes as f64);
                metrics::gauge!(names::OPEN_PARTITIONS).set(*open_partitions as f64);
            }
            RollEvent::Redone { roll, .. } => self.note_cause(*roll, REDONE),
            RollEvent::Finished { roll, reason, .. } => self.note_cause(*roll, cause_of(reason)),
            RollEvent::EngineFailed { .. } => self.causes.lock().clear(),
            RollEvent::Retrying { step, .. } => {
                metrics::counter!(names::ROLL_RETRIES, "stage" => stage_of(step)).increment(1);
            }
            RollEvent::Committed { roll, .. } => {
                let cause = self.causes.lock().remove(roll).unwrap_or(REDONE);
                metrics::counter!(names::ROLLS, "cause" => cause).increment(1);
                metrics::gauge!(names::LAST_ROLL).set(names::timestamp(at));
            }
            RollEvent::TableLanded { table, rows, files, bytes, doubled, rejects, .. } => {
                let add = |name: &'static str, count: u64| {
                    metrics::counter!(name, "table" => table.clone()).increment(count);
                };
                add(names::LANDED_ROWS, *rows);
                add(names::LANDED_FILES, *files as u64);
                add(names::LANDED_BYTES, *bytes);
                add(names::DOUBLED, *doubled);
                for (code, count) in rejects {
                    let (table, reason) = (table.clone(), code.unwrap_or(names::UNKNOWN_REASON));
                    metrics::counter!(names::REJECTS, "table" => table, "reason" => reason)
                        .increment(*count);
                }
            }
            RollEvent::SetAside { .. } => metrics::counter!(names::SET_ASIDE).increment(1),
            RollEvent::Unmatched { unmatched, .. } => {
                metrics::counter!(names::UNMATCHED_ROWS).increment(*unmatched);
            }
            RollEvent::UnknownFields { table, fields, others, .. } => {
                for (field, rows) in fields {
                    self.count_field(table, field, *rows);
                }
                if *others > 0 {
                    let table = table.clone();
                    let of = names::OTHER_FIELDS;
                    metrics::counter!(names::UNKNOWN_FIELD_ROWS, "table" => table, "field" => of)
                        .increment(*others);
                }
            }
            RollEvent::Overflowed { table, rows, .. } => {
                metrics::counter!(names::OVERFLOW_ROWS, "table" => table.clone()).increment(*rows);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::record::{Seq, SeqRange};

    #[test]
    fn a_commit_a_retry_and_the_buffers_are_counted() {
        // A recorder of this test's own: the process-wide one counts for other tests as well.
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let (roll, range) = (Roll(1), SeqRange { first: Seq(1), last: Seq(1) });
        let (lines, rows, rejects, files, bytes) = (1, 1, 0, 1, 1);
        let finished = |roll, reason| RollEvent::Finished {
            roll,
            range,
            reason,
            lines,
            rows,
            rejects,
            files,
            bytes,
        };
        let landed = |rows, files, bytes, doubled, rejects| {
            let table = "t".to_owned();
            let small_files = 0;
            RollEvent::TableLanded {
                roll,
                table,
                rows,
                files,
                bytes,
                small_files,
                doubled,
                rejects,
            }
        };
        let events = [
            RollEvent::Filling { roll, lines: 3, buffered_bytes: 70, open_partitions: 2 },
            RollEvent::Retrying {
                roll,
                step: "upload the files of",
                tries: 1,
                pause: Duration::ZERO,
                error: String::new(),
            },
            RollEvent::Redone { roll, range },
            finished(roll, "end"),
            RollEvent::Committed { roll, rows: 5, rejects: 1, doubled: 4, files: 2, bytes: 900 },
            landed(5, 2, 900, 4, vec![(Some("not_json"), 1)]),
            finished(roll, "age"),
            RollEvent::Committed { roll, rows: 6, rejects: 0, doubled: 3, files: 1, bytes: 100 },
            landed(6, 1, 100, 3, vec![(None, 2)]),
            finished(roll, "end"),
            RollEvent::Committed { roll, rows: 0, rejects: 0, doubled: 0, files: 0, bytes: 0 },
            RollEvent::Unmatched { roll, rows: 6, unmatched: 4 },
            RollEvent::Overflowed {
                roll,
                table: "t".to_owned(),
                partition: String::new(),
                rows: 3,
            },
            RollEvent::SetAside { roll, seq: Seq(9), why: String::new() },
        ];
        metrics::with_local_recorder(&recorder, || {
            let observer = MetricsObserver::default();
            for event in &events {
                observer.observe(Micros(1_500_000), event);
            }
        });
        let text = handle.render();
        for (name, value) in [
            (names::BUFFERED_BYTES, "70"),
            (names::OPEN_PARTITIONS, "2"),
            ("sessionlake_roll_retries_total{stage=\"upload\"}", "1"),
            ("sessionlake_rolls_total{cause=\"redone\"}", "1"),
            ("sessionlake_rolls_total{cause=\"age\"}", "1"),
            ("sessionlake_rolls_total{cause=\"drain\"}", "1"),
            ("sessionlake_landed_rows_total{table=\"t\"}", "11"),
            ("sessionlake_landed_files_total{table=\"t\"}", "3"),
            ("sessionlake_landed_bytes_total{table=\"t\"}", "1000"),
            ("sessionlake_rejects_total{table=\"t\",reason=\"not_json\"}", "1"),
            ("sessionlake_rejects_total{table=\"t\",reason=\"unknown\"}", "2"),
            ("sessionlake_doubled_rows_total{table=\"t\"}", "7"),
            ("sessionlake_overflow_rows_total{table=\"t\"}", "3"),
            (names::UNMATCHED_ROWS, "4"),
            (names::SET_ASIDE, "1"),
            (names::LAST_ROLL, "1.5"),
        ] {
            let line = format!("{name} {value}\n");
            assert!(text.contains(&line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn fields_without_a_column_have_a_bounded_number_of_series() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let of = |name: &str, rows| RollEvent::UnknownFields {
            roll: Roll(1),
            table: "t".to_owned(),
            rows,
            fields: vec![(format!("/{name}"), rows)],
            others: 0,
        };
        metrics::with_local_recorder(&recorder, || {
            let observer = MetricsObserver::default();
            for number in 0..200 {
                observer.observe(Micros(0), &of(&format!("field{number}"), 2));
            }
            observer.observe(Micros(0), &of("field0", 5));
        });
        let text = handle.render();
        let name = names::UNKNOWN_FIELD_ROWS;
        let series = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        assert_eq!(series.count(), MOST_FIELDS + 1);
        assert!(text.contains(&format!("{name}{{table=\"t\",field=\"/field0\"}} 7\n")), "{text}");
        assert!(text.contains(&format!("{name}{{table=\"t\",field=\"other\"}} 300\n")), "{text}");
    }
}
