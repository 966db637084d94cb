//! Gauges that are measured every second: the journal's size and what waits in it, its disk. The time
//! of the last roll is kept in the state directory, so that a restart does not forget it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::journal::Journal;
use crate::metrics as names;
use crate::record::Micros;
use crate::status::{LastRoll, kept_file};

/// The file of the state directory that has the time of the last roll, in microseconds. It is not
/// synced: what is lost with the power is a second or two of a gauge.
const FILE: &str = "last-roll";
/// The time between two measurements.
const EVERY: Duration = Duration::from_secs(1);

/// The sources of the gauges. Clones share them.
#[derive(Clone)]
pub(super) struct Gauges {
    journal: Journal,
    last_roll: Arc<LastRoll>,
    file: PathBuf,
    /// The time that the file has. One writes at a time.
    noted: Arc<Mutex<Option<Micros>>>,
}

impl Gauges {
    /// Reads what the last start has left, and sets all gauges.
    pub(super) fn start(server: &Server, journal: Journal) -> Gauges {
        let file = server.settings.state().join(FILE);
        let noted = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        let noted = noted.map(Micros);
        if let Some(at) = noted {
            server.last_roll.set(at);
            metrics::gauge!(names::LAST_ROLL).set(names::timestamp(at));
        }
        metrics::gauge!(names::BUFFERED_LIMIT_BYTES).set(server.settings.roll.memory_bytes as f64);
        let gauges = Gauges {
            journal,
            last_roll: Arc::clone(&server.last_roll),
            file,
            noted: Arc::new(Mutex::new(noted)),
        };
        gauges.measure();
        gauges
    }

    /// Measures every second, until `end` is cancelled. Nothing holds the journal when it returns.
    ///
    /// # Cancel safety
    /// May be dropped at any time; a measurement that has begun ends.
    pub(super) async fn keep(self, end: CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let gauges = self.clone();
            // A disk may take its time to tell how much of it is free.
            let _ = tokio::task::spawn_blocking(move || {
                gauges.measure();
                gauges.note();
            })
            .await;
        }
    }

    fn measure(&self) {
        let usage = self.journal.usage();
        let is_accepting = f64::from(u8::from(self.journal.status().accepting.is_ok()));
        metrics::gauge!(names::READY, "part" => "journal").set(is_accepting);
        metrics::gauge!(names::JOURNAL_SIZE_BYTES).set(usage.size_bytes as f64);
        metrics::gauge!(names::JOURNAL_PENDING_BYTES).set(usage.pending_bytes as f64);
        metrics::gauge!(names::JOURNAL_PENDING_BODIES).set(usage.pending_bodies as f64);
        let handed_bytes = self.journal.handed_bytes();
        metrics::gauge!(names::JOURNAL_HANDED_BYTES).set(handed_bytes as f64);
        metrics::gauge!(names::JOURNAL_QUOTA_BYTES).set(usage.quota_bytes as f64);
        metrics::gauge!(names::JOURNAL_DISK_RESERVE_BYTES).set(usage.reserve_bytes as f64);
        if let Some(free) = usage.free_bytes {
            metrics::gauge!(names::JOURNAL_DISK_FREE_BYTES).set(free as f64);
        }
    }

    /// Writes the time of the last roll to its file, unless it has it.
    pub(super) fn note(&self) {
        let mut noted = self.noted.lock();
        let last = self.last_roll.get();
        let Some(at) = last.filter(|_| last != *noted) else { return };
        match kept_file::replace(&self.file, &at.0.to_string()) {
            Ok(()) => *noted = last,
            Err(error) => {
                tracing::debug!(file = %self.file.display(), %error, "cannot note the last roll");
            }
        }
    }
}
