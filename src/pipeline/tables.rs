//! What a table is landed by: its schema and its partition template.
//!
//! A seal carries both as text, so that a roll is made again exactly as it was sealed, whatever
//! the configuration says by then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::batch::Template;
use crate::config;
use crate::schema::TableSchema;

/// A table, ready to be landed.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: Arc<TableSchema>,
    pub(super) template: Template,
}

/// All tables of a roll, by name.
pub(super) type Tables = BTreeMap<Arc<str>, Table>;

#[derive(Serialize, Deserialize)]
struct Written {
    table: String,
    partition: String,
    avsc: String,
}

/// The table that is configured.
pub(super) fn configured(landing: &config::Landing) -> Tables {
    let table = Table { schema: Arc::clone(&landing.schema), template: landing.partition.clone() };
    Tables::from([(Arc::clone(&landing.table), table)])
}

/// The tables as a seal keeps them.
pub(super) fn to_settings(tables: &Tables) -> Vec<u8> {
    let written: Vec<Written> = tables
        .iter()
        .map(|(name, table)| Written {
            table: name.to_string(),
            partition: table.template.as_str().to_owned(),
            avsc: table.schema.avsc.clone(),
        })
        .collect();
    serde_json::to_vec(&written).unwrap_or_default()
}

/// The tables of a seal.
pub(super) fn from_settings(settings: &[u8]) -> anyhow::Result<Tables> {
    let written: Vec<Written> =
        serde_json::from_slice(settings).context("a sealed roll's settings cannot be read")?;
    let mut tables = Tables::new();
    for Written { table, partition, avsc } in written {
        let schema = Arc::new(TableSchema::parse(&avsc)?);
        let template = Template::parse(&partition, &schema)?;
        tables.insert(table.into(), Table { schema, template });
    }
    Ok(tables)
}

/// Adds to `tables` those that an earlier configuration had, whose bodies may still wait in the
/// journal, and remembers today's for the next start. Synced before any body is taken.
pub(super) fn remember(state: &Path, mut tables: Tables) -> anyhow::Result<Tables> {
    let path = state.join("tables.json");
    let failed = || format!("cannot keep the list of tables in {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) => {
            for (name, table) in from_settings(&bytes).with_context(failed)? {
                tables.entry(name).or_insert(table);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(failed),
    }
    let new = state.join("tables.json.new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&new, to_settings(&tables))?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(state)?.sync_all()
    };
    write().with_context(failed)?;
    Ok(tables)
}
