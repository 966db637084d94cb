//! Hive paths of partitions: written from the values of a template's segments, and read back.
//!
//! ```text
//!  date=2026-11-23/tenant=a%2Fb/region=__HIVE_DEFAULT_PARTITION__
//! ```
//! A null or empty value is `__HIVE_DEFAULT_PARTITION__`. Every character of ASCII becomes `%XX` but
//! letters, digits, `-`, `.`, `_` and `~`: as DuckDB writes it, whose reader finds no object with a
//! bare `&` in its key. Other characters stay as they are, control characters and what XML does not
//! take left out, since Spark and Hive read each `%XX` as one character. A value whose escaped form
//! would not fit a file name is cut and ends in `~` and a hash of the whole value, so that two long
//! values stay two partitions.
//!
//! In a lake with [`FileNames::Folded`], capital letters, characters beyond ASCII and a `.` at the end are
//! escaped as well, by small digits: `land=%47ermany`, `land=%c3%96sterreich`. Two values have no names
//! then that a file system might take for one, a file system that stores names in small letters lists
//! the same ones, and DuckDB reads the values as they were; Spark and Hive read those of ASCII.
//!
//! The first [`Revision`] escaped as Hive does, which leaves the space, `&` and others as they are; such
//! paths are read like any other.

use std::fmt::Write as _;
use std::sync::Arc;

use super::file_names::FileNames;
use super::partition::Template;
use super::revision::Revision;

/// The null value of a partition, as Hive writes it.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Most bytes of an escaped value; a file name may have 255.
const MAX_VALUE_BYTES: usize = 180;
/// Most bytes of all escaped values of a path; the key of an object may have 1,024.
const MAX_VALUES_BYTES: usize = 540;

/// The values of a partition, one a segment of the template: as the template renders them, whole and
/// not escaped. `None` is null; an empty value is null as well.
pub type PartitionValues = Arc<[Option<String>]>;

/// The rules by which values become paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Revision of the rules.
    pub revision: Revision,
    /// File names that the lake tells apart.
    pub file_names: FileNames,
}

/// Writes the Hive path of the partition with `values`, escaped by `rules`.
#[must_use]
pub fn hive_path(template: &Template, values: &[Option<String>], rules: PathRules) -> String {
    let mut path = String::new();
    let most = MAX_VALUE_BYTES.min(MAX_VALUES_BYTES / template.segments.len().max(1));
    for (segment, value) in template.segments.iter().zip(values) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&segment.name);
        path.push('=');
        match value {
            Some(value) => escape(value, most, rules, &mut path),
            None => path.push_str(NULL_PARTITION),
        }
    }
    path
}

/// Reads the values out of a Hive path. A value that was cut comes back cut, with its hash. Returns
/// `None` for a path of another template.
#[must_use]
pub fn values_of_path(template: &Template, path: &str) -> Option<PartitionValues> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let mut values = Vec::with_capacity(template.segments.len());
    for segment in &template.segments {
        let value = parts.next()?.strip_prefix(&segment.name)?.strip_prefix('=')?;
        let decoded = || percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        values.push((value != NULL_PARTITION).then(|| decoded().into_owned()));
    }
    parts.next().is_none().then(|| values.into())
}

/// Tells whether a value that was read out of a path may have been cut, and ends in a hash.
#[must_use]
pub fn may_be_cut(value: &str) -> bool {
    let hash = value.rsplit_once('~').map(|(_, hash)| hash);
    hash.is_some_and(|hash| {
        hash.len() == HASH_BYTES - 1 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Bytes of a hash: `~` and 16 hex digits.
const HASH_BYTES: usize = 17;

/// Appends the escaped form of `value`, cut to `most` bytes.
fn escape(value: &str, most: usize, rules: PathRules, out: &mut String) {
    let start = out.len();
    let most = most.max(2 * HASH_BYTES);
    // The end of what is kept if the value is cut: no character and no escape is cut in two.
    let mut kept = start;
    let keep = |end: usize, kept: &mut usize| {
        if end - start <= most - HASH_BYTES {
            *kept = end;
        }
    };
    for (at, c) in value.char_indices() {
        if is_escaped(c, rules.revision) || is_folded(value, at, c, rules.file_names) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = match rules.file_names {
                    FileNames::Exact => write!(out, "%{byte:02X}"),
                    FileNames::Folded => write!(out, "%{byte:02x}"),
                };
                if rules.revision == Revision::First {
                    keep(out.len(), &mut kept);
                }
            }
        } else {
            out.push(c);
        }
        keep(out.len(), &mut kept);
    }
    if out.len() - start > most {
        let hash = xxhash_rust::xxh3::xxh3_64(value.as_bytes());
        out.truncate(kept);
        let _ = write!(out, "~{hash:016x}");
    }
}

fn is_escaped(c: char, revision: Revision) -> bool {
    // XML has no such characters, and S3 lists objects in XML.
    if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') {
        return true;
    }
    match revision {
        Revision::First => "\"#%'*/:=?\\{}[]^<>|".contains(c),
        Revision::Second | Revision::Third | Revision::Fourth => {
            c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_' | '~')
        }
    }
}

/// Returns whether a file system that folds names may take `c`, at byte `at` of `value`, for another
/// character, or leave it out.
fn is_folded(value: &str, at: usize, c: char, file_names: FileNames) -> bool {
    if !file_names.are_folded() {
        return false;
    }
    // No file system leaves every letter beyond ASCII as it is, and which ones it folds is its own
    // affair. Windows and FAT drop a dot at the end. The last is the null value in small letters.
    let ends_in_dot = c == '.' && at + 1 == value.len();
    let null = at == 0 && value.eq_ignore_ascii_case(NULL_PARTITION);
    !c.is_ascii() || c.is_ascii_uppercase() || ends_in_dot || null
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::TableSchema;

    const FOLDED: PathRules =
        PathRules { revision: Revision::LATEST, file_names: FileNames::Folded };

    fn path(value: Option<&str>, rules: PathRules) -> String {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let template = Template::parse("land={country}", &schema).unwrap();
        let path = hive_path(&template, &[value.map(str::to_owned)], rules);
        let long = path.contains('~');
        let read = values_of_path(&template, &path).unwrap();
        assert!(long || read[0].as_deref() == value, "{path}");
        path
    }

    /// A file system that folds all that any of them does.
    fn stored(path: &str) -> String {
        path.to_lowercase().trim_end_matches('.').to_owned()
    }

    #[test]
    fn capital_letters_are_escaped_where_names_are_folded() {
        for (value, written) in [
            (Some("Germany"), "land=%47ermany"),
            (Some("germany"), "land=germany"),
            (Some("Österreich"), "land=%c3%96sterreich"),
            (Some("New York & Co."), "land=%4eew%20%59ork%20%26%20%43o%2e"),
            (Some("a.b"), "land=a.b"),
            (Some("__hive_default_partition__"), "land=%5f_hive_default_partition__"),
            (None, "land=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(path(value, FOLDED), written);
        }
        assert_eq!(path(Some("Germany"), PathRules::default()), "land=Germany");
    }

    proptest! {
        #[test]
        fn values_that_differ_are_no_one_name_where_names_are_folded(
            value in "[aAbBéÉßſKkK._~%&ä\u{308} -]{1,12}|\\PC{1,90}",
            other in "[aAbBéÉßſKkK._~%&ä\u{308} -]{1,12}",
        ) {
            // The second as it is, and the first in other cases and spellings.
            for other in [other, value.to_uppercase(), value.to_lowercase(), format!("{value}.")] {
                let paths = [&value, &other].map(|value| path(Some(value), FOLDED));
                prop_assert!(paths.iter().all(|path| path.is_ascii()), "{paths:?}");
                let names = paths.map(|path| stored(&path));
                prop_assert_eq!(value == other, names[0] == names[1], "{:?}", names);
                prop_assert!(names.iter().all(|name| *name != stored(&path(None, FOLDED))));
            }
        }
    }
}
