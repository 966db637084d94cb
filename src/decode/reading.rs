//! What is known of a record while it is read.

use std::ops::Range;

use super::extra::Path;

/// A key of a record, as it was found.
pub(super) enum Key {
    /// The number of the name.
    Known(u16),
    /// The range of an unknown name in the body, without quotes and without escapes.
    Plain(Range<usize>),
    /// An unknown name with escapes, decoded in [`super::parser::Scratch::key`].
    Escaped,
}

/// A record that is being read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'r> {
    pub(super) row: usize,
    /// The path of the record.
    pub(super) path: &'r Path<'r>,
    /// The first entry of [`super::parser::Scratch::aliased`] that is of this record.
    pub(super) first_aliased: usize,
}
