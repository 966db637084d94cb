//! The bytes of a row: equal for rows with equal values, whatever their batches.
//!
//! A record is its fields that are not null, by name, so that a column more or less, or another order of
//! columns, changes nothing for rows that are null there. Every value begins with a mark of its type, and
//! what has a length begins with it: no two rows that differ have the same bytes. Names are there as their
//! hashes. Of a map, the order of the entries is none of its value; instead of them it has the sum of their
//! 128-bit hashes. All hashes have a key ([`RowKey`]): without one, entries of maps could be made whose
//! sums are equal.

use arrow::array::{
    Array, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Fields, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use siphasher::sip128::SipHasher13;

/// A column has a type that no table has.
#[derive(Debug, thiserror::Error)]
#[error("column {0} has a type that no table has")]
pub(crate) struct OtherType(String);

/// A key of the hashes of rows (SipHash-1-3): nobody who does not know it finds two inputs with one hash.
#[derive(Clone, Copy)]
pub(crate) struct RowKey(SipHasher13);

impl std::fmt::Debug for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowKey")
    }
}

impl RowKey {
    /// Makes the hashes with this key.
    pub(crate) fn new([first, second]: [u64; 2]) -> RowKey {
        RowKey(SipHasher13::new_with_keys(first, second))
    }

    /// Returns the hash of `bytes`.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u128 {
        self.0.hash(bytes).as_u128()
    }
}

/// Writes the bytes of the rows of one batch.
pub(crate) struct RowBytes<'a> {
    key: RowKey,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    /// Hash of its name.
    name: u128,
    column: Column<'a>,
}

struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Long(&'a Int64Array),
    Double(&'a Float64Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
    List(&'a [i32], Box<Column<'a>>),
    Record(Vec<Field<'a>>),
    Map(&'a [i32], Box<Column<'a>>),
}

impl<'a> RowBytes<'a> {
    /// Reads the columns of `batch`, but for those named in `without`. Their bytes are of the key `key`.
    ///
    /// # Errors
    /// [`OtherType`].
    pub(crate) fn new(
        batch: &'a RecordBatch,
        without: &[&str],
        key: RowKey,
    ) -> Result<Self, OtherType> {
        let schema = batch.schema_ref();
        let mut fields = fields(schema.fields(), batch.columns(), key)?;
        let without: Vec<u128> = without.iter().map(|name| key.hash(name.as_bytes())).collect();
        fields.retain(|field| !without.contains(&field.name));
        Ok(RowBytes { key, fields })
    }

    /// Appends the bytes of the row `row`, which is one of the batch's.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        write_record(&self.fields, row, self.key, out);
    }
}

/// Reads columns, in the order of the hashes of their names. Those of nulls alone are left out.
fn fields<'a>(
    fields: &Fields,
    columns: &'a [arrow::array::ArrayRef],
    key: RowKey,
) -> Result<Vec<Field<'a>>, OtherType> {
    let pairs = fields.iter().zip(columns);
    let pairs = pairs.filter(|(_, column)| column.null_count() < column.len());
    let mut all = pairs
        .map(|(field, column)| {
            let column = column_of(field.name(), column, key)?;
            Ok(Field { name: key.hash(field.name().as_bytes()), column })
        })
        .collect::<Result<Vec<_>, OtherType>>()?;
    all.sort_by_key(|field| field.name);
    Ok(all)
}

fn column_of<'a>(name: &str, array: &'a dyn Array, key: RowKey) -> Result<Column<'a>, OtherType> {
    let values = match array.data_type() {
        DataType::Boolean => Values::Boolean(array.as_boolean()),
        DataType::Int64 => Values::Long(array.as_primitive::<Int64Type>()),
        DataType::Float64 => Values::Double(array.as_primitive::<Float64Type>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
        }
        DataType::Utf8 => Values::Text(array.as_string::<i32>()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let items = column_of(name, list.values(), key)?;
            Values::List(list.value_offsets(), Box::new(items))
        }
        DataType::Struct(of) => Values::Record(fields(of, array.as_struct().columns(), key)?),
        DataType::Map(..) => {
            let map = array.as_map();
            let entries = column_of(name, map.entries(), key)?;
            Values::Map(map.value_offsets(), Box::new(entries))
        }
        _ => return Err(OtherType(name.to_owned())),
    };
    Ok(Column { nulls: array.nulls(), values })
}

fn write_record(fields: &[Field<'_>], row: usize, key: RowKey, out: &mut Vec<u8>) {
    for field in fields {
        if !field.column.is_null(row) {
            out.push(b'f');
            out.extend_from_slice(&field.name.to_le_bytes());
            field.column.write(row, key, out);
        }
    }
    out.push(b'.');
}

/// Returns the rows of the list or map `row`.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).map_or(0, |at| usize::try_from(*at).unwrap_or(0));
    at(row)..at(row + 1)
}

impl Column<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a value that is not null.
    fn write(&self, row: usize, key: RowKey, out: &mut Vec<u8>) {
        match &self.values {
            Values::Boolean(values) => out.extend_from_slice(&[b'b', values.value(row).into()]),
            Values::Long(values) => number(b'l', values.value(row).to_le_bytes(), out),
            Values::Double(values) => number(b'd', values.value(row).to_le_bytes(), out),
            Values::Timestamp(values) => number(b't', values.value(row).to_le_bytes(), out),
            Values::Text(values) => {
                let text = values.value(row);
                number(b's', (text.len() as u64).to_le_bytes(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Values::List(offsets, items) => {
                let rows = range(offsets, row);
                number(b'a', (rows.len() as u64).to_le_bytes(), out);
                for row in rows {
                    match items.is_null(row) {
                        true => out.push(b'n'),
                        false => items.write(row, key, out),
                    }
                }
            }
            Values::Record(fields) => write_record(fields, row, key, out),
            Values::Map(offsets, entries) => {
                let rows = range(offsets, row);
                number(b'm', (rows.len() as u64).to_le_bytes(), out);
                let (mut sum, begin) = (0_u128, out.len());
                for row in rows {
                    entries.write(row, key, out);
                    sum = sum.wrapping_add(key.hash(out.get(begin..).unwrap_or_default()));
                    out.truncate(begin);
                }
                out.extend_from_slice(&sum.to_le_bytes());
            }
        }
    }
}

fn number(mark: u8, bytes: [u8; 8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, MapBuilder, StringBuilder};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn bytes(key: [u64; 2]) -> Vec<u8> {
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for name in ["a", "b"] {
            map.keys().append_value(name);
            map.values().append_value("value");
        }
        map.append(true).unwrap();
        let map = map.finish();
        let schema = Schema::new(vec![Field::new("tags", map.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(map)]).unwrap();
        let rows = RowBytes::new(&batch, &[], RowKey::new(key)).unwrap();
        let mut bytes = Vec::new();
        rows.write(0, &mut bytes);
        bytes
    }

    /// A sum of hashes that everybody can compute is easily made equal to that of somebody else's map.
    #[test]
    fn names_and_entries_of_maps_are_hashed_with_the_key() {
        let (one, other) = (bytes([1, 2]), bytes([1, 3]));
        assert_eq!(one, bytes([1, 2]));
        assert_eq!(one.len(), other.len());
        let (name, count, sum) = (1..17, 17..26, 26..42);
        assert_ne!(one[name.clone()], other[name]);
        assert_eq!(one[count.clone()], other[count]);
        assert_ne!(one[sum.clone()], other[sum]);
    }
}
