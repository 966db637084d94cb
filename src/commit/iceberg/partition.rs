//! Partition specs of templates, and the partition of a file.
//!
//! A spec has a transform for each segment of the template
//! ([`transform`](crate::table::partition::transform)).
//!
//! Readers pass over a file whose partition does not match, so a file is only in a partition that all of
//! its rows are in. Those that are not go under the spec without fields, which a table has besides
//! ([`of_file`] returns none): files of the overflow; files of another template; those of the null
//! partition with values that are not null, as an empty text is null in a path; of times before 1970, where
//! readers do not agree about the value; and whatever statistics contradict.
//!
//! Format: <https://iceberg.apache.org/spec/#partitioning>.

use serde::{Deserialize, Serialize};

use super::schema::Schema;
use crate::columnar::statistics::{Bound, Scalar};
use crate::lake::FileReceipt;
use crate::schema::TableSchema;
use crate::table::Template;
use crate::table::hive_path::{may_be_cut, values_of_path};
use crate::table::partition::Part;
use crate::table::partition::transform::Unit;

/// The id of the first partition field of a table.
pub(super) const FIRST_FIELD_ID: i32 = 1_000;

/// A partition spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Spec {
    /// Its number among the specs of the table. The server in Java wants one in requests too.
    #[serde(default)]
    pub(super) spec_id: i32,
    pub(super) fields: Vec<PartitionField>,
}

/// A field of a partition spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PartitionField {
    pub(super) source_id: i32,
    pub(super) field_id: i32,
    pub(super) name: String,
    /// `day`, `identity`, or one that this version does not write.
    pub(super) transform: String,
}

/// A value of a partition field; null is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartitionValue {
    /// Years, months, days or hours since 1970.
    Int(i32),
    /// Text.
    Text(String),
}

impl PartitionValue {
    /// Returns its single-value serialisation.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            PartitionValue::Int(value) => value.to_le_bytes().to_vec(),
            PartitionValue::Text(value) => value.as_bytes().to_vec(),
        }
    }
}

/// Returns the fields of the spec of a template, with the ids of `schema`, the table's.
///
/// # Errors
/// The segment that no transform says, and what to do.
pub(super) fn fields_of(
    template: &Template,
    table: &TableSchema,
    schema: &Schema,
) -> Result<Vec<PartitionField>, String> {
    let transforms = template.transforms()?;
    let mut fields = Vec::new();
    let segments = template.segments.iter().zip(transforms);
    for ((segment, (column, transform)), field_id) in segments.zip(FIRST_FIELD_ID..) {
        let name = table.fields.get(column).map(|field| &*field.name).unwrap_or_default();
        let source_id = schema.id_of(name);
        let source_id = source_id.ok_or_else(|| format!("the table has no column {name}"))?;
        let (name, transform) = (segment.name.clone(), transform.as_str().to_owned());
        fields.push(PartitionField { source_id, field_id, name, transform });
    }
    Ok(fields)
}

/// Returns the spec of a table that partitions as `fields` do; ids of partition fields are the
/// catalog's, and names may change.
pub(super) fn find<'a>(specs: &'a [Spec], fields: &[PartitionField]) -> Option<&'a Spec> {
    let key = |field: &PartitionField| (field.source_id, field.transform.clone());
    specs.iter().find(|spec| spec.fields.iter().map(key).eq(fields.iter().map(key)))
}

/// Returns the values of the partition of a file, one a segment of the template; none when its rows are
/// not all in one. `written_by` is the template that the file was written by.
pub(super) fn of_file(
    template: &Template,
    table: &TableSchema,
    written_by: &str,
    file: &FileReceipt,
) -> Option<Vec<Option<PartitionValue>>> {
    if file.overflow || written_by != template.as_str() {
        return None;
    }
    // Receipts of the first build have the path of the partition alone.
    let of_path = match file.partition_values.is_empty() {
        true => Some(values_of_path(template, &file.partition)?),
        false => None,
    };
    let values = template.segments.iter().enumerate().map(|(at, segment)| {
        let [part] = &*segment.parts else { return None };
        let value = match &of_path {
            Some(values) => values.get(at)?.as_deref().filter(|value| !may_be_cut(value)),
            None => file.partition_values.get(&segment.name)?.as_deref(),
        };
        value_of(part, table, file, value)
    });
    values.collect()
}

/// Returns the value of a segment, unless statistics contradict it; the outer none is no value.
#[expect(clippy::option_option, reason = "null is a value")]
fn value_of(
    part: &Part,
    table: &TableSchema,
    file: &FileReceipt,
    value: Option<&str>,
) -> Option<Option<PartitionValue>> {
    let (Part::Text { column } | Part::Time { column, .. }) = part else { return None };
    let name = &table.fields.get(*column)?.name;
    let found = file.statistics.as_ref().map(|statistics| statistics.column(name));
    let Some(value) = value else {
        // A column without statistics of its own is null in every row.
        return matches!(found, Some(None)).then_some(None);
    };
    let column = match found {
        // Without statistics, the path is all there is to say.
        None => None,
        Some(Some(column)) if column.nulls == Some(0) => Some(column),
        Some(_) => return None,
    };
    let mut bounds = column.into_iter().flat_map(|column| [&column.min, &column.max]).flatten();
    match part {
        Part::Time { format, .. } => {
            let unit = Unit::of_format(format)?;
            let parsed = unit.parse(value, format)?;
            if parsed < 0 {
                // Not all readers round down before 1970: DuckDB 1.5 takes the last day of 1969 for the
                // first of 1970, and passes over its files.
                return None;
            }
            let fits = |bound: &Bound| match bound.value {
                Scalar::TimestampMicros(micros) => unit.of_micros(micros) == Some(parsed),
                _ => false,
            };
            bounds.all(fits).then_some(Some(PartitionValue::Int(parsed)))
        }
        _ => {
            let fits = |bound: &Bound| match &bound.value {
                Scalar::Text(text) => !bound.exact || text == value,
                _ => false,
            };
            bounds.all(fits).then_some(Some(PartitionValue::Text(value.to_owned())))
        }
    }
}

/// Files by their partition, and those under the spec without fields.
pub(super) type Partitioned<T> = (Vec<(T, Vec<Option<PartitionValue>>)>, Vec<T>);

/// Divides files into those of a partition and others.
pub(super) fn divide<'a>(
    template: &Template,
    table: &TableSchema,
    files: impl Iterator<Item = (&'a str, &'a FileReceipt)>,
) -> Partitioned<&'a FileReceipt> {
    let (mut within, mut without) = (Vec::new(), Vec::new());
    for (written_by, file) in files {
        match of_file(template, table, written_by, file) {
            Some(values) => within.push((file, values)),
            None => without.push(file),
        }
    }
    (within, without)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::columnar::statistics::{ColumnStatistics, FileStatistics};

    const TEMPLATE: &str = "date={startTime:%Y-%m-%d}/tenant={tenantId}";

    fn schema() -> std::sync::Arc<TableSchema> {
        TableSchema::builtin("user_sessions").unwrap()
    }

    fn fields(template: &str) -> Result<Vec<(String, String, i32)>, String> {
        let table = schema();
        let template = Template::parse(template, &table).unwrap();
        let schema = Schema::of(&table);
        let fields = fields_of(&template, &table, &schema)?;
        Ok(fields.into_iter().map(|f| (f.name, f.transform, f.field_id)).collect())
    }

    #[test]
    fn segments_have_the_transforms_that_say_the_same() {
        let named = |name: &str, transform: &str, id| (name.to_owned(), transform.to_owned(), id);
        let both = [named("date", "day", 1000), named("tenant", "identity", 1001)];
        assert_eq!(fields(TEMPLATE).unwrap(), both);
        for (format, transform) in [
            ("%F", "day"),
            ("%Y%m%d", "day"),
            ("%Y-%m", "month"),
            ("%Y", "year"),
            ("%F-%H", "hour"),
        ] {
            let found = fields(&format!("d={{startTime:{format}}}")).unwrap();
            assert_eq!(found, [named("d", transform, 1000)], "{format}");
        }
        for (template, why) in [
            ("d={startTime:%m}", "`d`: its format shows something else"),
            ("d={startTime:%Y-%m-%d %M}", "`d`: its format shows something else"),
            ("d={startTime:%Y-%j}", "`d`: its format shows something else"),
            ("d=x{tenantId}", "`d`: it has several parts"),
            ("d={startTime:%F}/h={startTime:%F-%H}", "`h`: its column is in another"),
        ] {
            let error = fields(template).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
        assert_eq!(fields("").unwrap(), []);
    }

    const NOON: i64 = 1_510_833_600_000_000;

    fn column(path: &str, nulls: u64, bounds: [Scalar; 2]) -> ColumnStatistics {
        let [min, max] = bounds.map(|value| Some(Bound { value, exact: true }));
        let path = path.to_owned();
        ColumnStatistics {
            path,
            values: 9,
            nulls: Some(nulls),
            nans: None,
            compressed_bytes: 1,
            min,
            max,
        }
    }

    fn file(values: [Option<&str>; 2], columns: Option<Vec<ColumnStatistics>>) -> FileReceipt {
        let names = ["date", "tenant"].map(str::to_owned).into_iter();
        FileReceipt {
            partition_values: names.zip(values.map(|v| v.map(str::to_owned))).collect(),
            rows: 9,
            statistics: columns.map(|columns| FileStatistics { columns }),
            ..FileReceipt::default()
        }
    }

    #[test]
    fn a_file_is_in_a_partition_only_if_all_of_its_rows_are() {
        let table = schema();
        let template = Template::parse(TEMPLATE, &table).unwrap();
        let of = |file: &FileReceipt| of_file(&template, &table, TEMPLATE, file);
        let time = |a, b| column("startTime", 0, [a, b].map(Scalar::TimestampMicros));
        let text = |t: &str| column("tenantId", 0, [t, t].map(|t| Scalar::Text(t.to_owned())));
        let whole =
            file([Some("2017-11-16"), Some("a")], Some(vec![time(NOON, NOON + 1), text("a")]));
        let expected =
            vec![Some(PartitionValue::Int(17_486)), Some(PartitionValue::Text("a".to_owned()))];
        assert_eq!(of(&whole), Some(expected.clone()));
        assert_eq!(of(&FileReceipt { statistics: None, ..whole.clone() }), Some(expected));
        // Rows of several partitions, and those of another template.
        assert_eq!(of(&FileReceipt { overflow: true, ..whole.clone() }), None);
        assert_eq!(of_file(&template, &table, "date={startTime:%F}", &whole), None);
        // A day too far, another text, a null among the rows.
        let late = Some(vec![time(NOON, NOON + 86_400_000_000), text("a")]);
        assert_eq!(of(&file([Some("2017-11-16"), Some("a")], late)), None);
        let other = Some(vec![time(NOON, NOON), text("b")]);
        assert_eq!(of(&file([Some("2017-11-16"), Some("a")], other)), None);
        let null = ColumnStatistics { nulls: Some(1), ..text("a") };
        let null = Some(vec![time(NOON, NOON), null]);
        assert_eq!(of(&file([Some("2017-11-16"), Some("a")], null)), None);
        // The null partition: nulls alone, and not an empty text, which a path does not tell apart.
        let nulls = file([Some("2017-11-16"), None], Some(vec![time(NOON, NOON)]));
        assert_eq!(of(&nulls).unwrap()[1], None);
        let empty = file([Some("2017-11-16"), None], Some(vec![time(NOON, NOON), text("")]));
        assert_eq!(of(&empty), None);
        assert_eq!(of(&FileReceipt { statistics: None, ..nulls }), None);
        // Readers do not agree about days before 1970.
        let of_day = |day| of(&file([Some(day), Some("a")], None));
        assert_eq!(of_day("1969-12-31"), None);
        assert_eq!(of_day("1970-01-01").unwrap()[0], Some(PartitionValue::Int(0)));
        // A receipt of an earlier version has a path alone, and no statistics.
        let earlier = |path: &str| {
            of(&FileReceipt {
                partition: path.to_owned(),
                partition_values: BTreeMap::new(),
                statistics: None,
                ..whole.clone()
            })
        };
        let values = of(&FileReceipt { statistics: None, ..whole.clone() });
        assert_eq!(earlier("date=2017-11-16/tenant=a"), values);
        let cut = format!("date=2017-11-16/tenant={}~0123456789abcdef", "a".repeat(160));
        for path in [&*cut, "date=2017-11-16", "date=2017-11-16/tenant=__HIVE_DEFAULT_PARTITION__"]
        {
            assert_eq!(earlier(path), None, "{path}");
        }
        // Rows of the overflow, which were of any day, were there before receipts said so.
        assert_eq!(earlier("date=__HIVE_DEFAULT_PARTITION__/tenant=a"), None);
        assert_eq!(earlier("date=0001-01-01/tenant=a"), None);
    }
}
