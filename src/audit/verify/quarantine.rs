//! What is in quarantine: files, their entries, and the lines as they came.

use std::collections::BTreeMap;

use base64::Engine as _;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::{below, ours, whole};

/// One file of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineFile {
    /// Its path below the lake.
    pub path: String,
    /// Its table.
    pub table: String,
    /// Whose lines it has.
    pub node: String,
    /// And of which roll.
    pub roll: u64,
    /// Its size.
    pub bytes: u64,
}

/// A line in quarantine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Why it is no row.
    pub reason: String,
    /// The body it came in.
    pub seq: u64,
    /// Its number in the body.
    pub line: u64,
    /// The line: a text, or `{"base64": …}` when it is none.
    pub raw: serde_json::Value,
}

/// How the reason of an update's document begins. By itself such a line passes for a document.
const OF_UPDATE: &str = "the document of an update action";

impl Entry {
    /// Whether the line belongs to an update action, which is an entry of its own.
    #[must_use]
    pub fn is_of_update(&self) -> bool {
        self.reason.starts_with(OF_UPDATE)
    }

    /// The line's bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match &self.raw {
            serde_json::Value::String(text) => text.clone().into_bytes(),
            other => other
                .get("base64")
                .and_then(|text| text.as_str())
                .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
                .unwrap_or_default(),
        }
    }
}

/// Entries by reason.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quarantined {
    /// How many there are of each reason.
    pub reasons: BTreeMap<String, u64>,
    /// How many there are.
    pub entries: u64,
}

impl Quarantined {
    /// Counts an entry.
    pub fn add(&mut self, entry: &Entry) {
        *self.reasons.entry(entry.reason.clone()).or_default() += 1;
        self.entries += 1;
    }
}

/// The files of the quarantine, by name; of one table if one is given.
///
/// # Errors
/// The store cannot be listed.
pub async fn list_quarantine(
    store: &dyn ObjectStore,
    prefix: &Path,
    table: Option<&str>,
) -> Result<Vec<QuarantineFile>, object_store::Error> {
    let folder = prefix.clone().join("_quarantine");
    let mut found: Vec<QuarantineFile> = store
        .list(Some(&folder))
        .try_filter_map(|meta| {
            let path = below(prefix, &meta.location);
            let file = ours(&path).and_then(|(node, roll)| {
                let table = path.split('/').nth(1)?.to_owned();
                let (node, bytes) = (node.to_owned(), meta.size);
                Some(QuarantineFile { table, node, roll, bytes, path: path.clone() })
            });
            futures::future::ready(Ok(file))
        })
        .try_collect()
        .await?;
    found.retain(|file| table.is_none_or(|table| file.table == table));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The entries of a file. Reads it whole.
///
/// # Errors
/// It cannot be read, or a line of it is no entry.
pub async fn entries(
    store: &dyn ObjectStore,
    prefix: &Path,
    path: &str,
) -> anyhow::Result<Vec<Entry>> {
    let bytes = store.get(&whole(prefix, path)?).await?.bytes().await?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
}
