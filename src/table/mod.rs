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
use crate::journal::MAX_SETTINGS_BYTES;
use crate::schema::TableSchema;
use crate::{config, privacy};

/// A table, ready to be landed.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) template: Template,
    /// What is done to personal data, and the same with the key in it.
    pub(crate) rules: privacy::Rules,
    pub(crate) privacy: Option<privacy::Applied>,
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
pub(crate) type Tables = BTreeMap<Arc<str>, Table>;

#[derive(Serialize, Deserialize)]
struct Written {
    table: String,
    partition: String,
    avsc: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    privacy: String,
}

impl Written {
    fn table(self, key: Option<&privacy::Key>) -> anyhow::Result<(Arc<str>, Table)> {
        let schema = Arc::new(TableSchema::parse(&self.avsc)?);
        let template = Template::parse(&self.partition, &schema)?;
        let rules = privacy::Rules::parse(&self.privacy).map_err(anyhow::Error::msg)?;
        Ok((self.table.into(), Table::new(schema, template, rules, key)?))
    }
}

/// The secret of the privacy rules, if one is configured.
pub(crate) fn privacy_key(landing: &config::Landing) -> anyhow::Result<Option<privacy::Key>> {
    Ok(landing.privacy_key.as_deref().map(privacy::Key::read).transpose()?)
}

/// The tables that are configured.
pub(crate) fn configured(
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
pub(crate) fn to_settings(tables: &Tables) -> Vec<u8> {
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
pub(crate) fn from_settings(settings: &[u8], key: Option<&privacy::Key>) -> anyhow::Result<Tables> {
    let mut tables = Tables::new();
    for written in read(settings)? {
        let (name, table) = written.table(key)?;
        tables.insert(name, table);
    }
    Ok(tables)
}

fn read(settings: &[u8]) -> anyhow::Result<Vec<Written>> {
    serde_json::from_slice(settings).context("a sealed roll's settings cannot be read")
}

/// Adds to `tables` those that an earlier configuration had, whose bodies may still wait in the
/// journal, and remembers today's for the next start. Synced before any body is taken. When no body
/// is `waiting`, tables that are not configured are forgotten.
///
/// # Errors
/// The list cannot be read or written; a table of it has privacy rules, and no key; all tables
/// together are more than a seal holds.
pub(crate) fn remember(
    state: &Path,
    mut tables: Tables,
    waiting: bool,
    key: Option<&privacy::Key>,
) -> anyhow::Result<Tables> {
    let path = state.join("tables.json");
    let failed = || format!("cannot keep the list of tables in {}", path.display());
    let before = match std::fs::read(&path) {
        Ok(bytes) if waiting => read(&bytes).with_context(failed)?,
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(failed),
    };
    for written in before {
        // Bodies of a table that is configured are landed as it is configured now.
        if !tables.contains_key(&*written.table) {
            let name = written.table.clone();
            let (name, table) = written
                .table(key)
                .with_context(|| format!("bodies may wait for {name}, which was configured before"))
                .with_context(failed)?;
            tables.insert(name, table);
        }
    }
    let settings = to_settings(&tables);
    anyhow::ensure!(
        settings.len() <= MAX_SETTINGS_BYTES,
        "the schemas of all {} tables come to {} bytes of text, and a roll takes {}: configure \
         fewer tables, or shorter schemas; tables that are not configured are forgotten by a start \
         with an empty journal",
        tables.len(),
        settings.len(),
        MAX_SETTINGS_BYTES
    );
    let new = state.join("tables.json.new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&new, &settings)?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(state)?.sync_all()
    };
    write().with_context(failed)?;
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &str) -> Table {
        let avsc = r#"{"type": "record", "name": "t", "fields": [
            {"name": "user", "type": ["null", "string"], "default": null}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        let template = Template::parse("", &schema).unwrap();
        let rules = privacy::Rules::parse(rules).unwrap();
        Table { schema, template, rules, privacy: None }
    }

    fn tables(all: &[(&str, &str)]) -> Tables {
        all.iter().map(|(name, rules)| ((*name).into(), table(rules))).collect()
    }

    fn names(tables: &Tables) -> Vec<&str> {
        tables.keys().map(|name| &**name).collect()
    }

    #[test]
    fn tables_with_bodies_that_wait_are_remembered_and_others_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let again = |all: &[(&str, &str)], waiting| {
            remember(dir.path(), tables(all), waiting, None).unwrap()
        };
        assert_eq!(names(&again(&[("a", ""), ("b", "")], false)), ["a", "b"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["a", "b", "c"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["a", "b", "c"]);
        assert_eq!(names(&again(&[("c", "")], false)), ["c"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["c"]);
    }

    #[test]
    fn rules_that_were_taken_away_with_their_key_do_not_stop_the_start() {
        let dir = tempfile::tempdir().unwrap();
        remember(dir.path(), tables(&[("a", "user=hash")]), true, None).unwrap();
        let now = remember(dir.path(), tables(&[("a", "")]), true, None).unwrap();
        assert!(now["a"].rules.is_empty());
        // Of a table that is not configured any more, bodies may wait that need them.
        remember(dir.path(), tables(&[("a", "user=hash")]), true, None).unwrap();
        let refused = remember(dir.path(), tables(&[("b", "")]), true, None).unwrap_err();
        assert!(format!("{refused:#}").contains("privacy_key"), "{refused:#}");
        remember(dir.path(), tables(&[("b", "")]), false, None).unwrap();
    }

    #[test]
    fn more_than_a_seal_holds_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut large = table("");
        let mut schema = (*large.schema).clone();
        schema.avsc = " ".repeat(MAX_SETTINGS_BYTES);
        large.schema = Arc::new(schema);
        let all = Tables::from([("a".into(), large)]);
        let refused = remember(dir.path(), all, false, None).unwrap_err();
        assert!(refused.to_string().contains("fewer tables"), "{refused}");
    }
}
