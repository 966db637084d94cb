//! A cell as JSON has it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

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
