//! The report of an import: progress while it works, and a summary.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::manifest::ManifestFile;
use super::options::Input;
use crate::error_text::shown;
use crate::lake::Receipt;
use crate::record::Micros;
use crate::status::{Observer, RollEvent};
use crate::table::hive_path::NULL_PARTITION;

/// Seconds between two lines of progress where there is no terminal.
const LINE_EVERY_S: u64 = 10;

/// Returns the name of `input` for people.
pub(super) fn name(input: &Input) -> String {
    match input {
        Input::Stdin => "standard input".to_owned(),
        Input::File(path) => path.display().to_string(),
    }
}

/// Prints the names of files that have no line, unless `quiet`.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_empty(names: &[String], quiet: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for name in names.iter().filter(|_| !quiet) {
        writeln!(out, "{}: empty, nothing to import", shown(name))?;
    }
    Ok(())
}

/// Counts the lines that are taken into rolls.
#[derive(Debug, Default)]
pub(super) struct Lines(AtomicU64);

impl Lines {
    fn now(&self) -> HumanCount {
        HumanCount(self.0.load(Ordering::Relaxed))
    }
}

impl Observer for Lines {
    fn observe(&self, _at: Micros, event: &RollEvent) {
        if let RollEvent::Filling { lines, .. } = event {
            self.0.fetch_add(*lines, Ordering::Relaxed);
        }
    }
}

/// The report of one import.
pub(super) struct Report {
    bar: ProgressBar,
    quiet: bool,
    started: Instant,
    lines: Arc<Lines>,
    stop: Option<std::sync::mpsc::Sender<()>>,
}

impl Report {
    /// Starts to show progress, unless `quiet`.
    pub(super) fn new(inputs: &[Input], quiet: bool) -> Report {
        let size = |input: &Input| match input {
            Input::File(path) => {
                std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|f| f.len())
            }
            Input::Stdin => None,
        };
        let bytes: Option<u64> = inputs.iter().map(size).sum();
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::no_length(),
        };
        let lines = Arc::new(Lines::default());
        let mut stop = None;
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            stop = (!quiet).then(|| print_lines(&bar, Arc::clone(&lines)));
        } else {
            let style = match bytes {
                Some(_) => {
                    "{bar:20} {decimal_bytes} of {decimal_total_bytes}, {rows} rows, \
                     {decimal_bytes_per_sec}, {eta} left"
                }
                None => "{spinner} {decimal_bytes}, {rows} rows, {decimal_bytes_per_sec}",
            };
            let shown = Arc::clone(&lines);
            let rows = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{}", shown.now());
            };
            let style =
                ProgressStyle::with_template(style).map(|style| style.with_key("rows", rows));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Report { bar, quiet, started: Instant::now(), lines, stop }
    }

    /// Returns the bar that counts the bytes read.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Returns the observer that counts the lines.
    pub(super) fn lines(&self) -> Arc<Lines> {
        Arc::clone(&self.lines)
    }

    /// Ends the progress and prints the summary, unless `quiet`.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn done(
        mut self,
        files: &[ManifestFile],
        receipts: &[Receipt],
    ) -> anyhow::Result<()> {
        self.stop.take();
        self.bar.finish_and_clear();
        if self.quiet {
            return Ok(());
        }
        let what = match files {
            [file] => shown(&file.name),
            files => format!("{} files", files.len()),
        };
        let sum = |of: fn(&Receipt) -> u64| receipts.iter().map(of).fold(0, u64::saturating_add);
        let (rows, rejects) = (sum(|receipt| receipt.rows), sum(|receipt| receipt.rejects));
        let landed: Vec<_> =
            receipts.iter().flat_map(|r| &r.tables).flat_map(|t| &t.files).collect();
        let bytes = landed.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.bar.position() as f64 / 1e6 / seconds.max(1e-3);
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{what}: {} rows in {} Parquet files ({}), {} lines in quarantine; {} read in \
             {seconds:.1} s, {rate:.0} MB/s",
            HumanCount(rows),
            HumanCount(landed.len() as u64),
            DecimalBytes(bytes),
            HumanCount(rejects),
            DecimalBytes(self.bar.position()),
        )?;
        let doubled = sum(|receipt| receipt.doubled);
        if doubled > 0 {
            writeln!(out, "{} documents equal others and were left out", HumanCount(doubled))?;
        }
        let unmatched = sum(|receipt| receipt.unmatched);
        if unmatched > 0 {
            writeln!(
                out,
                "{} of {} documents filled no column: is this the right table or schema?",
                HumanCount(unmatched),
                HumanCount(rows),
            )?;
        }
        let without = without_value(receipts);
        if without > 0 {
            writeln!(
                out,
                "{} of {} rows have no value of their partition that fits ({NULL_PARTITION}): \
                 `sessionlake fields` lists values that do not fit",
                HumanCount(without),
                HumanCount(rows),
            )?;
        }
        for quarantine in
            receipts.iter().flat_map(|r| &r.tables).filter_map(|t| t.quarantine.as_ref())
        {
            writeln!(out, "quarantine: {}", shown(&quarantine.path))?;
        }
        Ok(())
    }
}

/// Returns the number of rows of documents in partitions of rows without a value.
fn without_value(receipts: &[Receipt]) -> u64 {
    let tables = receipts.iter().flat_map(|receipt| &receipt.tables).filter(|of| !of.derived);
    let files = tables.flat_map(|of| &of.files).filter(|file| file.path.contains(NULL_PARTITION));
    files.map(|file| file.rows).fold(0, u64::saturating_add)
}

/// Prints a line of progress every few seconds until the sender is dropped.
fn print_lines(bar: &ProgressBar, lines: Arc<Lines>) -> std::sync::mpsc::Sender<()> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let bar = bar.clone();
    let every = std::time::Duration::from_secs(LINE_EVERY_S);
    std::thread::spawn(move || {
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
            let of = bar.length().map_or(String::new(), |all| format!(" of {}", DecimalBytes(all)));
            let rows = lines.now();
            let mut out = std::io::stderr().lock();
            let _ = writeln!(out, "{}{of} read, {rows} rows", DecimalBytes(bar.position()));
        }
    });
    stop
}
