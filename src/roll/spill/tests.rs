use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Roll, Seq};
use crate::schema::TableSchema;

const CACHE_BYTES: u64 = 64 << 20;

fn rows() -> RecordBatch {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let mut decoder = Decoder::new(schema, "n".into());
    let line = |n: usize| {
        let actions =
            r#"{"name":"a","duration":1,"stringProperties":[{"key":"k"}]},"#.repeat(n % 4);
        let actions = actions.trim_end_matches(',');
        format!(
            "{{\"userSessionId\":\"{n}\",\"startTime\":{n},\"bounce\":{},\"new\":[{n}],\
             \"userActions\":[{actions}],\"stringTags\":{{\"t\":\"{n}\"}},\
             \"numTags\":{{\"x\":{n}.5}}}}\n",
            n.is_multiple_of(3)
        )
    };
    let bytes: String = (0..50).map(line).collect();
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(1),
        table: "user_sessions".into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: bytes.into(),
        stored: None,
    });
    decoder.finish().batch
}

fn all(extent: Extent, batch: &RecordBatch) -> SpilledRows {
    SpilledRows { extent, rows: 0..batch.num_rows(), bytes: 1 }
}

#[test]
fn spilled_rows_come_back_whole_or_in_slices() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), CACHE_BYTES);
    let rows = rows();
    assert_eq!(rows.num_rows(), 50);
    let slices = [(0, 50), (0, 1), (13, 9), (49, 1), (3, 0)].map(|(at, n)| rows.slice(at, n));
    spill.create().unwrap();
    let extents: Vec<Extent> = slices.iter().map(|s| spill.append(s).unwrap()).collect();
    assert_eq!(spill.bytes(), extents.iter().map(|extent| extent.len).sum::<u64>());
    for (slice, extent) in slices.iter().zip(&extents).rev() {
        let back = spill.read(&all(*extent, slice), &rows.schema()).unwrap();
        assert_eq!(back, *slice);
        for column in back.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    for part in [0..20, 20..21, 21..50] {
        let spilled = SpilledRows { extent: extents[0], rows: part.clone(), bytes: 1 };
        let back = spill.read(&spilled, &rows.schema()).unwrap();
        assert_eq!(back, rows.slice(part.start, part.len()));
        let cached = spill.cache.lock().len();
        assert_eq!(
            cached,
            usize::from(part.end < 50),
            "it is cached until all rows were asked for"
        );
    }
    // A slice does not bring the rest along, and columns without values take nothing.
    assert!(extents[1].len < extents[0].len / 4, "{extents:?}");
    assert!(extents[0].len < 20_000, "{extents:?}");

    spill.clear(path(staging.path(), Roll(2)));
    assert_eq!(spill.bytes(), 0);
    assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 0);
    let error = spill.read(&all(extents[0], &rows), &rows.schema()).unwrap_err();
    assert!(error.to_string().contains("2-spill"), "{error}");
    spill.create().unwrap();
    let again = spill.append(&slices[2]).unwrap();
    assert_eq!(spill.read(&all(again, &slices[2]), &rows.schema()).unwrap(), slices[2]);
}

#[test]
fn the_cache_has_a_bound() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), CACHE_BYTES);
    let rows = rows();
    spill.create().unwrap();
    let extent = spill.append(&rows).unwrap();
    for offset in 0..100 {
        spill.cached(Extent { offset, len: CACHE_BYTES / 10 }, 1);
    }
    let cached: Vec<u64> = spill.cache.lock().iter().map(|cached| cached.extent.offset).collect();
    assert_eq!(cached, (90..100).collect::<Vec<_>>());
    // One alone that is larger is read all the same, and not cached.
    let spilled = SpilledRows { extent, rows: 3..5, bytes: 1 };
    assert_eq!(spill.read(&spilled, &rows.schema()).unwrap(), rows.slice(3, 2));
}

#[test]
fn threads_that_want_rows_of_the_same_batch_all_get_them() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), CACHE_BYTES);
    let rows = rows();
    spill.create().unwrap();
    let extents: Vec<Extent> = (0..20).map(|_| spill.append(&rows).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (spill, extents, rows) = (&spill, &extents, &rows);
            scope.spawn(move || {
                for part in (thread..50).step_by(4) {
                    for extent in extents {
                        let spilled =
                            SpilledRows { extent: *extent, rows: part..part + 1, bytes: 1 };
                        let back = spill.read(&spilled, &rows.schema()).unwrap();
                        assert_eq!(back, rows.slice(part, 1));
                    }
                }
            });
        }
    });
    assert_eq!(spill.cache.lock().len(), 0, "all rows were asked for");
}

#[test]
fn a_file_that_was_cut_or_changed_is_an_error_with_its_name() {
    let staging = tempfile::tempdir().unwrap();
    let at = path(staging.path(), Roll(7));
    let mut spill = Spill::new(at.clone(), CACHE_BYTES);
    let rows = rows();
    spill.create().unwrap();
    let extent = spill.append(&rows).unwrap();
    let file = File::options().read(true).write(true).open(&at).unwrap();
    for offset in (0..extent.len).step_by(97).chain([extent.len - 1]) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
        let error = spill.read(&all(extent, &rows), &rows.schema()).unwrap_err();
        assert!(format!("{error:#}").contains("7-spill"), "{error:#}");
        file.write_all_at(&byte, offset).unwrap();
    }
    assert_eq!(spill.read(&all(extent, &rows), &rows.schema()).unwrap(), rows);
    file.set_len(extent.len / 2).unwrap();
    let error = spill.read(&all(extent, &rows), &rows.schema()).unwrap_err();
    assert!(error.to_string().contains("7-spill"), "{error}");
}

#[test]
fn bytes_that_are_no_batch_are_an_error_and_no_panic() {
    let rows = rows();
    let mut bytes = Vec::new();
    spill_format::write(&rows, &mut bytes).unwrap();
    let read = |bytes: &[u8]| spill_format::read(&bytes.to_vec().into(), &rows.schema());
    // The alignment of a vector of bytes is up to the allocator, which gives 16 in practice.
    assert_eq!(read(&bytes).unwrap(), rows);
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0x85;
        refused += usize::from(read(&broken).is_err());
        if at % 8 == 0 {
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
    assert!(refused > 100);
}
