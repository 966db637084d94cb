//! The bytes of a spilled batch: the buffers of its arrays, depth first.
//!
//! ```text
//! batch: rows (u64) │ array of each column
//! array: 0                            nothing but nulls, or nothing
//!        1                │ values    no nulls
//!        2 │ validity     │ values
//! values, by type:
//!        numbers, bits
//!        text:   offsets │ bytes
//!        list:   offsets │ array of the elements
//!        map:    offsets │ array of the keys │ array of the values
//!        record: array of each member
//!        runs:   number of runs (u64) │ rows of each (i32) │ array of the values
//! ```
//! Numbers are little-endian on every machine that this is built for, and the process that writes a
//! file is the one that reads it. Every part begins at a multiple of 8, so that the arrays of a
//! batch that is read are slices of those bytes, not copies. Lengths are not written: the number of
//! rows, and the last of the offsets, give the length of a part.
//!
//! Arrow's own IPC would write the nulls of every empty column as zeros, which are most of a batch,
//! and has a cost for each of its 350 buffers; a fifth slower in all.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, MapArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Fields, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
    ToByteSlice as _,
};

use super::run_ends;
use crate::columnar::null_arrays::null_array;

const NULL: u64 = 0;
const VALID: u64 = 1;
const SOME: u64 = 2;

/// Appends a batch to `out`, whose length is a multiple of 8.
///
/// # Errors
/// A type that no schema compiles to.
pub(crate) fn write(batch: &RecordBatch, out: &mut Vec<u8>) -> anyhow::Result<()> {
    put(out, &(batch.num_rows() as u64).to_le_bytes());
    batch.columns().iter().try_for_each(|column| array(column, out))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn bits(out: &mut Vec<u8>, bits: &BooleanBuffer) {
    let bits = bits.sliced();
    put(out, bits.as_slice());
}

fn array(array: &ArrayRef, out: &mut Vec<u8>) -> anyhow::Result<()> {
    if array.null_count() == array.len() {
        put(out, &NULL.to_le_bytes());
        return Ok(());
    }
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => put(out, &VALID.to_le_bytes()),
        Some(nulls) => {
            put(out, &SOME.to_le_bytes());
            bits(out, nulls.inner());
        }
    }
    match array.data_type() {
        DataType::Int64 => put(out, array.as_primitive::<Int64Type>().values().inner()),
        DataType::Float64 => put(out, array.as_primitive::<Float64Type>().values().inner()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            put(out, array.as_primitive::<TimestampMicrosecondType>().values().inner());
        }
        DataType::Boolean => bits(out, array.as_boolean().values()),
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            let (first, last) = offsets(text.offsets(), out);
            put(out, text.value_data().get(first..last).context("text beyond its bytes")?);
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().try_for_each(|member| self::array(member, out))?;
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, last) = offsets(list.offsets(), out);
            self::array(&list.values().slice(first, last - first), out)?;
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (first, last) = offsets(map.offsets(), out);
            self::array(&map.keys().slice(first, last - first), out)?;
            self::array(&map.values().slice(first, last - first), out)?;
        }
        DataType::RunEndEncoded(_, _) => {
            let runs = run_ends::runs(array).context("runs of another form")?;
            let rows: Vec<i32> = run_ends::rows(runs).iter().map(|rows| *rows as i32).collect();
            put(out, &(rows.len() as u64).to_le_bytes());
            put(out, rows.to_byte_slice());
            self::array(&runs.values_slice(), out)?;
        }
        // No schema compiles to another type.
        other => bail!("{other} cannot be spilled"),
    }
    Ok(())
}

/// Writes offsets shifted so that the first is 0; returns the first and the last as they were.
fn offsets(offsets: &OffsetBuffer<i32>, out: &mut Vec<u8>) -> (usize, usize) {
    let (first, last) = match &**offsets {
        [first, .., last] => (*first, *last),
        _ => (0, 0),
    };
    if first == 0 {
        put(out, offsets.inner().inner());
    } else {
        let shifted: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
        put(out, shifted.to_byte_slice());
    }
    // Arrow's offsets are not negative.
    (first as usize, last as usize)
}

/// Reads a batch of `schema` from `bytes`; its arrays are slices of them.
///
/// # Errors
/// `bytes` are not those of such a batch.
pub(crate) fn read(bytes: &Buffer, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
    let mut from = Reader { bytes, at: 0 };
    let rows = usize::try_from(from.number()?)?;
    ensure!(rows <= bytes.len(), "{rows} rows in {} bytes", bytes.len());
    let columns = schema.fields().iter().map(|field| from.array(field.data_type(), rows));
    let columns = columns.collect::<anyhow::Result<_>>()?;
    ensure!(from.at == bytes.len(), "{} bytes too many", bytes.len() - from.at);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

struct Reader<'a> {
    bytes: &'a Buffer,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> anyhow::Result<Buffer> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.context("it ends too early")?;
        let part = self.bytes.slice_with_length(self.at, len);
        self.at = end.next_multiple_of(8);
        Ok(part)
    }

    fn number(&mut self) -> anyhow::Result<u64> {
        let part = self.take(8)?;
        Ok(u64::from_le_bytes(part.as_slice().try_into()?))
    }

    fn bits(&mut self, len: usize) -> anyhow::Result<BooleanBuffer> {
        Ok(BooleanBuffer::new(self.take(len.div_ceil(8))?, 0, len))
    }

    /// Reads the offsets of `len` values; returns them and the last one.
    fn offsets(&mut self, len: usize) -> anyhow::Result<(OffsetBuffer<i32>, usize)> {
        let offsets = ScalarBuffer::<i32>::new(self.take((len + 1) * 4)?, 0, len + 1);
        let ordered = offsets.first() == Some(&0) && offsets.is_sorted();
        ensure!(ordered, "offsets that are not in order");
        let all = offsets.last().map_or(0, |last| *last as usize);
        Ok((OffsetBuffer::new(offsets), all))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        kind: &DataType,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> anyhow::Result<ArrayRef> {
        let bytes = self.take(len * size_of::<T::Native>())?;
        let array = PrimitiveArray::<T>::try_new(ScalarBuffer::new(bytes, 0, len), nulls)?;
        Ok(make_array(array.with_data_type(kind.clone()).into()))
    }

    fn members(&mut self, fields: &Fields, len: usize) -> anyhow::Result<Vec<ArrayRef>> {
        fields.iter().map(|field| self.array(field.data_type(), len)).collect()
    }

    fn array(&mut self, kind: &DataType, len: usize) -> anyhow::Result<ArrayRef> {
        let nulls = match self.number()? {
            NULL => return Ok(null_array(kind, len)?),
            VALID => None,
            SOME => Some(NullBuffer::new(self.bits(len)?)),
            other => bail!("an array with the marker {other}"),
        };
        Ok(match kind {
            DataType::Int64 => self.primitive::<Int64Type>(kind, len, nulls)?,
            DataType::Float64 => self.primitive::<Float64Type>(kind, len, nulls)?,
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.primitive::<TimestampMicrosecondType>(kind, len, nulls)?
            }
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits(len)?, nulls)),
            DataType::Utf8 => {
                let (offsets, bytes) = self.offsets(len)?;
                Arc::new(StringArray::try_new(offsets, self.take(bytes)?, nulls)?)
            }
            DataType::Struct(fields) => {
                let members = self.members(fields, len)?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), members, nulls, len)?)
            }
            DataType::List(element) => {
                let (offsets, items) = self.offsets(len)?;
                let items = self.array(element.data_type(), items)?;
                Arc::new(ListArray::try_new(Arc::clone(element), offsets, items, nulls)?)
            }
            DataType::Map(entries, sorted) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    bail!("a map of {entries}");
                };
                let (offsets, count) = self.offsets(len)?;
                let members = self.members(fields, count)?;
                let pairs = StructArray::try_new_with_length(fields.clone(), members, None, count)?;
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
            }
            DataType::RunEndEncoded(_, values) => {
                let count = usize::try_from(self.number()?)?;
                ensure!(count <= len, "{count} runs of {len} rows");
                let rows = ScalarBuffer::<i32>::new(self.take(count * 4)?, 0, count);
                let values = self.array(values.data_type(), count)?;
                let rows = rows.iter().map(|rows| usize::try_from(*rows).unwrap_or(0));
                let runs = run_ends::encode(&values, rows)?;
                ensure!(runs.len() == len, "runs of {} rows instead of {len}", runs.len());
                runs
            }
            other => bail!("{other} cannot be spilled"),
        })
    }
}
