//! A line that is no row as people may see it: its structure and the types of its values, and none of them.
//!
//! `{"userId":"ann","age" 42}` is `{"userId":"…","aaa" »0}` if the schema names `userId` and not `age`. A
//! line may be anything, so this is no parser: it goes through the bytes once, and what it cannot tell is
//! masked.
//!
//! | in the line | shown as |
//! |---|---|
//! | a string before a colon, if a schema has a field of that name | itself |
//! | any other string before a colon | its letters as `a`, its digits as `0` |
//! | any other string | `"…"`, without its end if it has none |
//! | a number; true or false; null | `0`; `bool`; `null` |
//! | other text | letters as `a`, digits as `0`, bytes beyond ASCII as `?` |

/// Marks the byte at which the defect is.
const MARK: char = '»';
/// Most bytes of the line that are looked at.
const MOST_BYTES: usize = 64 << 10;
/// Most characters that are shown: before the defect, and from it on.
const MOST_BEFORE: usize = 120;
const MOST_AFTER: usize = 60;
/// Most characters of a name or a word.
const MOST_WORD: usize = 24;

/// Masks `line`, whose defect is at the byte `fault` (counted from 0) if that is known. `is_field` says
/// whether a text is the name of a field.
pub(crate) fn masked_line(
    line: &[u8],
    fault: Option<usize>,
    is_field: impl Fn(&str) -> bool,
) -> String {
    let mut shown = Shown::default();
    let line = line.get(..MOST_BYTES).unwrap_or(line);
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        let rest = line.get(at..).unwrap_or_default();
        let taken = match byte {
            b'"' => string(rest, &mut shown, &is_field),
            b'-' | b'0'..=b'9' => {
                shown.text.push('0');
                run(rest, |byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                let length = run(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                match rest.get(..length) {
                    Some(b"true" | b"false") => shown.text.push_str("bool"),
                    Some(b"null") => shown.text.push_str("null"),
                    word => shown.word(word.unwrap_or_default()),
                }
                length
            }
            b' ' | b'\t' => {
                shown.text.push(' ');
                run(rest, |byte| byte == b' ' || byte == b'\t')
            }
            0x21..=0x7e => {
                shown.text.push(char::from(byte));
                1
            }
            _ => {
                shown.text.push('?');
                run(rest, |byte| !(0x20..=0x7e).contains(&byte))
            }
        };
        // The mark stands before what the byte is in, or in the place of what is missing at the end.
        let is_in = |fault: &usize| (at..at + taken.max(1)).contains(fault);
        if shown.mark.is_none() && fault.as_ref().is_some_and(is_in) {
            shown.mark = Some(shown.before);
        }
        at += taken.max(1);
        shown.before = shown.text.chars().count();
        if shown.mark.map_or(fault.is_none(), |_| true)
            && shown.before > shown.mark.unwrap_or(0) + MOST_BEFORE + MOST_AFTER
        {
            break;
        }
    }
    if shown.mark.is_none() && fault.is_some_and(|fault| fault >= at && at < MOST_BYTES) {
        shown.mark = Some(shown.before);
    }
    shown.cut(at < line.len() || line.len() == MOST_BYTES)
}

/// What is shown so far.
#[derive(Default)]
struct Shown {
    text: String,
    /// Characters before the token that is being read.
    before: usize,
    /// Characters before the mark.
    mark: Option<usize>,
}

impl Shown {
    /// Adds a word with its letters and digits masked.
    fn word(&mut self, word: &[u8]) {
        let text = String::from_utf8_lossy(word);
        for (n, character) in text.chars().enumerate() {
            if n == MOST_WORD {
                self.text.push('…');
                return;
            }
            self.text.push(match character {
                '0'..='9' => '0',
                letter if letter.is_alphabetic() => 'a',
                other if other.is_ascii() && !other.is_ascii_control() => other,
                _ => '?',
            });
        }
    }

    /// Returns the part around the mark, with it, or the beginning.
    fn cut(self, is_longer: bool) -> String {
        let start = self.mark.map_or(0, |mark| mark.saturating_sub(MOST_BEFORE));
        let most = self.mark.map_or(MOST_BEFORE + MOST_AFTER, |mark| mark - start + MOST_AFTER);
        let mut out = String::new();
        if start > 0 {
            out.push('…');
        }
        let mut characters = self.text.chars().skip(start);
        for (n, character) in characters.by_ref().take(most).enumerate() {
            if self.mark == Some(start + n) {
                out.push(MARK);
            }
            out.push(character);
        }
        if characters.next().is_some() || is_longer {
            out.push('…');
        } else if self.mark == Some(self.text.chars().count()) {
            out.push(MARK);
        }
        out
    }
}

/// Adds the string at the beginning of `rest`, and returns its length.
fn string(rest: &[u8], shown: &mut Shown, is_field: &impl Fn(&str) -> bool) -> usize {
    let (mut escaped, mut end) = (false, None);
    for (at, &byte) in rest.iter().enumerate().skip(1) {
        match (escaped, byte) {
            (false, b'"') => {
                end = Some(at);
                break;
            }
            (false, b'\\') => escaped = true,
            _ => escaped = false,
        }
    }
    let Some(end) = end else {
        shown.text.push_str("\"…");
        return rest.len();
    };
    let inner = rest.get(1..end).unwrap_or_default();
    let after = rest.get(end + 1..).unwrap_or_default();
    let is_name = after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
    match std::str::from_utf8(inner) {
        Ok(name) if is_name && is_field(name) => {
            shown.text.extend(['"']);
            shown.text.push_str(name);
            shown.text.push('"');
        }
        _ if is_name => {
            shown.text.push('"');
            shown.word(inner);
            shown.text.push('"');
        }
        _ => shown.text.push_str("\"…\""),
    }
    end + 1
}

/// Returns how many bytes at the beginning of `rest` are `taken`.
fn run(rest: &[u8], taken: impl Fn(u8) -> bool) -> usize {
    rest.iter().take_while(|byte| taken(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str, fault: Option<usize>) -> String {
        masked_line(line.as_bytes(), fault, |name| matches!(name, "userId" | "age"))
    }

    #[test]
    fn structure_and_types_are_shown_and_no_value() {
        for (line, fault, shown) in [
            (
                r#"{"userId":"ann","age":42,"a":true,"b":null} x"#,
                Some(44),
                r#"{"userId":"…","age":0,"a":bool,"a":null} »a"#,
            ),
            (r#"{"userId" "ann"}"#, Some(10), r#"{"…" »"…"}"#),
            (r#"{"ann@x.example":-1.5e3}"#, None, r#"{"aaa@a.aaaaaaa":0}"#),
            (r#"{"userId":"ann\"","s"#, Some(19), r#"{"userId":"…",»"…"#),
            ("<html>Ann 17", Some(0), "»<aaaa>aaa 0"),
            ("", Some(0), "»"),
            ("{\"userId\":tru", Some(10), r#"{"userId":»aaa"#),
            ("geheim ä\u{7}", None, "aaaaaa ?"),
            ("[1,2]", Some(0), "»[0,0]"),
        ] {
            assert_eq!(masked(line, fault), shown, "{line}");
        }
    }

    #[test]
    fn a_long_line_is_shown_around_its_defect() {
        let line = format!("{{{}\"userId\" 1}}", "\"x\":1,".repeat(1000));
        let shown = masked(&line, Some(6001 + 9));
        assert!(shown.starts_with('…') && shown.ends_with("\"…\" »0}"), "{shown}");
        assert!(shown.chars().count() < 200, "{shown}");
        let far = format!("{{{}\"userId\" 1}}", "\"x\":1,".repeat(100_000));
        let shown = masked(&far, Some(600_010));
        assert!(shown.ends_with('…') && !shown.contains(MARK), "{shown}");
        assert!(shown.chars().count() < 200);
        assert!(masked(&"a".repeat(1 << 20), None).chars().count() < 40);
    }

    #[test]
    fn nothing_of_letters_or_digits_comes_through() {
        let words = ["Geheim", "4711", "{\"", ":", "\\\"", "\"", "ü", " ", "[", "\u{1}", ","];
        let mut dice = 7_u64;
        for _ in 0..5000 {
            let mut line = String::new();
            for _ in 0..12 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                line.push_str(words[(dice >> 33) as usize % words.len()]);
            }
            let shown = masked(&line, Some((dice >> 40) as usize % 40));
            let told = shown.chars().any(|c| matches!(c, '1'..='9') || "Ghim".contains(c));
            assert!(!told, "{line} {shown}");
        }
    }
}
