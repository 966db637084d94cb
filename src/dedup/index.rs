//! The index of a node: what is a double, and what is stored when.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::Fingerprint;
use super::index_file::{IndexError, IndexFile, Limits, Place, StoredRows, put_away};
use super::open_rolls::{First, OpenRolls};
use crate::metrics as names;
use crate::record::{Micros, Roll, Seq};

/// Name of the file in the state directory.
const NAME: &str = "dedup.redb";
/// Memory that a row of an open roll takes, at most.
const ROW_BYTES: u64 = 64;
/// Rows that a roll may have beyond those at which it ends: it ends between bodies.
const MORE_ROWS: usize = 100_000;

/// The options of an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexOptions {
    /// The longest window of a table, in microseconds.
    pub(crate) window_us: i64,
    /// Most rows in the file.
    pub(crate) max_rows: u64,
    /// Memory of the process for rows: the index takes an eighth of it for rolls that are not stored,
    /// and up to 64 MiB for its cache.
    pub(crate) memory_bytes: u64,
}

/// The index of the rows that a node has landed, shared by the batcher and the publisher.
pub(crate) struct Index {
    place: Place,
    node: Arc<str>,
    options: IndexOptions,
    key: [u64; 2],
    state: Mutex<State>,
}

struct State {
    /// None while the file cannot be read or written.
    file: Option<Arc<IndexFile>>,
    open: OpenRolls,
}

/// A row that may be a double.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) seq: Seq,
    pub(crate) received_at: Micros,
}

/// Deletes the index in the state directory `state`, as nothing keeps it up to date.
///
/// # Errors
/// The file system.
pub(crate) fn remove(state: &Path) -> anyhow::Result<()> {
    let path = state.join(NAME);
    if !path.exists() {
        return Ok(());
    }
    tracing::info!("no table has dedup: {} is deleted", path.display());
    put_away(&Place::Path(path.clone()), false)
        .with_context(|| format!("cannot delete {}", path.display()))
}

impl Index {
    /// Opens the index of the node `node` in the state directory `state`. One that cannot be used is put
    /// away and begun anew.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn open(state: &Path, node: &str, options: IndexOptions) -> anyhow::Result<Index> {
        Index::at(Place::Path(state.join(NAME)), node, options)
    }

    /// Opens the index in a file that may crash.
    #[cfg(test)]
    pub(crate) fn on_fake(
        file: super::tests::fake::FakeFile,
        node: &str,
        options: IndexOptions,
    ) -> Index {
        Index::at(Place::Fake(file), node, options).expect("random numbers")
    }

    pub(super) fn at(place: Place, node: &str, options: IndexOptions) -> anyhow::Result<Index> {
        let mut key = [[0; 8]; 2];
        getrandom::fill(key.as_flattened_mut())
            .map_err(std::io::Error::other)
            .context("no random key")?;
        let mut index = Index {
            place,
            node: node.into(),
            options,
            key: key.map(u64::from_le_bytes),
            state: Mutex::new(State { file: None, open: OpenRolls::default() }),
        };
        match index.open_file() {
            Ok(file) => {
                index.key = file.key;
                index.state.lock().file = Some(Arc::new(file));
            }
            Err(error) => told("open", &error),
        }
        Ok(index)
    }

    /// Returns the key of fingerprints.
    pub(crate) fn key(&self) -> [u64; 2] {
        self.key
    }

    /// Returns the number of rows at which a roll ends.
    pub(crate) fn most_open_rows(&self) -> usize {
        let rows = self.options.memory_bytes / 32 / ROW_BYTES;
        usize::try_from(rows).unwrap_or(usize::MAX).max(1_000)
    }

    /// Returns the number of rows of a roll that are held: a body may have millions.
    fn most_held_rows(&self) -> usize {
        self.most_open_rows().saturating_add(MORE_ROWS)
    }

    /// Begins to fill rolls of the bodies from `from` on, none of which are in a sealed roll. Rolls before
    /// have landed. What is known of other bodies is forgotten.
    ///
    /// # Errors
    /// The index cannot be brought up to date, and not be deleted either.
    pub(crate) fn begin(&self, from: Seq) -> anyhow::Result<()> {
        self.state.lock().open.clear();
        self.change(|file| match file.last()? < from {
            true => Ok(()),
            false => file.forget_from(from),
        })
    }

    /// Forgets all rows: the lake does not have them, or not all of them.
    ///
    /// # Errors
    /// The index cannot be brought up to date, and not be deleted either.
    pub(crate) fn forget_all(&self) -> anyhow::Result<()> {
        self.change(IndexFile::forget_all)
    }

    /// Forgets the rows of bodies that are `chosen`: they do not land.
    ///
    /// # Errors
    /// The index cannot be brought up to date, and not be deleted either.
    pub(crate) fn forget(&self, chosen: impl Fn(Seq) -> bool) -> anyhow::Result<()> {
        self.change(|file| file.forget(&chosen))
    }

    /// Tells which of `rows`, in the order of the bodies, are left out of `roll`, by their numbers among
    /// them, with the body of the first if that is in the same roll. The others are firsts from now on, as
    /// long as there is memory for them.
    pub(crate) fn decide(
        &self,
        roll: Roll,
        window_us: i64,
        rows: &[Option<Candidate>],
    ) -> Vec<(usize, Option<Seq>)> {
        let most = self.most_held_rows();
        let mut state = self.state.lock();
        // Rows that are no longer held in memory are in it.
        let mut stored = state.file.clone().and_then(|file| self.or_told(file.rows()));
        let mut doubles = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let Some(Candidate { fingerprint, seq, received_at: at }) = *row else { continue };
            if let Some((of, first)) = state.open.find(fingerprint, at, window_us) {
                doubles.push((number, (of == roll).then_some(first.seq)));
                continue;
            }
            let is_double = self.is_stored(&mut stored, fingerprint, at, window_us);
            match is_double {
                true => doubles.push((number, None)),
                false => state.open.add(roll, fingerprint, First { seq, at }, most),
            }
        }
        doubles
    }

    /// Returns the number of rows of `roll` that are not stored.
    pub(crate) fn open_rows(&self, roll: Roll) -> usize {
        self.state.lock().open.rows(roll)
    }

    /// Stores the rows of a roll that ends with the body `last` and is about to be sealed. Durable on
    /// return, or the rows are forgotten and reported.
    pub(crate) fn store(&self, roll: Roll, last: Seq) {
        let (rows, unheld, file) = {
            let state = self.state.lock();
            (state.open.sorted(roll), state.open.unheld(roll), state.file.clone())
        };
        if unheld > 0 {
            metrics::counter!(names::DEDUP_EVICTED).increment(unheld);
            tracing::warn!(
                "roll {roll} has more rows than dedup has memory for: {unheld} are not remembered, and \
                 doubles of them land"
            );
        }
        let limits = Limits { window_us: self.options.window_us, max_rows: self.options.max_rows };
        if rows.is_empty() {
            return self.state.lock().open.remove(roll);
        }
        let file = file.map_or_else(|| self.reopen_file().map(Arc::new), Ok);
        let stored = file.and_then(|file| Ok((file.store(&rows, last, limits)?, file)));
        let mut state = self.state.lock();
        match stored {
            Ok((stored, file)) => {
                metrics::gauge!(names::DEDUP_ROWS).set(stored.rows as f64);
                metrics::counter!(names::DEDUP_EVICTED).increment(stored.evicted);
                if stored.evicted > 0 {
                    tracing::warn!(
                        "the index of dedup has more rows than dedup_max_rows: {} within the window \
                         are forgotten, and doubles of them land",
                        stored.evicted
                    );
                }
                state.file = Some(file);
            }
            Err(error) => {
                told("write", &error);
                state.file = None;
            }
        }
        state.open.remove(roll);
    }

    /// Changes the file, or deletes it.
    fn change(&self, change: impl Fn(&IndexFile) -> Result<(), IndexError>) -> anyhow::Result<()> {
        let file = self.state.lock().file.take();
        let file = file.map_or_else(|| self.reopen_file().map(Arc::new), Ok);
        let changed = file.and_then(|file| change(&file).map(|()| file));
        let file = match changed {
            Ok(file) => {
                if let Some(rows) = self.or_told(file.len()) {
                    metrics::gauge!(names::DEDUP_ROWS).set(rows as f64);
                }
                Some(file)
            }
            Err(error) => {
                told("bring up to date", &error);
                put_away(&self.place, false).context(
                    "the index of dedup has rows that do not land, and cannot be deleted",
                )?;
                metrics::gauge!(names::DEDUP_ROWS).set(0.0);
                self.or_told(self.reopen_file()).map(Arc::new)
            }
        };
        self.state.lock().file = file;
        Ok(())
    }

    /// Opens the file. One that is damaged or of another node is put away.
    fn open_file(&self) -> Result<IndexFile, IndexError> {
        let cache = usize::try_from(self.options.memory_bytes / 32).unwrap_or(usize::MAX);
        let cache = cache.clamp(1 << 20, 64 << 20);
        let open = || IndexFile::open(&self.place, &self.node, self.key, cache);
        match open() {
            Err(IndexError::Other(why)) => {
                tracing::warn!(
                    "the index of dedup cannot be used: {why}; a new one begins, and doubles of rows \
                     that landed before now are not known"
                );
                metrics::counter!(names::DEDUP_FAILURES).increment(1);
                put_away(&self.place, true).map_err(|error| IndexError::Away(error.to_string()))?;
                open()
            }
            opened => opened,
        }
    }

    /// Opens the file of this life. Another one that was put in its place is put away.
    fn reopen_file(&self) -> Result<IndexFile, IndexError> {
        let file = self.open_file()?;
        if file.key == self.key {
            return Ok(file);
        }
        drop(file);
        put_away(&self.place, true).map_err(|error| IndexError::Away(error.to_string()))?;
        self.open_file()
    }

    fn is_stored(
        &self,
        stored: &mut Option<StoredRows>,
        fingerprint: Fingerprint,
        at: Micros,
        window_us: i64,
    ) -> bool {
        let Some(rows) = stored else { return false };
        match rows.find(fingerprint) {
            Ok(first) => first.is_some_and(|first| first.covers(at, window_us)),
            Err(error) => {
                told("read", &error);
                *stored = None;
                false
            }
        }
    }

    fn or_told<T>(&self, result: Result<T, IndexError>) -> Option<T> {
        result.inspect_err(|error| told("read", error)).ok()
    }
}

fn told(what: &str, error: &IndexError) {
    metrics::counter!(names::DEDUP_FAILURES).increment(1);
    tracing::warn!("cannot {what} the index of dedup, so doubles land: {error}");
}
