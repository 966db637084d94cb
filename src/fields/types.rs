//! Types that the values of a field had, and the column that would take them all.

use std::fmt;

use super::entries::elements;
use crate::schema::ColumnType;

/// Most bytes of a list that are looked at for the type of its elements.
const MOST_LIST_BYTES: usize = 4_096;

/// A set of the types that values had. Its text form names them: `long`, `double`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types(u16);

/// Names of types, by the number of their bit.
const NAMES: [&str; 11] = [
    "null",
    "string",
    "long",
    "double",
    "boolean",
    "record",
    "list",
    "string[]",
    "long[]",
    "double[]",
    "boolean[]",
];
const NULL: u16 = 1;
const STRING: u16 = 1 << 1;
const LONG: u16 = 1 << 2;
const DOUBLE: u16 = 1 << 3;
const BOOLEAN: u16 = 1 << 4;
const RECORD: u16 = 1 << 5;
const LIST: u16 = 1 << 6;
/// The bits of lists are those of their elements so much higher.
const OF_LIST: u32 = 6;

impl Types {
    /// Returns the type of a value, by its JSON text.
    pub(super) fn of(value: &[u8]) -> Types {
        Types(match value.first() {
            Some(b'[') => list(value),
            _ => scalar(value),
        })
    }

    /// Reads names of types. Names that are not known, as of a later version, are `list`: no column takes
    /// them.
    pub(super) fn parse<'a>(names: impl Iterator<Item = &'a str>) -> Types {
        let bit = |name: &str| NAMES.iter().position(|known| *known == name).map(|at| 1 << at);
        Types(names.fold(0, |bits, name| bits | bit(name).unwrap_or(LIST)))
    }

    /// Returns the names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| *name)
    }

    /// Adds the types of `more`.
    pub fn add(&mut self, more: Types) {
        self.0 |= more.0;
    }

    /// Returns the column that takes all values but nulls; `None` when none does.
    #[must_use]
    pub fn column(self) -> Option<ColumnType> {
        Some(match self.0 & !NULL {
            STRING => ColumnType::String,
            LONG => ColumnType::Long,
            bits if bits & !(LONG | DOUBLE) == 0 && bits != 0 => ColumnType::Double,
            BOOLEAN => ColumnType::Boolean,
            bits if bits == STRING << OF_LIST => ColumnType::StringList,
            bits if bits == LONG << OF_LIST => ColumnType::LongList,
            bits if bits & !((LONG | DOUBLE) << OF_LIST) == 0 && bits != 0 => {
                ColumnType::DoubleList
            }
            bits if bits == BOOLEAN << OF_LIST => ColumnType::BooleanList,
            _ => return None,
        })
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            write!(f, "{}{name}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn scalar(value: &[u8]) -> u16 {
    match value.first() {
        Some(b'"') => STRING,
        Some(b't' | b'f') => BOOLEAN,
        Some(b'n') | None => NULL,
        Some(b'{') => RECORD,
        Some(b'[') => LIST,
        Some(_) => {
            let text = std::str::from_utf8(value).unwrap_or_default().trim();
            if text.parse::<i64>().is_ok() { LONG } else { DOUBLE }
        }
    }
}

/// Returns the bit of a list: that of the type of its elements, if they have one. None for an empty one,
/// which any list takes.
fn list(value: &[u8]) -> u16 {
    if value.len() > MOST_LIST_BYTES {
        return LIST;
    }
    let of_elements = elements(value).fold(0, |bits, element| bits | scalar(element)) & !NULL;
    match of_elements {
        0 => NULL,
        STRING | LONG | DOUBLE | BOOLEAN => of_elements << OF_LIST,
        bits if bits == LONG | DOUBLE => DOUBLE << OF_LIST,
        _ => LIST,
    }
}
