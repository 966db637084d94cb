//! Doubles on the way in: rows that equal one that has landed, or will have when they would, are left
//! out and counted.
//!
//! # Promises
//! 1. With `dedup` on, of equal rows of a table that a node receives within the window one lands, also
//!    over rolls, restarts and crashes. The others are counted as *doubled* in the receipt of their roll:
//!    `lines = rows + rejects + doubled`.
//! 2. A row is left out only if the one that it doubles has landed, or lands in the same roll. Whatever
//!    goes wrong with the index, a double lands; a row is never lost.
//! 3. A roll that is made again leaves out the same rows.
//!
//! # What is equal
//! A document with `tenantId`, `userSessionId` and `startTime` is compared, as the row that it became
//! ([`Fingerprints`]): after the privacy rules, without `_ingest_time` and `_ingest_id`, by names and
//! values. So the order of keys and white space are no difference, and what is not in the lake is none
//! either. All columns are compared, `_extra` among them: of a session that was sent again with another
//! content both rows stay. The key has no part of its own in the comparison, since its columns are among
//! those compared; a document without it is no session, and is never a double. Text in `_extra` and lists
//! are compared as they were written.
//!
//! The columns, and not the bytes of the document: bytes would have to be put in a canonical form to
//! be compared, and would be those before the privacy rules. Rows are hashed on the decode threads, to
//! 128 bits, with a key that is random and of this index alone, by a function that is made for that
//! (SipHash-1-3; of hashes without such a promise, collisions for any key are published): from outside
//! nobody makes two rows with one fingerprint, and a fingerprint says no more than the row in the lake does.
//!
//! # Where it is decided
//! In the batcher, which has the rows in the order of their bodies, and only while a roll is filled for
//! the first time. The rows that were left out are in the roll's seal ([`LeftOut`]), by body and number;
//! of a double within the roll, with the body of its first. A roll that is made again reads them there and
//! asks no index, so that an index that is lost, older, turned off or of another version changes
//! nothing. A row whose first was in the same roll, in a body that is gone or set aside since, lands.
//!
//! # The index
//! ```text
//! <state>/dedup.redb   rows:  fingerprint u128 → (body u64, received at i64 µs) of the first
//!                      rolls: first body u64 → (rows, latest receipt i64 µs)
//!                      about: node, key, last body, version
//! ```
//! redb keeps it: one file, transactions that are whole after a crash, a cache of a size that is given,
//! no threads and no dependencies. Rows of the open roll and of those that wait for the publisher are
//! held in memory; a roll ends when they are many. It ends between bodies, and a body can have millions: of
//! those past a limit doubles land.
//!
//! Before a roll is sealed, its rows are stored in one transaction, with one sync. A roll is sealed when
//! all rolls before it have landed, so what is stored of earlier rolls has landed by then:
//!
//! | the process dies | afterwards |
//! |---|---|
//! | before the rows are stored | the bodies are decoded anew |
//! | before the seal | as above: entries of bodies in no seal are deleted when new rolls begin |
//! | before the roll has landed | the roll is made again by its seal; its entries are right |
//! | later | nothing is left to do |
//!
//! Before any of that, a start and each engine after it ask the lake for the receipt of the last roll that
//! has landed. A lake without it is not the one that has the rows, or is an older copy, and all entries are
//! deleted.
//!
//! Entries whose rows will not land, since a sealed roll lost bodies or sets them aside, are deleted
//! before the roll is put. An index from which entries cannot be deleted is deleted as a whole; if that
//! fails, nothing lands.
//!
//! The window is counted from the receipt of the first, in times of the journal. Rows of rolls that have
//! left it are deleted when they are a quarter of the index, and the oldest ones when it has more rows
//! than it may.
//!
//! # Failure modes
//! * The index cannot be read or written: rows count as new, doubles land, and the log and a metric
//!   say so.
//! * The index is lost, damaged, of another node or of a later version: a new one is begun, and the log
//!   says from when on doubles are known. The damaged file is kept as `dedup.redb.damaged`.
//! * Several nodes: each knows what it has landed itself. Doubles over nodes stay.
//! * A clock that is set back: rows count as received with their first.

mod fingerprints;
mod index;
mod index_file;
mod left_out;
mod open_rolls;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use fingerprints::{Fingerprint, Fingerprints, KEY, check_table};
pub(crate) use index::{Candidate, Index, IndexOptions, remove};
pub(crate) use left_out::{LeftOut, Redone};
