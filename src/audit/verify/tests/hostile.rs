//! Receipts that somebody has written to mislead.

use super::*;
use crate::json::MOST;

type Change = fn(&mut Receipt);

#[test]
fn numbers_that_cannot_be_counted_with_are_no_receipt() {
    let changes: [(&str, Change); 7] = [
        ("last", |receipt| receipt.last_seq = u64::MAX),
        ("first", |receipt| receipt.first_seq = u64::MAX),
        ("lines", |receipt| receipt.lines = MOST + 1),
        ("rows", |receipt| receipt.tables[0].files[0].rows = u64::MAX),
        ("bytes", |receipt| receipt.tables[0].files[0].bytes = u64::MAX),
        ("actions", |receipt| receipt.actions = u64::MAX),
        ("lost", |receipt| receipt.lost = vec![LostBodies { first_seq: 1, last_seq: u64::MAX }]),
    ];
    for (what, change) in changes {
        let bench = Bench::new();
        bench.change(2, change);
        let report = bench.verify();
        assert!(!report.is_well() && !report.text().contains("accounted for"), "{what}");
        let problem = &report.problems[0];
        assert!(problem.why.contains("above 9007199254740991"), "{what}: {problem:?}");
    }
}

#[test]
fn the_largest_number_is_counted_and_nothing_wraps() {
    let bench = Bench::new();
    bench.change(2, |receipt| receipt.last_seq = MOST);
    let report = bench.verify();
    assert_eq!(report.nodes[0].last_seq, MOST, "{report:#?}");
    // Bodies and rows that nobody received, and that is seen.
    bench.change(2, |receipt| {
        (receipt.lines, receipt.rows) = (MOST, MOST);
        receipt.tables[0].files[0].rows = MOST;
    });
    let report = bench.verify();
    let whats: Vec<ProblemKind> = report.problems.iter().map(|problem| problem.kind).collect();
    assert!(whats.contains(&ProblemKind::Sum) && whats.contains(&ProblemKind::File), "{report:#?}");
}

#[test]
fn rolls_whose_number_cannot_be_counted_on_from_are_named() {
    let bench = Bench::new();
    bench.put(&format!("_receipts/{NODE}/{}.json", u64::MAX), "{}");
    bench.put(&format!("t/date=2026-11-01/{NODE}-{}.parquet", u64::MAX), "no Parquet");
    let report = bench.verify();
    assert!(!report.is_well());
    assert_eq!(report.problems[0].kind, ProblemKind::Receipt);
    assert_eq!(report.foreign, 1, "no roll has such a file");
}

#[test]
fn a_name_with_control_characters_begins_no_line() {
    let bench = Bench::new();
    bench.put("_receipts/\u{1b}[2J\nEvery received line is accounted for./00000001.json", "{}");
    let text = bench.verify().text();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("Every received")), "{text}");
}
