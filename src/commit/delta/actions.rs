//! The actions that add files to a table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::{path, statistics};
use crate::commit::LogError;
use crate::lake::FileReceipt;
use crate::record::Micros;
use crate::schema::TableSchema;
use crate::table::Template;
use crate::table::hive_path::values_of_path;

/// Returns the actions that add `files`, files of the table in the folder `name`, one row each, as the
/// library takes them.
///
/// # Errors
/// [`LogError::Refused`] for a file that is not below the table or in none of its partitions.
pub(super) fn of(
    name: &str,
    schema: &TableSchema,
    partition: &Template,
    files: &[&FileReceipt],
    now: Micros,
) -> Result<RecordBatch, LogError> {
    let mut paths = Vec::with_capacity(files.len());
    let mut values = MapBuilder::new(Some(entries()), StringBuilder::new(), StringBuilder::new());
    for file in files {
        let below = file.path.strip_prefix(name).and_then(|path| path.strip_prefix('/'));
        let Some(below) = below else {
            return Err(LogError::Refused(format!(
                "the receipt's file {} is not in the folder of table {name}",
                file.path
            )));
        };
        paths.push(path::encode(below));
        for (column, value) in values_of(name, partition, file)? {
            values.keys().append_value(column);
            values.values().append_option(value.filter(|value| !value.is_empty()));
        }
        values.append(true).map_err(|e| failed(name, &e))?;
    }
    let sizes = files.iter().map(|file| i64::try_from(file.bytes).ok()).collect::<Int64Array>();
    let counted: Vec<_> = files.iter().map(|file| (file.rows, file.statistics.as_ref())).collect();
    let statistics = statistics::of(schema, &counted).map_err(|e| failed(name, &e))?;
    let columns: [(&str, ArrayRef, bool); 5] = [
        ("path", Arc::new(StringArray::from(paths)), false),
        ("partitionValues", Arc::new(values.finish()), false),
        ("size", Arc::new(sizes), false),
        ("modificationTime", Arc::new(Int64Array::from(vec![now.0 / 1_000; files.len()])), false),
        ("stats", Arc::new(statistics), true),
    ];
    let field = |(name, values, null): &(&str, ArrayRef, bool)| {
        Field::new(*name, DataType::clone(values.data_type()), *null)
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let columns = columns.into_iter().map(|(_, values, _)| values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| failed(name, &e))
}

/// Returns the partition columns with the values of a file. Receipts of the first build have the path of
/// the partition alone.
fn values_of<'a>(
    name: &str,
    partition: &'a Template,
    file: &FileReceipt,
) -> Result<Vec<(&'a str, Option<String>)>, LogError> {
    let other = || {
        LogError::Refused(format!(
            "the receipt's file {} of table {name} has the partition `{}`, which is none of `{}`: \
             these rolls cannot be in one Delta table. Give the table another name",
            file.path,
            file.partition,
            partition.as_str()
        ))
    };
    let columns = partition.names();
    if file.partition_values.is_empty() {
        let values = values_of_path(partition, &file.partition).ok_or_else(other)?;
        return Ok(columns.zip(values.iter().cloned()).collect());
    }
    if file.partition_values.len() != partition.segments.len() {
        return Err(other());
    }
    columns
        .map(|column| Ok((column, file.partition_values.get(column).ok_or_else(other)?.clone())))
        .collect()
}

fn entries() -> MapFieldNames {
    MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

fn failed(name: &str, error: &ArrowError) -> LogError {
    LogError::Refused(format!("the log actions of table {name} cannot be made: {error}"))
}
