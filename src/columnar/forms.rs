//! Values as JSON, in the forms of their field.

use chrono::{DateTime, SecondsFormat};
use serde_json::value::RawValue;

use super::value::Value;
use crate::schema::Form;

/// Returns a number or boolean in the first form of `from`; as it is without forms.
pub(super) fn written(from: &[Form], value: Value) -> Value {
    match (from.first(), &value) {
        (Some(Form::Text), Value::Long(_) | Value::Double(_) | Value::Boolean(_)) => {
            Value::String(serde_json::to_string(&value).unwrap_or_default())
        }
        _ => value,
    }
}

/// Returns the time of so many microseconds since the epoch and nanoseconds beyond in the first form of
/// `from` that can say it exactly; in milliseconds without forms.
pub(super) fn time(from: &[Form], micros: i64, nanos: i64) -> Value {
    let total_ns = i128::from(micros) * 1000 + i128::from(nanos);
    let unit = from.iter().find(|form| form.unit_ns().is_some()).copied();
    let form = |form: &Form| match form {
        Form::Iso8601 => Some(Value::String(rfc3339(micros, nanos)?)),
        Form::Text => number(unit?, total_ns).map(Value::String),
        unit => RawValue::from_string(number(*unit, total_ns)?).ok().map(Value::Raw),
    };
    // The last is for columns of other writers only: one of the forms says what the decoder took.
    from.iter().find_map(form).unwrap_or_else(|| Value::Long(micros.div_euclid(1000)))
}

fn rfc3339(micros: i64, nanos: i64) -> Option<String> {
    let beyond_ns = micros.rem_euclid(1_000_000) * 1000 + nanos;
    let time =
        DateTime::from_timestamp(micros.div_euclid(1_000_000), u32::try_from(beyond_ns).ok()?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Returns the JSON number of a time in this unit, if it is exact. Only seconds have fractions.
fn number(unit: Form, total_ns: i128) -> Option<String> {
    let unit_ns = i128::from(unit.unit_ns()?);
    let (whole, rest) = (total_ns / unit_ns, total_ns % unit_ns);
    match rest {
        0 => Some(whole.to_string()),
        _ if unit != Form::Seconds => None,
        rest => {
            let sign = if total_ns < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:09}", whole.abs(), rest.abs());
            Some(text.trim_end_matches('0').to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(from: &[Form], micros: i64, nanos: i64) -> String {
        serde_json::to_string(&time(from, micros, nanos)).unwrap()
    }

    #[test]
    fn times_are_written_in_the_first_form_that_says_them() {
        let form = [Form::Millis, Form::Iso8601];
        assert_eq!(said(&[], 1_500_000, 0), "1500");
        assert_eq!(said(&form, 1_500_000, 0), "1500");
        assert_eq!(said(&form, 1_500_001, 0), r#""1970-01-01T00:00:01.500001Z""#);
        assert_eq!(said(&form, 1_500_001, 9), r#""1970-01-01T00:00:01.500001009Z""#);
        assert_eq!(said(&[Form::Text, Form::Nanos], 1_500_001, 9), r#""1500001009""#);
        assert_eq!(said(&[Form::Seconds], 1_500_000, 0), "1.5");
        assert_eq!(said(&[Form::Seconds], -500_000, 0), "-0.5");
        assert_eq!(said(&[Form::Seconds], -1, 999), "-0.000000001");
        assert_eq!(said(&[Form::Seconds], 2_000_000, 0), "2");
        assert_eq!(said(&[Form::Micros], -1, 0), "-1");
    }

    #[test]
    fn numbers_and_booleans_are_text_where_that_is_their_first_form() {
        let text = |value| serde_json::to_string(&written(&[Form::Text, Form::Number], value));
        assert_eq!(text(Value::Long(-7)).unwrap(), r#""-7""#);
        assert_eq!(text(Value::Double(0.5)).unwrap(), r#""0.5""#);
        assert_eq!(text(Value::Boolean(true)).unwrap(), r#""true""#);
        let plain = serde_json::to_string(&written(&[Form::Number, Form::Text], Value::Long(7)));
        assert_eq!(plain.unwrap(), "7");
    }
}
