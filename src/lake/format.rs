//! The format of a table, as the lake has it: one with a Delta log, one with metadata of Iceberg, or plain.
//!
//! Files that a receiver lands as another format than the table has would be in two logs or in none, and
//! readers of the table would not see them, or see them twice as often as they are, so they are refused. A
//! plain table becomes one of either format, with all of its rolls.
//!
//! The look is at the lake alone, which every process can take: a catalog may be configured elsewhere. A
//! table that was seen in a format has that in its identity, which is found by its name where nothing may
//! be listed. A process looks at its start, and before each roll of plain files is sealed.

use futures::TryStreamExt as _;
use object_store::ObjectStore as _;

use super::error::RecordError;
use super::names::{self, ObjectName, TABLE_LOG, TABLE_METADATA};
use super::{Lake, StoreError};
use crate::table::{Format, Spec};

/// A table that has another format in the lake than in the configuration.
#[derive(Debug, thiserror::Error)]
#[error(
    "table {table} is {} in {lake} ({seen}), and {} in this configuration: {}. Set table_format = \
     \"{}\" (or format, in [[tables]]), or give the table another name. {}",
    found.phrase(),
    wanted.phrase(),
    harm(*wanted),
    found.as_str(),
    way_out(table, *found, *wanted)
)]
pub struct FormatConflict {
    table: String,
    lake: String,
    /// The object that tells.
    seen: String,
    found: Format,
    wanted: Format,
}

fn folder(format: Format) -> &'static str {
    match format {
        Format::Plain => "",
        Format::Delta => TABLE_LOG,
        Format::Iceberg => TABLE_METADATA,
    }
}

fn harm(wanted: Format) -> &'static str {
    match wanted {
        Format::Plain => "its readers would not see what lands",
        Format::Delta | Format::Iceberg => {
            "what lands would be in one of two tables over the same files, and what one of them removes \
             would stay in the other"
        }
    }
}

fn way_out(table: &str, found: Format, wanted: Format) -> String {
    let (folder, found) = (folder(found), found.as_str());
    let identity = names::table_identity(table);
    let rows = format!("rows that were deleted in the {found} table are there again then");
    match wanted {
        Format::Plain => {
            format!(
                "To make it a plain table for good, move its {folder} and {identity} away: {rows}"
            )
        }
        wanted => format!(
            "To make it {} for good, stop all writers of it and move its {folder} and {identity} away: \
             all that has landed is added to the new table; {rows}",
            wanted.phrase()
        ),
    }
}

impl Lake {
    /// Compares the format of `table` with the lake's. Returns the conflict if they differ. At most three
    /// requests.
    ///
    /// # Errors
    /// The lake did not answer, or has an identity of the table that this version cannot read: nothing is
    /// known.
    pub async fn check_format(&self, table: &Spec) -> Result<Option<FormatConflict>, RecordError> {
        let wanted = table.format;
        let conflict = |found, seen| {
            let (table, lake) = (table.name.to_string(), self.location.to_string());
            Some(FormatConflict { table, lake, seen, found, wanted })
        };
        if let Some(identity) = self.table_identity(&table.name).await?
            && identity.format != wanted
        {
            return Ok(conflict(identity.format, names::table_identity(&table.name)));
        }
        for found in [Format::Delta, Format::Iceberg] {
            if found != wanted && self.has_format(&table.name, found).await? {
                return Ok(conflict(found, format!("{}/{}", table.name, folder(found))));
            }
        }
        Ok(None)
    }

    /// Tells whether the table in the folder `table` has an object that only a table of `format` has.
    /// Lists no further than the first.
    ///
    /// # Errors
    /// The store would not list.
    pub(crate) async fn has_format(&self, table: &str, format: Format) -> Result<bool, StoreError> {
        let name = format!("{table}/{}", folder(format));
        let mut listed = self.store.list(Some(&self.path(&name)?));
        while let Some(meta) =
            listed.try_next().await.map_err(|error| self.not_answered(&name, error))?
        {
            let found = match ObjectName::parse(meta.location.as_ref()) {
                ObjectName::TableLog { .. } => Format::Delta,
                ObjectName::TableMetadata { .. } => Format::Iceberg,
                _ => continue,
            };
            if found == format {
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

    fn spec(name: &str, format: Format) -> Spec {
        let avsc =
            r#"{"type": "record", "name": "t", "fields": [{"name": "a", "type": "string"}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        Spec { format, ..Spec::new(name, schema, Template::default()) }
    }

    const ALL: [Format; 3] = [Format::Plain, Format::Delta, Format::Iceberg];

    #[tokio::test]
    async fn a_table_keeps_its_format_and_a_plain_one_takes_any() {
        for (object, has) in [
            ("t/n1-00000001.parquet", Format::Plain),
            ("t/_delta_log/00000000000000000000.json", Format::Delta),
            ("t/metadata/n1-00000001-0-ab.avro", Format::Iceberg),
            ("t/metadata/00000-ab.metadata.json", Format::Iceberg),
        ] {
            let lake = Lake::on(Arc::new(InMemory::new()), 1 << 20);
            lake.put_bytes(object, b"{}".to_vec()).await.unwrap();
            for wanted in ALL {
                let table = spec("t", wanted);
                let refused = lake.check_format(&table).await.unwrap();
                assert_eq!(refused.is_some(), has != wanted && has != Format::Plain, "{object}");
                assert!(lake.check_format(&spec("t2", wanted)).await.unwrap().is_none());
                let Some(refused) = refused.map(|refused| refused.to_string()) else { continue };
                for part in ["table t is ", "table_format = ", has.as_str(), "move its "] {
                    assert!(refused.contains(part), "{refused}");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_identity_of_a_table_says_its_format_where_nothing_can_be_listed() {
        let lake = Lake::on(Arc::new(InMemory::new()), 1 << 20);
        let made = || lake.create_table_identity("t", Format::Delta, "one");
        assert_eq!((made().await.unwrap(), made().await.unwrap()), (Some(true), Some(false)));
        for wanted in [Format::Plain, Format::Iceberg] {
            let refused = lake.check_format(&spec("t", wanted)).await.unwrap().unwrap().to_string();
            for said in
                ["a Delta table", "(_tables/t/identity.json)", "_delta_log and _tables/t/id"]
            {
                assert!(refused.contains(said), "{said}: {refused}");
            }
        }
        assert!(lake.check_format(&spec("t", Format::Delta)).await.unwrap().is_none());
        // Of a version that knows more formats.
        let other = br#"{"version": 1, "format": "other", "id": "x", "more": 1}"#;
        lake.put_bytes("_tables/t/identity.json", other.to_vec()).await.unwrap();
        let refused = lake.check_format(&spec("t", Format::Delta)).await.unwrap_err().to_string();
        assert!(refused.contains("`other` is no table format"), "{refused}");
    }
}
