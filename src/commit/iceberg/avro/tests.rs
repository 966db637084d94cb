//! Bytes of the specification, files of other writers, damage.

use std::io::Write as _;

use super::*;

fn encoded(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::default();
    write(&mut encoder);
    encoder.0
}

#[test]
fn values_have_the_bytes_of_the_specification() {
    // The table of the specification, and the ends of the range.
    for (value, bytes) in [
        (0, vec![0]),
        (-1, vec![1]),
        (1, vec![2]),
        (-2, vec![3]),
        (2, vec![4]),
        (-64, vec![0x7f]),
        (64, vec![0x80, 0x01]),
        (i64::MAX, vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (i64::MIN, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
    ] {
        assert_eq!(encoded(|e| e.long(value)), bytes, "{value}");
        assert_eq!(Input { rest: &bytes }.long(), Ok(value));
    }
    assert_eq!(encoded(|e| e.text("foo")), [6, 0x66, 0x6f, 0x6f]);
    assert_eq!(encoded(|e| e.optional(None, Encoder::long)), [0]);
    assert_eq!(encoded(|e| e.optional(Some("a"), Encoder::text)), [2, 2, 0x61]);
    // The array of 3 and 27 of the specification.
    assert_eq!(encoded(|e| e.items([3, 27].into_iter(), Encoder::long)), [4, 6, 0x36, 0]);
    assert_eq!(encoded(|e| e.items([0; 0].into_iter(), Encoder::long)), [0]);
}

const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[
    {"name":"a","type":["null","string"],"field-id":7},{"name":"b","type":"double"},
    {"name":"c","type":{"type":"array","items":{"type":"int"}},"field-id":9}]}"#;

/// One row: "x", 1.5, [-2], with the array in the form that tells its bytes.
const ROW: [u8; 15] = [2, 2, b'x', 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 1, 2, 3, 0];

fn row() -> Value {
    Value::Record(BTreeMap::from([
        (7, Value::Bytes(b"x".to_vec())),
        (9, Value::Items(vec![Value::Long(-2)])),
    ]))
}

fn file(codec: &str, block: &[u8]) -> Vec<u8> {
    let mut file = Encoder(MAGIC.to_vec());
    file.items([("avro.schema", SCHEMA), ("avro.codec", codec)].into_iter(), |e, (k, v)| {
        e.text(k);
        e.text(v);
    });
    file.0.extend([5; 16]);
    file.long(1);
    file.bytes(block);
    file.0.extend([5; 16]);
    file.0
}

#[test]
fn files_of_other_writers_are_read_by_the_ids_of_their_fields() {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(&ROW).unwrap();
    let zstd = zstd::encode_all(&ROW[..], 1).unwrap();
    for (codec, block) in
        [("null", ROW.to_vec()), ("deflate", deflate.finish().unwrap()), ("zstandard", zstd)]
    {
        assert_eq!(read(&file(codec, &block)).unwrap(), [row()], "{codec}");
    }
    let error = read(&file("snappy", &ROW)).unwrap_err().to_string();
    assert!(error.ends_with("its codec is `snappy`"), "{error}");
}

#[test]
fn a_file_that_is_cut_or_changed_is_refused_and_never_read_in_part() {
    let whole = file("null", &ROW);
    let header = whole.len() - (1 + 1 + ROW.len() + 16);
    for end in (0..whole.len()).filter(|end| *end != header) {
        assert!(read(&whole[..end]).is_err(), "{end}");
    }
    let mut other = whole.clone();
    *other.last_mut().unwrap() = 6;
    assert!(read(&other).is_err());
    // A length of 2^62 takes no memory.
    let mut long = MAGIC.to_vec();
    long.extend(encoded(|e| e.long(1 << 62)));
    assert!(read(&long).is_err());
    for at in 0..whole.len() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = read(&changed);
        }
    }
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let body = Encoder(ROW.to_vec());
    let one = container(SCHEMA, &[("format-version", "2".to_owned())], 1, &body);
    assert_eq!(one, container(SCHEMA, &[("format-version", "2".to_owned())], 1, &body));
    assert_eq!(read(&one).unwrap(), [row()]);
    let metadata = read_each(&one, |_, bytes| assert_eq!(bytes, ROW)).unwrap();
    assert_eq!(metadata["format-version"], b"2");
    let none = container(SCHEMA, &[], 0, &Encoder::default());
    assert!(read(&none).unwrap().is_empty());
}
