//! Rules over documents as the decoder gives them.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::decode::{Decoded, Decoder, to_document};
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{ColumnType, EXTRA, TableSchema};
use crate::table::{Revision, Spec, Tables, Template};

fn key() -> Key {
    Key::of(&[7; 32]).unwrap()
}

fn decoded(rules: &[(&str, &str)], lines: &str) -> Decoded {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let mut all = Rules::default();
    for (path, action) in rules {
        all.add(path, action, &[&schema]).unwrap();
    }
    assert_eq!(Rules::parse(&all.to_string()).unwrap(), all);
    let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(0),
        table: "user_sessions".into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: lines.to_owned().into(),
        stored: None,
    });
    let mut decoded = decoder.finish();
    Applied::new(&all, &schema, key(), Revision::LATEST).apply(&mut decoded).unwrap();
    decoded
}

fn documents(rules: &[(&str, &str)], lines: &str) -> Vec<serde_json::Value> {
    let decoded = decoded(rules, lines);
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let document =
        |row| serde_json::to_value(to_document(&decoded.batch, row, &schema).unwrap()).unwrap();
    (0..decoded.batch.num_rows()).map(document).collect()
}

fn hash(value: &str) -> String {
    let mut out = String::new();
    key().hash(value.as_bytes(), &mut out);
    out
}

#[test]
fn columns_are_dropped_hashed_and_truncated() {
    let rules = [("ip", "truncate"), ("userId", "hash"), ("city", "drop"), ("duration", "drop")];
    let got = documents(
        &rules,
        r#"{"ip":"203.0.113.77","userId":"ann","city":"Linz","duration":5,"country":"Austria"}
{"ip":"2001:db8:1:2:3::4","userId":"ann","internalUserId":"ann"}
{"ip":"localhost","country":"Peru"}"#,
    );
    let ann = hash("ann");
    assert_eq!(ann.len(), 32);
    assert_eq!(
        got,
        [
            serde_json::json!({"ip": "203.0.113.0", "userId": ann, "country": "Austria"}),
            serde_json::json!({"ip": "2001:db8:1::", "userId": ann, "internalUserId": "ann"}),
            serde_json::json!({"country": "Peru"}),
        ]
    );
}

#[test]
fn values_within_lists_and_properties_by_key_are_treated() {
    let rules = [("userActions.targetUrl", "drop"), ("stringProperties.email", "hash")];
    let got = documents(
        &rules,
        r#"{"userActions":[{"name":"a","targetUrl":"/ann"},{"name":"b"}],"stringProperties":[{"key":"email","value":"ann@x"},{"key":"plan","value":"gold"}]}"#,
    );
    let expected = serde_json::json!({
        "userActions": [{"name": "a"}, {"name": "b"}],
        "stringProperties": [
            {"key": "email", "value": hash("ann@x")},
            {"key": "plan", "value": "gold"},
        ],
    });
    assert_eq!(got, [expected]);
}

#[test]
fn extra_is_no_way_around() {
    let rules = [
        ("ip", "truncate"),
        ("userId", "hash"),
        ("internalUserId", "drop"),
        ("userActions.targetUrl", "drop"),
        ("stringProperties.email", "drop"),
    ];
    let decoded = decoded(
        &rules,
        r#"{"ip":["10.1.2.3"],"userId":12345,"internalUserId":{"id":"ann"},"new":1}
{"userActions":{"targetUrl":"/ann"},"stringProperties":[{"key":"email","value":["ann@x"]}]}
{"visitorId":["ann"],"userActions":[{"targetUrl":7,"name":"a"},5]}"#,
    );
    let text = format!("{:?}", decoded.batch);
    for clear in ["10.1.2.3", "12345", "ann"] {
        assert!(!text.contains(clear), "{clear} is in {text}");
    }
    let extra = decoded.batch.column_by_name(crate::schema::EXTRA).unwrap();
    let extra = extra.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
    assert_eq!(extra.value(0), format!(r#"{{"/userId":"{}","/new":1}}"#, hash("12345")));
}

#[test]
fn a_property_by_another_key_is_no_way_around() {
    let rules =
        [("stringProperties.email", "hash"), ("userActions.stringProperties.email", "drop")];
    for property in [
        r#"{"key":"other","key":"email","value":"me@leak"}"#,
        r#"{"value":"me@leak","key":"a","key":"email"}"#,
        r#"{"key":["email"],"value":"me@leak"}"#,
        r#"{"key":null,"value":"me@leak"}"#,
        r#"{"value":"me@leak"}"#,
        r#"{"key":"email","value":"x","value":"me@leak"}"#,
        r#"{"key":"plan","value":{"email":"me@leak"}}"#,
    ] {
        let line = format!(
            "{{\"stringProperties\":[{{\"key\":\"plan\",\"value\":\"gold\"}},{property}],\
             \"userActions\":[{{}},{{\"stringProperties\":[{property}]}}]}}"
        );
        let plain = r#"{"stringProperties":[{"key":"plan","value":"gold"}]}"#;
        let decoded = decoded(&rules, &format!("{plain}\n{line}\n{plain}\n"));
        let text = format!("{:?}", decoded.batch);
        assert!(!text.contains("me@leak"), "{property}: {text}");
        let schema = TableSchema::builtin("user_sessions").unwrap();
        for row in [0, 2] {
            let document = to_document(&decoded.batch, row, &schema).unwrap();
            assert_eq!(serde_json::to_string(&document).unwrap(), plain, "{property}");
        }
    }
}

#[test]
fn extra_can_be_dropped_and_an_id_of_an_action_is() {
    let lines = "{\"index\":{\"_id\":\"t-ann-5\"}}\n{\"userId\":\"ann\",\"new\":1}\n";
    let extra = |rules: &[(&str, &str)]| {
        let decoded = decoded(rules, lines);
        let extra = decoded.batch.column_by_name(EXTRA).unwrap();
        let extra = extra.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
        extra.iter().next().unwrap().map(str::to_owned)
    };
    assert_eq!(extra(&[("userId", "hash")]).as_deref(), Some(r#"{"/new":1}"#));
    assert_eq!(extra(&[("_extra", "drop")]), None);
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let error = Rules::default().add("_extra", "hash", &[&schema]).unwrap_err();
    assert!(error.contains("only text"), "{error}");
}

proptest! {
    #[test]
    fn rules_of_any_key_are_read_as_they_were_written(
        keys in prop::collection::vec("[ -~äß]{1,12}", 0..4),
        plain in any::<bool>(),
    ) {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let mut rules = Rules::default();
        if plain {
            rules.add("ip", "truncate", &[&schema]).unwrap();
        }
        for key in &keys {
            rules.add(&format!("stringProperties.{key}"), "hash", &[&schema]).unwrap();
        }
        prop_assert_eq!(Rules::parse(&rules.to_string()).unwrap(), rules);
    }
}

#[test]
fn rejected_lines_are_sealed_and_can_be_opened_with_the_key() {
    let line = r#"{"userId":"ann", oh"#;
    let decoded = decoded(&[("userId", "hash")], line);
    let raw: serde_json::Value = serde_json::from_slice(&decoded.rejects[0].raw).unwrap();
    let sealed = raw["sealed"].as_str().unwrap();
    assert_eq!(key().open(sealed).unwrap(), line.as_bytes());
    assert_eq!(Key::of(&[8; 32]).unwrap().open(sealed), None);
    assert_eq!(key().open("AAAA"), None);
    assert!(!decoded.rejects[0].reason.contains("ann"));
}

#[test]
fn rules_that_cannot_be_kept_are_refused() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    for (path, action, why) in [
        ("nothing", "drop", "no table"),
        ("userActions.nothing", "drop", "no table"),
        ("duration", "hash", "only text"),
        ("userActions", "truncate", "only text"),
        ("ip", "mask", "none of"),
    ] {
        let error = Rules::default().add(path, action, &[&schema]).unwrap_err();
        assert!(error.contains(why), "{path}: {error}");
    }
    let mut rules = Rules::default();
    rules.add("ip", "keep", &[&schema]).unwrap();
    assert!(rules.is_empty());
}

#[test]
fn a_table_with_rules_needs_the_key_and_one_without_does_not() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let spec = |name: &str, rules| Spec {
        privacy: Rules::parse(rules).unwrap(),
        ..Spec::new(name, Arc::clone(&schema), Template::default())
    };
    let tables = Tables::new(vec![spec("a", ""), spec("b", "ip=hash")]).unwrap();
    let applied = Applied::by_table(&tables, Some(&key())).unwrap();
    assert_eq!(applied.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    let refused = Applied::by_table(&tables, None).unwrap_err().to_string();
    assert!(refused.contains("table b") && refused.contains("privacy_key"), "{refused}");
    Applied::by_table(&Tables::new(vec![spec("a", "")]).unwrap(), None).unwrap();
}

#[test]
fn case_12_the_rule_of_the_user_reaches_the_tag_wherever_the_exporter_puts_it() {
    let lines = r#"{"userSessionId":"P1","userId":"ann@x.org","events":[{"type":"UserTag","name":"ann@x.org","application":"shop"},{"type":"UserTagFromMetaData","name":"ann@x.org"},{"type":"VisitTag","name":"ann@x.org"},{"type":"PageChange","name":"basket","more":1}]}
{"userSessionId":"P2","sessionTag":"ann@x.org"}
{"userSessionId":"P3","events":[{"name":"ann@x.org"},{"type":"VisitTag","name":["ann@x.org"]},{"type":["VisitTag"],"name":"basket"}]}
{"userSessionId":"P4","userId":"ann@x.org","sessionTag":"ann@x.org"}"#;
    for action in ["hash", "drop", "truncate"] {
        let decoded = decoded(&[("userId", action)], lines);
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let rows: Vec<serde_json::Value> = (0..4)
            .map(|row| {
                serde_json::to_value(to_document(&decoded.batch, row, &schema).unwrap()).unwrap()
            })
            .collect();
        assert!(!serde_json::to_string(&rows).unwrap().contains("ann@x.org"), "{action}: {rows:?}");
        let events = &rows[0]["events"];
        for event in 0..3 {
            assert_eq!(events[event].get("name"), rows[0].get("userId"), "{action}");
        }
        // Names that are no tags stay, and so do the other fields of a tag's event.
        assert_eq!(events[0]["application"], "shop");
        assert_eq!((&events[3]["name"], &events[3]["more"]), (&"basket".into(), &1.into()));
        assert_eq!(rows[1].get("userId"), rows[0].get("userId"));
    }
    // Without the rule, and with another one, the tags are as they came.
    let decoded = decoded(&[("ip", "drop")], lines);
    let events = decoded.batch.column_by_name("events").unwrap();
    assert!(format!("{events:?}").contains("ann@x.org"));
}

#[test]
fn rules_reach_values_by_the_names_that_documents_have_for_them() {
    let time = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    let avsc = format!(
        r#"{{"type":"record","name":"t","fields":[
        {{"name":"tag","type":"string","json":"dt.user.tag"}},
        {{"name":"mail","type":"string","json":["user","mail"],"json_aliases":["old.mail"]}},
        {{"name":"at","type":{time},"from":["iso8601"],"json":"the.time"}},
        {{"name":"at_nanos","type":"long","nanos_of":"at"}},
        {{"name":"props","type":{{"type":"map","values":"string"}},"json_prefix":"props."}},
        {{"name":"numbers","type":{{"type":"map","values":"double"}},"json_prefix":"props."}}]}}"#
    );
    let schema = Arc::new(TableSchema::parse(&avsc).unwrap());
    let treated = |rules: &[(&str, &str)], line: &str| {
        let mut all = Rules::default();
        for (path, action) in rules {
            all.add(path, action, &[&schema]).unwrap();
        }
        let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(0),
            table: "t".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: line.to_owned().into(),
            stored: None,
        });
        let mut decoded = decoder.finish();
        Applied::new(&all, &schema, key(), Revision::LATEST).apply(&mut decoded).unwrap();
        serde_json::to_value(to_document(&decoded.batch, 0, &schema).unwrap()).unwrap()
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let none = serde_json::json!({});
    for line in [r#"{"dt.user.tag":"ann"}"#, r#"{"dt.user.tag":["ann"]}"#] {
        assert_eq!(treated(&[("tag", "drop")], line), none, "{line}");
    }
    let hashed = treated(&[("tag", "hash")], r#"{"dt.user.tag":5}"#);
    assert_eq!(hashed, serde_json::json!({"dt.user.tag": hash("5")}));
    for (line, left) in [
        (r#"{"user":{"mail":"a@x"}}"#, "{}"),
        (r#"{"user":{"mail":5,"x":1}}"#, r#"{"user":{"x":1}}"#),
        (r#"{"old.mail":"a@x"}"#, "{}"),
        (r#"{"old.mail":"a@x","user":{"mail":"b@x"}}"#, "{}"),
        // A whole object may hold the value: it comes twice, or is none.
        (r#"{"user":{"mail":"a@x"},"user":{"mail":"b@x"}}"#, "{}"),
        (r#"{"user":"a@x"}"#, "{}"),
        (r#"{"users":"a@x"}"#, r#"{"users":"a@x"}"#),
    ] {
        assert_eq!(treated(&[("mail", "drop")], line), json(left), "{line}");
    }
    for line in [r#"{"the.time":"2026-11-25T10:00:00.123456789Z"}"#, r#"{"the.time":"yesterday"}"#]
    {
        assert_eq!(treated(&[("at", "drop")], line), none, "{line}");
    }
    let nanos = r#"{"the.time":"2026-11-25T10:00:00.123456789Z"}"#;
    let left = json(r#"{"the.time":"2026-11-25T10:00:00.123456Z"}"#);
    assert_eq!(treated(&[("at_nanos", "drop")], nanos), left);
    let line = r#"{"props.mail":"a@x","props.plan":"gold","props.n":1.5,"props.l":[1]}"#;
    let left = json(r#"{"props.plan":"gold","props.n":1.5,"props.l":[1]}"#);
    assert_eq!(treated(&[("props.mail", "drop")], line), left);
    for line in [
        r#"{"props.mail":7.5}"#,
        r#"{"props.mail":["a@x"]}"#,
        r#"{"props.mail":"a","props.mail":"b"}"#,
    ] {
        assert_eq!(treated(&[("props.mail", "drop")], line), none, "{line}");
    }
    let hashed = treated(&[("props.mail", "hash")], r#"{"props.mail":7.5,"props.plan":"x"}"#);
    assert_eq!(hashed, json(r#"{"props.plan":"x"}"#));
    assert_eq!(treated(&[("props", "drop")], line), none);
    // A dot may as well be an object.
    for (rule, line) in [
        ("tag", r#"{"dt":{"user":{"tag":"ann"}}}"#),
        ("tag", r#"{"dt":{"user.tag":"ann"}}"#),
        ("tag", r#"{"dt.user":{"tag":"ann"}}"#),
        ("mail", r#"{"user.mail":"a@x"}"#),
        ("mail", r#"{"old":{"mail":"a@x"}}"#),
        ("props.mail", r#"{"props":{"mail":"a@x"}}"#),
        ("props", r#"{"props":{"mail":"a@x"}}"#),
    ] {
        assert_eq!(treated(&[(rule, "drop")], line), none, "{rule}: {line}");
    }
    let other =
        r#"{"dt.user":"x","dt.users":{"tag":"x"},"users":{"mail":"x"},"propsx":{"mail":"x"}}"#;
    let left = treated(&[("mail", "drop"), ("props.mail", "drop")], other);
    assert_eq!(left, json(other));
    let said = Rules::default().add("dt.user.tag", "drop", &[&schema]).unwrap_err();
    assert!(said.ends_with("did you mean `tag`?"), "{said}");
}

#[test]
fn a_promoted_column_is_no_way_around_the_rule_that_its_values_had_in_extra() {
    let map = r#"{"type":"map","values":"string"}"#;
    let property = r#"{"type":"record","name":"P","fields":[{"name":"key","type":["null","string"]},
        {"name":"value","type":["null","string"]}]}"#;
    let avsc = format!(
        r#"{{"type":"record","name":"t","fields":[
        {{"name":"props","type":{map},"json_prefix":"props."}},
        {{"name":"stringProperties","type":{{"type":"array","items":{property}}}}}]}}"#
    );
    let schema = TableSchema::parse(&avsc).unwrap();
    let schema = schema.promote("/props.mail", ColumnType::StringList).unwrap();
    let schema = schema.promote("/stringProperties/*/raw", ColumnType::String).unwrap();
    let schema = Arc::new(schema);
    let line = r#"{"props.mail":["a@x"],"props.plan":"x","stringProperties":[
        {"key":"mail","raw":"a@x"},{"key":"plan","value":"gold","raw":"Gold"}]}"#;
    let treated = |rule: &str, action: &str| {
        let mut rules = Rules::default();
        rules.add(rule, action, &[&schema]).unwrap();
        let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(0),
            table: "t".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: line.replace('\n', " ").into(),
            stored: None,
        });
        let mut decoded = decoder.finish();
        Applied::new(&rules, &schema, key(), Revision::LATEST).apply(&mut decoded).unwrap();
        serde_json::to_string(&to_document(&decoded.batch, 0, &schema).unwrap()).unwrap()
    };
    for (rule, action) in [("props.mail", "drop"), ("props.mail", "hash"), ("props", "drop")] {
        let text = treated(rule, action);
        assert!(!text.contains(r#"["a@x"]"#) && text.contains("Gold"), "{rule}: {text}");
    }
    let text = treated("stringProperties.mail", "hash");
    assert!(text.contains(&hash("a@x")) && text.contains("Gold"), "{text}");
    assert!(!text.contains(r#""raw":"a@x""#) && text.contains(r#"["a@x"]"#), "{text}");
}

/// What a rule does to a field does not depend on whether a column has it.
#[test]
fn a_promoted_column_is_treated_as_the_field_was_in_extra() {
    use crate::schema::ColumnType;
    let before = TableSchema::builtin("user_sessions").unwrap();
    let text = r#"{"plan":"ann","userActions":[{"name":"a"},{"to":"203.0.113.77"}],"visitor":"ann","n":5}
{"plan":7,"visitor":["ann"],"userActions":[{"to":"x"}]}"#;
    let rules = [
        ("/plan", "hash"),
        ("/userActions/*/to", "truncate"),
        ("/visitor", "drop"),
        ("/n", "hash"),
        ("userActions.name", "drop"),
    ];
    let mut all = Rules::default();
    for (path, action) in rules {
        all.add(path, action, &[&before]).unwrap();
    }
    let mut after = before.as_ref().clone();
    for pointer in ["/plan", "/userActions/*/to", "/visitor", "/n"] {
        after = after.promote(pointer, ColumnType::String).unwrap();
    }
    let documents = |schema: &TableSchema| -> Vec<serde_json::Value> {
        let schema = Arc::new(schema.clone());
        let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(0),
            table: "user_sessions".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: text.to_owned().into(),
            stored: None,
        });
        let mut decoded = decoder.finish();
        Applied::new(&all, &schema, key(), Revision::LATEST).apply(&mut decoded).unwrap();
        let extras = decoded.batch.column_by_name(EXTRA).unwrap();
        let extras = crate::columnar::values::strings(extras).unwrap();
        assert!(
            !extras.iter().flatten().any(|extra| extra.contains("ann") || extra.contains(".77"))
        );
        let document =
            |row| serde_json::to_value(to_document(&decoded.batch, row, &schema).unwrap()).unwrap();
        (0..2).map(document).collect()
    };
    let expected = [
        serde_json::json!({"plan": hash("ann"), "userActions": [{}, {"to": "203.0.113.0"}], "n": hash("5")}),
        serde_json::json!({"plan": hash("7"), "userActions": [{}]}),
    ];
    assert_eq!(documents(&before), expected);
    assert_eq!(documents(&after), expected);
    // The rules of a column of another type are for text: such a promotion is refused.
    let long = before.promote("/plan", ColumnType::Long).unwrap();
    assert!(all.fit(&long).unwrap_err().contains("/plan") && all.fit(&after).is_ok());
    let wrong = Rules::default().add("/plan//x", "drop", &[&before]).unwrap_err();
    assert!(wrong.contains("pointer"), "{wrong}");
}
