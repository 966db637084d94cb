//! Avro JSON → [`TableSchema`].
//!
//! # Supported types
//!
//! | Avro | becomes |
//! |---|---|
//! | `string`, `long`, `double`, `boolean` | the kind of that name |
//! | `long` with logicalType `timestamp-millis` | [`Kind::TimestampMillis`] |
//! | `array` | [`Kind::List`] of any kind |
//! | `map` | [`Kind::Map`] of a scalar kind |
//! | `record`, or the name of a record defined before it | [`Kind::Struct`] |
//! | `["null", T]`, `[T, "null"]` | T |
//!
//! A type that leaves null out is read like one that has it: a document may always lack a value,
//! and a receiver cannot refuse it for that. Names of types resolve as Avro says, within the
//! namespace around them. Attributes that are not known here are metadata, and are left alone.
//!
//! # Refusals
//!
//! A schema is refused if it could not be kept to the letter: other types and logical types,
//! defaults that are not null (nothing would fill them in), two names for one value, recursion,
//! empty records. Names that are equal but for case are refused too, since DuckDB and Spark could
//! not tell the columns apart. Every error names the path of the field:
//! `user_sessions.userActions[].name`, with `[]` for the items of a list and `{}` for the values of
//! a map.
//!
//! The attributes that say where a value is in documents, and in which forms: see `parse_member.rs`.

use std::collections::HashMap;

use super::fingerprint::fingerprint;
use super::json::Node;
use super::parse_member::{check_members, forms_of, member_of};
use super::{Field, Kind, Member, SchemaError, TableSchema, refuse};

const SUPPORTED: &str = "supported are string, long, double, boolean, long with logicalType \
     timestamp-millis, array, map (of those scalars) and record, alone or in a union with null";

impl TableSchema {
    /// Reads an Avro schema whose top level is a record: the table.
    ///
    /// The last part of the record's name is the table's name.
    ///
    /// # Errors
    /// [`SchemaError::Json`] for text that is not JSON or says a key twice,
    /// [`SchemaError::Refused`] for a schema that cannot be a table, with the field's path.
    pub fn parse(avsc: &str) -> Result<TableSchema, SchemaError> {
        TableSchema::parse_with(avsc, Parser::default())
    }

    /// Reads an Avro schema as builds did that knew no members and forms of fields: those attributes
    /// are metadata.
    ///
    /// # Errors
    /// Those of [`TableSchema::parse`].
    pub(crate) fn parse_without_members(avsc: &str) -> Result<TableSchema, SchemaError> {
        TableSchema::parse_with(avsc, Parser { without_members: true, ..Parser::default() })
    }

    fn parse_with(avsc: &str, mut parser: Parser) -> Result<TableSchema, SchemaError> {
        // Editors on Windows begin a file with a byte order mark, which is no JSON.
        let text = avsc.strip_prefix('\u{feff}').unwrap_or(avsc);
        let node: Node = serde_json::from_str(text).map_err(SchemaError::Json)?;
        if !matches!(node.get("type"), Some(Node::Text(t)) if t == "record") {
            return refuse("top level", "a table is a record: {\"type\": \"record\", …}");
        }
        let full = full_name(&node, "", "top level")?;
        let name = last_part(&full).to_owned();
        if name.starts_with('_') {
            return refuse(
                &name,
                "a table's name cannot begin with `_`: readers skip such folders as hidden",
            );
        }
        let fields = parser.record(&node, "", &name)?;
        let doc = doc_of(&node, &name)?;
        let fingerprint = fingerprint(&name, &fields);
        Ok(TableSchema { name, doc, fields, fingerprint, avsc: avsc.to_owned() })
    }
}

#[derive(Default)]
struct Parser {
    /// Records that are complete, by full name.
    done: HashMap<String, Vec<Field>>,
    /// Full names of the records that are being read, outermost first.
    open: Vec<String>,
    /// True when the attributes of members and forms are metadata.
    without_members: bool,
}

impl Parser {
    fn record(
        &mut self,
        node: &Node,
        namespace: &str,
        at: &str,
    ) -> Result<Vec<Field>, SchemaError> {
        let full = full_name(node, namespace, at)?;
        if self.done.contains_key(&full) || self.open.contains(&full) {
            return refuse(at, format!("a record named {full} is defined already"));
        }
        let Some(Node::List(members)) = node.get("fields") else {
            return refuse(at, "a record needs a list of \"fields\"");
        };
        if members.is_empty() {
            return refuse(at, "a record needs at least one field: Parquet has no empty structs");
        }
        self.open.push(full.clone());
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let mut fields = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate() {
            fields.push(self.field(member, &inner, at, index)?);
        }
        check_names(&fields, at)?;
        self.open.pop();
        self.done.insert(full, fields.clone());
        Ok(fields)
    }

    fn field(
        &mut self,
        node: &Node,
        namespace: &str,
        record: &str,
        index: usize,
    ) -> Result<Field, SchemaError> {
        let Some(Node::Text(name)) = node.get("name") else {
            return refuse(&format!("{record}, field {}", index + 1), "a field needs a \"name\"");
        };
        let at = format!("{record}.{name}");
        check_name(name, &at)?;
        if self.open.len() == 1 && name.starts_with('_') {
            return refuse(
                &at,
                "names of columns that begin with `_` are reserved for lineage; use an alias, \
                 which may begin with `_`",
            );
        }
        let Some(kind) = node.get("type") else {
            return refuse(&at, "a field needs a \"type\"");
        };
        let kind = self.kind(kind, namespace, &at)?;
        if !matches!(node.get("default"), None | Some(Node::Null)) {
            return refuse(&at, "the only default is null: nothing fills in another value");
        }
        let bloom = match node.get("bloom") {
            None => false,
            Some(Node::Bool(bloom)) => *bloom,
            Some(other) => {
                return refuse(&at, format!("\"bloom\" is true or false, not {}", other.what()));
            }
        };
        let promoted = node.get("promoted") == Some(&Node::Bool(true));
        let can_bloom =
            matches!(kind, Kind::String | Kind::Long | Kind::Double | Kind::TimestampMillis);
        if bloom && !can_bloom {
            return refuse(&at, "\"bloom\" is for string, long, double and time fields");
        }
        let (json, from) = match self.without_members {
            true => (Member::default(), Vec::new()),
            false => (member_of(node, &kind, &at)?, forms_of(node, &kind, &at)?),
        };
        Ok(Field {
            name: name.clone(),
            aliases: aliases_of(node, &at)?,
            doc: doc_of(node, &at)?,
            kind,
            bloom,
            json,
            from,
            promoted,
        })
    }

    fn kind(&mut self, node: &Node, namespace: &str, at: &str) -> Result<Kind, SchemaError> {
        match node {
            Node::Text(name) => self.named(name, namespace, at),
            Node::List(branches) => {
                let null = Node::Text("null".into());
                match branches.as_slice() {
                    [a, b] if *a == null && *b != null => self.kind(b, namespace, at),
                    [a, b] if *b == null && *a != null => self.kind(a, namespace, at),
                    _ => refuse(
                        at,
                        format!("a union has two branches, null and one type; {SUPPORTED}"),
                    ),
                }
            }
            Node::Object(_) => self.complex(node, namespace, at),
            other => refuse(at, format!("{} is not a type; {SUPPORTED}", other.what())),
        }
    }

    /// Reads a type that is written as an object.
    fn complex(&mut self, node: &Node, namespace: &str, at: &str) -> Result<Kind, SchemaError> {
        let Some(Node::Text(name)) = node.get("type") else {
            return refuse(at, "a type that is an object needs a \"type\", the name of one");
        };
        if let Some(logical) = node.get("logicalType") {
            return match logical {
                Node::Text(l) if l == "timestamp-millis" && name == "long" => {
                    Ok(Kind::TimestampMillis)
                }
                Node::Text(l) => {
                    refuse(at, format!("unsupported logicalType {l} of {name}; {SUPPORTED}"))
                }
                other => refuse(at, format!("\"logicalType\" is a string, not {}", other.what())),
            };
        }
        match name.as_str() {
            "record" => Ok(Kind::Struct(self.record(node, namespace, at)?)),
            "array" => {
                let Some(items) = node.get("items") else {
                    return refuse(at, "an array needs \"items\", the type of its items");
                };
                Ok(Kind::List(Box::new(self.kind(items, namespace, &format!("{at}[]"))?)))
            }
            "map" => {
                let at = format!("{at}{{}}");
                let Some(values) = node.get("values") else {
                    return refuse(&at, "a map needs \"values\", the type of its values");
                };
                match self.kind(values, namespace, &at)? {
                    Kind::Struct(_) | Kind::List(_) | Kind::Map(_) => {
                        refuse(&at, format!("the values of a map are scalars; {SUPPORTED}"))
                    }
                    scalar => Ok(Kind::Map(Box::new(scalar))),
                }
            }
            _ => self.named(name, namespace, at),
        }
    }

    /// Reads a type that is written as its name.
    fn named(&self, name: &str, namespace: &str, at: &str) -> Result<Kind, SchemaError> {
        let hint = match name {
            "string" => return Ok(Kind::String),
            "long" => return Ok(Kind::Long),
            "double" => return Ok(Kind::Double),
            "boolean" => return Ok(Kind::Boolean),
            "int" => ", use long",
            "float" => ", use double",
            "enum" | "fixed" | "bytes" => ", use string",
            "null" => ", a value needs a type besides null",
            "array" | "map" | "record" => ", write it as an object: {\"type\": …}",
            _ => {
                let full = qualify(name, namespace);
                if self.open.contains(&full) {
                    return refuse(at, format!("{full} contains itself: Parquet has no recursion"));
                }
                return match self.done.get(&full) {
                    Some(fields) => Ok(Kind::Struct(fields.clone())),
                    None => refuse(
                        at,
                        format!("no record named {full} is defined before this; {SUPPORTED}"),
                    ),
                };
            }
        };
        refuse(at, format!("unsupported type {name}{hint}; {SUPPORTED}"))
    }
}

/// Returns `name` with the namespace around it, unless it has its own.
fn qualify(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn last_part(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

/// Returns the full name of a record, from its "name", its "namespace" and the namespace around it.
fn full_name(node: &Node, around: &str, at: &str) -> Result<String, SchemaError> {
    let Some(Node::Text(name)) = node.get("name") else {
        return refuse(at, "a record needs a \"name\"");
    };
    let namespace = match node.get("namespace") {
        None => around,
        Some(Node::Text(namespace)) => namespace,
        Some(other) => {
            return refuse(at, format!("\"namespace\" is a string, not {}", other.what()));
        }
    };
    let full = qualify(name, namespace);
    for part in full.split('.') {
        check_name(part, at)?;
    }
    Ok(full)
}

fn check_name(name: &str, at: &str) -> Result<(), SchemaError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    refuse(at, format!("\"{name}\" is no Avro name: [A-Za-z_][A-Za-z0-9_]*"))
}

/// Checks that names differ in more than case, and that each member of documents means one field.
fn check_names(fields: &[Field], at: &str) -> Result<(), SchemaError> {
    let mut folded: HashMap<String, &str> = HashMap::new();
    for field in fields {
        if let Some(first) = folded.insert(field.name.to_ascii_lowercase(), &field.name) {
            let at = format!("{at}.{}", field.name);
            if first == field.name {
                return refuse(&at, "the name occurs twice in its record");
            }
            return refuse(
                &at,
                format!("differs from {first} only in case, which DuckDB and Spark do not see"),
            );
        }
    }
    check_members(fields, at)
}

fn aliases_of(node: &Node, at: &str) -> Result<Vec<String>, SchemaError> {
    let items = match node.get("aliases") {
        None => return Ok(Vec::new()),
        Some(Node::List(items)) => items,
        Some(other) => {
            return refuse(at, format!("\"aliases\" is a list of names, not {}", other.what()));
        }
    };
    let mut aliases = Vec::with_capacity(items.len());
    for item in items {
        let Node::Text(alias) = item else {
            return refuse(at, format!("an alias is a name, not {}", item.what()));
        };
        check_name(alias, at)?;
        aliases.push(alias.clone());
    }
    Ok(aliases)
}

fn doc_of(node: &Node, at: &str) -> Result<String, SchemaError> {
    match node.get("doc") {
        None => Ok(String::new()),
        Some(Node::Text(doc)) => Ok(doc.clone()),
        Some(other) => refuse(at, format!("\"doc\" is a string, not {}", other.what())),
    }
}
