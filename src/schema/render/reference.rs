//! The reference page of a table: every column, and every field below it, with its names in documents
//! and its types.
//!
//! `docs/tables/` has those of the built-in tables and of their flat tables; a test of the command `schema`
//! holds them to what this prints.

use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, Member, TableSchema};

/// Returns the page as Markdown.
pub fn reference_page(schema: &TableSchema) -> String {
    let partitions = match schema.start_column() {
        Some(start) => format!(
            "Partitioned by `date`, the UTC day of `{start}`, unless the configuration says otherwise."
        ),
        None => "Partitioned as the configuration says.".to_owned(),
    };
    let names = "In documents: the members that a column is read from, the current one first; after a colon, \
         the forms of the value that are taken, where they are others than the type's own.";
    page(schema, &partitions, Some(names))
}

/// Returns the page of a flat table, whose rows are made of those of another one.
pub fn flat_reference_page(schema: &TableSchema) -> String {
    let partitions = "[Flat tables](../flat-tables.md) says how it is partitioned, and which columns of the \
         session are a setting.";
    page(schema, partitions, None)
}

/// `names` explains the columns of names in documents, for a table that has some.
fn page(schema: &TableSchema, partitions: &str, names: Option<&str>) -> String {
    let name = &schema.name;
    let mut text = format!("# `{name}`\n\n");
    if !schema.doc.is_empty() {
        text.push_str(&format!("{}\n\n", schema.doc));
    }
    let fingerprint = &schema.fingerprint;
    text.push_str(&format!(
        "Schema {fingerprint}, printed by `sessionlake schema {name}`. {partitions}\n\n"
    ));
    text.push_str(
        "`[]` is an element of a list. Every column may be null but `_ingest_time` and `_ingest_id`.",
    );
    let (own, dashes) = match names {
        Some(names) => {
            text.push_str(&format!(" {names}"));
            (" in documents | other names |", "---|---|")
        }
        None => ("", ""),
    };
    text.push_str(&format!(
        "\n\n| column |{own} unit | Arrow | Parquet | Spark | DuckDB | meaning |\n\
         |---|{dashes}---|---|---|---|---|---|\n"
    ));
    let named = names.is_some();
    for field in &schema.fields {
        rows(&mut text, field, "", named);
    }
    let lineage = [
        (INGEST_TIME, Kind::TimestampMillis, "Time when the row's body was received."),
        (
            INGEST_ID,
            Kind::String,
            "Origin of the row, unique in the lake: node, sequence and line.",
        ),
        (EXTRA, Kind::String, "JSON object, by JSON Pointer, of the values that no column has."),
    ];
    for (name, kind, doc) in lineage {
        // Of a flat table, it is the id of the row that it was made of.
        let doc = match (name, named) {
            (INGEST_ID, false) => "Origin of the session's row, unique in its table.",
            _ => doc,
        };
        row(&mut text, name, named.then_some(["", ""]), &kind, doc);
    }
    text
}

/// Appends the row of a field, and those of the fields below.
fn rows(text: &mut String, field: &Field, before: &str, named: bool) {
    let name = format!("{before}{}", field.name);
    let mut members = member(field);
    if !field.from.is_empty() {
        let forms: Vec<&str> = field.from.iter().map(|form| form.as_str()).collect();
        members.push_str(&format!(": {}", forms.join(", ")));
    }
    let others: Vec<String> = field.json_aliases().map(path).collect();
    let others = others.join(", ");
    let names: Option<[&str; 2]> = named.then_some([&members, &others]);
    row(text, &name, names, &field.kind, &field.doc);
    let (mut kind, mut name) = (&field.kind, name);
    while let Kind::List(element) = kind {
        kind = element;
        name.push_str("[]");
    }
    if let Kind::Struct(fields) = kind {
        fields.iter().for_each(|field| rows(text, field, &format!("{name}."), named));
    }
}

fn member(field: &Field) -> String {
    match &field.json {
        Member { prefix: Some(prefix), .. } => format!("`{prefix}*`"),
        Member { nanos_of: Some(time), .. } => format!("with `{time}`"),
        _ => path(field.json_path()),
    }
}

fn path(path: &[String]) -> String {
    match path {
        [name] => format!("`{name}`"),
        names => format!("`{}`", serde_json::Value::from(names)),
    }
}

fn row(text: &mut String, name: &str, names: Option<[&str; 2]>, kind: &Kind, doc: &str) {
    let mut cells = vec![format!("`{name}`")];
    cells.extend(names.into_iter().flatten().map(str::to_owned));
    cells.push(unit(kind, doc).to_owned());
    cells.extend(types(kind));
    cells.push(doc.to_owned());
    // A bar would end the cell, in code too.
    let cells: Vec<String> =
        cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

/// Returns the types in Arrow, Parquet, Spark and DuckDB.
fn types(kind: &Kind) -> [String; 4] {
    let own = |types: [&str; 4]| types.map(str::to_owned);
    match kind {
        Kind::String => own(["Utf8", "BYTE_ARRAY, String", "STRING", "VARCHAR"]),
        Kind::Long => own(["Int64", "INT64", "BIGINT", "BIGINT"]),
        Kind::Double => own(["Float64", "DOUBLE", "DOUBLE", "DOUBLE"]),
        Kind::Boolean => own(["Boolean", "BOOLEAN", "BOOLEAN", "BOOLEAN"]),
        Kind::TimestampMillis => {
            own(["Timestamp(µs, UTC)", "INT64, Timestamp(µs, UTC)", "TIMESTAMP", "TIMESTAMPTZ"])
        }
        Kind::Struct(_) => own(["Struct", "group", "STRUCT", "STRUCT"]),
        Kind::List(element) => {
            let [arrow, parquet, spark, duckdb] = types(element);
            let (arrow, parquet) = (format!("List({arrow})"), format!("List of {parquet}"));
            [arrow, parquet, format!("ARRAY<{spark}>"), format!("{duckdb}[]")]
        }
        Kind::Map(value) => {
            let [arrow, parquet, spark, duckdb] = types(value);
            [
                format!("Map(Utf8, {arrow})"),
                format!("Map to {parquet}"),
                format!("MAP<STRING, {spark}>"),
                format!("MAP(VARCHAR, {duckdb})"),
            ]
        }
    }
}

/// The units that documentation names: `…, in ms.`
const UNITS: [&str; 8] = ["ns", "µs", "ms", "s", "pixels", "bytes", "percent", "degrees"];

/// Returns the unit of a number, as its documentation says it.
fn unit(kind: &Kind, doc: &str) -> &'static str {
    match kind {
        Kind::TimestampMillis => "UTC",
        Kind::Long | Kind::Double => {
            let words = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_owned()
            };
            let said = doc.split(" in ").skip(1).map(words);
            let mut units = said.filter_map(|word| UNITS.into_iter().find(|unit| *unit == word));
            let counted = doc.starts_with("Number of") && !doc.starts_with("Number of this");
            let bytes = doc.starts_with("Bytes");
            let other = [(counted, "count"), (bytes, "bytes")].into_iter().find(|(is, _)| *is);
            units.next().or(other.map(|(_, unit)| unit)).unwrap_or_default()
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_form_and_type_of_a_field_is_on_the_page() {
        let time = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
        let text = format!(
            r#"{{"type":"record","name":"t","doc":"All | of it.","fields":[
            {{"name":"a","type":"long","json":["x","y"],"aliases":["b"],"json_aliases":["c.d"],
              "from":["text","number"],"doc":"Length, in ms."}},
            {{"name":"at","type":{time},"from":["iso8601"]}},
            {{"name":"at_nanos","type":"long","nanos_of":"at"}},
            {{"name":"m","type":{{"type":"map","values":"double"}},"json_prefix":"p."}},
            {{"name":"l","type":{{"type":"array","items":{{"type":"record","name":"R","fields":[
                {{"name":"k","type":"string","doc":"One|two."}}]}}}}}}]}}"#
        );
        let page = reference_page(&TableSchema::parse(&text).unwrap());
        for line in [
            r#"| `a` | `["x","y"]`: text, number | `b`, `c.d` | ms | Int64 | INT64 | BIGINT | BIGINT | Length, in ms. |"#,
            "| `at` | `at`: iso8601 |  | UTC | Timestamp(µs, UTC) | INT64, Timestamp(µs, UTC) | TIMESTAMP | TIMESTAMPTZ |  |",
            "| `at_nanos` | with `at` |  |  | Int64 | INT64 | BIGINT | BIGINT |  |",
            "| `m` | `p.*` |  |  | Map(Utf8, Float64) | Map to DOUBLE | MAP<STRING, DOUBLE> | MAP(VARCHAR, DOUBLE) |  |",
            "| `l` | `l` |  |  | List(Struct) | List of group | ARRAY<STRUCT> | STRUCT[] |  |",
            r"| `l[].k` | `k` |  |  | Utf8 | BYTE_ARRAY, String | STRING | VARCHAR | One\|two. |",
        ] {
            assert!(page.lines().any(|of| of == line), "{line}\n{page}");
        }
        assert!(page.contains("Partitioned as the configuration says."), "{page}");
    }
}
