//! Reading: one cell as a JSON value, and columns whose type is known.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray as _, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::schema::Kind;

/// A column is not of the type that its [`Kind`] has.
#[derive(Debug)]
pub(crate) struct TypeMismatch;

/// A cell as JSON has it.
#[derive(Debug)]
pub(crate) enum Value {
    /// Null.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer; of a timestamp, milliseconds since the epoch.
    Long(i64),
    /// A double.
    Double(f64),
    /// A string.
    String(String),
    /// A list, with its nulls.
    Array(Vec<Value>),
    /// A record without the fields that are null, or a map.
    Object(BTreeMap<String, Value>),
    /// JSON text that did not come from a column, as it was written.
    Raw(Box<RawValue>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Long(value) => serializer.serialize_i64(*value),
            Value::Double(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items),
            Value::Object(members) => serializer.collect_map(members),
            Value::Raw(raw) => raw.serialize(serializer),
        }
    }
}

/// Returns the value of `column` in row `row`, which exists; `None` for null. A field of a record
/// that the array lacks, as one of an older schema does, is left out like a null.
///
/// # Errors
/// [`TypeMismatch`] when the column, or one below it, is not of `kind`'s type.
pub(crate) fn cell(
    column: &dyn Array,
    row: usize,
    kind: &Kind,
) -> Result<Option<Value>, TypeMismatch> {
    if column.is_null(row) {
        return Ok(None);
    }
    let value = match kind {
        Kind::String => Value::String(strings(column).ok_or(TypeMismatch)?.value(row).to_owned()),
        Kind::Long => {
            let longs = column.as_primitive_opt::<Int64Type>();
            Value::Long(longs.ok_or(TypeMismatch)?.value(row))
        }
        Kind::Double => {
            let doubles = column.as_primitive_opt::<Float64Type>();
            Value::Double(doubles.ok_or(TypeMismatch)?.value(row))
        }
        Kind::Boolean => Value::Boolean(column.as_boolean_opt().ok_or(TypeMismatch)?.value(row)),
        Kind::TimestampMillis => {
            Value::Long(timestamps(column).ok_or(TypeMismatch)?.value(row).div_euclid(1000))
        }
        Kind::List(element) => {
            let items = column.as_list_opt::<i32>().ok_or(TypeMismatch)?.value(row);
            let item = |at| Ok(cell(items.as_ref(), at, element)?.unwrap_or(Value::Null));
            Value::Array((0..items.len()).map(item).collect::<Result<_, _>>()?)
        }
        Kind::Struct(fields) => {
            let columns = column.as_struct_opt().ok_or(TypeMismatch)?;
            let mut members = BTreeMap::new();
            for field in fields {
                let Some(column) = columns.column_by_name(&field.name) else { continue };
                if let Some(value) = cell(column.as_ref(), row, &field.kind)? {
                    members.insert(field.name.clone(), value);
                }
            }
            Value::Object(members)
        }
        Kind::Map(kind) => {
            let entries = column.as_map_opt().ok_or(TypeMismatch)?.value(row);
            let keys = strings(entries.column(0)).ok_or(TypeMismatch)?;
            let mut members = BTreeMap::new();
            for entry in 0..entries.len() {
                let value = cell(entries.column(1).as_ref(), entry, kind)?;
                members.insert(keys.value(entry).to_owned(), value.unwrap_or(Value::Null));
            }
            Value::Object(members)
        }
    };
    Ok(Some(value))
}

/// Returns `column` as an array of strings, if it has the type of [`Kind::String`].
pub(crate) fn strings(column: &dyn Array) -> Option<&StringArray> {
    column.as_string_opt::<i32>()
}

/// Returns `column` as an array of microseconds since the epoch, if it has the type of
/// [`Kind::TimestampMillis`].
pub(crate) fn timestamps(column: &dyn Array) -> Option<&TimestampMicrosecondArray> {
    column.as_primitive_opt::<TimestampMicrosecondType>()
}
