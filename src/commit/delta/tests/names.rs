//! Paths and partition values with all kinds of characters, as readers of the log see them.

use super::*;
use crate::table::FileNames;
use crate::table::hive_path::{PathRules, hive_path};

const VALUES: [Option<&str>; 13] = [
    Some("Germany"),
    Some("a b"),
    Some("100%"),
    Some("a%2Fb"),
    Some("a=b"),
    Some("a/b"),
    Some("Österreich"),
    Some("😀"),
    Some("it's \"so\""),
    Some("10:00"),
    Some("a+b&c#d?e"),
    Some(""),
    None,
];

#[test]
fn names_and_values_come_back_from_the_log() {
    let runtime = runtime();
    let schema = schema(FIELDS);
    let partition = Template::parse("land={country}", &schema).expect("a template");
    for rules in [
        PathRules::default(),
        PathRules { file_names: FileNames::Folded, ..PathRules::default() },
        PathRules { revision: crate::table::Revision::LATEST, ..PathRules::default() },
    ] {
        for with_values in [true, false] {
            let store = Arc::new(InMemory::new());
            let lake = Lake::on(store.clone(), 1 << 20);
            let handle = runtime.handle().clone();
            let delta =
                DeltaTable::new(&lake, &"t".into(), Arc::clone(&schema), partition.clone(), handle)
                    .expect("a name");
            let file = |value: Option<&str>| {
                let value = value.map(str::to_owned);
                let shown = value.clone().filter(|value| !value.is_empty());
                let path = hive_path(&partition, &[shown], rules);
                let values = BTreeMap::from([("land".to_owned(), value)]);
                FileReceipt {
                    path: format!("t/{path}/n1-00000001.parquet"),
                    partition: path,
                    partition_values: if with_values { values } else { BTreeMap::new() },
                    rows: 3,
                    bytes: 10,
                    ..FileReceipt::default()
                }
            };
            // The empty value and null have one partition.
            let files: Vec<FileReceipt> = VALUES[..12].iter().map(|value| file(*value)).collect();
            let nulls = file(None);
            assert_eq!(files[11].path, nulls.path);
            let outcome = delta.commit("n1", &[receipt_of("n1", 1, files.clone())]);
            assert!(matches!(outcome, Visible::At { .. }), "{outcome:?}");
            let view =
                LogView::open(&lake, "t", runtime.handle().clone()).expect("a log").expect("it");
            let live: BTreeSet<String> =
                view.live_files().expect("files").into_iter().map(|file| file.path).collect();
            let names = files.iter().map(|file| file.path["t/".len()..].to_owned());
            assert_eq!(live, names.collect());
            let actions = log(&store).into_iter().flatten();
            let adds: Vec<_> = actions.filter(|action| action.get("add").is_some()).collect();
            for (value, add) in VALUES.iter().zip(&adds) {
                let expected = value.filter(|value| !value.is_empty());
                assert_eq!(add["add"]["partitionValues"]["land"].as_str(), expected, "{add}");
                let path = add["add"]["path"].as_str().expect("a path");
                assert!(path.is_ascii() && !path.contains([' ', ':', '"', '#', '?']), "{path}");
            }
        }
    }
}

#[test]
fn the_values_of_the_overflow_partition_are_a_date_or_null() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let lake = Lake::on(store.clone(), 1 << 20);
    let delta = table(&lake, FIELDS, &runtime);
    let file = |value: Option<&str>| FileReceipt {
        path: format!(
            "t/date={}/n1-00000001.parquet",
            value.unwrap_or("__HIVE_DEFAULT_PARTITION__")
        ),
        partition_values: BTreeMap::from([("date".to_owned(), value.map(str::to_owned))]),
        overflow: value.is_some(),
        rows: 3,
        bytes: 10,
        ..FileReceipt::default()
    };
    let roll = receipt_of("n1", 1, vec![file(Some("0001-01-01")), file(None)]);
    assert!(matches!(delta.commit("n1", &[roll]), Visible::At { .. }));
    let actions = log(&store).into_iter().flatten();
    let values: Vec<_> = actions.filter_map(|a| a["add"].get("partitionValues").cloned()).collect();
    assert_eq!(values[0]["date"], "0001-01-01");
    assert!(values[1]["date"].is_null(), "{values:?}");
    let metadata = log(&store).remove(0).into_iter().find(|a| a.get("metaData").is_some());
    let schema = metadata.expect("metadata")["metaData"]["schemaString"].to_string();
    assert!(schema.contains(r#"\"name\":\"date\",\"type\":\"date\""#), "{schema}");
}
