//! Random histories against a model that is a list: what was acked, sealed and committed.

use proptest::prelude::*;

use super::fake::{FakeDisk, Fault};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Append this body: the number chooses among few, so that some come again.
    Append(u8, u16),
    /// Seal this share of what is not sealed.
    Seal(u8),
    Commit,
    /// Let time pass, in minutes.
    Wait(u8),
    Restart,
    /// Cut the power; the bytes say which unsynced changes stay.
    PowerCut(Vec<u8>),
    /// The next sync fails; append into it, then start again.
    FailedSync(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0..600_u16).prop_map(|(which, size)| Step::Append(which % 32, size)),
        2 => any::<u8>().prop_map(Step::Seal),
        2 => Just(Step::Commit),
        1 => (0..8_u8).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => prop::collection::vec(any::<u8>(), 1..16).prop_map(Step::PowerCut),
        1 => any::<u8>().prop_map(Step::FailedSync),
    ]
}

/// The expected state of the journal.
#[derive(Default)]
struct Model {
    /// Texts of bodies 1, 2, 3 … and when they were acked, in minutes.
    bodies: Vec<(Vec<u8>, u64)>,
    sealed: Vec<Seal>,
    next_roll: u64,
    sealed_seq: u64,
    committed_seq: u64,
    minute: u64,
}

impl Model {
    /// The number of this body if it was acked within ten minutes.
    fn known(&self, text: &[u8]) -> Option<u64> {
        let recent = |(body, acked): &(Vec<u8>, u64)| body == text && self.minute - acked < 10;
        self.bodies.iter().rposition(recent).map(|at| at as u64 + 1)
    }

    fn append(&mut self, bench: &Bench, journal: &Journal, text: Vec<u8>) {
        let receipt = bench.try_append(journal, &text).expect("taken");
        match self.known(&text) {
            Some(seq) => assert_eq!(receipt, Receipt { seq: Seq(seq), duplicate: true }),
            None => {
                self.bodies.push((text, self.minute));
                let seq = Seq(self.bodies.len() as u64);
                assert_eq!(receipt, Receipt { seq, duplicate: false });
            }
        }
    }

    /// A start finds what was acked, and at most one body more, if one was being written.
    fn check(&mut self, journal: &Journal, recovery: &Recovery, may_surface: Option<&[u8]>) {
        let acked = self.bodies.len() as u64;
        if let Some(text) = may_surface
            && recovery.next.0 == acked + 2
        {
            self.bodies.push((text.to_vec(), self.minute));
        }
        assert_eq!(recovery.next.0, self.bodies.len() as u64 + 1);
        assert_eq!(recovery.next_roll.0, self.next_roll + 1);
        assert_eq!(recovery.unsealed_from.0, self.sealed_seq + 1);
        assert_eq!(recovery.sealed, self.sealed);
        assert!(recovery.skipped.is_empty());
        assert_eq!(journal.status().committed_seq.0, self.committed_seq);
        let found = read_from(journal, self.committed_seq + 1);
        let expected = &self.bodies[self.committed_seq as usize..];
        assert_eq!(found.len(), expected.len());
        for (number, (found, expected)) in
            (self.committed_seq + 1..).zip(found.iter().zip(expected))
        {
            assert_eq!((found.seq.0, &found.bytes[..]), (number, &expected.0[..]));
        }
    }
}

fn text(which: u8, size: u16) -> Vec<u8> {
    let mut text = vec![which; usize::from(size)];
    text.extend_from_slice(format!("body {which}, {size}").as_bytes());
    text
}

fn run(steps: Vec<Step>, segment_bytes: u64) {
    let mut bench = Bench::with(|options| options.segment_bytes = segment_bytes);
    let mut model = Model::default();
    let (mut journal, recovery) = bench.open();
    model.check(&journal, &recovery, None);
    for step in steps {
        match step {
            Step::Append(which, size) => model.append(&bench, &journal, text(which, size / 100)),
            Step::Seal(share) => {
                let open = model.bodies.len() as u64 - model.sealed_seq;
                if open > 0 {
                    let last = model.sealed_seq + 1 + (open - 1) * u64::from(share) / 255;
                    model.next_roll += 1;
                    let seal = seal(model.next_roll, model.sealed_seq + 1, last);
                    journal.seal(&seal).expect("sealed");
                    model.sealed_seq = last;
                    model.sealed.push(seal);
                }
            }
            Step::Commit if model.sealed.is_empty() => {}
            Step::Commit => {
                let seal = model.sealed.remove(0);
                journal.committed(seal.roll).expect("committed");
                model.committed_seq = seal.range.last.0;
            }
            Step::Wait(minutes) => {
                model.minute += u64::from(minutes);
                bench.clock.advance(i64::from(minutes) * 60_000_000);
            }
            Step::Restart => {
                drop(journal);
                let (again, recovery) = bench.open();
                model.check(&again, &recovery, None);
                journal = again;
            }
            Step::PowerCut(choices) => {
                let after = cut(&bench.disk, &choices);
                drop(journal);
                bench.disk = Arc::new(after);
                let (again, recovery) = bench.open();
                model.check(&again, &recovery, None);
                journal = again;
            }
            Step::FailedSync(which) => {
                let text = text(which, 1000);
                if model.known(&text).is_some() {
                    continue;
                }
                bench.disk.fail(Fault::Sync);
                let refused = bench.try_append(&journal, &text);
                if let Err(AppendError::NoSegment { .. }) = refused {
                    // It was the sync of the next segment: nothing of the body was written.
                    assert_eq!(journal.poisoned(), None);
                    drop(journal);
                    let (again, recovery) = bench.open();
                    model.check(&again, &recovery, None);
                    journal = again;
                    continue;
                }
                assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
                let after = (which % 2 == 0).then(|| cut(&bench.disk, &[which]));
                drop(journal);
                if let Some(after) = after {
                    bench.disk = Arc::new(after);
                }
                let (again, recovery) = bench.open();
                model.check(&again, &recovery, Some(&text));
                // It is durable if it was found.
                let after = cut(&bench.disk, &[0]);
                drop(again);
                bench.disk = Arc::new(after);
                let (again, recovery) = bench.open();
                model.check(&again, &recovery, None);
                journal = again;
            }
        }
    }
    drop(journal);
    let (journal, recovery) = bench.open();
    model.check(&journal, &recovery, None);
}

fn cut(disk: &FakeDisk, choices: &[u8]) -> FakeDisk {
    let mut next = choices.iter().copied().cycle();
    disk.power_cut(|| next.next().unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_what_was_acked(
        steps in prop::collection::vec(step(), 1..60),
        segment_bytes in 1..2_000_u64,
    ) {
        run(steps, segment_bytes);
    }
}
