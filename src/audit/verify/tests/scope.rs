//! Depths, and verifications of a part of the rolls.

use chrono::{DateTime, Utc};

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

impl Bench {
    fn of(&self, scope: Scope, depth: Depth) -> Report {
        self.runtime.block_on(verified(&self.lake(), scope, depth)).expect("memory")
    }

    fn checkpoint(&self, report: &Report) -> u64 {
        let lake = self.lake();
        let written = write_checkpoints(&lake, report, now());
        self.runtime.block_on(written).expect("memory")
    }

    /// A time after everything that was put so far.
    fn later(&self) -> DateTime<Utc> {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let name = Path::from(format!("lake/{}", names::receipt(NODE, Roll(2))));
        let meta = self.runtime.block_on(self.store.head(&name)).expect("there");
        std::thread::sleep(std::time::Duration::from_millis(20));
        meta.last_modified + chrono::Duration::milliseconds(10)
    }
}

#[test]
fn sizes_footers_and_rows_find_more_and_more() {
    let bench = Bench::new();
    let name = names::data("t", "date=2026-11-01", NODE, Roll(2));
    // As large as it was, and no Parquet any more.
    let whole = parquet(&ids(4, 5));
    bench.put(&name, vec![0; whole.len()]);
    let by_size = bench.of(Scope::All, Depth::Sizes);
    assert!(by_size.is_well(), "{by_size:#?}");
    assert_eq!((by_size.by_size, by_size.read), (3, 0));
    assert!(by_size.text().contains("3 files compared by size"), "{}", by_size.text());
    let by_footer = bench.of(Scope::All, Depth::Footers);
    assert_eq!(by_footer.problems.len(), 1, "{by_footer:#?}");
    assert_eq!((by_footer.by_size, by_footer.read), (0, 2));
    // Of another size: opened at every depth.
    bench.put(&name, parquet(&ids(4, 4)));
    assert_eq!(bench.of(Scope::All, Depth::Sizes).problems.len(), 1);
    // The same rows in other bytes are well.
    bench.put(&name, parquet(&ids(4, 5)));
    bench.change(2, |receipt| receipt.tables[0].files[0].bytes += 1);
    let resized = bench.of(Scope::All, Depth::Sizes);
    assert!(resized.is_well(), "{resized:#?}");
    assert_eq!((resized.resized, resized.read), (1, 1));
}

#[test]
fn since_a_time_only_later_rolls_are_looked_at() {
    let bench = Bench::new();
    // Before the time: not noticed.
    bench.remove(&names::data("t", "date=2026-11-01", NODE, Roll(1)));
    let since = Scope::Since(bench.later());
    let idle = bench.of(since, Depth::Sizes);
    assert!(idle.is_well() && idle.nodes.is_empty() && idle.idle_nodes == 1, "{idle:#?}");
    bench.roll(3, 6, 6, 1);
    let report = bench.of(since, Depth::Rows);
    assert!(report.is_well(), "{report:#?}");
    let node = &report.nodes[0];
    assert_eq!((node.rolls, node.after_roll, node.last_roll), (1, 2, 3));
    assert_eq!((node.last_seq, node.rows, node.lines), (6, 2, 3));
    assert!(report.text().contains("Every line received since 20"), "{}", report.text());
    // A gap to the roll before is one, though that is not looked at.
    bench.change(3, |receipt| receipt.first_seq = 7);
    bench.change(3, |receipt| receipt.last_seq = 7);
    assert_eq!(bench.of(since, Depth::Sizes).problems[0].kind, ProblemKind::Gap);
}

#[test]
fn since_a_time_what_is_off_in_later_rolls_is_found() {
    let bench = Bench::new();
    let since = Scope::Since(bench.later());
    bench.roll(3, 6, 6, 0);
    bench.roll(4, 7, 7, 0);
    let kinds = || -> Vec<ProblemKind> {
        bench.of(since, Depth::Sizes).problems.iter().map(|problem| problem.kind).collect()
    };
    assert_eq!(kinds(), []);
    bench.remove(&names::receipt(NODE, Roll(3)));
    assert_eq!(kinds(), [ProblemKind::Gap, ProblemKind::NoReceipt]);
    bench.roll(3, 6, 6, 0);
    bench.remove(&names::data("t", "date=2026-11-01", NODE, Roll(4)));
    assert_eq!(kinds(), [ProblemKind::NoFile]);
    bench.roll(4, 7, 7, 0);
    // The next roll is on its way; one beyond it is nobody's.
    bench.put(&names::data("t", "date=2026-11-01", NODE, Roll(5)), parquet(&ids(8, 8)));
    assert_eq!(kinds(), []);
    bench.put(&names::data("t", "date=2026-11-01", NODE, Roll(6)), parquet(&ids(9, 9)));
    assert_eq!(kinds(), [ProblemKind::NoReceipt]);
}

#[test]
fn after_a_checkpoint_sums_are_of_all_and_only_later_rolls_are_looked_at() {
    let bench = Bench::new();
    let all = bench.of(Scope::SinceCheckpoint, Depth::Sizes);
    assert_eq!((all.nodes[0].rolls, all.nodes[0].after_roll), (2, 0), "there is none");
    assert_eq!(bench.checkpoint(&all), 1);
    bench.remove(&names::data("t", "date=2026-11-01", NODE, Roll(1)));
    let same = bench.of(Scope::SinceCheckpoint, Depth::Sizes);
    assert!(same.is_well(), "{same:#?}");
    assert_eq!(bench.checkpoint(&same), 0, "nothing is new");
    bench.roll(3, 6, 7, 1);
    let later = bench.of(Scope::SinceCheckpoint, Depth::Rows);
    assert!(later.is_well(), "{later:#?}");
    let node = &later.nodes[0];
    assert_eq!((node.rolls, node.after_roll, node.last_seq), (3, 2, 7));
    assert_eq!((node.lines, node.rows, node.rejects, node.files), (16, 14, 2, 3));
    assert_eq!(later.rows_read, 4);
    assert_eq!(bench.checkpoint(&later), 1);
    let name = Path::from(format!("lake/{}", names::verified(NODE)));
    let written = bench.runtime.block_on(async {
        bench.store.get(&name).await.expect("there").bytes().await.expect("memory")
    });
    let written: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!((&written["last_roll"], &written["depth"]), (&3.into(), &"sizes".into()));
    assert_eq!(written["verified_at"], "2027-01-15T08:00:00Z");
    // Everything anew looks at no checkpoint.
    assert_eq!(bench.of(Scope::All, Depth::Sizes).problems[0].kind, ProblemKind::NoFile);
}

#[test]
fn no_checkpoint_is_written_of_what_is_off_or_was_not_looked_at() {
    let bench = Bench::new();
    let since = bench.of(Scope::Since(DateTime::UNIX_EPOCH), Depth::Sizes);
    assert!(since.is_well() && since.nodes[0].rolls == 2, "{since:#?}");
    assert_eq!(bench.checkpoint(&since), 0);
    bench.remove(&names::data("t", "date=2026-11-01", NODE, Roll(1)));
    assert_eq!(bench.checkpoint(&bench.of(Scope::All, Depth::Sizes)), 0);
}

#[test]
fn a_checkpoint_of_other_receipts_is_not_believed() {
    let bench = Bench::new();
    bench.checkpoint(&bench.of(Scope::All, Depth::Sizes));
    bench.change(2, |receipt| receipt.actions += 1);
    let report = bench.of(Scope::SinceCheckpoint, Depth::Sizes);
    assert_eq!(report.problems[0].kind, ProblemKind::Checkpoint, "{report:#?}");
    assert_eq!(report.nodes[0].after_roll, 0, "all is looked at");
    for broken in ["{", r#"{"version":1}"#] {
        bench.put(&names::verified(NODE), broken);
        let report = bench.of(Scope::SinceCheckpoint, Depth::Sizes);
        assert_eq!(report.problems[0].kind, ProblemKind::Checkpoint, "{report:#?}");
    }
}

#[test]
fn problems_are_bounded_and_the_rest_is_counted() {
    let mut report = Report::default();
    for number in 0..MOST_PROBLEMS + 5 {
        report.problem(ProblemKind::File, &format!("{number:08}"), "why");
    }
    assert_eq!((report.problems.len(), report.more_problems), (MOST_PROBLEMS, 5));
    let text = report.text();
    assert!(text.contains("and 5 more\n") && text.ends_with("10005 things are off.\n"));
}
