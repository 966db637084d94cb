//! Comparison of paths.

use std::path::{Component, Path, PathBuf};

/// Returns true if `inner` is `outer` or lies in it, by name and through links. Neither need exist.
pub(super) fn is_within(inner: &Path, outer: &Path) -> bool {
    real(inner).starts_with(real(outer))
}

/// Returns the path without links, `.` and `..`, as far as it exists; the rest by name.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                real.pop();
            }
            other => {
                real.push(other);
                if let Ok(resolved) = std::fs::canonicalize(&real) {
                    real = resolved;
                }
            }
        }
    }
    real
}
