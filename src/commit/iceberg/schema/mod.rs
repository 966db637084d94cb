//! Schemas with field ids, as catalogs have them in JSON.
//!
//! The catalog gives the ids: those of a request to create a table are a proposal, which most replace.
//! So ids are always read back by name ([`Schema::leaves`]), from the schema that the table has. A
//! column that the table lacks is added at the end of its struct with a new id; none is taken away,
//! renamed or given another type (`evolution`). Files have no ids: readers find columns by the name mapping
//! (`name_mapping`).
//!
//! Every column may be null, since a column that may not would ask more of other writers than it gives.
//!
//! Format: <https://iceberg.apache.org/spec/#appendix-c-json-serialization>.

mod evolution;
mod name_mapping;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(super) use self::name_mapping::NAME_MAPPING;
use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// A schema. Keys that are not needed here are left out; [`Schema`] is sent for new schemas only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Schema {
    #[serde(rename = "type", default = "type_of_schemas")]
    kind: String,
    /// Its number among the schemas of the table.
    #[serde(default)]
    pub(super) schema_id: i32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identifier_field_ids: Vec<i32>,
    /// The columns.
    pub(super) fields: Vec<Field>,
}

fn type_of_schemas() -> String {
    "struct".to_owned()
}

/// A column, or a member of a struct.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) required: bool,
    #[serde(rename = "type")]
    pub(super) kind: Type,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    /// Other keys (defaults of version 3).
    #[serde(flatten)]
    other: BTreeMap<String, Json>,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Type {
    /// By its name: `long`, `timestamptz`.
    Primitive(String),
    Nested(Nested),
}

/// A type with types in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "kebab-case")]
pub(super) enum Nested {
    Struct { fields: Vec<Field> },
    List { element_id: i32, element_required: bool, element: Box<Type> },
    Map { key_id: i32, key: Box<Type>, value_id: i32, value_required: bool, value: Box<Type> },
}

/// A leaf column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) id: i32,
    /// Name of its type.
    pub(super) kind: String,
    /// Within a list or map.
    pub(super) repeated: bool,
}

/// Gives ids: those of a struct's members before those below them, as catalogs do.
struct Ids(i32);

impl Ids {
    fn next(&mut self) -> i32 {
        self.0 = self.0.saturating_add(1);
        self.0
    }

    fn fields(&mut self, of: &[crate::schema::Field]) -> Vec<Field> {
        let ids: Vec<i32> = of.iter().map(|_| self.next()).collect();
        let field = |(id, field): (i32, &crate::schema::Field)| Field {
            id,
            name: field.name.clone(),
            required: false,
            kind: self.kind(&field.kind),
            doc: Some(field.doc.clone()).filter(|doc| !doc.is_empty()),
            other: BTreeMap::new(),
        };
        ids.into_iter().zip(of).map(field).collect()
    }

    fn kind(&mut self, of: &Kind) -> Type {
        let name = match of {
            Kind::String => "string",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::Boolean => "boolean",
            Kind::TimestampMillis => "timestamptz",
            Kind::Struct(fields) => {
                return Type::Nested(Nested::Struct { fields: self.fields(fields) });
            }
            Kind::List(element) => {
                let element_id = self.next();
                let element = Box::new(self.kind(element));
                return Type::Nested(Nested::List { element_id, element_required: false, element });
            }
            Kind::Map(value) => {
                let (key_id, value_id) = (self.next(), self.next());
                let key = Box::new(Type::Primitive("string".to_owned()));
                let value = Box::new(self.kind(value));
                let value_required = false;
                return Type::Nested(Nested::Map { key_id, key, value_id, value_required, value });
            }
        };
        Type::Primitive(name.to_owned())
    }

    /// Gives new ids to a type and all below it.
    fn renewed(&mut self, of: &Type) -> Type {
        let Type::Nested(nested) = of else { return of.clone() };
        let mut nested = nested.clone();
        match &mut nested {
            Nested::Struct { fields } => {
                fields.iter_mut().for_each(|field| field.id = self.next());
                fields.iter_mut().for_each(|field| field.kind = self.renewed(&field.kind));
            }
            Nested::List { element_id, element, .. } => {
                *element_id = self.next();
                **element = self.renewed(element);
            }
            Nested::Map { key_id, value_id, value, .. } => {
                (*key_id, *value_id) = (self.next(), self.next());
                **value = self.renewed(value);
            }
        }
        Type::Nested(nested)
    }
}

impl Schema {
    /// Returns the schema of a new table: the columns of its files, in their order.
    pub(super) fn of(schema: &TableSchema) -> Schema {
        let lineage = [
            (INGEST_TIME, Kind::TimestampMillis),
            (INGEST_ID, Kind::String),
            (EXTRA, Kind::String),
        ];
        let lineage = lineage.map(|(name, kind)| crate::schema::Field::new(name, kind));
        let columns: Vec<_> = schema.fields.iter().cloned().chain(lineage).collect();
        let (kind, identifier_field_ids) = (type_of_schemas(), Vec::new());
        Schema { kind, schema_id: 0, identifier_field_ids, fields: Ids(0).fields(&columns) }
    }

    /// Returns the id of a column at the top, by its name.
    pub(super) fn id_of(&self, name: &str) -> Option<i32> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.id)
    }

    /// Returns the leaf columns by their paths in our Parquet files.
    pub(super) fn leaves(&self) -> BTreeMap<String, Leaf> {
        let mut leaves = BTreeMap::new();
        for field in &self.fields {
            collect(&field.name, field.id, &field.kind, false, &mut leaves);
        }
        leaves
    }
}

fn collect(path: &str, id: i32, kind: &Type, repeated: bool, leaves: &mut BTreeMap<String, Leaf>) {
    let below = |name: &str| format!("{path}.{name}");
    match kind {
        Type::Primitive(kind) => {
            leaves.insert(path.to_owned(), Leaf { id, kind: kind.clone(), repeated });
        }
        Type::Nested(Nested::Struct { fields }) => {
            for field in fields {
                collect(&below(&field.name), field.id, &field.kind, repeated, leaves);
            }
        }
        Type::Nested(Nested::List { element_id, element, .. }) => {
            collect(&below("list.element"), *element_id, element, true, leaves);
        }
        Type::Nested(Nested::Map { key_id, key, value_id, value, .. }) => {
            // Entries have either name, by the revision of the table.
            for entries in ["key_value", "entries"] {
                collect(&below(&format!("{entries}.key")), *key_id, key, true, leaves);
                collect(&below(&format!("{entries}.value")), *value_id, value, true, leaves);
            }
        }
    }
}

impl Type {
    fn name(&self) -> &str {
        match self {
            Type::Primitive(name) => name,
            Type::Nested(Nested::Struct { .. }) => "a struct",
            Type::Nested(Nested::List { .. }) => "a list",
            Type::Nested(Nested::Map { .. }) => "a map",
        }
    }
}
