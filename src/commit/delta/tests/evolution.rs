//! Columns that come later, columns that only the table has, and their documentation.

use super::*;

/// The columns of the table, as its last metadata has them: names with paths, in their order.
fn columns(store: &InMemory) -> Vec<String> {
    fn walk(path: &str, of: &serde_json::Value, all: &mut Vec<String>) {
        for field in of["fields"].as_array().into_iter().flatten() {
            let path = format!("{path}{}", field["name"].as_str().expect("a name"));
            let comment = field["metadata"]["comment"].as_str();
            assert_eq!(field["nullable"], true);
            all.push(comment.map_or_else(|| path.clone(), |text| format!("{path}: {text}")));
            let within =
                [&field["type"], &field["type"]["elementType"], &field["type"]["valueType"]];
            within.iter().for_each(|of| walk(&format!("{path}."), of, all));
        }
    }
    let actions = log(store).into_iter().flatten();
    let mut text =
        actions.filter_map(|a| a["metaData"]["schemaString"].as_str().map(str::to_owned));
    let schema = serde_json::from_str(&text.next_back().expect("metadata")).expect("JSON");
    let mut all = Vec::new();
    walk("", &schema, &mut all);
    all
}

#[test]
fn columns_that_come_later_are_added_once_and_others_stay() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let lake = Lake::on(store.clone(), 1 << 20);
    let docs =
        FIELDS.replacen(r#""name":"country""#, r#""doc":"Where, by ISO","name":"country""#, 1);
    let old = table(&lake, &docs, &runtime);
    assert!(matches!(old.commit("n1", &[receipt("n1", 1)]), Visible::At { version: 1, .. }));
    let first = [
        "startTime",
        "country: Where, by ISO",
        "actions",
        "actions.name",
        "_ingest_time",
        "_ingest_id",
        "_extra",
        "date",
    ];
    assert_eq!(columns(&store), first);
    // In another order, with a column before the others, a struct, and members in the list's struct.
    let later = r#"
        {"name":"early","type":["null","long"],"doc":"First of all"},
        {"name":"country","type":["null","string"]},
        {"name":"place","type":["null",{"type":"record","name":"p","fields":[
            {"name":"city","type":["null","string"]}]}]},
        {"name":"actions","type":["null",{"type":"array","items":{"type":"record","name":"a","fields":[
            {"name":"took","type":["null","double"]},
            {"name":"name","type":["null","string"]}]}}]},
        {"name":"startTime","type":["null",{"type":"long","logicalType":"timestamp-millis"}]}"#;
    let new = table(&lake, later, &runtime);
    assert!(matches!(new.commit("n1", &[receipt("n1", 2)]), Visible::At { version: 3, .. }));
    let mut all = first[..4].to_vec();
    all.push("actions.took");
    all.extend(&first[4..]);
    all.extend(["early: First of all", "place", "place.city"]);
    assert_eq!(columns(&store), all);
    // A member of a struct that was there.
    let more = later.replace(
        r#"{"name":"city","type":["null","string"]}"#,
        r#"{"name":"zip","type":["null","string"]},{"name":"city","type":["null","string"]}"#,
    );
    let more = table(&lake, &more, &runtime);
    assert!(matches!(more.commit("n1", &[receipt("n1", 3)]), Visible::At { version: 5, .. }));
    all.push("place.zip");
    assert_eq!(columns(&store), all);
    // Rolls with fewer columns go on, and add nothing but files; so do all that have the same.
    for (roll, delta) in (4..).zip([&old, &more, &new]) {
        let version = roll + 2;
        let outcome = delta.commit("n1", &[receipt("n1", roll)]);
        assert_eq!(outcome, Visible::At { roll: Roll(roll), version, added: true });
    }
    assert_eq!(columns(&store), all);
}

#[test]
fn writers_that_add_one_column_at_once_add_it_once() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let lake = Lake::on(store.clone(), 1 << 20);
    assert!(matches!(
        table(&lake, FIELDS, &runtime).commit("n0", &[receipt("n0", 1)]),
        Visible::At { .. }
    ));
    let more = format!(r#"{FIELDS},{{"name":"later","type":["null","long"]}}"#);
    std::thread::scope(|scope| {
        for node in ["n1", "n2", "n3"] {
            let delta = table(&lake, &more, &runtime);
            scope.spawn(move || {
                while !matches!(delta.commit(node, &[receipt(node, 1)]), Visible::At { .. }) {}
            });
        }
    });
    let columns = columns(&store);
    assert_eq!(columns.iter().filter(|name| *name == "later").count(), 1, "{columns:?}");
    assert_eq!(added(&store).len(), 8);
}
