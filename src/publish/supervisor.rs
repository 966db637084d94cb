//! The supervisor of engines: it has sealed rolls made again, and then publishes new bodies.
//!
//! The journal holds all state, and [`Pending`] is a copy of the part that is not committed. So an
//! engine that fails, for whatever reason, is dropped, and the next one starts from the journal. There
//! is one at a time: [`Engine::run`] returns when all its threads have ended, the publisher among
//! them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::{ErrorKind, PublishError};
use super::fence::{HeldFence, Taking};
use super::lake_file::LakeFile;
use super::pauses::{self, Pauses};
use super::pending_bodies::PendingBodies;
use super::promotion::Promotion;
use super::publisher::{self, Publisher, RollLog};
use super::sealed_settings::SealedSettings;
use super::taking_apart::{self, Decision, TakenApart, TakingApart};
use crate::clock::Clock;
use crate::dedup;
use crate::journal::{self, Journal, Reader, Recovery, Seal};
use crate::lake::{Lake, StoreError, names};
use crate::privacy;
use crate::record::{BodiesDigest, Roll, Seq, SeqRange};
use crate::roll;
use crate::roll::RollLimits;
use crate::roll::care::{Care, RollFailure, SetAside};
use crate::roll::doubles::Dedup;
use crate::roll::engine::{Ended, Engine, Mode};
use crate::roll::manifest::Manifest;
use crate::roll::source::{Next, Source};
use crate::status::{Observers, Readiness, RollControl, RollEvent};
use crate::table::Tables;

/// Most bytes of a body of the journal that is held in memory while it is decoded. Larger ones are read
/// piece by piece; no larger one is compressed.
const MOST_HELD_BYTES: u64 = 8 << 20;

/// Rolls and bodies of the journal that are not committed.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    sealed: Vec<Seal>,
    unsealed_from: Seq,
    next_roll: Roll,
    bodies: PendingBodies,
}

impl Pending {
    /// Returns the state that the start of the journal found.
    pub(crate) fn of(recovery: &Recovery) -> Pending {
        Pending {
            sealed: recovery.sealed.clone(),
            unsealed_from: recovery.unsealed_from,
            next_roll: recovery.next_roll,
            bodies: PendingBodies::default(),
        }
    }

    /// Returns the number of rolls that are sealed and not committed.
    pub(crate) fn sealed_rolls(&self) -> usize {
        self.sealed.len()
    }
}

/// Publishes the bodies of a journal, with one engine after the other.
pub(crate) struct Supervisor {
    pub(crate) options: roll::Options,
    pub(crate) limits: RollLimits,
    pub(crate) lake: Lake,
    /// The memory of the lake in the state directory.
    pub(crate) lake_file: LakeFile,
    /// The fence of the node, once the lake has answered.
    pub(crate) fence: Mutex<Option<Arc<HeldFence>>>,
    /// The memory of rolls that could not be made, once it is read.
    pub(crate) taking_apart: Mutex<Option<Arc<TakingApart>>>,
    /// Cancelled once the lake has answered, or has failed to for the first time.
    pub(crate) asked: CancellationToken,
    /// Hashes as the privacy rules of a roll ask.
    pub(crate) key: Option<privacy::Key>,
    pub(crate) tables: Tables,
    /// The rows that have landed, if a table leaves doubles out.
    pub(crate) dedup: Option<Arc<dedup::Index>>,
    /// The promotion of fields to columns; none without any.
    pub(crate) promotion: Option<Arc<Promotion>>,
    pub(crate) journal: Journal,
    pub(crate) runtime: Handle,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) staging: PathBuf,
    pub(crate) pending: Arc<Mutex<Pending>>,
    pub(crate) pauses: Pauses,
    pub(crate) observers: Observers,
    /// Limits of rolls that change meanwhile.
    pub(crate) control: Arc<RollControl>,
    /// Cancelled when the process is about to end: pauses between attempts are cut short.
    pub(crate) hurry: CancellationToken,
    /// Cancelled when nothing more is to be landed. What is not committed stays in the journal.
    pub(crate) stop: CancellationToken,
}

impl Supervisor {
    /// Publishes until the journal is closed and drained. An engine that fails is started again from
    /// the journal after a pause.
    ///
    /// # Errors
    /// A poisoned journal, a [`PublishError`] of the kind [`ErrorKind::Stop`], or `stop` is cancelled.
    /// Bodies that are not committed stay in the journal, for the next start.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut pauses = self.pauses.between_restarts();
        loop {
            let before = self.pending();
            let published = catch_unwind(AssertUnwindSafe(|| self.attempt()))
                .unwrap_or_else(|_| Err(anyhow!("a thread panicked; its message stands above")));
            let Err(error) = published else { return Ok(()) };
            if self.stop.is_cancelled() {
                return Err(error);
            }
            let text = publisher::told(error.as_ref());
            self.readiness.set_trouble("landing", Err(text.clone()));
            if let Some(reason) = self.journal.poisoned() {
                let reason = format!("{reason}: restart the program");
                self.observers.emit(&RollEvent::EngineStopped { reason });
                return Err(error);
            }
            let kind = error.downcast_ref::<PublishError>().map(PublishError::kind);
            if kind == Some(ErrorKind::Stop) {
                self.observers.emit(&RollEvent::EngineStopped { reason: text });
                return Err(error);
            }
            let is_divided =
                error.downcast_ref::<TakenApart>().is_some_and(|taken| taken.is_divided);
            if is_divided || self.pending().next_roll != before.next_roll {
                pauses = self.pauses.between_restarts();
            }
            let pause = pauses.next().unwrap_or(self.pauses.most);
            self.observers.emit(&RollEvent::EngineFailed { error: text, pause });
            let sleep = self.stop.run_until_cancelled(pauses::sleep(pause, self.hurry.clone()));
            if self.runtime.block_on(sleep).is_none() {
                return Err(error);
            }
        }
    }

    fn pending(&self) -> Pending {
        self.pending.lock().clone()
    }

    /// Publishes until the journal is closed and drained, or something fails. Decides what becomes of a
    /// roll that cannot be made.
    pub(crate) fn attempt(&self) -> anyhow::Result<()> {
        self.take_fence()?;
        let apart = self.taking_apart()?;
        let published = catch_unwind(AssertUnwindSafe(|| self.publish_all(&apart)));
        apart.ended();
        let published = published.unwrap_or_else(|panic| resume_unwind(panic));
        let Err(error) = published else { return Ok(()) };
        let Some(failure) = error.downcast_ref::<RollFailure>() else { return Err(error) };
        let reserve_bytes = self.journal.reserve_bytes();
        let Decision { text, is_divided, set_aside } =
            apart.failed(failure, &self.staging, reserve_bytes);
        self.tell_set_aside(set_aside);
        Err(error.context(TakenApart { text, is_divided }))
    }

    /// Returns the memory of rolls that could not be made. Reads it, and counts this start, once in a
    /// life.
    fn taking_apart(&self) -> anyhow::Result<Arc<TakingApart>> {
        let mut held = self.taking_apart.lock();
        if let Some(apart) = &*held {
            return Ok(Arc::clone(apart));
        }
        let file = self.lake_file.beside(taking_apart::NAME);
        let apart = Arc::new(TakingApart::open(file, self.journal.node())?);
        let pending = self.pending();
        let sealed = pending.sealed.first().map(|seal| seal.range);
        let first = sealed.map_or(pending.unsealed_from, |range| range.first);
        let last = self.journal.status().last_seq;
        let set_aside = apart.start(SeqRange { first, last }, sealed);
        self.tell_set_aside(set_aside);
        Ok(Arc::clone(held.insert(apart)))
    }

    /// Reports a body that is set aside from now on, until the next start.
    fn tell_set_aside(&self, seq: Option<Seq>) {
        let Some(seq) = seq else { return };
        let why = format!(
            "body {seq} is set aside, since no roll can be made of it; `sessionlake quarantine list` \
             names the reason once it has landed there"
        );
        self.readiness.set_trouble("set_aside", Err(why));
    }

    /// Makes the index forget what it knows if the lake lacks the last roll that has landed: it is another
    /// lake or an older copy, and a row that is left out for one that it lacks would be lost.
    fn hold_against_lake(&self, index: &dedup::Index) -> anyhow::Result<()> {
        let pending = self.pending();
        let first = pending.sealed.first().map_or(pending.next_roll, |seal| seal.roll);
        let Some(last) = first.0.checked_sub(1).filter(|last| *last >= Roll::FIRST.0) else {
            return Ok(());
        };
        let name = names::receipt(self.journal.node(), Roll(last));
        let publisher = self.publisher(&self.tables);
        let found =
            publisher.retry("look before dedup for the roll before", first, &[], || async {
                match self.lake.head(&name).await {
                    // Who may not list is denied what is not there.
                    Err(StoreError::Denied { .. }) => Ok(None),
                    found => Ok(found?),
                }
            })?;
        if found.is_some() {
            return Ok(());
        }
        tracing::warn!(
            "{name} is not in {}, although that roll has landed: it is another lake, or an older copy. \
             dedup begins anew, and doubles of rows that landed before now are not known",
            self.lake.location()
        );
        index.forget_all()
    }

    /// Returns the first body that is in no sealed roll, `from` or one that is lost and was right before it.
    fn first_unsealed(&self, from: Seq) -> Seq {
        let lost = self.journal.lost(SeqRange { first: from, last: from });
        lost.iter().map(|lost| lost.first).fold(from, Seq::min)
    }

    fn publish_all(&self, apart: &TakingApart) -> anyhow::Result<()> {
        if let Some(index) = &self.dedup {
            self.hold_against_lake(index)?;
        }
        for seal in self.pending().sealed {
            let settings = SealedSettings::from_json(&seal.settings)
                .with_context(|| format!("the settings that roll {} was sealed with", seal.roll))?;
            let SealedSettings { tables, set_aside, left_out } = settings;
            self.observers.emit(&RollEvent::Redone { roll: seal.roll, range: seal.range });
            let publisher = self.publisher(&tables);
            self.look_at_first(seal.range.first);
            if publisher.close_if_committed(&mut self.log(), seal.roll, seal.range, || {
                self.digest_of(seal.range)
            })? {
                continue;
            }
            let source = self.source(seal.range.first, Some(seal.range.last));
            let care = apart.care(set_aside);
            let dedup = Dedup::Sealed(left_out);
            self.engine(&tables, source, Mode::Redo(seal.roll, seal.range), dedup, &care)?;
        }
        self.readiness.set_trouble("landing", Ok(()));
        loop {
            let tables = match &self.promotion {
                Some(promotion) => {
                    promotion.promote(&self.lake, &self.runtime)?;
                    promotion.tables()
                }
                None => Arc::new(self.tables.clone()),
            };
            let pending = self.pending();
            let mut source = self.source(pending.unsealed_from, None);
            source.reader = source.reader.taking_handed();
            let care = apart.care(SetAside::new());
            let dedup = match &self.dedup {
                Some(index) => {
                    index.begin(self.first_unsealed(pending.unsealed_from))?;
                    Dedup::Decide(Arc::clone(index))
                }
                None => Dedup::Off,
            };
            let mode = Mode::Live(pending.next_roll);
            match self.engine(&tables, source, mode, dedup, &care)? {
                Ended::Source => return Ok(()),
                // Something was published, and the next engine has other tables or the same.
                Ended::Boundary => {}
            }
        }
    }

    /// Reads the first body of a sealed roll for its age, since the lake is asked before the roll is
    /// made again, and may be away.
    fn look_at_first(&self, first: Seq) {
        // One that cannot be read is reported when the roll is made again.
        let mut reader = self.journal.reader(first).holding_at_most(MOST_HELD_BYTES);
        if let Ok(journal::Next::Body(body)) = reader.next(Duration::ZERO) {
            let mut pending = self.pending.lock();
            pending.bodies.read(body.seq, body.received_at);
            self.readiness.set_oldest_pending(pending.bodies.oldest());
        }
    }

    /// Makes sure that the lake is the one that the state directory remembers, and takes the fence of
    /// the node, once in a life. Tries for as long as it takes.
    pub(crate) fn take_fence(&self) -> anyhow::Result<()> {
        if self.fence.lock().is_some() {
            return Ok(());
        }
        let (taking, pending) = (Taking::new()?, self.pending());
        let next = pending.next_roll;
        let sealed = pending.sealed.first().map(|seal| seal.range.first);
        let first = sealed.unwrap_or(pending.unsealed_from);
        let fence =
            self.publisher(&self.tables).retry("ask the lake before", next, &[], || async {
                self.look_at_first(first);
                let taken = taking.take(&self.lake, &self.lake_file, &self.journal, next).await;
                // One that is refused ends the thread, and that is heard of.
                if taken.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Retry) {
                    self.asked.cancel();
                }
                taken
            })?;
        *self.fence.lock() = Some(Arc::new(fence));
        Ok(())
    }

    /// Reads the digest of the bodies of a sealed roll. Returns `None` if some of them are lost.
    fn digest_of(&self, range: SeqRange) -> anyhow::Result<Option<BodiesDigest>> {
        if !self.journal.lost(range).is_empty() {
            return Ok(None);
        }
        let mut source = self.source(range.first, Some(range.last));
        let mut digest = BodiesDigest::default();
        loop {
            match source.next(Duration::ZERO)? {
                Next::Body(body) => digest += BodiesDigest::of(&body),
                Next::Ended => return Ok(Some(digest)),
                // All of them were durable when the roll was sealed.
                Next::TimedOut => return Ok(None),
            }
        }
    }

    /// Returns the bodies of the journal from `first` on, to `last` or without end.
    fn source(&self, first: Seq, last: Option<Seq>) -> JournalSource {
        JournalSource {
            reader: self.journal.reader(first).holding_at_most(MOST_HELD_BYTES),
            last,
            stop: self.stop.clone(),
            pending: Arc::clone(&self.pending),
            readiness: Arc::clone(&self.readiness),
        }
    }

    /// Returns the log of the journal, which keeps the state for the next attempt up to date.
    pub(crate) fn log(&self) -> JournalLog {
        JournalLog {
            journal: self.journal.clone(),
            pending: Arc::clone(&self.pending),
            readiness: Arc::clone(&self.readiness),
            taking_apart: self.taking_apart.lock().clone(),
        }
    }

    /// Makes a publisher of rolls of `tables`.
    pub(crate) fn publisher<'a>(&self, tables: &'a Tables) -> Publisher<'a> {
        let (lake, node) = (self.lake.clone(), self.journal.node().into());
        let (runtime, readiness) = (self.runtime.clone(), Arc::clone(&self.readiness));
        let publisher =
            Publisher::new(lake, node, tables, runtime, readiness, self.observers.clone())
                .with_pauses(self.pauses)
                .with_dedup(self.dedup.clone())
                .with_hurry(self.hurry.clone())
                .with_stop(self.stop.clone());
        match &*self.fence.lock() {
            Some(fence) => publisher.with_fence(Arc::clone(fence)),
            None => publisher,
        }
    }

    fn engine(
        &self,
        tables: &Tables,
        mut source: JournalSource,
        mode: Mode,
        dedup: Dedup,
        care: &Care<'_>,
    ) -> anyhow::Result<Ended> {
        let is_last = |roll: &Manifest| self.promotion.as_ref().is_some_and(|p| p.finished(roll));
        let engine = Engine {
            options: &self.options,
            node: self.journal.node().into(),
            limits: self.limits,
            tables,
            privacy_key: self.key.as_ref(),
            staging: &self.staging,
            clock: Arc::clone(&self.clock),
            observers: &self.observers,
            dedup,
            control: &self.control,
            care,
            is_last: matches!(mode, Mode::Live(_)).then_some(&is_last),
        };
        let publisher = self.publisher(tables);
        let mut log = self.log();
        let again = matches!(mode, Mode::Redo(..));
        engine.run(&mut source, mode, &mut |manifest| {
            publisher.publish(&mut log, manifest, again).map(drop)
        })
    }
}

/// Bodies of the journal from one on, to the journal's end or to the last body of a sealed roll.
struct JournalSource {
    reader: Reader,
    last: Option<Seq>,
    stop: CancellationToken,
    pending: Arc<Mutex<Pending>>,
    readiness: Arc<Readiness>,
}

impl Source for JournalSource {
    fn next(&mut self, timeout: Duration) -> anyhow::Result<Next> {
        ensure!(!self.stop.is_cancelled(), publisher::STOPPED);
        if self.last.is_some_and(|last| self.reader.position() > last) {
            return Ok(Next::Ended);
        }
        let body = match self.reader.next(timeout)? {
            journal::Next::Body(body) => body,
            journal::Next::TimedOut => return Ok(Next::TimedOut),
            journal::Next::Closed => return Ok(Next::Ended),
        };
        // The roll's last bodies may be lost; the next body belongs to a later roll.
        if self.last.is_some_and(|last| body.seq > last) {
            return Ok(Next::Ended);
        }
        let mut pending = self.pending.lock();
        let before = pending.bodies.oldest();
        pending.bodies.read(body.seq, body.received_at);
        let oldest = pending.bodies.oldest();
        if before != oldest {
            self.readiness.set_oldest_pending(oldest);
        }
        drop(pending);
        Ok(Next::Body(body))
    }
}

/// The roll log in the journal. Keeps [`Pending`] up to date for the next engine.
pub(crate) struct JournalLog {
    journal: Journal,
    pending: Arc<Mutex<Pending>>,
    readiness: Arc<Readiness>,
    taking_apart: Option<Arc<TakingApart>>,
}

impl RollLog for JournalLog {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        self.journal.seal(seal)?;
        let mut pending = self.pending.lock();
        pending.sealed.push(seal.clone());
        pending.unsealed_from = seal.range.last.next();
        pending.next_roll = seal.roll.next();
        Ok(())
    }

    fn lost(&self, range: SeqRange) -> Vec<SeqRange> {
        self.journal.lost(range)
    }

    fn committed(&mut self, roll: Roll) -> anyhow::Result<()> {
        self.journal.committed(roll)?;
        let mut pending = self.pending.lock();
        let done = pending.sealed.iter().find(|seal| seal.roll == roll).map(|seal| seal.range.last);
        pending.sealed.retain(|seal| seal.roll != roll);
        if let Some(last) = done {
            if let Some(apart) = &self.taking_apart {
                apart.committed(last);
            }
            pending.bodies.committed(last);
            self.readiness.set_oldest_pending(pending.bodies.oldest());
        }
        Ok(())
    }
}
