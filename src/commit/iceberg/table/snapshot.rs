//! The commit that adds files: manifests, the list of them, and the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use super::evolve::Fitting;
use super::{Files, IcebergTable, METADATA};
use crate::commit::LogError;
use crate::commit::Visible;
use crate::commit::iceberg::manifest::{DataFile, Manifest, Table};
use crate::commit::iceberg::manifest_list::{self, ManifestFile, SnapshotIds};
use crate::commit::iceberg::metrics::Metrics;
use crate::commit::iceberg::partition::{PartitionValue, Spec};
use crate::commit::iceberg::rest::protocol::{
    Commit, MAIN, Metadata, Requirement, Snapshot, Update,
};
use crate::commit::iceberg::{LAKE, mark_of};
use crate::lake::{FileReceipt, StoreError, random_hex};
use crate::record::Roll;

/// Bytes of a manifest after which another one is begun.
const PART_BYTES: usize = 4 << 20;

/// Sums of a commit, for the summary of its snapshot.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    files: u64,
    rows: u64,
    bytes: u64,
    partitions: usize,
}

impl IcebergTable {
    /// Adds `files` to the state `table`, with the mark that `node` is at `last`.
    ///
    /// Names are new with each attempt. What an attempt has put is in the table or is nobody's: whether
    /// it is, only the table tells.
    pub(super) async fn add(
        &self,
        table: &Metadata,
        fitting: &Fitting<'_>,
        files: Files<'_>,
        (node, last): (&str, Roll),
    ) -> Result<Visible, LogError> {
        let mut kept = self.read_list(table).await?;
        let sequence_number = table.last_sequence_number.checked_add(1);
        let sequence_number =
            sequence_number.ok_or_else(|| self.refused("has no more versions"))?;
        let parent = table.main_id();
        let ids = SnapshotIds { id: self.new_id(table)?, parent, sequence_number };
        let attempt = random_hex().map_err(|error| self.away(&error))?;
        let sums = sums(&files);
        let mut new = self.manifests(fitting, files, ids)?;
        new.append(&mut self.merge(table, fitting, &mut kept).await);
        let mut all = Vec::with_capacity(new.len() + kept.len());
        for manifest in new {
            let name = self.manifest_name(&attempt, all.len());
            all.push(manifest.listed(self.addresses.of_name(&name), ids.id, sequence_number));
            self.put(&name, manifest.bytes).await?;
        }
        all.append(&mut kept);
        let list = format!("{}/{METADATA}/snap-{}-1-{attempt}.avro", self.name, ids.id);
        self.put(&list, manifest_list::write(ids, &all)).await?;
        let mark = (mark_of(node), last.to_string());
        let mut summary = summary(table, sums);
        summary.insert(mark.0.clone(), mark.1.clone());
        let mut properties = BTreeMap::from([mark]);
        properties.extend(self.lake_id().await?.map(|id| (LAKE.to_owned(), id.to_string())));
        let snapshot = Snapshot {
            snapshot_id: ids.id,
            parent_snapshot_id: parent,
            sequence_number,
            timestamp_ms: (self.catalog.now().0 / 1_000).max(table.last_updated_ms),
            manifest_list: Some(self.addresses.of_name(&list)),
            summary,
            schema_id: Some(table.current_schema_id),
        };
        let commit = Commit {
            requirements: vec![
                Requirement::AssertTableUuid { uuid: table.table_uuid.clone() },
                Requirement::AssertRefSnapshotId { name: MAIN.to_owned(), snapshot_id: parent },
            ],
            updates: vec![
                Update::AddSnapshot { snapshot },
                Update::set_main(ids.id),
                Update::SetProperties { updates: properties },
            ],
        };
        self.change("adding files to", table, &commit).await?;
        self.known.committed(node, last);
        let version = u64::try_from(sequence_number).unwrap_or(0);
        Ok(Visible::At { roll: last, version, added: true })
    }

    /// Writes the manifests of files: one a spec, or several if it would be large.
    fn manifests(
        &self,
        fitting: &Fitting<'_>,
        (within, without): Files<'_>,
        ids: SnapshotIds,
    ) -> Result<Vec<Manifest>, LogError> {
        let leaves = fitting.schema.leaves();
        let data_file = |(file, partition): (&FileReceipt, Vec<Option<PartitionValue>>)| DataFile {
            path: self.addresses.of_name(&file.path),
            partition,
            rows: file.rows,
            bytes: file.bytes,
            metrics: Metrics::of(file.statistics.as_ref(), file.rows, &leaves),
        };
        let mut of_specs: Vec<(&Spec, Vec<DataFile>)> =
            vec![(fitting.spec, within.into_iter().map(data_file).collect())];
        if !without.is_empty() {
            let Some(spec) = fitting.unpartitioned else {
                return Err(self.unknown("it has no spec without partitions yet"));
            };
            let files = without.into_iter().map(|file| data_file((file, Vec::new())));
            match of_specs.iter_mut().find(|(other, _)| other.spec_id == spec.spec_id) {
                Some((_, all)) => all.extend(files),
                None => of_specs.push((spec, files.collect())),
            }
        }
        let schema_id = fitting.schema.schema_id;
        let mut manifests = Vec::new();
        for (spec, files) in of_specs {
            let table = Table { schema: fitting.schema_json, schema_id, spec };
            for files in parts(&files) {
                let manifest = Manifest::of(table, ids.id, files);
                manifests.push(manifest.map_err(|what| self.refused(&what))?);
            }
        }
        Ok(manifests)
    }

    /// Reads the manifests of the snapshot that readers see.
    pub(super) async fn read_list(&self, table: &Metadata) -> Result<Vec<ManifestFile>, LogError> {
        let Some(id) = table.main_id() else { return Ok(Vec::new()) };
        let Some(snapshot) = table.main() else {
            return Err(self.refused(&format!("has the snapshot {id}, and the catalog has not")));
        };
        let Some(address) = &snapshot.manifest_list else {
            return Err(self.refused(&format!("has no manifest list of the snapshot {id}")));
        };
        let Some(name) = self.addresses.name_of(address) else {
            return Err(self.refused(&format!(
                "has its manifest list at {}, which is not in the lake: the location of the table has to \
                 be there",
                crate::error_text::shown(address)
            )));
        };
        let bytes = self.lake.get(name).await.map_err(|error| self.away(&error))?;
        // Snapshots expire, those that were replaced meanwhile too.
        let Some(bytes) = bytes else { return Err(self.unknown(&format!("{name} is not there"))) };
        manifest_list::read(&bytes).map_err(|what| self.refused(&format!("has {name}: {what}")))
    }

    /// Returns the name of a manifest of an attempt: 32 hexadecimal digits and a number.
    fn manifest_name(&self, attempt: &str, number: usize) -> String {
        format!("{}/{METADATA}/{attempt}-m{number}.avro", self.name)
    }

    /// Tells whether a name is of a manifest of this program.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let name = name.strip_prefix(&*self.name).and_then(|name| name.strip_prefix('/'));
        let name = name.and_then(|name| name.strip_prefix(METADATA)?.strip_prefix('/'));
        let parts = name.and_then(|name| name.strip_suffix(".avro")?.split_once("-m"));
        parts.is_some_and(|(attempt, number)| {
            let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            let is_number = number.bytes().all(|c| c.is_ascii_digit()) && !number.is_empty();
            attempt.len() == 32 && attempt.bytes().all(is_hex) && is_number
        })
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), LogError> {
        // One that exists is of this attempt, whose answer was lost: the name is new.
        self.lake.create_bytes(name, bytes).await.map(drop).map_err(|error| self.away(&error))
    }

    /// Returns a new id of a snapshot.
    fn new_id(&self, table: &Metadata) -> Result<i64, LogError> {
        loop {
            let digits = random_hex().map_err(|error| self.away(&error))?;
            let digits = digits.get(..15).unwrap_or_default();
            match i64::from_str_radix(digits, 16) {
                Ok(id) if id > 0 && !table.has_snapshot(id) => return Ok(id),
                _ => {}
            }
        }
    }

    pub(super) fn away(&self, error: &StoreError) -> LogError {
        self.unknown(&error.to_string())
    }
}

/// Divides files into parts, whose manifests have about the size that merged ones have.
fn parts(files: &[DataFile]) -> Vec<&[DataFile]> {
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (at, file) in files.iter().enumerate() {
        bytes += file.entry_bytes();
        if bytes >= PART_BYTES || at + 1 == files.len() {
            parts.extend(files.get(begin..=at));
            (begin, bytes) = (at + 1, 0);
        }
    }
    parts
}

fn sums((within, without): &Files<'_>) -> Sums {
    let all = || within.iter().map(|(file, _)| *file).chain(without.iter().copied());
    let partitions: BTreeSet<_> = within.iter().map(|(_, values)| values).collect();
    Sums {
        files: all().count() as u64,
        rows: all().fold(0, |sum, file| sum.saturating_add(file.rows)),
        bytes: all().fold(0, |sum, file| sum.saturating_add(file.bytes)),
        partitions: partitions.len() + usize::from(!without.is_empty()),
    }
}

/// Returns the summary of a snapshot after that of `table`. A total that the one before does not have is
/// not known.
fn summary(table: &Metadata, sums: Sums) -> BTreeMap<String, String> {
    let own = [
        ("operation", "append".to_owned()),
        ("added-data-files", sums.files.to_string()),
        ("added-records", sums.rows.to_string()),
        ("added-files-size", sums.bytes.to_string()),
        ("changed-partition-count", sums.partitions.to_string()),
        ("engine-name", env!("CARGO_PKG_NAME").to_owned()),
        ("engine-version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let before = table.main();
    let totals = [
        ("total-data-files", sums.files),
        ("total-records", sums.rows),
        ("total-files-size", sums.bytes),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ];
    let totals = totals.into_iter().filter_map(|(key, more)| {
        let before = match before {
            Some(snapshot) => snapshot.summary.get(key)?.parse().ok()?,
            None => 0_u64,
        };
        Some((key.to_owned(), before.checked_add(more)?.to_string()))
    });
    own.chain(totals).collect()
}
