//! Schemas with field ids, as catalogs have them in JSON.
//!
//! The catalog gives the ids: those of a request to create a table are a proposal, which most replace.
//! So ids are always read back by name ([`Schema::leaves`]), from the schema that the table has. A
//! column that the table lacks is added at the end of its struct with a new id; none is taken away,
//! renamed or given another type ([`Schema::evolved`]).
//!
//! Every column may be null, since a column that may not would ask more of other writers than it gives.
//!
//! Format: <https://iceberg.apache.org/spec/#appendix-c-json-serialization>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

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
        let lineage = lineage.map(|(name, kind)| crate::schema::Field {
            name: name.to_owned(),
            aliases: Vec::new(),
            doc: String::new(),
            kind,
            bloom: false,
        });
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

    /// Returns the name mapping, by which readers find the columns of files without field ids.
    pub(super) fn name_mapping(&self) -> String {
        Json::Array(self.fields.iter().map(mapped).collect()).to_string()
    }

    /// Returns this schema, a table's, with the columns of `ours` that it lacks, whose ids follow
    /// `last_id`, and the last id then; none when it has them all. Numbers of schemas are the catalog's to
    /// give.
    ///
    /// # Errors
    /// The reason for which the table cannot take rows of `ours`.
    pub(super) fn evolved(
        &self,
        ours: &Schema,
        last_id: i32,
    ) -> Result<Option<(Schema, i32)>, String> {
        let (mut schema, mut ids) = (self.clone(), Ids(last_id));
        merge("", &mut schema.fields, &ours.fields, &mut ids)?;
        if ids.0 == last_id {
            return Ok(None);
        }
        Ok(Some((schema, ids.0)))
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

fn mapped(field: &Field) -> Json {
    mapping(field.id, &field.name, &field.kind)
}

fn mapping(id: i32, name: &str, kind: &Type) -> Json {
    let below = match kind {
        Type::Primitive(_) => return json!({"field-id": id, "names": [name]}),
        Type::Nested(Nested::Struct { fields }) => fields.iter().map(mapped).collect(),
        Type::Nested(Nested::List { element_id, element, .. }) => {
            vec![mapping(*element_id, "element", element)]
        }
        Type::Nested(Nested::Map { key_id, key, value_id, value, .. }) => {
            vec![mapping(*key_id, "key", key), mapping(*value_id, "value", value)]
        }
    };
    json!({"field-id": id, "names": [name], "fields": below})
}

fn merge(at: &str, theirs: &mut Vec<Field>, ours: &[Field], ids: &mut Ids) -> Result<(), String> {
    for column in ours {
        let path =
            if at.is_empty() { column.name.clone() } else { format!("{at}.{}", column.name) };
        if let Some(found) = theirs.iter_mut().find(|field| field.name == column.name) {
            merge_types(&path, &mut found.kind, &column.kind, ids)?;
            continue;
        }
        // Engines do not tell the case of names apart.
        let alike = |field: &&Field| field.name.eq_ignore_ascii_case(&column.name);
        if let Some(found) = theirs.iter().find(alike) {
            return Err(format!("its column {} is {path} in the rolls", found.name));
        }
        let added =
            Field { id: ids.next(), kind: Type::Primitive(String::new()), ..column.clone() };
        let kind = ids.renewed(&column.kind);
        theirs.push(Field { kind, ..added });
    }
    // Our files have no value for it.
    let missing = |field: &&Field| field.required && !ours.iter().any(|o| o.name == field.name);
    match theirs.iter().find(missing) {
        Some(field) => Err(format!("its column {} is required, and no roll has it", field.name)),
        None => Ok(()),
    }
}

fn merge_types(at: &str, theirs: &mut Type, ours: &Type, ids: &mut Ids) -> Result<(), String> {
    match (&mut *theirs, ours) {
        (Type::Primitive(theirs), Type::Primitive(ours)) if theirs == ours => Ok(()),
        (
            Type::Nested(Nested::Struct { fields }),
            Type::Nested(Nested::Struct { fields: ours }),
        ) => merge(at, fields, ours, ids),
        (
            Type::Nested(Nested::List { element, .. }),
            Type::Nested(Nested::List { element: ours, .. }),
        ) => merge_types(&format!("{at}.element"), element, ours, ids),
        (
            Type::Nested(Nested::Map { key, value, .. }),
            Type::Nested(Nested::Map { value: ours, .. }),
        ) if **key == Type::Primitive("string".to_owned()) => {
            merge_types(&format!("{at}.value"), value, ours, ids)
        }
        (theirs, ours) => {
            Err(format!("its column {at} is {}, and the rolls have {}", theirs.name(), ours.name()))
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::commit::iceberg) fn table(fields: &str) -> TableSchema {
        let text = format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#);
        TableSchema::parse(&text).unwrap()
    }

    const COLUMNS: &str = r#"
        {"name":"id","type":["null","string"],"default":null,"doc":"its name"},
        {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
        {"name":"acts","type":["null",{"type":"array","items":{"type":"record","name":"act","fields":[
            {"name":"n","type":["null","long"],"default":null},
            {"name":"d","type":["null","double"],"default":null}]}}],"default":null},
        {"name":"tags","type":["null",{"type":"map","values":["null","string"]}],"default":null}"#;

    #[test]
    fn ids_are_given_to_members_before_what_is_below_them() {
        let schema = Schema::of(&table(COLUMNS));
        let expected = json!({"type": "struct", "schema-id": 0, "fields": [
            {"id": 1, "name": "id", "required": false, "type": "string", "doc": "its name"},
            {"id": 2, "name": "at", "required": false, "type": "timestamptz"},
            {"id": 3, "name": "acts", "required": false, "type": {
                "type": "list", "element-id": 8, "element-required": false, "element": {
                    "type": "struct", "fields": [
                        {"id": 9, "name": "n", "required": false, "type": "long"},
                        {"id": 10, "name": "d", "required": false, "type": "double"}]}}},
            {"id": 4, "name": "tags", "required": false, "type": {
                "type": "map", "key-id": 11, "key": "string", "value-id": 12,
                "value-required": false, "value": "string"}},
            {"id": 5, "name": "_ingest_time", "required": false, "type": "timestamptz"},
            {"id": 6, "name": "_ingest_id", "required": false, "type": "string"},
            {"id": 7, "name": "_extra", "required": false, "type": "string"}]});
        assert_eq!(serde_json::to_value(&schema).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Schema>(expected).unwrap(), schema);
        let paths: Vec<_> = schema.leaves().into_iter().map(|(p, leaf)| (p, leaf.id)).collect();
        let paths: Vec<_> = paths.iter().map(|(path, id)| (&**path, *id)).collect();
        assert_eq!(
            paths,
            [
                ("_extra", 7),
                ("_ingest_id", 6),
                ("_ingest_time", 5),
                ("acts.list.element.d", 10),
                ("acts.list.element.n", 9),
                ("at", 2),
                ("id", 1),
                ("tags.entries.key", 11),
                ("tags.entries.value", 12),
                ("tags.key_value.key", 11),
                ("tags.key_value.value", 12),
            ]
        );
    }

    #[test]
    fn every_leaf_of_a_file_has_an_id_in_the_schema() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let leaves = Schema::of(&schema).leaves();
        let descriptor = parquet::arrow::ArrowSchemaConverter::new().convert(&schema.arrow());
        for column in descriptor.unwrap().columns() {
            assert!(leaves.contains_key(&column.path().string()), "{}", column.path());
        }
        let ids: std::collections::BTreeSet<i32> = leaves.values().map(|leaf| leaf.id).collect();
        let maps = leaves.keys().filter(|path| path.contains(".entries.")).count();
        assert_eq!(ids.len() + maps, leaves.len());
    }

    #[test]
    fn the_name_mapping_has_the_ids_of_the_table() {
        let mut schema = Schema::of(&table(COLUMNS));
        schema.fields[0].id = 40;
        let mapping: Json = serde_json::from_str(&schema.name_mapping()).unwrap();
        assert_eq!(mapping[0], json!({"field-id": 40, "names": ["id"]}));
        let acts = json!({"field-id": 3, "names": ["acts"], "fields": [
            {"field-id": 8, "names": ["element"], "fields": [
                {"field-id": 9, "names": ["n"]}, {"field-id": 10, "names": ["d"]}]}]});
        assert_eq!(mapping[2], acts);
        let tags = json!({"field-id": 4, "names": ["tags"], "fields": [
            {"field-id": 11, "names": ["key"]}, {"field-id": 12, "names": ["value"]}]});
        assert_eq!(mapping[3], tags);
    }

    #[test]
    fn missing_columns_are_added_with_new_ids_and_others_stay_as_they_are() {
        let mut theirs = Schema::of(&table(COLUMNS));
        assert_eq!(theirs.evolved(&Schema::of(&table(COLUMNS)), 50), Ok(None));
        let more = COLUMNS.replace(
            r#"{"name":"n""#,
            r#"{"name":"x","type":["null",{"type":"array","items":["null","long"]}],"default":null},{"name":"n""#,
        );
        theirs.fields[0].id = 40;
        let (evolved, last) =
            theirs.evolved(&Schema::of(&table(&more)), 50).unwrap().expect("a column is missing");
        assert_eq!((last, evolved.fields[0].id), (52, 40));
        let leaves = evolved.leaves();
        assert_eq!(leaves["acts.list.element.x.list.element"].id, 52);
        assert_eq!(leaves["acts.list.element.n"], theirs.leaves()["acts.list.element.n"]);
        for (from, to, why) in [
            (r#""double""#, r#""string""#, "its column acts.element.d is double, and the rolls"),
            (r#""name":"at""#, r#""name":"AT""#, "its column at is AT in the rolls"),
        ] {
            let other = Schema::of(&table(&COLUMNS.replace(from, to)));
            let error = theirs.evolved(&other, 50).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        theirs.fields.push(Field { required: true, name: "u".into(), ..theirs.fields[0].clone() });
        let error = theirs.evolved(&Schema::of(&table(COLUMNS)), 50).unwrap_err();
        assert_eq!(error, "its column u is required, and no roll has it");
    }
}
