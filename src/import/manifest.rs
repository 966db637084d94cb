//! Import manifests: the lake's memory of imports, and the seals of their rolls.
//!
//! ```text
//! _imports/<node>.json          manifest: files by content, all that decides the chunks, state
//! _imports/<node>/<roll>.json   seal: the chunks of a roll, written before its first file
//! _imports/tables/<hash>.json   the tables of manifests
//! _imports/open/<node>.json     there while the import is not done
//! ```
//! A manifest is created before the first roll of its import, once its files are claimed
//! ([`super::claims`]), and replaced only to say that the import is done or was given up. So an
//! interrupted import is known, and goes on exactly as it began. What of it is in the lake follows from
//! its seals and receipts, which are never replaced.
//!
//! Two processes may work at the same import, on two machines for example. Only one of them creates
//! the manifest and each seal; the other one stops. A roll that is sealed may be made by both, of the
//! same chunks. An import is given up by a seal without chunks, after which no process seals a roll.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::xxh3_128;

use super::chunker::ChunkRule;
use crate::json::{optional, pairs};
use crate::lake::names::{self, ObjectName};
use crate::lake::{Lake, LakeId, Receipt};
use crate::record::{Micros, Roll};
use crate::table::Tables;

/// Version of manifests. Chunks of version 1 were cut by [`ChunkRule::Lines`], those of version 2 by
/// [`ChunkRule::Actions`]. Up to version 2, seals do not name files, and the manifest has its tables
/// itself.
pub(super) const VERSION: u32 = 3;

/// Bytes of a chunk of a new import, cut near an end of a line.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

/// Objects read at a time.
const READS: usize = 16;
/// Most bytes of a chunk that any version has asked for.
const MOST_CHUNK_BYTES: usize = 256 << 20;

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
    /// Its table, as a seal of the journal has it; since version 3 the hash of that, under which it is
    /// among the tables of manifests.
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
            tables: hash_of(&tables.to_json()),
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

    /// Returns whether its seals name files, so that each file is in or not by itself.
    pub(super) fn has_extents(&self) -> bool {
        self.version >= 3 && self.entries.is_none()
    }

    /// Returns whether its files can be read only once: nothing can go on with it.
    pub(super) fn is_of_stream(&self) -> bool {
        self.entries.is_none() && self.files.iter().any(|file| file.content.is_none())
    }

    /// Returns the index of the file with this content.
    pub(super) fn file(&self, content: &str) -> Option<usize> {
        self.files.iter().position(|file| file.content.as_deref() == Some(content))
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
    /// Length of its decompressed content, if that is known.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// Its first chunk (`seq` in `_ingest_id` and quarantine), once the import is done.
    #[serde(default, deserialize_with = "optional")]
    pub(super) first_seq: Option<u64>,
    /// Its chunks as ranges from first to last, when those of other files are between them.
    #[serde(default, deserialize_with = "pairs", skip_serializing_if = "Vec::is_empty")]
    pub(super) ranges: Vec<(u64, u64)>,
}

impl ManifestFile {
    /// A file that is to be imported.
    pub(super) fn new(name: String, content: Option<String>) -> ManifestFile {
        ManifestFile { name, content, bytes: None, first_seq: None, ranges: Vec::new() }
    }
}

/// The manifests in a lake.
pub(super) struct Manifests {
    pub(super) lake: Lake,
    pub(super) runtime: Handle,
    /// Distinguishes this process from all others.
    pub(super) token: String,
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

    /// Gives a lake its identity that has none yet. From here on nothing is written to a directory that
    /// is not this lake. To be called before anything is written.
    ///
    /// # Errors
    /// The lake; trying again is safe.
    pub(super) fn identify(&self) -> anyhow::Result<()> {
        let id = self.runtime.block_on(self.lake.identify(&LakeId::random()?))?;
        self.lake.expect(&id);
        Ok(())
    }

    /// Reads the manifests of `nodes`. Those that there are not are left out.
    ///
    /// # Errors
    /// The lake; a manifest that cannot be read or is of a newer version.
    pub(super) fn of(
        &self,
        nodes: BTreeSet<String>,
    ) -> anyhow::Result<HashMap<String, ImportManifest>> {
        let reads = futures::stream::iter(nodes)
            .map(|node| async move {
                let bytes = self.lake.get(&names::import_manifest(&node)).await?;
                let manifest = bytes.map(|bytes| parse(&node, &bytes)).transpose()?;
                anyhow::Ok(manifest.map(|manifest| (node, manifest)))
            })
            .buffer_unordered(READS)
            .try_filter_map(|read| async move { Ok(read) });
        self.runtime.block_on(reads.try_collect())
    }

    /// Reads the manifest of `node` as it is now.
    ///
    /// # Errors
    /// As of [`Manifests::of`].
    pub(super) fn get(&self, node: &str) -> anyhow::Result<Option<ImportManifest>> {
        let bytes = self.runtime.block_on(self.lake.get(&names::import_manifest(node)))?;
        bytes.map(|bytes| parse(node, &bytes)).transpose()
    }

    /// Creates the manifest of a new import, whose table is that of `tables`. Returns the one that is
    /// there if another process has created it.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn create(
        &self,
        node: &str,
        manifest: &ImportManifest,
        tables: &Tables,
    ) -> anyhow::Result<Option<ImportManifest>> {
        let tables = tables.to_json();
        let aside = ObjectName::ImportTables { hash: &hash_of(&tables) }.to_string();
        let note = ObjectName::ImportOpen { node }.to_string();
        let name = names::import_manifest(node);
        let bytes = serde_json::to_vec_pretty(manifest)?;
        self.runtime.block_on(async {
            if !self.lake.create_bytes(&aside, tables).await? {
                self.lake.make_durable(&aside).await?;
            }
            self.lake.put_bytes(&note, b"{}".to_vec()).await?;
            if self.lake.create_bytes(&name, bytes.clone()).await? {
                return Ok(None);
            }
            self.lake.make_durable(&name).await?;
            let there = self.lake.get(&name).await?.unwrap_or_default();
            // Our own, and the answer was lost.
            if there == bytes { Ok(None) } else { parse(node, &there).map(Some) }
        })
    }

    /// Reads the tables of a manifest. `own` are those of this process, in case that they are the same.
    ///
    /// # Errors
    /// The lake; tables that are not there or cannot be read.
    pub(super) fn tables(&self, manifest: &ImportManifest, own: &Tables) -> anyhow::Result<Tables> {
        let hash = &manifest.tables;
        if hash.starts_with('[') {
            return Tables::from_json(hash.as_bytes());
        }
        let json = own.to_json();
        if hash_of(&json) == *hash {
            return Tables::from_json(&json);
        }
        let name = ObjectName::ImportTables { hash }.to_string();
        let json = self.runtime.block_on(self.lake.get(&name))?;
        Tables::from_json(&json.ok_or_else(|| anyhow!("{name} is not in the lake any more"))?)
    }

    /// Replaces the manifest of `node`. Of an import that is not open any more, the note of it is
    /// deleted, if it can be.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn put(&self, node: &str, manifest: &ImportManifest) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(manifest)?;
        self.runtime.block_on(async {
            self.lake.put_bytes(&names::import_manifest(node), bytes).await?;
            if !manifest.is_open()
                && let Err(error) = self.lake.forget_open_import(node).await
            {
                tracing::debug!("the note of {node} stays: {error}");
            }
            Ok(())
        })
    }

    /// Returns the nodes of imports that have begun and may not be done, in order.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn open_nodes(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.runtime.block_on(self.lake.list(names::OPEN_IMPORTS))?;
        let mut nodes: Vec<String> = listed
            .iter()
            .filter_map(|object| match ObjectName::parse(&object.name) {
                ObjectName::ImportOpen { node } => Some(node.to_owned()),
                _ => None,
            })
            .collect();
        nodes.sort();
        Ok(nodes)
    }

    /// Returns whether the lake has a receipt of the first roll of `node`.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn has_receipt(&self, node: &str) -> anyhow::Result<bool> {
        let name = names::receipt(node, Roll::FIRST);
        Ok(self.runtime.block_on(self.lake.head(&name))?.is_some())
    }

    /// Reads the receipts of an import, in order.
    ///
    /// # Errors
    /// The lake; a receipt that cannot be read.
    pub(super) fn receipts(&self, node: &str) -> anyhow::Result<Vec<Receipt>> {
        Ok(self.runtime.block_on(self.lake.receipts_of(node))?)
    }
}

pub(super) fn parse(node: &str, bytes: &[u8]) -> anyhow::Result<ImportManifest> {
    let name = names::import_manifest(node);
    let manifest: ImportManifest = serde_json::from_slice(bytes)
        .with_context(|| format!("{name} in the lake cannot be read"))?;
    ensure!(manifest.version <= VERSION, "{name} is of a newer version of this program");
    ensure!(manifest.chunk_bytes <= MOST_CHUNK_BYTES, "{name} in the lake has chunks of no use");
    Ok(manifest)
}

/// Returns the hash of a list of tables: 32 hexadecimal digits.
fn hash_of(tables: &[u8]) -> String {
    format!("{:032x}", xxh3_128(tables))
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
        assert!(!manifest.has_extents());
        assert!(manifest.is_open());
        let again: serde_json::Value =
            serde_json::from_slice(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
