//! A server: the receiver in front of the journal, and everything behind it.
//!
//! [`Server::build`] opens what a server needs: keys and certificates, the journal, the tables, the
//! lake. [`Server::run`] takes a bound listener and the future that ends it, both from outside. It
//! returns once everything that was acknowledged has landed, and ends no process: signals, exit
//! codes, the log and the metrics recorder belong to the command.
//!
//! A poisoned journal ends a server too. Only a start can find out what is on disk, and a supervisor
//! of processes starts one that has ended with 1: better than to answer 503 for ever.

mod gauges;
mod landable;
mod landing;
mod overdue;
mod settings;
mod state_dir;
#[cfg(test)]
mod tests;
mod visible;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::gauges::Gauges;
use self::landing::Landing;
use self::overdue::{Overdue, Verdict};
use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::intake::Intake;
use crate::journal::{Journal, MAX_SETTINGS_BYTES, RealDisk, Recovery};
use crate::lake::{ColumnError, Lake, Location, PartitionError};
use crate::publish::fence;
use crate::publish::lake_file::LakeFile;
use crate::publish::pauses::Pauses;
use crate::publish::promotion::Promotion;
use crate::publish::supervisor::{Pending, Supervisor};
use crate::publish::visibility::Keeper;
use crate::record::Micros;
use crate::roll::RollLimits;
use crate::status::{
    Board, LastRoll, LogObserver, MetricsObserver, Observer, Observers, Readiness,
};
use crate::table::{FileNames, Tables, registry};
use crate::tls::Tls;
use crate::{dedup, http, metrics, privacy};

pub(crate) use self::landable::check_settings;
pub use self::settings::Settings;
pub(crate) use self::visible::{Looked, look_at_tables};

/// Interval at which a running server checks its journal and its landing thread.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// The longest time for which a start asks the lake about its tables.
const ASK_LAKE: Duration = Duration::from_secs(3);
/// The longest time for which an end waits until all that has landed is in its tables.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);
/// The longest time for which a start waits for the lake's first answer before it takes bodies.
const ASK_FOR: Duration = Duration::from_secs(3);

/// The end of a server that did not land everything.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal cannot be written any more. A request to the lake may be under way, and ends with
    /// the runtime: there is no need to wait for it.
    #[error(
        "the journal stopped after a failed write or the loss of its directory; what was \
         acknowledged is in it, and lands after another start"
    )]
    JournalPoisoned(#[source] anyhow::Error),
    /// The landing thread failed for good. What was acknowledged is in the journal.
    #[error(transparent)]
    Landing(anyhow::Error),
    /// The receiver failed.
    #[error(transparent)]
    Receiver(#[from] std::io::Error),
}

/// A server that is built and not yet running. It holds the lock of its state directory.
pub struct Server {
    settings: Settings,
    access: http::Access,
    key: Option<privacy::Key>,
    journal: Journal,
    recovery: Recovery,
    lake: Lake,
    tables: Tables,
    dedup: Option<Arc<dedup::Index>>,
    promotion: Arc<Promotion>,
    clock: Arc<dyn Clock>,
    readiness: Arc<Readiness>,
    board: Arc<Board>,
    last_roll: Arc<LastRoll>,
    metrics: metrics::Handle,
}

impl Server {
    /// Opens everything that `settings` name. Blocks: the whole journal is read and checked.
    /// `metrics` renders the answer to `/metrics`; servers of one process share its counts.
    ///
    /// Errors in keys, certificates, credentials and the address of the lake are found before the
    /// journal is opened.
    ///
    /// # Errors
    /// A file, key or directory that cannot be read or does not hold what it must; a state directory
    /// that another server has; a damaged journal; bodies in it that can never land by these
    /// settings. Nothing was lost.
    pub fn build(settings: Settings, metrics: metrics::Handle) -> anyhow::Result<Server> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let key = settings.privacy_key.as_deref().map(privacy::Key::read).transpose()?;
        let configured = Tables::new(settings.tables.clone())?;
        privacy::Applied::by_table(&configured, key.as_ref())?;
        let lake = match &settings.lake.location {
            Location::Local(root) => Some(root.as_path()),
            _ => None,
        };
        state_dir::create(settings.state(), lake)?;
        let access = open_access(&settings)?;
        let lake = open_lake(&settings)?;
        let options = settings.journal_options(key.as_ref())?;
        let (journal, recovery) = Journal::open(Arc::new(RealDisk), Arc::clone(&clock), options)?;
        log_recovery(&recovery);
        let waiting = recovery.unsealed_from < recovery.next;
        let tables = registry::remember(settings.state(), configured, waiting, MAX_SETTINGS_BYTES)?;
        let tables = tables.with_file_names(file_names(&lake));
        let lake_file = LakeFile::new(Arc::new(RealDisk), settings.state());
        let promotion = Promotion::open(&lake_file, tables)?
            .after(settings.promote_after.clone())
            .with_catalog(settings.catalog.clone());
        let tables = Tables::clone(&promotion.tables());
        landable::check(settings.state(), &recovery, &tables, key.as_ref())?;
        landable::remember_key(settings.state(), key.as_ref())?;
        let dedup = open_dedup(&settings, &tables, journal.node())?;
        Ok(Server {
            settings,
            access,
            key,
            journal,
            recovery,
            lake,
            tables,
            dedup,
            promotion: Arc::new(promotion),
            clock,
            readiness: Arc::default(),
            board: Arc::default(),
            last_roll: Arc::default(),
            metrics,
        })
    }

    /// Returns the board of the last rolls.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Returns the lake.
    #[must_use]
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Returns the readiness that `/health/ready` answers with.
    #[must_use]
    pub fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.readiness)
    }

    /// Takes bodies from `listener` until `shutdown` resolves, then drains: requests under way end
    /// (within the drain timeout), and everything that was acknowledged lands. Returns when all of it
    /// has. Needs a Tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// See [`RunError`]. After an error what was acknowledged is in the journal, and lands after the
    /// next start.
    ///
    /// # Cancel safety
    /// Dropped, it takes no more connections, and landing stops where it is: what was acknowledged
    /// stays in the journal, as after a crash. The state directory is unlocked as soon as connections
    /// and the threads behind the journal have noticed, usually within a second.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let gauges = Gauges::start(&self);
        crate::roll::start_metrics(self.tables.specs().iter().map(|table| &*table.name));
        let keeper = self.keeper(&Handle::current())?;
        let supervisor = self.supervisor(Handle::current(), keeper.as_ref());
        let asked = supervisor.asked.clone();
        let landing = Landing::start(supervisor)?;
        // A lake that refuses this state directory does so before anything is acknowledged.
        tokio::select! {
            () = asked.cancelled() => {}
            () = tokio::time::sleep(ASK_FOR) => {}
            () = broken(&self.journal, &landing) => {}
        }
        if landing.has_ended() {
            self.journal.close();
            return landing.join().await.map_err(RunError::Landing);
        }
        let _measured = AbortOnDropHandle::new(tokio::spawn(gauges.clone().keep()));
        let watch = self.watch(Overdue::new(self.settings.overdue_after));
        let Server { settings, access, journal, readiness, metrics, .. } = self;
        let intake = Intake::new(journal.clone());
        let stop = async {
            tokio::select! {
                () = shutdown => {}
                () = watch => {}
                () = broken(&journal, &landing) => {
                    tracing::error!("stopping: nothing lands any more; the error above says why");
                }
            }
        };
        http::run(listener, settings.http, access, intake, readiness, metrics, stop).await?;
        let closing = journal.clone();
        // A panic there has poisoned the journal.
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        if let Some(reason) = journal.poisoned() {
            return Err(RunError::JournalPoisoned(anyhow::Error::msg(reason)));
        }
        landing.join().await.map_err(RunError::Landing)?;
        gauges.note();
        if let Some(keeper) = keeper
            && !keeper.finish(VISIBLE_WITHIN).await
        {
            tracing::warn!(
                "some rolls have landed and are not in their tables yet; the next start goes on with \
                 them"
            );
        }
        Ok(())
    }

    /// Reports bodies that wait for too long as trouble, as long as it is polled.
    fn watch(&self, mut overdue: Overdue) -> impl Future<Output = ()> + Send + use<> {
        let (readiness, clock) = (Arc::clone(&self.readiness), Arc::clone(&self.clock));
        let limit = self.settings.overdue_after;
        async move {
            loop {
                let oldest = readiness.oldest_pending();
                report(&readiness, oldest, limit, overdue.look(oldest, clock.now()));
                tokio::time::sleep(CHECK_EVERY).await;
            }
        }
    }

    /// Compares the formats and partition columns of the configured tables, and the types of all columns, with those
    /// of the lake, unless it takes longer than a start waits: partition columns are compared again
    /// before a roll is sealed. Writes nothing. To be called before [`Server::run`].
    ///
    /// # Errors
    /// [`RunError::Landing`]: a table has others in the lake.
    pub async fn check_partitions(&self) -> Result<(), RunError> {
        let compare = async {
            for table in &self.settings.tables {
                if let Ok(Some(conflict)) = self.lake.check_format(table).await {
                    return Err(anyhow::Error::new(conflict));
                }
                match self.lake.check_partitions(&table.name, &table.partition).await {
                    Err(PartitionError::Conflict(conflict)) => {
                        return Err(anyhow::Error::new(*conflict));
                    }
                    // The lake is away, or may not be asked. Landing tells of it.
                    Err(PartitionError::Store(_)) | Ok(()) => {}
                }
                match self.lake.check_columns(&table.name, &table.schema).await {
                    Err(ColumnError::Conflict(conflict)) => {
                        return Err(anyhow::Error::new(*conflict));
                    }
                    Err(ColumnError::Store(_)) | Ok(()) => {}
                }
            }
            Ok(())
        };
        match tokio::time::timeout(ASK_LAKE, compare).await {
            Ok(Err(conflict)) => Err(RunError::Landing(conflict)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn supervisor(&self, runtime: Handle, keeper: Option<&Keeper>) -> Supervisor {
        let mut observers: Vec<Arc<dyn Observer>> = vec![
            Arc::new(LogObserver::new()),
            Arc::new(MetricsObserver::default()),
            self.board(),
            Arc::clone(&self.last_roll) as _,
        ];
        observers.extend(keeper.map(Keeper::observer));
        self.promotion.tell(keeper.map(Keeper::schemas).unwrap_or_default());
        let observers = Observers::new(Arc::clone(&self.clock), observers);
        Supervisor {
            options: self.settings.roll,
            limits: limits(&self.settings),
            lake: self.lake.clone(),
            lake_file: LakeFile::new(Arc::new(RealDisk), self.settings.state()),
            fence: Mutex::default(),
            asked: CancellationToken::new(),
            taking_apart: Mutex::default(),
            key: self.key.clone(),
            tables: self.tables.clone(),
            dedup: self.dedup.clone(),
            promotion: Some(Arc::clone(&self.promotion)),
            journal: self.journal.clone(),
            runtime,
            readiness: Arc::clone(&self.readiness),
            clock: Arc::clone(&self.clock),
            staging: self.settings.staging(),
            pending: Arc::new(Mutex::new(Pending::of(&self.recovery))),
            pauses: Pauses::USUAL,
            observers,
            stop: CancellationToken::new(),
        }
    }
}

/// Resolves when the journal is poisoned or the landing thread has ended.
async fn broken(journal: &Journal, landing: &Landing) {
    while journal.poisoned().is_none() && !landing.has_ended() {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Reports whether bodies are overdue: in readiness at once, in the log at the begin and at the end.
fn report(readiness: &Readiness, oldest: Option<Micros>, limit: Duration, verdict: Verdict) {
    let (Verdict::Begun(age) | Verdict::Goes(age)) = verdict else {
        readiness.set_trouble("overdue", Ok(()));
        if verdict == Verdict::Over {
            tracing::info!("no body waits to land for longer than overdue_after any more");
        }
        return;
    };
    let since = oldest.and_then(Micros::rfc3339).unwrap_or_default();
    let why = format!(
        "the oldest body that has not landed was received at {since}, {age:?} ago, and overdue_after \
         is {limit:?}; other trouble, or the log, says what keeps it"
    );
    if matches!(verdict, Verdict::Begun(_)) {
        tracing::warn!("{why}");
    }
    readiness.set_trouble("overdue", Err(why));
}

fn limits(settings: &Settings) -> RollLimits {
    RollLimits {
        age_us: i64::try_from(settings.roll_age.as_micros()).unwrap_or(i64::MAX),
        file_bytes: settings.roll.roll_bytes,
        rows: settings.roll.roll_rows.unwrap_or(u64::MAX),
        // Let go of the journal well before its quota.
        source_bytes: settings.journal.quota_bytes / 4,
    }
}

/// Returns the file names that the lake tells apart, or those that need no telling if it cannot be asked.
fn file_names(lake: &Lake) -> FileNames {
    lake.file_names().unwrap_or_else(|error| {
        tracing::warn!(
            "cannot try the lake, so capital letters in partitions are escaped: {error}"
        );
        FileNames::Folded
    })
}

/// Opens the lake of `settings`. One that the state directory remembers is not created, and a
/// directory is checked to be that lake.
///
/// # Errors
/// The lake; it is another one, or none.
fn open_lake(settings: &Settings) -> anyhow::Result<Lake> {
    let file = LakeFile::new(Arc::new(RealDisk), settings.state());
    fence::open_lake(&settings.lake, &file)
}

/// Checks that the lake of `settings` is the one that the state directory remembers, as a start does.
/// Creates nothing.
///
/// # Errors
/// It is another one, or none.
pub async fn check_lake(settings: &Settings) -> anyhow::Result<()> {
    let file = LakeFile::new(Arc::new(RealDisk), settings.state());
    fence::check_lake(&settings.lake, &file).await
}

/// Opens the index of rows that have landed if a table leaves doubles out, and deletes it otherwise.
///
/// # Errors
/// It is not needed, and cannot be deleted.
fn open_dedup(
    settings: &Settings,
    tables: &Tables,
    node: &str,
) -> anyhow::Result<Option<Arc<dedup::Index>>> {
    let windows = tables.specs().iter().filter_map(|spec| spec.dedup_window_ms);
    let Some(window_ms) = windows.max() else {
        dedup::remove(settings.state())?;
        return Ok(None);
    };
    let options = dedup::IndexOptions {
        window_us: i64::try_from(window_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
        max_rows: settings.dedup_max_rows,
        memory_bytes: settings.roll.memory_bytes,
    };
    dedup::Index::open(settings.state(), node, options).map(|index| Some(Arc::new(index)))
}

fn open_access(settings: &Settings) -> anyhow::Result<http::Access> {
    let credentials = settings.credentials.as_deref();
    let auth = credentials.map(|path| Auth::open(path, settings.state())).transpose()?;
    let tls = settings.tls.as_ref().map(Tls::open).transpose()?;
    Ok(http::Access { auth, tls })
}

fn log_recovery(recovery: &Recovery) {
    for skipped in &recovery.skipped {
        for lost in &skipped.lost {
            tracing::error!("bodies {} to {} are lost: {}", lost.first, lost.last, skipped.why);
        }
        if let Some(path) = &skipped.path {
            let (path, kept) = (path.display(), skipped.kept);
            tracing::warn!("{kept} bodies of a damaged segment are kept, and the file is {path}");
        }
    }
    if recovery.torn_bytes > 0 {
        tracing::info!("cut {} bytes that were never acknowledged", recovery.torn_bytes);
    }
}
