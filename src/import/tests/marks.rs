//! Claims, the index of imports, and marks that are gone.

use super::*;
use crate::publish::tests::store::FakeStore;

/// As an outsider had it: 12,000 rows of 9,000.
#[test]
fn overlapping_imports_side_by_side_land_each_file_once() {
    let bench = Bench::new("side-by-side");
    for name in ["f0", "f1", "f2"] {
        bench.file(name, &format!("{{\"id\":\"{name}\"}}\n"));
    }
    let (one, two) = (bench.import(&["f0", "f1"]), bench.import(&["f1", "f2"]));
    // Both look before either begins.
    let (mut first, mut second) = (plan(&one).unwrap(), plan(&two).unwrap());
    let run = two.run(second.imports.remove(0), &Report::new(&[], true)).unwrap();
    assert_eq!(run.failed, Vec::<String>::new());
    let run = one.run(first.imports.remove(0), &Report::new(&[], true)).unwrap();
    assert_eq!(run.manifest.unwrap().files.len(), 1);
    let [failed] = &run.failed[..] else { panic!("{:?}", run.failed) };
    assert!(failed.contains("f1: another process has begun to import it meanwhile"), "{failed}");
    assert_eq!(bench.ids(), ["f0", "f1", "f2"]);
    assert_eq!(bench.command(&["f0", "f1"]).unwrap().len(), 1, "imported before");
    // The first one is killed right after it has begun, and the second one begins: it lands only what
    // is not claimed, and says so.
    for name in ["f0", "f1", "f2"] {
        bench.file(name, &format!("{{\"id\":\"{name} of the next day\"}}\n"));
    }
    let import = bench.import(&["f0", "f1"]);
    let PlannedImport { node, manifest, .. } = plan(&import).unwrap().imports.remove(0);
    assert!(create(&import, &node, &manifest));
    let told = bench.command(&["f1", "f2"]).unwrap();
    assert!(told[0].contains("f1: of an import that was interrupted, or that another"), "{told:?}");
    assert!(!told[0].contains("f2:"), "{told:?}");
    assert_eq!(bench.ids().len(), 4);
    // The same command goes on with what it has claimed.
    assert_eq!(bench.command(&["f0", "f1"]).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids().len(), 6);
}

#[test]
fn claims_of_a_process_that_was_killed_while_it_claimed_bind_nobody() {
    let bench = Bench::new("unbegun");
    for name in ["a", "b", "c"] {
        bench.file(name, &format!("{{\"id\":\"{name}\"}}\n"));
    }
    let import = bench.import(&["a", "b", "c"]);
    let PlannedImport { node, claims, .. } = plan(&import).unwrap().imports.remove(0);
    let Manifests { lake, runtime, .. } = &import.manifests;
    super::super::claims::claim(lake, runtime, &node, &claims[..2]).unwrap();
    // The same command is the same import.
    let again = plan(&import).unwrap();
    assert_eq!((again.imports.len(), &again.imports[0].node), (1, &node));
    // Another one takes what it is given of it, and gives back the rest.
    let waiting = plan(&bench.import(&["a", "c"])).unwrap();
    assert_eq!(bench.command(&["b"]).unwrap(), Vec::<String>::new());
    let mut failed = Vec::new();
    for planned in waiting.imports {
        let run = import.run(planned, &Report::new(&[], true)).unwrap();
        failed.extend(run.retry);
    }
    assert_eq!(failed, [Input::File(bench.path("a"))], "to be planned again");
    assert_eq!(bench.ids(), ["b", "c"]);
    assert_eq!(bench.command(&["a"]).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids(), ["a", "b", "c"]);
}

/// As an outsider had it: "5,000 rows in 1 Parquet file", exit 0, nothing in the lake.
#[test]
fn receipts_without_marks_are_told_and_nothing_lands_twice() {
    let bench = Bench::new("forgotten");
    bench.file("a", "{\"id\":\"a\"}\n");
    bench.file("b", "{\"id\":\"b\"}\n");
    assert_eq!(bench.command(&["a"]).unwrap(), Vec::<String>::new());
    let remove = |all: bool| {
        bench.runtime.block_on(async {
            let listed: Vec<_> = bench.store.list(None).try_collect().await.unwrap();
            for object in listed {
                let name = object.location.as_ref().strip_prefix("lake/").unwrap().to_owned();
                let kept = !all && ObjectName::parse(&name) == ObjectName::ImportIndex;
                if name.starts_with("_imports/") && !kept {
                    bench.store.delete(&object.location).await.unwrap();
                }
            }
        });
    };
    // All but the index: the file is still known by its import's receipts.
    remove(false);
    let told = bench.command(&["a"]).unwrap().join("\n");
    assert!(told.contains("imported before, in whole or in part"), "{told}");
    assert!(told.contains("--again") && told.contains("_imports"), "{told}");
    assert_eq!(bench.ids(), ["a"]);
    // All of it: no file can be recognised, whatever else it is given with.
    remove(true);
    for names in [&["a"][..], &["a", "b"], &["b"]] {
        let told = match bench.command(names) {
            Ok(told) => told.join("\n"),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains("gone from _imports") && told.contains("--again"), "{told}");
        assert_eq!(bench.ids(), ["a"]);
    }
    let mut import = bench.import(&["b"]);
    import.options.again = true;
    assert_eq!(land_all(&import).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids(), ["a", "b"]);
    bench.file("c", "{\"id\":\"c\"}\n");
    assert_eq!(bench.command(&["c"]).unwrap(), Vec::<String>::new(), "needs no --again");
    // Once more, if it is told to: under another name.
    let mut import = bench.import(&["a"]);
    import.options.again = true;
    assert_eq!(land_all(&import).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids(), ["a", "a", "b", "c"]);
}

/// Writes marks as earlier versions made them, of files `old-<n>` which were imported.
fn marks_of_an_earlier_version(bench: &Bench, count: usize) {
    let import = bench.import(&[]);
    let tables = String::from_utf8(import.tables.to_json()).unwrap();
    for n in 0..count {
        let name = format!("old-{n}");
        bench.file(&name, &format!("{{\"id\":\"old-{n}\"}}\n"));
        let input = Input::File(bench.path(&name));
        let content = content_hash::of(&input).unwrap().unwrap().hash;
        let files = vec![ManifestFile::new(name, Some(content.clone()))];
        let manifest = ImportManifest {
            version: 2,
            done: true,
            tables: tables.clone(),
            ..new_manifest(&import, files)
        };
        import.manifests.put(&format!("import-{content}"), &manifest).unwrap();
    }
}

#[test]
fn marks_of_earlier_versions_are_known_and_are_read_once() {
    let bench = Bench::new("index");
    marks_of_an_earlier_version(&bench, 40);
    let of = |files: &[&str]| {
        // As another process: its calls alone.
        let store = FakeStore::over(Arc::clone(&bench.store), 0);
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let handle = bench.runtime.handle().clone();
        let import = Importer::with_lake(bench.options(files), lake, handle).unwrap();
        (land_all(&import).unwrap(), store.faults().calls)
    };
    let (told, calls) = of(&["old-7"]);
    assert!(told[0].starts_with("imported before, and left out: "), "{told:?}");
    assert!(calls > 80, "all of them are read: {calls}");
    bench.file("new", "{\"id\":\"new\"}\n");
    let (told, few) = of(&["new"]);
    assert_eq!(told, Vec::<String>::new());
    let (told, known) = of(&["old-39"]);
    assert!(told[0].starts_with("imported before, and left out: "), "{told:?}");
    // Neither grows with the marks that there are.
    let empty = Bench::new("index-of-few");
    marks_of_an_earlier_version(&empty, 1);
    assert_eq!((few, known), (calls_of_a_small_lake(&empty, "new"), known));
    assert!(few < 40 && known < 10, "{few}, {known}");
}

/// Returns the calls that an import of one new file makes to a lake with few imports.
fn calls_of_a_small_lake(bench: &Bench, name: &str) -> u64 {
    bench.command(&["old-0"]).unwrap();
    bench.file(name, "{\"id\":\"new\"}\n");
    let store = FakeStore::over(Arc::clone(&bench.store), 0);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    let handle = bench.runtime.handle().clone();
    let import = Importer::with_lake(bench.options(&[name]), lake, handle).unwrap();
    assert_eq!(land_all(&import).unwrap(), Vec::<String>::new());
    store.faults().calls
}

/// Killed at every call, alone and two at once: afterwards every file is known, and has one claim.
#[test]
fn an_index_that_is_interrupted_is_made_again() {
    let alone = (1..).take_while(|nth| interrupted_index(*nth, 1)).count() as u64;
    assert!(alone > 5, "{alone} calls of one that is alone");
    // Beside another one it makes any number of calls, up to these: what the other has done is done.
    let deaths = (1..=alone + 1).filter(|nth| interrupted_index(*nth, 2)).count();
    assert!(deaths > 0);
}

/// Makes the index `at_once` times, the first of which dies at the `nth` call, and then imports the
/// files, of which marks were there. Returns whether it died.
fn interrupted_index(nth: u64, at_once: usize) -> bool {
    let bench = Bench::new("interrupted-index");
    marks_of_an_earlier_version(&bench, 3);
    let importer = |store: &FakeStore| {
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let handle = bench.runtime.handle().clone();
        Importer::with_lake(bench.options(&["old-0"]), lake, handle).unwrap()
    };
    let store = |_| FakeStore::over(Arc::clone(&bench.store), nth);
    let stores: Vec<FakeStore> = (0..at_once).map(store).collect();
    stores[0].die_at(Some(nth), &Arc::default());
    std::thread::scope(|scope| {
        for store in &stores {
            let import = importer(store);
            scope.spawn(move || {
                let index = || index::ensure(&import.manifests);
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(index));
            });
        }
    });
    let died = stores[0].is_dead();
    assert_eq!(bench.command(&["old-0", "old-1", "old-2"]).unwrap().len(), 1, "{nth}");
    let listed: Vec<_> = bench.runtime.block_on(bench.store.list(None).try_collect()).unwrap();
    let claims = listed.iter().filter(|one| is_claim_of_a_file(one.location.as_ref())).count();
    assert_eq!(claims, 3, "{nth}");
    died
}

/// Killed at every call: nothing is in a lake that has no identity.
#[test]
fn nothing_is_in_a_lake_before_its_identity() {
    for nth in 1.. {
        let bench = Bench::new("begun");
        bench.file("a", "{\"id\":\"a\"}\n");
        let store = FakeStore::over(Arc::clone(&bench.store), nth);
        store.die_at(Some(nth), &Arc::default());
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let handle = bench.runtime.handle().clone();
        let import = Importer::with_lake(bench.options(&["a"]), lake, handle).unwrap();
        let command = std::panic::AssertUnwindSafe(|| land_all(&import));
        let _ = std::panic::catch_unwind(command);
        let listed: Vec<_> = bench.runtime.block_on(bench.store.list(None).try_collect()).unwrap();
        let names: Vec<&str> = listed.iter().map(|object| object.location.as_ref()).collect();
        assert!(names.is_empty() || names.contains(&"lake/_lake.json"), "call {nth}: {names:?}");
        if !store.is_dead() {
            assert!(nth > 10 && bench.ids() == ["a"]);
            return;
        }
    }
}

/// A log that is written to while it is imported. The hash says so only at its end, and rows of what was
/// appended, before that, would be in the lake and in no content that is remembered.
#[test]
fn nothing_lands_of_what_is_appended_to_a_file_after_it_was_hashed() {
    let bench = Bench::new("grows");
    let text: String = (0..9).map(|line| format!("{{\"id\":\"a-{line}\"}}\n")).collect();
    for length in [text.len(), text.len() - 4, 60, 30, 12] {
        for appended in [1, 30, 300] {
            let name = format!("a-{length}-{appended}");
            let whole = format!("{{\"id\":\"{name}\"}}\n{}", &text[..length]);
            let more: String =
                (0..appended).map(|n| format!("{{\"id\":\"more-{n}\"}}\n")).collect();
            bench.file(&name, &whole);
            let mut import = bench.import(&[&name]);
            (import.chunk_bytes, import.options.roll.roll_rows) = (30, Some(1));
            let planned = plan(&import).unwrap().imports.remove(0);
            bench.file(&name, &format!("{whole}{more}"));
            let run = import.run(planned, &Report::new(&[], true)).unwrap();
            assert!(run.failed[0].contains("has changed while it was imported"), "{run:?}");
            let ids = bench.ids();
            assert!(!ids.iter().any(|id| id.starts_with("more-")), "{name}: {ids:?}");
            // As it was: its rest lands.
            bench.file(&name, &whole);
            assert_eq!(bench.command(&[&name]).unwrap(), Vec::<String>::new());
            assert_eq!(bench.ids().iter().filter(|id| **id == name).count(), 1);
        }
    }
    let ids = bench.ids();
    assert_eq!(ids.iter().filter(|id| *id == "a-0").count(), 15, "{ids:?}");
}

#[test]
fn a_file_that_breaks_off_while_it_lands_stops_no_other_and_its_rest_follows() {
    let bench = Bench::new("breaks-off");
    let text = |name: &str| -> String {
        (0..9).map(|line| format!("{{\"id\":\"{name}-{line}\"}}\n")).collect()
    };
    for name in ["a", "b", "c"] {
        bench.file(name, &text(name));
    }
    let mut import = bench.import(&["a", "b", "c"]);
    (import.chunk_bytes, import.options.roll.roll_rows) = (30, Some(4));
    let planned = plan(&import).unwrap().imports.remove(0);
    let node = planned.node.clone();
    // It is cut after it was hashed.
    bench.file("b", &text("b")[..50]);
    let run = import.run(planned, &Report::new(&[], true)).unwrap();
    let [failed] = &run.failed[..] else { panic!("{:?}", run.failed) };
    assert!(failed.contains("b has changed while it was imported") && failed.contains(&node));
    assert!(failed.contains("Give it again as it was"), "{failed}");
    assert!(!run.manifest.unwrap().done);
    let landed = bench.ids();
    assert!(landed.len() > 18 && landed.len() < 27, "{landed:?}");
    // The others are in, whatever becomes of this one.
    let told = bench.command(&["a", "c"]).unwrap();
    assert!(told.len() == 1 && told[0].starts_with("imported before"), "{told:?}");
    // It is gone: nothing of it is asked for, and nothing stops.
    std::fs::remove_file(bench.path("b")).unwrap();
    bench.file("d", "{\"id\":\"d\"}\n");
    let told = bench.command(&["a", "b", "c", "d"]).unwrap().join("\n");
    assert!(told.contains("cannot read") && told.contains("/b"), "{told}");
    assert_eq!(bench.ids().len(), landed.len() + 1);
    // It is back.
    bench.file("b", &text("b"));
    assert_eq!(bench.command(&["b"]).unwrap(), Vec::<String>::new());
    let ids = bench.ids();
    assert_eq!(ids.len(), 28);
    let unique: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), 28, "{ids:?}");
    let manifest = bench.manifests().unwrap().remove(&node).unwrap();
    assert!(manifest.done && manifest.files[1].ranges.len() == 2, "{manifest:?}");
}

/// As an outsider had it: 15,000 rows of 10,000.
#[test]
fn an_import_that_is_given_up_keeps_the_files_that_had_landed_whole() {
    let bench = Bench::new("given-up-part");
    bench.file("a", "{\"id\":\"a\"}\n");
    let text: String = (0..9).map(|line| format!("{{\"id\":\"b-{line}\"}}\n")).collect();
    bench.file("b", &text);
    let mut import = bench.import(&["a", "b"]);
    (import.chunk_bytes, import.options.roll.roll_rows) = (30, Some(1));
    let planned = plan(&import).unwrap().imports.remove(0);
    let node = planned.node.clone();
    bench.file("b", &text[..40]);
    assert_eq!(import.run(planned, &Report::new(&[], true)).unwrap().failed.len(), 1);
    let given_up = import.give_up(&node).unwrap();
    assert_eq!((given_up.imported.len(), given_up.not_imported.len()), (1, 1));
    assert_eq!(given_up.unfinished, None);
    let told = bench.command(&["a"]).unwrap();
    assert!(told[0].starts_with("imported before"), "{told:?}");
    // What says that it was given up is lost: the import stays closed.
    let mut manifest = import.manifests.get(&node).unwrap().unwrap();
    manifest.given_up = false;
    import.manifests.put(&node, &manifest).unwrap();
    bench.file("b", &text);
    assert_eq!(bench.command(&["a", "b"]).unwrap().len(), 1, "a is known, and b is imported");
    let ids = bench.ids();
    assert_eq!(ids.iter().filter(|id| *id == "a").count(), 1);
    assert!((0..9).all(|line| ids.contains(&format!("b-{line}"))), "{ids:?}");
}

#[test]
fn a_roll_that_was_sealed_is_made_again_before_all_else_and_asks_for_its_files() {
    let bench = Bench::new("sealed-roll");
    for name in ["a", "b"] {
        bench.file(name, &format!("{{\"id\":\"{name}\"}}\n"));
    }
    let import = bench.import(&["a", "b"]);
    let PlannedImport { node, manifest, .. } = plan(&import).unwrap().imports.remove(0);
    assert!(create(&import, &node, &manifest));
    let extents = extent::ExtentLog::default();
    extents.push(Seq(1), extent::Extent { file: 0, skip: 0, chunks: 1, ends: true });
    let range = SeqRange { first: Seq(1), last: Seq(1) };
    let seal = Seal { roll: Roll(1), range, settings: Vec::new() };
    LakeRollLog { manifests: &import.manifests, node: &node, extents: Some(extents) }
        .seal(&seal)
        .unwrap();
    std::fs::rename(bench.path("a"), bench.path("away")).unwrap();
    let told = bench.command(&["a", "b"]).unwrap().join("\n");
    assert!(told.contains("give these as well, as they were: ") && told.contains("/a"), "{told}");
    assert_eq!(bench.ids(), Vec::<String>::new());
    std::fs::rename(bench.path("away"), bench.path("a")).unwrap();
    assert_eq!(bench.command(&["a", "b"]).unwrap(), Vec::<String>::new());
    assert_eq!(bench.ids(), ["a", "b"]);
}

#[test]
fn standard_input_of_a_foreign_format_leaves_nothing_behind() {
    let bench = Bench::new("foreign-stream");
    let path = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    for (bytes, says) in [(&b"PAR1....PAR1"[..], "Parquet"), (&b"\x1f\x8b\x08broken"[..], "cannot")]
    {
        let pipe = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(pipe, bytes));
        bench.file("good", &format!("{{\"id\":\"{says}\"}}\n"));
        let told = bench.command(&["pipe", "good"]).unwrap().join("\n");
        let _ = writer.join().unwrap();
        assert!(told.contains(says), "{told}");
        let manifests = bench.manifests().unwrap();
        let open: Vec<_> = manifests.iter().filter(|(_, manifest)| manifest.is_open()).collect();
        assert!(open.is_empty(), "{open:?}");
    }
    assert_eq!(bench.ids(), ["Parquet", "cannot"], "the other files of the command land");
}

fn is_claim_of_a_file(name: &str) -> bool {
    name.contains("/files/") && !name.contains(&"0".repeat(32))
}

/// Deletes the marks for which `gone` is true.
fn delete(bench: &Bench, gone: impl Fn(&str) -> bool) {
    bench.runtime.block_on(async {
        let listed: Vec<_> = bench.store.list(None).try_collect().await.unwrap();
        for object in listed {
            let name = object.location.as_ref().strip_prefix("lake/").unwrap();
            if name.starts_with("_imports/") && gone(name) {
                bench.store.delete(&object.location).await.unwrap();
            }
        }
    });
}

#[test]
fn marks_that_are_gone_beside_the_index_double_nothing() {
    let index = ObjectName::ImportIndex.to_string();
    // A file that was imported with another one, given alone: its import is not named after it.
    let of_two = |name: &str| {
        let bench = Bench::new(name);
        bench.file("a", "{\"id\":\"a\"}\n");
        bench.file("b", "{\"id\":\"b\"}\n");
        assert_eq!(bench.command(&["a", "b"]).unwrap(), Vec::<String>::new());
        bench
    };
    let bench = of_two("all-but-index");
    delete(&bench, |name| name != index);
    let told = bench.command(&["a"]).unwrap_err().to_string();
    assert!(told.contains("gone from _imports") && told.contains("--again"), "{told}");
    assert_eq!(bench.ids(), ["a", "b"]);

    let bench = of_two("claims");
    delete(&bench, |name| name.starts_with("_imports/files/"));
    let told = bench.command(&["a"]).unwrap();
    assert!(told.len() == 1 && told[0].starts_with("imported before"), "{told:?}");
    assert_eq!(bench.ids(), ["a", "b"]);
    // They are back: what is not known is new.
    bench.file("c", "{\"id\":\"c\"}\n");
    assert_eq!(bench.command(&["c"]).unwrap(), Vec::<String>::new());
    let told = bench.command(&["b"]).unwrap();
    assert!(told.len() == 1 && told[0].starts_with("imported before"), "{told:?}");

    // By age: the older import's, while the later one's are there.
    let bench = of_two("by-age");
    let before: Vec<_> = bench.runtime.block_on(bench.store.list(None).try_collect()).unwrap();
    let old = |name: &str| before.iter().any(|one| one.location.as_ref().ends_with(name));
    bench.file("c", "{\"id\":\"c\"}\n");
    assert_eq!(bench.command(&["c"]).unwrap(), Vec::<String>::new());
    delete(&bench, |name| name != index && old(name));
    let told = bench.command(&["a"]).unwrap_err().to_string();
    assert!(told.contains("gone from _imports"), "{told}");
    assert_eq!(bench.ids(), ["a", "b", "c"]);
}

/// As an outsider had it: "gone from _imports", and exit code 1, of an import that had just begun.
#[test]
fn an_import_that_another_process_lands_meanwhile_is_not_forgotten() {
    // Another process puts all that its import of the file leaves in a lake.
    let other = Bench::new("meanwhile");
    other.file("p", "{\"id\":\"p\"}\n");
    assert_eq!(other.command(&["p"]).unwrap(), Vec::<String>::new());
    let node = other.manifests().unwrap().into_keys().next().unwrap();
    let put: Vec<_> = other.runtime.block_on(async {
        let listed: Vec<_> = other.store.list(None).try_collect().await.unwrap();
        let reads = listed.into_iter().map(|one| async {
            let bytes = other.store.get(&one.location).await.unwrap().bytes().await.unwrap();
            (one.location, object_store::PutPayload::from(bytes))
        });
        let all = futures::future::join_all(reads).await.into_iter();
        all.filter(|(name, _)| !name.as_ref().ends_with("index.json")).collect()
    });
    for (name, at) in [("p", format!("_receipts/{node}")), ("q", "lake/_receipts".into())] {
        let bench = Bench::new("meanwhile-here");
        marks_of_an_earlier_version(&bench, 3);
        for name in ["p", "q"] {
            bench.file(name, &format!("{{\"id\":\"{name}\"}}\n"));
        }
        let store = FakeStore::over(Arc::clone(&bench.store), 0);
        store.put_meanwhile(&at, put.clone());
        let lake = Lake::on(Arc::new(store), 1 << 20);
        let handle = bench.runtime.handle().clone();
        let import = Importer::with_lake(bench.options(&[name]), lake, handle).unwrap();
        let told = land_all(&import).unwrap().join("\n");
        match name {
            "p" => assert!(told.starts_with("imported before, and left out"), "{told}"),
            _ => assert_eq!(told, ""),
        }
        assert_eq!(bench.ids(), if name == "p" { vec!["p"] } else { vec!["p", "q"] });
    }
}

#[test]
fn an_open_import_of_other_files_costs_a_new_one_no_look_at_its_rolls() {
    let bench = Bench::new("stale");
    let text: String = (0..100).map(|line| format!("{{\"id\":\"b-{line}\"}}\n")).collect();
    bench.file("b", &text);
    let mut import = bench.import(&["b"]);
    (import.chunk_bytes, import.options.roll.roll_rows) = (12, Some(1));
    let planned = plan(&import).unwrap().imports.remove(0);
    bench.file("b", &text[..text.len() - 20]);
    assert_eq!(import.run(planned, &Report::new(&[], true)).unwrap().failed.len(), 1);
    let planning = |name: &str| {
        let store = FakeStore::over(Arc::clone(&bench.store), 0);
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let handle = bench.runtime.handle().clone();
        let import = Importer::with_lake(bench.options(&[name]), lake, handle).unwrap();
        assert_eq!(plan(&import).unwrap().imports.len(), 1);
        store.faults().calls
    };
    bench.file("new", "{\"id\":\"new\"}\n");
    let (other, changed) = (planning("new"), planning("b"));
    assert!(other < 20, "{other}");
    assert!(changed > 100, "of a file of this name, it matters how far it had come: {changed}");
}
