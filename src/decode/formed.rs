//! Values of columns whose schema names the forms that they take: numbers as text, times in other units
//! or as text.
//!
//! A value fits if the column holds it exactly: a time of the years 1 to 9999, in microseconds and, where
//! the schema has a column for those, the nanoseconds beyond. Text is taken if it is the other form to
//! the letter, without escapes: `"42"`, not `" 42"` or `"042"`.

use super::number::Token;
use super::parser::{Parsed, Parser};
use super::plan::FieldIndex;
use crate::columnar::builders::{ColumnBuilder, FormedBuilder};
use crate::rfc3339;

/// The microseconds since the epoch of the years 1 to 9999.
const YEARS_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

impl Parser<'_> {
    /// Reads the value at `at` into row `row`, as [`Parser::value`] does.
    #[inline(never)]
    pub(super) fn formed(
        &mut self,
        formed: &mut FormedBuilder<FieldIndex>,
        row: usize,
        at: usize,
    ) -> Parsed<Option<usize>> {
        let boolean = matches!(formed.column, ColumnBuilder::Boolean(_));
        match self.byte(at) {
            b'"' if formed.forms.text || formed.forms.rfc3339 => {
                let end = self.skip_text(at + 1)?;
                let text = self.src.get(at + 1..end - 1).unwrap_or_default();
                Ok(push_text(formed, row, text).map(|()| end))
            }
            b'-' | b'0'..=b'9' if formed.forms.plain && !boolean => {
                let token = self.number(at)?;
                Ok(push_number(formed, row, &token).map(|()| at + token.len()))
            }
            byte @ (b't' | b'f') if formed.forms.plain && boolean => {
                let text: &[u8] = if byte == b't' { b"true" } else { b"false" };
                let end = self.literal(at, text)?;
                Ok(push_text(formed, row, text).map(|()| end))
            }
            _ => Ok(None),
        }
    }
}

fn push_text(formed: &mut FormedBuilder<FieldIndex>, row: usize, text: &[u8]) -> Option<()> {
    if let ColumnBuilder::Boolean(plain) = &mut formed.column {
        let value = match text {
            b"true" => true,
            b"false" => false,
            _ => return None,
        };
        plain.push(row, value);
        return Some(());
    }
    if formed.forms.text
        && let Ok(token) = Token::read(text, 0)
        && token.len() == text.len()
    {
        return push_number(formed, row, &token);
    }
    if !formed.forms.rfc3339 {
        return None;
    }
    let (micros, nanos) = rfc3339::parse(text)?;
    push_time(formed, row, micros, nanos)
}

fn push_number(
    formed: &mut FormedBuilder<FieldIndex>,
    row: usize,
    token: &Token<'_>,
) -> Option<()> {
    match &mut formed.column {
        ColumnBuilder::Long(plain) => plain.push(row, token.long()?),
        ColumnBuilder::Double(plain) => plain.push(row, token.double()?),
        ColumnBuilder::Timestamp(_) => {
            let unit_ns = i128::from(formed.forms.unit_ns);
            // Only seconds have fractions.
            let places = if unit_ns == 1_000_000_000 { 9 } else { 0 };
            let number = token.scaled(places)?;
            let nanos = if places > 0 { number } else { number.checked_mul(unit_ns)? };
            let micros = i64::try_from(nanos.div_euclid(1000)).ok()?;
            // Below 1000.
            push_time(formed, row, micros, nanos.rem_euclid(1000) as i64)?;
        }
        _ => return None,
    }
    Some(())
}

fn push_time(
    formed: &mut FormedBuilder<FieldIndex>,
    row: usize,
    micros: i64,
    nanos: i64,
) -> Option<()> {
    let FormedBuilder { column: ColumnBuilder::Timestamp(times), nanos: beyond, .. } = formed
    else {
        return None;
    };
    if !YEARS_US.contains(&micros) || (nanos != 0 && beyond.is_none()) {
        return None;
    }
    times.push(row, micros);
    if let Some(beyond) = beyond {
        beyond.push(row, nanos);
    }
    Some(())
}
