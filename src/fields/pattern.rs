//! Pointers of `_extra` as patterns: indexes are `*`, and keys that look like data are `{key}`.

use crate::json::pointer_tokens;
use crate::schema::{Field, Kind, TableSchema};

/// The token of any key that is no name of a field.
pub(super) const ANY_KEY: &str = "{key}";
/// Most bytes of a name.
const MOST_NAME_BYTES: usize = 64;
/// Digits from which on a key is an id and no name.
const DIGITS_OF_ID: usize = 6;

/// The relation of a field to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// No column has this name.
    Unknown,
    /// A column has this name, and these values did not fit: they were of another type, out of its range,
    /// or a second value of the name.
    Misfit,
}

/// Writes the pattern of `pointer` into `out`, as far as its text says. `pointer` is a JSON Pointer as it
/// stands within a JSON string. Returns false for what is no pointer.
pub(super) fn write(pointer: &[u8], out: &mut String) -> bool {
    out.clear();
    let Some(tokens) = pointer.strip_prefix(b"/") else { return false };
    for token in tokens.split(|byte| *byte == b'/') {
        out.push('/');
        if !token.is_empty() && token.iter().all(u8::is_ascii_digit) {
            out.push('*');
        } else {
            match std::str::from_utf8(token) {
                Ok(name) if is_name(name) => out.push_str(name),
                _ => out.push_str(ANY_KEY),
            }
        }
    }
    true
}

/// Tells whether a key may be the name of a field. One that has an escape, a blank or an `@`, is long, or
/// has many digits is data: an id, an address, a number, a text.
fn is_name(key: &str) -> bool {
    let begins = key.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '$'));
    let ordinary = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | ':' | '-');
    begins
        && key.len() <= MOST_NAME_BYTES
        && key.chars().all(ordinary)
        && key.bytes().filter(u8::is_ascii_digit).count() < DIGITS_OF_ID
}

/// Holds a pattern against the schema. Returns the pattern, in which keys of maps are `{key}`, and its
/// relation to the schema.
pub(super) fn held_against(schema: &TableSchema, pattern: &str) -> (String, Fit) {
    let tokens: Vec<String> = pointer_tokens(pattern).collect();
    let (mut rest, mut at) = (tokens.as_slice(), At::Record(&schema.fields));
    // Tokens that are keys of maps.
    let mut keys = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let place = tokens.len() - rest.len();
        (at, rest) = match at {
            At::Record(fields) => {
                let found = fields.iter().find_map(|field| {
                    let own = field.json_paths().find(|path| rest.starts_with(path))?;
                    Some((field, rest.get(own.len()..)?))
                });
                match found {
                    Some((field, left)) => (within(&field.kind), left),
                    None if fields.iter().any(|field| is_of_prefix(field, first)) => {
                        keys.push(place);
                        (At::Known, after)
                    }
                    None => (At::Nowhere, &[][..]),
                }
            }
            At::Value(Kind::List(element)) => (within(element), after),
            At::Value(Kind::Map(value)) => {
                keys.push(place);
                (within(value), after)
            }
            At::Value(_) | At::Known | At::Nowhere => (At::Nowhere, &[][..]),
        };
    }
    let mut held = String::with_capacity(pattern.len());
    for (place, token) in pattern.split('/').skip(1).enumerate() {
        held.push('/');
        held.push_str(if keys.contains(&place) { ANY_KEY } else { token });
    }
    (held, if matches!(at, At::Nowhere) { Fit::Unknown } else { Fit::Misfit })
}

enum At<'a> {
    Record(&'a [Field]),
    Value(&'a Kind),
    /// An entry of a map.
    Known,
    Nowhere,
}

fn within(kind: &Kind) -> At<'_> {
    match kind {
        Kind::Struct(fields) => At::Record(fields),
        kind => At::Value(kind),
    }
}

/// Tells whether `name` is that of an entry of a map whose entries are members of the record.
fn is_of_prefix(field: &Field, name: &str) -> bool {
    field.json.prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix.as_str()))
}

/// Returns the pattern of the parent, up to the last slash.
pub(super) fn parent(pattern: &str) -> &str {
    pattern.rsplit_once('/').map_or("", |(parent, _)| parent)
}
