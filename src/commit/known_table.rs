//! The id of a table with a log, held against the one that was seen before.
//!
//! # Promise
//! Another table under the name, or none any more, is refused, by any process and after any restart: it
//! has no marks, and would get all rolls again in silence. The memory is the table's identity in the lake
//! (`lake::table_identity`), created when a table is seen that has none: one that was just created, or one
//! that earlier versions have committed to. So nothing is asked of an upgrade.
//!
//! A new table is taken on purpose with `sessionlake table create --anew`, which forgets the id. Running
//! processes notice, since they read the identity again before they refuse. What they know of marks is of
//! the table before: the attempt that notices fails, and [`KnownTable::generation`] has changed then.
//!
//! A table that was set back to an earlier state, as from a copy, has lower marks than before: rolls that it
//! had are in it no longer. That is noticed alike, and they are added again, since a later mark would hide
//! that they are not there.
//!
//! # Failure modes
//! * The process ends between the creation of the table and that of the identity: the next one takes the
//!   table as it finds it.
//! * The identity cannot be created, as to credentials without the right: this process remembers the id,
//!   and says so once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::lake::{Lake, RecordError, StoreError, names};
use crate::record::Roll;
use crate::table::Format;

/// The reason that a table is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnknownTable {
    /// It is another one, as the rest of a sentence about the table. Trying again does not help.
    Refused(String),
    /// The lake failed. Trying again finds out.
    Away(String),
}

/// The table of one name, as it is known. Methods make at most two requests; none once the table was seen.
///
/// Dropping a future leaves the memory as it was; the lake may have the identity then, of a table that was
/// seen.
#[derive(Debug)]
pub(crate) struct KnownTable {
    lake: Lake,
    name: Arc<str>,
    format: Format,
    /// The id, once the table was seen.
    id: Mutex<Option<String>>,
    /// The last roll of each node that was asked for, as the table had it then.
    marks: Mutex<BTreeMap<String, Roll>>,
    /// Relaxed: it is read by the thread that changes it.
    generation: AtomicU64,
}

impl KnownTable {
    /// Makes the memory of a table that was not seen yet.
    pub(crate) fn new(lake: &Lake, name: &Arc<str>, format: Format) -> KnownTable {
        let (lake, name) = (lake.clone(), Arc::clone(name));
        let (id, marks) = (Mutex::default(), Mutex::default());
        KnownTable { lake, name, format, id, marks, generation: AtomicU64::new(0) }
    }

    /// Returns a number that changes when another table is taken, or this one was set back: marks that were
    /// read before it are of no use.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes note that the table has `id`.
    ///
    /// # Errors
    /// It is another table than before; it is one, and was taken on purpose just now; the lake.
    pub(crate) async fn found(&self, id: &str) -> Result<(), UnknownTable> {
        let known = self.id.lock().clone();
        if known.as_deref() == Some(id) {
            return Ok(());
        }
        let recorded = match self.recorded().await? {
            Some(Some(recorded)) => Some(recorded),
            Some(None) => {
                let set = self.lake.set_table_id(&self.name, self.format, id).await;
                set.map_err(|error| away(&error))?;
                Some(id.to_owned())
            }
            None if known.is_none() => self.create(id).await?,
            None => known.clone(),
        };
        if let Some(recorded) = recorded.filter(|recorded| recorded != id) {
            return Err(UnknownTable::Refused(format!(
                "is another table now: its id is {id}, and it was {recorded} before ({}). Bring that one \
                 back, or have this one get all rolls: `sessionlake table create --anew`",
                names::table_identity(&self.name)
            )));
        }
        *self.id.lock() = Some(id.to_owned());
        if known.is_none() {
            return Ok(());
        }
        self.marks.lock().clear();
        self.generation.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("table {} is another one from now on, with the id {id}", self.name);
        Err(UnknownTable::Away("it was made anew, and is asked for its marks again".to_owned()))
    }

    /// Takes note that the table has the rolls of `node` up to `mark`.
    ///
    /// # Errors
    /// It had more before: marks are to be asked for again. A state that was not the latest looks like this,
    /// too.
    pub(crate) fn marked(&self, node: &str, mark: Option<Roll>) -> Result<(), UnknownTable> {
        let before = {
            let mut marks = self.marks.lock();
            match mark {
                Some(mark) => marks.insert(node.to_owned(), mark),
                None => marks.remove(node),
            }
        };
        let Some(before) = before.filter(|before| mark.is_none_or(|mark| mark < *before)) else {
            return Ok(());
        };
        self.generation.fetch_add(1, Ordering::Relaxed);
        let now = mark.map_or("none".to_owned(), |mark| mark.to_string());
        let why = format!(
            "it had rolls of {node} up to {before} before, and has them up to {now} now: it was set back to an \
             earlier state, or that is not the latest one; it is asked again, and gets what it lacks"
        );
        tracing::warn!("table {}: {why}", self.name);
        Err(UnknownTable::Away(why))
    }

    /// Takes note that the table has got the rolls of `node` up to `last`.
    pub(crate) fn committed(&self, node: &str, last: Roll) {
        let mut marks = self.marks.lock();
        let mark = marks.get(node).map_or(last, |mark| last.max(*mark));
        marks.insert(node.to_owned(), mark);
    }

    /// Takes note that there is no table.
    ///
    /// # Errors
    /// There was one before; the lake.
    pub(crate) async fn missing(&self) -> Result<(), UnknownTable> {
        let before = match self.recorded().await? {
            Some(recorded) => recorded,
            None => self.id.lock().clone(),
        };
        match before {
            None => Ok(()),
            Some(id) => Err(UnknownTable::Refused(format!(
                "is not there any more: it had the id {id} before ({}). Bring it back, or have a new one \
                 get all rolls: `sessionlake table create --anew`",
                names::table_identity(&self.name)
            ))),
        }
    }

    /// Tells whether the id was forgotten on purpose, and no table was seen since.
    ///
    /// # Errors
    /// The identity cannot be read; the lake.
    pub(crate) async fn is_forgotten(&self) -> Result<bool, UnknownTable> {
        Ok(matches!(self.recorded().await?, Some(None)))
    }

    /// Forgets the id, so that the next table that is seen, or created, is taken.
    ///
    /// # Errors
    /// The lake. Trying again is safe.
    pub(crate) async fn forget(&self) -> Result<(), UnknownTable> {
        let forgot = self.lake.forget_table_id(&self.name, self.format).await;
        forgot.map_err(|error| away(&error))?;
        *self.id.lock() = None;
        Ok(())
    }

    /// Reads the id of the identity in the lake; `Some(None)` is one without an id.
    async fn recorded(&self) -> Result<Option<Option<String>>, UnknownTable> {
        let identity = match self.lake.table_identity(&self.name).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return Ok(None),
            Err(RecordError::Store(error)) => return Err(away(&error)),
            Err(error) => return Err(UnknownTable::Refused(format!("is not known: {error}"))),
        };
        if identity.format != self.format {
            return Err(UnknownTable::Refused(format!(
                "is of the format {} in the lake ({}), and {} in this configuration. Set table_format = \
                 \"{}\", or give the rolls another table",
                identity.format.as_str(),
                names::table_identity(&self.name),
                self.format.as_str(),
                identity.format.as_str()
            )));
        }
        Ok(Some(identity.id))
    }

    /// Creates the identity. Returns the id that it has then; none if it cannot be created.
    async fn create(&self, id: &str) -> Result<Option<String>, UnknownTable> {
        let created = self.lake.create_table_identity(&self.name, self.format, id).await;
        match created.map_err(|error| away(&error))? {
            Some(true) => Ok(Some(id.to_owned())),
            // Of another process that has seen the table, or of an attempt whose answer was lost.
            Some(false) => Ok(self.recorded().await?.flatten()),
            None => {
                tracing::warn!(
                    "the id of table {} is not remembered beyond this process: these credentials may not \
                     create {}",
                    self.name,
                    names::table_identity(&self.name)
                );
                Ok(None)
            }
        }
    }
}

fn away(error: &StoreError) -> UnknownTable {
    UnknownTable::Away(error.to_string())
}
