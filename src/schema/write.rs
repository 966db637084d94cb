//! The Avro text of a schema that is made by the program, and not written by hand.
//!
//! [`TableSchema::parse`](super::TableSchema::parse) reads it back: what a table looks like has one
//! form, whoever wrote it. Aliases are not written: documents are never decoded by such a schema.

use std::collections::HashSet;

use super::json::Node;
use super::render::one_line;
use super::{Field, Kind};

/// A column of a schema that is made.
#[derive(Clone, Debug)]
pub(crate) struct Column<'a> {
    pub(crate) name: String,
    pub(crate) doc: &'a str,
    pub(crate) kind: &'a Kind,
    pub(crate) bloom: bool,
}

/// Returns the Avro text of the table `name` with these columns, on one line.
pub(crate) fn avsc(name: &str, doc: &str, columns: &[Column<'_>]) -> String {
    let mut writer = Writer { records: HashSet::from([name.to_owned()]) };
    let fields = columns
        .iter()
        .map(|column| writer.field(&column.name, column.doc, column.kind, column.bloom, ""))
        .collect();
    one_line(&object([
        ("type", text("record")),
        ("name", text(name)),
        ("namespace", text("sessionlake")),
        ("doc", text(doc)),
        ("fields", Node::List(fields)),
    ]))
}

struct Writer {
    /// Names of records: each is of one.
    records: HashSet<String>,
}

impl Writer {
    /// Returns a field; `path` are the names of the fields around it.
    fn field(&mut self, name: &str, doc: &str, kind: &Kind, bloom: bool, path: &str) -> Node {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}_{name}") };
        let mut members = vec![
            ("name", text(name)),
            ("type", self.kind(kind, &path)),
            ("default", Node::Null),
            ("doc", text(doc)),
        ];
        if bloom {
            members.push(("bloom", Node::Bool(true)));
        }
        object(members)
    }

    /// Returns a type in a union with null.
    fn kind(&mut self, kind: &Kind, path: &str) -> Node {
        let node = match kind {
            Kind::String => text("string"),
            Kind::Long => text("long"),
            Kind::Double => text("double"),
            Kind::Boolean => text("boolean"),
            Kind::TimestampMillis => {
                object([("type", text("long")), ("logicalType", text("timestamp-millis"))])
            }
            Kind::List(item) => object([("type", text("array")), ("items", self.kind(item, path))]),
            Kind::Map(value) => object([("type", text("map")), ("values", self.kind(value, path))]),
            Kind::Struct(fields) => self.record(fields, path),
        };
        Node::List(vec![text("null"), node])
    }

    fn record(&mut self, fields: &[Field], path: &str) -> Node {
        let mut name = path.to_owned();
        while !self.records.insert(name.clone()) {
            name.push('_');
        }
        let fields = fields.iter().map(|f| self.field(&f.name, &f.doc, &f.kind, f.bloom, path));
        let fields = fields.collect();
        object([("type", text("record")), ("name", text(&name)), ("fields", Node::List(fields))])
    }
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    Node::Object(members.into_iter().map(|(key, node)| (key.to_owned(), node)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableSchema;

    #[test]
    fn a_schema_that_is_written_is_read_back_with_the_same_columns() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let columns = |schema: &TableSchema| -> Vec<(String, String, Kind, bool)> {
            let of = |f: &Field| (f.name.clone(), f.doc.clone(), f.kind.clone(), f.bloom);
            schema.fields.iter().map(of).collect()
        };
        let of = |f: &'_ Field| f.clone();
        let fields: Vec<Field> = schema.fields.iter().map(of).collect();
        let made: Vec<Column<'_>> = fields
            .iter()
            .map(|f| Column { name: f.name.clone(), doc: &f.doc, kind: &f.kind, bloom: f.bloom })
            .collect();
        let written = avsc("a", "\"quoted\" doc", &made);
        let read = TableSchema::parse(&written).unwrap();
        assert_eq!((read.name.as_str(), read.doc.as_str()), ("a", "\"quoted\" doc"));
        assert_eq!(read.arrow(), schema.arrow());
        let shape = |columns: Vec<(String, String, Kind, bool)>| -> Vec<_> {
            columns
                .into_iter()
                .map(|(name, doc, kind, bloom)| (name, doc, kind.arrow(), bloom))
                .collect()
        };
        assert_eq!(shape(columns(&read)), shape(columns(&schema)));
    }

    #[test]
    fn records_of_one_path_get_names_of_their_own() {
        let item = |name: &str| Kind::Struct(vec![Field::new(name, Kind::Long)]);
        let list = |kind| Kind::List(Box::new(kind));
        let inner = Kind::Struct(vec![Field::new("b", list(item("x")))]);
        let (ab, a) = (list(item("y")), list(inner));
        let column =
            |name: &str, kind| Column { name: name.to_owned(), doc: "", kind, bloom: false };
        let made = [column("t", &ab), column("a_b", &ab), column("a", &a)];
        TableSchema::parse(&avsc("t", "", &made)).unwrap();
    }
}
