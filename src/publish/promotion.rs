//! Fields that no column has become columns, at a roll's boundary.
//!
//! A table that asks for it gets a column for a field once enough rows had it, in rolls since the start, and
//! all its values had one type. The engine's run ends after the roll that tells so; the next one, which
//! begins with the bodies after that roll, has the new schema. Seals carry the schema, so a roll that is
//! made again is made by the one that it was sealed with: a value is in `_extra` or in its column, never in
//! both, whenever the process ends.
//!
//! # Order
//! 1. The next schema is made, and those of the flat tables from it. What a seal, a format or a privacy rule
//!    does not allow stays in `_extra`.
//! 2. The lake is asked: files, and the log of a Delta or Iceberg table, may have the column with another
//!    type. A commit would be refused for as long as they have, so the field is left alone, and that is said.
//! 3. The column is claimed in the lake ([`Lake::claim_column`]). Of nodes that promote one field with
//!    different types, all take the type of the first.
//! 4. The column is remembered in the state directory (`promoted.json`), durably. A start has it from then
//!    on, whatever schema is configured: a schema only gets columns.
//! 5. Commits to the table's log, and then the next engine, get the new schema.
//!
//! # Failure modes
//! * The process ends in between: counts begin anew, a claim stands and is met again.
//! * The lake does not answer: counts of the field begin anew. Landing does not wait for a column.
//! * Another node commits this node's rolls by its own schema: the files have the column, and readers of the
//!   log see it with the next commit of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::state_file::StateFile;
use super::visibility::{LogTables, Looked};
use crate::commit::CatalogOptions;
use crate::fields::Sum;
use crate::journal::MAX_SETTINGS_BYTES;
use crate::lake::{ColumnError, Lake, RecordError, StoreError};
use crate::roll::manifest::Manifest;
use crate::schema::{ColumnType, EXTRA, PromoteError};
use crate::table::{CurrentSchema, Format, Tables};

/// Name of the file in the state directory.
const NAME: &str = "promoted.json";
/// Version of its form.
const VERSION: u32 = 1;
/// Most columns that a table gets by promotion.
const MOST_COLUMNS: usize = 100;

/// The file of promoted columns, in the order of their promotion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    version: u32,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Column {
    table: String,
    pointer: String,
    #[serde(rename = "type")]
    column: String,
}

/// A field that is to become a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    table: Arc<str>,
    pointer: String,
}

/// The promotion of a server's tables.
pub(crate) struct Promotion {
    file: StateFile,
    /// Rows that a field must be in, by table that promotes.
    after: BTreeMap<Arc<str>, u64>,
    /// Catalog of Iceberg tables, which is asked for their columns.
    catalog: Option<CatalogOptions>,
    /// Schemas by which rolls are committed to logs.
    committed: Mutex<Vec<(Arc<str>, CurrentSchema)>>,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    tables: Arc<Tables>,
    sums: BTreeMap<Arc<str>, Sum>,
    /// Fields that do not become columns in this life.
    refused: BTreeSet<Candidate>,
}

/// The reason why a field did not become a column.
enum Why {
    /// It will not, in this life.
    Refused(String),
    /// The lake did not answer.
    Away(String),
}

impl Promotion {
    /// Reads the columns that were promoted, and adds them to `tables`. `file` is any file of the state
    /// directory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(
        file: &super::lake_file::LakeFile,
        tables: Tables,
    ) -> anyhow::Result<Promotion> {
        let file = file.beside(NAME);
        let failed = || format!("cannot read the promoted columns in {}", file.path().display());
        let memory = match file.read().with_context(failed)? {
            None => Memory::default(),
            Some(bytes) => serde_json::from_slice::<Memory>(&bytes).with_context(failed).context(
                "bring the file back as it was, or move it away: fields are counted anew then, and \
                     what their columns would have goes to _extra meanwhile",
            )?,
        };
        ensure!(
            memory.version <= VERSION,
            "{} was written by a newer version of this program; use that version",
            file.path().display()
        );
        let tables = memory.columns.iter().try_fold(tables, |tables, column| {
            anyhow::Ok(with_remembered(&tables, column)?.unwrap_or(tables))
        })?;
        let (sums, refused) = (BTreeMap::new(), BTreeSet::new());
        let state = Mutex::new(State { memory, tables: Arc::new(tables), sums, refused });
        let (after, catalog, committed) = (BTreeMap::new(), None, Mutex::default());
        Ok(Promotion { file, after, catalog, committed, state })
    }

    /// Promotes fields of these tables once they were in so many rows.
    pub(crate) fn after(self, after: BTreeMap<Arc<str>, u64>) -> Promotion {
        Promotion { after, ..self }
    }

    /// Asks the tables of this catalog for their columns.
    pub(crate) fn with_catalog(self, catalog: Option<CatalogOptions>) -> Promotion {
        Promotion { catalog, ..self }
    }

    /// Tells the new schemas to whoever commits by these.
    pub(crate) fn tell(&self, committed: Vec<(Arc<str>, CurrentSchema)>) {
        *self.committed.lock() = committed;
    }

    /// Returns the tables as they are now.
    pub(crate) fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.state.lock().tables)
    }

    /// Takes note of the fields of a finished roll. Returns true when one is to become a column.
    pub(crate) fn finished(&self, roll: &Manifest) -> bool {
        let mut state = self.state.lock();
        for table in roll.tables.iter().filter(|table| self.after.contains_key(&table.name)) {
            if let Some(counts) = &table.fields {
                state.sums.entry(Arc::clone(&table.name)).or_default().add(counts);
            }
        }
        self.candidates(&state).next().is_some()
    }

    /// Iterates over the fields that are to become columns, with the columns that take their values.
    fn candidates<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (Candidate, ColumnType)> + 'a {
        let tables = self
            .after
            .iter()
            .filter_map(|(table, after)| Some((Arc::clone(table), *after, state.sums.get(table)?)));
        tables.flat_map(move |(table, after, sum)| {
            let fields = sum.fields().filter(move |of| !of.misfit && of.rows >= after);
            fields.filter_map(move |of| {
                let column = of.types().column()?;
                let (table, pointer) = (Arc::clone(&table), of.pointer.clone());
                let candidate = Candidate { table, pointer };
                (!state.refused.contains(&candidate)).then_some((candidate, column))
            })
        })
    }

    /// Makes columns of the fields that are to become ones. To be called while no engine runs.
    ///
    /// # Errors
    /// The state directory. Trying again is safe.
    pub(crate) fn promote(&self, lake: &Lake, runtime: &Handle) -> anyhow::Result<()> {
        let due: Vec<_> = self.candidates(&self.state.lock()).collect();
        for (candidate, column) in due {
            let Candidate { table, pointer } = &candidate;
            let found = self.next(lake, runtime, &candidate, column);
            if let Some(sum) = self.state.lock().sums.get_mut(table) {
                sum.forget(pointer);
            }
            match found {
                Ok((tables, column)) => {
                    self.remember(&candidate, column, tables)?;
                    let column = column.name();
                    tracing::info!(
                        "table {table} has a column for {pointer} from the next roll on, of type {column}"
                    );
                }
                Err(Why::Away(why)) => {
                    tracing::warn!("{pointer} of table {table} is no column yet: {why}");
                }
                Err(Why::Refused(why)) => {
                    tracing::warn!("{pointer} of table {table} stays in _extra: {why}");
                    self.state.lock().refused.insert(candidate);
                }
            }
        }
        Ok(())
    }

    /// Returns the tables with the column, which the lake has for this type then, or for another one that
    /// was first.
    fn next(
        &self,
        lake: &Lake,
        runtime: &Handle,
        candidate: &Candidate,
        column: ColumnType,
    ) -> Result<(Tables, ColumnType), Why> {
        let Candidate { table, pointer } = candidate;
        let tables = self.allowed(lake, runtime, candidate, column)?;
        let claimed = runtime.block_on(lake.claim_column(table, pointer, column));
        match claimed {
            Ok(Some(claimed)) if claimed == column => Ok((tables, column)),
            Ok(Some(claimed)) => Ok((self.allowed(lake, runtime, candidate, claimed)?, claimed)),
            Ok(None) => Err(Why::Refused("the lake has another claim for it".to_owned())),
            Err(RecordError::Store(error @ StoreError::Denied { .. })) => {
                Err(Why::Refused(error.to_string()))
            }
            Err(RecordError::Store(error)) => Err(Why::Away(error.to_string())),
            Err(error) => Err(Why::Refused(error.to_string())),
        }
    }

    /// Returns the tables with the column, if all that has a say in it allows it.
    fn allowed(
        &self,
        lake: &Lake,
        runtime: &Handle,
        candidate: &Candidate,
        column: ColumnType,
    ) -> Result<Tables, Why> {
        let Candidate { table, pointer } = candidate;
        let before = self.tables();
        let spec = before.by_name(table);
        let spec = spec.ok_or_else(|| Why::Refused(format!("there is no table {table}")))?;
        if spec.schema.promoted().len() >= MOST_COLUMNS {
            return Err(Why::Refused(format!("{MOST_COLUMNS} columns were promoted already")));
        }
        let refused = |error: PromoteError| Why::Refused(error.to_string());
        let schema = Arc::new(spec.schema.promote(pointer, column).map_err(refused)?);
        spec.privacy.fit(&schema).map_err(Why::Refused)?;
        let tables = before.with_schema(table, Arc::clone(&schema)).map_err(Why::Refused)?;
        if tables.to_json().len() > MAX_SETTINGS_BYTES / 2 {
            return Err(Why::Refused(
                "the schemas of all tables are too long for a seal".to_owned(),
            ));
        }
        for spec in tables.specs() {
            let changed = before.by_name(&spec.name);
            if changed.is_some_and(|before| before.schema.fingerprint == spec.schema.fingerprint) {
                continue;
            }
            match runtime.block_on(lake.check_columns(&spec.name, &spec.schema)) {
                Ok(()) | Err(ColumnError::Store(StoreError::Denied { .. })) => {}
                Err(ColumnError::Conflict(conflict)) => {
                    return Err(Why::Refused(conflict.to_string()));
                }
                Err(ColumnError::Store(error)) => return Err(Why::Away(error.to_string())),
            }
            if spec.format == Format::Plain {
                continue;
            }
            let logs = LogTables::of(lake, [spec], self.catalog.as_ref(), runtime);
            let logs = logs.map_err(|error| Why::Away(format!("{error:#}")))?;
            for (_, looked) in logs.map(|logs| logs.look()).unwrap_or_default() {
                match looked {
                    Looked::Can(_) => {}
                    Looked::Refused(why) => return Err(Why::Refused(why)),
                    Looked::Away(why) => return Err(Why::Away(why)),
                }
            }
        }
        Ok(tables)
    }

    /// Takes the tables with the column; durable on return.
    fn remember(
        &self,
        candidate: &Candidate,
        column: ColumnType,
        tables: Tables,
    ) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        let mut memory = state.memory.clone();
        memory.version = VERSION;
        memory.columns.push(Column {
            table: candidate.table.to_string(),
            pointer: candidate.pointer.clone(),
            column: column.name().to_owned(),
        });
        let bytes = serde_json::to_vec(&memory)?;
        let failed = || format!("cannot write {}", self.file.path().display());
        self.file.write(&bytes).with_context(failed)?;
        for (name, schema) in &*self.committed.lock() {
            if let Some(spec) = tables.by_name(name) {
                schema.set(&spec.schema);
            }
        }
        (state.memory, state.tables) = (memory, Arc::new(tables));
        Ok(())
    }
}

/// Returns `tables` with a column that was promoted before; `None` for one that the configured schema has by
/// now, of a table that is not configured, or that it cannot have any more.
///
/// # Errors
/// A property has its name by now: one column would have the values of both.
fn with_remembered(tables: &Tables, column: &Column) -> anyhow::Result<Option<Tables>> {
    let Some(spec) = tables.by_name(&column.table) else { return Ok(None) };
    let Some(kind) = ColumnType::parse(&column.column) else { return Ok(None) };
    let next = match spec.schema.promote(&column.pointer, kind) {
        // Who drops _extra keeps what the schema names, and nobody has named this.
        Ok(_) if spec.privacy.drops(EXTRA) => Err("[privacy] drops _extra".to_owned()),
        Ok(next) => {
            spec.privacy.fit(&next).and_then(|()| tables.with_schema(&column.table, Arc::new(next)))
        }
        Err(PromoteError::Exists(_)) => return Ok(None),
        Err(PromoteError::Property { pointer, column: name }) => bail!(
            "[properties]: table {} has a column {name} already, which was promoted from {pointer}. Take the \
             key out of [properties], or give it a column of another name, in a schema of your own",
            column.table
        ),
        Err(error) => Err(error.to_string()),
    };
    let told = |why: &String| {
        tracing::warn!(
            "table {} cannot have the column for {} any more, which was promoted before: {why}. Its values \
             go to _extra",
            column.table,
            column.pointer
        );
    };
    Ok(next.inspect_err(told).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Property, PropertyType, TableSchema};
    use crate::table::{Rules, Spec, Template};

    #[test]
    fn a_column_of_before_is_none_where_the_rules_of_now_would_not_hold_for_it() {
        let tables = |rules: &str| {
            let schema = TableSchema::builtin("user_sessions").unwrap();
            let privacy = Rules::parse(rules).unwrap();
            let spec = Spec { privacy, ..Spec::new("t", schema, Template::default()) };
            Tables::new(vec![spec]).unwrap()
        };
        let column = |name: &str| Column {
            table: "t".to_owned(),
            pointer: "/plan".to_owned(),
            column: name.to_owned(),
        };
        for (rules, column, is_there) in [
            ("", column("long"), true),
            ("/plan=drop", column("long"), true),
            ("/plan=hash", column("string"), true),
            ("/plan=hash", column("long"), false),
            ("_extra=drop", column("string"), false),
        ] {
            let next = with_remembered(&tables(rules), &column).unwrap();
            assert_eq!(next.is_some(), is_there, "{rules}");
        }
    }

    #[test]
    fn a_column_of_before_that_a_property_would_have_is_refused() {
        let property = Property { of: PropertyType::String, key: "plan".to_owned() };
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let schema = Arc::new(schema.with_properties(&[property]).unwrap());
        let tables = Tables::new(vec![Spec::new("t", schema, Template::default())]).unwrap();
        for (pointer, is_refused) in [
            ("/prop_plan", true),
            ("/prop-Plan", true),
            ("/userActions/*/prop_plan", true),
            ("/plan", false),
        ] {
            let column =
                Column { table: "t".into(), pointer: pointer.into(), column: "string".into() };
            let next = with_remembered(&tables, &column);
            assert_eq!(next.is_err(), is_refused, "{pointer}");
        }
    }
}
