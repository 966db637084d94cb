//! The content that identifies a file: the hash of what it is decompressed.

use anyhow::{Context as _, bail};
use crossbeam_channel::bounded;
use indicatif::ProgressBar;

use super::chunker::{BLANK, ChunkRule, Chunker};
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
    let open = || {
        let hidden = ProgressBar::hidden();
        Chunker::open(input, Some(String::new()), ChunkRule::Documents, &hidden)
    };
    let mut file = open()?;
    if let Some(format) = file.foreign {
        bail!("{}: it is {format}", file.name);
    }
    if let Some(blank) = file.read_uncut().with_context(name)? {
        return Ok(Some(Content { hash: file.content_read(), bytes: file.read_bytes, blank }));
    }
    let content = cut(open()?).with_context(name)?;
    Ok(Some(content))
}

/// Cuts `file` into chunks, to its end, and returns its content.
fn cut(mut file: Chunker) -> anyhow::Result<Content> {
    let (to_spare, spare) = bounded(1);
    let mut blank = true;
    while let Some((buffer, len)) = file.next_chunk(CHUNK_BYTES, &spare)? {
        let read = buffer.get(..len).unwrap_or_default();
        blank = blank && read.iter().all(|byte| BLANK.contains(byte));
        // A long line's buffer is not kept: there may never be another.
        if buffer.len() <= CHUNK_BYTES * 2 {
            let _ = to_spare.try_send(buffer);
        }
    }
    Ok(Content { hash: file.content_read(), bytes: file.read_bytes, blank })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file with this text both ways.
    fn both(text: &[u8]) -> (Option<Content>, Content) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, text).unwrap();
        let input = Input::File(path);
        let hidden = ProgressBar::hidden();
        let open =
            || Chunker::open(&input, Some(String::new()), ChunkRule::Documents, &hidden).unwrap();
        let mut file = open();
        let blank = file.read_uncut().unwrap();
        let content = |blank| Content { hash: file.content_read(), bytes: file.read_bytes, blank };
        (blank.map(content), cut(open()).unwrap())
    }

    #[test]
    fn a_file_that_is_not_cut_has_the_same_content() {
        let long = "x".repeat(700_000);
        for text in [
            "",
            "\u{feff} \r\n\t\n",
            "{}",
            "{\"a\":1}\n{\"a\":2}",
            &format!("{{\"a\":\"{long}\"}}\n{{}}\n"),
            &" \n".repeat(400_000),
            &format!("{}{{}}", "\n".repeat(600_000)),
            &"{\"a\":1}".repeat(100_000),
            "[1]\n{}\n",
        ] {
            let (uncut, cut) = both(text.as_bytes());
            // Of a long blank beginning nothing says what the file is.
            let is_known = !text.starts_with(" \n \n") && !text.starts_with("\n\n");
            assert_eq!(uncut.is_some(), is_known, "{} bytes", text.len());
            assert!(uncut.is_none_or(|uncut| uncut == cut), "{} bytes", text.len());
        }
        let (uncut, cut) = both(b"[{},\n{}]");
        assert_eq!((uncut, cut.bytes), (None, 8), "an array");
    }
}
