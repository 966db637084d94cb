//! The metrics of rolls.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::events::RollEvent;
use super::observers::Observer;
use crate::metrics as names;
use crate::record::Micros;

/// Most fields without a column that have a series of their own. Further ones are `other`.
const MOST_FIELDS: usize = 50;

/// Counts rolls, their rows, rejects, files and retries in the process-wide recorder.
#[derive(Debug, Default)]
pub struct MetricsObserver {
    /// Tables and fields that have a series.
    fields: Mutex<BTreeSet<(String, String)>>,
}

impl MetricsObserver {
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
            RollEvent::Retrying { .. } => metrics::counter!(names::ROLL_RETRIES).increment(1),
            RollEvent::Committed { rows, rejects, doubled, files, bytes, .. } => {
                metrics::counter!(names::ROLLS).increment(1);
                metrics::counter!(names::ROWS).increment(*rows);
                metrics::counter!(names::REJECTS).increment(*rejects);
                metrics::counter!(names::DOUBLED).increment(*doubled);
                metrics::counter!(names::FILES).increment(*files as u64);
                metrics::counter!(names::FILE_BYTES).increment(*bytes);
                metrics::gauge!(names::LAST_COMMIT).set(at.0 as f64 / 1e6);
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
            RollEvent::Overflowed { rows, .. } => {
                metrics::counter!(names::OVERFLOW_ROWS).increment(*rows);
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
    use crate::record::{Roll, Seq};

    #[test]
    fn a_commit_a_retry_and_the_buffers_are_counted() {
        // A recorder of this test's own: the process-wide one counts for other tests as well.
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let roll = Roll(1);
        let events = [
            RollEvent::Filling { roll, lines: 3, buffered_bytes: 70, open_partitions: 2 },
            RollEvent::Retrying {
                roll,
                step: "commit",
                tries: 1,
                pause: Duration::ZERO,
                error: String::new(),
            },
            RollEvent::Committed { roll, rows: 5, rejects: 1, doubled: 4, files: 2, bytes: 900 },
            RollEvent::Committed { roll, rows: 6, rejects: 0, doubled: 3, files: 1, bytes: 100 },
            RollEvent::Unmatched { roll, rows: 6, unmatched: 4 },
            RollEvent::Overflowed { roll, table: String::new(), partition: String::new(), rows: 3 },
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
            (names::ROLL_RETRIES, "1"),
            (names::ROLLS, "2"),
            (names::ROWS, "11"),
            (names::REJECTS, "1"),
            (names::DOUBLED, "7"),
            (names::UNMATCHED_ROWS, "4"),
            (names::OVERFLOW_ROWS, "3"),
            (names::SET_ASIDE, "1"),
            (names::FILES, "3"),
            (names::FILE_BYTES, "1000"),
            (names::LAST_COMMIT, "1.5"),
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
