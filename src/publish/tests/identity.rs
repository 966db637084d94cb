//! Objects and receipts that stand under a roll's names and are of other bodies.

use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::harness::{Harness, land, line};
use crate::journal::Seal;
use crate::publish::error::{ErrorKind, PublishError};
use crate::record::{Roll, Seq, SeqRange};

/// Lands `before` as roll 1 of a node, and goes back to the state directory as it was before that.
fn brought_back(before: &[(&str, u64)]) -> Harness {
    let mut harness = Harness::new(29);
    drop(harness.open().expect("opens"));
    let copy = harness.disk.killed();
    let (journal, recovery) = harness.open().expect("opens");
    for (id, day) in before {
        harness.append(&journal, &line(id, *day, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.run().expect("landed");
    drop((supervisor, journal));
    harness.disk = Arc::new(copy);
    harness
}

/// Appends `bodies` and publishes. Returns the error.
fn refused(harness: &Harness, bodies: &[(&str, u64)], sealed: bool) -> String {
    let (journal, mut recovery) = harness.open().expect("opens");
    for (id, day) in bodies {
        harness.append(&journal, &line(id, *day, false)).expect("taken");
    }
    if sealed {
        let range = SeqRange { first: Seq(1), last: Seq(bodies.len() as u64) };
        let settings = harness.supervisor(&journal, &recovery).tables.to_json();
        let seal = Seal { roll: Roll::FIRST, range, settings };
        journal.seal(&seal).expect("sealed");
        // As the next start finds it.
        (recovery.unsealed_from, recovery.next_roll) = (range.last.next(), seal.roll.next());
        recovery.sealed.push(seal);
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    let error = supervisor.run().expect_err("somebody has to look");
    let kind = error.downcast_ref::<PublishError>().map(PublishError::kind);
    assert_eq!(kind, Some(ErrorKind::Stop), "{error:#}");
    format!("{error:#}")
}

#[test]
fn a_new_roll_whose_number_the_lake_has_is_neither_sealed_nor_put() {
    // Of other bodies, and of as many bodies as the roll has.
    for before in [&[("a1", 1), ("a2", 1)][..], &[("a1", 1)]] {
        let mut harness = brought_back(before);
        let objects = harness.objects();
        let error = refused(&harness, &[("b1", 2)], false);
        assert!(error.contains("an older copy"), "{error}");
        assert_eq!(harness.objects(), objects, "something was put");
        let after = harness.disk.killed();
        harness.disk = Arc::new(after);
        let (_, recovery) = harness.open().expect("opens");
        assert!(recovery.sealed.is_empty());
        assert_eq!((recovery.unsealed_from, recovery.next), (Seq(1), Seq(2)));
    }
}

#[test]
fn a_file_of_other_bodies_is_not_taken_for_the_rolls_own() {
    let harness = brought_back(&[("a1", 7), ("a2", 1)]);
    // Its process was killed before the receipt.
    let objects = harness.objects();
    let receipt = objects.keys().find(|name| name.contains("_receipts/")).expect("a receipt");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(harness.store.objects.delete(&Path::from(receipt.as_str()))).expect("deleted");
    let objects = harness.objects();
    // As many rows as the file that stands: only its ids tell.
    let error = refused(&harness, &[("b1", 1)], true);
    assert!(error.contains("none of the roll's bodies, 1 to 1"), "{error}");
    assert_eq!(harness.objects(), objects, "something was put");
}

/// A harness whose store answers 403 for what is not there.
fn hiding(part_bytes: usize) -> Harness {
    let mut harness = Harness::new(31);
    harness.part_bytes = part_bytes;
    harness.store.hide_what_is_missing();
    harness
}

#[test]
fn credentials_that_may_not_list_land_new_rolls() {
    // Each file in parts, which are looked up before.
    let harness = hiding(50);
    harness.store.die_at(Some(500), &harness.disk);
    let (journal, recovery) = harness.open().expect("opens");
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.attempt().expect("landed");
    harness.landed().check_receipts();

    let lake = supervisor.lake.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let error = runtime.block_on(lake.get("_receipts/n/00000001.json")).expect_err("denied");
    assert!(error.to_string().contains("s3:ListBucket"), "{error}");
}

#[test]
fn credentials_that_may_not_list_land_a_roll_that_a_crash_left() {
    // Killed at every call to the store, and once after all of them.
    let mut deaths = 0;
    for nth in 1..30 {
        let mut harness = hiding(1 << 20);
        harness.store.die_at(Some(nth), &harness.disk);
        let (journal, recovery) = harness.open().expect("opens");
        let mut taken = true;
        for (id, day, broken) in [("b1", 1, false), ("b2", 2, false), ("b3", 1, true)] {
            taken &= harness.append(&journal, &line(id, day, broken)).is_ok();
        }
        assert!(taken, "the store alone is killed");
        let supervisor = harness.supervisor(&journal, &recovery);
        journal.close();
        let landed = land(&supervisor, &harness.disk);
        drop((supervisor, journal));
        if landed.is_err() {
            deaths += 1;
            let after = harness.disk.killed();
            harness.disk = Arc::new(after);
            harness.store.next_process();
            harness.drain();
        }
        let landed = harness.landed();
        for id in ["b1", "b2", "b3"] {
            assert_eq!(landed.count(id), 1, "{id} after a death at call {nth}");
        }
        landed.check_receipts();
        landed.check_sizes();
    }
    assert!(deaths > 4, "{deaths}");
}
