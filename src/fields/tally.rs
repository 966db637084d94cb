//! Counts of the rows of batches, by field.

use std::collections::HashMap;

use arrow::array::{Array as _, RecordBatch};

use super::counts::{Counts, FieldCounts};
use super::entries::Entries;
use super::mask::mask;
use super::pattern::{self, ANY_KEY, Fit};
use super::types::Types;
use super::{MOST_COUNTED, MOST_EXAMPLES, MOST_TALLIED};
use crate::columnar::values::{strings, timestamps};
use crate::record::Micros;
use crate::schema::{EXTRA, INGEST_TIME, TableSchema};

/// Keys of one row each below one parent, from which on they are data.
const RARE_SIBLINGS: usize = 32;

/// Counts of fields without a column, of one table. The default is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Rows with at least one such field.
    rows: u64,
    /// Values of fields that are not counted by themselves.
    others: u64,
    fields: HashMap<Box<str>, OneField>,
}

#[derive(Clone, Debug)]
struct OneField {
    fit: Fit,
    rows: u64,
    /// Number of the row, of all of the tally, that was counted last.
    last_row: u64,
    types: Types,
    first: Micros,
    last: Micros,
    examples: Vec<String>,
}

impl Tally {
    /// Counts the fields in the `_extra` of `batch`, whose rows were decoded by `schema`. What is not as the
    /// decoder writes it is passed over.
    pub(crate) fn of(batch: &RecordBatch, schema: &TableSchema) -> Tally {
        let mut tally = Tally::default();
        let Some(extras) = batch.column_by_name(EXTRA).and_then(|column| strings(column)) else {
            return tally;
        };
        if extras.null_count() == extras.len() {
            return tally;
        }
        let times = batch.column_by_name(INGEST_TIME).and_then(|column| timestamps(column));
        let mut pattern = String::new();
        for (row, extra) in extras.iter().enumerate() {
            let Some(extra) = extra else { continue };
            let time = times.map_or(0, |times| times.value(row));
            let mut has_any = false;
            for (pointer, value) in Entries::of(extra) {
                // A null is as good as missing.
                if value != b"null" && pattern::write(pointer, &mut pattern) {
                    has_any = true;
                    tally.count(&pattern, schema, row as u64 + 1, Micros(time), value);
                }
            }
            tally.rows += u64::from(has_any);
        }
        tally
    }

    /// Tells whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn count(&mut self, pattern: &str, schema: &TableSchema, row: u64, time: Micros, value: &[u8]) {
        if let Some(field) = self.fields.get_mut(pattern) {
            return field.count(row, time, value);
        }
        let (pattern, fit) = pattern::held_against(schema, pattern);
        if !self.fields.contains_key(&*pattern) && self.fields.len() >= MOST_TALLIED {
            self.cut(MOST_TALLIED / 2);
        }
        let new = || OneField {
            fit,
            rows: 0,
            last_row: 0,
            types: Types::default(),
            first: time,
            last: time,
            examples: Vec::new(),
        };
        self.fields.entry(pattern.into()).or_insert_with(new).count(row, time, value);
    }

    /// Adds the counts of other rows.
    pub(crate) fn add(&mut self, more: Tally) {
        self.rows += more.rows;
        self.others += more.others;
        for (pattern, of) in more.fields {
            match self.fields.get_mut(&pattern) {
                Some(field) => field.add(of),
                None => {
                    if self.fields.len() >= MOST_TALLIED {
                        self.cut(MOST_TALLIED / 2);
                    }
                    self.fields.insert(pattern, of);
                }
            }
        }
    }

    /// Keeps the `most` fields of the most rows. Of equals, the first by their patterns stay.
    fn cut(&mut self, most: usize) {
        if self.fields.len() <= most {
            return;
        }
        let mut fields: Vec<_> = self.fields.drain().collect();
        fields.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.rows.cmp(&of_a.rows).then(a.cmp(b)));
        self.others += fields.iter().skip(most).map(|(_, of)| of.rows).sum::<u64>();
        fields.truncate(most);
        self.fields.extend(fields);
    }

    /// Returns the counts for a receipt, and begins anew; `None` if nothing was counted.
    pub(crate) fn take(&mut self) -> Option<Counts> {
        let mut tally = std::mem::take(self);
        if tally.is_empty() {
            return None;
        }
        tally.join_rare_siblings();
        tally.cut(MOST_COUNTED);
        let mut of: Vec<_> = tally.fields.into_iter().collect();
        of.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.rows.cmp(&of_a.rows).then(a.cmp(b)));
        let of = of.into_iter().map(|(pattern, of)| FieldCounts {
            pointer: pattern.into(),
            misfit: of.fit == Fit::Misfit,
            rows: of.rows,
            types: of.types.names().map(str::to_owned).collect(),
            first_ms: millis(of.first),
            last_ms: millis(of.last),
            examples: of.examples,
        });
        Some(Counts { rows: tally.rows, others: tally.others, of: of.collect() })
    }

    /// Joins keys that are in one row each, where one parent has many: they are data.
    fn join_rare_siblings(&mut self) {
        let is_rare = |field: &OneField| field.rows == 1 && field.fit == Fit::Unknown;
        let mut rare: HashMap<String, usize> = HashMap::new();
        for (pattern, _) in self.fields.iter().filter(|(_, field)| is_rare(field)) {
            *rare.entry(pattern::parent(pattern).to_owned()).or_default() += 1;
        }
        rare.retain(|_, keys| *keys > RARE_SIBLINGS);
        if rare.is_empty() {
            return;
        }
        let joined = self.fields.extract_if(|pattern, field| {
            is_rare(field) && rare.contains_key(pattern::parent(pattern))
        });
        for (pattern, mut field) in joined.collect::<Vec<_>>() {
            let any = format!("{}/{ANY_KEY}", pattern::parent(&pattern));
            match self.fields.get_mut(&*any) {
                Some(of) => {
                    of.add(field);
                    // Several of them may have been of one row.
                    of.rows = of.rows.min(self.rows);
                }
                None => {
                    // Which row it was is not known any more: each key counts as one.
                    field.last_row = 0;
                    self.fields.insert(any.into(), field);
                }
            }
        }
    }
}

impl OneField {
    fn count(&mut self, row: u64, time: Micros, value: &[u8]) {
        if self.last_row != row {
            (self.last_row, self.rows) = (row, self.rows + 1);
        }
        self.types.add(Types::of(value));
        (self.first, self.last) = (self.first.min(time), self.last.max(time));
        if self.examples.len() < MOST_EXAMPLES {
            self.add_example(mask(value));
        }
    }

    fn add(&mut self, more: OneField) {
        self.rows += more.rows;
        self.types.add(more.types);
        (self.first, self.last) = (self.first.min(more.first), self.last.max(more.last));
        more.examples.into_iter().for_each(|example| self.add_example(example));
    }

    fn add_example(&mut self, example: String) {
        if self.examples.len() < MOST_EXAMPLES && !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }
}

fn millis(time: Micros) -> u64 {
    u64::try_from(time.0 / 1_000).unwrap_or(0)
}
