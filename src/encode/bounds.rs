//! Bounds of texts: no more than the first 64 bytes, which is enough to skip by.

/// Most bytes of a bound.
const MOST: usize = 64;
/// Most bytes of a bound that cannot be shorter. Every reader reads the bounds with the footer, and the footers of
/// open files are in memory.
const LONGEST: usize = 256;

/// A lower or upper bound, as plain pages have the value, and whether it is a value of the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) bytes: Vec<u8>,
    pub(super) is_exact: bool,
}

/// Returns a bound that no text from `least` on is below.
pub(super) fn lower(least: &[u8]) -> Bound {
    if least.len() <= MOST {
        return Bound { bytes: least.to_vec(), is_exact: true };
    }
    let end = boundary(least, MOST);
    Bound { bytes: least.get(..end).unwrap_or(least).to_vec(), is_exact: end == least.len() }
}

/// Returns a bound that no text up to `most` is above. It is longer where no short text is greater; `None` if it
/// would be too long.
pub(super) fn upper(most: &[u8]) -> Option<Bound> {
    if most.len() <= MOST {
        return Some(Bound { bytes: most.to_vec(), is_exact: true });
    }
    let beginning = most.get(..boundary(most, MOST)).unwrap_or(most);
    match incremented(beginning) {
        Some(bytes) => Some(Bound { bytes, is_exact: false }),
        None if most.len() <= LONGEST => Some(Bound { bytes: most.to_vec(), is_exact: true }),
        None => None,
    }
}

/// Returns the end of the last character that ends within `most` bytes.
fn boundary(text: &[u8], most: usize) -> usize {
    // The first byte of a character is none of those that go on.
    let is_first = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (1..=most).rev().find(is_first).unwrap_or(text.len())
}

/// Returns the least text of no more bytes that is above all that begin so.
fn incremented(beginning: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(beginning).ok()?;
    for (at, last) in text.char_indices().rev() {
        let next = char::from_u32(u32::from(last) + 1);
        // The same length, so that the bound gets no longer.
        if let Some(next) = next.filter(|next| next.len_utf8() == last.len_utf8()) {
            return Some(format!("{}{next}", text.get(..at)?).into_bytes());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_all_texts_between_them() {
        let long = |unit: &str| unit.repeat(80);
        let last = "\u{10ffff}".repeat(20);
        for text in ["", "a", &long("a"), &long("ä"), &last, &(long("b") + "\u{10ffff}")] {
            let (least, most) = (lower(text.as_bytes()), upper(text.as_bytes()).unwrap());
            assert!(least.bytes.as_slice() <= text.as_bytes(), "{text}");
            assert!(most.bytes.as_slice() >= text.as_bytes(), "{text}");
            assert_eq!(least.is_exact, least.bytes == text.as_bytes());
            assert_eq!(most.is_exact, most.bytes == text.as_bytes());
            assert!(least.bytes.len() <= MOST && std::str::from_utf8(&least.bytes).is_ok());
            assert!(std::str::from_utf8(&most.bytes).is_ok());
        }
        let most = upper(long("a").as_bytes()).unwrap();
        assert_eq!(most.bytes, [vec![b'a'; 63], vec![b'b']].concat());
    }

    #[test]
    fn a_text_that_no_short_one_is_above_has_no_upper_bound() {
        let text = "\u{10ffff}".repeat(16) + &"a".repeat(1 << 20);
        assert!(upper(text.as_bytes()).is_none());
        assert_eq!(lower(text.as_bytes()).bytes.len(), MOST);
    }
}
