//! The lander: seal, upload, receipt, committed; one roll after the other, in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt as _;
use tokio::runtime::Handle;

use super::again::{self, Again};
use super::open_roll::Finished;
use super::tables::{self, Tables};
use crate::clock::Clock;
use crate::commit::{self, FileReceipt, LostBodies, QuarantineReceipt, Receipt, TableReceipt};
use crate::encode::Staged;
use crate::journal::Seal;
use crate::metrics as names;
use crate::record::{Roll, SeqRange};
use crate::status::Readiness;
use crate::store::{self, Lake, StoreError};

/// Where seals and commits are kept. Both are durable on return.
pub(super) trait RollLog: Send {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()>;
    fn committed(&mut self, roll: Roll) -> anyhow::Result<()>;
    /// Told of every roll that is over, with the bytes of its files.
    fn landed(&mut self, receipt: &Receipt, bytes: u64);
    /// Bodies of the range, or right before it, that are gone for good.
    fn lost(&self, _range: SeqRange) -> Vec<SeqRange> {
        Vec::new()
    }
}

/// How long to wait before trying again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// After the store's first failure; doubled after each further one.
    pub(super) store: Duration,
    /// Before an engine that failed is begun anew; doubled likewise.
    pub(super) restart: Duration,
    /// The longest pause.
    pub(super) most: Duration,
}

impl Pauses {
    pub(super) const USUAL: Pauses = Pauses {
        store: Duration::from_millis(250),
        restart: Duration::from_secs(1),
        most: Duration::from_secs(30),
    };
}

/// Files uploaded at a time.
const UPLOADS: usize = 4;

pub(super) struct Lander<'a> {
    pub(super) lake: Lake,
    pub(super) node: Arc<str>,
    pub(super) tables: &'a Tables,
    pub(super) runtime: Handle,
    pub(super) readiness: Arc<Readiness>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pauses: Pauses,
}

impl Lander<'_> {
    /// Lands a roll. Tries the store for as long as it takes; fails when the log does, and when the
    /// staging files are gone or cannot be made durable.
    ///
    /// When bodies of a sealed roll were lost meanwhile, files that an earlier attempt has put are
    /// left as they are: they may have the rows of these bodies.
    ///
    /// A crash before the seal: the bodies are decoded anew and belong to some later roll. After
    /// it: the roll is made again, with the same names and rows. After the commit: it is over.
    pub(super) fn land(
        &self,
        log: &mut dyn RollLog,
        finished: &Finished,
        sealed: bool,
    ) -> anyhow::Result<Receipt> {
        if !sealed {
            let settings = tables::to_settings(self.tables);
            log.seal(&Seal { roll: finished.roll, range: finished.range, settings })?;
        }
        let lost = log.lost(finished.range);
        let receipt = if sealed && !lost.is_empty() {
            match self.again(finished, &lost)? {
                Again::Landed(receipt) => receipt,
                Again::Rest(rest) => self.put(&rest, &lost)?,
            }
        } else {
            self.put(finished, &lost)?
        };
        log.committed(finished.roll)?;
        for path in finished.staged() {
            let _ = std::fs::remove_file(path);
        }
        metrics::counter!(names::ROLLS).increment(1);
        metrics::counter!(names::ROWS).increment(receipt.rows);
        metrics::counter!(names::REJECTS).increment(receipt.rejects);
        metrics::counter!(names::FILES).increment(finished.files.len() as u64);
        let bytes: u64 = finished.files.iter().map(|(_, staged)| staged.bytes).sum();
        metrics::counter!(names::FILE_BYTES).increment(bytes);
        metrics::gauge!(names::LAST_COMMIT).set(self.clock.now().0 as f64 / 1e6);
        log.landed(&receipt, bytes);
        Ok(receipt)
    }

    /// Uploads the files, then the receipt.
    fn put(&self, finished: &Finished, lost: &[SeqRange]) -> anyhow::Result<Receipt> {
        let receipt = self.receipt(finished, lost);
        self.insist("upload the files of", finished, || self.upload(finished))?;
        let name = store::names::receipt(&self.node, finished.roll);
        self.insist("commit", finished, || commit::plain(&self.lake, &name, &receipt))?;
        Ok(receipt)
    }

    /// A sealed roll with bodies that were lost since: what the lake has of it counts first.
    fn again(&self, finished: &Finished, lost: &[SeqRange]) -> anyhow::Result<Again> {
        tracing::warn!(
            "roll {} is made again, and of its bodies some are lost: {lost:?}",
            finished.roll
        );
        self.insist("look for what there is of", finished, || {
            again::look(&self.lake, self.tables, &self.node, finished)
        })
    }

    async fn upload(&self, finished: &Finished) -> Result<(), StoreError> {
        let data = finished.files.iter().map(|(key, staged)| {
            let name = store::names::data(&key.table, &key.partition, &self.node, finished.roll);
            (name, staged)
        });
        let rejects = finished.rejects.iter().map(|(table, staged)| {
            (store::names::quarantine(table, &self.node, finished.roll), staged)
        });
        let to_put = |(_, staged): &(String, &Staged)| !staged.path.as_os_str().is_empty();
        let puts: Vec<_> = data.chain(rejects).filter(to_put).collect();
        // All of them end before any is tried again: two attempts never write one name at a time.
        let results: Vec<Result<(), StoreError>> = futures::stream::iter(puts)
            .map(|(name, staged)| async move { self.lake.put_file(&name, &staged.path).await })
            .buffer_unordered(UPLOADS)
            .collect()
            .await;
        results.into_iter().collect()
    }

    /// Tries until it works, with a growing pause.
    fn insist<F, T>(
        &self,
        what: &str,
        finished: &Finished,
        attempt: impl Fn() -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let roll = finished.roll;
        let mut pause = self.pauses.store;
        loop {
            match self.runtime.block_on(attempt()) {
                Ok(done) => {
                    self.readiness.set("lake", Ok(()));
                    return Ok(done);
                }
                // A second sync of the same file would say that all is well. Made again, the roll
                // has new files.
                Err(error @ StoreError::Unsynced { .. }) => {
                    let what = format!("cannot {what} roll {roll}");
                    return Err(anyhow::Error::new(error).context(what));
                }
                Err(error) => {
                    metrics::counter!(names::ROLL_RETRIES).increment(1);
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!("cannot {what} roll {roll}, trying again in {pause:?}: {error}");
                    self.readiness.set("lake", Err(error));
                }
            }
            // Not the store's fault, and it will not get better: the roll has to be made again.
            if let Some(path) = finished.staged().find(|path| !path.is_file()) {
                bail!("the staging file {} of roll {roll} is gone", path.display());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(self.pauses.most);
        }
    }

    fn receipt(&self, finished: &Finished, lost: &[SeqRange]) -> Receipt {
        let mut landed = Vec::new();
        for (name, table) in self.tables {
            let files: Vec<FileReceipt> = finished
                .files
                .iter()
                .filter(|(key, _)| key.table == *name)
                .map(|(key, staged)| FileReceipt {
                    path: store::names::data(name, &key.partition, &self.node, finished.roll),
                    partition: key.partition.clone(),
                    rows: staged.rows,
                    bytes: staged.bytes,
                })
                .collect();
            let quarantine =
                finished.rejects.iter().find(|(table, _)| table == name).map(|(_, staged)| {
                    QuarantineReceipt {
                        path: store::names::quarantine(name, &self.node, finished.roll),
                        entries: staged.rows,
                        bytes: staged.bytes,
                    }
                });
            if !files.is_empty() || quarantine.is_some() {
                landed.push(TableReceipt {
                    table: name.to_string(),
                    schema: table.schema.fingerprint.clone(),
                    partition_template: table.template.as_str().to_owned(),
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
