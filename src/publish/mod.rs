//! Finished rolls into the lake: sealed, put, and committed to their tables.
//!
//! * `publisher`: the steps of one roll after the other.
//! * `fence`: the right of a state directory to land as its node, in the lake that it knows.
//! * `lake_file`: what the state directory remembers of the lake.
//! * `recovery`: objects of a sealed roll that stand in the lake when it is made again.
//! * `supervisor`: everything behind the journal of `serve`; starts again from it after a failure.
//! * `promotion`: fields without a column that become columns; `promoted_columns`: those that did.
//! * `visibility`: landed rolls into the logs of their tables.
//! * `taking_apart`, `suspects`: rolls that cannot be made, so that one body never stops another.
//! * `sealed_settings`: the settings in a seal.
//! * `state_file`: small files of the state directory.
//! * `error`: errors, by what the caller must do.
//! * `pauses`: pauses between attempts.
//! * `pending_bodies`: the age of what has not landed.
//! * `work_list`, `concurrency`: many objects at a time, some of which fail.
//!
//! A roll is sealed before anything of it has its final name. A roll that was sealed and not
//! committed is made again from the journal, with the tables in the seal, under the same names; what
//! stands in the lake then is kept, whatever memory, threads and codec the new attempt has.

mod claimed_tables;
mod concurrency;
pub(crate) mod error;
pub(crate) mod fence;
mod folded_names;
pub(crate) mod lake_file;
pub(crate) mod pauses;
mod pending_bodies;
pub(crate) mod promoted_columns;
pub(crate) mod promotion;
pub(crate) mod publisher;
mod recovery;
pub(crate) mod sealed_settings;
mod state_file;
pub(crate) mod supervisor;
mod suspects;
pub(crate) mod taking_apart;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod visibility;
mod work_list;

pub(crate) use crate::journal::Seal;
