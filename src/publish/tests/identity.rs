//! State directories that were copied, lakes that are others, and objects of other bodies that stand
//! under a roll's names.

use std::sync::Arc;

use super::harness::{Harness, land, line};
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::journal::{Disk as _, Seal};
use crate::lake::{Lake, LakeId};
use crate::publish::error::{ErrorKind, PublishError};
use crate::publish::fence::Taking;
use crate::publish::lake_file::LakeFile;
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
    for (before, fence) in [
        (&[("a1", 1), ("a2", 1)][..], true),
        (&[("a1", 1)], true),
        (&[("a1", 1), ("a2", 1)], false),
        (&[("a1", 1)], false),
    ] {
        let mut harness = brought_back(before);
        if !fence {
            // As an earlier build leaves the lake.
            assert_eq!(harness.delete(|name| name.contains("_nodes/")), 1);
        }
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
    // Its process was killed before the receipt, and there is no fence, as of an earlier build.
    harness.delete(|name| name.contains("_receipts/") || name.contains("_nodes/"));
    let objects = harness.objects();
    // As many rows as the file that stands: only its ids tell.
    let error = refused(&harness, &[("b1", 1)], true);
    assert!(error.contains("none of the roll's bodies, 1 to 1"), "{error}");
    assert_eq!(harness.objects(), objects, "something was put");
}

#[test]
fn what_has_the_same_numbers_and_counts_and_is_of_other_bodies_is_not_taken_for_the_rolls_own() {
    for gone in ["_receipts/", "nothing"] {
        let harness = brought_back(&[("a1", 1)]);
        harness.delete(|name| name.contains(gone) || name.contains("_nodes/"));
        let objects = harness.objects();
        // The file is of one row of body 1, and so would the roll's be.
        let error = refused(&harness, &[("b1", 1)], true);
        assert!(error.contains("of other bodies than those that this state directory"), "{error}");
        assert_eq!(harness.objects(), objects, "something was put");
    }
}

#[test]
fn of_a_state_directory_and_its_clone_the_one_that_started_last_goes_on() {
    let mut harness = Harness::new(33);
    harness.drain();
    let (journal, recovery) = harness.open().expect("opens");
    let first = harness.supervisor(&journal, &recovery);
    first.take_fence().expect("taken");
    let mut clone = Harness::new(34);
    clone.disk = Arc::new(harness.disk.killed());
    clone.store = harness.store.clone();
    let (other, of_other) = clone.open().expect("opens");
    let second = clone.supervisor(&other, &of_other);
    second.take_fence().expect("the clone cannot be told from the directory");
    harness.append(&journal, &line("a1", 1, false)).expect("taken");
    clone.append(&other, &line("b1", 1, false)).expect("taken");
    journal.close();
    other.close();
    let error = format!("{:#}", first.run().expect_err("it was overtaken"));
    assert!(error.contains("since this one started"), "{error}");
    second.run().expect("landed");
    assert_eq!(harness.landed().rows.keys().collect::<Vec<_>>(), ["b1"]);
    drop((first, second, journal, other));
    // What it has acknowledged stays, and its next start says the same.
    let after = harness.disk.killed();
    harness.disk = Arc::new(after);
    let (journal, recovery) = harness.open().expect("opens");
    assert_eq!((recovery.unsealed_from, recovery.next), (Seq(1), Seq(2)));
    let error = harness.supervisor(&journal, &recovery).run().expect_err("still");
    assert!(format!("{error:#}").contains("an older copy or a clone"), "{error:#}");
}

#[test]
fn another_lake_or_none_is_refused_until_the_memory_of_the_old_one_is_removed() {
    let mut harness = Harness::new(35);
    harness.drain();
    let other = Lake::below(Arc::new(harness.store.clone()), "other");
    for there in [false, true] {
        if there {
            let id = LakeId::random().expect("random");
            harness.block_on(other.identify(&id)).expect("identified");
        }
        let objects = harness.all_objects();
        let (journal, recovery) = harness.open().expect("opens");
        let mut supervisor = harness.supervisor(&journal, &recovery);
        supervisor.lake = other.clone();
        let error = supervisor.run().expect_err("another lake");
        let kind = error.downcast_ref::<PublishError>().map(PublishError::kind);
        assert_eq!(kind, Some(ErrorKind::Stop), "{error:#}");
        assert!(
            format!("{error:#}").contains("`\"lake\":null` in /state/journal/lake.json"),
            "{error:#}"
        );
        assert_eq!(harness.all_objects(), objects, "something was put");
    }
    harness.disk.remove(&harness.options.dir.join("lake.json")).expect("removed");
    let after = harness.disk.killed();
    harness.disk = Arc::new(after);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    supervisor.lake = other;
    harness.append(&journal, &line("a1", 1, false)).expect("taken");
    journal.close();
    supervisor.run().expect("landed");
    assert!(harness.objects().keys().any(|name| name.starts_with("other/_receipts/")));
}

#[test]
fn a_node_without_a_fence_gets_one_when_the_lake_has_nothing_that_it_does_not_know() {
    let mut harness = Harness::new(36);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    harness.append(&journal, &line("a1", 1, false)).expect("taken");
    journal.close();
    supervisor.run().expect("landed");
    drop((supervisor, journal));
    // As an earlier build leaves lake and state directory.
    let own = |name: &str| name.contains("_nodes/") || name.contains("_lake.json");
    assert_eq!(harness.delete(own), 2);
    harness.disk.remove(&harness.options.dir.join("lake.json")).expect("removed");
    let after = harness.disk.killed();
    harness.disk = Arc::new(after);
    harness.drain();
    assert_eq!(harness.all_objects().keys().filter(|name| own(name)).count(), 2);
    harness.landed().check_receipts();
}

/// Starts with `ids` to land, each its body, and goes on as the next process. Returns whether all landed.
fn landed_by(harness: &mut Harness, ids: &[&str]) -> bool {
    harness.store.die_at(Some(300), &harness.disk);
    let (journal, recovery) = harness.open().expect("opens");
    for id in ids {
        harness.append(&journal, &line(id, 1, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    let landed = land(&supervisor, &harness.disk).is_ok();
    drop((supervisor, journal));
    let after = harness.disk.killed();
    harness.disk = Arc::new(after);
    harness.store.next_process();
    landed
}

#[test]
fn credentials_that_may_not_replace_land_rolls_and_notice_a_copy_by_its_receipts() {
    let mut harness = Harness::new(41);
    harness.store.keep_what_is_there();
    assert!(landed_by(&mut harness, &["a1"]), "the first start creates the fence");
    let copy = harness.disk.killed();
    assert!(landed_by(&mut harness, &["a2"]), "the second one cannot swap it");
    let landed = harness.landed();
    landed.check_receipts();
    assert_eq!((landed.count("a1"), landed.count("a2")), (1, 1));
    harness.disk = Arc::new(copy);
    let objects = harness.all_objects();
    let error = refused(&harness, &[("b1", 2)], false);
    assert!(error.contains("an older copy"), "{error}");
    assert_eq!(harness.all_objects(), objects, "something was put");
}

#[test]
fn many_starts_in_vain_do_not_forget_the_fence_that_stands() {
    let mut harness = Harness::new(42);
    assert!(landed_by(&mut harness, &["a1"]));
    let lake = Lake::on(Arc::new(harness.store.clone()), 1 << 20);
    let file = LakeFile::new(harness.disk.clone(), &harness.options.dir);
    let (journal, _) = harness.open().expect("opens");
    let take = || {
        let taking = Taking::new().expect("random");
        harness.block_on(taking.take(&lake, &file, &journal, Roll(2))).map(drop)
    };
    harness.store.refuse_puts(true);
    for _ in 0..40 {
        let kind = take().expect_err("it cannot put").kind();
        assert_eq!(kind, ErrorKind::Retry);
    }
    harness.store.refuse_puts(false);
    take().expect("the directory is the same");
}

#[test]
fn a_directory_that_is_replaced_during_a_start_is_not_locked_out() {
    // The directory goes at every call of a start in turn, and an empty one takes its place.
    for at in 1..60 {
        let mut harness = Harness::new(46);
        assert!(landed_by(&mut harness, &["a1"]));
        let planned = PlannedFault { at, what: FaultEffect::Gone, seed: 0 };
        harness.disk.plan_fault(Some(planned));
        if let Ok((journal, recovery)) = harness.open() {
            let supervisor = harness.supervisor(&journal, &recovery);
            journal.close();
            let _ = land(&supervisor, &harness.disk);
        }
        let is_gone = harness.disk.is_gone();
        // It is mounted again.
        harness.disk = Arc::new(harness.disk.killed());
        assert!(landed_by(&mut harness, &["a2"]), "lost at call {at}");
        if !is_gone {
            assert!(at > 10, "a start makes {at} calls");
            return;
        }
    }
    panic!("a start makes more calls than were tried");
}

#[test]
fn a_directory_that_is_gone_for_good_is_no_reason_to_try_again() {
    // It goes at every call of taking the fence in turn.
    for at in 1..60 {
        let mut harness = Harness::new(47);
        assert!(landed_by(&mut harness, &["a1"]));
        let (journal, _) = harness.open().expect("opens");
        let lake = Lake::on(Arc::new(harness.store.clone()), 1 << 20);
        let file = LakeFile::new(harness.disk.clone(), &harness.options.dir);
        let taking = Taking::new().expect("random");
        harness.disk.plan_fault(Some(PlannedFault { at, what: FaultEffect::Gone, seed: 1 }));
        let taken = harness.block_on(taking.take(&lake, &file, &journal, Roll(2)));
        let is_gone = harness.disk.is_gone();
        match taken {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Stop, "gone at call {at}: {error}"),
            Ok(_) if is_gone => {}
            Ok(_) => {
                assert!(at > 5, "it makes {at} calls");
                return;
            }
        }
    }
    panic!("it makes more calls than were tried");
}

#[test]
fn an_identity_that_was_deleted_is_put_again_where_the_fence_is_ours() {
    let mut harness = Harness::new(43);
    assert!(landed_by(&mut harness, &["a1"]));
    let identity = harness.all_objects()["lake/_lake.json"].clone();
    assert_eq!(harness.delete(|name| name.contains("_lake.json")), 1);
    assert!(landed_by(&mut harness, &["a2"]), "it is the same lake");
    assert_eq!(harness.all_objects()["lake/_lake.json"], identity);
    // Nothing tells that it is.
    assert_eq!(harness.delete(|name| name.contains("_lake.json") || name.contains("_nodes/")), 2);
    assert!(!landed_by(&mut harness, &["a3"]));
    assert!(!harness.all_objects().contains_key("lake/_lake.json"));
}

#[test]
fn the_advice_on_an_identity_that_was_replaced_works_to_the_letter() {
    let mut harness = Harness::new(44);
    assert!(landed_by(&mut harness, &["a1"]));
    assert_eq!(harness.delete(|name| name.contains("_lake.json")), 1);
    let lake = Lake::on(Arc::new(harness.store.clone()), 1 << 20);
    let id = LakeId::random().expect("random");
    harness.block_on(lake.identify(&id)).expect("identified");
    let error = refused(&harness, &[("b1", 1)], false);
    let after = harness.disk.killed();
    harness.disk = Arc::new(after);
    // replace `…` by `…` in <file>
    let [_, old, _, new, _] = error.split('`').collect::<Vec<_>>()[..] else { panic!("{error}") };
    let path = harness.options.dir.join("lake.json");
    let text = String::from_utf8(harness.disk.bytes(&path)).expect("text");
    assert!(text.contains(old), "{text}");
    harness.disk.put(&path, text.replace(old, new).as_bytes());
    assert!(landed_by(&mut harness, &["b2"]));
    let landed = harness.landed();
    assert_eq!((landed.count("b1"), landed.count("b2")), (1, 1));
}

#[test]
fn of_two_identities_that_new_nodes_have_put_the_one_that_stands_is_remembered() {
    let mut harness = Harness::new(45);
    harness.store.replace_identity_at_fence(r#"{"version":1,"id":"ff"}"#);
    assert!(landed_by(&mut harness, &["a1"]));
    let memory = harness.disk.bytes(&harness.options.dir.join("lake.json"));
    let memory = String::from_utf8(memory).expect("text");
    assert!(memory.contains(r#""lake":"ff""#), "{memory}");
    assert!(landed_by(&mut harness, &["a2"]));
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
