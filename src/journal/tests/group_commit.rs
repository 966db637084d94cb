//! Rates of group commit on a real disk: floors low enough for any machine, and figures to read
//! (`cargo test --release group_commit -- --nocapture`).

use std::time::Instant;

use super::*;
use crate::clock::SystemClock;

/// The most bytes that the exporter sends in one bulk.
const BODY_BYTES: usize = 896_000;

#[test]
fn appends_start_and_reader_have_their_least_rates() {
    let state = tempfile::tempdir().expect("a directory");
    let options =
        Options { reserve_bytes: 0, compress_from_bytes: None, ..Options::new(state.path()) };
    let open = || {
        Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options.clone()).expect("opens")
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut total = 0_u64;
    let (journal, _) = open();
    for (tasks, each) in [(1, 128), (16, 24)] {
        let began = Instant::now();
        runtime.block_on(async {
            let tasks = (0..tasks).map(|task: u64| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![task as u8; BODY_BYTES];
                    for number in 0..each {
                        bytes[..8].copy_from_slice(&u64::to_le_bytes(tasks << 32 | number));
                        let receipt = journal.append(body(&bytes)).await.expect("taken");
                        assert!(!receipt.duplicate);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("a task");
            }
        });
        let count = tasks * each;
        total += count;
        report(&format!("append, {tasks} tasks"), count, began);
    }
    drop(journal);
    let began = Instant::now();
    let (journal, recovery) = open();
    assert_eq!(recovery.next.0, total + 1);
    report("start", total, began);
    let began = Instant::now();
    let mut reader = journal.reader(Seq(1));
    for number in 1..=total {
        match reader.next(Duration::from_secs(30)) {
            Ok(Next::Body(body)) => {
                assert_eq!((body.seq.0, body.bytes.len()), (number, BODY_BYTES))
            }
            other => panic!("{other:?}"),
        }
    }
    report("reader", total, began);
}

fn report(what: &str, bodies: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let megabytes = bodies as f64 * BODY_BYTES as f64 / 1e6;
    println!(
        "{what}: {bodies} bodies of {BODY_BYTES} bytes, {:.0}/s, {:.0} MB/s",
        bodies as f64 / seconds,
        megabytes / seconds
    );
    assert!(megabytes / seconds > 1.0, "{what} is slower than any sender");
}
