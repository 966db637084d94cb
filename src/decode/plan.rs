//! A schema compiled for reading: the names of each record, with two ways to find one.
//!
//! The fast way is a guess: for each name, the name that followed it in the document before,
//! compared as `"name"` against the bytes in one step. The other is a small hash table. Aliases are
//! names like others; they lead to the same column.

use std::sync::Arc;

use super::scan;
use crate::columnar::builders::{ColumnBuilder, StructBuilder};
use crate::schema::Field;

/// A column that the decoder fills.
pub(super) type Column = ColumnBuilder<FieldIndex>;

/// The columns of a record that the decoder fills.
pub(super) type RecordBuilder = StructBuilder<FieldIndex>;

/// The names of a record, and the guesses about the next document.
#[derive(Debug)]
pub(super) struct FieldIndex {
    pub(super) names: Arc<FieldNames>,
    /// For each name, the one that followed it in the record before; last, the one that came first.
    pub(super) guesses: Vec<u16>,
}

impl FieldIndex {
    /// Compiles the names of a record with these fields.
    pub(super) fn new(fields: &[Field]) -> FieldIndex {
        let names = FieldNames::new(fields);
        FieldIndex { guesses: names.first_guesses(), names: Arc::new(names) }
    }
}

/// The bytes of a quoted name that are compared in one step.
const WINDOW: usize = 32;

/// The names of one record: those of the fields, in order, then the aliases.
#[derive(Debug)]
pub(super) struct FieldNames {
    names: Vec<Name>,
    /// Numbers of names by [`hash`], with open addressing; [`EMPTY`] in free slots. Its length is a
    /// power of two, and at most half of it is used.
    table: Vec<u16>,
}

/// A name that a document may use for a column.
#[derive(Debug)]
pub(super) struct Name {
    /// The name itself.
    pub(super) text: Box<str>,
    /// The index of the column that it stands for, in its record.
    pub(super) field: usize,
    /// True for an alias, an old name of that column.
    pub(super) alias: bool,
    /// `"name"`, as far as the window holds it.
    window: [u8; WINDOW],
    mask: u32,
    /// The bytes beyond the window.
    rest: Box<[u8]>,
}

const EMPTY: u16 = u16::MAX;

impl FieldNames {
    /// Compiles the names of a record. Past 65,535 names the rest is not known: such fields are
    /// read as unknown ones.
    pub(super) fn new(fields: &[Field]) -> FieldNames {
        let current = fields.iter().enumerate().map(|(i, field)| (&field.name, i, false));
        let aliases = fields
            .iter()
            .enumerate()
            .flat_map(|(i, field)| field.aliases.iter().map(move |alias| (alias, i, true)));
        let names: Vec<Name> = current
            .chain(aliases)
            .take(usize::from(EMPTY))
            .map(|(text, field, alias)| Name::new(text, field, alias))
            .collect();
        let mut scope =
            FieldNames { table: vec![EMPTY; (names.len() * 2).next_power_of_two()], names };
        for id in 0..scope.names.len() {
            let text = scope.names[id].text.clone();
            // The first of equal names keeps the place: a current name before any alias.
            if scope.find(text.as_bytes()).is_none() {
                let free = scope.probe(text.as_bytes()).find(|slot| scope.table[*slot] == EMPTY);
                if let (Some(slot), Ok(id)) = (free, u16::try_from(id)) {
                    scope.table[slot] = id;
                }
            }
        }
        scope
    }

    /// Returns the first guesses: after each name the next one, and last the first one.
    pub(super) fn first_guesses(&self) -> Vec<u16> {
        let count = self.names.len() as u16;
        (1..=count).map(|id| if id == count { 0 } else { id }).chain([0]).collect()
    }

    /// Returns the index, in the guesses, of the name that a record begins with.
    pub(super) fn start(&self) -> usize {
        self.names.len()
    }

    /// Returns the name with this number.
    #[inline]
    pub(super) fn name(&self, id: u16) -> Option<&Name> {
        self.names.get(usize::from(id))
    }

    /// Returns the number of the name `text`.
    pub(super) fn find(&self, text: &[u8]) -> Option<u16> {
        self.probe(text).map(|slot| self.table[slot]).take_while(|id| *id != EMPTY).find(|id| {
            self.names.get(usize::from(*id)).is_some_and(|name| name.text.as_bytes() == text)
        })
    }

    fn probe(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let mask = self.table.len() - 1;
        let first = hash(text) as usize;
        (0..=mask).map(move |step| first.wrapping_add(step) & mask)
    }
}

/// Hashes the length, the beginning and the end: enough to tell the names of a schema apart.
fn hash(text: &[u8]) -> u64 {
    let ends = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).rotate_left(29) ^ u64::from_le_bytes(*last)
        }
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    (ends ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

impl Name {
    fn new(text: &str, field: usize, alias: bool) -> Name {
        let quoted = format!("\"{text}\"").into_bytes();
        let in_window = quoted.len().min(WINDOW);
        let mut window = [0; WINDOW];
        window[..in_window].copy_from_slice(&quoted[..in_window]);
        if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
            // Never as it is in JSON: leave it to the table. No document has a zero here.
            window[0] = 0;
        }
        Name {
            text: text.into(),
            field,
            alias,
            window,
            mask: u32::MAX >> (WINDOW - in_window),
            rest: quoted[in_window..].into(),
        }
    }

    /// Returns the position after `"name"`, if `src` has it at `at`. Near the end of `src` it may
    /// return `None` all the same.
    #[inline]
    pub(super) fn guess(&self, src: &[u8], at: usize) -> Option<usize> {
        let (window, rest) = src.get(at..)?.split_first_chunk::<WINDOW>()?;
        if !scan::matches(window, &self.window, self.mask) {
            return None;
        }
        if self.rest.is_empty() {
            return Some(at + (u32::BITS - self.mask.leading_zeros()) as usize);
        }
        rest.starts_with(&self.rest).then(|| at + WINDOW + self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Kind;

    fn field(name: &str, aliases: &[&str]) -> Field {
        Field {
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
            ..Field::new(name, Kind::Long)
        }
    }

    #[test]
    fn names_are_found_by_table_and_by_guess() {
        let long = "x".repeat(70);
        let mut fields: Vec<Field> = (0..300).map(|i| field(&format!("field{i}"), &[])).collect();
        fields.push(field(&long, &["older", "field7"]));
        fields.push(field("", &[]));
        let scope = FieldNames::new(&fields);
        for (i, f) in fields.iter().enumerate() {
            let id = scope.find(f.name.as_bytes()).unwrap();
            let name = scope.name(id).unwrap();
            assert_eq!((name.field, name.alias), (i, false));
            let text = format!(",\"{}\":1{}", f.name, " ".repeat(40));
            assert_eq!(name.guess(text.as_bytes(), 1), Some(f.name.len() + 3));
            let text = format!(",\"{}y\":1{}", f.name, " ".repeat(40));
            assert_eq!(name.guess(text.as_bytes(), 1), None);
        }
        let older = scope.name(scope.find(b"older").unwrap()).unwrap();
        assert_eq!((older.field, older.alias), (300, true));
        assert!(scope.find(b"field300").is_none());
        let taken = scope.name(scope.find(b"field7").unwrap()).unwrap();
        assert_eq!((taken.field, taken.alias), (7, false), "a current name before an alias");
    }
}
