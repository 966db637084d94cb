//! Columns that were promoted: rows of before have their values in `_extra`.
//!
//! A view shows such a value in the column if it is of the column's type, by the rules of the decoder:
//! no text becomes a number, and no number with a fraction an integer. `_extra` itself stays as it is.
//! This is for single values, of the session and of the elements of its lists; a list, and a value
//! further within, is shown where it is stored. Times have no such form in Trino.

use super::dialect::{Dialect, Writer};
use crate::schema::{EXTRA, Field, Kind};

/// Writes a promoted column with the values of before; as it is, if it is none or has no such form.
///
/// `column` is the column; `before` the start of its pointer up to the last slash, as an expression.
pub(super) fn with_old_values(
    writer: &Writer<'_>,
    field: &Field,
    column: String,
    before: &str,
) -> String {
    let own = [field.name.clone()];
    let tokens = field.json.path.as_deref().unwrap_or(&own);
    let tokens: Vec<String> =
        tokens.iter().map(|token| token.replace('~', "~0").replace('/', "~1")).collect();
    let key = format!("{before} || {}", writer.text(&tokens.join("/")));
    match value(writer, &field.kind, &key).filter(|_| field.promoted) {
        // Most rows have no such value, and nothing of theirs is parsed.
        Some(value) => {
            let extra = writer.name(EXTRA);
            let contains = writer.contains(&extra, before);
            format!("coalesce({column}, CASE WHEN {contains} THEN {value} END)")
        }
        None => column,
    }
}

/// The milliseconds of the first and the last time of a column.
const TIMES_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);

/// Writes the value of a member of `_extra`, null if it is of another type.
fn value(writer: &Writer<'_>, kind: &Kind, key: &str) -> Option<String> {
    match writer.dialect {
        Dialect::Duckdb => duckdb(&writer.name(EXTRA), kind, key),
        Dialect::Spark => spark(&writer.name(EXTRA), kind, key),
        Dialect::Trino => trino(&writer.name(EXTRA), kind, key),
    }
}

fn duckdb(extra: &str, kind: &Kind, key: &str) -> Option<String> {
    // The key is one token of a pointer into `_extra`.
    let pointer = format!("'/' || replace(replace({key}, '~', '~0'), '/', '~1')");
    let typed = format!("json_type({extra}, {pointer})");
    let json = format!("json_extract({extra}, {pointer})");
    let whole = format!("TRY_CAST({json} AS DOUBLE) = floor(TRY_CAST({json} AS DOUBLE))");
    let long = format!(
        "CASE WHEN {typed} IN ('BIGINT', 'UBIGINT') OR ({typed} = 'DOUBLE' AND {whole}) \
         THEN TRY_CAST({json} AS BIGINT) END"
    );
    Some(match kind {
        Kind::String => {
            format!(
                "CASE WHEN {typed} = 'VARCHAR' THEN json_extract_string({extra}, {pointer}) END"
            )
        }
        Kind::Long => long,
        Kind::Double => format!(
            "CASE WHEN {typed} IN ('BIGINT', 'UBIGINT', 'DOUBLE') THEN TRY_CAST({json} AS DOUBLE) END"
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

fn spark(extra: &str, kind: &Kind, key: &str) -> Option<String> {
    let json = format!("try_element_at(from_json({extra}, 'MAP<STRING, VARIANT>'), {key})");
    let typed = format!("schema_of_variant({json})");
    let double = format!("variant_get({json}, '$', 'DOUBLE')");
    let is_fraction = format!("({typed} LIKE 'DECIMAL%' OR {typed} = 'DOUBLE')");
    let long = format!(
        "CASE WHEN {typed} = 'BIGINT' OR ({is_fraction} AND {double} = floor({double})) \
         THEN try_variant_get({json}, '$', 'BIGINT') END"
    );
    Some(match kind {
        Kind::String => {
            format!("CASE WHEN {typed} = 'STRING' THEN variant_get({json}, '$', 'STRING') END")
        }
        Kind::Long => long,
        Kind::Double => {
            format!("CASE WHEN {typed} = 'BIGINT' OR {is_fraction} THEN {double} END")
        }
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

fn trino(extra: &str, kind: &Kind, key: &str) -> Option<String> {
    let json = format!("element_at(TRY(CAST(json_parse({extra}) AS MAP(VARCHAR, JSON))), {key})");
    let text = format!("json_format({json})");
    let double = format!("TRY_CAST({text} AS DOUBLE)");
    Some(match kind {
        Kind::String => {
            format!("CASE WHEN starts_with({text}, '\"') THEN CAST({json} AS VARCHAR) END")
        }
        Kind::Long => format!(
            "coalesce(TRY_CAST({text} AS BIGINT), \
             CASE WHEN {double} = floor({double}) THEN TRY_CAST({double} AS BIGINT) END)"
        ),
        Kind::Double => double,
        Kind::Boolean => {
            format!("CASE WHEN {text} IN ('true', 'false') THEN CAST({json} AS BOOLEAN) END")
        }
        Kind::TimestampMillis | Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => return None,
    })
}
