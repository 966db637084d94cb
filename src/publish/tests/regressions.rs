//! Defects that were found once, one test each.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::harness::{Harness, Landed, land, line};
use crate::encode::Compression;
use crate::journal::Seal;
use crate::lake::LostBodies;
use crate::publish::publisher::RollLog as _;
use crate::record::{Roll, Seq, SeqRange};
use crate::table::PartitionLimits;

/// Returns a harness whose journal has `bodies` bodies of one line, two a segment, of which those from
/// `first` to `last` are sealed as roll 1; its process was killed.
fn sealed(bodies: u64, first: u64, last: u64) -> Harness {
    let mut harness = Harness::new(7);
    harness.options.segment_bytes = 200;
    let (journal, recovery) = harness.open().expect("opens");
    for number in 1..=bodies {
        harness.append(&journal, &line(&format!("b{number}"), number, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    let range = SeqRange { first: Seq(first), last: Seq(last) };
    let settings = supervisor.tables.to_json();
    journal.seal(&Seal { roll: Roll::FIRST, range, settings }).expect("sealed");
    let after = harness.disk.killed();
    drop((journal, supervisor));
    harness.disk = Arc::new(after);
    harness
}

/// Damages the segment whose first body is `first`, and lets the next start go on without it.
fn lose(harness: &mut Harness, first: u64) {
    let segments = harness.segments();
    let name = format!("{first:020}.seg");
    let path = segments.iter().find(|path| path.ends_with(&name)).expect("a segment");
    // Two bits of its head: none of its frames can be told from other bytes.
    let mut bytes = harness.disk.bytes(path);
    bytes[10] ^= 3;
    harness.disk.put(path, &bytes);
    harness.options.skip_damaged = true;
}

fn ids(landed: &Landed) -> Vec<(&str, u64)> {
    landed.rows.iter().map(|(id, count)| (id.as_str(), *count)).collect()
}

#[test]
fn a_sealed_roll_whose_last_bodies_are_lost_takes_none_of_the_next_roll() {
    // Bodies 3 and 4 are gone, and they end the sealed roll: body 5 is the next that there is.
    let mut harness = sealed(6, 1, 4);
    lose(&mut harness, 3);
    harness.drain();
    let landed = harness.landed();
    assert_eq!(ids(&landed), [("b1", 1), ("b2", 1), ("b5", 1), ("b6", 1)]);
    let ranges: Vec<_> = landed.receipts.iter().map(|r| (r.first_seq, r.last_seq)).collect();
    assert_eq!(ranges, [(1, 4), (5, 6)]);
    assert_eq!(landed.receipts[0].lost, [LostBodies { first_seq: 3, last_seq: 4 }]);
    landed.check_receipts();
}

#[test]
fn receipts_tell_of_lost_bodies_that_no_roll_had() {
    let mut harness = sealed(8, 1, 2);
    lose(&mut harness, 3);
    harness.drain();
    let landed = harness.landed();
    assert_eq!(landed.receipts.len(), 2);
    assert_eq!(landed.receipts[0].lost, []);
    assert_eq!(landed.receipts[1].lost, [LostBodies { first_seq: 3, last_seq: 4 }]);
    assert_eq!((landed.receipts[1].first_seq, landed.receipts[1].last_seq), (5, 8));
    landed.check_receipts();
}

/// Publishes roll 1 of bodies 1 to 4 as far as the store lets it, damages bodies 3 and 4, and
/// publishes the rest.
fn landed_before_the_damage(calls: u64) -> Landed {
    let mut harness = sealed(6, 1, 4);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    supervisor.take_fence().expect("taken");
    harness.store.die_at(Some(calls), &harness.disk);
    let (disk, after) = (Arc::clone(&harness.disk), harness.disk.killed());
    journal.close();
    land(&supervisor, &disk).expect_err("the store ends the process");
    drop((supervisor, journal));
    harness.disk = Arc::new(after);
    harness.store.next_process();
    lose(&mut harness, 3);
    harness.drain();
    harness.landed()
}

#[test]
fn a_roll_that_landed_before_its_bodies_were_lost_keeps_its_rows() {
    // Two looks for the receipt, four for files, four files and the receipt; the process died at the
    // first call of the next roll.
    let landed = landed_before_the_damage(12);
    let all: Vec<_> = (1..=6).map(|n| format!("b{n}")).collect();
    assert_eq!(landed.rows.keys().cloned().collect::<Vec<_>>(), all);
    assert!(landed.rows.values().all(|count| *count == 1), "{landed:?}");
    assert_eq!(landed.receipts[0].rows, 4);
    landed.check_receipts();
}

#[test]
fn files_that_were_put_before_the_bodies_were_lost_are_left_as_they_are() {
    for calls in 1..=11 {
        let landed = landed_before_the_damage(calls);
        for id in ["b1", "b2", "b5", "b6"] {
            assert_eq!(landed.count(id), 1, "death at call {calls}: {landed:?}");
        }
        assert!(landed.rows.values().all(|count| *count == 1), "{landed:?}");
        // All files were put when it died at the receipt.
        if calls == 11 {
            assert_eq!(landed.rows.len(), 6, "{landed:?}");
        }
        landed.check_receipts();
    }
}

#[test]
fn a_staging_file_that_is_gone_does_not_stop_the_roll_for_ever() {
    let harness = Harness::new(3);
    let (journal, recovery) = harness.open().expect("opens");
    for number in 1..=30 {
        harness.append(&journal, &line(&format!("b{number:02}"), 1, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    supervisor.take_fence().expect("taken");
    harness.store.go_away(u64::MAX);
    journal.close();
    std::thread::scope(|scope| {
        let supervisor = scope.spawn(|| supervisor.run());
        while harness.store.faults().away < 10 {
            std::thread::yield_now();
        }
        // As something that cleans up might do. The directory is made anew with the next engine.
        std::fs::remove_dir_all(harness.staging()).expect("removed");
        let before = harness.store.faults().away;
        while harness.store.faults().away < before + 10 {
            std::thread::yield_now();
        }
        harness.store.go_away(0);
        supervisor.join().expect("no panic").expect("landed");
    });
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 30);
    assert!(landed.rows.values().all(|count| *count == 1));
    landed.check_receipts();
}

#[test]
fn a_store_that_says_it_exists_already_is_asked_again_and_nothing_is_doubled() {
    // Every second call goes wrong, in all the ways there are.
    let mut harness = Harness::new(11);
    harness.rows = 3;
    harness.store.inject_faults(2);
    let (journal, recovery) = harness.open().expect("opens");
    for number in 1..=40 {
        harness.append(&journal, &line(&format!("b{number}"), number % 3, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.run().expect("landed");
    assert!(harness.store.faults().exists > 0, "{:?}", harness.store.faults());
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 40);
    assert!(landed.rows.values().all(|count| *count == 1));
    landed.check_receipts();
}

#[test]
fn a_store_that_is_away_for_long_gets_everything_in_order_once_it_is_back() {
    let mut harness = Harness::new(5);
    harness.rows = 4;
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    // An hour and more of tries with the usual pauses.
    harness.store.go_away(500);
    std::thread::scope(|scope| {
        let supervisor = scope.spawn(|| supervisor.run());
        for number in 1..=50 {
            let id = format!("b{number}");
            harness.append(&journal, &line(&id, 1, false)).expect("acks go on");
        }
        journal.close();
        supervisor.join().expect("no panic").expect("landed");
    });
    assert_eq!(harness.store.faults().away, 500);
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 50);
    let rolls: Vec<u64> = landed.receipts.iter().map(|receipt| receipt.roll).collect();
    assert_eq!(rolls, (1..=rolls.len() as u64).collect::<Vec<_>>());
    landed.check_receipts();
}

#[test]
fn a_large_file_whose_parts_are_reset_appears_whole_or_not_at_all() {
    let mut harness = Harness::new(13);
    // Some dozens of parts a file, so that a part fails while others wait.
    harness.part_bytes = 50;
    harness.rows = 20;
    harness.store.inject_faults(30);
    let (journal, recovery) = harness.open().expect("opens");
    for number in 1..=20 {
        harness.append(&journal, &line(&format!("b{number}"), 1, false)).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.run().expect("landed");
    assert_eq!(harness.store.faults().leaked, 0, "parts are left in the bucket");
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 20);
    landed.check_receipts();
}

#[test]
fn a_receipt_is_there_only_when_its_files_are() {
    // The process dies at each call of one roll in turn.
    for calls in 1..=11 {
        let harness = sealed(6, 1, 4);
        let (journal, recovery) = harness.open().expect("opens");
        let supervisor = harness.supervisor(&journal, &recovery);
        supervisor.take_fence().expect("taken");
        harness.store.die_at(Some(calls), &harness.disk);
        journal.close();
        land(&supervisor, &harness.disk).expect_err("the store ends the process");
        let landed = harness.landed();
        for receipt in &landed.receipts {
            for file in receipt.tables.iter().flat_map(|table| &table.files) {
                assert_eq!(landed.files.get(&file.path), Some(&file.rows), "call {calls}");
            }
        }
    }
}

#[test]
fn a_roll_whose_receipt_is_there_is_not_put_again() {
    let mut harness = sealed(4, 1, 4);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.take_fence().expect("taken");
    let after = harness.disk.killed();
    supervisor.run().expect("landed");
    let before = harness.store.faults().calls;
    drop((supervisor, journal));
    // As if it had been killed before the journal's mark.
    harness.disk = Arc::new(after);
    harness.drain();
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 4);
    landed.check_receipts();
    // A look, after the identity of the lake and the fence: read, and swapped.
    assert_eq!(harness.store.faults().calls - before, 4);
}

#[test]
fn many_files_land_although_some_puts_always_fail() {
    let mut harness = Harness::new(23);
    harness.rows = 400;
    // One small body opens a quarter of `max_partitions` otherwise.
    harness.table.partition_limits = PartitionLimits::IMPORTED;
    harness.store.inject_faults(20);
    let (journal, recovery) = harness.open().expect("opens");
    let text: String = (0..300).map(|day| line(&format!("b{day}"), day, false)).collect();
    harness.append(&journal, &text).expect("taken");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    // Far from what it takes when all must go well at once.
    harness.store.die_at(Some(1_500), &harness.disk);
    land(&supervisor, &harness.disk).expect("landed");
    let landed = harness.landed();
    assert_eq!(landed.files.len(), 300);
    landed.check_receipts();
}

#[test]
fn a_log_that_cannot_seal_uploads_nothing() {
    let harness = Harness::new(17);
    let (journal, recovery) = harness.open().expect("opens");
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    let supervisor = harness.supervisor(&journal, &recovery);
    let mut log = supervisor.log();
    harness.disk.turn_off();
    journal.close();
    land(&supervisor, &harness.disk).expect_err("no seal, no roll");
    let range = SeqRange { first: Seq(1), last: Seq(1) };
    log.seal(&Seal { roll: Roll::FIRST, range, settings: Vec::new() }).expect_err("poisoned");
    let landed = harness.landed();
    assert!(landed.files.is_empty() && landed.receipts.is_empty(), "{landed:?}");
}

#[test]
fn the_store_of_these_tests_keeps_what_was_given_up() {
    let harness = Harness::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        harness.store.inject_faults(1);
        for _ in 0..100 {
            let _ = harness.store.put(&Path::from("lake/_receipts/x"), "{}".into()).await;
        }
        harness.store.settle().await;
        assert!(harness.store.objects.head(&Path::from("lake/_receipts/x")).await.is_ok());
    });
    assert!(harness.store.faults().late > 0);
}

/// Returns a harness with enough rows in four partitions that settings show in the bytes of its files;
/// some lines are broken. All of them are sealed as roll 1, and its process was killed.
fn sealed_and_large(seed: u64) -> Harness {
    let mut harness = Harness::new(seed);
    let (journal, recovery) = harness.open().expect("opens");
    for number in 0..4 {
        let lines = (0..400).map(|at| line(&format!("b{number}-{at}"), at % 4, at % 50 == 0));
        harness.append(&journal, &lines.collect::<String>()).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    let range = SeqRange { first: Seq(1), last: Seq(4) };
    let settings = supervisor.tables.to_json();
    journal.seal(&Seal { roll: Roll::FIRST, range, settings }).expect("sealed");
    let after = harness.disk.killed();
    drop((journal, supervisor));
    harness.disk = Arc::new(after);
    harness
}

fn with_other_settings(harness: &mut Harness) {
    harness.roll.compression = Compression::Zstd(3);
    harness.roll.memory_bytes = 1 << 14;
    harness.roll.row_group_bytes = 1 << 12;
    harness.roll.decode_threads = 1.try_into().expect("not zero");
}

#[test]
fn a_sealed_roll_made_again_with_other_settings_changes_no_object_by_a_byte() {
    // The settings matter: what no attempt has put before is other bytes.
    let files = |change: fn(&mut Harness)| {
        let mut harness = sealed_and_large(1);
        change(&mut harness);
        harness.drain();
        let mut objects = harness.objects();
        objects.retain(|name, _| name.ends_with(".parquet"));
        objects
    };
    let (usual, other) = (files(|_| {}), files(with_other_settings));
    assert_eq!(usual.len(), 4);
    // The nodes differ, and the order of partitions does not.
    assert!(usual.values().zip(other.values()).all(|(usual, other)| usual.len() != other.len()));

    let mut stood = BTreeSet::new();
    for calls in 1..40 {
        let mut harness = sealed_and_large(calls);
        let (journal, recovery) = harness.open().expect("opens");
        let supervisor = harness.supervisor(&journal, &recovery);
        supervisor.take_fence().expect("taken");
        harness.store.die_at(Some(calls), &harness.disk);
        let after = harness.disk.killed();
        journal.close();
        let landed = land(&supervisor, &harness.disk);
        drop((supervisor, journal));
        // As if it had been killed before the journal's mark, when nothing else has ended it.
        harness.disk = Arc::new(after);
        harness.store.next_process();
        let before = harness.objects();
        with_other_settings(&mut harness);
        harness.drain();
        let after = harness.objects();
        for (name, bytes) in &before {
            let (had, has) = (bytes.len(), after[name].len());
            assert!(after[name] == bytes, "death at call {calls}: {name}: {had} bytes, now {has}");
        }
        stood.insert(before.len());
        let all = harness.landed();
        assert_eq!(all.rows.len() + all.rejects.len(), 1_600);
        assert!(all.rows.values().chain(all.rejects.values()).all(|count| *count == 1));
        all.check_receipts();
        all.check_sizes();
        if landed.is_ok() {
            // The identity of the lake and nothing else, some files, all files without the receipt, and
            // everything.
            assert!([1, 6, 7].iter().all(|count| stood.contains(count)), "{stood:?}");
            assert!((2..=5).any(|count| stood.contains(&count)), "{stood:?}");
            return;
        }
    }
    panic!("the roll never ends");
}
