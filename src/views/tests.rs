use std::sync::Arc;

use super::rules::{RULES, Rule, rule};
use super::*;
use crate::table::Template;
use crate::table::flat::FLAT_COLUMNS;

const ENGINES: [Dialect; 3] = [Dialect::Duckdb, Dialect::Spark, Dialect::Trino];

fn spec(name: &str, schema: Arc<TableSchema>, partition: &str) -> Spec {
    let partition = Template::parse(partition, &schema).unwrap();
    Spec::new(name, schema, partition)
}

fn user_sessions() -> Spec {
    spec(
        "user_sessions",
        TableSchema::builtin("user_sessions").unwrap(),
        "date={startTime:%Y-%m-%d}",
    )
}

fn text(dialect: Dialect, table: &Spec) -> String {
    let namespace = ["sessionlake".to_owned()];
    let place = Place { lake: "data/lake", namespace: &namespace };
    sql(dialect, table, place, FLAT_COLUMNS, &[]).unwrap()
}

#[test]
fn every_column_of_a_session_has_a_rule_that_fits() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let columns: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    let ruled: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(ruled, columns);
    for (field, (name, named)) in schema.fields.iter().zip(RULES) {
        assert_eq!(rule(field), *named, "{name} has another type than its rule is for");
    }
}

#[test]
fn rules_are_documented_as_they_are() {
    let page = include_str!("../../docs/views.md");
    for (name, named) in RULES {
        let word = match named {
            Rule::Key => "the same in all parts",
            Rule::First => "the first",
            Rule::Greatest => "the last",
            Rule::Sum => "the sum",
            Rule::Any => "true if one is",
            Rule::All => "true if all are",
            Rule::Last => "that of the last part that has one",
            Rule::Joined => "one after the other",
            Rule::Merged => "merged",
            Rule::Span => "from the first start to the last end",
        };
        let line = page.lines().find(|line| line.contains(&format!("| {word}")));
        let line = line.unwrap_or_else(|| panic!("docs/views.md has no line of {word}"));
        assert!(line.contains(&format!("`{name}`")), "{name} is not in the line of {word}");
    }
}

#[test]
fn columns_that_have_no_rule_of_their_own_go_by_their_type() {
    let avsc = r#"{"type": "record", "name": "t", "fields": [
        {"name": "flag", "type": "boolean"}, {"name": "bounce", "type": "string"},
        {"name": "items", "type": {"type": "array", "items": "long"}},
        {"name": "labels", "type": {"type": "map", "values": "long"}},
        {"name": "userActionCount", "type": "double"}]}"#;
    let schema = TableSchema::parse(avsc).unwrap();
    let rules: Vec<Rule> = schema.fields.iter().map(rule).collect();
    assert_eq!(rules, [Rule::Any, Rule::Last, Rule::Joined, Rule::Merged, Rule::Last]);
}

#[test]
fn every_engine_gets_every_view_and_the_same_text_again() {
    for dialect in ENGINES {
        let sql = text(dialect, &user_sessions());
        for view in [
            "user_sessions_latest",
            "sessions",
            "user_actions",
            "user_events",
            "user_errors",
            "user_properties",
        ] {
            let quote = if dialect == Dialect::Spark { '`' } else { '"' };
            let created = format!("VIEW {quote}{view}{quote} AS\n");
            assert_eq!(sql.matches(&created).count(), 1, "{view} in {sql}");
        }
        assert!(sql.ends_with(";\n"));
        assert_eq!(sql, text(dialect, &user_sessions()));
    }
}

#[test]
fn a_view_has_the_name_of_a_table_only_where_that_can_be() {
    let place = Place { lake: "data/lake", namespace: &[] };
    for dialect in ENGINES {
        let sql = sql(dialect, &user_sessions(), place, FLAT_COLUMNS, &["user_events"]).unwrap();
        assert_eq!(sql.contains("-- user_events is a table"), dialect == Dialect::Trino);
        assert_eq!(
            sql.contains("VIEW \"user_events\"") || sql.contains("VIEW `user_events`"),
            dialect != Dialect::Trino
        );
        assert!(sql.contains("user_errors") && sql.ends_with(";\n"), "{sql}");
    }
}

#[test]
fn a_place_cannot_end_a_literal() {
    let namespace = ["a\"b".to_owned()];
    let place = Place { lake: "it's/\\lake", namespace: &namespace };
    let table = user_sessions();
    let duckdb = sql(Dialect::Duckdb, &table, place, &[], &[]).unwrap();
    assert!(duckdb.contains(r"'it''s/\lake/user_sessions/**/*.parquet'"), "{duckdb}");
    let spark = sql(Dialect::Spark, &table, place, &[], &[]).unwrap();
    assert!(spark.contains(r"(path 'it\'s/\\lake/user_sessions')"), "{spark}");
    let iceberg = Spec { format: Format::Iceberg, ..table };
    let duckdb = sql(Dialect::Duckdb, &iceberg, place, &[], &[]).unwrap();
    assert!(duckdb.contains(r#""lake"."a""b"."user_sessions""#), "{duckdb}");
}

#[test]
fn files_are_left_out_by_the_partition_of_the_start_where_there_is_one() {
    let joined_by = |table: &Spec| {
        let sql = text(Dialect::Duckdb, table);
        let (_, by) = sql.split_once(r#"AND t.""#).unwrap();
        by.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(joined_by(&user_sessions()), "date");
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let of = |partition: &str| joined_by(&spec("user_sessions", schema.clone(), partition));
    assert_eq!(of(""), "startTime");
    assert_eq!(of("land={country}/hour={startTime:%Y-%m-%d-%H}"), "hour");
    assert_eq!(of("ended={endTime:%Y-%m-%d}"), "startTime");
    // Equal sessions may be of two countries.
    assert_eq!(of("x={country}-{startTime:%Y}"), "startTime");
    assert_eq!(joined_by(&Spec { format: Format::Iceberg, ..user_sessions() }), "startTime");
}

#[test]
fn a_table_without_the_keys_of_sessions_is_refused() {
    for fields in [
        r#"{"name": "userSessionId", "type": "string"}"#,
        r#"{"name": "startTime", "type": {"type": "long", "logicalType": "timestamp-millis"}},
           {"name": "userSessionId", "type": "long"}"#,
    ] {
        let avsc = format!(r#"{{"type": "record", "name": "t", "fields": [{fields}]}}"#);
        let schema = Arc::new(TableSchema::parse(&avsc).unwrap());
        let place = Place { lake: "data/lake", namespace: &[] };
        let why = sql(Dialect::Trino, &spec("t", schema, ""), place, &[], &[]).unwrap_err();
        assert!(why.contains("t has no column "), "{why}");
    }
}

#[test]
fn what_is_in_extra_is_found_by_the_members_of_documents() {
    let avsc = r#"{"type":"record","name":"t","fields":[
        {"name":"userSessionId","type":"string"},
        {"name":"startTime","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"userActions","json":["the","actions"],"type":{"type":"array","items":
            {"type":"record","name":"A","fields":[{"name":"stringProperties","json":"props","type":
                {"type":"array","items":{"type":"record","name":"P","fields":[
                    {"name":"key","type":"string"},{"name":"value","type":"string"}]}}}]}}}]}"#;
    let table = spec("t", Arc::new(TableSchema::parse(avsc).unwrap()), "");
    for dialect in ENGINES {
        let text = text(dialect, &table);
        assert!(text.contains("'/the/actions/'") && text.contains("'/props/'"), "{text}");
        assert!(!text.contains("/userActions/") && !text.contains("/stringProperties/"), "{text}");
    }
}
