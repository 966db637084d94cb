//! The commits of a table that are still in its log, read for the files that they removed.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use super::super::table_log;
use crate::lake::names::ObjectName;
use crate::lake::{Lake, StoreError};
use crate::table::Format;

/// Commits read at a time.
const AT_A_TIME: usize = 8;

/// Findings of the commits about some files.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The log still has its first commit, and every one after it.
    pub(super) is_whole: bool,
    /// Those of the files that a commit removed, by their [`hash`].
    pub(super) removed: HashSet<u128>,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    remove: Option<Remove<'a>>,
}

#[derive(Deserialize)]
struct Remove<'a> {
    #[serde(borrow)]
    path: std::borrow::Cow<'a, str>,
}

impl History {
    /// Reads the commits of `table` up to `version`, and looks for `files`, hashes of names in the lake.
    /// In memory are some commits at a time, and these hashes.
    ///
    /// # Errors
    /// The store.
    pub(super) async fn read(
        lake: &Lake,
        table: &str,
        version: u64,
        files: &HashSet<u128>,
    ) -> Result<History, StoreError> {
        let listed = lake.list(&table_log::folder(table, Format::Delta)).await?;
        let mut commits: Vec<(u64, String)> = listed
            .into_iter()
            .filter_map(|object| Some((number(&object.name)?, object.name)))
            .filter(|(number, _)| *number <= version)
            .collect();
        commits.sort_unstable();
        let mut history =
            History { is_whole: commits.len() as u64 == version + 1, removed: HashSet::new() };
        let mut texts = stream::iter(commits)
            .map(|(_, name)| async move { lake.get(&name).await })
            .buffered(AT_A_TIME);
        while let Some(text) = texts.try_next().await? {
            // It was cleaned up meanwhile.
            let Some(text) = text else {
                history.is_whole = false;
                continue;
            };
            let removed = removed(table, &text).filter(|path| files.contains(path));
            history.removed.extend(removed);
        }
        Ok(history)
    }
}

/// Returns the hash by which a name in the lake is remembered: millions of files may have been replaced.
pub(super) fn hash(path: &str) -> u128 {
    xxh3_128(path.as_bytes())
}

/// Returns the files that a commit removes, as hashes of names in the lake.
fn removed(table: &str, commit: &[u8]) -> impl Iterator<Item = u128> {
    let path = move |line: &[u8]| {
        let Remove { path } = serde_json::from_slice::<Action<'_>>(line).ok()?.remove?;
        let path = percent_decode_str(&path).decode_utf8().ok()?;
        Some(hash(&format!("{table}/{path}")))
    };
    commit.split(|byte| *byte == b'\n').filter_map(path)
}

/// Returns the version of a commit by its name: twenty digits.
fn number(name: &str) -> Option<u64> {
    let ObjectName::TableLog { file, .. } = ObjectName::parse(name) else { return None };
    let digits = file.strip_suffix(".json")?;
    let is_version = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_version.then(|| digits.parse().ok()).flatten()
}
