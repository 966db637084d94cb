//! The compiled-in schema against what exporters send, and schema files.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

fn sessions() -> Arc<TableSchema> {
    TableSchema::builtin("user_sessions").expect("compiled in")
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|f| f.name == name || f.aliases.iter().any(|a| a == name))
}

/// The members of a record, or of the records of a list.
fn members(field: &Field) -> &[Field] {
    match &field.kind {
        Kind::Struct(fields) => fields,
        Kind::List(item) => match item.as_ref() {
            Kind::Struct(fields) => fields,
            other => panic!("{} is a list of {other:?}", field.name),
        },
        other => panic!("{} is {other:?}", field.name),
    }
}

#[test]
fn every_built_in_schema_parses_under_its_own_name_and_documents_every_field() {
    fn documented(fields: &[Field], at: &str) {
        for field in fields {
            let at = format!("{at}.{}", field.name);
            assert!(field.doc.ends_with('.') && field.doc.len() > 10, "{at}: {:?}", field.doc);
            let inner = match &field.kind {
                Kind::List(item) => item.as_ref(),
                kind => kind,
            };
            if let Kind::Struct(fields) = inner {
                documented(fields, &at);
            }
        }
    }
    for name in BUILTIN {
        let schema = TableSchema::builtin(name).expect(name);
        assert_eq!(schema.name, *name);
        documented(&schema.fields, name);
    }
    assert_eq!(TableSchema::builtin("user_session"), None);
}

/// The type that a line of the fixture names.
fn has_type(field: &Field, kind: &str) -> bool {
    let scalar = |kind: &str| match kind {
        "string" => Kind::String,
        "long" => Kind::Long,
        "double" => Kind::Double,
        "boolean" => Kind::Boolean,
        "time" => Kind::TimestampMillis,
        other => panic!("the fixture says {other}"),
    };
    if let Some((whose, value)) = kind.split_once("properties of ") {
        let shape: Vec<_> = members(field).iter().map(|f| (f.name.as_str(), &f.kind)).collect();
        let (text, value) = (&Kind::String, &scalar(value));
        let all = [
            ("key", text),
            ("value", value),
            ("applicationId", text),
            ("internalApplicationId", text),
        ];
        // Those of an action are of its application.
        return shape == all[..if whose == "own " { 2 } else { 4 }];
    }
    match kind {
        "strings" => field.kind == Kind::List(Box::new(Kind::String)),
        "records" => !members(field).is_empty(),
        _ => match kind.strip_prefix("map of ") {
            Some(value) => field.kind == Kind::Map(Box::new(scalar(value))),
            None => field.kind == scalar(kind),
        },
    }
}

#[test]
fn every_field_of_the_exporter_has_its_place_and_type_and_there_are_no_others() {
    let schema = sessions();
    let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
    for line in include_str!("fixtures/exporter_fields.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let [record, kind, names] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("a line of the fixture is no record | type | names: {line}");
        };
        let fields = match record {
            "session" => &schema.fields[..],
            list => members(find(&schema.fields, list).expect(list)),
        };
        for name in names.split(' ') {
            let field = find(fields, name).unwrap_or_else(|| panic!("{record}.{name} is missing"));
            assert!(has_type(field, kind), "{record}.{name} is {:?}, not {kind}", field.kind);
            assert!(listed.insert((record.into(), name.into())), "{record}.{name} listed twice");
        }
    }
    let mut known = BTreeSet::new();
    let mut know = |record: &str, fields: &[Field]| {
        for field in fields {
            known.insert((record.to_owned(), field.name.clone()));
            known.extend(field.aliases.iter().map(|a| (record.to_owned(), a.clone())));
        }
    };
    know("session", &schema.fields);
    for list in ["userActions", "events", "errors", "syntheticEvents"] {
        know(list, members(find(&schema.fields, list).expect(list)));
    }
    assert_eq!(known, listed);
}

#[test]
fn old_names_are_aliases_where_type_and_meaning_are_the_same() {
    let schema = sessions();
    let aliases: Vec<(&str, &str)> = schema
        .fields
        .iter()
        .flat_map(|f| f.aliases.iter().map(|a| (a.as_str(), f.name.as_str())))
        .collect();
    assert_eq!(
        aliases,
        [
            ("visitId", "userSessionId"),
            ("visitorId", "internalUserId"),
            ("sessionTag", "userId"),
            ("visitType", "userType"),
            ("newVisitor", "newUser"),
            ("geolocationContinentName", "continent"),
            ("geolocationCountryName", "country"),
            ("geolocationRegionName", "region"),
            ("geolocationCityName", "city"),
            ("browserTypeName", "browserType"),
            ("browserFamilyName", "browserFamily"),
            ("browserMajorVersionName", "browserMajorVersion"),
            ("osFamilyName", "osFamily"),
            ("osVersionName", "osVersion"),
            ("hasVisualReplay", "hasSessionReplay"),
        ]
    );
}

#[test]
fn ids_and_nothing_else_carry_bloom_filters() {
    let schema = sessions();
    let bloomed: Vec<&str> =
        schema.fields.iter().filter(|f| f.bloom).map(|f| f.name.as_str()).collect();
    assert_eq!(bloomed, ["userSessionId", "internalUserId", "userId"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = dir.path().join("good.avsc");
    std::fs::write(&good, format!("\u{feff}{}", include_str!("fixtures/small.avsc")))
        .expect("written");
    assert_eq!(load(&good).expect("loads").name, "visits");

    let missing = load(&dir.path().join("none.avsc")).expect_err("there is none");
    assert!(missing.to_string().contains("none.avsc"), "{missing}");
    assert!(std::error::Error::source(&missing).is_some(), "says what the system said");

    let broken = dir.path().join("broken.avsc");
    std::fs::write(&broken, "{\"type\": \"record\",\n oops}").expect("written");
    let error = load(&broken).expect_err("no JSON").to_string();
    assert!(error.contains("broken.avsc") && error.contains("line 2 column 2"), "{error}");

    let refused = dir.path().join("refused.avsc");
    std::fs::write(
        &refused,
        r#"{"type":"record","name":"t","fields":[{"name":"a","type":"int"}]}"#,
    )
    .expect("written");
    let error = load(&refused).expect_err("an int").to_string();
    assert!(error.contains("refused.avsc") && error.contains("t.a: "), "{error}");
}
