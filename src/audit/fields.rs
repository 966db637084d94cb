//! Fields that no column has, by table: summed over the receipts of a lake, or counted in samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{TryStreamExt as _, pin_mut};

use crate::decode::{Decoder, Progress, ReadLimit};
use crate::fields::{Counts, FieldCounts, Sum, Tally};
use crate::lake::{Lake, StoreError};
use crate::record::{Body, Form, Micros, Roll, Seq};
use crate::schema::{ColumnType, PromoteError, TableSchema};

/// Most lines that are decoded at a time.
const LINES: u64 = 4_096;
/// Most bytes that are decoded at a time.
const BYTES: usize = 4 << 20;

/// The column of a field that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldColumn {
    /// The schema has one of the name, which does not take these values.
    Misfit,
    /// The schema has one by now.
    There,
    /// It can get one, which takes all values.
    Possible(ColumnType),
    /// It has none and can get none: its values have no one type, or it is within what is no record.
    No,
}

/// Returns the column of a field. Without a schema, its name says nothing.
#[must_use]
pub fn column_of(field: &FieldCounts, schema: Option<&TableSchema>) -> FieldColumn {
    if field.misfit {
        return FieldColumn::Misfit;
    }
    let column = field.types().column();
    let promoted = |column| schema.map(|schema| schema.promote(&field.pointer, column));
    match (promoted(column.unwrap_or(ColumnType::String)), column) {
        (Some(Err(PromoteError::Exists(_))), _) => FieldColumn::There,
        (Some(Err(_)), _) | (_, None) => FieldColumn::No,
        (Some(Ok(_)) | None, Some(column)) => FieldColumn::Possible(column),
    }
}

/// The sums over the receipts of a lake.
#[derive(Debug, Default)]
pub struct LakeFields {
    /// Counts by table; tables without any are left out.
    pub tables: BTreeMap<String, Counts>,
    /// Names of all tables in the receipts that were read.
    pub named: BTreeSet<String>,
    /// Receipts that were read.
    pub receipts: u64,
    /// Older receipts that were left out.
    pub older: u64,
    /// Receipts that cannot be read: node, roll, and what is wrong.
    pub unreadable: Vec<(String, u64, String)>,
}

/// Sums the counts in the receipts of `lake`: of each node, those of the last `rolls` rolls. Receipts of
/// versions that did not count have none.
///
/// # Errors
/// The store.
pub async fn of_lake(
    lake: &Lake,
    table: Option<&str>,
    rolls: usize,
) -> Result<LakeFields, StoreError> {
    let mut found = LakeFields::default();
    let mut wanted: Vec<(Arc<str>, Roll)> = Vec::new();
    for (node, of_node) in lake.receipt_names().await?.by_node {
        let node: Arc<str> = node.into();
        let first = of_node.len().saturating_sub(rolls);
        found.older += first as u64;
        wanted.extend(of_node.into_iter().skip(first).map(|roll| (Arc::clone(&node), Roll(roll))));
    }
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let read = lake.read_receipts(wanted.into_iter());
    pin_mut!(read);
    while let Some(chunk) = read.try_next().await? {
        for read in chunk {
            let receipt = match read.receipt {
                Ok(Some(receipt)) => receipt,
                Ok(None) => continue,
                Err(why) => {
                    found.unreadable.push((read.node.to_string(), read.roll.0, why));
                    continue;
                }
            };
            found.receipts += 1;
            found.named.extend(receipt.tables.iter().map(|of| of.table.clone()));
            let tables = receipt.tables.into_iter();
            for of in tables.filter(|of| table.is_none_or(|table| of.table == table)) {
                if let Some(counts) = &of.fields {
                    sums.entry(of.table).or_default().add(counts);
                }
            }
        }
    }
    found.tables = sums.into_iter().map(|(table, sum)| (table, sum.counts())).collect();
    Ok(found)
}

/// Fields of samples.
#[derive(Debug)]
pub struct Sample {
    schema: Arc<TableSchema>,
    decoder: Decoder,
    tally: Tally,
    /// Documents that were read.
    pub rows: u64,
    /// Lines that are no documents.
    pub rejects: u64,
}

impl Sample {
    /// Begins with documents of `schema`.
    #[must_use]
    pub fn new(schema: Arc<TableSchema>) -> Sample {
        let decoder = Decoder::new(Arc::clone(&schema), "sample".into());
        Sample { schema, decoder, tally: Tally::default(), rows: 0, rejects: 0 }
    }

    /// Adds the documents of a file, as they would be received at `time`.
    pub fn add(&mut self, text: Bytes, time: Micros) {
        let body = Body {
            seq: Seq(1),
            received_at: time,
            table: self.schema.name.as_str().into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: text,
            stored: None,
        };
        let mut progress = Progress::NEW;
        let limit = ReadLimit { lines: LINES, bytes: BYTES, column_bytes: BYTES };
        loop {
            let ended = self.decoder.read(&body, &mut progress, limit);
            let decoded = self.decoder.finish();
            self.rows += decoded.counts.rows;
            self.rejects += decoded.counts.rejects;
            self.tally.add(Tally::of(&decoded.batch, &self.schema));
            if ended {
                return;
            }
        }
    }

    /// Returns the counts.
    #[must_use]
    pub fn counts(mut self) -> Counts {
        self.tally.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_can_get_a_column_where_promotion_gives_it_one() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let schema = schema.promote("/plan", ColumnType::String).unwrap();
        let column = |pointer: &str, misfit: bool, types: &[&str]| {
            let (pointer, types) =
                (pointer.to_owned(), types.iter().map(|t| (*t).to_owned()).collect());
            column_of(
                &FieldCounts { pointer, misfit, types, ..FieldCounts::default() },
                Some(&schema),
            )
        };
        let text = &["string"];
        assert_eq!(column("/zz", false, text), FieldColumn::Possible(ColumnType::String));
        assert_eq!(
            column("/userActions/*/zz", false, &["long", "double"]),
            FieldColumn::Possible(ColumnType::Double)
        );
        // One that is there by now, whatever its values were.
        assert_eq!(column("/plan", false, text), FieldColumn::There);
        assert_eq!(column("/plan", false, &["string", "record"]), FieldColumn::There);
        assert_eq!(column("/duration", true, text), FieldColumn::Misfit);
        assert_eq!(column("/zz", false, &["record"]), FieldColumn::No);
        for pointer in
            ["/{key}", "/zz/inner", "/stringTags/{key}", "/userActions/*", "/COUNTRY", "/_zz/*"]
        {
            assert_eq!(column(pointer, false, text), FieldColumn::No, "{pointer}");
        }
        let unknown = FieldCounts {
            pointer: "/x".to_owned(),
            types: vec!["long".to_owned()],
            ..FieldCounts::default()
        };
        assert_eq!(column_of(&unknown, None), FieldColumn::Possible(ColumnType::Long));
    }
}
