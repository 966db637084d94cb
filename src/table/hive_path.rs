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
//! The first [`Revision`] escaped as Hive does, which leaves the space, `&` and others as they are; such
//! paths are read like any other.

use std::fmt::Write as _;
use std::sync::Arc;

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

/// Writes the Hive path of the partition with `values`, escaped by the rules of `revision`.
#[must_use]
pub fn hive_path(template: &Template, values: &[Option<String>], revision: Revision) -> String {
    let mut path = String::new();
    let most = MAX_VALUE_BYTES.min(MAX_VALUES_BYTES / template.segments.len().max(1));
    for (segment, value) in template.segments.iter().zip(values) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&segment.name);
        path.push('=');
        match value {
            Some(value) => escape(value, most, revision, &mut path),
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

/// Bytes of a hash: `~` and 16 hex digits.
const HASH_BYTES: usize = 17;

/// Appends the escaped form of `value`, cut to `most` bytes.
fn escape(value: &str, most: usize, revision: Revision, out: &mut String) {
    let start = out.len();
    let most = most.max(2 * HASH_BYTES);
    // The end of what is kept if the value is cut: no character and no escape is cut in two.
    let mut kept = start;
    let keep = |end: usize, kept: &mut usize| {
        if end - start <= most - HASH_BYTES {
            *kept = end;
        }
    };
    for c in value.chars() {
        if is_escaped(c, revision) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
                if revision == Revision::First {
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
        Revision::Second => {
            c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_' | '~')
        }
    }
}
