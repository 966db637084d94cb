//! `import`: files through the same engine as `serve`, with the lake as the log of rolls.
//!
//! The files of a command are a run: their rows share rolls, so that many small files do not make
//! many small objects. A file is known by its content, however it is named or packed; a run by its
//! files (`marks`). An interrupted run goes on exactly as it began when its files are given again:
//! pieces are cut at the same places (`pieces`), a roll that was sealed is made again of the same
//! pieces, and rolls with a receipt are left alone. What can be read only once (standard input,
//! pipes) is a run of its own and known by nothing: an interrupted import of it begins anew, and
//! doubles. A file that has another content when it is landed than when it was hashed is an error,
//! and its run is not done.
//!
//! Lines of the quarantine that are landed again (`replay`) are a run too.
//!
//! One process at a time lands a run: on one machine by a lock (`staging`), over machines by the
//! marks and seals in the lake, of which each has one maker.

mod chunk_source;
mod chunker;
mod manifest;
mod options;
mod planner;
mod replay;
mod report;
mod staging;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio_util::sync::CancellationToken;

use self::chunk_source::{Common, Files, Origin, Pieces};
use self::chunker::Rule;
use self::manifest::{FileMark, LakeLog, Marks, Run};
use self::planner::Planned;
use self::staging::Staging;
use crate::batch::Limits;
use crate::clock::{Clock, SystemClock};
use crate::lake::Lake;
use crate::privacy;
use crate::publish::publisher::{Pace, Pauses, Publisher};
use crate::record::{Micros, Roll, Seq};
use crate::roll::engine::{Engine, Mode};
use crate::roll::source::Source;
use crate::status::{LogObserver, Observer, Observers, Readiness};
use crate::table::Tables;

pub use options::{Input, Options};
pub use replay::{Replay, Replayed};

/// Bytes of a piece, cut near an end of a line. Written in the mark.
const PIECE_BYTES: usize = 4 << 20;

/// Imports files.
///
/// # Errors
/// A file that cannot be read, or was imported before; the lake. What was imported before the
/// error stays.
pub fn import(options: Options) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let import = Import::open(options, runtime.handle().clone())?;
    let plan = import.plan()?;
    for Planned { node, run, new, inputs } in plan.runs {
        let report = report::Report::new(&inputs, import.options.quiet);
        let contents = run.files.iter().map(|file| file.content.clone());
        let inputs = inputs.into_iter().zip(contents).collect();
        let origin = Origin::Files(Files::new(inputs, report.bar()));
        let run = import.run(&node, run, new, origin, &report)?;
        report.done(&run.files, &import.marks.receipts(&node)?)?;
    }
    if !plan.known.is_empty() {
        bail!(
            "imported before, and left out: {}. To have the rows twice, give --again",
            plan.known.join(", ")
        );
    }
    Ok(())
}

/// Ends the interrupted import `node` for good: what has landed of it stays, and its files are no
/// longer asked for. Returns their names.
///
/// # Errors
/// There is no such import, or it is under way; the lake.
pub fn give_up(options: Options, node: &str) -> anyhow::Result<Vec<String>> {
    let runtime = runtime()?;
    Import::open(options, runtime.handle().clone())?.give_up(node)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("cannot start the asynchronous runtime")
}

struct Import {
    options: Options,
    marks: Marks,
    key: Option<privacy::Key>,
    tables: Tables,
}

impl Import {
    fn open(options: Options, runtime: tokio::runtime::Handle) -> anyhow::Result<Import> {
        let lake = Lake::open(&options.lake)?;
        Import::on(options, lake, runtime)
    }

    fn on(options: Options, lake: Lake, runtime: tokio::runtime::Handle) -> anyhow::Result<Import> {
        let key = options.privacy_key.as_deref().map(privacy::Key::read).transpose()?;
        let tables = Tables::new(vec![options.table.clone()])?;
        privacy::Applied::by_table(&tables, key.as_ref())?;
        let marks = Marks::new(lake, runtime)?;
        Ok(Import { options, marks, key, tables })
    }

    /// Lands a run, from wherever it got to. Returns it as it is then.
    fn run(
        &self,
        node: &str,
        run: Run,
        new: bool,
        origin: Origin,
        report: &report::Report,
    ) -> anyhow::Result<Run> {
        let staging = Staging::take(&self.options.lake.location, node)?;
        let mut run = self.begin(node, run, new)?;
        let again = match run.files.first() {
            Some(FileMark { content: None, .. }) if run.entries.is_none() => {
                "the import is not complete; what has landed stays, and would land twice"
            }
            _ => "the import is not complete; give the same command again to go on with it",
        };
        let first_pieces = self.land(node, &run, origin, &staging, report).context(again)?;
        for (file, first) in run.files.iter_mut().zip(first_pieces) {
            file.first_seq = Some(first.0);
        }
        run.done = true;
        self.marks.put(node, &run)?;
        Ok(run)
    }

    /// Puts the mark of a new run; of one that goes on, looks whether it is as it was when it was
    /// planned, before the lock was taken.
    fn begin(&self, node: &str, run: Run, new: bool) -> anyhow::Result<Run> {
        let ours = if new {
            self.marks.create(node, &run)?
        } else {
            self.marks.run(node)?.is_some_and(|there| there.is_open())
        };
        ensure!(
            ours,
            "another process has taken up the same import ({node}) meanwhile; give the command \
             again to see how far it has come"
        );
        if run.tables.as_bytes() != self.tables.to_json() {
            tracing::warn!(
                "{node} goes on with the table, schema and partitions that it began with, which \
                 are not those of this command"
            );
        }
        Ok(run)
    }

    fn give_up(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let _staging = Staging::take(&self.options.lake.location, node)?;
        let run = self.marks.run(node)?.filter(Run::is_open);
        let Some(mut run) = run else {
            let runs = self.marks.runs()?;
            let open = runs.into_iter().filter(|(_, run)| run.is_open());
            let mut open: Vec<String> = open.map(|(node, _)| node).collect();
            open.sort();
            let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            bail!("no interrupted import has the name {node}; in this lake there are: {open}");
        };
        run.given_up = true;
        self.marks.put(node, &run)?;
        Ok(run.files.into_iter().map(|file| file.name).collect())
    }

    fn land(
        &self,
        node: &str,
        run: &Run,
        origin: Origin,
        staging: &Staging,
        report: &report::Report,
    ) -> anyhow::Result<Vec<Seq>> {
        let tables = Tables::from_json(run.tables.as_bytes())?;
        let table = tables.specs().first().ok_or_else(|| anyhow!("no table"))?;
        let table = Arc::clone(&table.name);
        let receipts = self.marks.receipts(node)?;
        let mut roll = Roll(receipts.len() as u64 + 1);
        let rule = match run.version {
            1 => Rule::Lines,
            _ => Rule::Documents,
        };
        let (received_at, piece_bytes) = (Micros(run.started_at_us), run.piece_bytes);
        let common = Common { table, received_at, piece_bytes, rule };
        let mut source = Pieces::new(origin, common);
        source.from = receipts.last().map_or(Seq::FIRST, |last| Seq(last.last_seq).next());
        if let Some(range) = self.marks.sealed(node, roll)? {
            source.from = range.first;
            source.last = Some(range.last);
            let mode = Mode::Redo(roll, range);
            self.engine(&tables, node, &mut source, staging, report, mode)?;
            source.last = None;
            roll = roll.next();
        }
        self.engine(&tables, node, &mut source, staging, report, Mode::Live(roll))?;
        Ok(source.first_pieces)
    }

    fn engine(
        &self,
        tables: &Tables,
        node: &str,
        source: &mut dyn Source,
        staging: &Staging,
        report: &report::Report,
        mode: Mode,
    ) -> anyhow::Result<()> {
        let options = &self.options.roll;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let observers: Vec<Arc<dyn Observer>> =
            vec![Arc::new(LogObserver::quiet()), report.lines()];
        let observers = Observers::new(Arc::clone(&clock), observers);
        let limits = Limits {
            age_us: i64::MAX,
            file_bytes: options.roll_bytes,
            rows: options.roll_rows.unwrap_or(u64::MAX),
            source_bytes: u64::MAX,
        };
        let engine = Engine {
            options,
            node: node.into(),
            limits,
            tables,
            privacy_key: self.key.as_ref(),
            staging: &staging.files,
            clock,
            observers: &observers,
        };
        let publisher = Publisher {
            lake: self.marks.lake.clone(),
            node: node.into(),
            tables,
            runtime: self.marks.runtime.clone(),
            readiness: Arc::new(Readiness::new()),
            pauses: Pauses::USUAL,
            pace: Pace::default(),
            observers: observers.clone(),
            stop: CancellationToken::new(),
        };
        let mut log = LakeLog { marks: &self.marks, node };
        let again = matches!(mode, Mode::Redo(..));
        engine.run(source, mode, &mut |finished| {
            publisher.publish(&mut log, finished, again).map(drop)
        })
    }
}
