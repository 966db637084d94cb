//! Receipts that have come since the receipts were listed: rolls land while a lake is verified.
//!
//! Rolls of a node land one after the other, so a file that is listed before the receipts are is of a roll
//! that has a receipt, or of the one after these. Where files are listed after the receipts, the receipts
//! that have come are listed once more, after the files.

use std::collections::{BTreeMap, HashSet};

use super::MOST_ASKED_AGAIN;
use super::history::hash;
use crate::lake::{Lake, ReceiptError, StoreError};
use crate::record::Roll;

/// The receipts that have come of nodes that were asked for. Holds 8 bytes a roll, and the names of one
/// receipt as hashes.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// By node, the rolls after the last one that was looked at.
    rolls: BTreeMap<String, Vec<u64>>,
    /// The receipt that was read last.
    read: Option<((String, Roll), HashSet<u128>)>,
    /// How many were read.
    count: usize,
}

impl Late {
    /// Returns the last roll of `node` that has a receipt by now, `last` being the last one looked at.
    ///
    /// # Errors
    /// The store would not list.
    pub(super) async fn last(
        &mut self,
        lake: &Lake,
        node: &str,
        last: Roll,
    ) -> Result<Roll, StoreError> {
        if !self.rolls.contains_key(node) {
            let rolls = lake.rolls_after(node, last).await?;
            self.rolls.insert(node.to_owned(), rolls);
        }
        Ok(Roll(self.rolls.get(node).and_then(|rolls| rolls.last().copied()).unwrap_or(last.0)))
    }

    /// Returns whether a receipt of `roll` has come that names the file `path`.
    ///
    /// # Errors
    /// The store would not list or read.
    pub(super) async fn names(
        &mut self,
        lake: &Lake,
        node: &str,
        last: Roll,
        roll: Roll,
        path: &str,
    ) -> Result<bool, StoreError> {
        if roll > self.last(lake, node, last).await? {
            return Ok(false);
        }
        self.receipt_names(lake, node, roll, path).await
    }

    /// As [`Self::names`], of a roll of which nothing is known.
    ///
    /// # Errors
    /// The store would not read.
    pub(super) async fn receipt_names(
        &mut self,
        lake: &Lake,
        node: &str,
        roll: Roll,
        path: &str,
    ) -> Result<bool, StoreError> {
        let is_read = self.read.as_ref().is_some_and(|((n, r), _)| n == node && *r == roll);
        if !is_read {
            self.count += 1;
            // Nobody lands so many meanwhile: the names are made up.
            if self.count > MOST_ASKED_AGAIN {
                return Ok(false);
            }
            let names = match lake.receipt(node, roll).await {
                Err(ReceiptError::Store(error)) => return Err(error),
                Ok(Some(receipt)) => {
                    let data = receipt.tables.iter().flat_map(|table| &table.files);
                    let rejects =
                        receipt.tables.iter().filter_map(|table| table.quarantine.as_ref());
                    let data = data.map(|file| hash(&file.path));
                    data.chain(rejects.map(|file| hash(&file.path))).collect()
                }
                _ => HashSet::new(),
            };
            self.read = Some(((node.to_owned(), roll), names));
        }
        Ok(self.read.as_ref().is_some_and(|(_, names)| names.contains(&hash(path))))
    }
}
