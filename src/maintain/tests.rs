//! Tables of lakes in directories, by the options of the commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::commit::delta::LogView;
use crate::commit::{Committer, Outcome};
use crate::lake::{self, FileReceipt, Location, Receipt, names};
use crate::record::Roll;
use crate::schema::TableSchema;
use crate::table::{Format, Template};

const ID: &str = r#"{"name": "id", "type": ["null", "string"], "default": null}"#;
const DAY: &str = r#"{"name": "on", "type": ["null", "string"], "default": null}"#;

struct Bench {
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().expect("a directory"),
            runtime: runtime().expect("one"),
        }
    }

    fn options(&self, format: Format, fields: &[&str]) -> Options {
        let text = format!(r#"{{"type":"record","name":"t","fields":[{}]}}"#, fields.join(","));
        let schema = Arc::new(TableSchema::parse(&text).expect("a schema"));
        let partition = Template::parse("day={on}", &schema).expect("a template");
        let location = Location::Local(self.folder.path().join("lake"));
        let lake = lake::Options { location, options: Vec::new(), timeout: Duration::from_secs(9) };
        let table = Spec { format, ..Spec::new("visits", schema, partition) };
        let other = Spec { name: "orders".into(), ..table.clone() };
        Options { lake, tables: vec![table, other], flat_columns: Vec::new(), catalog: None }
    }

    fn lake(&self) -> Lake {
        Lake::open(&self.options(Format::Plain, &[ID, DAY]).lake).expect("a lake")
    }

    /// Rolls as the first build has written them, without values and statistics.
    fn land(&self, node: &str, table: &str, rolls: std::ops::RangeInclusive<u64>) {
        for roll in rolls {
            let file = FileReceipt {
                path: names::data(table, "day=1", node, Roll(roll)),
                partition: "day=1".to_owned(),
                rows: 10,
                bytes: 9,
                ..FileReceipt::default()
            };
            let receipt = Receipt::of_files(node, roll, table, vec![file]);
            let outcome = self.runtime.block_on(Committer::Plain.commit(&self.lake(), &receipt));
            assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
        }
    }

    fn live(&self, table: &str) -> Option<usize> {
        let view = LogView::open(&self.lake(), table, self.runtime.handle().clone());
        Some(view.expect("read")?.live_files().expect("files").len())
    }
}

fn converted(done: &[Converted], table: &str) -> (bool, u64, u64, u64, u64) {
    let of = done.iter().find(|of| of.table == table).expect("the table");
    assert_eq!(of.failures, Vec::<String>::new());
    (of.created, of.nodes, of.rolls, of.files, of.rows)
}

#[test]
fn a_plain_lake_is_converted_with_all_nodes_once() {
    let bench = Bench::new();
    let plain = bench.options(Format::Plain, &[ID, DAY]);
    bench.land("n1", "visits", 1..=3);
    bench.land("n2", "visits", 1..=2);
    bench.land("n3", "orders", 1..=1);
    let refused = convert(&plain, &[], None).expect_err("nothing says what to").to_string();
    assert!(refused.contains("plain") && refused.contains("table_format"), "{refused}");
    assert_eq!((bench.live("visits"), bench.live("orders")), (None, None));
    let done = convert(&plain, &[], Some(Format::Delta)).expect("converted");
    assert_eq!(converted(&done, "visits"), (true, 2, 5, 5, 50));
    assert_eq!(converted(&done, "orders"), (true, 1, 1, 1, 10));
    assert_eq!((bench.live("visits"), bench.live("orders")), (Some(5), Some(1)));
    // Again, and with what has come since.
    bench.land("n2", "visits", 3..=3);
    let done = convert(&plain, &[], Some(Format::Delta)).expect("converted");
    assert_eq!(converted(&done, "visits"), (false, 1, 1, 1, 10));
    assert_eq!(converted(&done, "orders"), (false, 0, 0, 0, 0));
    let delta = bench.options(Format::Delta, &[ID, DAY]);
    let done = convert(&delta, &["visits".to_owned()], None).expect("converted");
    assert_eq!(done.len(), 1);
    assert_eq!(converted(&done, "visits"), (false, 0, 0, 0, 0));
    assert_eq!(bench.live("visits"), Some(6));
}

#[test]
fn one_of_several_tables_is_converted_and_an_unknown_one_is_refused() {
    let bench = Bench::new();
    let plain = bench.options(Format::Plain, &[ID, DAY]);
    bench.land("n1", "visits", 1..=1);
    bench.land("n1", "orders", 2..=2);
    let done = convert(&plain, &["orders".to_owned()], Some(Format::Delta)).expect("converted");
    assert_eq!((done.len(), converted(&done, "orders")), (1, (true, 1, 1, 1, 10)));
    assert_eq!(bench.live("visits"), None);
    let refused = convert(&plain, &["nothing".to_owned()], Some(Format::Delta));
    let refused = refused.expect_err("no such table").to_string();
    assert!(refused.contains("no table nothing") && refused.contains("orders"), "{refused}");
    assert!(convert(&plain, &[], Some(Format::Plain)).is_err());
}

#[test]
fn a_receipt_that_cannot_be_read_leaves_the_rolls_of_its_node_and_no_others() {
    let bench = Bench::new();
    bench.land("n1", "visits", 1..=3);
    bench.land("n2", "visits", 1..=2);
    let broken = names::receipt("n1", Roll(2));
    bench.runtime.block_on(bench.lake().put_bytes(&broken, b"{".to_vec())).expect("put");
    let done = convert(&bench.options(Format::Plain, &[ID, DAY]), &[], Some(Format::Delta));
    let done = done.expect("converted");
    let visits = done.iter().find(|of| of.table == "visits").expect("the table");
    // Nothing of a node is committed past, or with, what cannot be read.
    assert_eq!((visits.nodes, visits.rolls), (1, 2));
    assert!(matches!(&visits.failures[..], [why] if why.contains(&broken)), "{visits:?}");
}

#[test]
fn a_table_is_created_and_gets_columns_and_a_dry_run_does_neither() {
    let bench = Bench::new();
    let before = bench.options(Format::Delta, &[DAY]);
    let after = bench.options(Format::Delta, &[ID, DAY]);
    let steps = |done: Vec<Prepared>| -> BTreeMap<String, (Step, Option<u64>)> {
        done.into_iter().map(|of| (of.table, (of.step, of.version))).collect()
    };
    let visits = ["visits".to_owned()];
    let all = |step: Step, version| {
        BTreeMap::from(["orders", "visits"].map(|of| (of.to_owned(), (step.clone(), version))))
    };
    let lacks =
        |columns: &[&str]| Step::There { lacks: columns.iter().map(|c| (*c).into()).collect() };
    assert_eq!(steps(create(&before, &[], true, false).unwrap()), all(Step::Created, None));
    assert!(!bench.folder.path().join("lake").exists());
    let missing = Lake::open(&before.lake).map(|_| upgrade(&before, &[], false));
    assert_eq!(steps(missing.unwrap().unwrap()), all(Step::Missing, None));
    assert_eq!(steps(create(&before, &[], true, false).unwrap()), all(Step::Created, None));
    assert_eq!(bench.live("visits"), None);
    assert_eq!(steps(create(&before, &[], false, false).unwrap()), all(Step::Created, Some(0)));
    assert_eq!(steps(create(&after, &[], false, false).unwrap()), all(lacks(&["id"]), Some(0)));
    let added = Step::Added(vec!["id".to_owned()]);
    assert_eq!(steps(upgrade(&after, &[], true).unwrap()), all(added.clone(), Some(0)));
    let upgraded = steps(upgrade(&after, &visits, false).unwrap());
    assert_eq!(upgraded, BTreeMap::from([("visits".to_owned(), (added, Some(1)))]));
    let again = steps(upgrade(&after, &visits, false).unwrap());
    assert_eq!(again["visits"], (lacks(&[]), Some(1)));
    // A plain one has no log to create.
    let plain = bench.options(Format::Plain, &[ID, DAY]);
    assert!(create(&plain, &[], false, false).unwrap_err().to_string().contains("--table-format"));
}

#[test]
fn a_table_that_was_deleted_is_made_again_on_purpose_alone() {
    let bench = Bench::new();
    let delta = bench.options(Format::Delta, &[ID, DAY]);
    bench.land("n1", "visits", 1..=2);
    convert(&delta, &[], None).expect("converted");
    let log = bench.folder.path().join("lake/visits/_delta_log");
    std::fs::remove_dir_all(&log).expect("deleted");
    for refused in [
        convert(&delta, &[], None).map(drop),
        create(&delta, &[], false, false).map(drop),
        upgrade(&delta, &[], false).map(drop),
    ] {
        let why = refused.expect_err("it was deleted").to_string();
        assert!(why.contains("not there any more") && why.contains("--anew"), "{why}");
    }
    assert!(!log.exists());
    create(&delta, &["visits".to_owned()], false, true).expect("created");
    let done = convert(&delta, &[], None).expect("converted");
    assert_eq!(converted(&done, "visits"), (false, 1, 2, 2, 20));
}
