//! The command `sessionlake verify`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use chrono::DateTime;

use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::audit::TableLogs;
use crate::audit::verify::{self, Depth, Pace, Report, Scope, Since};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, Flags, list};
use crate::lake::{Lake, names};

/// Say whether every received line is accounted for.
///
/// Reads the receipts of a lake and lists its files, and holds them against each other: received
/// lines are rows or in quarantine, no body is missing and none is in two rolls, every file has a
/// receipt and every receipt its files, of the size that it says; a file of another size is opened
/// and its rows are counted. --footers opens every file, --rows reads every row's lineage. What is
/// off is listed, and makes the exit code 1; so does a place where there is nothing at all.
///
/// Of a Delta or Iceberg table, the files of its log, or of the latest snapshot in its catalog ([catalog]
/// of the configuration), are held against both: every file of a receipt is in the log,
/// unless other writers have replaced it, and every file of the log is there once. Rolls that have landed
/// and wait for their commit are counted, and are no problem.
///
/// A roll that is being landed meanwhile is named, and is no problem.
///
/// With --since, only rolls whose receipts were written since then are looked at, or those after the
/// checkpoints that --checkpoint has written: a node's rolls before are taken to be well. Files
/// without a receipt are then looked for in the folders of these rolls alone.
///
/// With --ledger, the sessions that a sender was promised are held against those in the lake
/// instead: what was acknowledged and is missing, what is there more than once, and what is there
/// and in no ledger is listed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake verify
      The lake of the configuration, ./data/lake by default.

  sessionlake verify s3://bucket/prefix --rows --json
      A lake in a bucket, with every row's lineage, for a program to read.

  sessionlake verify --since 2d
      The last two days.

  sessionlake verify --since checkpoint --checkpoint
      Every night: what has landed since the night before. Writes to the lake.

  sessionlake verify --since 2d \\
      --metrics-file /var/lib/node_exporter/sessionlake.prom
      By a timer, where no server runs that has verify_every.

  sessionlake verify --ledger ledger.txt
      What `sessionlake simulate --ledger ledger.txt` was promised."))]
pub(super) struct Args {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Read the footer of every file and compare its rows, not only the sizes of files.
    #[arg(long)]
    footers: bool,
    /// Read the lineage of every row too, which finds a row that is there twice.
    #[arg(long)]
    rows: bool,
    /// Look only at rolls that have landed since: a day (2026-11-23, UTC), a time
    /// (2026-11-23T06:00:00Z), how long ago (36h, 2d), or the word checkpoint.
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// If all is well, write to the lake up to which roll each node was verified, for --since
    /// checkpoint.
    #[arg(long)]
    checkpoint: bool,
    /// Write the verdict as metrics to this file, whatever it is: for the textfile collector of
    /// node_exporter, which reads files that end with .prom.
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Compare with this ledger of a sender; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "footers", "rows", "since", "checkpoint", "metrics_file"])]
    ledger: Vec<PathBuf>,
    /// With --ledger, show at most so many ids of each kind.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "ledger")]
    top: usize,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, args.lake.clone())?;
    warn(&loaded.warnings);
    if !args.ledger.is_empty() {
        return super::ledger::run(&loaded.settings.lake, &args.ledger, args.top);
    }
    if args.checkpoint && matches!(args.since, Some(Since::At(_) | Since::Ago(_))) {
        return Err(Failure::Usage(anyhow::anyhow!(
            "--checkpoint says that everything up to a roll is well: leave out --since, or go on \
             from the last one with --since checkpoint"
        )));
    }
    let depth = match (args.rows, args.footers) {
        (true, _) => Depth::Rows,
        (false, true) => Depth::Footers,
        (false, false) => Depth::Sizes,
    };
    let now = DateTime::from_timestamp_micros(SystemClock.now().0).unwrap_or_default();
    let scope = args.since.map_or(Scope::All, |since| since.scope(now));
    let (runtime, began) = (runtime::with_log_threads()?, Instant::now());
    let look = || -> anyhow::Result<(Report, Lake)> {
        let lake = Lake::open_existing(&loaded.settings.lake)?;
        let logs = TableLogs::of(&lake, loaded.settings.catalog.as_ref());
        let report = verify::verify(&lake, &logs, scope, depth, Pace::Swift);
        Ok((runtime.block_on(report).context("cannot verify the lake")?, lake))
    };
    let looked = look();
    if let Some(file) = &args.metrics_file {
        let report = looked.as_ref().ok().map(|(report, _)| report);
        verify::write_textfile(file, report, SystemClock.now(), began.elapsed())
            .with_context(|| format!("cannot write the metrics to {}", file.display()))?;
    }
    let (report, lake) = looked?;
    if args.json {
        let text = serde_json::to_string_pretty(&report)
            .context("cannot make JSON of the report")
            .map_err(Failure::Running)?;
        out::json(&format!("{text}\n"))?;
    } else {
        out::report(&report.text())?;
    }
    if args.checkpoint && report.is_well() {
        let written = runtime.block_on(verify::write_checkpoints(&lake, &report, now));
        let written = written.context("cannot write the checkpoints")?;
        eprintln!("{written} checkpoints written to {}/{}", lake.location(), names::VERIFIED);
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
