//! The contents of a table by its catalog, as of one snapshot: live files and marks.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use super::addresses::Addresses;
use super::manifest;
use super::manifest_list::ManifestFile;
use super::node_of;
use super::rest::protocol::Metadata;
use crate::commit::LogError;
use crate::commit::delta::LiveFile;
use crate::lake::Lake;
use crate::record::Roll;

/// A table as of the snapshot that was the latest when it was opened.
pub(crate) struct IcebergView {
    pub(super) lake: Lake,
    pub(super) name: String,
    pub(super) addresses: Addresses,
    pub(super) runtime: Handle,
    /// The table, as people write it.
    pub(super) shown: String,
    pub(super) table: Metadata,
    pub(super) manifests: Vec<ManifestFile>,
}

/// Deletes that a table has beside its data files. Each may be of rows in many files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletes {
    /// Number of delete files.
    pub(crate) files: u64,
    /// Number of rows in them: positions that are deleted, or values of rows that are.
    pub(crate) rows: u64,
}

impl IcebergView {
    /// Returns the sequence number.
    pub(crate) fn version(&self) -> u64 {
        u64::try_from(self.table.last_sequence_number).unwrap_or(0)
    }

    /// Returns the id of the snapshot; none of a table without one.
    pub(crate) fn snapshot_id(&self) -> Option<i64> {
        self.table.main_id()
    }

    /// Returns the id of the table.
    pub(crate) fn id(&self) -> &str {
        &self.table.table_uuid
    }

    /// Returns the address of the table.
    pub(crate) fn location(&self) -> &str {
        &self.table.location
    }

    /// Returns the last roll of each node that the table has. Those that are no number are left out.
    pub(crate) fn marks(&self) -> BTreeMap<String, Roll> {
        let mark = |(key, value): (&String, &String)| {
            Some((node_of(key)?.to_owned(), Roll(value.parse().ok()?)))
        };
        self.table.properties.iter().filter_map(mark).collect()
    }

    /// Returns the deletes that readers apply to the live files.
    pub(crate) fn deletes(&self) -> Deletes {
        let mut all = Deletes::default();
        for manifest in self.manifests.iter().filter(|manifest| !manifest.is_of_data()) {
            let count = |[added, existing, _]: [i64; 3]| {
                u64::try_from(added.saturating_add(existing)).unwrap_or(0)
            };
            all.files = all.files.saturating_add(count(manifest.files));
            all.rows = all.rows.saturating_add(count(manifest.rows));
        }
        all
    }

    /// Hands each live file to `each`, in no order, a manifest at a time. Blocks.
    ///
    /// # Errors
    /// A manifest cannot be read, or is not in the lake; some files were handed over then.
    pub(crate) fn each_file(&self, mut each: impl FnMut(LiveFile)) -> Result<(), LogError> {
        for listed in self.manifests.iter().filter(|manifest| manifest.is_of_data()) {
            let address = crate::error_text::shown(&listed.path);
            let refused = |what: &str| {
                LogError::Refused(format!("{}: the manifest {address} {what}", self.shown))
            };
            let unknown = |what: &str| {
                LogError::Unknown(format!("{}: the manifest {address} {what}", self.shown))
            };
            let Some(name) = self.addresses.name_of(&listed.path) else {
                return Err(refused("is not in the lake, and only what is there is read"));
            };
            let bytes = self.runtime.block_on(self.lake.get(name));
            let bytes = bytes.map_err(|error| unknown(&error.to_string()))?;
            let bytes = bytes.ok_or_else(|| unknown("is not there"))?;
            for entry in manifest::read(&bytes).map_err(|what| refused(&what))? {
                each(self.live(entry));
            }
        }
        Ok(())
    }

    /// Returns all live files, ordered by their names. Holds all of them. Blocks.
    ///
    /// # Errors
    /// Those of [`IcebergView::each_file`].
    #[cfg(test)]
    pub(crate) fn live_files(&self) -> Result<Vec<LiveFile>, LogError> {
        let mut files = Vec::new();
        self.each_file(|file| files.push(file))?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn live(&self, entry: manifest::Entry) -> LiveFile {
        let name = self.addresses.name_of(&entry.path);
        let in_table = name.and_then(|name| name.strip_prefix(&*self.name)?.strip_prefix('/'));
        LiveFile {
            path: in_table.unwrap_or(&entry.path).to_owned(),
            rows: Some(entry.rows),
            deleted_rows: 0,
            bytes: entry.bytes,
        }
    }
}
