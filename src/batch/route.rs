//! A partition template applied to decoded rows.
//!
//! Values are escaped as Hive escapes them, so that Spark and DuckDB read back what was written:
//! a null or empty value is `__HIVE_DEFAULT_PARTITION__`, and `/`, `%`, `=`, control characters
//! and what Windows and URLs dislike become `%XX`. A value whose escaped form would not fit a file
//! name is cut and given a hash of the whole, so that two long values stay two partitions.
//!
//! A roll has a bounded number of partitions: a body of a few megabytes can name a hundred thousand
//! days, and each would be a file. Rows of partitions that come after [`MOST_PARTITIONS`] others go
//! to the partition of nulls. Which these are follows from the order of rows alone, so that a roll
//! that is made again has the same files.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};

use crate::columnar::values::{strings, timestamps};
use crate::table::partition::{Part, Template};

/// What Hive writes for a null.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest escaped value; a file name may have 255 bytes.
const MAX_VALUE_BYTES: usize = 180;
/// Longest values of a path together; the key of an object may have 1,024 bytes.
const MAX_VALUES_BYTES: usize = 540;

/// Most partitions of a table in one roll, but for that of nulls. What a sealed roll looks like
/// rests on it: another number would be a setting in the seal.
pub const MOST_PARTITIONS: usize = 10_000;

/// Rows of one partition.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Hive path, for instance `date=2026-11-23`; empty for a table without partitions.
    pub partition: String,
    /// The rows, in order, as runs of rows that follow one another.
    pub rows: Vec<Range<usize>>,
}

/// Routes batches of one table.
#[derive(Debug)]
pub struct Router {
    template: Template,
    /// What a time placeholder showed for a bucket of time. Bounded: see [`CACHE_MAX`].
    times: HashMap<(usize, i64), String>,
    /// Partitions of the roll by their Hive path, each with its values.
    seen: HashMap<String, PartitionValues>,
    /// Rows of further partitions went to that of nulls.
    overflowed: bool,
    most: usize,
}

/// Values of a partition, one for each segment of the template: as the template renders it, whole and
/// not escaped. None for null, which an empty value is as well.
pub type PartitionValues = Arc<[Option<String>]>;

/// A sender with wild clocks must not make the cache grow for ever.
const CACHE_MAX: usize = 10_000;

/// What one placeholder sees in a batch.
enum Source<'a> {
    Text(&'a StringArray),
    Time { micros: &'a arrow::array::TimestampMicrosecondArray, unit_us: i64 },
}

impl Router {
    /// A router for `template`.
    #[must_use]
    pub fn new(template: Template) -> Router {
        Router {
            template,
            times: HashMap::new(),
            seen: HashMap::new(),
            overflowed: false,
            most: MOST_PARTITIONS,
        }
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
        self.overflowed && partition == hive_path(&self.template, &self.nulls())
    }

    fn nulls(&self) -> PartitionValues {
        self.template.segments.iter().map(|_| None).collect()
    }

    /// Returns the Hive path of the partition with `values`, or, when the roll has too many already,
    /// that of nulls.
    fn admit(&mut self, values: PartitionValues) -> String {
        let partition = hive_path(&self.template, &values);
        if self.seen.contains_key(&partition) {
            return partition;
        }
        if self.seen.len() < self.most {
            self.seen.insert(partition.clone(), values);
            return partition;
        }
        self.overflowed = true;
        hive_path(&self.template, &self.nulls())
    }

    /// Says which rows of `batch` belong to which partition. Partitions come in the order of their
    /// first row.
    ///
    /// # Errors
    /// Only when the batch is not of the schema that the template was checked against.
    pub fn route(&mut self, batch: &RecordBatch) -> Result<Vec<Routed>, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let sources = self.sources(batch)?;
        let groups = group(&sources, batch.num_rows());
        let mut out: Vec<Routed> = Vec::with_capacity(groups.len());
        let mut merged = false;
        let mut places: HashMap<String, usize> = HashMap::with_capacity(groups.len());
        for (key, rows) in groups {
            let first = rows.first().map_or(0, |run| run.start);
            let values = render(&self.template, &mut self.times, &sources, &key, first);
            let partition = self.admit(values.into());
            // Two groups are one partition when the placeholders look at time more finely than what
            // is shown of it, and when there are too many of them.
            if let Some(routed) = places.get(&partition).and_then(|at| out.get_mut(*at)) {
                routed.rows.extend(rows);
                merged = true;
                continue;
            }
            places.insert(partition.clone(), out.len());
            out.push(Routed { partition, rows });
        }
        if merged {
            out.iter_mut().for_each(|routed| routed.rows.sort_unstable_by_key(|run| run.start));
        }
        Ok(out)
    }

    fn sources<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Source<'a>>, ArrowError> {
        let mut sources = Vec::new();
        for part in self.template.segments.iter().flat_map(|s| &s.parts) {
            match part {
                Part::Literal(_) => {}
                Part::Text { column } => {
                    let text = strings(column_of(batch, *column)?);
                    sources.push(Source::Text(text.ok_or_else(|| wrong(*column))?));
                }
                Part::Time { column, unit_us, .. } => {
                    let micros = timestamps(column_of(batch, *column)?);
                    let micros = micros.ok_or_else(|| wrong(*column))?;
                    sources.push(Source::Time { micros, unit_us: *unit_us });
                }
            }
        }
        Ok(sources)
    }
}

fn column_of(batch: &RecordBatch, column: usize) -> Result<&ArrayRef, ArrowError> {
    batch.columns().get(column).ok_or_else(|| wrong(column))
}

fn wrong(column: usize) -> ArrowError {
    ArrowError::SchemaError(format!("partition column {column} is not of the checked schema"))
}

/// Rows by the values of their placeholders: times as buckets, texts as numbers given on first
/// sight.
fn group(sources: &[Source<'_>], rows: usize) -> Vec<(Vec<i64>, Vec<Range<usize>>)> {
    let mut texts: Vec<HashMap<&str, i64>> = sources.iter().map(|_| HashMap::new()).collect();
    let mut index: HashMap<Vec<i64>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<i64>, Vec<Range<usize>>)> = Vec::new();
    let mut key = vec![0; sources.len()];
    let mut last: Option<usize> = None;
    for row in 0..rows {
        for ((slot, source), seen) in key.iter_mut().zip(sources).zip(&mut texts) {
            *slot = match source {
                Source::Time { micros, .. } if micros.is_null(row) => i64::MIN,
                Source::Time { micros, unit_us } => micros.value(row).div_euclid(*unit_us),
                Source::Text(text) if text.is_null(row) => -1,
                Source::Text(text) => {
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
    sources: &[Source<'_>],
    key: &[i64],
    row: usize,
) -> Vec<Option<String>> {
    let mut values = Vec::with_capacity(template.segments.len());
    let mut at = 0;
    for segment in &template.segments {
        let mut value = String::new();
        let mut null = false;
        for part in &segment.parts {
            let (source, bucket) = match part {
                Part::Literal(text) => {
                    value.push_str(text);
                    continue;
                }
                _ => (sources.get(at), key.get(at).copied().unwrap_or(0)),
            };
            match (source, part) {
                (Some(Source::Text(text)), _) if text.is_valid(row) => {
                    value.push_str(text.value(row));
                }
                (Some(Source::Time { micros, .. }), Part::Time { format, .. })
                    if micros.is_valid(row) =>
                {
                    if times.len() >= CACHE_MAX {
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
        // Readers of the path take this text for a null.
        null |= value.is_empty() || value == NULL_PARTITION;
        values.push((!null).then_some(value));
    }
    values
}

/// Writes the Hive path of the partition with `values`.
fn hive_path(template: &Template, values: &[Option<String>]) -> String {
    let mut path = String::new();
    let most = MAX_VALUE_BYTES.min(MAX_VALUES_BYTES / template.segments.len().max(1));
    for (segment, value) in template.segments.iter().zip(values) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&segment.name);
        path.push('=');
        match value {
            Some(value) => escape(value, most, &mut path),
            None => path.push_str(NULL_PARTITION),
        }
    }
    path
}

/// Reads the values out of a Hive path. A value that was cut comes back cut, with its hash. Returns
/// `None` for a path of another template.
#[must_use]
pub fn values_of_path(template: &Template, path: &str) -> Option<PartitionValues> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let mut values = Vec::with_capacity(template.segments.len());
    for segment in &template.segments {
        let value = parts.next()?.strip_prefix(&segment.name)?.strip_prefix('=')?;
        let decoded = || percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        values.push((value != NULL_PARTITION).then(|| decoded().into_owned()));
    }
    parts.next().is_none().then(|| values.into())
}

/// A time by its format; empty for a time that no calendar shows.
fn show_time(micros: i64, format: &str) -> String {
    let mut shown = String::new();
    if let Some(time) = DateTime::<Utc>::from_timestamp_micros(micros) {
        // The format was checked when the template was parsed; a failure means "no value".
        if write!(shown, "{}", time.format(format)).is_err() {
            shown.clear();
        }
    }
    shown
}

/// `~` and 16 digits.
const HASH_BYTES: usize = 17;

/// Appends `value` as Hive writes it in a path, in `most` bytes at the most.
fn escape(value: &str, most: usize, out: &mut String) {
    let start = out.len();
    for c in value.chars() {
        let special = c.is_control()
            || matches!(
                c,
                // Not to be had in XML, which S3 lists objects in.
                '\u{fffe}'
                    | '\u{ffff}'
                    | '"'
                    | '#'
                    | '%'
                    | '\''
                    | '*'
                    | '/'
                    | ':'
                    | '='
                    | '?'
                    | '\\'
                    | '{'
                    | '}'
                    | '['
                    | ']'
                    | '^'
                    | '<'
                    | '>'
                    | '|'
            );
        if special {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    let most = most.max(2 * HASH_BYTES);
    if out.len() - start > most {
        let hash = xxhash_rust::xxh3::xxh3_64(value.as_bytes());
        let mut end = start + most - HASH_BYTES;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        // Do not cut an escape in two.
        if let Some(percent) = out[start..end].rfind('%')
            && start + percent + 3 > end
        {
            end = start + percent;
        }
        out.truncate(end);
        let _ = write!(out, "~{hash:016x}");
    }
}

#[cfg(test)]
mod tests;
