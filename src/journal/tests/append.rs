//! Taking bodies: what is refused and when, what poisons, what a dropped future leaves.

use std::io::ErrorKind;
use std::task::{Context, Waker};

use super::fake::Fault;
use super::*;
use crate::clock::SystemClock;

#[test]
fn bodies_come_back_as_they_were_after_a_restart() {
    let bench = Bench::new();
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.next_roll), (Seq(1), Roll(1)));
    assert_eq!((recovery.unsealed_from, recovery.torn_bytes), (Seq(1), 0));
    let unusual = NewBody {
        table: Arc::from("other"),
        form: Form::Elasticsearch,
        first_line: 4711,
        bytes: Bytes::from_static(b"two\nlines"),
    };
    assert_eq!(bench.append(&journal, "one"), 1);
    bench.clock.advance(5);
    let receipt = bench.runtime.block_on(journal.append(unusual)).expect("taken");
    assert_eq!(receipt, Receipt { seq: Seq(2), duplicate: false });
    assert_eq!(bench.append(&journal, ""), 3);
    let node = journal.node().to_owned();
    drop(journal);

    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.torn_bytes), (Seq(4), 0));
    assert_eq!(journal.node(), node);
    assert_eq!(bench.append(&journal, "four"), 4);
    let bodies = read_from(&journal, 1);
    let seqs: Vec<u64> = bodies.iter().map(|body| body.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    let second = &bodies[1];
    assert_eq!((&*second.table, second.form), ("other", Form::Elasticsearch));
    assert_eq!((second.first_line, &second.bytes[..]), (4711, &b"two\nlines"[..]));
    assert_eq!(second.received_at, Micros(1_000_000_005));
    assert!(bodies[2].bytes.is_empty());
}

#[test]
fn the_node_is_named_once() {
    let bench = Bench::with(|options| options.node_prefix = "eu-1".into());
    let node = bench.open().0.node().to_owned();
    let random = node.strip_prefix("eu-1-").expect("the prefix");
    assert_eq!(random.len(), 8);
    assert!(random.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')));
    let renamed = Options { node_prefix: "us".into(), ..bench.options.clone() };
    let (journal, _) =
        Journal::open(bench.disk.clone(), bench.clock.clone(), renamed).expect("opens");
    assert_eq!(journal.node(), node);
    assert_ne!(Bench::new().open().0.node(), Bench::new().open().0.node());
    let bad = Bench::with(|options| options.node_prefix = "a/b".into()).try_open();
    assert!(matches!(bad, Err(JournalError::Options(_))));
}

#[test]
fn an_acked_body_survives_a_power_cut_that_keeps_nothing_else() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "acked");
    let after = bench.disk.power_cut(|| 0);
    let (journal, recovery) =
        Journal::open(Arc::new(after), bench.clock.clone(), bench.options.clone()).expect("opens");
    assert_eq!(recovery.next, Seq(2));
    assert_eq!(texts(&journal, 1), ["acked"]);
}

#[test]
fn bodies_that_wait_share_one_sync() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let before = bench.disk.syncs();
    let held = bench.disk.hold_syncs();
    let receipts = bench.runtime.block_on(async {
        let calls = (0..100).map(|i| {
            let journal = journal.clone();
            async move { journal.append(body(format!("body {i}"))).await }
        });
        let mut calls: Vec<_> = calls.map(Box::pin).collect();
        // Each call hands its body over when it is first polled.
        let mut context = Context::from_waker(Waker::noop());
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        drop(held);
        futures::future::join_all(calls).await
    });
    assert!(receipts.iter().all(Result::is_ok));
    // The first may have gone alone, while the others came.
    assert!(bench.disk.syncs() - before <= 3, "{} syncs", bench.disk.syncs() - before);
    assert_eq!(read_from(&journal, 1).len(), 100);
}

#[test]
fn a_dropped_append_is_recorded_once() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let held = bench.disk.hold_syncs();
    let mut call = Box::pin(journal.append(body("given up")));
    bench.runtime.block_on(async {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    drop(call);
    drop(held);
    // The sender tries again: it is the same body, and here already.
    let again = bench.try_append(&journal, "given up").expect("known");
    assert_eq!(again, Receipt { seq: Seq(1), duplicate: true });
    assert_eq!(texts(&journal, 1), ["given up"]);
}

#[test]
fn a_short_write_is_carried_on() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    for most in [1, 43, 44, 60, 100] {
        bench.disk.fail(Fault::ShortWrite(most));
        bench.append(&journal, format!("in chunks of {most}"));
    }
    drop(journal);
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.torn_bytes), (Seq(6), 0));
    assert_eq!(texts(&journal, 5), ["in chunks of 100"]);
}

/// After this failure nothing is acked, everything is refused, and a restart has what was acked.
fn poisons(fault: Fault, reason: &str) {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "before");
    let mut reader = journal.reader(Seq(1));
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::Body(_))));
    bench.disk.fail(fault);
    for text in ["during", "after", "during"] {
        match bench.try_append(&journal, text) {
            Err(AppendError::Poisoned { reason: said }) => {
                assert!(said.contains(reason), "{said}");
                assert!(said.contains(".seg"), "{said}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let status = journal.status();
    assert!(status.poisoned.is_some_and(|said| said.contains(reason)));
    assert!(matches!(status.accepting, Err(AppendError::Poisoned { .. })));
    assert!(matches!(journal.seal(&seal(1, 1, 1)), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.committed(Roll(1)), Err(JournalError::Poisoned { .. })));
    assert!(matches!(reader.next(Duration::ZERO), Err(JournalError::Poisoned { .. })));
    journal.close();
    drop((reader, journal));

    let (journal, recovery) = bench.open();
    let found = texts(&journal, 1);
    assert_eq!(found.len() as u64 + 1, recovery.next.0);
    assert!(found == ["before"] || found == ["before", "during"], "{found:?}");
    // What the next start counts as durable is so, even if the failed sync's pages were dropped.
    drop(journal);
    let after = Arc::new(bench.disk.power_cut(|| 0));
    let (journal, _) =
        Journal::open(after, bench.clock.clone(), bench.options.clone()).expect("opens");
    assert_eq!(texts(&journal, 1), found);
}

#[test]
fn a_failed_write_poisons() {
    poisons(Fault::Write(ErrorKind::Other), "cannot write");
}

#[test]
fn a_full_disk_poisons() {
    poisons(Fault::Write(ErrorKind::StorageFull), "no storage space");
}

#[test]
fn a_write_of_nothing_poisons() {
    poisons(Fault::ShortWrite(0), "cannot write");
}

#[test]
fn a_failed_sync_poisons() {
    poisons(Fault::Sync, "cannot sync");
}

#[test]
fn two_opens_of_one_directory_are_refused() {
    let state = tempfile::tempdir().expect("a directory");
    let open = || {
        let options = Options::new(state.path().join("deep/journal"));
        Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options)
    };
    let (journal, _) = open().expect("opens");
    match open() {
        Err(error @ JournalError::Locked { .. }) => {
            assert!(error.to_string().contains("in use by another process"));
        }
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
    drop(journal);
    open().expect("opens again");
}

#[test]
fn the_quota_refuses_before_it_is_passed_and_takes_again_after_a_release() {
    let bench = Bench::with(|options| {
        options.quota_bytes = 20_000;
        options.segment_bytes = 4_000;
        options.retry_window = Duration::ZERO;
    });
    let (journal, _) = bench.open();
    let mut taken = 0;
    let refusal = loop {
        match bench.try_append(&journal, [b'x'; 1_000]) {
            Ok(receipt) => taken = receipt.seq.0,
            Err(refusal) => break refusal,
        }
    };
    assert!(taken > 10);
    let AppendError::Full { used_bytes, quota_bytes: 20_000 } = refusal else {
        panic!("{refusal:?}")
    };
    assert!(used_bytes > 18_000 && journal.status().backlog_bytes == used_bytes);
    assert!(refusal.retry_after().is_some());
    assert!(matches!(bench.try_append(&journal, [b'x'; 1_000]), Err(AppendError::Full { .. })));
    // Control records are written all the same, and free space.
    journal.seal(&seal(1, 1, taken)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    let status = journal.status();
    assert_eq!((status.segments, status.accepting), (1, Ok(())));
    assert!(status.backlog_bytes < 1_000);
    assert_eq!(bench.append(&journal, [b'x'; 1_000]), taken + 1);
}

#[test]
fn backlog_bytes_are_the_bytes_of_the_files() {
    let bench = Bench::with(|options| options.segment_bytes = 500);
    let check = |journal: &Journal| {
        let bytes: usize = bench.segments().iter().map(|path| bench.disk.bytes(path).len()).sum();
        assert_eq!(journal.status().backlog_bytes, bytes as u64);
        assert_eq!(journal.status().segments, bench.segments().len());
    };
    let (journal, _) = bench.open();
    check(&journal);
    for number in 1..20 {
        bench.append(&journal, format!("{number}").repeat(50));
        check(&journal);
    }
    journal.seal(&seal(1, 1, 7)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    check(&journal);
    drop(journal);
    for _ in 0..3 {
        let (journal, _) = bench.open();
        check(&journal);
    }
}

#[test]
fn the_reserve_refuses_before_the_disk_is_full() {
    let bench = Bench::with(|options| options.reserve_bytes = 10_000);
    let (journal, _) = bench.open();
    bench.disk.set_free_bytes(9_000);
    std::thread::sleep(Duration::from_millis(300));
    let refused = bench.try_append(&journal, "no space");
    let expected = AppendError::DiskReserve { free_bytes: 9_000, reserve_bytes: 10_000 };
    assert_eq!(refused, Err(expected.clone()));
    assert_eq!(journal.status().accepting, Err(expected));
    bench.disk.set_free_bytes(20_000);
    assert_eq!(bench.append(&journal, "no space"), 1);
    // What is written counts before the file system is asked again.
    let refused = bench.try_append(&journal, [b'x'; 15_000]);
    assert!(matches!(refused, Err(AppendError::DiskReserve { .. })));
}

#[test]
fn a_full_queue_is_busy_after_a_bounded_time() {
    let bench = Bench::with(|options| options.queue_bytes = 4096);
    let (journal, _) = bench.open();
    let held = bench.disk.hold_syncs();
    bench.runtime.block_on(async {
        // Larger than the queue: takes all of it.
        let mut first = Box::pin(journal.append(body([b'a'; 9_000])));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let began = std::time::Instant::now();
        let busy = journal.append(body("waits")).await;
        assert_eq!(busy, Err(AppendError::Busy));
        assert!((BUSY_AFTER..2 * BUSY_AFTER).contains(&began.elapsed()));
        drop(held);
        assert_eq!(first.await.map(|receipt| receipt.seq), Ok(Seq(1)));
        assert_eq!(journal.append(body("waits")).await.map(|receipt| receipt.seq), Ok(Seq(2)));
    });
}

#[test]
fn a_body_larger_than_a_segment_gets_one_of_its_own() {
    let bench = Bench::with(|options| options.segment_bytes = 1_000);
    let (journal, _) = bench.open();
    bench.append(&journal, "small");
    let large: Vec<u8> = (0..5_000_000_u32).map(|i| (i / 7) as u8).collect();
    assert_eq!(bench.append(&journal, &large), 2);
    assert_eq!(bench.append(&journal, "small again"), 3);
    assert_eq!(journal.status().segments, 3);
    drop(journal);
    let (journal, _) = bench.open();
    let bodies = read_from(&journal, 1);
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[1].bytes, large);
}

#[test]
fn a_body_that_can_never_fit_is_too_large() {
    let bench = Bench::with(|options| options.quota_bytes = 10_000);
    let (journal, _) = bench.open();
    let refused = bench.try_append(&journal, [0; 5_001]);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: 5_001, limit_bytes: 5_000 }));
    assert_eq!(refused.expect_err("refused").retry_after(), None);
    bench.append(&journal, [0; 5_000]);
}

#[test]
fn a_closed_journal_drains_and_still_seals() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let mut reader = journal.reader(Seq(1));
    bench.append(&journal, "last");
    journal.close();
    journal.close();
    assert_eq!(bench.try_append(&journal, "late"), Err(AppendError::Closed));
    assert_eq!(journal.status().accepting, Err(AppendError::Closed));
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::Body(_))));
    assert!(matches!(reader.next(Duration::from_secs(60)), Ok(Next::Closed)));
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    drop((reader, journal));
    let (_, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.next_roll), (Seq(2), Roll(2)));
    assert_eq!((recovery.unsealed_from, recovery.sealed), (Seq(2), vec![]));
}

#[test]
fn close_wakes_those_who_wait_for_space() {
    let bench = Bench::with(|options| options.queue_bytes = 1024);
    let (journal, _) = bench.open();
    let held = bench.disk.hold_syncs();
    bench.runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(journal.append(body("first")));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let mut second = Box::pin(journal.append(body("second")));
        assert!(second.as_mut().poll(&mut context).is_pending());
        let closer = std::thread::spawn({
            let journal = journal.clone();
            move || journal.close()
        });
        assert_eq!(second.await, Err(AppendError::Closed));
        drop(held);
        closer.join().expect("closed");
        assert_eq!(first.await.map(|receipt| receipt.seq), Ok(Seq(1)));
    });
}

#[test]
fn nothing_is_written_once_another_thread_has_stopped_the_journal() {
    use crate::journal::request::Request;
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "body");
    drop(journal);
    let opened = crate::journal::recovery::open(
        bench.disk.clone(),
        bench.clock.clone(),
        bench.options.clone(),
        &Arc::default(),
    );
    let opened = opened.unwrap_or_else(|error| panic!("{error}"));
    let mut writer = opened.writer;
    let before = bench.disk.bytes(&bench.last_segment());
    let (answer, outcome) = crossbeam_channel::bounded(1);
    writer.take(Request::Seal(seal(1, 1, 1), answer)).expect("taken");
    opened.shared.poison("the directory is gone".into());
    let error = writer.flush().expect_err("refused");
    assert!(error.to_string().contains("the directory is gone"), "{error}");
    drop(writer);
    outcome.recv().expect_err("no answer");
    assert_eq!(bench.disk.bytes(&bench.last_segment()), before);
}
