//! `import`: files through the same engine as `serve`, with the lake as the log of rolls.
//!
//! The files of a command are a run: their rows share rolls, so that many small files do not make
//! many small objects. A file is known by its content, however it is named or packed; a run by its
//! files (`marks`). An interrupted run goes on exactly as it began when its files are given again:
//! pieces are cut at the same places (`pieces`), a roll that was sealed is made again of the same
//! pieces, and rolls with a receipt are left alone. Standard input is a run of its own and known by
//! nothing: an interrupted import of it begins anew, and doubles.

mod marks;
mod pieces;
mod report;

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use xxhash_rust::xxh3::xxh3_128;

use self::marks::{FileMark, LakeLog, Marks, Run};
use self::pieces::{Common, Pieces};
use super::engine::{self, Mode, Setup};
use super::feeding::Source;
use super::land::{Lander, Pace, Pauses};
use super::tables::{self, Tables};
use crate::batch::Limits;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Input};
use crate::privacy;
use crate::record::{Micros, Roll, Seq};
use crate::status::Readiness;
use crate::store::Lake;

/// Bytes of a piece, cut at the next end of a line. Written in the mark.
const PIECE_BYTES: usize = 4 << 20;

/// Imports files.
///
/// # Errors
/// A file that cannot be read, or was imported before; the lake. What was imported before the
/// error stays.
pub fn import(settings: config::Import) -> anyhow::Result<()> {
    let known = import_new(settings)?;
    if !known.is_empty() {
        bail!(
            "imported before, and left out: {}. To have the rows twice, give --again",
            known.join(", ")
        );
    }
    Ok(())
}

/// The same; returns the names of those that were imported before, which are left out.
///
/// # Errors
/// As [`import`], but for these.
pub fn import_new(settings: config::Import) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let key = tables::privacy_key(&settings.landing)?;
    let mut tables = tables::configured(&settings.landing, key.as_ref())?;
    // A file is of one table.
    tables.retain(|name, _| *name == settings.landing.table);
    let lake = Lake::open(&settings.lake)?;
    let marks = Marks { lake, runtime: runtime.handle().clone() };
    let import = Import { settings, marks, key, tables };
    let plan = import.plan()?;
    for planned in plan.runs {
        import.run(planned)?;
    }
    Ok(plan.known)
}

struct Import {
    settings: config::Import,
    marks: Marks,
    key: Option<privacy::Key>,
    tables: Tables,
}

/// Which runs to make or to go on with, and what was imported before.
struct Plan {
    runs: Vec<Planned>,
    known: Vec<String>,
}

struct Planned {
    node: String,
    run: Run,
    inputs: Vec<Input>,
}

/// A file that was given, and the hash of its content.
struct Given {
    input: Input,
    name: String,
    content: Option<String>,
}

impl Import {
    fn plan(&self) -> anyhow::Result<Plan> {
        let mut given = Vec::new();
        let mut seen = HashSet::new();
        let mut known = Vec::new();
        for input in &self.settings.inputs {
            let name = report::name(input);
            let content = marks::content(input)?;
            if content.as_ref().is_some_and(|content| !seen.insert(content.clone())) {
                known.push(format!("{name} (the same as another one here)"));
                continue;
            }
            given.push(Given { input: input.clone(), name, content });
        }
        let mut before = self.marks.runs()?;
        let mut runs = Vec::new();

        // Interrupted runs first: their files are partly in the lake.
        let mut open: Vec<_> = before.iter().filter(|(_, run)| !run.done).collect();
        open.sort_by_key(|(node, _)| node.as_str());
        for (node, run) in open {
            if let Some(inputs) = take(&mut given, run)? {
                tracing::info!("going on with an interrupted import of {} files", inputs.len());
                runs.push(Planned { node: node.clone(), run: run.clone(), inputs });
            }
        }
        before.retain(|_, run| run.done);
        let done: HashSet<&str> = before
            .values()
            .flat_map(|run| &run.files)
            .filter_map(|f| f.content.as_deref())
            .collect();
        let (mut files, mut streams) = (Vec::new(), Vec::new());
        for given in given {
            match &given.content {
                None => streams.push(given),
                Some(content) if done.contains(content.as_str()) && !self.settings.again => {
                    known.push(given.name);
                }
                Some(_) => files.push(given),
            }
        }
        if !files.is_empty() {
            let contents: Vec<&str> = files.iter().filter_map(|f| f.content.as_deref()).collect();
            let base = format!("import-{:032x}", xxh3_128(contents.concat().as_bytes()));
            let again = (2u64..).map(|n| format!("{base}-{n}"));
            let node = std::iter::once(base.clone())
                .chain(again)
                .find(|node| !before.contains_key(node))
                .unwrap_or(base);
            runs.push(self.new_run(node, files));
        }
        for stream in streams {
            let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
            runs.push(self.new_run(format!("stdin-{number:016x}"), vec![stream]));
        }
        Ok(Plan { runs, known })
    }

    fn new_run(&self, node: String, given: Vec<Given>) -> Planned {
        let (mut files, mut inputs) = (Vec::new(), Vec::new());
        for Given { input, name, content } in given {
            files.push(FileMark { name, content, first_seq: None });
            inputs.push(input);
        }
        let run = Run {
            version: 1,
            done: false,
            started_at_us: SystemClock.now().0,
            piece_bytes: PIECE_BYTES,
            files,
            tables: String::from_utf8(tables::to_settings(&self.tables)).unwrap_or_default(),
        };
        Planned { node, run, inputs }
    }

    /// Lands a run, from wherever it got to.
    fn run(&self, planned: Planned) -> anyhow::Result<()> {
        let Planned { node, mut run, inputs } = planned;
        let staging = Staging::take(&self.settings.lake.location, &node)?;
        self.marks.put(&node, &run)?;
        let again = match run.files.first() {
            Some(FileMark { content: Some(_), .. }) => {
                "the import is not complete; give the same command again to go on with it"
            }
            _ => "the import is not complete; what has landed stays, and would land twice",
        };
        let report = report::Report::new(&inputs, self.settings.quiet);
        let first_pieces = self.land(&node, &run, inputs, &staging, &report).context(again)?;
        for (file, first) in run.files.iter_mut().zip(first_pieces) {
            file.first_seq = Some(first.0);
        }
        run.done = true;
        self.marks.put(&node, &run)?;
        report.done(&run.files, &self.marks.receipts(&node)?)
    }

    fn land(
        &self,
        node: &str,
        run: &Run,
        inputs: Vec<Input>,
        staging: &Staging,
        report: &report::Report,
    ) -> anyhow::Result<Vec<Seq>> {
        let tables = tables::from_settings(run.tables.as_bytes(), self.key.as_ref())?;
        let table = tables.keys().next().cloned().ok_or_else(|| anyhow!("no table"))?;
        let receipts = self.marks.receipts(node)?;
        let mut roll = Roll(receipts.len() as u64 + 1);
        let common =
            Common { table, received_at: Micros(run.started_at_us), piece_bytes: run.piece_bytes };
        let mut source = Pieces::new(inputs, common, report.bar());
        source.from = receipts.last().map_or(Seq::FIRST, |last| Seq(last.last_seq).next());
        if let Some(range) = self.marks.sealed(node, roll)? {
            source.from = range.first;
            source.last = Some(range.last);
            let mode = Mode::Again(roll, range);
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
        let landing = &self.settings.landing;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let limits = Limits {
            age_us: i64::MAX,
            file_bytes: landing.roll_bytes,
            rows: landing.roll_rows.unwrap_or(u64::MAX),
            source_bytes: u64::MAX,
        };
        let setup = Setup {
            landing,
            limits,
            tables,
            staging: &staging.files,
            taken: report.lines(),
            clock: Arc::clone(&clock),
        };
        let lander = Lander {
            lake: self.marks.lake.clone(),
            node: node.into(),
            tables,
            runtime: self.marks.runtime.clone(),
            readiness: Arc::new(Readiness::new()),
            clock,
            pauses: Pauses::USUAL,
            pace: Pace::default(),
        };
        let mut log = LakeLog { marks: &self.marks, node };
        engine::run(&setup, &lander, source, &mut log, mode)
    }
}

/// Takes the files of an interrupted run out of those given; none when none of them is given.
fn take(given: &mut Vec<Given>, run: &Run) -> anyhow::Result<Option<Vec<Input>>> {
    let of_run = |one: &Given| {
        one.content.is_some() && run.files.iter().any(|file| file.content == one.content)
    };
    if !given.iter().any(of_run) {
        return Ok(None);
    }
    let missing: Vec<&str> = run
        .files
        .iter()
        .filter(|file| !given.iter().any(|one| one.content == file.content))
        .map(|file| file.name.as_str())
        .collect();
    if !missing.is_empty() {
        bail!(
            "some of these files belong to an import that was interrupted; to finish it, give \
             these as well: {}",
            missing.join(", ")
        );
    }
    let mut inputs = Vec::new();
    for file in &run.files {
        if let Some(at) = given.iter().position(|one| one.content == file.content) {
            inputs.push(given.remove(at).input);
        }
    }
    Ok(Some(inputs))
}

/// A directory for unfinished files, and the lock that keeps a second process from the same run.
/// What a crash left in it is of no use.
struct Staging {
    files: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Staging {
    fn take(lake: &config::Location, node: &str) -> anyhow::Result<Staging> {
        let base = match lake {
            // On the same file system, so that finished files are put in place without a copy.
            config::Location::Local(root) => root.clone(),
            _ => std::env::temp_dir(),
        };
        let files = base.join(format!(".staging-{node}"));
        let lock_path = base.join(format!(".staging-{node}.lock"));
        let failed = || format!("cannot lock {}", lock_path.display());
        let options = File::options().create(true).truncate(false).write(true).clone();
        let lock = options.open(&lock_path).with_context(failed)?;
        match lock.try_lock() {
            // Not a file that its last owner has removed since it was opened.
            Ok(()) if same_file(&lock, &lock_path) => Ok(Staging { files, lock_path, _lock: lock }),
            Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {
                bail!("another process is importing the same files into this lake")
            }
            Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }
}

fn same_file(open: &File, path: &Path) -> bool {
    let id = |file: &std::fs::Metadata| (file.dev(), file.ino());
    matches!((open.metadata(), path.metadata()), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}
