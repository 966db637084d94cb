//! Columns that views take from the session.

use super::dialect::Writer;
use super::has_partition_columns;
use crate::schema::Field;

/// Returns the names of the partition columns that readers see, but for those that are columns as well.
pub(super) fn partitions<'a>(writer: &Writer<'a>) -> Vec<&'a str> {
    let table = writer.table;
    let segments = table.partition.segments.iter().map(|segment| segment.name.as_str());
    let is_new =
        |name: &&str| !table.schema.fields.iter().any(|f| f.name.eq_ignore_ascii_case(name));
    segments.filter(is_new).filter(|_| has_partition_columns(table)).collect()
}

/// Returns the session's columns of a flat table with these fields: each by the session's name and the
/// flat table's.
pub(super) fn of_session<'a>(
    writer: &Writer<'a>,
    flat: &'a [Field],
    name_in_flat: impl Fn(&str) -> String,
) -> Vec<(&'a str, &'a str)> {
    let fields = &writer.table.schema.fields;
    let source = |flat: &'a Field| {
        let found = fields.iter().find(|field| name_in_flat(&field.name) == flat.name)?;
        Some((found.name.as_str(), flat.name.as_str()))
    };
    flat.iter().map_while(source).collect()
}
