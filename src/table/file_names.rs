//! The file names that a lake tells apart, as sealed with a table.
//!
//! File systems of macOS and Windows, SMB shares and directories with `casefold` take two names that
//! differ in the case of letters for one file, and some do so with two spellings of one letter (`é` of
//! one character or of two). There the names of two partitions, `land=Germany` and `land=germany`, are
//! one directory, and the files of a roll in them would be one file. On such a lake paths are made of
//! characters that no file system folds ([`hive_path`](super::hive_path)), whatever else is in the roll.
//! A roll that is made again has to have the same names, so the kind is sealed with the table.

/// The file names that a lake tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileNames {
    /// Names that differ in a byte are different files: buckets, and most local file systems.
    #[default]
    Exact,
    /// Names that differ in the case or the spelling of letters may be one file.
    Folded,
}

impl FileNames {
    /// Returns true for names that may be one file although they differ.
    #[must_use]
    pub fn are_folded(self) -> bool {
        self == FileNames::Folded
    }
}
