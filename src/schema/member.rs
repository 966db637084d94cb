//! The members of a document that a field is read from, and the forms that they may have.

/// The path of a member: the names of the objects around it within its record, then its own. Never empty.
pub type JsonPath = Vec<String>;

/// The members of a document that a field is read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The path in place of the field's name; `None` for the name itself.
    pub path: Option<JsonPath>,
    /// Other paths of the same value, besides the field's aliases.
    pub aliases: Vec<JsonPath>,
    /// Of a map: its entries are the members whose names begin with this, under the rest of the name.
    pub prefix: Option<String>,
    /// Of a long: the name of the time, in the same record, of which this has the nanoseconds beyond
    /// its microseconds. It is no member of its own.
    pub nanos_of: Option<String>,
}

/// A form that a value may have in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A JSON number: of long and double.
    Number,
    /// true or false: of boolean.
    Boolean,
    /// A string that holds what the other form says as JSON: `"42"`.
    Text,
    /// A number of seconds since the epoch, which may have a fraction: of time, as all that follow.
    Seconds,
    /// An integer of milliseconds since the epoch.
    Millis,
    /// An integer of microseconds since the epoch.
    Micros,
    /// An integer of nanoseconds since the epoch.
    Nanos,
    /// Text by RFC 3339, `2026-11-25T10:00:00.123456789Z`: a profile of ISO 8601.
    Iso8601,
}
