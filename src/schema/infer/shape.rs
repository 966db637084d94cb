//! What the values of a field have been.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{LONGEST_NAME, MOST_KEYS, MOST_LEVELS, MOST_SHAPES};
use crate::json::Members;
use crate::rfc3339;

/// Integers up to here are exact doubles.
const EXACT: i64 = 1 << 53;

/// Objects and keys from which on keys that hardly repeat make a map.
const FEW_OBJECTS: u64 = 8;
const FEW_KEYS: usize = 16;

/// Counts of the values of a field, or of the elements of its lists.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) booleans: u64,
    /// Integers of 64 bits.
    pub(super) longs: u64,
    /// Those of them that a double holds exactly.
    pub(super) exact: u64,
    /// Other numbers that a double takes.
    pub(super) doubles: u64,
    /// Numbers that neither takes.
    pub(super) others: u64,
    pub(super) texts: u64,
    pub(super) lists: u64,
    pub(super) objects: u64,
    /// Those of the texts that are integers of 64 bits, or doubles.
    pub(super) long_texts: u64,
    pub(super) double_texts: u64,
    /// Those of the texts that are times.
    pub(super) times: u64,
    /// True when one of them has nanoseconds beyond its microseconds.
    pub(super) nanos: bool,
    /// The least and the largest integer.
    pub(super) range: Option<(i64, i64)>,
    /// The members of objects, in the order in which they came first.
    pub(super) members: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
    /// The values of members that are not among them: there are too many.
    pub(super) beyond: Option<Box<Shape>>,
    pub(super) elements: Option<Box<Shape>>,
}

impl Shape {
    /// Adds a value at level `level`; `shapes` counts the fields in all.
    ///
    /// # Errors
    /// The reader's, for text that is no JSON.
    pub(super) fn add(
        &mut self,
        raw: &RawValue,
        level: usize,
        shapes: &mut usize,
    ) -> Result<(), serde_json::Error> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') if level >= MOST_LEVELS => self.objects += 1,
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let members = members.iter().map(|(key, value)| (key.as_str(), &**value));
                self.object(members, level, shapes)?;
            }
            Some(b'[') => {
                self.lists += 1;
                if level >= MOST_LEVELS {
                    return Ok(());
                }
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let elements = self.elements.get_or_insert_default();
                for item in items {
                    elements.add(item, level + 1, shapes)?;
                }
            }
            Some(b'"') => {
                let inner: String = serde_json::from_str(text)?;
                self.text(&inner);
            }
            Some(b't' | b'f') => self.booleans += 1,
            Some(b'n') | None => {}
            Some(_) => self.number(text),
        }
        Ok(())
    }

    /// Adds an object with these members.
    ///
    /// # Errors
    /// As for [`Shape::add`].
    pub(super) fn object<'d>(
        &mut self,
        members: impl Iterator<Item = (&'d str, &'d RawValue)>,
        level: usize,
        shapes: &mut usize,
    ) -> Result<(), serde_json::Error> {
        self.objects += 1;
        for (key, value) in members {
            self.member(key, shapes).add(value, level + 1, shapes)?;
        }
        Ok(())
    }

    fn member(&mut self, key: &str, shapes: &mut usize) -> &mut Shape {
        let full = self.members.len() >= MOST_KEYS || *shapes >= MOST_SHAPES;
        let place = match self.places.get(key) {
            Some(place) => *place,
            None if full || key.len() > LONGEST_NAME => usize::MAX,
            None => {
                *shapes += 1;
                self.places.insert(key.to_owned(), self.members.len());
                self.members.push((key.to_owned(), Shape::default()));
                self.members.len() - 1
            }
        };
        match self.members.get_mut(place) {
            Some((_, shape)) => shape,
            None => self.beyond.get_or_insert_default(),
        }
    }

    fn text(&mut self, text: &str) {
        self.texts += 1;
        if let Some((_, nanos)) = rfc3339::parse(text.as_bytes()) {
            self.times += 1;
            self.nanos |= nanos != 0;
        }
        // As JSON has numbers: no sign but a minus, no zeros before.
        if serde_json::from_str::<serde_json::Number>(text).is_ok() && text.trim() == text {
            match text.parse::<i64>() {
                Ok(_) => self.long_texts += 1,
                Err(_) if is_double(text) => self.double_texts += 1,
                Err(_) => {}
            }
        }
    }

    fn number(&mut self, text: &str) {
        match text.parse::<i64>() {
            Ok(long) => {
                self.longs += 1;
                self.exact += u64::from(long.unsigned_abs() <= EXACT.unsigned_abs());
                let (least, most) = self.range.unwrap_or((long, long));
                self.range = Some((least.min(long), most.max(long)));
            }
            Err(_) if is_double(text) => self.doubles += 1,
            Err(_) => self.others += 1,
        }
    }

    /// Returns the number of values that are no nulls.
    pub(super) fn values(&self) -> u64 {
        self.booleans + self.numbers() + self.others + self.texts + self.lists + self.objects
    }

    /// Returns the number of numbers that a column takes.
    pub(super) fn numbers(&self) -> u64 {
        self.longs + self.doubles
    }

    /// Tells whether the keys of its objects are rather data than names of fields.
    pub(super) fn is_map(&self) -> bool {
        let seen: u64 = self.members.iter().map(|(_, shape)| shape.values()).sum();
        let rare = seen < 2 * self.members.len() as u64;
        self.beyond.is_some()
            || (self.objects >= FEW_OBJECTS && self.members.len() >= FEW_KEYS && rare)
    }

    /// Adds the counts of another one, but for its members and elements.
    pub(super) fn merge(&mut self, other: &Shape) {
        self.booleans += other.booleans;
        self.longs += other.longs;
        self.exact += other.exact;
        self.doubles += other.doubles;
        self.others += other.others;
        self.texts += other.texts;
        self.lists += other.lists;
        self.objects += other.objects;
        self.long_texts += other.long_texts;
        self.double_texts += other.double_texts;
        self.times += other.times;
        self.nanos |= other.nanos;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// Tells whether a double takes the number: one with a fraction or an exponent, in its range.
fn is_double(text: &str) -> bool {
    let decimal = text.contains(['.', 'e', 'E']);
    decimal && text.parse::<f64>().is_ok_and(f64::is_finite)
}
