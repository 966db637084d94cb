//! Ids, evolution and the name mapping.

use serde_json::json;

use super::*;

pub(in crate::commit::iceberg) fn table(fields: &str) -> TableSchema {
    let text = format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#);
    TableSchema::parse(&text).unwrap()
}

const COLUMNS: &str = r#"
    {"name":"id","type":["null","string"],"default":null,"doc":"its name"},
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
    {"name":"acts","type":["null",{"type":"array","items":{"type":"record","name":"act","fields":[
        {"name":"n","type":["null","long"],"default":null},
        {"name":"d","type":["null","double"],"default":null}]}}],"default":null},
    {"name":"tags","type":["null",{"type":"map","values":["null","string"]}],"default":null}"#;

#[test]
fn ids_are_given_to_members_before_what_is_below_them() {
    let schema = Schema::of(&table(COLUMNS));
    let expected = json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 1, "name": "id", "required": false, "type": "string", "doc": "its name"},
        {"id": 2, "name": "at", "required": false, "type": "timestamptz"},
        {"id": 3, "name": "acts", "required": false, "type": {
            "type": "list", "element-id": 8, "element-required": false, "element": {
                "type": "struct", "fields": [
                    {"id": 9, "name": "n", "required": false, "type": "long"},
                    {"id": 10, "name": "d", "required": false, "type": "double"}]}}},
        {"id": 4, "name": "tags", "required": false, "type": {
            "type": "map", "key-id": 11, "key": "string", "value-id": 12,
            "value-required": false, "value": "string"}},
        {"id": 5, "name": "_ingest_time", "required": false, "type": "timestamptz"},
        {"id": 6, "name": "_ingest_id", "required": false, "type": "string"},
        {"id": 7, "name": "_extra", "required": false, "type": "string"}]});
    assert_eq!(serde_json::to_value(&schema).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Schema>(expected).unwrap(), schema);
    let paths: Vec<_> = schema.leaves().into_iter().map(|(p, leaf)| (p, leaf.id)).collect();
    let paths: Vec<_> = paths.iter().map(|(path, id)| (&**path, *id)).collect();
    assert_eq!(
        paths,
        [
            ("_extra", 7),
            ("_ingest_id", 6),
            ("_ingest_time", 5),
            ("acts.list.element.d", 10),
            ("acts.list.element.n", 9),
            ("at", 2),
            ("id", 1),
            ("tags.entries.key", 11),
            ("tags.entries.value", 12),
            ("tags.key_value.key", 11),
            ("tags.key_value.value", 12),
        ]
    );
}

#[test]
fn every_leaf_of_a_file_has_an_id_in_the_schema() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let leaves = Schema::of(&schema).leaves();
    let descriptor = parquet::arrow::ArrowSchemaConverter::new().convert(&schema.arrow());
    for column in descriptor.unwrap().columns() {
        assert!(leaves.contains_key(&column.path().string()), "{}", column.path());
    }
    let ids: std::collections::BTreeSet<i32> = leaves.values().map(|leaf| leaf.id).collect();
    let maps = leaves.keys().filter(|path| path.contains(".entries.")).count();
    assert_eq!(ids.len() + maps, leaves.len());
}

#[test]
fn the_name_mapping_has_the_ids_of_the_table() {
    let mut schema = Schema::of(&table(COLUMNS));
    schema.fields[0].id = 40;
    let mapping: Json = serde_json::from_str(&schema.new_mapping()).unwrap();
    assert_eq!(mapping[0], json!({"field-id": 40, "names": ["id"]}));
    let acts = json!({"field-id": 3, "names": ["acts"], "fields": [
        {"field-id": 8, "names": ["element"], "fields": [
            {"field-id": 9, "names": ["n"]}, {"field-id": 10, "names": ["d"]}]}]});
    assert_eq!(mapping[2], acts);
    let tags = json!({"field-id": 4, "names": ["tags"], "fields": [
        {"field-id": 11, "names": ["key"]}, {"field-id": 12, "names": ["value"]}]});
    assert_eq!(mapping[3], tags);
}

#[test]
fn missing_columns_are_added_with_new_ids_and_others_stay_as_they_are() {
    let mut theirs = Schema::of(&table(COLUMNS));
    assert_eq!(theirs.evolved(&Schema::of(&table(COLUMNS)), 50), Ok(None));
    let more = COLUMNS.replace(
        r#"{"name":"n""#,
        r#"{"name":"x","type":["null",{"type":"array","items":["null","long"]}],"default":null},{"name":"n""#,
    );
    theirs.fields[0].id = 40;
    let (evolved, last) =
        theirs.evolved(&Schema::of(&table(&more)), 50).unwrap().expect("a column is missing");
    assert_eq!((last, evolved.fields[0].id), (52, 40));
    let leaves = evolved.leaves();
    assert_eq!(leaves["acts.list.element.x.list.element"].id, 52);
    assert_eq!(leaves["acts.list.element.n"], theirs.leaves()["acts.list.element.n"]);
    for (from, to, why) in [
        (r#""double""#, r#""string""#, "its column acts.element.d is double, and the rolls"),
        (r#""name":"at""#, r#""name":"AT""#, "its column at is AT in the rolls"),
    ] {
        let other = Schema::of(&table(&COLUMNS.replace(from, to)));
        let error = theirs.evolved(&other, 50).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    theirs.fields.push(Field { required: true, name: "u".into(), ..theirs.fields[0].clone() });
    let error = theirs.evolved(&Schema::of(&table(COLUMNS)), 50).unwrap_err();
    assert_eq!(error, "its column u is required, and no roll has it");
}

#[test]
fn a_mapping_is_changed_only_where_columns_of_rolls_are_missing() {
    let ours = Schema::of(&table(COLUMNS));
    let mut theirs = ours.clone();
    let whole = theirs.new_mapping();
    assert_eq!(theirs.mapping(&ours, Some(&whole)), Ok(None));
    assert_eq!(theirs.mapping(&ours, None), Ok(Some(whole.clone())));
    assert!(theirs.mapping(&ours, Some("{")).unwrap_err().contains("cannot be read"));
    // The catalog has given other ids than it was asked for.
    theirs.fields[0].id = 40;
    let other = theirs.mapping(&ours, Some(&whole)).unwrap().unwrap();
    assert_eq!(other, theirs.new_mapping());
    // Somebody has renamed a column that rolls no longer have.
    let old = Field { id: 50, name: "new name".into(), ..theirs.fields[0].clone() };
    theirs.fields.push(old);
    let mut mapping: Json = serde_json::from_str(&whole).unwrap();
    let names = json!({"field-id": 50, "names": ["old", "new name", "at"]});
    mapping.as_array_mut().unwrap().push(names);
    mapping[2]["fields"][0]["fields"].as_array_mut().unwrap().pop();
    let other = theirs.mapping(&ours, Some(&mapping.to_string())).unwrap().unwrap();
    assert_eq!(theirs.mapping(&ours, Some(&other)), Ok(None));
    let other: Json = serde_json::from_str(&other).unwrap();
    assert_eq!(other[7], json!({"field-id": 50, "names": ["new name", "old"]}));
    assert_eq!(other[1], json!({"field-id": 2, "names": ["at"]}));
    assert_eq!(other[2]["fields"][0]["fields"][1], json!({"field-id": 10, "names": ["d"]}));
}

#[test]
fn a_column_that_was_renamed_is_told_from_one_that_was_dropped() {
    let ours = Schema::of(&table(COLUMNS));
    let mapping = ours.new_mapping();
    let mut theirs = ours.clone();
    assert_eq!(theirs.check_names(&ours, Some(&mapping)), Ok(()));
    theirs.fields[1].name = "time".to_owned();
    let error = theirs.check_names(&ours, Some(&mapping)).unwrap_err();
    assert!(error.starts_with("calls the column time that was at"), "{error}");
    assert_eq!(theirs.check_names(&ours, None), Ok(()));
    theirs.fields.remove(1);
    assert_eq!(theirs.check_names(&ours, Some(&mapping)), Ok(()));
}
