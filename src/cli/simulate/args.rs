//! Arguments of `sessionlake simulate`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::manual;
use crate::simulate::{self, Faults, Format, Http, Rate};

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
pub(crate) struct Args {
    /// Send to this URL; up to three times.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://localhost:3000/export/events",
        help_heading = SENDING
    )]
    pub(super) to: Vec<String>,
    /// Write the sessions to this file instead (one that is there is replaced), - for standard
    /// output.
    #[arg(long, value_name = "FILE", conflicts_with = "to", help_heading = SENDING)]
    pub(super) out: Option<PathBuf>,
    /// Send one bulk of up to 50 sessions, once, and say how it went.
    #[arg(long, conflicts_with = "out", help_heading = SENDING)]
    pub(super) test_export: bool,
    /// PUT or POST [default: PUT; POST in the Elasticsearch form].
    #[arg(long, value_parser = ["PUT", "POST"], ignore_case = true, help_heading = SENDING)]
    pub(super) method: Option<String>,
    /// Content type of a bulk [default: application/json; application/x-ndjson in the
    /// Elasticsearch form].
    #[arg(long, value_name = "TYPE", help_heading = SENDING)]
    pub(super) content_type: Option<String>,
    /// Put an Elasticsearch action line with this index before each document.
    #[arg(long, value_name = "INDEX", help_heading = SENDING)]
    pub(super) elasticsearch: Option<String>,
    /// Type of the documents in action lines.
    #[arg(long, value_name = "TYPE", default_value = "_doc", help_heading = SENDING)]
    pub(super) elasticsearch_type: String,
    /// Name and password for HTTP Basic authentication.
    #[arg(
        long,
        value_name = "NAME:PASSWORD",
        env = "SIMULATE_USER",
        hide_env_values = true,
        conflicts_with_all = ["bearer", "oauth_url"],
        help_heading = SENDING
    )]
    pub(super) user: Option<String>,
    /// Token to send as it is.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SIMULATE_BEARER",
        hide_env_values = true,
        conflicts_with = "oauth_url",
        help_heading = SENDING
    )]
    pub(super) bearer: Option<String>,
    /// Fetch tokens from this URL (OAuth 2.0 client credentials).
    #[arg(long, value_name = "URL", requires_all = ["client_id", "client_secret"], help_heading = SENDING)]
    pub(super) oauth_url: Option<String>,
    /// Client id for --oauth-url.
    #[arg(long, value_name = "ID", requires = "oauth_url", help_heading = SENDING)]
    pub(super) client_id: Option<String>,
    /// Client secret for --oauth-url.
    #[arg(
        long,
        value_name = "SECRET",
        env = "SIMULATE_CLIENT_SECRET",
        hide_env_values = true,
        help_heading = SENDING
    )]
    pub(super) client_secret: Option<String>,
    /// Scope for --oauth-url.
    #[arg(long, value_name = "SCOPE", requires = "oauth_url", help_heading = SENDING)]
    pub(super) scope: Option<String>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = SENDING)]
    pub(super) ca: Option<PathBuf>,
    /// Version of HTTP.
    #[arg(long, value_enum, default_value = "auto", help_heading = SENDING)]
    pub(super) http: Http,
    /// Connections to each endpoint.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = SENDING
    )]
    pub(super) connections: u16,
    /// Longest time for one try.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time, help_heading = SENDING)]
    pub(super) timeout: Duration,
    /// Tries of a bulk before it is discarded.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=100),
        help_heading = SENDING
    )]
    pub(super) tries: u32,
    /// Pause before the second try; before each further one, twice as long.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration, help_heading = SENDING)]
    pub(super) pause: Duration,
    /// Write the id of every acknowledged session to this new file.
    ///
    /// A ledger that is there is not replaced. With more than one endpoint, the others' go to FILE.2 and FILE.3. `sessionlake verify
    /// --ledger FILE` holds it against a lake.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "test_export"], help_heading = SENDING)]
    pub(super) ledger: Option<PathBuf>,
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
    pub(super) faults: Option<Faults>,
    /// Print neither progress nor summary.
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Stop after so many sessions.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = AMOUNT)]
    pub(super) sessions: Option<u64>,
    /// Stop after so many bytes.
    #[arg(long, value_name = "SIZE", help_heading = AMOUNT)]
    pub(super) bytes: Option<bytesize::ByteSize>,
    /// Stop after so much time.
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = AMOUNT)]
    pub(super) duration: Option<Duration>,
    /// Finish so many sessions (500/s) or bytes (20MB/s) a second; without it, as fast as it goes.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse, help_heading = AMOUNT)]
    pub(super) rate: Option<Rate>,
    /// Send a bulk that is not full when no session has finished for this long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, help_heading = AMOUNT)]
    pub(super) flush: Duration,

    /// Seed of the generator: the same seed and settings give the same bytes.
    #[arg(long, value_name = "N", help_heading = SESSIONS)]
    pub(super) seed: Option<u64>,
    /// Generation of field names.
    #[arg(long, value_enum, default_value = "current", help_heading = SESSIONS)]
    pub(super) format: Format,
    /// Share of sessions with a field nobody knows or a value of the wrong type.
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = simulate::share_ppm, help_heading = SESSIONS)]
    pub(super) drift: u32,
    /// Number of tenants.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = SESSIONS
    )]
    pub(super) tenants: u32,
    /// Days over which the sessions are spread.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=3660),
        help_heading = SESSIONS
    )]
    pub(super) days: u16,
    /// End of those days, as 2026-11-09T00:00:00Z [default: now; with --seed,
    /// 2026-11-09T00:00:00Z].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak, help_heading = SESSIONS)]
    pub(super) end: Option<std::time::SystemTime>,
    /// Print what the sessions are like, as tables in Markdown, and send nothing.
    #[arg(long, help_heading = SESSIONS)]
    pub(super) profile: bool,
}

const SENDING: &str = "Sending";
const AMOUNT: &str = "How much, how fast";
const SESSIONS: &str = "The sessions";

/// Parses a time above zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("this is no time at all: give one such as 30s".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}
