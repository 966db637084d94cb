//! Fields that no column has: counted in `_extra`, by pointer.
//!
//! ```text
//!  rows of a part ─▶ tally ─▶ tally of the roll ─▶ counts in the receipt ─▶ sum over receipts
//!                    │ entries, pattern, types, mask
//! ```
//!
//! # Promises
//! - Rows without `_extra` cost a look at a bitmap. Nothing is parsed twice but `_extra` itself.
//! - A row counts once for a field, however many values it has there. A null counts as missing.
//! - What is counted is what the privacy rules left of `_extra`.
//! - A tally is bounded ([`MOST_TALLIED`]), and the counts in a receipt are ([`MOST_COUNTED`]), whatever
//!   documents bring. Past the bounds the fields of the fewest rows give way, and their values are counted
//!   together ([`Counts::others`]): a count is then that of some rows, never of more than there were.
//! - Keys that look like data (an id, an address, a number, a text) are no names of fields: they are one
//!   field `{key}` of their parent, and so are many keys of one row each below one parent.
//! - Nothing of a value is kept but its type and its mask ([`mask`](self)): `ab-12` is `aa-00`.
//!
//! # Patterns
//! A pattern is a JSON Pointer whose list indexes are `*`: `/userActions/*/newField`. A key of a map is
//! `{key}`.
//!
//! * `entries`: the members of `_extra`, without a parser.
//! * `pattern`: pointers as patterns, held against a schema.
//! * `types`: the types that values had, and the column that would take them.
//! * `mask`: examples.
//! * `masked_line`: lines that are no rows, for people.
//! * `tally`: counts of rows.
//! * `counts`: counts in a receipt, and their sums.

mod counts;
mod entries;
mod mask;
mod masked_line;
mod pattern;
mod tally;
#[cfg(test)]
mod tests;
mod types;

pub use counts::{Counts, FieldCounts, Sum};
pub(crate) use masked_line::masked_line;
pub use pattern::Fit;
pub(crate) use tally::Tally;
pub use types::Types;

/// Most fields of a tally between two times that it is cut.
const MOST_TALLIED: usize = 2_048;
/// Most fields in the counts of a table in a receipt.
pub const MOST_COUNTED: usize = 200;
/// Most examples of a field.
const MOST_EXAMPLES: usize = 2;
