//! The command `sessionlake simulate`.

mod args;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail, ensure};

pub(super) use self::args::Args;
use super::{Failure, Outcome, out};
use crate::clock::{Clock as _, SystemClock};
use crate::simulate::{self, Auth, Layout, RunLimits, Shape};

/// Sessions of a run without any limit.
const SESSIONS_BY_DEFAULT: u64 = 10_000;
/// End of the period of a run with a seed: 2026-11-09T00:00:00Z.
const END_MS: i64 = 1_794_182_400_000;
const DAY_MS: i64 = 86_400_000;

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
        let (outcomes, good) = runtime.block_on(simulate::test_export(plan, &sending))?;
        out::write(&outcomes)?;
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let outcome = runtime.block_on(simulate::send(plan, &sending, stop))?;
    Ok(if outcome.discarded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the sessions to make up, as the arguments describe them.
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
        limits: RunLimits {
            sessions,
            bytes: args.bytes.map(|bytes| bytes.as_u64()),
            duration: args.duration,
        },
        rate: args.rate,
        flush: args.flush,
        faults: args.faults.unwrap_or_default(),
    })
}

/// Returns the end of the period as RFC 3339.
fn end_of(shape: &Shape) -> String {
    let end = chrono::DateTime::from_timestamp_millis(shape.from_ms + shape.period_ms);
    end.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Writes the sessions to the file `path`, or to standard output for `-`.
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

/// Returns the endpoints and the way to send to them, as the arguments describe them.
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
