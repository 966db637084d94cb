//! The Avro schema of the entries of a manifest.

use serde_json::{Value as Json, json};

use crate::commit::iceberg::partition::PartitionField;

/// Returns the Avro schema of an entry.
pub(super) fn entry_schema(fields: &[PartitionField]) -> Result<String, String> {
    let partition = fields.iter().map(|field| {
        let of = match &*field.transform {
            "day" => json!({"type": "int", "logicalType": "date"}),
            "hour" | "month" | "year" => json!("int"),
            "identity" => json!("string"),
            other => return Err(format!("partition field {} is by {other}", field.name)),
        };
        let name = avro_name(&field.name);
        let mut column =
            json!({"name": name, "type": ["null", of], "default": null, "field-id": field.field_id});
        if name != field.name {
            column["iceberg-field-name"] = field.name.clone().into();
        }
        Ok(column)
    });
    let partition = partition.collect::<Result<Vec<Json>, String>>()?;
    let required =
        |name: &str, of: Json, id: i32| json!({"name": name, "type": of, "field-id": id});
    let optional = |name: &str, of: Json, id: i32| json!({"name": name, "type": ["null", of], "default": null, "field-id": id});
    // Maps whose keys are no texts are arrays of pairs.
    let by_id = |key: i32, value: i32, of: &str| {
        json!({"type": "array", "logicalType": "map", "items": {
            "type": "record", "name": format!("k{key}_v{value}"), "fields": [
                required("key", json!("int"), key), required("value", json!(of), value)]}})
    };
    let file = json!({"type": "record", "name": "r2", "fields": [
        required("content", json!("int"), 134),
        required("file_path", json!("string"), 100),
        required("file_format", json!("string"), 101),
        required("partition", json!({"type": "record", "name": "r102", "fields": partition}), 102),
        required("record_count", json!("long"), 103),
        required("file_size_in_bytes", json!("long"), 104),
        optional("column_sizes", by_id(117, 118, "long"), 108),
        optional("value_counts", by_id(119, 120, "long"), 109),
        optional("null_value_counts", by_id(121, 122, "long"), 110),
        optional("nan_value_counts", by_id(138, 139, "long"), 137),
        optional("lower_bounds", by_id(126, 127, "bytes"), 125),
        optional("upper_bounds", by_id(129, 130, "bytes"), 128),
    ]});
    let entry = json!({"type": "record", "name": "manifest_entry", "fields": [
        required("status", json!("int"), 0),
        optional("snapshot_id", json!("long"), 1),
        optional("sequence_number", json!("long"), 3),
        optional("file_sequence_number", json!("long"), 4),
        required("data_file", file, 2),
    ]});
    Ok(entry.to_string())
}

/// Returns a name as Avro takes it: others than letters, digits and `_` as `_x` and their code.
fn avro_name(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        match c {
            'a'..='z' | 'A'..='Z' | '_' => out.push(c),
            '0'..='9' if at > 0 => out.push(c),
            '0'..='9' => {
                out.push('_');
                out.push(c);
            }
            other => out.push_str(&format!("_x{:X}", u32::from(other))),
        }
    }
    out
}
