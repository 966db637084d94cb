//! Manifests: files that list data files (version 2 of the table format).
//!
//! Every entry is an added one. Its sequence numbers are null, and so inherited from the manifest list: they
//! are known once the commit is, and the same manifest serves each attempt. All files of a manifest are
//! under one partition spec. The same files make the same bytes.
//!
//! Format: <https://iceberg.apache.org/spec/#manifests>.

mod entry_schema;
mod read;
#[cfg(test)]
mod tests;

use serde_json::{Value as Json, json};

use self::entry_schema::entry_schema;
pub(super) use self::read::{Entry, read};
use super::avro::{Encoder, container};
use super::manifest_list::{FieldSummary, ManifestFile};
use super::metrics::Metrics;
use super::partition::{PartitionValue, Spec};

/// A data file, as a manifest lists it.
#[derive(Clone, Debug)]
pub(super) struct DataFile {
    /// The whole address: `s3://bucket/key`.
    pub(super) path: String,
    /// One value a field of the spec; none for null.
    pub(super) partition: Vec<Option<PartitionValue>>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) metrics: Metrics,
}

/// The parts of a table that a manifest repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    /// The current schema, as the catalog has it.
    pub(super) schema: &'a Json,
    pub(super) schema_id: i32,
    /// The spec that all files of the manifest are under.
    pub(super) spec: &'a Spec,
}

/// A manifest that is not put yet.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) bytes: Vec<u8>,
    rows: i64,
    files: i64,
    spec_id: i32,
    partitions: Vec<FieldSummary>,
}

/// Status of an entry whose file is new.
const ADDED: i64 = 1;
/// Content of a file of rows, and of manifests of such files.
const DATA: i64 = 0;

impl Manifest {
    /// Writes the manifest of `files`, which the snapshot adds.
    ///
    /// # Errors
    /// The reason for which the files cannot be listed: a number past 2^63, or a spec that their
    /// partitions do not fit.
    pub(super) fn of(
        table: Table<'_>,
        snapshot_id: i64,
        files: &[DataFile],
    ) -> Result<Manifest, String> {
        let fields = &table.spec.fields;
        let (mut body, mut rows) = (Encoder::default(), 0_i64);
        for file in files {
            if file.partition.len() != fields.len() {
                return Err(format!("{} has not one value for each partition field", file.path));
            }
            let too_large = || format!("{} has more than 2^63 rows or bytes", file.path);
            let number = |of: u64| i64::try_from(of).map_err(|_| too_large());
            let counts = [number(file.rows)?, number(file.bytes)?];
            rows = rows.checked_add(counts[0]).ok_or_else(too_large)?;
            entry(&mut body, snapshot_id, file, counts);
        }
        let metadata = [
            ("schema", table.schema.to_string()),
            ("schema-id", table.schema_id.to_string()),
            ("partition-spec", json!(fields).to_string()),
            ("partition-spec-id", table.spec.spec_id.to_string()),
            ("format-version", "2".to_owned()),
            ("content", "data".to_owned()),
        ];
        let bytes = container(&entry_schema(fields)?, &metadata, files.len(), &body);
        let partitions = (0..fields.len()).map(|at| FieldSummary::of(values(files, at))).collect();
        let files = i64::try_from(files.len()).map_err(|_| "too many files".to_owned())?;
        Ok(Manifest { bytes, rows, files, spec_id: table.spec.spec_id, partitions })
    }

    /// Returns the entry of this manifest in the list of the snapshot, once it is put at `path`.
    pub(super) fn listed(
        &self,
        path: String,
        snapshot_id: i64,
        sequence_number: i64,
    ) -> ManifestFile {
        ManifestFile {
            path,
            length: i64::try_from(self.bytes.len()).unwrap_or(i64::MAX),
            spec_id: self.spec_id.into(),
            content: DATA,
            sequence_number,
            min_sequence_number: sequence_number,
            added_snapshot_id: snapshot_id,
            files: [self.files, 0, 0],
            rows: [self.rows, 0, 0],
            partitions: Some(self.partitions.clone()),
            key_metadata: None,
        }
    }
}

/// Returns the values of the partition field `at`.
fn values(files: &[DataFile], at: usize) -> impl Iterator<Item = Option<&PartitionValue>> {
    files.iter().map(move |file| file.partition.get(at).and_then(Option::as_ref))
}

/// Appends the entry of a file with `counts` of rows and bytes, in the order of [`entry_schema`].
fn entry(to: &mut Encoder, snapshot_id: i64, file: &DataFile, counts: [i64; 2]) {
    to.long(ADDED);
    to.optional(Some(snapshot_id), Encoder::long);
    to.optional(None, Encoder::long);
    to.optional(None, Encoder::long);
    to.long(DATA);
    to.text(&file.path);
    to.text("PARQUET");
    for value in &file.partition {
        to.optional(value.as_ref(), |to, value| match value {
            PartitionValue::Int(value) => to.long((*value).into()),
            PartitionValue::Text(value) => to.text(value),
        });
    }
    counts.into_iter().for_each(|count| to.long(count));
    let metrics = &file.metrics;
    for counts in [&metrics.column_sizes, &metrics.values, &metrics.nulls, &metrics.nans] {
        to.optional(Some(counts).filter(|counts| !counts.is_empty()), |to, counts| {
            to.items(counts.iter(), |to, (id, count)| {
                to.long((*id).into());
                to.long(*count);
            });
        });
    }
    for bounds in [&metrics.lower, &metrics.upper] {
        to.optional(Some(bounds).filter(|bounds| !bounds.is_empty()), |to, bounds| {
            to.items(bounds.iter(), |to, (id, bytes)| {
                to.long((*id).into());
                to.bytes(bytes);
            });
        });
    }
}
