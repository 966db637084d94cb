//! `serve`: the receiver in front, the engine behind, until a signal.
//!
//! A journal that was poisoned ends it too. Only a start finds out what is on disk, and whoever
//! looks after the process makes one when it ends with 1: better than to answer 503 for ever.

mod settings;

use std::fs::DirBuilder;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::Auth;
use crate::batch::Limits;
use crate::clock::{Clock, SystemClock};
use crate::intake::Intake;
use crate::journal::{Disk as _, Journal, MAX_SETTINGS_BYTES, RealDisk};
use crate::lake::Lake;
use crate::publish::publisher::Pauses;
use crate::publish::supervisor::{Pending, Supervisor};
use crate::status::{LogObserver, MetricsObserver, Observers, Readiness};
use crate::table::{Spec, Tables, registry};
use crate::tls::Tls;
use crate::{http, metrics, privacy};

pub use self::settings::Settings;

/// How often it is looked whether the journal can be written and rolls are being landed.
const WATCH: Duration = Duration::from_millis(250);

/// Serves until a signal, then drains; or until the journal cannot be written any more.
///
/// # Errors
/// What keeps it from starting, and a journal that cannot be written.
pub fn serve(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let handle = metrics::install();
    metrics::describe();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let readiness = Arc::new(Readiness::new());

    let key = settings.privacy_key.as_deref().map(privacy::Key::read).transpose()?;
    let configured = Tables::new(settings.tables.clone())?;
    privacy::Applied::by_table(&configured, key.as_ref())?;
    make_private(settings.state())?;
    // Whatever may be wrong with certificates and credentials is said before the journal is opened.
    let access = access(&settings)?;
    let seal = key.clone().filter(|_| settings.encrypt_journal);
    let lake = Lake::open(&settings.lake)?;
    let (journal, recovery) =
        Journal::open(Arc::new(RealDisk), Arc::clone(&clock), settings.journal.clone())?;
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
    let waiting = recovery.unsealed_from < recovery.next;
    let all_tables = registry::remember(settings.state(), configured, waiting, MAX_SETTINGS_BYTES)?;
    // A table that is remembered may have rules whose key was taken out of the configuration.
    privacy::Applied::by_table(&all_tables, key.as_ref())?;
    let listener = runtime
        .block_on(TcpListener::bind(&settings.addresses[..]))
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr().context("the listening address")?;
    announce(&settings, &address.to_string())?;

    let observers = Observers::new(
        Arc::clone(&clock),
        vec![Arc::new(LogObserver::new()), Arc::new(MetricsObserver)],
    );
    let landing = Supervisor {
        options: settings.roll,
        limits: limits(&settings),
        lake,
        key,
        tables: all_tables,
        journal: journal.clone(),
        runtime: runtime.handle().clone(),
        readiness: Arc::clone(&readiness),
        clock,
        staging: settings.staging(),
        pending: Arc::new(Mutex::new(Pending::of(&recovery))),
        pauses: Pauses::USUAL,
        observers,
    };
    let engine = std::thread::Builder::new()
        .name("landing".into())
        .spawn(move || landing.run())
        .context("cannot start the landing thread")?;

    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (watched, landing) = (&journal, &engine);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {
                    tracing::info!("stopping: what was acknowledged is being landed");
                }
                _ = interrupt.recv() => {
                    tracing::info!("stopping: what was acknowledged is being landed");
                }
                () = broken(watched, landing) => {
                    tracing::error!("stopping: this gets better with another start only");
                }
            }
            tokio::spawn(async move {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                // What was acknowledged is in the journal, and lands after the next start.
                std::process::exit(1);
            });
        };
        let intake = Intake::new(journal.clone(), seal);
        http::run(listener, settings.http, access, intake, readiness, handle, stop).await
    })?;
    journal.close();
    if let Some(reason) = journal.poisoned() {
        // The lander may be in the middle of a request, and ends with the process.
        std::mem::forget(runtime);
        return Err(anyhow!(reason).context(
            "the journal stopped after a failed write; what was acknowledged is in it, and lands \
             after another start",
        ));
    }
    engine.join().map_err(|_| anyhow!("the landing thread panicked"))?
}

/// Makes the state directory so that only its owner gets into it: it holds bodies and a key.
fn make_private(state: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make the state directory {}", state.display());
    if let Some(parent) = state.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        RealDisk.create_dir(parent).with_context(cannot)?;
    }
    match DirBuilder::new().mode(0o700).create(state) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(cannot),
        Err(_) => {
            let open =
                std::fs::metadata(state).is_ok_and(|made| made.permissions().mode() & 7 != 0);
            if open {
                let state = state.display();
                tracing::warn!(
                    "every user of this machine may look into {state}: chmod 700 {state}"
                );
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Until the journal is poisoned, or nothing is landed any more.
async fn broken(journal: &Journal, landing: &JoinHandle<anyhow::Result<()>>) {
    while journal.poisoned().is_none() && !landing.is_finished() {
        tokio::time::sleep(WATCH).await;
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        age_us: i64::try_from(settings.roll_age.as_micros()).unwrap_or(i64::MAX),
        file_bytes: settings.roll.roll_bytes,
        rows: settings.roll.roll_rows.unwrap_or(u64::MAX),
        // Let go of the journal well before its quota.
        source_bytes: settings.journal.quota_bytes / 4,
    }
}

fn announce(settings: &Settings, address: &str) -> anyhow::Result<()> {
    let lake = &settings.lake.location;
    let mut out = std::io::stdout().lock();
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    for endpoint in &settings.http.endpoints {
        writeln!(out, "listening on {scheme}://{address}{}", endpoint.path)?;
    }
    writeln!(out, "landing in   {lake}, at the latest every {:?}", settings.roll_age)?;
    if let Some(Spec { name, .. }) = settings.tables.first() {
        writeln!(
            out,
            "look at it   SELECT * FROM read_parquet('{lake}/{name}/**/*.parquet', \
             hive_partitioning=true)"
        )?;
    }
    Ok(out.flush()?)
}

fn access(settings: &Settings) -> anyhow::Result<http::Access> {
    let credentials = settings.credentials.as_deref();
    let auth = credentials.map(|path| Auth::open(path, settings.state())).transpose()?;
    let tls = settings.tls.as_ref().map(Tls::open).transpose()?;
    Ok(http::Access { auth, tls })
}
