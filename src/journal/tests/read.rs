//! Reading live: over segment switches, from the middle, and what is not there any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::clock::SystemClock;

#[test]
fn a_live_reader_sees_every_body_once_over_many_small_segments() {
    let state = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(state.path());
    options.segment_bytes = 20_000;
    let (journal, _) =
        Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options).expect("opens");
    const TASKS: u64 = 8;
    const EACH: u64 = 150;
    let reading = |journal: &Journal| {
        let mut reader = journal.reader(Seq(1));
        thread::spawn(move || {
            let mut bodies = Vec::new();
            loop {
                match reader.next(Duration::from_secs(30)).expect("it reads") {
                    Next::Body(body) => bodies.push(body),
                    Next::Closed => return bodies,
                    Next::TimedOut => panic!("nothing came"),
                }
            }
        })
    };
    let readers = [reading(&journal), reading(&journal)];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let acked: BTreeMap<u64, String> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let journal = journal.clone();
            tasks.push(tokio::spawn(async move {
                let mut acked = Vec::new();
                for number in 0..EACH {
                    let text = format!("{task}/{number} ").repeat((number * 7 % 301) as usize + 1);
                    let receipt = journal.append(body(&text)).await.expect("taken");
                    acked.push((receipt.seq.0, text));
                }
                acked
            }));
        }
        let mut acked = BTreeMap::new();
        for task in tasks {
            acked.extend(task.await.expect("a task"));
        }
        acked
    });
    assert!(journal.status().segments > 20);
    journal.close();
    assert_eq!(acked.len() as u64, TASKS * EACH);
    for reader in readers {
        let bodies = reader.join().expect("a reader");
        assert_eq!(bodies.len(), acked.len());
        for (body, (seq, text)) in bodies.iter().zip(&acked) {
            assert_eq!((body.seq.0, &body.bytes[..]), (*seq, text.as_bytes()));
        }
    }
}

#[test]
fn a_reader_waits_for_the_sync() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let mut reader = journal.reader(Seq(1));
    assert!(matches!(reader.next(Duration::from_millis(5)), Ok(Next::TimedOut)));
    let held = bench.disk.hold_syncs();
    let appended = AtomicU64::new(0);
    thread::scope(|scope| {
        let (bench, journal, appended) = (&bench, &journal, &appended);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        scope.spawn(move || {
            let receipt = runtime.block_on(journal.append(body("soon"))).expect("taken");
            appended.store(receipt.seq.0, Ordering::SeqCst);
        });
        // Written, perhaps, but not synced: not to be seen.
        assert!(matches!(reader.next(Duration::from_millis(100)), Ok(Next::TimedOut)));
        assert_eq!(appended.load(Ordering::SeqCst), 0);
        drop(held);
        match reader.next(Duration::from_secs(30)) {
            Ok(Next::Body(body)) => assert_eq!(&body.bytes[..], b"soon"),
            other => panic!("{other:?}"),
        }
        let _ = bench;
    });
}

#[test]
fn a_reader_may_begin_anywhere_held_or_in_the_future() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    for number in 1..=20 {
        bench.append(&journal, format!("body {number}"));
    }
    for from in 1..=20 {
        let found = texts(&journal, from);
        let expected: Vec<String> = (from..=20).map(|number| format!("body {number}")).collect();
        assert_eq!(found, expected);
    }
    let mut ahead = journal.reader(Seq(22));
    assert!(matches!(ahead.next(Duration::ZERO), Ok(Next::TimedOut)));
    bench.append(&journal, "body 21");
    assert!(matches!(ahead.next(Duration::ZERO), Ok(Next::TimedOut)));
    bench.append(&journal, "body 22");
    assert!(matches!(ahead.next(Duration::ZERO), Ok(Next::Body(Body { seq: Seq(22), .. }))));
    assert_eq!(ahead.position(), Seq(23));
}

#[test]
fn a_released_body_is_an_error_that_says_what_is_held() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    for number in 1..=20 {
        bench.append(&journal, format!("body {number}"));
    }
    let mut early = journal.reader(Seq(1));
    assert!(matches!(early.next(Duration::ZERO), Ok(Next::Body(_))));
    let mut at_the_mark = journal.reader(Seq(11));
    journal.seal(&seal(1, 1, 10)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    match journal.reader(Seq(1)).next(Duration::ZERO) {
        Err(JournalError::Released { seq: Seq(1), first }) => assert!((2..=11).contains(&first.0)),
        other => panic!("{other:?}"),
    }
    let behind = loop {
        match early.next(Duration::ZERO) {
            Ok(Next::Body(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(behind, Err(JournalError::Released { .. })), "{behind:?}");
    assert!(matches!(at_the_mark.next(Duration::ZERO), Ok(Next::Body(Body { seq: Seq(11), .. }))));
}

#[test]
fn a_reader_says_which_body_was_changed_behind_its_back() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "whole");
    bench.append(&journal, "to be changed");
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let at = bytes.windows(5).position(|piece| piece == b"to be").expect("the body");
    bytes[at] ^= 1;
    bench.disk.put(&path, &bytes);
    let mut reader = journal.reader(Seq(1));
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::Body(_))));
    for _ in 0..2 {
        let error = reader.next(Duration::ZERO).expect_err("damage");
        assert_eq!(path_of(&error), path);
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}

#[test]
fn bodies_of_all_sizes_around_the_read_ahead_come_whole() {
    let bench = Bench::with(|options| options.retry_window = Duration::ZERO);
    let (journal, _) = bench.open();
    let sizes = [0, 1, 700_000, 2 << 20, (2 << 20) + 1, 3, (2 << 20) - 200, 896_000, 5 << 20, 7];
    for (number, size) in sizes.into_iter().enumerate() {
        bench.append(&journal, vec![number as u8; size]);
    }
    let bodies = read_from(&journal, 1);
    assert_eq!(bodies.len(), sizes.len());
    for (number, (found, size)) in bodies.iter().zip(sizes).enumerate() {
        assert_eq!(found.bytes.len(), size);
        assert!(found.bytes.iter().all(|byte| *byte == number as u8));
    }
}
