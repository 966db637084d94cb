//! Names as they are guessed: `"name":` compared with the bytes of a document in one step.

use super::scan;

/// The bytes that are compared in one step.
const WINDOW: usize = 32;

/// The column of a name that has none of its own: no record has so many.
const NO_COLUMN: u32 = u32::MAX;

/// A name to compare, and the column that its value goes to. It is one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Guess {
    /// `"name":`, as far as the window holds it.
    window: [u8; WINDOW],
    mask: u32,
    /// The bytes of it that are in the window.
    len: u32,
    column: u32,
    /// The bytes beyond the window.
    rest: Box<[u8]>,
}

impl Guess {
    /// Creates the guess of the name `text`. `column` is the index of its column, of a current name.
    pub(super) fn new(text: &str, column: Option<usize>) -> Guess {
        let quoted = format!("\"{text}\":").into_bytes();
        let in_window = quoted.len().min(WINDOW);
        let mut window = [0; WINDOW];
        window[..in_window].copy_from_slice(&quoted[..in_window]);
        if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
            // Never as it is in JSON: leave it to the table. No document has a zero here.
            window[0] = 0;
        }
        Guess {
            window,
            mask: u32::MAX >> (WINDOW - in_window),
            len: in_window as u32,
            column: column.and_then(|column| u32::try_from(column).ok()).unwrap_or(NO_COLUMN),
            rest: quoted[in_window..].into(),
        }
    }

    /// Returns the index of the column that the value goes to, unless it takes more than that to tell.
    #[inline]
    pub(super) fn column(&self) -> usize {
        self.column as usize
    }

    /// Returns the position after `"name":`, if `src` has it at `at`. Near the end of `src` it may
    /// return `None` all the same.
    #[inline]
    pub(super) fn after(&self, src: &[u8], at: usize) -> Option<usize> {
        let (window, rest) = src.get(at..)?.split_first_chunk::<WINDOW>()?;
        if !scan::matches(window, &self.window, self.mask) {
            return None;
        }
        if self.rest.is_empty() {
            return Some(at + self.len as usize);
        }
        rest.starts_with(&self.rest).then(|| at + WINDOW + self.rest.len())
    }
}

/// Names without a column, by where they stood in the record before: each is known again without a look
/// for it among the others. Long names, and those that do not stand as `"name":`, are not remembered.
#[derive(Debug)]
pub(super) struct Strangers {
    /// A power of two of them.
    slots: Box<[Stranger]>,
}

/// A name without a column.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Stranger {
    /// `"name":`, and whatever came after it.
    window: [u8; WINDOW],
    /// Of those bytes, set for the ones that count; 0 before there is a name.
    mask: u32,
    len: u32,
}

impl Strangers {
    /// Creates room for the strangers among `names` names.
    pub(super) fn new(names: usize) -> Strangers {
        let none = Stranger { window: [0; WINDOW], mask: 0, len: 0 };
        Strangers { slots: vec![none; (names + 1).next_power_of_two()].into() }
    }

    /// Returns the slot of the stranger that follows the name `before` and `since` others.
    #[inline]
    pub(super) fn slot(&self, before: usize, since: usize) -> usize {
        before.wrapping_add(since.wrapping_mul(29)) & (self.slots.len() - 1)
    }

    /// Returns the position after `"name":`, if `src` has the stranger of the slot at `at`.
    #[inline]
    pub(super) fn after(&self, slot: usize, src: &[u8], at: usize) -> Option<usize> {
        #[cfg(test)]
        if super::quick::OFF.get() {
            return None;
        }
        let Stranger { window, mask, len } = self.slots.get(slot)?;
        let found = src.get(at..)?.first_chunk()?;
        (*mask != 0 && scan::matches(found, window, *mask)).then(|| at + *len as usize)
    }

    /// Remembers the name without a column that `src` has at `at`, with its colon ending at `after`.
    #[inline]
    pub(super) fn remember(&mut self, slot: usize, src: &[u8], at: usize, after: usize) {
        let len = after.saturating_sub(at);
        if let Some(stranger) = self.slots.get_mut(slot)
            && let Some(window) = src.get(at..).and_then(<[u8]>::first_chunk)
            && (1..=WINDOW).contains(&len)
        {
            let mask = u32::MAX >> (WINDOW - len);
            *stranger = Stranger { window: *window, mask, len: len as u32 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_known_again_and_no_other_name_is_taken_for_it() {
        let mut strangers = Strangers::new(5);
        let text = format!(r#"{{"new":1,"newer":2,"{}":3}}{}"#, "x".repeat(40), " ".repeat(40));
        let src = text.as_bytes();
        let slot = strangers.slot(3, 1);
        assert_eq!(strangers.after(slot, src, 1), None);
        strangers.remember(slot, src, 1, 7);
        assert_eq!(strangers.after(slot, src, 1), Some(7));
        assert_eq!(strangers.after(slot, src, 9), None, "a longer name");
        assert_eq!(strangers.after(strangers.slot(3, 2), src, 1), None);
        strangers.remember(slot, src, 19, 62);
        assert_eq!(strangers.after(slot, src, 19), None, "too long");
        assert_eq!(strangers.after(slot, src, 1), Some(7));
        assert_eq!(strangers.after(slot, &src[..20], 1), None, "near the end");
    }
}
