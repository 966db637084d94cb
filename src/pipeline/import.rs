//! `import`: files through the same engine as `serve`, with the lake as the log of rolls.
//!
//! A file is known by its content: its node is `import-` and a hash of its bytes. Under
//! `_imports` lies a marker with what the import goes by (tables, time, size of a piece), so that an
//! interrupted import goes on exactly as it began: pieces are cut at the same places, a roll that
//! was sealed is made again with the same pieces, and rolls with a receipt are left alone.
//! Standard input is known by nothing: an interrupted import of it begins anew, and doubles.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3;

use super::engine::{self, Mode, Setup, Source};
use super::land::{Lander, RollLog};
use super::tables::{self, Tables};
use crate::batch::Limits;
use crate::clock::{Clock, SystemClock};
use crate::commit::Receipt;
use crate::config::{self, Input};
use crate::journal::{Next, Seal};
use crate::privacy;
use crate::record::{Body, Form, Micros, Roll, Seq, SeqRange};
use crate::status::Readiness;
use crate::store::{self, Lake};

/// Bytes of a piece, cut at the next end of a line. Written in the marker.
const PIECE_BYTES: usize = 4 << 20;
/// Longest line, and largest file that is one JSON array.
const LINE_BYTES: usize = 256 << 20;

/// What the import of a file goes by.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    file: String,
    done: bool,
    started_at_us: i64,
    piece_bytes: usize,
    tables: String,
}

/// A sealed roll of an import.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    first: u64,
    last: u64,
}

/// Imports files, one after the other.
///
/// # Errors
/// A file that cannot be read, or was imported before; the lake. What was imported before the
/// error stays.
pub fn import(settings: config::Import) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let key = tables::privacy_key(&settings.landing)?;
    let mut tables = tables::configured(&settings.landing, key.as_ref())?;
    // A file is of one table.
    tables.retain(|name, _| *name == settings.landing.table);
    let lake = Lake::open(&settings.lake)?;
    let staging = match &settings.lake.location {
        config::Location::Local(root) => root.join(format!(".staging-{}", std::process::id())),
        _ => std::env::temp_dir().join(format!("sessionlake-{}", std::process::id())),
    };
    let job = Import { settings, lake, tables, key, staging, runtime: runtime.handle().clone() };
    let mut known = Vec::new();
    let result = job.settings.inputs.iter().try_for_each(|input| job.one(input, &mut known));
    let _ = std::fs::remove_dir_all(&job.staging);
    result?;
    if !known.is_empty() {
        bail!(
            "imported before, and left out: {}. To have the rows twice, give --again",
            known.join(", ")
        );
    }
    Ok(())
}

struct Import {
    settings: config::Import,
    lake: Lake,
    tables: Tables,
    key: Option<privacy::Key>,
    staging: PathBuf,
    runtime: Handle,
}

impl Import {
    fn one(&self, input: &Input, known: &mut Vec<String>) -> anyhow::Result<()> {
        let (name, base) = match input {
            Input::Stdin => ("standard input".to_owned(), format!("stdin-{:016x}", random()?)),
            Input::File(path) => {
                let name = path.display().to_string();
                let hash = hash(path).with_context(|| format!("cannot read {name}"))?;
                (name, format!("import-{hash:032x}"))
            }
        };
        let mut node = base.clone();
        let mut again = 1;
        let marker = loop {
            match self.marker(&node)? {
                Some(marker) if marker.done && self.settings.again => {
                    again += 1;
                    node = format!("{base}-{again}");
                }
                Some(marker) if marker.done => {
                    known.push(name);
                    return Ok(());
                }
                Some(marker) => break marker,
                None => {
                    let tables = tables::to_settings(&self.tables);
                    let marker = Marker {
                        file: name.clone(),
                        done: false,
                        started_at_us: SystemClock.now().0,
                        piece_bytes: PIECE_BYTES,
                        tables: String::from_utf8(tables).unwrap_or_default(),
                    };
                    self.put_marker(&node, &marker)?;
                    break marker;
                }
            }
        };
        self.land(input, &name, &node, &marker).with_context(|| {
            format!("{name}: the import is not complete; give the same command to go on with it")
        })?;
        self.put_marker(&node, &Marker { done: true, ..marker })?;
        self.summary(&name, &node)
    }

    fn land(&self, input: &Input, name: &str, node: &str, marker: &Marker) -> anyhow::Result<()> {
        let tables = tables::from_settings(marker.tables.as_bytes(), self.key.as_ref())?;
        let table = tables.keys().next().cloned().ok_or_else(|| anyhow!("no table"))?;
        let (mut roll, mut from) = (Roll::FIRST, Seq::FIRST);
        while let Some(receipt) = self.receipt(node, roll)? {
            from = Seq(receipt.last_seq).next();
            roll = roll.next();
        }
        let sealed: Option<Sealed> = self.read(&sealed_name(node, roll))?;
        let bar = self.bar(input);
        let mut source = Pieces::open(input, table, marker, bar)
            .with_context(|| format!("cannot read {name}"))?;
        source.from = from;
        if let Some(Sealed { first, last }) = sealed {
            source.from = Seq(first);
            source.last = Some(Seq(last));
            let range = SeqRange { first: Seq(first), last: Seq(last) };
            self.engine(&tables, node, &mut source, Mode::Again(roll, range))?;
            source.last = None;
            roll = roll.next();
        }
        self.engine(&tables, node, &mut source, Mode::Live(roll))?;
        source.bar.finish_and_clear();
        Ok(())
    }

    fn engine(
        &self,
        tables: &Tables,
        node: &str,
        source: &mut Pieces,
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
        let setup =
            Setup { landing, limits, tables, staging: &self.staging, clock: Arc::clone(&clock) };
        let lander = Lander {
            lake: self.lake.clone(),
            node: node.into(),
            tables,
            runtime: self.runtime.clone(),
            readiness: Arc::new(Readiness::new()),
            clock,
        };
        let mut log = LakeLog {
            lake: self.lake.clone(),
            node: node.to_owned(),
            runtime: self.runtime.clone(),
        };
        engine::run(&setup, &lander, source, &mut log, mode)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(bytes) = self.runtime.block_on(self.lake.get(name))? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        Ok(Some(read.with_context(|| format!("{name} in the lake cannot be read"))?))
    }

    fn receipt(&self, node: &str, roll: Roll) -> anyhow::Result<Option<Receipt>> {
        self.read(&store::names::receipt(node, roll))
    }

    fn marker(&self, node: &str) -> anyhow::Result<Option<Marker>> {
        self.read(&store::names::import(node))
    }

    fn put_marker(&self, node: &str, marker: &Marker) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(marker)?;
        Ok(self.runtime.block_on(self.lake.put_bytes(&store::names::import(node), bytes))?)
    }

    fn bar(&self, input: &Input) -> ProgressBar {
        let bytes = match input {
            Input::File(path) => std::fs::metadata(path).map_or(0, |m| m.len()),
            Input::Stdin => 0,
        };
        if self.settings.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
        let bar = ProgressBar::new(bytes);
        bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
        bar
    }

    fn summary(&self, name: &str, node: &str) -> anyhow::Result<()> {
        if self.settings.quiet {
            return Ok(());
        }
        let (mut roll, mut rows, mut rejects, mut files) = (Roll::FIRST, 0, 0, 0);
        while let Some(receipt) = self.receipt(node, roll)? {
            rows += receipt.rows;
            rejects += receipt.rejects;
            files += receipt.tables.iter().map(|t| t.files.len()).sum::<usize>();
            roll = roll.next();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{name}: {rows} rows in {files} files, {rejects} lines in quarantine")?;
        Ok(())
    }
}

fn sealed_name(node: &str, roll: Roll) -> String {
    store::names::sealed(node, roll)
}

fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| anyhow!("no random number: {e}"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn hash(path: &Path) -> std::io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Seals in the lake; a commit is the receipt itself.
struct LakeLog {
    lake: Lake,
    node: String,
    runtime: Handle,
}

impl RollLog for LakeLog {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        let SeqRange { first, last } = seal.range;
        let bytes = serde_json::to_vec(&Sealed { first: first.0, last: last.0 })?;
        let name = sealed_name(&self.node, seal.roll);
        Ok(self.runtime.block_on(self.lake.put_bytes(&name, bytes))?)
    }

    fn committed(&mut self, _roll: Roll) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A file in pieces of whole lines.
struct Pieces {
    input: Box<dyn Read + Send>,
    table: Arc<str>,
    received_at: Micros,
    piece_bytes: usize,
    /// Read, and not yet handed out.
    rest: Vec<u8>,
    next: Seq,
    line: u64,
    ended: bool,
    array: bool,
    from: Seq,
    last: Option<Seq>,
    bar: ProgressBar,
}

impl Pieces {
    fn open(
        input: &Input,
        table: Arc<str>,
        marker: &Marker,
        bar: ProgressBar,
    ) -> std::io::Result<Pieces> {
        let raw: Box<dyn Read + Send> = match input {
            Input::Stdin => Box::new(std::io::stdin()),
            Input::File(path) => Box::new(File::open(path)?),
        };
        let mut raw = BufReader::with_capacity(1 << 20, bar.wrap_read(raw));
        let head = raw.fill_buf()?;
        let input: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(raw))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
        } else {
            Box::new(raw)
        };
        Ok(Pieces {
            input,
            table,
            received_at: Micros(marker.started_at_us),
            piece_bytes: marker.piece_bytes,
            rest: Vec::new(),
            next: Seq::FIRST,
            line: 1,
            ended: false,
            array: false,
            from: Seq::FIRST,
            last: None,
            bar,
        })
    }

    /// The next piece: at least `piece_bytes` and to the end of a line, or what is left.
    fn piece(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut want = self.piece_bytes;
        loop {
            if self.rest.len() < want && !self.ended {
                let missing = (want - self.rest.len()) as u64;
                let read = (&mut self.input).take(missing).read_to_end(&mut self.rest)?;
                self.ended = (read as u64) < missing;
            }
            if self.next == Seq::FIRST {
                let first = self.rest.iter().find(|b| !b.is_ascii_whitespace());
                self.array = first == Some(&b'[');
            }
            if self.ended {
                break;
            }
            if !self.array
                && let Some(at) = memchr::memrchr(b'\n', &self.rest)
            {
                let after = self.rest.split_off(at + 1);
                return Ok(Some(std::mem::replace(&mut self.rest, after)));
            }
            want *= 2;
            if want > LINE_BYTES {
                let what = if self.array { "a JSON array" } else { "a line" };
                bail!("{what} of more than {} MiB", LINE_BYTES >> 20);
            }
        }
        Ok(Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty()))
    }
}

impl Source for Pieces {
    fn next(&mut self, _timeout: Duration) -> anyhow::Result<Next> {
        loop {
            if self.last.is_some_and(|last| self.next > last) {
                return Ok(Next::Closed);
            }
            let Some(bytes) = self.piece()? else { return Ok(Next::Closed) };
            let (seq, first_line) = (self.next, self.line);
            self.next = seq.next();
            self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            if seq >= self.from {
                return Ok(Next::Body(Body {
                    seq,
                    received_at: self.received_at,
                    table: Arc::clone(&self.table),
                    form: Form::Ndjson,
                    first_line,
                    bytes: Bytes::from(bytes),
                }));
            }
        }
    }
}
