//! The thread that makes the rolls of a running server visible.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::log_table::Failure;
use super::log_tables::{LogTables, QUIET_FAILURES, pauses};
use super::other_nodes::OtherNodes;
use super::waiting_rolls::WaitingRolls;
use crate::metrics as names;
use crate::record::{Micros, Roll};
use crate::status::{Observer, Readiness, RollControl, RollEvent};
use crate::table::CurrentSchema;

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Interval at which an end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The part of readiness that tells of tables.
pub(super) const PART: &str = "tables";

/// A message to the thread.
enum Message {
    /// A roll has landed.
    Landed(Roll, Micros),
    /// No more rolls land: the thread ends once all are visible.
    Close,
}

/// The thread that commits landed rolls to the tables with a log. Dropped, it is told to end, and is not
/// waited for: it ends after an attempt or two, and what it has not committed is found by the next start.
pub(crate) struct Keeper {
    schemas: Vec<(Arc<str>, CurrentSchema)>,
    thread: Option<JoinHandle<()>>,
    messages: Sender<Message>,
}

impl Keeper {
    /// Starts the thread for the rolls of `node`. It begins with those that wait from before, and goes
    /// on with those of other nodes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        tables: LogTables,
        node: Arc<str>,
        readiness: Arc<Readiness>,
        control: Arc<RollControl>,
    ) -> std::io::Result<Keeper> {
        // Until the logs were read.
        control.set_visible(Roll(0));
        // Unbounded: a roll takes a few bytes, and landing waits for nothing here.
        let (messages, inbox) = crossbeam_channel::unbounded();
        let schemas = tables.schemas();
        let thread = std::thread::Builder::new().name("visible".into());
        let thread = thread.spawn(move || {
            let _panic = PanicReport(Arc::clone(&readiness));
            Work::new(tables, node, readiness, control).run(&inbox);
        })?;
        Ok(Keeper { schemas, thread: Some(thread), messages })
    }

    /// Returns the schemas of the rolls that the thread commits, by table.
    pub(crate) fn schemas(&self) -> Vec<(Arc<str>, CurrentSchema)> {
        self.schemas.clone()
    }

    /// Returns the observer that tells the thread of landed rolls.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Announcer(self.messages.clone()))
    }

    /// Waits for `most` until all landed rolls are visible. To be called when no more rolls land.
    /// Returns false if some are not: the next start of any node goes on with them.
    ///
    /// # Cancel safety
    /// Dropped, the thread ends after an attempt or two.
    pub(crate) async fn finish(mut self, most: Duration) -> bool {
        let _ = self.messages.send(Message::Close);
        let Some(thread) = self.thread.take() else { return true };
        let since = Instant::now();
        while !thread.is_finished() {
            if since.elapsed() > most {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // A panic there stands in the log.
        thread.join().is_ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Close);
    }
}

/// Tells of a panic of the thread, since nothing becomes visible after it.
struct PanicReport(Arc<Readiness>);

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "the thread that makes landed rolls visible panicked: what lands is safe in the lake, and \
                       is visible after another start";
            tracing::error!("{why}");
            self.0.set_trouble(PART, Err(why.to_owned()));
        }
    }
}

struct Announcer(Sender<Message>);

impl Observer for Announcer {
    fn observe(&self, at: Micros, event: &RollEvent) {
        if let RollEvent::Committed { roll, .. } = event {
            // Without a thread there is nobody to tell.
            let _ = self.0.send(Message::Landed(*roll, at));
        }
    }
}

/// The state of the thread.
struct Work {
    tables: LogTables,
    readiness: Arc<Readiness>,
    control: Arc<RollControl>,
    own: WaitingRolls,
    others: OtherNodes,
    failures: u32,
}

impl Work {
    fn new(
        tables: LogTables,
        node: Arc<str>,
        readiness: Arc<Readiness>,
        control: Arc<RollControl>,
    ) -> Work {
        let own = WaitingRolls::of(Arc::clone(&node));
        Work { tables, readiness, control, own, others: OtherNodes::new(node), failures: 0 }
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        let (mut closing, mut is_alone, mut waits) = (false, false, pauses(LONGEST_PAUSE));
        loop {
            let failed = self.attempt(closing);
            self.report(&failed);
            if failed.is_empty() {
                waits = pauses(LONGEST_PAUSE);
            }
            let is_final = failed.iter().all(|failure| failure.is_final);
            // Nobody waits for what is left.
            if closing && (is_final || is_alone) {
                return;
            }
            let pause = match failed.is_empty() {
                true => self.others.pause(),
                false => waits.next().unwrap_or(LONGEST_PAUSE),
            };
            let first = match pause {
                Duration::MAX => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                pause => inbox.recv_timeout(pause),
            };
            let first = match first {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    is_alone = true;
                    Some(Message::Close)
                }
            };
            for message in first.into_iter().chain(inbox.try_iter()) {
                match message {
                    Message::Landed(roll, at) => self.own.landed(roll, at),
                    Message::Close => closing = true,
                }
            }
        }
    }

    /// Commits what waits of this node, or else, unless the thread is `closing`, that of another one.
    fn attempt(&mut self, closing: bool) -> Vec<Failure> {
        let failed = self.tables.attempt(&mut self.own);
        if !failed.is_empty() || closing {
            return failed;
        }
        self.others.attempt(&self.tables)
    }

    fn report(&mut self, failed: &[Failure]) {
        let (waiting, since) = self.own.status();
        self.control.set_visible(self.own.least_mark());
        metrics::gauge!(names::WAITING_ROLLS).set(waiting as f64);
        let since = since.map_or(0.0, names::timestamp);
        metrics::gauge!(names::OLDEST_WAITING_ROLL).set(since);
        let before = self.failures;
        self.failures = if failed.is_empty() { 0 } else { self.failures.saturating_add(1) };
        let is_told = before > QUIET_FAILURES;
        let is_final = failed.iter().any(|failure| failure.is_final);
        if failed.is_empty() {
            self.readiness.set_trouble(PART, Ok(()));
            if is_told {
                tracing::info!("all tables can be committed to again");
            }
            return;
        }
        if !is_final && self.failures <= QUIET_FAILURES {
            return;
        }
        let told = failed.iter().map(|Failure { table, why, .. }| {
            format!("table {table} cannot be committed to: {why}")
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let rolls = match waiting {
            1 => "1 roll of this node has landed and is not visible".to_owned(),
            _ => format!("{waiting} rolls of this node have landed and are not visible"),
        };
        let text = format!("{told}; {rolls}");
        if !is_told || self.failures.is_power_of_two() {
            tracing::warn!("{text}");
        }
        if is_final {
            self.failures = self.failures.max(QUIET_FAILURES + 1);
        }
        self.readiness.set_trouble(PART, Err(text));
    }
}
