//! Receipts of a lake: listed, read, and put in order.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::names::{self, ObjectName};
use super::{Lake, Receipt, StoreError};
use crate::record::Roll;

/// Receipts read at a time.
const READS: usize = 32;
/// Receipts of a node that are missing in the middle, and asked for by name.
const ASKED_AGAIN: usize = 1000;

/// A receipt that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The store would not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is no receipt.
    #[error("{name} is no receipt: {source}")]
    Malformed {
        /// The object.
        name: String,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
    /// The receipt is of another node or roll than its name says.
    #[error("{name} is of another node or roll")]
    Misplaced {
        /// The object.
        name: String,
    },
}

/// All receipts of a lake.
#[derive(Debug, Default)]
pub struct Receipts {
    /// Receipts by node, each node's in the order of its rolls.
    pub by_node: BTreeMap<String, Vec<Receipt>>,
    /// Objects among them that are no receipts, by name, with what is wrong.
    pub unreadable: Vec<(String, String)>,
}

impl Lake {
    /// Returns the receipt of a roll, or `None` when there is none.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn receipt(&self, node: &str, roll: Roll) -> Result<Option<Receipt>, ReceiptError> {
        let name = names::receipt(node, roll);
        let Some(bytes) = self.get(&name).await? else { return Ok(None) };
        match serde_json::from_slice::<Receipt>(&bytes) {
            Ok(receipt) if receipt.node == node && receipt.roll == roll.0 => Ok(Some(receipt)),
            Ok(_) => Err(ReceiptError::Misplaced { name }),
            Err(source) => Err(ReceiptError::Malformed { name, source }),
        }
    }

    /// Returns the receipts of a node from its first roll on, up to the first roll that has none.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn receipts_of(&self, node: &str) -> Result<Vec<Receipt>, ReceiptError> {
        let (mut receipts, mut roll) = (Vec::new(), Roll::FIRST);
        while let Some(receipt) = self.receipt(node, roll).await? {
            receipts.push(receipt);
            roll = roll.next();
        }
        Ok(receipts)
    }

    /// Reads all receipts. The lake may be written meanwhile: a receipt that the listing has passed
    /// over, and whose successor it has, is asked for by its name.
    ///
    /// # Errors
    /// The store would not list or read. Objects that are no receipts are in the result.
    pub async fn receipts(&self) -> Result<Receipts, StoreError> {
        let listed = self.list(names::RECEIPTS).await?;
        let mut found = Receipts::default();
        let mut wanted = Vec::new();
        for object in &listed {
            match ObjectName::parse(&object.name) {
                ObjectName::Receipt { node, roll } => wanted.push((node.to_owned(), roll)),
                // The name of a file that is being written, or of another program.
                _ if object.name.contains("/.") => {}
                name => {
                    let why = format!("{name} is not the name of a receipt");
                    found.unreadable.push((object.name.clone(), why));
                }
            }
        }
        found.read(self, wanted).await?;
        let mut passed_over = Vec::new();
        for (node, receipts) in &found.by_node {
            let rolls: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.roll).collect();
            let last = rolls.last().copied().unwrap_or(0);
            let missing = (1..last).filter(|roll| !rolls.contains(roll)).take(ASKED_AGAIN);
            passed_over.extend(missing.map(|roll| (node.clone(), Roll(roll))));
        }
        found.read(self, passed_over).await?;
        found.by_node.values_mut().for_each(|all| all.sort_by_key(|receipt| receipt.roll));
        Ok(found)
    }
}

impl Receipts {
    /// Reads the receipts of the rolls `wanted`, and leaves out those that do not exist.
    async fn read(&mut self, lake: &Lake, wanted: Vec<(String, Roll)>) -> Result<(), StoreError> {
        let mut read = stream::iter(wanted)
            .map(|(node, roll)| async move {
                let name = names::receipt(&node, roll);
                match lake.receipt(&node, roll).await {
                    Err(ReceiptError::Store(error)) => Err(error),
                    read => Ok((name, read)),
                }
            })
            .buffer_unordered(READS);
        while let Some((name, receipt)) = read.try_next().await? {
            match receipt {
                Ok(None) => {}
                Ok(Some(receipt)) => {
                    self.by_node.entry(receipt.node.clone()).or_default().push(receipt);
                }
                Err(ReceiptError::Misplaced { .. }) => {
                    self.unreadable.push((name, "it is of another node or roll".to_owned()));
                }
                Err(ReceiptError::Malformed { source, .. }) => {
                    self.unreadable.push((name, source.to_string()));
                }
                Err(ReceiptError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }
}
