//! The metrics of rolls.

use super::events::RollEvent;
use super::observers::Observer;
use crate::metrics as names;
use crate::record::Micros;

/// Counts rolls, their rows, rejects, files and retries in the process-wide recorder.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsObserver;

impl Observer for MetricsObserver {
    fn observe(&self, at: Micros, event: &RollEvent) {
        match event {
            RollEvent::Filling { buffered_bytes, open_partitions, .. } => {
                metrics::gauge!(names::BUFFERED_BYTES).set(*buffered_bytes as f64);
                metrics::gauge!(names::OPEN_PARTITIONS).set(*open_partitions as f64);
            }
            RollEvent::Retrying { .. } => metrics::counter!(names::ROLL_RETRIES).increment(1),
            RollEvent::Committed { rows, rejects, files, bytes, .. } => {
                metrics::counter!(names::ROLLS).increment(1);
                metrics::counter!(names::ROWS).increment(*rows);
                metrics::counter!(names::REJECTS).increment(*rejects);
                metrics::counter!(names::FILES).increment(*files as u64);
                metrics::counter!(names::FILE_BYTES).increment(*bytes);
                metrics::gauge!(names::LAST_COMMIT).set(at.0 as f64 / 1e6);
            }
            RollEvent::SetAside { .. } => metrics::counter!(names::SET_ASIDE).increment(1),
            RollEvent::Unmatched { unmatched, .. } => {
                metrics::counter!(names::UNMATCHED_ROWS).increment(*unmatched);
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
            RollEvent::Committed { roll, rows: 5, rejects: 1, files: 2, bytes: 900 },
            RollEvent::Committed { roll, rows: 6, rejects: 0, files: 1, bytes: 100 },
            RollEvent::Unmatched { roll, rows: 6, unmatched: 4 },
            RollEvent::Overflowed { roll, table: String::new(), partition: String::new(), rows: 3 },
            RollEvent::SetAside { roll, seq: Seq(9), why: String::new() },
        ];
        metrics::with_local_recorder(&recorder, || {
            for event in &events {
                MetricsObserver.observe(Micros(1_500_000), event);
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
}
