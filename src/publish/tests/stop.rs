//! A supervisor that is stopped.

use std::time::{Duration, Instant};

use super::harness::{Harness, line};

/// Longer than it takes to stop.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_supervisor_stops_although_the_store_is_away_and_the_next_one_lands_the_rest() {
    let harness = Harness::new(13);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    let stop = supervisor.stop.clone();
    harness.store.go_away(u64::MAX);
    for number in 0..harness.rows {
        harness.append(&journal, &line(&format!("a{number}"), 1, false)).expect("taken");
    }
    std::thread::scope(|scope| {
        let running = scope.spawn(|| supervisor.run());
        let began = Instant::now();
        while harness.store.faults().away < 3 {
            assert!(began.elapsed() < LONG, "the store is not asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.cancel();
        let asked = Instant::now();
        let error = running.join().expect("no panic").expect_err("it did not land");
        assert!(asked.elapsed() < LONG, "{error:#}");
    });
    drop((supervisor, journal));
    harness.store.go_away(0);
    harness.drain();
    let landed = harness.landed();
    assert_eq!(landed.rows.len() as u64, harness.rows);
    landed.check_receipts();
}

#[test]
fn a_supervisor_stops_although_nothing_comes() {
    let harness = Harness::new(14);
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    let stop = supervisor.stop.clone();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| supervisor.run());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!running.is_finished());
        stop.cancel();
        let asked = Instant::now();
        running.join().expect("no panic").expect_err("the journal is open still");
        assert!(asked.elapsed() < LONG);
    });
}
