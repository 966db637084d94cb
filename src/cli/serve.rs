//! The command `sessionlake serve`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::created::BeforeStart;
use super::notify::Notifier;
use super::reload::Reloader;
use super::signals::Signals;
use super::telemetry::Telemetry;
use super::{
    Failure, LogFormat, Outcome, check, lake_at_start, listen, manual, memory, print_json,
    start_log, verifying, warn,
};
use crate::config::{self, Environment, Flags, list};
use crate::server::{RunError, Running, Server, Settings};
use crate::status::ReloadRequests;
use crate::table::Format;
use crate::{descriptors, metrics};

/// Connections that wait in the kernel's queue to be accepted.
const BACKLOG: u32 = 1024;

/// Receive sessions over HTTP and land them.
///
/// Takes bodies of one JSON document a line by PUT or POST, answers 200 once a body is on disk for
/// good, and lands the rows as Parquet files when they are old enough or many enough. With no
/// argument at all it listens on loopback and lands in ./data/lake.
///
/// SIGTERM and Ctrl-C stop it in order: no more bodies (after drain_delay), then everything that was
/// answered 200 is landed. A second signal stops it at once; what was answered 200 is in the journal
/// then, and lands after the next start. A stop while the journal is still being read ends at once.
///
/// GET /health/live, /health/ready and /metrics answer on the same address, from before the journal
/// is read until all has landed; with --status-listen a status page and /status.json on one of their
/// own as well.
///
/// SIGHUP reads credentials, certificate, the level of the log, endpoints with their limits and the quota
/// of the journal again, and says in the log what has changed and which settings need a restart. A service manager is told of the state by sd_notify
/// (systemd: Type=notify, with WatchdogSec= if wanted).
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake serve
      Listen on http://localhost:3000/export/events,
      land in ./data/lake.

  curl -T sessions.ndjson \\
      http://localhost:3000/export/events
      Send it a file.

  sessionlake serve --config sessionlake.toml \\
      --listen 127.0.0.1:8080
      Settings from a file, but for the address.

  SESSIONLAKE_LAKE=s3://bucket/prefix sessionlake serve
      Into a bucket, by the AWS_… variables."))]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags<{ list::SERVE }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    match start(args, environment) {
        Err(failure)
            if LogFormat::of(&config::log_format(&args.flags, environment)) == LogFormat::Json =>
        {
            Ok(print_json(&failure))
        }
        ended => ended,
    }
}

fn start(args: &Args, environment: &Environment) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().context("cannot start the asynchronous runtime")?;
    // Before anything else: none of them ends a start without a word.
    let signals = runtime.block_on(async { Signals::listen() });
    let signals = signals.context("cannot listen to signals")?;
    let loaded = config::serve(&args.flags, environment)?;
    let format = LogFormat::of(&loaded.log_format);
    if format == LogFormat::Text {
        warn(&loaded.warnings);
    }
    let log = start_log(&loaded.log, format, environment)?;
    if format == LogFormat::Json {
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    // A file of the configuration that is missing or wrong is wrong configuration.
    check::check_access(&loaded.settings).map_err(Failure::Usage)?;
    let mut settings = within_descriptors(loaded.settings, descriptors::raise());
    memory::fit(&mut settings);
    memory::tell(&settings);
    let (flags, in_force) = (args.flags.clone(), loaded.snapshot);
    let of_start = settings.clone();
    let reloader = move |server: &Server| Reloader {
        flags,
        environment: environment.clone(),
        in_force,
        settings: of_start,
        access: server.access(),
        rules: server.rules(),
        rolls: Arc::clone(&server.control().rolls),
        log,
    };
    let notifier = Notifier::of(environment);
    serve(&settings, runtime, signals, &notifier, &Telemetry::of(environment), reloader)?;
    Ok(ExitCode::SUCCESS)
}

/// Lowers the number of connections to what fits in the limit of descriptors, and says so.
fn within_descriptors(mut settings: Settings, limit: u64) -> Settings {
    let (wanted, spare) = (settings.http.max_connections, settings.spare_connections());
    let fit = descriptors::connections(wanted, spare, limit);
    if fit < wanted {
        let reserved = descriptors::RESERVED;
        tracing::warn!(
            "{fit} connections are taken at a time and not {wanted} (max_connections): the process \
             may have {limit} files and sockets open, of which {reserved} are kept for journal, \
             staging and lake, and {spare} for health, metrics and operators; raise the limit (ulimit -n, or \
             LimitNOFILE= of systemd)"
        );
        settings.http.max_connections = fit;
    }
    settings
}

/// The longest time for which the end of the process waits for threads that block.
const THREADS_END_WITHIN: Duration = Duration::from_secs(1);

/// Runs a server until a signal, or until it cannot go on. One that cannot start leaves nothing behind.
fn serve(
    settings: &Settings,
    runtime: Runtime,
    Signals { stop, hangup }: Signals,
    notifier: &Notifier,
    telemetry: &Telemetry<'_>,
    reloader: impl FnOnce(&Server) -> Reloader,
) -> Result<(), Failure> {
    let sockets = (listen::bind(settings)?, listen::bind_status(settings)?);
    let before = BeforeStart::note(settings);
    let handle = metrics::install();
    let ran = Server::build(settings.clone(), handle.clone()).and_then(|server| {
        let exporting = telemetry.start(&runtime, &server, handle);
        let (readiness, reloader) = (server.readiness(), reloader(&server));
        let requests = server.control().reload_requests();
        let ran = runtime.block_on(async {
            tokio::select! {
                ran = run_server(sockets, settings, server, stop) => ran,
                never = notifier.run(&readiness) => match never {},
                () = reload_for_ever(reloader, hangup, requests) => Ok(()),
            }
        });
        exporting.end(&runtime);
        ran
    });
    let ended = ran.as_ref().err().and_then(|error| error.downcast_ref());
    let is_unfinished = matches!(ended, Some(RunError::DrainLimit { .. }));
    match is_unfinished || matches!(ended, Some(RunError::JournalPoisoned(_))) {
        // A request to the lake may be under way, and is not waited for. The process ends it: a runtime that
        // is shut down below the thread that waits for it makes that thread panic.
        true => std::mem::forget(runtime),
        false => runtime.shutdown_timeout(THREADS_END_WITHIN),
    }
    if ran.is_err() && !is_unfinished {
        before.restore();
    }
    ran.map_err(if is_unfinished { Failure::Unfinished } else { Failure::Running })
}

/// Runs a server until it has ended. The listener opens first.
async fn run_server(
    (socket, status): (TcpSocket, Option<TcpSocket>),
    settings: &Settings,
    mut server: Server,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listen::address(&socket)?;
    let listener = socket.listen(BACKLOG).context("cannot listen on the address")?;
    tracing::info!(
        "{address} answers about health and metrics; bodies are taken once the journal has been \
             read"
    );
    if let Some(socket) = status {
        if let Err(error) = announce_status(settings, &listen::address(&socket)?.to_string()) {
            tracing::warn!("cannot print the address of the status page: {error:#}");
        }
        let listener = socket.listen(BACKLOG).context("cannot listen on status_listen")?;
        server = server.watched_on(listener);
    }
    let verifying = verifying::watch(settings, &server);
    let Some(opened) = server.listen(listener, stop.clone()).open().await? else { return Ok(()) };
    tokio::select! {
        // A directory that hangs cannot be waited for.
        () = stop.cancelled() => return Ok(()),
        checked = lake_at_start::check_directory(opened.lake()) => checked?,
    }
    // Before anything is tried in the lake: a refusal leaves nothing there.
    opened.check_partitions().await?;
    let watch = lake_at_start::watch(opened.lake().clone(), opened.readiness());
    let running = opened.start().await?;
    tell_start(settings, &running, &address.to_string());
    // Bodies are taken already: that nobody reads what is printed is no reason to end.
    if let Err(error) = announce(settings, &address.to_string()) {
        tracing::warn!("cannot print the address: {error:#}");
    }
    let watch = AbortOnDropHandle::new(tokio::spawn(watch));
    let verifying = verifying.map(|verifying| {
        let verifying = async move { stop.run_until_cancelled(verifying.run()).await };
        AbortOnDropHandle::new(tokio::spawn(verifying))
    });
    let ended = running.ended().await;
    end(watch).await;
    if let Some(verifying) = verifying {
        end(verifying).await;
    }
    Ok(ended?)
}

/// Ends a task at its next await. One that ran on while the runtime is shut down would take calls to the
/// system that are no longer made for trouble with the lake, and tell of it.
async fn end<T>(task: AbortOnDropHandle<T>) {
    task.abort();
    // Cancelled, or over already.
    let _ = task.await;
}

/// Logs the line of a start: what runs, and by which limits.
fn tell_start(settings: &Settings, running: &Running, address: &str) {
    let tables: Vec<&str> = settings.tables.iter().map(|table| &*table.name).collect();
    let roll_age = settings.roll_age.as_secs();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = running.node(),
        lake = crate::error_text::shown(&settings.lake.location.to_string()),
        tables = tables.join(","),
        listen = address,
        roll_age_seconds = roll_age,
        memory_bytes = settings.roll.memory_bytes,
        body_memory_bytes = settings.http.memory_bytes(),
        journal_quota_bytes = settings.journal.quota_bytes,
        max_connections = settings.http.max_connections,
        "takes bodies"
    );
}

/// Reloads at each signal and request. Never returns.
async fn reload_for_ever(reloader: Reloader, hangup: Signal, requests: Option<ReloadRequests>) {
    if let Some(requests) = requests {
        reloader.run(hangup, requests).await;
    }
    std::future::pending().await
}

/// Prints the address of the status page.
fn announce_status(settings: &Settings, address: &str) -> anyhow::Result<()> {
    let is_encrypted = settings.status.as_ref().is_some_and(|status| status.tls.is_some());
    let scheme = if is_encrypted { "https" } else { "http" };
    let mut out = std::io::stdout().lock();
    writeln!(out, "status page  {scheme}://{address}/")?;
    Ok(out.flush()?)
}

/// Prints the addresses, the lake, and a query to look at it.
fn announce(settings: &Settings, address: &str) -> anyhow::Result<()> {
    let lake = &settings.lake.location;
    let mut out = std::io::stdout().lock();
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    for endpoint in &settings.http.endpoints {
        writeln!(out, "listening on {scheme}://{address}{}", endpoint.path)?;
    }
    writeln!(out, "landing in   {lake}, at the latest every {:?}", settings.roll_age)?;
    if let Some(table) = settings.tables.first() {
        let name = &table.name;
        let query = match table.format {
            Format::Plain => format!(
                "SELECT * FROM read_parquet('{lake}/{name}/**/*.parquet', hive_partitioning=true, \
                 union_by_name=true)"
            ),
            // Files in the directory are not the table: some wait, and others were replaced.
            Format::Delta => format!("SELECT * FROM delta_scan('{lake}/{name}')"),
            Format::Iceberg => match &settings.catalog {
                Some(catalog) => {
                    let namespace = catalog.namespace.join(".");
                    format!("{namespace}.{name} in the catalog {}", catalog.uri)
                }
                None => format!("the table {name} of a catalog"),
            },
        };
        writeln!(out, "look at it   {query}")?;
        let flat = settings.tables.iter().filter(|flat| flat.rows.is_derived());
        let flat: Vec<&str> = flat.map(|flat| &*flat.name).collect();
        if !flat.is_empty() {
            writeln!(out, "flat tables  {}", flat.join(", "))?;
        }
    }
    Ok(out.flush()?)
}
