//! Receipts of a lake: listed, read, and put in order.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::listing::{Detail, Skipped, read_files};
use super::names::{self, ObjectName};
use super::objects::blocking;
use super::{Lake, Location, Receipt, StoreError};
use crate::error_text::shown;
use crate::record::Roll;

/// Receipts that are read by one task.
const CHUNK: usize = 64;
/// Tasks that read receipts at a time.
const CHUNKS: usize = 4;
/// Receipts of a node that are missing in the middle, and asked for by name.
const ASKED_AGAIN: usize = 1000;
/// Receipts of a node that a bucket lists before the first of a time is searched for.
const FEW: usize = if cfg!(test) { 20 } else { 1000 };
/// More rolls than any node makes, for the search.
const MOST_ROLLS: u64 = 100_000_000;

/// A receipt that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The store would not read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The object is no receipt.
    #[error("{} is no receipt: {}", shown(name), shown(&source.to_string()))]
    Malformed {
        /// The object.
        name: String,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
    /// The receipt is of another node or roll than its name says.
    #[error("{} is of another node or roll", shown(name))]
    Misplaced {
        /// The object.
        name: String,
    },
}

/// Rolls that have receipts, by their names alone.
#[derive(Debug, Default)]
pub struct ReceiptNames {
    /// Rolls by node, in order, each once.
    pub by_node: BTreeMap<String, Vec<u64>>,
    /// Objects among them that are no receipts, by name, with what is wrong.
    pub unreadable: Vec<(String, String)>,
    /// Links among them, which are not followed.
    pub skipped: Vec<Skipped>,
}

/// One receipt of a roll that was read.
#[derive(Debug)]
pub struct ReadReceipt {
    /// The node.
    pub node: Arc<str>,
    /// The roll.
    pub roll: Roll,
    /// The receipt; `None` when there is none, or a sentence on what is wrong with it.
    pub receipt: Result<Option<Receipt>, String>,
}

impl Lake {
    /// Returns the receipt of a roll, or `None` when there is none.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn receipt(&self, node: &str, roll: Roll) -> Result<Option<Receipt>, ReceiptError> {
        let name = names::receipt(node, roll);
        let Some(bytes) = self.get(&name).await? else { return Ok(None) };
        parse(name, &bytes, node, roll).map(Some)
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

    /// Lists the rolls that have receipts. The lake may be written meanwhile: a receipt that the listing
    /// has passed over, and whose successor it has, is among them, so that it is asked for by its name.
    ///
    /// # Errors
    /// The store would not list.
    pub async fn receipt_names(&self) -> Result<ReceiptNames, StoreError> {
        let mut found = ReceiptNames::default();
        let add = |object: super::Object| found.add(&object.name);
        found.skipped = self.list_each(names::RECEIPTS, Detail::Name, |_| true, add).await?;
        found.by_node.values_mut().for_each(|rolls| put_in_order(rolls, Roll::FIRST));
        Ok(found)
    }

    /// Lists the nodes that have receipts, in no order.
    ///
    /// # Errors
    /// The store would not list.
    pub async fn receipt_nodes(&self) -> Result<Vec<String>, StoreError> {
        self.folders(names::RECEIPTS).await
    }

    /// Lists the rolls of `node` after `roll` that have receipts, in order. What was passed over is as in
    /// [`Lake::receipt_names`].
    ///
    /// # Errors
    /// The store would not list.
    pub async fn rolls_after(&self, node: &str, roll: Roll) -> Result<Vec<u64>, StoreError> {
        let folder = format!("{}/{node}", names::RECEIPTS);
        let mut rolls = match &self.location {
            Location::Local(root) => {
                let folder = root.join(folder);
                blocking(move || rolls_in(&folder)).await?
            }
            _ => {
                let after = self.path(&names::receipt(node, roll))?;
                let listed = self.store.list_with_offset(Some(&self.path(&folder)?), &after);
                let rolls = listed.try_filter_map(async |meta| Ok(number(meta.location.as_ref())));
                rolls.try_collect().await.map_err(|e| self.failed(e))?
            }
        };
        rolls.retain(|number| *number > roll.0);
        put_in_order(&mut rolls, roll.next());
        Ok(rolls)
    }

    /// Returns the last roll of `node` whose receipt was written before `time`, by the clock of the
    /// store, or 0, and the rolls after it as [`Lake::rolls_after`] does. Receipts are written in the
    /// order of rolls, so that the last is searched for by halves.
    ///
    /// # Errors
    /// The store would not list or look.
    pub async fn rolls_since(
        &self,
        node: &str,
        time: DateTime<Utc>,
    ) -> Result<(Roll, Vec<u64>), StoreError> {
        if let Location::Local(_) = self.location {
            // One listing for both.
            let mut rolls = self.rolls_after(node, Roll(0)).await?;
            let last = self.last_before_of(node, &rolls, time).await?;
            rolls.retain(|roll| *roll > last.0);
            return Ok((last, rolls));
        }
        let last = self.last_roll_before(node, time).await?;
        Ok((last, self.rolls_after(node, last).await?))
    }

    /// Returns the last roll before `time` in a bucket.
    async fn last_roll_before(&self, node: &str, time: DateTime<Utc>) -> Result<Roll, StoreError> {
        let mut first = Vec::new();
        let folder = self.path(&format!("{}/{node}", names::RECEIPTS))?;
        let mut listed = self.store.list(Some(&folder)).take(FEW);
        while let Some(meta) = listed.try_next().await.map_err(|e| self.failed(e))? {
            let roll = number(meta.location.as_ref());
            first.extend(roll.map(|roll| (roll, meta.last_modified)));
        }
        first.sort_unstable();
        if first.len() < FEW || first.last().is_none_or(|(_, written)| *written >= time) {
            let before = first.partition_point(|(_, written)| *written < time);
            let last = before.checked_sub(1).and_then(|at| first.get(at));
            return Ok(Roll(last.map_or(0, |(roll, _)| *roll)));
        }
        let (mut before, mut after) = (first.last().map_or(0, |(roll, _)| *roll), MOST_ROLLS);
        while before < after {
            let middle = before + (after - before) / 2;
            // The first receipt after the middle: a roll without one does not mislead.
            let offset = self.path(&names::receipt(node, Roll(middle)))?;
            let mut listed = self.store.list_with_offset(Some(&folder), &offset);
            let next = listed.try_next().await.map_err(|e| self.failed(e))?;
            match next.map(|meta| (number(meta.location.as_ref()), meta.last_modified)) {
                Some((Some(roll), written)) if written < time && roll > middle => before = roll,
                _ => after = middle,
            }
        }
        Ok(Roll(before))
    }

    async fn last_before_of(
        &self,
        node: &str,
        rolls: &[u64],
        time: DateTime<Utc>,
    ) -> Result<Roll, StoreError> {
        let (mut low, mut high) = (0, rolls.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(roll) = rolls.get(middle) else { break };
            let path = self.path(&names::receipt(node, Roll(*roll)))?;
            let before = match self.store.head(&path).await {
                Ok(meta) => meta.last_modified < time,
                // Passed over by the listing and not there: nothing is known of its time.
                Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => return Err(self.failed(error)),
            };
            if before { low = middle + 1 } else { high = middle }
        }
        let last = low.checked_sub(1).and_then(|at| rolls.get(at));
        Ok(Roll(last.copied().unwrap_or(0)))
    }

    /// Reads the receipts of `wanted`, in its order, some at a time.
    pub fn read_receipts<'a>(
        &'a self,
        wanted: impl Iterator<Item = (Arc<str>, Roll)> + Send + 'a,
    ) -> impl Stream<Item = Result<Vec<ReadReceipt>, StoreError>> + 'a {
        stream::iter(wanted).chunks(CHUNK).map(|wanted| self.read_chunk(wanted)).buffered(CHUNKS)
    }

    async fn read_chunk(
        &self,
        wanted: Vec<(Arc<str>, Roll)>,
    ) -> Result<Vec<ReadReceipt>, StoreError> {
        if let Location::Local(root) = &self.location {
            let root = root.clone();
            return blocking(move || {
                let names: Vec<String> =
                    wanted.iter().map(|(node, roll)| names::receipt(node, *roll)).collect();
                let read = read_files(&root, &names).into_iter().zip(names).zip(wanted);
                read.map(|((bytes, name), (node, roll))| {
                    let parsed = bytes?.map(|bytes| parse(name, &bytes, &node, roll)).transpose();
                    read_receipt(node, roll, parsed)
                })
                .collect()
            })
            .await;
        }
        stream::iter(wanted)
            .map(|(node, roll)| async move {
                let read = self.receipt(&node, roll).await;
                read_receipt(node, roll, read)
            })
            .buffered(CHUNK)
            .try_collect()
            .await
    }
}

impl ReceiptNames {
    fn add(&mut self, name: &str) {
        match ObjectName::parse(name) {
            ObjectName::Receipt { node, roll } => match self.by_node.get_mut(node) {
                Some(rolls) => rolls.push(roll.0),
                None => drop(self.by_node.insert(node.to_owned(), vec![roll.0])),
            },
            // The name of a file that is being written, or of another program.
            _ if name.contains("/.") => {}
            parsed => {
                let why = format!("{parsed} is not the name of a receipt");
                self.unreadable.push((name.to_owned(), why));
            }
        }
    }
}

/// Returns the rolls that have receipts in the directory `folder`; none if there is none. Looks at
/// names alone, of which there may be a million.
fn rolls_in(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let failed = |source| StoreError::Io { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut rolls = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        rolls.extend(name.to_str().and_then(names::receipt_number));
    }
    Ok(rolls)
}

/// Returns the roll of the receipt `name`.
fn number(name: &str) -> Option<u64> {
    match ObjectName::parse(name) {
        ObjectName::Receipt { roll, .. } => Some(roll.0),
        _ => None,
    }
}

/// Sorts the rolls of a node, and adds those that are missing from `first` on, up to a bound.
fn put_in_order(rolls: &mut Vec<u64>, first: Roll) {
    rolls.sort_unstable();
    let (mut missing, mut next) = (Vec::new(), first.0);
    for roll in &*rolls {
        let room = ASKED_AGAIN - missing.len();
        missing.extend((next..*roll).take(room));
        next = roll + 1;
    }
    if !missing.is_empty() {
        rolls.append(&mut missing);
        rolls.sort_unstable();
    }
}

fn parse(name: String, bytes: &[u8], node: &str, roll: Roll) -> Result<Receipt, ReceiptError> {
    match serde_json::from_slice::<Receipt>(bytes) {
        Ok(receipt) if receipt.node == node && receipt.roll == roll.0 => Ok(receipt),
        Ok(_) => Err(ReceiptError::Misplaced { name }),
        Err(source) => Err(ReceiptError::Malformed { name, source }),
    }
}

fn read_receipt(
    node: Arc<str>,
    roll: Roll,
    read: Result<Option<Receipt>, ReceiptError>,
) -> Result<ReadReceipt, StoreError> {
    let receipt = match read {
        Ok(receipt) => Ok(receipt),
        Err(ReceiptError::Store(error)) => return Err(error),
        Err(ReceiptError::Misplaced { .. }) => Err("it is of another node or roll".to_owned()),
        Err(ReceiptError::Malformed { source, .. }) => Err(shown(&source.to_string())),
    };
    Ok(ReadReceipt { node, roll, receipt })
}
