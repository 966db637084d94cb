//! The members of an `_extra`, by their bytes. The decoder and the privacy rules write it: strict JSON, an
//! object, without whitespace around its members.

/// Iterates over the members of a JSON object: each key as it stands between its quotes, and the value's
/// text. Ends early at bytes that are no such object.
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(super) fn of(text: &'a str) -> Entries<'a> {
        Entries { rest: text.as_bytes() }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        // An opening brace, or the comma after the member before.
        let member = self.rest.get(1..)?.strip_prefix(b"\"")?;
        let key_end = string_end(member)?;
        let value = member.get(key_end + 1..)?.strip_prefix(b":")?;
        let end = value_end(value)?;
        self.rest = value.get(end..)?;
        Some((member.get(..key_end)?, value.get(..end)?))
    }
}

/// Iterates over the elements of a JSON array, each as its text.
pub(super) fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = array.get(1..).unwrap_or_default().trim_ascii_start();
    std::iter::from_fn(move || {
        if matches!(rest.first()?, b']') {
            return None;
        }
        let end = value_end(rest)?;
        let element = rest.get(..end)?;
        let after = rest.get(end..)?.trim_ascii_start();
        rest = after.get(1..)?.trim_ascii_start();
        Some(element.trim_ascii_end())
    })
}

/// Returns the index of the quote that ends a string, whose first character `text` begins with.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(at)? {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// Returns the length of the value that `text` begins with.
fn value_end(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => Some(string_end(text.get(1..)?)? + 2),
        b'{' | b'[' => {
            let (mut at, mut depth) = (0, 0_usize);
            loop {
                match text.get(at)? {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    b'"' => at += string_end(text.get(at + 1..)?)? + 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => text.iter().position(|byte| matches!(byte, b',' | b'}' | b']')),
    }
}
