//! The members of a document that a field is read from, and the forms that they may have.

use super::{Field, Kind, Property, TableSchema};

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
    /// The property of the record that this is lifted from. It is no member of its own.
    pub property: Option<Property>,
}

/// A form that a value may have in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A JSON number: of long and double.
    Number,
    /// true or false: of boolean.
    Boolean,
    /// A string that holds the JSON of the other form: `"42"`.
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

impl Form {
    const ALL: [Form; 8] = [
        Form::Number,
        Form::Boolean,
        Form::Text,
        Form::Seconds,
        Form::Millis,
        Form::Micros,
        Form::Nanos,
        Form::Iso8601,
    ];

    /// Returns the word in `"from"`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Number => "number",
            Form::Boolean => "boolean",
            Form::Text => "text",
            Form::Seconds => "seconds",
            Form::Millis => "millis",
            Form::Micros => "micros",
            Form::Nanos => "nanos",
            Form::Iso8601 => "iso8601",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.as_str() == word)
    }

    /// Returns the nanoseconds of its unit, if it is a number of one since the epoch.
    #[must_use]
    pub fn unit_ns(self) -> Option<i64> {
        match self {
            Form::Seconds => Some(1_000_000_000),
            Form::Millis => Some(1_000_000),
            Form::Micros => Some(1_000),
            Form::Nanos => Some(1),
            Form::Number | Form::Boolean | Form::Text | Form::Iso8601 => None,
        }
    }
}

impl Field {
    /// Returns the path of the member that the value is written to; empty for one that is no member of
    /// its own ([`Member::prefix`], [`Member::nanos_of`], [`Member::property`]).
    #[must_use]
    pub fn json_path(&self) -> &[String] {
        match &self.json {
            Member { prefix: Some(_), .. }
            | Member { nanos_of: Some(_), .. }
            | Member { property: Some(_), .. } => &[],
            Member { path: Some(path), .. } => path,
            Member { path: None, .. } => std::slice::from_ref(&self.name),
        }
    }

    /// Returns the other paths that the value may come under.
    pub fn json_aliases(&self) -> impl Iterator<Item = &[String]> {
        let names = self.aliases.iter().map(std::slice::from_ref);
        names.chain(self.json.aliases.iter().map(Vec::as_slice))
    }

    /// Returns all paths that the value may come under, [`Field::json_path`] first.
    pub fn json_paths(&self) -> impl Iterator<Item = &[String]> {
        let own = Some(self.json_path()).filter(|path| !path.is_empty());
        own.into_iter().chain(self.json_aliases())
    }

    /// Tells whether the value is read as any schema without `json` and `from` says.
    fn is_plain(&self) -> bool {
        self.json == Member::default()
            && self.from.is_empty()
            && below(&self.kind).all(Field::is_plain)
    }
}

/// Returns the fields of the records of `kind`, or of its elements.
fn below(kind: &Kind) -> std::slice::Iter<'_, Field> {
    match kind {
        Kind::Struct(fields) => fields.iter(),
        Kind::List(element) => below(element),
        _ => [].iter(),
    }
}

impl TableSchema {
    /// Tells whether a field has a member or forms of its own, which builds before 0.2 do not know:
    /// they read documents by the names of columns.
    #[must_use]
    pub fn has_members(&self) -> bool {
        !self.fields.iter().all(Field::is_plain)
    }
}
