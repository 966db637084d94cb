//! The parts of names in a lake.

use super::{
    IDENTITY, IMPORTS, INDEX, LEASES, NODES, ObjectName, PROBES, PROMOTED, QUARANTINE, RECEIPTS,
    TABLE_CHANGES, TABLE_IDENTITY, TABLE_LOG, TABLE_METADATA, TABLES, VERIFIED, is_hidden,
};
use crate::json::MOST;
use crate::record::Roll;

/// Ends of the names of objects in the folder of the metadata of an Iceberg table; `.crc` are checksums of
/// local files, by Hadoop.
const METADATA_FILES: [&str; 7] = [
    ".avro",
    ".metadata.json",
    ".metadata.json.gz",
    ".stats",
    ".puffin",
    ".crc",
    "version-hint.text",
];

impl<'a> ObjectName<'a> {
    /// Parses a name relative to the lake. `ObjectName::parse(name).to_string()` is `name`.
    #[must_use]
    pub fn parse(name: &'a str) -> ObjectName<'a> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        if file.starts_with('.') && file.ends_with(".tmp") {
            return ObjectName::Staging(name);
        }
        if name == IDENTITY {
            return ObjectName::Identity;
        }
        let parsed = match folder.split_once('/').unwrap_or((folder, "")) {
            (QUARANTINE, table) => parse_quarantine(table, file),
            (RECEIPTS, node) => numbered(node, file).map(|roll| {
                let roll = Roll(roll);
                ObjectName::Receipt { node, roll }
            }),
            (IMPORTS, "") if file == INDEX => Some(ObjectName::ImportIndex),
            (IMPORTS, "files") => parse_claim(file),
            (IMPORTS, "tables") => file
                .strip_suffix(".json")
                .filter(|hash| is_hash(hash))
                .map(|hash| ObjectName::ImportTables { hash }),
            (IMPORTS, "open") => json(file).map(|node| ObjectName::ImportOpen { node }),
            (IMPORTS, "") => json(file).map(|node| ObjectName::ImportManifest { node }),
            (IMPORTS, node) => numbered(node, file).map(|roll| {
                let roll = Roll(roll);
                ObjectName::ImportSeal { node, roll }
            }),
            (LEASES, lease) => {
                numbered(lease, file).map(|epoch| ObjectName::Lease { name: lease, epoch })
            }
            (VERIFIED, "") => json(file).map(|node| ObjectName::Verified { node }),
            (TABLES, "") => json(file).map(|table| ObjectName::Table { table }),
            (TABLES, table) if file == TABLE_IDENTITY && is_part(table) => {
                Some(ObjectName::TableIdentity { table })
            }
            (TABLES, folder) => parse_promoted(folder, file),
            (NODES, "") => json(file).map(|node| ObjectName::Fence { node }),
            (PROBES, "") => Some(ObjectName::Probe { token: file }),
            _ => parse_log(name, file)
                .or_else(|| parse_metadata(folder, file))
                .or_else(|| parse_data(folder, file)),
        };
        parsed.unwrap_or(ObjectName::Other(name))
    }
}

fn parse_quarantine<'a>(table: &'a str, file: &'a str) -> Option<ObjectName<'a>> {
    let (node, roll) = node_and_roll(file.strip_suffix(".ndjson")?)?;
    is_part(table).then_some(ObjectName::Quarantine { table, node, roll })
}

fn parse_promoted<'a>(folder: &'a str, file: &'a str) -> Option<ObjectName<'a>> {
    let table = folder.strip_suffix(PROMOTED)?.strip_suffix('/')?;
    let hash = json(file).filter(|hash| is_hash(hash))?;
    is_part(table).then_some(ObjectName::PromotedColumn { table, hash })
}

fn parse_claim(file: &str) -> Option<ObjectName<'_>> {
    let stem = file.strip_suffix(".json")?;
    let (content, number) = match stem.split_once('-') {
        None => (stem, 1),
        Some((content, digits)) => {
            let number = digits.parse().ok().filter(|number| *number > 1)?;
            (content, (digits == u64::to_string(&number)).then_some(number)?)
        }
    };
    is_hash(content).then_some(ObjectName::ImportClaim { content, number })
}

/// Returns whether `text` is a hash as names have it.
fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the name before `.json`, if there is one.
fn json(file: &str) -> Option<&str> {
    file.strip_suffix(".json").filter(|name| !name.is_empty())
}

/// Returns whether a folder may be that of a table.
fn is_table(folder: &str) -> bool {
    !folder.is_empty() && !is_hidden(folder) && !folder.contains('=')
}

/// Parses an object of a table's log, or one that belongs to it.
fn parse_log<'a>(name: &'a str, file: &str) -> Option<ObjectName<'a>> {
    let mut at = 0;
    for part in name.split('/') {
        let table = name.get(..at).unwrap_or_default().strip_suffix('/').unwrap_or_default();
        if is_table(table) && part == TABLE_LOG {
            let file = name.get(at + part.len() + 1..).filter(|file| !file.is_empty())?;
            return Some(ObjectName::TableLog { table, file });
        }
        if is_table(table) && part == TABLE_CHANGES {
            return Some(ObjectName::LogCompanion(name));
        }
        at += part.len() + 1;
    }
    let deleted = file.starts_with("deletion_vector_") && file.ends_with(".bin");
    (deleted && !is_hidden(name)).then_some(ObjectName::LogCompanion(name))
}

/// Parses an object of the metadata of a table. A table in a folder may be named like the folder of the
/// metadata, and has other files.
fn parse_metadata<'a>(folder: &'a str, file: &'a str) -> Option<ObjectName<'a>> {
    let (table, last) = folder.rsplit_once('/')?;
    let is_metadata = METADATA_FILES.iter().any(|end| file.ends_with(end));
    let is_ours = is_table(table) && last == TABLE_METADATA && is_metadata;
    is_ours.then_some(ObjectName::TableMetadata { table, file })
}

fn parse_data<'a>(folder: &'a str, file: &'a str) -> Option<ObjectName<'a>> {
    let stem = file.strip_suffix(".parquet")?;
    if is_hidden(folder) || is_hidden(file) {
        return None;
    }
    let (table, partition) = table_and_partition(folder);
    Some(match node_and_roll(stem) {
        Some((node, roll)) => ObjectName::Data { table, partition, node, roll },
        None => ObjectName::ForeignData { table, partition, file },
    })
}

/// Splits the folder of a data file: a table's folder ends where its partitions begin.
fn table_and_partition(folder: &str) -> (&str, &str) {
    let mut at = 0;
    for part in folder.split('/') {
        if part.contains('=') {
            let (table, partition) = folder.split_at_checked(at).unwrap_or((folder, ""));
            return (table.strip_suffix('/').unwrap_or(table), partition);
        }
        at += part.len() + 1;
    }
    (folder, "")
}

fn node_and_roll(stem: &str) -> Option<(&str, Roll)> {
    let (node, roll) = stem.rsplit_once('-')?;
    let roll = number(roll).map(Roll)?;
    (!node.is_empty()).then_some((node, roll))
}

/// Parses `<number>.json` in a folder of one part.
fn numbered(folder: &str, file: &str) -> Option<u64> {
    is_part(folder).then(|| number(file.strip_suffix(".json")?)).flatten()
}

/// Returns the roll of a receipt by the last part of its name.
pub(in crate::lake) fn receipt_number(file: &str) -> Option<u64> {
    number(file.strip_suffix(".json")?)
}

/// Parses a number as names have it: eight digits, or more without a leading zero; none that could not
/// be counted on from.
fn number(digits: &str) -> Option<u64> {
    let written = match digits.len() {
        0..8 => false,
        8 => true,
        _ => !digits.starts_with('0'),
    };
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = (written && digits_only).then(|| digits.parse().ok()).flatten();
    number.filter(|number| *number <= MOST)
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}
