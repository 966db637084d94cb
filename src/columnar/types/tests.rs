//! The Arrow schema: its columns, its text, and the round trip through a Parquet file.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, MapArray, RecordBatch};
use arrow::array::{StringArray, StructArray, TimestampMicrosecondArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Fields, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::schema::render::arrow_text;
use crate::schema::{BUILTIN, EXTRA, INGEST_ID, INGEST_TIME, TableSchema};

fn sessions() -> Arc<TableSchema> {
    TableSchema::builtin("user_sessions").expect("compiled in")
}

#[test]
fn the_arrow_schema_ends_in_the_lineage_columns() {
    let schema = sessions();
    let arrow = schema.arrow();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let lineage: Vec<_> = arrow.fields()[schema.fields.len()..]
        .iter()
        .map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable()))
        .collect();
    assert_eq!(
        lineage,
        [
            ("_ingest_time", time.clone(), false),
            ("_ingest_id", DataType::Utf8, false),
            ("_extra", DataType::Utf8, true),
        ]
    );
    assert_eq!(arrow.field_with_name("startTime").expect("a column").data_type(), &time);
    assert!(arrow.fields()[..schema.fields.len()].iter().all(|f| f.is_nullable()));
}

fn struct_fields(kind: &DataType) -> &Fields {
    match kind {
        DataType::Struct(fields) => fields,
        other => panic!("{other} is no struct"),
    }
}

/// One record with a text in its field `type` and nulls beside it.
fn one_step(fields: &Fields) -> StructArray {
    let values = fields.iter().map(|field| match field.name().as_str() {
        "type" => Arc::new(StringArray::from(vec!["Load"])) as ArrayRef,
        _ => new_null_array(field.data_type(), 1),
    });
    StructArray::new(fields.clone(), values.collect(), None)
}

/// A row of the small schema with something in a list of records, in a map and in scalars.
fn one_row(schema: SchemaRef) -> RecordBatch {
    let column = |name: &str, kind: &DataType| -> ArrayRef {
        match (name, kind) {
            ("id" | INGEST_ID | EXTRA, _) => Arc::new(StringArray::from(vec!["x"])),
            ("startTime" | INGEST_TIME, _) => {
                let times = TimestampMicrosecondArray::from(vec![1_480_463_779_085_000]);
                Arc::new(times.with_timezone("UTC"))
            }
            ("count", _) => Arc::new(Int64Array::from(vec![i64::MIN])),
            ("steps", DataType::List(item)) => {
                let steps = Arc::new(one_step(struct_fields(item.data_type())));
                let offsets = OffsetBuffer::from_lengths([1]);
                Arc::new(ListArray::new(item.clone(), offsets, steps, None))
            }
            ("sums", DataType::Map(entries, sorted)) => {
                let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
                let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), None]));
                let fields = struct_fields(entries.data_type()).clone();
                let pairs = StructArray::new(fields, vec![keys, values], None);
                let offsets = OffsetBuffer::from_lengths([2]);
                Arc::new(MapArray::new(entries.clone(), offsets, pairs, None, *sorted))
            }
            (_, kind) => new_null_array(kind, 1),
        }
    };
    let columns = schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect();
    RecordBatch::try_new(schema, columns).expect("a row")
}

/// Writes `batch` to a file and reads it; returns the schema and the rows.
fn through_parquet(batch: &RecordBatch) -> (SchemaRef, Vec<RecordBatch>) {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).expect("a reader");
    let schema = reader.schema().clone();
    (schema, reader.build().expect("built").map(|b| b.expect("read")).collect())
}

#[test]
fn schemas_and_values_come_back_from_a_parquet_file() {
    let small =
        TableSchema::parse(include_str!("../../schema/fixtures/small.avsc")).expect("parses");
    let row = one_row(small.arrow());
    assert_eq!(through_parquet(&row), (small.arrow(), vec![row]));

    let arrow = sessions().arrow();
    let nothing = RecordBatch::new_empty(arrow.clone());
    assert_eq!(through_parquet(&nothing), (arrow, vec![]));
}

/// The tree that [`arrow_text`] prints, made from the Arrow schema itself.
fn tree(text: &mut String, field: &arrow::datatypes::Field, depth: usize) {
    let (name, children) = match field.data_type() {
        DataType::List(item) => ("List".to_owned(), vec![item]),
        DataType::Map(entries, _) => ("Map".to_owned(), vec![entries]),
        DataType::Struct(fields) => ("Struct".to_owned(), fields.iter().collect()),
        leaf => (leaf.to_string(), Vec::new()),
    };
    let null = if field.is_nullable() { "" } else { " not null" };
    text.push_str(&format!("{}{}: {name}{null}\n", "  ".repeat(depth), field.name()));
    for child in children {
        tree(text, child, depth + 1);
    }
}

#[test]
fn the_arrow_text_of_a_schema_says_what_its_arrow_schema_is() {
    let small = TableSchema::parse(include_str!("../../schema/fixtures/small.avsc"));
    let builtin = BUILTIN.iter().map(|name| TableSchema::builtin(name).expect("compiled in"));
    for schema in builtin.chain([Arc::new(small.expect("parses"))]) {
        let mut expected = format!("{} (fingerprint {})\n", schema.name, schema.fingerprint);
        for field in schema.arrow().fields() {
            tree(&mut expected, field, 1);
        }
        assert_eq!(arrow_text(&schema), expected);
    }
}
