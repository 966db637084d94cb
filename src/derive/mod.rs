//! Flat tables: rows of other tables, made of the decoded rows of their parent.
//!
//! # Promises
//! - A list's element, null ones excepted, is a row of the flat table, and nothing else is. Its values
//!   are those of the session's row, after the rules for personal data: what a rule has dropped is in no
//!   flat table.
//! - Rows are in the order of the sessions, and of the list within a session: the order does not depend
//!   on how sessions are batched.
//! - Every row says which of the parent's rows it comes from ([`Derived::of`]), so that rows can be left
//!   out with their session.
//! - Nothing is parsed again but `_extra`, where it has something of an element.
//! - A short session can have many elements, and each of them repeats columns of the session. A batch has
//!   a bounded size ([`CHUNK_BYTES`]), so that the caller decides how many there are at a time; and the
//!   texts that a session repeats are [`SESSION_TEXT_BYTES`] at most together: those past it are null, in
//!   flat tables only. So is the name of an action that has more, which each of its properties repeats.
//!
//! Arrays of elements are shared with the parent's batch, not copied, where no element is null.
//!
//! * `child`: the columns of a flat table, found among those of its parent.
//! * `runs`: the elements of a batch, as runs.
//! * `explosion`: the rows of a flat table, batch by batch.
//! * `extra`: the part of the parent's `_extra` that is of an element.
//! * `lift`: columns of properties, filled before flat tables are made.

mod child;
mod explosion;
mod extra;
mod lift;
mod runs;
#[cfg(test)]
mod tests;

use anyhow::Context as _;
use arrow::array::RecordBatch;

use self::child::Child;
pub use self::explosion::Explosion;
use self::lift::Lift;
use crate::record::BodyRows;
use crate::table::{Spec, TableId, Tables};

/// About the bytes of a batch of a flat table, beside the arrays that it shares with its parent's.
pub const CHUNK_BYTES: usize = 8 << 20;

/// Most bytes of text that a session repeats in each row of a flat table, and an action beside it.
pub const SESSION_TEXT_BYTES: usize = 2 << 10;

/// Rows of a flat table.
#[derive(Debug)]
pub struct Derived {
    /// The flat table.
    pub table: TableId,
    /// The rows; the schema is the table's.
    pub batch: RecordBatch,
    /// The bodies of the rows, in their order. Bodies without rows are left out.
    pub bodies: Vec<BodyRows>,
    /// For each row the index of its parent's row in the parent's batch; never falling.
    pub of: Vec<u32>,
}

/// The flat tables of a list of tables, by the id of their parent.
#[derive(Debug, Default)]
pub struct FlatTables {
    children: Vec<Vec<std::sync::Arc<Child>>>,
    /// The properties that are columns, by table.
    lifts: Vec<Option<Lift>>,
}

impl FlatTables {
    /// Finds the flat tables among `tables`, and their columns among those of their parents.
    ///
    /// # Errors
    /// A flat table has a column that its parent cannot give: its schema is not that of
    /// [`Flat::spec`](crate::table::Flat::spec).
    pub fn new(tables: &Tables) -> anyhow::Result<FlatTables> {
        let mut children: Vec<Vec<_>> = tables.specs().iter().map(|_| Vec::new()).collect();
        for (id, spec) in tables.iter() {
            let Some(parent) = spec.rows.parent() else { continue };
            let child = || {
                let parent = tables.id(parent).context("its parent is not in the list")?;
                let of = tables.get(parent).context("its parent is not in the list")?;
                anyhow::Ok((parent, Child::new(id, spec, &of.schema)?))
            };
            let (parent, child) = child().with_context(|| format!("table {}", spec.name))?;
            if let Some(children) = children.get_mut(parent.index()) {
                children.push(std::sync::Arc::new(child));
            }
        }
        // No row of a flat table is decoded; its columns come with its parent's.
        let lift = |spec: &Spec| Lift::new(&spec.schema).filter(|_| !spec.rows.is_derived());
        let lifts = tables.specs().iter().map(lift).collect();
        Ok(FlatTables { children, lifts })
    }

    /// Fills the columns of a batch of `table` that are lifted from its properties.
    ///
    /// # Errors
    /// The batch is not of the table's schema: a bug.
    pub fn lift(&self, table: TableId, batch: &mut RecordBatch) -> anyhow::Result<()> {
        if let Some(Some(lift)) = self.lifts.get(table.index()) {
            *batch = lift.apply(batch)?;
        }
        Ok(())
    }

    /// Returns the rows of the flat tables of `table`, for a batch of it, whose rows are of `bodies`: an
    /// item for each flat table. Nothing is made before it is asked for.
    ///
    /// # Errors
    /// The batch is not of the table's schema: a bug.
    pub fn explode(
        &self,
        table: TableId,
        batch: &RecordBatch,
        bodies: &[BodyRows],
    ) -> anyhow::Result<Vec<Explosion>> {
        let children = self.children.get(table.index()).map(Vec::as_slice).unwrap_or_default();
        children.iter().map(|child| Explosion::new(child, batch, bodies)).collect()
    }
}
