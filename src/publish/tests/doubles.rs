//! Doubles on the way in: one of equal rows lands, and no row is lost for another that does not land.

use std::sync::Arc;

use super::harness::{Harness, Landed, land};
use super::lines;
use crate::clock::ManualClock;
use crate::dedup::LeftOut;
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::journal::{Recovery, Seal};
use crate::publish::sealed_settings::SealedSettings;
use crate::record::{Micros, Roll, Seq, SeqRange};
use crate::roll::care::SetAside;

const WINDOW_MS: u64 = 86_400_000;

/// A harness whose table has `dedup`, and a flat one of its events.
fn harness(seed: u64) -> Harness {
    let mut harness = Harness::new(seed);
    harness.table.dedup_window_ms = Some(WINDOW_MS);
    harness.flatten();
    harness.rows = 1_000_000;
    harness
}

/// A session as a line.
fn session(id: &str, day: u64) -> String {
    lines::session(id, day, false)
}

fn bodies(harness: &Harness, texts: &[String]) {
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    for text in texts {
        harness.append(&journal, text).expect("taken");
    }
    journal.close();
    supervisor.run().expect("landed");
}

fn rows(landed: &Landed) -> Vec<(&str, u64)> {
    landed.rows.iter().map(|(id, count)| (id.as_str(), *count)).collect()
}

fn doubled(landed: &Landed) -> Vec<u64> {
    landed.receipts.iter().map(|receipt| receipt.doubled).collect()
}

#[test]
fn one_of_equal_sessions_lands_within_a_body_over_bodies_rolls_and_restarts() {
    let harness = harness(1);
    let (a, b, c) = (session("a", 1), session("b", 1), session("c", 2));
    // Keys in another order.
    let again: serde_json::Value = serde_json::from_str(&a).expect("JSON");
    let again = format!("{again}\n");
    assert_ne!(again, a);
    bodies(
        &harness,
        &[
            format!("{a}{b}{a}"),
            format!("{c}{again}broken\n").replace("broken", "{\"id\":\"x\""),
            format!("{b}{a}"),
        ],
    );
    let landed = harness.landed();
    assert_eq!(rows(&landed), [("a", 1), ("b", 1), ("c", 1)]);
    assert_eq!(doubled(&landed), [4]);
    bodies(&harness, &[format!("{c}{b}"), format!("{a}{}", session("d", 1))]);
    let mut landed = harness.landed();
    landed.check_flat(true);
    assert_eq!(rows(&landed), [("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    assert_eq!(doubled(&landed), [4, 3]);
    let receipt = &landed.receipts[1];
    assert_eq!((receipt.lines, receipt.rows, receipt.rejects), (4, 1, 0));
    landed.check_receipts();
    landed.check_sizes();
}

#[test]
fn a_roll_of_doubles_alone_has_a_receipt_and_no_file() {
    let harness = harness(2);
    bodies(&harness, &[session("a", 1)]);
    bodies(&harness, &[session("a", 1) + "\n"]);
    let landed = harness.landed();
    assert_eq!((rows(&landed), doubled(&landed)), (vec![("a", 1)], vec![0, 1]));
    assert_eq!(landed.receipts[1].tables.len(), 1);
    landed.check_receipts();
}

#[test]
fn what_differs_or_is_no_session_lands_each_time() {
    let harness = harness(3);
    let without = |key: &str| session("a", 1).replace(key, "other");
    let mut texts = Vec::new();
    for key in ["tenantId", "userSessionId", "startTime"] {
        texts.push(without(key).repeat(2));
    }
    texts.push(session("a", 1));
    texts.push(session("a", 1).replace("\"on\"", "\"new\":7,\"on\""));
    texts.push(session("a", 1).replace("\"on\"", "\"new\":8,\"on\""));
    bodies(&harness, &texts);
    let landed = harness.landed();
    assert_eq!((rows(&landed), doubled(&landed)), (vec![("a", 9)], vec![0]));
}

#[test]
fn a_double_after_the_window_lands_and_begins_the_next_window() {
    let mut harness = harness(4);
    let texts = [session("a", 1), session("a", 1) + "\n", session("a", 1) + "\n\n"];
    let ms = i64::try_from(WINDOW_MS).unwrap();
    for (text, at_ms) in texts.iter().zip([0, ms + 1, 2 * ms]) {
        harness.clock = Arc::new(ManualClock::at(Micros(1_000_000_000 + at_ms * 1_000)));
        bodies(&harness, std::slice::from_ref(text));
    }
    let landed = harness.landed();
    assert_eq!((rows(&landed), doubled(&landed)), (vec![("a", 2)], vec![0, 0, 1]));
}

#[test]
fn an_index_that_is_lost_or_damaged_lets_doubles_land_and_begins_anew() {
    for damage in [0, 1, 2] {
        let harness = harness(5);
        bodies(&harness, &[session("a", 1), session("b", 1)]);
        match damage {
            0 => harness.index.clear().expect("cleared"),
            1 => harness.index.damage(0, b"no index at all"),
            _ => harness.index.damage(0, &vec![0x5a; harness.index.length()]),
        }
        bodies(&harness, &[session("a", 1) + "\n"]);
        bodies(&harness, &[session("a", 1) + "\n\n"]);
        let landed = harness.landed();
        assert_eq!(rows(&landed), [("a", 2), ("b", 1)], "damage {damage}");
        assert_eq!(doubled(&landed), [0, 0, 1]);
        landed.check_receipts();
    }
}

#[test]
fn an_index_that_cannot_be_written_stops_nothing() {
    for nth in 1..40 {
        let harness = harness(6);
        harness.index.fail_at(Some(nth), None);
        bodies(&harness, &[session("a", 1), session("a", 1) + "\n", session("b", 1)]);
        harness.index.fail_at(None, None);
        bodies(&harness, &[session("c", 1), session("c", 1) + "\n"]);
        let landed = harness.landed();
        assert_eq!(rows(&landed), [("a", 1), ("b", 1), ("c", 1)], "call {nth}");
        assert_eq!(doubled(&landed), [1, 1], "doubles of one roll need no file");
    }
}

#[test]
fn a_full_index_forgets_the_oldest_rows() {
    let mut harness = harness(7);
    harness.max_rows = 10;
    for roll in 0..6 {
        let texts: Vec<String> = (0..4).map(|at| session(&format!("r{roll}-{at}"), 1)).collect();
        bodies(&harness, &[texts.concat()]);
    }
    let doubles: Vec<String> = (0..6).map(|roll| session(&format!("r{roll}-0"), 1)).collect();
    bodies(&harness, &[doubles.concat()]);
    let landed = harness.landed();
    assert_eq!(landed.rows["r0-0"], 2);
    assert_eq!(landed.rows["r5-0"], 1);
    landed.check_receipts();
}

/// A lake that is brought back from a copy lacks rows that the index knows, and so does another lake.
#[test]
fn no_row_is_left_out_for_one_that_the_lake_lacks() {
    for another in [false, true] {
        let harness = harness(12);
        bodies(&harness, &[session("a", 1)]);
        let copy = harness.all_objects();
        bodies(&harness, &[session("b", 1)]);
        bodies(&harness, &[session("c", 1)]);
        harness.delete(|name| another || !copy.contains_key(name));
        if another {
            let path = harness.options.dir.join("lake.json");
            let memory = harness.disk.bytes(&path);
            let mut memory: serde_json::Value = serde_json::from_slice(&memory).expect("JSON");
            memory["lake"] = serde_json::Value::Null;
            harness.disk.put(&path, memory.to_string().as_bytes());
        }
        let again = ["a", "b", "c"].map(|id| session(id, 1) + "\n");
        bodies(&harness, &again);
        bodies(&harness, &[session("b", 1) + "\n\n"]);
        let landed = harness.landed();
        let a = if another { 1 } else { 2 };
        assert_eq!(rows(&landed), [("a", a), ("b", 1), ("c", 1)], "another: {another}");
        assert_eq!(*doubled(&landed).last().unwrap(), 1, "it knows what landed since");
    }
}

/// Seals roll 1 of `texts`, of which the rows of `left_out` are left out, and dies.
fn sealed(harness: &mut Harness, texts: &[String], left_out: &LeftOut) {
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    for text in texts {
        harness.append(&journal, text).expect("taken");
    }
    let range = SeqRange { first: Seq(1), last: Seq(texts.len() as u64) };
    let settings =
        SealedSettings::to_json(&supervisor.tables, &SetAside::new(), left_out).expect("JSON");
    journal.seal(&Seal { roll: Roll::FIRST, range, settings }).expect("sealed");
    let after = harness.disk.killed();
    drop((journal, supervisor));
    harness.disk = Arc::new(after);
}

/// Body 2 is left out for body 1, and body 4 for an earlier roll.
fn left_out() -> LeftOut {
    let mut left_out = LeftOut::default();
    left_out.add(Seq(2), 0, Some(Seq(1)));
    left_out.add(Seq(4), 0, None);
    left_out
}

fn texts(fault: &str) -> Vec<String> {
    let (a, b) = (session("a", 1), session("b", 1));
    let marker = session(&format!("m{fault}"), 1);
    vec![format!("{a}{marker}"), format!("{a}\n"), session("c", 2), b]
}

#[test]
fn a_sealed_roll_leaves_out_the_rows_of_its_seal_whatever_the_index_and_the_settings_are() {
    for dedup in [Some(WINDOW_MS), None] {
        let mut harness = harness(8);
        sealed(&mut harness, &texts(""), &left_out());
        harness.table.dedup_window_ms = dedup;
        harness.drain();
        let mut landed = harness.landed();
        landed.check_flat(true);
        assert_eq!(rows(&landed), [("a", 1), ("c", 1), ("m", 1)], "{dedup:?}");
        assert_eq!(doubled(&landed), [2]);
        landed.check_receipts();
    }
    // One that was sealed without leaves nothing out.
    let mut harness = harness(8);
    sealed(&mut harness, &texts(""), &LeftOut::default());
    harness.drain();
    let landed = harness.landed();
    assert_eq!(rows(&landed), [("a", 2), ("b", 1), ("c", 1), ("m", 1)]);
}

#[test]
fn a_row_whose_first_is_set_aside_lands() {
    let mut harness = harness(9);
    sealed(&mut harness, &texts("!decode"), &left_out());
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    land(&supervisor, &harness.disk).expect("landed");
    let landed = harness.landed();
    assert_eq!(rows(&landed), [("a", 1), ("c", 1)]);
    assert!(landed.set_aside.contains("a") && landed.set_aside.contains("m!decode"));
    assert_eq!(doubled(&landed), [1]);
    landed.check_receipts();
}

#[test]
fn a_row_whose_first_is_lost_with_its_segment_lands() {
    let mut harness = harness(10);
    harness.options.segment_bytes = 300;
    sealed(&mut harness, &texts(""), &left_out());
    let path = harness.segments().remove(0);
    let mut bytes = harness.disk.bytes(&path);
    bytes[10] ^= 3;
    harness.disk.put(&path, &bytes);
    harness.options.skip_damaged = true;
    harness.drain();
    let landed = harness.landed();
    assert_eq!(landed.receipts[0].lost.len(), 1, "{:?}", landed.receipts);
    assert_eq!(rows(&landed).iter().find(|(id, _)| *id == "a"), Some(&("a", 1)));
    landed.check_receipts();
}

/// Bodies are in segments of their own, and the process dies as it lands them: of a fault that `plan` plans.
/// The segment of the first one is damaged, so that "a" and "m" are lost. Returns what the next process
/// has recovered and landed; `None` once they had landed before, or it did not die.
fn lost_while_landing(seed: u64, plan: impl Fn(&Harness)) -> Option<(Harness, Recovery)> {
    let mut harness = harness(seed);
    harness.options.segment_bytes = 200;
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    for text in texts("") {
        harness.append(&journal, &text).expect("taken");
    }
    let path = harness.segments().remove(0);
    plan(&harness);
    journal.close();
    let died = land(&supervisor, &harness.disk).is_err();
    let (disk, index) = (harness.disk.killed(), harness.index.killed());
    drop((journal, supervisor));
    (harness.disk, harness.index) = (Arc::new(disk), index);
    harness.store.next_process();
    harness.store.die_at(None, &harness.disk);
    if !died || harness.landed().rows.contains_key("m") {
        return None;
    }
    let mut bytes = harness.disk.bytes(&path);
    bytes[10] ^= 3;
    harness.disk.put(&path, &bytes);
    harness.options.skip_damaged = true;
    let recovery = harness.drain();
    assert_eq!(harness.landed().rows.get("m"), None);
    Some((harness, recovery))
}

/// The process dies at each call of the store, and the segment of a first is lost: what the index knows of
/// that body is forgotten where the roll was sealed, and no row is left out for one that did not land.
#[test]
fn the_index_forgets_rows_that_a_sealed_roll_has_lost() {
    let (mut were_sealed, mut others) = (0, 0);
    for nth in 1..40 {
        let plan = |harness: &Harness| harness.store.die_at(Some(nth), &harness.disk);
        let Some((harness, recovery)) = lost_while_landing(11, plan) else { break };
        were_sealed += recovery.sealed.len();
        let has_c = harness.landed().rows.contains_key("c");
        others += u64::from(has_c);
        bodies(&harness, &[session("m", 1), session("c", 2) + "\n"]);
        let landed = harness.landed();
        assert_eq!(landed.rows["m"], 1, "call {nth}: left out for a row that was lost");
        assert_eq!(landed.rows["c"], 1, "call {nth}");
        assert_eq!(*doubled(&landed).last().unwrap(), u64::from(has_c), "call {nth}");
        landed.check_receipts();
    }
    assert!(were_sealed > 0 && others > 0);
}

/// The process dies at each call of the disk, also between the index and the seal, and the segment of a first
/// is lost: it is in no roll, and no row is left out for it.
#[test]
fn the_index_forgets_rows_that_were_lost_before_they_were_sealed() {
    let mut unsealed = 0;
    for nth in 1..40 {
        let planned = PlannedFault { at: nth, what: FaultEffect::Off, seed: 1 };
        let plan = |harness: &Harness| harness.disk.plan_fault(Some(planned));
        let Some((harness, recovery)) = lost_while_landing(13, plan) else { break };
        let is_unsealed = recovery.sealed.is_empty();
        unsealed += u64::from(is_unsealed);
        let again = ["a", "b", "m"].map(|id| session(id, 1) + "\n\n");
        bodies(&harness, &[again.concat(), session("c", 2) + "\n"]);
        let landed = harness.landed();
        // Of a sealed roll, the row that landed for the lost one is not in the index.
        let a = landed.rows["a"];
        assert!(a == 1 || (a == 2 && !is_unsealed), "call {nth}: {a} times");
        assert_eq!(rows(&landed), [("a", a), ("b", 1), ("c", 1), ("m", 1)], "call {nth}");
        landed.check_receipts();
    }
    assert!(unsealed > 0);
}
