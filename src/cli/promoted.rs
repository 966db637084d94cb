//! Schemas of tables as a lake has them: with the columns that receivers have promoted.

use std::time::Duration;

use anyhow::Context as _;

use super::runtime;
use crate::lake::Lake;
use crate::schema::TableSchema;

/// The longest time for which the lake is asked.
const MOST: Duration = Duration::from_secs(5);

/// Returns `schema` with the columns of `table` that were promoted in `lake`. One that the schema has by
/// now, or cannot have, changes nothing.
///
/// # Errors
/// The lake, or it does not answer for some seconds.
pub(super) fn with_promoted(
    lake: &Lake,
    table: &str,
    schema: &TableSchema,
) -> anyhow::Result<TableSchema> {
    let failed = || format!("cannot read the columns of table {table} that were promoted");
    let read = async { tokio::time::timeout(MOST, lake.promoted_columns(table)).await };
    let promoted = runtime::current_thread()?.block_on(read).with_context(failed)?;
    let promoted = promoted.with_context(failed)?;
    let mut schema = schema.clone();
    for (pointer, column) in promoted {
        schema = schema.promote(&pointer, column).unwrap_or(schema);
    }
    Ok(schema)
}
