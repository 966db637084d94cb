//! A server: the receiver in front of the journal, and everything behind it.
//!
//! [`Server::build`] opens what is quick: keys, certificates, credentials. The steps from there take a
//! bound listener and the token that ends it, both from outside. [`Server::run`] takes all of them, and
//! ends no process: signals, exit codes, the log and the metrics recorder belong to the command.
//!
//! # Start and stop
//! ```text
//!  Server ─listen─▶ Listening ─open─▶ Opened ─start─▶ Running ─ended─▶ all has landed
//!          bodies   │ replay   check   │ lake asked    │ ready
//!          get 503  │ of the   of the  │ once          │ stop: drain_delay, drain
//!                   │ journal  lake    │               │
//! ```
//! - *Answers from the first moment.* The receiver answers about health and metrics before the journal
//!   is read, which can take minutes. `/health/live` is 200 from then on until all has landed at the
//!   end.
//! - *Ready is true.* `/health/ready` is 200 only while bodies are taken: after the replay, once the lake
//!   has been asked for what it has of this node (or has not answered in time), and until the stop.
//!   Its text, the log (every 5 s) and [`Readiness::stage`] say how far a replay or a stop is.
//! - *Nothing is acknowledged early.* Until the start has succeeded the intake's gate is closed: bodies
//!   get 503 with `Retry-After`. A start that fails has acknowledged nothing.
//! - *A stop ends a replay at once*, at the next megabyte read. The journal is as after a crash.
//! - *A stop under load* goes on taking bodies for `drain_delay` while ready is 503, so that load
//!   balancers notice; then requests under way end, and everything that was acknowledged lands. Pauses
//!   between tries at the store are cut short. After `drain_limit` it ends all the same, with
//!   [`RunError::DrainLimit`].
//!
//! # Failure modes
//! - A poisoned journal ends a server. Only a start can find out what is on disk, and a supervisor of
//!   processes starts one that has ended with 1: better than to answer 503 for ever.
//! - A landing thread that ends ends the server. One that hangs in a call to the system does not: the
//!   oldest body that waits says so (`overdue`).
//! - A disk that hangs within one read of the replay cannot be stopped: the command ends the process.

mod behind;
mod gauges;
mod landable;
mod landing;
mod listening;
mod opened;
mod overdue;
mod queries;
mod receiving;
mod running;
mod settings;
mod state_dir;
#[cfg(test)]
mod tests;
mod visible;
mod waiting;
mod watching;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::journal::RealDisk;
use crate::lake::Location;
use crate::publish::fence;
use crate::publish::lake_file::LakeFile;
use crate::status::{Board, Boards, Control, LastRoll, Readiness, Stage};
use crate::table::Tables;
use crate::tls::{Tls, TlsFiles};
use crate::{http, metrics, privacy};

pub(crate) use self::landable::check_settings;
pub use self::listening::Listening;
pub use self::opened::Opened;
pub use self::running::Running;
pub use self::settings::{Settings, StatusSettings};
pub(crate) use self::visible::{Looked, look_at_tables};
use self::watching::Watching;

/// Interval at which a server checks its journal, its landing thread and its progress.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Interval at which the log says how far a replay or a stop is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The end of a server that did not land everything.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something that the server needs could not be opened. Nothing was acknowledged.
    #[error(transparent)]
    Start(anyhow::Error),
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
    /// The stop took longer than the settings allow. What was acknowledged is in the journal.
    #[error(
        "the stop was ended after drain_limit ({limit:?}): {waiting}; what was acknowledged is in the \
         journal, and lands after the next start"
    )]
    DrainLimit {
        /// The limit.
        limit: Duration,
        /// The bodies that had not landed, as a sentence.
        waiting: String,
    },
    /// The receiver failed.
    #[error(transparent)]
    Receiver(#[from] std::io::Error),
}

/// A server that is built and does not listen yet.
pub struct Server {
    settings: Settings,
    rules: http::LiveRules,
    access: http::Access,
    /// The credentials and certificates of operators; none without a listener of theirs.
    operators: http::Access,
    watching: Option<Watching>,
    /// The name of the node, once the journal is open.
    node: Arc<OnceLock<String>>,
    key: Option<privacy::Key>,
    configured: Tables,
    clock: Arc<dyn Clock>,
    readiness: Arc<Readiness>,
    boards: Boards,
    last_roll: Arc<LastRoll>,
    control: Arc<Control>,
    metrics: metrics::Handle,
}

impl Server {
    /// Opens what `settings` name and is quick to open: keys, certificates, credentials. Creates the
    /// state directory. `metrics` renders the answer to `/metrics`; servers of one process share its
    /// counts.
    ///
    /// # Errors
    /// A file, key or directory that cannot be read or does not hold what it must.
    pub fn build(settings: Settings, metrics: metrics::Handle) -> anyhow::Result<Server> {
        let key = settings.privacy_key.as_deref().map(privacy::Key::read).transpose()?;
        let configured = Tables::new(settings.tables.clone())?;
        privacy::Applied::by_table(&configured, key.as_ref())?;
        let lake = match &settings.lake.location {
            Location::Local(root) => Some(root.as_path()),
            _ => None,
        };
        state_dir::create(settings.state(), lake)?;
        let access =
            open_access(&settings, settings.credentials.as_deref(), settings.tls.as_ref())?;
        let operators = settings.status.as_ref().map_or(Ok(http::Access::default()), |status| {
            open_access(&settings, status.credentials.as_deref(), status.tls.as_ref())
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        ::metrics::gauge!(metrics::START_TIME).set(metrics::timestamp(clock.now()));
        let readiness = Arc::new(Readiness::new());
        readiness.set_stage(Stage::Starting("opening the journal".to_owned()));
        let rules = http::LiveRules::new(settings.http.clone(), access.clone());
        Ok(Server {
            rules,
            settings,
            access,
            operators,
            watching: None,
            node: Arc::default(),
            key,
            configured,
            clock,
            readiness,
            boards: Boards::default(),
            last_roll: Arc::default(),
            control: Arc::default(),
            metrics,
        })
    }

    /// Returns the board of the last rolls.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.boards.rolls)
    }

    /// Returns the rules that requests are judged by, to replace them.
    #[must_use]
    pub fn rules(&self) -> http::LiveRules {
        self.rules.clone()
    }

    /// Returns what operators ask it through.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Returns the name of the node, which is there once the journal is open.
    #[must_use]
    pub fn node(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.node)
    }

    /// Returns the readiness that `/health/ready` answers with.
    #[must_use]
    pub fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.readiness)
    }

    /// Returns the credentials and certificates of senders and of operators, to read them again.
    #[must_use]
    pub fn access(&self) -> [http::Access; 2] {
        [self.access.clone(), self.operators.clone()]
    }

    /// Shows what there is to see on `listener`, from [`listen`](Self::listen) to the end, to whom the settings of
    /// `status` admit.
    #[must_use]
    pub fn watched_on(self, listener: TcpListener) -> Server {
        let watching = Watching { listener, access: self.operators.clone() };
        Server { watching: Some(watching), ..self }
    }

    /// Answers on `listener`: about health and metrics at once, and 503 to bodies. `stop` ends it,
    /// whatever step it is at. Needs a Tokio runtime with I/O and time enabled.
    #[must_use]
    pub fn listen(self, listener: TcpListener, stop: CancellationToken) -> Listening {
        Listening::begin(self, listener, stop)
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
        let stop = CancellationToken::new();
        let listening = self.listen(listener, stop.clone());
        let run = async {
            let Some(opened) = listening.open().await.map_err(RunError::Start)? else {
                return Ok(());
            };
            opened.check_partitions().await?;
            opened.start().await?.ended().await
        };
        let mut run = pin!(run);
        tokio::select! {
            ended = &mut run => ended,
            () = shutdown => {
                stop.cancel();
                run.await
            }
        }
    }
}

/// Returns the most bytes of bodies in a roll by the quota of the journal, which is let go well before that.
#[must_use]
pub fn source_bytes(quota_bytes: u64) -> u64 {
    quota_bytes / 4
}

/// Opens credentials and certificates, of senders or of operators.
fn open_access(
    settings: &Settings,
    credentials: Option<&Path>,
    tls: Option<&TlsFiles>,
) -> anyhow::Result<http::Access> {
    let auth = credentials.map(|path| Auth::open(path, settings.state())).transpose()?;
    Ok(http::Access { auth, tls: tls.map(Tls::open).transpose()? })
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
