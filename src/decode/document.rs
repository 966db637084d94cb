//! A row back into the document that it was made of.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::body::ACTION_ID;
use crate::json::{Members, pointer_tokens};
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
    #[error("the batch has a column {name} that is not of the schema's type")]
    Column {
        /// The column.
        name: String,
    },
    /// `_extra` is no JSON object.
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

/// The document that a row gives back, as JSON when it is serialized by `serde_json`.
///
/// What was in `_extra` is as it was written: a number of any size and precision is itself.
#[derive(Debug)]
pub struct Document {
    members: BTreeMap<String, Node>,
    action_id: Option<String>,
}

#[derive(Debug)]
enum Node {
    Null,
    Boolean(bool),
    Long(i64),
    Double(f64),
    Text(String),
    Array(Vec<Node>),
    Object(BTreeMap<String, Node>),
    /// From `_extra`.
    Raw(Box<RawValue>),
}

impl Document {
    /// The `_id` that the bulk action before the document gave it. It is no member of it.
    #[must_use]
    pub fn action_id(&self) -> Option<&str> {
        self.action_id.as_deref()
    }

    /// The member `name`, if it is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.members.get(name)? {
            Node::Text(text) => Some(text.clone()),
            Node::Raw(raw) => serde_json::from_str(raw.get()).ok(),
            _ => None,
        }
    }

    /// The member `name`, if it is an integer.
    #[must_use]
    pub fn long(&self, name: &str) -> Option<i64> {
        match self.members.get(name)? {
            Node::Long(long) => Some(*long),
            Node::Raw(raw) => serde_json::from_str(raw.get()).ok(),
            _ => None,
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.members)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Boolean(value) => serializer.serialize_bool(*value),
            Node::Long(value) => serializer.serialize_i64(*value),
            Node::Double(value) => serializer.serialize_f64(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Array(items) => serializer.collect_seq(items),
            Node::Object(members) => serializer.collect_map(members),
            Node::Raw(raw) => raw.serialize(serializer),
        }
    }
}

/// The document of row `row`: the columns under their current names, with `_extra` laid over them
/// in its order. A column that the batch has not, as one of an older schema, is null; one that only
/// the batch has is left out.
///
/// It equals the document that came in, but for the order of keys, null against missing (nulls
/// keep their place in lists), the spelling of numbers in columns, and the names of aliases that
/// gave their value to the current name's column.
///
/// # Errors
/// When the batch has a column of another type, has no such row, or has an `_extra` that the
/// decoder did not write.
pub fn to_document(
    batch: &RecordBatch,
    row: usize,
    schema: &TableSchema,
) -> Result<Document, DocumentError> {
    if row >= batch.num_rows() {
        return Err(DocumentError::Row { row, rows: batch.num_rows() });
    }
    let mut members = BTreeMap::new();
    for field in &schema.fields {
        let Some(column) = batch.column_by_name(&field.name) else { continue };
        let other = || DocumentError::Column { name: field.name.clone() };
        if let Some(value) = value(column.as_ref(), row, &field.kind).ok_or_else(other)? {
            members.insert(field.name.clone(), value);
        }
    }
    let mut document = Node::Object(members);
    let mut action_id = None;
    if let Some(extra) = batch.column_by_name(EXTRA) {
        let extra = extra.as_string_opt::<i32>();
        let extra = extra.ok_or_else(|| DocumentError::Column { name: EXTRA.into() })?;
        let wrong = |source| DocumentError::Extra { row, source };
        let text = if extra.is_valid(row) { extra.value(row) } else { "{}" };
        let Members(members) = serde_json::from_str(text).map_err(wrong)?;
        for (pointer, raw) in members {
            if pointer == ACTION_ID {
                action_id = Some(serde_json::from_str(raw.get()).map_err(wrong)?);
                continue;
            }
            if lay(&mut document, &pointer, raw).is_none() && !is_strange(batch, &pointer, schema) {
                return Err(DocumentError::Pointer { row, pointer });
            }
        }
    }
    let Node::Object(members) = document else {
        return Err(DocumentError::Pointer { row, pointer: String::new() });
    };
    Ok(Document { members, action_id })
}

/// The value of a column's row: `None` when the column is of another type, `Some(None)` for null.
fn value(column: &dyn Array, row: usize, kind: &Kind) -> Option<Option<Node>> {
    if column.is_null(row) {
        return Some(None);
    }
    let value = match kind {
        Kind::String => Node::Text(column.as_string_opt::<i32>()?.value(row).to_owned()),
        Kind::Long => Node::Long(column.as_primitive_opt::<Int64Type>()?.value(row)),
        Kind::Double => Node::Double(column.as_primitive_opt::<Float64Type>()?.value(row)),
        Kind::Boolean => Node::Boolean(column.as_boolean_opt()?.value(row)),
        Kind::TimestampMillis => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            Node::Long(micros.div_euclid(1000))
        }
        Kind::List(element) => {
            let items = column.as_list_opt::<i32>()?.value(row);
            let item = |item| value(items.as_ref(), item, element);
            let items = (0..items.len()).map(|at| Some(item(at)?.unwrap_or(Node::Null)));
            Node::Array(items.collect::<Option<_>>()?)
        }
        Kind::Struct(fields) => {
            let columns = column.as_struct_opt()?;
            let mut members = BTreeMap::new();
            for field in fields {
                let Some(column) = columns.column_by_name(&field.name) else { continue };
                if let Some(value) = value(column.as_ref(), row, &field.kind)? {
                    members.insert(field.name.clone(), value);
                }
            }
            Node::Object(members)
        }
        Kind::Map(kind) => {
            let entries = column.as_map_opt()?.value(row);
            let keys = entries.column(0).as_string_opt::<i32>()?;
            let mut members = BTreeMap::new();
            for entry in 0..entries.len() {
                let value = value(entries.column(1).as_ref(), entry, kind)?;
                members.insert(keys.value(entry).to_owned(), value.unwrap_or(Node::Null));
            }
            Node::Object(members)
        }
    };
    Some(Some(value))
}

/// Whether `pointer` leads into a column that is not as the schema has it: then it may lead to what
/// the document has not.
fn is_strange(batch: &RecordBatch, pointer: &str, schema: &TableSchema) -> bool {
    let name = pointer_tokens(pointer).next().unwrap_or_default();
    let theirs = batch.column_by_name(&name).map(|column| column.data_type().clone());
    let arrow = schema.arrow();
    theirs.as_ref() != arrow.field_with_name(&name).ok().map(|field| field.data_type())
}

/// Sets the value at `pointer`. `None` when the pointer leads nowhere.
fn lay(document: &mut Node, pointer: &str, value: Box<RawValue>) -> Option<()> {
    let mut place = document;
    let mut tokens = pointer_tokens(pointer.starts_with('/').then_some(pointer)?).peekable();
    while let Some(token) = tokens.next() {
        place = match place {
            Node::Object(members) => match tokens.peek() {
                Some(_) => members.get_mut(&token)?,
                None => members.entry(token).or_insert(Node::Null),
            },
            Node::Array(items) => items.get_mut(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *place = Node::Raw(value);
    Some(())
}
