//! Checks of a template that somebody writes: formats that are valid and name no part of a time.
//!
//! `{startTime:YYYY-MM-DD}` is a valid strftime format, of literal text alone: all rows would land in
//! one partition of that name. A template that is in a seal or a footer is not checked: what it names
//! is there.

use chrono::format::{Item, StrftimeItems};

use super::{Part, Template, TemplateError};

/// Words of other programs' formats, and what they are in strftime. A word stands alone between
/// characters that are no letters.
const FOREIGN: [(&str, &str); 14] = [
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("YY", "%y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("DDD", "%j"),
    ("HH", "%H"),
    ("hh", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("YYYYMMDD", "%Y%m%d"),
    ("yyyyMMdd", "%Y%m%d"),
];

impl Template {
    /// Checks the formats of a template that is new.
    ///
    /// # Errors
    /// A format has words of another program's formats, or no part of the time at all.
    pub fn check_formats(&self) -> Result<(), TemplateError> {
        let parts = self.segments.iter().flat_map(|segment| &segment.parts);
        for part in parts {
            if let Part::Time { format, .. } = part {
                check(format)
                    .map_err(|what| TemplateError { template: self.text.clone(), what })?;
            }
        }
        Ok(())
    }
}

fn check(format: &str) -> Result<(), String> {
    let translated = translate(format);
    if translated != format {
        return Err(format!(
            "`{format}` would be taken as text in part: a part of a time is a letter after `%`; \
             write `{translated}`"
        ));
    }
    let shows_time =
        |item: Item<'_>| matches!(item, Item::Numeric(..) | Item::Fixed(_) | Item::Error);
    match StrftimeItems::new(format).any(shows_time) {
        true => Ok(()),
        false => Err(format!(
            "`{format}` has no part of the time, so that all rows would be in one partition; write \
             it like `%Y-%m-%d`"
        )),
    }
}

/// Returns the format with words of other programs' formats translated, outside of its own `%`
/// letters.
fn translate(format: &str) -> String {
    let (mut translated, mut word) = (String::new(), String::new());
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_alphabetic() {
            word.push(character);
            continue;
        }
        end_word(&mut translated, &mut word);
        translated.push(character);
        if character == '%' {
            // A specifier may have modifiers before its letter: `%-d`, `%3f`.
            for specifier in characters.by_ref() {
                translated.push(specifier);
                if specifier.is_ascii_alphabetic() || specifier == '%' {
                    break;
                }
            }
        }
    }
    end_word(&mut translated, &mut word);
    translated
}

fn end_word(translated: &mut String, word: &mut String) {
    let foreign = FOREIGN.iter().find(|(foreign, _)| foreign == word);
    translated.push_str(foreign.map_or(word.as_str(), |(_, specifier)| specifier));
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_other_programs_are_refused_with_the_right_ones() {
        for (format, right) in [
            ("YYYY-MM-DD", "`%Y-%m-%d`"),
            ("yyyy/MM/dd", "`%Y/%m/%d`"),
            ("yyyyMMdd", "`%Y%m%d`"),
            ("%Y-MM-DD", "`%Y-%m-%d`"),
            ("%Y-%m-%dTHH", "write `%Y-%m-%dTHH`"),
            ("HH", "`%H`"),
        ] {
            match check(format) {
                Err(why) => assert!(why.contains(right), "{format}: {why}"),
                // One word with letters around it may be meant.
                Ok(()) => assert_eq!(format, "%Y-%m-%dTHH"),
            }
        }
    }

    #[test]
    fn formats_without_any_part_of_a_time_are_refused() {
        for format in ["2026", "date", "%%Y", "%n"] {
            assert!(check(format).unwrap_err().contains("no part of the time"), "{format}");
        }
    }

    #[test]
    fn formats_that_show_a_time_are_taken() {
        for format in
            ["%Y-%m-%d", "%F", "%Y/w%W", "%-d", "day-%j", "%Y-%m-%dT%H", "%3f", "%s", "%Y%m%d"]
        {
            assert_eq!(check(format), Ok(()), "{format}");
        }
    }
}
