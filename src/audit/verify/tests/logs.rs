//! Lakes with a Delta table: receipts, log and files against each other.

use std::time::Duration;

use super::*;
use crate::commit::Visible;
use crate::commit::delta::DeltaTable;
use crate::lake::Options;
use crate::schema::TableSchema;
use crate::table::Template;

const PARTITION: &str = "date=2026-11-01";

/// A lake in a directory: two rolls, as [`Bench::new`] has them, and a third; the log has the first two.
struct DeltaBench {
    directory: tempfile::TempDir,
    lake: Lake,
    runtime: tokio::runtime::Runtime,
    table: DeltaTable,
}

fn bench() -> DeltaBench {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let location = crate::lake::Location::Local(directory.path().to_owned());
    let options = Options { location, options: Vec::new(), timeout: Duration::from_secs(60) };
    let lake = Lake::open(&options).expect("a lake");
    let fields = r#"{"name":"date_","type":["null","string"]}"#;
    let text = format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#);
    let schema = Arc::new(TableSchema::parse(&text).expect("a schema"));
    let partition = Template::parse("date={date_}", &schema).expect("a template");
    let table = DeltaTable::new(&lake, &"t".into(), schema, partition, runtime.handle().clone())
        .expect("a name");
    let bench = DeltaBench { directory, lake, runtime, table };
    let rolls = [bench.roll(1, 1, 3), bench.roll(2, 4, 5)];
    let visible = bench.table.commit(NODE, &rolls);
    assert!(matches!(visible, Visible::At { roll: Roll(2), added: true, .. }), "{visible:?}");
    bench
}

fn name(roll: u64) -> String {
    names::data("t", PARTITION, NODE, Roll(roll))
}

impl DeltaBench {
    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.runtime.block_on(self.lake.put_bytes(name, bytes)).expect("written");
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.path().join(name)).expect("removed");
    }

    fn roll(&self, roll: u64, first: u64, last: u64) -> Receipt {
        let (bytes, rows) = (parquet(&ids(first, last)), 2 * (last - first + 1));
        let file = FileReceipt {
            path: name(roll),
            partition: PARTITION.into(),
            rows,
            bytes: bytes.len() as u64,
            ..FileReceipt::default()
        };
        self.put(&name(roll), bytes);
        let receipt = Receipt {
            first_seq: first,
            last_seq: last,
            ..Receipt::of_files(NODE, roll, "t", vec![file])
        };
        self.put(&names::receipt(NODE, Roll(roll)), serde_json::to_vec(&receipt).expect("JSON"));
        receipt
    }

    /// Commits to the log as another writer: lines of actions.
    fn commit(&self, version: u64, actions: &[serde_json::Value]) {
        let information = serde_json::json!({"commitInfo": {
            "timestamp": 4_000_000_000_000_u64, "inCommitTimestamp": 4_000_000_000_000_u64 + version,
            "operation": "OPTIMIZE"}});
        let lines =
            std::iter::once(&information).chain(actions).map(|action| format!("{action}\n"));
        self.put(
            &format!("t/_delta_log/{version:020}.json"),
            lines.collect::<String>().into_bytes(),
        );
    }

    fn verify(&self, scope: Scope) -> Report {
        let report =
            self.runtime.block_on(verified(&self.lake, scope, Depth::Rows)).expect("a report");
        print!("{}", report.text());
        report
    }

    fn problems(&self) -> Vec<(ProblemKind, String)> {
        let report = self.verify(Scope::All);
        let since = self.verify(Scope::SinceCheckpoint);
        assert_eq!(report.problems, since.problems, "both scopes look at all rolls");
        assert_eq!(report.is_well(), report.problems.is_empty());
        report.problems.into_iter().map(|problem| (problem.kind, problem.path)).collect()
    }

    fn last_version(&self) -> u64 {
        self.verify(Scope::All).logs[0].version
    }
}

fn add(path: &str, bytes: usize) -> serde_json::Value {
    serde_json::json!({"add": {"path": path, "partitionValues": {"date": "2026-11-01"}, "size": bytes,
        "modificationTime": 0, "dataChange": false}})
}

fn remove(roll: u64) -> serde_json::Value {
    let path = name(roll);
    let path = path.strip_prefix("t/").expect("in the table");
    serde_json::json!({"remove": {"path": path, "deletionTimestamp": 4_000_000_000_000_u64,
        "dataChange": false}})
}

#[test]
fn a_lake_with_a_log_is_well_and_its_log_is_no_data() {
    let bench = bench();
    let report = bench.verify(Scope::All);
    assert_eq!(report.problems, []);
    assert!(report.is_well());
    assert_eq!((report.foreign, report.hidden, report.nodes[0].files, report.read), (0, 0, 2, 2));
    let [log] = &*report.logs else { panic!("{:?}", report.logs) };
    assert_eq!((&*log.table, log.files, log.foreign_files, log.replaced), ("t", 2, 0, 0));
    assert_eq!(log.marks, [(NODE.to_owned(), 2)].into());
    assert!(log.waiting_rolls.is_empty());
}

#[test]
fn another_table_in_the_place_of_the_known_one_is_a_problem() {
    let bench = bench();
    assert_eq!(bench.verify(Scope::All).problems, []);
    let identity = br#"{"version":1,"format":"delta","id":"the one before"}"#;
    bench.put(&names::table_identity("t"), identity.to_vec());
    let report = bench.verify(Scope::All);
    let [problem] = &*report.problems else { panic!("{:?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Log);
    assert!(problem.why.contains("another table stands in its place"), "{}", problem.why);
    assert!(problem.why.contains("the one before"), "{}", problem.why);
}

#[test]
fn rolls_above_the_mark_wait_and_the_checkpoint_is_of_those_before() {
    let bench = bench();
    let receipt = bench.roll(3, 6, 6);
    let report = bench.verify(Scope::All);
    assert!(report.is_well());
    assert_eq!(report.logs[0].waiting_rolls, [(NODE.to_owned(), 1)].into());
    let text = report.text();
    assert!(text.contains("1 roll waits to be added"), "{text}");
    assert!(text.contains("but for the rolls that readers of a table do not see yet"), "{text}");
    let write = |report: &Report| {
        bench
            .runtime
            .block_on(write_checkpoints(&bench.lake, report, chrono::DateTime::UNIX_EPOCH))
            .expect("written")
    };
    assert_eq!(write(&report), 1);
    // Rolls that waited are looked at again, against the log as it is then, and the sums go on.
    let report = bench.verify(Scope::SinceCheckpoint);
    assert!(report.is_well());
    assert_eq!((report.nodes[0].after_roll, report.nodes[0].last_roll), (2, 3));
    assert_eq!((report.nodes[0].last_seq, report.nodes[0].files), (6, 3));
    assert_eq!(report.logs[0].waiting_rolls, [(NODE.to_owned(), 1)].into());
    assert_eq!(write(&report), 0, "nothing new is visible");
    assert!(matches!(bench.table.commit(NODE, &[receipt]), Visible::At { added: true, .. }));
    let report = bench.verify(Scope::SinceCheckpoint);
    assert!(report.logs[0].waiting_rolls.is_empty());
    assert_eq!((report.logs[0].files, report.nodes[0].rows), (1, 12));
    assert_eq!(write(&report), 1);
    // Rolls after a checkpoint are seen to wait; those before it are not looked at.
    bench.roll(4, 7, 7);
    let report = bench.verify(Scope::SinceCheckpoint);
    assert!(report.is_well());
    assert_eq!(
        (report.logs[0].files, &report.logs[0].waiting_rolls),
        (0, &[(NODE.to_owned(), 1)].into())
    );
    bench.remove(&name(4));
    assert_eq!(bench.verify(Scope::SinceCheckpoint).problems[0].kind, ProblemKind::NoFile);
}

#[test]
fn a_roll_that_waits_and_is_lost_is_found_from_a_checkpoint_on() {
    let bench = bench();
    bench.roll(3, 6, 6);
    let report = bench.verify(Scope::All);
    let written = write_checkpoints(&bench.lake, &report, chrono::DateTime::UNIX_EPOCH);
    assert_eq!(bench.runtime.block_on(written).expect("written"), 1);
    // The mark is moved past it, and its file was never added: readers would never see it.
    let mark = serde_json::json!({"txn": {"appId": format!("sessionlake/{NODE}"), "version": 3}});
    bench.commit(bench.last_version() + 1, &[mark]);
    let report = bench.verify(Scope::SinceCheckpoint);
    assert_eq!((report.problems[0].kind, &report.problems[0].path), (ProblemKind::Log, &name(3)));
}

#[test]
fn files_of_others_that_are_named_like_those_of_rolls_are_theirs() {
    let bench = bench();
    let stranger = |node: &str, roll| names::data("t", PARTITION, node, Roll(roll));
    let actions: Vec<_> = [("part", 1), ("part", 7), ("other-part", 12_345_678)]
        .map(|(node, roll)| {
            let (file, bytes) = (stranger(node, roll), parquet(&ids(8, 8)));
            let action = add(file.trim_start_matches("t/"), bytes.len());
            bench.put(&file, bytes);
            action
        })
        .into();
    bench.commit(bench.last_version() + 1, &actions);
    assert_eq!(bench.problems(), []);
    let log = bench.verify(Scope::All).logs.remove(0);
    assert_eq!((log.files, log.foreign_files), (2, 3));
    assert_eq!(bench.verify(Scope::All).pending_files, 0);
    // Of a node that has a mark or a receipt they are ours, and nobody accounts for them.
    let (file, bytes) = (stranger(NODE, 77), parquet(&ids(9, 9)));
    let action = add(file.trim_start_matches("t/"), bytes.len());
    bench.put(&file, bytes);
    bench.commit(bench.last_version() + 1, &[action]);
    assert_eq!(bench.problems(), [(ProblemKind::NoReceipt, file)]);
    // One that no log names is doubtful as in a plain table.
    let lost = stranger("lost", 3);
    bench.put(&lost, parquet(&ids(9, 9)));
    let problems: Vec<String> =
        bench.verify(Scope::All).problems.into_iter().map(|problem| problem.path).collect();
    assert!(problems.contains(&lost), "{problems:?}");
}

#[test]
fn a_live_file_that_is_gone_is_missed() {
    let bench = bench();
    bench.remove(&name(2));
    assert_eq!(bench.problems(), [(ProblemKind::NoFile, name(2))]);
}

#[test]
fn a_live_file_without_a_receipt_is_doubtful() {
    let bench = bench();
    bench.remove(&names::receipt(NODE, Roll(2)));
    assert_eq!(bench.problems(), [(ProblemKind::NoReceipt, name(2))]);
}

#[test]
fn a_file_that_is_in_the_log_twice_is_found() {
    let bench = bench();
    let bytes = std::fs::read(bench.directory.path().join(name(1))).expect("a file").len();
    let escaped = name(1).replace("t/date=", "date%3D");
    bench.commit(bench.last_version() + 1, &[add(&escaped, bytes)]);
    assert_eq!(bench.problems(), [(ProblemKind::Overlap, name(1))]);
}

#[test]
fn another_size_in_the_log_is_found() {
    let bench = bench();
    let version = bench.last_version() + 1;
    bench.commit(version, &[add(name(1).trim_start_matches("t/"), 7)]);
    assert_eq!(bench.problems(), [(ProblemKind::Log, name(1))]);
}

#[test]
fn files_that_were_rewritten_are_no_problem() {
    let bench = bench();
    let bytes = parquet(&ids(1, 5));
    let (file, size) = (format!("{PARTITION}/part-00000-0b1c-c000.zstd.parquet"), bytes.len());
    bench.put(&format!("t/{file}"), bytes);
    let version = bench.last_version() + 1;
    bench.commit(version, &[remove(1), remove(2), add(&file, size)]);
    assert_eq!(bench.problems(), []);
    let log = bench.verify(Scope::All).logs.remove(0);
    assert_eq!((log.version, log.files, log.foreign_files, log.replaced), (version, 0, 1, 2));
    // VACUUM.
    bench.remove(&name(1));
    bench.remove(&name(2));
    assert_eq!(bench.problems(), []);
    assert_eq!(bench.verify(Scope::All).logs[0].replaced, 2);
    bench.remove(&format!("t/{file}"));
    assert_eq!(bench.problems(), [(ProblemKind::NoFile, format!("t/{file}"))]);
}

#[test]
fn a_roll_below_the_mark_that_the_log_never_had_is_a_problem() {
    let bench = bench();
    // The mark is moved and nothing is added.
    bench.roll(3, 6, 6);
    let version = bench.last_version() + 1;
    let mark = serde_json::json!({"txn": {"appId": format!("sessionlake/{NODE}"), "version": 3}});
    bench.commit(version, &[mark]);
    assert_eq!(bench.problems(), [(ProblemKind::Log, name(3))]);
    assert!(!bench.verify(Scope::All).is_well());
}

#[test]
fn a_log_that_cannot_be_read_is_a_problem() {
    let bench = bench();
    let version = bench.last_version() + 1;
    bench.put(&format!("t/_delta_log/{version:020}.json"), b"{".to_vec());
    assert_eq!(bench.problems(), [(ProblemKind::Log, "t/_delta_log".to_owned())]);
    // Also when a file is missing, of which the log might know.
    bench.remove(&name(1));
    let problems = bench.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn an_inspection_has_version_and_marks() {
    let bench = bench();
    bench.roll(3, 6, 6);
    let report = bench.runtime.block_on(crate::audit::inspect::inspect_lake(
        &bench.lake,
        &TableLogs::of(&bench.lake, None),
        false,
    ));
    let report = report.expect("a report");
    let log = report.tables[0].log.as_ref().expect("a log");
    assert_eq!((log.format, log.version), ("delta", Some(bench.last_version())));
    assert_eq!(log.marks, [(NODE.to_owned(), 2)].into());
    assert_eq!(log.waiting_rolls, [(NODE.to_owned(), 1)].into());
    let text = crate::audit::inspect::lake_text(&report, false);
    assert!(text.contains("format delta, version "), "{text}");
    assert!(text.contains(&format!("not in the log yet, of {NODE}: 1 roll")), "{text}");
}
