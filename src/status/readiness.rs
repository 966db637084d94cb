//! Whether this process would take a body now: what `/health/ready` answers.
//!
//! What is behind the journal does not count: while the lake is away, bodies are acknowledged, and
//! a load balancer that took every node out would lose what could have been kept. It is trouble all
//! the same, is told beside the answer, and is a metric.
//!
//! Each part of the program says for itself whether it is ready, under a name of its own. A part
//! that has said nothing does not count, so whoever builds the parts declares the ones that take
//! time (`set("pipeline", Err("is starting".into()))`) before the listener is opened.
//!
//! Readiness is advice to a load balancer. No promise rests on it: what cannot be kept is refused
//! with 503 whether or not anybody asked here before.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;
use crate::metrics as names;

/// The state of every part that has one. Shared by `Arc`; both methods are quick and never wait for
/// anything but each other.
#[derive(Debug, Default)]
pub struct Readiness {
    // A mutex and not a channel: it is set a few times in a life and read once a probe.
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    ready: BTreeMap<&'static str, Result<(), String>>,
    trouble: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// No part has said anything: ready.
    #[must_use]
    pub fn new() -> Self {
        Readiness::default()
    }

    /// Says whether `part` is ready, and if not, why: a sentence without a subject, such as
    /// `"is replaying the journal"`. The last word counts.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        self.parts().ready.insert(part, state);
    }

    /// Says whether `part`, which is behind the journal, is in trouble, and in which. It stays
    /// ready.
    pub fn tell(&self, part: &'static str, state: Result<(), String>) {
        let mut parts = self.parts();
        match state {
            Ok(()) => parts.trouble.remove(part),
            Err(why) => parts.trouble.insert(part, why),
        };
        let any = !parts.trouble.is_empty();
        metrics::gauge!(names::LANDING_TROUBLE).set(f64::from(u8::from(any)));
    }

    /// The parts that are in trouble, sorted by name, each with its reason.
    #[must_use]
    pub fn trouble(&self) -> Vec<(&'static str, String)> {
        self.parts().trouble.iter().map(|(part, why)| (*part, why.clone())).collect()
    }

    /// # Errors
    /// The parts that are not ready, sorted by name, each with its reason.
    pub fn check(&self) -> Result<(), Vec<(&'static str, String)>> {
        let waiting: Vec<_> = self
            .parts()
            .ready
            .iter()
            .filter_map(|(part, state)| state.as_ref().err().map(|why| (*part, why.clone())))
            .collect();
        if waiting.is_empty() { Ok(()) } else { Err(waiting) }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic elsewhere cannot leave a map half changed: each change is one insert.
        lock(&self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_until_a_part_says_otherwise_and_again_when_it_takes_it_back() {
        let readiness = Readiness::new();
        assert_eq!(readiness.check(), Ok(()));

        readiness.set("store", Err("cannot be reached".into()));
        readiness.set("journal", Err("is full".into()));
        readiness.set("pipeline", Ok(()));
        assert_eq!(
            readiness.check(),
            Err(vec![("journal", "is full".into()), ("store", "cannot be reached".into())])
        );

        readiness.set("store", Ok(()));
        readiness.set("journal", Ok(()));
        assert_eq!(readiness.check(), Ok(()));
    }

    #[test]
    fn trouble_behind_the_journal_is_told_and_keeps_nobody_from_being_ready() {
        let readiness = Readiness::new();
        readiness.tell("lake", Err("cannot be reached".into()));
        assert_eq!(readiness.check(), Ok(()));
        assert_eq!(readiness.trouble(), [("lake", "cannot be reached".to_owned())]);
        readiness.tell("lake", Ok(()));
        assert_eq!(readiness.trouble(), []);
    }
}
