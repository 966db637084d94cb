//! Counts of fields as receipts have them, and their sums.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::types::Types;
use super::{MOST_EXAMPLES, MOST_TALLIED};
use crate::json::number;

/// Counts of the fields without a column in the rows of one table and roll. Counted as documents were read,
/// and after the privacy rules; rows that were left out as doubles are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows with at least one such field.
    #[serde(deserialize_with = "number")]
    pub rows: u64,
    /// Values of fields that are not counted by themselves, as there were too many. Usually 0, and then
    /// left out.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub others: u64,
    /// Fields, those of the most rows first; at most [`super::MOST_COUNTED`].
    pub of: Vec<FieldCounts>,
}

/// Counts of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCounts {
    /// Its pattern: a JSON Pointer whose list indexes are `*`.
    pub pointer: String,
    /// A column has the name, and these values did not fit. Left out when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub misfit: bool,
    /// Rows that had it.
    #[serde(deserialize_with = "number")]
    pub rows: u64,
    /// Names of the types that its values had.
    pub types: Vec<String>,
    /// Time at which the first body that had it was received, in milliseconds since the epoch.
    #[serde(deserialize_with = "number")]
    pub first_ms: u64,
    /// Time at which the last one was.
    #[serde(deserialize_with = "number")]
    pub last_ms: u64,
    /// Masks of values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl FieldCounts {
    /// Returns the types that its values had.
    #[must_use]
    pub fn types(&self) -> Types {
        Types::parse(self.types.iter().map(String::as_str))
    }

    fn add(&mut self, more: &FieldCounts) {
        self.misfit |= more.misfit;
        self.rows = self.rows.saturating_add(more.rows);
        let mut types = self.types();
        types.add(more.types());
        self.types = types.names().map(str::to_owned).collect();
        self.first_ms = self.first_ms.min(more.first_ms);
        self.last_ms = self.last_ms.max(more.last_ms);
        for example in &more.examples {
            if self.examples.len() < MOST_EXAMPLES && !self.examples.contains(example) {
                self.examples.push(example.clone());
            }
        }
    }
}

/// The sum of the counts of many rolls of one table. Bounded, as a tally is.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    rows: u64,
    others: u64,
    fields: BTreeMap<String, FieldCounts>,
}

impl Sum {
    /// Adds the counts of a roll.
    pub fn add(&mut self, counts: &Counts) {
        self.rows = self.rows.saturating_add(counts.rows);
        self.others = self.others.saturating_add(counts.others);
        for field in &counts.of {
            match self.fields.get_mut(&field.pointer) {
                Some(of) => of.add(field),
                None => {
                    if self.fields.len() >= MOST_TALLIED {
                        self.cut();
                    }
                    self.fields.insert(field.pointer.clone(), field.clone());
                }
            }
        }
    }

    /// Forgets the counts of one field.
    pub fn forget(&mut self, pointer: &str) {
        self.fields.remove(pointer);
    }

    fn cut(&mut self) {
        let mut fields = self.sorted();
        let rest = fields.split_off(MOST_TALLIED / 2);
        self.others = rest.iter().fold(self.others, |sum, of| sum.saturating_add(of.rows));
        self.fields = fields.into_iter().map(|of| (of.pointer.clone(), of)).collect();
    }

    fn sorted(&mut self) -> Vec<FieldCounts> {
        let mut fields: Vec<_> = std::mem::take(&mut self.fields).into_values().collect();
        fields.sort_by_key(|of| std::cmp::Reverse(of.rows));
        fields
    }

    /// Returns the sums by field, those of the most rows first.
    #[must_use]
    pub fn counts(mut self) -> Counts {
        let of = self.sorted();
        Counts { rows: self.rows, others: self.others, of }
    }

    /// Iterates over the sums by field, in the order of pointers.
    pub fn fields(&self) -> impl Iterator<Item = &FieldCounts> {
        self.fields.values()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
