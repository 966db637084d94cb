//! Claims: the files that imports have taken, by the hash of their content.
//!
//! ```text
//! _imports/files/<content>.json            the first claim
//! _imports/files/<content>-<number>.json   2, 3 …: of imports after the ones before were given up, or
//!                                          of files that were imported again
//! ```
//! An import claims each of its files before it creates its manifest, and lands only what it has
//! claimed. A claim is created and never replaced or deleted, so of two imports that want a file one
//! gets it, also from two machines and whatever answers are lost. It counts as long as the manifest of
//! its node has the file and the import was not given up. A claim whose import has no manifest yet is of
//! a process that begins, or was killed while it began: it binds nobody, since the first one to create
//! the manifest decides which files it has.
//!
//! Claims are the index of the manifests as well: the look-up of a file reads its claims and the
//! manifests of their nodes, and nothing else, however many imports the lake has seen.

use std::collections::HashMap;

use anyhow::{Context as _, anyhow};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::lake::Lake;
use crate::lake::names::ObjectName;

/// Requests under way at a time.
const REQUESTS: usize = 16;

/// A claim in the lake.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ClaimRecord {
    /// Node of the import.
    node: String,
    /// Name of the file, for people.
    name: String,
}

/// A claim that an import needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Hash of the file's content.
    pub(super) content: String,
    /// Its number among the claims of the file.
    pub(super) number: u64,
    /// Name of the file.
    pub(super) name: String,
}

/// Returns the nodes of the claims of each of `contents`, in the order of their numbers.
///
/// # Errors
/// The lake; a claim that cannot be read.
pub(super) fn look_up(
    lake: &Lake,
    runtime: &Handle,
    contents: Vec<String>,
) -> anyhow::Result<HashMap<String, Vec<String>>> {
    let look_ups = futures::stream::iter(contents)
        .map(|content| async move { anyhow::Ok((content.clone(), of(lake, &content).await?)) })
        .buffer_unordered(REQUESTS);
    runtime.block_on(look_ups.try_collect())
}

/// Returns the nodes of the claims of a file.
///
/// # Errors
/// As of [`look_up`].
pub(super) async fn of(lake: &Lake, content: &str) -> anyhow::Result<Vec<String>> {
    let mut nodes = Vec::new();
    while let Some(claim) = read(lake, content, nodes.len() as u64 + 1).await? {
        nodes.push(claim.node);
    }
    Ok(nodes)
}

/// Claims files for the import `node`. Returns, in the order of `claims`, the node of another import
/// that has the claim, or `None` if `node` has it; also when it had it before.
///
/// # Errors
/// The lake; a claim that cannot be read. Claiming again is safe.
pub(super) fn claim(
    lake: &Lake,
    runtime: &Handle,
    node: &str,
    claims: &[Claim],
) -> anyhow::Result<Vec<Option<String>>> {
    let requests = futures::stream::iter(claims)
        .map(|claim| async move {
            let owner = create(lake, node, claim).await?;
            anyhow::Ok((owner != node).then_some(owner))
        })
        .buffered(REQUESTS);
    runtime.block_on(requests.try_collect())
}

/// Creates a claim. Returns the node that has it.
///
/// # Errors
/// As of [`claim`].
pub(super) async fn create(lake: &Lake, node: &str, claim: &Claim) -> anyhow::Result<String> {
    let name =
        ObjectName::ImportClaim { content: &claim.content, number: claim.number }.to_string();
    let record = ClaimRecord { node: node.to_owned(), name: claim.name.clone() };
    if lake.create_bytes(&name, serde_json::to_vec(&record)?).await? {
        return Ok(record.node);
    }
    // Of a process that may have died before the directory was synced.
    lake.make_durable(&name).await?;
    let there = read(lake, &claim.content, claim.number).await?;
    Ok(there.ok_or_else(|| anyhow!("{name} is there and is not there"))?.node)
}

async fn read(lake: &Lake, content: &str, number: u64) -> anyhow::Result<Option<ClaimRecord>> {
    let name = ObjectName::ImportClaim { content, number }.to_string();
    let Some(bytes) = lake.get(&name).await? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    Ok(Some(read.with_context(|| format!("{name} in the lake cannot be read"))?))
}
