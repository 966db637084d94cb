//! Leases: at most one process replaces and deletes objects of a kind at a time.
//!
//! ```text
//! _leases/<name>/<epoch>.json      {"holder":"…","expires_at_us":…}
//! ```
//! Each change of a lease creates the object of the next epoch on the condition that there is none;
//! the highest epoch counts. So of two processes that want a lease one gets it, and a renewal and a
//! takeover, which compete for the same name, never both succeed. Earlier epochs are deleted, the
//! highest never is: a process that goes by an old listing finds a higher epoch after its own, and
//! does not hold the lease.
//!
//! A lease ends for its holder when it expires, and for others [`MAX_CLOCK_SKEW`] later, so that
//! clocks may differ and a request that was under way may end. A holder that works for longer renews
//! it. An answer that was lost is looked up before anything is concluded from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::{self, ObjectName};
use super::objects::Creation;
use super::{Lake, StoreError};
use crate::record::Micros;

/// The most that the clocks of two processes may differ by.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Attempts to acquire a lease that others change meanwhile.
const ATTEMPTS: usize = 8;

/// A lease that is held. It ends by itself; [`Lake::release_lease`] ends it earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    lake: String,
    name: String,
    holder: String,
    epoch: u64,
    expires_at: Micros,
}

/// The outcome of acquiring a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The caller holds the lease.
    Held(Lease),
    /// Another process holds it.
    Busy {
        /// The process that holds it.
        holder: String,
        /// The end of its lease by its clock, unless it renews it.
        expires_at: Micros,
    },
}

/// A lease that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The store failed. Acquire or renew again: what happened is looked up then.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The lease has expired. Renew or acquire it before going on.
    #[error("the lease {name} of {holder} has expired")]
    Expired {
        /// The lease.
        name: String,
        /// The process that held it.
        holder: String,
    },
    /// Another process has taken the lease over. Stop.
    #[error("the lease {name} was taken over from {holder}")]
    Lost {
        /// The lease.
        name: String,
        /// The process that held it.
        holder: String,
    },
    /// The lease is one of another lake.
    #[error("the lease {name} is one of {lake}")]
    OtherLake {
        /// The lease.
        name: String,
        /// Its lake.
        lake: String,
    },
    /// Other processes change the lease all the time. Try again later.
    #[error("the lease {name} changes all the time; try again")]
    Contended {
        /// The lease.
        name: String,
    },
    /// The store has no conditional puts, without which there are no leases.
    #[error(
        "{lake} cannot create an object on the condition that there is none, so it has no leases"
    )]
    Unsupported {
        /// The lake.
        lake: String,
    },
    /// An object of the lease is none. Look at it, and delete it if it is not needed.
    #[error("{object} is no lease: {source}")]
    Malformed {
        /// The object.
        object: String,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
}

/// The bytes of a lease's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holding {
    holder: String,
    /// The end of the lease in microseconds since the epoch; 0 when it was released.
    expires_at_us: i64,
}

/// The outcome of creating the object of an epoch.
enum Step {
    Taken,
    /// Another process has this epoch or a higher one.
    Passed,
}

impl Lease {
    /// Returns the time at which the lease ends for its holder.
    #[must_use]
    pub fn expires_at(&self) -> Micros {
        self.expires_at
    }

    fn check(&self, lake: &Lake, now: Micros) -> Result<(), LeaseError> {
        let name = self.name.clone();
        if self.lake != lake.location.to_string() {
            return Err(LeaseError::OtherLake { name, lake: self.lake.clone() });
        }
        if now >= self.expires_at {
            return Err(LeaseError::Expired { name, holder: self.holder.clone() });
        }
        Ok(())
    }
}

impl Lake {
    /// Acquires the lease `name` for `duration` from `now` on. `holder` names the process among all
    /// others: a node's name with a random number. Called again by the same holder before its lease
    /// expires, as after an error, it returns the lease that the holder has.
    ///
    /// # Errors
    /// [`LeaseError`].
    ///
    /// # Cancel safety
    /// A lease may have been acquired by a call that was dropped; it expires by itself.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        duration: Duration,
        now: Micros,
    ) -> Result<Acquisition, LeaseError> {
        for _ in 0..ATTEMPTS {
            let latest = self.latest_epoch(name).await?;
            let epoch = latest.map_or(1, |epoch| epoch + 1);
            if let Some(latest) = latest {
                // Deleted since the listing: a higher one was made.
                let Some(holding) = self.holding(name, latest).await? else { continue };
                let expires_at = Micros(holding.expires_at_us);
                let own = holding.holder == holder;
                let released = holding.expires_at_us == 0;
                if own && now < expires_at {
                    return Ok(Acquisition::Held(self.lease(name, holder, latest, expires_at)));
                }
                if !own && !released && now < later(expires_at, MAX_CLOCK_SKEW) {
                    return Ok(Acquisition::Busy { holder: holding.holder, expires_at });
                }
            }
            let lease = self.lease(name, holder, epoch, later(now, duration));
            if let Step::Taken = self.take_epoch(&lease).await? {
                return Ok(Acquisition::Held(lease));
            }
        }
        Err(LeaseError::Contended { name: name.to_owned() })
    }

    /// Renews a lease for `duration` from `now` on. One that has expired can be renewed as long as
    /// no other process has taken it over.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when another process has; else as [`Lake::acquire_lease`].
    pub async fn renew_lease(
        &self,
        lease: &mut Lease,
        duration: Duration,
        now: Micros,
    ) -> Result<(), LeaseError> {
        let next =
            Lease { epoch: lease.epoch + 1, expires_at: later(now, duration), ..lease.clone() };
        match self.take_epoch(&next).await? {
            Step::Taken => {
                *lease = next;
                Ok(())
            }
            Step::Passed => self.look_up_own(lease, now).await,
        }
    }

    /// Ends a lease before it expires, so that others need not wait. A lease that was taken over is
    /// left alone.
    ///
    /// # Errors
    /// [`LeaseError`]; the lease expires by itself then.
    pub async fn release_lease(&self, lease: Lease) -> Result<(), LeaseError> {
        let released = Lease { epoch: lease.epoch + 1, expires_at: Micros(0), ..lease };
        self.take_epoch(&released).await.map(|_| ())
    }

    /// Puts a staging file in place of the object `name`: see `Lake::put_file`.
    ///
    /// # Errors
    /// [`LeaseError`]; without a lease that holds nothing is written.
    pub async fn replace_file(
        &self,
        lease: &Lease,
        now: Micros,
        name: &str,
        staged: &std::path::Path,
        parts: usize,
    ) -> Result<(), LeaseError> {
        lease.check(self, now)?;
        Ok(self.put_file(name, staged, parts).await?)
    }

    /// Deletes the object `name`. One that does not exist counts as deleted. In a directory the
    /// deletion is durable on return.
    ///
    /// # Errors
    /// [`LeaseError`]; without a lease that holds nothing is deleted.
    pub async fn delete(&self, lease: &Lease, now: Micros, name: &str) -> Result<(), LeaseError> {
        lease.check(self, now)?;
        Ok(self.remove(name).await?)
    }

    fn lease(&self, name: &str, holder: &str, epoch: u64, expires_at: Micros) -> Lease {
        let (lake, name) = (self.location.to_string(), name.to_owned());
        Lease { lake, name, holder: holder.to_owned(), epoch, expires_at }
    }

    /// Takes over what an earlier renewal, whose answer was lost, has made of the lease.
    async fn look_up_own(&self, lease: &mut Lease, now: Micros) -> Result<(), LeaseError> {
        let lost = LeaseError::Lost { name: lease.name.clone(), holder: lease.holder.clone() };
        let Some(latest) = self.latest_epoch(&lease.name).await? else { return Err(lost) };
        match self.holding(&lease.name, latest).await? {
            Some(holding)
                if holding.holder == lease.holder && now < Micros(holding.expires_at_us) =>
            {
                (lease.epoch, lease.expires_at) = (latest, Micros(holding.expires_at_us));
                Ok(())
            }
            _ => Err(lost),
        }
    }

    /// Creates the object of the lease's epoch, and makes sure that it is the highest.
    async fn take_epoch(&self, lease: &Lease) -> Result<Step, LeaseError> {
        let (name, epoch) = (lease.name.as_str(), lease.epoch);
        let object = ObjectName::Lease { name, epoch }.to_string();
        let holding = Holding { holder: lease.holder.clone(), expires_at_us: lease.expires_at.0 };
        let bytes = serde_json::to_vec(&holding)
            .map_err(|source| LeaseError::Malformed { object: object.clone(), source })?;
        let created = self.create(&object, bytes.into()).await;
        let unknown = match created {
            Ok(Creation::Created) => None,
            Ok(Creation::Exists) => Some(None),
            Ok(Creation::Unsupported) => {
                return Err(LeaseError::Unsupported { lake: self.location.to_string() });
            }
            Err(error) => Some(Some(error)),
        };
        if let Some(error) = unknown {
            match (self.holding(name, epoch).await?, error) {
                (Some(found), _) if found == holding => {}
                (_, Some(error)) => return Err(error.into()),
                (_, None) => return Ok(Step::Passed),
            }
        }
        if self.latest_epoch(name).await? != Some(epoch) {
            return Ok(Step::Passed);
        }
        self.remove_epochs_before(lease).await;
        Ok(Step::Taken)
    }

    /// Returns the highest epoch of a lease.
    async fn latest_epoch(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let listed = self.list(&format!("{}/{name}", names::LEASES)).await?;
        Ok(listed.iter().filter_map(|object| epoch_of(&object.name, name)).max())
    }

    async fn holding(&self, name: &str, epoch: u64) -> Result<Option<Holding>, LeaseError> {
        let object = ObjectName::Lease { name, epoch }.to_string();
        let Some(bytes) = self.get(&object).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|source| LeaseError::Malformed { object, source })
    }

    /// Deletes the objects of earlier epochs. What cannot be deleted stays, and does no harm.
    async fn remove_epochs_before(&self, lease: &Lease) {
        let folder = format!("{}/{}", names::LEASES, lease.name);
        for object in self.list(&folder).await.unwrap_or_default() {
            if epoch_of(&object.name, &lease.name).is_some_and(|epoch| epoch < lease.epoch) {
                let _ = self.remove(&object.name).await;
            }
        }
    }
}

/// Returns the epoch of an object of the lease `lease`.
fn epoch_of(object: &str, lease: &str) -> Option<u64> {
    match ObjectName::parse(object) {
        ObjectName::Lease { name, epoch } if name == lease => Some(epoch),
        _ => None,
    }
}

fn later(time: Micros, duration: Duration) -> Micros {
    Micros(time.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
}
