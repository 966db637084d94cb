//! Batches of flat tables: what the rows of a session repeat stands once for all of them.
//!
//! ```text
//! table:  a │ b │ position │ … │ _ingest_time │ _ingest_id │ _extra
//! folded: runs of {a, b, _ingest_time, _ingest_id} │ position │ … │ _extra
//! ```
//! The first column of a folded batch is run-end encoded: a record for each run of rows. To copy, spill
//! or encode it costs by sessions, not by rows. Nested tables have no run-end encoded column.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::repeat::{Repeat, repeat};
use super::run_ends;

/// Lineage columns, and those of them that are folded: not `_extra`, which is the element's own.
const LINEAGE: usize = 3;
const FOLDED_LINEAGE: usize = 2;

/// The place of a table's column in folded batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The index of a member of the folded records.
    Folded(usize),
    /// The index of a column of the batch.
    Own(usize),
}

/// The folded column of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    records: StructArray,
    rows: Vec<usize>,
}

/// Returns the place of the column at `at` in batches of a table with so many columns, of which the first
/// `leading` are folded.
pub(crate) fn place(at: usize, columns: usize, leading: usize) -> Place {
    let lineage = columns.saturating_sub(LINEAGE);
    if at < leading {
        Place::Folded(at)
    } else if at < lineage {
        Place::Own(1 + at - leading)
    } else if at < lineage + FOLDED_LINEAGE {
        Place::Folded(leading + at - lineage)
    } else {
        Place::Own(1 + at - leading - FOLDED_LINEAGE)
    }
}

/// Returns the schema of folded batches of a table, whose first `leading` columns are of the session.
pub(crate) fn fold(schema: &SchemaRef, leading: usize) -> SchemaRef {
    let columns = schema.fields().len();
    let (mut folded, mut own) = (Vec::new(), Vec::new());
    for (at, field) in schema.fields().iter().enumerate() {
        match place(at, columns, leading) {
            Place::Folded(_) => folded.push(Arc::clone(field)),
            Place::Own(_) => own.push(Arc::clone(field)),
        }
    }
    let ends = Field::new(Field::REE_RUN_ENDS_FIELD_DEFAULT_NAME, DataType::Int32, false);
    let values = DataType::Struct(Fields::from(folded));
    let values = Field::new(Field::REE_VALUES_FIELD_DEFAULT_NAME, values, true);
    let runs = DataType::RunEndEncoded(Arc::new(ends), Arc::new(values));
    let first = Arc::new(Field::new("session", runs, true));
    Arc::new(Schema::new([vec![first], own].concat()))
}

/// Returns the column of a folded batch of `schema`: of each run the row of `columns`, and the number of
/// rows that repeat it.
///
/// # Errors
/// Columns of other types, or more than 2^31 rows.
pub(crate) fn column(
    schema: &Schema,
    columns: Vec<ArrayRef>,
    rows: impl IntoIterator<Item = usize>,
) -> Result<ArrayRef, ArrowError> {
    let fields = members(schema)?;
    run_ends::encode(&StructArray::try_new(fields.clone(), columns, None)?, rows)
}

/// Returns the columns that are folded in batches of `schema`.
///
/// # Errors
/// They have no folded column.
pub(crate) fn members(schema: &Schema) -> Result<&Fields, ArrowError> {
    let wrong = || ArrowError::SchemaError("the batches of the table are not folded".to_owned());
    let kind = schema.fields().first().map(|field| field.data_type());
    let Some(DataType::RunEndEncoded(_, values)) = kind else { return Err(wrong()) };
    let DataType::Struct(fields) = values.data_type() else { return Err(wrong()) };
    Ok(fields)
}

impl Folded {
    /// Returns the folded column of a batch; `None` if the batch is not folded.
    pub(crate) fn of(batch: &RecordBatch) -> Option<Folded> {
        let runs = run_ends::runs(batch.columns().first()?)?;
        let records = runs.values_slice().as_struct_opt()?.clone();
        Some(Folded { records, rows: run_ends::rows(runs) })
    }

    /// Returns the number of rows of each record.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Returns the member at `at` of the records.
    pub(crate) fn member(&self, at: usize) -> Option<&ArrayRef> {
        self.records.columns().get(at)
    }

    /// Returns the member at `at`, for each row.
    fn expanded(&self, at: usize) -> Option<Result<ArrayRef, ArrowError>> {
        let wanted: Vec<Repeat> = self.rows.iter().copied().enumerate().collect();
        self.member(at).map(|member| repeat(member, &wanted))
    }
}

/// Returns the column at `at` of the table of a batch, for each row; `None` if there is none.
///
/// # Errors
/// More than 2 GiB of text.
pub(crate) fn column_of_table(
    batch: &RecordBatch,
    at: usize,
) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(folded) = Folded::of(batch) else { return Ok(batch.columns().get(at).cloned()) };
    let members = folded.records.num_columns();
    let columns = members + batch.num_columns() - 1;
    match place(at, columns, members - FOLDED_LINEAGE) {
        Place::Folded(at) => folded.expanded(at).transpose(),
        Place::Own(at) => Ok(batch.columns().get(at).cloned()),
    }
}

/// Returns a batch as the table has it, with `schema`.
///
/// # Errors
/// The batch is of another table.
#[cfg(test)]
pub(crate) fn unfold(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = (0..schema.fields().len()).map(|at| {
        let missing = || ArrowError::SchemaError(format!("no column {at}"));
        column_of_table(batch, at)?.ok_or_else(missing)
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::buffer::Buffer;
    use arrow::compute::filter_record_batch;

    use super::*;
    use crate::columnar::builders::timestamps;
    use crate::columnar::gather::{Run, gather};
    use crate::columnar::sizes::{held_bytes, row_bytes};
    use crate::columnar::spill_format;
    use crate::schema::TableSchema;

    const AVSC: &str = r#"{"type": "record", "name": "flat", "fields": [
        {"name": "id", "type": ["null", "string"]}, {"name": "n", "type": ["null", "long"]},
        {"name": "position", "type": "long"}]}"#;

    /// A batch with these numbers of rows of each session, and the schema of its table.
    fn batch(first: i64, sessions: &[usize]) -> (RecordBatch, SchemaRef) {
        let schema = TableSchema::parse(AVSC).unwrap().arrow();
        let all = first..first + sessions.len() as i64;
        let id = |n: i64| (n % 3 > 0).then(|| format!("s{n}"));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(all.clone().map(id).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(all.clone())),
            timestamps(all.clone().collect()),
            Arc::new(all.clone().map(|n| Some(format!("n-1-{n}"))).collect::<StringArray>()),
        ];
        let folded = fold(&schema, 2);
        let rows = sessions.iter().sum::<usize>() as i64;
        let columns = vec![
            column(&folded, columns, sessions.iter().copied()).unwrap(),
            Arc::new(Int64Array::from_iter_values(100 * first..100 * first + rows)) as ArrayRef,
            Arc::new(StringArray::new_null(rows as usize)),
        ];
        (RecordBatch::try_new(folded, columns).unwrap(), schema)
    }

    #[test]
    fn columns_of_the_table_are_found_in_folded_batches() {
        let (batch, schema) = batch(1, &[2, 1]);
        let names: Vec<String> = (0..6)
            .map(|at| match place(at, 6, 2) {
                Place::Folded(at) => format!("folded {at}"),
                Place::Own(at) => batch.schema().field(at).name().clone(),
            })
            .collect();
        assert_eq!(names, ["folded 0", "folded 1", "position", "folded 2", "folded 3", "_extra"]);
        let all = unfold(&batch, &schema).unwrap();
        let ids = all.column_by_name("_ingest_id").unwrap().as_string::<i32>();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["n-1-1", "n-1-1", "n-1-2"]);
        assert_eq!(column_of_table(&all, 3).unwrap().as_ref(), Some(all.column(3)));
        assert!(column_of_table(&all, 6).unwrap().is_none());
    }

    #[test]
    fn rows_are_gathered_spilled_left_out_and_cut_as_if_they_were_not_folded() {
        let (one, schema) = batch(1, &[3, 1, 4, 2]);
        let (two, _) = batch(7, &[5, 1]);
        let two = two.slice(2, 4);
        let wide = [&one, &two].map(|batch| unfold(batch, &schema).unwrap());
        let run = |batch, rows| Run { batch, rows };
        let wanted = [
            run(0, 1..2),
            run(0, 2..5),
            run(0, 0..0),
            run(1, 0..2),
            run(1, 2..4),
            run(0, 6..7),
            run(0, 7..10),
            run(0, 0..1),
        ];
        let folded = one.schema();
        let gathered = gather(&folded, &[one.clone(), two.clone()], &wanted).unwrap();
        let expected = gather(&schema, &wide, &wanted).unwrap();
        assert_eq!(unfold(&gathered, &schema).unwrap(), expected);
        // A session's rows that follow on one another stay together.
        let of = Folded::of(&gathered).unwrap();
        assert_eq!(of.rows(), [2, 1, 1, 3, 1, 2, 2, 1]);
        assert_eq!(gather(&folded, std::slice::from_ref(&one), &[]).unwrap().num_rows(), 0);

        for batch in [&gathered, &two, &one.slice(0, 0), &gathered.slice(1, 6)] {
            let mut bytes = Vec::new();
            spill_format::write(batch, &mut bytes).unwrap();
            let read = spill_format::read(&Buffer::from_vec(bytes), &folded).unwrap();
            assert_eq!(unfold(&read, &schema).unwrap(), unfold(batch, &schema).unwrap());
        }

        let stays: Vec<bool> = (0..expected.num_rows()).map(|row| row % 3 != 1).collect();
        let kept = filter_record_batch(&gathered, &stays.clone().into()).unwrap();
        let expected = filter_record_batch(&expected, &stays.into()).unwrap();
        assert_eq!(unfold(&kept, &schema).unwrap(), expected);
    }

    #[test]
    fn what_is_repeated_is_counted_once() {
        let (many, _) = batch(1, &[1000, 1000]);
        let (few, _) = batch(1, &[1, 1]);
        // Beside the position's eight bytes, validity and no more.
        let bytes =
            |batch: &RecordBatch| row_bytes(batch, &(0..batch.num_rows())) - batch.num_rows() * 8;
        assert!(bytes(&many) - bytes(&few) < 1000, "{} {}", bytes(&many), bytes(&few));
        assert!(row_bytes(&many, &(0..1000)) * 2 - row_bytes(&many, &(0..2000)) < 20);
        assert!(held_bytes(&many) < 2000 * 8 + 6000, "{}", held_bytes(&many));
    }
}
