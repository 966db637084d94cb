//! `sessionlake simulate`

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::{Failure, Outcome, manual, out};
use crate::clock::{Clock as _, SystemClock};
use crate::simulate::{self, Auth, Faults, Format, Http, Layout, Limits, Rate, Shape};

/// Send made-up sessions as the exporter does, or write them to a file.
///
/// Sessions come from a seeded generator: users who come back, a day's rhythm by time zone, page
/// loads, requests and clicks whose times add up, errors, conversions, monitors and mobile apps.
/// They go in bulks of at most 1000 sessions or about 896,000 bytes; only an answer of 200 is an
/// acknowledgement; a bulk is tried four times, 30 s each, and then discarded.
///
/// With --seed, the same settings give the same bytes. Without, the sessions are new ones that end
/// now. Nothing but --sessions, --bytes, --duration or Ctrl-C ends a run; without any of these it is
/// 10,000 sessions. The exit code is 1 when a bulk was discarded.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake simulate
      10,000 sessions to http://localhost:3000/export/events.

  sessionlake simulate \\
      --to https://lake.example/export/events \\
      --ca ca.pem --user exporter:secret \\
      --rate 200/s --duration 1h
      An hour of steady load, over TLS.

  sessionlake simulate --seed 7 --sessions 100000 \\
      --out - | zstd > sessions.ndjson.zst
      A file instead of a network.

  sessionlake simulate --bytes 10GB --faults all \\
      --ledger ledger.txt
  sessionlake verify --ledger ledger.txt
      Is everything that was acknowledged in the lake?"))]
pub(super) struct Args {
    /// Send to this URL; up to three times.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://localhost:3000/export/events",
        help_heading = SENDING
    )]
    to: Vec<String>,
    /// Write the sessions to this file instead (one that is there is replaced), - for standard
    /// output.
    #[arg(long, value_name = "FILE", conflicts_with = "to", help_heading = SENDING)]
    out: Option<PathBuf>,
    /// Send one bulk of up to 50 sessions, once, and say how it went.
    #[arg(long, conflicts_with = "out", help_heading = SENDING)]
    test_export: bool,
    /// PUT or POST [default: PUT; POST in the Elasticsearch form].
    #[arg(long, value_parser = ["PUT", "POST"], ignore_case = true, help_heading = SENDING)]
    method: Option<String>,
    /// Content type of a bulk [default: application/json; application/x-ndjson in the
    /// Elasticsearch form].
    #[arg(long, value_name = "TYPE", help_heading = SENDING)]
    content_type: Option<String>,
    /// Put an Elasticsearch action line with this index before each document.
    #[arg(long, value_name = "INDEX", help_heading = SENDING)]
    elasticsearch: Option<String>,
    /// Type of the documents in action lines.
    #[arg(long, value_name = "TYPE", default_value = "_doc", help_heading = SENDING)]
    elasticsearch_type: String,
    /// Name and password for HTTP Basic authentication.
    #[arg(
        long,
        value_name = "NAME:PASSWORD",
        env = "SIMULATE_USER",
        hide_env_values = true,
        conflicts_with_all = ["bearer", "oauth_url"],
        help_heading = SENDING
    )]
    user: Option<String>,
    /// Token to send as it is.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SIMULATE_BEARER",
        hide_env_values = true,
        conflicts_with = "oauth_url",
        help_heading = SENDING
    )]
    bearer: Option<String>,
    /// Fetch tokens from this URL (OAuth 2.0 client credentials).
    #[arg(long, value_name = "URL", requires_all = ["client_id", "client_secret"], help_heading = SENDING)]
    oauth_url: Option<String>,
    /// Client id for --oauth-url.
    #[arg(long, value_name = "ID", requires = "oauth_url", help_heading = SENDING)]
    client_id: Option<String>,
    /// Client secret for --oauth-url.
    #[arg(
        long,
        value_name = "SECRET",
        env = "SIMULATE_CLIENT_SECRET",
        hide_env_values = true,
        help_heading = SENDING
    )]
    client_secret: Option<String>,
    /// Scope for --oauth-url.
    #[arg(long, value_name = "SCOPE", requires = "oauth_url", help_heading = SENDING)]
    scope: Option<String>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = SENDING)]
    ca: Option<PathBuf>,
    /// Version of HTTP.
    #[arg(long, value_enum, default_value = "auto", help_heading = SENDING)]
    http: Http,
    /// Connections to each endpoint.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = SENDING
    )]
    connections: u16,
    /// Longest time for one try.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time, help_heading = SENDING)]
    timeout: Duration,
    /// Tries of a bulk before it is discarded.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=100),
        help_heading = SENDING
    )]
    tries: u32,
    /// Pause before the second try; before each further one, twice as long.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration, help_heading = SENDING)]
    pause: Duration,
    /// Write the id of every acknowledged session to this new file.
    ///
    /// A ledger that is there is not replaced. With more than one endpoint, the others' go to FILE.2 and FILE.3. `sessionlake verify
    /// --ledger FILE` holds it against a lake.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "test_export"], help_heading = SENDING)]
    ledger: Option<PathBuf>,
    /// Faults on request: drop, slow, broken, repeat or all, each with a share of the bulks.
    ///
    /// A name alone is 1 %, --faults alone is all of them at 1 % each.
    ///
    /// drop closes the connection after sending, before the answer; slow lets a body take 2 s;
    /// broken adds a line that is no document; repeat sends a bulk again that was acknowledged.
    #[arg(
        long,
        value_name = "NAME=SHARE,…",
        num_args = 0..=1,
        default_missing_value = "all",
        value_parser = Faults::parse,
        help_heading = SENDING
    )]
    faults: Option<Faults>,
    /// Print neither progress nor summary.
    #[arg(long, short)]
    quiet: bool,

    /// Stop after so many sessions.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = AMOUNT)]
    sessions: Option<u64>,
    /// Stop after so many bytes.
    #[arg(long, value_name = "SIZE", help_heading = AMOUNT)]
    bytes: Option<bytesize::ByteSize>,
    /// Stop after so much time.
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = AMOUNT)]
    duration: Option<Duration>,
    /// Finish so many sessions (500/s) or bytes (20MB/s) a second; without it, as fast as it goes.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse, help_heading = AMOUNT)]
    rate: Option<Rate>,
    /// Send a bulk that is not full when no session has finished for this long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, help_heading = AMOUNT)]
    flush: Duration,

    /// Where chance begins: the same seed and settings give the same bytes.
    #[arg(long, value_name = "N", help_heading = SESSIONS)]
    seed: Option<u64>,
    /// Generation of field names.
    #[arg(long, value_enum, default_value = "current", help_heading = SESSIONS)]
    format: Format,
    /// Share of sessions with a field nobody knows or a value of the wrong type.
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = simulate::share_ppm, help_heading = SESSIONS)]
    drift: u32,
    /// Number of tenants.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = SESSIONS
    )]
    tenants: u32,
    /// Days over which the sessions are spread.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=3660),
        help_heading = SESSIONS
    )]
    days: u16,
    /// End of those days, as 2026-11-09T00:00:00Z [default: now; with --seed,
    /// 2026-11-09T00:00:00Z].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak, help_heading = SESSIONS)]
    end: Option<std::time::SystemTime>,
    /// Print what the sessions are like, as tables in Markdown, and send nothing.
    #[arg(long, help_heading = SESSIONS)]
    profile: bool,
}

const SENDING: &str = "Sending";
const AMOUNT: &str = "How much, how fast";
const SESSIONS: &str = "The sessions";

/// Sessions of a run that nothing else limits.
const SESSIONS_BY_DEFAULT: u64 = 10_000;
/// With a seed, the period ends here: 2026-11-09T00:00:00Z.
const END_MS: i64 = 1_794_182_400_000;
const DAY_MS: i64 = 86_400_000;

/// A time of more than nothing.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("this is no time at all: give one such as 30s".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let plan = plan(args)?;
    if args.profile {
        let sessions = plan.limits.sessions.unwrap_or(SESSIONS_BY_DEFAULT);
        return out::print(&simulate::profile(plan.shape, sessions)?);
    }
    if args.seed.is_none() && !args.quiet && !args.test_export {
        eprintln!("seed {}, ending at {}", plan.shape.seed, end_of(&plan.shape));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let asked = stop.clone();
    runtime.spawn(async move {
        // The first Ctrl-C ends the feed, and what is under way is still sent; the second ends all.
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.store(true, Ordering::Relaxed);
            eprintln!("stopping; once more to stop at once");
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
    if let Some(path) = &args.out {
        write(args, &plan, path, &stop)?;
        return Ok(ExitCode::SUCCESS);
    }
    let sending = sending(args).map_err(Failure::Usage)?;
    if args.test_export {
        let (told, good) = runtime.block_on(simulate::test_export(plan, &sending))?;
        out::write(&told)?;
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let outcome = runtime.block_on(simulate::send(plan, &sending, stop))?;
    Ok(if outcome.discarded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(args: &Args) -> Result<simulate::Plan, Failure> {
    let usage = |text: &str| Failure::Usage(anyhow::anyhow!("{text}"));
    let unlimited = args.sessions.is_none() && args.bytes.is_none() && args.duration.is_none();
    let sessions = args.sessions.or(unlimited.then_some(SESSIONS_BY_DEFAULT));
    let end_ms = match (args.end, args.seed) {
        (Some(end), _) => end
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .ok_or_else(|| usage("--end is before 1970"))?,
        (None, Some(_)) => END_MS,
        (None, None) => SystemClock.now().0.div_euclid(1_000),
    };
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(
            getrandom::u32().map_err(|error| anyhow::anyhow!("no random number: {error}"))?,
        ),
    };
    let period_ms = i64::from(args.days) * DAY_MS;
    Ok(simulate::Plan {
        shape: Shape {
            seed,
            format: args.format,
            drift_ppm: args.drift,
            tenants: args.tenants,
            from_ms: end_ms - period_ms,
            period_ms,
            // Without a number to come to, time goes through the days once in 100,000 sessions.
            sessions: args.sessions.or(sessions).unwrap_or(100_000),
        },
        layout: match &args.elasticsearch {
            None => Layout::Plain,
            Some(index) => Layout::Elasticsearch {
                index: index.clone(),
                kind: args.elasticsearch_type.clone(),
            },
        },
        limits: Limits {
            sessions,
            bytes: args.bytes.map(|bytes| bytes.as_u64()),
            duration: args.duration,
        },
        rate: args.rate,
        flush: args.flush,
        faults: args.faults.unwrap_or_default(),
    })
}

fn end_of(shape: &Shape) -> String {
    let end = chrono::DateTime::from_timestamp_millis(shape.from_ms + shape.period_ms);
    end.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn write(
    args: &Args,
    plan: &simulate::Plan,
    path: &std::path::Path,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let name = path.display();
    let mut file: Box<dyn Write> = match path.to_str() {
        Some("-") => Box::new(std::io::stdout().lock()),
        _ => Box::new(File::create(path).with_context(|| format!("cannot write to {name}"))?),
    };
    let made = simulate::write(plan, stop, &mut file);
    let made = made.with_context(|| format!("cannot write to {name}"))?;
    if !args.quiet {
        eprintln!("{} sessions, {} bytes", made.sessions, made.bytes);
    }
    Ok(())
}

fn sending(args: &Args) -> anyhow::Result<simulate::Sending> {
    ensure!(args.to.len() <= 3, "an exporter has at most three endpoints: give --to three times");
    if let Some(ledger) = &args.ledger {
        for number in 0..args.to.len() {
            let path = simulate::ledger_path(ledger, number);
            ensure!(
                !path.exists(),
                "there is a ledger {} already: name another file, or move that one away",
                path.display()
            );
        }
    }
    let url = |text: &String| {
        let help = "a URL looks like http://localhost:3000/export/events";
        let url = text.parse::<reqwest::Url>();
        let url = url.with_context(|| format!("{text:?} is no URL; {help}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            bail!("{text:?} begins neither with http:// nor with https://; {help}");
        }
        Ok(url)
    };
    let elasticsearch = args.elasticsearch.is_some();
    let method = match args.method.as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("POST") => reqwest::Method::POST,
        None if elasticsearch => reqwest::Method::POST,
        _ => reqwest::Method::PUT,
    };
    let by_form = if elasticsearch { "application/x-ndjson" } else { "application/json" };
    let auth = match (&args.user, &args.bearer, &args.oauth_url) {
        (Some(user), _, _) => {
            let (name, password) =
                user.split_once(':').context("--user wants NAME:PASSWORD, with a colon")?;
            Auth::Basic(name.to_owned(), password.to_owned())
        }
        (_, Some(token), _) => Auth::Bearer(token.clone()),
        (_, _, Some(address)) => Auth::OAuth {
            url: url(address)?,
            id: args.client_id.clone().unwrap_or_default(),
            secret: args.client_secret.clone().unwrap_or_default(),
            scope: args.scope.clone(),
        },
        _ => Auth::None,
    };
    let roots = match &args.ca {
        None => None,
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.with_context(|| format!("cannot read {}", path.display()))?)
        }
    };
    Ok(simulate::Sending {
        to: args.to.iter().map(url).collect::<anyhow::Result<_>>()?,
        transport: simulate::Transport {
            method,
            content_type: args.content_type.clone().unwrap_or_else(|| by_form.to_owned()),
            auth,
            roots,
            http: args.http,
            timeout: args.timeout,
        },
        connections: usize::from(args.connections),
        tries: args.tries,
        pause: args.pause,
        ledger: args.ledger.clone(),
        quiet: args.quiet,
    })
}
