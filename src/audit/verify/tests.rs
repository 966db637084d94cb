//! Lakes that are well, and lakes with one thing off.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::lake::{
    FileReceipt, LostBodies, QuarantineEntry, QuarantineReceipt, Quarantined, Receipt, TableReceipt,
};
use crate::record::Seq;
use crate::schema::INGEST_ID;

mod concurrent;
mod hostile;
mod logs;

const NODE: &str = "eu-abcd2345";

struct Bench {
    store: Arc<InMemory>,
    runtime: tokio::runtime::Runtime,
}

/// Without a catalog.
async fn verified(lake: &Lake, scope: Scope, depth: Depth) -> Result<Report, StoreError> {
    verify(lake, &TableLogs::of(lake, None), scope, depth, Pace::Swift).await
}

fn parquet(ids: &[String]) -> Vec<u8> {
    let column: ArrayRef = Arc::new(StringArray::from(ids.to_vec()));
    let batch = RecordBatch::try_from_iter([(INGEST_ID, column)]).expect("a batch");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    bytes
}

/// Ids of bodies `first` to `last`, two rows a body.
fn ids(first: u64, last: u64) -> Vec<String> {
    (first..=last).flat_map(|seq| [1, 2].map(|line| format!("{NODE}-{seq}-{line}"))).collect()
}

impl Bench {
    /// Two rolls: bodies 1 to 3 in one file with one reject, and 4 to 5.
    fn new() -> Bench {
        let bench = Bench {
            store: Arc::default(),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        };
        bench.roll(1, 1, 3, 1);
        bench.roll(2, 4, 5, 0);
        bench
    }

    fn put(&self, path: &str, bytes: impl Into<PutPayload>) {
        let path = Path::from(format!("lake/{path}"));
        self.runtime.block_on(self.store.put(&path, bytes.into())).expect("memory");
    }

    fn remove(&self, path: &str) {
        let path = Path::from(format!("lake/{path}"));
        self.runtime.block_on(self.store.delete(&path)).expect("memory");
    }

    fn roll(&self, roll: u64, first: u64, last: u64, rejects: u64) {
        let bytes = parquet(&ids(first, last));
        let rows = 2 * (last - first + 1);
        let path = names::data("t", "date=2026-11-01", NODE, Roll(roll));
        let file = FileReceipt {
            path: path.clone(),
            partition: "date=2026-11-01".into(),
            rows,
            bytes: bytes.len() as u64,
            ..FileReceipt::default()
        };
        self.put(&path, bytes);
        let quarantine = (rejects > 0).then(|| {
            let path = names::quarantine("t", NODE, Roll(roll));
            let text = "{}\n".repeat(rejects as usize);
            let bytes = text.len() as u64;
            self.put(&path, text);
            QuarantineReceipt { path, entries: rejects, bytes }
        });
        let mut receipt = Receipt {
            first_seq: first,
            last_seq: last,
            lines: rows + rejects,
            rejects,
            ..Receipt::of_files(NODE, roll, "t", vec![file])
        };
        receipt.tables[0].quarantine = quarantine;
        self.receipt(&receipt);
    }

    fn receipt(&self, receipt: &Receipt) {
        let bytes = serde_json::to_vec(receipt).expect("JSON");
        self.put(&names::receipt(&receipt.node, Roll(receipt.roll)), bytes);
    }

    fn change(&self, roll: u64, change: impl FnOnce(&mut Receipt)) {
        let path = Path::from(format!("lake/{}", names::receipt(NODE, Roll(roll))));
        let bytes = self.runtime.block_on(async {
            self.store.get(&path).await.expect("there").bytes().await.expect("memory")
        });
        let mut receipt: Receipt = serde_json::from_slice(&bytes).expect("a receipt");
        change(&mut receipt);
        self.receipt(&receipt);
    }

    fn verify(&self) -> Report {
        self.runtime.block_on(verified(&self.lake(), Scope::All, Depth::Rows)).expect("memory")
    }

    fn lake(&self) -> Lake {
        Lake::below(self.store.clone(), "lake")
    }

    /// The one thing that is off.
    #[track_caller]
    fn off(&self) -> Problem {
        let report = self.verify();
        let [problem] = &report.problems[..] else { panic!("{report:#?}") };
        assert!(report.text().contains("1 thing is off."));
        let json = serde_json::to_value(&report).expect("JSON");
        assert!(json["problems"][0]["what"].is_string(), "programs read it: {json}");
        problem.clone()
    }
}

#[test]
fn a_lake_that_is_well() {
    let report = Bench::new().verify();
    assert!(report.is_well(), "{report:#?}");
    let node = &report.nodes[0];
    assert_eq!((node.rolls, node.last_seq, node.files), (2, 5, 2));
    assert_eq!((node.lines, node.rows, node.rejects), (11, 10, 1));
    assert_eq!(report.rows_read, 10);
    assert!(report.text().ends_with("Every received line is accounted for.\n"));
}

#[test]
fn bodies_without_a_receipt_are_a_gap_unless_they_are_said_to_be_lost() {
    let bench = Bench::new();
    bench.roll(3, 8, 9, 0);
    let problem = bench.off();
    assert_eq!(problem.kind, ProblemKind::Gap);
    assert!(problem.why.contains("bodies 6 to 7"), "{problem:?}");
    bench.change(3, |receipt| receipt.lost = vec![LostBodies { first_seq: 6, last_seq: 7 }]);
    let report = bench.verify();
    assert!(report.is_well(), "{report:#?}");
    assert_eq!(report.nodes[0].lost_bodies, 2);
    assert!(report.text().contains("given up with a damaged segment: bodies 6 to 7"));
    assert!(report.text().ends_with("accounted for, but for the bodies that were given up.\n"));
}

#[test]
fn what_is_no_lake_is_not_said_to_be_well() {
    let bench = Bench::new();
    let lake = Lake::below(bench.store.clone(), "elsewhere");
    let report = bench.runtime.block_on(verified(&lake, Scope::All, Depth::Sizes)).expect("memory");
    assert!(
        !report.is_well() && report.text().contains("Nothing was found here"),
        "{}",
        report.text()
    );
}

#[test]
fn a_receipt_that_is_gone_is_a_gap_and_its_files_are_nobodys() {
    let bench = Bench::new();
    bench.remove(&names::receipt(NODE, Roll(1)));
    let whats: Vec<ProblemKind> = bench.verify().problems.iter().map(|p| p.kind).collect();
    assert_eq!(whats, [ProblemKind::Gap, ProblemKind::NoReceipt, ProblemKind::NoReceipt]);
}

#[test]
fn bodies_in_two_rolls() {
    let bench = Bench::new();
    bench.roll(3, 5, 6, 0);
    assert_eq!(bench.off().kind, ProblemKind::Overlap);
}

#[test]
fn files_that_are_gone_broken_or_short_of_rows() {
    let name = names::data("t", "date=2026-11-01", NODE, Roll(2));
    let bench = Bench::new();
    bench.remove(&name);
    assert_eq!(bench.off().kind, ProblemKind::NoFile);
    bench.put(&name, "no Parquet, whatever its name is");
    assert_eq!(bench.off().kind, ProblemKind::File);
    bench.put(&name, parquet(&ids(4, 4)));
    assert!(bench.off().why.contains("says 4, it has 2"));
    let bench = Bench::new();
    bench.put(&names::quarantine("t", NODE, Roll(1)), "");
    assert!(bench.off().why.contains("says 1, it has 0"));
}

#[test]
fn rows_that_are_there_twice_or_belong_elsewhere() {
    let name = names::data("t", "date=2026-11-01", NODE, Roll(2));
    let bench = Bench::new();
    let mut twice = ids(4, 5);
    twice[3] = twice[0].clone();
    bench.put(&name, parquet(&twice));
    assert_eq!(bench.off().kind, ProblemKind::Overlap);
    bench.put(&name, parquet(&ids(3, 4)));
    assert!(bench.off().why.contains("is none of bodies 4 to 5"));
}

#[test]
fn numbers_that_do_not_add_up() {
    let bench = Bench::new();
    bench.change(1, |receipt| receipt.lines += 1);
    assert_eq!(bench.off().kind, ProblemKind::Sum);
}

#[test]
fn rows_of_a_derived_table_are_in_no_sum() {
    let bench = Bench::new();
    let path = names::data("children", "", NODE, Roll(1));
    let bytes = parquet(&ids(1, 2));
    let (rows, size) = (4, bytes.len() as u64);
    bench.put(&path, bytes);
    let file = FileReceipt { path, rows, bytes: size, ..FileReceipt::default() };
    let children = |derived| TableReceipt {
        table: "children".into(),
        schema: String::new(),
        partition_template: String::new(),
        derived,
        doubled: 0,
        files: vec![file.clone()],
        quarantine: None,
        fields: None,
    };
    bench.change(1, |receipt| receipt.tables.push(children(true)));
    let report = bench.verify();
    assert!(report.is_well(), "{report:#?}");
    assert_eq!((report.nodes[0].lines, report.nodes[0].rows, report.nodes[0].files), (11, 10, 3));
    bench.change(1, |receipt| receipt.tables[1] = children(false));
    assert_eq!(bench.off().kind, ProblemKind::Sum);
}

#[test]
fn rows_of_a_flat_table_are_told_apart_by_their_place_in_the_session() {
    use arrow::array::Int64Array;
    let file = |rows: &[(&str, Option<i64>, i64)], is_property: bool| {
        let texts =
            |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
        let ids: Vec<String> = rows.iter().map(|(id, ..)| format!("{NODE}-{id}")).collect();
        let ids: ArrayRef = Arc::new(StringArray::from(ids));
        let actions: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1)));
        let positions: ArrayRef =
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        let mut columns = vec![(INGEST_ID, ids), ("position", positions), ("type", texts("long"))];
        if is_property {
            columns.extend([("level", texts("action")), ("actionPosition", actions)]);
        }
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        bytes
    };
    let bench = Bench::new();
    let path = names::data("children", "", NODE, Roll(1));
    let off = |rows: &[(&str, Option<i64>, i64)], is_property| {
        let bytes = file(rows, is_property);
        let (rows, size) = (rows.len() as u64, bytes.len() as u64);
        bench.put(&path, bytes);
        let file = FileReceipt { path: path.clone(), rows, bytes: size, ..FileReceipt::default() };
        let table = TableReceipt {
            table: "children".into(),
            derived: true,
            doubled: 0,
            files: vec![file],
            schema: String::new(),
            partition_template: String::new(),
            quarantine: None,
            fields: None,
        };
        bench.change(1, |receipt| {
            receipt.tables.truncate(1);
            receipt.tables.push(table.clone());
        });
        let report = bench.verify();
        report.problems.first().map(|problem| (problem.kind, problem.why.clone()))
    };
    let elements = [("1-1", None, 0), ("1-1", None, 1), ("2-1", None, 0)];
    assert_eq!(off(&elements, false), None);
    let properties = [("1-1", None, 0), ("1-1", Some(0), 0), ("1-1", Some(1), 0)];
    assert_eq!(off(&properties, true), None);
    let (kind, why) = off(&properties, false).expect("found");
    assert_eq!(kind, ProblemKind::Overlap);
    assert!(why.contains("1-1/0"), "{why}");
    let (kind, why) = off(&[properties[1], properties[1]], true).expect("found");
    assert!(kind == ProblemKind::Overlap && why.contains("1-1/action/0/long/0"), "{why}");
    let (kind, why) = off(&[("9-1", None, 0)], false).expect("found");
    assert!(kind == ProblemKind::File && why.contains("is none of bodies"), "{why}");
}

#[test]
fn a_receipt_that_is_none_or_of_another_roll() {
    let bench = Bench::new();
    bench.put(&names::receipt(NODE, Roll(3)), "{");
    assert_eq!(bench.off().kind, ProblemKind::Receipt);
    bench.put(&names::receipt(NODE, Roll(3)), r#"{"version":1}"#);
    assert_eq!(bench.off().kind, ProblemKind::Receipt);
}

#[test]
fn the_next_roll_is_on_its_way_and_other_files_are_nobodys() {
    let bench = Bench::new();
    bench.put(&names::data("t", "", NODE, Roll(3)), parquet(&ids(6, 6)));
    bench.put("t/date=2026-11-01/.eu-abcd2345-00000003.parquet.tmp", "half");
    bench.put("t/date=2026-11-01/part-0.parquet", "another program's");
    bench.put("_imports/import-x.json", "{}");
    let report = bench.verify();
    assert!(report.is_well(), "{report:#?}");
    assert_eq!((report.pending_files, report.hidden, report.foreign), (1, 1, 1));
    assert_eq!(report.pending_rolls, [format!("{NODE}-00000003")]);
    assert!(report.text().ends_with("accounted for, but for the rolls on their way.\n"));
    bench.put(&names::data("t", "", NODE, Roll(4)), parquet(&ids(7, 7)));
    assert_eq!(bench.off().kind, ProblemKind::NoReceipt);
}

#[test]
fn entries_of_the_quarantine_come_back_as_they_were() {
    let bench = Bench::new();
    let path = names::quarantine("t", NODE, Roll(1));
    // The first as builds without codes wrote it.
    let text = "{\"reason\":\"r\",\"seq\":1,\"line\":2,\"raw\":\"{broken\"}\n\
                {\"code\":\"not_utf8\",\"reason\":\"r\",\"seq\":1,\"line\":3,\"raw\":{\"base64\":\"/w==\"}}\n";
    bench.put(&path, text);
    bench.runtime.block_on(async {
        let lake = bench.lake();
        let files = lake.quarantine(Some("t")).await.expect("listed");
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].node.as_str(), files[0].roll), (NODE, 1));
        assert!(lake.quarantine(Some("u")).await.expect("none").is_empty());
        let found = lake.quarantine_entries(&path).await.expect("read");
        let texts: Vec<_> = found.iter().flat_map(|entry| entry.texts().expect("texts")).collect();
        assert_eq!(texts, [b"{broken".to_vec(), vec![0xff]]);
        let mut sum = Quarantined::default();
        found.iter().for_each(|entry| sum.add(entry));
        assert_eq!((sum.entries, sum.reasons["r"]), (2, 2));
        assert_eq!((sum.codes.len(), sum.codes["not_utf8"]), (1, 1));
    });
}

#[test]
fn an_entry_of_an_update_is_recognised_by_its_reason() {
    let schema = r#"{"type":"record","name":"t","fields":[
        {"name":"id","type":["null","string"],"default":null}]}"#;
    let schema = Arc::new(crate::schema::TableSchema::parse(schema).expect("a schema"));
    let mut decoder = crate::decode::Decoder::new(schema, NODE.into());
    decoder.push(&crate::record::Body {
        seq: Seq(1),
        received_at: crate::record::Micros(0),
        table: "t".into(),
        form: crate::record::Form::Elasticsearch,
        first_line: 1,
        bytes: "{\"update\":{}}\n{\"doc\":{}}\n17\n".into(),
        stored: None,
    });
    let written = decoder.finish().rejects.into_iter().map(|reject| {
        let raw = serde_json::Value::Null;
        let code = Some(reject.code.as_str().to_owned());
        let (reason, line, last_line, lines) = (reject.reason, reject.line, None, reject.lines);
        let entry = QuarantineEntry { code, reason, seq: 1, line, last_line, lines, raw };
        // Entries of earlier builds have the reason alone.
        let earlier = QuarantineEntry { code: None, ..entry.clone() };
        // The code decides where there is one, whatever the reason says.
        let other = QuarantineEntry { code: Some("not_json".into()), ..entry.clone() };
        (entry.is_of_update(), earlier.is_of_update(), other.is_of_update())
    });
    let expected = [(false, false, false), (true, true, false), (false, false, false)];
    assert_eq!(written.collect::<Vec<_>>(), expected);
}

mod scope;
