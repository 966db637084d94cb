//! Recognising a body that comes again.

use std::task::{Context, Waker};

use super::fake::Fault;
use super::*;
use crate::journal::frame::RetryKey;
use crate::journal::retry_window::{Lookup, RetryEntry, RetryWindow};

const MINUTE_US: i64 = 60_000_000;

fn duplicate(bench: &Bench, journal: &Journal, text: &str, of: u64) {
    let receipt = bench.try_append(journal, text).expect("known");
    assert_eq!(receipt, Receipt { seq: Seq(of), duplicate: true }, "{text}");
}

#[test]
fn an_acked_body_is_known_within_the_window_and_new_after_it() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "a");
    bench.append(&journal, "b");
    bench.clock.advance(10 * MINUTE_US - 1);
    duplicate(&bench, &journal, "a", 1);
    bench.clock.advance(1);
    assert_eq!(bench.append(&journal, "a"), 3);
    duplicate(&bench, &journal, "a", 3);
    assert_eq!(texts(&journal, 1), ["a", "b", "a"]);
}

#[test]
fn the_same_bytes_for_another_table_are_another_body() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "a");
    let other = NewBody { table: Arc::from("other"), ..body("a") };
    let receipt = bench.runtime.block_on(journal.append(other)).expect("taken");
    assert_eq!(receipt, Receipt { seq: Seq(2), duplicate: false });
}

#[test]
fn a_retry_of_a_body_in_flight_gets_its_outcome() {
    for fails in [false, true] {
        let bench = Bench::new();
        let (journal, _) = bench.open();
        let held = bench.disk.hold_syncs();
        let (first, second) = bench.runtime.block_on(async {
            let mut context = Context::from_waker(Waker::noop());
            let mut first = Box::pin(journal.append(body("same")));
            let mut second = Box::pin(journal.append(body("same")));
            assert!(first.as_mut().poll(&mut context).is_pending());
            assert!(second.as_mut().poll(&mut context).is_pending());
            if fails {
                bench.disk.fail(Fault::Sync);
            }
            drop(held);
            (first.await, second.await)
        });
        if fails {
            assert!(matches!(first, Err(AppendError::Poisoned { .. })), "{first:?}");
            assert_eq!(first, second);
        } else {
            assert_eq!(first, Ok(Receipt { seq: Seq(1), duplicate: false }));
            assert_eq!(second, Ok(Receipt { seq: Seq(1), duplicate: true }));
            assert_eq!(texts(&journal, 1), ["same"]);
        }
    }
}

#[test]
fn a_refused_body_is_not_known_when_it_comes_again() {
    let bench = Bench::with(|options| options.reserve_bytes = 10_000);
    let (journal, _) = bench.open();
    bench.disk.set_free_bytes(100);
    assert!(matches!(bench.try_append(&journal, "again"), Err(AppendError::DiskReserve { .. })));
    bench.disk.set_free_bytes(100_000);
    assert_eq!(bench.append(&journal, "again"), 1);
}

#[test]
fn the_window_survives_restarts() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    for number in 1..=9 {
        bench.append(&journal, format!("body {number}"));
    }
    drop(journal);
    for _ in 0..3 {
        bench.clock.advance(MINUTE_US);
        let (journal, _) = bench.open();
        for number in 1..=9 {
            duplicate(&bench, &journal, &format!("body {number}"), number);
        }
    }
    bench.clock.advance(7 * MINUTE_US);
    let (journal, _) = bench.open();
    assert_eq!(bench.append(&journal, "body 9"), 10);
}

#[test]
fn the_window_survives_a_release_and_a_restart_after_it() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    for number in 1..=9 {
        bench.append(&journal, format!("body {number}"));
    }
    journal.seal(&seal(1, 1, 9)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    assert_eq!(journal.status().segments, 1);
    duplicate(&bench, &journal, "body 1", 1);
    drop(journal);
    let (journal, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(10));
    duplicate(&bench, &journal, "body 1", 1);
    duplicate(&bench, &journal, "body 9", 9);
}

#[test]
fn with_the_window_off_every_body_is_stored() {
    let bench = Bench::with(|options| options.retry_window = Duration::ZERO);
    let (journal, _) = bench.open();
    assert_eq!(bench.append(&journal, "same"), 1);
    assert_eq!(bench.append(&journal, "same"), 2);
    drop(journal);
    let (journal, _) = bench.open();
    assert_eq!(bench.append(&journal, "same"), 3);
}

#[test]
fn a_clock_that_jumps_back_keeps_no_entry_for_ever() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "before the jump");
    bench.clock.advance(-500 * MINUTE_US);
    bench.append(&journal, "after the jump");
    duplicate(&bench, &journal, "before the jump", 1);
    bench.clock.advance(9 * MINUTE_US);
    duplicate(&bench, &journal, "before the jump", 1);
    bench.clock.advance(MINUTE_US);
    assert_eq!(bench.append(&journal, "before the jump"), 3);

    // The same over a restart, where the entry seems to come from the future.
    bench.clock.advance(-500 * MINUTE_US);
    drop(journal);
    let (journal, _) = bench.open();
    duplicate(&bench, &journal, "before the jump", 3);
    bench.clock.advance(10 * MINUTE_US);
    assert_eq!(bench.append(&journal, "before the jump"), 4);
}

#[test]
fn a_full_window_drops_the_oldest() {
    let now = Micros(0);
    let mut window = RetryWindow::new(Duration::from_secs(600), now, Vec::new()).bounded_to(3);
    let key = |number: u64| RetryKey::of(7, "table", &number.to_le_bytes());
    for number in 1..=5 {
        window.begin(key(number));
        window.ack(key(number), Seq(number), now);
    }
    let known = |window: &mut RetryWindow, number| match window.look_up(key(number), now) {
        Lookup::Acknowledged(seq) => Some(seq.0),
        Lookup::Unknown => None,
        Lookup::InFlight(_) => panic!("in flight"),
    };
    let found: Vec<_> = (1..=5).map(|number| known(&mut window, number)).collect();
    assert_eq!(found, [None, None, Some(3), Some(4), Some(5)]);
    assert_eq!(window.dropped(), 2);
    let kept: Vec<RetryEntry> = window.entries(now);
    assert_eq!(kept.len(), 3);
}
