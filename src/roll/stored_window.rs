//! The windows in which a stored body is decoded: no more of it is held at a time.

use anyhow::Context as _;
use bytes::Bytes;

use crate::decode::{Decoder, Progress, ReadLimit};
use crate::record::{Body, StoredText};

/// Bytes that are read at a time, beyond the longest line.
const READ_BYTES: usize = 4 << 20;

/// Decodes on from `progress` until `limit` is reached (false) or the body has ended (true).
///
/// # Errors
/// The body is stored, and cannot be read.
pub(super) fn decode(
    decoder: &mut Decoder,
    body: &Body,
    progress: &mut Progress,
    limit: ReadLimit,
) -> anyhow::Result<bool> {
    let Some(text) = &body.stored else { return Ok(decoder.read(body, progress, limit)) };
    loop {
        if progress.is_starved() || progress.window().is_empty() {
            let rest = progress.slide();
            let window = next(&**text, progress.window_start(), &rest, decoder.window_bytes());
            let window = window.with_context(|| format!("cannot read body {}", body.seq))?;
            progress.set_window(window);
        }
        let window = Body { bytes: progress.window().clone(), ..body.clone() };
        let ended = decoder.read(&window, progress, limit);
        if ended || !progress.is_starved() {
            return Ok(ended);
        }
    }
}

/// Reads the window of `text` at `start`, which begins with `rest` and is longer than that, and has at
/// least `least_bytes` unless the text ends before.
fn next(
    text: &dyn StoredText,
    start: u64,
    rest: &Bytes,
    least_bytes: usize,
) -> std::io::Result<Bytes> {
    let left = usize::try_from(text.text_bytes().saturating_sub(start)).unwrap_or(usize::MAX);
    let bytes = left.min(least_bytes.max(rest.len()).saturating_add(READ_BYTES));
    let mut window = vec![0; bytes];
    let (begin, more) = window.split_at_mut(rest.len().min(bytes));
    begin.copy_from_slice(rest.get(..begin.len()).unwrap_or_default());
    if text.read_at(more, start + begin.len() as u64)? < more.len() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(window.into())
}
