//! Making a roll visible as a whole: for plain files, its receipt, which is written last.

use crate::lake::{Lake, Receipt, StoreError};

/// Commits a roll of plain files: writes its receipt.
///
/// # Errors
/// [`StoreError`]; trying again is safe.
pub async fn plain(lake: &Lake, name: &str, receipt: &Receipt) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec_pretty(receipt).unwrap_or_default();
    text.push(b'\n');
    lake.put_bytes(name, text).await
}
