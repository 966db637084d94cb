//! Bodies of which no roll can be made, among others that can.

use std::sync::Arc;

use super::harness::{Harness, Landed, land, line};
use crate::journal::Journal;
use crate::publish::sealed_settings::SealedSettings;
use crate::record::Seq;

/// Starts, lands and ends until everything has landed. Returns the lives that it took.
fn lives(harness: &mut Harness) -> u64 {
    for life in 1..30 {
        let (journal, recovery) = harness.open().expect("opens");
        let supervisor = harness.supervisor(&journal, &recovery);
        journal.close();
        if land(&supervisor, &harness.disk).is_ok() {
            return life;
        }
        assert!(harness.disk.is_off(), "it stopped alive");
        drop((supervisor, journal));
        harness.disk = Arc::new(harness.disk.killed());
        harness.store.next_process();
    }
    panic!("it dies for ever");
}

/// Appends bodies of two lines each, those of `bad` with the fault.
fn append(harness: &Harness, bodies: u64, bad: &[(u64, &str)]) {
    let (journal, _) = harness.open().expect("opens");
    for number in 1..=bodies {
        let fault = bad.iter().find(|(bad, _)| *bad == number).map_or("", |(_, fault)| fault);
        let text = [0, 1].map(|at| line(&format!("b{number}{fault}-{at}"), number % 3, false));
        harness.append(&journal, &text.concat()).expect("taken");
    }
    journal.close();
}

/// Holds that of `bodies` those of `bad` are set aside and all others are rows, each once.
fn check(landed: &Landed, bodies: u64, bad: &[(u64, &str)]) {
    for number in 1..=bodies {
        let fault = bad.iter().find(|(bad, _)| *bad == number).map_or("", |(_, fault)| fault);
        for at in [0, 1] {
            let id = format!("b{number}{fault}-{at}");
            assert_eq!(landed.count(&id), 1, "{id}: {landed:?}");
            assert_eq!(landed.set_aside.contains(&id), !fault.is_empty(), "{id}: {landed:?}");
        }
    }
    assert_eq!(landed.rows.len() + landed.rejects.len(), bodies as usize * 2);
    landed.check_receipts();
    landed.check_sizes();
}

#[test]
fn bodies_on_which_the_decoder_panics_are_set_aside_and_all_others_land() {
    let mut harness = Harness::new(31);
    harness.rows = 1_000_000;
    let bad = [(2, "!decode"), (3, "!decode"), (9, "!decode")];
    append(&harness, 12, &bad);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.attempt().expect("no failure is seen by others");
    let landed = harness.landed();
    check(&landed, 12, &bad);
    assert_eq!(landed.receipts.len(), 1, "{:?}", landed.receipts);
}

#[test]
fn bodies_on_which_a_roll_fails_are_found_set_aside_and_all_others_land() {
    for bad in [
        &[(7, "!push")][..],
        &[(7, "!finish")],
        &[(1, "!finish")],
        &[(40, "!push")],
        &[(3, "!push"), (4, "!finish"), (5, "!decode"), (39, "!finish"), (40, "!push")],
    ] {
        let mut harness = Harness::new(32);
        harness.rows = 1_000_000;
        append(&harness, 40, bad);
        assert_eq!(lives(&mut harness), 1);
        check(&harness.landed(), 40, bad);
        assert!(harness.suspects().is_none_or(|text| !text.contains("set_aside\":{\"")));
    }
}

#[test]
fn a_body_that_kills_the_process_at_each_start_is_set_aside_after_some_starts() {
    for bad in [&[(20, "!die")][..], &[(1, "!die")], &[(6, "!die"), (31, "!die")]] {
        let mut harness = Harness::new(33);
        harness.rows = 1_000_000;
        append(&harness, 40, bad);
        let lives = lives(&mut harness);
        assert!(lives <= 10 * bad.len() as u64, "{lives} lives");
        check(&harness.landed(), 40, bad);
    }
}

/// A process that is killed at one of its calls to the store: a roll of five bodies is sealed, and
/// none of its files is put. The one of `bad` has a fault if it is `armed`.
fn killed_once_sealed(seed: u64, bad: (u64, &str), armed: bool) -> Harness {
    for nth in 1..100 {
        let mut harness = Harness::new(seed);
        harness.rows = 1_000_000;
        append(&harness, 5, &[bad]);
        let (journal, recovery) = harness.open().expect("opens");
        let supervisor = harness.supervisor(&journal, &recovery);
        if !armed {
            disarm(&journal);
        }
        journal.close();
        harness.store.die_at(Some(nth), &harness.disk);
        let landed = land(&supervisor, &harness.disk);
        drop((supervisor, journal));
        harness.disk = Arc::new(harness.disk.killed());
        harness.store.next_process();
        harness.store.die_at(None, &harness.disk);
        landed.expect_err("no call is between the seal and the first file");
        let sealed = harness.open().expect("opens").1.sealed.len();
        if sealed == 1 && harness.landed().files.is_empty() {
            return harness;
        }
    }
    panic!("no call is between the seal and the first file");
}

/// Takes the faults of bodies away, as an upgrade does.
fn disarm(journal: &Journal) {
    crate::roll::test_faults::set(journal.node(), Arc::new(|_| Ok(false)));
}

#[test]
fn a_body_is_set_aside_by_its_seal_although_it_could_be_decoded_when_the_roll_is_made_again() {
    let bad = (2, "!decode");
    let harness = killed_once_sealed(34, bad, true);
    let (journal, recovery) = harness.open().expect("opens");
    let seal = SealedSettings::from_json(&recovery.sealed[0].settings).expect("read");
    assert_eq!(seal.set_aside.into_keys().collect::<Vec<_>>(), [Seq(2)]);
    let supervisor = harness.supervisor(&journal, &recovery);
    disarm(&journal);
    journal.close();
    supervisor.run().expect("landed");
    check(&harness.landed(), 5, &[bad]);
}

#[test]
fn a_body_of_a_sealed_roll_that_fails_now_is_set_aside_if_nothing_of_it_stands() {
    for fault in ["!decode", "!push"] {
        let mut harness = killed_once_sealed(35, (3, fault), false);
        assert_eq!(lives(&mut harness), 1);
        check(&harness.landed(), 5, &[(3, fault)]);
    }
}

#[test]
fn a_store_that_is_away_sets_nothing_aside() {
    let harness = Harness::new(36);
    append(&harness, 5, &[]);
    harness.store.go_away(300);
    harness.drain();
    check(&harness.landed(), 5, &[]);
    assert_eq!(harness.suspects().map(|text| text.contains("\"starts\":0")), Some(true));
}
