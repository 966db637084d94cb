//! Tests of the index, of fingerprints and of lists.

pub(crate) mod fake;

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use self::fake::FakeFile;
use super::index_file::{Cut, Limits, StoredRoll, cut};
use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Roll, Seq};
use crate::schema::TableSchema;

fn fingerprints(schema: &str, documents: &[&str]) -> Vec<Option<Fingerprint>> {
    let schema = match schema {
        "" => TableSchema::builtin("user_sessions").unwrap(),
        schema => Arc::new(TableSchema::parse(schema).unwrap()),
    };
    let mut decoder = Decoder::new(schema, "n".into());
    for (at, document) in documents.iter().enumerate() {
        decoder.push(&Body {
            seq: Seq(at as u64 + 1),
            received_at: Micros(at as i64),
            table: "user_sessions".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: document.as_bytes().to_vec().into(),
            stored: None,
        });
    }
    let decoded = decoder.finish();
    assert_eq!(decoded.batch.num_rows(), documents.len());
    Fingerprints::new("user_sessions", [7, 8]).of(&decoded.batch).unwrap()
}

const KEYS: &str = r#""tenantId":"t","userSessionId":"s","startTime":1700000000000"#;

#[test]
fn rows_are_equal_by_names_and_values_whatever_the_document_looks_like() {
    let equal = [
        format!(
            "{{{KEYS},\"stringProperties\":[{{\"key\":\"a\",\"value\":\"b\"}}],\"bounce\":true}}"
        ),
        format!(
            "{{ \"bounce\":true, {KEYS} , \"stringProperties\":[{{\"value\":\"b\",\"key\":\"a\"}}] }}"
        ),
        format!(
            "{{{KEYS},\"bounce\":true,\"city\":null,\"stringProperties\":[{{\"key\":\"a\",\"value\":\"b\"}}]}}"
        ),
    ];
    let equal: Vec<&str> = equal.iter().map(String::as_str).collect();
    let found = fingerprints("", &equal);
    assert!(found.iter().all(|one| one.is_some() && *one == found[0]), "{found:?}");
}

#[test]
fn rows_that_differ_anywhere_have_other_fingerprints() {
    let more = [
        "",
        r#","partNumber":1"#,
        r#","partNumber":2"#,
        r#","bounce":true"#,
        r#","bounce":false"#,
        r#","newUser":true"#,
        r#","city":"a""#,
        r#","city":"""#,
        r#","region":"a""#,
        r#","unknown":1"#,
        r#","unknown":2"#,
        r#","userActions":[]"#,
        r#","userActions":[{}]"#,
        r#","userActions":[null]"#,
        r#","userActions":[{"name":"a"}]"#,
        r#","userActions":[{"name":"a"},{"name":"b"}]"#,
        r#","userActions":[{"name":"b"},{"name":"a"}]"#,
        r#","userActions":[{"name":"a"},{}]"#,
        r#","userActions":[{},{"name":"a"}]"#,
        r#","stringProperties":[{"key":"a","value":"b"}]"#,
        r#","stringProperties":[{"key":"a","value":"b"},{"key":"a","value":"b"}]"#,
        r#","doubleProperties":[{"key":"a","value":0.5}]"#,
        r#","doubleProperties":[{"key":"a","value":0.25}]"#,
    ];
    let documents: Vec<String> = more.iter().map(|more| format!("{{{KEYS}{more}}}")).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let found = fingerprints("", &documents);
    for (at, one) in found.iter().enumerate() {
        assert!(one.is_some());
        for (other_at, other) in found.iter().enumerate().skip(at + 1) {
            assert_ne!(one, other, "{} and {}", documents[at], documents[other_at]);
        }
    }
    let alone = fingerprints("", &documents[3..4]);
    assert_eq!(alone[0], found[3], "the other rows of the batch are no part of it");
}

#[test]
fn another_column_in_the_schema_changes_no_row_without_it_and_other_tables_and_keys_all() {
    let fields = r#"{"name": "tenantId", "type": "string"}, {"name": "userSessionId", "type": "string"},
        {"name": "startTime", "type": "long"}, {"name": "m", "type": {"type": "map", "values": "long"}}"#;
    let schema =
        |more: &str| format!(r#"{{"type": "record", "name": "t", "fields": [{more}{fields}]}}"#);
    let documents = [
        format!(r#"{{{KEYS},"m":{{"a":1,"b":2}}}}"#),
        format!(r#"{{{KEYS},"m":{{"b":2,"a":1}}}}"#),
        format!(r#"{{{KEYS},"m":{{"a":2,"b":1}}}}"#),
    ];
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let before = fingerprints(&schema(""), &documents);
    let after = fingerprints(&schema(r#"{"name": "x", "type": ["null", "string"]}, "#), &documents);
    assert_eq!(before, after);
    assert_eq!(before[0], before[1], "the order of a map's entries is no difference");
    assert_ne!(before[0], before[2]);
    let mut decoder = Decoder::new(TableSchema::builtin("user_sessions").unwrap(), "n".into());
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(1),
        table: "t".into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: format!("{{{KEYS}}}").into(),
        stored: None,
    });
    let batch = decoder.finish().batch;
    let of = |table: &str, half| Fingerprints::new(table, [half, 0]).of(&batch).unwrap()[0];
    assert_ne!(of("a", 1), of("b", 1));
    assert_ne!(of("a", 1), of("a", 2));
}

#[test]
fn a_table_without_the_key_is_refused_by_the_column() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    assert_eq!(check_table(&schema), Ok(()));
    let text =
        r#"{"type": "record", "name": "t", "fields": [{"name": "tenantId", "type": "string"}]}"#;
    assert_eq!(check_table(&TableSchema::parse(text).unwrap()), Err("userSessionId"));
}

fn roll(first_seq: u64, rows: u64, latest: i64) -> StoredRoll {
    StoredRoll { first_seq, rows, latest: Micros(latest) }
}

#[test]
fn rolls_that_left_the_window_go_when_they_are_a_quarter_and_the_oldest_ones_when_there_are_too_many()
 {
    let rolls = [roll(1, 10, 0), roll(11, 30, 50), roll(41, 60, 100)];
    let of = |len, window_us, max_rows| cut(&rolls, len, Limits { window_us, max_rows });
    assert_eq!(of(100, 100, 100), None);
    assert_eq!(of(100, 99, 100), None, "a tenth of it is old");
    assert_eq!(of(100, 49, 100), Some(Cut { from: 41, expired: 40 }));
    assert_eq!(of(100, 100, 99), Some(Cut { from: 41, expired: 0 }), "down to three quarters");
    assert_eq!(of(100, 100, 20), Some(Cut { from: u64::MAX, expired: 0 }));
    assert_eq!(cut(&[], 0, Limits { window_us: 1, max_rows: 1 }), None);
}

#[test]
fn a_list_of_several_tables_is_written_in_the_order_of_bodies() {
    let (mut mixed, mut in_order) = (LeftOut::default(), LeftOut::default());
    let rows = [(1, 0, None), (1, 4, Some(Seq(1))), (2, 0, None), (3, 1, Some(Seq(2)))];
    for (at, mixed_at) in [2, 0, 3, 1].into_iter().enumerate() {
        let ((body, row, first), (other, its_row, its_first)) = (rows[at], rows[mixed_at]);
        in_order.add(Seq(body), row, first);
        mixed.add(Seq(other), its_row, its_first);
    }
    assert_eq!(LeftOut::from_text(&mixed.to_text().unwrap()).unwrap(), in_order);
}

#[test]
fn lists_are_read_as_they_were_written_and_others_are_refused() {
    let mut list = LeftOut::default();
    assert_eq!(LeftOut::from_text(&list.to_text().unwrap()).unwrap(), list);
    for body in [1, 2, 700, u64::MAX] {
        for row in [0, 1, 5, 70_000] {
            list.add(Seq(body), row, (row == 5).then_some(Seq(1)));
        }
    }
    assert_eq!(list.len(), 16);
    let text = list.to_text().unwrap();
    assert_eq!(LeftOut::from_text(&text).unwrap(), list);
    for other in ["!", "AAAA", &text[..text.len() / 8 * 4]] {
        assert!(LeftOut::from_text(other).is_err(), "{other}");
    }
    let packed = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(zstd::bulk::compress(bytes, 1).unwrap())
    };
    for bytes in [&[1][..], &[1, 2, 0, 0], &[0x80], &[0xff; 10], &[1, 1, 0, 9]] {
        assert!(LeftOut::from_text(&packed(bytes)).is_err(), "{bytes:?}");
    }
    // A number of rows that are not there takes no memory.
    assert!(LeftOut::from_text(&packed(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0])).is_err());
}

const NODE: &str = "n";
const OPTIONS: IndexOptions =
    IndexOptions { window_us: 100, max_rows: 1_000, memory_bytes: 1 << 26 };

fn candidate(fingerprint: u128, seq: u64, at: i64) -> Option<Candidate> {
    Some(Candidate { fingerprint, seq: Seq(seq), received_at: Micros(at) })
}

#[test]
fn an_index_of_another_node_is_begun_anew() {
    let file = FakeFile::default();
    let index = Index::on_fake(file.clone(), NODE, OPTIONS);
    index.begin(Seq(1)).unwrap();
    index.decide(Roll(1), 100, &[candidate(7, 1, 0)]);
    index.store(Roll(1), Seq(1));
    let key = index.key();
    drop(index);
    let index = Index::on_fake(file.clone(), NODE, OPTIONS);
    index.begin(Seq(2)).unwrap();
    assert_eq!(index.key(), key);
    assert_eq!(index.decide(Roll(2), 100, &[candidate(7, 2, 0)]), [(0, None)]);
    drop(index);
    let index = Index::on_fake(file, "other", OPTIONS);
    index.begin(Seq(2)).unwrap();
    assert_ne!(index.key(), key);
    assert_eq!(index.decide(Roll(2), 100, &[candidate(7, 2, 0)]), []);
}

#[test]
fn rows_of_bodies_in_no_sealed_roll_are_forgotten() {
    let file = FakeFile::default();
    let index = Index::on_fake(file, NODE, OPTIONS);
    index.begin(Seq(1)).unwrap();
    let rows = [candidate(7, 1, 0), candidate(8, 2, 0), candidate(7, 3, 0)];
    assert_eq!(index.decide(Roll(1), 100, &rows), [(2, Some(Seq(1)))]);
    index.store(Roll(1), Seq(3));
    // The roll was not sealed; body 1 is set aside in the next attempt.
    index.begin(Seq(1)).unwrap();
    let rows = [candidate(8, 2, 0), candidate(7, 3, 0)];
    assert_eq!(index.decide(Roll(1), 100, &rows), []);
    // It was sealed now.
    index.store(Roll(1), Seq(3));
    index.begin(Seq(4)).unwrap();
    assert_eq!(index.decide(Roll(2), 100, &[candidate(8, 4, 0)]), [(0, None)]);
    index.forget(|seq| seq == Seq(2)).unwrap();
    assert_eq!(index.decide(Roll(2), 100, &[candidate(8, 5, 0)]), []);
}

#[test]
fn an_index_that_can_neither_be_brought_up_to_date_nor_deleted_lands_nothing() {
    let file = FakeFile::default();
    let index = Index::on_fake(file.clone(), NODE, OPTIONS);
    index.begin(Seq(1)).unwrap();
    index.decide(Roll(1), 100, &[candidate(7, 1, 0)]);
    index.store(Roll(1), Seq(1));
    file.dies_with(|| true);
    assert!(index.begin(Seq(1)).is_err());
    file.dies_with(|| false);
    index.begin(Seq(1)).unwrap();
    assert_eq!(index.decide(Roll(1), 100, &[candidate(7, 2, 0)]), []);
}

#[test]
fn rows_of_a_roll_that_memory_has_no_room_for_land_again_and_the_others_do_not() {
    let options = IndexOptions { memory_bytes: 0, max_rows: 1 << 30, ..OPTIONS };
    let index = Index::on_fake(FakeFile::default(), NODE, options);
    index.begin(Seq(1)).unwrap();
    let held = 101_000;
    let rows: Vec<_> = (0..held + 2).map(|row| candidate(row, 1, 0)).collect();
    assert_eq!(index.decide(Roll(1), 100, &rows), []);
    assert_eq!(index.open_rows(Roll(1)), held as usize);
    let again = [candidate(0, 2, 0), candidate(held - 1, 2, 0), candidate(held, 2, 0)];
    let of_this_roll = [(0, Some(Seq(1))), (1, Some(Seq(1)))];
    assert_eq!(index.decide(Roll(1), 100, &again), of_this_roll);
    // A new roll has room again.
    index.store(Roll(1), Seq(2));
    assert_eq!(index.decide(Roll(2), 100, &again), [(0, None), (1, None)]);
    assert_eq!(index.decide(Roll(2), 100, &again), [(0, None), (1, None), (2, Some(Seq(2)))]);
}

#[test]
fn an_index_that_forgets_all_knows_nothing_and_goes_on() {
    let index = Index::on_fake(FakeFile::default(), NODE, OPTIONS);
    index.begin(Seq(1)).unwrap();
    index.decide(Roll(1), 100, &[candidate(7, 1, 0)]);
    index.store(Roll(1), Seq(1));
    index.forget_all().unwrap();
    index.begin(Seq(2)).unwrap();
    assert_eq!(index.decide(Roll(2), 100, &[candidate(7, 2, 0)]), []);
    index.store(Roll(2), Seq(2));
    assert_eq!(index.decide(Roll(3), 100, &[candidate(7, 3, 0)]), [(0, None)]);
}

/// A step of a life of the index.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of bodies that follow, by fingerprint and time since the last.
    Rows(Vec<(u8, u8)>),
    /// The roll is stored and sealed.
    Seal,
    /// The roll is stored, and the process dies.
    Die,
    /// The engine begins anew.
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((0..12_u8, 0..30_u8), 1..8).prop_map(Step::Rows);
    let step = prop_oneof![
        4 => rows, 2 => Just(Step::Seal), 1 => Just(Step::Die), 1 => Just(Step::Again)
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_index_decides_as_a_map_of_firsts_does(steps in steps()) {
        let mut file = FakeFile::default();
        let mut index = Index::on_fake(file.clone(), NODE, OPTIONS);
        index.begin(Seq(1)).unwrap();
        // Firsts by fingerprint, and those of sealed rolls; bodies, times and rolls.
        let (mut model, mut sealed) = (HashMap::<u8, (u64, i64, u64)>::new(), HashMap::new());
        let (mut now, mut roll) = ((1_u64, 0_i64), 1_u64);
        let mut from = now;
        for step in steps {
            match step {
                Step::Rows(rows) => for (row, passed) in rows {
                    now = (now.0 + 1, now.1 + i64::from(passed));
                    let (seq, at) = now;
                    let known = model.get(&row).filter(|(_, first, _)| at - first <= 100);
                    let expected: Vec<_> = known
                        .map(|(first, _, of)| (0, (*of == roll).then_some(Seq(*first))))
                        .into_iter()
                        .collect();
                    let rows = [candidate(row.into(), seq, at)];
                    prop_assert_eq!(&index.decide(Roll(roll), 100, &rows), &expected);
                    if expected.is_empty() {
                        model.insert(row, (seq, at, roll));
                    }
                },
                Step::Seal => {
                    index.store(Roll(roll), Seq(now.0));
                    (sealed, from, roll) = (model.clone(), now, roll + 1);
                }
                Step::Die => {
                    index.store(Roll(roll), Seq(now.0));
                    let after = file.killed();
                    drop(index);
                    file = after;
                    index = Index::on_fake(file.clone(), NODE, OPTIONS);
                    index.begin(Seq(from.0 + 1)).unwrap();
                    // Time goes on; numbers are given again.
                    (model, now) = (sealed.clone(), (from.0, now.1));
                }
                Step::Again => {
                    index.begin(Seq(from.0 + 1)).unwrap();
                    (model, now) = (sealed.clone(), (from.0, now.1));
                }
            }
        }
    }
}
