//! Readiness: the answer of `/health/ready`.
//!
//! A process is ready while it accepts bodies. Parts behind the journal do not count: while the lake
//! is away, bodies are acknowledged, and a load balancer that took every node out would lose those
//! that could have been kept. Their trouble is reported beside the answer, and is a metric.
//!
//! The server sets its stage: it is not ready while it starts or stops. Each part sets its own state,
//! under a name of its own; a part that has set nothing does not count.
//!
//! Readiness is advice to a load balancer. No promise rests on it: a body that cannot be kept is
//! refused with 503 in any case.
//!
//! A reason may hold the text of a store or a lake: it is one line of bounded length.
//!
//! Beside it stands the time at which the oldest body that has not landed was received: one partition
//! that cannot be written keeps all tables waiting, and this shows since when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::clock::{Clock as _, SystemClock};
use crate::error_text::shown;
use crate::metrics as names;
use crate::record::Micros;

use super::stage::Stage;

/// The part that requests of rolls to the lake report to.
const LAKE: &str = "lake";

/// The states of all parts. Shared by `Arc`; no method waits for anything but another one.
#[derive(Debug, Default)]
pub struct Readiness {
    // A mutex and not a channel: it is set a few times in a life and read once a probe.
    parts: Mutex<Parts>,
    /// Grows as long as the server's own loop runs.
    beats: AtomicU64,
    /// Woken at each new stage.
    staged: Notify,
}

#[derive(Debug, Default)]
struct Parts {
    ready: BTreeMap<&'static str, Result<(), String>>,
    trouble: BTreeMap<&'static str, Trouble>,
    oldest_pending: Option<Micros>,
    stage: Stage,
}

/// A part behind the journal that is in trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The part.
    pub part: &'static str,
    /// The time at which it was set while there was none.
    pub since: Micros,
    /// The fault, and the remedy.
    pub why: String,
}

impl Trouble {
    fn begun(part: &'static str, since: Micros) -> Trouble {
        Trouble { part, since, why: String::new() }
    }
}

impl Readiness {
    /// Makes a readiness without any part: ready.
    #[must_use]
    pub fn new() -> Self {
        Readiness::default()
    }

    /// Sets the state of `part`: ready, or the reason why not, as a sentence without a subject, such
    /// as `"is replaying the journal"`. Replaces its state before.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        metrics::gauge!(names::READY, "part" => part).set(f64::from(u8::from(state.is_ok())));
        self.parts().ready.insert(part, state.map_err(|why| shown(&why)));
    }

    /// Sets the stage of the server's life. It is ready in [`Stage::Running`] alone.
    pub fn set_stage(&self, stage: Stage) {
        let stopping = matches!(stage, Stage::Stopping(_));
        metrics::gauge!(names::DRAINING).set(f64::from(u8::from(stopping)));
        let takes = f64::from(u8::from(stage == Stage::Running));
        metrics::gauge!(names::READY, "part" => "receive").set(takes);
        let mut parts = self.parts();
        let is_new = std::mem::discriminant(&parts.stage) != std::mem::discriminant(&stage);
        parts.stage = stage.shown();
        if is_new {
            self.staged.notify_one();
        }
    }

    /// Waits for the next stage, whatever its sentence is. For one waiter: a stage that was set before
    /// the call is not missed.
    ///
    /// # Cancel safety
    /// Dropped, it may miss the stage that has just been set.
    pub async fn next_stage(&self) {
        self.staged.notified().await;
    }

    /// Returns the stage of the server's life.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.parts().stage.clone()
    }

    /// Notes that the server's loop runs.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often [`beat`](Self::beat) was called.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Returns the state of the server as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let parts = |list: Vec<(&'static str, String)>| {
            let list = list.into_iter().map(|(part, why)| format!("{part}: {why}"));
            list.collect::<Vec<_>>().join("; ")
        };
        let trouble = parts(self.trouble());
        match (self.stage(), self.check()) {
            (Stage::Starting(why), _) => format!("starting: {why}"),
            (Stage::Stopping(why), _) => format!("stopping: {why}"),
            (Stage::Running, Err(waiting)) => format!("takes no bodies: {}", parts(waiting)),
            (Stage::Running, Ok(())) if trouble.is_empty() => "takes bodies".to_owned(),
            (Stage::Running, Ok(())) => format!("takes bodies; in trouble: {trouble}"),
        }
    }

    /// Sets or clears the trouble of `part`, which is behind the journal. Readiness stays as it is.
    pub fn set_trouble(&self, part: &'static str, state: Result<(), String>) {
        let mut parts = self.parts();
        let is_well = state.is_ok();
        let since = match state {
            Ok(()) => {
                parts.trouble.remove(part);
                None
            }
            Err(why) => {
                let now = SystemClock.now();
                let trouble = parts.trouble.entry(part).or_insert(Trouble::begun(part, now));
                trouble.why = shown(&why);
                Some(trouble.since)
            }
        };
        metrics::gauge!(names::TROUBLE, "part" => part).set(f64::from(u8::from(!is_well)));
        if part == LAKE {
            metrics::gauge!(names::LAKE_UP).set(f64::from(u8::from(is_well)));
            metrics::gauge!(names::LAKE_TROUBLE_SINCE).set(since.map_or(0.0, names::timestamp));
        }
    }

    /// Returns the parts that are in trouble, sorted by name, each with its reason.
    #[must_use]
    pub fn trouble(&self) -> Vec<(&'static str, String)> {
        self.troubles().into_iter().map(|trouble| (trouble.part, trouble.why)).collect()
    }

    /// Returns the trouble of all parts, sorted by name.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.parts().trouble.values().cloned().collect()
    }

    /// Sets the time at which the oldest body that has not landed was received; `None` when all have
    /// landed.
    pub fn set_oldest_pending(&self, received_at: Option<Micros>) {
        self.parts().oldest_pending = received_at;
        let seconds = received_at.map_or(0.0, names::timestamp);
        metrics::gauge!(names::JOURNAL_OLDEST_PENDING).set(seconds);
    }

    /// Returns what was set by [`Readiness::set_oldest_pending`] last.
    #[must_use]
    pub fn oldest_pending(&self) -> Option<Micros> {
        self.parts().oldest_pending
    }

    /// Checks that every part is ready.
    ///
    /// # Errors
    /// The parts that are not ready, sorted by name, each with its reason.
    pub fn check(&self) -> Result<(), Vec<(&'static str, String)>> {
        let parts = self.parts();
        let stage = match &parts.stage {
            Stage::Starting(why) => Some(("start", why.clone())),
            Stage::Running => None,
            Stage::Stopping(why) => Some(("stop", why.clone())),
        };
        let ready = parts.ready.iter();
        let waiting =
            ready.filter_map(|(part, state)| state.as_ref().err().map(|why| (*part, why.clone())));
        let mut waiting: Vec<_> = waiting.chain(stage).collect();
        waiting.sort_by_key(|(part, _)| *part);
        if waiting.is_empty() { Ok(()) } else { Err(waiting) }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic elsewhere cannot leave a map half changed: each change is one insert.
        self.parts.lock()
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
    fn a_server_that_starts_or_stops_is_not_ready_and_says_why() {
        let readiness = Readiness::new();
        assert_eq!(readiness.sentence(), "takes bodies");
        readiness.set_stage(Stage::Starting("replaying the journal: 37 %".into()));
        let why = vec![("start", "replaying the journal: 37 %".into())];
        assert_eq!(readiness.check(), Err(why));
        assert_eq!(readiness.sentence(), "starting: replaying the journal: 37 %");
        readiness.set_stage(Stage::Running);
        assert_eq!(readiness.check(), Ok(()));
        readiness.set_trouble("lake", Err("is away".into()));
        assert_eq!(readiness.sentence(), "takes bodies; in trouble: lake: is away");
        readiness.set_stage(Stage::Stopping("2 bodies wait".into()));
        assert_eq!(readiness.check(), Err(vec![("stop", "2 bodies wait".into())]));
        assert_eq!(readiness.sentence(), "stopping: 2 bodies wait");
    }

    #[test]
    fn a_reason_is_a_line_of_bounded_length_without_secrets() {
        let readiness = Readiness::new();
        let said = format!("http://u:SECRET@h said \u{1b}[2J\n{}", "x".repeat(3 << 20));
        readiness.set_trouble("lake", Err(said.clone()));
        readiness.set("journal", Err(said));
        let mut reasons: Vec<_> = readiness.trouble().into_iter().map(|(_, why)| why).collect();
        reasons.extend(readiness.check().unwrap_err().into_iter().map(|(_, why)| why));
        for why in reasons {
            assert!(why.starts_with("http://[hidden]@h said \\u{1b}[2J\\nxx"), "{why}");
            assert!(why.len() < 1100, "{}", why.len());
        }
    }

    #[test]
    fn trouble_behind_the_journal_is_reported_and_leaves_a_process_ready() {
        let readiness = Readiness::new();
        readiness.set_trouble("lake", Err("cannot be reached".into()));
        assert_eq!(readiness.check(), Ok(()));
        let [trouble] = &readiness.troubles()[..] else { panic!("one part") };
        assert_eq!((trouble.part, &*trouble.why), ("lake", "cannot be reached"));
        readiness.set_trouble("lake", Err("cannot be written".into()));
        let [later] = &readiness.troubles()[..] else { panic!("one part") };
        assert_eq!((later.since, &*later.why), (trouble.since, "cannot be written"));
        readiness.set_trouble("lake", Ok(()));
        assert_eq!(readiness.trouble(), []);
    }
}
