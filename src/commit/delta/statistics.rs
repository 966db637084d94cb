//! Statistics of files, in the form of a Delta log.
//!
//! Readers pass over files by them, so a bound that is too narrow loses rows in silence. The log
//! writes times with milliseconds: lower bounds are rounded down and upper bounds up. A column with a
//! NaN, and a bound that is infinite, have no bound. Only columns outside lists, maps and structs have
//! statistics. A column that the footer does not list is null in every row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field as ArrowField, Fields};
use arrow::error::ArrowError;

use crate::columnar::statistics::{ColumnStatistics, FileStatistics, Scalar};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};

const MILLI_US: i64 = 1_000;

/// The rows of a file, and its statistics if they are known.
pub(super) type Counted<'a> = (u64, Option<&'a FileStatistics>);

/// Returns the statistics of `files`, one row each, of the columns of `schema` that can have them.
///
/// # Errors
/// The library's.
pub(super) fn of(schema: &TableSchema, files: &[Counted<'_>]) -> Result<StructArray, ArrowError> {
    let lineage =
        [(INGEST_TIME, Kind::TimestampMillis), (INGEST_ID, Kind::String), (EXTRA, Kind::String)];
    let columns = schema.fields.iter().map(|Field { name, kind, .. }| (&**name, kind.clone()));
    let columns: Vec<(&str, Kind)> =
        columns.chain(lineage).filter(|(_, kind)| is_counted(kind)).collect();
    let (mut nulls, mut least, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for (name, kind) in &columns {
        let counts = files.iter().map(|file| null_count(*file, name)).collect::<Int64Array>();
        nulls.push(member(name, Arc::new(counts)));
        if *kind != Kind::Boolean {
            least.push(member(name, bounds(kind, files, name, Side::Least)));
            most.push(member(name, bounds(kind, files, name, Side::Most)));
        }
    }
    let rows = files.iter().map(|(rows, _)| i64::try_from(*rows).ok()).collect::<Int64Array>();
    let tight = BooleanArray::from(vec![true; files.len()]);
    let all: Vec<(&str, ArrayRef)> = vec![
        ("numRecords", Arc::new(rows)),
        ("nullCount", Arc::new(structure(nulls)?)),
        ("minValues", Arc::new(structure(least)?)),
        ("maxValues", Arc::new(structure(most)?)),
        ("tightBounds", Arc::new(tight)),
    ];
    structure(all.into_iter().map(|(name, values)| member(name, values)).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Least,
    Most,
}

fn is_counted(kind: &Kind) -> bool {
    !matches!(kind, Kind::List(_) | Kind::Struct(_) | Kind::Map(_))
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
    // Whether a column of doubles has a NaN has to be known.
    (!matches!(bound, Scalar::Double(_)) || column.nans == Some(0)).then_some(bound)
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
    if side == Side::Least || down == *micros { Some(down) } else { down.checked_add(MILLI_US) }
}

fn text(bound: Option<&Scalar>) -> Option<&str> {
    match bound {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}
