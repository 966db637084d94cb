//! A schema compiled for reading: the names of each record, with two ways to find one.
//!
//! The fast way is a guess: for each name, the name that followed it in the document before,
//! compared as `"name":` against the bytes in one step. The other is a small hash table. Aliases are
//! names like others; they lead to the same column.
//!
//! A name may also be that of a [`Group`], an object that has no column of its own: its members are
//! columns of the record around it.

use std::sync::Arc;

use super::extra::Pointer;
use super::guess::{Guess, Strangers};
use super::keys::Keys;
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
    /// Names that are none of the record's.
    pub(super) strangers: Strangers,
    /// Groups and maps by prefix, which few records have; boxed, so that other records stay small.
    pub(super) beyond: Option<Box<Beyond>>,
}

/// The members of a record that are no columns as they are.
#[derive(Debug)]
pub(super) struct Beyond {
    pub(super) groups: Vec<Group>,
    /// Of the record itself; the groups have none.
    pub(super) prefixes: Vec<Prefix>,
}

/// An object whose members are columns of the record around it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) index: FieldIndex,
    pub(super) pointer: Pointer,
    /// The fields whose current names lead through it.
    pub(super) fields: Vec<usize>,
    pub(super) state: GroupState,
}

/// The state of a group in the record that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupState {
    /// It has not come.
    Absent,
    /// It came once, and its members are in columns and in `_extra`, one by one.
    Taken,
    /// `_extra` has a value for all of it, which columns cannot show: it came twice, without members,
    /// or was no object.
    Whole,
}

/// Members that are entries of maps, by the beginning of their names.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) text: Box<[u8]>,
    /// The maps, in the order in which a value is offered to them.
    pub(super) columns: Vec<usize>,
    /// The keys of the record that is being read.
    pub(super) keys: Keys,
}

/// A name with the path that it stands at the end of.
struct Planned<'s> {
    path: &'s [String],
    field: usize,
    alias: bool,
    number: usize,
}

impl FieldIndex {
    /// Compiles the names of a record with these fields.
    pub(super) fn new(fields: &[Field]) -> FieldIndex {
        let current = fields.iter().enumerate().filter_map(|(field, of)| {
            Some((of.json_path(), field, false)).filter(|(path, ..)| !path.is_empty())
        });
        let aliases = fields
            .iter()
            .enumerate()
            .flat_map(|(field, of)| of.json_aliases().map(move |path| (path, field, true)));
        let planned: Vec<Planned<'_>> = current
            .chain(aliases)
            .enumerate()
            .map(|(number, (path, field, alias))| Planned { path, field, alias, number })
            .collect();
        let record = RecordPointers {
            names: planned.iter().map(|name| Pointer::new(name.path)).collect(),
            current: fields.iter().map(|field| Pointer::new(field.json_path())).collect(),
        };
        let planned: Vec<&Planned<'_>> = planned.iter().collect();
        let mut index = FieldIndex::level(&planned, 0, &Arc::new(record));
        let mut prefixes: Vec<Prefix> = Vec::new();
        for (column, field) in fields.iter().enumerate() {
            let Some(prefix) = &field.json.prefix else { continue };
            let text = prefix.as_bytes();
            match prefixes.iter_mut().find(|known| &*known.text == text) {
                Some(known) => known.columns.push(column),
                None => {
                    let (columns, keys) = (vec![column], Keys::default());
                    prefixes.push(Prefix { text: text.into(), columns, keys });
                }
            }
        }
        if !prefixes.is_empty() {
            let beyond = Beyond { groups: Vec::new(), prefixes: Vec::new() };
            index.beyond.get_or_insert_with(|| Box::new(beyond)).prefixes = prefixes;
        }
        index
    }

    /// Compiles the names that stand below the first `depth` names of their paths.
    fn level(planned: &[&Planned<'_>], depth: usize, record: &Arc<RecordPointers>) -> FieldIndex {
        let mut names: Vec<Name> = Vec::new();
        let mut groups: Vec<(&str, Vec<&Planned<'_>>)> = Vec::new();
        for name in planned {
            let Some((text, below)) = name.path.get(depth..).and_then(<[String]>::split_first)
            else {
                continue;
            };
            if below.is_empty() {
                let pointer = Pointer::new(name.path);
                let Planned { field, alias, number, .. } = **name;
                names.push(Name { alias, number, ..Name::new(text, field, pointer) });
            } else if let Some((_, within)) = groups.iter_mut().find(|(group, _)| group == text) {
                within.push(name);
            } else {
                let pointer = Pointer::new(name.path.get(..=depth).unwrap_or_default());
                names.push(Name { group: groups.len(), ..Name::new(text, NO_FIELD, pointer) });
                groups.push((text, vec![name]));
            }
        }
        let group = |(_, within): (&str, Vec<&Planned<'_>>)| Group {
            index: FieldIndex::level(&within, depth + 1, record),
            pointer: within
                .first()
                .map(|name| Pointer::new(name.path.get(..=depth).unwrap_or_default()))
                .unwrap_or_default(),
            fields: within.iter().filter(|name| !name.alias).map(|name| name.field).collect(),
            state: GroupState::Absent,
        };
        let groups: Vec<Group> = groups.into_iter().map(group).collect();
        let beyond = Beyond { groups, prefixes: Vec::new() };
        let names = FieldNames::new(names, Arc::clone(record));
        FieldIndex {
            guesses: names.first_guesses(),
            strangers: Strangers::new(names.start()),
            names: Arc::new(names),
            beyond: (!beyond.groups.is_empty()).then(|| Box::new(beyond)),
        }
    }
}

impl Beyond {
    /// Begins a record.
    pub(super) fn begin(&mut self) {
        for group in &mut self.groups {
            group.state = GroupState::Absent;
            if let Some(beyond) = &mut group.index.beyond {
                beyond.begin();
            }
        }
        self.prefixes.iter_mut().for_each(|prefix| prefix.keys.clear());
    }

    /// Returns whether the current name of `field` leads through a group that is in `_extra` as a whole.
    pub(super) fn covers(&self, field: usize) -> bool {
        self.groups.iter().any(|group| {
            let within = || group.index.beyond.as_ref().is_some_and(|below| below.covers(field));
            group.fields.contains(&field) && (group.state == GroupState::Whole || within())
        })
    }
}

/// The pointers of all names of a record, of its groups too.
#[derive(Debug)]
struct RecordPointers {
    /// By the number of the name.
    names: Vec<Pointer>,
    /// Of current names, by the field.
    current: Vec<Pointer>,
}

/// The field of a name that is a group's: no record has so many.
const NO_FIELD: usize = usize::MAX;

/// The names of one record, or of one group of it.
#[derive(Debug)]
pub(super) struct FieldNames {
    names: Vec<Name>,
    /// One for each name.
    guesses: Vec<Guess>,
    /// Numbers of names by [`hash`], with open addressing; [`EMPTY`] in free slots. Its length is a
    /// power of two, and at most half of it is used.
    table: Vec<u16>,
    record: Arc<RecordPointers>,
}

/// A name that a document may use for a column.
#[derive(Debug)]
pub(super) struct Name {
    /// The name itself.
    text: Box<str>,
    /// Its pointer, from the record on.
    pub(super) pointer: Pointer,
    /// The index of the column that it stands for, in its record; none has that of a group's name.
    pub(super) field: usize,
    /// The index of the group that it stands for, if it is one's.
    pub(super) group: usize,
    /// True for an alias, an old name of that column.
    pub(super) alias: bool,
    /// Its number among the names of the record.
    pub(super) number: usize,
}

const EMPTY: u16 = u16::MAX;

impl FieldNames {
    /// Makes the names findable. Past 65,535 names the rest is not known: such fields are
    /// read as unknown ones.
    fn new(mut names: Vec<Name>, record: Arc<RecordPointers>) -> FieldNames {
        names.truncate(usize::from(EMPTY));
        let table = vec![EMPTY; (names.len() * 2).next_power_of_two()];
        let guess = |name: &Name| {
            let column = (!name.alias && name.field != NO_FIELD).then_some(name.field);
            Guess::new(&name.text, column)
        };
        let guesses = names.iter().map(guess).collect();
        let mut scope = FieldNames { names, guesses, table, record };
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

    /// Returns the pointer of the record's name with this number, which may be a group's.
    pub(super) fn pointer(&self, number: usize) -> Option<&Pointer> {
        self.record.names.get(number)
    }

    /// Returns the pointer of the current name of the record's column `field`.
    pub(super) fn current(&self, field: usize) -> Option<&Pointer> {
        self.record.current.get(field)
    }

    /// Returns the name with this number in the scope.
    #[inline]
    pub(super) fn name(&self, id: u16) -> Option<&Name> {
        self.names.get(usize::from(id))
    }

    /// Returns the guess of the name with this number, and the position after the name and its colon,
    /// if `src` has both at `at`. Near the end of `src` it may return `None` all the same.
    #[inline(always)]
    pub(super) fn guess(&self, id: u16, src: &[u8], at: usize) -> Option<(&Guess, usize)> {
        #[cfg(test)]
        if super::quick::OFF.get() {
            return None;
        }
        let guess = self.guesses.get(usize::from(id))?;
        Some((guess, guess.after(src, at)?))
    }

    /// Returns the number of the name `text`.
    pub(super) fn find(&self, text: &[u8]) -> Option<u16> {
        let mask = self.table.len() - 1;
        let mut slot = hash(text) as usize & mask;
        // Half of the slots are free.
        loop {
            let id = *self.table.get(slot).filter(|id| **id != EMPTY)?;
            if self.names.get(usize::from(id))?.text.as_bytes() == text {
                return Some(id);
            }
            slot = (slot + 1) & mask;
        }
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
    fn new(text: &str, field: usize, pointer: Pointer) -> Name {
        Name { text: text.into(), pointer, field, group: usize::MAX, alias: false, number: 0 }
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
        let scope = FieldIndex::new(&fields).names;
        for (i, f) in fields.iter().enumerate() {
            let id = scope.find(f.name.as_bytes()).unwrap();
            let name = scope.name(id).unwrap();
            assert_eq!((name.field, name.alias), (i, false));
            let text = format!(",\"{}\":1{}", f.name, " ".repeat(40));
            let guess = |text: &str| {
                scope.guess(id, text.as_bytes(), 1).map(|(guess, after)| (guess.column(), after))
            };
            assert_eq!(guess(&text), Some((i, f.name.len() + 4)));
            let text = format!(",\"{}y\":1{}", f.name, " ".repeat(40));
            assert_eq!(guess(&text), None);
        }
        let older = scope.name(scope.find(b"older").unwrap()).unwrap();
        assert_eq!((older.field, older.alias), (300, true));
        assert!(scope.find(b"field300").is_none());
        let taken = scope.name(scope.find(b"field7").unwrap()).unwrap();
        assert_eq!((taken.field, taken.alias), (7, false), "a current name before an alias");
    }
}
