//! The file of the index.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageError, TableDefinition, WriteTransaction,
};

use super::Fingerprint;
use super::open_rolls::First;
use crate::record::{Micros, Seq};

const ROWS: TableDefinition<'_, u128, (u64, i64)> = TableDefinition::new("rows");
/// Rolls by their first bodies: rows that were stored with them, and the latest time of a receipt.
const ROLLS: TableDefinition<'_, u64, (u64, i64)> = TableDefinition::new("rolls");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const NAMES: TableDefinition<'_, &str, &str> = TableDefinition::new("names");
/// The halves of the key of its hashes.
const KEY: [&str; 2] = ["key", "key2"];

const VERSION: u64 = 2;

/// The place of the file.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A path.
    Path(PathBuf),
    /// A file of a test's own, which may crash.
    #[cfg(test)]
    Fake(super::tests::fake::FakeFile),
}

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    /// It cannot be read or written now.
    #[error("{0}")]
    Away(String),
    /// It is damaged, or not of this node and version.
    #[error("{0}")]
    Other(String),
}

/// An index that is open.
pub(super) struct IndexFile {
    database: Database,
    pub(super) key: [u64; 2],
}

/// A roll in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredRoll {
    pub(super) first_seq: u64,
    pub(super) rows: u64,
    pub(super) latest: Micros,
}

/// The limits of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) window_us: i64,
    pub(super) max_rows: u64,
}

/// The outcome of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// Rows in the index.
    pub(super) rows: u64,
    /// Rows within the window that were deleted, as there were too many.
    pub(super) evicted: u64,
}

impl IndexFile {
    /// Opens the index of the node `node`, or begins one with `key`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn open(
        place: &Place,
        node: &str,
        key: [u64; 2],
        cache_bytes: usize,
    ) -> Result<IndexFile, IndexError> {
        guarded(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes);
            let database = match place {
                Place::Path(path) => {
                    // Its owner's alone, as all of the state directory is.
                    let mut options = fs::OpenOptions::new();
                    let made = options.append(true).create(true).mode(0o600).open(path);
                    made.map_err(away)?;
                    builder.create(path)
                }
                #[cfg(test)]
                Place::Fake(file) => builder.create_with_backend(file.clone()),
            };
            let database = database.map_err(|error| of_open(&error))?;
            let key = about(&database, node, key)?;
            Ok(IndexFile { database, key })
        })
    }

    /// Opens the rows as they are now.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn rows(&self) -> Result<StoredRows, IndexError> {
        guarded(|| {
            let read = self.database.begin_read().map_err(away)?;
            Ok(StoredRows(read.open_table(ROWS).map_err(away)?))
        })
    }

    /// Returns the number of rows.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn len(&self) -> Result<u64, IndexError> {
        guarded(|| {
            let read = self.database.begin_read().map_err(away)?;
            read.open_table(ROWS).map_err(away)?.len().map_err(away)
        })
    }

    /// Returns the last body that rows were stored of.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn last(&self) -> Result<Seq, IndexError> {
        guarded(|| {
            let read = self.database.begin_read().map_err(away)?;
            let table = read.open_table(ABOUT).map_err(away)?;
            let last = table.get("last").map_err(away)?.map_or(0, |last| last.value());
            Ok(Seq(last))
        })
    }

    /// Deletes all rows. Durable on return.
    ///
    /// # Errors
    /// [`IndexError`]. All of them are deleted, or none.
    pub(super) fn forget_all(&self) -> Result<(), IndexError> {
        self.write(|write| {
            write.delete_table(ROWS).map_err(away)?;
            write.delete_table(ROLLS).map_err(away)?;
            write.open_table(ROWS).map_err(away)?;
            write.open_table(ROLLS).map(drop).map_err(away)
        })
    }

    /// Stores the rows of a roll that ends with the body `last`, and deletes the oldest ones beyond
    /// `limits`. Durable on return.
    ///
    /// # Errors
    /// [`IndexError`]. All of it is stored, or nothing.
    pub(super) fn store(
        &self,
        rows: &[(Fingerprint, First)],
        last: Seq,
        limits: Limits,
    ) -> Result<Stored, IndexError> {
        self.write(|write| {
            let mut table = write.open_table(ROWS).map_err(away)?;
            let mut rolls = write.open_table(ROLLS).map_err(away)?;
            for (fingerprint, First { seq, at }) in rows {
                table.insert(fingerprint, (seq.0, at.0)).map_err(away)?;
            }
            let firsts = rows.iter().map(|(_, first)| first.seq.0);
            let latest = rows.iter().map(|(_, first)| first.at.0).max();
            if let Some((first, latest)) = firsts.min().zip(latest) {
                rolls.insert(first, (rows.len() as u64, latest)).map_err(away)?;
            }
            set_last(write, last)?;
            let before = table.len().map_err(away)?;
            let mut stored = Vec::new();
            for roll in rolls.iter().map_err(away)? {
                let (first, roll) = roll.map_err(away)?;
                let (rows, latest) = roll.value();
                stored.push(StoredRoll { first_seq: first.value(), rows, latest: Micros(latest) });
            }
            let Some(cut) = cut(&stored, before, limits) else {
                return Ok(Stored { rows: before, evicted: 0 });
            };
            table.retain(|_, (seq, _)| seq >= cut.from).map_err(away)?;
            rolls.retain(|first, _| first >= cut.from).map_err(away)?;
            let rows = table.len().map_err(away)?;
            let evicted = (before - rows).saturating_sub(cut.expired);
            Ok(Stored { rows, evicted })
        })
    }

    /// Deletes the rows of bodies that are `chosen`. Durable on return.
    ///
    /// # Errors
    /// [`IndexError`]. All of them are deleted, or none.
    pub(super) fn forget(&self, chosen: impl Fn(Seq) -> bool) -> Result<(), IndexError> {
        self.write(|write| {
            let mut table = write.open_table(ROWS).map_err(away)?;
            table.retain(|_, (seq, _)| !chosen(Seq(seq))).map_err(away)
        })
    }

    /// Deletes the rows of bodies from `from` on. Durable on return.
    ///
    /// # Errors
    /// [`IndexError`]. All of them are deleted, or none.
    pub(super) fn forget_from(&self, from: Seq) -> Result<(), IndexError> {
        self.write(|write| {
            let mut table = write.open_table(ROWS).map_err(away)?;
            table.retain(|_, (seq, _)| seq < from.0).map_err(away)?;
            let mut rolls = write.open_table(ROLLS).map_err(away)?;
            rolls.retain(|first, _| first < from.0).map_err(away)?;
            set_last(write, Seq(from.0.saturating_sub(1)))
        })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        guarded(|| {
            let write = self.database.begin_write().map_err(away)?;
            let changed = change(&write)?;
            write.commit().map_err(away)?;
            Ok(changed)
        })
    }
}

/// The rows of the index at one time.
pub(super) struct StoredRows(ReadOnlyTable<u128, (u64, i64)>);

impl StoredRows {
    /// Returns the first with a fingerprint.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn find(&self, fingerprint: Fingerprint) -> Result<Option<First>, IndexError> {
        guarded(|| {
            let found = self.0.get(fingerprint).map_err(away)?;
            Ok(found.map(|found| {
                let (seq, at) = found.value();
                First { seq: Seq(seq), at: Micros(at) }
            }))
        })
    }
}

/// The place where the index is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The first body that stays.
    pub(super) from: u64,
    /// Rows of rolls that have left the window.
    pub(super) expired: u64,
}

/// Decides what an index of `len` rows of `rolls`, which are in order, has to let go. Rolls that have
/// left the window go when they are a quarter of it; the oldest ones when there are too many rows, until
/// a quarter is free.
pub(super) fn cut(rolls: &[StoredRoll], len: u64, limits: Limits) -> Option<Cut> {
    let newest = rolls.iter().map(|roll| roll.latest.0).max()?;
    let is_old = |roll: &&StoredRoll| newest.saturating_sub(roll.latest.0) > limits.window_us;
    let sum = |rolls: &[StoredRoll]| rolls.iter().map(|roll| roll.rows).sum::<u64>();
    let (old, _) = rolls.split_at(rolls.iter().take_while(is_old).count());
    let (expired, is_full) = (sum(old), len > limits.max_rows);
    if !is_full && (expired == 0 || expired.saturating_mul(4) < len) {
        return None;
    }
    let (mut going, mut gone) = (old.len(), expired);
    while is_full && len.saturating_sub(gone) > limits.max_rows / 4 * 3 {
        let Some(roll) = rolls.get(going) else { break };
        gone = gone.saturating_add(roll.rows);
        going += 1;
    }
    let from = rolls.get(going).map_or(u64::MAX, |roll| roll.first_seq);
    Some(Cut { from, expired })
}

/// Reads what the index says of itself, or writes it if it is new. Returns the key of its hashes.
fn about(database: &Database, node: &str, key: [u64; 2]) -> Result<[u64; 2], IndexError> {
    let write = database.begin_write().map_err(away)?;
    let key = {
        let mut about = write.open_table(ABOUT).map_err(away)?;
        let mut names = write.open_table(NAMES).map_err(away)?;
        write.open_table(ROWS).map_err(away)?;
        write.open_table(ROLLS).map_err(away)?;
        let version = about.get("version").map_err(away)?.map(|version| version.value());
        if version.is_none() {
            about.insert("version", VERSION).map_err(away)?;
            for (name, half) in KEY.into_iter().zip(key) {
                about.insert(name, half).map_err(away)?;
            }
            names.insert("node", node).map_err(away)?;
        } else if version != Some(VERSION) {
            return Err(IndexError::Other("it is of another version of this program".to_owned()));
        }
        let theirs = names.get("node").map_err(away)?.map(|name| name.value().to_owned());
        if theirs.as_deref() != Some(node) {
            return Err(IndexError::Other("it is of another node".to_owned()));
        }
        let half = |name| {
            let half = about.get(name).map_err(away)?.map(|half| half.value());
            half.ok_or_else(|| IndexError::Other("it has no key".to_owned()))
        };
        let [first, second] = KEY;
        [half(first)?, half(second)?]
    };
    write.commit().map_err(away)?;
    Ok(key)
}

fn set_last(write: &WriteTransaction, last: Seq) -> Result<(), IndexError> {
    let mut about = write.open_table(ABOUT).map_err(away)?;
    about.insert("last", last.0).map(drop).map_err(away)
}

/// Keeps a damaged index away: removed, or renamed where somebody may want to look at it.
///
/// # Errors
/// The file system.
pub(super) fn put_away(place: &Place, keep: bool) -> std::io::Result<()> {
    #[allow(clippy::infallible_destructuring_match, reason = "tests have another place")]
    let path = match place {
        Place::Path(path) => path,
        #[cfg(test)]
        Place::Fake(file) => return file.clear(),
    };
    let gone = match keep {
        true => fs::rename(path, path.with_extension("redb.damaged")),
        false => fs::remove_file(path),
    };
    match gone {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // After a power cut it is not there again.
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn away(error: impl Display) -> IndexError {
    IndexError::Away(error.to_string())
}

fn of_open(error: &DatabaseError) -> IndexError {
    let text = error.to_string();
    match error {
        DatabaseError::Storage(StorageError::Io(io))
            if !matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            IndexError::Away(text)
        }
        DatabaseError::Storage(StorageError::PreviousIo) | DatabaseError::DatabaseAlreadyOpen => {
            IndexError::Away(text)
        }
        _ => IndexError::Other(text),
    }
}

/// Does a step with the index. A file that was altered makes the library panic.
fn guarded<T>(step: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(IndexError::Other("it is damaged".to_owned())))
}
