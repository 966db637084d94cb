//! Properties: documents come back as they came in; serde_json and the decoder refuse the same;
//! nothing panics.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::generate::Source;
use super::number::Token;
use super::quick::OFF;
use super::*;
use crate::json::Members;

/// JSON with its numbers as they are written.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

fn tree(text: &str) -> Tree {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'{' => {
            let Members(members) = serde_json::from_str(text).unwrap();
            Tree::Object(members.into_iter().map(|(key, raw)| (key, tree(raw.get()))).collect())
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            Tree::Array(items.iter().map(|raw| tree(raw.get())).collect())
        }
        b'"' => Tree::Text(serde_json::from_str(text).unwrap()),
        b'n' => Tree::Null,
        b't' | b'f' => Tree::Boolean(text == "true"),
        _ => Tree::Number(text.to_owned()),
    }
}

/// Returns whether the document `came` of a row equals the document `went` that was sent, but for
/// nulls against missing members, the spelling of numbers in columns, and aliases that became the
/// current name.
fn same(kind: Option<&Kind>, went: &Tree, came: &Tree) -> bool {
    match (went, came) {
        (Tree::Object(went), Tree::Object(came)) => {
            let fields = match kind {
                Some(Kind::Struct(fields)) => fields.as_slice(),
                _ => &[],
            };
            let went = renamed(fields, went, came);
            let there = |of: &BTreeMap<String, Tree>| {
                of.values().filter(|value| **value != Tree::Null).count()
            };
            there(&went) == there(came)
                && went.iter().filter(|(_, value)| **value != Tree::Null).all(|(key, value)| {
                    let kind = match kind {
                        Some(Kind::Map(kind)) => Some(kind.as_ref()),
                        _ => fields.iter().find(|f| f.name == *key).map(|f| &f.kind),
                    };
                    came.get(key).is_some_and(|came| same(kind, value, came))
                })
        }
        (Tree::Array(went), Tree::Array(came)) => {
            let kind = match kind {
                Some(Kind::List(kind)) => Some(kind.as_ref()),
                _ => None,
            };
            went.len() == came.len() && went.iter().zip(came).all(|(a, b)| same(kind, a, b))
        }
        (Tree::Number(went), Tree::Number(came)) => {
            let token =
                |text: &'_ str| Token::read(text.as_bytes(), 0).map(|t| (t.long(), t.double()));
            went == came
                || match (kind, token(went), token(came)) {
                    (
                        Some(Kind::Long | Kind::TimestampMillis),
                        Ok((Some(a), _)),
                        Ok((Some(b), _)),
                    ) => a == b,
                    (Some(Kind::Double), Ok((_, Some(_))), _) => {
                        went.parse::<f64>().unwrap() == came.parse::<f64>().unwrap()
                    }
                    _ => false,
                }
        }
        _ => went == came,
    }
}

/// `went` with aliases renamed, where `came` has the current name and `went` has not.
fn renamed(
    fields: &[Field],
    went: &BTreeMap<String, Tree>,
    came: &BTreeMap<String, Tree>,
) -> BTreeMap<String, Tree> {
    let mut went = went.clone();
    let has = |map: &BTreeMap<String, Tree>, key: &str| {
        map.get(key).is_some_and(|value| *value != Tree::Null)
    };
    for field in fields.iter().filter(|field| has(came, &field.name)) {
        let gone = |alias: &&String| has(&went, alias) && !has(came, alias);
        if !has(&went, &field.name)
            && let Some(alias) = field.aliases.iter().find(gone)
            && let Some(value) = went.remove(alias)
        {
            went.insert(field.name.clone(), value);
        }
    }
    went
}

#[test]
fn the_comparison_of_documents_compares() {
    let kind = Kind::Struct(small().fields.clone());
    let same = |went: Value, came: Value| {
        same(Some(&kind), &tree(&went.to_string()), &tree(&came.to_string()))
    };
    assert!(same(json!({"n":5.0,"old_s":"x","p":null}), json!({"n":5,"s":"x"})));
    assert!(!same(json!({"n":5}), json!({"n":6})));
    assert!(!same(json!({"n":5}), json!({})));
    assert!(!same(json!({}), json!({"n":5})));
    assert!(!same(json!({"old_s":"x","s":"y"}), json!({"s":"y"})));
    assert!(!same(json!({"ss":[null,1]}), json!({"ss":[1]})));
    assert!(!same(json!({"old_n":"x"}), json!({"s":"x"})));
    assert!(same(json!({"d":5}), json!({"d":5.0})));
    assert!(!same(json!({"u":5}), json!({"u":5.0})), "without a column it is as it was written");
}

fn builtin() -> Arc<TableSchema> {
    TableSchema::builtin("user_sessions").unwrap()
}

fn comes_back(schema: &TableSchema, decoded: &Decoded, row: usize, text: &str) {
    let came = to_document(&decoded.batch, row, schema).unwrap();
    let came = serde_json::to_string(&came).unwrap();
    let kind = Kind::Struct(schema.fields.clone());
    let extra = texts(decoded, EXTRA).swap_remove(row);
    assert!(same(Some(&kind), &tree(text), &tree(&came)), "{text}\n{came}\n_extra: {extra:?}");
}

/// Documents, and a choice of the schema.
fn inputs(max: usize) -> impl Strategy<Value = (bool, Vec<u8>)> {
    (any::<bool>(), prop::collection::vec(any::<u8>(), 0..max))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_document_comes_back((large, bytes) in inputs(1200), other in prop::collection::vec(any::<u8>(), 0..300)) {
        let schema = if large { builtin() } else { small() };
        let first = Source::new(&bytes, false).document(&schema.fields);
        let second = Source::new(&other, false).document(&schema.fields);
        let text = format!("{first}\n{second}\r\n{first}");
        let decoded = decode_as(&schema, text.as_bytes());
        prop_assert_eq!(rejects(&decoded), []);
        comes_back(&schema, &decoded, 0, &first);
        comes_back(&schema, &decoded, 1, &second);
        comes_back(&schema, &decoded, 2, &first);
        let array = decode_as(&schema, format!("[{first} ,\n{second}]").as_bytes());
        prop_assert_eq!(rejects(&array), []);
        comes_back(&schema, &array, 0, &first);
        comes_back(&schema, &array, 1, &second);
    }

    #[test]
    fn what_fits_is_in_columns_and_nothing_is_in_extra((large, bytes) in inputs(1200)) {
        let schema = if large { builtin() } else { small() };
        let text = Source::new(&bytes, true).document(&schema.fields);
        let decoded = decode_as(&schema, text.as_bytes());
        prop_assert_eq!(texts(&decoded, EXTRA), [None], "{}", text);
        comes_back(&schema, &decoded, 0, &text);
    }

    #[test]
    fn a_bad_line_leaves_its_neighbours_alone((large, bytes) in inputs(600), change in changes()) {
        let schema = if large { builtin() } else { small() };
        let good = Source::new(&bytes, false).document(&schema.fields);
        let bad = change.apply(good.as_bytes());
        let mut text = format!("{good}\n").into_bytes();
        text.extend(bad.iter().map(|b| if *b == b'\n' { b'x' } else { *b }));
        text.extend(format!("\n{good}").bytes());
        let decoded = decode_as(&schema, &text);
        let rows = decoded.batch.num_rows();
        let ids: Vec<_> = texts(&decoded, INGEST_ID).into_iter().flatten().collect();
        prop_assert_eq!(&*ids[0], "node-7-1");
        prop_assert_eq!(&*ids[rows - 1], "node-7-3");
        comes_back(&schema, &decoded, 0, &good);
        comes_back(&schema, &decoded, rows - 1, &good);
    }

    #[test]
    fn lines_are_taken_and_refused_as_by_serde_json((large, bytes) in inputs(300), changes in prop::collection::vec(changes(), 0..3)) {
        let schema = if large { builtin() } else { small() };
        let mut line = Source::new(&bytes, false).document(&schema.fields).into_bytes();
        for change in changes {
            line = change.apply(&line);
        }
        agrees_with_serde_json(&schema, &line)?;
    }

    #[test]
    fn random_bytes_are_taken_and_refused_as_by_serde_json(line in prop::collection::vec(json_bytes(), 0..40)) {
        let line = [b"{", &line.concat()[..], b"}"].concat();
        agrees_with_serde_json(&small(), &line)?;
    }

    #[test]
    fn no_bytes_make_it_panic(
        parts in prop::collection::vec(prop_oneof![json_bytes(), prop::collection::vec(any::<u8>(), 0..20)], 0..60),
        bulk in any::<bool>(),
        first_line in prop_oneof![Just(1), Just(u64::MAX)],
    ) {
        let mut decoder = Decoder::new(small(), "node".into());
        let form = if bulk { Form::Elasticsearch } else { Form::Ndjson };
        for bytes in [parts.concat(), [b"[".to_vec(), parts.concat()].concat()] {
            decoder.push(&Body { first_line, ..body(form, &bytes) });
        }
        let decoded = decoder.finish();
        prop_assert_eq!(decoded.counts.lines, decoded.counts.rows + decoded.counts.rejects);
        decode_form(form, &parts.concat());
        for row in 0..decoded.batch.num_rows() {
            to_document(&decoded.batch, row, &small()).unwrap();
        }
    }
}

/// Makes bytes that JSON consists of.
fn json_bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\n",
        " ",
        "0",
        "1",
        "-",
        ".",
        "e",
        "+",
        "null",
        "true",
        "false",
        "{\"n\":",
        "\"s\":",
        "\"items\":[",
        "\"m\":{",
        "\"p\":{",
        "\"a\"",
        "\"\\u0041\"",
        "\\ud83d",
        "\\ude00",
        "\\ud800\"",
        "1.5",
        "{\"index\":{}}",
        "{\"update\":{}}",
        "\r",
        "\"old_n\":",
        "\"n\":",
        "{}",
        "[]",
        "\t",
        "\0",
        "ä",
    ];
    prop::sample::select(parts.to_vec()).prop_map(|part| part.as_bytes().to_vec())
}

/// A small wrong in a line.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Cut(usize),
    Drop(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1..4usize).prop_map(|(at, len)| Change::Drop(at, len)),
        (any::<usize>(), json_bytes()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<usize>(), 1..9usize).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

impl Change {
    fn apply(&self, line: &[u8]) -> Vec<u8> {
        let mut line = line.to_vec();
        let len = line.len().max(1);
        match self {
            Change::Flip(at, byte) => {
                if let Some(place) = line.get_mut(at % len) {
                    *place = *byte;
                }
            }
            Change::Cut(at) => line.truncate(at % len),
            Change::Drop(at, count) => {
                let at = (at % len).min(line.len());
                line.drain(at..(at + count).min(line.len()));
            }
            Change::Insert(at, bytes) => {
                let at = (at % len).min(line.len());
                line.splice(at..at, bytes.iter().copied());
            }
            Change::Repeat(at, count) => {
                let at = (at % len).min(line.len());
                let part = line[at..(at + count).min(line.len())].to_vec();
                line.splice(at..at, part);
            }
        }
        line
    }
}

/// The differences that are meant: numbers beyond a double are kept here; serde_json stops one
/// level earlier; a byte order mark is white space before a document.
fn agrees_with_serde_json(schema: &Arc<TableSchema>, line: &[u8]) -> Result<(), TestCaseError> {
    let line: Vec<u8> = line.iter().copied().filter(|byte| *byte != b'\n').collect();
    // A line may have several documents.
    let parsed = serde_json::Deserializer::from_slice(&line).into_iter::<Value>();
    let parsed: Result<Vec<Value>, _> = parsed.collect();
    if let Err(error) = &parsed
        && (error.to_string().contains("number out of range")
            || error.to_string().contains("recursion limit")
            || memchr::memmem::find(&line, b"\xef\xbb\xbf").is_some())
    {
        return Ok(());
    }
    // A first line, so that the body is neither an array nor one document over lines.
    let decoded = decode_as(schema, &[b"{}\n", &line[..]].concat());
    let documents = parsed.as_ref().map_or(0, |values| values.len() as u64);
    let taken = decoded.rejects.is_empty()
        && documents > 0
        && decoded.counts.rows + decoded.counts.actions == 1 + documents;
    let object =
        documents > 0 && parsed.as_ref().is_ok_and(|values| values.iter().all(Value::is_object));
    let update = decoded.rejects.first().is_some_and(|reject| reject.reason.contains("action"));
    prop_assert_eq!(
        taken || update,
        object,
        "{:?}\n{:?}\n{:?}",
        String::from_utf8_lossy(&line),
        parsed,
        decoded.rejects
    );
    Ok(())
}

#[test]
fn no_generated_document_is_a_bulk_action() {
    // A choice of bytes that made `{"index":{}}`, as one run in many did.
    let bytes =
        [0, 27, 1, 1, 17, 21, 129, 1, 1, 1, 57, 1, 149, 94, 0, 22, 189, 87, 249, 0, 142, 141];
    assert_eq!(Source::new(&bytes, false).document(&small().fields), "{}");
}

proptest! {
    // Documents are decoded twice.
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_guesses_and_without_rows_and_rejects_are_the_same((large, bytes) in inputs(1200), other in prop::collection::vec(any::<u8>(), 0..300), changes in prop::collection::vec(changes(), 0..3), clean in any::<bool>()) {
        let schema = if large { builtin() } else { small() };
        let one = Source::new(&bytes, clean).document(&schema.fields);
        let two = Source::new(&other, false).document(&schema.fields);
        let mut broken = one.clone().into_bytes();
        for change in changes {
            broken = change.apply(&broken);
        }
        // Guesses come from what was read before.
        let text = [one.as_bytes(), b"\n", one.as_bytes(), b"\n", two.as_bytes(), one.as_bytes(), b"\n", &broken, b"\n", two.as_bytes(), b"\n", two.as_bytes()].concat();
        let quick = decode_as(&schema, &text);
        OFF.set(true);
        let general = decode_as(&schema, &text);
        OFF.set(false);
        prop_assert_eq!(&quick.rejects, &general.rejects);
        prop_assert_eq!(quick.counts, general.counts);
        prop_assert!(quick.batch == general.batch, "{}", String::from_utf8_lossy(&text));
    }
}
