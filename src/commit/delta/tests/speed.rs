//! Figures of commits, by hand: `SESSIONLAKE_DELTA_COMMITS=10000 cargo test --release --lib
//! commit::delta::tests::speed -- --nocapture`. The usual run is short, and only shows that a commit after
//! many takes no more reads than one after few.
//!
//! Two tables take turns, one of many versions and one of 100, so that what else the machine does slows
//! both.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::lake::{Location, Options, Syncs};
use crate::publish::tests::store::FakeStore;

#[test]
fn a_commit_costs_the_same_at_any_version() {
    let runtime = runtime();
    let store = FakeStore::new(0);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    let delta = table(&lake, FIELDS, &runtime);
    let mut calls = Vec::new();
    for roll in 1..=310 {
        let before = store.faults().calls;
        assert!(matches!(delta.commit("n1", &[receipt("n1", roll)]), Visible::At { .. }));
        calls.push(store.faults().calls - before);
    }
    assert_eq!(calls[20], calls[305], "{calls:?}");
    assert!(calls[20] <= 6, "{} calls of the store for a commit", calls[20]);
}

/// No syncs: a log of many versions is made sooner.
#[derive(Debug)]
struct NoSyncs;

impl Syncs for NoSyncs {
    fn sync(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

fn lake_in(dir: &Path) -> Lake {
    let location = Location::Local(dir.to_owned());
    let timeout = Duration::from_secs(60);
    Lake::open(&Options { location, options: Vec::new(), timeout }).expect("a lake")
}

fn commit(delta: &DeltaTable, roll: u64) -> Duration {
    let begin = Instant::now();
    let outcome = delta.commit("n1", &[receipt("n1", roll)]);
    assert!(matches!(outcome, Visible::At { added: true, .. }), "{outcome:?}");
    begin.elapsed()
}

#[test]
fn commits_to_a_directory() {
    let many = std::env::var("SESSIONLAKE_DELTA_COMMITS").ok().and_then(|n| n.parse().ok());
    let is_measured = many.is_some();
    let (few, many) = (100, many.unwrap_or(120));
    let rounds = if is_measured { 100 } else { 10 };
    let runtime = runtime();
    let dirs = [few, many].map(|versions| {
        let dir = tempfile::tempdir().expect("a directory");
        let delta = table(&lake_in(dir.path()).syncing(Box::new(NoSyncs)), FIELDS, &runtime);
        for roll in 1..=versions {
            commit(&delta, roll);
        }
        dir
    });
    let tables = dirs.each_ref().map(|dir| table(&lake_in(dir.path()), FIELDS, &runtime));
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for ((table, times), versions) in tables.iter().zip(&mut times).zip([few, many]) {
            times.push(commit(table, versions + round));
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let [of_few, of_many] =
        times.map(|times| (times[times.len() / 2], times[times.len() * 98 / 100]));
    println!("from {few} versions on: half below {:?}, 98 % below {:?}", of_few.0, of_few.1);
    println!("from {many} versions on: half below {:?}, 98 % below {:?}", of_many.0, of_many.1);
    let ratio = of_many.0.as_secs_f64() / of_few.0.as_secs_f64();
    assert!(!is_measured || ratio < 1.5, "{ratio:.2} times as long");
    let view = LogView::open(&lake_in(dirs[1].path()), "t", runtime.handle().clone());
    let view = view.expect("a log").expect("a table");
    assert_eq!(view.live_files().expect("files").len() as u64, (many + rounds) * 2);
}
