//! The conversion of plain tables: their rolls, by receipts alone, into the log of a table.
//!
//! The table is created first, so that receivers that land plain files find its log before they seal
//! another roll, and are refused. Then the rolls of every node that has receipts are committed, and again
//! until a pass finds nothing, since rolls that were sealed before may land meanwhile. Rolls of a node are
//! committed by their mark, so that a conversion that is interrupted, or done twice or by two processes,
//! adds nothing twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::ensure;

use super::{Options, check, log_tables, runtime, settle};
use crate::lake::Lake;
use crate::publish::visibility::{Failure, LogTables};
use crate::table::{Format, Spec};

/// Passes over the nodes before those that still get rolls are left to their receivers.
const PASSES: usize = 10;

/// What a table has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Converted {
    /// Name of the table.
    pub(crate) table: String,
    /// It was created.
    pub(crate) created: bool,
    /// Nodes whose rolls it has got.
    pub(crate) nodes: u64,
    /// Rolls that it did not have before.
    pub(crate) rolls: u64,
    /// Files of them.
    pub(crate) files: u64,
    /// Rows of the files.
    pub(crate) rows: u64,
    /// Its version then.
    pub(crate) version: u64,
    /// Reasons for which rolls are not in it, each with the node.
    pub(crate) failures: Vec<String>,
}

/// Registers all rolls that have landed in the tables that are `named`, or in all, as tables of the format
/// `to`; without it, of their own format. Blocks, for as long as the lake fails.
///
/// # Errors
/// The tables cannot have this format; the lake, before anything was added. What is wrong with the rolls
/// of one node or table is in the result.
pub(crate) fn convert(
    options: &Options,
    named: &[String],
    to: Option<Format>,
) -> anyhow::Result<Vec<Converted>> {
    let specs_of = |options: &Options| match to {
        Some(format) => in_format(options.named(named)?, format),
        None => options.with_log(named),
    };
    specs_of(options)?;
    let (lake, runtime) = (Lake::open_existing(&options.lake)?, runtime()?);
    let specs = specs_of(&options.with_columns_of(&lake, &runtime)?)?;
    for spec in &specs {
        runtime.block_on(check(&lake, spec))?;
    }
    let logs = log_tables(&lake, specs, options.catalog.as_ref(), &runtime)?;
    let mut done = Vec::new();
    for table in logs.tables() {
        let before = settle(table, |table| table.state())?;
        let state = settle(table, |table| table.prepare())?;
        done.push(Converted {
            table: table.name().to_owned(),
            created: before.is_none(),
            version: state.version,
            ..Converted::default()
        });
    }
    commit_all(&logs, &mut done)?;
    Ok(done)
}

/// Returns the tables in the format `to`.
fn in_format(specs: Vec<Spec>, to: Format) -> anyhow::Result<Vec<Spec>> {
    ensure!(to != Format::Plain, "a table is converted to one with a log, and plain has none");
    let convert = |spec: Spec| {
        let checked = to.check(&spec.schema, &spec.partition);
        checked.map_err(|why| anyhow::anyhow!("table {}: {why}", spec.name))?;
        Ok(Spec { format: to, ..spec })
    };
    specs.into_iter().map(convert).collect()
}

/// Commits the rolls of all nodes, until a pass finds nothing.
fn commit_all(logs: &LogTables, done: &mut [Converted]) -> anyhow::Result<()> {
    // Of each table, since a node may have rolls in one of them alone.
    let mut nodes_of: Vec<BTreeSet<Arc<str>>> = vec![BTreeSet::new(); done.len()];
    for _ in 0..PASSES {
        let mut found = false;
        done.iter_mut().for_each(|table| table.failures.clear());
        // Read once: a log is read once more for each node that has rolls to add, and for no other.
        let marks = settle(logs, LogTables::marks)?;
        for node in settle(logs, nodes)? {
            let waiting = settle(logs, |logs| logs.waiting_after(&node, &marks))?;
            if waiting.is_empty() {
                continue;
            }
            let (added, failures) = logs.commit_waiting(waiting);
            for ((table, nodes), added) in done.iter_mut().zip(&mut nodes_of).zip(added) {
                found |= added.rolls > 0;
                table.rolls += added.rolls;
                table.files += added.files;
                table.rows += added.rows;
                table.version = added.version.unwrap_or(table.version).max(table.version);
                if added.rolls > 0 {
                    nodes.insert(Arc::clone(&node));
                }
            }
            for Failure { table, why, .. } in failures {
                let of = done.iter_mut().find(|of| *of.table == *table);
                of.into_iter().for_each(|of| of.failures.push(format!("rolls of {node}: {why}")));
            }
        }
        if !found {
            break;
        }
    }
    for (table, nodes) in done.iter_mut().zip(nodes_of) {
        table.nodes = nodes.len() as u64;
    }
    Ok(())
}

/// Lists the nodes that have receipts, in order.
fn nodes(logs: &LogTables) -> Result<Vec<Arc<str>>, Failure> {
    let mut nodes = logs.nodes()?;
    nodes.sort();
    Ok(nodes)
}
