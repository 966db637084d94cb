//! Fields that no column has become columns, at a roll's boundary.
//!
//! A table that asks for it gets a column for a field once enough rows had it, in rolls since the start, and
//! all its values had one type. The engine's run ends after the roll that tells so; the next one, which
//! begins with the bodies after that roll, has the new schema. Seals carry the schema, so a roll that is
//! made again is made by the one that it was sealed with: a value is in `_extra` or in its column, never in
//! both, whenever the process ends.
//!
//! # Order
//! 1. The claim of the column in the lake ([`Lake::claimed_column`]) is looked at. Of nodes that promote one
//!    field with different types, all take the type of the first.
//! 2. The next schema is made, and those of the flat tables from it. What a seal, a format or a privacy rule
//!    does not allow stays in `_extra`.
//! 3. The lake is asked: files, and the log of a Delta or Iceberg table, may have the column with another
//!    type. A commit would be refused for as long as they have, so the field is left alone, and that is said.
//! 4. The column is claimed, unless it was.
//! 5. The column is remembered in the state directory (`promoted.json`), durably. A start has it from then
//!    on, whatever schema is configured: a schema only gets columns.
//! 6. Commits to the table's log, and then the next engine, get the new schema.
//!
//! # Failure modes
//! * The process ends in between: counts begin anew, a claim stands and is met again.
//! * The lake does not answer: counts of the field begin anew. Landing does not wait for a column.
//! * Another node commits this node's rolls by its own schema: the files have the column, and readers of the
//!   log see it with the next commit of this node.
//! * The lake lacks the claim of a column that is remembered, as one does that was set back to an older copy:
//!   it is claimed again before the first roll of a start. If another node has claimed it meanwhile for another
//!   type or field, files of this node may have this one's: neither is a column of this node any more.
//!
//! # Bounds
//! [`MOST_COLUMNS`] columns of a table, [`AT_ONCE`] at a boundary, and [`MOST_REFUSED`] fields that are refused
//! in a life, past which nothing is promoted: senders choose names.

mod asked;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use self::asked::Why;
use super::promoted_columns::{Column, with_column};
use super::state_file::StateFile;
use crate::commit::CatalogOptions;
use crate::fields::Sum;
use crate::lake::Lake;
use crate::roll::manifest::Manifest;
use crate::schema::ColumnType;
use crate::table::{CurrentSchema, Tables};

/// Name of the file in the state directory.
const NAME: &str = "promoted.json";
/// Version of its form.
const VERSION: u32 = 1;
/// Most columns that a table gets by promotion.
const MOST_COLUMNS: usize = 100;
/// Most fields that become columns at one boundary: bodies wait for as long as the lake is asked.
const AT_ONCE: usize = 16;
/// Most fields that are remembered as refused.
const MOST_REFUSED: usize = 1_000;

/// The file of promoted columns, in the order of their promotion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    version: u32,
    columns: Vec<Column>,
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
    /// The tables as they are configured.
    configured: Tables,
    memory: Memory,
    tables: Arc<Tables>,
    /// The claims of what is remembered stand in the lake.
    is_claimed: bool,
    sums: BTreeMap<Arc<str>, Sum>,
    /// Fields that do not become columns in this life.
    refused: BTreeSet<Candidate>,
}

impl State {
    /// Tells whether a table may get a column.
    fn has_room(&self, table: &str) -> bool {
        let promoted = self.tables.by_name(table).map(|spec| spec.schema.promoted().len());
        self.refused.len() < MOST_REFUSED && promoted.is_some_and(|count| count < MOST_COLUMNS)
    }
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
        let is_claimed = memory.columns.is_empty();
        let (configured, tables) = (tables.clone(), Arc::new(with_all(tables, &memory.columns)?));
        let (sums, refused) = (BTreeMap::new(), BTreeSet::new());
        let state = State { configured, memory, tables, is_claimed, sums, refused };
        let state = Mutex::new(state);
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

    /// Iterates over the fields that are to become columns, with the rows that had them and the columns that
    /// take their values.
    fn candidates<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (u64, Candidate, ColumnType)> + 'a {
        let tables = self.after.iter().filter(move |(table, _)| state.has_room(table));
        let tables = tables
            .filter_map(|(table, after)| Some((Arc::clone(table), *after, state.sums.get(table)?)));
        tables.flat_map(move |(table, after, sum)| {
            let fields = sum.fields().filter(move |of| !of.misfit && of.rows >= after);
            fields.filter_map(move |of| {
                let column = of.types().column()?;
                let (table, pointer) = (Arc::clone(&table), of.pointer.clone());
                let candidate = Candidate { table, pointer };
                let is_new = !state.refused.contains(&candidate);
                is_new.then_some((of.rows, candidate, column))
            })
        })
    }

    /// Makes columns of the fields that are to become ones, those of the most rows first. To be called while
    /// no engine runs.
    ///
    /// # Errors
    /// The state directory. Trying again is safe.
    pub(crate) fn promote(&self, lake: &Lake, runtime: &Handle) -> anyhow::Result<()> {
        self.claim_remembered(lake, runtime)?;
        let mut due: Vec<_> = self.candidates(&self.state.lock()).collect();
        due.sort_by(|(a_rows, a, _), (b_rows, b, _)| b_rows.cmp(a_rows).then(a.cmp(b)));
        for (_, candidate, column) in due.into_iter().take(AT_ONCE) {
            let Candidate { table, pointer } = &candidate;
            if !self.state.lock().has_room(table) {
                continue;
            }
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
                    self.tell_full(table);
                }
                Err(Why::Away(why)) => {
                    tracing::warn!("{pointer} of table {table} is no column yet: {why}");
                    // The others are tried after the next roll.
                    break;
                }
                Err(Why::Refused(why)) => {
                    tracing::warn!("{pointer} of table {table} stays in _extra: {why}");
                    let mut state = self.state.lock();
                    state.refused.insert(candidate);
                    if state.refused.len() == MOST_REFUSED {
                        tracing::warn!(
                            "{MOST_REFUSED} fields were refused as columns since the start: until the \
                             next one, no more become columns. Does somebody send names at random?"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells of a table that gets no more columns.
    fn tell_full(&self, table: &str) {
        let tables = self.tables();
        let promoted = tables.by_name(table).map_or(0, |spec| spec.schema.promoted().len());
        if promoted >= MOST_COLUMNS {
            tracing::warn!(
                "table {table} has {promoted} columns that were promoted, and gets no more: new fields \
                 stay in _extra. `sessionlake schema promote` adds those that matter"
            );
        }
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
        state.memory = memory;
        self.take(&mut state, tables);
        Ok(())
    }

    /// Takes the tables, for the next engine and for commits.
    fn take(&self, state: &mut State, tables: Tables) {
        for (name, schema) in &*self.committed.lock() {
            if let Some(spec) = tables.by_name(name) {
                schema.set(&spec.schema);
            }
        }
        state.tables = Arc::new(tables);
    }
}

/// Returns `tables` with all of these columns that they can have.
///
/// # Errors
/// Those of [`with_column`].
fn with_all<'a>(
    tables: Tables,
    columns: impl IntoIterator<Item = &'a Column>,
) -> anyhow::Result<Tables> {
    columns
        .into_iter()
        .try_fold(tables, |tables, column| Ok(with_column(&tables, column)?.unwrap_or(tables)))
}
