use serde_json::Value;

use super::*;
use crate::schema::BUILTIN;

fn small() -> TableSchema {
    TableSchema::parse(include_str!("../fixtures/small.avsc")).expect("parses")
}

#[test]
fn a_small_schema_is_rendered_to_the_letter() {
    let golden = [
        (Format::Avro, "small.avsc", include_str!("../fixtures/small.avsc")),
        (Format::Arrow, "small.arrow.txt", include_str!("../fixtures/small.arrow.txt")),
        (Format::Spark, "small.spark.sql", include_str!("../fixtures/small.spark.sql")),
        (Format::Trino, "small.trino.sql", include_str!("../fixtures/small.trino.sql")),
        (Format::Duckdb, "small.duckdb.sql", include_str!("../fixtures/small.duckdb.sql")),
        (
            Format::Elasticsearch,
            "small.elasticsearch.json",
            include_str!("../fixtures/small.elasticsearch.json"),
        ),
    ];
    for (format, file, expected) in golden {
        let text = cli_text(&small(), format);
        assert!(text == expected, "not fixtures/{file} any more, but:\n{text}");
    }
}

#[test]
fn built_in_schemas_are_kept_in_the_layout_that_is_printed() {
    for name in BUILTIN {
        let schema = TableSchema::builtin(name).expect(name);
        assert!(avro(&schema) == schema.avsc, "schemas/{name}.avsc is laid out otherwise");
    }
}

#[test]
fn the_layout_of_the_source_does_not_show_in_the_avro_text() {
    let compact: Value = serde_json::from_str(
        r#"{"type":"record","name":"t","fields":[{"name":"b","type":"long"}]}"#,
    )
    .expect("JSON");
    let wide = TableSchema::parse(&format!("\u{feff}\n{compact:#}\n\n")).expect("parses");
    let narrow = TableSchema::parse(&compact.to_string()).expect("parses");
    assert_eq!(avro(&wide), avro(&narrow));
    let again = TableSchema::parse(&avro(&wide)).expect("parses again");
    assert_eq!((again.fingerprint, again.fields), (wide.fingerprint, wide.fields));
}

#[test]
fn a_schema_that_the_default_partition_does_not_fit_names_none() {
    for fields in [
        r#"{"name":"a","type":"string"}"#,
        r#"{"name":"startTime","type":"long"}"#,
        r#"{"name":"startTime","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"Date","type":"string"}"#,
    ] {
        let text = format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#);
        let schema = TableSchema::parse(&text).expect("parses");
        let spark = spark_ddl(&schema);
        assert!(!spark.contains("PARTITIONED") && spark.contains(NO_PARTITION), "{spark}");
        let trino = trino_ddl(&schema);
        assert!(!trino.contains("partitioned_by") && trino.contains(NO_PARTITION), "{trino}");
        let duckdb = duckdb_ddl(&schema);
        assert!(!duckdb.contains("DATE") && duckdb.contains(NO_PARTITION), "{duckdb}");
    }
}

#[test]
fn docs_cannot_end_a_literal_or_a_comment_of_sql() {
    let text = r#"{"type":"record","name":"t","doc":"a'; DROP\n-- TABLE x\\","fields":[
        {"name":"a","type":"string","doc":"it's\nso\\"}]}"#;
    let schema = TableSchema::parse(text).expect("parses");
    let spark = spark_ddl(&schema);
    assert!(spark.contains(r"COMMENT 'a\'; DROP\n-- TABLE x\\'"), "{spark}");
    assert!(spark.contains(r"`a` STRING COMMENT 'it\'s\nso\\',"), "{spark}");
    let trino = trino_ddl(&schema);
    assert!(trino.contains("COMMENT 'a''; DROP\n-- TABLE x\\'\n"), "{trino}");
    assert!(trino.contains("\"a\" VARCHAR COMMENT 'it''s\nso\\',"), "{trino}");
    let duckdb = duckdb_ddl(&schema);
    assert!(duckdb.contains("IS 'a''; DROP\n-- TABLE x\\';"), "{duckdb}");
    assert!(duckdb.contains("IS 'it''s\nso\\';"), "{duckdb}");
}

#[test]
fn the_elasticsearch_mapping_nests_lists_of_records_and_keeps_maps_apart() {
    let schema = TableSchema::builtin("user_sessions").expect("compiled in");
    let body: Value = serde_json::from_str(&elasticsearch_mapping(&schema)).expect("JSON");
    let at = |pointer: &str| body.pointer(pointer).cloned().unwrap_or(Value::Null);
    let column = |path: &str| at(&format!("/mappings/properties/{path}"));
    assert_eq!(at("/mappings/dynamic"), false);
    assert_eq!(at("/mappings/_meta/fingerprint"), schema.fingerprint);
    for list in ["userActions", "events", "errors", "syntheticEvents", "longProperties"] {
        assert_eq!(column(list)["type"], "nested", "{list}");
    }
    assert_eq!(column("userActions/properties/longProperties")["type"], "nested");
    assert_eq!(column("userActions/properties/longProperties/properties/value")["type"], "long");
    assert_eq!(column("matchingConversionGoals")["type"], "keyword");
    assert_eq!(column("startTime"), serde_json::json!({"type": "date", "format": "epoch_millis"}));
    assert_eq!(column("stringTags")["type"], "flattened");
    assert_eq!(column("numTags")["dynamic"], true);
    let templates = at("/mappings/dynamic_templates");
    assert_eq!(templates[0]["numTags"]["path_match"], "numTags.*");
    assert_eq!(templates[1]["dateTags"]["mapping"]["type"], "date");
    assert_eq!(column("_ingest_id"), Value::Null);
    // The limit of Elasticsearch 8 is 50 nested fields an index.
    assert_eq!(elasticsearch_mapping(&schema).matches("\"nested\"").count(), 12);
}

#[test]
fn the_elasticsearch_mapping_has_the_names_and_forms_of_documents() {
    let time = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    let avsc = format!(
        r#"{{"type":"record","name":"t","fields":[
        {{"name":"a","type":"long","json":["x","y","a"]}},
        {{"name":"b","type":"string","json":["x","b"]}},
        {{"name":"c","type":{time},"json":"when","from":["iso8601","nanos"]}},
        {{"name":"c_nanos","type":"long","nanos_of":"c"}},
        {{"name":"d","type":{time},"from":["seconds"]}},
        {{"name":"e","type":{time},"from":["nanos"]}},
        {{"name":"p","type":{{"type":"map","values":"string"}},"json_prefix":"props."}},
        {{"name":"q","type":{{"type":"map","values":"double"}},"json_prefix":"props."}}]}}"#
    );
    let schema = TableSchema::parse(&avsc).expect("parses");
    let body: Value = serde_json::from_str(&elasticsearch_mapping(&schema)).expect("JSON");
    let names = |at: &str| {
        let members = body.pointer(at).and_then(Value::as_object).expect(at);
        let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(names("/mappings/properties"), "d e props when x");
    assert_eq!(names("/mappings/properties/x/properties"), "b y");
    assert_eq!(
        body["mappings"]["properties"]["x"]["properties"]["y"]["properties"]["a"]["type"],
        "long"
    );
    let when = &body["mappings"]["properties"]["when"];
    assert_eq!((&when["type"], &when["ignore_malformed"]), (&"date_nanos".into(), &true.into()));
    assert_eq!(body["mappings"]["properties"]["d"]["format"], "epoch_second");
    assert_eq!(body["mappings"]["properties"]["e"]["type"], "long");
    let templates = body["mappings"]["dynamic_templates"].as_array().expect("a list");
    let found: Vec<&str> = templates
        .iter()
        .flat_map(|of| of.as_object().expect("one").keys().map(String::as_str))
        .collect();
    assert_eq!(found, ["props.string", "props.long", "props.double"]);
    assert_eq!(templates[1]["props.long"]["mapping"]["type"], "double");
}

#[test]
fn no_member_of_a_built_in_table_is_an_object_around_another_to_elasticsearch() {
    for name in BUILTIN {
        let schema = TableSchema::builtin(name).expect(name);
        let names: Vec<String> = schema
            .fields
            .iter()
            .map(|f| f.json_path().join("."))
            .filter(|n| !n.is_empty())
            .collect();
        for one in &names {
            let within = names.iter().find(|other| other.starts_with(&format!("{one}.")));
            assert_eq!(within, None, "{one}");
        }
    }
}
