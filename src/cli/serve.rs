//! The command `sessionlake serve`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::created::BeforeStart;
use super::{Failure, Outcome, check, lake_at_start, listen, manual, start_log, warn};
use crate::config::{self, Environment, Flags, list};
use crate::server::{RunError, Server, Settings};
use crate::table::Format;
use crate::{descriptors, http, metrics};

/// Connections that wait in the kernel's queue to be accepted.
const BACKLOG: u32 = 1024;

/// Receive sessions over HTTP and land them.
///
/// Takes bodies of one JSON document a line by PUT or POST, answers 200 once a body is on disk for
/// good, and lands the rows as Parquet files when they are old enough or many enough. With no
/// argument at all it listens on loopback and lands in ./data/lake.
///
/// SIGTERM and Ctrl-C stop it in order: no new requests, then everything that was answered 200 is
/// landed. A second signal stops it at once; what was answered 200 is in the journal then, and
/// lands after the next start.
///
/// GET /health/live, /health/ready and /metrics answer on the same address.
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
    let loaded = config::serve(&args.flags, environment)?;
    warn(&loaded.warnings);
    start_log(&loaded.log)?;
    // A file of the configuration that is missing or wrong is wrong configuration.
    check::check_access(&loaded.settings).map_err(Failure::Usage)?;
    let settings = within_descriptors(loaded.settings, descriptors::raise());
    serve(&settings)?;
    Ok(ExitCode::SUCCESS)
}

/// Lowers the number of connections to what fits in the limit of descriptors, and says so.
fn within_descriptors(mut settings: Settings, limit: u64) -> Settings {
    let (wanted, spare) = (settings.http.max_connections, http::SPARE_CONNECTIONS);
    let fit = descriptors::connections(wanted, spare, limit);
    if fit < wanted {
        let reserved = descriptors::RESERVED;
        tracing::warn!(
            "{fit} connections are taken at a time and not {wanted} (max_connections): the process \
             may have {limit} files and sockets open, of which {reserved} are kept for journal, \
             staging and lake, and {spare} for health and metrics; raise the limit (ulimit -n, or \
             LimitNOFILE= of systemd)"
        );
        settings.http.max_connections = fit;
    }
    settings
}

/// Runs a server until a signal, or until it cannot go on. One that cannot start leaves nothing behind.
fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().context("cannot start the asynchronous runtime")?;
    let socket = listen::bind(settings)?;
    let before = BeforeStart::note(settings);
    let ran = run_on(socket, settings, &runtime);
    if let Some(RunError::JournalPoisoned(_)) =
        ran.as_ref().err().and_then(|error| error.downcast_ref())
    {
        // A request to the lake may be under way, and is not waited for.
        runtime.shutdown_background();
    }
    if ran.is_err() {
        before.restore();
    }
    ran
}

fn run_on(socket: TcpSocket, settings: &Settings, runtime: &Runtime) -> anyhow::Result<()> {
    let server = Server::build(settings.clone(), metrics::install())?;
    runtime.block_on(async {
        lake_at_start::check_directory(server.lake()).await?;
        // Before anything is tried in the lake: a refusal leaves nothing there.
        server.check_partitions().await?;
        let address = listen::address(&socket)?;
        let listener = socket.listen(BACKLOG).context("cannot listen on the address")?;
        announce(settings, &address.to_string())?;
        let watch = lake_at_start::watch(server.lake().clone(), server.readiness());
        let _watch = AbortOnDropHandle::new(tokio::spawn(watch));
        Ok(server.run(listener, first_signal()?).await?)
    })
}

/// Returns a future that resolves at SIGTERM or SIGINT. Any further signal ends the process at once,
/// and so does the first one if the future was dropped, since the server is stopping by itself.
fn first_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, asked) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        if !first.is_closed() {
            tracing::info!(
                "stopping: what was acknowledged is being landed, which waits for the lake; a \
                 second signal stops at once, and loses nothing"
            );
            let _ = first.send(());
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        tracing::warn!(
            "stopped at once: what was acknowledged and has not landed is in the journal, and lands \
             after the next start"
        );
        // The journal keeps every acknowledged body, and lands it after the next start.
        std::process::exit(1);
    });
    Ok(async move {
        let _ = asked.await;
    })
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
