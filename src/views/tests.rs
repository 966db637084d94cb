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
    // Spark replaces variables in the text of a statement, those of its environment too.
    let place_of_variable = Place { lake: "${env:HOME}", namespace: &[] };
    let spark = sql(Dialect::Spark, &table, place_of_variable, &[], &[]).unwrap();
    assert!(spark.contains(r"(path '\u0024{env:HOME}/user_sessions')"), "{spark}");
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
fn partitions_of_texts_are_texts_and_those_of_days_are_days() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let partition =
        "land={country}/date={startTime:%Y-%m-%d}/of={tenantId}-{startTime:%Y}/hour={startTime:%H}";
    let table = spec("user_sessions", schema, partition);
    let duckdb = text(Dialect::Duckdb, &table);
    let types = "hive_types = {'land': VARCHAR, 'date': DATE, 'of': VARCHAR}";
    assert!(duckdb.contains(types), "{duckdb}");
    let spark = text(Dialect::Spark, &table);
    assert!(spark.contains("  `land` STRING,\n  `date` DATE,\n  `of` STRING\n)\n"), "{spark}");
}

/// A schema with a promoted column of the session and one of its actions.
fn promoted(kind: &str, more: &str) -> Arc<TableSchema> {
    let avsc = format!(
        r#"{{"type":"record","name":"t","fields":[
        {{"name":"userSessionId","type":"string"}},
        {{"name":"startTime","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
        {{"name":"userActions","type":{{"type":"array","items":{{"type":"record","name":"A","fields":[
            {{"name":"name","type":"string"}}]}}}}}},
        {{"name":"own","promoted":true,"type":{kind}{more}}}]}}"#
    );
    Arc::new(TableSchema::parse(&avsc).unwrap())
}

#[test]
fn values_of_before_are_found_for_every_type_that_a_field_is_promoted_to() {
    for column in crate::schema::ColumnType::ALL {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let schema = schema.promote("/own", column).unwrap();
        let schema = schema.promote("/userActions/*/own", column).unwrap();
        let schema = schema.promote("/longProperties/*/own", column).unwrap();
        let schema = schema.promote("/userActions/*/longProperties/*/own", column).unwrap();
        let table = spec("user_sessions", Arc::new(schema), "");
        for dialect in ENGINES {
            let text = text(dialect, &table);
            // Once in sessions, in actions, and in the lists of longs of sessions and of actions.
            let found = text.matches("coalesce(t.").count() + text.matches("coalesce(x.").count();
            assert_eq!(found, 2 + 1 + 2, "{dialect:?} {}: {text}", column.name());
        }
    }
}

#[test]
fn values_of_before_are_read_in_the_forms_of_their_column() {
    let of = |kind: &str, from: &str| {
        let table = spec("t", promoted(kind, &format!(",\"from\":[{from}]")), "");
        text(Dialect::Duckdb, &table)
    };
    let is_read = |text: &str| text.contains("coalesce(t.\"own\"");
    let both = of("\"long\"", r#""number","text""#);
    assert!(is_read(&both) && both.contains("regexp_matches"), "{both}");
    let plain = of("\"long\"", r#""number""#);
    assert!(is_read(&plain) && !plain.contains("regexp_matches"), "{plain}");
    // Numbers that are no milliseconds would be shown as other times.
    let time = of(r#"{"type":"long","logicalType":"timestamp-millis"}"#, r#""seconds""#);
    assert!(!is_read(&time), "{time}");
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

/// What stands in a statement outside of literals, names in quotes and comments.
fn outside(dialect: Dialect, sql: &str) -> String {
    let (mut rest, mut found) = (sql.chars().peekable(), String::new());
    while let Some(c) = rest.next() {
        let is_name =
            matches!((c, dialect), ('`', Dialect::Spark) | ('"', Dialect::Duckdb | Dialect::Trino));
        if c == '\'' || is_name || (c == '"' && dialect == Dialect::Spark) {
            let escapes = c != '`' && dialect == Dialect::Spark;
            loop {
                match rest.next().expect("a literal or name ends") {
                    '\\' if escapes => drop(rest.next()),
                    end if end == c && !escapes && rest.peek() == Some(&c) => drop(rest.next()),
                    end if end == c => break,
                    _ => {}
                }
            }
        } else if c == '-' && rest.peek() == Some(&'-') {
            while rest.next_if(|c| *c != '\n').is_some() {}
        } else {
            found.push(c);
        }
    }
    found
}

#[test]
fn no_name_of_a_document_or_of_a_lake_is_read_as_sql() {
    let hostile = "HOSTILE'`\"\\; -- /*~.ü${env:HOSTILE}\\'";
    let json = serde_json::to_string(hostile).unwrap();
    let avsc = format!(
        r#"{{"type":"record","name":"t","fields":[
        {{"name":"userSessionId","type":"string"}},
        {{"name":"startTime","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
        {{"name":"own","json":{json},"promoted":true,"type":"long"}},
        {{"name":"userActions","json":["in",{json}],"type":{{"type":"array","items":
            {{"type":"record","name":"A","fields":[
            {{"name":"step","json":{json},"promoted":true,"type":"double"}},
            {{"name":"stringProperties","json":["p",{json}],"type":{{"type":"array","items":
                {{"type":"record","name":"P","fields":[
                {{"name":"unit","json":["unit",{json}],"promoted":true,"type":"string"}},
                {{"name":"key","type":"string"}},{{"name":"value","type":"string"}}]}}}}}}]}}}}}}]}}"#
    );
    let schema = Arc::new(TableSchema::parse(&avsc).unwrap());
    for format in [Format::Plain, Format::Delta, Format::Iceberg] {
        for dialect in ENGINES {
            let table = Spec { format, ..spec("t", Arc::clone(&schema), "") };
            let namespace = [hostile.to_owned()];
            let place = Place { lake: hostile, namespace: &namespace };
            let text = sql(dialect, &table, place, &[], &[]).unwrap();
            let outside = outside(dialect, &text);
            assert!(!outside.contains("HOSTILE"), "{dialect:?}: {outside}");
            assert!(outside.contains("UNION ALL") && outside.ends_with(";\n"), "{outside}");
            // `_extra` has the name in another spelling, so no row is passed over by it.
            let looked_for = [
                "contains(\"_extra\", '/in/",
                "contains(`_extra`, '/in/",
                "strpos(\"_extra\", '/in/",
            ];
            assert!(!looked_for.iter().any(|part| text.contains(part)), "{text}");
        }
    }
}
