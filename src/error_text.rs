//! Text of others, and errors that hold it, as they are shown: in logs, answers and on a terminal.
//!
//! - A store, a lake, a sender or a server may say anything, of any length. Its text is shown on one
//!   line, cut at [`SHOWN_BYTES`], with control characters and those that turn a line around escaped:
//!   it begins no line of its own and steers no terminal ([`shown`], [`bounded`]).
//! - The name and password in a URL are never shown: [`without_userinfo`] is part of all of these.
//! - Of an error, each cause is told once. Libraries put the text of a cause into the text of the error
//!   above it, and give it as a cause as well: unedited, one failure is nine lines.
//!
//! A text goes through here where it becomes a part of something that is shown. The log does it again
//! for whole lines, and the reports of commands for what is left in them ([`printable`]).

use std::borrow::Cow;
use std::error::Error;

/// Most characters of a text for a log or a readiness answer.
pub(crate) const MOST_CHARACTERS: usize = 400;

/// Most bytes of a text of others.
pub(crate) const SHOWN_BYTES: usize = 1024;

/// Most bytes of an error for people. Some list what is wrong with a configuration.
const PRINTED_BYTES: usize = 32 << 10;
/// Most bytes of a line of it.
const LINE_BYTES: usize = 4 << 10;

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

/// Returns a text of several lines as it is printed: control characters escaped, but for line feeds and
/// tabs, and no name or password in a URL.
pub(crate) fn printable(text: &str) -> String {
    escaped(&without_userinfo(text), &['\n', '\t'], usize::MAX)
}

/// Returns the text of an error for people, cut at a length that no list of our own has. Lines of such a
/// list are indented; any other line feed is somebody else's, and is escaped.
pub(crate) fn printable_error(text: &str) -> String {
    let lines = text.split("\n  ").map(|part| line(part, LINE_BYTES, &['\t']));
    let mut printed = String::new();
    for part in lines {
        if printed.len() + part.len() > PRINTED_BYTES {
            printed.push_str("\n  …");
            break;
        }
        let between = if printed.is_empty() { "" } else { "\n  " };
        printed.push_str(between);
        printed.push_str(&part);
    }
    printed
}

/// Returns a text of others on one line of at most [`SHOWN_BYTES`]: a name, a value, an answer.
pub(crate) fn shown(text: &str) -> String {
    escaped(&without_userinfo(head(text)), &[], SHOWN_BYTES)
}

/// Returns a whole line of at most `most` bytes, with the characters `kept` as they are.
pub(crate) fn line(text: &str, most: usize, kept: &[char]) -> String {
    escaped(&without_userinfo(text), kept, most)
}

/// Returns `text` on one line: control characters escaped, cut after `most` characters.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let text = without_userinfo(head(text.trim()));
    let end = text.char_indices().nth(most).map(|(at, _)| at);
    let mut line =
        escaped(text.get(..end.unwrap_or(text.len())).unwrap_or_default(), &[], usize::MAX);
    if end.is_some() && !line.ends_with('…') {
        line.push('…');
    }
    line
}

/// Returns JSON without the characters that steer a terminal or turn a line around, as escapes of JSON:
/// it reads as before. For samples of what senders sent, which are shown whole.
pub(crate) fn in_json(json: &str) -> Cow<'_, str> {
    let hostile = |c: char| is_invisible(c) && !matches!(c, '\n' | '\t' | '\r');
    if !json.contains(hostile) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if hostile(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Returns the path on one line, as [`shown`] does.
pub(crate) fn path(path: &std::path::Path) -> String {
    shown(&path.to_string_lossy())
}

/// Returns the beginning of `text`: far more than is shown, so that a name and password in it end there.
fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(1 << 20)).unwrap_or(text)
}

/// Returns `text` with the names and passwords of its URLs hidden. Takes time in proportion to its
/// length, whatever it says.
pub(crate) fn without_userinfo(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut word = Run::new(text, |c| ends_wide(c) || "'`(){},".contains(c));
    let (mut wide, mut line) = (Run::new(text, ends_wide), Run::new(text, ends_line));
    let (mut at, mut shown, mut out) = (0, 0, String::new());
    while let Some(before) = text.get(at..).and_then(|rest| rest.find("://")) {
        at += before + "://".len();
        let authority = text.get(at..).unwrap_or_default();
        let ends = ['/', '?', '#', '\\', '"', '<', '>'];
        let until = |end: usize| authority.find(ends).map_or(end, |length| end.min(at + length));
        let host = until(word.end(at));
        // The commas and brackets that may be in a password may as well follow a URL: then there is
        // no `@` before the next space.
        let found = text.get(at..host).and_then(|host| host.rfind('@')).map(|found| at + found);
        let found = found.or_else(|| {
            let wide = text.get(at..until(wide.end(at)))?;
            wide.rfind('@').map(|found| at + found)
        });
        // `user:pass/word@host`: what is no port is no host before a path either.
        let found = found.or_else(|| {
            let is_host = is_host(text.get(at..host).unwrap_or_default());
            let runs = [&mut word, &mut wide, &mut line];
            if is_host { None } else { runs.into_iter().find_map(|run| run.last_at(at)) }
        });
        if let Some(found) = found.filter(|found| *found > at) {
            out.push_str(text.get(shown..at).unwrap_or_default());
            out.push_str("[hidden]");
            (at, shown) = (found, found);
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(shown..).unwrap_or_default());
    Cow::Owned(out)
}

/// Returns whether what follows a colour in `host` can be a port.
fn is_host(host: &str) -> bool {
    let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map(|(_, port)| port);
    port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn ends_line(c: char) -> bool {
    c.is_control() || "\"<>".contains(c)
}

fn ends_wide(c: char) -> bool {
    c.is_whitespace() || ends_line(c)
}

/// The run of characters that a position in a text is in, up to the next one that ends it. It is looked
/// for once, however many positions are in it.
struct Run<'a> {
    text: &'a str,
    is_end: fn(char) -> bool,
    end: usize,
    last_at: Option<usize>,
}

impl<'a> Run<'a> {
    fn new(text: &'a str, is_end: fn(char) -> bool) -> Self {
        Run { text, is_end, end: 0, last_at: None }
    }

    /// Returns the end of the run that `position` is in. Positions do not go down.
    fn end(&mut self, position: usize) -> usize {
        if position >= self.end {
            let rest = self.text.get(position..).unwrap_or_default();
            let run = rest.find(self.is_end).and_then(|end| rest.get(..end)).unwrap_or(rest);
            self.end = position + run.len();
            self.last_at = run.rfind('@').map(|at| position + at);
        }
        self.end
    }

    /// Returns the position of the last `@` in the run, if it is not before `position`.
    fn last_at(&mut self, position: usize) -> Option<usize> {
        self.end(position);
        self.last_at.filter(|at| *at >= position)
    }
}

/// Returns true for characters that could make a part of a text look like another line, or turn it
/// around.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns `text` escaped but for the characters `kept`, cut at `most` bytes of the result.
fn escaped(text: &str, kept: &[char], most: usize) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        let before = escaped.len();
        match is_invisible(character) && !kept.contains(&character) {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
        if escaped.len() > most {
            escaped.truncate(before);
            escaped.push('…');
            break;
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

    #[test]
    fn a_text_of_others_is_a_line_of_a_kilobyte() {
        let hostile = "\u{1b}]0;t\u{7}\n\u{202e}ok\u{200b}\u{9b}2J\r";
        let line = shown(hostile);
        assert_eq!(line, "\\u{1b}]0;t\\u{7}\\n\\u{202e}ok\\u{200b}\\u{9b}2J\\r");
        for long in ["x".repeat(3 << 20), "\u{202e}".repeat(1 << 20), "é\n".repeat(1 << 20)] {
            let line = shown(&long);
            assert!(line.len() <= SHOWN_BYTES + '…'.len_utf8(), "{}", line.len());
            assert!(line.ends_with('…') && !line.contains('\n'), "{line}");
        }
        assert_eq!(shown("date=2026-11-23/ä b"), "date=2026-11-23/ä b");
        let listed = "2 mistakes:\n\tone\u{1b}[2J\n\ttwo";
        assert_eq!(printable(listed), "2 mistakes:\n\tone\\u{1b}[2J\n\ttwo");
        assert_eq!(
            printable_error("2 mistakes:\n  one\nerror: forged"),
            "2 mistakes:\n  one\\nerror: forged"
        );
        for long in ["a\n".repeat(1 << 20), "a\n  ".repeat(1 << 20), "x".repeat(3 << 20)] {
            assert!(printable_error(&long).len() < PRINTED_BYTES + 16);
        }
    }

    #[test]
    fn json_reads_the_same_without_what_steers_a_terminal() {
        let sample = serde_json::json!({"raw": "a\u{9b}2J\u{202e}b\u{e0041}é\n\u{7f}"});
        let json = sample.to_string();
        let shown = in_json(&json);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), sample);
        assert!(!shown.contains(is_invisible), "{shown}");
        assert!(matches!(in_json("{}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_name_and_a_password_in_a_url_are_not_shown() {
        for (text, expected) in [
            (
                "GET http://user:SECRET@host:9000/b: refused",
                "GET http://[hidden]@host:9000/b: refused",
            ),
            ("https://SECRET@host", "https://[hidden]@host"),
            ("http://u:SEC@RET@host/x?y", "http://[hidden]@host/x?y"),
            (
                "(http://u:SEC/RET@host/x) and s3://u:SECRET@b",
                "(http://[hidden]@host/x) and s3://[hidden]@b",
            ),
            // Commas, quotes and brackets may be in one as they are.
            ("http://u:a,SECRET@host/x, y@z", "http://[hidden]@host/x, y@z"),
            ("'http://u:'(SECRET)@host'", "'http://[hidden]@host'"),
            ("http://u:a,SEC/RET@host/x", "http://[hidden]@host/x"),
            ("http://u:a SECRET@host/x", "http://[hidden]@host/x"),
            ("[http://h:1,http://u:SECRET@h:2]", "[http://h:1,http://[hidden]@h:2]"),
            // These have none.
            ("http://host, x@y", "http://host, x@y"),
            ("(http://host:80), x@y", "(http://host:80), x@y"),
            ("http://host:9000/a@b", "http://host:9000/a@b"),
            ("http://[::1]:9000/a@b", "http://[::1]:9000/a@b"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("s3://bucket/a@b, or x@y", "s3://bucket/a@b, or x@y"),
            ("://", "://"),
        ] {
            assert_eq!(without_userinfo(text), expected);
            assert_eq!(bounded(text, 400), expected);
            assert!(!shown(text).contains("SECRET") && !printable(text).contains("SECRET"));
        }
    }

    #[test]
    fn a_hostile_text_takes_no_longer_than_another() {
        for piece in
            ["://", "://a:b/", "://a:b/ ", "://a,", "@://", "://a:b@", "://a:b'", "\"://a:b("]
        {
            let text = format!("{} x@y", piece.repeat((1 << 20) / piece.len()));
            let before = std::time::Instant::now();
            assert!(!without_userinfo(&text).is_empty());
            let time = before.elapsed();
            assert!(time < std::time::Duration::from_secs(5), "{piece}: {time:?}");
        }
    }
}
