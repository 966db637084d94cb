//! The form of Parquet files: what readers have to know to read them.

use super::Compression;

/// The writer, in the form of the format's text. Java readers that cannot parse it take the writer for one whose
/// `DELTA_BYTE_ARRAY` pages depend on one another, and refuse such files (PARQUET-246).
pub(super) const CREATED_BY: &str =
    concat!("sessionlake version ", env!("CARGO_PKG_VERSION"), " (build n/a)");

/// Codec, encodings and names of the files of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileForm {
    /// Codec of the pages.
    pub compression: Compression,
    /// Encodings that readers take.
    pub encodings: Encodings,
    /// Name of the middle group of maps.
    pub maps: MapGroup,
}

impl From<Compression> for FileForm {
    fn from(compression: Compression) -> FileForm {
        FileForm { compression, encodings: Encodings::Delta, maps: MapGroup::KeyValue }
    }
}

/// The encodings that columns may have besides dictionaries: which one a column has its values say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encodings {
    /// By differences as well: `DELTA_BINARY_PACKED`, `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`.
    #[default]
    Delta,
    /// Those, and numbers byte by byte: `BYTE_STREAM_SPLIT`, of integers since version 2.11 of the format (2024).
    Split,
    /// `PLAIN` and `RLE_DICTIONARY`, which every reader knows.
    Plain,
}

impl Encodings {
    /// Parses `delta`, `split` or `plain`.
    ///
    /// # Errors
    /// The reason as a half sentence that follows the value: "is none of …".
    pub fn parse(text: &str) -> Result<Encodings, String> {
        match text {
            "delta" => Ok(Encodings::Delta),
            "split" => Ok(Encodings::Split),
            "plain" => Ok(Encodings::Plain),
            _ => Err("is none of delta, split and plain".to_owned()),
        }
    }
}

/// The name of the group between a map and its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapGroup {
    /// `entries`, as Arrow names it. Readers take any name; files of version 0.1.0 have this one.
    Entries,
    /// `key_value`, as the format's text says.
    KeyValue,
}
