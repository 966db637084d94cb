//! Figures of commits, by hand: `SESSIONLAKE_DELTA_COMMITS=10000 cargo test --release --lib
//! commit::delta::tests::speed -- --nocapture`. The usual run is short, and only shows that a commit after
//! many takes no more reads than one after few.

use std::time::{Duration, Instant};

use super::*;
use crate::lake::{Location, Options};
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

#[test]
fn commits_to_a_directory() {
    let commits = std::env::var("SESSIONLAKE_DELTA_COMMITS").ok().and_then(|n| n.parse().ok());
    let commits: usize = commits.unwrap_or(120);
    let runtime = runtime();
    let dir = tempfile::tempdir().expect("a directory");
    let location = Location::Local(dir.path().to_owned());
    let lake = Lake::open(&Options {
        location,
        options: Vec::new(),
        timeout: std::time::Duration::from_secs(60),
    })
    .expect("a lake");
    let delta = table(&lake, FIELDS, &runtime);
    let mut times: Vec<Duration> = Vec::new();
    for roll in 1..=commits as u64 {
        let begin = Instant::now();
        let outcome = delta.commit("n1", &[receipt("n1", roll)]);
        assert!(matches!(outcome, Visible::At { added: true, .. }), "{outcome:?}");
        times.push(begin.elapsed());
    }
    for end in [100, 1_000, 5_000, commits] {
        let Some(some) = end.checked_sub(100).and_then(|from| times.get(from..end)) else {
            continue;
        };
        let mut some = some.to_vec();
        some.sort();
        println!("commits up to {end}: half below {:?}, 99 % below {:?}", some[50], some[98]);
    }
    let view =
        LogView::open(&lake, "t", runtime.handle().clone()).expect("a log").expect("a table");
    assert_eq!(view.live_files().expect("files").len(), commits * 2);
}
