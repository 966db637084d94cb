//! The schema of a Delta table: the columns of its Parquet files, and its partition columns.

use delta_kernel::KernelResult;
use delta_kernel::schema::{ArrayType, DataType, MapType, MetadataValue, StructField, StructType};

use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};
use crate::table::Template;
use crate::table::partition::{Part, Segment};

/// Key of a column's documentation.
const COMMENT: &str = "comment";

/// Returns the schema: the columns of the files, in their order, then the partition columns. Every
/// column may be null, since a column that may not would ask more of other writers than it gives.
///
/// # Errors
/// The library's, for names that Delta does not take.
pub(super) fn of(schema: &TableSchema, partition: &Template) -> KernelResult<StructType> {
    let columns = schema.fields.iter().map(field).collect::<KernelResult<Vec<_>>>()?;
    let lineage = [
        StructField::nullable(INGEST_TIME, DataType::TIMESTAMP),
        StructField::nullable(INGEST_ID, DataType::STRING),
        StructField::nullable(EXTRA, DataType::STRING),
    ];
    let added = partition.segments.iter();
    let added = added.map(|segment| StructField::nullable(&segment.name, partition_type(segment)));
    StructType::try_new(columns.into_iter().chain(lineage).chain(added))
}

/// Returns the type of a partition column: a date where the template writes nothing but one.
pub(super) fn partition_type(segment: &Segment) -> DataType {
    match &*segment.parts {
        [Part::Time { format, .. }] if matches!(&**format, "%Y-%m-%d" | "%F") => DataType::DATE,
        _ => DataType::STRING,
    }
}

fn field(field: &Field) -> KernelResult<StructField> {
    let column = StructField::nullable(&field.name, kind(&field.kind)?);
    Ok(match field.doc.as_str() {
        "" => column,
        doc => column.with_metadata([(COMMENT, MetadataValue::String(doc.to_owned()))]),
    })
}

fn kind(of: &Kind) -> KernelResult<DataType> {
    Ok(match of {
        Kind::String => DataType::STRING,
        Kind::Long => DataType::LONG,
        Kind::Double => DataType::DOUBLE,
        Kind::Boolean => DataType::BOOLEAN,
        Kind::TimestampMillis => DataType::TIMESTAMP,
        Kind::List(element) => ArrayType::new(kind(element)?, true).into(),
        Kind::Struct(fields) => {
            let fields = fields.iter().map(field).collect::<KernelResult<Vec<_>>>()?;
            StructType::try_new(fields)?.into()
        }
        Kind::Map(value) => MapType::new(DataType::STRING, kind(value)?, true).into(),
    })
}
