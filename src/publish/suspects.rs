//! Suspects: the decisions by which a roll that cannot be made is taken apart. Pure: no I/O.
//!
//! A failure says which bodies the roll had and, where that is known, which were being taken in. The
//! next attempt makes a roll of the bodies before those; a roll that failed as a whole is divided by
//! 16. So after a few failures the body that is to blame is alone in its roll. It is set aside when it
//! fails alone for the [`ALONE_TRIES`]th time while a roll of that size has room, and not before: a disk
//! that is full for everybody, or a store that is away, sets nothing aside.
//!
//! A roll that is sealed cannot be divided, since its range is fixed. A body is set aside from it when
//! it is the one at which the decoder has failed that often, or anything else [`SEALED_TRIES`] times.
//! What of the roll stands in the lake already was made with that body: then its counts differ, and the
//! publisher stops rather than to land a line twice.
//!
//! A process that dies (killed for its memory, aborted) leaves no word. So starts are counted until a
//! roll is committed, and from the [`RECORDED_START`]th on each step of the work is recorded before it
//! begins. A record that a start finds is a failure like any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Seq, SeqRange};
use crate::roll::care::{SetAside, Work, count};

/// Version of the form of the memory.
pub(super) const VERSION: u32 = 1;
/// Failures of a body alone after which it is set aside.
pub(super) const ALONE_TRIES: u32 = 3;
/// Failures at one body of a sealed roll after which it is set aside, if it was not the decoder.
const SEALED_TRIES: u32 = 5;
/// Starts without a commit between them, this one among them, from which on work is recorded.
const RECORDED_START: u32 = 3;
/// Rolls into which one that failed as a whole is divided.
const DIVISOR: u64 = 16;
/// The reason of a body with which the process died.
const DIED: &str = "the process ended each time while a roll was made of it";

/// The memory of failures, in the state directory as long as there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspects {
    /// Version of this form.
    pub(super) version: u32,
    /// The node whose bodies are numbered.
    pub(super) node: String,
    /// The first body that had not landed at the last start.
    #[serde(default)]
    from: u64,
    /// Starts since the last commit.
    #[serde(default)]
    starts: u32,
    #[serde(default)]
    plan: Option<Plan>,
    #[serde(default)]
    tried: Option<Tried>,
    #[serde(default)]
    under_way: Option<UnderWay>,
    /// Bodies that are set aside, with their reasons, until they have landed.
    #[serde(default)]
    set_aside: BTreeMap<u64, String>,
}

/// The way in which bodies are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The last suspect.
    pub(super) until: u64,
    /// Most bodies of a roll of suspects.
    pub(super) roll_bodies: u64,
    /// The work is recorded.
    pub(super) recorded: bool,
}

impl Plan {
    /// Returns the most bodies of a job of suspects. A record costs a sync or two.
    pub(super) fn job_bodies(&self) -> u64 {
        if self.recorded { self.roll_bodies } else { 1 }
    }
}

/// The body that failed last as the only one that can be to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    seq: u64,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UnderWay {
    first: u64,
    last: u64,
    finish: bool,
}

/// A failure, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Bodies of the roll.
    pub(super) range: SeqRange,
    /// Bodies that were being taken in; none while the roll was finished.
    pub(super) at: Option<SeqRange>,
    pub(super) is_of_decoder: bool,
    pub(super) is_sealed: bool,
    /// Another roll of that size could be made.
    pub(super) has_room: bool,
    pub(super) why: String,
}

/// The decision on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Other rolls are made of the bodies.
    Divide,
    /// The same is tried again.
    Again,
    /// This body is set aside.
    SetAside(Seq),
}

impl Suspects {
    /// Returns the memory of the node `node` before any failure.
    pub(super) fn of(node: &str) -> Suspects {
        Suspects { version: VERSION, node: node.to_owned(), ..Suspects::default() }
    }

    /// Returns true when there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        let Suspects { starts, plan, tried, under_way, set_aside, .. } = self;
        *starts == 0
            && plan.is_none()
            && tried.is_none()
            && under_way.is_none()
            && set_aside.is_empty()
    }

    /// Takes note of a start with the bodies `waiting`, the first of which are of `sealed` if a roll is.
    pub(super) fn started(&mut self, waiting: SeqRange, sealed: Option<SeqRange>) -> Verdict {
        let from = waiting.first.0;
        self.forget_before(waiting.first);
        let died = self.under_way.take().filter(|work| work.last >= from);
        let verdict = died.map_or(Verdict::Again, |work| {
            let at = SeqRange { first: Seq(work.first.max(from)), last: Seq(work.last) };
            let range = sealed.unwrap_or(SeqRange { first: waiting.first, last: at.last });
            self.failed(&Failure {
                range,
                at: (!work.finish).then_some(at),
                is_of_decoder: false,
                is_sealed: sealed.is_some(),
                has_room: true,
                why: DIED.to_owned(),
            })
        });
        self.starts = if self.from == from { self.starts.saturating_add(1) } else { 1 };
        self.from = from;
        if self.starts >= RECORDED_START {
            // Of a roll that is sealed no body behind it is under way, and each would be a roll of its own.
            let planned = self.plan.map_or(0, |plan| plan.until);
            let until = sealed.map_or(waiting.last.0, |sealed| sealed.last.0.max(planned));
            let roll_bodies = match self.plan {
                Some(plan) => plan.roll_bodies,
                None if sealed.is_some() => 1,
                None => u64::MAX,
            };
            self.plan = Some(Plan { until, roll_bodies, recorded: true });
        }
        verdict
    }

    /// Decides on a failure.
    pub(super) fn failed(&mut self, failure: &Failure) -> Verdict {
        let Failure { range, at, is_of_decoder, is_sealed, has_room, .. } = *failure;
        let recorded = self.plan.is_some_and(|plan| plan.recorded);
        let one = at.filter(|at| at.first == at.last).map(|at| at.first);
        let alone = (range.first == range.last).then_some(range.first);
        let blamed = alone.or_else(|| one.filter(|_| is_of_decoder || is_sealed));
        let blamed = blamed.filter(|seq| !self.set_aside.contains_key(&seq.0));
        if let Some(seq) = blamed {
            // Those before it are not to blame when the decoder failed: they are one roll.
            let before = seq.0.saturating_sub(range.first.0).max(1);
            let roll_bodies = if is_sealed { 1 } else { before };
            self.plan = Some(Plan { until: seq.0, roll_bodies, recorded });
            if !has_room {
                return Verdict::Again;
            }
            let before = self.tried.filter(|tried| tried.seq == seq.0);
            let failures = before.map_or(0, |tried| tried.failures).saturating_add(1);
            let is_certain = alone.is_some() || is_of_decoder;
            if failures < if is_certain { ALONE_TRIES } else { SEALED_TRIES } {
                self.tried = Some(Tried { seq: seq.0, failures });
                return Verdict::Again;
            }
            self.tried = None;
            self.set_aside.insert(seq.0, failure.why.clone());
            return Verdict::SetAside(seq);
        }
        let roll_bodies = match at {
            _ if is_sealed => 1,
            Some(at) if at.first > range.first => at.first.0 - range.first.0,
            _ => (count(range) / DIVISOR).max(1),
        };
        let until = at.map_or(range.last, |at| at.last).0;
        self.plan = Some(Plan { until, roll_bodies, recorded });
        if is_sealed { Verdict::Again } else { Verdict::Divide }
    }

    /// Takes note of the commit of a roll whose last body is `last`.
    pub(super) fn committed(&mut self, last: Seq) {
        self.starts = 0;
        self.forget_before(last.next());
    }

    /// Takes note of the work that begins, or that none is under way.
    pub(super) fn works(&mut self, work: Option<Work>) {
        let of =
            |range: SeqRange, finish| UnderWay { first: range.first.0, last: range.last.0, finish };
        self.under_way = work.map(|work| match work {
            Work::Job(range) => of(range, false),
            Work::Finish(range) => of(range, true),
        });
    }

    /// Returns the way in which bodies are tried, if there are suspects.
    pub(super) fn plan(&self) -> Option<Plan> {
        self.plan
    }

    /// Returns the bodies that are set aside.
    pub(super) fn set_aside(&self) -> SetAside {
        self.set_aside.iter().map(|(seq, why)| (Seq(*seq), why.clone())).collect()
    }

    /// Forgets bodies before `from`.
    fn forget_before(&mut self, from: Seq) {
        self.set_aside = self.set_aside.split_off(&from.0);
        self.plan = self.plan.filter(|plan| plan.until >= from.0);
        self.tried = self.tried.filter(|tried| tried.seq >= from.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    /// A roll is made of the bodies from `first` to `last`, of which `bad` fails: when it is taken in,
    /// or when the roll is finished. Returns the failures until all have landed, and those set aside.
    fn land(first: u64, last: u64, bad: u64, at_finish: bool, jobs: u64) -> (u64, Vec<Seq>) {
        let (mut suspects, mut failures, mut set_aside) = (Suspects::default(), 0, Vec::new());
        let mut from = first;
        while from <= last {
            let plan = suspects.plan().filter(|plan| from <= plan.until);
            let most = plan.map_or(u64::MAX, |plan| plan.roll_bodies);
            let end = last.min(from.saturating_add(most - 1));
            let skip = suspects.set_aside().contains_key(&Seq(bad));
            if skip || !(from..=end).contains(&bad) {
                suspects.committed(Seq(end));
                from = end + 1;
                continue;
            }
            failures += 1;
            assert!(failures < 100, "{suspects:?}");
            let width = plan.map_or(jobs, |plan| plan.job_bodies().min(jobs));
            let job = from + (bad - from) / width * width;
            let job = range(job, end.min(job + width - 1));
            let (range, at) = match at_finish {
                true => (range(from, end), None),
                false => (range(from, job.last.0), Some(job)),
            };
            let failure = Failure {
                range,
                at,
                is_of_decoder: false,
                is_sealed: false,
                has_room: true,
                why: "defect".to_owned(),
            };
            if let Verdict::SetAside(seq) = suspects.failed(&failure) {
                set_aside.push(seq);
            }
        }
        assert_eq!(suspects, Suspects { version: 0, ..Suspects::default() }, "all is forgotten");
        (failures, set_aside)
    }

    #[test]
    fn the_body_that_is_to_blame_is_found_in_few_failures_and_alone_set_aside() {
        for (last, bad) in [(1, 1), (2, 1), (2, 2), (1000, 1), (1000, 731), (1000, 1000)] {
            for at_finish in [false, true] {
                for jobs in [1, 7, 300] {
                    let (failures, set_aside) = land(1, last, bad, at_finish, jobs);
                    assert_eq!(set_aside, [Seq(bad)]);
                    assert!(failures <= 10, "{failures} for {bad} of {last}");
                }
            }
        }
        let (failures, _) = land(1, 1_000_000, 654_321, true, 1);
        assert!(failures <= 12, "{failures}");
    }

    #[test]
    fn without_room_for_a_roll_nothing_is_set_aside() {
        let mut suspects = Suspects::default();
        let failure = Failure {
            range: range(5, 5),
            at: Some(range(5, 5)),
            is_of_decoder: false,
            is_sealed: false,
            has_room: false,
            why: "the disk is full".to_owned(),
        };
        for _ in 0..100 {
            assert_eq!(suspects.failed(&failure), Verdict::Again);
        }
        let failure = Failure { has_room: true, ..failure };
        let verdicts = [0; 3].map(|_| suspects.failed(&failure));
        assert_eq!(verdicts, [Verdict::Again, Verdict::Again, Verdict::SetAside(Seq(5))]);
    }

    #[test]
    fn a_process_that_dies_of_a_body_ends_that_after_some_starts() {
        let (mut suspects, bad) = (Suspects::default(), 700);
        let (mut from, mut starts, last) = (1, 0, 1_000);
        'starts: while from <= last {
            starts += 1;
            assert!(starts < 20, "{suspects:?}");
            suspects.started(range(from, last), None);
            while from <= last {
                let plan = suspects.plan().filter(|plan| from <= plan.until);
                let most = plan.map_or(u64::MAX, |plan| plan.roll_bodies);
                let end = last.min(from.saturating_add(most - 1));
                let skip = suspects.set_aside().contains_key(&Seq(bad));
                let mut job = from;
                while job <= end {
                    let job_end = end.min(job + 99);
                    if plan.is_some_and(|plan| plan.recorded) {
                        suspects.works(Some(Work::Job(range(job, job_end))));
                    }
                    if !skip && (job..=job_end).contains(&bad) {
                        continue 'starts;
                    }
                    job = job_end + 1;
                }
                suspects.works(None);
                suspects.committed(Seq(end));
                from = end + 1;
            }
        }
        assert!(starts <= 10, "{starts}");
        assert!(suspects.is_empty(), "{suspects:?}");
    }

    #[test]
    fn bodies_beside_the_ones_to_blame_are_no_suspects() {
        let failure = |range: SeqRange, at: Option<SeqRange>, is_of_decoder| Failure {
            range,
            at,
            is_of_decoder,
            is_sealed: false,
            has_room: true,
            why: "defect".to_owned(),
        };
        // The store is away, and a roll is sealed, while the process is restarted over and over.
        let mut suspects = Suspects::default();
        for _ in 0..10 {
            suspects.started(range(1, 100_000), Some(range(1, 9)));
        }
        assert_eq!(suspects.plan().map(|plan| (plan.until, plan.recorded)), Some((9, true)));
        suspects.committed(Seq(9));
        assert!(suspects.is_empty(), "the other rolls are as ever: {suspects:?}");
        // The decoder fails in the middle of a body that is not alone.
        suspects.failed(&failure(range(10, 5_000), Some(range(5_000, 5_000)), true));
        let plan = Plan { until: 5_000, roll_bodies: 4_990, recorded: false };
        assert_eq!(suspects.plan(), Some(plan), "those before it are one roll");
    }

    #[test]
    fn kills_between_commits_make_nobody_a_suspect() {
        let mut suspects = Suspects::default();
        for first in 1..50 {
            suspects.started(range(first, 90), None);
            suspects.committed(Seq(first));
            assert_eq!(suspects.plan(), None);
        }
        // Killed before the first commit, over and over, with nothing under way.
        for _ in 0..50 {
            suspects.started(range(50, 90), None);
            suspects.works(Some(Work::Job(range(50, 50))));
            suspects.works(None);
        }
        assert!(suspects.set_aside().is_empty());
        suspects.committed(Seq(90));
        assert!(suspects.is_empty());
    }

    #[test]
    fn a_body_of_a_sealed_roll_is_set_aside_after_more_failures() {
        let sealed = |is_of_decoder| Failure {
            range: range(1, 9),
            at: Some(range(4, 4)),
            is_of_decoder,
            is_sealed: true,
            has_room: true,
            why: "defect".to_owned(),
        };
        for (is_of_decoder, tries) in [(true, ALONE_TRIES), (false, SEALED_TRIES)] {
            let mut suspects = Suspects::default();
            for _ in 1..tries {
                assert_eq!(suspects.failed(&sealed(is_of_decoder)), Verdict::Again);
            }
            assert_eq!(suspects.failed(&sealed(is_of_decoder)), Verdict::SetAside(Seq(4)));
        }
    }
}
