//! The marks of nodes in a table: transactions by their names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use delta_kernel::KernelResult;
use delta_kernel::actions::LOG_TXN_SCHEMA;
use delta_kernel::crc::SetTransactionState;
use delta_kernel::engine_data::{GetData, RowVisitor};
use delta_kernel::expressions::ColumnName;
use delta_kernel::schema::DataType;
use delta_kernel::snapshot::SnapshotRef;

use super::log::Log;
use crate::commit::LogError;
use crate::record::Roll;

/// Begin of the names of transactions that mark rolls.
const MARK: &str = "sessionlake/";

/// Returns the name of the transaction that marks the rolls of `node`.
pub(super) fn transaction(node: &str) -> String {
    format!("{MARK}{node}")
}

/// Returns the last roll of each node that the table has, as of `snapshot`.
///
/// # Errors
/// The log cannot be read.
pub(super) fn of(log: &Log, snapshot: &SnapshotRef) -> Result<BTreeMap<String, Roll>, LogError> {
    let known = snapshot.crc_at_version().map(|crc| &crc.set_transaction_state);
    if let Some(SetTransactionState::Complete(all)) = known {
        let all = all.values().map(|mark| (mark.app_id().to_owned(), mark.version()));
        return Ok(marks(all));
    }
    let failed = |e| LogError::of(format_args!("reading the marks of {}", log.table), &e);
    let mut transactions = Transactions::default();
    let actions = snapshot.log_segment().read_actions(&log.engine, LOG_TXN_SCHEMA.clone());
    for batch in actions.map_err(failed)? {
        // The newest commit comes first, and the first action of a name counts.
        transactions.visit_rows_of(batch.map_err(failed)?.actions()).map_err(failed)?;
    }
    Ok(marks(transactions.0))
}

/// Returns the marks among transactions, names with versions. Those of other writers are left out.
fn marks(all: impl IntoIterator<Item = (String, i64)>) -> BTreeMap<String, Roll> {
    let mark = |(name, version): (String, i64)| {
        Some((name.strip_prefix(MARK)?.to_owned(), Roll(u64::try_from(version).ok()?)))
    };
    all.into_iter().filter_map(mark).collect()
}

/// The versions of transactions by their names, the first of each that is visited.
#[derive(Default)]
struct Transactions(BTreeMap<String, i64>);

impl RowVisitor for Transactions {
    fn selected_column_names_and_types(&self) -> (&'static [ColumnName], &'static [DataType]) {
        static COLUMNS: LazyLock<([ColumnName; 2], [DataType; 2])> = LazyLock::new(|| {
            let column = |name| ColumnName::new(["txn", name]);
            ([column("appId"), column("version")], [DataType::STRING, DataType::LONG])
        });
        (&COLUMNS.0, &COLUMNS.1)
    }

    fn visit<'a>(&mut self, rows: usize, getters: &[&'a dyn GetData<'a>]) -> KernelResult<()> {
        let [name, version] = getters else { return Ok(()) };
        for row in 0..rows {
            let name = name.get_str(row, "txn.appId")?;
            let version = version.get_long(row, "txn.version")?;
            if let Some((name, version)) = name.zip(version) {
                self.0.entry(name.to_owned()).or_insert(version);
            }
        }
        Ok(())
    }
}
