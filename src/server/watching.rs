//! The listener of operators, and the monitor behind it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fs, io};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::Server;
use super::queries::queries;
use crate::clock::{Clock as _, SystemClock};
use crate::error_text::shown;
use crate::http::{self, Access, EventStreams, StatusOptions};
use crate::intake::Gate;
use crate::status::{About, Boards, Monitor, kept_file};

/// The file of the state directory that has the counts of a status page. It is not synced: what is lost
/// with the power is a minute of them.
const FILE: &str = "status-counts.json";
/// The most bytes of it that are read.
const FILE_BYTES: u64 = 1 << 20;
/// Seconds between two times that it is written.
const WRITE_EVERY: u64 = 60;
/// The time between two looks at whether the server is ready; a sample is taken at every fourth.
const TICK: Duration = Duration::from_millis(250);
const TICKS: u64 = 4;

/// A bound listener of operators, and whom it admits.
pub(super) struct Watching {
    pub(super) listener: TcpListener,
    pub(super) access: Access,
}

impl Watching {
    /// Shows what there is to see of a server. Ends when what it returns is dropped.
    pub(super) fn start(self, server: &Server, gate: Gate) -> AbortOnDropHandle<()> {
        let (settings, readiness) = (&server.settings, server.readiness());
        let (metrics, boards) = (server.metrics.clone(), server.boards.clone());
        let about = About {
            node: Arc::clone(&server.node),
            lake: shown(&settings.lake.location.to_string()),
            started: SystemClock.now(),
            settings: settings.shown.clone(),
            queries: queries(settings),
        };
        let counts = Counts(Arc::new(CountsFile {
            path: settings.state().join(FILE),
            boards: boards.clone(),
            node: Arc::clone(&server.node),
            is_busy: AtomicBool::new(false),
        }));
        counts.0.read();
        let monitor =
            Arc::new(Monitor::new(about, metrics.clone(), Arc::clone(&readiness), boards));
        let events = Arc::new(EventStreams::default());
        let options = StatusOptions {
            access: self.access,
            host_names: settings.http.host_names.clone(),
            readiness: Arc::clone(&readiness),
            metrics,
            monitor: Arc::clone(&monitor),
            events: Arc::clone(&events),
            gate: gate.clone(),
            board: server.board(),
            control: server.control(),
        };
        let listener = self.listener;
        AbortOnDropHandle::new(tokio::spawn(async move {
            let (mut known, mut reasons) = (0, Vec::new());
            let mut tick = |is_second: bool| {
                let now = http::not_ready(&readiness, &gate);
                match is_second {
                    true => monitor.sample(SystemClock.now(), now.clone()),
                    // Who looks at whether it is ready is told at once.
                    false if now != reasons => monitor.note(now.clone()),
                    false => return,
                }
                reasons = now;
                if events.is_empty() {
                    known = monitor.last_reject();
                    return;
                }
                let told = http::event_of(&monitor, known);
                events.send(&told);
                known = told.first().map_or(known, |event| event.id);
            };
            // Before the first answer.
            tick(true);
            tokio::select! {
                () = every_second(tick, counts) => {}
                () = http::serve_status(listener, options) => {}
            }
        }))
    }
}

/// Calls `tick` a few times a second, with true every second, and writes the counts now and then. Never
/// returns.
async fn every_second(mut tick: impl FnMut(bool), counts: Counts) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for nth in 0_u64.. {
        ticks.tick().await;
        tick(nth > 0 && nth.is_multiple_of(TICKS));
        if nth % (TICKS * WRITE_EVERY) == TICKS * WRITE_EVERY - 1 {
            counts.keep();
        }
    }
}

/// The counts that outlive the process. Dropped, they are written.
struct Counts(Arc<CountsFile>);

impl Counts {
    /// Writes the file on a thread of its own, unless one is at it: a disk that hangs is not waited for.
    fn keep(&self) {
        // There is none if the runtime goes with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let file = Arc::clone(&self.0);
        if !file.is_busy.swap(true, Ordering::Relaxed) {
            drop(runtime.spawn_blocking(move || {
                file.write();
                file.is_busy.store(false, Ordering::Relaxed);
            }));
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.keep();
    }
}

/// The file of the counts.
struct CountsFile {
    path: PathBuf,
    boards: Boards,
    /// Known once the state directory is locked: before, it may be another server's.
    node: Arc<OnceLock<String>>,
    is_busy: AtomicBool,
}

impl CountsFile {
    fn read(&self) {
        let read = || {
            let file = fs::File::open(&self.path)?;
            io::read_to_string(io::Read::take(file, FILE_BYTES))
        };
        self.boards.totals.begin(read().ok().as_deref(), SystemClock.now());
    }

    fn write(&self) {
        if self.node.get().is_none() {
            return;
        }
        if let Err(error) = kept_file::replace(&self.path, &self.boards.totals.to_text()) {
            tracing::debug!(file = %self.path.display(), %error, "cannot keep the counts");
        }
    }
}
