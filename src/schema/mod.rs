//! Table schemas: Avro schemas (`schemas/*.avsc`) compiled into what the other stations use.
//!
//! The Avro text is the one source; the Arrow schema, the DDL and the mapping are made from it.

/// The schema of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Name of the table, for instance `user_sessions`.
    pub name: String,
    /// What the table holds.
    pub doc: String,
    /// Its columns, in order, without the lineage columns.
    pub fields: Vec<Field>,
    /// 16 hex digits that change when the meaning of the schema changes.
    pub fingerprint: String,
    /// The Avro text that it was made from.
    pub avsc: String,
}

/// One named value: a column, or a member of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The exporter's current name.
    pub name: String,
    /// Older names of the same value.
    pub aliases: Vec<String>,
    /// What it means, with its unit.
    pub doc: String,
    /// Its type.
    pub kind: Kind,
    /// Whether files carry a Bloom filter for it (property `"bloom": true` of the Avro field).
    pub bloom: bool,
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
    /// Integer milliseconds since the epoch in documents; `timestamp(µs, UTC)` in columns.
    TimestampMillis,
    /// A list of one kind.
    List(Box<Kind>),
    /// A record; never without fields.
    Struct(Vec<Field>),
    /// An object with free keys, all values of one (scalar) kind.
    Map(Box<Kind>),
}
