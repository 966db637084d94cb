//! A partition template applied to decoded rows.
//!
//! A row belongs to the partition whose values the template renders for it. Rows are first grouped by
//! the values of the placeholders, times by the unit that their format shows, so that a value is
//! rendered once a group and not once a row.
//!
//! A roll opens a bounded number of partitions ([`partition_bounds`](super::partition_bounds)): a body
//! of a few kilobytes can name ten thousand days, and each would be a file. Rows of partitions that are
//! not opened go to the overflow partition of the table. The decision is made row by row, in the order
//! of rows, and from what is sealed with the roll and stands in its bodies: a roll that is made again
//! has the same files, however its rows are batched then.
//!
//! Before [`Revision::Fourth`], the first [`MAX_PARTITIONS`] partitions of a roll were opened, whoever
//! named them, and rows of further ones went to the partition of nulls.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::error::ArrowError;

use super::partition_bounds::PartitionBounds;
use super::partition_values::{Columns, RenderedTimes, times_at};
use crate::record::BodyRows;
use crate::table::hive_path::{PartitionValues, PathRules, hive_path};
use crate::table::{Distance, MAX_PARTITIONS, PartitionLimits, Revision, Template};

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
    times: RenderedTimes,
    /// Partitions that the roll has opened, by their Hive path, each with its values.
    open: HashMap<String, PartitionValues>,
    bounds: PartitionBounds,
    /// The column with the time of the session that a row is an element of; none where the distance of a
    /// time is that from the receipt of its body.
    session_time: Option<usize>,
    /// Values and Hive path of the overflow partition.
    overflow: (PartitionValues, String),
    /// Rows that went to it.
    overflowed: u64,
    max_partitions: usize,
}

/// A partition that rows of a batch belong to.
struct Slot {
    values: PartitionValues,
    partition: String,
    open: bool,
    /// Index of its rows in the output.
    out: Option<usize>,
}

impl Router {
    /// Creates a router for `template`, with the limits of what is received.
    #[must_use]
    pub fn new(template: Template) -> Router {
        let rules = PathRules::default();
        let bounds = PartitionBounds::new(PartitionLimits::RECEIVED, template.has_text());
        Router {
            overflow: overflow(&template, rules),
            template,
            rules,
            times: RenderedTimes::default(),
            open: HashMap::new(),
            bounds,
            session_time: None,
            overflowed: 0,
            max_partitions: MAX_PARTITIONS,
        }
    }

    /// Makes paths by `rules` instead of the latest ones for names that are told apart.
    #[must_use]
    pub fn by_rules(mut self, rules: PathRules) -> Router {
        self.overflow = overflow(&self.template, rules);
        self.rules = rules;
        self
    }

    /// Opens partitions within other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: PartitionLimits) -> Router {
        self.bounds = PartitionBounds::new(limits, self.template.has_text());
        self
    }

    /// Takes times that are far from the time of their session, in this column, for far ones, whenever the
    /// body was received.
    #[must_use]
    pub fn by_session(mut self, session_time: Option<usize>) -> Router {
        self.session_time = session_time;
        self
    }

    /// Begins a roll.
    pub fn begin(&mut self) {
        self.open.clear();
        self.bounds.begin();
        self.overflowed = 0;
    }

    /// Returns the values of a partition of the roll; `None` for a path that is none of it.
    #[must_use]
    pub fn values(&self, partition: &str) -> Option<PartitionValues> {
        match self.open.get(partition) {
            Some(values) => Some(Arc::clone(values)),
            None if self.overflows(partition) => Some(Arc::clone(&self.overflow.0)),
            None => None,
        }
    }

    /// Returns true for the overflow partition of a roll that has rows in it: they are of several
    /// partitions, and its values are not theirs.
    #[must_use]
    pub fn overflows(&self, partition: &str) -> bool {
        self.overflowed > 0 && partition == self.overflow.1
    }

    /// Returns the rows of `batch` by partition, in the order of each partition's first row. `bodies` are
    /// those of the rows, in their order.
    ///
    /// # Errors
    /// The batch has another schema than the template was checked against, or `bodies` are not those of
    /// its rows.
    pub fn route(
        &mut self,
        batch: &RecordBatch,
        bodies: &[BodyRows],
    ) -> Result<Vec<PartitionRows>, ArrowError> {
        let rows = batch.num_rows();
        if bodies.iter().map(|body| body.rows).sum::<usize>() != rows {
            let why = "the bodies of a batch have other rows than the batch";
            return Err(ArrowError::InvalidArgumentError(why.to_owned()));
        }
        let columns = Columns::of(&self.template, batch)?;
        let sessions = self.session_time.map(|column| times_at(batch, column)).transpose()?;
        let (groups, of_rows) = columns.group(rows);
        // Two groups are one partition when the format shows less of a time than its unit.
        let mut indexes: HashMap<String, usize> = HashMap::with_capacity(groups.len());
        let mut slots: Vec<Slot> = Vec::with_capacity(groups.len());
        let of_groups: Vec<usize> = groups
            .iter()
            .map(|group| {
                let values = self.times.render(&self.template, &columns, group);
                let partition = hive_path(&self.template, &values, self.rules);
                *indexes.entry(partition).or_insert_with_key(|partition| {
                    let open = self.open.contains_key(partition);
                    let (values, partition) = (values.into(), partition.clone());
                    slots.push(Slot { values, partition, open, out: None });
                    slots.len() - 1
                })
            })
            .collect();
        let mut overflow = indexes.get(&self.overflow.1).copied();
        let mut out: Vec<PartitionRows> = Vec::with_capacity(slots.len());
        let mut of_rows = of_rows.into_iter().enumerate();
        for body in bodies {
            self.bounds.enter(body);
            for (row, group) in of_rows.by_ref().take(body.rows) {
                let Some(&at) = of_groups.get(group) else { continue };
                let opens = slots.get(at).is_some_and(|slot| {
                    slot.open || {
                        let times = columns.times(row);
                        let distance = match &sessions {
                            Some(sessions) => {
                                let session = sessions.is_valid(row).then(|| sessions.value(row));
                                times.map(|time| Distance::of_element(time, session)).max()
                            }
                            None => {
                                let (at, window) = (body.received_at, self.bounds.window());
                                times.map(|time| Distance::of(time, at, window)).max()
                            }
                        };
                        self.opens(slot, distance.unwrap_or(Distance::Recent))
                    }
                });
                let at = if opens { at } else { self.overflow_slot(&mut overflow, &mut slots) };
                let Some(slot) = slots.get_mut(at) else { continue };
                slot.open |= opens;
                let at = *slot.out.get_or_insert_with(|| {
                    let partition = slot.partition.clone();
                    out.push(PartitionRows { partition, rows: Vec::new() });
                    out.len() - 1
                });
                if let Some(routed) = out.get_mut(at) {
                    routed.add(row);
                }
            }
        }
        Ok(out)
    }

    /// Decides on a partition that is not open, and opens it.
    fn opens(&mut self, slot: &Slot, distance: Distance) -> bool {
        let opens = match self.rules.revision < Revision::Fourth {
            true => self.open.len() < self.max_partitions,
            false => self.bounds.opens(distance, self.open.len()),
        };
        if opens {
            self.open.insert(slot.partition.clone(), Arc::clone(&slot.values));
        }
        opens
    }

    /// Returns the index of the overflow partition in `slots`, for one more row.
    fn overflow_slot(&mut self, known: &mut Option<usize>, slots: &mut Vec<Slot>) -> usize {
        self.overflowed += 1;
        *known.get_or_insert_with(|| {
            let (values, partition) = self.overflow.clone();
            slots.push(Slot { values, partition, open: false, out: None });
            slots.len() - 1
        })
    }
}

impl PartitionRows {
    fn add(&mut self, row: usize) {
        match self.rows.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => self.rows.push(row..row + 1),
        }
    }
}

/// Returns values and Hive path of the overflow partition.
fn overflow(template: &Template, rules: PathRules) -> (PartitionValues, String) {
    let values = template.overflow_values(rules.revision);
    let path = hive_path(template, &values, rules);
    (values.into(), path)
}

#[cfg(test)]
mod tests;
