//! Lakes and files made on the spot.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::*;
use crate::audit::TableLogs;
use crate::lake::{Lake, TAIL_BYTES};

const SECOND: i64 = 1_000_000;

/// `times.len()` sessions, two a row group, each with one user action.
fn parquet(times: &[i64]) -> Bytes {
    let start = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
    let ids: Vec<String> = times.iter().map(|time| format!("id-{time}")).collect();
    let members: Fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("duration", DataType::Int64, true),
    ]
    .into();
    let durations: Vec<Option<i64>> = times.iter().map(|_| None).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(ids.clone())), Arc::new(Int64Array::from(durations))];
    let actions = ListArray::new(
        Arc::new(Field::new("element", DataType::Struct(members.clone()), true)),
        OffsetBuffer::from_lengths(times.iter().map(|_| 1)),
        Arc::new(StructArray::new(members, columns, None)),
        None,
    );
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("userSessionId", Arc::new(StringArray::from(ids)) as ArrayRef, true),
        ("startTime", Arc::new(start), false),
        ("userActions", Arc::new(actions), true),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_max_row_group_row_count(Some(2))
        .set_column_bloom_filter_enabled(ColumnPath::from("userSessionId"), true)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "made-by".to_owned(),
            "a test\n".to_owned(),
        )]))
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file.into()
}

async fn store(files: &[(&str, Bytes)]) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    for (path, bytes) in files {
        let path = Path::parse(path).unwrap();
        store.put(&path, PutPayload::from_bytes(bytes.clone())).await.unwrap();
    }
    store
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn small_lake() -> LakeReport {
    let whole = parquet(&[SECOND, 2 * SECOND, 3 * SECOND]);
    let cut = whole.slice(..whole.len() - 7);
    let files = [
        ("lake/user_sessions/date=1970-01-01/eu-1.parquet", whole),
        ("lake/user_sessions/date=1970-01-01/eu-2.parquet", parquet(&[5 * SECOND])),
        ("lake/user_sessions/date=2000-01-01/eu-3.parquet", parquet(&[946_684_800 * SECOND])),
        ("lake/user_sessions/date=2000-01-01/cut.parquet", cut),
        ("lake/user_sessions/date=2000-01-01/empty.parquet", Bytes::new()),
        ("lake/plain/a.parquet", parquet(&[])),
        ("lake/_receipts/eu/1.json", Bytes::from_static(b"{}")),
        ("lake/user_sessions/_delta_log/0.parquet", Bytes::from_static(b"hidden")),
        ("lake/readme.txt", Bytes::from_static(b"hello")),
        ("lakeside/user_sessions/a.parquet", parquet(&[1])),
    ];
    run(async {
        let store = store(&files).await;
        inspected(&Lake::below(store, "lake")).await
    })
}

async fn inspected(lake: &Lake) -> LakeReport {
    inspect_lake(lake, &TableLogs::of(lake, None), true).await.unwrap()
}

#[test]
fn a_lake_is_counted_by_table_and_partition() {
    let report = small_lake();
    assert_eq!((report.totals.files, report.totals.rows, report.totals.row_groups), (4, 5, 4));
    let names: Vec<&str> = report.tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(names, ["plain", "user_sessions"]);
    let sessions = &report.tables[1];
    assert_eq!((sessions.totals.files, sessions.totals.rows, sessions.schemas), (3, 5, 1));
    assert_eq!(sessions.time_column.as_deref(), Some("startTime"));
    assert_eq!(sessions.totals.first.as_deref(), Some("1970-01-01T00:00:01Z"));
    assert_eq!(sessions.totals.last.as_deref(), Some("2000-01-01T00:00:00Z"));
    assert_eq!(sessions.compression.iter().collect::<Vec<_>>(), ["zstd"]);
    let first = &sessions.partitions[0];
    assert_eq!(first.partition, "date=1970-01-01");
    assert_eq!((first.totals.files, first.totals.rows, first.totals.row_groups), (2, 4, 3));
    assert_eq!(first.totals.last.as_deref(), Some("1970-01-01T00:00:05Z"));
    assert_eq!(first.file_list[0].path, "user_sessions/date=1970-01-01/eu-1.parquet");
    assert_eq!(report.tables[0].partitions[0].partition, "", "a table without partitions");
}

#[test]
fn broken_files_are_named_and_hidden_ones_only_counted() {
    let report = small_lake();
    let broken: Vec<&str> = report.broken.iter().map(|broken| broken.path.as_str()).collect();
    assert_eq!(
        broken,
        [
            "user_sessions/date=2000-01-01/cut.parquet",
            "user_sessions/date=2000-01-01/empty.parquet"
        ]
    );
    assert_eq!(report.broken[1].reason, "this is no Parquet file: it has 0 bytes");
    let other: Vec<_> = report.other.iter().map(|o| (o.name.as_str(), o.files, o.bytes)).collect();
    assert_eq!(other, [("_receipts", 1, 2), ("readme.txt", 1, 5), ("user_sessions", 1, 6)]);
}

#[test]
fn a_table_can_be_looked_at_by_itself() {
    let files = [("lake/user_sessions/date=1970-01-01/a.parquet", parquet(&[1]))];
    let report = run(async {
        let store = store(&files).await;
        inspected(&Lake::below(store, "lake/user_sessions")).await
    });
    assert_eq!(report.tables[0].table, "user_sessions");
    assert_eq!(report.tables[0].partitions[0].partition, "date=1970-01-01");
}

#[test]
fn the_text_of_a_lake_fits_eighty_columns() {
    let text = lake_text(&small_lake(), true);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in [
        "Lake s3://bucket/lake\n2 tables, 4 files, 5 rows, ",
        "Table user_sessions\nstartTime from 1970-01-01T00:00:01Z to 2000-01-01T00:00:00Z\n",
        "\n  date=1970-01-01 ",
        "\n    eu-1.parquet ",
        "\nBroken: 2 files\n  user_sessions/date=2000-01-01/cut.parquet\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!lake_text(&small_lake(), false).contains("eu-1.parquet"));
}

fn small_file() -> FileReport {
    run(async {
        let store = store(&[("a.parquet", parquet(&[SECOND, 2 * SECOND, 9 * SECOND]))]).await;
        let lake = Lake::below(store, "");
        let object = lake.head("a.parquet").await.unwrap().unwrap();
        inspect_file(&lake, &object, "a.parquet").await.unwrap()
    })
}

#[test]
fn a_file_tells_what_its_footer_says() {
    let report = small_file();
    assert_eq!(report.rows, 3);
    let groups: Vec<u64> = report.row_groups.iter().map(|group| group.rows).collect();
    assert_eq!(groups, [2, 1]);
    assert_eq!(report.last.as_deref(), Some("1970-01-01T00:00:09Z"));
    let paths: Vec<&str> = report.columns.iter().map(|column| column.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "userSessionId",
            "startTime",
            "userActions.list.element.name",
            "userActions.list.element.duration"
        ]
    );
    let (id, duration) = (&report.columns[0], &report.columns[3]);
    assert!(id.bloom_filter && id.page_index && !duration.bloom_filter);
    assert_eq!((duration.values, duration.nulls), (3, Some(3)));
    assert!(id.compression.contains("zstd") && id.encodings.contains("RLE_DICTIONARY"));
    assert_eq!(report.metadata[0].key, "made-by");
    let schema: Vec<_> = report
        .schema
        .iter()
        .map(|line| (line.depth, line.name.as_str(), line.kind.as_str(), line.nullable))
        .collect();
    assert_eq!(
        schema,
        [
            (0, "userSessionId", "string", true),
            (0, "startTime", "timestamp(µs, UTC)", false),
            (0, "userActions", "list of struct", true),
            (1, "name", "string", true),
            (1, "duration", "int64", true),
        ]
    );
}

#[test]
fn the_text_of_a_file_fits_eighty_columns() {
    let text = file_text(&small_file(), 2);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in [
        "Row groups: 2\n",
        "Columns: the 2 largest of 4\n",
        "  made-by = a test \n",
        "  startTime                                    timestamp(µs, UTC), not null\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_footer_longer_than_the_first_read_is_fetched_whole() {
    let fields: Vec<(String, ArrayRef, bool)> = (0..2000)
        .map(|i| (format!("column_{i}"), Arc::new(Int64Array::from(vec![i])) as ArrayRef, true))
        .collect();
    let batch = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let footer = writer.close().unwrap();
    assert_eq!(footer.file_metadata().num_rows(), 1);
    assert!(file.len() as u64 > 2 * TAIL_BYTES);
    let report = run(async {
        let store = store(&[("a.parquet", file.into())]).await;
        let lake = Lake::below(store, "");
        let object = lake.head("a.parquet").await.unwrap().unwrap();
        inspect_file(&lake, &object, "a.parquet").await.unwrap()
    });
    assert_eq!((report.columns.len(), report.time_column), (2000, None));
}

#[test]
fn any_damage_to_the_end_of_a_file_is_an_error_or_a_report() {
    let whole = parquet(&[SECOND]);
    let length = whole.len();
    run(async {
        for at in length.saturating_sub(600)..length {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0x55;
            let store = store(&[("l/t/a.parquet", bytes.into())]).await;
            let report = inspected(&Lake::below(store, "l")).await;
            assert_eq!(report.totals.files + report.broken.len() as u64, 1, "byte {at}");
        }
    });
}

#[test]
fn columns_stand_below_each_other_when_row_groups_have_other_codecs() {
    let whole = parquet(&[SECOND, 2 * SECOND, 3 * SECOND]);
    let mut report = run(async {
        let store = store(&[("a.parquet", whole)]).await;
        let lake = Lake::below(store, "");
        let object = lake.head("a.parquet").await.unwrap().unwrap();
        inspect_file(&lake, &object, "a.parquet").await.unwrap()
    });
    report.columns[0].compression.insert("none".to_owned());
    report.columns[1].path = "a.list.element.very.long.and.deep.name.that.has.no.room".to_owned();
    let text = file_text(&report, 20);
    let mut lines = text.lines().skip_while(|line| !line.starts_with("Columns")).skip(1);
    let at = lines.next().unwrap().find("encoding").unwrap();
    let rows: Vec<&str> = lines.take(report.columns.len()).collect();
    assert!(rows.iter().any(|row| row.contains(" none,zstd ")), "{text}");
    for row in rows {
        assert_eq!(&row[at - 1..at], " ", "{text}");
        assert_ne!(&row[at..=at], " ", "{text}");
        assert!(row.chars().count() <= 80, "{text}");
    }
}
