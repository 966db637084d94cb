//! A schema compiled for reading: for each record, its names, and ways to find one.
//!
//! A name is found in two ways. The fast one is a guess: for each name, the name that followed it
//! in the document before, compared as `"name"` against the bytes in one step. The other is a
//! small hash table. Aliases are names like others; they lead to the same column.

use crate::schema::Field;

use super::scan;

/// Bytes of a quoted name that are compared in one step.
const WINDOW: usize = 32;

/// One record's names: those of the fields, in order, then the aliases.
#[derive(Debug)]
pub(super) struct Scope {
    names: Vec<Name>,
    /// Open addressing by [`hash`]; [`EMPTY`] where no name is. A power of two, half full at most.
    table: Vec<u16>,
}

/// A name that a document may use for a column.
#[derive(Debug)]
pub(super) struct Name {
    /// The name.
    pub(super) text: Box<str>,
    /// Which column of the record it stands for.
    pub(super) field: usize,
    /// Whether it is an old name of that column.
    pub(super) alias: bool,
    /// `"name"`, as far as it goes into the window.
    window: [u8; WINDOW],
    mask: u32,
    /// What does not go into the window.
    rest: Box<[u8]>,
}

const EMPTY: u16 = u16::MAX;

impl Scope {
    /// The names of a record. Past 65,534 names the rest is not known: such fields are read as
    /// unknown ones.
    pub(super) fn new(fields: &[Field]) -> Scope {
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
        let mut scope = Scope { table: vec![EMPTY; (names.len() * 2).next_power_of_two()], names };
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

    /// What [`Name::guess`] begins with: after each name the next one, and last what a record
    /// begins with.
    pub(super) fn first_guesses(&self) -> Vec<u16> {
        let count = self.names.len() as u16;
        (1..=count).map(|id| if id == count { 0 } else { id }).chain([0]).collect()
    }

    /// The place in the guesses of what a record begins with.
    pub(super) fn start(&self) -> usize {
        self.names.len()
    }

    /// The name with this number.
    #[inline]
    pub(super) fn name(&self, id: u16) -> Option<&Name> {
        self.names.get(usize::from(id))
    }

    /// The number of the name `text`.
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

/// Length, beginning and end: enough to tell the names of a schema apart.
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

    /// Where `"name"` ends in `src`, if `src` has it at `at`. May say no near the end of `src`.
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
            name: name.into(),
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
            doc: String::new(),
            kind: Kind::Long,
            bloom: false,
        }
    }

    #[test]
    fn names_are_found_by_table_and_by_guess() {
        let long = "x".repeat(70);
        let mut fields: Vec<Field> = (0..300).map(|i| field(&format!("field{i}"), &[])).collect();
        fields.push(field(&long, &["older", "field7"]));
        fields.push(field("", &[]));
        let scope = Scope::new(&fields);
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
