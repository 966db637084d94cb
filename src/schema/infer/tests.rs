//! Types by what the values allow; names; bounds; nothing of the values.

use super::*;
use crate::json::Members;
use crate::schema::{Field, Form, Kind, TableSchema};

fn add(inference: &mut Inference, document: &str) {
    let Members(members) = serde_json::from_str(document).unwrap();
    inference.add(members.iter().map(|(key, value)| (key.as_str(), &**value))).unwrap();
}

fn inferred(documents: &[&str]) -> (TableSchema, Vec<String>) {
    let mut inference = Inference::default();
    documents.iter().for_each(|document| add(&mut inference, document));
    assert_eq!(inference.documents(), documents.len() as u64);
    let Inferred { avsc, notes, .. } = inference.schema("t").unwrap();
    (TableSchema::parse(&avsc).unwrap(), notes)
}

fn field(schema: &TableSchema, name: &str) -> Field {
    schema.fields.iter().find(|field| field.name == name).unwrap().clone()
}

#[test]
fn each_field_has_the_narrowest_type_that_takes_all_values() {
    let (schema, notes) = inferred(&[
        r#"{"b":true,"n":1,"d":1,"s":"x","nt":1,"dt":"0.5","t":"2026-11-25T10:00:00Z","startTime":1622107543233,
            "created_at":1622107543,"seen":1622107543233,"l":[1,null],"ll":[["a"]],"r":{"x":1},"rs":[{"y":2.5}],
            "none":null,"mix":1,"empty":[],"o":{}}"#,
        r#"{"b":null,"n":-5,"d":0.5,"nt":"7","dt":2,"t":"2026-11-25T10:00:00.000000001+01:00","l":[2],
            "r":{"x":3,"z":"v"},"rs":[{"y":1},{}],"mix":"x"}"#,
    ]);
    let kind = |name: &str| (field(&schema, name).kind, field(&schema, name).from);
    assert_eq!(kind("b"), (Kind::Boolean, vec![]));
    assert_eq!(kind("n"), (Kind::Long, vec![]));
    assert_eq!(kind("d"), (Kind::Double, vec![]));
    assert_eq!(kind("s"), (Kind::String, vec![]));
    assert_eq!(kind("nt"), (Kind::Long, vec![Form::Number, Form::Text]));
    assert_eq!(kind("dt"), (Kind::Double, vec![Form::Number, Form::Text]));
    assert_eq!(kind("t"), (Kind::TimestampMillis, vec![Form::Iso8601]));
    assert_eq!(field(&schema, "t_nanos").json.nanos_of.as_deref(), Some("t"));
    assert_eq!(kind("startTime"), (Kind::TimestampMillis, vec![]));
    assert_eq!(kind("created_at"), (Kind::TimestampMillis, vec![Form::Seconds]));
    assert_eq!(kind("seen"), (Kind::Long, vec![]));
    assert_eq!(kind("l"), (Kind::List(Box::new(Kind::Long)), vec![]));
    let strings = Kind::List(Box::new(Kind::String));
    assert_eq!(kind("ll"), (Kind::List(Box::new(strings)), vec![]));
    let Kind::Struct(members) = kind("r").0 else { panic!("a record") };
    assert_eq!(members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["x", "z"]);
    assert!(matches!(kind("rs").0, Kind::List(of) if matches!(*of, Kind::Struct(_))));
    assert_eq!(field(&schema, "b").doc, "In 1 of 2 documents: boolean.");
    assert_eq!(
        notes,
        [
            "none has no column: it has no value but null",
            "mix has no column: its values have no one type",
            "empty has no column: its lists have no element",
            "o has no column: its objects have no field with one",
        ]
    );
}

#[test]
fn names_that_are_none_of_avro_get_one_and_their_own_as_json() {
    let (schema, _) = inferred(&[
        r#"{"a.b":1,"a_b":2,"A_B":3,"_id":"x","1st":1,"":1,"ä":{"x.y":1},"r":{"_id":5},"_extra":1}"#,
    ]);
    let names: Vec<(&str, &str)> = schema
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.json_path()[0].as_str()))
        .collect();
    let expected = [
        ("a_b", "a.b"),
        ("a_b_2", "a_b"),
        ("A_B_3", "A_B"),
        ("x_id", "_id"),
        ("x1st", "1st"),
        ("x", ""),
        ("x_", "ä"),
        ("r", "r"),
        ("x_extra", "_extra"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn objects_of_too_many_or_rare_keys_are_maps_or_left_out() {
    let many = |value: &str| {
        let members: Vec<String> = (0..3000).map(|n| format!("\"k{n}\":{value}")).collect();
        format!("{{\"id\":1,\"m\":{{{}}}}}", members.join(","))
    };
    let (schema, _) = inferred(&[&many("1.5")]);
    assert_eq!(field(&schema, "m").kind, Kind::Map(Box::new(Kind::Double)));
    let (schema, notes) = inferred(&[&many("[1]")]);
    assert_eq!(schema.fields.len(), 1);
    assert!(notes[0].starts_with("m has no column: it has too many keys"), "{notes:?}");
    let rare: Vec<String> =
        (0..40).map(|n| format!(r#"{{"by_user":{{"user{n}@example":{n}}}}}"#)).collect();
    let mut inference = Inference::default();
    rare.iter().for_each(|document| add(&mut inference, document));
    let avsc = inference.schema("t").unwrap().avsc;
    assert!(avsc.contains("\"map\"") && !avsc.contains("example"), "{avsc}");
}

#[test]
fn hostile_documents_are_bounded_and_said() {
    let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    let members: Vec<String> = (0..5000).map(|n| format!("\"k{n}\":1")).collect();
    let wide = format!("{{{}}}", members.join(","));
    let long = format!("{{\"{}\":1,\"ok\":1}}", "x".repeat(5000));
    let mut inference = Inference::default();
    for document in [&deep, &wide, &long] {
        add(&mut inference, document);
    }
    let Inferred { avsc, notes, .. } = inference.schema("t").unwrap();
    let schema = TableSchema::parse(&avsc).unwrap();
    assert!(schema.fields.len() <= MOST_KEYS, "{}", schema.fields.len());
    assert!(notes.iter().any(|note| note.contains("further fields have no column")), "{notes:?}");
    assert!(inference.shapes <= MOST_SHAPES);
    // Each document has fields of its own, in objects of its own.
    let mut inference = Inference::default();
    for n in 0..200 {
        let members: Vec<String> =
            (0..500).map(|k| format!("\"{k}\":{{\"x{n}_{k}\":1}}")).collect();
        add(&mut inference, &format!("{{{}}}", members.join(",")));
    }
    assert!(inference.shapes <= MOST_SHAPES);
    assert!(Inference::default().schema("t").is_none());
}

#[test]
fn no_value_of_a_document_is_in_the_schema_or_its_notes() {
    let mut inference = Inference::default();
    let document = r#"{"a":"secret1","b":["secret2"],"c":{"d":"secret3"},"e":1,"n":4242424242}"#;
    add(&mut inference, document);
    add(&mut inference, r#"{"e":"secret4"}"#);
    let Inferred { avsc, notes, .. } = inference.schema("t").unwrap();
    let all = format!("{avsc}{notes:?}");
    assert!(!all.contains("secret") && !all.contains("4242"), "{all}");
}
