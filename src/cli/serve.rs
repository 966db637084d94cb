//! `sessionlake serve`

use super::{Failure, Outcome, check, manual, start_log, warn};
use crate::config::{self, Environment, Flags, list};

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
    crate::server::serve(loaded.settings)?;
    Ok(std::process::ExitCode::SUCCESS)
}
