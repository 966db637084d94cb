//! The quarantine: files of lines that are no rows, their entries, and the lines as they came.
//!
//! A file is NDJSON, an entry a line: `{"code":"…","reason":"…","seq":7,"line":3,"raw":"…"}`. Entries
//! of builds up to 0.1.0 have no code.

use std::collections::BTreeMap;

use base64::Engine as _;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};

use super::names::{self, ObjectName};
use super::{Lake, StoreError};
use crate::error_text::shown;
use crate::json::number;

/// One file of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineFile {
    /// Its name, relative to the lake.
    pub path: String,
    /// The table that its lines were sent to.
    pub table: String,
    /// The node that received them.
    pub node: String,
    /// The roll that they were part of.
    pub roll: u64,
    /// Its size.
    pub bytes: u64,
}

/// A line in quarantine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// The kind of the line's defect: one of the decoder's codes, or one of a later version. `None`
    /// in entries that were written before there were codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason for people.
    pub reason: String,
    /// The body it came in.
    #[serde(deserialize_with = "number")]
    pub seq: u64,
    /// Its number in the body, counted from 1.
    #[serde(deserialize_with = "number")]
    pub line: u64,
    /// The line: a text, or `{"base64": …}` when it is none.
    pub raw: serde_json::Value,
}

/// Code of an update's document. By itself such a line passes for a document.
const UPDATE_DOCUMENT: &str = "update_document";
/// The beginning of the reason of an update's document, in entries that have no code.
const UPDATE_DOCUMENT_REASON: &str = "the document of an update action";

impl QuarantineEntry {
    /// Tells whether the line belongs to an update action, which is an entry of its own.
    #[must_use]
    pub fn is_of_update(&self) -> bool {
        match &self.code {
            Some(code) => code == UPDATE_DOCUMENT,
            None => self.reason.starts_with(UPDATE_DOCUMENT_REASON),
        }
    }

    /// Returns the line's bytes as they came.
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

/// Counts of entries by code and by reason.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quarantined {
    /// Number of entries of each code; those without one are in no count.
    pub codes: BTreeMap<String, u64>,
    /// Number of entries of each reason.
    pub reasons: BTreeMap<String, u64>,
    /// Number of entries.
    pub entries: u64,
}

impl Quarantined {
    /// Counts an entry.
    pub fn add(&mut self, entry: &QuarantineEntry) {
        if let Some(code) = &entry.code {
            *self.codes.entry(code.clone()).or_default() += 1;
        }
        *self.reasons.entry(entry.reason.clone()).or_default() += 1;
        self.entries += 1;
    }
}

/// A quarantine file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The store would not read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// A line of the file is no entry.
    #[error("line {line} is no entry: {}", shown(&source.to_string()))]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
}

impl Lake {
    /// Lists the files of the quarantine by name; those of one table if `table` is given.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn quarantine(&self, table: Option<&str>) -> Result<Vec<QuarantineFile>, StoreError> {
        let listed = self.list(names::QUARANTINE).await?;
        let mut found: Vec<QuarantineFile> = listed
            .into_iter()
            .filter_map(|object| match ObjectName::parse(&object.name) {
                ObjectName::Quarantine { table: of, node, roll }
                    if table.is_none_or(|table| table == of) =>
                {
                    Some(QuarantineFile {
                        table: of.to_owned(),
                        node: node.to_owned(),
                        roll: roll.0,
                        bytes: object.bytes,
                        path: object.name,
                    })
                }
                _ => None,
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Returns the entries of the quarantine file `path`. Reads it whole.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub async fn quarantine_entries(
        &self,
        path: &str,
    ) -> Result<Vec<QuarantineEntry>, QuarantineError> {
        let bytes = self.get(path).await?.ok_or(QuarantineError::Missing)?;
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| {
                serde_json::from_slice(line)
                    .map_err(|source| QuarantineError::Malformed { line: at + 1, source })
            })
            .collect()
    }

    /// Returns the number of entries of the quarantine file `path`, or `None` when there is no such
    /// file. Holds a part of the file at a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn quarantine_count(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let mut bytes = match self.store.get(&self.path(path)?).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(|e| self.failed(e))?.into_stream(),
        };
        let mut count = 0;
        while let Some(some) = bytes.try_next().await.map_err(|e| self.failed(e))? {
            count += memchr::memchr_iter(b'\n', &some).count() as u64;
        }
        Ok(Some(count))
    }
}
