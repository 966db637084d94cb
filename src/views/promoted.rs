//! Columns that were promoted: rows of before have their values in `_extra`.
//!
//! A view shows such a value in the column as the decoder would have landed it: no text becomes a number,
//! no number with a fraction an integer, and no integer a double that is not equal to it. Of a list, the
//! elements of another type are null. `_extra` itself stays as it is. This is for single values and lists
//! of them, of the session and of the elements of its lists; a value further within is shown where it is
//! stored. So is a time whose schema names forms of its own (`from`).
//!
//! Engines know a number with a fraction or an exponent as a double, so one that is no integer of 53 bits
//! is shown in no column of integers.

use super::dialect::{Dialect, Writer};
use super::unnest::Prefix;
use crate::schema::{EXTRA, Field, Form, Kind};
use crate::table::Format;

/// Writes a promoted column with the values of before; as it is, if it is none or has no such form.
///
/// `column` is the column; `before` the start of its pointer up to the last slash.
pub(super) fn with_old_values(
    writer: &Writer<'_>,
    field: &Field,
    column: String,
    before: &Prefix,
) -> String {
    if !field.promoted {
        return column;
    }
    let own = [field.name.clone()];
    let tokens = field.json.path.as_deref().unwrap_or(&own);
    let tokens: Vec<String> =
        tokens.iter().map(|token| token.replace('~', "~0").replace('/', "~1")).collect();
    let key = format!("{} || {}", before.sql, writer.text(&tokens.join("/")));
    match value(writer, field, &key) {
        // Most rows have no such value, and nothing of theirs is parsed.
        Some(value) => {
            let extra = writer.name(EXTRA);
            let may_be_in = before.may_be_in(writer, &extra);
            format!("coalesce({column}, CASE WHEN {may_be_in} THEN {value} END)")
        }
        None => column,
    }
}

/// The milliseconds of the first and the last time of a column.
const TIMES_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
/// A number as JSON writes it.
const NUMBER: &str = r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?";
/// The first integer that is not told from its neighbours as a double.
const INEXACT: &str = "9007199254740992";

/// Writes the value of a member of `_extra`, null if it is of another type.
fn value(writer: &Writer<'_>, field: &Field, key: &str) -> Option<String> {
    let extra = writer.name(EXTRA);
    let json = match writer.dialect {
        // The key is one token of a pointer into `_extra`.
        Dialect::Duckdb => {
            format!("json_extract({extra}, '/' || replace(replace({key}, '~', '~0'), '/', '~1'))")
        }
        Dialect::Spark => {
            format!("try_element_at(from_json({extra}, 'MAP<STRING, VARIANT>'), {key})")
        }
        Dialect::Trino => {
            format!("element_at(TRY(CAST(json_parse({extra}) AS MAP(VARCHAR, JSON))), {key})")
        }
    };
    let Kind::List(item) = &field.kind else {
        return formed(writer, &field.kind, &field.from, &json);
    };
    let item = formed(writer, item, &field.from, "e")?;
    Some(match writer.dialect {
        Dialect::Duckdb => format!(
            "CASE WHEN json_type({json}) = 'ARRAY' THEN list_transform(TRY_CAST({json} AS JSON[]), \
             lambda e: {item}) END"
        ),
        Dialect::Spark => format!(
            "CASE WHEN schema_of_variant({json}) LIKE 'ARRAY%' THEN \
             transform(try_variant_get({json}, '$', 'ARRAY<VARIANT>'), e -> {item}) END"
        ),
        Dialect::Trino => format!("transform(TRY(CAST({json} AS ARRAY(JSON))), e -> {item})"),
    })
}

/// Writes a JSON value that may have these forms as a value of a column.
fn formed(writer: &Writer<'_>, kind: &Kind, from: &[Form], json: &str) -> Option<String> {
    let as_it_is = scalar(writer, kind, json)?;
    if from.is_empty() {
        return Some(as_it_is);
    }
    let plain = match kind {
        Kind::Long | Kind::Double => NUMBER,
        Kind::Boolean => "true|false",
        Kind::String | Kind::TimestampMillis | Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => {
            return None;
        }
    };
    let text = scalar(writer, &Kind::String, json)?;
    let pattern = writer.text(&format!(r"^({plain})\z"));
    let (is_plain, inner) = match writer.dialect {
        Dialect::Duckdb => {
            (format!("regexp_matches({text}, {pattern})"), format!("TRY_CAST({text} AS JSON)"))
        }
        Dialect::Spark => (format!("{text} RLIKE {pattern}"), format!("try_parse_json({text})")),
        Dialect::Trino => {
            (format!("regexp_like({text}, {pattern})"), format!("TRY(json_parse({text}))"))
        }
    };
    let inner = scalar(writer, kind, &inner)?;
    let of_text = format!("CASE WHEN {is_plain} THEN {inner} END");
    let forms = [(Form::Text, of_text)].into_iter().filter(|(form, _)| from.contains(form));
    let has_plain = from.iter().any(|form| *form != Form::Text);
    let all: Vec<String> =
        has_plain.then_some(as_it_is).into_iter().chain(forms.map(|(_, value)| value)).collect();
    Some(format!("coalesce({}, NULL)", all.join(", ")))
}

/// Writes a JSON value as one of a column; null if it is of another type.
fn scalar(writer: &Writer<'_>, kind: &Kind, json: &str) -> Option<String> {
    match writer.dialect {
        Dialect::Duckdb => duckdb(kind, json),
        Dialect::Spark => spark(kind, json),
        Dialect::Trino => trino(writer.table.format, kind, json),
    }
}

fn duckdb(kind: &Kind, json: &str) -> Option<String> {
    let typed = format!("json_type({json})");
    let double = format!("TRY_CAST({json} AS DOUBLE)");
    let long = format!(
        "CASE WHEN {typed} IN ('BIGINT', 'UBIGINT') OR ({typed} = 'DOUBLE' \
         AND abs({double}) < {INEXACT} AND {double} = floor({double})) \
         THEN TRY_CAST({json} AS BIGINT) END"
    );
    Some(match kind {
        Kind::String => {
            format!("CASE WHEN {typed} = 'VARCHAR' THEN json_extract_string({json}, '$') END")
        }
        Kind::Long => long,
        // An integer of more than 64 bits is a double as well, with the text that it came with.
        Kind::Double => format!(
            "CASE WHEN {typed} IN ('BIGINT', 'UBIGINT', 'DOUBLE') AND isfinite({double}) AND \
             (NOT regexp_full_match(CAST({json} AS VARCHAR), '-?[0-9]+') \
             OR TRY_CAST({double} AS HUGEINT) = TRY_CAST({json} AS HUGEINT)) THEN {double} END"
        ),
        Kind::Boolean => {
            format!("CASE WHEN {typed} = 'BOOLEAN' THEN TRY_CAST({json} AS BOOLEAN) END")
        }
        Kind::TimestampMillis => {
            let (first, last) = TIMES_MS;
            format!(
                "CASE WHEN {long} BETWEEN {first} AND {last} THEN make_timestamptz({long} * 1000) END"
            )
        }
        Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => return None,
    })
}

fn spark(kind: &Kind, json: &str) -> Option<String> {
    let typed = format!("schema_of_variant({json})");
    let integer = format!("try_variant_get({json}, '$', 'BIGINT')");
    let double = format!("try_variant_get({json}, '$', 'DOUBLE')");
    let decimal = format!("try_variant_get({json}, '$', 'DECIMAL(38, 0)')");
    let is_fraction = format!("({typed} LIKE 'DECIMAL%' OR {typed} = 'DOUBLE')");
    let long = format!(
        "CASE WHEN {typed} = 'BIGINT' THEN {integer} WHEN {is_fraction} AND \
         abs({double}) < {INEXACT} AND {double} = floor({double}) THEN CAST({double} AS BIGINT) END"
    );
    Some(match kind {
        Kind::String => {
            format!("CASE WHEN {typed} = 'STRING' THEN variant_get({json}, '$', 'STRING') END")
        }
        Kind::Long => long,
        Kind::Double => format!(
            "CASE WHEN {typed} = 'BIGINT' THEN CASE WHEN {integer} < {max} AND \
             try_cast({double} AS BIGINT) = {integer} THEN {double} END \
             WHEN {typed} LIKE 'DECIMAL(%,0)' THEN CASE WHEN \
             try_cast({double} AS DECIMAL(38, 0)) = {decimal} THEN {double} END \
             WHEN {is_fraction} AND abs({double}) <= {largest} THEN {double} END",
            max = i64::MAX,
            largest = "1.7976931348623157E308D"
        ),
        Kind::Boolean => {
            format!("CASE WHEN {typed} = 'BOOLEAN' THEN variant_get({json}, '$', 'BOOLEAN') END")
        }
        Kind::TimestampMillis => {
            let (first, last) = TIMES_MS;
            format!("CASE WHEN {long} BETWEEN {first} AND {last} THEN timestamp_millis({long}) END")
        }
        Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => return None,
    })
}

fn trino(format: Format, kind: &Kind, json: &str) -> Option<String> {
    let text = format!("json_format({json})");
    let double = format!("TRY_CAST({text} AS DOUBLE)");
    let long = format!(
        "coalesce(TRY_CAST({text} AS BIGINT), CASE WHEN abs({double}) < {INEXACT} AND \
         {double} = floor({double}) THEN TRY_CAST({double} AS BIGINT) END)"
    );
    Some(match kind {
        Kind::String => {
            format!("CASE WHEN starts_with({text}, '\"') THEN CAST({json} AS VARCHAR) END")
        }
        Kind::Long => long,
        Kind::Double => format!(
            "CASE WHEN is_finite({double}) AND (NOT regexp_like({text}, '^-?[0-9]+$') OR \
             TRY_CAST({double} AS DECIMAL(38, 0)) = TRY_CAST({text} AS DECIMAL(38, 0))) \
             THEN {double} END"
        ),
        Kind::Boolean => {
            format!("CASE WHEN {text} IN ('true', 'false') THEN CAST({json} AS BOOLEAN) END")
        }
        Kind::TimestampMillis => {
            let (first, last) = TIMES_MS;
            // Of plain files by the statement for its Hive connector, which has no times with a zone.
            let zone = if format == Format::Plain { "" } else { " UTC" };
            // It adds no more than 32 bits of a unit.
            format!(
                "CASE WHEN {long} BETWEEN {first} AND {last} THEN \
                 date_add('millisecond', {long} % 86400000, date_add('day', {long} / 86400000, \
                 TIMESTAMP '1970-01-01 00:00:00.000{zone}')) END"
            )
        }
        Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => return None,
    })
}
