use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray};
use arrow::compute::{concat_batches, nullif};
use arrow::datatypes::Int64Type;
use bytes::Bytes;

use super::*;
use crate::columnar::folded::unfold;
use crate::decode::{Decoded, Decoder};
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{ColumnType, TableSchema};
use crate::table::flat::FLAT_COLUMNS;
use crate::table::{Flat, Spec, Template};

fn tables() -> Tables {
    tables_of(TableSchema::builtin("user_sessions").unwrap())
}

fn tables_of(schema: Arc<TableSchema>) -> Tables {
    let partition = Template::parse("date={startTime:%Y-%m-%d}", &schema).unwrap();
    let parent = Spec::new("user_sessions", schema, partition);
    let flat = Flat::ALL.map(|flat| flat.spec(&parent, FLAT_COLUMNS).unwrap());
    Tables::new([vec![parent], flat.to_vec()].concat()).unwrap()
}

/// Decodes bodies, numbered from 1.
fn decode(bodies: &[&str]) -> Decoded {
    decode_by(TableSchema::builtin("user_sessions").unwrap(), bodies)
}

fn decode_by(schema: Arc<TableSchema>, bodies: &[&str]) -> Decoded {
    let mut decoder = Decoder::new(schema, Arc::from("n"));
    for (seq, text) in (1..).zip(bodies) {
        decoder.push(&Body {
            seq: Seq(seq),
            received_at: Micros(seq as i64),
            table: "user_sessions".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            stored: None,
        });
    }
    let decoded = decoder.finish();
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    decoded
}

/// Returns the batches of a flat table.
fn batches(table: &str, batch: &RecordBatch, bodies: &[BodyRows]) -> Vec<Derived> {
    batches_of(&tables(), table, batch, bodies)
}

fn batches_of(
    tables: &Tables,
    table: &str,
    batch: &RecordBatch,
    bodies: &[BodyRows],
) -> Vec<Derived> {
    let flat = FlatTables::new(tables).unwrap();
    let parent = tables.id("user_sessions").unwrap();
    let explosions = flat.explode(parent, batch, bodies).unwrap();
    assert_eq!(explosions.len(), 4);
    let mut made = Vec::new();
    for mut explosion in explosions {
        while let Some(mut derived) = explosion.next_batch().unwrap() {
            let schema = tables.get(derived.table).unwrap().schema.arrow();
            derived.batch = unfold(&derived.batch, &schema).unwrap();
            assert_eq!(derived.of.len(), derived.batch.num_rows());
            assert_eq!(derived.bodies.iter().map(|b| b.rows).sum::<usize>(), derived.of.len());
            if derived.table == tables.id(table).unwrap() {
                made.push(derived);
            }
        }
    }
    made
}

/// Returns the rows of a flat table: of each the columns that are named, as text.
fn rows_of(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let value = |row: usize, name: &&str| {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("{name}"));
        arrow::util::display::array_value_to_string(column, row).unwrap()
    };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|name| value(row, name)).collect::<Vec<_>>().join("|"))
        .collect()
}

fn rows(table: &str, bodies: &[&str], columns: &[&str]) -> Vec<String> {
    let decoded = decode(bodies);
    let made = batches(table, &decoded.batch, &decoded.bodies);
    made.iter().flat_map(|derived| rows_of(&derived.batch, columns)).collect()
}

const SESSION: &str = concat!(
    r#"{"tenantId":"t","userSessionId":"a","partNumber":2,"startTime":1764000000000,"country":"Austria","#,
    r#""bounce":true,"userActions":[{"name":"one","duration":5},null,{"name":"three","startTime":1764000001000,"#,
    r#""stringProperties":[{"key":"k","value":"v"}]}]}"#,
    "\n"
);

#[test]
fn a_row_is_an_element_with_the_columns_of_its_session() {
    let columns = [
        "tenantId",
        "userSessionId",
        "partNumber",
        "sessionStartTime",
        "sessionCountry",
        "sessionCity",
        "sessionBounce",
        "position",
        "name",
        "duration",
        "_ingest_id",
    ];
    let more = "{\"userSessionId\":\"b\",\"userActions\":[{}]}\n";
    assert_eq!(
        rows("user_actions", &[SESSION, more], &columns),
        [
            "t|a|2|2025-11-24T16:00:00Z|Austria||true|0|one|5|n-1-1",
            "t|a|2|2025-11-24T16:00:00Z|Austria||true|2|three||n-1-1",
            "|b||||||0|||n-2-1",
        ]
    );
}

#[test]
fn sessions_without_elements_have_no_rows() {
    let text = concat!(
        "{\"userSessionId\":\"a\"}\n{\"userSessionId\":\"b\",\"userActions\":[]}\n",
        "{\"userActions\":null}\n{\"userActions\":[null,null]}\n{\"userActions\":5}\n"
    );
    for table in ["user_actions", "user_events", "user_errors", "user_properties"] {
        assert_eq!(rows(table, &[text], &["position"]), [""; 0]);
    }
}

#[test]
fn elements_that_lie_together_are_shared_with_the_session_and_not_copied() {
    let text =
        "{\"events\":[{\"name\":\"a\"},{\"name\":\"b\"}]}\n{}\n{\"events\":[{\"name\":\"c\"}]}\n";
    let decoded = decode(&[text]);
    let made = batches("user_events", &decoded.batch, &decoded.bodies);
    let [Derived { batch, of, .. }] = &made[..] else { panic!("{made:?}") };
    assert_eq!(of, &[0, 0, 2]);
    let events = decoded.batch.column_by_name("events").unwrap().as_list::<i32>();
    let inner = events.values().as_struct().column_by_name("name").unwrap().as_string::<i32>();
    let flat = batch.column_by_name("name").unwrap().as_string::<i32>();
    assert_eq!(flat.values().as_ptr(), inner.values().as_ptr());
    assert_eq!(rows_of(batch, &["position", "name"]), ["0|a", "1|b", "0|c"]);
}

#[test]
fn rows_of_a_part_of_a_batch_are_those_of_its_sessions() {
    let text: String = (0..9)
        .map(|n| match n % 3 {
            0 => format!("{{\"userSessionId\":\"{n}\",\"errors\":[{{\"name\":\"x{n}\"}},null,{{\"name\":\"y{n}\"}}]}}\n"),
            1 => format!("{{\"userSessionId\":\"{n}\",\"longProperties\":[{{\"key\":\"k\",\"value\":{n}}}]}}\n"),
            _ => "{\"errors\":[]}\n".to_owned(),
        })
        .collect();
    let decoded = decode(&[&text]);
    let columns = ["userSessionId", "position", "_ingest_id"];
    for table in ["user_errors", "user_properties"] {
        let all = batches(table, &decoded.batch, &decoded.bodies);
        let all: Vec<String> = all.iter().flat_map(|d| rows_of(&d.batch, &columns)).collect();
        let mut parts = Vec::new();
        for (at, len) in [(0, 2), (2, 3), (5, 1), (6, 3)] {
            let bodies = [BodyRows { rows: len, ..decoded.bodies[0] }];
            for derived in batches(table, &decoded.batch.slice(at, len), &bodies) {
                assert!(derived.of.iter().all(|row| (*row as usize) < len));
                parts.extend(rows_of(&derived.batch, &columns));
            }
        }
        assert_eq!(parts, all);
        assert!(all.len() >= 3, "{all:?}");
    }
}

#[test]
fn a_null_list_has_no_rows_even_if_there_are_elements_below_it() {
    let decoded = decode(&["{\"events\":[{\"name\":\"a\"}]}\n{\"events\":[{\"name\":\"b\"}]}\n"]);
    let at = decoded.batch.schema().index_of("events").unwrap();
    let mut columns = decoded.batch.columns().to_vec();
    columns[at] = nullif(&columns[at], &BooleanArray::from(vec![true, false])).unwrap();
    let batch = RecordBatch::try_new(decoded.batch.schema(), columns).unwrap();
    let made = batches("user_events", &batch, &decoded.bodies);
    assert_eq!(rows_of(&made[0].batch, &["name", "_ingest_id"]), ["b|n-1-2"]);
    assert_eq!((made.len(), &made[0].of), (1, &vec![1]));
}

#[test]
fn an_element_has_of_extra_what_lies_below_it() {
    let text = concat!(
        r#"{"userSessionId":"a","new":1,"userActions":[{"name":"x"},{"duration":5.5,"a/b~":{"c":[1, 2]},"#,
        r#""longProperties":[{"key":"k","value":"no"}]},7]}"#,
        "\n",
        r#"{"userActions":[{"name":"y"}]}"#,
        "\n"
    );
    assert_eq!(
        rows("user_actions", &[text], &["position", "_extra"]),
        [
            "0|".to_owned(),
            r#"1|{"/duration":5.5,"/a~1b~0":{"c":[1, 2]},"/longProperties/0/value":"no"}"#
                .to_owned(),
            "0|".to_owned(),
        ]
    );
    assert_eq!(
        rows("user_properties", &[text], &["actionPosition", "key", "longValue", "_extra"]),
        [r#"1|k||{"/value":"no"}"#]
    );
    let top = r#"{"stringProperties":[{"key":"k","new":true},{"key":"l"}],"stringProperties2":[]}"#;
    assert_eq!(rows("user_properties", &[top], &["key", "_extra"]), [r#"k|{"/new":true}"#, "l|"]);
}

#[test]
fn a_property_is_a_row_with_its_value_in_the_column_of_its_type() {
    let text = concat!(
        r#"{"userSessionId":"a","dateProperties":[{"key":"d","value":"2025-01-01"}],"#,
        r#""stringProperties":[{"key":"s","value":"x"},null,{"key":"t"}],"#,
        r#""userActions":[null,{"name":"act","doubleProperties":[{"key":"f","value":1.5}],"#,
        r#""longProperties":[{"key":"l","value":7}]},{"name":"none"},{"stringProperties":[{"value":"u"}]}]}"#,
        "\n",
        r#"{"userSessionId":"b","longProperties":[{"key":"z","value":1}]}"#,
        "\n"
    );
    let columns = [
        "userSessionId",
        "level",
        "actionPosition",
        "actionName",
        "type",
        "position",
        "key",
        "stringValue",
        "longValue",
        "doubleValue",
        "dateValue",
    ];
    assert_eq!(
        rows("user_properties", &[text], &columns),
        [
            "a|session|||string|0|s|x|||",
            "a|session|||string|2|t||||",
            "a|session|||date|0|d||||2025-01-01",
            "a|action|1|act|long|0|l||7||",
            "a|action|1|act|double|0|f|||1.5|",
            "a|action|3||string|0||u|||",
            "b|session|||long|0|z||1||",
        ]
    );
}

#[test]
fn a_promoted_field_of_properties_is_a_column_of_theirs() {
    let promoted = |schema: &TableSchema, pointer: &str, column| schema.promote(pointer, column);
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let schema = promoted(&schema, "/stringProperties/*/unit", ColumnType::String).unwrap();
    let schema =
        promoted(&schema, "/userActions/*/longProperties/*/unit", ColumnType::String).unwrap();
    let schema =
        promoted(&schema, "/userActions/*/longProperties/*/scale", ColumnType::Long).unwrap();
    let text = concat!(
        r#"{"stringProperties":[{"key":"s","unit":"a"},null,{"key":"t","unit":5}],"#,
        r#""doubleProperties":[{"key":"d","unit":"no column"}],"#,
        r#""userActions":[{"longProperties":[{"key":"l","value":7,"unit":"ms","scale":-3}]}]}"#,
        "\n"
    );
    let columns = ["key", "unit", "scale", "longValue", "_extra"];
    let rows = |schema: &Arc<TableSchema>, tables: &Tables| {
        let decoded = decode_by(Arc::clone(schema), &[text]);
        let made = batches_of(tables, "user_properties", &decoded.batch, &decoded.bodies);
        made.iter().flat_map(|derived| rows_of(&derived.batch, &columns)).collect::<Vec<_>>()
    };
    let schema = Arc::new(schema);
    let tables = tables_of(Arc::clone(&schema));
    assert_eq!(
        rows(&schema, &tables),
        ["s|a|||", r#"t||||{"/unit":5}"#, r#"d||||{"/unit":"no column"}"#, "l|ms|-3|7|",]
    );
    // A table that was sealed without the columns is made without them.
    let before = tables_of(TableSchema::builtin("user_sessions").unwrap());
    let specs = tables.specs().iter().map(|spec| match &*spec.name {
        "user_properties" => before.by_name("user_properties").unwrap().clone(),
        _ => spec.clone(),
    });
    let decoded = decode_by(Arc::clone(&schema), &[text]);
    let sealed = Tables::new(specs.collect()).unwrap();
    let made = batches_of(&sealed, "user_properties", &decoded.batch, &decoded.bodies);
    assert_eq!(rows_of(&made[0].batch, &["key", "longValue"]), ["s|", "t|", "d|", "l|7"]);
    assert!(made[0].batch.column_by_name("unit").is_none());
}

#[test]
fn batches_are_bounded_and_their_rows_are_those_of_one() {
    let city = "c".repeat(1000);
    let events = vec!["{}"; 12_000].join(",");
    let text = format!("{{\"city\":\"{city}\",\"events\":[{events}]}}\n");
    let decoded = decode(&[&text, &text]);
    let made = batches("user_events", &decoded.batch, &decoded.bodies);
    assert!(made.len() > 2, "{} batches", made.len());
    for derived in &made {
        let bytes = derived.batch.num_rows() * 1256;
        assert!(bytes <= CHUNK_BYTES + 2000, "{bytes}");
    }
    let all: Vec<RecordBatch> = made.iter().map(|derived| derived.batch.clone()).collect();
    let all = concat_batches(&all[0].schema(), &all).unwrap();
    let positions = all.column_by_name("position").unwrap().as_primitive::<Int64Type>();
    let expected: Vec<i64> = (0..12_000).chain(0..12_000).collect();
    assert_eq!(positions.values(), expected.as_slice());
    let of: Vec<u32> = made.iter().flat_map(|derived| derived.of.clone()).collect();
    assert_eq!(of, [vec![0; 12_000], vec![1; 12_000]].concat());
    let bodies = made.iter().flat_map(|derived| derived.bodies.iter());
    let first: usize = bodies.filter(|body| body.seq == Seq(1)).map(|body| body.rows).sum();
    assert_eq!(first, 12_000);
}

#[test]
fn texts_that_a_session_would_repeat_too_many_times_are_null_in_flat_tables_alone() {
    let long = "l".repeat(SESSION_TEXT_BYTES - 3);
    let text = format!(
        "{{\"userSessionId\":\"ab\",\"userId\":\"{long}\",\"country\":\"AT\",\"city\":\"C\",\"errors\":[{{}}]}}\n\
         {{\"userSessionId\":\"b\",\"country\":\"AT\",\"errors\":[{{\"name\":\"{long}{long}\"}}]}}\n"
    );
    let columns = ["userSessionId", "sessionCountry", "sessionCity"];
    assert_eq!(rows("user_errors", &[&text], &columns), ["ab||C", "b|AT|"]);
    let name = &rows("user_errors", &[&text], &["name"])[1];
    assert_eq!(name.len(), 2 * long.len());
}

#[test]
fn a_table_whose_columns_its_parent_cannot_give_is_refused() {
    let all = tables();
    let parent = all.by_name("user_sessions").unwrap().clone();
    let of = |avsc: &str, flat: Flat| {
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        let rows = flat.rows("user_sessions");
        let child = Spec { rows, ..Spec::new("c", schema, Template::default()) };
        let tables = Tables::new(vec![parent.clone(), child]).unwrap();
        format!("{:#}", FlatTables::new(&tables).err().unwrap())
    };
    let avsc = |fields: &str| format!(r#"{{"type": "record", "name": "c", "fields": [{fields}]}}"#);
    let (id, position) =
        (r#"{"name": "tenantId", "type": "string"}"#, r#"{"name": "position", "type": "long"}"#);
    let gone = format!(r#"{id}, {{"name": "sessionGone", "type": "string"}}, {position}"#);
    for (fields, what) in [
        (id.to_owned(), "no column position"),
        (gone, "sessionGone"),
        (format!(r#"{position}, {{"name": "gone", "type": "long"}}"#), "gone"),
        (format!(r#"{position}, {{"name": "name", "type": "long"}}"#), "name"),
    ] {
        let why = of(&avsc(&fields), Flat::Errors);
        assert!(why.contains("table c") && why.contains(what), "{why}");
    }
    let why = of(
        &avsc(&format!(r#"{{"name": "level", "type": "string"}}, {position}"#)),
        Flat::Properties,
    );
    assert!(why.contains("other columns"), "{why}");
}

#[test]
fn the_name_of_an_action_that_is_too_long_to_be_repeated_is_null() {
    let text = |name: usize, properties: usize| {
        format!(
            "{{\"userActions\":[{{\"name\":\"{}\",\"longProperties\":[{}]}},{{\"name\":\"b\",\"longProperties\":[{{}}]}}]}}\n",
            "a".repeat(name),
            vec!["{}"; properties].join(",")
        )
    };
    let rows = rows("user_properties", &[&text(SESSION_TEXT_BYTES, 1)], &["actionName"]);
    assert_eq!(rows, ["a".repeat(SESSION_TEXT_BYTES).as_str(), "b"]);
    // All names together are more than an array of texts can hold.
    let (name, properties) = (1 << 20, 5_000);
    let decoded = decode(&[&text(name, properties)]);
    let made = batches("user_properties", &decoded.batch, &decoded.bodies);
    assert_eq!(made.iter().map(|derived| derived.batch.num_rows()).sum::<usize>(), properties + 1);
    let names = made.iter().flat_map(|derived| rows_of(&derived.batch, &["actionName"]));
    assert_eq!(names.filter(|name| !name.is_empty()).collect::<Vec<_>>(), ["b"]);
    // Repeated values count towards the size of a batch.
    let decoded = decode(&[&text(SESSION_TEXT_BYTES, 10_000)]);
    let made = batches("user_properties", &decoded.batch, &decoded.bodies);
    assert!(made.len() > 2, "{}", made.len());
}
