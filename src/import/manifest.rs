//! Import manifests: the lake's memory of imports, and the seals of their rolls.
//!
//! ```text
//! _imports/<node>.json          manifest: files by content, all that decides the chunks, state
//! _imports/<node>/<roll>.json   seal: the chunks of a roll, written before its first file
//! ```
//! A manifest is written before the first roll of its import, and once more when the import is done.
//! So an interrupted import is known, and goes on exactly as it began.
//!
//! Two processes may work at the same import, on two machines for example. Only one of them creates
//! the manifest and each seal; the other one stops. A roll that is sealed may be made by both, of the
//! same chunks.

use std::collections::HashMap;

use anyhow::{Context as _, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::chunker::ChunkRule;
use crate::lake::Lake;
use crate::lake::Receipt;
use crate::lake::names::{self, ObjectName};
use crate::publish::Seal;
use crate::publish::publisher::RollLog;
use crate::record::{Micros, Roll, Seq, SeqRange};
use crate::table::Tables;

/// Version of manifests. Chunks of version 1 were cut by [`ChunkRule::Lines`], those of version 2 by
/// [`ChunkRule::Actions`].
pub(super) const VERSION: u32 = 3;

/// Bytes of a chunk of a new import, cut near an end of a line.
const CHUNK_BYTES: usize = 4 << 20;

/// Manifests read at a time.
const READS: usize = 16;

/// The manifest of an import: files that are imported together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ImportManifest {
    /// Version of this form.
    pub(super) version: u32,
    /// All of it has landed.
    pub(super) done: bool,
    /// The import was ended for good before it was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) given_up: bool,
    /// `_ingest_time` of its rows.
    pub(super) started_at_us: i64,
    /// Size of a chunk.
    #[serde(rename = "piece_bytes")]
    pub(super) chunk_bytes: usize,
    /// Its files, in order.
    pub(super) files: Vec<ManifestFile>,
    /// Entries of the quarantine file that a replay lands, as ranges from first to last, counted
    /// from 1; none for an import of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entries: Option<Vec<(u64, u64)>>,
    /// Its table, as a seal of the journal has it.
    pub(super) tables: String,
}

impl ImportManifest {
    /// Makes the manifest of a new import that starts at `now`.
    pub(super) fn new(files: Vec<ManifestFile>, tables: &Tables, now: Micros) -> ImportManifest {
        ImportManifest {
            version: VERSION,
            done: false,
            given_up: false,
            started_at_us: now.0,
            chunk_bytes: CHUNK_BYTES,
            files,
            entries: None,
            tables: String::from_utf8(tables.to_json()).unwrap_or_default(),
        }
    }

    /// Returns the rule by which its files are cut.
    pub(super) fn chunk_rule(&self) -> ChunkRule {
        match self.version {
            1 => ChunkRule::Lines,
            2 => ChunkRule::Actions,
            _ => ChunkRule::Documents,
        }
    }

    /// Returns whether the import was interrupted or is under way.
    pub(super) fn is_open(&self) -> bool {
        !self.done && !self.given_up
    }
}

/// A file of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    /// Name under which it was imported.
    pub(super) name: String,
    /// Hash of its decompressed content; none for what can be read only once.
    pub(super) content: Option<String>,
    /// Its first chunk (`seq` in `_ingest_id` and quarantine), once the import is done.
    pub(super) first_seq: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SealRecord {
    /// First chunk of the roll.
    first: u64,
    /// Last chunk of the roll.
    last: u64,
    /// Token of the process that sealed it.
    #[serde(default)]
    by: String,
}

/// The manifests in a lake.
pub(super) struct Manifests {
    pub(super) lake: Lake,
    pub(super) runtime: Handle,
    /// Distinguishes this process from all others.
    token: String,
}

impl Manifests {
    /// Makes a handle to the manifests in `lake`. Requests run on `runtime`.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new(lake: Lake, runtime: Handle) -> anyhow::Result<Manifests> {
        let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
        Ok(Manifests { lake, runtime, token: format!("{number:016x}") })
    }

    /// Reads all manifests, by node.
    ///
    /// # Errors
    /// The lake; a manifest that cannot be read or is of a newer version.
    pub(super) fn all(&self) -> anyhow::Result<HashMap<String, ImportManifest>> {
        let listed = self.runtime.block_on(self.lake.list(names::IMPORTS))?;
        let nodes = listed.iter().filter_map(|object| match ObjectName::parse(&object.name) {
            ObjectName::ImportManifest { node } => Some(node),
            _ => None,
        });
        let reads = futures::stream::iter(nodes.map(str::to_owned))
            .map(|node| async move {
                let bytes =
                    self.lake.get(&names::import_manifest(&node)).await?.unwrap_or_default();
                let manifest = parse(&node, &bytes)?;
                anyhow::Ok((node, manifest))
            })
            .buffer_unordered(READS);
        self.runtime.block_on(reads.try_collect())
    }

    /// Reads the manifest of `node` as it is now.
    ///
    /// # Errors
    /// As of [`Manifests::all`].
    pub(super) fn get(&self, node: &str) -> anyhow::Result<Option<ImportManifest>> {
        let bytes = self.runtime.block_on(self.lake.get(&names::import_manifest(node)))?;
        bytes.map(|bytes| parse(node, &bytes)).transpose()
    }

    /// Creates the manifest of a new import. Returns false if another process has.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn create(&self, node: &str, manifest: &ImportManifest) -> anyhow::Result<bool> {
        let name = names::import_manifest(node);
        let bytes = serde_json::to_vec_pretty(manifest)?;
        let ours = self.runtime.block_on(self.lake.create_bytes(&name, bytes.clone()))?;
        // Or it is our own, and the answer was lost.
        Ok(ours || self.runtime.block_on(self.lake.get(&name))? == Some(bytes))
    }

    /// Replaces the manifest of `node`.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn put(&self, node: &str, manifest: &ImportManifest) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(manifest)?;
        Ok(self.runtime.block_on(self.lake.put_bytes(&names::import_manifest(node), bytes))?)
    }

    /// Seals a roll for this process alone.
    ///
    /// # Errors
    /// The lake; another process has sealed the roll.
    fn seal(&self, node: &str, seal: &Seal) -> anyhow::Result<()> {
        let SeqRange { first, last } = seal.range;
        let ours = SealRecord { first: first.0, last: last.0, by: self.token.clone() };
        let name = names::import_seal(node, seal.roll);
        let bytes = serde_json::to_vec(&ours)?;
        if self.runtime.block_on(self.lake.create_bytes(&name, bytes))? {
            return Ok(());
        }
        // The answer to an earlier attempt may have been lost.
        let theirs: Option<SealRecord> = self.read(&name)?;
        ensure!(
            theirs.is_some_and(|theirs| theirs == ours),
            "another process goes on with the same import, on another machine perhaps: it has \
             sealed roll {} of {node}",
            seal.roll
        );
        Ok(())
    }

    /// Reads the chunks of a roll that was sealed, or `None` if it was not.
    ///
    /// # Errors
    /// The lake; a seal that cannot be read.
    pub(super) fn sealed(&self, node: &str, roll: Roll) -> anyhow::Result<Option<SeqRange>> {
        let sealed: Option<SealRecord> = self.read(&names::import_seal(node, roll))?;
        Ok(sealed.map(|sealed| SeqRange { first: Seq(sealed.first), last: Seq(sealed.last) }))
    }

    /// Reads the receipts of an import, in order.
    ///
    /// # Errors
    /// The lake; a receipt that cannot be read.
    pub(super) fn receipts(&self, node: &str) -> anyhow::Result<Vec<Receipt>> {
        Ok(self.runtime.block_on(self.lake.receipts_of(node))?)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(bytes) = self.runtime.block_on(self.lake.get(name))? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        Ok(Some(read.with_context(|| format!("{name} in the lake cannot be read"))?))
    }
}

fn parse(node: &str, bytes: &[u8]) -> anyhow::Result<ImportManifest> {
    let name = names::import_manifest(node);
    let manifest: ImportManifest = serde_json::from_slice(bytes)
        .with_context(|| format!("{name} in the lake cannot be read"))?;
    ensure!(manifest.version <= VERSION, "{name} is of a newer version of this program");
    Ok(manifest)
}

/// The roll log of an import: seals are in the lake, and the receipt of a roll is its commit.
pub(super) struct LakeRollLog<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) node: &'a str,
}

impl RollLog for LakeRollLog<'_> {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        self.manifests.seal(self.node, seal)
    }

    fn committed(&mut self, _roll: Roll) -> anyhow::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_in_the_lake_stays_as_it_is() {
        let text = r#"{"version":2,"done":false,"started_at_us":5,"piece_bytes":13,
            "files":[{"name":"a","content":"00ff","first_seq":null}],
            "entries":[[1,2]],"tables":"[]"}"#;
        let manifest = parse("n", text.as_bytes()).unwrap();
        assert_eq!((manifest.chunk_bytes, manifest.chunk_rule()), (13, ChunkRule::Actions));
        assert!(manifest.is_open());
        let again: serde_json::Value =
            serde_json::from_slice(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
