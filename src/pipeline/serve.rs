//! `serve`: the receiver in front, the engine behind, until a signal.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::engine::{self, Mode, Setup, Source};
use super::land::{Lander, RollLog};
use super::tables::{self, Tables};
use crate::auth::Auth;
use crate::batch::Limits;
use crate::clock::{Clock, SystemClock};
use crate::commit::Receipt;
use crate::config;
use crate::journal::{Journal, Next, Options, Reader, RealDisk, Seal};
use crate::record::{Roll, Seq};
use crate::status::Readiness;
use crate::store::Lake;
use crate::tls::Tls;
use crate::{metrics, privacy, receive};

/// What of the journal has not landed.
#[derive(Clone, Debug)]
struct Pending {
    sealed: Vec<Seal>,
    unsealed_from: Seq,
    next_roll: Roll,
}

/// Serves until a signal, then drains.
///
/// # Errors
/// What keeps it from starting, and a journal that cannot be written when it stops.
pub fn serve(settings: config::Serve) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let handle = metrics::install();
    metrics::describe();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let readiness = Arc::new(Readiness::new());

    let key = tables::privacy_key(&settings.landing)?;
    let configured = tables::configured(&settings.landing, key.as_ref())?;
    // Whatever may be wrong with certificates and credentials is said before the journal is opened.
    let receive = receive_settings(&settings, key.as_ref())?;
    let lake = Lake::open(&settings.lake)?;
    let options = journal_options(&settings.journal);
    let (journal, recovery) = Journal::open(Arc::new(RealDisk), Arc::clone(&clock), options)?;
    for skipped in &recovery.skipped {
        tracing::error!(
            "bodies {} to {} are lost: {}",
            skipped.lost.first,
            skipped.lost.last,
            skipped.why
        );
    }
    if recovery.torn_bytes > 0 {
        tracing::info!("cut {} bytes that were never acknowledged", recovery.torn_bytes);
    }
    let state = settings.journal.dir.clone();
    let all_tables = tables::remember(&state, configured, key.as_ref())?;
    let pending = Pending {
        sealed: recovery.sealed,
        unsealed_from: recovery.unsealed_from,
        next_roll: recovery.next_roll,
    };

    let listener = runtime
        .block_on(TcpListener::bind(&settings.receive.addresses[..]))
        .with_context(|| format!("cannot listen on {}", settings.receive.listen))?;
    let address = listener.local_addr().context("the listening address")?;
    announce(&settings, &address.to_string())?;

    let landing = Landing {
        settings: settings.clone(),
        lake,
        key,
        tables: all_tables,
        journal: journal.clone(),
        runtime: runtime.handle().clone(),
        readiness: Arc::clone(&readiness),
        clock,
        staging: state.join("staging"),
        pending: Arc::new(Mutex::new(pending)),
    };
    let engine = std::thread::Builder::new()
        .name("landing".into())
        .spawn(move || landing.run())
        .context("cannot start the landing thread")?;

    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("stopping: what was acknowledged is being landed");
            tokio::spawn(async move {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                // What was acknowledged is in the journal, and lands after the next start.
                std::process::exit(1);
            });
        };
        receive::run(listener, receive, journal.clone(), readiness, handle, stop).await
    })?;
    journal.close();
    engine.join().map_err(|_| anyhow!("the landing thread panicked"))?
}

fn announce(settings: &config::Serve, address: &str) -> anyhow::Result<()> {
    let lake = &settings.lake.location;
    let table = &settings.landing.table;
    let mut out = std::io::stdout().lock();
    let scheme = if settings.receive.tls.is_some() { "https" } else { "http" };
    for endpoint in &settings.receive.endpoints {
        writeln!(out, "listening on {scheme}://{address}{}", endpoint.path)?;
    }
    writeln!(out, "landing in   {lake}, at the latest every {:?}", settings.roll_age)?;
    writeln!(
        out,
        "look at it   SELECT * FROM read_parquet('{lake}/{table}/**/*.parquet', \
         hive_partitioning=true)"
    )?;
    Ok(out.flush()?)
}

fn journal_options(journal: &config::Journal) -> Options {
    let mut options = Options::new(journal.dir.clone());
    options.node_prefix = journal.node_prefix.clone();
    options.segment_bytes = journal.segment_bytes;
    options.quota_bytes = journal.quota_bytes;
    options.reserve_bytes = journal.reserve_bytes;
    options.retry_window = journal.retry_window;
    options.skip_damaged = journal.skip_damaged;
    options
}

fn receive_settings(
    settings: &config::Serve,
    key: Option<&privacy::Key>,
) -> anyhow::Result<receive::Settings> {
    let receive = &settings.receive;
    let state = &settings.journal.dir;
    let auth = receive.credentials.as_deref().map(|path| Auth::open(path, state)).transpose()?;
    let tls = receive.tls.as_ref().map(Tls::open).transpose()?;
    Ok(receive::Settings {
        endpoints: receive.endpoints.clone(),
        auth,
        tls,
        seal: key.filter(|_| settings.journal.encrypt).cloned(),
        requests_per_second: receive.requests_per_second,
        header_timeout: receive.header_timeout,
        body_timeout: receive.body_timeout,
        drain_timeout: receive.drain_timeout,
        handshake_timeout: receive.handshake_timeout,
        max_connections: receive.max_connections,
        max_connections_per_peer: receive.max_connections_per_peer,
    })
}

/// Everything behind the journal.
struct Landing {
    settings: config::Serve,
    lake: Lake,
    key: Option<privacy::Key>,
    tables: Tables,
    journal: Journal,
    runtime: tokio::runtime::Handle,
    readiness: Arc<Readiness>,
    clock: Arc<dyn Clock>,
    staging: std::path::PathBuf,
    pending: Arc<Mutex<Pending>>,
}

impl Landing {
    /// Lands until the journal is closed and drained. An engine that fails is begun anew from the
    /// journal after a pause; a poisoned journal ends it.
    fn run(&self) -> anyhow::Result<()> {
        let mut pause = Duration::from_secs(1);
        loop {
            let before = self.pending();
            let landed = catch_unwind(AssertUnwindSafe(|| self.land()))
                .unwrap_or_else(|_| Err(anyhow!("a thread panicked; its message stands above")));
            let Err(error) = landed else { return Ok(()) };
            let text = format!("{error:#}");
            self.readiness.set("landing", Err(text.clone()));
            if let Some(reason) = self.journal.status().poisoned {
                tracing::error!("landing stopped, restart the program: {reason}");
                return Err(error);
            }
            if self.pending().next_roll != before.next_roll {
                pause = Duration::from_secs(1);
            }
            tracing::error!("landing failed, beginning anew from the journal in {pause:?}: {text}");
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    fn pending(&self) -> Pending {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn land(&self) -> anyhow::Result<()> {
        for seal in self.pending().sealed {
            let tables = tables::from_settings(&seal.settings, self.key.as_ref())?;
            tracing::info!("roll {} was sealed and not committed: making it again", seal.roll);
            let reader = self.journal.reader(seal.range.first);
            let source = FromJournal { reader, last: Some(seal.range.last), key: self.key.clone() };
            self.engine(&tables, source, Mode::Again(seal.roll, seal.range))?;
        }
        let pending = self.pending();
        self.readiness.set("landing", Ok(()));
        let reader = self.journal.reader(pending.unsealed_from);
        let source = FromJournal { reader, last: None, key: self.key.clone() };
        self.engine(&self.tables, source, Mode::Live(pending.next_roll))
    }

    fn engine(&self, tables: &Tables, mut source: FromJournal, mode: Mode) -> anyhow::Result<()> {
        let landing = &self.settings.landing;
        let setup = Setup {
            landing,
            limits: Limits {
                age_us: i64::try_from(self.settings.roll_age.as_micros()).unwrap_or(i64::MAX),
                file_bytes: landing.roll_bytes,
                rows: landing.roll_rows.unwrap_or(u64::MAX),
                // Let go of the journal well before its quota.
                source_bytes: self.settings.journal.quota_bytes / 4,
            },
            tables,
            staging: &self.staging,
            taken: &AtomicU64::new(0),
            clock: Arc::clone(&self.clock),
        };
        let lander = Lander {
            lake: self.lake.clone(),
            node: self.journal.node().into(),
            tables,
            runtime: self.runtime.clone(),
            readiness: Arc::clone(&self.readiness),
            clock: Arc::clone(&self.clock),
        };
        let mut log =
            JournalLog { journal: self.journal.clone(), pending: Arc::clone(&self.pending) };
        engine::run(&setup, &lander, &mut source, &mut log, mode)
    }
}

/// The journal from a body on, to its end or to the last body of a sealed roll.
struct FromJournal {
    reader: Reader,
    last: Option<Seq>,
    key: Option<privacy::Key>,
}

impl Source for FromJournal {
    fn next(&mut self, timeout: Duration) -> anyhow::Result<Next> {
        if self.last.is_some_and(|last| self.reader.position() > last) {
            return Ok(Next::Closed);
        }
        let mut next = self.reader.next(timeout)?;
        if let Next::Body(body) = &mut next
            && privacy::is_sealed(&body.bytes)
        {
            let opened = self.key.as_ref().and_then(|key| key.open_body(&body.bytes));
            body.bytes = opened.with_context(|| {
                format!("body {} is encrypted, and privacy_key does not open it", body.seq)
            })?;
        }
        Ok(next)
    }
}

/// Seals and commits in the journal, and what is left to do if the engine must begin anew.
struct JournalLog {
    journal: Journal,
    pending: Arc<Mutex<Pending>>,
}

impl RollLog for JournalLog {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        self.journal.seal(seal)?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.sealed.push(seal.clone());
        pending.unsealed_from = seal.range.last.next();
        pending.next_roll = seal.roll.next();
        Ok(())
    }

    fn committed(&mut self, roll: Roll) -> anyhow::Result<()> {
        self.journal.committed(roll)?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.sealed.retain(|seal| seal.roll != roll);
        Ok(())
    }

    fn landed(&mut self, receipt: &Receipt, bytes: u64) {
        let files: usize = receipt.tables.iter().map(|table| table.files.len()).sum();
        let Receipt { roll, rows, rejects, .. } = receipt;
        tracing::info!(roll, rows, rejects, files, bytes, "landed");
    }
}
