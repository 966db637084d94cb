//! A server whose journal is open, and that takes no bodies yet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::behind::Behind;
use super::gauges::Gauges;
use super::landing::Landing;
use super::receiving::Receiving;
use super::running::{Running, broken};
use super::waiting::Waiting;
use super::{RunError, Server, Settings};
use crate::intake::Intake;
use crate::journal::RealDisk;
use crate::lake::{ColumnError, Lake, PartitionError};
use crate::publish::lake_file::LakeFile;
use crate::publish::pauses::Pauses;
use crate::publish::supervisor::{Pending, Supervisor};
use crate::publish::visibility::Keeper;
use crate::roll::RollLimits;
use crate::status::{
    LogObserver, MetricsObserver, Observer, Observers, Readiness, RollControl, Stage,
};

/// The longest time for which a start asks the lake about its tables.
const ASK_LAKE: Duration = Duration::from_secs(3);
/// The longest time for which a start waits for the lake's first answer before it takes bodies.
const ASK_FOR: Duration = Duration::from_secs(3);

/// A server whose journal is open. It holds the lock of its state directory.
pub struct Opened {
    pub(super) server: Server,
    pub(super) stop: CancellationToken,
    pub(super) receiving: Receiving,
    pub(super) behind: Behind,
}

impl Opened {
    /// Returns the lake.
    #[must_use]
    pub fn lake(&self) -> &Lake {
        &self.behind.lake
    }

    /// Returns the readiness that `/health/ready` answers with.
    #[must_use]
    pub fn readiness(&self) -> Arc<Readiness> {
        self.server.readiness()
    }

    pub(super) fn roll_control(&self) -> Arc<RollControl> {
        Arc::clone(&self.server.control.rolls)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.server.settings
    }

    /// Compares the formats and partition columns of the configured tables, and the types of all columns, with those
    /// of the lake, unless it takes longer than a start waits: partition columns are compared again
    /// before a roll is sealed. Writes nothing. To be called before [`Opened::start`].
    ///
    /// # Errors
    /// [`RunError::Landing`]: a table has others in the lake.
    pub async fn check_partitions(&self) -> Result<(), RunError> {
        let lake = self.lake();
        let compare = async {
            for table in &self.settings().tables {
                if let Ok(Some(conflict)) = lake.check_format(table).await {
                    return Err(anyhow::Error::new(conflict));
                }
                match lake.check_partitions(&table.name, &table.partition).await {
                    Err(PartitionError::Conflict(conflict)) => {
                        return Err(anyhow::Error::new(*conflict));
                    }
                    // The lake is away, or may not be asked. Landing tells of it.
                    Err(PartitionError::Store(_)) | Ok(()) => {}
                }
                match lake.check_columns(&table.name, &table.schema).await {
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

    /// Starts to land what is in the journal, and takes bodies once the lake has been asked for what
    /// it has of this node, or has not answered in time.
    ///
    /// # Errors
    /// The lake refuses this state directory; the system has no thread to give. Nothing was
    /// acknowledged.
    ///
    /// # Cancel safety
    /// As for [`Server::run`](super::Server::run).
    pub async fn start(self) -> Result<Running, RunError> {
        let gauges = Gauges::start(&self.server, self.behind.journal.clone());
        crate::roll::start_metrics(self.behind.tables.specs().iter().map(|table| &*table.name));
        let keeper = self.keeper(&Handle::current())?;
        let supervisor = self.supervisor(Handle::current(), keeper.as_ref());
        let (asked, hurry) = (supervisor.asked.clone(), supervisor.hurry.clone());
        let (journal, readiness) = (self.behind.journal.clone(), self.readiness());
        let waiting = Arc::new(Waiting {
            journal: journal.clone(),
            pending: Arc::clone(&supervisor.pending),
            lake: self.lake().location().to_string(),
            readiness: Arc::clone(&readiness),
        });
        let landing = Landing::start(supervisor)?;
        // A lake that refuses this state directory does so before anything is acknowledged.
        tokio::select! {
            () = asked.cancelled() => {}
            () = tokio::time::sleep(ASK_FOR) => {}
            () = self.stop.cancelled() => {}
            () = broken(&journal, &landing) => {}
        }
        if landing.has_ended() {
            journal.close();
            let ended = landing.join().await;
            let why = ended.err().unwrap_or_else(|| anyhow!("the landing thread ended"));
            return Err(RunError::Landing(why));
        }
        let Opened { server, stop, receiving, .. } = self;
        if !stop.is_cancelled() {
            receiving.gate.open(Intake::new(journal.clone()));
            readiness.set_stage(Stage::Running);
        }
        let measured = tokio::spawn(gauges.clone().keep(receiving.ending.end.clone()));
        let measured = AbortOnDropHandle::new(measured);
        Ok(Running {
            server,
            stop,
            receiving,
            journal,
            landing,
            keeper,
            hurry,
            waiting,
            gauges,
            measured,
        })
    }

    fn supervisor(&self, runtime: Handle, keeper: Option<&Keeper>) -> Supervisor {
        let Behind { journal, recovery, lake, tables, dedup, promotion } = &self.behind;
        let server = &self.server;
        let settings = &server.settings;
        let mut observers: Vec<Arc<dyn Observer>> = vec![
            Arc::new(LogObserver::new()),
            Arc::new(MetricsObserver::default()),
            server.board(),
            Arc::clone(&server.boards.rejects) as _,
            Arc::clone(&server.boards.totals) as _,
            Arc::clone(&server.last_roll) as _,
        ];
        observers.extend(keeper.map(Keeper::observer));
        promotion.tell(keeper.map(Keeper::schemas).unwrap_or_default());
        #[cfg(feature = "otlp")]
        observers.extend(crate::otlp::rolls());
        let observers = Observers::new(Arc::clone(&server.clock), observers);
        Supervisor {
            options: settings.roll,
            limits: limits(settings),
            lake: lake.clone(),
            lake_file: LakeFile::new(Arc::new(RealDisk), settings.state()),
            fence: Mutex::default(),
            asked: CancellationToken::new(),
            taking_apart: Mutex::default(),
            key: server.key.clone(),
            tables: tables.clone(),
            dedup: dedup.clone(),
            promotion: Some(Arc::clone(promotion)),
            journal: journal.clone(),
            runtime,
            readiness: Arc::clone(&server.readiness),
            clock: Arc::clone(&server.clock),
            staging: settings.staging(),
            pending: Arc::new(Mutex::new(Pending::of(recovery))),
            pauses: Pauses::USUAL,
            control: Arc::clone(&server.control.rolls),
            observers,
            hurry: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }
}

fn limits(settings: &Settings) -> RollLimits {
    RollLimits {
        age_us: i64::try_from(settings.roll_age.as_micros()).unwrap_or(i64::MAX),
        file_bytes: settings.roll.roll_bytes,
        rows: settings.roll.roll_rows.unwrap_or(u64::MAX),
        source_bytes: super::source_bytes(settings.journal.quota_bytes),
    }
}
