use super::*;
use crate::columnar::statistics::{Bound, ColumnStatistics, Scalar};
use crate::decode::RejectCode;
use crate::record::Seq;
use crate::schema::TableSchema;
use crate::table::{Format, Rows};

const SCHEMA: &str = r#"{"type": "record", "name": "t", "fields": [
    {"name": "on", "type": ["null", "string"], "default": null},
    {"name": "parts", "type": ["null", {"type": "array", "items": "string"}], "default": null}
]}"#;

fn encoded(path: &str, rows: u64, statistics: FileStatistics) -> EncodedFile {
    let statistics = Some(statistics);
    EncodedFile { path: path.into(), bytes: rows * 10, rows, statistics }
}

fn values(values: &[Option<&str>]) -> PartitionValues {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

/// Returns the manifest of a roll of table `a`, by day, and table `b`, derived from it.
fn manifest() -> Manifest {
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let by_day = Template::parse("day={on}", &schema).unwrap();
    let a = Spec::new("a", Arc::clone(&schema), by_day);
    let rows = Rows::Exploded { parent: "a".into(), column: "parts".into() };
    let b = Spec { rows, ..Spec::new("b", schema, Template::default()) };
    let tables = Tables::new(vec![a, b]).unwrap();
    let range = SeqRange { first: Seq(3), last: Seq(9) };
    let counts = Counts { lines: 6, rows: 5, rejects: 1, ..Counts::default() };
    let mut manifest = Manifest::new("n".into(), Roll(7), range, counts, &tables);
    let (a, b) = (tables.id("a").unwrap(), tables.id("b").unwrap());
    let none = FileStatistics::default;
    let one = values(&[Some("1/2")]);
    manifest.add_file(a, "day=1%2F2".into(), one, false, encoded("s/1", 3, none()));
    let null = "day=__HIVE_DEFAULT_PARTITION__";
    manifest.add_file(a, null.into(), values(&[None]), true, encoded("s/2", 2, none()));
    manifest.add_quarantine(
        a,
        StagedRejects { path: "s/3".into(), bytes: 40, lines: [(RejectCode::NotJson, 1)].into() },
    );
    manifest.add_file(b, String::new(), values(&[]), false, encoded("s/4", 50, none()));
    manifest
}

fn names(uploads: &[Upload]) -> Vec<&str> {
    uploads.iter().map(|upload| upload.name.as_str()).collect()
}

#[test]
fn names_and_the_receipt_derive_from_the_manifest() {
    let manifest = manifest();
    let null = "a/day=__HIVE_DEFAULT_PARTITION__/n-00000007.parquet";
    let quarantine = "_quarantine/a/n-00000007.ndjson";
    let expected = ["a/day=1%2F2/n-00000007.parquet", null, quarantine, "b/n-00000007.parquet"];
    assert_eq!(names(&manifest.uploads()), expected);
    assert_eq!(manifest.staging_files().count(), 4);
    assert_eq!((manifest.file_count(), manifest.file_bytes()), (3, 550));

    let receipt = manifest.receipt(&[SeqRange { first: Seq(4), last: Seq(5) }]);
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!((receipt.lines, receipt.rows, receipt.rejects), (6, 5, 1));
    assert_eq!(json["lost"], serde_json::json!([{"first_seq": 4, "last_seq": 5}]));
    let files = &json["tables"][0]["files"];
    assert_eq!(files[0]["partition_values"], serde_json::json!({"day": "1/2"}));
    assert_eq!(files[1]["partition_values"], serde_json::json!({"day": null}));
    assert_eq!(files[1]["overflow"], true);
    // A file without them is written as earlier versions wrote it.
    let plain = serde_json::json!({
        "path": "b/n-00000007.parquet", "partition": "", "rows": 50, "bytes": 500
    });
    assert_eq!(json["tables"][1]["files"][0], plain);
    assert_eq!(json["tables"][1]["derived"], true);
    assert_eq!(serde_json::from_value::<Receipt>(json).unwrap(), receipt);
}

/// A commit to a log has no other source of statistics; receipts of plain tables stay as small as they were.
#[test]
fn files_of_a_table_with_a_log_have_statistics_in_the_receipt() {
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let spec =
        |name, format| Spec { format, ..Spec::new(name, Arc::clone(&schema), Template::default()) };
    let tables = vec![spec("plain", Format::Plain), spec("log", Format::Delta)];
    let tables = Tables::new(tables).unwrap();
    let range = SeqRange { first: Seq(1), last: Seq(1) };
    let mut manifest = Manifest::new("n".into(), Roll(1), range, Counts::default(), &tables);
    let statistics = FileStatistics {
        columns: vec![ColumnStatistics {
            path: "on".to_owned(),
            values: 3,
            nulls: Some(1),
            nans: None,
            compressed_bytes: 20,
            min: Some(Bound { value: Scalar::Text("a".to_owned()), exact: true }),
            max: Some(Bound { value: Scalar::Text("b".to_owned()), exact: false }),
        }],
    };
    for table in ["plain", "log"] {
        let file = encoded("s/1", 3, statistics.clone());
        manifest.add_file(tables.id(table).unwrap(), String::new(), values(&[]), false, file);
    }
    let receipt = manifest.receipt(&[]);
    let of = |table| receipt.files_of(table).next().unwrap().statistics.clone();
    assert_eq!((of("plain"), of("log")), (None, Some(statistics.clone())));
    let json = serde_json::to_value(&receipt).unwrap();
    let read: Receipt = serde_json::from_value(json).unwrap();
    assert_eq!(read.files_of("log").next().unwrap().statistics, Some(statistics));
}

#[test]
fn an_object_that_stands_is_not_put_and_counts_as_it_is() {
    let mut manifest = manifest();
    let uploads = manifest.uploads();
    let standing = |rows, bytes| Standing { rows, bytes, statistics: None };
    manifest.keep_standing(uploads[0].id, standing(4, 99));
    manifest.keep_standing(uploads[2].id, standing(2, 77));
    assert!(manifest.add_standing_file(0, "day=9", standing(10, 1_000)));
    assert!(!manifest.add_standing_file(0, "hour=9", standing(10, 1_000)));
    assert_eq!(names(&manifest.uploads()), [&*uploads[1].name, &*uploads[3].name]);
    // Those of objects that stand are removed in the end as well.
    assert_eq!(manifest.staging_files().count(), 4);
    manifest.recount();
    let receipt = manifest.receipt(&[]);
    // Derived rows are no lines.
    assert_eq!((receipt.lines, receipt.rows, receipt.rejects), (18, 16, 2));
    let files = &receipt.tables[0].files;
    assert_eq!((files[0].rows, files[0].bytes), (4, 99));
    assert_eq!(files[2].path, "a/day=9/n-00000007.parquet");
    assert_eq!(files[2].partition_values["day"].as_deref(), Some("9"));
    assert_eq!(receipt.tables[0].quarantine.as_ref().map(|file| file.bytes), Some(77));
}

#[test]
fn statistics_past_the_budget_are_left_out() {
    use crate::columnar::statistics::{Bound, ColumnStatistics, Scalar};
    let text = |length| Some(Bound { value: Scalar::Text("x".repeat(length)), exact: true });
    let column = ColumnStatistics {
        path: "on".into(),
        values: 1,
        nulls: Some(0),
        nans: None,
        compressed_bytes: 1,
        min: text(STATISTICS_BYTES / 4),
        max: text(STATISTICS_BYTES / 4),
    };
    let large = FileStatistics { columns: vec![column] };
    let mut manifest = manifest();
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let tables = Tables::new(vec![Spec::new("a", schema, Template::default())]).unwrap();
    let a = tables.id("a").unwrap();
    for day in ["3", "4"] {
        let (partition, file) = (format!("day={day}"), encoded(day, 1, large.clone()));
        manifest.add_file(a, partition, values(&[Some(day)]), false, file);
    }
    let kept = |at: usize| manifest.tables[0].files[at].statistics.is_some();
    assert!(kept(0) && kept(2) && !kept(3));
}
