//! What a document takes as columns beyond its own bytes.
//!
//! An element of a list of records pads every column below it: `{}` is three bytes of JSON and
//! hundreds of bytes of columns. A field without a column is an entry of `_extra` with its whole
//! pointer. A body of either, which packs to next to nothing, would be more than any memory, and
//! being acknowledged would be so again at every start. So both are counted, and a document that is
//! almost nothing else is a reject.
//!
//! What counts depends on the document alone: a roll that is made again decides alike.

use crate::schema::Kind;

use super::parse::{Parsed, Parser};
use super::reject::What;

/// What every document may take: some 25,000 user actions, whatever is in them. One that has more
/// may take as much again as it has bytes, which real actions stay far below.
const FREE_BYTES: usize = 8 << 20;

/// What an entry of `_extra` takes besides its pointer (twice: while the row is read, and in it)
/// and its value, which are bytes of the document.
pub(super) const ENTRY_BYTES: usize = 64;

/// What a key of a map takes besides its bytes, most of it while repeated ones are looked for.
const KEY_BYTES: usize = 64;

/// What an element of this kind takes, be it null: its values or offsets, and a bit for each column
/// that says whether it is there.
pub(super) fn element_bytes(kind: &Kind) -> usize {
    let (bytes, columns) = sizes(kind);
    bytes + columns.div_ceil(8)
}

/// What an entry of a map with values of this kind takes.
pub(super) fn map_entry_bytes(value: &Kind) -> usize {
    KEY_BYTES + element_bytes(value)
}

fn sizes(kind: &Kind) -> (usize, usize) {
    match kind {
        Kind::String | Kind::List(_) | Kind::Map(_) => (4, 1),
        Kind::Boolean => (1, 1),
        Kind::Long | Kind::Double | Kind::TimestampMillis => (8, 1),
        Kind::Struct(fields) => {
            let all = fields.iter().map(|field| sizes(&field.kind));
            all.fold((0, 1), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        }
    }
}

impl Parser<'_> {
    /// Counts `bytes` for what stands at `at`.
    #[inline]
    pub(super) fn weigh(&mut self, bytes: usize, at: usize) -> Parsed<()> {
        self.weight += bytes;
        if self.weight > FREE_BYTES { self.weigh_heavy(at) } else { Ok(()) }
    }

    /// Counts what `_extra` has, after an entry for what stands at `at`: now and then.
    #[inline]
    pub(super) fn weigh_extra(&mut self, at: usize) -> Parsed<()> {
        if self.scratch.extra.len() & 255 == 0 { self.weigh_heavy(at) } else { Ok(()) }
    }

    #[cold]
    fn weigh_heavy(&mut self, at: usize) -> Parsed<()> {
        let most = FREE_BYTES + at.saturating_sub(self.start);
        if self.column_bytes() > most { self.fail(What::Heavy, at) } else { Ok(()) }
    }

    /// What the document has come to so far.
    #[inline]
    pub(super) fn column_bytes(&self) -> usize {
        self.weight + self.scratch.extra.weight()
    }
}
