//! Checkpoints: the roll up to which a node was verified, `_verified/<node>.json`.
//!
//! A checkpoint is written only when it is asked for, after a verification that found nothing wrong.
//! Where rolls of a node wait for the log of a table, it is of the last roll before them, so that they
//! are held against the log by a later verification; a node of which every roll waits gets none. It is
//! used only when it is asked for, and only if the receipt of its roll is the one it was written for,
//! byte for byte. What happened to earlier rolls since is not noticed; a verification of everything looks
//! at no checkpoint.

use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::Depth;
use super::report::{NodeReport, Report};
use crate::lake::{Lake, StoreError, names};
use crate::record::Roll;

/// Version of the form of checkpoints.
const VERSION: u32 = 1;
/// Checkpoints written at a time.
const AT_A_TIME: usize = 16;

#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    /// RFC 3339.
    verified_at: String,
    depth: Depth,
    /// Digest of the bytes of the last roll's receipt.
    receipt: String,
    #[serde(flatten)]
    sums: NodeReport,
}

/// The state of a node's checkpoint.
pub(super) enum Known {
    /// There is none.
    None,
    /// The sums up to its roll.
    Sums(NodeReport),
    /// It cannot be used, with the reason.
    Doubtful(String),
}

/// Writes a checkpoint for every node of `report`, and returns their number: none if something is
/// off, or if rolls before a time were not looked at.
///
/// # Errors
/// [`StoreError`]; some may have been written.
///
/// # Cancel safety
/// Each is written whole or not at all.
pub async fn write_checkpoints(
    lake: &Lake,
    report: &Report,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if !report.is_well() || report.since.is_some() {
        return Ok(0);
    }
    // Rolls that wait for a log have to be looked at again.
    let seen = report.nodes.iter().map(|node| node.visible.as_deref().unwrap_or(node));
    // Nothing new since the last one.
    let changed = seen.filter(|node| node.last_roll > node.after_roll);
    stream::iter(changed.collect::<Vec<_>>())
        .map(|node| async move {
            let Some(receipt) = digest(lake, node).await? else { return Ok(0) };
            let checkpoint = Checkpoint {
                version: VERSION,
                verified_at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
                depth: node.before.map_or(report.depth, |before| before.min(report.depth)),
                receipt,
                sums: NodeReport { after_roll: 0, ..node.clone() },
            };
            let bytes = serde_json::to_vec_pretty(&checkpoint).unwrap_or_default();
            lake.put_bytes(&names::verified(&node.node), bytes).await?;
            Ok::<u64, StoreError>(1)
        })
        .buffer_unordered(AT_A_TIME)
        .try_fold(0, |sum, one| async move { Ok(sum + one) })
        .await
}

/// Reads the checkpoint of `node`, and holds it against the receipt of its roll.
///
/// # Errors
/// The store would not read.
pub(super) async fn read(lake: &Lake, node: &str) -> Result<Known, StoreError> {
    let Some(bytes) = lake.get(&names::verified(node)).await? else { return Ok(Known::None) };
    let checkpoint = match serde_json::from_slice::<Checkpoint>(&bytes) {
        Ok(checkpoint) if checkpoint.version == VERSION && checkpoint.sums.node == node => {
            checkpoint
        }
        Ok(_) => return Ok(Known::Doubtful("it is of another node or version".to_owned())),
        Err(error) => return Ok(Known::Doubtful(error.to_string())),
    };
    if digest(lake, &checkpoint.sums).await?.as_ref() != Some(&checkpoint.receipt) {
        let roll = checkpoint.sums.last_roll;
        let why = format!("the receipt of roll {roll} is not the one that it was written for");
        return Ok(Known::Doubtful(why));
    }
    let before = Some(checkpoint.depth);
    Ok(Known::Sums(NodeReport { before, ..checkpoint.sums }))
}

/// Returns the digest of the last roll's receipt, if there is one.
async fn digest(lake: &Lake, node: &NodeReport) -> Result<Option<String>, StoreError> {
    let bytes = lake.get(&names::receipt(&node.node, Roll(node.last_roll))).await?;
    Ok(bytes.map(|bytes| format!("{:032x}", xxh3_128(&bytes))))
}
