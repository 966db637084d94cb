//! Column statistics of a Parquet file, read from its footer.
//!
//! Table formats prune files by these numbers, so a bound that is too narrow loses rows in silence.
//! Every bound here holds for every value of the column: a bound that the writer truncated is marked
//! inexact, and where the footer does not say enough there is no bound.
//!
//! The size is bounded. A leaf without a single value is left out, a leaf within a list or map has
//! counts only (no table format takes bounds of it), and a text longer than `MAX_TEXT_BYTES` is no
//! bound.

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde::{Deserialize, Serialize};

/// Longest text of a bound, in bytes. The writer truncates at 64 bytes, except for a maximum that
/// has no greater prefix.
const MAX_TEXT_BYTES: usize = 256;

/// Statistics of the leaf columns of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileStatistics {
    /// Leaf columns with at least one value, in the order of the schema. A leaf that is not listed
    /// is null in every row.
    pub columns: Vec<ColumnStatistics>,
}

/// Statistics of one leaf column, over all row groups of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Path in the Parquet schema: `userActions.list.element.name`.
    pub path: String,
    /// Number of values, nulls included. Within a list or map, an empty or null one counts as a null
    /// value.
    pub values: u64,
    /// Number of nulls; none when a row group does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<u64>,
    /// Number of NaNs of a floating-point column; none when a row group does not say, and for other
    /// columns. Bounds are about the values that are no NaN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nans: Option<u64>,
    /// Bytes of the pages in the file.
    pub compressed_bytes: u64,
    /// Lower bound: no value is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Bound>,
    /// Upper bound: no value is greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
}

/// A lower or upper bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The bound.
    pub value: Scalar,
    /// True when a value of the column equals the bound. Text is truncated, and then it is false.
    pub exact: bool,
}

/// A value of a leaf column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    /// true or false.
    Boolean(bool),
    /// 64-bit integer.
    Long(i64),
    /// IEEE 754 double, never NaN. A zero is negative in a lower and positive in an upper bound, so
    /// that it holds for readers that tell zeros apart. In JSON a string: readers of JSON numbers
    /// round them, and a rounded bound is wrong.
    Double(#[serde(with = "double_as_text")] f64),
    /// Microseconds since the epoch, UTC.
    TimestampMicros(i64),
    /// UTF-8 text, ordered by its bytes.
    Text(String),
}

mod double_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        // The shortest text that parses to the same bits.
        to.collect_str(&format_args!("{value:?}"))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FileStatistics {
    /// Collects the statistics in a footer.
    #[must_use]
    pub fn of(footer: &ParquetMetaData) -> FileStatistics {
        let leaves = footer.file_metadata().schema_descr().columns();
        let column = |(at, leaf): (usize, &_)| {
            let groups = footer.row_groups().iter();
            let chunks = groups.map(|group| group.columns().get(at));
            column(leaf, &chunks.collect::<Option<Vec<_>>>()?)
        };
        let columns = leaves.iter().map(AsRef::as_ref).enumerate().filter_map(column);
        FileStatistics { columns: columns.collect() }
    }

    /// Returns the statistics of the leaf at `path`; none when the leaf has no value.
    #[must_use]
    pub fn column(&self, path: &str) -> Option<&ColumnStatistics> {
        self.columns.iter().find(|column| column.path == path)
    }

    /// Returns the approximate size in memory, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let text = |bound: &Option<Bound>| match bound {
            Some(Bound { value: Scalar::Text(text), .. }) => text.len(),
            _ => 0,
        };
        let columns = self.columns.iter();
        let texts = columns.map(|c| c.path.len() + text(&c.min) + text(&c.max)).sum::<usize>();
        self.columns.len() * size_of::<ColumnStatistics>() + texts
    }
}

/// Merges the chunks of one leaf; `None` when it has no value.
fn column(leaf: &ColumnDescriptor, chunks: &[&ColumnChunkMetaData]) -> Option<ColumnStatistics> {
    let mut all = ColumnStatistics {
        path: String::new(),
        values: 0,
        nulls: Some(0),
        nans: is_float(leaf).then_some(0),
        compressed_bytes: 0,
        min: None,
        max: None,
    };
    let (mut has_min, mut has_max) = (leaf.max_rep_level() == 0, leaf.max_rep_level() == 0);
    for chunk in chunks {
        let values = u64::try_from(chunk.num_values()).unwrap_or(0);
        let statistics = chunk.statistics();
        let nulls = statistics.and_then(Statistics::null_count_opt);
        let nans = statistics.and_then(Statistics::nan_count_opt);
        all.values += values;
        all.nulls = all.nulls.zip(nulls).map(|(a, b)| a + b);
        all.nans = all.nans.zip(nans).map(|(a, b)| a + b);
        all.compressed_bytes += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        let bare = nulls.zip(nans.or(Some(0)));
        if values == 0 || bare.is_some_and(|(nulls, nans)| nulls + nans >= values) {
            continue;
        }
        let (min, max) = statistics.map_or((None, None), |s| (lower(leaf, s), upper(leaf, s)));
        // Values without a bound: none holds for the whole column.
        (has_min, has_max) = (has_min && min.is_some(), has_max && max.is_some());
        all.min = looser(all.min, min, less);
        all.max = looser(all.max, max, |a, b| less(b, a));
    }
    if all.nulls == Some(all.values) {
        return None;
    }
    all.min = all.min.filter(|_| has_min);
    all.max = all.max.filter(|_| has_max);
    all.path = leaf.path().string();
    Some(all)
}

/// Returns the bound that holds for the values of both: `a`, unless `b` is `further` out. Of equal
/// bounds, the exact one: it is a value of the column.
fn looser(
    a: Option<Bound>,
    b: Option<Bound>,
    further: impl Fn(&Scalar, &Scalar) -> bool,
) -> Option<Bound> {
    let (Some(a), Some(b)) = (&a, &b) else { return a.or(b) };
    let takes_b = further(&b.value, &a.value) || (a.value == b.value && b.exact);
    Some(if takes_b { b.clone() } else { a.clone() })
}

/// Compares values of one type as table formats do; false for values of two types.
fn less(a: &Scalar, b: &Scalar) -> bool {
    match (a, b) {
        (Scalar::Boolean(a), Scalar::Boolean(b)) => a < b,
        (Scalar::Long(a), Scalar::Long(b)) => a < b,
        (Scalar::Double(a), Scalar::Double(b)) => a.total_cmp(b).is_lt(),
        (Scalar::TimestampMicros(a), Scalar::TimestampMicros(b)) => a < b,
        (Scalar::Text(a), Scalar::Text(b)) => a < b,
        _ => false,
    }
}

fn lower(leaf: &ColumnDescriptor, statistics: &Statistics) -> Option<Bound> {
    let value = match statistics {
        Statistics::Boolean(s) => Scalar::Boolean(*s.min_opt()?),
        Statistics::Int32(s) => integer(leaf, i64::from(*s.min_opt()?))?,
        Statistics::Int64(s) => integer(leaf, *s.min_opt()?)?,
        Statistics::Float(s) => double(f64::from(*s.min_opt()?), -0.0)?,
        Statistics::Double(s) => double(*s.min_opt()?, -0.0)?,
        Statistics::ByteArray(s) => text(leaf, s.min_opt()?.data())?,
        _ => return None,
    };
    Some(Bound { value, exact: statistics.min_is_exact() })
}

fn upper(leaf: &ColumnDescriptor, statistics: &Statistics) -> Option<Bound> {
    let value = match statistics {
        Statistics::Boolean(s) => Scalar::Boolean(*s.max_opt()?),
        Statistics::Int32(s) => integer(leaf, i64::from(*s.max_opt()?))?,
        Statistics::Int64(s) => integer(leaf, *s.max_opt()?)?,
        Statistics::Float(s) => double(f64::from(*s.max_opt()?), 0.0)?,
        Statistics::Double(s) => double(*s.max_opt()?, 0.0)?,
        Statistics::ByteArray(s) => text(leaf, s.max_opt()?.data())?,
        _ => return None,
    };
    Some(Bound { value, exact: statistics.max_is_exact() })
}

fn is_float(leaf: &ColumnDescriptor) -> bool {
    use parquet::basic::Type;
    matches!(leaf.physical_type(), Type::FLOAT | Type::DOUBLE)
}

/// Returns an integer, or a time where the column has times. Other logical types order or mean
/// their integers in other ways.
fn integer(leaf: &ColumnDescriptor, value: i64) -> Option<Scalar> {
    match leaf.logical_type_ref() {
        None => Some(Scalar::Long(value)),
        Some(LogicalType::Integer(kind)) if kind.is_signed => Some(Scalar::Long(value)),
        Some(LogicalType::Timestamp(kind)) => match kind.unit {
            TimeUnit::MICROS => Some(Scalar::TimestampMicros(value)),
            TimeUnit::MILLIS => value.checked_mul(1000).map(Scalar::TimestampMicros),
            TimeUnit::NANOS => None,
        },
        _ => None,
    }
}

fn double(value: f64, zero: f64) -> Option<Scalar> {
    match value {
        _ if value.is_nan() => None,
        0.0 => Some(Scalar::Double(zero)),
        _ => Some(Scalar::Double(value)),
    }
}

fn text(leaf: &ColumnDescriptor, bytes: &[u8]) -> Option<Scalar> {
    let is_text = matches!(leaf.logical_type_ref(), Some(LogicalType::String));
    if !is_text || bytes.len() > MAX_TEXT_BYTES {
        return None;
    }
    std::str::from_utf8(bytes).ok().map(|text| Scalar::Text(text.to_owned()))
}
