//! The codec of Parquet pages.

/// The codec of Parquet pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard with a level from 1 to 22.
    Zstd(i32),
    /// Snappy.
    Snappy,
    /// LZ4 without a frame (`LZ4_RAW`).
    Lz4,
    /// No compression.
    None,
}

impl Compression {
    /// Parses `zstd:LEVEL`, `zstd` (level 1), `snappy`, `lz4` or `none`.
    ///
    /// # Errors
    /// The reason as a half sentence that follows the value: "is none of …".
    pub fn parse(text: &str) -> Result<Compression, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("zstd", "") => Ok(Compression::Zstd(1)),
            ("zstd", level) => match level.parse() {
                Ok(level) if (1..=22).contains(&level) => Ok(Compression::Zstd(level)),
                _ => Err("has no level from 1 to 22 after zstd:".to_owned()),
            },
            ("snappy", "") => Ok(Compression::Snappy),
            ("lz4", "") => Ok(Compression::Lz4),
            ("none", "") => Ok(Compression::None),
            _ => Err("is none of zstd:LEVEL, snappy, lz4 and none".to_owned()),
        }
    }
}
