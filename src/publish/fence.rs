//! The fence of a node: of all copies of a state directory, one lands.
//!
//! A state directory that is copied, restored from a backup, or part of a machine that is cloned
//! numbers its bodies and rolls as another one does, or did. So the lake has a [`Fence`] for every
//! node, with a random epoch and the last roll that was sealed, and the state directory remembers the
//! epoch ([`LakeFile`]).
//!
//! # Protocol
//! ```text
//!  start   remember a new epoch ─▶ swap the fence, if its epoch is remembered and its last roll is
//!          not above the journal's ─▶ forget the epochs before
//!  roll    the fence is ours? ─▶ seal in the journal ─▶ swap the fence: this roll is sealed ─▶ put
//! ```
//! * An older copy finds a last roll that it has not sealed, or an epoch that it does not know, and
//!   stops before it seals or puts anything.
//! * Of two equal copies the one that started last has the epoch. The other one finds another epoch
//!   before it seals its next roll, or cannot swap after that, and puts nothing of it. What it has
//!   acknowledged stays in its journal.
//! * A swap is conditional on the fence that was read. Its outcome is unknown after any answer but
//!   success; the fence is read again, and one with the token of this write, or the epoch of this
//!   start, is ours.
//! * A state directory that is gone, or has another in its place, when the epoch was written beside
//!   the journal stops the start before it swaps: an epoch that no start can find would lock the node
//!   out.
//! * A machine that dies after the journal's seal and before the swap finds a fence below its
//!   journal; nothing of that roll is in the lake, and the next start lifts the fence to it.
//! * Credentials that may create objects and not replace them leave a fence as its first start has
//!   made it. A start that knows its epoch goes on without swapping, and copies are noticed by
//!   receipts alone, which are looked up before each roll is sealed.
//! * A node without a fence, as an earlier build leaves it, gets one, unless the lake has a receipt
//!   of a roll that the journal has not sealed.

mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use self::texts::{fenced, warn_of_kept, wrong_lake};
use super::error::PublishError;
use super::lake_file::{LakeFile, LakeMemory};
use crate::journal::Journal;
use crate::lake::{
    Fence, Lake, LakeId, Location, Options, RecordError, StandingFence, StoreError, Swap, names,
};
use crate::record::Roll;

/// The fence of a node, as this process holds it.
pub(crate) struct HeldFence {
    lake: Lake,
    id: LakeId,
    node: Arc<str>,
    file: LakeFile,
    epoch: String,
    /// The fence may not be replaced, as the last attempt was told. Relaxed: it guards nothing else.
    kept: AtomicBool,
    held: Mutex<Held>,
}

struct Held {
    /// The last roll in the fence.
    last_sealed: u64,
    /// The fence as it was read last, until it is swapped.
    standing: Option<StandingFence>,
    /// The roll that is being noted, and the token of that write: whether an earlier attempt has
    /// written it may be unknown.
    noting: Option<(Roll, String)>,
}

/// A start's attempt to take the fence. The same values are tried until an outcome is known.
pub(super) struct Taking {
    /// The identity that a lake without one gets.
    id: LakeId,
    epoch: String,
}

impl Taking {
    /// Makes the random values of a start.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> Result<Taking, StoreError> {
        Ok(Taking { id: LakeId::random()?, epoch: crate::lake::random_hex()? })
    }

    /// Makes sure that `lake` is the one that `file` remembers, or remembers it, and takes the fence
    /// of the node of `journal`, which has sealed all rolls before `next` and has `file` beside it.
    ///
    /// # Errors
    /// [`PublishError::WrongLake`], [`PublishError::Fenced`], or [`PublishError::StateDirectory`] of a
    /// directory that is gone: nothing was written to the lake. Else the step may be tried again.
    pub(super) async fn take(
        &self,
        lake: &Lake,
        file: &LakeFile,
        journal: &Journal,
        next: Roll,
    ) -> Result<HeldFence, PublishError> {
        let node: &Arc<str> = &journal.node().into();
        let id = self.identify(lake, file, node).await?;
        lake.expect(&id);
        let sealed = next.0.saturating_sub(1);
        let ours = Fence::new(self.epoch.clone(), sealed, self.epoch.clone());
        let standing = read(lake, node).await?;
        let (mut epoch, mut kept) = (self.epoch.clone(), false);
        let swapped = match &standing {
            // An earlier attempt, whose answer was lost.
            Some(standing) if standing.fence.epoch == self.epoch => true,
            Some(standing) => {
                judge(lake, node, file, &standing.fence, sealed)?;
                self.remember(file, journal, Some(&standing.fence.epoch))?;
                match lake.swap_fence(node, standing, &ours).await? {
                    Swap::Done => true,
                    Swap::Moved => false,
                    Swap::Denied(error) => {
                        check_receipts(lake, node, file, next).await?;
                        warn_of_kept(node, &error);
                        (epoch, kept) = (standing.fence.epoch.clone(), true);
                        true
                    }
                }
            }
            None => {
                check_receipts(lake, node, file, next).await?;
                self.remember(file, journal, None)?;
                lake.create_fence(node, &ours).await?
            }
        };
        if !swapped {
            return Err(PublishError::FenceMoved(names::fence(node)));
        }
        lake.make_durable(&names::fence(node)).await?;
        let mut memory = file.read().map_err(PublishError::StateFile)?;
        let id = match memory.lake.take() {
            Some(_) => id,
            // Of two nodes that found none, a store without conditions may have let both put one.
            None => lake.identify(&id).await?,
        };
        memory.lake = Some(id.clone());
        // Without conditions on puts an earlier attempt may land late, over this one.
        if lake.takes_conditions() {
            memory.epochs.retain(|known| *known == self.epoch || *known == epoch);
        }
        write(file, journal, &memory)?;
        let held = Mutex::new(Held { last_sealed: sealed, standing: None, noting: None });
        let (lake, node, file) = (lake.clone(), Arc::clone(node), file.clone());
        Ok(HeldFence { lake, id, node, file, epoch, kept: kept.into(), held })
    }

    /// Returns the identity of the lake, which is the one that `file` remembers, if it does. A lake
    /// whose identity was deleted is known by the fence.
    async fn identify(
        &self,
        lake: &Lake,
        file: &LakeFile,
        node: &str,
    ) -> Result<LakeId, PublishError> {
        let memory = file.read().map_err(PublishError::StateFile)?;
        if let Some(expected) = memory.lake {
            let mut found = lake.identity().await?;
            if found.is_none() && fence_is_known(lake, node, &memory.epochs).await? {
                let (identity, lake_name) = (names::IDENTITY, lake.location());
                tracing::warn!(
                    "{identity} is gone from {lake_name}, with a fence of this node: made again"
                );
                found = Some(lake.identify(&expected).await?);
            }
            return match found {
                Some(found) if found == expected => Ok(found),
                found => {
                    let lake = lake.location().to_string();
                    Err(PublishError::WrongLake(wrong_lake(&lake, file, &expected, found)))
                }
            };
        }
        Ok(lake.identify(&self.id).await?)
    }

    /// Remembers the new epoch beside those before, and longest of these the one that stands.
    ///
    /// # Errors
    /// The file cannot be read or written; the directory that it was written in is not the journal's
    /// any more, so that no start would find the epoch.
    fn remember(
        &self,
        file: &LakeFile,
        journal: &Journal,
        standing: Option<&str>,
    ) -> Result<(), PublishError> {
        let mut memory = file.read().map_err(PublishError::StateFile)?;
        memory.epochs.retain(|known| *known != self.epoch && Some(&**known) != standing);
        memory.epochs.extend(standing.map(str::to_owned));
        memory.epochs.push(self.epoch.clone());
        write(file, journal, &memory)?;
        Ok(journal.check_directory()?)
    }
}

impl HeldFence {
    /// Checks that the fence is still this process's, before `roll` is sealed.
    ///
    /// # Errors
    /// [`PublishError::Fenced`]: another process lands as this node. [`PublishError::LakeGone`].
    pub(super) async fn check(&self, roll: Roll) -> Result<(), PublishError> {
        let standing = self.read().await?;
        if let Some(standing) = &standing {
            let fence = &standing.fence;
            if fence.epoch != self.epoch || fence.last_sealed >= roll.0 {
                return Err(self.fenced(fence));
            }
        }
        if self.kept.load(Ordering::Relaxed) {
            check_receipts(&self.lake, &self.node, &self.file, roll).await?;
        }
        self.held.lock().standing = standing;
        Ok(())
    }

    /// Lifts the fence to the sealed roll `roll`, before anything of it is put.
    ///
    /// # Errors
    /// As [`HeldFence::check`].
    pub(super) async fn lift(&self, roll: Roll) -> Result<(), PublishError> {
        let (standing, token) = {
            let mut held = self.held.lock();
            if held.last_sealed >= roll.0 {
                return Ok(());
            }
            let noting = held.noting.take().filter(|(noting, _)| *noting == roll);
            let (_, token) = match noting {
                Some(noting) => noting,
                None => (roll, crate::lake::random_hex()?),
            };
            held.noting = Some((roll, token.clone()));
            (held.standing.take(), token)
        };
        let ours = Fence::new(self.epoch.clone(), roll.0, token.clone());
        let standing = match standing {
            Some(standing) => Some(standing),
            None => self.read().await?,
        };
        let swapped = match &standing {
            Some(standing) if standing.fence.token == token => true,
            Some(standing) if standing.fence.epoch != self.epoch => {
                return Err(self.fenced(&standing.fence));
            }
            Some(standing) if standing.fence.last_sealed >= roll.0 => {
                return Err(self.fenced(&standing.fence));
            }
            Some(standing) => match self.lake.swap_fence(&self.node, standing, &ours).await? {
                Swap::Done => {
                    self.kept.store(false, Ordering::Relaxed);
                    true
                }
                Swap::Moved => false,
                Swap::Denied(error) => {
                    if !self.kept.swap(true, Ordering::Relaxed) {
                        warn_of_kept(&self.node, &error);
                    }
                    true
                }
            },
            // Somebody has deleted it. Of two processes one creates it.
            None => self.lake.create_fence(&self.node, &ours).await?,
        };
        if !swapped {
            return Err(PublishError::FenceMoved(names::fence(&self.node)));
        }
        self.lake.make_durable(&names::fence(&self.node)).await?;
        self.held.lock().last_sealed = roll.0;
        Ok(())
    }

    /// Reads the fence. When there is none, makes sure that the lake is still there.
    async fn read(&self) -> Result<Option<StandingFence>, PublishError> {
        let standing = read(&self.lake, &self.node).await?;
        if standing.is_none() {
            match self.lake.identity().await? {
                Some(found) if found == self.id => {}
                found => {
                    let lake = self.lake.location().to_string();
                    let why = wrong_lake(&lake, &self.file, &self.id, found.clone());
                    return Err(match found {
                        // It may be mounted again.
                        None => PublishError::LakeGone(why),
                        Some(_) => PublishError::WrongLake(why),
                    });
                }
            }
        }
        Ok(standing)
    }

    fn fenced(&self, found: &Fence) -> PublishError {
        let found = format!("another process landed as this node since this one started ({found})");
        PublishError::Fenced(fenced(&self.lake, &self.node, &self.file, &found))
    }
}

/// Opens the lake of `options`. One that `file` remembers is not created; a directory is checked at
/// once to be that lake, a bucket when the fence is taken.
///
/// # Errors
/// [`PublishError::WrongLake`]; the lake or `file` cannot be read.
pub(crate) fn open_lake(options: &Options, file: &LakeFile) -> anyhow::Result<Lake> {
    let lake = find_lake(options, file)?;
    // Only now is it known to be a lake of this node.
    lake.sweep();
    Ok(lake)
}

/// Opens the lake as [`open_lake`] does, and leaves what is there.
fn find_lake(options: &Options, file: &LakeFile) -> anyhow::Result<Lake> {
    let memory = file.read()?;
    let Some(expected) = memory.lake else { return Ok(Lake::open(options)?) };
    let found = match Lake::open_existing(options) {
        Ok(lake) if !matches!(options.location, Location::Local(_)) => return Ok(lake),
        Ok(lake) => match lake.directory_identity()? {
            Some(found) if found == expected => {
                lake.expect(&expected);
                return Ok(lake);
            }
            // The fence says the same, and the start puts the identity again.
            None if lake.directory_has_fence(&memory.epochs)? => return Ok(lake),
            found => found,
        },
        Err(StoreError::NoLake { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let lake = options.location.to_string();
    Err(PublishError::WrongLake(wrong_lake(&lake, file, &expected, found)).into())
}

/// Checks that the lake of `options` is the one that `file` remembers, if it remembers one. Creates
/// nothing. A bucket that does not answer passes.
///
/// # Errors
/// As of [`open_lake`].
pub(crate) async fn check_lake(options: &Options, file: &LakeFile) -> anyhow::Result<()> {
    let memory = file.read()?;
    let Some(expected) = memory.lake else { return Ok(()) };
    let lake = find_lake(options, file)?;
    match lake.identity().await {
        Ok(Some(found)) if found == expected => Ok(()),
        Err(RecordError::Store(_)) => Ok(()),
        Ok(None) if lake.has_fence(&memory.epochs).await? => Ok(()),
        Ok(found) => {
            let lake = lake.location().to_string();
            Err(PublishError::WrongLake(wrong_lake(&lake, file, &expected, found)).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the fence of `node`.
async fn read(lake: &Lake, node: &str) -> Result<Option<StandingFence>, PublishError> {
    match lake.fence(node).await {
        // Credentials that may not list are denied what is not there. One that is there is not
        // replaced: it can only be created.
        Err(RecordError::Store(StoreError::Denied { .. })) => Ok(None),
        read => Ok(read?),
    }
}

/// Returns whether the fence of `node` stands with one of `epochs`.
async fn fence_is_known(lake: &Lake, node: &str, epochs: &[String]) -> Result<bool, PublishError> {
    Ok(read(lake, node).await?.is_some_and(|standing| epochs.contains(&standing.fence.epoch)))
}

/// Judges the fence that a start finds.
fn judge(
    lake: &Lake,
    node: &str,
    file: &LakeFile,
    fence: &Fence,
    sealed: u64,
) -> Result<(), PublishError> {
    let memory = file.read().map_err(PublishError::StateFile)?;
    let found = if !memory.epochs.contains(&fence.epoch) {
        format!("another process landed as this node since this directory was used ({fence})")
    } else if fence.last_sealed > sealed {
        format!(
            "rolls up to {} were sealed as this node, and this directory knows rolls up to {sealed}",
            fence.last_sealed
        )
    } else {
        return Ok(());
    };
    Err(PublishError::Fenced(fenced(lake, node, file, &found)))
}

/// Checks that the lake has nothing of a node without a fence that its journal does not know.
async fn check_receipts(
    lake: &Lake,
    node: &str,
    file: &LakeFile,
    next: Roll,
) -> Result<(), PublishError> {
    let receipt = names::receipt(node, next);
    match lake.head(&receipt).await {
        Ok(None) | Err(StoreError::Denied { .. }) => Ok(()),
        Ok(Some(_)) => {
            let found = format!("{receipt} is there, and this directory has not sealed that roll");
            Err(PublishError::Fenced(fenced(lake, node, file, &found)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the memory beside the journal.
///
/// # Errors
/// That it cannot be written is worth another try, unless the directory is gone.
fn write(file: &LakeFile, journal: &Journal, memory: &LakeMemory) -> Result<(), PublishError> {
    let Err(source) = file.write(memory) else { return Ok(()) };
    journal.check_directory()?;
    Err(StoreError::Io { path: file.path(), source }.into())
}
