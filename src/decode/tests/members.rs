//! Members with names of any text, paths and prefixes, and values in several forms.

use std::collections::BTreeMap;

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::Members;

const TIME: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;

fn schema(fields: &str) -> Arc<TableSchema> {
    let fields = fields.replace("TIME", TIME);
    let text = format!(r#"{{"type":"record","name":"odd","fields":[{fields}]}}"#);
    Arc::new(TableSchema::parse(&text).unwrap())
}

/// A schema whose members are anywhere, without aliases.
fn odd() -> Arc<TableSchema> {
    schema(
        r#"
        {"name":"s","type":"string","json":"a.b"},
        {"name":"id","type":"long","json":["dt","rum","id"]},
        {"name":"name","type":"string","json":["dt","name"]},
        {"name":"place","json":"sub.ject","type":{"type":"record","name":"Place","fields":[
            {"name":"x","type":"long","json":["in","x"]},{"name":"y","type":"double"}]}},
        {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
            {"name":"k","type":"string","json":["meta","k~/\""]},
            {"name":"t","type":TIME,"from":["iso8601"]}]}}},
        {"name":"t","type":TIME,"from":["iso8601","millis"]},
        {"name":"t_nanos","type":"long","nanos_of":"t"},
        {"name":"u","type":TIME,"from":["nanos","text"]},
        {"name":"n","type":"long","from":["text","number"]},
        {"name":"d","type":"double","from":["number","text"]},
        {"name":"b","type":"boolean","from":["boolean","text"]},
        {"name":"times","type":{"type":"array","items":TIME},"from":["iso8601"],"json":"lt"},
        {"name":"p","type":{"type":"map","values":"string"},"json_prefix":"p."},
        {"name":"p_number","type":{"type":"map","values":"double"},"json_prefix":"p."},
        {"name":"own","type":"string","json":"p.own"}"#,
    )
}

/// A schema with other names for the same values.
fn aliased() -> Arc<TableSchema> {
    schema(
        r#"
        {"name":"name","type":"string","json":["dt","name"],"aliases":["old_name"],
         "json_aliases":["old.name",["legacy","name"]]},
        {"name":"id","type":"long","json":["dt","rum","id"],"aliases":["id"]},
        {"name":"place","json":["dt","place"],"aliases":["place"],"type":{"type":"record","name":"Place",
            "fields":[{"name":"x","type":"long","json":["in","x"],"aliases":["x"]}]}}"#,
    )
}

/// The only row: its document, and its `_extra`.
fn read(schema: &Arc<TableSchema>, text: &str) -> (Value, Option<String>) {
    let decoded = decode_as(schema, text.as_bytes());
    assert_eq!(rejects(&decoded), [], "{text}");
    let document = to_document(&decoded.batch, 0, schema).unwrap();
    // As text, since numbers beyond a double are none of serde_json's.
    let document = serde_json::to_string(&document).unwrap();
    (serde_json::from_str(&document).unwrap_or(Value::Null), texts(&decoded, EXTRA).remove(0))
}

fn column<T: arrow::array::ArrowPrimitiveType>(decoded: &Decoded, name: &str) -> Option<T::Native> {
    let array = decoded.batch.column_by_name(name).unwrap();
    array.is_valid(0).then(|| array.as_primitive::<T>().value(0))
}

#[test]
fn members_of_any_name_and_path_are_columns_and_come_back() {
    let text = r#"{"a.b":"x","dt":{"rum":{"id":7},"name":"n"},"sub.ject":{"in":{"x":1},"y":0.5},
        "items":[{"meta":{"k~/\"":"k"}},{}],"p.plan":"gold","p.basket":12.5,"p.own":"o","p.":"empty"}"#
        .replace('\n', " ");
    let (document, extra) = read(&odd(), &text);
    assert_eq!(extra, None);
    assert_eq!(document, serde_json::from_str::<Value>(&text).unwrap());
    let decoded = decode_as(&odd(), text.as_bytes());
    assert_eq!(texts(&decoded, "s"), [Some("x".to_owned())]);
    assert_eq!(column::<arrow::datatypes::Int64Type>(&decoded, "id"), Some(7));
    assert_eq!(texts(&decoded, "own"), [Some("o".to_owned())]);
    let map = decoded.batch.column_by_name("p").unwrap().as_map().value(0);
    assert_eq!(map.len(), 2);
    let map = decoded.batch.column_by_name("p_number").unwrap().as_map().value(0);
    assert_eq!(map.len(), 1);
    // The names of columns are no names of members.
    let (document, extra) = read(&odd(), r#"{"s":"x","own":1}"#);
    assert_eq!(extra.as_deref(), Some(r#"{"/s":"x","/own":1}"#));
    assert_eq!(document, json!({"s":"x","own":1}));
}

#[test]
fn what_is_left_of_an_object_without_a_column_is_in_extra_under_its_pointer() {
    for (text, expected) in [
        (r#"{"dt":{"rum":{"id":7,"more":1},"x":2}}"#, Some(r#"{"/dt/rum/more":1,"/dt/x":2}"#)),
        (r#"{"dt":{"x":{"y":1}}}"#, Some(r#"{"/dt/x":{"y":1}}"#)),
        (r#"{"dt":{"rum":{"id":"7"}}}"#, Some(r#"{"/dt/rum/id":"7"}"#)),
        (r#"{"dt":5}"#, Some(r#"{"/dt":5}"#)),
        (r#"{"dt":{"rum":[1]}}"#, Some(r#"{"/dt/rum":[1]}"#)),
        (r#"{"dt":{}}"#, Some(r#"{"/dt":{}}"#)),
        (r#"{"dt":{"rum":{ }}}"#, Some(r#"{"/dt/rum":{ }}"#)),
        (r#"{"dt":null}"#, None),
        (
            r#"{"items":[{"meta":{"z":1}},{"meta":{}}]}"#,
            Some(r#"{"/items/0/meta/z":1,"/items/1/meta":{}}"#),
        ),
        (r#"{"items":[{"meta":{"k~/\"":5}}]}"#, Some(r#"{"/items/0/meta/k~0~1\"":5}"#)),
        (r#"{"sub.ject":{"in":{"x":"y"}}}"#, Some(r#"{"/sub.ject/in/x":"y"}"#)),
        (r#"{"p.a":[1],"p.b":true}"#, Some(r#"{"/p.a":[1],"/p.b":true}"#)),
        (r#"{"p.a":9007199254740993}"#, Some(r#"{"/p.a":9007199254740993}"#)),
        (r#"{"p.own":5}"#, Some(r#"{"/p.own":5}"#)),
    ] {
        let (document, extra) = read(&odd(), text);
        assert_eq!(extra.as_deref(), expected, "{text}");
        if expected.is_some() {
            assert_eq!(document, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }
}

#[test]
fn of_a_group_that_comes_twice_the_first_has_the_columns_and_the_last_the_document() {
    for (text, document, extra) in [
        (r#"{"dt":{"rum":{"id":1}},"dt":{"x":2}}"#, json!({"dt":{"x":2}}), r#"{"/dt":{"x":2}}"#),
        (r#"{"dt":{"name":"a"},"dt":5}"#, json!({"dt":5}), r#"{"/dt":5}"#),
        (
            r#"{"dt":5,"dt":{"name":"a"}}"#,
            json!({"dt":{"name":"a"}}),
            r#"{"/dt":5,"/dt":{"name":"a"}}"#,
        ),
        (r#"{"p.a":"x","p.a":1}"#, json!({"p.a":1}), r#"{"/p.a":1}"#),
        (r#"{"p.a":[],"p.a":"x"}"#, json!({"p.a":"x"}), r#"{"/p.a":[],"/p.a":"x"}"#),
    ] {
        let (came, came_extra) = read(&odd(), text);
        assert_eq!((came, came_extra.as_deref()), (document, Some(extra)), "{text}");
    }
}

#[test]
fn an_alias_from_elsewhere_gives_way_to_a_group_that_the_column_cannot_show() {
    for (text, document) in [
        (r#"{"old.name":"x"}"#, json!({"dt":{"name":"x"}})),
        (r#"{"legacy":{"name":"x"}}"#, json!({"dt":{"name":"x"}})),
        (r#"{"legacy":{"name":"x","z":1}}"#, json!({"dt":{"name":"x"},"legacy":{"z":1}})),
        (r#"{"old.name":"x","dt":{"name":"y"}}"#, json!({"old.name":"x","dt":{"name":"y"}})),
        (
            r#"{"legacy":{"name":"x"},"dt":{"name":"y"}}"#,
            json!({"legacy":{"name":"x"},"dt":{"name":"y"}}),
        ),
        (r#"{"old_name":"x","dt":{}}"#, json!({"old_name":"x","dt":{}})),
        (r#"{"dt":{},"old_name":"x"}"#, json!({"old_name":"x","dt":{}})),
        (r#"{"dt":7,"old_name":"x"}"#, json!({"old_name":"x","dt":7})),
        (r#"{"old_name":"x","dt":{"rum":{}}}"#, json!({"dt":{"name":"x","rum":{}}})),
        (r#"{"id":3,"dt":{"rum":{}}}"#, json!({"id":3,"dt":{"rum":{}}})),
        (
            r#"{"place":{"in":{"x":1},"z":2},"dt":[]}"#,
            json!({"place":{"in":{"x":1},"z":2},"dt":[]}),
        ),
        (r#"{"place":{"x":1,"in":{}}}"#, json!({"dt":{"place":{"x":1,"in":{}}}})),
    ] {
        assert_eq!(read(&aliased(), text).0, document, "{text}");
    }
}

#[test]
fn times_and_numbers_are_taken_in_the_forms_of_their_field_exactly() {
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType as Time};
    let odd = odd();
    let taken = |text: &str| {
        let decoded = decode_as(&odd, text.as_bytes());
        assert_eq!(texts(&decoded, EXTRA), [None], "{text}");
        decoded
    };
    let text = r#"{"t":"2026-11-25T10:00:00.123456789Z"}"#;
    let decoded = taken(text);
    assert_eq!(column::<Time>(&decoded, "t"), Some(1_795_600_800_123_456));
    assert_eq!(column::<Int64Type>(&decoded, "t_nanos"), Some(789));
    assert_eq!(read(&odd, text).0, serde_json::from_str::<Value>(text).unwrap());
    for (text, came) in [
        (r#"{"t":1795600800123}"#, json!({"t":"2026-11-25T10:00:00.123Z"})),
        (r#"{"t":"2026-11-25T11:00:00+01:00"}"#, json!({"t":"2026-11-25T10:00:00Z"})),
        (r#"{"u":1795600800123456000}"#, json!({"u":1_795_600_800_123_456_000i64})),
        (r#"{"u":"1795600800123456000"}"#, json!({"u":1_795_600_800_123_456_000i64})),
        (r#"{"n":"179876543211"}"#, json!({"n":"179876543211"})),
        (r#"{"n":42}"#, json!({"n":"42"})),
        (r#"{"n":"1e3"}"#, json!({"n":"1000"})),
        (r#"{"d":"0.5"}"#, json!({"d":0.5})),
        (r#"{"b":"true"}"#, json!({"b":true})),
        (r#"{"b":false}"#, json!({"b":false})),
        (r#"{"lt":["2026-11-25T10:00:00Z",null]}"#, json!({"lt":["2026-11-25T10:00:00Z",null]})),
    ] {
        taken(text);
        assert_eq!(read(&odd, text).0, came, "{text}");
    }
    for text in [
        r#"{"/t":"2026-11-25T10:00:00"}"#,
        r#"{"/t":"1795600800123"}"#,
        r#"{"/t":1795600800123.5}"#,
        r#"{"/t":253402300800000}"#,
        r#"{"/t":"9999-12-31T23:59:59-01:00"}"#,
        r#"{"/t":"0000-12-31T23:59:59Z"}"#,
        r#"{"/t":"2026-11-25T10:00:00.\u0031Z"}"#,
        r#"{"/u":1795600800123456789}"#,
        r#"{"/u":"2026-11-25T10:00:00Z"}"#,
        r#"{"/u":" 1"}"#,
        r#"{"/n":"042"}"#,
        r#"{"/n":"5.7"}"#,
        r#"{"/n":"9223372036854775808"}"#,
        r#"{"/n":""}"#,
        r#"{"/n":true}"#,
        r#"{"/d":"9007199254740993"}"#,
        r#"{"/d":"NaN"}"#,
        r#"{"/b":"TRUE"}"#,
        r#"{"/b":1}"#,
        r#"{"/lt/1":"x"}"#,
    ] {
        let document = match text {
            r#"{"/lt/1":"x"}"# => r#"{"lt":["2026-11-25T10:00:00Z","x"]}"#.to_owned(),
            text => text.replacen("\"/", "\"", 1),
        };
        let (came, extra) = read(&odd, &document);
        assert_eq!(extra.as_deref(), Some(text));
        assert_eq!(came, serde_json::from_str::<Value>(&document).unwrap());
    }
}

#[test]
fn rows_that_are_cut_back_leave_nothing_in_maps_and_nanoseconds() {
    let good = r#"{"t":"2026-11-25T10:00:00.000000001Z","p.a":"x","p.b":1.5}"#;
    let bad = r#"{"t":"2026-11-25T10:00:00.000000002Z","p.a":"y","p.b":2,"#;
    let decoded = decode_as(&odd(), format!("{bad}\n{good}\n{bad}\n{{}}\n{good}").as_bytes());
    assert_eq!(decoded.rejects.len(), 2);
    let good: Value = serde_json::from_str(good).unwrap();
    let came =
        |row| serde_json::to_value(to_document(&decoded.batch, row, &odd()).unwrap()).unwrap();
    assert_eq!([came(0), came(1), came(2)], [good.clone(), json!({}), good]);
}

#[test]
fn a_line_that_breaks_off_anywhere_leaves_its_neighbours_alone() {
    let good = r#"{"dt":{"rum":{"id":7,"m":[]},"name":"n"},"sub.ject":{"in":{"x":1}},"p.a":"x","p.\u0062":2.5,"t":"2026-11-25T10:00:00.000000001Z","lt":["2026-11-25T10:00:00Z"],"n":"7","items":[{"meta":{"k~/\"":"k"}}]}"#;
    let expected: Value = serde_json::from_str(good).unwrap();
    for end in 1..good.len() {
        for change in ["", "}", "x", "\\"] {
            let bad = format!("{}{change}", &good[..end]);
            let decoded = decode_as(&odd(), format!("{good}\n{bad}\n{good}").as_bytes());
            let rows = decoded.batch.num_rows();
            let came = |row| to_document(&decoded.batch, row, &odd()).unwrap();
            for row in [0, rows - 1] {
                assert_eq!(serde_json::to_value(came(row)).unwrap(), expected, "{bad}");
            }
            (0..rows).for_each(|row| drop(came(row)));
        }
    }
}

#[test]
fn a_time_in_any_form_may_be_far() {
    let odd = odd();
    let place = odd.fields.iter().position(|field| field.name == "t").unwrap();
    let window = std::time::Duration::from_secs(86_400);
    let window = crate::table::TimeWindow { columns: vec![place], window };
    let mut decoder = Decoder::new(odd, "node".into()).within(Some(window));
    // The body was received on 14 November 2023.
    let lines = r#"{"t":"2023-11-14T10:00:00.000000001Z"}
{"t":"2021-01-01T00:00:00Z"}
{"t":1}"#;
    decoder.push(&body(Form::Ndjson, lines.as_bytes()));
    let decoded = decoder.finish();
    assert_eq!((decoded.counts.rows, decoded.counts.rejects), (1, 2));
}

/// JSON as it was sent, so that repeated names and spellings show.
#[derive(Clone, Debug)]
enum Sent {
    Plain(&'static str),
    List(Vec<Sent>),
    Object(Vec<(&'static str, Sent)>),
}

impl Sent {
    fn text(&self) -> String {
        match self {
            Sent::Plain(text) => (*text).to_owned(),
            Sent::List(items) => {
                format!("[{}]", items.iter().map(Sent::text).collect::<Vec<_>>().join(","))
            }
            Sent::Object(members) => {
                let member =
                    |(key, value): &(&str, Sent)| format!("{}:{}", json!(key), value.text());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

const KEYS: &[&str] = &[
    "a.b", "dt", "dt", "rum", "id", "name", "sub.ject", "in", "x", "y", "items", "meta", "k~/\"",
    "t", "u", "n", "d", "b", "lt", "p.own", "p.a", "p.b", "p.", "s", "zz", "old_name", "old.name",
    "legacy", "place",
];

const VALUES: &[&str] = &[
    "null",
    "true",
    "\"true\"",
    "1",
    "1",
    "\"1\"",
    "1.5",
    "\"1.50\"",
    "1e3",
    "1e400",
    "\"x\"",
    "\"\"",
    "\"2026-11-25T10:00:00.123456789Z\"",
    "\"2026-11-25T10:00:00.5+01:00\"",
    "1764064800123",
    "1764064800123456789",
    "\"1764064800123456000\"",
    "9007199254740993",
    "[]",
    "{}",
];

fn sent() -> impl Strategy<Value = Sent> {
    let leaf = prop::sample::select(VALUES).prop_map(Sent::Plain);
    let value = leaf.prop_recursive(4, 40, 6, |inner| {
        let member = (prop::sample::select(KEYS), inner.clone());
        prop_oneof![
            1 => prop::collection::vec(inner, 0..3).prop_map(Sent::List),
            4 => prop::collection::vec(member, 0..6).prop_map(Sent::Object),
        ]
    });
    let member = (prop::sample::select(KEYS), value);
    prop::collection::vec(member, 0..10).prop_map(Sent::Object)
}

/// JSON in a form in which two documents are equal that say the same by the schema: of equal names the
/// last, without nulls in objects, numbers by their digits, values in forms by their meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Null,
    Text(String),
    List(Vec<Said>),
    Object(BTreeMap<String, Said>),
}

fn said(text: &str, at: &str) -> Said {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'{' => {
            let Members(members) = serde_json::from_str(text).unwrap();
            let of = |key: &str, raw: &str| said(raw, &format!("{at}/{key}"));
            let mut object: BTreeMap<String, Said> =
                members.iter().map(|(key, raw)| (key.clone(), of(key, raw.get()))).collect();
            object.retain(|_, value| *value != Said::Null);
            Said::Object(object)
        }
        b'[' => {
            let items: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text).unwrap();
            Said::List(items.iter().map(|raw| said(raw.get(), &format!("{at}/*"))).collect())
        }
        b'n' => Said::Null,
        b'"' => {
            let inner: String = serde_json::from_str(text).unwrap();
            Said::Text(meant(at, &inner).unwrap_or_else(|| text.to_owned()))
        }
        b't' | b'f' => Said::Text(text.to_owned()),
        _ => Said::Text(meant(at, text).unwrap_or_else(|| digits(text))),
    }
}

/// The meaning of a number, or of text, of a field with forms.
fn meant(at: &str, text: &str) -> Option<String> {
    match at {
        "/t" | "/items/*/t" | "/lt/*" => {
            if let Ok(time) = DateTime::parse_from_rfc3339(text) {
                return Some(format!("{}ns", time.timestamp_nanos_opt()?));
            }
            Some(format!("{}ns", whole(text)?.checked_mul(1_000_000)?))
        }
        "/u" => Some(format!("{}ns", whole(text)?)),
        "/n" | "/d" => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|_| digits(text)),
        "/b" => matches!(text, "true" | "false").then(|| text.to_owned()),
        _ => None,
    }
}

/// A number without fraction, however it is written.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    text.parse::<f64>().ok()?;
    let digits = digits(text);
    let (number, exponent) = digits.split_once('e')?;
    number.parse::<i64>().ok()?.checked_mul(10_i64.checked_pow(exponent.parse().ok()?)?)
}

/// A number by its digits: `15e-1` for `1.50`.
fn digits(text: &str) -> String {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = format!("{whole}{fraction}");
    let exponent = exponent.parse::<i64>().unwrap() - fraction.len() as i64;
    let kept = all.trim_end_matches('0');
    let exponent = exponent + (all.len() - kept.len()) as i64;
    format!("{}e{exponent}", kept.trim_start_matches('0'))
}

fn came(schema: &Arc<TableSchema>, text: &str) -> String {
    let decoded = decode_as(schema, text.as_bytes());
    assert_eq!(rejects(&decoded), [], "{text}");
    serde_json::to_string(&to_document(&decoded.batch, 0, schema).unwrap()).unwrap()
}

/// The values within that hold no others.
fn leaves(value: &Said, into: &mut Vec<Said>) {
    match value {
        Said::List(items) if !items.is_empty() => items.iter().for_each(|item| leaves(item, into)),
        Said::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                // An object that groups members is no value: others may have come into it.
                let is_group = ["dt", "legacy", "in"].contains(&key.as_str());
                if !is_group || *value != Said::Object(BTreeMap::new()) {
                    leaves(value, into);
                }
            }
        }
        leaf => into.push(leaf.clone()),
    }
}

/// `value` with the first of equal names only.
fn without_repeats(value: Sent) -> Sent {
    match value {
        Sent::Plain(text) => Sent::Plain(text),
        Sent::List(items) => Sent::List(items.into_iter().map(without_repeats).collect()),
        Sent::Object(members) => {
            let mut seen = Vec::new();
            let first = |(key, _): &(&'static str, Sent)| {
                let new = !seen.contains(key);
                seen.push(*key);
                new
            };
            let members = members.into_iter().filter(first).collect::<Vec<_>>();
            Sent::Object(members.into_iter().map(|(key, of)| (key, without_repeats(of))).collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_of_members_paths_and_forms_come_back(sent in sent()) {
        let text = sent.text();
        let came = came(&odd(), &text);
        prop_assert_eq!(said(&text, ""), said(&came, ""), "{}\n{}", text, came);
    }

    #[test]
    fn no_value_under_an_alias_is_lost(sent in sent()) {
        let text = without_repeats(sent).text();
        let came = came(&aliased(), &text);
        let of = |text: &str| {
            let mut all = Vec::new();
            leaves(&said(text, "none"), &mut all);
            all.sort();
            all
        };
        prop_assert_eq!(of(&text), of(&came), "{}\n{}", text, came);
    }
}
