//! Examples that show the form of a value and nothing of it.

/// Most characters of a mask.
const MOST_CHARACTERS: usize = 32;
/// Most bytes of a value that are looked at.
const MOST_BYTES: usize = 4 * MOST_CHARACTERS;

/// Masks the JSON text of a value: letters become `a`, digits `0`, and what is neither ASCII nor a letter
/// `?`; one that is longer is cut, and ends in `…`. Of lists and records nothing is shown but brackets.
pub(super) fn mask(value: &[u8]) -> String {
    match value.first() {
        Some(b'{') => return "{…}".to_owned(),
        Some(b'[') => return "[…]".to_owned(),
        Some(b't' | b'f' | b'n') => return String::from_utf8_lossy(value).into_owned(),
        _ => {}
    }
    let text = String::from_utf8_lossy(value.get(..MOST_BYTES).unwrap_or(value));
    let inner = text.strip_prefix('"').unwrap_or(&text);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut masked = String::new();
    let mut characters = inner.chars();
    for character in characters.by_ref().take(MOST_CHARACTERS) {
        masked.push(match character {
            '0'..='9' => '0',
            letter if letter.is_alphabetic() => 'a',
            other if other.is_ascii() => other,
            _ => '?',
        });
    }
    if characters.next().is_some() {
        masked.push('…');
    }
    masked
}
