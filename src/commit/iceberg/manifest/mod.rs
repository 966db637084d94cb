//! Manifests: files that list data files (version 2 of the table format).
//!
//! Entries of new files are added ones. Their sequence numbers are null, and so inherited from the manifest
//! list. Manifests of this program are merged into one, whose entries are existing ones, with all that they had
//! (`existing`). All files of a manifest are under one partition spec. The same files make the same
//! bytes.
//!
//! Format: <https://iceberg.apache.org/spec/#manifests>.

mod entry_schema;
mod existing;
mod read;
#[cfg(test)]
mod tests;

use serde_json::{Value as Json, json};

use self::entry_schema::entry_schema;
pub(super) use self::existing::Existing;
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

impl DataFile {
    /// Returns the approximate size of its entry.
    pub(super) fn entry_bytes(&self) -> usize {
        let metrics = &self.metrics;
        let counts = [&metrics.column_sizes, &metrics.values, &metrics.nulls, &metrics.nans];
        let counts: usize = counts.iter().map(|counts| 5 * counts.len()).sum();
        let bounds = metrics.lower.values().chain(metrics.upper.values());
        let bounds: usize = bounds.map(|bound| 4 + bound.len()).sum();
        64 + self.path.len() + counts + bounds
    }
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

impl Table<'_> {
    /// Returns the manifest file with `rows` entries.
    fn container(&self, rows: usize, body: &Encoder) -> Result<Vec<u8>, String> {
        let fields = &self.spec.fields;
        let metadata = [
            ("schema", self.schema.to_string()),
            ("schema-id", self.schema_id.to_string()),
            ("partition-spec", json!(fields).to_string()),
            ("partition-spec-id", self.spec.spec_id.to_string()),
            ("format-version", "2".to_owned()),
            ("content", "data".to_owned()),
        ];
        Ok(container(&entry_schema(fields)?, &metadata, rows, body))
    }
}

/// A manifest that is not put yet.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) bytes: Vec<u8>,
    /// Numbers of files that are added, and that were there before.
    files: [i64; 2],
    /// Numbers of their rows.
    rows: [i64; 2],
    spec_id: i32,
    partitions: Vec<FieldSummary>,
    /// The least sequence number of a file; none: the manifest's.
    least: Option<i64>,
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
        let bytes = table.container(files.len(), &body)?;
        let partitions = (0..fields.len()).map(|at| FieldSummary::of(values(files, at))).collect();
        let files = i64::try_from(files.len()).map_err(|_| "too many files".to_owned())?;
        let (files, rows, spec_id) = ([files, 0], [rows, 0], table.spec.spec_id);
        Ok(Manifest { bytes, files, rows, spec_id, partitions, least: None })
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
            min_sequence_number: self.least.unwrap_or(sequence_number),
            added_snapshot_id: snapshot_id,
            files: [self.files[0], self.files[1], 0],
            rows: [self.rows[0], self.rows[1], 0],
            partitions: Some(self.partitions.clone()),
            key_metadata: None,
        }
    }
}

/// Returns the values of the partition field `at`.
fn values(files: &[DataFile], at: usize) -> impl Iterator<Item = Option<&PartitionValue>> {
    files.iter().map(move |file| file.partition.get(at).and_then(Option::as_ref))
}

/// The part of an entry before its file.
#[derive(Clone, Copy)]
struct Head {
    status: i64,
    snapshot_id: Option<i64>,
    /// Sequence numbers of the rows and of the file.
    numbers: [Option<i64>; 2],
}

impl Head {
    fn write(self, to: &mut Encoder) {
        to.long(self.status);
        for number in [self.snapshot_id].into_iter().chain(self.numbers) {
            to.optional(number, Encoder::long);
        }
    }
}

/// Appends the entry of a file with `counts` of rows and bytes, in the order of [`entry_schema`].
fn entry(to: &mut Encoder, snapshot_id: i64, file: &DataFile, counts: [i64; 2]) {
    Head { status: ADDED, snapshot_id: Some(snapshot_id), numbers: [None; 2] }.write(to);
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
