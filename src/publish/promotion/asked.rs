//! What the lake has a say in: the claim of a column, and the columns that files and logs have.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Candidate, MOST_COLUMNS, Promotion, with_all};
use crate::lake::{Claimed, ColumnClaim, ColumnError, Lake, RecordError, StoreError};
use crate::publish::promoted_columns::{Column, check_size};
use crate::publish::visibility::{LogTables, Looked};
use crate::schema::{ColumnType, PromoteError, TableSchema};
use crate::table::{Format, Tables};

/// The reason why a field did not become a column.
pub(super) enum Why {
    /// It will not, in this life.
    Refused(String),
    /// The lake did not answer.
    Away(String),
}

impl Promotion {
    /// Makes sure, once in a life, that the lake has the claims of all columns that are remembered. Those that
    /// it has for another field or type are columns no more.
    ///
    /// # Errors
    /// Those of a start with the columns that are left.
    pub(super) fn claim_remembered(&self, lake: &Lake, runtime: &Handle) -> anyhow::Result<()> {
        let (columns, tables) = {
            let state = self.state.lock();
            if state.is_claimed {
                return Ok(());
            }
            (state.memory.columns.clone(), Arc::clone(&state.tables))
        };
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for column in &columns {
            let Column { table, pointer, .. } = column;
            let schema = tables.by_name(table).map(|spec| &spec.schema);
            let path = schema.and_then(|schema| path_of(schema, pointer));
            let (Some(path), Some(kind)) = (path, column.kind()) else { continue };
            let claim = ColumnClaim { table, path: &path, pointer };
            let claimed = match runtime.block_on(lake.claimed_column(claim)) {
                Ok(Claimed::Free) => runtime.block_on(lake.claim_column(claim, kind)),
                claimed => claimed,
            };
            match claimed {
                Ok(Claimed::By(claimed)) if claimed == kind => kept.push(column),
                Ok(Claimed::Free) => kept.push(column),
                Ok(Claimed::By(_) | Claimed::Other) => lost.push(column),
                Err(RecordError::Store(StoreError::Denied { .. })) => kept.push(column),
                Err(error) => {
                    // Asked again before the next engine.
                    tracing::warn!("cannot look at the columns of the lake: {error}");
                    return Ok(());
                }
            }
        }
        let mut state = self.state.lock();
        state.is_claimed = true;
        for Column { table, pointer, .. } in &lost {
            tracing::warn!(
                "the column for {pointer} of table {table} was claimed by another node since it was \
                 promoted here, with another type or for another field: here, values stay in _extra"
            );
            let candidate = Candidate { table: table.as_str().into(), pointer: pointer.clone() };
            state.refused.insert(candidate);
        }
        if !lost.is_empty() {
            let tables = with_all(state.configured.clone(), kept)?;
            self.take(&mut state, tables);
        }
        Ok(())
    }

    /// Returns the tables with the column, which the lake has for this type then, or for another one that
    /// was first.
    pub(super) fn next(
        &self,
        lake: &Lake,
        runtime: &Handle,
        candidate: &Candidate,
        column: ColumnType,
    ) -> Result<(Tables, ColumnType), Why> {
        let Candidate { table, pointer } = candidate;
        let no_table = || Why::Refused(format!("there is no table {table}"));
        let schema = Arc::clone(&self.tables().by_name(table).ok_or_else(no_table)?.schema);
        let next = schema.promote(pointer, column).map_err(refused)?;
        let no_path = || Why::Refused(format!("{pointer} is no pointer of this schema"));
        let path = path_of(&next, pointer).ok_or_else(no_path)?;
        let claim = ColumnClaim { table, path: &path, pointer };
        let wanted = match runtime.block_on(lake.claimed_column(claim)).map_err(unclaimed)? {
            Claimed::Free => column,
            Claimed::By(claimed) => claimed,
            Claimed::Other => return Err(other_claim()),
        };
        let tables = self.allowed(lake, runtime, candidate, wanted)?;
        match runtime.block_on(lake.claim_column(claim, wanted)).map_err(unclaimed)? {
            Claimed::By(claimed) if claimed == wanted => Ok((tables, wanted)),
            // Another node was first meanwhile.
            Claimed::By(claimed) => Ok((self.allowed(lake, runtime, candidate, claimed)?, claimed)),
            Claimed::Free => Err(Why::Away("its claim was deleted meanwhile".to_owned())),
            Claimed::Other => Err(other_claim()),
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
        let schema = Arc::new(spec.schema.promote(pointer, column).map_err(refused)?);
        spec.privacy.fit(&schema).map_err(Why::Refused)?;
        let tables = before.with_schema(table, Arc::clone(&schema)).map_err(Why::Refused)?;
        check_size(&tables).map_err(Why::Refused)?;
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
}

/// Returns the names of the columns down to that of the field at `pointer`.
fn path_of(schema: &TableSchema, pointer: &str) -> Option<Vec<String>> {
    let mut promoted = schema.promoted().into_iter();
    promoted.find(|promoted| promoted.pointer == pointer).map(|promoted| promoted.path)
}

fn refused(error: PromoteError) -> Why {
    Why::Refused(error.to_string())
}

fn other_claim() -> Why {
    Why::Refused("its column is that of another field in the lake".to_owned())
}

fn unclaimed(error: RecordError) -> Why {
    match error {
        RecordError::Store(StoreError::Denied { .. }) => Why::Refused(error.to_string()),
        RecordError::Store(error) => Why::Away(error.to_string()),
        error => Why::Refused(error.to_string()),
    }
}
