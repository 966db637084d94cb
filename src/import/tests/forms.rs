//! Forms, packings and formats of files, by import.

use super::*;

/// Every night without sessions leaves an empty file, whatever packs it.
#[test]
fn empty_files_are_never_imported_before() {
    let bench = Bench::new("empty");
    let packed = zstd::encode_all(&b""[..], 1).unwrap();
    std::fs::write(bench.path("empty.zst"), packed).unwrap();
    for (name, text) in [("monday", ""), ("tuesday", ""), ("blank", "\u{feff} \r\n\n")] {
        bench.file(name, text);
    }
    bench.file("full", "{\"id\":\"a\"}\n");
    for names in [&["monday"][..], &["tuesday", "monday", "empty.zst"], &["blank"], &["blank"]] {
        let plan = plan(&bench.import(names)).unwrap();
        assert_eq!((plan.imports.len(), plan.known.len()), (0, 0), "{names:?}");
        assert_eq!(plan.empty.len(), names.len());
    }
    let import = bench.import(&["monday", "full", "tuesday"]);
    for planned in plan(&import).unwrap().imports {
        assert_eq!(bench.run(&import, planned).unwrap().files.len(), 1);
    }
    assert_eq!(bench.ids(), ["a"]);
    // One of an interrupted import of an older version says nothing of another night's.
    bench.file("b", "{\"id\":\"b\"}\n");
    let both = bench.import(&["b", "monday"]);
    let PlannedImport { node, mut manifest, .. } = plan(&both).unwrap().imports.remove(0);
    let hash = content_hash::of(&Input::File(bench.path("monday"))).unwrap().unwrap().hash;
    manifest.files.push(ManifestFile::new("monday".into(), Some(hash)));
    assert!(create(&both, &node, &manifest));
    assert_eq!(plan(&bench.import(&["tuesday"])).unwrap().empty.len(), 1);
    for planned in plan(&both).unwrap().imports {
        assert_eq!(bench.run(&both, planned).unwrap().files.len(), 2);
    }
    assert_eq!(bench.ids(), ["a", "b"]);
}

/// As an outsider's files were: exit 0, nothing in the lake, and remembered.
#[test]
fn a_format_that_is_not_taken_is_refused_by_name_and_the_others_land() {
    let bench = Bench::new("formats");
    let text = "{\"id\":\"x\"}\n";
    let utf_16 = |mark: &str| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        packer.finish().unwrap()
    };
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut zlib, text.as_bytes()).unwrap();
    let zip = [b"PK\x03\x04\x14\0\0\0\0\0name\n", text.as_bytes()].concat();
    let packed = gzip(text.as_bytes());
    for (bytes, name) in [
        (utf_16("\u{feff}"), "UTF-16"),
        (utf_16(""), "UTF-16"),
        (gzip(&utf_16("")), "UTF-16"),
        (b"BZh91AY&SY....".to_vec(), "bzip2"),
        (b"\xfd7zXZ\0\0\x04....".to_vec(), "xz"),
        (zlib.finish().unwrap(), "zlib"),
        (zip, "zip"),
        (b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "7z"),
        (b"PAR1....PAR1".to_vec(), "Parquet"),
        (b"Obj\x01....".to_vec(), "Avro"),
        (gzip(&packed), "gzip"),
        (packed[..packed.len() - 5].to_vec(), "cannot read"),
        (b"id,country\nx,DE\ny,FR\n".to_vec(), "no line of it becomes a row"),
        (b"{id:1}\n17\n[1]\n".to_vec(), "line 1, expected a field name"),
        (b"{\"index\":{}}\n".to_vec(), "no document"),
        (b"[[1],2]".to_vec(), "no line of it becomes a row"),
    ] {
        std::fs::write(bench.path("foreign"), &bytes).unwrap();
        bench.file("good", text);
        let planned = plan(&bench.import(&["foreign", "good", "missing"])).unwrap();
        assert_eq!(planned.refused.len(), 2, "{name}: {:?}", planned.refused);
        let said = planned.refused.iter().find(|said| said.contains("foreign")).unwrap();
        assert!(said.contains(name), "{name}: {said}");
        assert!(planned.refused.iter().any(|said| said.contains("missing")));
        let [good] = &planned.imports[..] else { panic!("{name}: the other one lands") };
        assert_eq!(good.manifest.files.len(), 1);
    }
    let import = bench.import(&["good", "foreign"]);
    for planned in plan(&import).unwrap().imports {
        bench.run(&import, planned).unwrap();
    }
    assert_eq!(bench.ids(), ["x"]);
    // Mended under the same name, and not "imported before".
    bench.file("foreign", "17\n{\"id\":\"y\"}\n");
    let import = bench.import(&["foreign"]);
    for planned in plan(&import).unwrap().imports {
        bench.run(&import, planned).unwrap();
    }
    assert_eq!(bench.ids(), ["x", "y"]);
}

/// As outsiders' files were: each gave 0 rows, or a red job for a night without sessions.
#[test]
fn packings_with_something_around_the_documents_give_their_rows() {
    let bench = Bench::new("packings");
    let gzip = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let skippable = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&[0x50, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
    };
    let line = |n: u32| format!("{{\"id\":\"{n}\"}}\n");
    let mut number = 0;
    let mut two = || {
        number += 2;
        (line(number - 2), line(number - 1))
    };
    let zeros = |count| vec![0_u8; count];
    let mut packed = Vec::new();
    // As pzstd writes it; with a table for seeking at the end; with several such frames.
    let (one, other) = two();
    let head = skippable(b"\x10\0\0\0");
    packed.push([&head[..], &zstd(&one), &head, &zstd(&other)].concat());
    let (one, other) = two();
    packed.push([zstd(&one), zstd(&other), skippable(&[7; 1000])].concat());
    let (one, other) = two();
    packed.push([skippable(b""), skippable(b"more"), zstd(&(one + &other))].concat());
    // Of a tape, whose blocks are filled with zeros; between members, and within a line.
    let (one, other) = two();
    packed.push([gzip(&(one + &other)), zeros(512)].concat());
    let (one, other) = two();
    packed.push([gzip(&one), zeros(70_000), gzip(&other), zeros(1)].concat());
    let (one, other) = two();
    packed.push([gzip(&one[..4]), gzip(&one[4..]), gzip(&other), zeros(3)].concat());
    for (n, bytes) in packed.into_iter().enumerate() {
        let name = format!("packed-{n}");
        std::fs::write(bench.path(&name), bytes).unwrap();
        assert_eq!(bench.command(&[&name]).unwrap(), Vec::<String>::new(), "{n}");
    }
    let mut ids: Vec<u32> = bench.ids().iter().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
}
