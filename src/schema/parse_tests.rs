//! The supported types, each refusal, and the fingerprint.

use super::*;

const TIME: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;

/// A table `t` with these members of "fields".
fn table(fields: &str) -> Result<TableSchema, SchemaError> {
    TableSchema::parse(&format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#))
}

/// The only field of a table with one field `a` of this type.
fn kind(avro: &str) -> Kind {
    let table = table(&format!(r#"{{"name":"a","type":{avro}}}"#)).expect(avro);
    assert_eq!(table.fields.len(), 1);
    table.fields[0].kind.clone()
}

#[track_caller]
fn assert_refused(schema: Result<TableSchema, SchemaError>, path: &str, reason: &str) {
    match schema {
        Err(SchemaError::Refused { at, why }) => {
            assert_eq!(at, path, "{why}");
            assert!(why.contains(reason), "{why:?} does not say {reason:?}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_supported_type_is_read_with_null_and_without() {
    let scalars = [
        (r#""string""#, Kind::String),
        (r#""long""#, Kind::Long),
        (r#""double""#, Kind::Double),
        (r#""boolean""#, Kind::Boolean),
        (TIME, Kind::TimestampMillis),
        (r#"{"type":"string"}"#, Kind::String),
    ];
    for (avro, expected) in scalars {
        assert_eq!(kind(avro), expected);
        assert_eq!(kind(&format!(r#"["null",{avro}]"#)), expected);
        assert_eq!(kind(&format!(r#"[{avro},"null"]"#)), expected);
        let list = format!(r#"{{"type":"array","items":["null",{avro}]}}"#);
        assert_eq!(kind(&list), Kind::List(Box::new(expected.clone())));
        let map = format!(r#"{{"type":"map","values":{avro}}}"#);
        assert_eq!(kind(&map), Kind::Map(Box::new(expected)));
    }
}

#[test]
fn a_field_keeps_its_doc_aliases_and_bloom() {
    let table = table(
        r#"{"name":"a","type":"string","aliases":["b","_c"],"doc":"D","bloom":true,"default":null,"x":1},
           {"name":"n","type":{"type":"record","name":"N","fields":[{"name":"_id","type":"long"}]}}"#,
    )
    .expect("parses");
    let a = &table.fields[0];
    assert_eq!(
        (a.name.as_str(), a.doc.as_str(), a.bloom, a.aliases.join(" ")),
        ("a", "D", true, "b _c".to_owned())
    );
    assert!(matches!(&table.fields[1].kind, Kind::Struct(f) if f[0].name == "_id" && !f[0].bloom));
}

#[test]
fn a_named_record_is_used_again_by_short_and_by_full_name() {
    let schema = TableSchema::parse(
        r#"{"type":"record","name":"t","namespace":"n.s","fields":[
            {"name":"a","type":{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}},
            {"name":"b","type":["null","R"]},
            {"name":"c","type":{"type":"array","items":"n.s.R"}},
            {"name":"d","type":{"type":"record","name":"R","namespace":"other","fields":[
                {"name":"y","type":"string"}]}},
            {"name":"e","type":"other.R"}]}"#,
    )
    .expect("parses");
    let kinds: Vec<&Kind> = schema.fields.iter().map(|f| &f.kind).collect();
    assert_eq!(schema.name, "t");
    assert_eq!(kinds[0], kinds[1]);
    assert_eq!(*kinds[2], Kind::List(Box::new(kinds[0].clone())));
    assert_ne!(kinds[0], kinds[3]);
    assert_eq!(kinds[3], kinds[4]);
}

#[test]
fn text_that_is_no_json_and_keys_said_twice_are_refused() {
    let error = TableSchema::parse("{").expect_err("cut off");
    assert!(matches!(error, SchemaError::Json(_)), "{error}");
    let error = table(r#"{"name":"a","type":"long","type":"string"}"#).expect_err("two types");
    assert!(error.to_string().contains("\"type\" occurs twice"), "{error}");
}

#[test]
fn a_top_level_that_is_no_record_is_refused() {
    for avro in [r#""string""#, "[]", "null", r#"{"type":"array","items":"string"}"#, "{}"] {
        assert_refused(TableSchema::parse(avro), "top level", "a table is a record");
    }
    let nameless = r#"{"type":"record","fields":[{"name":"a","type":"long"}]}"#;
    assert_refused(TableSchema::parse(nameless), "top level", "needs a \"name\"");
    let hidden = r#"{"type":"record","name":"_t","fields":[{"name":"a","type":"long"}]}"#;
    assert_refused(TableSchema::parse(hidden), "_t", "hidden");
    let misnamed = r#"{"type":"record","name":"../t","fields":[{"name":"a","type":"long"}]}"#;
    assert_refused(TableSchema::parse(misnamed), "top level", "no Avro name");
}

#[test]
fn unsupported_types_are_refused_with_what_is_supported_instead() {
    let cases = [
        (r#""int""#, "use long"),
        (r#""float""#, "use double"),
        (r#""bytes""#, "use string"),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, "use string"),
        (r#"{"type":"fixed","name":"F","size":4}"#, "use string"),
        (r#""null""#, "besides null"),
        (r#""array""#, "as an object"),
        (r#"["null"]"#, "two branches"),
        (r#"["null","null"]"#, "two branches"),
        (r#"["string","long"]"#, "two branches"),
        (r#"["null","string","long"]"#, "two branches"),
        (r#"{"type":"long","logicalType":"timestamp-micros"}"#, "logicalType timestamp-micros"),
        (r#"{"type":"int","logicalType":"timestamp-millis"}"#, "timestamp-millis of int"),
        (r#"{"type":"string","logicalType":"uuid"}"#, "logicalType uuid of string"),
        ("7", "a number is not a type"),
    ];
    for (avro, reason) in cases {
        let schema = || table(&format!(r#"{{"name":"a","type":{avro}}}"#));
        assert_refused(schema(), "t.a", reason);
        assert_refused(schema(), "t.a", "supported are string, long");
    }
}

#[test]
fn incomplete_types_are_refused() {
    let of = |avro: &str| table(&format!(r#"{{"name":"a","type":{avro}}}"#));
    assert_refused(of(r#"{"type":"array"}"#), "t.a", "needs \"items\"");
    assert_refused(of(r#"{"type":"map"}"#), "t.a{}", "needs \"values\"");
    assert_refused(of(r#"{"items":"string"}"#), "t.a", "needs a \"type\"");
    assert_refused(of(r#"{"type":["null","string"]}"#), "t.a", "needs a \"type\"");
    assert_refused(of(r#"{"type":"record","name":"R"}"#), "t.a", "list of \"fields\"");
    assert_refused(table(r#"{"name":"a"}"#), "t.a", "needs a \"type\"");
    assert_refused(
        table(r#"{"name":"a","type":"long"},{"type":"long"}"#),
        "t, field 2",
        "needs a \"name\"",
    );
}

#[test]
fn maps_of_anything_but_scalars_are_refused() {
    for value in [
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"map","values":"long"}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}"#,
    ] {
        let schema = table(&format!(r#"{{"name":"a","type":{{"type":"map","values":{value}}}}}"#));
        assert_refused(schema, "t.a{}", "scalars");
    }
}

#[test]
fn names_that_are_none_or_reserved_are_refused() {
    let named = |name: &str| table(&format!(r#"{{"name":"{name}","type":"long"}}"#));
    assert_refused(named("_ingest_id"), "t._ingest_id", "reserved for lineage");
    assert_refused(named("_"), "t._", "reserved for lineage");
    for name in ["", "1a", "a-b", "a.b", "a b", "ä", "a`b", "a\\\"b"] {
        let at = format!("t.{}", name.replace('\\', ""));
        assert_refused(named(name), &at, "no Avro name");
    }
    let alias = table(r#"{"name":"a","aliases":["x-y"],"type":"long"}"#);
    assert_refused(alias, "t.a", "\"x-y\" is no Avro name");
}

#[test]
fn names_and_aliases_that_collide_are_refused() {
    assert_refused(
        table(r#"{"name":"a","type":"long"},{"name":"a","type":"long"}"#),
        "t.a",
        "occurs twice",
    );
    assert_refused(
        table(r#"{"name":"plan","type":"long"},{"name":"Plan","type":"long"}"#),
        "t.Plan",
        "differs from plan only in case",
    );
    let collide = "is a name or an alias in the record already";
    assert_refused(table(r#"{"name":"a","aliases":["a"],"type":"long"}"#), "t.a", collide);
    assert_refused(
        table(r#"{"name":"a","aliases":["b"],"type":"long"},{"name":"b","type":"long"}"#),
        "t.a",
        collide,
    );
    assert_refused(
        table(
            r#"{"name":"a","aliases":["x"],"type":"long"},{"name":"b","aliases":["x"],"type":"long"}"#,
        ),
        "t.b",
        collide,
    );
    let nested = r#"{"name":"l","type":{"type":"array","items":{"type":"record","name":"R","fields":[
        {"name":"x","type":"long"},{"name":"x","type":"long"}]}}}"#;
    assert_refused(table(nested), "t.l[].x", "occurs twice");
    // Each record has names of its own.
    let apart = r#"{"name":"x","type":{"type":"record","name":"R","fields":[
        {"name":"x","aliases":["t"],"type":"long"}]}}"#;
    assert!(table(apart).is_ok());
}

#[test]
fn empty_recursive_unknown_and_doubly_defined_records_are_refused() {
    assert_refused(table(""), "t", "at least one field");
    let empty = r#"{"name":"a","type":{"type":"record","name":"R","fields":[]}}"#;
    assert_refused(table(empty), "t.a", "at least one field");
    assert_refused(table(r#"{"name":"a","type":["null","t"]}"#), "t.a", "contains itself");
    let deep = r#"{"name":"a","type":{"type":"record","name":"R","fields":[
        {"name":"b","type":{"type":"array","items":"R"}}]}}"#;
    assert_refused(table(deep), "t.a.b[]", "R contains itself");
    assert_refused(table(r#"{"name":"a","type":"Nope"}"#), "t.a", "no record named Nope");
    let late = r#"{"name":"a","type":"R"},
        {"name":"b","type":{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}}"#;
    assert_refused(table(late), "t.a", "before this");
    let twice = r#"{"name":"a","type":{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}},
        {"name":"b","type":{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}}"#;
    assert_refused(table(twice), "t.b", "defined already");
}

#[test]
fn attributes_that_could_not_be_kept_are_refused() {
    let with = |more: &str| table(&format!(r#"{{"name":"a","type":"long",{more}}}"#));
    assert_refused(with(r#""default":0"#), "t.a", "the only default is null");
    assert_refused(with(r#""bloom":"yes""#), "t.a", "true or false, not a string");
    assert_refused(with(r#""aliases":"b""#), "t.a", "a list of names, not a string");
    assert_refused(with(r#""aliases":[1]"#), "t.a", "a name, not a number");
    assert_refused(with(r#""doc":1"#), "t.a", "a string, not a number");
    for avro in [r#""boolean""#, r#"{"type":"array","items":"string"}"#] {
        let schema = table(&format!(r#"{{"name":"a","type":{avro},"bloom":true}}"#));
        assert_refused(schema, "t.a", "\"bloom\" is for");
    }
}

#[test]
fn the_fingerprint_of_a_schema_never_changes() {
    let small = TableSchema::parse(include_str!("fixtures/small.avsc")).expect("parses");
    // Pinned: it stands in files and journals. A change here is a change of format.
    assert_eq!(small.fingerprint, "93fce61b54c09785");
}

#[test]
fn the_fingerprint_follows_meaning_and_nothing_else() {
    let base = r#"{"type":"record","name":"t","fields":[
        {"name":"a","type":["null","string"],"aliases":["x","y"]},
        {"name":"r","type":{"type":"record","name":"R","fields":[{"name":"b","type":"long"}]}}]}"#;
    let print = |text: &str| TableSchema::parse(text).expect(text).fingerprint;
    let same = [
        (" ", ""),
        ("\"fields\":[\n", "\"doc\":\"D\",\"fields\":["),
        (r#""name":"a","#, r#""name":"a","doc":"D","default":null,"#),
        (r#""name":"R""#, r#""name":"Other","namespace":"n""#),
        (r#"["null","string"]"#, r#""string""#),
        (r#""x","y""#, r#""y","x""#),
    ];
    for (from, to) in same {
        let text = base.replace(from, to);
        assert_ne!(text, base, "{from}");
        assert_eq!(print(&text), print(base), "{from} → {to}");
    }
    let other = [
        (r#""name":"t""#, r#""name":"u""#),
        (r#""name":"a""#, r#""name":"c""#),
        (r#""name":"b""#, r#""name":"c""#),
        (r#""x","y""#, r#""x""#),
        (r#""type":"long""#, r#""type":"double""#),
        (r#""type":"long""#, r#""type":{"type":"long","logicalType":"timestamp-millis"}"#),
        (r#""type":"long""#, r#""type":{"type":"array","items":"long"}"#),
        (r#""type":"long""#, r#""type":"long","bloom":true"#),
    ];
    let mut prints = vec![print(base)];
    for (from, to) in other {
        let text = base.replace(from, to);
        assert_ne!(text, base, "{from}");
        prints.push(print(&text));
    }
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), other.len() + 1);
}

#[test]
fn members_and_forms_of_a_field_are_read() {
    let table = table(&format!(
        r#"{{"name":"a","type":"long","json":"x.y/ ä","json_aliases":["b",["c","d"]],"aliases":["e"],"from":["text","number"]}},
           {{"name":"x","type":"long","json":["p","q"]}},
           {{"name":"t","type":{TIME},"from":["iso8601","millis"]}},
           {{"name":"t_ns","type":"long","nanos_of":"t"}},
           {{"name":"u","type":{TIME},"from":["millis"]}},
           {{"name":"m","type":{{"type":"map","values":"string"}},"json_prefix":"props."}},
           {{"name":"n","type":{{"type":"map","values":"long"}},"json_prefix":"props.","from":["text"]}}"#
    ))
    .expect("parses");
    let paths = |at: usize| table.fields[at].json_paths().map(<[_]>::to_vec).collect::<Vec<_>>();
    assert_eq!(paths(0), [vec!["x.y/ ä"], vec!["e"], vec!["b"], vec!["c", "d"]]);
    assert_eq!(table.fields[0].from, [Form::Text, Form::Number]);
    assert_eq!(paths(1), [["p", "q"]]);
    assert_eq!(
        (paths(2), &table.fields[2].from),
        (vec![vec!["t".to_owned()]], &vec![Form::Iso8601, Form::Millis])
    );
    assert_eq!(paths(3), [[""; 0]; 0]);
    assert!(table.fields[4].from.is_empty(), "the only form of its kind");
    assert_eq!(paths(5), [[""; 0]; 0]);
    assert!(table.has_members());
}

#[test]
fn members_with_two_columns_and_forms_of_other_types_are_refused() {
    let long = |name: &str, more: &str| format!(r#"{{"name":"{name}","type":"long"{more}}}"#);
    let two = |a: &str, b: &str| table(&format!("{},{}", long("a", a), long("b", b)));
    let one = |kind: &str, more: &str| table(&format!(r#"{{"name":"a","type":{kind}{more}}}"#));
    let map = r#"{"type":"map","values":"long"}"#;
    for (schema, at, why) in [
        (two(r#","json":"x""#, r#","json":"x""#), "t.b", r#"read from "x", as a is"#),
        (
            two(r#","json":["x","y"]"#, r#","json":["x","y"]"#),
            "t.b",
            r#"read from ["x", "y"], as a is"#,
        ),
        (two(r#","json":"b""#, ""), "t.b", r#"read from "b", as a is"#),
        (
            two(r#","json":["x","y"]"#, r#","json":"x""#),
            "t.b",
            "a member that is a column has none within",
        ),
        (
            two(r#","json":"x""#, r#","json":["x","y","z"]"#),
            "t.b",
            "a member that is a column has none within",
        ),
        (two(r#","json":["x","y"]"#, r#","aliases":["x"]"#), "t.b", "has none within"),
        (two("", r#","json_aliases":["a"]"#), "t.b", "its alias a is a name or an alias"),
        (one(r#""long""#, r#","json":[]"#), "t.a", "not an empty list"),
        (
            one(r#""long""#, r#","json":["x",5]"#),
            "t.a",
            "a name in \"json\" is a string, not a number",
        ),
        (one(r#""long""#, r#","json":{}"#), "t.a", "not an object"),
        (one(r#""long""#, r#","json_aliases":"x""#), "t.a", "is a list of names and paths"),
        (one(r#""long""#, r#","json_prefix":"x""#), "t.a", "is for a map"),
        (one(map, r#","json_prefix":"""#), "t.a", "is empty"),
        (one(map, r#","json_prefix":"x","json":"y""#), "t.a", "has no other names"),
        (one(r#""string""#, r#","from":["text"]"#), "t.a", "is for numbers, booleans and times"),
        (
            one(r#""long""#, r#","from":["millis"]"#),
            "t.a",
            "millis is no form for this type in \"from\", which are number, text",
        ),
        (one(r#""long""#, r#","from":"text""#), "t.a", "is a list of forms"),
        (one(r#""long""#, r#","from":["text","text"]"#), "t.a", "is twice"),
        (one(TIME, r#","from":["millis","nanos"]"#), "t.a", "have one unit"),
        (one(TIME, r#","from":["text","iso8601"]"#), "t.a", "needs the unit"),
        (two("", r#","nanos_of":"a""#), "t.b", "names no time of its record: a"),
        (
            table(&format!(r#"{{"name":"a","type":{TIME}}},{}"#, long("b", r#","nanos_of":"a""#))),
            "t.b",
            "never has nanoseconds",
        ),
        (
            table(&format!(
                r#"{{"name":"a","type":{map},"json_prefix":"x."}},{{"name":"b","type":{map},"json_prefix":"x."}}"#
            )),
            "t.b",
            "that of a, a map of the same type",
        ),
        (
            table(&format!(
                r#"{{"name":"a","type":{map},"json_prefix":"x."}},{{"name":"b","type":{map},"json_prefix":"x.y."}}"#
            )),
            "t.b",
            "whose prefix begins like it",
        ),
    ] {
        assert_refused(schema, at, why);
    }
    // A path leads through a column of another record, and two records may have one member each.
    let record =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long","json":["x","y"]}]}"#;
    one(record, r#","json":"x""#).expect("parses");
}

#[test]
fn members_and_forms_change_the_fingerprint_and_nothing_else_does() {
    let of = |more: &str| {
        let time = format!(r#"{{"name":"b","type":{TIME},"from":["iso8601"]}}"#);
        table(&format!(r#"{{"name":"a","type":"long"{more}}},{time}"#)).expect(more).fingerprint
    };
    let all = [
        of(""),
        of(r#","json":"x""#),
        of(r#","json":["x","y"]"#),
        of(r#","json":"x|y""#),
        of(r#","json_aliases":["x"]"#),
        of(r#","json_aliases":[["x","y"]]"#),
        of(r#","from":["text"]"#),
        of(r#","from":["text","number"]"#),
        of(r#","from":["number","text"]"#),
        of(r#","nanos_of":"b""#),
    ];
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(of(r#","from":["number"]"#), of(""));
}

#[test]
fn a_schema_of_builds_without_members_is_read_as_they_read_it() {
    let text = r#"{"type":"record","name":"t","fields":[
        {"name":"a","type":"long","json":{"any":"thing"},"from":"a file"}]}"#;
    assert!(TableSchema::parse(text).is_err());
    let earlier = TableSchema::parse_without_members(text).expect("parses");
    assert!(!earlier.has_members());
    let plain = r#"{"type":"record","name":"t","fields":[{"name":"a","type":"long"}]}"#;
    assert_eq!(earlier.fingerprint, TableSchema::parse(plain).expect("parses").fingerprint);
}
