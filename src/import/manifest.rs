//! What the lake remembers of imports: a mark a run, and the seal of each of its rolls.
//!
//! ```text
//! _imports/<node>.json          a run: its files by content, what it goes by, whether it is done
//! _imports/<node>/<roll>.json   the pieces of a roll, before anything of the roll is written
//! ```
//! A mark is written before the first roll of its run, and once more when the run is done. So an
//! interrupted run is known, and goes on exactly as it began.
//!
//! Two processes, on two machines say, may be at the same run. Of a new mark and of a seal only one
//! is the maker; the other stops. A roll that is sealed they may both make, of the same pieces.

use std::collections::HashMap;
use std::io::Read as _;

use anyhow::{Context as _, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3;

use super::chunker;
use super::options::Input;
use crate::journal::Seal;
use crate::lake::Lake;
use crate::lake::Receipt;
use crate::lake::names::{self, ObjectName};
use crate::publish::publisher::RollLog;
use crate::record::{Roll, Seq, SeqRange};

/// Version of marks. Pieces of version 1 were cut by [`super::chunker::Rule::Lines`].
pub(super) const VERSION: u32 = 2;

/// Marks read at a time.
const READS: usize = 16;

/// A run: files that are imported together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Version of this form.
    pub(super) version: u32,
    /// Whether all of it has landed.
    pub(super) done: bool,
    /// Whether nobody is to go on with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) given_up: bool,
    /// `_ingest_time` of its rows.
    pub(super) started_at_us: i64,
    /// Size of a piece.
    pub(super) piece_bytes: usize,
    /// Its files, in order.
    pub(super) files: Vec<FileMark>,
    /// Of a replay, whose one file is of the quarantine: which entries, first to last, counted
    /// from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entries: Option<Vec<(u64, u64)>>,
    /// Schema and partition template of its table, as a seal has them.
    pub(super) tables: String,
}

impl Run {
    /// Whether it was interrupted, or is under way.
    pub(super) fn is_open(&self) -> bool {
        !self.done && !self.given_up
    }
}

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMark {
    /// Its name when it was imported.
    pub(super) name: String,
    /// Hash of its content, unpacked; none for what can be read only once.
    pub(super) content: Option<String>,
    /// Its first piece (`seq` in `_ingest_id` and quarantine), once the run is done.
    pub(super) first_seq: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sealed {
    first: u64,
    last: u64,
    /// Token of the process that sealed it.
    #[serde(default)]
    by: String,
}

/// The marks in a lake.
pub(super) struct Marks {
    pub(super) lake: Lake,
    pub(super) runtime: Handle,
    /// Tells this process from all others.
    token: String,
}

impl Marks {
    pub(super) fn new(lake: Lake, runtime: Handle) -> anyhow::Result<Marks> {
        let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
        Ok(Marks { lake, runtime, token: format!("{number:016x}") })
    }

    /// All runs, by node.
    pub(super) fn runs(&self) -> anyhow::Result<HashMap<String, Run>> {
        let listed = self.runtime.block_on(self.lake.list(names::IMPORTS))?;
        let nodes = listed.iter().filter_map(|object| match ObjectName::parse(&object.name) {
            ObjectName::ImportManifest { node } => Some(node),
            _ => None,
        });
        let reads = futures::stream::iter(nodes.map(str::to_owned))
            .map(|node| async move {
                let bytes =
                    self.lake.get(&names::import_manifest(&node)).await?.unwrap_or_default();
                let run = parse(&node, &bytes)?;
                anyhow::Ok((node, run))
            })
            .buffer_unordered(READS);
        self.runtime.block_on(reads.try_collect())
    }

    /// The run as it is now.
    pub(super) fn run(&self, node: &str) -> anyhow::Result<Option<Run>> {
        let bytes = self.runtime.block_on(self.lake.get(&names::import_manifest(node)))?;
        bytes.map(|bytes| parse(node, &bytes)).transpose()
    }

    /// Puts the mark of a new run; false if another process has.
    pub(super) fn create(&self, node: &str, run: &Run) -> anyhow::Result<bool> {
        let (name, bytes) = (names::import_manifest(node), serde_json::to_vec_pretty(run)?);
        let ours = self.runtime.block_on(self.lake.create_bytes(&name, bytes.clone()))?;
        // Or it is our own, and the answer was lost.
        Ok(ours || self.runtime.block_on(self.lake.get(&name))? == Some(bytes))
    }

    pub(super) fn put(&self, node: &str, run: &Run) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(run)?;
        Ok(self.runtime.block_on(self.lake.put_bytes(&names::import_manifest(node), bytes))?)
    }

    /// Seals a roll, for this process alone.
    fn seal(&self, node: &str, seal: &Seal) -> anyhow::Result<()> {
        let SeqRange { first, last } = seal.range;
        let ours = Sealed { first: first.0, last: last.0, by: self.token.clone() };
        let name = names::import_seal(node, seal.roll);
        let bytes = serde_json::to_vec(&ours)?;
        if self.runtime.block_on(self.lake.create_bytes(&name, bytes))? {
            return Ok(());
        }
        // The answer to an earlier attempt may have been lost.
        let theirs: Option<Sealed> = self.read(&name)?;
        ensure!(
            theirs.is_some_and(|theirs| theirs == ours),
            "another process goes on with the same import, on another machine perhaps: it has \
             sealed roll {} of {node}",
            seal.roll
        );
        Ok(())
    }

    pub(super) fn sealed(&self, node: &str, roll: Roll) -> anyhow::Result<Option<SeqRange>> {
        let sealed: Option<Sealed> = self.read(&names::import_seal(node, roll))?;
        Ok(sealed.map(|sealed| SeqRange { first: Seq(sealed.first), last: Seq(sealed.last) }))
    }

    /// The receipts of a run, in order.
    pub(super) fn receipts(&self, node: &str) -> anyhow::Result<Vec<Receipt>> {
        Ok(self.runtime.block_on(self.lake.receipts_of(node))?)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(bytes) = self.runtime.block_on(self.lake.get(name))? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        Ok(Some(read.with_context(|| format!("{name} in the lake cannot be read"))?))
    }
}

fn parse(node: &str, bytes: &[u8]) -> anyhow::Result<Run> {
    let name = names::import_manifest(node);
    let run: Run = serde_json::from_slice(bytes)
        .with_context(|| format!("{name} in the lake cannot be read"))?;
    ensure!(run.version <= VERSION, "{name} is of a newer version of this program");
    Ok(run)
}

/// Seals in the lake; a commit is the receipt itself.
pub(super) struct LakeLog<'a> {
    pub(super) marks: &'a Marks,
    pub(super) node: &'a str,
}

impl RollLog for LakeLog<'_> {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        self.marks.seal(self.node, seal)
    }

    fn committed(&mut self, _roll: Roll) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The hash that a file is known by: of its content, however it is packed. None for what can be
/// read only once: standard input, pipes, devices.
pub(super) fn content(input: &Input) -> anyhow::Result<Option<String>> {
    let Input::File(path) = input else { return Ok(None) };
    let name = || format!("cannot read {}", path.display());
    // Not by opening it: that waits for a pipe's other end, and closing it again ends that.
    let about = std::fs::metadata(path).with_context(name)?;
    if !about.is_file() && !about.is_dir() {
        return Ok(None);
    }
    let mut file = chunker::unpacked(Box::new(chunker::open(path)?)).with_context(name)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).with_context(name)? {
            0 => return Ok(Some(hash(&hasher))),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// A hash as marks have it.
pub(super) fn hash(hasher: &Xxh3) -> String {
    format!("{:032x}", hasher.digest128())
}
