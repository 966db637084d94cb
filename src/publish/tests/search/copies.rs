//! Copies of the state directory: older ones that are brought back, clones, and other lakes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::harness::{Harness, body_of, land};
use super::{History, Tally};
use crate::dedup::tests::fake::FakeFile;
use crate::journal::Journal;
use crate::journal::tests::fake::FakeDisk;
use crate::lake::{Lake, LakeId};

/// A copy of the state directory.
pub(super) struct Copy {
    disk: Arc<FakeDisk>,
    index: FakeFile,
    /// The bodies that were acknowledged by then.
    acked: BTreeMap<u64, usize>,
}

impl Copy {
    /// Copies the state directory of a process that is dead, or ends with it.
    pub(super) fn of(harness: &Harness, acked: &BTreeMap<u64, usize>) -> Copy {
        let (disk, index) = (Arc::new(harness.disk.killed()), harness.index.killed());
        Copy { disk, index, acked: acked.clone() }
    }
}

impl History {
    /// Starts on a copy, appends fresh bodies and lands, beside the state directory of the history.
    /// Returns the outcome and the bodies by number.
    fn beside(
        &self,
        copy: &Copy,
        fresh: &[usize],
        lake: Option<Lake>,
    ) -> (anyhow::Result<()>, BTreeMap<u64, usize>) {
        let (clock, options) = (self.harness.clock.clone(), self.harness.options.clone());
        let Copy { disk, index, .. } = copy;
        let (journal, recovery) = Journal::open(disk.clone(), clock, options).expect("opens");
        let mut supervisor = self.harness.supervisor_on(disk, index, &journal, &recovery);
        supervisor.staging = self.harness.staging().with_file_name("beside");
        supervisor.lake = lake.unwrap_or(supervisor.lake);
        let new = fresh.iter().map(|at| &self.asked[*at]).map(|b| body_of(b.table, &b.text));
        let acked = self.harness.append_bodies(&journal, new);
        let acked = acked.into_iter().map(|acked| acked.expect("taken").seq.0);
        let acked = acked.zip(fresh.iter().copied()).collect();
        journal.close();
        (land(&supervisor, disk), acked)
    }

    /// Goes on with a copy, which `more` were acknowledged by since.
    fn go_on_with(&mut self, copy: Copy, more: BTreeMap<u64, usize>) {
        self.harness.disk = Arc::new(copy.disk.killed());
        self.harness.index = copy.index.killed();
        self.acked = copy.acked.into_iter().chain(more).collect();
        self.asked.iter_mut().for_each(|asked| asked.acked = false);
        for at in self.acked.values() {
            self.asked[*at].acked = true;
        }
    }

    /// Ends faults. Nothing of a life is under way.
    fn calm(&mut self) {
        self.harness.disk.plan_fault(None);
        self.harness.index.fail_at(None, None);
        self.harness.store.die_at(None, &self.harness.disk);
        self.harness.store.inject_faults(0);
        self.harness.block_on(self.harness.store.settle());
    }

    /// An older copy of the state directory is brought back, and its original is started after it.
    pub(super) fn bring_back(&mut self, tally: &mut Tally) {
        let among = self.copies.len() as u64;
        if among == 0 || self.harness.disk.is_off() {
            return;
        }
        self.calm();
        let copy = self.copies.swap_remove(self.dice.below(among) as usize);
        let objects = self.harness.objects();
        let before = fences(&self.harness);
        let fresh = [self.fresh()];
        let (landed, more) = self.beside(&copy, &fresh, None);
        if landed.is_err() {
            tally.copies_refused += 1;
            assert_eq!(self.harness.objects(), objects, "an older copy has put something");
            // It may have taken the fence before it was refused. Its original is told what to do then.
            if fences(&self.harness) != before {
                self.harness.delete(|name| name.contains("_nodes/"));
            }
            return;
        }
        tally.copies_taken += 1;
        let overtaken = Copy::of(&self.harness, &self.acked);
        let (fresh, objects) = ([self.fresh()], self.harness.objects());
        let (landed, _) = self.beside(&overtaken, &fresh, None);
        assert!(landed.is_err(), "two copies of one state directory go on");
        assert_eq!(self.harness.objects(), objects, "the overtaken one has put something");
        self.go_on_with(copy, more);
        self.copies.clear();
    }

    /// A clone is started beside its original. One of them lands.
    pub(super) fn clone_beside(&mut self, tally: &mut Tally) {
        // Without a segment both would be new nodes.
        if self.harness.disk.is_off() || self.harness.segments().is_empty() {
            return;
        }
        self.calm();
        self.harness.store.inject_faults([0, 6][self.dice.below(2) as usize]);
        tally.clones += 1;
        let copies = [(); 2].map(|()| Copy::of(&self.harness, &self.acked));
        let fresh = [[self.fresh()], [self.fresh()]];
        let this = &*self;
        let ended = std::thread::scope(|scope| {
            let [one, other] = [0, 1].map(|at| {
                let (copy, fresh) = (&copies[at], &fresh[at]);
                scope.spawn(move || this.beside(copy, fresh, None))
            });
            [one, other].map(|thread| thread.join().expect("no panic"))
        });
        let went_on: Vec<bool> = ended.iter().map(|(landed, _)| landed.is_ok()).collect();
        assert_eq!(went_on.iter().filter(|on| **on).count(), 1, "{went_on:?}");
        let winner = usize::from(went_on[1]);
        let [one, other] = copies;
        let winning = if winner == 0 { one } else { other };
        let [(_, one), (_, other)] = ended;
        self.go_on_with(winning, if winner == 0 { one } else { other });
        self.copies.clear();
    }

    /// A start finds another lake, or none.
    pub(super) fn find_another_lake(&mut self, tally: &mut Tally) {
        let there = self.harness.disk.bytes_if_there(&self.harness.options.dir.join("lake.json"));
        // A start that died early may have remembered an epoch, and no lake yet.
        let remembers = |bytes: Vec<u8>| {
            let memory: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            memory["lake"].is_string()
        };
        if self.harness.disk.is_off() || !there.is_some_and(remembers) {
            return;
        }
        self.calm();
        tally.other_lakes += 1;
        let other = Lake::below(Arc::new(self.harness.store.clone()), "other");
        if self.dice.one_in(2) {
            let id = LakeId::random().expect("random");
            let identified = other.identify(&id);
            // The store may be away still.
            let _ = self.harness.block_on(identified);
        }
        let (copy, objects) = (Copy::of(&self.harness, &self.acked), self.harness.all_objects());
        let fresh = [self.fresh()];
        let (landed, _) = self.beside(&copy, &fresh, Some(other));
        assert!(landed.is_err(), "it lands in another lake");
        assert_eq!(self.harness.all_objects(), objects, "something was put in another lake");
        self.harness.delete(|name| name.starts_with("other/"));
    }
}

/// Returns the fences of the lake, by name.
fn fences(harness: &Harness) -> Vec<(String, Vec<u8>)> {
    let all = harness.all_objects().into_iter();
    let fences = all.filter(|(name, _)| name.contains("_nodes/"));
    fences.map(|(name, bytes)| (name, bytes.to_vec())).collect()
}
