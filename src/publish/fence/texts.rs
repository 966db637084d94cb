//! What is told of a fence or a lake that is not this node's, and what to do about it.

use super::super::lake_file::LakeFile;
use crate::lake::{Lake, LakeId, StoreError, names};

/// Says that the fence of `node` stays as it is, and what that means.
pub(super) fn warn_of_kept(node: &str, error: &StoreError) {
    tracing::warn!(
        "{} may not be replaced ({error}): landing goes on without it. A copy of this state directory \
         is noticed by receipts alone, which are created and never replaced. Let these credentials \
         replace objects (Google: storage.objects.delete; Amazon: s3:PutObject; and no retention \
         policy on _nodes/)",
        names::fence(node)
    );
}

/// Says that the state directory is not the one that lands as its node.
pub(super) fn fenced(lake: &Lake, node: &str, file: &LakeFile, found: &str) -> String {
    let (fence, file) = (names::fence(node), file.path());
    let state = file.parent().unwrap_or(&file).display();
    format!(
        "{fence} in {lake}: {found}. So {state} is an older copy or a clone of the state directory of \
         node {node}. Nothing more is sealed or put, and what this directory has acknowledged stays in \
         its journal: `sessionlake rescue` reads the segments and writes their bodies as NDJSON, which \
         `sessionlake import` lands. Start with the newest state directory of this node, or with an \
         empty one, which is a new node. If no other directory of this node will ever be started again, delete {fence}, and this \
         one goes on if the lake has no roll that it does not know",
        lake = lake.location()
    )
}

/// Says that the lake is not the one that the state directory remembers.
pub(super) fn wrong_lake(
    lake: &str,
    file: &LakeFile,
    expected: &LakeId,
    found: Option<LakeId>,
) -> String {
    let (identity, file) = (names::IDENTITY, file.path());
    let file = file.display();
    let found = match found {
        Some(found) => format!("{identity} in {lake} says that it is lake {found}"),
        None => format!("there is no {identity} in {lake}"),
    };
    format!(
        "{found}, and this node lands in lake {expected}, as {file} says: is the lake not mounted, was \
         it deleted, or is this another directory or bucket? No roll was put there. Bring the lake back, \
         or name the right one. To go on in this one, replace `\"lake\":\"{expected}\"` by \
         `\"lake\":null` in {file}: what waits in the journal lands there then; what has landed stays \
         in the other"
    )
}
