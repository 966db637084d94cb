//! The tables that a state directory remembers, in `tables.json`.
//!
//! A journal may hold bodies of a table that is no longer configured. They are landed as the table
//! was configured last, so the list outlives the configuration for as long as bodies may wait.

use std::path::Path;

use anyhow::Context as _;

use super::serialized;
use super::spec::Spec;
use super::tables::Tables;

/// Name of the list in the state directory.
const FILE: &str = "tables.json";

/// Returns `configured` with the tables of earlier configurations whose bodies may wait in the
/// journal, and stores the list for the next start; durable on return. To be called before any body
/// is taken. With no body `waiting`, tables that are not configured are forgotten.
///
/// # Errors
/// The stored list cannot be written, or those of [`recall`].
pub(crate) fn remember(
    state: &Path,
    configured: Tables,
    waiting: bool,
    most_bytes: usize,
) -> anyhow::Result<Tables> {
    let tables = recall(state, configured, waiting, most_bytes)?;
    let (path, new) = (state.join(FILE), state.join("tables.json.new"));
    let write = || -> std::io::Result<()> {
        std::fs::write(&new, tables.to_json())?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(state)?.sync_all()
    };
    write().with_context(|| format!("cannot write the list of tables {}", path.display()))?;
    Ok(tables)
}

/// Returns `configured` with the tables of earlier configurations, as [`remember`] does. Writes
/// nothing.
///
/// # Errors
/// The stored list cannot be read while bodies may need it, or the new one has more than
/// `most_bytes`, which is what a seal holds.
pub(crate) fn recall(
    state: &Path,
    configured: Tables,
    waiting: bool,
    most_bytes: usize,
) -> anyhow::Result<Tables> {
    let path = state.join(FILE);
    let failed = || {
        format!(
            "cannot read the list of tables {}, which bodies that wait may need: bring it back as \
             it was, or configure every table that has bodies waiting and move it away",
            path.display()
        )
    };
    let before = match std::fs::read(&path) {
        Ok(bytes) if waiting => serialized::parse(&bytes).with_context(failed)?,
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(failed),
    };
    for table in &before {
        let now = configured.by_name(&table.table).map(|now| now.rows.is_derived());
        anyhow::ensure!(
            table.parent().is_some() || now != Some(true),
            "table {} is a flat table now, and was one of documents before, of which bodies may wait: \
             take it out of flat_tables until they have landed, which a stop in order sees to",
            table.table
        );
    }
    // Bodies of a table that is configured are landed as it is configured now, with its flat tables of
    // now.
    let is_now = |table: &str| configured.id(table).is_some();
    let before = before
        .into_iter()
        .filter(|table| !is_now(&table.table) && !table.parent().is_some_and(is_now));
    let before = before.map(|table| {
        let name = table.table.clone();
        let waiting = || format!("bodies may wait for {name}, which was configured before");
        table.spec().with_context(waiting).with_context(failed)
    });
    let before: Vec<Spec> = before.collect::<anyhow::Result<_>>()?;
    let tables = Tables::new([configured.specs(), &before].concat()).with_context(failed)?;
    // A roll that is sealed has tables of its own; whatever else waits takes the latest revision.
    let tables = tables.latest();
    let bytes = tables.to_json().len();
    anyhow::ensure!(
        bytes <= most_bytes,
        "the schemas of all {} tables come to {bytes} bytes of text, and a roll takes {most_bytes}: \
         configure fewer tables, or shorter schemas; tables that are not configured are forgotten \
         by a start with an empty journal",
        tables.specs().len(),
    );
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::TableSchema;
    use crate::table::{Flat, LINE_LIMIT_BYTES, Revision, Rules, Template};

    const MOST: usize = 1 << 20;

    fn table(name: &str, rules: &str) -> Spec {
        let avsc = r#"{"type": "record", "name": "t", "fields": [
            {"name": "user", "type": ["null", "string"], "default": null}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        let privacy = Rules::parse(rules).unwrap();
        Spec { privacy, ..Spec::new(name, schema, Template::default()) }
    }

    fn tables(all: &[(&str, &str)]) -> Tables {
        Tables::new(all.iter().map(|(name, rules)| table(name, rules)).collect()).unwrap()
    }

    fn names(tables: &Tables) -> Vec<&str> {
        tables.specs().iter().map(|spec| &*spec.name).collect()
    }

    #[test]
    fn tables_with_bodies_that_wait_are_remembered_and_others_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let again = |all: &[(&str, &str)], waiting| {
            remember(dir.path(), tables(all), waiting, MOST).unwrap()
        };
        assert_eq!(names(&again(&[("a", ""), ("b", "")], false)), ["a", "b"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["a", "b", "c"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["a", "b", "c"]);
        assert_eq!(names(&again(&[("c", "")], false)), ["c"]);
        assert_eq!(names(&again(&[("c", "")], true)), ["c"]);
    }

    /// A table with events, and its flat table if it has one.
    fn with_events(name: &str, is_flat: bool) -> Vec<Spec> {
        let avsc = r#"{"type": "record", "name": "t", "fields": [{"name": "events", "type":
            {"type": "array", "items": {"type": "record", "name": "e", "fields": [
                {"name": "name", "type": "string"}]}}}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        let parent = Spec::new(name, schema, Template::default());
        let flat = is_flat.then(|| Flat::Events.spec(&parent, &[]).unwrap());
        [vec![parent], flat.into_iter().collect()].concat()
    }

    #[test]
    fn flat_tables_are_those_of_now_for_a_table_of_now_and_are_remembered_with_one_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let start = |all: Vec<Spec>| {
            let tables = Tables::new(all).unwrap();
            remember(dir.path(), tables, true, MOST).map_err(|error| format!("{error:#}"))
        };
        let names = |tables: &Tables| -> Vec<String> {
            tables.specs().iter().map(|spec| spec.name.to_string()).collect()
        };
        assert_eq!(names(&start(with_events("a", true)).unwrap()), ["a", "a_events"]);
        // Taken out of the configuration: bodies that wait land without it.
        assert_eq!(names(&start(with_events("a", false)).unwrap()), ["a"]);
        start(with_events("a", true)).unwrap();
        // Bodies of a table that is gone land as it was configured, with its flat table.
        let both = start(with_events("b", false)).unwrap();
        assert_eq!(names(&both), ["a", "a_events", "b"]);
        assert!(both.by_name("a_events").unwrap().rows.is_derived());
        let again = start(with_events("b", true)).unwrap();
        assert_eq!(names(&again), ["a", "a_events", "b", "b_events"]);
    }

    #[test]
    fn a_flat_table_does_not_take_the_place_of_documents_that_wait() {
        let dir = tempfile::tempdir().unwrap();
        let start = |all: Vec<Spec>, waiting| {
            let tables = Tables::new(all).unwrap();
            remember(dir.path(), tables, waiting, MOST).map_err(|error| format!("{error:#}"))
        };
        start(vec![table("a_events", "")], false).unwrap();
        let refused = start(with_events("a", true), true).unwrap_err();
        assert!(refused.contains("table a_events is a flat table now"), "{refused}");
        start(with_events("a", true), false).unwrap();
    }

    #[test]
    fn a_configured_table_replaces_the_remembered_one() {
        let dir = tempfile::tempdir().unwrap();
        remember(dir.path(), tables(&[("a", "user=hash")]), true, MOST).unwrap();
        let now = remember(dir.path(), tables(&[("a", "")]), true, MOST).unwrap();
        assert!(now.by_name("a").unwrap().privacy.is_empty());
        // Bodies of a table that is no longer configured keep its rules.
        remember(dir.path(), tables(&[("a", "user=hash")]), true, MOST).unwrap();
        let now = remember(dir.path(), tables(&[("b", "")]), true, MOST).unwrap();
        assert_eq!(now.by_name("a").unwrap().privacy.to_string(), "user=hash");
        let now = remember(dir.path(), tables(&[("b", "")]), false, MOST).unwrap();
        assert!(now.by_name("a").is_none());
    }

    #[test]
    fn a_table_that_an_earlier_build_remembered_takes_the_latest_revision() {
        let dir = tempfile::tempdir().unwrap();
        let revision = Revision::First;
        let first = Spec { revision, line_limit_bytes: None, ..table("a", "user=hash") };
        let list = Tables::new(vec![first]).unwrap().to_json();
        std::fs::write(dir.path().join("tables.json"), list).unwrap();
        let now = remember(dir.path(), tables(&[("b", "")]), true, MOST).unwrap();
        assert!(now.specs().iter().all(|spec| spec.line_limit_bytes == Some(LINE_LIMIT_BYTES)));
        let now: Vec<_> = now.specs().iter().map(|spec| (&*spec.name, spec.revision)).collect();
        assert_eq!(now, [("a", Revision::LATEST), ("b", Revision::LATEST)]);
    }

    #[test]
    fn more_than_a_seal_holds_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let all = tables(&[("a", "")]);
        let len = all.to_json().len();
        remember(dir.path(), all.clone(), false, len).unwrap();
        let refused = remember(dir.path(), all, false, len - 1).unwrap_err();
        assert!(refused.to_string().contains("fewer tables"), "{refused}");
    }
}
