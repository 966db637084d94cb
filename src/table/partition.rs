//! The partition template: `date={startTime:%Y-%m-%d}`, `tenant={tenantId}/hour={startTime:%H}`.
//!
//! A template is a path of Hive segments, `name=value`, whose value holds literal text and
//! placeholders: `{column}` for a string column, `{column:FORMAT}` for a time column with a
//! [strftime format](https://docs.rs/chrono/latest/chrono/format/strftime/). Every segment has a
//! name, so that no value, whatever it holds, can be `.`, `..` or a hidden name by itself.

mod checks;
pub(crate) mod overflow;
pub(crate) mod transform;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};

use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// The reason that a template was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("partition template `{template}`: {what}")]
pub struct TemplateError {
    template: String,
    what: String,
}

/// A checked template. The default has no partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    text: String,
    pub(crate) segments: Vec<Segment>,
}

/// A segment of the path: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) parts: Vec<Part>,
}

/// A part of a segment's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that every value has.
    Literal(String),
    /// A string column, by its index in the schema.
    Text { column: usize },
    /// A time column by its index, its strftime format, and the unit of time that the format shows.
    Time { column: usize, format: String, unit_us: i64 },
}

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

impl Template {
    /// Parses `text` and checks it against `schema`.
    ///
    /// # Errors
    /// A segment has no name, a placeholder names no time or string column, a format is not valid, or
    /// a partition has the name of a column (engines would find the column twice).
    pub fn parse(text: &str, schema: &TableSchema) -> Result<Template, TemplateError> {
        let fail = |what: String| TemplateError { template: text.to_owned(), what };
        let mut segments: Vec<Segment> = Vec::new();
        // A `/` inside a placeholder belongs to its format.
        for segment in split_outside_braces(text).map_err(fail)? {
            let Some((name, value)) = segment.split_once('=') else {
                return Err(fail(format!(
                    "`{segment}` is no `name=value`; write it like `date={{startTime:%Y-%m-%d}}`"
                )));
            };
            if !is_name(name) {
                return Err(fail(format!(
                    "`{name}` is no partition name: letters, digits and `_`, a letter first"
                )));
            }
            if schema.fields.iter().any(|f| f.name.eq_ignore_ascii_case(name)) {
                return Err(fail(format!(
                    "`{name}` is a column of table {} as well; engines would see it twice, so give \
                     the partition another name",
                    schema.name
                )));
            }
            if segments.iter().any(|s| s.name.eq_ignore_ascii_case(name)) {
                return Err(fail(format!("`{name}` is there twice")));
            }
            let parts = parse_value(value, schema).map_err(fail)?;
            if !parts.iter().any(|p| !matches!(p, Part::Literal(_))) {
                return Err(fail(format!(
                    "`{segment}` holds no column: a value comes from one in braces, like \
                     `date={{startTime:%Y-%m-%d}}`"
                )));
            }
            segments.push(Segment { name: name.to_owned(), parts });
        }
        Ok(Template { text: text.to_owned(), segments })
    }

    /// Returns the text that it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the indexes of the time columns in the values.
    pub(crate) fn time_columns(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().flat_map(|segment| &segment.parts).filter_map(|part| match part {
            Part::Time { column, .. } => Some(*column),
            _ => None,
        })
    }

    /// Returns the names of the partition's columns, in the order of the path.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| segment.name.as_str())
    }

    /// Returns the first partition column that has the name of a column of the files. Case does not
    /// count.
    pub(crate) fn ambiguous(&self, schema: &TableSchema) -> Option<&str> {
        let columns = || {
            let lineage = [INGEST_TIME, INGEST_ID, EXTRA];
            schema.fields.iter().map(|field| field.name.as_str()).chain(lineage)
        };
        self.names().find(|name| columns().any(|column| column.eq_ignore_ascii_case(name)))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn split_outside_braces(text: &str) -> Result<Vec<&str>, String> {
    let mut out = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' if inside => return Err(format!("`{{` within a placeholder at byte {at}")),
            '{' => inside = true,
            '}' if !inside => return Err(format!("`}}` without a `{{` at byte {at}")),
            '}' => inside = false,
            '/' if !inside => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a `{` is never closed".to_owned());
    }
    // An empty template is a table without partitions.
    if !text.is_empty() {
        out.push(&text[start..]);
    }
    Ok(out)
}

fn parse_value(value: &str, schema: &TableSchema) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some((literal, after)) = rest.split_once('{') {
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let (inner, after) = after.split_once('}').ok_or("a `{` is never closed")?;
        parts.push(parse_placeholder(inner, schema)?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

fn parse_placeholder(inner: &str, schema: &TableSchema) -> Result<Part, String> {
    let (name, format) = match inner.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (inner, None),
    };
    let Some(column) = schema.fields.iter().position(|f| f.name == name) else {
        return Err(format!("table {} has no column `{name}`{}", schema.name, meant(name, schema)));
    };
    match (schema.fields.get(column).map(|f| &f.kind), format) {
        (Some(Kind::String), None) => Ok(Part::Text { column }),
        (Some(Kind::String), Some(_)) => {
            Err(format!("column `{name}` holds text: write `{{{name}}}`, without a format"))
        }
        (Some(Kind::TimestampMillis), Some(format)) if !format.is_empty() => {
            let unit_us = unit(format)?;
            Ok(Part::Time { column, format: format.to_owned(), unit_us })
        }
        (Some(Kind::TimestampMillis), _) => Err(format!(
            "column `{name}` is a time and needs a format: write `{{{name}:%Y-%m-%d}}`"
        )),
        _ => Err(format!("column `{name}` is neither a string nor a time")),
    }
}

/// Returns the end of a sentence that names the column which is spelled most like `name`, if one is.
fn meant(name: &str, schema: &TableSchema) -> String {
    let names = schema.fields.iter().flat_map(|field| {
        std::iter::once(&field.name)
            .chain(&field.aliases)
            .map(|spelling| (spelling.as_str(), field.name.as_str()))
    });
    crate::spelling::meant(name, names)
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default()
}

/// Returns the coarsest unit, in microseconds, in which `format` shows all times of a unit alike.
fn unit(format: &str) -> Result<i64, String> {
    let mut unit = DAY_US;
    for item in StrftimeItems::new(format) {
        let needs = match item {
            Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => {
                DAY_US
            }
            Item::Numeric(numeric, _) => match numeric {
                Numeric::Hour | Numeric::Hour12 => HOUR_US,
                Numeric::Minute => MINUTE_US,
                Numeric::Second | Numeric::Timestamp => SECOND_US,
                Numeric::Nanosecond => 1,
                _ => DAY_US,
            },
            Item::Fixed(fixed) => match fixed {
                Fixed::ShortMonthName
                | Fixed::LongMonthName
                | Fixed::ShortWeekdayName
                | Fixed::LongWeekdayName => DAY_US,
                Fixed::LowerAmPm | Fixed::UpperAmPm => HOUR_US,
                Fixed::RFC2822 | Fixed::RFC3339 => SECOND_US,
                _ => 1,
            },
            Item::Error => return Err(format!("`{format}` is no strftime format")),
        };
        unit = unit.min(needs);
    }
    Ok(unit)
}
