//! The values of a template's placeholders, by row: rows with equal ones are a group.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray as Times};
use arrow::error::ArrowError;

use crate::columnar::folded::column_of_table;
use crate::columnar::values::{strings, timestamps};
use crate::table::hive_path::NULL_PARTITION;
use crate::table::partition::overflow::show_time;
use crate::table::partition::{Part, Template};

/// Most rendered times that are kept: a sender with wild clocks must not make them grow for ever.
const MAX_RENDERED_TIMES: usize = 10_000;

/// The columns of a template's placeholders, in their order.
pub(super) struct Columns(Vec<Column>);

/// The column of a placeholder.
enum Column {
    Text(StringArray),
    Time { micros: Times, unit_us: i64 },
}

/// Rows of a batch with equal values, times by the unit that their format shows.
pub(super) struct Group {
    key: Vec<i64>,
    first: usize,
}

/// Rendered times by placeholder and bucket of time. Bounded.
#[derive(Debug, Default)]
pub(super) struct RenderedTimes(HashMap<(usize, i64), String>);

impl Columns {
    /// Finds the columns of `template` in `batch`.
    ///
    /// # Errors
    /// The batch has another schema than the template was checked against.
    pub(super) fn of(template: &Template, batch: &RecordBatch) -> Result<Columns, ArrowError> {
        let mut columns = Vec::new();
        for part in template.segments.iter().flat_map(|s| &s.parts) {
            match part {
                Part::Literal(_) => {}
                Part::Text { column } => {
                    let array = column_at(batch, *column)?;
                    let text = strings(array.as_ref()).ok_or_else(|| wrong(*column))?;
                    columns.push(Column::Text(text.clone()));
                }
                Part::Time { column, unit_us, .. } => {
                    let micros = times_at(batch, *column)?;
                    columns.push(Column::Time { micros, unit_us: *unit_us });
                }
            }
        }
        Ok(Columns(columns))
    }

    /// Iterates over the times of a row that are not null, in microseconds.
    pub(super) fn times(&self, row: usize) -> impl Iterator<Item = i64> {
        self.0.iter().filter_map(move |column| match column {
            Column::Time { micros, .. } => micros.is_valid(row).then(|| micros.value(row)),
            Column::Text(_) => None,
        })
    }

    /// Groups `rows` rows: returns the groups in the order of their first row, and the group of each row.
    pub(super) fn group(&self, rows: usize) -> (Vec<Group>, Vec<usize>) {
        let columns = &self.0;
        let mut texts: Vec<HashMap<&str, i64>> = columns.iter().map(|_| HashMap::new()).collect();
        let mut index: HashMap<Vec<i64>, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut of_rows = Vec::with_capacity(rows);
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
            let same = last.filter(|&group| groups.get(group).is_some_and(|g| g.key == key));
            let group = same.unwrap_or_else(|| {
                *index.entry(key.clone()).or_insert_with(|| {
                    groups.push(Group { key: key.clone(), first: row });
                    groups.len() - 1
                })
            });
            of_rows.push(group);
            last = Some(group);
        }
        (groups, of_rows)
    }
}

impl RenderedTimes {
    /// Renders the values of the partition that the rows of `group` belong to.
    pub(super) fn render(
        &mut self,
        template: &Template,
        columns: &Columns,
        group: &Group,
    ) -> Vec<Option<String>> {
        let (columns, row) = (&columns.0, group.first);
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
                    _ => (columns.get(at), group.key.get(at).copied().unwrap_or(0)),
                };
                match (column, part) {
                    (Some(Column::Text(text)), _) if text.is_valid(row) => {
                        value.push_str(text.value(row));
                    }
                    (Some(Column::Time { micros, .. }), Part::Time { format, .. })
                        if micros.is_valid(row) =>
                    {
                        if self.0.len() >= MAX_RENDERED_TIMES {
                            self.0.clear();
                        }
                        let shown = self.0.entry((at, bucket));
                        let shown = shown.or_insert_with(|| show_time(micros.value(row), format));
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
}

/// Returns the times in a column of the table of `batch`.
///
/// # Errors
/// There is no such column of times.
pub(super) fn times_at(batch: &RecordBatch, column: usize) -> Result<Times, ArrowError> {
    let array = column_at(batch, column)?;
    timestamps(array.as_ref()).cloned().ok_or_else(|| wrong(column))
}

fn column_at(batch: &RecordBatch, column: usize) -> Result<ArrayRef, ArrowError> {
    column_of_table(batch, column)?.ok_or_else(|| wrong(column))
}

fn wrong(column: usize) -> ArrowError {
    ArrowError::SchemaError(format!("partition column {column} is not of the checked schema"))
}
