//! Imports into tables that have, or get, a log.

use std::collections::BTreeSet;

use super::*;
use crate::commit::delta::LogView;
use crate::commit::{Committer, Outcome};
use crate::lake::{FileReceipt, Receipt};
use crate::table::Format;

/// As another process, into a Delta table.
fn delta(bench: &Bench, files: &[&str]) -> Importer {
    let mut options = bench.options(files);
    options.table.format = Format::Delta;
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap()
}

fn land(bench: &Bench, node: &str, table: &str, rolls: u64) {
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    for roll in 1..=rolls {
        let file = FileReceipt {
            path: names::data(table, "", node, Roll(roll)),
            rows: 1,
            bytes: 9,
            ..FileReceipt::default()
        };
        let receipt = Receipt::of_files(node, roll, table, vec![file]);
        let outcome = bench.runtime.block_on(Committer::Plain.commit(&lake, &receipt));
        assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    }
}

/// Nodes of the live files of the table, with the number of files.
fn live(bench: &Bench) -> Vec<(String, usize)> {
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let view = LogView::open(&lake, "visits", bench.runtime.handle().clone());
    let files = view.unwrap().expect("a log").live_files().unwrap();
    let node = |path: &str| path.rsplit_once('-').unwrap().0.to_owned();
    let nodes: BTreeSet<String> = files.iter().map(|file| node(&file.path)).collect();
    let count = |of: &String| files.iter().filter(|file| node(&file.path) == **of).count();
    nodes
        .into_iter()
        .map(|of| {
            (if of.starts_with("import-") { "import".into() } else { of.clone() }, count(&of))
        })
        .collect()
}

#[test]
fn the_first_import_into_a_table_with_a_log_adds_the_rolls_of_all_nodes() {
    let bench = Bench::new("convert");
    land(&bench, "n1", "visits", 3);
    land(&bench, "other", "orders", 2);
    bench.file("a", "{\"id\":\"a\"}\n");
    assert_eq!(bench.command(&["a"]).unwrap(), Vec::<String>::new());
    bench.file("b", "{\"id\":\"b\"}\n");
    assert_eq!(land_all(&delta(&bench, &["b"])).unwrap(), Vec::<String>::new());
    let [n1, plain, own] =
        [("n1", 3), ("import", 1), ("import", 1)].map(|(of, n)| (of.to_owned(), n));
    let mut found = live(&bench);
    found.sort_by(|a, b| b.cmp(a));
    assert_eq!(found, [n1, plain, own]);
}

#[test]
fn an_import_goes_on_with_nodes_that_an_interrupted_one_has_left_behind() {
    let bench = Bench::new("left-behind");
    bench.file("a", "{\"id\":\"a\"}\n");
    assert_eq!(land_all(&delta(&bench, &["a"])).unwrap(), Vec::<String>::new());
    // As if the process that created the table had ended before it came to these.
    land(&bench, "n1", "visits", 3);
    land(&bench, "other", "orders", 2);
    bench.file("b", "{\"id\":\"b\"}\n");
    assert_eq!(land_all(&delta(&bench, &["b"])).unwrap(), Vec::<String>::new());
    assert!(live(&bench).contains(&("n1".to_owned(), 3)), "{:?}", live(&bench));
}

#[test]
fn a_plain_import_that_was_interrupted_goes_on_once_the_table_has_a_log() {
    let bench = Bench::new("plain-goes-on");
    bench.file("a", "{\"id\":\"a\"}\n");
    let plain = bench.import(&["a"]);
    let PlannedImport { node, manifest, .. } = plan(&plain).unwrap().imports.remove(0);
    assert!(create(&plain, &node, &manifest));
    bench.file("b", "{\"id\":\"b\"}\n");
    assert_eq!(land_all(&delta(&bench, &["b"])).unwrap(), Vec::<String>::new());
    let refused = bench.command(&["a"]).unwrap();
    assert!(refused.iter().any(|why| why.contains("table_format = \"delta\"")), "{refused:?}");
    assert_eq!(land_all(&delta(&bench, &["a"])).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids(), ["a", "b"]);
    assert_eq!(live(&bench).len(), 2);
}
