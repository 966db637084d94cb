//! The Arrow types of a table: [`TableSchema`] → Arrow schema, for batches and Parquet files.
//!
//! | kind | Arrow |
//! |---|---|
//! | String | Utf8 |
//! | Long, Double, Boolean | Int64, Float64, Boolean |
//! | TimestampMillis | Timestamp(Microsecond, "UTC") |
//! | List | List of `element` |
//! | Struct | Struct |
//! | Map | Map of `entries` {`key` Utf8, `value`}, unsorted |
//!
//! Everything may be null but the keys and entries of maps and the two lineage columns that name
//! a row's origin. Microseconds, since nanoseconds break Spark and the table formats want
//! microseconds.
//!
//! Fields carry no docs as metadata: the DDL and the Avro schema have them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};

use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// The time zone of all timestamps.
pub(super) const UTC: &str = "UTC";

impl TableSchema {
    /// Returns the Arrow schema of the table's batches: its fields in order, then the lineage
    /// columns [`INGEST_TIME`], [`INGEST_ID`] and [`EXTRA`].
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let mut columns: Vec<ArrowField> = self.fields.iter().map(Field::arrow).collect();
        columns.extend([
            ArrowField::new(INGEST_TIME, Kind::TimestampMillis.arrow(), false),
            ArrowField::new(INGEST_ID, Kind::String.arrow(), false),
            ArrowField::new(EXTRA, Kind::String.arrow(), true),
        ]);
        Arc::new(Schema::new(columns))
    }
}

impl Field {
    /// Returns the Arrow field: the same name, nullable.
    #[must_use]
    pub fn arrow(&self) -> ArrowField {
        ArrowField::new(&self.name, self.kind.arrow(), true)
    }
}

impl Kind {
    /// Returns the Arrow type of a column of this kind.
    #[must_use]
    pub fn arrow(&self) -> DataType {
        match self {
            Kind::String => DataType::Utf8,
            Kind::Long => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
            Kind::TimestampMillis => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Kind::List(item) => {
                DataType::List(Arc::new(ArrowField::new("element", item.arrow(), true)))
            }
            Kind::Struct(fields) => {
                DataType::Struct(fields.iter().map(Field::arrow).collect::<Fields>())
            }
            Kind::Map(value) => {
                let entry = Fields::from(vec![
                    ArrowField::new("key", DataType::Utf8, false),
                    ArrowField::new("value", value.arrow(), true),
                ]);
                let entries = ArrowField::new("entries", DataType::Struct(entry), false);
                DataType::Map(Arc::new(entries), false)
            }
        }
    }
}

#[cfg(test)]
mod tests;
