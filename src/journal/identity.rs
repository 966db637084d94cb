//! The random parts of a journal: its node's name, its seed and its segments' salts.

use std::path::Path;

use super::JournalError;

/// Returns a random number from the operating system, for the journal in `dir`.
pub(crate) fn random(dir: &Path) -> Result<u64, JournalError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| JournalError::Io {
        what: "get random bytes for",
        path: dir.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Makes the name of a new node: `[prefix-]` and eight random characters of base 32.
pub(crate) fn new_node(prefix: &str, dir: &Path) -> Result<String, JournalError> {
    let mut bits = random(dir)?;
    let mut node = String::with_capacity(prefix.len() + 9);
    if !prefix.is_empty() {
        node.push_str(prefix);
        node.push('-');
    }
    for _ in 0..8 {
        let digit = (bits & 31) as u8;
        node.push(char::from(if digit < 26 { b'a' + digit } else { b'2' + digit - 26 }));
        bits >>= 5;
    }
    Ok(node)
}
