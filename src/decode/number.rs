//! JSON numbers: integers in place, decimal numbers exactly or by the standard library.
//!
//! A number is first split into its parts by the grammar of RFC 8259; its value as an integer or a
//! double is decided from the digits, never through a rounded double, so that `5.0` and `1e3`
//! are integers and `9007199254740993` is no double.

/// A number, split into its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    text: &'a [u8],
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: Option<i64>,
}

/// An exponent beyond this is held at it: no value with fewer digits than a body has bytes can
/// tell the difference, and sums with lengths stay far from overflowing.
const EXPONENT_CAP: i64 = 1 << 60;

/// Integers up to here are exact doubles, every one of them.
const EXACT: u64 = 1 << 53;

/// The powers of ten that are exact doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

const POWERS_OF_TEN: [u64; 16] = {
    let mut powers = [1; 16];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Returns the integer at `at` and the position after it, in the common case: at most 15 digits, no
/// fraction or exponent, and at least 16 bytes of `src` from the first digit on. `None` decides
/// nothing.
// Always inlined: a pair that comes back through memory is read before its stores are done, which
// costs more than the conversion.
#[inline(always)]
pub(super) fn short_long(src: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = *src.get(at)? == b'-';
    let first = at + usize::from(negative);
    let window = src.get(first..)?.first_chunk::<16>()?;
    let (low, high) = window.split_at(8);
    let (mut value, mut digits) = leading_digits(word(low));
    if digits == 8 {
        let (more, count) = leading_digits(word(high));
        if count == 8 {
            return None;
        }
        value = value * POWERS_OF_TEN[count] + more;
        digits += count;
    }
    if digits == 0 || (window[0] == b'0' && digits > 1) {
        return None;
    }
    if matches!(window[digits], b'.' | b'e' | b'E') {
        return None;
    }
    let value = value.cast_signed();
    Some((if negative { -value } else { value }, first + digits))
}

/// Returns the double at `at` and the position after it, in the common case: at most seven digits
/// before the point and fifteen behind it, no exponent, a value that one division gives exactly, and at
/// least 24 bytes of `src` from the first digit on. `None` decides nothing.
#[inline(always)]
pub(super) fn short_double(src: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = *src.get(at)? == b'-';
    let first = at + usize::from(negative);
    let window = src.get(first..)?.first_chunk::<24>()?;
    let (mut value, whole) = leading_digits(word(window));
    // Seven at most, so that what follows them is in the window.
    if whole == 0 || whole == 8 || (window[0] == b'0' && whole > 1) {
        return None;
    }
    let mut end = whole;
    let mut power = 1.0;
    if window[whole] == b'.' {
        let fraction = window.get(whole + 1..)?;
        let (mut digits, mut places) = leading_digits(word(fraction));
        if places == 8 {
            let (more, count) = leading_digits(word(fraction.get(8..)?));
            if count == 8 {
                return None;
            }
            digits = digits * POWERS_OF_TEN[count] + more;
            places += count;
        }
        // Eighteen digits are within 64 bits.
        if places == 0 || whole + places > 18 {
            return None;
        }
        let places_power = POWERS_OF_TEN.get(places).copied()?;
        value = value * places_power + digits;
        if value > EXACT {
            return None;
        }
        power = places_power as f64;
        end += 1 + places;
    }
    if matches!(window.get(end), None | Some(b'e' | b'E')) {
        return None;
    }
    // Both sides are exact, so that the one operation rounds once, and rightly.
    let size = value as f64 / power;
    Some((if negative { -size } else { size }, first + end))
}

/// Returns the position after the number at `at`, in the common case: at most fifteen digits on either
/// side of the point, no exponent, and sixteen bytes of `src` from the beginning of either on. `None`
/// decides nothing.
#[inline]
pub(super) fn short_end(src: &[u8], at: usize) -> Option<usize> {
    #[cfg(test)]
    if super::quick::OFF.get() {
        return None;
    }
    let digits = |first: usize| {
        let window = src.get(first..)?.first_chunk::<16>()?;
        let (low, high) = window.split_at(8);
        let mut count = count_of_digits(word(low));
        if count == 8 {
            count += count_of_digits(word(high));
        }
        let after = window.get(count)?;
        (count > 0).then_some((first + count, window[0] == b'0' && count > 1, *after))
    };
    let first = at + usize::from(*src.get(at)? == b'-');
    let (mut end, zero, mut after) = digits(first)?;
    if after == b'.' {
        (end, _, after) = digits(end + 1)?;
    }
    (!zero && !matches!(after, b'e' | b'E')).then_some(end)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Returns the value of the decimal digits that `word` begins with (its lowest byte first), and
/// their number.
#[inline]
fn leading_digits(word: u64) -> (u64, usize) {
    let digits = word ^ 0x3030_3030_3030_3030;
    let count = count_of_digits(word);
    if count == 0 {
        return (0, 0);
    }
    // Zeros move in below, as leading digits; then pairs, fours and all eight are joined.
    let digits = digits << ((8 - count) * 8);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, count)
}

/// Returns the number of decimal digits that `word` begins with, its lowest byte first.
#[inline]
fn count_of_digits(word: u64) -> usize {
    let digits = word ^ 0x3030_3030_3030_3030;
    // A byte above 9 carries into its high bit; only the lowest one found is sure.
    let others = (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080;
    others.trailing_zeros() as usize / 8
}

impl<'a> Token<'a> {
    /// Reads the number of `src` at `at`.
    ///
    /// # Errors
    /// The position of the byte that breaks the grammar.
    pub(super) fn read(src: &'a [u8], at: usize) -> Result<Token<'a>, usize> {
        let byte = |at: usize| src.get(at).copied().unwrap_or(0);
        let digits = |from: usize| {
            let rest = src.get(from..).unwrap_or_default();
            let count = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
            (&rest[..count], from + count)
        };
        let negative = byte(at) == b'-';
        let first = at + usize::from(negative);
        let (whole, mut end) = digits(first);
        match whole {
            [] => return Err(first),
            [b'0', _, ..] => return Err(first + 1),
            _ => {}
        }
        let mut fraction: &[u8] = &[];
        if byte(end) == b'.' {
            (fraction, end) = digits(end + 1);
            if fraction.is_empty() {
                return Err(end);
            }
        }
        let mut exponent = None;
        if matches!(byte(end), b'e' | b'E') {
            let sign = byte(end + 1);
            let (text, after) = digits(end + 1 + usize::from(matches!(sign, b'+' | b'-')));
            if text.is_empty() {
                return Err(after);
            }
            let size = text.iter().fold(0i64, |size, digit| {
                let digit = i64::from(digit - b'0');
                size.saturating_mul(10).saturating_add(digit).min(EXPONENT_CAP)
            });
            exponent = Some(if sign == b'-' { -size } else { size });
            end = after;
        }
        let text = src.get(at..end).unwrap_or_default();
        Ok(Token { text, negative, whole, fraction, exponent })
    }

    /// Returns the length in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }

    /// Returns the value times ten to the power of `places`, if that is an integer of 127 bits.
    pub(super) fn scaled(&self, places: i64) -> Option<i128> {
        let whole = self.whole.len() as i64 + self.exponent.unwrap_or(0) + places;
        let mut value = 0i128;
        let mut place = 0i64;
        for digit in self.digits() {
            if place < whole {
                value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
            } else if digit != 0 {
                return None;
            }
            place += 1;
        }
        if value != 0 {
            for _ in place..whole {
                value = value.checked_mul(10)?;
            }
        }
        Some(if self.negative { -value } else { value })
    }

    /// Returns the value if it is an integer of 64 bits, however it is written.
    pub(super) fn long(&self) -> Option<i64> {
        // Only digits before this place may be other than zero.
        let whole = self.whole.len() as i64 + self.exponent.unwrap_or(0);
        let mut value = 0u64;
        let mut place = 0i64;
        for digit in self.digits() {
            if place < whole {
                value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            } else if digit != 0 {
                return None;
            }
            place += 1;
        }
        if value != 0 {
            for _ in place..whole {
                value = value.checked_mul(10)?;
            }
        }
        if self.negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
    }

    /// Returns the value as a double: of an integer (no fraction, no exponent) only when that is
    /// exact, of others the nearest one, when that is finite.
    pub(super) fn double(&self) -> Option<f64> {
        let integer = self.fraction.is_empty() && self.exponent.is_none();
        if self.whole.len() + self.fraction.len() <= 19 {
            let digits = self.digits().fold(0u64, |value, digit| value * 10 + u64::from(digit));
            let exponent = self.exponent.unwrap_or(0) - self.fraction.len() as i64;
            let power = POWERS.get(usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX));
            if let (true, Some(power)) = (digits <= EXACT, power) {
                // Both sides are exact, so that the one operation rounds once, and rightly.
                let digits = digits as f64;
                let size = if exponent < 0 { digits / power } else { digits * power };
                return Some(if self.negative { -size } else { size });
            }
        }
        let value: f64 = std::str::from_utf8(self.text).ok()?.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        if integer && format!("{:.0}", value.abs()).as_bytes() != self.whole {
            return None;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(text: &str) -> Option<i64> {
        let token = Token::read(text.as_bytes(), 0).unwrap();
        assert_eq!(token.len(), text.len());
        let padded = format!("{text},\"next\":123456789");
        if let Some((value, end)) = short_long(padded.as_bytes(), 0) {
            assert_eq!((Some(value), end), (token.long(), text.len()), "{text}");
        }
        token.long()
    }

    fn double(text: &str) -> Option<f64> {
        Token::read(text.as_bytes(), 0).unwrap().double()
    }

    #[test]
    fn integers_are_longs_however_they_are_written() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.000", 0),
            ("0e999999999999999999999", 0),
            // One more digit, and ten times the cap would be beyond 64 bits.
            ("0e11529215046068469769", 0),
            ("0e-11529215046068469769", 0),
            ("5", 5),
            ("5.0", 5),
            ("5.00000000000000000000000000000", 5),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("12.50e1", 125),
            ("1200e-2", 12),
            ("-42", -42),
            ("1622107543233", 1_622_107_543_233),
            ("123456789012345", 123_456_789_012_345),
            ("1234567890123456", 1_234_567_890_123_456),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("0.00009e5", 9),
        ] {
            assert_eq!(long(text), Some(value), "{text}");
        }
        for text in [
            "5.7",
            "1e-1",
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e999999999999999999999",
            "0.1",
            "12.55e1",
        ] {
            assert_eq!(long(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_scaled_exactly_or_not_at_all() {
        let scaled = |text: &str, places| Token::read(text.as_bytes(), 0).unwrap().scaled(places);
        assert_eq!(scaled("1764064800.123456789", 9), Some(1_764_064_800_123_456_789));
        assert_eq!(scaled("-1.5e-3", 9), Some(-1_500_000));
        assert_eq!(scaled("1764064800123456789", 0), Some(1_764_064_800_123_456_789));
        assert_eq!(scaled("1.0", 0), Some(1));
        assert_eq!(scaled("0.1234567891", 9), None);
        assert_eq!(scaled("1.5", 0), None);
        assert_eq!(scaled("1e60", 9), None);
        assert_eq!(scaled("0e999999999999999999", 9), Some(0));
    }

    #[test]
    fn short_integers_of_every_length_are_read_in_place() {
        let digits = "987654321098765";
        for len in 1..=15 {
            for sign in ["", "-"] {
                let text = format!("{sign}{}", &digits[..len]);
                let padded = format!("{text},\"a\":null,\"b\":false");
                let expected = (text.parse().unwrap(), text.len());
                assert_eq!(short_long(padded.as_bytes(), 0), Some(expected));
            }
        }
        for text in [
            "5.0,xxxxxxxxxxxxxxxx",
            "5e1,xxxxxxxxxxxxxxxx",
            "05,xxxxxxxxxxxxxxxxx",
            "-,xxxxxxxxxxxxxxxxx",
        ] {
            assert_eq!(short_long(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn short_decimal_numbers_are_read_as_all_others_are() {
        let tails = [",xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "}", "e1,xxxxxxxxxxxxxxxxxxxxxxxxxxx"];
        let mut read = 0;
        for whole in ["", "0", "7", "00", "01", "42", "9007199", "1234567", "12345678", "-3"] {
            for places in 0..=17 {
                for fraction in ["5", "0", "9", "x"] {
                    let text = match places {
                        0 => whole.to_owned(),
                        _ => format!(
                            "{whole}.{}{fraction}",
                            "12345678901234567890".get(1..places).unwrap()
                        ),
                    };
                    for (tail, sign) in tails.iter().flat_map(|tail| [(tail, ""), (tail, "-")]) {
                        let text = format!("{sign}{text}{tail}");
                        let token = Token::read(text.as_bytes(), 0).ok();
                        let end = short_end(text.as_bytes(), 0);
                        assert!(end.is_none() || end == token.map(|token| token.len()), "{text}");
                        let Some((value, end)) = short_double(text.as_bytes(), 0) else { continue };
                        let token = token.unwrap();
                        assert_eq!(end, token.len(), "{text}");
                        assert_eq!(
                            token.double().map(f64::to_bits),
                            Some(value.to_bits()),
                            "{text}"
                        );
                        read += 1;
                    }
                }
            }
        }
        assert!(read > 400, "{read}");
    }

    #[test]
    fn what_the_grammar_forbids_is_no_number() {
        for (text, at) in [
            ("-", 1),
            ("01", 1),
            ("-01", 2),
            ("1.", 2),
            ("1.e3", 2),
            (".5", 0),
            ("1e", 2),
            ("1e+", 3),
            ("+1", 0),
            ("--1", 1),
            ("", 0),
        ] {
            assert_eq!(Token::read(text.as_bytes(), 0).err(), Some(at), "{text}");
        }
    }

    #[test]
    fn doubles_are_the_nearest_ones_and_integers_only_exact_ones() {
        for text in [
            "0.1",
            "1e22",
            "1e23",
            "123456789.123456789e-30",
            "5e-324",
            "1e-400",
            "-2.5",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "9007199254740993.0",
            "1e0",
            "179769313486231570.0e291",
            "3.14159265358979323846264338327950288",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(double(text).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        for (text, value) in [
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("9007199254740994", 9_007_199_254_740_994.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("100000000000000000000000", 1e23),
        ] {
            let exact = format!("{value:.0}") == text;
            assert_eq!(double(text), exact.then_some(value), "{text}");
        }
        assert_eq!(double("9007199254740993"), None, "not representable");
        assert_eq!(double("18446744073709551617"), None);
        assert_eq!(double("1e309"), None, "infinite");
        assert_eq!(double(&"9".repeat(400)), None);
        assert_eq!(double("-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
    }
}
