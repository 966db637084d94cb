//! Bodies that go from memory to the reader that lands them are those that are on disk, in order, and
//! only once they are durable.

use std::task::Poll;
use std::thread;

use super::fake::Fault;
use super::*;

const MANY: u64 = 1 << 20;

fn bench(hand_on_bytes: u64, change: impl FnOnce(&mut Options)) -> Bench {
    Bench::with(|options| {
        options.hand_on_bytes = hand_on_bytes;
        change(options);
    })
}

fn landing(journal: &Journal) -> Reader {
    journal.reader(Seq(1)).taking_handed()
}

/// The next body, which is there.
fn next(reader: &mut Reader) -> Body {
    match reader.next(Duration::ZERO) {
        Ok(Next::Body(body)) => body,
        other => panic!("{other:?}"),
    }
}

fn text_of(number: u64, bytes: usize) -> String {
    format!("{{\"body\":{number}}}\n").repeat(bytes / 10)
}

fn assert_same(one: &Body, other: &Body) {
    assert_eq!((one.seq, one.received_at), (other.seq, other.received_at));
    assert_eq!(
        (&one.table, one.form, one.first_line),
        (&other.table, other.form, other.first_line)
    );
    assert!(one.bytes == other.bytes && one.stored.is_none() && other.stored.is_none());
}

/// Overwrites all that the last segment has of bodies.
fn spoil(bench: &Bench) {
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let first = bytes.windows(4).position(|bytes| bytes == frame::MAGIC).expect("a frame");
    bytes[first..].fill(0);
    bench.disk.put(&path, &bytes);
}

#[test]
fn they_are_the_bodies_on_disk_whatever_is_done_to_them_there() {
    for (compress, encrypt) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = bench(MANY, |options| {
            options.compress_from_bytes = compress.then_some(0);
        });
        if encrypt {
            bench.encrypt(7, true);
        }
        let (journal, _) = bench.open();
        let mut number = 0;
        for (table, form) in [("a", Form::Ndjson), ("b", Form::Elasticsearch), ("a", Form::Ndjson)]
        {
            for first_line in [1, 7] {
                number += 1;
                bench.clock.advance(1_000);
                let bytes = Bytes::from(text_of(number, 3_000));
                let new = NewBody { table: table.into(), form, first_line, bytes };
                bench.runtime.block_on(journal.append(new)).expect("taken");
            }
        }
        let on_disk = read_from(&journal, 1);
        spoil(&bench);
        let mut reader = landing(&journal);
        for expected in &on_disk {
            assert_same(&next(&mut reader), expected);
        }
        assert!(matches!(reader.next(Duration::ZERO), Ok(Next::TimedOut)));
        assert_eq!((on_disk.len(), journal.handed_bytes()), (6, 0));
        // Taken for good: the next reader goes to the disk.
        assert!(matches!(
            landing(&journal).next(Duration::ZERO),
            Err(JournalError::Damaged { .. })
        ));
    }
}

#[test]
fn those_that_do_not_fit_are_read_from_disk_in_their_place() {
    for segment_bytes in [400, 3_000, 1 << 20] {
        for hand_on_bytes in [0, 700, 2_000, 6_000] {
            let bench = bench(hand_on_bytes, |options| options.segment_bytes = segment_bytes);
            let (journal, _) = bench.open();
            let mut reader = landing(&journal);
            let mut dice = crate::search::Dice(segment_bytes + hand_on_bytes);
            let (mut sent, mut seen) = (0, 0);
            while seen < 120 {
                for _ in 0..dice.below(9) {
                    sent += 1;
                    bench.append(&journal, text_of(sent, 10 + dice.below(600) as usize));
                    assert_eq!(journal.handed_bytes(), journal.inner.shared.handed.waiting_bytes());
                    assert!(journal.handed_bytes() <= hand_on_bytes);
                }
                for _ in 0..dice.below(9).min(sent - seen) {
                    seen += 1;
                    let body = next(&mut reader);
                    assert_eq!(body.seq, Seq(seen));
                    let begins = format!("{{\"body\":{seen}}}\n");
                    assert!(body.bytes.starts_with(begins.as_bytes()));
                }
            }
            while seen < sent {
                seen += 1;
                assert_eq!(next(&mut reader).seq, Seq(seen));
            }
            assert!(matches!(reader.next(Duration::ZERO), Ok(Next::TimedOut)));
            assert_eq!(journal.handed_bytes(), 0);
            let taken = journal.inner.shared.handed.taken();
            assert!(taken < sent && (taken > 0) == (hand_on_bytes > 0), "{taken} of {sent}");
        }
    }
}

#[test]
fn they_do_not_pile_up_while_nothing_lands() {
    let bench = bench(20_000, |_| {});
    let (journal, _) = bench.open();
    for number in 1..=200 {
        bench.append(&journal, text_of(number, 1_000));
        assert!(journal.handed_bytes() <= 20_000);
    }
    let mut reader = landing(&journal);
    for number in 1..=200 {
        assert_eq!(next(&mut reader).seq, Seq(number));
    }
    let taken = journal.inner.shared.handed.taken();
    assert!((10..=20).contains(&taken), "{taken}");
    // There is room again.
    bench.append(&journal, "{}");
    spoil(&bench);
    assert_eq!(next(&mut reader).bytes, "{}");
}

/// A body of 6 MiB, of which one has room in [`ROOM`].
fn large(number: u8) -> Vec<u8> {
    vec![b'0' + number; 6 << 20]
}

const ROOM: u64 = 8 << 20;

/// A journal whose memory is full, and whose next bodies wait for it.
fn full() -> (Bench, Journal) {
    let bench = bench(ROOM, |_| {});
    let (journal, _) = bench.open();
    bench.append(&journal, large(1));
    journal.inner.shared.handed.always_wait();
    (bench, journal)
}

#[test]
fn while_bodies_are_taken_the_next_ones_wait_for_room_in_turn() {
    let (bench, journal) = full();
    let handed = &journal.inner.shared.handed;
    let mut reader = landing(&journal);
    bench.runtime.block_on(async {
        let mut second = Box::pin(journal.append(body(large(2))));
        let mut third = Box::pin(journal.append(body(large(3))));
        assert!(
            futures::poll!(&mut second).is_pending() && futures::poll!(&mut third).is_pending()
        );
        assert!(handed.in_line_bytes() > 12 << 20);
        // One that would fit gets nothing before its turn, and one that went away had none.
        assert!(futures::poll!(Box::pin(journal.append(body(vec![b' '; 1 << 20])))).is_pending());
        assert_eq!(journal.status().last_seq, Seq(1));
        assert_eq!(next(&mut reader).seq, Seq(1));
        handed.always_wait();
        assert_eq!(second.await.map(|it| it.seq), Ok(Seq(2)));
        assert!(next(&mut reader).bytes == large(2));
        assert_eq!(third.await.map(|it| it.seq), Ok(Seq(3)));
    });
    assert!(next(&mut reader).bytes == large(3));
    assert_eq!((journal.handed_bytes(), handed.in_line_bytes(), handed.taken()), (0, 0, 3));
}

#[test]
fn while_landing_pauses_some_bodies_go_by_without_waiting() {
    let (bench, journal) = full();
    let handed = &journal.inner.shared.handed;
    handed.add_credit(7 << 20);
    bench.runtime.block_on(async {
        assert!(matches!(futures::poll!(Box::pin(handed.share(6 << 20))), Poll::Ready(None)));
        assert!(futures::poll!(Box::pin(handed.share(6 << 20))).is_pending());
    });
    // Bodies that are taken bring more.
    assert_eq!(next(&mut landing(&journal)).seq, Seq(1));
    assert_eq!(handed.credit_bytes(), (1 << 20) - 256 + (6 << 20) / 64);
}

#[test]
fn nobody_waits_for_a_reader_that_is_slow_or_busy_with_what_is_on_disk() {
    let bench = bench(ROOM, |_| {});
    let (journal, _) = bench.open();
    let handed = &journal.inner.shared.handed;
    let mut reader = landing(&journal);
    let goes_by = || {
        bench.runtime.block_on(async {
            matches!(futures::poll!(Box::pin(handed.share(6 << 20))), Poll::Ready(None))
        })
    };
    // At least two windows of less than 64 MiB a second: those that come have never waited.
    for number in 1..=3 {
        bench.append(&journal, large(number));
        handed.spend_credit();
        assert!(goes_by(), "{number}");
        thread::sleep(Duration::from_millis(260));
        assert_eq!(next(&mut reader).seq, Seq(u64::from(number)));
    }
    assert_eq!(handed.taken(), 3);
}

#[test]
fn who_waits_for_room_is_refused_by_a_journal_that_closes_or_stops() {
    for closes in [true, false] {
        let (bench, journal) = full();
        let outcome = bench.runtime.block_on(async {
            let mut waits = Box::pin(journal.append(body(large(2))));
            assert!(futures::poll!(&mut waits).is_pending());
            match closes {
                true => journal.close(),
                false => journal.inner.shared.poison("a test".to_owned()),
            }
            waits.await
        });
        match closes {
            true => assert_eq!(outcome, Err(AppendError::Closed)),
            false => assert_eq!(outcome, Err(AppendError::Poisoned { reason: "a test".into() })),
        }
        assert_eq!(journal.inner.shared.handed.in_line_bytes(), 0);
    }
}

#[test]
fn a_body_for_which_no_room_comes_is_taken_and_read_from_disk() {
    let (bench, journal) = full();
    let handed = &journal.inner.shared.handed;
    let began = std::time::Instant::now();
    bench.append(&journal, large(2));
    // 6 MiB at 64 MiB a second.
    assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
    assert_eq!(handed.in_line_bytes(), 0);
    let mut reader = landing(&journal);
    assert_eq!([next(&mut reader).seq, next(&mut reader).seq], [Seq(1), Seq(2)]);
    assert_eq!((handed.taken(), journal.handed_bytes()), (1, 0));
}

#[test]
fn none_is_handed_on_before_its_sync() {
    let bench = bench(MANY, |_| {});
    let (journal, _) = bench.open();
    let mut reader = landing(&journal);
    let held = bench.disk.hold_syncs();
    thread::scope(|scope| {
        let (disk, journal) = (&bench.disk, &journal);
        let before = disk.syncs_begun();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        scope.spawn(move || runtime.block_on(journal.append(body("soon"))).expect("taken"));
        disk.await_sync(before);
        assert!(matches!(reader.next(Duration::from_millis(50)), Ok(Next::TimedOut)));
        assert!(journal.inner.shared.handed.take(Seq(1)).is_none());
        drop(held);
        match reader.next(Duration::from_secs(30)) {
            Ok(Next::Body(body)) => assert_eq!(&body.bytes[..], b"soon"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_body_whose_write_or_sync_fails_is_handed_to_nobody() {
    let faults = [
        Fault::Write(std::io::ErrorKind::Other),
        Fault::Write(std::io::ErrorKind::StorageFull),
        Fault::Sync,
    ];
    for fault in faults {
        let bench = bench(MANY, |_| {});
        let (journal, _) = bench.open();
        bench.append(&journal, "durable");
        bench.disk.fail(fault);
        let all = ["one", "two"].map(|text| journal.append(body(text)));
        for outcome in bench.runtime.block_on(futures::future::join_all(all)) {
            assert!(matches!(outcome, Err(AppendError::Poisoned { .. })), "{outcome:?}");
        }
        let mut reader = landing(&journal);
        assert_eq!(next(&mut reader).bytes, "durable");
        assert!(matches!(reader.next(Duration::ZERO), Err(JournalError::Poisoned { .. })));
        let handed = &journal.inner.shared.handed;
        assert!(handed.take(Seq(2)).is_none() && handed.take(Seq(3)).is_none());
        assert_eq!(journal.handed_bytes(), 0);
    }
}

#[test]
fn a_group_that_is_no_longer_in_its_directory_is_handed_to_nobody() {
    let bench = bench(MANY, |_| {});
    let (journal, _) = bench.open();
    bench.disk.lose_directory(true);
    assert!(bench.try_append(&journal, "gone").is_err());
    assert!(journal.inner.shared.handed.take(Seq(1)).is_none());
    assert!(matches!(landing(&journal).next(Duration::ZERO), Err(JournalError::Poisoned { .. })));
}

#[test]
fn a_retry_is_handed_on_once() {
    let bench = bench(MANY, |_| {});
    let (journal, _) = bench.open();
    let mut reader = landing(&journal);
    for _ in 0..3 {
        let all = [body("same"), body("same"), body("other")].map(|new| journal.append(new));
        bench.runtime.block_on(futures::future::join_all(all));
    }
    let mut found = [next(&mut reader).bytes, next(&mut reader).bytes];
    found.sort();
    assert_eq!(found, ["other", "same"]);
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::TimedOut)));
    assert_eq!(journal.handed_bytes(), 0);
}

#[test]
fn a_refused_body_gives_its_memory_back() {
    let bench = bench(MANY, |_| {});
    let (journal, _) = bench.open();
    bench.disk.set_free_bytes(0);
    assert!(bench.try_append(&journal, "no room").is_err());
    journal.close();
    assert_eq!(bench.try_append(&journal, "closed"), Err(AppendError::Closed));
    assert_eq!(journal.handed_bytes(), 0);
}

#[test]
fn a_body_that_is_decoded_piece_by_piece_is_not_held() {
    let bench = bench(1 << 30, |_| {});
    let (journal, _) = bench.open();
    let long = vec![b' '; (8 << 20) + 1];
    bench.append(&journal, &long);
    assert_eq!(journal.handed_bytes(), 0);
    let mut reader = landing(&journal).holding_at_most(8 << 20);
    assert_eq!(next(&mut reader).stored.expect("not in memory").text_bytes(), long.len() as u64);
    bench.append(&journal, &long[1..]);
    assert!(journal.handed_bytes() > 8 << 20);
    assert_eq!(next(&mut reader).text_bytes(), 8 << 20);
}

#[test]
fn what_has_landed_by_another_reader_is_dropped() {
    let bench = bench(MANY, |_| {});
    let (journal, _) = bench.open();
    for number in 1..=10 {
        bench.append(&journal, text_of(number, 100));
    }
    assert_eq!(read_from(&journal, 1).len(), 10);
    journal.seal(&seal(1, 1, 9)).expect("sealed");
    assert_eq!(read_from(&journal, 1).len(), 10);
    journal.committed(Roll(1)).expect("committed");
    assert!(journal.handed_bytes() < 600, "{}", journal.handed_bytes());
    let mut reader = journal.reader(Seq(10)).taking_handed();
    spoil(&bench);
    assert_eq!(next(&mut reader).seq, Seq(10));
}

#[test]
fn a_second_landing_reader_finds_what_the_first_has_taken_on_disk() {
    let bench = bench(MANY, |options| options.segment_bytes = 2_000);
    let (journal, _) = bench.open();
    for number in 1..=20 {
        bench.append(&journal, text_of(number, 300));
    }
    let mut first = landing(&journal);
    (1..=9).for_each(|number| assert_eq!(next(&mut first).seq, Seq(number)));
    // The engine failed, and its successor begins with what is not sealed.
    drop(first);
    let mut second = journal.reader(Seq(4)).taking_handed();
    (4..=20).for_each(|number| assert_eq!(next(&mut second).seq, Seq(number)));
    assert_eq!(journal.inner.shared.handed.taken(), 20);
    assert_eq!(journal.handed_bytes(), 0);
}

#[test]
fn the_memory_of_a_body_is_counted_until_the_journal_counts_it() {
    let sessions = text_of(1, 50_000);
    for (hand_on_bytes, compress, is_kept) in
        [(MANY, false, false), (MANY, true, false), (0, true, false), (0, false, true)]
    {
        let bench = bench(hand_on_bytes, |options| {
            options.compress_from_bytes = compress.then_some(0);
        });
        let (journal, _) = bench.open();
        let guard: MemoryGuard = Arc::new(());
        let held = bench.disk.hold_syncs();
        thread::scope(|scope| {
            let (journal, theirs, sessions) = (&journal, Arc::clone(&guard), &sessions);
            let before = bench.disk.syncs_begun();
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            scope.spawn(move || {
                let append = journal.append_counted(body(sessions), Some(theirs));
                runtime.block_on(append).expect("taken");
            });
            bench.disk.await_sync(before);
            assert_eq!(Arc::strong_count(&guard) > 1, is_kept);
            drop(held);
        });
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
