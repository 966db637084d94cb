//! Samples of lakes made on the spot, with several files and row groups.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Seq};

const DAY_MS: i64 = 86_400_000;

/// A file with a session at each of the times, two rows a row group.
fn file(schema: &Arc<TableSchema>, starts: &[i64]) -> Vec<u8> {
    let lines: String = starts
        .iter()
        .map(|start| match start {
            -1 => "{\"tenantId\":\"t\",\"userSessionId\":\"none\"}\n".to_owned(),
            start => format!(
                "{{\"tenantId\":\"t\",\"userSessionId\":\"s{start}\",\"startTime\":{start},\
                 \"new\":[1,null],\"userActions\":[{{\"name\":\"a\"}},{{\"duration\":\"5\"}}]}}\n"
            ),
        })
        .collect();
    let mut decoder = Decoder::new(schema.clone(), Arc::from("node"));
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(0),
        table: Arc::from("user_sessions"),
        form: Form::Ndjson,
        first_line: 1,
        bytes: lines.into(),
        stored: None,
    });
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema.arrow(), Some(properties)).unwrap();
    writer.write(&decoder.finish().batch).unwrap();
    writer.close().unwrap();
    file
}

/// Runs `question` on a lake of three files, a hidden one and one of another table.
fn ask<T>(question: impl AsyncFnOnce(Table<'_>) -> T) -> T {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(InMemory::new());
        for (path, starts) in [
            ("lake/user_sessions/date=a/1.parquet", vec![1, 20, 3, 40, 5]),
            ("lake/user_sessions/date=b/2.parquet", vec![-1, 39, DAY_MS + 7, 2]),
            ("lake/user_sessions/date=c/3.parquet", vec![]),
            ("lake/user_sessions/_hidden/4.parquet", vec![9 * DAY_MS]),
            ("lake/user_sessions_2/5.parquet", vec![9 * DAY_MS]),
        ] {
            let bytes = PutPayload::from(file(&schema, &starts));
            store.put(&Path::parse(path).unwrap(), bytes).await.unwrap();
        }
        let lake = Lake::below(store, "lake");
        question(Table { lake: &lake, schema: &schema, name: "user_sessions" }).await
    })
}

fn starts_of(sample: &Sample) -> Vec<i64> {
    sample.documents.iter().map(|document| document.long("startTime").unwrap()).collect()
}

#[test]
fn the_newest_come_from_all_files_and_row_groups() {
    let newest = |count, days| ask(async |table| table.newest(count, days).await.unwrap());
    assert_eq!(starts_of(&newest(3, 7)), [39, 40, DAY_MS + 7]);
    assert_eq!(starts_of(&newest(100, 7)), [1, 2, 3, 5, 20, 39, 40, DAY_MS + 7]);
    assert_eq!(
        starts_of(&newest(100, 1)),
        [20, 39, 40, DAY_MS + 7],
        "from a day before the newest"
    );
    assert!(newest(0, 7).documents.is_empty());
}

#[test]
fn a_document_is_the_one_that_came_in() {
    let newest = ask(async |table| table.newest(1, 7).await.unwrap());
    let start = DAY_MS + 7;
    let came = json!({
        "tenantId": "t", "userSessionId": format!("s{start}"), "startTime": start,
        "new": [1, null], "userActions": [{"name": "a"}, {"duration": "5"}]
    });
    let [document] = newest.documents.as_slice() else { panic!("{newest:?}") };
    assert_eq!(serde_json::to_value(document).unwrap(), came);
    assert!(newest.unknown.is_empty());
    assert_eq!(id(document), format!("t-s{start}-{start}"));
}

#[test]
fn ids_of_all_rows_are_returned() {
    let mut ids = Vec::new();
    ask(async |table| table.ids(|id| ids.push(id.to_owned())).await.unwrap());
    ids.sort();
    let expected = ["t-none-0", "t-s1-1", "t-s2-2", "t-s20-20", "t-s3-3", "t-s39-39", "t-s40-40"];
    assert_eq!(ids[..7], expected);
    assert_eq!(ids.len(), 9);
}

#[test]
fn a_broken_file_stops_it_with_its_name() {
    let error = ask(async |table| {
        let bytes = b"PAR1 no whole file".to_vec();
        table.lake.put_bytes("user_sessions/date=d/6.parquet", bytes).await.unwrap();
        table.newest(1, 7).await.unwrap_err()
    });
    assert_eq!(error.to_string(), "cannot read user_sessions/date=d/6.parquet");
}

#[test]
fn files_of_an_older_schema_give_documents_and_unknown_columns_are_reported() {
    let sample = ask(async |table| {
        let mut schema = table.schema.clone();
        schema.fields.retain(|field| field.name != "tenantId" && field.name != "userActions");
        let newer = table.schema.fields.iter().find(|field| field.name == "duration").unwrap();
        schema.fields.push(crate::schema::Field { name: "later".into(), ..newer.clone() });
        Table { schema: &schema, ..table }.newest(1, 7).await.unwrap()
    });
    let unknown: Vec<_> = sample.unknown.iter().collect();
    assert_eq!(unknown, ["tenantId", "userActions"]);
    assert_eq!(sample.documents[0].text("userSessionId").unwrap(), format!("s{}", DAY_MS + 7));
}

#[test]
fn columns_that_repeat_properties_are_no_unknown_ones_and_members_that_are_unknown_are() {
    let sample = ask(async |table| {
        let property = crate::schema::Property {
            of: crate::schema::PropertyType::String,
            key: "plan".to_owned(),
        };
        let schema = table.schema.with_properties(&[property]).unwrap();
        let pointer = "/userActions/*/step";
        let schema = schema.promote(pointer, crate::schema::ColumnType::Long).unwrap();
        let file = file(&Arc::new(schema), &[2 * DAY_MS]);
        table.lake.put_bytes("user_sessions/date=d/6.parquet", file).await.unwrap();
        table.newest(1, 7).await.unwrap()
    });
    let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(&sample.properties), ["prop_plan", "userActions.prop_plan"]);
    assert_eq!(names(&sample.unknown), ["userActions.step"]);
    assert_eq!(starts_of(&sample), [2 * DAY_MS]);
}
