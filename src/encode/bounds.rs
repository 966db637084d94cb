//! Bounds of texts: no more than the first 64 bytes, which is enough to skip by.

/// Most bytes of a bound.
const MOST: usize = 64;

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

/// Returns a bound that no text up to `most` is above. It is long where no short text is greater.
pub(super) fn upper(most: &[u8]) -> Bound {
    if most.len() <= MOST {
        return Bound { bytes: most.to_vec(), is_exact: true };
    }
    let beginning = most.get(..boundary(most, MOST)).unwrap_or(most);
    match incremented(beginning) {
        Some(bytes) => Bound { bytes, is_exact: false },
        None => Bound { bytes: most.to_vec(), is_exact: true },
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
        for text in
            ["", "a", &long("a"), &long("ä"), &long("\u{10ffff}"), &(long("b") + "\u{10ffff}")]
        {
            let (least, most) = (lower(text.as_bytes()), upper(text.as_bytes()));
            assert!(least.bytes.as_slice() <= text.as_bytes(), "{text}");
            assert!(most.bytes.as_slice() >= text.as_bytes(), "{text}");
            assert_eq!(least.is_exact, least.bytes == text.as_bytes());
            assert_eq!(most.is_exact, most.bytes == text.as_bytes());
            assert!(least.bytes.len() <= MOST && std::str::from_utf8(&least.bytes).is_ok());
            assert!(std::str::from_utf8(&most.bytes).is_ok());
        }
        assert_eq!(upper(long("a").as_bytes()).bytes, [vec![b'a'; 63], vec![b'b']].concat());
    }
}
