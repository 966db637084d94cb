//! The publisher: seal, upload, receipt, committed; one roll after the other, in order.

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::recovery::{self, Again};
use crate::commit;
use crate::journal::Seal;
use crate::lake::{
    self, FileReceipt, Lake, LostBodies, QuarantineReceipt, Receipt, StoreError, TableReceipt,
};
use crate::record::{Roll, SeqRange};
use crate::roll::open_roll::Finished;
use crate::status::{Observers, Readiness, RollEvent};
use crate::table::Tables;

/// Where seals and commits are kept. Both are durable on return.
pub(crate) trait RollLog: Send {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()>;
    fn committed(&mut self, roll: Roll) -> anyhow::Result<()>;
    /// Bodies of the range, or right before it, that are gone for good.
    fn lost(&self, _range: SeqRange) -> Vec<SeqRange> {
        Vec::new()
    }
}

/// How long to wait before trying again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// After the store's first failure; doubled after each further one.
    pub(crate) store: Duration,
    /// Before an engine that failed is begun anew; doubled likewise.
    pub(crate) restart: Duration,
    /// The longest pause.
    pub(crate) most: Duration,
}

impl Pauses {
    pub(crate) const USUAL: Pauses = Pauses {
        store: Duration::from_millis(250),
        restart: Duration::from_secs(1),
        most: Duration::from_secs(30),
    };
}

/// Files uploaded at a time, when all goes well.
const UPLOADS: usize = 4;
/// Parts of a file under way at a time, when all goes well.
const PARTS: usize = 4;
/// How often both are halved at most.
const SLOWEST: u32 = 2;

/// A file to be put: its name, and where it is staged.
type Put = (String, PathBuf);

/// How much is under way at a time. What goes on together shares the uplink and the time-out of a
/// request: where four times four parts never end in time, one may.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU32);

impl Pace {
    /// Files, and parts of each.
    fn now(&self) -> (usize, usize) {
        let halved = self.0.load(Ordering::Relaxed);
        (UPLOADS >> halved, PARTS >> halved)
    }

    fn slower(&self) {
        self.0.store((self.0.load(Ordering::Relaxed) + 1).min(SLOWEST), Ordering::Relaxed);
    }

    fn faster(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}

pub(crate) struct Publisher<'a> {
    pub(crate) lake: Lake,
    pub(crate) node: Arc<str>,
    pub(crate) tables: &'a Tables,
    pub(crate) runtime: Handle,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) pauses: Pauses,
    pub(crate) pace: Pace,
    /// Told of every step of the rolls.
    pub(crate) observers: Observers,
    /// Cancelled when no roll is to be published any more.
    pub(crate) stop: CancellationToken,
}

/// The error of a roll that was under way when its publisher was stopped.
pub(crate) const STOPPED: &str = "landing was stopped; what has not landed is in the journal";

/// Sleeps for `pause`, or until `stop` is cancelled. Returns whether to go on.
pub(crate) fn sleep(runtime: &Handle, stop: &CancellationToken, pause: Duration) -> bool {
    // A timer takes a millisecond at least.
    if pause.is_zero() {
        return !stop.is_cancelled();
    }
    runtime.block_on(async {
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    })
}

impl Publisher<'_> {
    /// Lands a roll. Tries the store for as long as it takes; fails when the log does, and when the
    /// staging files are gone or cannot be made durable.
    ///
    /// When bodies of a sealed roll were lost meanwhile, files that an earlier attempt has put are
    /// left as they are: they may have the rows of these bodies.
    ///
    /// A crash before the seal: the bodies are decoded anew and belong to some later roll. After
    /// it: the roll is made again, with the same names and rows. After the commit: it is over.
    pub(crate) fn publish(
        &self,
        log: &mut dyn RollLog,
        finished: &Finished,
        sealed: bool,
    ) -> anyhow::Result<Receipt> {
        if !sealed {
            let settings = self.tables.to_json();
            log.seal(&Seal { roll: finished.roll, range: finished.range, settings })?;
            let (roll, range) = (finished.roll, finished.range);
            self.observers.emit(&RollEvent::Sealed { roll, range });
        }
        let lost = log.lost(finished.range);
        let receipt = if sealed {
            match self.again(finished, &lost)? {
                Again::Landed(receipt) => {
                    // Once more, since whoever put it may have died before it was durable.
                    self.commit(finished, &receipt)?;
                    receipt
                }
                Again::Rest(rest) => self.put(&rest, &lost)?,
            }
        } else {
            self.put(finished, &lost)?
        };
        self.observers.emit(&RollEvent::Landed { roll: finished.roll });
        log.committed(finished.roll)?;
        for path in finished.staged() {
            let _ = std::fs::remove_file(path);
        }
        self.observers.emit(&RollEvent::Committed {
            roll: finished.roll,
            rows: receipt.rows,
            rejects: receipt.rejects,
            files: finished.files.len(),
            bytes: finished.files.iter().map(|(_, staged)| staged.bytes).sum(),
        });
        Ok(receipt)
    }

    /// Uploads the files, then the receipt.
    fn put(&self, finished: &Finished, lost: &[SeqRange]) -> anyhow::Result<Receipt> {
        let receipt = self.receipt(finished, lost);
        let (left, tries) = (Mutex::new(self.puts(finished)), Cell::new(0_u64));
        self.insist("upload the files of", finished, || {
            tries.set(tries.get() + 1);
            self.upload(&left)
        })?;
        if tries.get() == 1 {
            self.pace.faster();
        }
        self.commit(finished, &receipt)?;
        Ok(receipt)
    }

    fn commit(&self, finished: &Finished, receipt: &Receipt) -> anyhow::Result<()> {
        let name = lake::names::receipt(&self.node, finished.roll);
        self.insist("commit", finished, || commit::plain(&self.lake, &name, receipt))
    }

    /// A roll that was sealed before: with its receipt in the lake it is over. Of one with bodies
    /// that were lost since, what the lake has counts first.
    fn again(&self, finished: &Finished, lost: &[SeqRange]) -> anyhow::Result<Again> {
        let roll = finished.roll;
        let found = self.insist("look for the receipt of", finished, || {
            recovery::receipt(&self.lake, &self.node, finished)
        })?;
        if let Some(receipt) = found {
            self.observers.emit(&RollEvent::AlreadyLanded { roll });
            return Ok(Again::Landed(receipt));
        }
        if lost.is_empty() {
            return Ok(Again::Rest(finished.clone()));
        }
        self.observers.emit(&RollEvent::BodiesLost { roll, lost: lost.to_vec() });
        let rest = self.insist("look for what there is of", finished, || {
            recovery::files(&self.lake, self.tables, &self.node, finished)
        })?;
        Ok(Again::Rest(rest))
    }

    /// What of the roll is to be put, each under its name.
    fn puts(&self, finished: &Finished) -> Vec<Put> {
        let name = |table| self.tables.get(table).map(|table| &*table.name);
        let data = finished.files.iter().filter_map(|(key, staged)| {
            let table = name(key.table)?;
            Some((lake::names::data(table, &key.partition, &self.node, finished.roll), staged))
        });
        let rejects = finished.rejects.iter().filter_map(|(table, staged)| {
            Some((lake::names::quarantine(name(*table)?, &self.node, finished.roll), staged))
        });
        let all = data.chain(rejects).map(|(name, staged)| (name, staged.path.clone()));
        all.filter(|(_, path)| !path.as_os_str().is_empty()).collect()
    }

    /// Puts the files in `left`, and leaves there those that could not be put. All of them end
    /// before any is tried again: two attempts never write one name at a time.
    async fn upload(&self, left: &Mutex<Vec<Put>>) -> Result<(), StoreError> {
        let puts = std::mem::take(&mut *left.lock());
        let (uploads, parts) = self.pace.now();
        // So many in a row, and the store is away: what is left need not be tried to know it.
        let (failing, refused) = (AtomicUsize::new(0), UPLOADS);
        let put = async |(name, staged): Put| {
            if failing.load(Ordering::Relaxed) >= refused {
                return Some(((name, staged), None));
            }
            match self.lake.put_file(&name, &staged, parts).await {
                Ok(()) => {
                    failing.store(0, Ordering::Relaxed);
                    None
                }
                Err(error) => {
                    failing.fetch_add(1, Ordering::Relaxed);
                    Some(((name, staged), Some(error)))
                }
            }
        };
        let failed: Vec<(Put, Option<StoreError>)> = futures::stream::iter(puts)
            .map(put)
            .buffer_unordered(uploads)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let (rest, errors): (Vec<Put>, Vec<_>) = failed.into_iter().unzip();
        *left.lock() = rest;
        let mut errors: Vec<StoreError> = errors.into_iter().flatten().collect();
        // The one that is final, if there is one.
        let unsynced = errors.iter().position(|e| matches!(e, StoreError::Unsynced { .. }));
        match errors.is_empty() {
            true => Ok(()),
            false => {
                self.pace.slower();
                Err(errors.swap_remove(unsynced.unwrap_or(0)))
            }
        }
    }

    /// Tries until it works, with a growing pause.
    fn insist<F, T>(
        &self,
        step: &'static str,
        finished: &Finished,
        attempt: impl Fn() -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let roll = finished.roll;
        let mut pause = self.pauses.store;
        let mut tries = 0;
        loop {
            let attempt = self.runtime.block_on(self.stop.run_until_cancelled(attempt()));
            match attempt.context(STOPPED)? {
                Ok(done) => {
                    self.readiness.tell("lake", Ok(()));
                    return Ok(done);
                }
                // A second sync of the same file would say that all is well. Made again, the roll
                // has new files.
                Err(error @ StoreError::Unsynced { .. }) => {
                    return Err(
                        anyhow::Error::new(error).context(format!("cannot {step} roll {roll}"))
                    );
                }
                Err(error) => {
                    tries += 1;
                    let error = format!("{:#}", anyhow::Error::new(error));
                    self.observers.emit(&RollEvent::Retrying {
                        roll,
                        step,
                        tries,
                        pause,
                        error: error.clone(),
                    });
                    self.readiness.tell("lake", Err(error));
                }
            }
            // Not the store's fault, and it will not get better: the roll has to be made again.
            if let Some(path) = finished.staged().find(|path| !path.is_file()) {
                bail!("the staging file {} of roll {roll} is gone", path.display());
            }
            ensure!(sleep(&self.runtime, &self.stop, self.spread(pause, roll, tries)), STOPPED);
            pause = (pause * 2).min(self.pauses.most);
        }
    }

    /// Half the pause to all of it, so that nodes that lost the store together do not all come back
    /// at one moment.
    fn spread(&self, pause: Duration, roll: Roll, tries: u64) -> Duration {
        let chance = xxh3_64_with_seed(self.node.as_bytes(), (roll.0 << 16) ^ tries) % 1024;
        pause / 2 + pause.mul_f64(chance as f64 / 2048.0)
    }

    fn receipt(&self, finished: &Finished, lost: &[SeqRange]) -> Receipt {
        let mut landed = Vec::new();
        for (id, table) in self.tables.iter() {
            let name = &table.name;
            let files: Vec<FileReceipt> = finished
                .files
                .iter()
                .filter(|(key, _)| key.table == id)
                .map(|(key, staged)| FileReceipt {
                    path: lake::names::data(name, &key.partition, &self.node, finished.roll),
                    partition: key.partition.clone(),
                    rows: staged.rows,
                    bytes: staged.bytes,
                })
                .collect();
            let quarantine =
                finished.rejects.iter().find(|(table, _)| *table == id).map(|(_, staged)| {
                    QuarantineReceipt {
                        path: lake::names::quarantine(name, &self.node, finished.roll),
                        entries: staged.rows,
                        bytes: staged.bytes,
                    }
                });
            if !files.is_empty() || quarantine.is_some() {
                landed.push(TableReceipt {
                    table: name.to_string(),
                    schema: table.schema.fingerprint.clone(),
                    partition_template: table.partition.as_str().to_owned(),
                    derived: table.rows.is_derived(),
                    files,
                    quarantine,
                });
            }
        }
        Receipt {
            version: 1,
            node: self.node.to_string(),
            roll: finished.roll.0,
            first_seq: finished.range.first.0,
            last_seq: finished.range.last.0,
            lines: finished.counts.lines,
            rows: finished.counts.rows,
            rejects: finished.counts.rejects,
            actions: finished.counts.actions,
            lost: lost
                .iter()
                .map(|lost| LostBodies { first_seq: lost.first.0, last_seq: lost.last.0 })
                .collect(),
            tables: landed,
        }
    }
}
