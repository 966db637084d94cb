//! Bytes of entries, and what reads back.

use std::collections::BTreeMap;

use super::super::avro::{Value, read_each};
use super::*;
use crate::commit::iceberg::partition::PartitionField;

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
    let (day, text) = (|d| Some(PartitionValue::Int(d)), |t: &str| PartitionValue::Text(t.into()));
    let files = [
        data_file("s3://b/1", vec![day(5), Some(text("m"))]),
        data_file("s3://b/2", vec![day(-2), None]),
    ];
    let spec = spec();
    let schema = json!({"type": "struct", "schema-id": 7, "fields": []});
    let table = Table { schema: &schema, schema_id: 7, spec: &spec };
    let manifest = Manifest::of(table, 11, &files).unwrap();
    assert_eq!(manifest.bytes, Manifest::of(table, 11, &files).unwrap().bytes);
    let mut rows = Vec::new();
    let metadata = read_each(&manifest.bytes, |row, _| rows.push(row)).unwrap();
    let text_of = |key: &str| String::from_utf8(metadata[key].clone()).unwrap();
    assert_eq!(text_of("partition-spec-id"), "3");
    assert_eq!(text_of("format-version"), "2");
    assert_eq!(serde_json::from_str::<Json>(&text_of("schema")).unwrap(), schema);
    let fields: Vec<PartitionField> = serde_json::from_str(&text_of("partition-spec")).unwrap();
    assert_eq!(fields, spec.fields);
    assert!(text_of("avro.schema").contains(r#""iceberg-field-name":"a b""#));
    let Value::Record(second) = &rows[1] else { panic!("no record") };
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
