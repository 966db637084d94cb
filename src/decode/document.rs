//! Rows → documents: the inverse of the decoder.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, RecordBatch};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::extra::ACTION_ID;
use crate::columnar::value::Value;
use crate::columnar::values::{members, strings};
use crate::json::{Members, pointer_tokens};
use crate::schema::{EXTRA, Field, Kind, TableSchema};

/// The reason why a row gives no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The batch has no such row.
    #[error("row {row} of a batch of {rows} rows")]
    Row {
        /// The row that was asked for.
        row: usize,
        /// The number of rows.
        rows: usize,
    },
    /// The batch is not one of this schema.
    #[error("the batch has a column {name} that is not of the schema's type")]
    Column {
        /// The name of the column.
        name: String,
    },
    /// `_extra` is not a JSON object.
    #[error("_extra of row {row}: {source}")]
    Extra {
        /// The index of the row.
        row: usize,
        /// The fault in its JSON.
        source: serde_json::Error,
    },
    /// `_extra` has a pointer that leads nowhere in this row.
    #[error("_extra of row {row}: {pointer:?} leads nowhere in the row's columns")]
    Pointer {
        /// The index of the row.
        row: usize,
        /// The JSON Pointer.
        pointer: String,
    },
}

/// The document of a row, as JSON when it is serialized by `serde_json`.
///
/// Values from `_extra` have the text that they came with: a number keeps its size and precision.
#[derive(Debug)]
pub struct Document {
    members: BTreeMap<String, Value>,
    action_id: Option<String>,
}

impl Document {
    /// Returns the `_id` that the bulk action before the document gave it. It is no member of the
    /// document.
    #[must_use]
    pub fn action_id(&self) -> Option<&str> {
        self.action_id.as_deref()
    }

    /// Returns the member `name` if it is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.members.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Raw(raw) => serde_json::from_str(raw.get()).ok(),
            _ => None,
        }
    }

    /// Returns the member `name` if it is an integer of 64 bits.
    #[must_use]
    pub fn long(&self, name: &str) -> Option<i64> {
        match self.members.get(name)? {
            Value::Long(long) => Some(*long),
            Value::Raw(raw) => serde_json::from_str(raw.get()).ok(),
            _ => None,
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.members)
    }
}

/// Returns the document of row `row`: the columns under their current names, overlaid with `_extra`
/// in its order. A column that the batch lacks, as one of an older schema does, is null; one that
/// only the batch has is left out.
///
/// The document equals the one that came in, but for the order of keys, null against missing (nulls
/// keep their place in lists), the spelling of numbers in columns, the names of aliases that
/// gave their value to the current name's column, and the form of a value whose field takes several: it
/// has the first one that can say it, times as text in UTC.
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
    let members = members(&schema.fields, row, |name| batch.column_by_name(name));
    let members = members.map_err(|name| DocumentError::Column { name })?;
    let groups = groups(schema);
    let mut document = Value::Object(members);
    let mut action_id = None;
    if let Some(extra) = batch.column_by_name(EXTRA) {
        let extra = strings(extra).ok_or_else(|| DocumentError::Column { name: EXTRA.into() })?;
        let wrong = |source| DocumentError::Extra { row, source };
        let text = if extra.is_valid(row) { extra.value(row) } else { "{}" };
        let Members(members) = serde_json::from_str(text).map_err(wrong)?;
        for (pointer, raw) in members {
            if pointer == ACTION_ID {
                action_id = Some(serde_json::from_str(raw.get()).map_err(wrong)?);
                continue;
            }
            if overlay(&mut document, &pointer, raw, &groups).is_none()
                && !is_foreign(batch, &pointer, schema)
            {
                return Err(DocumentError::Pointer { row, pointer });
            }
        }
    }
    let Value::Object(members) = document else {
        return Err(DocumentError::Pointer { row, pointer: String::new() });
    };
    Ok(Document { members, action_id })
}

/// Returns whether `pointer` leads into a column that is not of the schema's type. It may then lead
/// to a value that the document lacks.
fn is_foreign(batch: &RecordBatch, pointer: &str, schema: &TableSchema) -> bool {
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let leads = |path: &[String]| !path.is_empty() && tokens.starts_with(path);
    let field = schema.fields.iter().find(|field| leads(field.json_path()));
    let Some(field) = field else {
        return tokens.first().is_some_and(|name| batch.column_by_name(name).is_some());
    };
    let theirs = batch.column_by_name(&field.name).map(|column| column.data_type());
    theirs != Some(&field.kind.arrow())
}

/// Returns the paths of the objects that members of fields lie in, each name after a `/`, with `*` for
/// the element of a list.
fn groups(schema: &TableSchema) -> BTreeSet<String> {
    fn visit(fields: &[Field], at: &str, groups: &mut BTreeSet<String>) {
        for field in fields {
            for path in field.json_paths() {
                let mut group = at.to_owned();
                for name in path.iter().take(path.len().saturating_sub(1)) {
                    step(&mut group, name);
                    groups.insert(group.clone());
                }
            }
            let mut own = at.to_owned();
            field.json_path().iter().for_each(|name| step(&mut own, name));
            let mut kind = &field.kind;
            while let Kind::List(element) = kind {
                step(&mut own, "*");
                kind = element;
            }
            if let Kind::Struct(fields) = kind {
                visit(fields, &own, groups);
            }
        }
    }
    let mut groups = BTreeSet::new();
    if schema.has_members() {
        visit(&schema.fields, "", &mut groups);
    }
    groups
}

fn step(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// Sets the value at `pointer`; returns `None` when the pointer leads nowhere. Objects of `groups` that
/// no column has shown are made on the way.
fn overlay(
    document: &mut Value,
    pointer: &str,
    value: Box<RawValue>,
    groups: &BTreeSet<String>,
) -> Option<()> {
    let mut target = document;
    let mut at = String::new();
    let mut tokens = pointer_tokens(pointer.starts_with('/').then_some(pointer)?).peekable();
    while let Some(token) = tokens.next() {
        if !groups.is_empty() {
            step(&mut at, if matches!(target, Value::Array(_)) { "*" } else { &token });
        }
        target = match target {
            Value::Object(members) => match tokens.peek() {
                Some(_) if groups.contains(&at) => {
                    members.entry(token).or_insert_with(|| Value::Object(BTreeMap::new()))
                }
                Some(_) => members.get_mut(&token)?,
                None => members.entry(token).or_insert(Value::Null),
            },
            Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *target = Value::Raw(value);
    Some(())
}
