//! A partition template applied to decoded rows.
//!
//! A row belongs to the partition whose values the template renders for it. Rows are first grouped by
//! the values of the placeholders, times by the unit that their format shows, so that a value is
//! rendered once a group and not once a row.
//!
//! A roll has a bounded number of partitions: a body of a few megabytes can name a hundred thousand
//! days, and each would be a file. Rows of partitions that come after [`MAX_PARTITIONS`] others go
//! to the partition of nulls. This follows from the order of rows alone, so that a roll that is made
//! again has the same files.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};

use crate::columnar::values::{strings, timestamps};
use crate::table::hive_path::{NULL_PARTITION, PartitionValues, PathRules, hive_path};
use crate::table::partition::{Part, Template};

/// Most partitions of a table in one roll, besides that of nulls. The files of a sealed roll depend on
/// it, so another number would have to be sealed with the roll.
pub const MAX_PARTITIONS: usize = 10_000;

/// Rows of one partition.
#[derive(Debug, Clone)]
pub struct PartitionRows {
    /// Hive path, for instance `date=2026-11-23`; empty for a table without partitions.
    pub partition: String,
    /// The rows, in order, as runs of rows that follow one another.
    pub rows: Vec<Range<usize>>,
}

/// Routes batches of one table.
#[derive(Debug)]
pub struct Router {
    template: Template,
    /// The rules by which values become paths.
    rules: PathRules,
    /// Rendered times by placeholder and bucket of time. Bounded by [`MAX_RENDERED_TIMES`].
    times: HashMap<(usize, i64), String>,
    /// Partitions of the roll by their Hive path, each with its values.
    seen: HashMap<String, PartitionValues>,
    /// True when rows of further partitions went to that of nulls.
    overflowed: bool,
    max_partitions: usize,
}

/// Most rendered times that are kept: a sender with wild clocks must not make them grow for ever.
const MAX_RENDERED_TIMES: usize = 10_000;

/// The column of a placeholder.
enum Column<'a> {
    Text(&'a StringArray),
    Time { micros: &'a arrow::array::TimestampMicrosecondArray, unit_us: i64 },
}

impl Router {
    /// Creates a router for `template`.
    #[must_use]
    pub fn new(template: Template) -> Router {
        Router {
            template,
            rules: PathRules::default(),
            times: HashMap::new(),
            seen: HashMap::new(),
            overflowed: false,
            max_partitions: MAX_PARTITIONS,
        }
    }

    /// Makes paths by `rules` instead of the latest ones for names that are told apart.
    #[must_use]
    pub fn by_rules(mut self, rules: PathRules) -> Router {
        self.rules = rules;
        self
    }

    /// Begins a roll.
    pub fn begin(&mut self) {
        self.seen.clear();
        self.overflowed = false;
    }

    /// Returns the values of a partition of the roll; `None` for a path that is none of it.
    #[must_use]
    pub fn values(&self, partition: &str) -> Option<PartitionValues> {
        match self.seen.get(partition) {
            Some(values) => Some(Arc::clone(values)),
            None if self.overflows(partition) => Some(self.nulls()),
            None => None,
        }
    }

    /// Returns true for the partition of nulls of a roll that had too many partitions: its rows are
    /// of several partitions, and its values are not those of all of them.
    #[must_use]
    pub fn overflows(&self, partition: &str) -> bool {
        self.overflowed && partition == hive_path(&self.template, &self.nulls(), self.rules)
    }

    fn nulls(&self) -> PartitionValues {
        self.template.segments.iter().map(|_| None).collect()
    }

    /// Returns the Hive path of the partition with `values`, or, when the roll has too many already,
    /// that of nulls.
    fn admit(&mut self, values: PartitionValues) -> String {
        let partition = hive_path(&self.template, &values, self.rules);
        if self.seen.contains_key(&partition) {
            return partition;
        }
        if self.seen.len() < self.max_partitions {
            self.seen.insert(partition.clone(), values);
            return partition;
        }
        self.overflowed = true;
        hive_path(&self.template, &self.nulls(), self.rules)
    }

    /// Returns the rows of `batch` by partition, in the order of each partition's first row.
    ///
    /// # Errors
    /// The batch has another schema than the template was checked against.
    pub fn route(&mut self, batch: &RecordBatch) -> Result<Vec<PartitionRows>, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let columns = self.columns(batch)?;
        let groups = group(&columns, batch.num_rows());
        let mut out: Vec<PartitionRows> = Vec::with_capacity(groups.len());
        let mut merged = false;
        let mut indexes: HashMap<String, usize> = HashMap::with_capacity(groups.len());
        for (key, rows) in groups {
            let first = rows.first().map_or(0, |run| run.start);
            let values = render(&self.template, &mut self.times, &columns, &key, first);
            let partition = self.admit(values.into());
            // Two groups are one partition when the format shows less of a time than its unit, and
            // when the roll has too many partitions.
            if let Some(routed) = indexes.get(&partition).and_then(|at| out.get_mut(*at)) {
                routed.rows.extend(rows);
                merged = true;
                continue;
            }
            indexes.insert(partition.clone(), out.len());
            out.push(PartitionRows { partition, rows });
        }
        if merged {
            out.iter_mut().for_each(|routed| routed.rows.sort_unstable_by_key(|run| run.start));
        }
        Ok(out)
    }

    fn columns<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Column<'a>>, ArrowError> {
        let mut columns = Vec::new();
        for part in self.template.segments.iter().flat_map(|s| &s.parts) {
            match part {
                Part::Literal(_) => {}
                Part::Text { column } => {
                    let text = strings(column_at(batch, *column)?);
                    columns.push(Column::Text(text.ok_or_else(|| wrong(*column))?));
                }
                Part::Time { column, unit_us, .. } => {
                    let micros = timestamps(column_at(batch, *column)?);
                    let micros = micros.ok_or_else(|| wrong(*column))?;
                    columns.push(Column::Time { micros, unit_us: *unit_us });
                }
            }
        }
        Ok(columns)
    }
}

fn column_at(batch: &RecordBatch, column: usize) -> Result<&ArrayRef, ArrowError> {
    batch.columns().get(column).ok_or_else(|| wrong(column))
}

fn wrong(column: usize) -> ArrowError {
    ArrowError::SchemaError(format!("partition column {column} is not of the checked schema"))
}

/// Groups rows by the values of their placeholders: times as buckets, texts as numbers in the order
/// of their first row.
fn group(columns: &[Column<'_>], rows: usize) -> Vec<(Vec<i64>, Vec<Range<usize>>)> {
    let mut texts: Vec<HashMap<&str, i64>> = columns.iter().map(|_| HashMap::new()).collect();
    let mut index: HashMap<Vec<i64>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<i64>, Vec<Range<usize>>)> = Vec::new();
    let mut key = vec![0; columns.len()];
    let mut last: Option<usize> = None;
    for row in 0..rows {
        for ((value, column), seen) in key.iter_mut().zip(columns).zip(&mut texts) {
            *value = match column {
                Column::Time { micros, .. } if micros.is_null(row) => i64::MIN,
                Column::Time { micros, unit_us } => micros.value(row).div_euclid(*unit_us),
                Column::Text(text) if text.is_null(row) => -1,
                Column::Text(text) => {
                    let next = seen.len() as i64;
                    *seen.entry(text.value(row)).or_insert(next)
                }
            };
        }
        let same = last.filter(|&g| groups.get(g).is_some_and(|(k, _)| *k == key));
        let at = same.unwrap_or_else(|| {
            *index.entry(key.clone()).or_insert_with(|| {
                groups.push((key.clone(), Vec::new()));
                groups.len() - 1
            })
        });
        if let Some((_, runs)) = groups.get_mut(at) {
            match runs.last_mut() {
                Some(run) if run.end == row => run.end += 1,
                _ => runs.push(row..row + 1),
            }
        }
        last = Some(at);
    }
    groups
}

/// Renders the values of the partition that `row` belongs to.
fn render(
    template: &Template,
    times: &mut HashMap<(usize, i64), String>,
    columns: &[Column<'_>],
    key: &[i64],
    row: usize,
) -> Vec<Option<String>> {
    let mut values = Vec::with_capacity(template.segments.len());
    let mut at = 0;
    for segment in &template.segments {
        let mut value = String::new();
        let mut null = false;
        for part in &segment.parts {
            let (column, bucket) = match part {
                Part::Literal(text) => {
                    value.push_str(text);
                    continue;
                }
                _ => (columns.get(at), key.get(at).copied().unwrap_or(0)),
            };
            match (column, part) {
                (Some(Column::Text(text)), _) if text.is_valid(row) => {
                    value.push_str(text.value(row));
                }
                (Some(Column::Time { micros, .. }), Part::Time { format, .. })
                    if micros.is_valid(row) =>
                {
                    if times.len() >= MAX_RENDERED_TIMES {
                        times.clear();
                    }
                    let shown = times
                        .entry((at, bucket))
                        .or_insert_with(|| show_time(micros.value(row), format));
                    null |= shown.is_empty();
                    value.push_str(shown);
                }
                _ => null = true,
            }
            at += 1;
        }
        // Readers of the path take both for a null.
        null |= value.is_empty() || value == NULL_PARTITION;
        values.push((!null).then_some(value));
    }
    values
}

/// Renders a time; empty for one that is out of the calendar's range.
fn show_time(micros: i64, format: &str) -> String {
    let mut shown = String::new();
    if let Some(time) = DateTime::<Utc>::from_timestamp_micros(micros) {
        // The format was checked when the template was parsed, so a failure means no value.
        if write!(shown, "{}", time.format(format)).is_err() {
            shown.clear();
        }
    }
    shown
}

#[cfg(test)]
mod tests;
