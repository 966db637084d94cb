//! The inputs of a command, each content once.

use std::collections::HashSet;

use super::options::Input;
use super::{content_hash, report};

/// A file that was given, and the hash of its content.
pub(super) struct Given {
    pub(super) input: Input,
    pub(super) name: String,
    /// None for what can be read only once.
    pub(super) content: Option<String>,
    /// Length of its content, where that is known.
    pub(super) bytes: Option<u64>,
    /// True when the file has no line but blank ones.
    pub(super) empty: bool,
}

/// The inputs of a command.
pub(super) struct Inputs {
    /// Each content once.
    pub(super) given: Vec<Given>,
    /// Names of inputs that repeat another one.
    pub(super) repeated: Vec<String>,
    /// Names of files that cannot be read, each with the reason.
    pub(super) refused: Vec<(String, String)>,
}

/// Reads every file whole, as it is read when it lands, and hashes it.
pub(super) fn identify(inputs: &[Input]) -> Inputs {
    let (mut given, mut repeated, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for input in inputs {
        let name = report::name(input);
        let content = match content_hash::of(input) {
            Ok(content) => content,
            Err(error) => {
                refused.push((name, format!("{error:#}")));
                continue;
            }
        };
        let empty = content.as_ref().is_some_and(|content| content.blank);
        let bytes = content.as_ref().map(|content| content.bytes);
        let content = content.map(|content| content.hash);
        let repeats = content.as_ref().is_some_and(|content| !seen.insert(content.clone()));
        if repeats && !empty {
            repeated.push(format!("{name} (the same as another one here)"));
            continue;
        }
        given.push(Given { input: input.clone(), name, content, bytes, empty });
    }
    Inputs { given, repeated, refused }
}
