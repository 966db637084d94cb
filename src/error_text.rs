//! Errors as text: each cause once, on one line, without control characters, of bounded length.
//!
//! Libraries put the text of a cause into the text of the error above it, and give it as a cause as
//! well: unedited, one failure is nine lines.

use std::error::Error;

/// Most characters of a text for a log or a readiness answer.
pub(crate) const MOST_CHARACTERS: usize = 400;

/// Iterates over the error and its causes, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// Returns the texts of the error and its causes, outermost first, without repetitions.
pub(crate) fn lines(error: &(dyn Error + 'static)) -> Vec<String> {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    let mut shown: Vec<String> = Vec::with_capacity(texts.len());
    // From the deepest up, since a text may end in one that repeats itself.
    for (at, text) in texts.iter().enumerate().rev() {
        let below = texts.get(at + 1).filter(|below| !below.is_empty());
        let own = below.and_then(|below| Some((below, text.strip_suffix(below.as_str())?)));
        shown.push(match (own, shown.last()) {
            (Some((below, own)), _) if own.contains(below.as_str()) => {
                own.trim_end_matches([':', ' ', '-']).to_owned()
            }
            (Some((_, own)), Some(last)) => format!("{own}{last}"),
            _ => text.clone(),
        });
    }
    let mut lines: Vec<String> = Vec::new();
    for text in shown.into_iter().rev() {
        let text = text.trim_end().to_owned();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines
}

/// Returns the error and its causes on one line of at most [`MOST_CHARACTERS`], each once.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    bounded(&lines(error).join(": "), MOST_CHARACTERS)
}

/// Returns `text` with its control characters escaped, except for line feeds and tabs.
pub(crate) fn printable(text: &str) -> String {
    escaped(text.chars(), &['\n', '\t'])
}

/// Returns `text` on one line: control characters escaped, cut after `most` characters.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let text = text.trim();
    let mut line = escaped(text.chars().take(most), &[]);
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// Returns true for characters that could make a part of a text look like another line, or turn it
/// around.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: impl Iterator<Item = char>, kept: &[char]) -> String {
    let mut escaped = String::new();
    for character in text {
        match is_invisible(character) && !kept.contains(&character) {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("cannot ask: {0}")]
        Ask(#[source] Box<Nested>),
        #[error("it said 403: it said 403")]
        Twice(#[source] Box<Nested>),
        #[error("it said 403")]
        Said,
        #[error("cannot start")]
        Start(#[source] Box<Nested>),
    }

    #[test]
    fn nothing_is_said_twice() {
        let error = Nested::Ask(Box::new(Nested::Said));
        assert_eq!(lines(&error), ["cannot ask: it said 403"]);
        let error = Nested::Start(Box::new(error));
        assert_eq!(lines(&error), ["cannot start", "cannot ask: it said 403"]);
        assert_eq!(one_line(&error), "cannot start: cannot ask: it said 403");
    }

    #[test]
    fn a_text_that_repeats_itself_is_cut() {
        assert_eq!(lines(&Nested::Twice(Box::new(Nested::Said))), ["it said 403"]);
    }

    #[test]
    fn a_line_has_no_control_characters_and_is_bounded() {
        assert_eq!(bounded(" a\r\nb\u{1b}[31m\n", 100), "a\\r\\nb\\u{1b}[31m");
        assert_eq!(bounded("a\u{2028}b\u{202e}c", 9), "a\\u{2028}b\\u{202e}c");
        assert_eq!(bounded("ééééé", 3), "ééé…");
        assert_eq!(bounded("ééé", 3), "ééé");
    }
}
