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
use crate::schema::TableSchema;
use crate::{config, privacy};

/// A table, ready to be landed.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: Arc<TableSchema>,
    pub(super) template: Template,
    /// What is done to personal data, and the same with the key in it.
    pub(super) rules: privacy::Rules,
    pub(super) privacy: Option<privacy::Applied>,
}

impl Table {
    /// # Errors
    /// There are rules and no key.
    fn new(
        schema: Arc<TableSchema>,
        template: Template,
        rules: privacy::Rules,
        key: Option<&privacy::Key>,
    ) -> anyhow::Result<Table> {
        let privacy = match (rules.is_empty(), key) {
            (true, _) => None,
            (false, Some(key)) => Some(rules.for_table(&schema, key.clone())),
            (false, None) => anyhow::bail!(
                "a table has privacy rules ({rules}), and privacy_key names no secret for them"
            ),
        };
        Ok(Table { schema, template, rules, privacy })
    }
}

/// All tables of a roll, by name.
pub(super) type Tables = BTreeMap<Arc<str>, Table>;

#[derive(Serialize, Deserialize)]
struct Written {
    table: String,
    partition: String,
    avsc: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    privacy: String,
}

/// The secret of the privacy rules, if one is configured.
pub(super) fn privacy_key(landing: &config::Landing) -> anyhow::Result<Option<privacy::Key>> {
    Ok(landing.privacy_key.as_deref().map(privacy::Key::read).transpose()?)
}

/// The tables that are configured.
pub(super) fn configured(
    landing: &config::Landing,
    key: Option<&privacy::Key>,
) -> anyhow::Result<Tables> {
    let table = |schema: &Arc<TableSchema>, template: &Template| {
        Table::new(Arc::clone(schema), template.clone(), landing.privacy.clone(), key)
    };
    let mut tables = Tables::new();
    let first = table(&landing.schema, &landing.partition)?;
    tables.insert(Arc::clone(&landing.table), first);
    for more in &landing.more_tables {
        tables.insert(Arc::clone(&more.name), table(&more.schema, &more.partition)?);
    }
    Ok(tables)
}

/// The tables as a seal keeps them.
pub(super) fn to_settings(tables: &Tables) -> Vec<u8> {
    let written: Vec<Written> = tables
        .iter()
        .map(|(name, table)| Written {
            table: name.to_string(),
            partition: table.template.as_str().to_owned(),
            avsc: table.schema.avsc.clone(),
            privacy: table.rules.to_string(),
        })
        .collect();
    serde_json::to_vec(&written).unwrap_or_default()
}

/// The tables of a seal.
pub(super) fn from_settings(settings: &[u8], key: Option<&privacy::Key>) -> anyhow::Result<Tables> {
    let written: Vec<Written> =
        serde_json::from_slice(settings).context("a sealed roll's settings cannot be read")?;
    let mut tables = Tables::new();
    for Written { table, partition, avsc, privacy } in written {
        let schema = Arc::new(TableSchema::parse(&avsc)?);
        let template = Template::parse(&partition, &schema)?;
        let rules = privacy::Rules::parse(&privacy).map_err(anyhow::Error::msg)?;
        tables.insert(table.into(), Table::new(schema, template, rules, key)?);
    }
    Ok(tables)
}

/// Adds to `tables` those that an earlier configuration had, whose bodies may still wait in the
/// journal, and remembers today's for the next start. Synced before any body is taken.
pub(super) fn remember(
    state: &Path,
    mut tables: Tables,
    key: Option<&privacy::Key>,
) -> anyhow::Result<Tables> {
    let path = state.join("tables.json");
    let failed = || format!("cannot keep the list of tables in {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) => {
            for (name, table) in from_settings(&bytes, key).with_context(failed)? {
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
