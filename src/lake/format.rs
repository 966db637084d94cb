//! The format of a table, as the lake has it: one with a log is a Delta table.
//!
//! A receiver that lands plain files in the directory of a Delta table would land what readers of the
//! table do not see, so it is refused. The other way is none: a plain table becomes a Delta table, with
//! all of its rolls.

use futures::TryStreamExt as _;
use object_store::ObjectStore as _;

use super::names::{ObjectName, TABLE_LOG};
use super::{Lake, StoreError};
use crate::table::{Format, Spec};

/// A table that is to land as plain files and has a log in the lake.
#[derive(Debug, thiserror::Error)]
#[error(
    "table {table} is a Delta table in {lake} ({table}/_delta_log), and plain in this configuration: its \
     readers would not see what lands. Set table_format = \"delta\" (or format, in [[tables]]), or give the \
     table another name. To make it a plain table for good, move its _delta_log away: files that the log \
     has removed are rows again then"
)]
pub struct FormatConflict {
    table: String,
    lake: String,
}

impl Lake {
    /// Compares the format of `table` with the lake's. Returns the conflict if they differ. One request.
    ///
    /// # Errors
    /// The lake did not answer: nothing is known.
    pub async fn check_format(&self, table: &Spec) -> Result<Option<FormatConflict>, StoreError> {
        if table.format != Format::Plain || !self.has_log(&table.name).await? {
            return Ok(None);
        }
        let (table, lake) = (table.name.to_string(), self.location.to_string());
        Ok(Some(FormatConflict { table, lake }))
    }

    /// Tells whether the table in the folder `table` has a Delta log: an object of one. Lists no further
    /// than the first.
    ///
    /// # Errors
    /// The store would not list.
    pub(crate) async fn has_log(&self, table: &str) -> Result<bool, StoreError> {
        let name = format!("{table}/{TABLE_LOG}");
        let mut listed = self.store.list(Some(&self.path(&name)?));
        while let Some(meta) =
            listed.try_next().await.map_err(|error| self.not_answered(&name, error))?
        {
            let object = ObjectName::parse(meta.location.as_ref());
            if matches!(object, ObjectName::TableLog { .. }) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::schema::TableSchema;
    use crate::table::Template;

    #[tokio::test]
    async fn plain_files_are_refused_where_a_log_is_and_a_log_is_taken_up_anywhere() {
        let lake = Lake::on(Arc::new(InMemory::new()), 1 << 20);
        let avsc =
            r#"{"type": "record", "name": "t", "fields": [{"name": "a", "type": "string"}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        let plain = Spec::new("t", schema, Template::default());
        let delta = Spec { format: Format::Delta, ..plain.clone() };
        let other = Spec { name: "t2".into(), ..plain.clone() };
        for table in [&plain, &delta, &other] {
            assert!(lake.check_format(table).await.unwrap().is_none());
        }
        lake.put_bytes("t/_delta_log/00000000000000000000.json", b"{}".to_vec()).await.unwrap();
        let refused = lake.check_format(&plain).await.unwrap().unwrap().to_string();
        assert!(refused.contains("table t ") && refused.contains("table_format"), "{refused}");
        for table in [&delta, &other] {
            assert!(lake.check_format(table).await.unwrap().is_none());
        }
    }
}
