//! The events of rolls, as their observers get them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::harness::{Harness, line};
use crate::clock::SystemClock;
use crate::publish::publisher::RollLog as _;
use crate::record::{Micros, Roll, Seq, SeqRange};
use crate::status::{Board, Observer, Observers, Readiness, RejectSample, RollEvent, RollState};

/// Keeps every event but `Filling` and `Stage`, which have times.
#[derive(Default)]
struct Keeps(Mutex<Vec<RollEvent>>);

impl Observer for Keeps {
    fn observe(&self, _at: Micros, event: &RollEvent) {
        if !matches!(event, RollEvent::Filling { .. } | RollEvent::Stage { .. }) {
            self.0.lock().push(event.clone());
        }
    }
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange { first: Seq(first), last: Seq(last) }
}

#[test]
fn a_roll_emits_each_step_once_and_in_order() {
    let harness = Harness::new(11);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    let (keeps, board) = (Arc::new(Keeps::default()), Arc::new(Board::default()));
    supervisor.observers =
        Observers::new(Arc::new(SystemClock), vec![keeps.clone(), board.clone()]);
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    harness.append(&journal, &line("b2", 1, true)).expect("taken");
    journal.close();
    supervisor.run().expect("landed");
    let (roll, range) = (Roll::FIRST, range(1, 2));
    let events = std::mem::take(&mut *keeps.0.lock());
    let bytes = match events.get(2) {
        Some(RollEvent::Finished { bytes, .. }) => *bytes,
        other => panic!("{other:?}"),
    };
    assert!(bytes > 0);
    let (rows, rejects, files) = (1, 1, 1);
    let expected = [
        RollEvent::Opened { roll },
        RollEvent::Rejected {
            roll,
            table: "visits".to_owned(),
            lines: vec![("truncated", 1)],
            samples: vec![RejectSample {
                code: "truncated",
                reason: "unexpected end of the line at byte 20".to_owned(),
                seq: Seq(2),
                line: 1,
                lines: 1,
                bytes: 19,
                masked: Some("{\"id\":\"…\",\"on\":\"…\"»".to_owned()),
            }],
        },
        RollEvent::Finished { roll, range, reason: "end", lines: 2, rows, rejects, files, bytes },
        RollEvent::Sealed { roll, range },
        RollEvent::Landed { roll },
        RollEvent::Committed { roll, rows, rejects, doubled: 0, files, bytes },
        RollEvent::TableLanded {
            roll,
            table: "visits".to_owned(),
            rows,
            files,
            bytes,
            small_files: files,
            doubled: 0,
            rejects: vec![(Some("truncated"), rejects)],
        },
    ];
    assert_eq!(events, expected);
    let rolls = board.rolls();
    assert_eq!((rolls[0].state, rolls[0].lines, rolls[0].rows), (RollState::Committed, 2, 1));
}

#[test]
fn a_sealed_roll_that_is_made_again_says_so_and_is_not_sealed_again() {
    let harness = Harness::new(12);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    let seal = crate::journal::Seal {
        roll: Roll::FIRST,
        range: range(1, 1),
        settings: supervisor.tables.to_json(),
    };
    supervisor.log().seal(&seal).expect("sealed");
    supervisor.take_fence().expect("taken");
    harness.store.go_away(1);
    let keeps = Arc::new(Keeps::default());
    supervisor.observers = Observers::new(Arc::new(SystemClock), vec![keeps.clone()]);
    journal.close();
    supervisor.run().expect("landed");
    let events = std::mem::take(&mut *keeps.0.lock());
    let names: Vec<&str> = events.iter().map(name).collect();
    assert_eq!(
        names,
        [
            "redone",
            "retrying",
            "recovered",
            "opened",
            "finished",
            "landed",
            "committed",
            "table landed"
        ]
    );
    assert_eq!(events.first().and_then(RollEvent::roll), Some(Roll::FIRST));
}

fn name(event: &RollEvent) -> &'static str {
    match event {
        RollEvent::Opened { .. } => "opened",
        RollEvent::TableLanded { .. } => "table landed",
        RollEvent::Finished { .. } => "finished",
        RollEvent::Sealed { .. } => "sealed",
        RollEvent::Redone { .. } => "redone",
        RollEvent::Retrying { tries: 1, .. } => "retrying",
        RollEvent::Recovered { tries: 1, .. } => "recovered",
        RollEvent::Landed { .. } => "landed",
        RollEvent::Committed { .. } => "committed",
        _ => "another",
    }
}

#[test]
fn the_oldest_body_that_has_not_landed_is_known_while_the_store_is_away() {
    let harness = Harness::new(13);
    let (journal, mut recovery) = harness.open().expect("opens");
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    harness.append(&journal, &line("b2", 1, false)).expect("taken");
    let settings = harness.supervisor(&journal, &recovery).tables.to_json();
    let seal = crate::journal::Seal { roll: Roll::FIRST, range: range(1, 1), settings };
    journal.seal(&seal).expect("sealed");
    // As the next start finds it.
    (recovery.unsealed_from, recovery.next_roll) = (Seq(2), Roll(2));
    recovery.sealed.push(seal);
    let mut supervisor = harness.supervisor(&journal, &recovery);
    let readiness = Arc::clone(&supervisor.readiness);
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    struct Looks(Arc<Readiness>, Arc<Mutex<Vec<Option<Micros>>>>);
    impl Observer for Looks {
        fn observe(&self, _at: Micros, event: &RollEvent) {
            if matches!(event, RollEvent::Retrying { .. } | RollEvent::Committed { .. }) {
                self.1.lock().push(self.0.oldest_pending());
            }
        }
    }
    let looks = Arc::new(Looks(Arc::clone(&readiness), Arc::clone(&seen)));
    supervisor.observers = Observers::new(Arc::new(SystemClock), vec![looks]);
    // The sealed roll is looked for before any of its bodies is read.
    harness.store.go_away(2);
    journal.close();
    supervisor.run().expect("landed");
    let at = Some(Micros(1_000_000_000));
    assert_eq!(seen.lock()[..], [at, at, None, None]);
}
