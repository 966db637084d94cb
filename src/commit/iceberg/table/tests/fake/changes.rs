//! Changes of a table, as the reference in Java makes them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// Gives new ids, from 11 on: those of a struct's members before those below them.
fn renew(fields: &mut Json, last: &mut i64, ids: &mut BTreeMap<i64, i64>) {
    let fields = fields.as_array_mut().expect("fields");
    for field in &mut *fields {
        *last += 1;
        ids.insert(field["id"].as_i64().expect("an id"), *last);
        field["id"] = (*last).into();
    }
    for field in fields {
        renew_type(&mut field["type"], last, ids);
    }
}

fn renew_type(of: &mut Json, last: &mut i64, ids: &mut BTreeMap<i64, i64>) {
    if of["type"] == "struct" {
        renew(&mut of["fields"], last, ids);
    }
    for (id, below) in [("element-id", "element"), ("key-id", "key"), ("value-id", "value")] {
        if of.get(id).is_some() {
            *last += 1;
            of[id] = (*last).into();
            renew_type(&mut of[below], last, ids);
        }
    }
}

pub(super) fn created(body: &Json, number: u64) -> Json {
    let (mut schema, mut last, mut ids) = (body["schema"].clone(), 10, Default::default());
    renew(&mut schema["fields"], &mut last, &mut ids);
    let mut spec = body["partition-spec"].clone();
    assert!(spec["spec-id"].is_number(), "Java wants one: {spec}");
    for field in spec["fields"].as_array_mut().expect("fields") {
        field["source-id"] = ids[&field["source-id"].as_i64().expect("an id")].into();
    }
    assert_eq!(body["properties"]["format-version"], "2");
    let location = body.get("location").cloned().unwrap_or_else(|| json!("s3://tables/db/t"));
    let mut properties = body["properties"].clone();
    properties.as_object_mut().expect("an object").remove("format-version");
    json!({
        "format-version": 2, "table-uuid": format!("u-{number}"), "location": location,
        "last-sequence-number": 0, "last-updated-ms": 1_000, "last-column-id": last,
        "current-schema-id": 0, "schemas": [schema], "default-spec-id": 0,
        "partition-specs": [spec], "last-partition-id": 1000, "sort-orders": [],
        "properties": properties, "current-snapshot-id": -1, "snapshots": [], "refs": {}
    })
}

/// Returns the table after a commit, or the refusal.
pub(crate) fn committed(table: &Json, body: &Json) -> Result<Json, (u16, &'static str)> {
    let main = table["refs"]["main"]["snapshot-id"].clone();
    for requirement in body["requirements"].as_array().expect("requirements") {
        let holds = |key: &str| requirement[key] == table[key];
        let holds = match requirement["type"].as_str().expect("a type") {
            "assert-table-uuid" => requirement["uuid"] == table["table-uuid"],
            "assert-ref-snapshot-id" => {
                requirement["ref"] == "main" && requirement["snapshot-id"] == main
            }
            "assert-current-schema-id" => holds("current-schema-id"),
            "assert-last-assigned-field-id" => {
                requirement["last-assigned-field-id"] == table["last-column-id"]
            }
            "assert-default-spec-id" => holds("default-spec-id"),
            other => panic!("{other}"),
        };
        if !holds {
            return Err((409, "a requirement does not hold"));
        }
    }
    let mut table = table.clone();
    let updated = table["last-updated-ms"].as_i64().expect("a time");
    table["last-updated-ms"] = (updated + 1).into();
    for update in body["updates"].as_array().expect("updates") {
        match update["action"].as_str().expect("an action") {
            "add-snapshot" => add_snapshot(&mut table, &update["snapshot"], updated)?,
            "set-snapshot-ref" => {
                let id = &update["snapshot-id"];
                if !table["snapshots"]
                    .as_array()
                    .expect("all")
                    .iter()
                    .any(|s| s["snapshot-id"] == *id)
                {
                    return Err((400, "no such snapshot"));
                }
                assert_eq!(
                    (&update["ref-name"], &update["type"]),
                    (&json!("main"), &json!("branch"))
                );
                table["refs"]["main"] = json!({"snapshot-id": id, "type": "branch"});
                table["current-snapshot-id"] = id.clone();
            }
            "set-properties" => {
                for (key, value) in update["updates"].as_object().expect("properties") {
                    assert!(value.is_string());
                    table["properties"][key] = value.clone();
                }
            }
            "add-schema" => {
                let mut schema = update["schema"].clone();
                let last = update["last-column-id"].as_i64();
                if last < table["last-column-id"].as_i64() {
                    return Err((400, "a last column id that was"));
                }
                schema["schema-id"] = table["schemas"].as_array().expect("all").len().into();
                table["last-column-id"] = update["last-column-id"].clone();
                table["schemas"].as_array_mut().expect("all").push(schema);
            }
            "set-current-schema" => {
                assert_eq!(update["schema-id"], -1);
                table["current-schema-id"] =
                    (table["schemas"].as_array().expect("all").len() - 1).into();
            }
            "add-spec" => {
                let specs = table["partition-specs"].as_array_mut().expect("specs");
                let mut spec = update["spec"].clone();
                assert!(spec["spec-id"].is_number(), "Java wants one: {spec}");
                if !specs.iter().any(|other| other["fields"] == spec["fields"]) {
                    // Another one than it was asked for.
                    spec["spec-id"] = (specs.len() + 4).into();
                    specs.push(spec);
                }
            }
            "set-location" => table["location"] = update["location"].clone(),
            other => panic!("{other}"),
        }
    }
    Ok(table)
}

fn add_snapshot(
    table: &mut Json,
    snapshot: &Json,
    updated: i64,
) -> Result<(), (u16, &'static str)> {
    let snapshots = table["snapshots"].as_array_mut().expect("all");
    if snapshots.iter().any(|other| other["snapshot-id"] == snapshot["snapshot-id"]) {
        return Err((400, "a snapshot that is there"));
    }
    snapshots.push(snapshot.clone());
    let time = snapshot["timestamp-ms"].as_i64().expect("a time");
    if snapshot["sequence-number"].as_i64() <= table["last-sequence-number"].as_i64() {
        return Err((400, "a sequence number that was"));
    }
    if time < updated {
        return Err((400, "a time that was"));
    }
    // Perhaps not the current one: columns may have been added since.
    assert!(snapshot["schema-id"].as_i64() <= table["current-schema-id"].as_i64());
    table["last-sequence-number"] = snapshot["sequence-number"].clone();
    table["last-updated-ms"] = time.into();
    Ok(())
}
