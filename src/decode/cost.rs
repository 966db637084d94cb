//! The cost of a document: the bytes of columns that it takes beyond its own, and their limit.
//!
//! An element of a list of records pads every column below it: `{}` is three bytes of JSON and
//! hundreds of bytes of columns. A field without a column is an entry of `_extra` with its whole
//! pointer. A body of either, which compresses to next to nothing, would exceed any memory and,
//! being acknowledged, would do so again at every start. So both are counted, and a document that
//! amplifies its bytes beyond the limit is a reject.
//!
//! The cost depends on the document alone: a roll that is made again decides alike.

/// The bytes of columns that every document may take: some 25,000 user actions, whatever is in
/// them. A larger document may take as much again as it has bytes, which real actions stay far
/// below.
pub(super) const ALLOWANCE_BYTES: usize = 8 << 20;

/// The cost of an entry of `_extra` besides its pointer (twice: while the row is read, and in it)
/// and its value, which are bytes of the document.
pub(super) const EXTRA_ENTRY_BYTES: usize = 64;

/// The cost of a map's key besides its bytes, most of it while repeated keys are looked for.
pub(super) const MAP_KEY_BYTES: usize = 64;

/// Returns the amplification limit: the cost that a document may have once `read` bytes of it have
/// been read.
pub(super) fn limit(read: usize) -> usize {
    ALLOWANCE_BYTES + read
}
