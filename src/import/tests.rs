//! Runs, replays and their marks, on a lake in memory.

use std::path::PathBuf;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::manifest::FileMark;
use super::*;
use crate::encode::Compression;
use crate::journal::Seal;
use crate::lake::{self, Entry, Location};
use crate::publish::publisher::RollLog as _;
use crate::record::SeqRange;
use crate::schema::TableSchema;
use crate::table::{Spec, Template};

const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null}
]}"#;

struct Bench {
    store: Arc<InMemory>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    bucket: String,
}

impl Bench {
    fn new(name: &str) -> Bench {
        Bench {
            store: Arc::default(),
            runtime: runtime().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            // Locks are below the directory for temporary files, by the lake's name.
            bucket: format!("{name}-{}", std::process::id()),
        }
    }

    fn options(&self, files: &[&str]) -> Options {
        let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
        let location = Location::S3 { bucket: self.bucket.clone(), prefix: "lake".into() };
        let partition = Template::parse("", &schema).unwrap();
        Options {
            inputs: files.iter().map(|name| Input::File(self.path(name))).collect(),
            again: false,
            quiet: true,
            lake: lake::Options { location, options: Vec::new(), timeout: Duration::from_secs(9) },
            table: Spec::new("visits", schema, partition),
            privacy_key: None,
            roll: crate::roll::Options {
                roll_bytes: 1 << 30,
                roll_rows: None,
                compression: Compression::None,
                row_group_bytes: 1 << 20,
                memory_bytes: 1 << 26,
                decode_threads: 1.try_into().unwrap(),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// As another process would be.
    fn import(&self, files: &[&str]) -> Import {
        let lake = Lake::on(self.store.clone(), 1 << 20);
        Import::on(self.options(files), lake, self.runtime.handle().clone()).unwrap()
    }

    fn run(&self, import: &Import, planned: Planned) -> anyhow::Result<Run> {
        let Planned { node, run, new, inputs } = planned;
        let report = report::Report::new(&[], true);
        let contents = run.files.iter().map(|file| file.content.clone());
        let inputs = inputs.into_iter().zip(contents).collect();
        let origin = Origin::Files(Files::new(inputs, report.bar()));
        import.run(&node, run, new, origin, &report)
    }

    fn replay(&self) -> Replay {
        Replay::on(self.import(&[]), runtime().unwrap()).unwrap()
    }

    /// Ids of all rows.
    fn ids(&self) -> Vec<String> {
        let objects = self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
            let data = listed.into_iter().filter(|one| one.location.as_ref().ends_with(".parquet"));
            let mut objects = Vec::new();
            for one in data {
                objects.push(self.store.get(&one.location).await.unwrap().bytes().await.unwrap());
            }
            objects
        });
        let mut ids = Vec::new();
        for object in objects {
            let rows = ParquetRecordBatchReaderBuilder::try_new(object).unwrap().build().unwrap();
            for batch in rows {
                let batch = batch.unwrap();
                let column = batch.column_by_name("id").unwrap().as_string::<i32>();
                ids.extend((0..column.len()).map(|at| column.value(at).to_owned()));
            }
        }
        ids.sort();
        ids
    }
}

fn entry(reason: &str, raw: &str) -> Entry {
    Entry { reason: reason.into(), seq: 1, line: 7, raw: raw.into() }
}

fn replayed(landed: u64, known: u64, left: u64, closed: u64) -> Replayed {
    Replayed { landed, known, left, closed }
}

#[test]
fn a_roll_is_sealed_by_one_process() {
    let bench = Bench::new("seals");
    let (one, two) = (bench.import(&[]), bench.import(&[]));
    let seal = |import: &Import, last| {
        let range = SeqRange { first: Seq(1), last: Seq(last) };
        let seal = Seal { roll: Roll(1), range, settings: Vec::new() };
        LakeLog { marks: &import.marks, node: "n" }.seal(&seal)
    };
    seal(&one, 5).unwrap();
    // The answer was lost.
    seal(&one, 5).unwrap();
    let error = seal(&two, 4).unwrap_err();
    assert!(error.to_string().starts_with("another process goes on"), "{error}");
    let range = one.marks.sealed("n", Roll(1)).unwrap().unwrap();
    assert_eq!((range.first, range.last), (Seq(1), Seq(5)));
}

#[test]
fn a_run_is_begun_by_one_process() {
    let bench = Bench::new("begun");
    bench.file("a", "{\"id\":\"a\"}\n");
    let (one, two) = (bench.import(&["a"]), bench.import(&["a"]));
    // Both look before either begins.
    let (mut plan, late) = (one.plan().unwrap(), two.plan().unwrap());
    bench.run(&one, plan.runs.remove(0)).unwrap();
    let mut late = late.runs;
    let error = bench.run(&two, late.remove(0)).unwrap_err();
    assert!(error.to_string().starts_with("another process has taken up"), "{error}");
    let plan = two.plan().unwrap();
    assert_eq!((plan.runs.len(), plan.known.len()), (0, 1));
    assert_eq!(bench.ids(), ["a"]);
}

#[test]
fn an_interrupted_import_whose_file_is_gone_can_be_given_up() {
    let bench = Bench::new("given-up");
    bench.file("a", "{\"id\":\"a\"}\n");
    bench.file("b", "{\"id\":\"b\"}\n");
    let both = bench.import(&["a", "b"]);
    let Planned { node, run, .. } = both.plan().unwrap().runs.remove(0);
    assert!(both.marks.create(&node, &run).unwrap());
    bench.file("b", "{\"id\":\"b2\"}\n");
    let Err(error) = both.plan() else { panic!("b is not as it was") };
    let said = error.to_string();
    assert!(said.contains(&format!("import --give-up {node}")), "{said}");
    let error = both.give_up("import-x").unwrap_err();
    assert!(error.to_string().contains(&node), "{error}");
    assert_eq!(both.give_up(&node).unwrap().len(), 2);
    let plan = both.plan().unwrap();
    assert!(plan.runs[0].new && plan.runs[0].node != node);
    for planned in plan.runs {
        bench.run(&both, planned).unwrap();
    }
    assert_eq!(bench.ids(), ["a", "b2"]);
    assert!(both.give_up(&node).is_err());
}

#[test]
fn an_interrupted_import_goes_on_by_the_cuts_it_began_with() {
    let bench = Bench::new("cuts");
    for (version, first_of_b) in [(1, 3), (2, 2)] {
        let action = format!("{{\"index\":{{}}}}\n{{\"id\":\"a{version}\"}}\n");
        bench.file("a", &action);
        bench.file("b", &format!("{{\"id\":\"b{version}\"}}\n"));
        let import = bench.import(&["a", "b"]);
        let Planned { node, mut run, .. } = import.plan().unwrap().runs.remove(0);
        (run.version, run.piece_bytes) = (version, 13);
        assert!(import.marks.create(&node, &run).unwrap());
        let done = bench.run(&import, import.plan().unwrap().runs.remove(0)).unwrap();
        let first: Vec<_> = done.files.iter().map(|file| file.first_seq).collect();
        assert_eq!(first, [Some(1), Some(first_of_b)]);
    }
    assert_eq!(bench.ids(), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_mark_of_a_newer_version_is_refused() {
    let bench = Bench::new("newer");
    let import = bench.import(&[]);
    let files = vec![FileMark { name: "a".into(), content: None, first_seq: None }];
    let run = Run { version: manifest::VERSION + 1, ..import.new_mark(files) };
    import.marks.put("import-x", &run).unwrap();
    let error = import.marks.runs().unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn a_replay_in_vain_can_be_tried_again() {
    let bench = Bench::new("vain");
    let mut file = [entry("r", "{broken"), entry("r", "17")];
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(0, 0, 2, 0));
    // Nothing of it is in the lake.
    assert!(bench.import(&[]).marks.runs().unwrap().is_empty());
    file[0].raw = "{\"id\":\"mended\"}".into();
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(1, 0, 1, 0));
    file[1].raw = "{\"id\":\"later\"}".into();
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(1, 1, 0, 0));
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(0, 2, 0, 0));
    assert_eq!(bench.ids(), ["later", "mended"]);
}

#[test]
fn lines_of_one_reason_are_not_landed_again_with_all() {
    let bench = Bench::new("reason");
    let file = [entry("x at byte 1", "{\"id\":\"x\"}"), entry("y", "{\"id\":\"y\"}")];
    let mut replay = bench.replay();
    assert_eq!(replay.file("_quarantine/a", &file, Some("x")).unwrap(), replayed(1, 0, 0, 0));
    assert_eq!(replay.file("_quarantine/a", &file, None).unwrap(), replayed(1, 1, 0, 0));
    assert_eq!(bench.ids(), ["x", "y"]);
}

#[test]
fn equal_lines_of_two_files_land_each() {
    let bench = Bench::new("equal");
    let file = [entry("r", "{\"id\":\"same\"}"), entry("r", "{\"id\":\"same\"}")];
    let mut replay = bench.replay();
    for path in ["_quarantine/t/n-00000001.ndjson", "_quarantine/t/n-00000002.ndjson"] {
        assert_eq!(replay.file(path, &file, None).unwrap(), replayed(2, 0, 0, 0));
    }
    assert_eq!(bench.ids(), ["same"; 4]);
}

#[test]
fn lines_are_replayed_as_they_came() {
    let bench = Bench::new("as-they-came");
    let file = [
        // A document over several lines, of an array.
        entry("r", "{\"id\":\n\"lines\"\r\n}"),
        // The rest of an array that is not closed: its lines are none.
        entry("r", "{\"id\":\"a\"\n{\"id\":\"b\"}\n"),
        // Control characters in strings stay what they are.
        entry("r", "{\"id\":\"c\rd\"}"),
        entry("r", "{\"id\":\"e\nf\"}"),
        entry("r", "[{\"id\":\"g\"}]"),
        entry("r", ""),
        entry("the document of an update action, which is not taken", "{\"id\":\"h\"}"),
        entry("a delete action", "{\"delete\":{\"_id\":\"1\"}}"),
        // Of a sender, whatever it looks like.
        entry("r", "{\"sealed\":\"AAAA\"}"),
        entry("r", " {\"id\":\"last\"}\r"),
    ];
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(2, 0, 7, 1));
    assert_eq!(bench.ids(), ["last", "lines"]);
    let runs = bench.import(&[]).marks.runs().unwrap();
    let run = runs.values().next().unwrap();
    assert_eq!(run.entries, Some(vec![(1, 1), (10, 10)]));
}

#[test]
fn sealed_lines_are_opened_and_what_cannot_be_stops_nothing() {
    let bench = Bench::new("sealed");
    bench.file("key", &"k".repeat(40));
    let mut options = bench.options(&[]);
    options.privacy_key = Some(bench.path("key"));
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let import = Import::on(options, lake, bench.runtime.handle().clone()).unwrap();
    let seal = |text: &str| {
        let sealed = import.key.as_ref().unwrap().seal(text.as_bytes()).unwrap();
        entry("r", &serde_json::json!({ "sealed": sealed }).to_string())
    };
    let file = [seal("{\"id\":\"a\"}"), entry("r", "{\"sealed\":\"AAAA\"}"), seal("17")];
    let mut replay = Replay::on(import, runtime().unwrap()).unwrap();
    assert_eq!(replay.file("_quarantine/a", &file, None).unwrap(), replayed(1, 0, 1, 1));
    assert_eq!(bench.ids(), ["a"]);
}

#[test]
fn an_interrupted_replay_is_finished_as_it_began() {
    let bench = Bench::new("interrupted");
    let file = [entry("x", "{\"id\":\"x\"}"), entry("y", "{\"id\":\"y\"}")];
    let import = bench.import(&[]);
    let mark = FileMark { name: "_quarantine/a".into(), content: None, first_seq: None };
    let run = Run { entries: Some(vec![(2, 2)]), ..import.new_mark(vec![mark]) };
    assert!(import.marks.create("replay-1", &run).unwrap());
    let mut replay = bench.replay();
    assert_eq!(replay.file("_quarantine/a", &file, Some("x")).unwrap(), replayed(2, 0, 0, 0));
    assert_eq!(bench.ids(), ["x", "y"]);
    assert!(bench.import(&[]).marks.runs().unwrap().values().all(|run| run.done));
}
