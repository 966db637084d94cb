//! The content that identifies a file: the hash of what it is decompressed.

use std::io::Read as _;

use anyhow::Context as _;
use xxhash_rust::xxh3::Xxh3;

use super::options::Input;
use super::reader;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// The decompressed content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Its hash.
    pub(super) hash: String,
    /// True when the file holds nothing but white space and byte order marks. All such files are
    /// alike, so that none of them identifies another.
    pub(super) blank: bool,
}

/// Reads `input` whole and returns its decompressed content. Returns `None` for what can be read only
/// once: standard input, pipes, devices.
///
/// # Errors
/// The file cannot be read, or not be decompressed.
pub(super) fn of(input: &Input) -> anyhow::Result<Option<Content>> {
    let Input::File(path) = input else { return Ok(None) };
    let name = || format!("cannot read {}", path.display());
    // Not by opening it: that waits for a pipe's other end, and closing it again ends that.
    let about = std::fs::metadata(path).with_context(name)?;
    if !about.is_file() && !about.is_dir() {
        return Ok(None);
    }
    let mut file = reader::decompress(Box::new(reader::open(path)?)).with_context(name)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut blank = true;
    loop {
        match file.read(&mut buffer).with_context(name)? {
            0 => return Ok(Some(Content { hash: hex(&hasher), blank })),
            n => {
                let read = buffer.get(..n).unwrap_or_default();
                blank = blank && read.iter().all(|byte| BLANK.contains(byte));
                hasher.update(read);
            }
        }
    }
}

/// The bytes of white space and of the UTF-8 byte order mark.
const BLANK: &[u8] = b" \t\r\n\xef\xbb\xbf";

/// Returns the hash as manifests spell it: 32 hexadecimal digits.
pub(super) fn hex(hasher: &Xxh3) -> String {
    format!("{:032x}", hasher.digest128())
}
