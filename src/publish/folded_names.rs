//! Two names of a roll that the lake takes for one file.
//!
//! Names of a roll are made for the file names that its lake tells apart, as they were when it was
//! sealed. A roll that an earlier version sealed, or that was sealed before the lake was moved to another
//! file system, may have names that are one there. Its files are not put then: the second would not
//! land, or be taken for one that stands.

use std::collections::HashMap;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::error::PublishError;
use crate::lake::Lake;
use crate::roll::manifest::Manifest;

/// Checks that the lake does not take two names of the roll for one file.
///
/// # Errors
/// [`PublishError::OneName`]; the lake cannot be written, which only a lake on disk is tried for.
pub(super) fn check(lake: &Lake, manifest: &Manifest) -> Result<(), PublishError> {
    if !lake.file_names()?.are_folded() {
        return Ok(());
    }
    let uploads = manifest.uploads();
    match two_of_one_name(uploads.iter().map(|upload| upload.name.as_str())) {
        Some((name, other)) => {
            Err(PublishError::OneName { name: name.to_owned(), other: other.to_owned() })
        }
        None => Ok(()),
    }
}

/// Returns two names that a file system may take for one.
fn two_of_one_name<'a>(names: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen = HashMap::new();
    for name in names {
        if let Some(other) = seen.insert(folded(name), name) {
            return Some((other, name));
        }
    }
    None
}

/// Returns a name with all that any file system folds: cases and spellings of letters, dots at the end
/// of a part.
fn folded(name: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfd();
    // Some letters have no other case of their own: the capitals of `ß` are `SS`.
    let name = decomposed.normalize(name).to_uppercase().to_lowercase();
    let name = decomposed.normalize(&name);
    let parts: Vec<&str> = name.split('/').map(|part| part.trim_end_matches('.')).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_file_system_folds_are_found() {
        for (one, other) in [
            ("land=Germany/n-1", "land=germany/n-1"),
            ("land=Stra\u{df}e/n-1", "land=STRASSE/n-1"),
            ("land=\u{c9}cosse/n-1", "land=e\u{301}cosse/n-1"),
            ("land=a./n-1", "land=a/n-1"),
        ] {
            assert_eq!(two_of_one_name(["x", one, other].into_iter()), Some((one, other)));
        }
        let apart = ["land=Germany/n-1", "land=%47ermany/n-1", "land=German/n-1", "land=Ö/n-1"];
        assert_eq!(two_of_one_name(apart.into_iter()), None);
    }
}
