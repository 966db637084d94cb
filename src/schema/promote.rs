//! The next version of a schema: with a column for a field that has none so far.
//!
//! The Avro text is changed at one place, where the field is added at the end of its record; all else keeps
//! its meaning, and the text its names, docs and attributes. The new field may be null, and has the
//! attribute `"promoted": true`: rows of before have its values in `_extra`. A name that is none of Avro
//! becomes one (`_` for other characters), and the attribute `"json"` has it.
//!
//! A record that is defined once and named in several places gets the field in all of them.

use super::json::Node;
use super::{Field, Kind, SchemaError, TableSchema, render};
use crate::json::pointer_tokens;

/// The type of a column that is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// An integer of 64 bits.
    Long,
    /// A double.
    Double,
    /// true or false.
    Boolean,
    /// Milliseconds since the epoch. Never told from values, which are integers like any others.
    Time,
    /// A list of texts.
    StringList,
    /// A list of integers.
    LongList,
    /// A list of doubles.
    DoubleList,
    /// A list of booleans.
    BooleanList,
}

impl ColumnType {
    /// All types, in the order of the command's help.
    pub const ALL: [ColumnType; 9] = [
        ColumnType::String,
        ColumnType::Long,
        ColumnType::Double,
        ColumnType::Boolean,
        ColumnType::Time,
        ColumnType::StringList,
        ColumnType::LongList,
        ColumnType::DoubleList,
        ColumnType::BooleanList,
    ];

    /// Returns the name, as in `--type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::String => "string",
            ColumnType::Long => "long",
            ColumnType::Double => "double",
            ColumnType::Boolean => "boolean",
            ColumnType::Time => "timestamp-millis",
            ColumnType::StringList => "string[]",
            ColumnType::LongList => "long[]",
            ColumnType::DoubleList => "double[]",
            ColumnType::BooleanList => "boolean[]",
        }
    }

    /// Parses the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<ColumnType> {
        ColumnType::ALL.into_iter().find(|column| column.name() == name)
    }

    fn node(self) -> Node {
        let of = |name: &str| Node::Text(name.to_owned());
        let list = |name: &str| object([("type", of("array")), ("items", nullable(of(name)))]);
        match self {
            ColumnType::Time => {
                object([("type", of("long")), ("logicalType", of("timestamp-millis"))])
            }
            ColumnType::StringList => list("string"),
            ColumnType::LongList => list("long"),
            ColumnType::DoubleList => list("double"),
            ColumnType::BooleanList => list("boolean"),
            scalar => of(scalar.name()),
        }
    }
}

/// The reason why a field cannot become a column.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The text is no pointer to a field.
    #[error("{0:?} is no pointer to a field: /name, or /list/*/name for a field of a list's items")]
    Pointer(String),
    /// There is such a column.
    #[error("{0} has a column already")]
    Exists(String),
    /// A property has the name that the column would have.
    #[error(
        "{pointer} cannot have the column {column}, which is that of a property: it stays in _extra, or \
         give the property a column of another name, in a schema of your own"
    )]
    Property {
        /// The pointer.
        pointer: String,
        /// The column.
        column: String,
    },
    /// The field is not one of a record.
    #[error("{at} is {what}: only records get fields")]
    NoRecord {
        /// Pointer of what is no record.
        at: String,
        /// A phrase for it.
        what: &'static str,
    },
    /// Nothing is known of what is around the field.
    #[error("{0} has no column: a field within a field that has none cannot become one")]
    Unknown(String),
    /// The schema cannot have the column.
    #[error("the schema cannot have a column for {pointer}: {reason}")]
    Schema {
        /// The pointer.
        pointer: String,
        /// The reason.
        reason: SchemaError,
    },
}

/// A column that was added by promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// JSON Pointer of the field in documents, and so in `_extra`; indexes of lists are `*`.
    pub pointer: String,
    /// Names of the columns down to it; those of lists stand for their items.
    pub path: Vec<String>,
}

impl TableSchema {
    /// Returns this schema with a column for the field at `pointer`, whose list indexes are `*` or numbers.
    ///
    /// # Errors
    /// [`PromoteError`]: the pointer leads to a column, into a scalar or a map, or nowhere; the schema
    /// cannot have the column.
    pub fn promote(&self, pointer: &str, column: ColumnType) -> Result<TableSchema, PromoteError> {
        let mut tokens: Vec<String> = pointer_tokens(pointer).collect();
        let last = tokens.pop().filter(|_| pointer.starts_with('/'));
        let name = last.filter(|name| !name.is_empty() && !name.contains(['*', '{', '}']));
        let name = name.ok_or_else(|| PromoteError::Pointer(pointer.to_owned()))?;
        let refused = |reason| PromoteError::Schema { pointer: pointer.to_owned(), reason };
        let text = self.avsc.strip_prefix('\u{feff}').unwrap_or(&self.avsc);
        let json = |error| refused(SchemaError::Json(error));
        let mut root: Node = serde_json::from_str(text).map_err(json)?;
        let place = record_at(&root, &tokens)?;
        let Some(Node::Object(record)) = get_mut(&mut root, &place) else {
            return Err(PromoteError::Unknown(pointer.to_owned()));
        };
        let fields = record.iter_mut().find(|(key, _)| key == "fields").map(|(_, fields)| fields);
        let Some(Node::List(fields)) = fields else {
            return Err(PromoteError::Unknown(pointer.to_owned()));
        };
        let column_name = column_name(&name, tokens.is_empty());
        let own = |field: &Node| matches!(field.get("name"), Some(Node::Text(own)) if own.eq_ignore_ascii_case(&column_name));
        if fields.iter().any(|field| field.get("property").is_some() && own(field)) {
            let pointer = pointer.to_owned();
            return Err(PromoteError::Property { pointer, column: column_name });
        }
        if fields.iter().any(|field| is_called(field, &name)) {
            return Err(PromoteError::Exists(pointer.to_owned()));
        }
        fields.push(field(&name, pointer, column, tokens.is_empty()));
        let schema = TableSchema::parse(&render::pretty(&root)).map_err(refused)?;
        let has_it = schema.promoted().iter().any(|promoted| is_same(&promoted.pointer, pointer));
        if !has_it {
            let why = format!("{name:?} is no name that a column can have");
            let at = self.name.clone();
            return Err(refused(SchemaError::Refused { at, why }));
        }
        Ok(schema)
    }

    /// Returns the columns that were added by promotion, in the order of the schema.
    #[must_use]
    pub fn promoted(&self) -> Vec<Promoted> {
        fn visit(fields: &[Field], before: &Promoted, found: &mut Vec<Promoted>) {
            for field in fields {
                let mut at = before.clone();
                for token in field.json_path() {
                    at.pointer.push('/');
                    at.pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
                }
                at.path.push(field.name.clone());
                if field.promoted {
                    found.push(at.clone());
                }
                let mut kind = &field.kind;
                while let Kind::List(element) = kind {
                    at.pointer.push_str("/*");
                    kind = element;
                }
                if let Kind::Struct(fields) = kind {
                    visit(fields, &at, found);
                }
            }
        }
        let mut found = Vec::new();
        visit(&self.fields, &Promoted { pointer: String::new(), path: Vec::new() }, &mut found);
        found
    }
}

/// Tells whether two pointers are equal but for the indexes of lists.
fn is_same(promoted: &str, pointer: &str) -> bool {
    let mut given = pointer.split('/');
    let same = promoted.split('/').all(|token| {
        given.next().is_some_and(|given| given == token || (token == "*" && is_index(given)))
    });
    same && given.next().is_none()
}

fn is_index(token: &str) -> bool {
    token == "*" || (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the name of the column. Those that begin with `_` are of lineage.
fn column_name(name: &str, is_column: bool) -> String {
    let is_letter =
        |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    let mut safe: String =
        name.chars().enumerate().map(|(at, c)| if is_letter(at, c) { c } else { '_' }).collect();
    if is_column && safe.starts_with('_') {
        safe.insert(0, 'x');
    }
    safe
}

/// Makes the field.
fn field(name: &str, pointer: &str, column: ColumnType, is_column: bool) -> Node {
    let safe = column_name(name, is_column);
    let text = |text: &str| Node::Text(text.to_owned());
    let mut members = vec![
        ("name", text(&safe)),
        ("type", nullable(column.node())),
        ("default", Node::Null),
        ("doc", Node::Text(format!("Promoted from {pointer}."))),
        ("promoted", Node::Bool(true)),
    ];
    if safe != name {
        members.push(("json", text(name)));
    }
    object(members)
}

pub(super) fn nullable(kind: Node) -> Node {
    Node::List(vec![Node::Text("null".to_owned()), kind])
}

pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    Node::Object(members.into_iter().map(|(key, node)| (key.to_owned(), node)).collect())
}

/// A step from a node to one below it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Member(&'static str),
    Item(usize),
}

fn get<'a>(root: &'a Node, place: &[Step]) -> Option<&'a Node> {
    place.iter().try_fold(root, |node, step| match (step, node) {
        (Step::Member(key), node) => node.get(key),
        (Step::Item(at), Node::List(items)) => items.get(*at),
        (Step::Item(_), _) => None,
    })
}

pub(super) fn get_mut<'a>(root: &'a mut Node, place: &[Step]) -> Option<&'a mut Node> {
    place.iter().try_fold(root, |node, step| match (step, node) {
        (Step::Member(key), Node::Object(members)) => {
            members.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
        }
        (Step::Item(at), Node::List(items)) => items.get_mut(*at),
        _ => None,
    })
}

/// Returns the place of the record that `tokens` lead to.
fn record_at(root: &Node, tokens: &[String]) -> Result<Vec<Step>, PromoteError> {
    let (mut place, mut at) = (Vec::new(), String::new());
    let what = |place: &[Step], at: &str| kind_of(get(root, place)).filter(|_| !at.is_empty());
    for token in tokens {
        at.push('/');
        at.push_str(token);
        let around = at.rsplit_once('/').map_or("", |(around, _)| around).to_owned();
        let node = get(root, &place);
        match node.and_then(|node| node.get("type")) {
            Some(Node::Text(kind)) if kind == "record" => {
                let fields = node.and_then(|node| node.get("fields"));
                let Some(Node::List(fields)) = fields else {
                    return Err(PromoteError::Unknown(at));
                };
                let found = fields.iter().position(|field| is_called(field, token));
                let found = found.ok_or_else(|| PromoteError::Unknown(at.clone()))?;
                place.extend([Step::Member("fields"), Step::Item(found), Step::Member("type")]);
            }
            Some(Node::Text(kind)) if kind == "array" => {
                if !is_index(token) {
                    return Err(PromoteError::NoRecord {
                        at: around,
                        what: "a list, whose items are /*",
                    });
                }
                place.push(Step::Member("items"));
            }
            _ => {
                let what = what(&place, &around).unwrap_or("no record");
                return Err(PromoteError::NoRecord { at: around, what });
            }
        }
        place = resolved(root, place);
    }
    match kind_of(get(root, &place)) {
        None => Ok(place),
        Some(what) => Err(PromoteError::NoRecord { at, what }),
    }
}

/// Returns a phrase for the type `node`; none for a record.
fn kind_of(node: Option<&Node>) -> Option<&'static str> {
    match node.and_then(|node| node.get("type").or(Some(node))) {
        Some(Node::Text(kind)) if kind == "record" => None,
        Some(Node::Text(kind)) if kind == "array" => Some("a list, whose items are /*"),
        Some(Node::Text(kind)) if kind == "map" => Some("a map, which takes any key"),
        _ => Some("one value"),
    }
}

/// Returns the place of the type that `place` leads to: without null, and by the definition of its name.
pub(super) fn resolved(root: &Node, mut place: Vec<Step>) -> Vec<Step> {
    if let Some(Node::List(branches)) = get(root, &place) {
        let null = Node::Text("null".to_owned());
        let other = branches.iter().position(|branch| *branch != null);
        place.push(Step::Item(other.unwrap_or(0)));
    }
    let name = match get(root, &place) {
        Some(Node::Text(name)) => Some(name),
        Some(node) => match node.get("type") {
            Some(Node::Text(name)) if name != "record" => Some(name),
            _ => None,
        },
        None => None,
    };
    let definition = name.and_then(|name| definition(root, name, &mut Vec::new()));
    definition.unwrap_or(place)
}

/// Looks for the definition of the record `name`.
fn definition(node: &Node, name: &str, place: &mut Vec<Step>) -> Option<Vec<Step>> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    if let (Some(Node::Text(kind)), Some(Node::Text(own))) = (node.get("type"), node.get("name"))
        && kind == "record"
        && last(own) == last(name)
    {
        return Some(place.clone());
    }
    let mut look = |node: &Node, step: Step| {
        place.push(step);
        let found = definition(node, name, place);
        place.pop();
        found
    };
    match node {
        Node::List(items) => {
            items.iter().enumerate().find_map(|(at, item)| look(item, Step::Item(at)))
        }
        Node::Object(_) => ["fields", "type", "items", "values"]
            .into_iter()
            .find_map(|key| node.get(key).and_then(|inner| look(inner, Step::Member(key)))),
        _ => None,
    }
}

/// Tells whether documents have a field of the schema under this name.
fn is_called(field: &Node, name: &str) -> bool {
    let is = |node: &Node| match node {
        Node::Text(text) => text == name,
        Node::List(path) => matches!(path.as_slice(), [Node::Text(text)] if text == name),
        _ => false,
    };
    let aliases = match field.get("aliases") {
        Some(Node::List(aliases)) => aliases.iter().any(is),
        _ => false,
    };
    match field.get("json") {
        Some(own) => is(own) || aliases,
        None => field.get("name").is_some_and(is) || aliases,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type": "record", "name": "t", "namespace": "n", "note": "kept", "fields": [
        {"name": "name", "type": ["null", "string"], "aliases": ["old"], "default": null, "doc": "A \"name\"."},
        {"name": "tags", "type": ["null", {"type": "map", "values": "string"}], "default": null},
        {"name": "acts", "type": ["null", {"type": "array", "items": {"type": "record", "name": "Act", "fields": [
            {"name": "n", "type": ["null", "long"], "default": null},
            {"name": "at", "type": {"type": "record", "name": "At", "fields": [{"name": "x", "type": "long"}]}}
        ]}}], "default": null},
        {"name": "last", "type": ["Act", "null"]}
    ]}"#;

    fn schema() -> TableSchema {
        TableSchema::parse(SCHEMA).unwrap()
    }

    fn promoted(pointer: &str, column: ColumnType) -> TableSchema {
        schema().promote(pointer, column).unwrap()
    }

    #[test]
    fn a_field_is_added_at_the_end_of_its_record_and_all_else_is_kept() {
        let next = promoted("/plan", ColumnType::Time);
        let last = next.fields.last().unwrap();
        assert_eq!((last.name.as_str(), &last.kind), ("plan", &Kind::TimestampMillis));
        assert!(last.promoted && last.doc.contains("/plan"));
        assert_eq!(next.fields[..4], schema().fields[..]);
        assert!(next.avsc.contains(r#""note": "kept""#) && next.avsc.contains("\"n\""));
        assert_ne!(next.fingerprint, schema().fingerprint);
        // Once more, on what was promoted.
        let again =
            next.promote("/extra/~0x".trim_end_matches("/~0x"), ColumnType::StringList).unwrap();
        let pointers: Vec<String> = again.promoted().into_iter().map(|of| of.pointer).collect();
        assert_eq!(pointers, ["/plan", "/extra"]);
        assert_eq!(again.fields[5].kind, Kind::List(Box::new(Kind::String)));
    }

    #[test]
    fn a_field_of_a_lists_items_and_of_a_record_within_is_added_there() {
        let next = promoted("/acts/*/at/y", ColumnType::Double);
        assert_eq!(next.promoted()[0].pointer, "/acts/*/at/y");
        assert_eq!(next.promoted()[0].path, ["acts", "at", "y"]);
        assert_eq!(promoted("/acts/3/z", ColumnType::Long).promoted()[0].pointer, "/acts/*/z");
        // By the name of the record, in all places that name it.
        let next = promoted("/last/z", ColumnType::Long);
        let pointers: Vec<String> = next.promoted().into_iter().map(|of| of.pointer).collect();
        assert_eq!(pointers, ["/acts/*/z", "/last/z"]);
    }

    #[test]
    fn every_type_is_one_that_a_schema_can_have() {
        for column in ColumnType::ALL {
            assert_eq!(ColumnType::parse(column.name()), Some(column));
            let next = promoted("/acts/*/z", column);
            assert_eq!(next.promoted().len(), 2, "{}", column.name());
            assert_eq!(TableSchema::parse(&next.avsc).unwrap(), next);
        }
    }

    #[test]
    fn a_field_that_cannot_become_a_column_is_refused_with_the_reason() {
        for (pointer, reason) in [
            ("plan", "no pointer"),
            ("", "no pointer"),
            ("/", "no pointer"),
            ("/acts/*", "no pointer"),
            ("/acts/{key}", "no pointer"),
            ("/name", "/name has a column already"),
            ("/old", "/old has a column already"),
            ("/acts/*/n", "has a column already"),
            ("/name/x", "/name is one value"),
            ("/tags/x", "/tags is a map"),
            ("/acts/x", "/acts is a list"),
            ("/acts/x/y", "/acts is a list"),
            ("/acts/*/at/x/y", "/acts/*/at/x is one value"),
            ("/new/x", "/new has no column"),
            ("/Name", "only in case"),
        ] {
            let refused = schema().promote(pointer, ColumnType::Long).unwrap_err().to_string();
            assert!(refused.contains(reason), "{pointer}: {refused}");
        }
    }

    #[test]
    fn built_in_schemas_can_be_promoted_anywhere() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        for pointer in ["/zz", "/userActions/*/zz", "/events/*/zz", "/errors/*/zz"] {
            let next = schema.promote(pointer, ColumnType::String).unwrap();
            assert_eq!(next.promoted()[0].pointer, pointer);
        }
    }
}
