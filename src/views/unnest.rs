//! Lists as rows, with the session's columns beside each element.

use super::columns::{of_session, partitions};
use super::dialect::{Dialect, Writer};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME};
use crate::table::flat::session_column;

/// The names of an element and its index within a statement.
pub(super) const ELEMENT: &str = "_element";
pub(super) const INDEX: &str = "_index";

/// The parts of a query of elements that do not depend on the list.
pub(super) struct Session<'a> {
    /// The session's columns, each by its name and the flat table's.
    pub(super) columns: Vec<(&'a str, &'a str)>,
    partitions: Vec<&'a str>,
}

impl<'a> Session<'a> {
    pub(super) fn new(writer: &Writer<'a>, fields: &'a [Field]) -> Session<'a> {
        let columns = of_session(writer, fields, session_column);
        Session { columns, partitions: partitions(writer) }
    }

    /// Lists what an inner query takes along.
    pub(super) fn taken(&self, writer: &Writer<'_>) -> Vec<String> {
        let columns = self.columns.iter().map(|(source, _)| *source);
        let lineage = [INGEST_TIME, INGEST_ID, EXTRA];
        let all = columns.chain(lineage).chain(self.partitions.iter().copied());
        all.map(|name| writer.name(name)).collect()
    }

    /// Lists the outer query's columns of the session.
    pub(super) fn begin(&self, writer: &Writer<'_>) -> Vec<String> {
        let columns = self.columns.iter();
        columns.map(|(source, name)| named(writer, &writer.name(source), name)).collect()
    }

    /// Lists the outer query's last columns; `prefix` is that of the element.
    pub(super) fn end(&self, writer: &Writer<'_>, prefix: &Prefix) -> Vec<String> {
        let name = |name: &&str| writer.name(name);
        let mut columns: Vec<String> = [INGEST_TIME, INGEST_ID].iter().map(name).collect();
        let extra = writer.name(EXTRA);
        // Most rows have nothing there, and nothing of theirs is parsed.
        let below = format!(
            "CASE WHEN {} THEN {} END",
            prefix.may_be_in(writer, &extra),
            writer.extra_below(&extra, &prefix.sql)
        );
        columns.push(named(writer, &below, EXTRA));
        columns.extend(self.partitions.iter().map(name));
        columns
    }
}

/// Writes a column with its name.
pub(super) fn named(writer: &Writer<'_>, what: &str, name: &str) -> String {
    format!("{what} AS {}", writer.name(name))
}

/// Writes an index as a long.
pub(super) fn index(writer: &Writer<'_>, index: &str) -> String {
    format!("CAST({} AS BIGINT)", writer.name(index))
}

/// Writes a member of a record.
pub(super) fn member(writer: &Writer<'_>, record: &str, field: &str) -> String {
    // A name alone before a dot may be taken for a relation's.
    format!("x.{}.{}", writer.name(record), writer.name(field))
}

/// Writes a query with a row for each element of a list, named with its index from 0 by `names`, and
/// the columns `taken`.
pub(super) fn unnested(
    writer: &Writer<'_>,
    from: &str,
    list: &str,
    names: [&str; 2],
    taken: &[String],
) -> String {
    let [element, index] = names.map(|name| writer.name(name));
    let taken = taken.join(", ");
    match writer.dialect {
        // Far cheaper than a lateral join.
        Dialect::Duckdb => format!(
            "SELECT {taken}, unnest({list}) AS {element}, generate_subscripts({list}, 1) - 1 AS {index}\n\
             FROM {from}"
        ),
        Dialect::Spark => format!(
            "SELECT {taken}, {element}, {index}\nFROM {from}\n\
             LATERAL VIEW posexplode({list}) AS {index}, {element}"
        ),
        // Of records, the members would become columns, and a null be a record of nulls.
        Dialect::Trino => format!(
            "SELECT {taken}, {element}, {index} - 1 AS {index}\nFROM {from}\n\
             CROSS JOIN UNNEST(transform({list}, e -> ROW(e))) WITH ORDINALITY AS u ({element}, {index})"
        ),
    }
}

/// The start of pointers, up to and with a slash.
pub(super) struct Prefix {
    /// The expression for it.
    pub(super) sql: String,
    /// The expression for it without the last slash.
    element: String,
    /// JSON has one spelling for it, so that a text without it has no such pointer.
    pub(super) is_plain: bool,
}

impl Prefix {
    /// The pointers of a session.
    pub(super) fn of_session(writer: &Writer<'_>) -> Prefix {
        Prefix { sql: writer.text("/"), element: writer.text(""), is_plain: true }
    }

    /// The pointers of the elements of a list, by their index. `fields` are those of the record that has the
    /// list.
    pub(super) fn of_elements(
        writer: &Writer<'_>,
        fields: &[Field],
        list: &str,
        index: &str,
    ) -> Prefix {
        let own = [list.to_owned()];
        let field = fields.iter().find(|field| field.name == list);
        let member = field.map_or(own.as_slice(), Field::json_path).iter();
        let escaped = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let start = format!("{}/", member.map(escaped).collect::<String>());
        let is_plain = start.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let start = writer.text(&start);
        let element = format!("{start} || CAST({} AS VARCHAR(20))", writer.name(index));
        Prefix { sql: format!("{element} || '/'"), element, is_plain }
    }

    /// The pointers of an element that is within the element of this one.
    pub(super) fn then(&self, within: &Prefix) -> Prefix {
        Prefix {
            sql: format!("{} || {}", self.element, within.sql),
            element: format!("{} || {}", self.element, within.element),
            is_plain: self.is_plain && within.is_plain,
        }
    }

    /// Writes whether the JSON text `extra` may have such pointers.
    pub(super) fn may_be_in(&self, writer: &Writer<'_>, extra: &str) -> String {
        match self.is_plain {
            true => writer.contains(extra, &self.sql),
            false => format!("{extra} IS NOT NULL"),
        }
    }
}
