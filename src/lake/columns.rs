//! The types of a table's columns, as its files in the lake have them.
//!
//! Readers take the files of a table together: a column that is a number in one and a text in another
//! is read by none of them, or by its first file's type. So a schema is compared with some files of the
//! lake before anything lands: of the first that a listing has, and of those in the last partition,
//! which are the newest where partitions are by day. Columns that a side does not have are no difference:
//! readers give nulls (`union_by_name`, `mergeSchema`). Files of other programs are not looked at.
//!
//! A column whose type was changed in the past has two types there already: it keeps nobody out who has
//! one of them, and is warned of.
//!
//! Nothing is written. Where the lake is away or may not be listed, nothing is compared.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStore as _;
use parquet::arrow::parquet_to_arrow_schema;

use super::footers::FooterPart;
use super::names::ObjectName;
use super::{Lake, Object, StoreError};
use crate::columnar::compare::{Compared, Difference, compare_fields};
use crate::schema::TableSchema;

/// Objects of a listing that are looked at: one page of S3.
const LISTED: usize = 1000;
/// Files whose footers are read, of each listing.
const FILES: usize = 3;
/// Folders below one another that are gone into.
const DEPTH: usize = 8;

/// A column that has another type in the lake.
#[derive(Debug, thiserror::Error)]
#[error(
    "column {column} of table {table} is {there} in {lake} ({file}), and {here} in this \
     configuration's schema: readers that take both kinds of files together fail, or read one of the \
     types. Keep the type (values that do not fit it are kept in _extra), give the column another name, \
     or give the table another name"
)]
pub struct ColumnConflict {
    table: String,
    column: String,
    lake: String,
    /// The file that tells.
    file: String,
    there: String,
    here: String,
}

/// The columns of a table could not be compared, or differ.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// They differ.
    #[error(transparent)]
    Conflict(#[from] Box<ColumnConflict>),
    /// The lake did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lake {
    /// Compares the types of the columns of `schema` with those in some files of `table`, and warns of
    /// columns of which the files have that type and others. Takes some twenty requests at most,
    /// whatever is in the lake.
    ///
    /// # Errors
    /// [`ColumnError::Conflict`] asks for another schema: no file has the type. After [`ColumnError::Store`] nothing is known.
    pub async fn check_columns(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), ColumnError> {
        let ours = schema.arrow();
        let files: BTreeSet<Object> = self
            .first_files(table)
            .await?
            .into_iter()
            .chain(self.last_files(table).await?)
            .collect();
        let mut compared = stream::iter(files)
            .map(|object| {
                let ours = ours.clone();
                async move {
                    let compare = move |footer: parquet::file::metadata::ParquetMetaData| {
                        let file = footer.file_metadata();
                        let metadata = file.key_value_metadata();
                        let theirs = parquet_to_arrow_schema(file.schema_descr(), metadata).ok()?;
                        let mut columns = Vec::new();
                        compare_fields("", ours.fields(), theirs.fields(), &mut columns);
                        Some(columns)
                    };
                    // A file that cannot be read is not the concern of a start.
                    let compared = self.read_footer(&object, FooterPart::Rows, compare).await;
                    (object.name, compared.ok().flatten())
                }
            })
            .buffered(FILES);
        let (mut same, mut others) = (BTreeSet::new(), BTreeMap::new());
        while let Some((file, columns)) = compared.next().await {
            for Compared { column, difference } in columns.unwrap_or_default() {
                match difference {
                    None => drop(same.insert(column)),
                    Some(difference) => {
                        others.entry(column).or_insert_with(|| (file.clone(), difference));
                    }
                }
            }
        }
        for (column, (file, Difference { here, there })) in others {
            let (table, lake) = (table.to_owned(), self.location().to_string());
            let has_both = same.contains(&column);
            let column = column.replace("[]", "").replace("{}", "");
            if has_both {
                tracing::warn!(
                    "column {column} of table {table} is {there} in some files of {lake} ({file}), and \
                     {here} in others, as in this configuration's schema: readers that take both kinds \
                     together fail, or read one of the types"
                );
                continue;
            }
            let conflict = ColumnConflict { table, column, lake, file, there, here };
            return Err(ColumnError::Conflict(Box::new(conflict)));
        }
        Ok(())
    }

    /// Returns some of the first files below `folder` that a listing has.
    async fn first_files(&self, folder: &str) -> Result<Vec<Object>, StoreError> {
        let path = self.path(folder)?;
        let listed = self.store.list(Some(&path)).take(LISTED).map_ok(Object::from);
        let listed = listed.try_collect().await.map_err(|e| self.not_answered(folder, e));
        let mut listed: Vec<Object> = listed?;
        listed.retain(|object| matches!(ObjectName::parse(&object.name), ObjectName::Data { .. }));
        listed.sort();
        let last = listed.pop();
        listed.truncate(FILES - 1);
        Ok(listed.into_iter().chain(last).collect())
    }

    /// Returns some files of the last partition of `table`.
    async fn last_files(&self, table: &str) -> Result<Vec<Object>, StoreError> {
        let mut folder = table.to_owned();
        for _ in 0..DEPTH {
            if !self.has_folders_first(&folder).await? {
                break;
            }
            let mut below = self.folders(&folder).await?;
            // Times that are null come after all others.
            below.retain(|name| !name.starts_with(['_', '.']) && !name.ends_with(NO_VALUE));
            let Some(last) = below.into_iter().max() else { break };
            folder = format!("{folder}/{last}");
        }
        self.first_files(&folder).await
    }
}

/// The end of the folder of a partition without a value.
const NO_VALUE: &str = "=__HIVE_DEFAULT_PARTITION__";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use object_store::memory::InMemory;
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::lake::names;
    use crate::record::Roll;

    fn schema(fields: &str) -> TableSchema {
        TableSchema::parse(&format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#))
            .expect("a schema")
    }

    fn field(name: &str, kind: &str) -> String {
        format!(r#"{{"name":"{name}","type":["null",{kind}],"default":null}}"#)
    }

    /// Compares a lake of one file with `ours`.
    fn compared(partition: &str, theirs: &TableSchema, ours: &TableSchema) -> Option<String> {
        compared_with(&[(partition, theirs)], ours)
    }

    /// Puts files without rows, in partitions and of schemas, and compares the lake with `ours`.
    fn compared_with(files: &[(&str, &TableSchema)], ours: &TableSchema) -> Option<String> {
        let lake = Lake::below(Arc::new(InMemory::new()), "lake");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for (roll, (partition, theirs)) in (1..).zip(files) {
                let mut file = Vec::new();
                let arrow = theirs.arrow();
                let mut writer =
                    ArrowWriter::try_new(&mut file, arrow.clone(), None).expect("a writer");
                writer.write(&RecordBatch::new_empty(arrow)).expect("written");
                writer.close().expect("closed");
                let name = names::data("t", partition, "n", Roll(roll));
                lake.put_bytes(&name, file).await.expect("put");
            }
            lake.put_bytes("t/date=2026-11-01/other.parquet", b"foreign".to_vec())
                .await
                .expect("put");
            match lake.check_columns("t", ours).await {
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            }
        })
    }

    #[test]
    fn a_column_of_another_type_is_named_with_both_types() {
        let v1 = schema(&[field("id", r#""string""#), field("n", r#""long""#)].join(","));
        let v2 = schema(&[field("n", r#""long""#), field("extra", r#""string""#)].join(","));
        let v3 = schema(&[field("id", r#""string""#), field("n", r#""string""#)].join(","));
        for partition in ["", "date=2026-11-23", "a=1/date=2026-11-23"] {
            assert_eq!(compared(partition, &v1, &v1), None);
            assert_eq!(compared(partition, &v1, &v2), None, "columns may come and go");
            let why = compared(partition, &v1, &v3).expect("a conflict");
            assert!(why.contains("column n of table t is int64 in s3://bucket/lake"), "{why}");
            assert!(why.contains("and string in this configuration's schema"), "{why}");
        }
    }

    #[test]
    fn a_column_that_changed_its_type_in_the_past_keeps_out_only_who_has_neither_type() {
        let of = |kind: &str| schema(&[field("id", r#""string""#), field("n", kind)].join(","));
        let [old, new, other] = [r#""long""#, r#""string""#, r#""double""#].map(of);
        for last in ["date=2026-11-24", "date=2026-11-23"] {
            let files = [("date=2026-11-23", &old), (last, &new)];
            assert_eq!(compared_with(&files, &new), None, "the newest type");
            assert_eq!(compared_with(&files, &old), None, "the type of the first files");
            let why = compared_with(&files, &other).expect("a conflict");
            assert!(why.contains("column n of table t is int64"), "{why}");
            // Another column differs everywhere.
            let both = schema(&[field("id", r#""long""#), field("n", r#""string""#)].join(","));
            let why = compared_with(&files, &both).expect("a conflict");
            assert!(why.contains("column id of table t is string"), "{why}");
        }
    }

    #[test]
    fn columns_within_lists_structs_and_maps_are_compared() {
        let list = |kind: &str| {
            let record =
                format!(r#"{{"type":"record","name":"e","fields":[{}]}}"#, field("inner", kind));
            schema(&field("l", &format!(r#"{{"type":"array","items":{record}}}"#)))
        };
        assert_eq!(compared("", &list(r#""long""#), &list(r#""long""#)), None);
        let why = compared("", &list(r#""long""#), &list(r#""double""#)).expect("a conflict");
        assert!(why.contains("column l.inner of table t is int64"), "{why}");
        let map = |kind: &str| schema(&field("m", &format!(r#"{{"type":"map","values":{kind}}}"#)));
        assert_eq!(compared("", &map(r#""long""#), &map(r#""long""#)), None);
        assert!(compared("", &map(r#""long""#), &map(r#""string""#)).is_some());
        assert!(compared("", &map(r#""long""#), &schema(&field("m", r#""long""#))).is_some());
    }
}
