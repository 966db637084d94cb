//! Manifest lists: files that list the manifests of a snapshot (version 2 of the table format).
//!
//! The list of a new snapshot has the manifests of the snapshot before it, whoever wrote them, and the new
//! ones. An entry that was read is written with every value that it had, so nothing is lost of the table's;
//! an entry that lacks a required number (version 1 of the table format) is refused.
//!
//! Format: <https://iceberg.apache.org/spec/#manifest-lists>.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::avro::{self, Encoder, Value, container};
use super::partition::PartitionValue;

/// A manifest, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManifestFile {
    pub(super) path: String,
    pub(super) length: i64,
    pub(super) spec_id: i64,
    /// 0 for data files, 1 for files of deletes.
    pub(super) content: i64,
    pub(super) sequence_number: i64,
    pub(super) min_sequence_number: i64,
    pub(super) added_snapshot_id: i64,
    /// Numbers of files that are added, there from before, and deleted.
    pub(super) files: [i64; 3],
    /// Numbers of their rows.
    pub(super) rows: [i64; 3],
    /// One a field of the spec.
    pub(super) partitions: Option<Vec<FieldSummary>>,
    pub(super) key_metadata: Option<Vec<u8>>,
}

impl ManifestFile {
    /// Tells whether it lists data files, and not deletes.
    pub(super) fn is_of_data(&self) -> bool {
        self.content == 0
    }
}

/// The values of a partition field in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSummary {
    pub(super) contains_null: bool,
    pub(super) contains_nan: Option<bool>,
    pub(super) lower: Option<Vec<u8>>,
    pub(super) upper: Option<Vec<u8>>,
}

impl FieldSummary {
    /// Summarises values.
    pub(super) fn of<'a>(values: impl Iterator<Item = Option<&'a PartitionValue>>) -> FieldSummary {
        let (mut contains_null, mut bounds) = (false, None);
        for value in values {
            let Some(value) = value else {
                contains_null = true;
                continue;
            };
            let (lower, upper) = bounds.unwrap_or((value, value));
            bounds = Some((lower.min(value), upper.max(value)));
        }
        let lower = bounds.map(|(lower, _)| lower.bytes());
        let upper = bounds.map(|(_, upper)| upper.bytes());
        FieldSummary { contains_null, contains_nan: Some(false), lower, upper }
    }

    /// Summarises the values of several manifests. Those that are no `texts` are numbers of 32 bits. A bound
    /// that one of them does not say is none.
    pub(super) fn merged<'a>(
        all: impl Iterator<Item = &'a FieldSummary> + Clone,
        texts: bool,
    ) -> FieldSummary {
        let least = bound(all.clone(), |one| one.lower.as_deref(), texts, Ordering::Less);
        let most = bound(all.clone(), |one| one.upper.as_deref(), texts, Ordering::Greater);
        FieldSummary {
            contains_null: all.clone().any(|one| one.contains_null),
            contains_nan: all.map(|one| one.contains_nan).reduce(|a, b| Some(a? || b?)).flatten(),
            lower: least,
            upper: most,
        }
    }
}

/// Returns the outermost bound in the direction `outward`.
fn bound<'a>(
    all: impl Iterator<Item = &'a FieldSummary>,
    of: fn(&FieldSummary) -> Option<&[u8]>,
    texts: bool,
    outward: Ordering,
) -> Option<Vec<u8>> {
    let number = |bytes: &[u8]| bytes.try_into().map(i32::from_le_bytes).ok();
    let mut outermost: Option<&[u8]> = None;
    // One without any bound has nulls alone.
    for one in all.filter(|one| one.lower.is_some() || one.upper.is_some()) {
        let bytes = of(one)?;
        let order = |than: &[u8]| match texts {
            true => Some(bytes.cmp(than)),
            false => Some(number(bytes)?.cmp(&number(than)?)),
        };
        match outermost {
            Some(than) if order(than)? != outward => {}
            _ => outermost = Some(bytes),
        }
    }
    outermost.map(<[u8]>::to_vec)
}

/// The snapshot of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotIds {
    pub(super) id: i64,
    pub(super) parent: Option<i64>,
    pub(super) sequence_number: i64,
}

const SCHEMA: &str = r#"{"type":"record","name":"manifest_file","fields":[
{"name":"manifest_path","type":"string","field-id":500},
{"name":"manifest_length","type":"long","field-id":501},
{"name":"partition_spec_id","type":"int","field-id":502},
{"name":"content","type":"int","field-id":517},
{"name":"sequence_number","type":"long","field-id":515},
{"name":"min_sequence_number","type":"long","field-id":516},
{"name":"added_snapshot_id","type":"long","field-id":503},
{"name":"added_files_count","type":"int","field-id":504},
{"name":"existing_files_count","type":"int","field-id":505},
{"name":"deleted_files_count","type":"int","field-id":506},
{"name":"added_rows_count","type":"long","field-id":512},
{"name":"existing_rows_count","type":"long","field-id":513},
{"name":"deleted_rows_count","type":"long","field-id":514},
{"name":"partitions","type":["null",{"type":"array","items":{"type":"record","name":"r508","fields":[
{"name":"contains_null","type":"boolean","field-id":509},
{"name":"contains_nan","type":["null","boolean"],"default":null,"field-id":518},
{"name":"lower_bound","type":["null","bytes"],"default":null,"field-id":510},
{"name":"upper_bound","type":["null","bytes"],"default":null,"field-id":511}]},"element-id":508}],
"default":null,"field-id":507},
{"name":"key_metadata","type":["null","bytes"],"default":null,"field-id":519}]}"#;

/// Writes the list of a snapshot.
pub(super) fn write(snapshot: SnapshotIds, manifests: &[ManifestFile]) -> Vec<u8> {
    let mut body = Encoder::default();
    for manifest in manifests {
        entry(&mut body, manifest);
    }
    let parent = snapshot.parent.map_or("null".to_owned(), |parent| parent.to_string());
    let metadata = [
        ("snapshot-id", snapshot.id.to_string()),
        ("parent-snapshot-id", parent),
        ("sequence-number", snapshot.sequence_number.to_string()),
        ("format-version", "2".to_owned()),
    ];
    container(&SCHEMA.replace('\n', ""), &metadata, manifests.len(), &body)
}

fn entry(to: &mut Encoder, manifest: &ManifestFile) {
    to.text(&manifest.path);
    for number in [
        manifest.length,
        manifest.spec_id,
        manifest.content,
        manifest.sequence_number,
        manifest.min_sequence_number,
        manifest.added_snapshot_id,
    ] {
        to.long(number);
    }
    for number in manifest.files.into_iter().chain(manifest.rows) {
        to.long(number);
    }
    to.optional(manifest.partitions.as_ref(), |to, fields| {
        to.items(fields.iter(), |to, field| {
            to.boolean(field.contains_null);
            to.optional(field.contains_nan, Encoder::boolean);
            to.optional(field.lower.as_deref(), Encoder::bytes);
            to.optional(field.upper.as_deref(), Encoder::bytes);
        });
    });
    to.optional(manifest.key_metadata.as_deref(), Encoder::bytes);
}

/// Reads a list.
///
/// # Errors
/// The reason for which nothing can be added to it.
pub(super) fn read(file: &[u8]) -> Result<Vec<ManifestFile>, String> {
    let rows = avro::read(file).map_err(|error| error.to_string())?;
    rows.iter().map(|row| parse(row).ok_or_else(incomplete)).collect()
}

fn incomplete() -> String {
    "it lists a manifest without numbers that version 2 of the format requires: have them rewritten, with \
     CALL system.rewrite_manifests of Spark"
        .to_owned()
}

fn parse(row: &Value) -> Option<ManifestFile> {
    let Value::Record(fields) = row else { return None };
    let long = |id: i64| match fields.get(&id)? {
        Value::Long(value) => Some(*value),
        _ => None,
    };
    // Since version 2; what is older has 0.
    let since = |id: i64| match fields.get(&id) {
        None => Some(0),
        Some(_) => long(id),
    };
    Some(ManifestFile {
        path: String::from_utf8(bytes(fields, 500)?).ok()?,
        length: long(501)?,
        spec_id: long(502)?,
        content: since(517)?,
        sequence_number: since(515)?,
        min_sequence_number: since(516)?,
        added_snapshot_id: long(503)?,
        files: [long(504)?, long(505)?, long(506)?],
        rows: [long(512)?, long(513)?, long(514)?],
        partitions: match fields.get(&507) {
            Some(Value::Items(items)) => Some(items.iter().map(summary).collect::<Option<_>>()?),
            _ => None,
        },
        key_metadata: bytes(fields, 519),
    })
}

fn bytes(fields: &BTreeMap<i64, Value>, id: i64) -> Option<Vec<u8>> {
    match fields.get(&id)? {
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn summary(item: &Value) -> Option<FieldSummary> {
    let Value::Record(fields) = item else { return None };
    let boolean = |id: i64| match fields.get(&id)? {
        Value::Boolean(value) => Some(*value),
        _ => None,
    };
    let (lower, upper) = (bytes(fields, 510), bytes(fields, 511));
    Some(FieldSummary { contains_null: boolean(509)?, contains_nan: boolean(518), lower, upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_several_manifests_hold_for_all() {
        let of = |null, nan, bounds: Option<[&[u8]; 2]>| FieldSummary {
            contains_null: null,
            contains_nan: nan,
            lower: bounds.map(|[lower, _]| lower.to_vec()),
            upper: bounds.map(|[_, upper]| upper.to_vec()),
        };
        let day = |day: i32| day.to_le_bytes();
        let (a, b, c) = (day(-2), day(3), day(300));
        let days = [of(false, Some(false), Some([&b, &b])), of(false, Some(false), Some([&a, &c]))];
        // By their bytes, −2 and 300 would be in the wrong order.
        let merged = FieldSummary::merged(days.iter(), false);
        assert_eq!(merged, of(false, Some(false), Some([&a, &c])));
        let texts = [of(false, None, Some([b"b", b"c"])), of(true, Some(false), None)];
        let merged = FieldSummary::merged(texts.iter(), true);
        assert_eq!(merged, of(true, None, Some([b"b", b"c"])));
        let half = [FieldSummary { upper: None, ..texts[0].clone() }, texts[0].clone()];
        let merged = FieldSummary::merged(half.iter(), true);
        assert_eq!((merged.lower, merged.upper), (Some(b"b".to_vec()), None));
        let nulls = [texts[1].clone(), texts[1].clone()];
        assert_eq!(FieldSummary::merged(nulls.iter(), true), of(true, Some(false), None));
    }

    fn manifest() -> ManifestFile {
        ManifestFile {
            path: "s3://b/m".to_owned(),
            length: 1,
            spec_id: 2,
            content: 1,
            sequence_number: 3,
            min_sequence_number: 4,
            added_snapshot_id: -5,
            files: [6, 7, 8],
            rows: [9, 10, 11],
            partitions: Some(vec![FieldSummary {
                contains_null: true,
                contains_nan: None,
                lower: Some(vec![1, 2]),
                upper: None,
            }]),
            key_metadata: Some(vec![0xff]),
        }
    }

    const IDS: SnapshotIds = SnapshotIds { id: 12, parent: None, sequence_number: 3 };

    #[test]
    fn an_entry_has_these_bytes() {
        let file = write(IDS, &[manifest()]);
        #[rustfmt::skip]
        let expected = [
            16, b's', b'3', b':', b'/', b'/', b'b', b'/', b'm',
            2, 4, 2, 6, 8, 9,           // length, spec, content, sequence numbers, snapshot −5
            12, 14, 16, 18, 20, 22,     // files and rows
            2, 2, 1, 0, 2, 4, 1, 2, 0, 0,   // one summary: null, NaN unknown, lower, no upper
            2, 2, 0xff,
        ];
        let at = file.len() - 16 - expected.len();
        assert_eq!(file[at..file.len() - 16], expected);
        assert_eq!(file[..4], *b"Obj\x01");
    }

    #[test]
    fn a_list_is_written_with_all_that_was_read() {
        let plain = ManifestFile { partitions: None, key_metadata: None, ..manifest() };
        let all = [manifest(), plain];
        let file = write(IDS, &all);
        assert_eq!(read(&file).unwrap(), all);
        assert_eq!(write(IDS, &read(&file).unwrap()), file);
        let metadata = avro::read_each(&file, |_, _| {}).unwrap();
        assert_eq!(metadata["snapshot-id"], b"12");
        assert_eq!(metadata["parent-snapshot-id"], b"null");
        assert_eq!(read(&write(IDS, &[])).unwrap(), []);
    }

    #[test]
    fn an_entry_of_version_1_is_refused_if_it_lacks_counts() {
        let file = write(IDS, &[manifest()]);
        let other = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = file.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut file = file.clone();
            file[at..at + to.len()].copy_from_slice(to.as_bytes());
            read(&file)
        };
        let error = other(r#""field-id":512"#, r#""field-id":999"#).unwrap_err();
        assert!(error.contains("rewrite_manifests"), "{error}");
        // Content and sequence numbers are younger than the rest.
        let read = other(r#""field-id":517"#, r#""field-id":999"#).unwrap();
        assert_eq!(read, [ManifestFile { content: 0, ..manifest() }]);
    }
}
