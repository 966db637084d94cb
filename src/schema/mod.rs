//! Table schemas: Avro schemas (`schemas/*.avsc`) compiled into the types that all stations use.
//!
//! The Avro text is the one source; the Arrow schema, the DDL and the mapping are made from it.
//!
//! ```text
//!  schemas/user_sessions.avsc ─┐
//!  a file of one's own ────────┴─▶ parse ─▶ TableSchema ─┬─▶ columnar::types  (batches, files)
//!                                                        └─▶ render           (DDL, mapping, text)
//! ```
//!
//! Promises: a schema that parses can be landed and rendered in every format; two schemas with
//! the same fingerprint give the same columns from the same documents; a schema that cannot be
//! kept to the letter is refused with the path of the field, never read in part.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

mod fingerprint;
mod infer;
mod json;
mod member;
mod parse;
mod parse_member;
#[cfg(test)]
mod parse_tests;
mod promote;
mod properties;
pub mod render;
mod required;
mod retired;
#[cfg(test)]
mod tests;
pub(crate) mod write;

/// The lineage column with the time when the row's body was written to the journal.
///
/// Its type is [`Kind::TimestampMillis`], with microseconds; it is never null. All rows of a body
/// have the same.
pub const INGEST_TIME: &str = "_ingest_time";

/// The lineage column with `{node}-{seq}-{line}`, unique in the lake, never null.
pub const INGEST_ID: &str = "_ingest_id";

/// The lineage column with the values that have no column, or are of another type than theirs.
///
/// They are a JSON object keyed by JSON Pointer, `{"/userActions/3/newField":12}`; it is null when
/// there are none.
pub const EXTRA: &str = "_extra";

pub use infer::{Inference, Inferred};
pub use member::{Form, JsonPath, Member};
pub use promote::{ColumnType, PromoteError, Promoted};
pub use properties::{Property, PropertyType, is_lifted};
pub use render::{Format, cli_text};
pub use required::{declared_without_null, misspelt_attributes};

/// The names of the tables whose schemas are compiled in.
pub const BUILTIN: &[&str] = &["user_sessions", "grail_user_sessions", "grail_user_events"];

type Compiled = LazyLock<Option<Arc<TableSchema>>>;

fn compiled(avsc: &str) -> Option<Arc<TableSchema>> {
    TableSchema::parse(avsc).ok().map(Arc::new)
}

static USER_SESSIONS: Compiled =
    LazyLock::new(|| compiled(include_str!("../../schemas/user_sessions.avsc")));
static GRAIL_USER_SESSIONS: Compiled =
    LazyLock::new(|| compiled(include_str!("../../schemas/grail_user_sessions.avsc")));
static GRAIL_USER_EVENTS: Compiled =
    LazyLock::new(|| compiled(include_str!("../../schemas/grail_user_events.avsc")));

impl TableSchema {
    /// Returns the compiled-in schema of the table `name`, one of [`BUILTIN`].
    pub fn builtin(name: &str) -> Option<Arc<TableSchema>> {
        match name {
            // A test parses every one of them, so there is always something to clone.
            "user_sessions" => USER_SESSIONS.clone(),
            "grail_user_sessions" => GRAIL_USER_SESSIONS.clone(),
            "grail_user_events" => GRAIL_USER_EVENTS.clone(),
            _ => None,
        }
    }
}

/// Reads the schema file `path`.
///
/// # Errors
/// Every error names the file: [`SchemaError::Read`] when it cannot be read,
/// [`SchemaError::InFile`] when its schema cannot be used.
pub fn load(path: &Path) -> Result<TableSchema, SchemaError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
    TableSchema::parse(&text)
        .map_err(|reason| SchemaError::InFile { path: path.to_owned(), reason: Box::new(reason) })
}

/// The reason why a schema cannot be used. The schema has to be changed, as the text says.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The file could not be read.
    #[error("cannot read the schema file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file was read, and its schema cannot be used.
    #[error("the schema file {} cannot be used: {reason}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: Box<SchemaError>,
    },
    /// The text is not the JSON of a schema.
    #[error("not the JSON of an Avro schema: {0}")]
    Json(serde_json::Error),
    /// The schema asks for something that a table cannot have.
    #[error("{at}: {why}")]
    Refused {
        /// The path of the field: `table.field[].field`.
        at: String,
        /// The fault, and what to write instead.
        why: String,
    },
}

/// Refuses a schema for what is at this path.
fn refuse<T>(at: &str, why: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError::Refused { at: at.to_owned(), why: why.into() })
}

/// The schema of one table. The default has no columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableSchema {
    /// The name of the table, for instance `user_sessions`.
    pub name: String,
    /// The documentation of the table.
    pub doc: String,
    /// The columns, in order, without the lineage columns.
    pub fields: Vec<Field>,
    /// The fingerprint: 16 hex digits that change when the meaning of the schema changes.
    pub fingerprint: String,
    /// The Avro text that the schema was made from.
    pub avsc: String,
}

impl TableSchema {
    /// Returns the time column of the default partition `date`: that of a built-in or flat table, or one of its
    /// name; `None` where there is none, or a column `date`, which engines would see twice.
    #[must_use]
    pub fn start_column(&self) -> Option<&'static str> {
        let is_time = |name: &&str| {
            self.fields.iter().any(|f| f.name == *name && f.kind == Kind::TimestampMillis)
        };
        let start = ["startTime", "start_time", "sessionStartTime"].into_iter().find(is_time)?;
        let taken = self.fields.iter().any(|field| field.name.eq_ignore_ascii_case("date"));
        (!taken).then_some(start)
    }

    /// Returns the default partition template of a table that has no `startTime`, by its `start_time`.
    #[must_use]
    pub fn own_partition(&self) -> Option<String> {
        let start = self.start_column().filter(|start| *start == "start_time")?;
        Some(format!("date={{{start}:%Y-%m-%d}}"))
    }
}

/// One named value: a column, or a member of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name of the column, and of the member of documents unless [`Field::json`] has another.
    pub name: String,
    /// The older names of the same value in documents.
    pub aliases: Vec<String>,
    /// The documentation of the value, with its unit.
    pub doc: String,
    /// The type.
    pub kind: Kind,
    /// True when files carry a Bloom filter for the column (property `"bloom": true` of the Avro
    /// field).
    pub bloom: bool,
    /// The members of documents that the value is read from; by default that of the field's name.
    pub json: Member,
    /// The forms that documents may have it in, the one that it is written back in first; empty for
    /// the only form of its kind without the property `"from"`.
    pub from: Vec<Form>,
    /// True when the field was promoted (property `"promoted": true`): rows of before may have its
    /// values in `_extra`.
    pub promoted: bool,
}

impl Field {
    /// Creates a field of this name and kind, without docs, aliases or a Bloom filter.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Field {
        Field {
            name: name.into(),
            aliases: Vec::new(),
            doc: String::new(),
            kind,
            bloom: false,
            json: Member::default(),
            from: Vec::new(),
            promoted: false,
        }
    }
}

/// The types a value can have. Every value may be null.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// UTF-8 text.
    String,
    /// 64-bit integer.
    Long,
    /// IEEE 754 double.
    Double,
    /// true or false.
    Boolean,
    /// Integer milliseconds since the epoch in documents, of the years 1 to 9999; `timestamp(µs, UTC)` in
    /// columns.
    TimestampMillis,
    /// A list of one kind.
    List(Box<Kind>),
    /// A record; never without fields.
    Struct(Vec<Field>),
    /// An object with free keys, all values of one (scalar) kind.
    Map(Box<Kind>),
}
