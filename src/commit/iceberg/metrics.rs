//! Counts and bounds of a file, by field id.
//!
//! Bounds are in the single-value serialisation: integers, times (µs) and doubles in little-endian order,
//! texts as UTF-8. They come from a receipt, whose bounds hold for every value: an upper bound of a text
//! that was truncated is greater than the text. A zero is negative in a lower and positive in an upper
//! bound.
//!
//! There is no bound for a column whose type in the table is another one than in the file (it was
//! promoted), for one within a list or map, and for a column of doubles that has a NaN, or may have one:
//! engines do not agree where NaN is in the order. A column that the statistics do not list is null in
//! every row; of one within a list or map nothing is said then. A file without statistics has none here.
//!
//! Format: <https://iceberg.apache.org/spec/#appendix-d-single-value-serialization>.

use std::collections::BTreeMap;

use super::schema::Leaf;
use crate::columnar::statistics::{Bound, FileStatistics, Scalar};

/// Counts and bounds of a file, each by field id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metrics {
    /// Bytes of the pages.
    pub(super) column_sizes: BTreeMap<i32, i64>,
    /// Number of values, nulls and NaNs included.
    pub(super) values: BTreeMap<i32, i64>,
    pub(super) nulls: BTreeMap<i32, i64>,
    pub(super) nans: BTreeMap<i32, i64>,
    pub(super) lower: BTreeMap<i32, Vec<u8>>,
    pub(super) upper: BTreeMap<i32, Vec<u8>>,
}

impl Metrics {
    /// Returns the metrics of a file of `rows` rows, with the columns `leaves` of the table by their paths
    /// in the file.
    pub(super) fn of(
        statistics: Option<&FileStatistics>,
        rows: u64,
        leaves: &BTreeMap<String, Leaf>,
    ) -> Metrics {
        let mut metrics = Metrics::default();
        let Some(statistics) = statistics else { return metrics };
        let columns = statistics.columns.iter().map(|column| (&*column.path, column));
        let columns: BTreeMap<_, _> = columns.collect();
        for (path, leaf) in leaves {
            let id = leaf.id;
            let Some(column) = columns.get(&**path) else {
                if !leaf.repeated {
                    insert(&mut metrics.values, id, Some(rows));
                    insert(&mut metrics.nulls, id, Some(rows));
                }
                continue;
            };
            insert(&mut metrics.column_sizes, id, Some(column.compressed_bytes));
            insert(&mut metrics.values, id, Some(column.values));
            insert(&mut metrics.nulls, id, column.nulls);
            insert(&mut metrics.nans, id, column.nans);
            let has_nans = leaf.kind == "double" && column.nans != Some(0);
            if leaf.repeated || has_nans {
                continue;
            }
            for (bound, to) in
                [(&column.min, &mut metrics.lower), (&column.max, &mut metrics.upper)]
            {
                if let Some(bytes) = bound.as_ref().and_then(|bound| bytes_of(bound, &leaf.kind)) {
                    to.insert(id, bytes);
                }
            }
        }
        metrics
    }
}

/// A count that does not fit is left out.
fn insert(to: &mut BTreeMap<i32, i64>, id: i32, count: Option<u64>) {
    if let Some(count) = count.and_then(|count| i64::try_from(count).ok()) {
        to.insert(id, count);
    }
}

/// Serialises a bound of a column of the type `kind`; none for a value of another type.
fn bytes_of(bound: &Bound, kind: &str) -> Option<Vec<u8>> {
    Some(match (&bound.value, kind) {
        (Scalar::Boolean(value), "boolean") => vec![u8::from(*value)],
        (Scalar::Long(value), "long") | (Scalar::TimestampMicros(value), "timestamptz") => {
            value.to_le_bytes().to_vec()
        }
        (Scalar::Double(value), "double") if !value.is_nan() => value.to_le_bytes().to_vec(),
        (Scalar::Text(value), "string") => value.as_bytes().to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::statistics::ColumnStatistics;

    fn column(path: &str, nans: Option<u64>, min: Scalar, max: Scalar) -> ColumnStatistics {
        let [min, max] = [min, max].map(|value| Some(Bound { value, exact: true }));
        let path = path.to_owned();
        ColumnStatistics { path, values: 9, nulls: Some(2), nans, compressed_bytes: 77, min, max }
    }

    fn leaves(of: &[(&str, i32, &str, bool)]) -> BTreeMap<String, Leaf> {
        let leaf = |(path, id, kind, repeated): &(&str, i32, &str, bool)| {
            (path.to_string(), Leaf { id: *id, kind: kind.to_string(), repeated: *repeated })
        };
        of.iter().map(leaf).collect()
    }

    fn bounds(kind: &str, nans: Option<u64>, min: Scalar, max: Scalar) -> Option<[Vec<u8>; 2]> {
        let statistics = FileStatistics { columns: vec![column("c", nans, min, max)] };
        let metrics = Metrics::of(Some(&statistics), 9, &leaves(&[("c", 4, kind, false)]));
        assert_eq!(metrics.values[&4], 9);
        Some([metrics.lower.get(&4)?.clone(), metrics.upper.get(&4)?.clone()])
    }

    #[test]
    fn bounds_have_the_bytes_of_the_specification() {
        use Scalar::{Boolean, Double, Long, Text, TimestampMicros};
        let bytes = |a: &[u8], b: &[u8]| Some([a.to_vec(), b.to_vec()]);
        let of = |kind, min, max| bounds(kind, None, min, max);
        assert_eq!(of("boolean", Boolean(false), Boolean(true)), bytes(&[0], &[1]));
        assert_eq!(of("long", Long(-1), Long(34)), bytes(&[0xff; 8], &[34, 0, 0, 0, 0, 0, 0, 0]));
        // 2017-11-16T22:31:08Z.
        let micros = [0x00, 0xc3, 0x26, 0x2d, 0x21, 0x5e, 0x05, 0x00];
        assert_eq!(i64::from_le_bytes(micros), 1_510_871_468_000_000);
        let time = || TimestampMicros(1_510_871_468_000_000);
        assert_eq!(of("timestamptz", time(), time()), bytes(&micros, &micros));
        assert_eq!(
            of("string", Text("iceberg".into()), Text("ü".into())),
            bytes(b"iceberg", &[0xc3, 0xbc])
        );
        let double = |min, max| bounds("double", Some(0), Double(min), Double(max));
        assert_eq!(double(-0.0, 0.0), bytes(&[0, 0, 0, 0, 0, 0, 0, 0x80], &[0; 8]));
        assert_eq!(
            double(f64::NEG_INFINITY, 1.0),
            bytes(&[0, 0, 0, 0, 0, 0, 0xf0, 0xff], &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f])
        );
        // A NaN, perhaps a NaN, another type in the table.
        assert_eq!(bounds("double", Some(1), Double(0.0), Double(1.0)), None);
        assert_eq!(bounds("double", None, Double(0.0), Double(1.0)), None);
        assert_eq!(of("int", Long(0), Long(1)), None);
        assert_eq!(of("timestamptz", Long(0), Long(1)), None);
    }

    #[test]
    fn columns_are_counted_by_their_ids_in_the_table() {
        let texts = || [Scalar::Text("a".into()), Scalar::Text("b".into())];
        let [min, max] = texts();
        let inside =
            ColumnStatistics { path: "l.list.element".into(), ..column("", None, min, max) };
        let [min, max] = texts();
        let other = column("not in the table", None, min, max);
        let statistics = FileStatistics { columns: vec![inside, other] };
        let leaves = leaves(&[
            ("absent", 3, "string", false),
            ("l.list.element", 70, "string", true),
            ("m.key_value.key", 71, "string", true),
        ]);
        let metrics = Metrics::of(Some(&statistics), 5, &leaves);
        let expected = Metrics {
            column_sizes: BTreeMap::from([(70, 77)]),
            values: BTreeMap::from([(3, 5), (70, 9)]),
            nulls: BTreeMap::from([(3, 5), (70, 2)]),
            ..Metrics::default()
        };
        assert_eq!(metrics, expected);
        assert_eq!(Metrics::of(None, 5, &leaves), Metrics::default());
    }
}
