//! A table that gets a log while a receiver of plain files runs.

use std::time::{Duration, Instant};

use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::harness::{Harness, line};
use crate::status::Readiness;
use crate::table::Format;

/// Longer than it takes.
const LONG: Duration = Duration::from_secs(20);

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn trouble(readiness: &Readiness) -> String {
    readiness.trouble().into_iter().map(|(_, why)| why).collect()
}

/// Lands a roll, puts `object`, sends a roll more, and takes the object away again.
fn a_log_comes_and_goes(seed: u64, object: &str, text: &'static str, hidden: bool) {
    let harness = Harness::new(seed);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    let readiness = supervisor.readiness.clone();
    let roll = |name: &str| {
        for number in 0..harness.rows {
            harness.append(&journal, &line(&format!("{name}{number}"), 1, false)).expect("taken");
        }
    };
    let receipts = || harness.objects().keys().filter(|name| name.contains("_receipts/")).count();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| supervisor.run());
        roll("a");
        wait("the first roll lands", || receipts() == 1);
        let path = Path::from(object);
        harness.block_on(harness.store.objects.put(&path, text.into())).expect("memory");
        if hidden {
            harness.store.hide_what_is_missing();
        }
        let before = harness.objects();
        roll("b");
        wait("it is in trouble", || trouble(&readiness).contains("table_format = \"delta\""));
        assert_eq!(readiness.check(), Ok(()), "bodies are taken");
        roll("c");
        // Neither sealed nor put: these bodies may land by other settings.
        std::thread::sleep(Duration::from_millis(30));
        assert!(before == harness.objects(), "something was put");
        let status = journal.status();
        assert_eq!((status.committed_seq.0, status.last_seq.0), (harness.rows, 3 * harness.rows));
        harness.block_on(harness.store.objects.delete(&path)).expect("memory");
        journal.close();
        running.join().expect("no panic").expect("all landed");
    });
    assert_eq!(trouble(&readiness), "");
    let landed = harness.landed();
    assert_eq!(landed.rows.len() as u64, 3 * harness.rows);
    landed.check_receipts();
}

#[test]
fn a_plain_receiver_keeps_its_bodies_once_its_table_has_a_log() {
    a_log_comes_and_goes(31, "lake/visits/_delta_log/00000000000000000000.json", "{}", false);
}

#[test]
fn a_plain_receiver_that_may_not_list_finds_out_by_the_identity_of_the_table() {
    let identity = r#"{"version":1,"format":"delta","id":"x"}"#;
    a_log_comes_and_goes(32, "lake/_tables/visits/identity.json", identity, true);
}

#[test]
fn bodies_that_a_plain_receiver_kept_land_in_the_format_of_the_next_start() {
    let mut harness = Harness::new(33);
    let identity = r#"{"version":1,"format":"delta","id":"x"}"#;
    let path = Path::from("lake/_tables/visits/identity.json");
    harness.block_on(harness.store.objects.put(&path, identity.into())).expect("memory");
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    let (stop, readiness) = (supervisor.stop.clone(), supervisor.readiness.clone());
    for number in 0..harness.rows {
        harness.append(&journal, &line(&format!("a{number}"), 1, false)).expect("taken");
    }
    std::thread::scope(|scope| {
        let running = scope.spawn(|| supervisor.run());
        wait("it is in trouble", || trouble(&readiness).contains("_tables/visits/identity.json"));
        stop.cancel();
        running.join().expect("no panic").expect_err("nothing landed");
    });
    drop((supervisor, journal));
    harness.table.format = Format::Delta;
    harness.drain();
    let landed = harness.landed();
    assert_eq!(landed.rows.len() as u64, harness.rows);
    landed.check_receipts();
}
