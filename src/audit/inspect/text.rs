//! Reports as text: aligned, with rounded sizes, at most [`WIDTH`] columns unless a name or a reason
//! alone is longer.

use std::fmt::Write as _;

use super::file::{ColumnReport, FileReport, SchemaLine};
use super::lake::{LakeReport, TableReport, Totals};
use super::log::LogReport;
use crate::error_text::{line, shown};
use crate::lake::Skipped;

/// Columns of a terminal that everybody has.
const WIDTH: usize = 80;
/// More bytes than any clipped text has.
const CLIPPED_BYTES: usize = 4096;

/// Formats the report on a lake. With `files`, every file has a line of its own.
#[must_use]
pub fn lake_text(report: &LakeReport, files: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail: the results are let go here and below.
    let _ = writeln!(text, "Lake {}", shown(&report.lake));
    let totals = &report.totals;
    let _ = writeln!(
        text,
        "{}, {}, {}, {}",
        counted(report.tables.len() as u64, "table"),
        counted(totals.files, "file"),
        counted(totals.rows, "row"),
        human(totals.bytes),
    );
    for table in &report.tables {
        table_text(&mut text, table, files);
    }
    if !report.other.is_empty() {
        let _ = writeln!(text, "\nNot in tables");
        for other in &report.other {
            let _ = writeln!(
                text,
                "{}",
                row(&shown(&other.name), [&grouped(other.files), "", &{ human(other.bytes) }, ""])
            );
        }
    }
    if !report.skipped.is_empty() {
        let _ = writeln!(text, "\nNot looked into");
        for Skipped { path, why } in &report.skipped {
            let _ = writeln!(text, "  {}\n    {why}", shown(path));
        }
    }
    if !report.broken.is_empty() {
        let _ = writeln!(text, "\nBroken: {}", counted(report.broken.len() as u64, "file"));
        for broken in &report.broken {
            let _ = writeln!(text, "  {}\n    {}", shown(&broken.path), broken.reason);
        }
    }
    text
}

fn table_text(text: &mut String, table: &TableReport, files: bool) {
    let _ = writeln!(text, "\nTable {}", shown(&table.table));
    if let (Some(column), Some(first), Some(last)) =
        (&table.time_column, &table.totals.first, &table.totals.last)
    {
        let _ = writeln!(text, "{} from {first} to {last}", shown(column));
    }
    if table.totals.files > 0 {
        let codecs: Vec<&str> = table.compression.iter().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "compression {}, {} uncompressed, {}",
            codecs.join(" and "),
            human(table.totals.uncompressed_bytes),
            counted(table.schemas as u64, "schema"),
        );
    }
    if let Some(log) = &table.log {
        log_text(text, log);
    }
    let _ = writeln!(text, "{}", row("partition", ["files", "rows", "size", "row groups"]));
    for partition in &table.partitions {
        let name = if partition.partition.is_empty() { "(none)" } else { &partition.partition };
        let _ = writeln!(text, "{}", totals_row(&shown(name), &partition.totals));
        for file in partition.file_list.iter().filter(|_| files) {
            let name = shown(file.path.rsplit('/').next().unwrap_or_default());
            let name = format!("  {name}");
            let cells = ["", &grouped(file.rows), &human(file.bytes), &grouped(file.row_groups)];
            let _ = writeln!(text, "{}", row(&name, cells));
        }
    }
    if table.partitions.len() > 1 {
        let _ = writeln!(text, "{}", totals_row("all", &table.totals));
    }
}

fn log_text(text: &mut String, log: &LogReport) {
    let Some(version) = log.version else {
        let why = log.error.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "format {}, whose log cannot be read:\n  {why}", log.format);
        return;
    };
    let _ = writeln!(text, "format {}, version {version}", log.format);
    if let Some(location) = &log.location {
        let snapshot = log.snapshot_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let _ = writeln!(text, "  snapshot {snapshot}, at {}", shown(location));
    }
    if log.delete_files > 0 {
        let files = counted(log.delete_files, "delete file");
        let _ = writeln!(text, "  {files} of other writers, with {}", counted(log.deletes, "row"));
    }
    for (node, roll) in &log.marks {
        let _ = writeln!(text, "  last roll of {} in the log: {roll}", shown(node));
    }
    for (node, rolls) in &log.waiting_rolls {
        let _ =
            writeln!(text, "  not in the log yet, of {}: {}", shown(node), counted(*rolls, "roll"));
    }
}

fn totals_row(name: &str, totals: &Totals) -> String {
    let rows = grouped(totals.rows);
    row(name, [&grouped(totals.files), &rows, &human(totals.bytes), &grouped(totals.row_groups)])
}

/// Formats a name and four numbers, right-aligned, in [`WIDTH`] columns. A name that is too long
/// takes a line of its own.
fn row(name: &str, [files, rows, size, groups]: [&str; 4]) -> String {
    let name = format!("  {name}");
    let numbers = format!("{files:>7} {rows:>14} {size:>10} {groups:>10}");
    let width = WIDTH - numbers.len();
    let line = match name.chars().count() < width {
        true => format!("{name:<width$}{numbers}"),
        false => format!("{name}\n{:width$}{numbers}", ""),
    };
    line.trim_end().to_owned()
}

/// Formats the report on a file, with its `top` largest columns.
#[must_use]
pub fn file_text(report: &FileReport, top: usize) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "File {}", shown(&report.file));
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<13}{value}");
    };
    fact("size", &human(report.bytes));
    fact("rows", &grouped(report.rows));
    let pages =
        format!("{} from {}", human(report.compressed_bytes), human(report.uncompressed_bytes));
    fact("pages", &pages);
    if let (Some(column), Some(first), Some(last)) =
        (&report.time_column, &report.first, &report.last)
    {
        fact(&shown(column), &format!("{first} to {last}"));
    }
    fact("written by", &shown(report.created_by.as_deref().unwrap_or("unknown")));

    let _ = writeln!(text, "\nRow groups: {}", report.row_groups.len());
    if !report.row_groups.is_empty() {
        let _ = writeln!(text, "  {:>6} {:>14} {:>12} {:>14}", "number", "rows", "stored", "raw");
    }
    for (number, group) in report.row_groups.iter().enumerate() {
        let _ = writeln!(
            text,
            "  {number:>6} {:>14} {:>12} {:>14}",
            grouped(group.rows),
            human(group.compressed_bytes),
            human(group.uncompressed_bytes)
        );
    }
    columns_text(&mut text, report, top);

    let _ = writeln!(text, "\nKey-value metadata: {}", report.metadata.len());
    for entry in &report.metadata {
        let value = entry.value.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {}", clipped(&format!("{} = {value}", entry.key), WIDTH - 2));
    }

    let _ = writeln!(
        text,
        "\nSchema: {} in {}",
        counted(report.columns.len() as u64, "leaf column"),
        counted(report.schema.iter().filter(|line| line.depth == 0).count() as u64, "column"),
    );
    for line in &report.schema {
        let _ = writeln!(text, "  {}", schema_text(line));
    }
    text
}

fn columns_text(text: &mut String, report: &FileReport, top: usize) {
    let mut columns: Vec<&ColumnReport> = report.columns.iter().collect();
    columns.sort_by_key(|column| std::cmp::Reverse(column.compressed_bytes));
    columns.truncate(top);
    let _ = writeln!(text, "\nColumns: the {} largest of {}", columns.len(), report.columns.len());
    // Small chunks may be stored as they are, so that row groups differ.
    let codecs = |column: &ColumnReport| {
        let names: Vec<&str> = column.compression.iter().map(String::as_str).collect();
        names.join(",")
    };
    let width = columns.iter().map(|column| codecs(column).len()).max().unwrap_or(0).max(6);
    let _ = writeln!(
        text,
        "  {:>10} {:>10}  {:<width$} {:<10} {:<5}  column",
        "stored", "raw", "codec", "encoding", "has"
    );
    for column in columns {
        let has = format!(
            "{} {}",
            if column.bloom_filter { "B" } else { "-" },
            if column.page_index { "I" } else { "-" }
        );
        let name = column.path.replace(".list.element", "").replace(".key_value", "");
        let _ = writeln!(
            text,
            "  {:>10} {:>10}  {:<width$} {:<10} {has:<5}  {}",
            human(column.compressed_bytes),
            human(column.uncompressed_bytes),
            codecs(column),
            encoding(column),
            shortened(&shown(&name), (WIDTH - 44).saturating_sub(width).max(12)),
        );
    }
    let _ = writeln!(text, "  B: Bloom filter, I: page index");
}

/// Returns the encodings of a column's values in a word. The footer does not say which encodings
/// are those of levels, so plain `RLE` (which every nullable column has) is left out next to
/// others.
fn encoding(column: &ColumnReport) -> String {
    let mut names: Vec<&str> = column
        .encodings
        .iter()
        .filter_map(|name| match name.as_str() {
            "RLE_DICTIONARY" | "PLAIN_DICTIONARY" => Some("dict"),
            "DELTA_BINARY_PACKED" => Some("delta"),
            "DELTA_LENGTH_BYTE_ARRAY" => Some("delta-len"),
            "DELTA_BYTE_ARRAY" => Some("delta-str"),
            "BYTE_STREAM_SPLIT" => Some("split"),
            "PLAIN" => Some("plain"),
            _ => None,
        })
        .collect();
    // A dictionary is itself stored plain.
    if names.contains(&"dict") {
        names.retain(|name| *name != "plain");
    }
    if names.is_empty() { "rle".to_owned() } else { names.join("+") }
}

fn schema_text(line: &SchemaLine) -> String {
    let name = format!("{:indent$}{}", "", shown(&line.name), indent = 2 * line.depth);
    let null = if line.nullable { "" } else { ", not null" };
    format!("{name:<44} {}{null}", line.kind)
}

/// Returns the first line of `text`, shortened to `width` characters with an ellipsis for what is
/// missing.
fn clipped(text: &str, width: usize) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line(&spaced, CLIPPED_BYTES, &[]);
    if line.chars().count() <= width {
        return line;
    }
    let mark = format!("… ({})", human(text.len() as u64));
    let kept = width.saturating_sub(mark.chars().count());
    format!("{}{mark}", line.chars().take(kept).collect::<String>())
}

/// Returns `text` without its middle, so that it has at most `width` characters.
fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let (head, tail) = (width / 3, width - width / 3 - 1);
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(length - tail).collect();
    format!("{first}…{last}")
}

/// Formats `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a count with its noun: `1 file`, `2 files`.
fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Formats a size with one decimal: `12.3 MiB`.
pub(crate) fn human(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = units.iter();
    let mut unit = units.next();
    while value >= 1023.95
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = Some(next);
    }
    format!("{value:.1} {}", unit.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_for_people() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1024), "1.0 KiB");
        assert_eq!(human(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(human(u64::MAX), "16.0 EiB");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn long_names_are_cut_without_breaking_the_width() {
        let name = "é".repeat(200);
        assert_eq!(shortened(&name, 30).chars().count(), 30);
        assert!(clipped(&name, 78).chars().count() <= 78);
        let long = row(&"p".repeat(90), ["1", "2", "3 B", "4"]);
        assert_eq!(long.lines().nth(1).map(|line| line.chars().count()), Some(WIDTH));
        assert_eq!(row("p", ["1", "2", "3 B", "4"]).chars().count(), WIDTH);
    }
}
