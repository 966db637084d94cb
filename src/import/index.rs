//! The index: claims for the manifests of all imports, so that the look-up of a file finds them.
//!
//! Earlier versions made no claims. The first import of this version into a lake makes them, from all
//! manifests, and marks that it has:
//!
//! ```text
//! _imports/index.json           {"version":3,"done":…,"canaries":[…]}
//! ```
//! The mark is put after the identity of the lake and before the manifests are listed, not done yet, in the form of a manifest of
//! version 3: earlier versions refuse that, so that none of them begins an import which the index lacks.
//! An import of theirs that is under way meanwhile may be missed: they are to be ended before.
//!
//! Killed at any point, it is done again by the next import. Claims that are there are left alone, so
//! that two processes may do it at once.
//!
//! It is done again too when marks are gone, as when a rule has cleaned up: then claims are made again
//! whose manifests are left, and receipts of imports whose manifests are gone are noticed. What tells
//! that marks are gone are canaries, each of which every import asks for: the oldest claim at the time
//! that the index was made, and a claim of no file that was made with it. So nothing escapes that
//! deletes by age, by folder or all. What deletes some claims and leaves both canaries does: their files
//! are taken for new, unless the import that is named after just the files given has a manifest or
//! receipts.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};

use serde::{Deserialize, Serialize};

use super::claims::{self, Claim};
use super::manifest::{self, ImportManifest, Manifests, VERSION};
use crate::lake::Lake;
use crate::lake::names::{self, ObjectName};

/// Manifests under way at a time.
const AT_ONCE: usize = 16;

/// Content of the claim that is a canary and of no file.
const NO_CONTENT: &str = "00000000000000000000000000000000";
/// Node of that claim: of no import.
const NO_NODE: &str = "index";

/// The index in the lake, in the form of a manifest.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    done: bool,
    started_at_us: i64,
    piece_bytes: usize,
    files: Vec<()>,
    tables: String,
    /// Names of claims that are there as long as no claim was deleted by age or with all others.
    #[serde(default)]
    canaries: Vec<String>,
}

/// Makes the index of the lake unless it is there. Returns the nodes of imports whose receipts are in
/// the lake and whose manifests are not; then the index is not marked as done yet
/// ([`mark`] does).
///
/// # Errors
/// The lake; a manifest that cannot be read or is of a newer version.
pub(super) fn ensure(manifests: &Manifests) -> anyhow::Result<BTreeSet<String>> {
    let Manifests { lake, runtime, .. } = manifests;
    let name = ObjectName::ImportIndex.to_string();
    let bytes = runtime.block_on(lake.get(&name))?;
    let there = bytes.as_ref().map(|bytes| manifest::parse("index", bytes)).transpose()?;
    if there.as_ref().is_some_and(|index| index.done) {
        let index: Option<Index> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if runtime.block_on(are_there(lake, &index.map_or_else(Vec::new, |i| i.canaries)))? {
            return Ok(BTreeSet::new());
        }
        tracing::warn!(
            "marks of imports are gone from _imports: those that are left are read again"
        );
    }
    manifests.identify()?;
    // Killed from here on, it is not done, whatever canaries are back by then.
    if there.is_none_or(|index| index.done) {
        put(manifests, false, Vec::new())?;
    }
    // Before the manifests: an import that another process begins meanwhile has a manifest before it
    // has a receipt.
    let with_receipts = runtime.block_on(lake.receipt_nodes())?;
    let listed = runtime.block_on(lake.list(names::IMPORTS))?;
    let nodes: BTreeSet<String> = listed
        .iter()
        .filter_map(|object| match ObjectName::parse(&object.name) {
            ObjectName::ImportManifest { node } => Some(node.to_owned()),
            _ => None,
        })
        .collect();
    if nodes.len() > 100 {
        tracing::info!("making an index of {} imports, once", nodes.len());
    }
    let indexed = futures::stream::iter(&nodes)
        .map(|node| index(lake, node))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>();
    runtime.block_on(indexed)?;
    let lost = |node: &String| is_of_files(node) && !nodes.contains(node);
    let forgotten: BTreeSet<String> = with_receipts.into_iter().filter(lost).collect();
    if forgotten.is_empty() {
        mark(manifests)?;
    }
    Ok(forgotten)
}

/// Marks the index as done.
///
/// # Errors
/// The lake.
pub(super) fn mark(manifests: &Manifests) -> anyhow::Result<()> {
    let Manifests { lake, runtime, .. } = manifests;
    let none = Claim { content: NO_CONTENT.to_owned(), number: 1, name: String::new() };
    runtime.block_on(claims::create(lake, NO_NODE, &none))?;
    let own = ObjectName::ImportClaim { content: NO_CONTENT, number: 1 }.to_string();
    let oldest = runtime.block_on(lake.oldest(names::IMPORT_CLAIMS))?;
    let oldest = oldest.filter(|oldest| *oldest != own);
    put(manifests, true, oldest.into_iter().chain([own]).collect())
}

/// Returns whether all `canaries` are there, and there are some.
async fn are_there(lake: &Lake, canaries: &[String]) -> anyhow::Result<bool> {
    let asked = canaries.iter().map(|name| lake.head(name));
    let found = futures::future::try_join_all(asked).await?;
    Ok(!found.is_empty() && found.iter().all(Option::is_some))
}

fn put(manifests: &Manifests, done: bool, canaries: Vec<String>) -> anyhow::Result<()> {
    let (version, tables, files) = (VERSION, String::new(), Vec::new());
    let index = Index { version, done, started_at_us: 0, piece_bytes: 0, files, tables, canaries };
    let name = ObjectName::ImportIndex.to_string();
    Ok(manifests.runtime.block_on(manifests.lake.put_bytes(&name, serde_json::to_vec(&index)?))?)
}

/// Makes the claims of the import `node`, and the note of one that is open.
async fn index(lake: &Lake, node: &str) -> anyhow::Result<()> {
    let Some(bytes) = lake.get(&names::import_manifest(node)).await? else { return Ok(()) };
    let ImportManifest { version, given_up, done, files, .. } = manifest::parse(node, &bytes)?;
    drop(bytes);
    // Of those, nobody knows which files were in.
    if version < 3 && given_up {
        return Ok(());
    }
    if !done && !given_up {
        lake.put_bytes(&ObjectName::ImportOpen { node }.to_string(), b"{}".to_vec()).await?;
    }
    for file in files {
        let Some(content) = file.content else { continue };
        let mut claimed = claims::of(lake, &content).await?;
        while !claimed.iter().any(|claimed| claimed == node) {
            let number = claimed.len() as u64 + 1;
            let (content, name) = (content.clone(), file.name.clone());
            claimed.push(claims::create(lake, node, &Claim { content, number, name }).await?);
        }
    }
    Ok(())
}

/// Returns whether the node is one that imports of files have: `import-<32 digits>`, or that with a
/// number behind it.
fn is_of_files(node: &str) -> bool {
    let Some(rest) = node.strip_prefix("import-") else { return false };
    let (hash, number) = rest.split_once('-').unwrap_or((rest, "2"));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    hash.len() == 32 && hash.bytes().all(is_hex) && is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_imports_are_told_from_those_of_receivers() {
        let hash = "0123456789abcdef0123456789abcdef";
        for node in [format!("import-{hash}"), format!("import-{hash}-12")] {
            assert!(is_of_files(&node), "{node}");
        }
        for node in ["import-host-1", "receiver-ta3bv6tk", "import-", &format!("replay-{hash}")] {
            assert!(!is_of_files(node), "{node}");
        }
    }
}
