//! Properties as columns: filled from the lists and the tags beside them, once these are as they land.
//!
//! A column has the value of the first entry with its key, and null where that entry has none of the
//! column's type; without such an entry, the tag of that name. The decoder leaves these columns null, and
//! nothing but them is written here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::error::ArrowError;

use crate::columnar::lists::RecordLists;
use crate::columnar::maps::Maps;
use crate::columnar::rewrite;
use crate::columnar::values::{doubles, strings};
use crate::schema::{Field, Kind, PropertyType, TableSchema};
use crate::table::flat::{ACTIONS, records};

/// The columns of a table that are lifted from properties.
#[derive(Debug)]
pub(super) struct Lift {
    session: Vec<Lifted>,
    /// The index of the list of actions, and its columns.
    actions: Option<(usize, Vec<Lifted>)>,
}

/// A column of a record that is lifted from its properties.
#[derive(Debug)]
struct Lifted {
    column: usize,
    key: String,
    of: PropertyType,
    /// The list, and the fields of its records with key and value, by index.
    list: Option<[usize; 3]>,
    tags: Option<usize>,
}

impl Lift {
    /// Finds the columns of `schema`; none if it has none.
    pub(super) fn new(schema: &TableSchema) -> Option<Lift> {
        let session = lifted(&schema.fields);
        let list = schema.fields.iter().position(|field| field.name == ACTIONS);
        let actions =
            list.and_then(|at| Some((at, lifted(records(&schema.fields.get(at)?.kind)?))));
        let actions = actions.filter(|(_, lifted)| !lifted.is_empty());
        (!session.is_empty() || actions.is_some()).then_some(Lift { session, actions })
    }

    /// Returns the batch with its columns filled.
    ///
    /// # Errors
    /// The batch is not of the schema: a bug.
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns = batch.columns().to_vec();
        if let Some((at, lifted)) = &self.actions
            && let Some(actions) = columns.get_mut(*at)
        {
            *actions = rewrite::elements(actions, |actions| {
                rewrite::members(actions, |columns| fill(lifted, columns))
            })?;
        }
        fill(&self.session, &mut columns)?;
        RecordBatch::try_new(batch.schema(), columns)
    }
}

/// Returns the columns of a record that are lifted.
fn lifted(fields: &[Field]) -> Vec<Lifted> {
    let of = |(column, field): (usize, &Field)| {
        let property = field.json.property.as_ref()?;
        let find = |name: &str| fields.iter().position(|field| field.name == name);
        let list = find(property.of.list()).and_then(|list| {
            let entries = records(&fields.get(list)?.kind)?;
            let key = entries.iter().position(|f| f.name == "key" && f.kind == Kind::String)?;
            let value =
                entries.iter().position(|f| f.name == "value" && f.kind == *property.of.kind())?;
            Some([list, key, value])
        });
        let is_it = |at: &usize| fields.get(*at).is_some_and(|f| property.of.takes_tags(&f.kind));
        let tags = property.of.tags().and_then(find).filter(is_it);
        Some(Lifted { column, key: property.key.clone(), of: property.of, list, tags })
    };
    fields.iter().enumerate().filter_map(of).collect()
}

/// Fills the columns of a record.
fn fill(lifted: &[Lifted], columns: &mut [ArrayRef]) -> Result<(), ArrowError> {
    for of in lifted {
        let filled = of.values(columns)?;
        if let (Some(column), Some(filled)) = (columns.get_mut(of.column), filled) {
            *column = filled;
        }
    }
    Ok(())
}

impl Lifted {
    /// Returns the values of the column; none if no row has one.
    fn values(&self, columns: &[ArrayRef]) -> Result<Option<ArrayRef>, ArrowError> {
        let Some(column) = columns.get(self.column) else { return Ok(None) };
        let missing = || ArrowError::SchemaError("a list of properties is missing".to_owned());
        // Where the value of each row is: in which of the arrays, and at which index.
        let nulls = new_null_array(column.data_type(), 1);
        let mut sources: Vec<ArrayRef> = vec![nulls];
        let mut places: Vec<Option<(usize, usize)>> = vec![None; column.len()];
        if let Some([list, key, value]) = self.list {
            let lists = columns.get(list).and_then(RecordLists::of).ok_or_else(missing)?;
            let keys = lists.member(key).and_then(|keys| strings(keys.as_ref()));
            let keys = keys.ok_or_else(missing)?;
            let is_it = |entry: &usize| {
                !lists.is_null(*entry) && keys.is_valid(*entry) && keys.value(*entry) == self.key
            };
            for (row, place) in places.iter_mut().enumerate() {
                *place = lists.elements(row).find(is_it).map(|entry| (sources.len(), entry));
            }
            sources.push(Arc::clone(lists.member(value).ok_or_else(missing)?));
        }
        if let Some(tags) = self.tags {
            let maps = columns.get(tags).and_then(Maps::of).ok_or_else(missing)?;
            let keys = strings(maps.keys().as_ref()).ok_or_else(missing)?;
            let is_it = |entry: &usize| keys.is_valid(*entry) && keys.value(*entry) == self.key;
            for (row, place) in places.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                *place = maps.entries(row).find(is_it).map(|entry| (sources.len(), entry));
            }
            sources.push(self.of_tags(maps.values()).ok_or_else(missing)?);
        }
        if places.iter().all(Option::is_none) {
            return Ok(None);
        }
        let places: Vec<(usize, usize)> =
            places.into_iter().map(|place| place.unwrap_or((0, 0))).collect();
        let sources: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
        interleave(&sources, &places).map(Some)
    }

    /// Returns the values of tags as those of the column: of numbers, the whole ones for a long.
    fn of_tags(&self, values: &ArrayRef) -> Option<ArrayRef> {
        if self.of != PropertyType::Long {
            return Some(Arc::clone(values));
        }
        let numbers = doubles(values.as_ref())?;
        let longs: Int64Array = numbers.iter().map(|number| number.and_then(whole)).collect();
        Some(Arc::new(longs))
    }
}

/// Returns the integer that a double is exactly.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 are integers")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoder;
    use crate::record::{Body, Form, Micros, Seq};

    /// A schema of one's own can say anything of the tags.
    #[test]
    fn tags_of_another_type_are_none() {
        for (map, of) in [("long", "string"), ("long", "long"), ("string", "double")] {
            let tags = if of == "string" { "stringTags" } else { "numTags" };
            let schema = format!(
                r#"{{"type": "record", "name": "t", "fields": [
                    {{"name": "{tags}", "type": {{"type": "map", "values": "{map}"}}}},
                    {{"name": "p", "type": ["null", "{of}"], "property": ["{of}", "a"]}}]}}"#
            );
            let schema = Arc::new(TableSchema::parse(&schema).unwrap());
            let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
            let value = if map == "long" { "1" } else { "\"x\"" };
            decoder.push(&Body {
                seq: Seq(1),
                received_at: Micros(0),
                table: "t".into(),
                form: Form::Ndjson,
                first_line: 1,
                bytes: format!("{{\"{tags}\":{{\"a\":{value}}}}}").into(),
                stored: None,
            });
            let batch = decoder.finish().batch;
            let lifted = Lift::new(&schema).unwrap().apply(&batch).unwrap();
            assert_eq!(lifted.column_by_name("p").unwrap().null_count(), 1, "{map} {of}");
        }
    }

    #[test]
    fn only_whole_numbers_that_a_double_has_exactly_are_integers() {
        assert_eq!(whole(-2.0), Some(-2));
        assert_eq!(whole(9_007_199_254_740_992.0), Some(9_007_199_254_740_992));
        for number in [0.5, 1e16, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(whole(number), None, "{number}");
        }
    }
}
