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
//! # Failure modes
//! * The process ends between the creation of the table and that of the identity: the next one takes the
//!   table as it finds it.
//! * The identity cannot be created, as to credentials without the right: this process remembers the id,
//!   and says so once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::lake::{Lake, RecordError, StoreError, names};
use crate::table::Format;

/// The reason that a table is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnknownTable {
    /// It is another one, as the rest of a sentence about the table. Trying again does not help.
    Refused(String),
    /// The lake failed. Trying again finds out.
    Away(String),
}

/// The table of one name, as it is known. Methods block, and make at most two requests; none once the
/// table was seen.
#[derive(Debug)]
pub(crate) struct KnownTable {
    lake: Lake,
    runtime: Handle,
    name: Arc<str>,
    format: Format,
    /// The id, once the table was seen.
    id: Mutex<Option<String>>,
    /// Relaxed: it is changed under the mutex, by the thread that looks at it next.
    generation: AtomicU64,
}

impl KnownTable {
    /// Makes the memory of a table that was not seen yet. `runtime` is not the one of the calling thread.
    pub(crate) fn new(lake: &Lake, name: &Arc<str>, format: Format, runtime: Handle) -> KnownTable {
        let (lake, name) = (lake.clone(), Arc::clone(name));
        KnownTable {
            lake,
            runtime,
            name,
            format,
            id: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Returns a number that changes when another table is taken: marks that were read before it are of
    /// no use.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes note that the table has `id`.
    ///
    /// # Errors
    /// It is another table than before; it is one, and was taken on purpose just now; the lake.
    pub(crate) fn found(&self, id: &str) -> Result<(), UnknownTable> {
        let mut known = self.id.lock();
        if known.as_deref() == Some(id) {
            return Ok(());
        }
        let recorded = match self.recorded()? {
            Some(Some(recorded)) => Some(recorded),
            Some(None) => {
                let set = self.lake.set_table_id(&self.name, self.format, id);
                self.runtime.block_on(set).map_err(|error| away(&error))?;
                Some(id.to_owned())
            }
            None if known.is_none() => self.create(id)?,
            None => known.clone(),
        };
        match recorded {
            Some(recorded) if recorded != id => Err(UnknownTable::Refused(format!(
                "is another table now: its id is {id}, and it was {recorded} before ({}). Bring that one \
                 back, or have this one get all rolls: `sessionlake table create --anew`",
                names::table_identity(&self.name)
            ))),
            _ => match known.replace(id.to_owned()) {
                None => Ok(()),
                Some(_) => {
                    self.generation.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        "table {} is another one from now on, with the id {id}",
                        self.name
                    );
                    let why = "it was made anew, and is asked for its marks again";
                    Err(UnknownTable::Away(why.to_owned()))
                }
            },
        }
    }

    /// Takes note that there is no table.
    ///
    /// # Errors
    /// There was one before; the lake.
    pub(crate) fn missing(&self) -> Result<(), UnknownTable> {
        let known = self.id.lock();
        let before = match self.recorded()? {
            Some(recorded) => recorded,
            None => known.clone(),
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

    /// Forgets the id, so that the next table that is seen, or created, is taken.
    ///
    /// # Errors
    /// The lake. Trying again is safe.
    pub(crate) fn forget(&self) -> Result<(), UnknownTable> {
        let mut known = self.id.lock();
        let forget = self.lake.forget_table_id(&self.name, self.format);
        self.runtime.block_on(forget).map_err(|error| away(&error))?;
        *known = None;
        Ok(())
    }

    /// Reads the id of the identity in the lake; `Some(None)` is one without an id.
    fn recorded(&self) -> Result<Option<Option<String>>, UnknownTable> {
        let read = self.runtime.block_on(self.lake.table_identity(&self.name));
        let identity = match read {
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
    fn create(&self, id: &str) -> Result<Option<String>, UnknownTable> {
        let created = self.lake.create_table_identity(&self.name, self.format, id);
        match self.runtime.block_on(created).map_err(|error| away(&error))? {
            Some(true) => Ok(Some(id.to_owned())),
            // Of another process that has seen the table, or of an attempt whose answer was lost.
            Some(false) => Ok(self.recorded()?.flatten()),
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
