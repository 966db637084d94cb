//! The content that identifies a file: the hash of what it is decompressed.

use anyhow::{Context as _, bail};
use crossbeam_channel::bounded;
use indicatif::ProgressBar;

use super::chunker::{ChunkRule, Chunker};
use super::manifest::CHUNK_BYTES;
use super::options::Input;

/// The decompressed content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Its hash.
    pub(super) hash: String,
    /// Its length.
    pub(super) bytes: u64,
    /// True when the file holds nothing but white space and byte order marks. All such files are
    /// alike, so that none of them identifies another.
    pub(super) blank: bool,
}

/// Reads `input` whole, as it is read when it lands, and returns its content. Returns `None` for what
/// can be read only once: standard input, pipes, devices.
///
/// # Errors
/// The file cannot be read, decompressed or cut into chunks, or is of a format that is not taken. The
/// error names it.
pub(super) fn of(input: &Input) -> anyhow::Result<Option<Content>> {
    let Input::File(path) = input else { return Ok(None) };
    let name = || format!("cannot read {}", path.display());
    // Not by opening it: that waits for a pipe's other end, and closing it again ends that.
    let about = std::fs::metadata(path).with_context(name)?;
    if !about.is_file() && !about.is_dir() {
        return Ok(None);
    }
    let hidden = ProgressBar::hidden();
    let mut file = Chunker::open(input, Some(String::new()), ChunkRule::Documents, &hidden)?;
    if let Some(format) = file.foreign {
        bail!("{}: it is {format}", file.name);
    }
    let (to_spare, spare) = bounded(1);
    let mut blank = true;
    while let Some((buffer, len)) = file.next_chunk(CHUNK_BYTES, &spare).with_context(name)? {
        let read = buffer.get(..len).unwrap_or_default();
        blank = blank && read.iter().all(|byte| BLANK.contains(byte));
        // A long line's buffer is not kept: there may never be another.
        if buffer.len() <= CHUNK_BYTES * 2 {
            let _ = to_spare.try_send(buffer);
        }
    }
    Ok(Some(Content { hash: file.content_read(), bytes: file.read_bytes, blank }))
}

/// The bytes of white space and of the UTF-8 byte order mark.
const BLANK: &[u8] = b" \t\r\n\xef\xbb\xbf";
