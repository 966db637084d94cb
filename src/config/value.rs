//! Durations, byte counts, numbers and switches from text, and back.
//!
//! An error is half a sentence to follow the text: `"5 parsecs"` **`is not a duration`**.

use std::time::Duration;

use bytesize::ByteSize;

/// 2¹⁰ bytes.
pub(crate) const KIB: u64 = 1 << 10;
/// 2²⁰ bytes.
pub(crate) const MIB: u64 = 1 << 20;
/// 2³⁰ bytes.
pub(crate) const GIB: u64 = 1 << 30;
/// 2⁴⁰ bytes.
pub(crate) const TIB: u64 = 1 << 40;

/// Parses a duration with a unit. Both bounds are allowed.
pub(crate) fn duration(text: &str, least_ms: u64, most_ms: u64) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text.trim())
        .map_err(|_| "is not a duration (a number and a unit: ms, s, min, h)".to_owned())?;
    let (least, most) = (Duration::from_millis(least_ms), Duration::from_millis(most_ms));
    if duration < least || duration > most {
        return Err(format!("is not between {} and {}", show_duration(least), show_duration(most)));
    }
    Ok(duration)
}

/// Parses a number of bytes, plain or with a unit. Both bounds are allowed.
pub(crate) fn size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let text = text.trim();
    let ByteSize(bytes) = text
        .parse::<ByteSize>()
        .map_err(|_| "is not a size (bytes, or a number and a unit: KiB, MiB, GiB)".to_owned())?;
    if bytes < least || bytes > most {
        return Err(format!("is not between {} and {}", show_size(least), show_size(most)));
    }
    Ok(bytes)
}

/// Parses a whole number, or `word` as `None`. Both bounds are allowed.
pub(crate) fn count(
    text: &str,
    least: u64,
    most: u64,
    word: Option<&str>,
) -> Result<Option<u64>, String> {
    let text = text.trim();
    if word == Some(text) {
        return Ok(None);
    }
    let or_word = word.map(|word| format!(" or the word {word}")).unwrap_or_default();
    let number =
        text.parse::<u64>().map_err(|_| format!("is not a whole number above 0{or_word}"))?;
    if number < least || number > most {
        return Err(format!("is not between {least} and {most}{or_word}"));
    }
    Ok(Some(number))
}

/// Parses `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// Parses `true`, `false` or `word`, which is `None`.
pub(crate) fn switch_or(text: &str, word: &str) -> Result<Option<bool>, String> {
    match text.trim() {
        text if text == word => Ok(None),
        text => switch(text).map(Some).map_err(|_| format!("is none of {word}, true and false")),
    }
}

/// Formats a duration exactly: 90 s as `1m 30s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Formats a byte count exactly: 134217728 as `128MiB`, and one that no unit divides in bytes.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Returns the candidate that is most similar to `word`.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_all_their_spellings() {
        for (text, bytes) in [
            ("128MiB", 128 * MIB),
            ("1GB", 1_000_000_000),
            ("1.5 GiB", GIB + GIB / 2),
            ("1048576", MIB),
            ("64 kib", 64 * KIB),
        ] {
            assert_eq!(size(text, 0, TIB), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "1e9", "many", "128 MiB!", "1GiB 2"] {
            assert!(size(text, 0, TIB).is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn bounds_are_allowed_and_named() {
        assert_eq!(size("1MiB", MIB, GIB), Ok(MIB));
        assert_eq!(size("1GiB", MIB, GIB), Ok(GIB));
        assert_eq!(size("1048575", MIB, GIB), Err("is not between 1MiB and 1GiB".to_owned()));
        assert_eq!(
            duration("2h", 1_000, 3_600_000),
            Err("is not between 1s and 1h".to_owned()),
            "humantime's own way to write an hour"
        );
        assert_eq!(count("0", 1, 8, Some("auto")).unwrap_err(), {
            "is not between 1 and 8 or the word auto"
        });
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("10min", 0, 3_600_000), Ok(Duration::from_secs(600)));
        assert_eq!(duration("0s", 0, 1), Ok(Duration::ZERO));
        assert!(duration("60", 0, 3_600_000).is_err());
        assert!(duration("-1s", 0, 3_600_000).is_err());
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1023, KIB, MIB + 1, 128 * MIB, 10 * GIB, TIB] {
            assert_eq!(size(&show_size(bytes), 0, TIB), Ok(bytes));
        }
    }

    #[test]
    fn the_nearest_word_is_the_one_meant() {
        let words = ["listen", "roll_age", "roll_rows", "row_group_bytes"];
        assert_eq!(nearest("roll-age", words), Some("roll_age"));
        assert_eq!(nearest("LISTEN_ADDRESS", words), Some("listen"));
        assert_eq!(nearest("rowgroup_bytes", words), Some("row_group_bytes"));
    }
}
