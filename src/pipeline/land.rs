//! The lander: seal, upload, receipt, committed; one roll after the other, in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::runtime::Handle;

use super::open_roll::Finished;
use super::tables::{self, Tables};
use crate::clock::Clock;
use crate::commit::{self, FileReceipt, QuarantineReceipt, Receipt, TableReceipt};
use crate::journal::Seal;
use crate::metrics as names;
use crate::record::Roll;
use crate::status::Readiness;
use crate::store::{self, Lake, StoreError};

/// Where seals and commits are kept. Both are durable on return.
pub(super) trait RollLog: Send {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()>;
    fn committed(&mut self, roll: Roll) -> anyhow::Result<()>;
    /// Told of every roll that is over, with the bytes of its files.
    fn landed(&mut self, receipt: &Receipt, bytes: u64);
}

/// Files uploaded at a time.
const UPLOADS: usize = 4;
const BACKOFF_MAX: Duration = Duration::from_secs(30);

pub(super) struct Lander<'a> {
    pub(super) lake: Lake,
    pub(super) node: Arc<str>,
    pub(super) tables: &'a Tables,
    pub(super) runtime: Handle,
    pub(super) readiness: Arc<Readiness>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Lander<'_> {
    /// Lands a roll. Tries the store for as long as it takes; fails only when the log does.
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
        let receipt = self.receipt(finished);
        self.insist("upload the files of", finished.roll, || self.upload(finished));
        let name = store::names::receipt(&self.node, finished.roll);
        self.insist("commit", finished.roll, || commit::plain(&self.lake, &name, &receipt));
        log.committed(finished.roll)?;
        for (_, staged) in &finished.files {
            let _ = std::fs::remove_file(&staged.path);
        }
        for (_, staged) in &finished.rejects {
            let _ = std::fs::remove_file(&staged.path);
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

    async fn upload(&self, finished: &Finished) -> Result<(), StoreError> {
        let data = finished.files.iter().map(|(key, staged)| {
            let name = store::names::data(&key.table, &key.partition, &self.node, finished.roll);
            (name, staged)
        });
        let rejects = finished.rejects.iter().map(|(table, staged)| {
            (store::names::quarantine(table, &self.node, finished.roll), staged)
        });
        let puts: Vec<_> = data.chain(rejects).collect();
        // All of them end before any is tried again: two attempts never write one name at a time.
        let results: Vec<Result<(), StoreError>> = futures::stream::iter(puts)
            .map(|(name, staged)| async move { self.lake.put_file(&name, &staged.path).await })
            .buffer_unordered(UPLOADS)
            .collect()
            .await;
        results.into_iter().collect()
    }

    /// Tries until it works, with a growing pause.
    fn insist<F>(&self, what: &str, roll: Roll, attempt: impl Fn() -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let mut pause = Duration::from_millis(250);
        loop {
            match self.runtime.block_on(attempt()) {
                Ok(()) => return self.readiness.set("lake", Ok(())),
                Err(error) => {
                    metrics::counter!(names::ROLL_RETRIES).increment(1);
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!("cannot {what} roll {roll}, trying again in {pause:?}: {error}");
                    self.readiness.set("lake", Err(error));
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    fn receipt(&self, finished: &Finished) -> Receipt {
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
            tables: landed,
        }
    }
}
