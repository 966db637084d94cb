//! The publisher: seals, uploads and commits one roll after the other, in order.

use std::cell::Cell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use backon::Retryable as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::claimed_tables::ClaimedTables;
use super::concurrency::Concurrency;
use super::error::{ErrorKind, PublishError};
use super::fence::HeldFence;
use super::folded_names;
use super::pauses::{self, Pauses};
use super::recovery::{self, Unmade};
use super::sealed_settings::SealedSettings;
use super::work_list::WorkList;
use crate::commit::{Committer, Outcome, RollId};
use crate::journal::Seal;
use crate::lake::{Earlier, Lake, Receipt, StoreError, TableReceipt};
use crate::metrics::ROLL_DURATION;
use crate::record::{BodiesDigest, Roll, SeqRange};
use crate::roll::manifest::{Manifest, Standing, StatisticsBudget, Upload};
use crate::status::{Observers, Readiness, RollEvent, SMALL_FILE_BYTES};
use crate::table::Tables;
use crate::{dedup, error_text, lake};

/// Objects looked up at a time.
const LOOK_UPS: usize = 8;

/// The log of seals and commits. Both are durable on return.
pub(crate) trait RollLog: Send {
    /// Seals a roll: from here on it can only be made again as it is.
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()>;

    /// Marks a sealed roll as committed: its bodies are no longer needed.
    fn committed(&mut self, roll: Roll) -> anyhow::Result<()>;

    /// Returns the bodies of the range, or right before it, that are gone for good.
    fn lost(&self, _range: SeqRange) -> Vec<SeqRange> {
        Vec::new()
    }
}

/// Publishes the rolls of one node, made of `tables`.
pub(crate) struct Publisher<'a> {
    lake: Lake,
    node: Arc<str>,
    tables: &'a Tables,
    runtime: Handle,
    readiness: Arc<Readiness>,
    observers: Observers,
    pauses: Pauses,
    concurrency: Concurrency,
    committer: Committer,
    claimed_tables: ClaimedTables,
    /// The rows that have landed, if a table leaves doubles out.
    dedup: Option<Arc<dedup::Index>>,
    /// The fence of the node; none for imports, whose seals are in the lake.
    fence: Option<Arc<HeldFence>>,
    /// Cancelled when pauses between attempts are to be short.
    hurry: CancellationToken,
    /// Cancelled when no roll is to be published any more.
    stop: CancellationToken,
}

/// The error of a roll that was under way when its publisher was stopped.
pub(super) const STOPPED: &str = "landing was stopped; what has not landed is in the journal";

impl<'a> Publisher<'a> {
    /// Makes a publisher that does its requests on `runtime` and reports the lake's state to
    /// `readiness`, with the usual pauses between attempts.
    pub(crate) fn new(
        lake: Lake,
        node: Arc<str>,
        tables: &'a Tables,
        runtime: Handle,
        readiness: Arc<Readiness>,
        observers: Observers,
    ) -> Publisher<'a> {
        Publisher {
            lake,
            node,
            tables,
            runtime,
            readiness,
            observers,
            pauses: Pauses::USUAL,
            concurrency: Concurrency::default(),
            // The one format that there is.
            committer: Committer::Plain,
            claimed_tables: ClaimedTables::default(),
            dedup: None,
            fence: None,
            hurry: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Replaces the pauses between attempts.
    pub(crate) fn with_pauses(self, pauses: Pauses) -> Publisher<'a> {
        Publisher { pauses, ..self }
    }

    /// Keeps the index of rows that have landed up to date.
    pub(crate) fn with_dedup(self, dedup: Option<Arc<dedup::Index>>) -> Publisher<'a> {
        Publisher { dedup, ..self }
    }

    /// Publishes behind `fence` only.
    pub(crate) fn with_fence(self, fence: Arc<HeldFence>) -> Publisher<'a> {
        Publisher { fence: Some(fence), ..self }
    }

    /// Cuts pauses between attempts short once `hurry` is cancelled.
    pub(crate) fn with_hurry(self, hurry: CancellationToken) -> Publisher<'a> {
        Publisher { hurry, ..self }
    }

    /// Gives up attempts and pauses once `stop` is cancelled. The roll under way stays sealed.
    pub(crate) fn with_stop(self, stop: CancellationToken) -> Publisher<'a> {
        Publisher { stop, ..self }
    }

    /// Publishes a roll: seals it unless it is `sealed`, puts its files, commits it, and removes its
    /// staging files. Tries the store for as long as it takes. A roll whose number the table has
    /// before it is sealed is neither sealed nor put, and no roll is once the fence is another
    /// process's.
    ///
    /// A crash before the seal: the bodies are decoded anew and belong to some later roll. After it:
    /// the roll is made again, with the same names and rows. Of a roll that was sealed before, nothing
    /// is put if the table has it, and no object that stands in the lake is put again. After the
    /// commit the roll is over.
    ///
    /// # Errors
    /// The log's, or the publisher was stopped. Otherwise a [`PublishError`] that is not
    /// [`ErrorKind::Retry`]: the roll has to be made again, or someone has to look.
    pub(crate) fn publish(
        &self,
        log: &mut dyn RollLog,
        mut manifest: Manifest,
        sealed: bool,
    ) -> anyhow::Result<Receipt> {
        let (roll, range) = (manifest.roll, manifest.range);
        self.retry("try the names of", roll, &[], || async {
            folded_names::check(&self.lake, &manifest)
        })?;
        if !sealed {
            if let Some(fence) = &self.fence {
                self.retry("look at the fence before", roll, &[], || fence.check(roll))?;
            }
            self.retry("look at the tables of", roll, &[], || {
                let claim = self.claimed_tables.claim(&self.lake, self.tables, &manifest);
                async {
                    claim.await.map_err(|error| match error {
                        // Somebody sees the error of an import, and nothing comes meanwhile.
                        PublishError::OtherFormat(conflict) if self.fence.is_none() => {
                            PublishError::NotCommitted(conflict.to_string())
                        }
                        error => error,
                    })
                }
            })?;
            self.check_new(roll, range)?;
            if let Some(index) = &self.dedup {
                index.store(roll, range.last);
            }
            let Manifest { set_aside, left_out, .. } = &manifest;
            let settings = SealedSettings::to_json(self.tables, set_aside, left_out)?;
            log.seal(&Seal { roll, range, settings })?;
            self.observers.emit(&RollEvent::Sealed { roll, range });
        }
        if let Some(fence) = &self.fence {
            self.retry("note the seal of", roll, &[], || fence.lift(roll))?;
        }
        let lost = log.lost(range);
        // Other bodies that are gone were gone when the roll was sealed: no attempt had them.
        let mut missing = lost.clone();
        missing.retain(|lost| sealed && lost.last >= range.first);
        if !missing.is_empty() {
            manifest.bodies = None;
        }
        if let Some(index) = &self.dedup
            && sealed
            && (!missing.is_empty() || !manifest.set_aside.is_empty())
        {
            let is_missing =
                |seq| missing.iter().any(|lost| (lost.first..=lost.last).contains(&seq));
            index.forget(|seq| is_missing(seq) || manifest.set_aside.contains_key(&seq))?;
        }
        let found = if sealed { self.find(roll, range, &lost, manifest.bodies)? } else { None };
        let receipt = match found {
            Some(receipt) => {
                self.observers.emit(&RollEvent::AlreadyLanded { roll });
                receipt
            }
            None => {
                if sealed {
                    self.keep_standing(&mut manifest, &missing)?;
                }
                self.timed(roll, "upload", || self.upload(&mut manifest, sealed, &missing))?;
                self.timed(roll, "commit", || self.commit(&manifest, &lost))?
            }
        };
        self.close(log, &receipt, Some(&manifest))?;
        for (seq, why) in &manifest.set_aside {
            let (seq, why) = (*seq, why.clone());
            self.observers.emit(&RollEvent::SetAside { roll, seq, why });
        }
        for path in manifest.staging_files() {
            let _ = std::fs::remove_file(path);
        }
        Ok(receipt)
    }

    /// Closes a sealed roll that the table has already, without making it again. Returns false when
    /// the table does not have it. `bodies` reads the digest of its bodies, if all of them are there.
    ///
    /// # Errors
    /// Those of [`Publisher::publish`], and of `bodies`.
    pub(crate) fn close_if_committed(
        &self,
        log: &mut dyn RollLog,
        roll: Roll,
        range: SeqRange,
        bodies: impl FnOnce() -> anyhow::Result<Option<BodiesDigest>>,
    ) -> anyhow::Result<bool> {
        let Some(receipt) = self.find(roll, range, &log.lost(range), None)? else {
            return Ok(false);
        };
        if receipt.bodies.is_some()
            && let Some(bodies) = bodies()?
        {
            let id = self.id(roll, range, Some(bodies));
            if let Some(why) = Outcome::other_bodies(id, &receipt) {
                return Err(PublishError::NotCommitted(why).into());
            }
        }
        self.observers.emit(&RollEvent::AlreadyLanded { roll });
        self.close(log, &receipt, None).map(|()| true)
    }

    /// Marks a roll that is in the table as committed. `made` is what this attempt has made of it.
    fn close(
        &self,
        log: &mut dyn RollLog,
        receipt: &Receipt,
        made: Option<&Manifest>,
    ) -> anyhow::Result<()> {
        let roll = Roll(receipt.roll);
        self.observers.emit(&RollEvent::Landed { roll });
        log.committed(roll)?;
        let files = || receipt.tables.iter().flat_map(|table| &table.files);
        self.observers.emit(&RollEvent::Committed {
            roll,
            rows: receipt.rows,
            rejects: receipt.rejects,
            doubled: receipt.doubled,
            files: files().count(),
            bytes: files().map(|file| file.bytes).sum(),
        });
        if receipt.unmatched > 0 {
            let Receipt { rows, unmatched, .. } = *receipt;
            self.observers.emit(&RollEvent::Unmatched { roll, rows, unmatched });
        }
        for table in &receipt.tables {
            self.observers.emit(&table_landed(roll, table, made));
            if let Some(fields) = &table.fields {
                self.observers.emit(&RollEvent::UnknownFields {
                    roll,
                    table: table.table.clone(),
                    rows: fields.rows,
                    fields: fields.of.iter().map(|of| (of.pointer.clone(), of.rows)).collect(),
                    others: fields.others,
                });
            }
            for file in table.files.iter().filter(|file| file.overflow) {
                self.observers.emit(&RollEvent::Overflowed {
                    roll,
                    table: table.table.clone(),
                    partition: file.partition.clone(),
                    rows: file.rows,
                });
            }
        }
        Ok(())
    }

    /// Does a stage of a roll, and tells of its time if it succeeds.
    fn timed<T>(
        &self,
        roll: Roll,
        stage: &'static str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        let done = work()?;
        let took = began.elapsed();
        metrics::histogram!(ROLL_DURATION, "stage" => stage).record(took);
        self.observers.emit(&RollEvent::Stage { roll, stage, took });
        Ok(done)
    }

    fn id(&self, roll: Roll, range: SeqRange, bodies: Option<BodiesDigest>) -> RollId<'_> {
        RollId { node: &self.node, roll, range, bodies }
    }

    /// Checks that the table has nothing under the number of a roll that is not sealed yet: what it
    /// has is of another state directory, whatever bodies it names. Afterwards it could not be told
    /// from an earlier attempt.
    fn check_new(&self, roll: Roll, range: SeqRange) -> anyhow::Result<()> {
        let id = self.id(roll, range, None);
        self.retry("look for the receipt of", roll, &[], || async {
            match self.committer.look_up(&self.lake, id).await {
                None => Ok(()),
                // Credentials without the right to list are denied names that are not there. A
                // receipt that is there is still not replaced.
                Some(Outcome::Away(StoreError::Denied { .. })) => Ok(()),
                Some(Outcome::Already(receipt)) => {
                    Err(PublishError::NotCommitted(Outcome::taken(id, &receipt)))
                }
                Some(outcome) => settled(outcome).map(drop),
            }
        })
    }

    /// Looks a sealed roll up in the table. A look-up that is denied counts as one that found nothing
    /// unless bodies are `lost`: what is put then is created and replaces nothing, so a roll that the
    /// table does have is noticed, and its receipt is read or the roll waits.
    fn find(
        &self,
        roll: Roll,
        range: SeqRange,
        lost: &[SeqRange],
        bodies: Option<BodiesDigest>,
    ) -> anyhow::Result<Option<Receipt>> {
        let id = self.id(roll, range, bodies);
        let found = self.retry("look for the receipt of", roll, &[], || async {
            match self.committer.look_up(&self.lake, id).await {
                Some(Outcome::Away(error @ StoreError::Denied { .. })) if lost.is_empty() => {
                    tracing::debug!("taken for a roll without a receipt: {error}");
                    Ok(None)
                }
                Some(outcome) => settled(outcome),
                None => Ok(None),
            }
        })?;
        Ok(found)
    }

    /// Looks for objects of a sealed roll that stand in the lake, and takes their facts. When bodies
    /// of the roll are lost, what stands counts first: it may have their rows.
    fn keep_standing(&self, manifest: &mut Manifest, lost: &[SeqRange]) -> anyhow::Result<()> {
        let roll = manifest.roll;
        let staging: Vec<PathBuf> = manifest.staging_files().map(Path::to_owned).collect();
        let (looks, budget) = (WorkList::new(manifest.uploads()), StatisticsBudget::default());
        let (id, budget) = (self.id(roll, manifest.range, manifest.bodies), &budget);
        self.retry("look for the files of", roll, &staging, || {
            looks.attempt(LOOK_UPS, |upload: Upload| async move {
                match recovery::standing(&self.lake, id, &upload, budget).await {
                    // As in `find`.
                    Err(PublishError::Store(StoreError::Denied { .. })) if lost.is_empty() => {
                        Ok((upload, None))
                    }
                    standing => Ok((upload, standing?)),
                }
            })
        })?;
        keep_all(manifest, looks.into_results(), lost)?;
        if lost.is_empty() {
            return Ok(());
        }
        self.observers.emit(&RollEvent::BodiesLost { roll, lost: lost.to_vec() });
        let unmade = self.retry("look for the files of", roll, &staging, || {
            recovery::unmade(&self.lake, manifest)
        })?;
        for unmade in unmade {
            match unmade {
                Unmade::Data { table, partition, standing } => {
                    if !manifest.add_standing_file(table, &partition, standing) {
                        tracing::warn!("a file of roll {roll} is in partition {partition}");
                    }
                }
                Unmade::Quarantine { table, standing } => {
                    manifest.add_standing_quarantine(table, &standing);
                }
            }
        }
        manifest.recount();
        Ok(())
    }

    /// Puts the files that do not stand in the lake. An object that turns out to stand was put by an
    /// attempt whose answer was lost, and is kept.
    fn upload(
        &self,
        manifest: &mut Manifest,
        sealed: bool,
        lost: &[SeqRange],
    ) -> anyhow::Result<()> {
        let uploads = manifest.uploads();
        let staging: Vec<PathBuf> = uploads.iter().map(|upload| upload.staging.clone()).collect();
        let names: Arc<[String]> = uploads.iter().map(|upload| upload.name.clone()).collect();
        let uploads = WorkList::new(uploads);
        let (attempts, budget) = (Cell::new(0_u64), StatisticsBudget::default());
        let (id, budget) = (self.id(manifest.roll, manifest.range, manifest.bodies), &budget);
        self.retry("upload the files of", manifest.roll, &staging, || {
            attempts.set(attempts.get() + 1);
            let (files, parts) = self.concurrency.get();
            let earlier = match (sealed, attempts.get()) {
                (true, _) => Earlier::OtherFile,
                (false, 1) => Earlier::None,
                (false, _) => Earlier::SameFile,
            };
            let folders = self.lake.create_folders(&names);
            let attempt =
                uploads.attempt(files, move |upload| self.put(id, upload, parts, earlier, budget));
            async {
                folders.await?;
                attempt.await.inspect_err(|_| self.concurrency.halve())
            }
        })?;
        if attempts.get() == 1 {
            self.concurrency.double();
        }
        keep_all(manifest, uploads.into_results(), lost)?;
        if !lost.is_empty() {
            manifest.recount();
        }
        Ok(())
    }

    /// Puts one file. Returns the facts of the object that stands in its place, if there is one.
    async fn put(
        &self,
        id: RollId<'_>,
        upload: Upload,
        parts: usize,
        earlier: Earlier,
        budget: &StatisticsBudget,
    ) -> Result<(Upload, Option<Standing>), PublishError> {
        if self.lake.create_file(&upload.name, &upload.staging, parts, earlier).await? {
            return Ok((upload, None));
        }
        match recovery::standing(&self.lake, id, &upload, budget).await? {
            Some(standing) => Ok((upload, Some(standing))),
            None => Err(PublishError::Vanished(upload.name)),
        }
    }

    /// Commits a roll whose files are all in the lake. Returns the receipt that is in the table: that
    /// of an earlier attempt, if it has one.
    fn commit(&self, manifest: &Manifest, lost: &[SeqRange]) -> anyhow::Result<Receipt> {
        let receipt = manifest.receipt(lost);
        let found = self.retry("commit", manifest.roll, &[], || async {
            settled(self.committer.commit(&self.lake, &receipt).await)
        })?;
        Ok(found.unwrap_or(receipt))
    }

    /// Attempts a step until it succeeds, with growing pauses, for as long as its error asks for that
    /// and the files of `staging` are there.
    pub(super) fn retry<F, T>(
        &self,
        step: &'static str,
        roll: Roll,
        staging: &[PathBuf],
        attempt: impl FnMut() -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, PublishError>>,
    {
        let tries = Cell::new(0);
        // Not the store's fault, and it does not get better.
        let gone = || staging.iter().find(|path| !path.is_file());
        let attempts = attempt
            .retry(self.pauses.between_attempts(&self.node, roll))
            .when(|error: &PublishError| error.kind() == ErrorKind::Retry && gone().is_none())
            .notify(|error, pause| {
                tries.set(tries.get() + 1);
                let error = told(error);
                let (tries, report) = (tries.get(), error.clone());
                self.observers.emit(&RollEvent::Retrying { roll, step, tries, pause, error });
                self.readiness.set_trouble("lake", Err(report));
            });
        let hurry = self.hurry.clone();
        let attempts = attempts.sleep(move |pause| pauses::sleep(pause, hurry.clone()));
        let done = self.runtime.block_on(self.stop.run_until_cancelled(attempts));
        let error = match done.context(STOPPED)? {
            Ok(done) => {
                self.readiness.set_trouble("lake", Ok(()));
                let tries = tries.get();
                if tries > 0 {
                    self.observers.emit(&RollEvent::Recovered { roll, step, tries });
                }
                return Ok(done);
            }
            Err(error) if error.kind() == ErrorKind::Retry => {
                gone().map_or(error, |path| PublishError::StagingGone(path.clone()))
            }
            Err(error) => error,
        };
        Err(anyhow::Error::new(error).context(format!("cannot {step} roll {roll}")))
    }
}

/// Returns the event for a table of a committed roll.
fn table_landed(roll: Roll, table: &TableReceipt, made: Option<&Manifest>) -> RollEvent {
    let entries = table.quarantine.as_ref().map_or(0, |file| file.entries);
    let rejects = match made.and_then(|made| made.rejects_by_code(&table.table)) {
        Some(made) => made.iter().map(|(code, lines)| (Some(code.as_str()), *lines)).collect(),
        None => vec![(None, entries)],
    };
    RollEvent::TableLanded {
        roll,
        table: table.table.clone(),
        rows: table.files.iter().map(|file| file.rows).sum(),
        files: table.files.len(),
        bytes: table.files.iter().map(|file| file.bytes).sum(),
        small_files: table.files.iter().filter(|file| file.bytes < SMALL_FILE_BYTES).count(),
        doubled: table.doubled,
        rejects: if entries == 0 { Vec::new() } else { rejects },
    }
}

/// Returns the text of an error, and what to do about it, for logs and readiness.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error_text::one_line(error);
    match lake::advice(error) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// Turns an outcome into the receipt that was in the table before, or an error by what to do.
fn settled(outcome: Outcome) -> Result<Option<Receipt>, PublishError> {
    match outcome {
        Outcome::Committed => Ok(None),
        Outcome::Already(receipt) => Ok(Some(*receipt)),
        Outcome::Conflict(why) | Outcome::Refused(why) => Err(PublishError::NotCommitted(why)),
        Outcome::Away(error) => Err(error.into()),
    }
}

/// Takes the facts of the objects that stand. Their rows are those of the roll, unless bodies are
/// lost.
fn keep_all(
    manifest: &mut Manifest,
    objects: Vec<(Upload, Option<Standing>)>,
    lost: &[SeqRange],
) -> Result<(), PublishError> {
    for (Upload { id, name, .. }, standing) in objects {
        let Some(standing) = standing else { continue };
        let (stands, made) = (standing.rows, manifest.rows_of(id));
        if lost.is_empty() && stands != made {
            return Err(PublishError::OtherRows { name, stands, made });
        }
        manifest.keep_standing(id, standing);
    }
    Ok(())
}
