//! The rows of one flat table, of one batch of its parent, in batches of a bounded size.

use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::nullif;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::child::Child;
use super::extra::Extras;
use super::runs::{Lists, Run};
use super::{CHUNK_BYTES, Derived, SESSION_TEXT_BYTES};
use crate::columnar::folded;
use crate::columnar::gather::{self, Sources};
use crate::columnar::null_arrays::null_array;
use crate::columnar::repeat::{Repeat, repeat};
use crate::columnar::values::strings;
use crate::record::BodyRows;

/// Bytes of a row beside the texts that it repeats.
const ROW_BYTES: usize = 256;

/// The rows of a flat table that are still to be made, for one batch of its parent.
#[derive(Debug)]
pub struct Explosion {
    child: Arc<Child>,
    /// The parent's columns that rows repeat: those of the session, then the lineage without `_extra`.
    repeated: Vec<ArrayRef>,
    /// Bytes of text in them, by row of the parent.
    text_bytes: Vec<usize>,
    /// The names of all actions, where rows repeat those too.
    names: Option<ArrayRef>,
    /// Bytes of text in them.
    name_bytes: Vec<usize>,
    lists: Lists,
    extras: Extras,
    bodies: Vec<BodyRows>,
    /// The elements that are not rows yet, the next one last.
    runs: Vec<Run>,
    bytes: usize,
}

impl Explosion {
    pub(super) fn new(
        child: &Arc<Child>,
        batch: &RecordBatch,
        bodies: &[BodyRows],
    ) -> anyhow::Result<Explosion> {
        let lists = Lists::new(child, batch)?;
        let mut runs = lists.runs(child, batch.num_rows());
        let column = |at: usize| {
            batch.columns().get(at).cloned().context("a column is not in the batch: a bug")
        };
        let [time, id, extra] = child.lineage;
        let session = child.session.iter().map(|at| column(*at));
        let mut repeated = session.collect::<anyhow::Result<Vec<_>>>()?;
        let mut text_bytes = vec![0; batch.num_rows()];
        for column in &mut repeated {
            bound_texts(column, &mut text_bytes)?;
        }
        repeated.extend([column(time)?, column(id)?]);
        let title = child.actions.as_ref().and_then(|actions| actions.title);
        let names = lists.actions.as_ref().and_then(|actions| actions.member(title?));
        let mut names = names.map(Arc::clone);
        let mut name_bytes = vec![0; names.as_ref().map_or(0, |names| names.len())];
        if let Some(names) = &mut names {
            bound_texts(names, &mut name_bytes)?;
        }
        let extras = match runs.is_empty() {
            true => Extras::default(),
            false => Extras::of(child, &column(extra)?),
        };
        runs.reverse();
        let (child, bodies) = (Arc::clone(child), bodies.to_vec());
        let mut explosion = Explosion {
            child,
            repeated,
            text_bytes,
            names,
            name_bytes,
            lists,
            extras,
            bodies,
            runs,
            bytes: 0,
        };
        let of_run = |run: &Run| run.elements.len().saturating_mul(explosion.row_bytes(run));
        let bytes = explosion.runs.iter().map(of_run).fold(0, usize::saturating_add);
        explosion.bytes = bytes;
        Ok(explosion)
    }

    /// Returns about the bytes that all of its rows take, beside the arrays that they share with the
    /// parent's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the next batch; `None` when there are no more rows.
    ///
    /// # Errors
    /// Arrays that do not go together: a bug.
    pub fn next_batch(&mut self) -> anyhow::Result<Option<Derived>> {
        let runs = self.next_runs();
        if runs.is_empty() {
            return Ok(None);
        }
        let by_row = repeats(runs.iter().map(|run| (run.row, run.elements.len())));
        let mut columns = Vec::with_capacity(self.child.schema.fields().len());
        columns.push(self.session(&by_row)?);
        self.own(&runs, &mut columns)?;
        columns.push(self.extras.column(&runs)?);
        let batch = RecordBatch::try_new(Arc::clone(&self.child.schema), columns)?;
        let mut of = Vec::with_capacity(batch.num_rows());
        for (row, times) in &by_row {
            let row = u32::try_from(*row).context("a batch of more than 2^32 rows")?;
            of.resize(of.len() + times, row);
        }
        let bodies = self.bodies_of(&by_row);
        Ok(Some(Derived { table: self.child.table, batch, bodies, of }))
    }

    /// Returns the column of the session, folded.
    fn session(&self, by_row: &[Repeat]) -> anyhow::Result<ArrayRef> {
        // Sessions that follow one another are copied as one.
        let mut runs: Vec<gather::Run> = Vec::new();
        for (row, _) in by_row {
            match runs.last_mut() {
                Some(last) if last.rows.end == *row => last.rows.end += 1,
                _ => runs.push(gather::Run { batch: 0, rows: *row..*row + 1 }),
            }
        }
        let columns = match runs.as_slice() {
            // None is left out: the parent's columns are shared.
            [run] => {
                let part = |column: &ArrayRef| column.slice(run.rows.start, run.rows.len());
                self.repeated.iter().map(part).collect()
            }
            _ => {
                let schema = Arc::new(Schema::new(folded::members(&self.child.schema)?.clone()));
                let all = RecordBatch::try_new(Arc::clone(&schema), self.repeated.clone())?;
                gather::gather(&schema, &[all], &runs)?.columns().to_vec()
            }
        };
        Ok(folded::column(&self.child.schema, columns, by_row.iter().map(|(_, times)| *times))?)
    }

    /// Takes the elements of the next batch: at least one, if there are any.
    fn next_runs(&mut self) -> Vec<Run> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(mut run) = self.runs.pop()
        {
            let of_row = self.row_bytes(&run);
            let room = (CHUNK_BYTES - bytes).div_ceil(of_row);
            if run.elements.len() > room {
                let split = run.elements.start + room;
                let (position, elements) = (run.position + room, split..run.elements.end);
                self.runs.push(Run { position, elements, ..run.clone() });
                run.elements.end = split;
            }
            bytes += run.elements.len() * of_row;
            taken.push(run);
        }
        taken
    }

    /// Adds the columns between those of the session and the lineage.
    fn own(&self, runs: &[Run], columns: &mut Vec<ArrayRef>) -> anyhow::Result<()> {
        let len: usize = runs.iter().map(|run| run.elements.len()).sum();
        if self.child.is_of_properties {
            let level = runs.iter().map(|run| (usize::from(run.action.is_some()), run));
            columns.push(words(&["session", "action"], level)?);
            columns.extend(self.actions(runs, len)?);
            let types = runs.iter().map(|run| (run.source, run));
            let names: Vec<&str> =
                self.child.lists.iter().map(|list| list.of.map_or("", |of| of.as_str())).collect();
            columns.push(words(&names, types)?);
        }
        let positions = runs.iter().flat_map(|run| {
            let first = run.position;
            (first..first + run.elements.len()).map(|position| position as i64)
        });
        let mut all = Vec::with_capacity(len);
        all.extend(positions);
        columns.push(Arc::new(Int64Array::from(all)));
        self.elements(runs, columns)
    }

    /// Returns position and name of the action that has each property.
    fn actions(&self, runs: &[Run], len: usize) -> anyhow::Result<[ArrayRef; 2]> {
        let mut positions = arrow::array::Int64Builder::with_capacity(len);
        for run in runs {
            for _ in 0..run.elements.len() {
                positions.append_option(run.action.map(|(position, _)| position as i64));
            }
        }
        let text = crate::schema::Kind::String.arrow();
        let Some(all) = &self.names else {
            return Ok([Arc::new(positions.finish()), null_array(&text, len)?]);
        };
        // The session's properties have a null behind all names.
        let null = null_array(&text, 1)?;
        let names = arrow::compute::concat(&[all.as_ref(), null.as_ref()])?;
        let of =
            |run: &Run| (run.action.map_or(all.len(), |(_, action)| action), run.elements.len());
        let names = repeat(&names, &repeats(runs.iter().map(of)))?;
        Ok([Arc::new(positions.finish()), names])
    }

    /// Adds the columns of the elements: parts of the parent's arrays where no other elements are
    /// between them.
    fn elements(&self, runs: &[Run], columns: &mut Vec<ArrayRef>) -> anyhow::Result<()> {
        let schema = &self.child.elements;
        let joined = runs.windows(2).all(|pair| match pair {
            [a, b] => a.source == b.source && a.elements.end == b.elements.start,
            _ => true,
        });
        if joined
            && let Some((first, last)) = runs.first().zip(runs.last())
            && let Some(source) = self.child.lists.get(first.source)
            && let Some(lists) = self.lists.sources.get(first.source)
        {
            let (at, len) = (first.elements.start, last.elements.end - first.elements.start);
            for (field, column) in source.fields.iter().zip(schema.fields()) {
                columns.push(match field.and_then(|field| lists.member(field)) {
                    Some(all) if at == 0 && all.len() == len => Arc::clone(all),
                    Some(all) => all.slice(at, len),
                    None => null_array(column.data_type(), len)?,
                });
            }
            return Ok(());
        }
        let mut sources = Sources::new(schema);
        for (source, lists) in self.child.lists.iter().zip(&self.lists.sources) {
            let len = lists.len();
            let of = |(field, column): (&Option<usize>, &arrow::datatypes::FieldRef)| match field
                .and_then(|field| lists.member(field))
            {
                Some(all) => Ok(Arc::clone(all)),
                None => null_array(column.data_type(), len),
            };
            let all = source.fields.iter().zip(schema.fields()).map(of);
            let all = all.collect::<Result<Vec<_>, ArrowError>>()?;
            sources.push(&RecordBatch::try_new(Arc::clone(schema), all)?)?;
        }
        let runs =
            runs.iter().map(|run| gather::Run { batch: run.source, rows: run.elements.clone() });
        let gathered = sources.gather(&runs.collect::<Vec<_>>())?;
        columns.extend(gathered.columns().iter().cloned());
        Ok(())
    }

    /// Returns about the bytes of a row, beside the arrays that it shares.
    fn row_bytes(&self, run: &Run) -> usize {
        let text = self.text_bytes.get(run.row).copied().unwrap_or(0);
        let name = run.action.and_then(|(_, action)| self.name_bytes.get(action).copied());
        ROW_BYTES + text + name.unwrap_or(0)
    }

    /// Returns the bodies of the rows that repeat these rows of the parent.
    fn bodies_of(&self, by_row: &[Repeat]) -> Vec<BodyRows> {
        let mut bodies: Vec<BodyRows> = Vec::new();
        let mut all = self.bodies.iter();
        // The row after those of the body, and the body.
        let (mut end, mut body) = (0, None);
        for (row, times) in by_row {
            while *row >= end {
                body = all.next();
                let Some(next) = body else { return bodies };
                end += next.rows;
            }
            let Some(of) = body else { return bodies };
            match bodies.last_mut() {
                Some(last) if last.seq == of.seq => last.rows += times,
                _ => bodies.push(BodyRows { rows: *times, ..*of }),
            }
        }
        bodies
    }
}

/// Joins what repeats one row.
fn repeats(rows: impl Iterator<Item = Repeat>) -> Vec<Repeat> {
    let mut repeats: Vec<Repeat> = Vec::new();
    for (row, times) in rows {
        match repeats.last_mut() {
            Some(last) if last.0 == row => last.1 += times,
            _ => repeats.push((row, times)),
        }
    }
    repeats
}

/// Adds the bytes of a column's texts to those of each row. A text with which a row would have too many
/// becomes null.
fn bound_texts(column: &mut ArrayRef, text_bytes: &mut [usize]) -> Result<(), ArrowError> {
    let Some(texts) = strings(column) else { return Ok(()) };
    let (mut dropped, mut kept) = (Vec::new(), 0);
    for (row, (text, bytes)) in texts.iter().zip(text_bytes).enumerate() {
        let len = text.map_or(0, str::len);
        if *bytes + len > SESSION_TEXT_BYTES {
            dropped.push(row);
        } else {
            *bytes += len;
            kept += len;
        }
    }
    let offsets = texts.value_offsets();
    let held = offsets.last().zip(offsets.first()).map_or(0, |(end, begin)| end - begin);
    if kept < held as usize {
        let mut mask = vec![false; column.len()];
        for row in dropped {
            if let Some(dropped) = mask.get_mut(row) {
                *dropped = true;
            }
        }
        // The bytes below a null would be held by every slice of the column, and are counted by none.
        let all: Vec<Repeat> = (0..mask.len()).map(|row| (row, 1)).collect();
        *column = repeat(&nullif(column, &mask.into())?, &all)?;
    }
    Ok(())
}

/// Returns a column of words: for each run the index of its word.
fn words<'a>(
    words: &[&str],
    runs: impl Iterator<Item = (usize, &'a Run)>,
) -> Result<ArrayRef, ArrowError> {
    let all: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
    repeat(&all, &repeats(runs.map(|(word, run)| (word, run.elements.len()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_null_is_not_held() {
        let long = "l".repeat(1 << 20);
        let mut column: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "a"]));
        bound_texts(&mut column, &mut [0, 0]).unwrap();
        let texts = strings(&column).unwrap();
        assert_eq!((texts.is_null(0), texts.value(1), texts.value_data().len()), (true, "a", 1));
        let mut column: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
        bound_texts(&mut column, &mut [0]).unwrap();
        assert_eq!(strings(&column).unwrap().value_data().len(), 0);
    }
}
