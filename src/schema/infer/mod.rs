//! A first schema from samples: each field with the narrowest type that takes all of its values.
//!
//! | values | type |
//! |---|---|
//! | booleans | boolean |
//! | integers; with text that is one | long; from number and text |
//! | numbers; with text that is one | double; from number and text |
//! | integers of a field whose name says that it is a time, all of 2000 to 2100 in one unit | time, from that unit |
//! | text that is a time by RFC 3339, alone or with such integers | time, from iso8601 and the unit; with a field for nanoseconds if some have them |
//! | any other text | string |
//! | objects | record; a map where keys are too many, or too rarely the same, to be fields |
//! | lists | list, by all elements |
//!
//! A field without values, or whose values have no one type, gets no column: its values stay in `_extra`.
//! It is named in the notes. Names that are none of Avro get one, and their own as `"json"`.
//!
//! Neither schema nor notes have values of documents; names of members are there. Memory is bounded: by
//! [`MOST_KEYS`] of an object, [`MOST_SHAPES`] in all and [`MOST_LEVELS`]; what is beyond is left out, and
//! said.

mod shape;
mod written;

use serde_json::value::RawValue;

use self::shape::Shape;

/// The most keys of an object: with more, it is a map. Of a document, further ones get no column.
const MOST_KEYS: usize = 1000;
/// The most fields in all.
const MOST_SHAPES: usize = 20_000;
/// The most levels of objects and lists that are looked into.
const MOST_LEVELS: usize = 16;
/// The longest name of a field, in bytes.
const LONGEST_NAME: usize = 256;

/// Samples of one table, by what their fields have had.
#[derive(Debug, Default)]
pub struct Inference {
    root: Shape,
    /// The number of fields so far.
    shapes: usize,
}

/// A schema from samples.
#[derive(Debug)]
pub struct Inferred {
    /// The Avro text.
    pub avsc: String,
    /// Sentences about what got no column.
    pub notes: Vec<String>,
    /// The time columns of documents, those in most documents first, and of these the starts: one may make
    /// a partition.
    pub times: Vec<String>,
}

impl Inference {
    /// Adds a document by its members, each with its value as JSON text.
    ///
    /// # Errors
    /// A value is no JSON.
    pub fn add<'d>(
        &mut self,
        members: impl Iterator<Item = (&'d str, &'d RawValue)>,
    ) -> Result<(), serde_json::Error> {
        self.root.object(members, 0, &mut self.shapes)
    }

    /// Returns the number of documents.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.root.objects
    }

    /// Returns the schema of the table `table`; `None` if there is no field to make a column of.
    #[must_use]
    pub fn schema(&self, table: &str) -> Option<Inferred> {
        written::schema(&self.root, table)
    }
}

#[cfg(test)]
mod tests;
