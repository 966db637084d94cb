//! The lake against its receipts, now and then, while a server runs: the verdict is a metric, and damage is
//! trouble.
//!
//! A run looks at the rolls of the last `verify_window`, of all nodes, by the sizes of their files. It has
//! a thread and a lake of its own, at a low priority, asks for little at a time, and a stop cuts it
//! short: landing never waits for it. Its memory is that of `audit::verify` for these rolls.
//!
//! Damage is told of only if a second look finds it in the same place: rolls, conversions and other
//! writers may be at work in the lake. What a run could not look at, since the store or the catalog gave no
//! answer or another directory is mounted, is a verdict of its own, and no damage. While something is
//! damaged, runs begin at the rolls that they began at when it was found, for a week at most: trouble does
//! not end because time has passed.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::TableLogs;
use super::verify::{self, Depth, Pace, ProblemKind, Report, Scope, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::commit::CatalogOptions;
use crate::error_text::shown;
use crate::lake::{Lake, Options, ReceiptError, names as lake_names};
use crate::metrics as names;
use crate::record::{Micros, Roll};
use crate::status::{Board, Readiness, RollState, kept_file};

/// The part of the program in readiness.
const PART: &str = "verify";
/// The file of the state directory that has the times of the last run and of the last success, in
/// microseconds. It is not synced: what is lost with the power is a gauge.
const FILE: &str = "last-verify";
/// The longest time from a start to its first run.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// The time between the two looks that find damage.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });
/// The longest time for which runs begin where damage was found.
const STAY_FOR: chrono::Duration = chrono::Duration::days(7);
/// Threads of a run that wait for a disk, or for the log of a table.
const BLOCKING_THREADS: usize = 16;
/// The priority of a run, from 0, as others have it, to 19: on a machine that is busy with others it would not come
/// to an end at 19.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Problems that the log and the status page name; the others are counted.
const NAMED: usize = 3;

/// Checks that what stands in the place of the lake is the lake that the server knows. Fails if not.
pub(crate) type IsTheLake = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// The server whose lake is verified, as a verification knows it.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) lake: Options,
    pub(crate) catalog: Option<CatalogOptions>,
    pub(crate) is_the_lake: IsTheLake,
    /// The state directory, which keeps the times of the last runs.
    pub(crate) state: PathBuf,
    /// The name of the node, once it is known.
    pub(crate) node: Arc<OnceLock<String>>,
    pub(crate) board: Arc<Board>,
    pub(crate) readiness: Arc<Readiness>,
    /// Time between two runs.
    pub(crate) every: Duration,
    /// Age of the receipts up to which a run looks at them.
    pub(crate) window: Duration,
}

/// The input of one run.
#[derive(Clone)]
struct Job {
    lake: Options,
    catalog: Option<CatalogOptions>,
    is_the_lake: IsTheLake,
    since: DateTime<Utc>,
    /// This node, and the last roll that it has landed since its start.
    landed: Option<(String, Roll)>,
}

/// Verifies from time to time.
struct Verifying {
    job: Job,
    of: Watch,
    window: chrono::Duration,
    /// The times of the last run and of the last success.
    times: (Option<Micros>, Option<Micros>),
    /// The time from which on rolls are looked at while something is damaged.
    since: Option<DateTime<Utc>>,
    /// Number of problems at the last run; none if that could not look at everything.
    problems: Option<usize>,
    failed: bool,
}

impl Watch {
    /// Verifies the lake from time to time. Never returns.
    ///
    /// # Cancel safety
    /// Dropped, a run is cut short at its next request to the store.
    pub(crate) async fn run(self) {
        let window = chrono::Duration::from_std(self.window).unwrap_or(STAY_FOR);
        let job = Job {
            lake: self.lake.clone(),
            catalog: self.catalog.clone(),
            is_the_lake: Arc::clone(&self.is_the_lake),
            since: DateTime::UNIX_EPOCH,
            landed: None,
        };
        let verifying = Verifying {
            job,
            of: self,
            window,
            times: (None, None),
            since: None,
            problems: Some(0),
            failed: false,
        };
        verifying.keep().await;
    }
}

impl Verifying {
    async fn keep(mut self) {
        self.times = self.read_times();
        self.show_times();
        let mut pause = self.first_pause();
        loop {
            tokio::time::sleep(pause).await;
            pause = self.of.every;
            let now = now();
            let before = |ago| now.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH);
            let (first, earliest) = (before(self.window), before(STAY_FOR.max(self.window)));
            let kept = self.since.map(|since| since.max(earliest));
            self.job.since = kept.map_or(first, |kept| kept.min(first));
            self.job.landed = self.last_landed();
            let began = Instant::now();
            let looked = look(self.job.clone()).await;
            self.tell(looked, began.elapsed());
        }
    }

    /// A server that is started often verifies no more often, and one that is started seldom soon.
    fn first_pause(&self) -> Duration {
        let soon = self.of.every.min(FIRST_AFTER);
        let since = self.times.0.map(|at| SystemClock.now().0.saturating_sub(at.0));
        let since = since.and_then(|us| u64::try_from(us).ok()).map(Duration::from_micros);
        since.map_or(soon, |since| self.of.every.saturating_sub(since).max(soon))
    }

    /// Returns this node, and the last roll that it has landed since its start.
    fn last_landed(&self) -> Option<(String, Roll)> {
        let rolls = self.of.board.rolls().into_iter();
        let landed =
            rolls.filter(|roll| matches!(roll.state, RollState::Landed | RollState::Committed));
        Some((self.of.node.get()?.clone(), landed.map(|roll| roll.roll).max()?))
    }

    /// Tells the metrics, the log and readiness what a run has found.
    fn tell(&mut self, looked: anyhow::Result<Report>, took: Duration) {
        let at = SystemClock.now();
        let verdict = looked.as_ref().map_or(Verdict::Failed, Report::verdict);
        self.times.0 = Some(at);
        if verdict == Verdict::Ok {
            self.times.1 = Some(at);
        }
        for one in Verdict::ALL {
            let is_it = f64::from(u8::from(one == verdict));
            metrics::gauge!(names::VERIFY_VERDICT, "verdict" => one.as_str()).set(is_it);
        }
        metrics::counter!(names::VERIFY_RUNS, "verdict" => verdict.as_str()).increment(1);
        metrics::gauge!(names::VERIFY_DURATION).set(took.as_secs_f64());
        if let Ok(report) = &looked {
            let (rolls, lines) = report.sums();
            metrics::gauge!(names::VERIFY_ROLLS).set(rolls as f64);
            metrics::gauge!(names::VERIFY_LINES).set(lines as f64);
            for kind in ProblemKind::ALL {
                let count = report.count(kind) as f64;
                metrics::gauge!(names::VERIFY_PROBLEMS, "kind" => kind.as_str()).set(count);
            }
        }
        self.show_times();
        if let Err(error) = self.write_times() {
            tracing::debug!(%error, "cannot note the last verification");
        }
        match (looked, verdict) {
            (Ok(report), Verdict::Ok) => self.tell_well(&report, took),
            (Ok(report), Verdict::Damaged) => self.tell_damaged(&report),
            (Ok(report), Verdict::Failed) => {
                self.tell_failed(&named(&report, ProblemKind::Unread));
            }
            (Err(why), _) => self.tell_failed(&shown(&format!("{why:#}"))),
        }
    }

    fn tell_well(&mut self, report: &Report, took: Duration) {
        let since = text(self.job.since);
        if self.since.take().is_some() {
            tracing::info!(
                "verification: what was off is so no more, or was written before {since} and is not looked at \
                 any more"
            );
        }
        (self.problems, self.failed) = (Some(0), false);
        self.of.readiness.set_trouble(PART, Ok(()));
        let (rolls, lines) = report.sums();
        tracing::info!(
            "verification: {lines} lines in {rolls} rolls, all since {since}, are accounted for ({took:.1?})"
        );
    }

    fn tell_damaged(&mut self, report: &Report) {
        let since = self.job.since;
        self.since.get_or_insert(since);
        self.failed = false;
        let lake = shown(&report.lake);
        let count = report.problems.len();
        let things =
            if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") };
        let damage = report.problems.iter().find(|problem| problem.kind != ProblemKind::Unread);
        let kind = damage.map_or(ProblemKind::Unread, |problem| problem.kind);
        let why = format!(
            "{things} off in the lake: {}; look with `sessionlake verify {lake} --since {}` (with the \
             settings of this server), and at the troubleshooting page for what to do",
            named(report, kind),
            text(since)
        );
        if self.problems != Some(count) {
            tracing::error!("verification: {why}");
        }
        self.problems = Some(count);
        self.of.readiness.set_trouble(PART, Err(why));
    }

    /// Says once that a run could not look. Damage that an earlier one has found stays trouble.
    fn tell_failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::warn!(
                "verification could not look at everything, and will look again in {:?}: {why}",
                self.of.every
            );
        }
    }

    fn show_times(&self) {
        let gauges = [names::VERIFY_LAST_RUN, names::VERIFY_LAST_SUCCESS];
        for (gauge, time) in gauges.into_iter().zip([self.times.0, self.times.1]) {
            metrics::gauge!(gauge).set(time.map_or(0.0, names::timestamp));
        }
    }

    fn read_times(&self) -> (Option<Micros>, Option<Micros>) {
        let text = fs::read_to_string(self.of.state.join(FILE)).unwrap_or_default();
        let mut times = text.split_whitespace().map(|time| {
            let time = time.parse().ok();
            // Clocks are set back; a time to come is none.
            time.map(Micros).filter(|at| at.0 > 0 && *at <= SystemClock.now())
        });
        (times.next().flatten(), times.next().flatten())
    }

    fn write_times(&self) -> io::Result<()> {
        let us = |time: Option<Micros>| time.map_or(0, |at| at.0);
        let text = format!("{} {}\n", us(self.times.0), us(self.times.1));
        kept_file::replace(&self.of.state.join(FILE), &text)
    }
}

/// Returns the first problems of a report, those of `kind` before others, as a sentence.
fn named(report: &Report, kind: ProblemKind) -> String {
    let (of_kind, others): (Vec<_>, Vec<_>) =
        report.problems.iter().partition(|problem| problem.kind == kind);
    let all = of_kind.into_iter().chain(others);
    let named = all.take(NAMED).map(|problem| format!("{}: {}", shown(&problem.path), problem.why));
    let mut text = named.collect::<Vec<_>>().join("; ");
    let rest = report.problems.len().saturating_sub(NAMED);
    if rest > 0 {
        text.push_str(&format!("; and {rest} more"));
    }
    text
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(SystemClock.now().0).unwrap_or_default()
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Runs a job on a thread of its own.
///
/// # Cancel safety
/// Dropped, the run ends at its next request to the store.
async fn look(job: Job) -> anyhow::Result<Report> {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (send, receive) = oneshot::channel();
    let work = move || {
        lower_priority();
        let _ = send.send(run(job, &stop));
    };
    let thread = thread::Builder::new().name("verify".into()).spawn(work);
    thread.context("the system has no thread to give")?;
    receive.await.map_err(|_| anyhow!("the thread of the verification panicked"))?
}

/// Gives the calling thread, and those that it starts, a low priority.
fn lower_priority() {
    // Elsewhere it would be the whole process that is meant.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the verification runs at the usual priority");
    }
}

fn run(job: Job, stop: &CancellationToken) -> anyhow::Result<Report> {
    // The log of a table is read by a thread that waits for others.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("verify")
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let done = runtime.block_on(stop.run_until_cancelled(verified(job)));
    // A request that hangs is not waited for.
    runtime.shutdown_background();
    done.unwrap_or_else(|| Err(anyhow!("the server stops")))
}

async fn verified(job: Job) -> anyhow::Result<Report> {
    // Of this runtime: connections of another one's client end with it.
    let lake = Lake::open_existing(&job.lake)?;
    (job.is_the_lake)().await?;
    let logs = TableLogs::of(&lake, job.catalog.as_ref());
    let first = once(&lake, &logs, &job).await?;
    if first.problems.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    let mut report = once(&lake, &logs, &job).await?;
    report.confirm(&first);
    // An empty directory, where the lake was mounted a moment ago, has nothing of what it should have.
    (job.is_the_lake)().await?;
    Ok(report)
}

async fn once(lake: &Lake, logs: &TableLogs, job: &Job) -> anyhow::Result<Report> {
    let scope = Scope::Since(job.since);
    let mut report = verify::verify(lake, logs, scope, Depth::Sizes, Pace::Gentle).await?;
    // What was deleted behind the last roll leaves no gap.
    if let Some((node, roll)) = &job.landed {
        let name = lake_names::receipt(node, *roll);
        match lake.receipt(node, *roll).await {
            Err(ReceiptError::Store(error)) => return Err(error.into()),
            // It may be too old to have been looked at.
            Err(error) => report.bad_receipt(&name, &error.to_string()),
            Ok(None) => report
                .bad_receipt(&name, "this node has landed the roll, and its receipt is not there"),
            Ok(Some(_)) => {}
        }
    }
    Ok(report)
}
