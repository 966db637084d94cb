//! Replays of bodies that were set aside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::publish::pauses::Pauses;
use crate::publish::tests::store::FakeStore;
use crate::roll::test_faults::{self, Step};

/// An entry of a body that was set aside.
fn body(lines: u64, raw: &str) -> QuarantineEntry {
    let code = Some("set_aside".to_owned());
    QuarantineEntry { code, line: 1, last_line: Some(9), lines, ..entry("r", raw) }
}

const BULK: &str = "{\"index\":{\"_id\":\"1\"}}\n{\"id\":\"c\"}\n{\"create\":{}}\n{\"id\":\"d\"}\n";
const TWO: &str = "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n";

#[test]
fn bodies_that_were_set_aside_land_as_what_they_were_and_each_once() {
    let bench = Bench::new("whole");
    let file = [
        body(3, "{\"id\":\"a\"}\n\n{broken\n{\"id\":\"b\"}\n"),
        entry("r", "{\"id\":\"line\"}"),
        body(5, &format!("{BULK}{{\"delete\":{{\"_id\":\"1\"}}}}\n")),
        body(3, "{\"id\":\n\"e\"\n}"),
        body(2, "[{\"id\":\"f\"},\n{\"id\":\"g\"}]\n"),
        body(1, "{\"id\":\"h\"}"),
        // Of none of its lines there is a row.
        body(2, "x\ny\n"),
        // Sealed, and there is no key.
        body(2, "{\"sealed\":\"AAAA\"}"),
    ];
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "line"];
    assert_eq!(bench.replay().file("q", &file, None).unwrap(), replayed(13, 0, 4, 2));
    assert_eq!(bench.ids(), all);
    assert_eq!(bench.replay().file("q", &file, None).unwrap(), replayed(0, 15, 2, 2));
    assert_eq!(bench.ids(), all);
    // The rejects of a body that has landed are in quarantine for themselves.
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let mut codes = bench.runtime.block_on(async {
        let mut codes = Vec::new();
        for file in lake.quarantine(None).await.unwrap() {
            let entries = lake.quarantine_entries(&file.path).await.unwrap();
            codes.extend(entries.into_iter().filter_map(|entry| entry.code));
        }
        codes
    });
    codes.sort();
    assert_eq!(codes, ["delete_action", "not_json"]);
}

#[test]
fn a_sealed_body_lands_whole_with_the_key() {
    let bench = Bench::new("whole-sealed");
    bench.file("key", &"k".repeat(40));
    let mut options = bench.options(&[]);
    options.privacy_key = Some(bench.path("key"));
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let import = Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap();
    let sealed = import.key.as_ref().unwrap().seal(BULK.as_bytes()).unwrap();
    let file = [body(4, &serde_json::json!({ "sealed": sealed }).to_string())];
    let mut replay = Replay::with_importer(import, runtime().unwrap()).unwrap();
    assert_eq!(replay.file("q", &file, None).unwrap(), replayed(4, 0, 0, 0));
    assert_eq!(bench.ids(), ["c", "d"]);
}

#[test]
fn bodies_land_once_when_their_replay_is_killed_at_any_call_and_given_again() {
    let file = [body(2, TWO), entry("r", "{\"id\":\"line\"}"), body(4, BULK)];
    for nth in 1..500 {
        let bench = Bench::new(&format!("whole-killed-{nth}"));
        let store = FakeStore::over(bench.store.clone(), nth);
        store.die_at(Some(nth), &Arc::default());
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let killed = catch_unwind(AssertUnwindSafe(|| {
            let runtime_of = bench.runtime.handle().clone();
            let mut import = Importer::with_lake(bench.options(&[]), lake, runtime_of)?;
            let none = Duration::ZERO;
            import.pauses = Pauses { store: none, restart: none, most: none };
            Replay::with_importer(import, runtime()?)?.file("q", &file, None)
        }));
        let lived = matches!(killed, Ok(Ok(_)));
        assert!(lived || store.is_dead(), "{nth}: {killed:?}");
        bench.runtime.block_on(store.settle());
        let Replayed { landed, known, left, closed, failed } =
            bench.replay().file("q", &file, None).unwrap();
        assert_eq!((landed + known, left, closed, failed), (7, 0, 0, 0), "{nth}");
        assert_eq!(bench.ids(), ["a", "b", "c", "d", "line"], "{nth}");
        if lived {
            assert!(nth > 20, "{nth}");
            return;
        }
    }
    panic!("a replay has no end");
}

#[test]
fn a_body_that_fails_again_stays_and_all_others_land() {
    let bench = Bench::new("whole-faults");
    let path = "_quarantine/faults";
    let file = [
        body(2, "{\"id\":\"tried!\"}\n{\"id\":\"tried\"}"),
        body(2, "{\"id\":\"pushed!\"}\n{\"id\":\"pushed\"}"),
        body(2, TWO),
        entry("r", "{\"id\":\"line\"}"),
    ];
    test_faults::set(
        "replay",
        Arc::new(|step| {
            let Step::Decode(body) = step else { return Ok(false) };
            let text = std::str::from_utf8(&body.bytes).unwrap();
            assert!(!text.contains("tried!"), "a defect of the decoder");
            Ok(false)
        }),
    );
    // The line is the first import, and the body that can be decoded is the next one.
    let node = format!("replay-{:032x}-2", xxh3_128(path.as_bytes()));
    test_faults::set(
        &node,
        Arc::new(|step| match step {
            Step::Push(_) => anyhow::bail!("a defect of the batcher"),
            _ => Ok(false),
        }),
    );
    let replay = || bench.replay().file(path, &file, None).unwrap();
    assert_eq!(replay(), Replayed { failed: 4, ..replayed(3, 0, 0, 0) });
    assert_eq!(bench.ids(), ["a", "b", "line"]);
    assert_eq!(replay(), Replayed { failed: 4, ..replayed(0, 3, 0, 0) });
    // As an upgrade does.
    for node in ["replay", &node] {
        test_faults::set(node, Arc::new(|_| Ok(false)));
    }
    assert_eq!(replay(), replayed(4, 3, 0, 0));
    assert_eq!(replay(), replayed(0, 7, 0, 0));
    assert_eq!(bench.ids(), ["a", "b", "line", "pushed", "pushed!", "tried", "tried!"]);
}
