//! Manifests: files that list data files (version 2 of the table format).
//!
//! Every entry is an added one. Its sequence numbers are null, and so inherited from the manifest list: they
//! are known once the commit is, and the same manifest serves each attempt. All files of a manifest are
//! under one partition spec. The same files make the same bytes.
//!
//! Format: <https://iceberg.apache.org/spec/#manifests>.

use serde_json::{Value as Json, json};

use super::avro::{Encoder, container};
use super::manifest_list::{FieldSummary, ManifestFile};
use super::metrics::Metrics;
use super::partition::{PartitionField, PartitionValue, Spec};

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

/// Returns the Avro schema of an entry.
fn entry_schema(fields: &[PartitionField]) -> Result<String, String> {
    let partition = fields.iter().map(|field| {
        let of = match &*field.transform {
            "day" => json!({"type": "int", "logicalType": "date"}),
            "hour" | "month" | "year" => json!("int"),
            "identity" => json!("string"),
            other => return Err(format!("partition field {} is by {other}", field.name)),
        };
        let name = avro_name(&field.name);
        let mut column =
            json!({"name": name, "type": ["null", of], "default": null, "field-id": field.field_id});
        if name != field.name {
            column["iceberg-field-name"] = field.name.clone().into();
        }
        Ok(column)
    });
    let partition = partition.collect::<Result<Vec<Json>, String>>()?;
    let required =
        |name: &str, of: Json, id: i32| json!({"name": name, "type": of, "field-id": id});
    let optional = |name: &str, of: Json, id: i32| json!({"name": name, "type": ["null", of], "default": null, "field-id": id});
    // Maps whose keys are no texts are arrays of pairs.
    let by_id = |key: i32, value: i32, of: &str| {
        json!({"type": "array", "logicalType": "map", "items": {
            "type": "record", "name": format!("k{key}_v{value}"), "fields": [
                required("key", json!("int"), key), required("value", json!(of), value)]}})
    };
    let file = json!({"type": "record", "name": "r2", "fields": [
        required("content", json!("int"), 134),
        required("file_path", json!("string"), 100),
        required("file_format", json!("string"), 101),
        required("partition", json!({"type": "record", "name": "r102", "fields": partition}), 102),
        required("record_count", json!("long"), 103),
        required("file_size_in_bytes", json!("long"), 104),
        optional("column_sizes", by_id(117, 118, "long"), 108),
        optional("value_counts", by_id(119, 120, "long"), 109),
        optional("null_value_counts", by_id(121, 122, "long"), 110),
        optional("nan_value_counts", by_id(138, 139, "long"), 137),
        optional("lower_bounds", by_id(126, 127, "bytes"), 125),
        optional("upper_bounds", by_id(129, 130, "bytes"), 128),
    ]});
    let entry = json!({"type": "record", "name": "manifest_entry", "fields": [
        required("status", json!("int"), 0),
        optional("snapshot_id", json!("long"), 1),
        optional("sequence_number", json!("long"), 3),
        optional("file_sequence_number", json!("long"), 4),
        required("data_file", file, 2),
    ]});
    Ok(entry.to_string())
}

/// Returns a name as Avro takes it: others than letters, digits and `_` as `_x` and their code.
fn avro_name(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        match c {
            'a'..='z' | 'A'..='Z' | '_' => out.push(c),
            '0'..='9' if at > 0 => out.push(c),
            '0'..='9' => {
                out.push('_');
                out.push(c);
            }
            other => out.push_str(&format!("_x{:X}", u32::from(other))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::avro::{Value, read};
    use super::*;

    fn spec() -> Spec {
        let field = |source_id, field_id, name: &str, transform: &str| PartitionField {
            source_id,
            field_id,
            name: name.to_owned(),
            transform: transform.to_owned(),
        };
        let fields = vec![field(2, 1000, "date", "day"), field(1, 1001, "a b", "identity")];
        Spec { spec_id: 3, fields }
    }

    fn data_file(path: &str, partition: Vec<Option<PartitionValue>>) -> DataFile {
        let metrics = Metrics {
            values: BTreeMap::from([(1, 9)]),
            lower: BTreeMap::from([(1, b"a".to_vec())]),
            ..Metrics::default()
        };
        DataFile { path: path.to_owned(), partition, rows: 9, bytes: 300, metrics }
    }

    #[test]
    fn an_entry_has_these_bytes() {
        let mut body = Encoder::default();
        let partition = vec![Some(PartitionValue::Int(17_486)), None];
        entry(&mut body, -3, &data_file("s3://b/k", partition), [9, 300]);
        let schema = r#"{"type":"record","name":"x","fields":[]}"#;
        let file = container(schema, &[], 1, &body);
        #[rustfmt::skip]
        let expected = [
            2,                                      // added
            2, 5, 0, 0,                             // snapshot −3, numbers inherited
            0,                                      // rows
            16, b's', b'3', b':', b'/', b'/', b'b', b'/', b'k',
            14, b'P', b'A', b'R', b'Q', b'U', b'E', b'T',
            2, 0x9c, 0x91, 0x02, 0,                 // day 17,486, null
            18, 0xd8, 0x04,                         // 9 rows, 300 bytes
            0, 2, 2, 2, 18, 0, 0, 0,                // sizes, values 1: 9, nulls, NaNs
            2, 2, 2, 2, b'a', 0, 0,                 // lower 1: "a", upper
        ];
        let at = file.len() - 16 - expected.len();
        assert_eq!(file[at..file.len() - 16], expected);
    }

    #[test]
    fn a_manifest_reads_back_by_the_ids_of_the_format() {
        let (day, text) =
            (|d| Some(PartitionValue::Int(d)), |t: &str| PartitionValue::Text(t.into()));
        let files = [
            data_file("s3://b/1", vec![day(5), Some(text("m"))]),
            data_file("s3://b/2", vec![day(-2), None]),
        ];
        let spec = spec();
        let schema = json!({"type": "struct", "schema-id": 7, "fields": []});
        let table = Table { schema: &schema, schema_id: 7, spec: &spec };
        let manifest = Manifest::of(table, 11, &files).unwrap();
        assert_eq!(manifest.bytes, Manifest::of(table, 11, &files).unwrap().bytes);
        let contents = read(&manifest.bytes).unwrap();
        let text_of = |key: &str| String::from_utf8(contents.metadata[key].clone()).unwrap();
        assert_eq!(text_of("partition-spec-id"), "3");
        assert_eq!(text_of("format-version"), "2");
        assert_eq!(serde_json::from_str::<Json>(&text_of("schema")).unwrap(), schema);
        let fields: Vec<PartitionField> = serde_json::from_str(&text_of("partition-spec")).unwrap();
        assert_eq!(fields, spec.fields);
        assert!(text_of("avro.schema").contains(r#""iceberg-field-name":"a b""#));
        let Value::Record(second) = &contents.rows[1] else { panic!("no record") };
        assert_eq!(
            (&second[&0], &second[&1], &second[&3]),
            (&Value::Long(1), &Value::Long(11), &Value::Null)
        );
        let Value::Record(file) = &second[&2] else { panic!("no record") };
        assert_eq!(file[&100], Value::Bytes(b"s3://b/2".to_vec()));
        assert_eq!(
            file[&102],
            Value::Record(BTreeMap::from([(1000, Value::Long(-2)), (1001, Value::Null)]))
        );
        assert_eq!((&file[&103], &file[&104]), (&Value::Long(9), &Value::Long(300)));
        assert_eq!((&file[&108], &file[&128]), (&Value::Null, &Value::Null));
        let pair = BTreeMap::from([(126, Value::Long(1)), (127, Value::Bytes(b"a".to_vec()))]);
        assert_eq!(file[&125], Value::Items(vec![Value::Record(pair)]));
        let listed = manifest.listed("s3://b/m".to_owned(), 11, 4);
        assert_eq!((listed.files, listed.rows), ([2, 0, 0], [18, 0, 0]));
        let summary = |contains_null, lower: &[u8], upper: &[u8]| FieldSummary {
            contains_null,
            contains_nan: Some(false),
            lower: Some(lower.to_vec()),
            upper: Some(upper.to_vec()),
        };
        let days = summary(false, &[0xfe, 0xff, 0xff, 0xff], &[5, 0, 0, 0]);
        assert_eq!(listed.partitions, Some(vec![days, summary(true, b"m", b"m")]));
        // A table of bucketed partitions is another writer's.
        let mut other = spec.clone();
        other.fields[0].transform = "bucket[16]".to_owned();
        let error = Manifest::of(Table { spec: &other, ..table }, 11, &files).unwrap_err();
        assert_eq!(error, "partition field date is by bucket[16]");
        assert!(Manifest::of(Table { spec: &Spec::default(), ..table }, 11, &files).is_err());
    }
}
