use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Roll, Seq};
use crate::schema::TableSchema;

const KEPT: u64 = 64 << 20;

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
    });
    decoder.finish().batch
}

fn all(place: Place, batch: &RecordBatch) -> Parked {
    Parked { place, rows: 0..batch.num_rows(), bytes: 1 }
}

#[test]
fn what_was_parked_comes_back_whole_or_in_slices() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), KEPT);
    let rows = rows();
    assert_eq!(rows.num_rows(), 50);
    let slices = [(0, 50), (0, 1), (13, 9), (49, 1), (3, 0)].map(|(at, n)| rows.slice(at, n));
    spill.open().unwrap();
    let places: Vec<Place> = slices.iter().map(|s| spill.write(s).unwrap()).collect();
    assert_eq!(spill.bytes(), places.iter().map(|place| place.len).sum::<u64>());
    for (slice, place) in slices.iter().zip(&places).rev() {
        let back = spill.fetch(&all(*place, slice), &rows.schema()).unwrap();
        assert_eq!(back, *slice);
        for column in back.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    for part in [0..20, 20..21, 21..50] {
        let parked = Parked { place: places[0], rows: part.clone(), bytes: 1 };
        let back = spill.fetch(&parked, &rows.schema()).unwrap();
        assert_eq!(back, rows.slice(part.start, part.len()));
        let kept = lock(&spill.kept).len();
        assert_eq!(kept, usize::from(part.end < 50), "it is kept until all were asked for");
    }
    // A slice does not bring the rest along, and columns without values take nothing.
    assert!(places[1].len < places[0].len / 4, "{places:?}");
    assert!(places[0].len < 20_000, "{places:?}");

    spill.clear(path(staging.path(), Roll(2)));
    assert_eq!(spill.bytes(), 0);
    assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 0);
    let error = spill.fetch(&all(places[0], &rows), &rows.schema()).unwrap_err();
    assert!(error.to_string().contains("2-parked"), "{error}");
    spill.open().unwrap();
    let again = spill.write(&slices[2]).unwrap();
    assert_eq!(spill.fetch(&all(again, &slices[2]), &rows.schema()).unwrap(), slices[2]);
}

#[test]
fn what_is_kept_in_memory_has_a_bound() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), KEPT);
    let rows = rows();
    spill.open().unwrap();
    let place = spill.write(&rows).unwrap();
    for offset in 0..100 {
        spill.keep(Place { offset, len: KEPT / 10 }, 1);
    }
    let kept: Vec<u64> = lock(&spill.kept).iter().map(|kept| kept.place.offset).collect();
    assert_eq!(kept, (90..100).collect::<Vec<_>>());
    // One alone that is larger is read all the same, and not kept.
    let parked = Parked { place, rows: 3..5, bytes: 1 };
    assert_eq!(spill.fetch(&parked, &rows.schema()).unwrap(), rows.slice(3, 2));
}

#[test]
fn threads_that_want_rows_of_the_same_batch_all_get_them() {
    let staging = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(path(staging.path(), Roll(1)), KEPT);
    let rows = rows();
    spill.open().unwrap();
    let places: Vec<Place> = (0..20).map(|_| spill.write(&rows).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (spill, places, rows) = (&spill, &places, &rows);
            scope.spawn(move || {
                for part in (thread..50).step_by(4) {
                    for place in places {
                        let parked = Parked { place: *place, rows: part..part + 1, bytes: 1 };
                        let back = spill.fetch(&parked, &rows.schema()).unwrap();
                        assert_eq!(back, rows.slice(part, 1));
                    }
                }
            });
        }
    });
    assert_eq!(lock(&spill.kept).len(), 0, "all rows were asked for");
}

#[test]
fn a_file_that_was_cut_or_changed_is_an_error_with_its_name() {
    let staging = tempfile::tempdir().unwrap();
    let at = path(staging.path(), Roll(7));
    let mut spill = Spill::new(at.clone(), KEPT);
    let rows = rows();
    spill.open().unwrap();
    let place = spill.write(&rows).unwrap();
    let file = File::options().read(true).write(true).open(&at).unwrap();
    for offset in (0..place.len).step_by(97).chain([place.len - 1]) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
        let error = spill.fetch(&all(place, &rows), &rows.schema()).unwrap_err();
        assert!(format!("{error:#}").contains("7-parked"), "{error:#}");
        file.write_all_at(&byte, offset).unwrap();
    }
    assert_eq!(spill.fetch(&all(place, &rows), &rows.schema()).unwrap(), rows);
    file.set_len(place.len / 2).unwrap();
    let error = spill.fetch(&all(place, &rows), &rows.schema()).unwrap_err();
    assert!(error.to_string().contains("7-parked"), "{error}");
}

#[test]
fn bytes_that_are_no_batch_are_an_error_and_no_panic() {
    let rows = rows();
    let mut bytes = Vec::new();
    form::write(&rows, &mut bytes).unwrap();
    let read = |bytes: &[u8]| form::read(&bytes.to_vec().into(), &rows.schema());
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
