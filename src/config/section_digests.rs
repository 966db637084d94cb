//! Digests of the sections of a file, by their values alone.

use toml::de::{DeTable, DeValue};
use xxhash_rust::xxh3::xxh3_128;

/// Returns the digest of each section of a file.
pub(super) fn sections(text: &str) -> Vec<(String, u128)> {
    let Ok(root) = DeTable::parse(text) else { return Vec::new() };
    let entries = root.get_ref().iter().filter_map(|(key, value)| {
        let name = match value.get_ref() {
            DeValue::Table(_) => format!("[{}]", key.get_ref()),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {
                format!("[[{}]]", key.get_ref())
            }
            _ => return None,
        };
        let mut text = String::new();
        write(value.get_ref(), &mut text);
        Some((name, xxh3_128(text.as_bytes())))
    });
    entries.collect()
}

/// Writes a value, whatever blanks and comments stood around it.
fn write(value: &DeValue<'_>, text: &mut String) {
    match value {
        DeValue::Table(table) => {
            for (key, value) in table.iter() {
                text.push_str(&format!("{:?}=", key.get_ref()));
                write(value.get_ref(), text);
                text.push('\n');
            }
        }
        DeValue::Array(list) => {
            for value in list.iter() {
                text.push('-');
                write(value.get_ref(), text);
                text.push('\n');
            }
        }
        scalar => text.push_str(&format!("{scalar:?}")),
    }
}
