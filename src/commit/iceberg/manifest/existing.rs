//! Entries of manifests of this program, for one that takes the place of several.
//!
//! What an entry says of its file is copied as it is. Its snapshot and its sequence numbers, which may be
//! inherited from the list, are written down: deletes of other writers go by them. A manifest of another
//! writer, of another version of this program, with deleted entries, or with other counts than the list has, is
//! not taken ([`Existing::of`] returns none), and stays in the list.

use super::{Encoder, Head, Manifest, Table, entry_schema};
use crate::commit::iceberg::avro::{self, Value};
use crate::commit::iceberg::manifest_list::{FieldSummary, ManifestFile};

/// Status of an entry whose file was there before the snapshot of the manifest.
const EXISTING: i64 = 0;

/// The entries of one manifest.
#[derive(Debug)]
pub(in crate::commit::iceberg) struct Existing {
    body: Encoder,
    files: usize,
    rows: i64,
    least: i64,
    partitions: Vec<FieldSummary>,
}

impl Existing {
    /// Reads the manifest that a list has as `listed`.
    pub(in crate::commit::iceberg) fn of(
        file: &[u8],
        listed: &ManifestFile,
        table: Table<'_>,
    ) -> Option<Existing> {
        let mut all = Existing {
            body: Encoder::default(),
            files: 0,
            rows: 0,
            least: i64::MAX,
            partitions: listed.partitions.clone().unwrap_or_default(),
        };
        let mut is_ours = all.partitions.len() == table.spec.fields.len();
        let metadata = avro::read_each(file, |row, bytes| {
            is_ours = is_ours && all.add(&row, bytes, listed).is_some();
        });
        let metadata = metadata.ok()?;
        let has = |key: &str, value: &str| metadata.get(key).is_some_and(|v| v == value.as_bytes());
        let is_ours = is_ours
            && has("avro.schema", &entry_schema(&table.spec.fields).ok()?)
            && has("partition-spec-id", &table.spec.spec_id.to_string())
            && has("format-version", "2")
            && has("content", "data");
        let counts = (i64::try_from(all.files).ok()?, all.rows);
        let [files, rows] = [listed.files, listed.rows].map(|[a, b, _]| a.checked_add(b));
        (is_ours && counts == (files?, rows?) && all.files > 0).then_some(all)
    }

    /// Adds an entry. None: it is none that this version writes.
    fn add(&mut self, row: &Value, bytes: &[u8], listed: &ManifestFile) -> Option<()> {
        let Value::Record(fields) = row else { return None };
        let Some(Value::Record(file)) = fields.get(&2) else { return None };
        let Some(Value::Long(rows)) = file.get(&103) else { return None };
        let Some(Value::Long(status @ (EXISTING | super::ADDED))) = fields.get(&0) else {
            return None;
        };
        let number = |id: i64| match fields.get(&id) {
            Some(Value::Long(number)) => Some(*number),
            _ => None,
        };
        let numbers = [number(3), number(4)];
        let head = Head { status: *status, snapshot_id: number(1), numbers };
        let mut before = Encoder::default();
        head.write(&mut before);
        let file = bytes.strip_prefix(before.as_bytes())?;
        // An added entry may inherit its numbers, an existing one has to have them.
        let numbers = match *status {
            super::ADDED => numbers.map(|number| Some(number.unwrap_or(listed.sequence_number))),
            _ => numbers,
        };
        let [Some(of_rows), Some(_)] = numbers else { return None };
        let snapshot_id = head.snapshot_id.unwrap_or(listed.added_snapshot_id);
        Head { status: EXISTING, snapshot_id: Some(snapshot_id), numbers }.write(&mut self.body);
        self.body.encoded(file);
        self.files += 1;
        self.rows = self.rows.checked_add(*rows)?;
        self.least = self.least.min(of_rows);
        Some(())
    }
}

impl Manifest {
    /// Writes a manifest of entries that are in the table already.
    ///
    /// # Errors
    /// Their counts are past 2^63, or a spec that this version does not write.
    pub(in crate::commit::iceberg) fn merged(
        table: Table<'_>,
        all: &[Existing],
    ) -> Result<Manifest, String> {
        let (mut body, mut files, mut rows, mut least) = (Encoder::default(), 0, 0_i64, i64::MAX);
        for one in all {
            body.encoded(one.body.as_bytes());
            files += one.files;
            rows = rows.checked_add(one.rows).ok_or("more than 2^63 rows")?;
            least = least.min(one.least);
        }
        let bytes = table.container(files, &body)?;
        let partitions = table.spec.fields.iter().enumerate().map(|(at, field)| {
            let of = all.iter().filter_map(|one| one.partitions.get(at));
            FieldSummary::merged(of, field.transform == "identity")
        });
        let partitions = partitions.collect();
        let files = i64::try_from(files).map_err(|_| "too many files".to_owned())?;
        let (files, rows, spec_id) = ([0, files], [0, rows], table.spec.spec_id);
        Ok(Manifest { bytes, files, rows, spec_id, partitions, least: Some(least) })
    }
}
