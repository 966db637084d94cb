//! Statistics of files, in the form of a Delta log.
//!
//! Readers pass over files by them, so a bound that is too narrow loses rows in silence. Every bound
//! here is loose or exact, never narrow:
//! * Texts are ordered by their UTF-8 bytes, as Delta and Spark order them. A lower bound may be a prefix
//!   of the least text; an upper bound that was cut was made greater by the writer of the file.
//! * The log writes times with milliseconds: lower bounds are rounded down and upper bounds up. A bound
//!   that would be rounded out of the years 1 to 9999 is left out, since readers could not parse it.
//! * A column of doubles with a NaN, or of which it is not known, has no bounds, nor has an infinite one.
//! * Some readers take a bound that is not there, beside bounds of other columns, for one that no value is
//!   within. So booleans have bounds, which other writers leave out, and a file in which some column has
//!   values and lacks a bound has none at all.
//!
//! Columns within structs have statistics, below their struct; those within lists and maps have none,
//! and partition columns none either. A column that the footer does not list is null in every row. The
//! number of rows is always there.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field as ArrowField, Fields};
use arrow::error::ArrowError;

use crate::columnar::statistics::{ColumnStatistics, FileStatistics, Scalar};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};

const MILLI_US: i64 = 1_000;
/// First and last time with milliseconds that has a year of four digits: 0001-01-01 and 9999-12-31.
const DATES_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_000;

/// The rows of a file, and its statistics if they are known.
pub(super) type Counted<'a> = (u64, Option<&'a FileStatistics>);

/// Returns the statistics of `files`, one row each, of the columns of `schema` that can have them.
///
/// # Errors
/// The library's.
pub(super) fn of(schema: &TableSchema, files: &[Counted<'_>]) -> Result<StructArray, ArrowError> {
    let lineage =
        [(INGEST_TIME, Kind::TimestampMillis), (INGEST_ID, Kind::String), (EXTRA, Kind::String)];
    let mut all = Members::default();
    for Field { name, kind, .. } in &schema.fields {
        all.add("", name, kind, files)?;
    }
    for (name, kind) in lineage {
        all.add("", name, &kind, files)?;
    }
    let rows = files.iter().map(|(rows, _)| i64::try_from(*rows).ok()).collect::<Int64Array>();
    // Files without statistics have their rows alone: some readers take an empty object for bounds that
    // no value is within, and pass over the file.
    let known: NullBuffer = files.iter().map(|(_, statistics)| statistics.is_some()).collect();
    let bounded = files.iter().zip(all.bounded(files)).map(|(file, all)| file.1.is_some() && all);
    let bounded: NullBuffer = bounded.collect();
    let tight = BooleanArray::new(vec![true; files.len()].into(), Some(known.clone()));
    let of_those = |files: &NullBuffer, members| -> Result<ArrayRef, ArrowError> {
        let (fields, columns, _) = structure(members)?.into_parts();
        Ok(Arc::new(StructArray::try_new(fields, columns, Some(files.clone()))?))
    };
    let all: Vec<(&str, ArrayRef)> = vec![
        ("numRecords", Arc::new(rows)),
        ("nullCount", of_those(&known, all.nulls)?),
        ("minValues", of_those(&bounded, all.least)?),
        ("maxValues", of_those(&bounded, all.most)?),
        ("tightBounds", Arc::new(tight)),
    ];
    structure(all.into_iter().map(|(name, values)| member(name, values)).collect())
}

/// Statistics of the columns of a table or a struct.
#[derive(Default)]
struct Members {
    nulls: Vec<(ArrowField, ArrayRef)>,
    least: Vec<(ArrowField, ArrayRef)>,
    most: Vec<(ArrowField, ArrayRef)>,
}

impl Members {
    /// Adds the column `name` of the struct at `path`.
    fn add(
        &mut self,
        path: &str,
        name: &str,
        kind: &Kind,
        files: &[Counted<'_>],
    ) -> Result<(), ArrowError> {
        let path = match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        match kind {
            Kind::List(_) | Kind::Map(_) => {}
            Kind::Struct(fields) => {
                let mut within = Members::default();
                for Field { name, kind, .. } in fields {
                    within.add(&path, name, kind, files)?;
                }
                for (all, within) in [
                    (&mut self.nulls, within.nulls),
                    (&mut self.least, within.least),
                    (&mut self.most, within.most),
                ] {
                    if !within.is_empty() {
                        all.push(member(name, Arc::new(structure(within)?)));
                    }
                }
            }
            kind => {
                let counts =
                    files.iter().map(|file| null_count(*file, &path)).collect::<Int64Array>();
                self.nulls.push(member(name, Arc::new(counts)));
                self.least.push(member(name, bounds(kind, files, &path, Side::Least)));
                self.most.push(member(name, bounds(kind, files, &path, Side::Most)));
            }
        }
        Ok(())
    }

    /// Tells of each file whether all columns that have values in it have both bounds. Those within
    /// structs are of no account: readers that miss a bound look at no others.
    fn bounded(&self, files: &[Counted<'_>]) -> Vec<bool> {
        let mut all = vec![true; files.len()];
        for (field, bounds) in self.least.iter().chain(&self.most) {
            if matches!(field.data_type(), DataType::Struct(_)) {
                continue;
            }
            for (at, ((_, statistics), bounded)) in files.iter().zip(&mut all).enumerate() {
                let column = statistics.and_then(|statistics| statistics.column(field.name()));
                let is_null = column.is_none_or(|column| column.nulls == Some(column.values));
                *bounded &= is_null || bounds.is_valid(at);
            }
        }
        all
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Least,
    Most,
}

fn member(name: &str, values: ArrayRef) -> (ArrowField, ArrayRef) {
    (ArrowField::new(name, values.data_type().clone(), true), values)
}

fn structure(members: Vec<(ArrowField, ArrayRef)>) -> Result<StructArray, ArrowError> {
    let (fields, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    StructArray::try_new(Fields::from(fields), values, None)
}

/// Returns the number of nulls of a column in a file, if it is known.
fn null_count((rows, statistics): Counted<'_>, name: &str) -> Option<i64> {
    let nulls = match statistics?.column(name) {
        Some(column) => column.nulls?,
        None => rows,
    };
    i64::try_from(nulls).ok()
}

fn bounds(kind: &Kind, files: &[Counted<'_>], name: &str, side: Side) -> ArrayRef {
    let bounds =
        files.iter().map(|(_, statistics)| bound(statistics.as_ref()?.column(name)?, side));
    match kind {
        Kind::Long => Arc::new(bounds.map(long).collect::<Int64Array>()),
        Kind::Boolean => Arc::new(bounds.map(boolean).collect::<BooleanArray>()),
        Kind::Double => Arc::new(bounds.map(double).collect::<Float64Array>()),
        Kind::TimestampMillis => {
            let times =
                bounds.map(|bound| time(bound, side)).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone("UTC"))
        }
        _ => Arc::new(bounds.map(text).collect::<StringArray>()),
    }
}

/// Returns the bound of a column that has no NaN.
fn bound(column: &ColumnStatistics, side: Side) -> Option<&Scalar> {
    if column.nans.is_some_and(|nans| nans > 0) {
        return None;
    }
    let bound = match side {
        Side::Least => column.min.as_ref(),
        Side::Most => column.max.as_ref(),
    };
    let bound = &bound?.value;
    // Doubles have a bound only if the footer says that none of them is a NaN.
    (!matches!(bound, Scalar::Double(_)) || column.nans == Some(0)).then_some(bound)
}

fn boolean(bound: Option<&Scalar>) -> Option<bool> {
    match bound {
        Some(Scalar::Boolean(value)) => Some(*value),
        _ => None,
    }
}

fn long(bound: Option<&Scalar>) -> Option<i64> {
    match bound {
        Some(Scalar::Long(value)) => Some(*value),
        _ => None,
    }
}

fn double(bound: Option<&Scalar>) -> Option<f64> {
    match bound {
        Some(Scalar::Double(value)) if value.is_finite() => Some(*value),
        _ => None,
    }
}

fn time(bound: Option<&Scalar>, side: Side) -> Option<i64> {
    let Some(Scalar::TimestampMicros(micros)) = bound else { return None };
    let down = micros.div_euclid(MILLI_US).checked_mul(MILLI_US)?;
    let rounded = match side {
        Side::Most if down != *micros => down.checked_add(MILLI_US)?,
        _ => down,
    };
    DATES_US.contains(&rounded).then_some(rounded)
}

fn text(bound: Option<&Scalar>) -> Option<&str> {
    match bound {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}
