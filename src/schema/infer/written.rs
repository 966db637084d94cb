//! The schema of what the values were, as Avro text.

use std::collections::HashSet;

use super::Inferred;
use super::shape::Shape;
use crate::schema::json::Node;
use crate::schema::{EXTRA, Form, INGEST_ID, INGEST_TIME, Kind, render};

/// Words in the name of a field whose integers may be times.
const TIME_WORDS: [&str; 4] = ["time", "date", "timestamp", "at"];

/// The seconds of the years 2000 to 2100.
const YEARS_S: (i64, i64) = (946_684_800, 4_102_444_800);

/// The type of a column, with the forms that it takes.
struct Typed {
    node: Node,
    from: Vec<Form>,
    nanos: bool,
    /// For the documentation.
    said: &'static str,
}

/// The record types that were written, and what was left out.
#[derive(Default)]
struct Writer {
    records: HashSet<String>,
    notes: Vec<String>,
    times: Vec<(u64, String)>,
}

/// Returns the schema of documents of this shape.
pub(super) fn schema(root: &Shape, table: &str) -> Option<Inferred> {
    let mut writer = Writer::default();
    writer.records.insert(table.to_owned());
    let fields = writer.fields(root, "");
    if let Some(beyond) = &root.beyond {
        writer.notes.push(format!(
            "{} further fields have no column: there are too many, or their names are too long",
            beyond.values()
        ));
    }
    let Node::List(of) = &fields else { return None };
    if of.is_empty() {
        return None;
    }
    let doc = format!("Inferred from {} documents.", root.objects);
    let node = object(vec![
        ("type", text("record")),
        ("name", text(table)),
        ("doc", text(&doc)),
        ("fields", fields),
    ]);
    let rank = |(count, name): &(u64, String)| {
        (std::cmp::Reverse(*count), !name.to_ascii_lowercase().contains("start"))
    };
    writer.times.sort_by_key(rank);
    let times = writer.times.into_iter().map(|(_, name)| name).collect();
    Some(Inferred { avsc: render::pretty(&node), notes: writer.notes, times })
}

impl Writer {
    /// Returns the list of the fields of a record; `path` is where it is, empty for the document.
    fn fields(&mut self, record: &Shape, path: &str) -> Node {
        let mut taken: HashSet<String> = HashSet::new();
        if path.is_empty() {
            taken.extend([INGEST_TIME, INGEST_ID, EXTRA].map(str::to_owned));
        }
        let mut fields = Vec::new();
        for (key, shape) in &record.members {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let Some(typed) = self.typed(shape, key, &at) else { continue };
            let name = free(safe(key, path.is_empty()), &mut taken);
            let mut field = vec![("name", text(&name))];
            if name != *key {
                field.push(("json", text(key)));
            }
            field.push(("type", typed.node));
            if !typed.from.is_empty() {
                let forms = typed.from.iter().map(|form| text(form.as_str())).collect();
                field.push(("from", Node::List(forms)));
            }
            field.push(("default", Node::Null));
            let (count, of) = (shape.values(), record.objects);
            let of_what = if path.is_empty() { "documents" } else { "objects" };
            field.push(("doc", text(&format!("In {count} of {of} {of_what}: {}.", typed.said))));
            fields.push(object(field));
            if typed.said == "time" && path.is_empty() {
                self.times.push((count, name.clone()));
            }
            if typed.nanos {
                let nanos = free(format!("{name}_nanos"), &mut taken);
                fields.push(object(vec![
                    ("name", text(&nanos)),
                    ("nanos_of", text(&name)),
                    ("type", nullable(text("long"))),
                    ("default", Node::Null),
                    ("doc", text(&format!("Nanoseconds of {name} beyond its microseconds."))),
                ]));
            }
        }
        Node::List(fields)
    }

    /// Returns the type of a field called `key`; `None` if it gets no column, which is noted.
    fn typed(&mut self, shape: &Shape, key: &str, at: &str) -> Option<Typed> {
        let values = shape.values();
        if values == 0 {
            self.notes.push(format!("{at} has no column: it has no value but null"));
            return None;
        }
        if let Some((kind, from, nanos, said)) = scalar(shape, key) {
            return Some(Typed { node: nullable(node(&kind)), from, nanos, said });
        }
        if shape.objects == values {
            return self.objects(shape, at);
        }
        if shape.lists == values {
            return self.list(shape, key, at);
        }
        self.notes.push(format!("{at} has no column: its values have no one type"));
        None
    }

    fn objects(&mut self, shape: &Shape, at: &str) -> Option<Typed> {
        if shape.is_map() {
            let mut all = Shape::default();
            let members = shape.members.iter().map(|(_, of)| of);
            members.chain(shape.beyond.as_deref()).for_each(|of| all.merge(of));
            // Integers are no times here: no name says so.
            let Some((kind, from, _, _)) = scalar(&all, "") else {
                self.notes.push(format!("{at} has no column: it has too many keys for a record, and values of no one scalar type for a map"));
                return None;
            };
            let map = object(vec![("type", text("map")), ("values", nullable(node(&kind)))]);
            return Some(Typed { node: nullable(map), from, nanos: false, said: "map" });
        }
        let Node::List(fields) = self.fields(shape, at) else { return None };
        if fields.is_empty() {
            self.notes.push(format!("{at} has no column: its objects have no field with one"));
            return None;
        }
        let record = object(vec![
            ("type", text("record")),
            ("name", text(&self.record(at))),
            ("fields", Node::List(fields)),
        ]);
        Some(Typed { node: nullable(record), from: Vec::new(), nanos: false, said: "record" })
    }

    fn list(&mut self, shape: &Shape, key: &str, at: &str) -> Option<Typed> {
        let Some(elements) = shape.elements.as_deref().filter(|of| of.values() > 0) else {
            self.notes.push(format!("{at} has no column: its lists have no element"));
            return None;
        };
        let typed = self.typed(elements, key, &format!("{at}[]"))?;
        let list = object(vec![("type", text("array")), ("items", typed.node)]);
        // No field has the nanoseconds of elements.
        Some(Typed { node: nullable(list), from: typed.from, nanos: false, said: "list" })
    }

    /// Returns a name for a type of record that no other has.
    fn record(&mut self, at: &str) -> String {
        free(safe(at, false), &mut self.records)
    }
}

/// Returns the type of values that are all scalar, the forms that they have and whether there are
/// nanoseconds beyond microseconds, with a word for it.
fn scalar(shape: &Shape, key: &str) -> Option<(Kind, Vec<Form>, bool, &'static str)> {
    let values = shape.values();
    let plain = |kind, said| Some((kind, Vec::new(), false, said));
    if shape.booleans == values {
        return plain(Kind::Boolean, "boolean");
    }
    let unit = unit(shape, key);
    if shape.times > 0 && shape.times == shape.texts {
        if shape.texts == values {
            return Some((Kind::TimestampMillis, vec![Form::Iso8601], shape.nanos, "time"));
        }
        if let Some(unit) = unit.filter(|_| shape.texts + shape.longs == values) {
            let nanos = shape.nanos || unit == Form::Nanos;
            return Some((Kind::TimestampMillis, vec![Form::Iso8601, unit], nanos, "time"));
        }
    }
    if shape.texts == values {
        return plain(Kind::String, "text");
    }
    if shape.longs == values {
        return match unit {
            Some(Form::Millis) => plain(Kind::TimestampMillis, "time"),
            Some(unit) => Some((Kind::TimestampMillis, vec![unit], unit == Form::Nanos, "time")),
            None => plain(Kind::Long, "integer"),
        };
    }
    if shape.numbers() == values && shape.exact == shape.longs {
        return plain(Kind::Double, "number");
    }
    let both = vec![Form::Number, Form::Text];
    if shape.longs + shape.long_texts == values && shape.texts == shape.long_texts {
        return Some((Kind::Long, both, false, "integer, as text too"));
    }
    let texts = shape.long_texts + shape.double_texts;
    if shape.numbers() + texts == values && shape.texts == texts && shape.exact == shape.longs {
        return Some((Kind::Double, both, false, "number, as text too"));
    }
    None
}

/// Returns the unit in which all integers are times of the years 2000 to 2100, if the name of the field
/// says that they are times.
fn unit(shape: &Shape, key: &str) -> Option<Form> {
    let (least, most) = shape.range?;
    let lower = key.to_ascii_lowercase();
    let said = TIME_WORDS.iter().any(|word| match *word {
        // A word of its own, as in created_at and createdAt.
        "at" => {
            lower == "at" || lower.ends_with("_at") || lower.ends_with(".at") || key.ends_with("At")
        }
        word => lower.contains(word),
    });
    let units = [Form::Seconds, Form::Millis, Form::Micros, Form::Nanos];
    let fits = |form: &Form| {
        let scale = 1_000_000_000 / form.unit_ns().unwrap_or(1);
        let bound = |seconds: i64| seconds.saturating_mul(scale);
        bound(YEARS_S.0) <= least && most <= bound(YEARS_S.1)
    };
    units.into_iter().find(fits).filter(|_| said)
}

/// Makes a name of Avro. Names of columns that begin with `_` are those of lineage.
fn safe(key: &str, is_column: bool) -> String {
    let is_letter = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let mut name: String = key.chars().map(|c| if is_letter(c) { c } else { '_' }).collect();
    let first = name.bytes().next();
    if first.is_none_or(|byte| byte.is_ascii_digit() || (is_column && byte == b'_')) {
        name.insert(0, 'x');
    }
    name
}

/// Returns `name`, with a number if it is taken but for case, and takes it.
fn free(name: String, taken: &mut HashSet<String>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.to_ascii_lowercase()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

fn node(kind: &Kind) -> Node {
    match kind {
        Kind::Long => text("long"),
        Kind::Double => text("double"),
        Kind::Boolean => text("boolean"),
        Kind::TimestampMillis => {
            object(vec![("type", text("long")), ("logicalType", text("timestamp-millis"))])
        }
        _ => text("string"),
    }
}

fn nullable(kind: Node) -> Node {
    Node::List(vec![text("null"), kind])
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn object(members: Vec<(&str, Node)>) -> Node {
    Node::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
