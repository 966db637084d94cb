//! A row back into the document that it was made of.

use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::schema::{EXTRA, Kind, TableSchema};

/// Why a row gives no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The batch has no such row.
    #[error("row {row} of a batch of {rows} rows")]
    Row {
        /// The row asked for.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// The batch is not one of this schema.
    #[error("the batch has no column {name} of the schema's type")]
    Column {
        /// The column.
        name: String,
    },
    /// `_extra` is no JSON object, or has a value that a [`Value`] cannot hold (a number beyond a
    /// double).
    #[error("_extra of row {row}: {source}")]
    Extra {
        /// The row.
        row: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// `_extra` has a pointer that leads nowhere in this row.
    #[error("_extra of row {row}: {pointer:?} leads nowhere in the row's columns")]
    Pointer {
        /// The row.
        row: usize,
        /// The pointer.
        pointer: String,
    },
}

/// The document of row `row`: the columns under their current names, with `_extra` laid over them
/// in its order.
///
/// It equals the document that came in, but for the order of keys, null against missing (nulls
/// keep their place in lists), the spelling of numbers, and the names of aliases that gave their
/// value to the current name's column.
///
/// # Errors
/// When the batch is not one of `schema`, has no such row, or has an `_extra` that the decoder did
/// not write; and for a number in `_extra` that is beyond a double.
pub fn to_document(
    batch: &RecordBatch,
    row: usize,
    schema: &TableSchema,
) -> Result<Value, DocumentError> {
    if row >= batch.num_rows() {
        return Err(DocumentError::Row { row, rows: batch.num_rows() });
    }
    let mut document = Map::new();
    for field in &schema.fields {
        let missing = || DocumentError::Column { name: field.name.clone() };
        let column = batch.column_by_name(&field.name).ok_or_else(missing)?;
        if let Some(value) = value(column.as_ref(), row, &field.kind).ok_or_else(missing)? {
            document.insert(field.name.clone(), value);
        }
    }
    let mut document = Value::Object(document);
    let extra = batch.column_by_name(EXTRA).and_then(|column| column.as_string_opt::<i32>());
    let extra = extra.ok_or_else(|| DocumentError::Column { name: EXTRA.into() })?;
    if extra.is_valid(row) {
        let wrong = |source| DocumentError::Extra { row, source };
        let pairs: Pairs = serde_json::from_str(extra.value(row)).map_err(wrong)?;
        for (pointer, raw) in pairs.0 {
            let value = serde_json::from_str(raw.get()).map_err(wrong)?;
            lay(&mut document, &pointer, value).ok_or(DocumentError::Pointer { row, pointer })?;
        }
    }
    Ok(document)
}

/// The value of a column's row: `None` when the column is of another type, `Some(None)` for null.
fn value(column: &dyn Array, row: usize, kind: &Kind) -> Option<Option<Value>> {
    if column.is_null(row) {
        return Some(None);
    }
    let value = match kind {
        Kind::String => Value::from(column.as_string_opt::<i32>()?.value(row)),
        Kind::Long => Value::from(column.as_primitive_opt::<Int64Type>()?.value(row)),
        Kind::Double => {
            let value = column.as_primitive_opt::<Float64Type>()?.value(row);
            Number::from_f64(value).map_or(Value::Null, Value::Number)
        }
        Kind::Boolean => Value::from(column.as_boolean_opt()?.value(row)),
        Kind::TimestampMillis => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            Value::from(micros.div_euclid(1000))
        }
        Kind::List(element) => {
            let items = column.as_list_opt::<i32>()?.value(row);
            let items = (0..items.len())
                .map(|item| value(items.as_ref(), item, element).map(Option::unwrap_or_default));
            Value::Array(items.collect::<Option<_>>()?)
        }
        Kind::Struct(fields) => {
            let columns = column.as_struct_opt()?;
            let mut members = Map::new();
            for field in fields {
                let column = columns.column_by_name(&field.name)?;
                if let Some(value) = value(column.as_ref(), row, &field.kind)? {
                    members.insert(field.name.clone(), value);
                }
            }
            Value::Object(members)
        }
        Kind::Map(kind) => {
            let entries = column.as_map_opt()?.value(row);
            let keys = entries.column(0).as_string_opt::<i32>()?;
            let mut members = Map::new();
            for entry in 0..entries.len() {
                let value = value(entries.column(1).as_ref(), entry, kind)?;
                members.insert(keys.value(entry).into(), value.unwrap_or_default());
            }
            Value::Object(members)
        }
    };
    Some(Some(value))
}

/// Sets the value at `pointer`. `None` when the pointer leads nowhere.
fn lay(document: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut place = document;
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        place = match place {
            Value::Object(members) => members.entry(token).or_insert(Value::Null),
            Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *place = value;
    Some(())
}

/// The members of a JSON object in their order, repeated keys and all.
#[derive(Debug)]
pub(crate) struct Pairs(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
