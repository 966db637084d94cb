//! The revision of the rules by which documents become rows, and values become paths.
//!
//! A roll that was sealed by an earlier build may have put some of its files already, so it is made
//! again by the rules of that build: other rules would give a row another partition, and it would be
//! in the lake twice. The rules that decide a row's partition, or that make a row of a line or no
//! row of it, therefore have a revision, which is sealed with the table ([`super::serialized`]).
//! Everything that is not sealed yet takes the latest one.

/// Revision of the rules by which documents become rows, and values become paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revision {
    /// Version 0.1.0, whose seals name no revision: a time is any that the calendar of `chrono` has,
    /// and paths have the characters escaped that Hive escapes.
    First,
    /// A time is of the years 1 to 9999; paths have the characters escaped that DuckDB escapes; of a
    /// line of an index's dump, `_source` is the document. A byte order mark may begin any line, not
    /// only the first. The middle group of maps is named `key_value` in files.
    Second,
    /// Among lines, documents may stand in a row without line feeds, and extend over several lines. Of
    /// an array's elements, too, `_source` may be the document.
    Third,
    /// A line or document longer than the limit of the table ([`super::Spec::line_limit_bytes`]) is no
    /// row. The rest of a body that is made of rejects is not read. `truncate` takes an address that holds
    /// one of IPv4 (6to4, Teredo, NAT64) for that one.
    /// A body opens a bounded number of partitions, and rows of further ones are in the overflow partition;
    /// before, the first 10,000 of a roll were opened, and the rest was with the nulls.
    #[default]
    Fourth,
}

impl Revision {
    /// The revision of everything that is not sealed yet.
    pub const LATEST: Revision = Revision::Fourth;

    /// Returns the number in seals; `None` for the first revision, which seals do not name.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        match self {
            Revision::First => None,
            Revision::Second => Some(2),
            Revision::Third => Some(3),
            Revision::Fourth => Some(4),
        }
    }

    /// Returns the revision with this number in seals.
    ///
    /// # Errors
    /// The number is of a later version.
    pub fn parse(number: Option<u32>) -> Result<Revision, String> {
        match number {
            None => Ok(Revision::First),
            Some(2) => Ok(Revision::Second),
            Some(3) => Ok(Revision::Third),
            Some(4) => Ok(Revision::Fourth),
            Some(number) => Err(format!(
                "its rows are made by revision {number} of the rules, which is of a later version: \
                 start that version"
            )),
        }
    }
}
