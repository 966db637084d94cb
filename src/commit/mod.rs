//! Commits of rolls to tables.
//!
//! A commit is an outcome and not an error: that another attempt was first, or that the store did not
//! answer, is part of its course, and the caller decides by it ([`Outcome`]). Any answer but success
//! leaves open whether the commit happened, so every attempt looks the roll up, and a roll that is
//! found is never committed again. Nothing is deleted here.
//!
//! A committer works from a [`Receipt`] alone, so that a roll can be committed by a process that no
//! longer has its manifest: names, sizes and partition values of the files are in it, and their statistics
//! if the format of the table has them.
//!
//! * `plain`: plain files, whose commit is the receipt itself.
//! * `known_table`: the id of a table with a log, which is remembered in the lake. `visible`, `log_error`:
//!   outcomes of commits to such tables.
//! * `delta`: Delta tables, whose log gets landed rolls afterwards, from their receipts.
//! * `iceberg`: Iceberg tables, which get them by snapshots in a REST catalog, from receipts too.
//!
//! Every roll is committed by its receipt, with [`Committer::Plain`]; a table with a log or a catalog gets
//! it later.

pub(crate) mod delta;
pub(crate) mod iceberg;
mod known_table;
mod log_error;
mod plain;
#[cfg(test)]
mod tests;
mod visible;

pub use self::iceberg::{
    Credentials as CatalogCredentials, Keys as AwsKeys, OAuth2 as CatalogClient,
    Options as CatalogOptions,
};
pub(crate) use self::log_error::LogError;
pub(crate) use self::visible::{TableState, Visible};
use crate::lake::{Lake, Receipt, StoreError};
use crate::record::{BodiesDigest, Roll, SeqRange};

/// The identity of a roll: what a table is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RollId<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Number of the roll, which is never used again under this name.
    pub roll: Roll,
    /// Its bodies.
    pub range: SeqRange,
    /// Digest of its bodies, if it is known.
    pub bodies: Option<BodiesDigest>,
}

/// The committers, by table format.
#[derive(Clone, Copy, Debug)]
pub enum Committer {
    /// Plain files.
    Plain,
}

/// The outcome of a commit, or of looking for one.
#[derive(Debug)]
pub enum Outcome {
    /// This attempt committed the roll.
    Committed,
    /// The roll is committed already, with this receipt, by an earlier attempt or one whose answer
    /// was lost. It is durable.
    Already(Box<Receipt>),
    /// The table has something else under the identity of the roll. Trying again does not help.
    Conflict(String),
    /// The table cannot take the roll. Trying again does not help.
    Refused(String),
    /// The store failed. Whether the roll is committed is unknown until it is looked up.
    Away(StoreError),
}

impl Outcome {
    /// Returns the reason of the conflict of `roll`, which nobody has tried to commit yet, with the
    /// receipt that is there.
    #[must_use]
    pub fn taken(roll: RollId<'_>, receipt: &Receipt) -> String {
        plain::conflict(roll, receipt)
    }

    /// Returns the reason of the conflict if `receipt` is of other bodies than `roll`, with the same
    /// numbers.
    #[must_use]
    pub fn other_bodies(roll: RollId<'_>, receipt: &Receipt) -> Option<String> {
        plain::other_bodies(roll, receipt)
    }
}

impl Committer {
    /// Looks the roll up in the table. Returns `None` when the table does not have it; never
    /// [`Outcome::Committed`].
    pub async fn look_up(self, lake: &Lake, roll: RollId<'_>) -> Option<Outcome> {
        match self {
            Committer::Plain => plain::look_up(lake, roll).await,
        }
    }

    /// Commits the roll of `receipt`, whose files are all in the lake, unless the table has the roll.
    ///
    /// Dropping the future leaves the outcome unknown, as [`Outcome::Away`] does.
    pub async fn commit(self, lake: &Lake, receipt: &Receipt) -> Outcome {
        match self {
            Committer::Plain => plain::commit(lake, receipt).await,
        }
    }
}
