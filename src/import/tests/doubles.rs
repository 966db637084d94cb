//! `dedup`: the documents of an import are compared with one another.

use super::*;
use crate::dedup::LeftOut;
use crate::publish::sealed_settings::SealedSettings;
use crate::roll::care::SetAside;

fn session(id: &str) -> String {
    keyed(&format!("{{\"id\":\"{id}\"}}\n"))
}

/// An importer of a table with `dedup`, whose rolls have a chunk each.
fn importer(bench: &Bench, files: &[&str]) -> Importer {
    let mut options = bench.options(files);
    options.roll.roll_rows = Some(1);
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let mut importer = Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap();
    importer.chunk_bytes = 100;
    importer
}

fn doubled(bench: &Bench) -> Vec<u64> {
    let mut receipts = Vec::new();
    for receipt in bench.receipts() {
        assert_eq!(receipt.lines, receipt.rows + receipt.rejects + receipt.doubled);
        receipts.push((receipt.roll, receipt.doubled));
    }
    receipts.sort_unstable();
    receipts.into_iter().map(|(_, doubled)| doubled).collect()
}

#[test]
fn one_of_equal_documents_of_an_import_lands_over_files_and_rolls() {
    let bench = Bench { has_dedup: true, ..Bench::new("doubles") };
    let [a, b, c] = ["a", "b", "c"].map(session);
    bench.file("one.ndjson", &format!("{a}{a}{b}"));
    bench.file("two.ndjson", &format!("{b}{c}{a}"));
    assert_eq!(land_all(&importer(&bench, &["one.ndjson", "two.ndjson"])).unwrap(), [""; 0]);
    assert_eq!(bench.ids(), ["a", "b", "c"]);
    let doubles = doubled(&bench);
    assert!(doubles.len() > 2, "{doubles:?}");
    assert_eq!(doubles.iter().sum::<u64>(), 3);
    // Another import does not know them.
    bench.file("three.ndjson", &format!("{c}{c}\n"));
    land_all(&importer(&bench, &["three.ndjson"])).unwrap();
    assert_eq!(bench.ids(), ["a", "b", "c", "c"]);
}

#[test]
fn a_roll_of_an_import_that_was_sealed_leaves_out_the_same_rows() {
    let bench = Bench { has_dedup: true, ..Bench::new("doubles-sealed") };
    let text = ["a", "b"].map(session).concat() + &session("a");
    bench.file("one.ndjson", &text);
    let mut import = importer(&bench, &["one.ndjson"]);
    import.chunk_bytes = 1 << 20;
    let planned = plan(&import).unwrap().imports.remove(0);
    assert!(create(&import, &planned.node, &planned.manifest));
    let mut left_out = LeftOut::default();
    left_out.add(Seq(1), 1, None);
    left_out.add(Seq(1), 2, Some(Seq(1)));
    let range = SeqRange { first: Seq(1), last: Seq(1) };
    let settings = SealedSettings::to_json(&import.tables, &SetAside::new(), &left_out).unwrap();
    let extents = crate::import::extent::ExtentLog::default();
    let extent = crate::import::extent::Extent { file: 0, skip: 0, chunks: 1, ends: true };
    extents.push(Seq(1), extent);
    let mut log =
        LakeRollLog { manifests: &import.manifests, node: &planned.node, extents: Some(extents) };
    log.seal(&Seal { roll: Roll(1), range, settings }).unwrap();
    // The next process has no `dedup`.
    let mut options = bench.options(&["one.ndjson"]);
    options.table = Spec { dedup_window_ms: None, ..import.tables.specs()[0].clone() };
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let next = Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap();
    assert_eq!(land_all(&next).unwrap(), [""; 0]);
    assert_eq!(bench.ids(), ["a"]);
    assert_eq!(doubled(&bench), [2]);
}
