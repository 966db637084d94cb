//! Reading: one cell as a JSON value, and columns whose type is known.

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use super::forms;
use super::value::Value;
use crate::schema::{Field, Form, Kind};

/// A column is not of the type that its [`Kind`] has.
#[derive(Debug)]
pub(crate) struct TypeMismatch;

/// Returns the members of the document of a record in row `row`, which exists, each under its path.
/// `column` finds an array by the name of its field. A field whose array is missing, as that of an older
/// schema is, is left out like a null.
///
/// # Errors
/// The name of a field whose array, or one below it, is not of its kind's type.
pub(crate) fn members<'c>(
    fields: &[Field],
    row: usize,
    column: impl Fn(&str) -> Option<&'c ArrayRef>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut members = BTreeMap::new();
    for field in fields {
        let mismatch = |TypeMismatch| field.name.clone();
        let Some(array) = column(&field.name)
            .filter(|_| field.json.nanos_of.is_none() && field.json.property.is_none())
        else {
            continue;
        };
        if let Some(prefix) = &field.json.prefix {
            let cell = cell(array.as_ref(), row, &field.kind, &field.from).map_err(mismatch)?;
            let Some(Value::Object(entries)) = cell else { continue };
            // A null is as good as missing here: privacy rules make some.
            let entries = entries.into_iter().filter(|(_, of)| !matches!(of, Value::Null));
            members.extend(entries.map(|(key, of)| (format!("{prefix}{key}"), of)));
            continue;
        }
        let beyond = fields.iter().find(|of| of.json.nanos_of.as_ref() == Some(&field.name));
        let nanos = match beyond.and_then(|of| column(&of.name)).filter(|_| array.is_valid(row)) {
            None => 0,
            Some(nanos) => match nanos.as_primitive_opt::<Int64Type>() {
                Some(nanos) if nanos.is_valid(row) => nanos.value(row),
                Some(_) => 0,
                None => return Err(beyond.map_or_else(String::new, |of| of.name.clone())),
            },
        };
        let value = match nanos {
            0 => cell(array.as_ref(), row, &field.kind, &field.from).map_err(mismatch)?,
            nanos => {
                let micros = timestamps(array.as_ref()).ok_or(TypeMismatch).map_err(mismatch)?;
                Some(forms::time(&field.from, micros.value(row), nanos))
            }
        };
        if let Some(value) = value {
            insert(&mut members, field.json_path(), value);
        }
    }
    Ok(members)
}

/// Sets the member at `path`, which no other field has.
fn insert(members: &mut BTreeMap<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(members.insert(name.clone(), value)),
        [name, below @ ..] => {
            let object = || Value::Object(BTreeMap::new());
            if let Value::Object(within) = members.entry(name.clone()).or_insert_with(object) {
                insert(within, below, value);
            }
        }
    }
}

/// Returns the value of `column` in row `row`, which exists, as its field writes it (in the first form
/// of `from` that can say it); `None` for null.
///
/// # Errors
/// [`TypeMismatch`] when the column, or one below it, is not of `kind`'s type.
fn cell(
    column: &dyn Array,
    row: usize,
    kind: &Kind,
    from: &[Form],
) -> Result<Option<Value>, TypeMismatch> {
    if column.is_null(row) {
        return Ok(None);
    }
    let value = match kind {
        Kind::String => Value::String(strings(column).ok_or(TypeMismatch)?.value(row).to_owned()),
        Kind::Long => {
            let longs = column.as_primitive_opt::<Int64Type>();
            forms::written(from, Value::Long(longs.ok_or(TypeMismatch)?.value(row)))
        }
        Kind::Double => {
            let doubles = column.as_primitive_opt::<Float64Type>();
            forms::written(from, Value::Double(doubles.ok_or(TypeMismatch)?.value(row)))
        }
        Kind::Boolean => {
            let booleans = column.as_boolean_opt().ok_or(TypeMismatch)?;
            forms::written(from, Value::Boolean(booleans.value(row)))
        }
        Kind::TimestampMillis => {
            let micros = timestamps(column).ok_or(TypeMismatch)?.value(row);
            forms::time(from, micros, 0)
        }
        Kind::List(element) => {
            let items = column.as_list_opt::<i32>().ok_or(TypeMismatch)?.value(row);
            let item = |at| Ok(cell(items.as_ref(), at, element, from)?.unwrap_or(Value::Null));
            Value::Array((0..items.len()).map(item).collect::<Result<_, _>>()?)
        }
        Kind::Struct(fields) => {
            let columns = column.as_struct_opt().ok_or(TypeMismatch)?;
            let members = members(fields, row, |name| columns.column_by_name(name));
            Value::Object(members.map_err(|_| TypeMismatch)?)
        }
        Kind::Map(kind) => {
            let entries = column.as_map_opt().ok_or(TypeMismatch)?.value(row);
            let keys = strings(entries.column(0)).ok_or(TypeMismatch)?;
            let mut members = BTreeMap::new();
            for entry in 0..entries.len() {
                let value = cell(entries.column(1).as_ref(), entry, kind, from)?;
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

/// Returns `column` as an array of integers, if it has the type of [`Kind::Long`].
pub(crate) fn longs(column: &dyn Array) -> Option<&Int64Array> {
    column.as_primitive_opt::<Int64Type>()
}

/// Returns `column` as an array of doubles, if it has the type of [`Kind::Double`].
pub(crate) fn doubles(column: &dyn Array) -> Option<&Float64Array> {
    column.as_primitive_opt::<Float64Type>()
}

/// Returns `column` as an array of microseconds since the epoch, if it has the type of
/// [`Kind::TimestampMillis`].
pub(crate) fn timestamps(column: &dyn Array) -> Option<&TimestampMicrosecondArray> {
    column.as_primitive_opt::<TimestampMicrosecondType>()
}
