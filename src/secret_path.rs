//! Paths of files that hold secrets, in error texts.

/// Returns whether a path that cannot be read may be shown. A path that does not exist may be the
/// secret itself, put in the place of its file's name.
pub(crate) fn may_be_shown(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    !matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}
