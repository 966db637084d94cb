//! Finished rolls into the lake: sealed, put, accounted for by a receipt, and committed.
//!
//! * [`publisher`]: one roll after the other: seal, upload, receipt, committed.
//! * [`recovery`]: a sealed roll that is made again, held against what the lake has of it.
//! * [`supervisor`]: everything behind the journal of `serve`; begins anew from it after a failure.
//!
//! A roll is sealed before anything of it has its final name. A roll that was sealed and not
//! committed is made again from the journal, with the settings in the seal, under the same names.

pub(crate) mod publisher;
pub(crate) mod recovery;
pub(crate) mod supervisor;
#[cfg(test)]
mod tests;
