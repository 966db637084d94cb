//! The partition columns of a table, as the lake has them.
//!
//! ```text
//! _tables/<table>.json    {"version": 1, "partition_template": "date={startTime:%Y-%m-%d}",
//!                          "columns": ["date"]}
//! ```
//! Readers of Hive paths want the same columns in the same order in the path of every file: DuckDB
//! refuses a whole table otherwise. So the columns of a template are compared with those of the lake
//! before anything lands. The values may be made in another way, `%Y-%m` after `%Y-%m-%d`: the table can
//! be read as before.
//!
//! The record is written before the first roll of a table. A lake of an earlier version has none, and the
//! first files of a listing stand in for it. A table without any file has no columns, whatever its
//! record says. Where both are denied, as to credentials without `s3:ListBucket`, nothing is compared:
//! rows land, the record is begun where that can be, and the columns are compared again before the next
//! roll. Where the lake is away, nothing is compared either, and nothing lands.

use std::path::Path as FilePath;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStore as _};
use serde::{Deserialize, Serialize};

use super::failure::is_denied;
use super::names::{self, ObjectName};
use super::objects::blocking;
use super::{Lake, Location, StoreError};
use crate::table::Template;

/// Version of the record.
const VERSION: u32 = 1;
/// Most objects of a listing that are looked at: one page of S3.
const MAX_LISTED: usize = 1000;

/// A table whose files have other partition columns in the lake.
#[derive(Debug, thiserror::Error)]
#[error(
    "table {table} has {} in {lake} ({seen}), and {} in this configuration (partition = \
     \"{template}\"): DuckDB and other readers of such paths refuse a table whose files have different \
     ones. {advice}, give the table another name, or land it in another lake",
    shown(there),
    shown(here)
)]
pub struct PartitionConflict {
    table: String,
    lake: String,
    /// The file or the record that tells.
    seen: String,
    there: Vec<String>,
    here: Vec<String>,
    template: String,
    advice: String,
}

/// The partition columns of a table could not be compared, or differ.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// They differ.
    #[error(transparent)]
    Conflict(#[from] Box<PartitionConflict>),
    /// The lake did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The record of a table. Later versions may have more in it.
#[derive(Debug, Serialize, Deserialize)]
struct TableRecord {
    version: u32,
    partition_template: String,
    columns: Vec<String>,
}

/// The partition columns of a table by its files.
enum Files {
    /// There is none.
    None,
    /// Some have the columns that were looked for.
    Same,
    /// None has, of those that were looked at.
    Others { columns: Vec<String>, name: String },
}

impl Lake {
    /// Compares the partition columns of `template` with those that `table` has in the lake. Writes
    /// nothing, and takes three requests at most, whatever is in the lake.
    ///
    /// # Errors
    /// [`PartitionError::Conflict`] asks for other settings. After [`PartitionError::Store`] nothing is
    /// known, and nothing lands. A look that is denied is no error: rows land all the same.
    pub async fn check_partitions(
        &self,
        table: &str,
        template: &Template,
    ) -> Result<(), PartitionError> {
        unless_denied(self.compare(table, template).await).map(drop)
    }

    /// Compares as [`Lake::check_partitions`] does, and records the template if there is no record of
    /// these columns. Returns false if neither could be done: then it is to be tried again for the next
    /// roll. To be called before a roll of the table is sealed.
    ///
    /// # Errors
    /// Those of [`Lake::check_partitions`]. Trying again is safe.
    pub(crate) async fn claim_partitions(
        &self,
        table: &str,
        template: &Template,
    ) -> Result<bool, PartitionError> {
        // Denied: nothing is told of a record that is not there. One that is can be read.
        let record = match unless_denied(self.compare(table, template).await)?.flatten() {
            Some(record) if record.columns.iter().eq(template.names()) => return Ok(true),
            record => record,
        };
        let ours = TableRecord {
            version: VERSION,
            partition_template: template.as_str().to_owned(),
            columns: template.names().map(str::to_owned).collect(),
        };
        let name = names::table(table);
        let bytes = serde_json::to_vec(&ours).unwrap_or_default();
        if record.is_some() {
            // Of a table that has no file any more.
            self.put_bytes(&name, bytes).await?;
            return Ok(true);
        }
        match self.create_bytes(&name, bytes).await {
            // Another node begins the table too.
            Ok(false) => Ok(unless_denied(self.compare(table, template).await)?.is_some()),
            Ok(true) => Ok(true),
            // Files may be put, and this may not, or not without a look: nothing is recorded then.
            Err(StoreError::Object { error, .. } | StoreError::Denied { error, .. })
                if is_denied(&error) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Compares the columns. Returns the record, if there is one that can be read.
    async fn compare(
        &self,
        table: &str,
        template: &Template,
    ) -> Result<Option<TableRecord>, PartitionError> {
        let name = names::table(table);
        let got = self.get(&name).await.map(|bytes| {
            // What is no record tells nothing; the files do.
            bytes.and_then(|bytes| serde_json::from_slice::<TableRecord>(&bytes).ok())
        });
        let columns: Vec<&str> = template.names().collect();
        if let Ok(Some(record)) = &got
            && record.columns.iter().eq(columns.iter())
        {
            return Ok(got?);
        }
        let conflict = |there: Vec<String>, seen: String, advice: String| {
            Box::new(PartitionConflict {
                table: table.to_owned(),
                lake: self.location.to_string(),
                seen,
                there,
                here: template.names().map(str::to_owned).collect(),
                template: template.as_str().to_owned(),
                advice,
            })
        };
        let as_recorded = |record: &TableRecord| {
            format!("Set partition = \"{}\" as the lake has it", record.partition_template)
        };
        match (self.files(table, &columns).await, got) {
            (Ok(Files::None | Files::Same), got) => Ok(got.unwrap_or_default()),
            (Ok(Files::Others { columns, name }), Ok(Some(record)))
                if record.columns == columns =>
            {
                let advice = as_recorded(&record);
                Err(conflict(columns, name, advice).into())
            }
            (Ok(Files::Others { columns, name }), _) => {
                let advice = "Set a partition template of the lake's columns".to_owned();
                Err(conflict(columns, name, advice).into())
            }
            (Err(_), Ok(Some(record))) => {
                let advice = as_recorded(&record);
                Err(conflict(record.columns, name, advice).into())
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Looks at the first files of a table, those whose paths begin with the first of `columns` before
    /// others.
    async fn files(&self, table: &str, columns: &[&str]) -> Result<Files, StoreError> {
        if let Some(first) = columns.first() {
            let begins = format!("{table}/{first}=");
            let like = match &self.location {
                Location::Local(root) => {
                    let (root, of) = (root.clone(), table.to_owned());
                    let begins = format!("{first}=");
                    let folder = blocking(move || Ok(folder_like(&root, &of, &begins))).await?;
                    match folder {
                        Some(folder) => {
                            let folder = self.path(&folder)?;
                            self.look(self.store.list(Some(&folder)), table, columns).await?
                        }
                        None => Files::None,
                    }
                }
                _ => {
                    let (folder, begins) = (self.path(table)?, self.path(&begins)?);
                    let listed = self.store.list_with_offset(Some(&folder), &begins);
                    self.look(listed, table, columns).await?
                }
            };
            if let Files::Same = like {
                return Ok(like);
            }
        }
        let folder = self.path(table)?;
        self.look(self.store.list(Some(&folder)), table, columns).await
    }

    /// Looks at the first objects of a listing.
    async fn look(
        &self,
        listed: impl Stream<Item = object_store::Result<ObjectMeta>> + Send,
        table: &str,
        columns: &[&str],
    ) -> Result<Files, StoreError> {
        let listed: Result<Vec<ObjectMeta>, _> = listed.take(MAX_LISTED).try_collect().await;
        let listed = listed.map_err(|error| self.not_answered(table, error))?;
        let mut found = Files::None;
        for object in listed {
            let name = object.location.as_ref();
            let (of, partition) = match ObjectName::parse(name) {
                ObjectName::Data { table, partition, .. }
                | ObjectName::ForeignData { table, partition, .. } => (table, partition),
                _ => continue,
            };
            if of != table {
                continue;
            }
            let there = partition.split('/').filter_map(|part| Some(part.split_once('=')?.0));
            let there: Vec<&str> = there.collect();
            if there == columns {
                return Ok(Files::Same);
            }
            if let Files::None = found {
                let columns = there.into_iter().map(str::to_owned).collect();
                found = Files::Others { columns, name: name.to_owned() };
            }
        }
        Ok(found)
    }
}

/// Returns what was found, or `None` if the store denied the look.
fn unless_denied<T>(found: Result<T, PartitionError>) -> Result<Option<T>, PartitionError> {
    match found {
        Err(PartitionError::Store(StoreError::Denied { .. })) => Ok(None),
        found => found.map(Some),
    }
}

/// Returns a folder of the table in the lake at `root` whose name starts with `begins`, relative to the
/// lake.
fn folder_like(root: &FilePath, table: &str, begins: &str) -> Option<String> {
    let entries = std::fs::read_dir(root.join(table)).into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| name.starts_with(begins)).map(|name| format!("{table}/{name}"))
}

fn shown(columns: &[String]) -> String {
    match columns {
        [] => "no partition columns".to_owned(),
        [one] => format!("the partition column {one}"),
        some => format!("the partition columns {}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests;
