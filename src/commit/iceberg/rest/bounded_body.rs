//! Bodies of answers, as far as they are read.

use reqwest::Response;

/// Reads at most `most` bytes of an answer.
pub(super) async fn beginning(answer: &mut Response, most: usize) -> reqwest::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < most
        && let Some(chunk) = answer.chunk().await?
    {
        bytes.extend_from_slice(chunk.get(..most - bytes.len()).unwrap_or(&chunk));
    }
    Ok(bytes)
}
