//! Times as text by RFC 3339, a profile of ISO 8601: `2026-11-25T10:00:00.123456789Z`.
//!
//! Taken are dates that the calendar has, seconds up to 59 with a fraction of at most nine digits, and an
//! offset, which RFC 3339 asks for: a time without one could be any. `T` may be `t` or a space, `Z` may be
//! `z`.

/// Returns the microseconds since the epoch and the nanoseconds beyond, below 1000.
pub(crate) fn parse(text: &[u8]) -> Option<(i64, i64)> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, between, h1, h2, b':', n1, n2, b':', s1, s2] =
        *head
    else {
        return None;
    };
    if !matches!(between, b'T' | b't' | b' ') {
        return None;
    }
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    if day == 0 || day > days_of(year, month)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let offset_s = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds =
        days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some((seconds * 1_000_000 + nanos / 1000, nanos % 1000))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Reads a fraction of a second, if there is one; returns its nanoseconds and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    if !(1..=9).contains(&count) {
        return None;
    }
    let nanos = (count..9).fold(number(digits)?, |nanos, _| nanos * 10);
    Some((nanos, rest))
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Counts days of the proleptic Gregorian calendar, in years that begin in March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", (0, 0)),
            ("2026-11-25T10:00:00.123456789Z", (1_795_600_800_123_456, 789)),
            ("2026-11-25 11:00:00.1+01:00", (1_795_600_800_100_000, 0)),
            ("2026-11-25t04:30:00-05:30", (1_795_600_800_000_000, 0)),
            ("1969-12-31T23:59:59.999999999z", (-1, 999)),
            ("2024-02-29T00:00:00Z", (1_709_164_800_000_000, 0)),
            ("0001-01-01T00:00:00Z", (-62_135_596_800_000_000, 0)),
            ("9999-12-31T23:59:59.999999Z", (253_402_300_799_999_999, 0)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-11-25",
            "2026-11-25T10:00:00",
            "2026-11-25T10:00Z",
            "2026-02-29T10:00:00Z",
            "1900-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-01-00T10:00:00Z",
            "2026-11-25T24:00:00Z",
            "2026-11-25T10:60:00Z",
            "2026-11-25T10:00:60Z",
            "2026-11-25T10:00:00.Z",
            "2026-11-25T10:00:00.1234567890Z",
            "2026-11-25T10:00:00,5Z",
            "2026-11-25T10:00:00+0100",
            "2026-11-25T10:00:00+24:00",
            "2026-11-25T10:00:00Z ",
            "12026-11-25T10:00:00Z",
            "+026-11-25T10:00:00Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_chrono(
            seconds in -62_135_596_800i64..=253_402_300_799,
            nanos in 0u32..1_000_000_000,
            offset in -1439i32..=1439,
        ) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            let nanos = i64::from(nanos);
            let expected = (seconds * 1_000_000 + nanos / 1000, nanos % 1000);
            let text = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            prop_assert_eq!(parse(text.as_bytes()), Some(expected), "{}", text);
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let text = time.with_timezone(&zone).to_rfc3339();
            // The offset may lead out of the years of four digits.
            if text.len() == 35 || text.len() == 25 {
                prop_assert_eq!(parse(text.as_bytes()), Some(expected), "{}", text);
            }
        }
    }
}
