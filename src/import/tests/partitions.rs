//! Partitions of imports: of any time, and few of one session.

use std::collections::BTreeMap;

use super::*;

const DAY_MS: i64 = 86_400_000;

/// A session of a day, whose elements are at these times.
fn session(id: &str, day: i64, elements: impl Iterator<Item = i64>) -> String {
    let at = |time: i64| format!(r#"{{"startTime":{time},"name":"n"}}"#);
    let all: Vec<String> = elements.map(at).collect();
    let (start, all) = (day * DAY_MS, all.join(","));
    format!(
        r#"{{"tenantId":"t","userSessionId":"{id}","startTime":{start},"userActions":[{all}],"events":[{all}],"errors":[{all}]}}"#
    )
}

/// Imports lines, with all flat tables, and returns the numbers of files and of rows by table.
fn imported(name: &str, lines: &[String]) -> BTreeMap<String, (usize, u64)> {
    let bench = Bench::new(name);
    bench.file("a.ndjson", &lines.join("\n"));
    let mut options = bench.options(&["a.ndjson"]);
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let partition = Template::parse("date={startTime:%Y-%m-%d}", &schema).unwrap();
    options.table = Spec::new("user_sessions", schema, partition);
    let flat = Flat::ALL.map(|flat| flat.spec(&options.table, crate::table::flat::FLAT_COLUMNS));
    options.flat = flat.into_iter().map(Result::unwrap).collect();
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let importer = Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap();
    assert_eq!(land_all(&importer).unwrap(), [""; 0]);
    let mut counts = BTreeMap::new();
    let nodes: Vec<_> = bench.manifests().unwrap().into_keys().collect();
    for receipt in nodes.iter().flat_map(|node| importer.manifests.receipts(node).unwrap()) {
        for table in receipt.tables {
            let count: &mut (usize, u64) = counts.entry(table.table.clone()).or_default();
            count.0 += table.files.len();
            count.1 += table.files.iter().map(|file| file.rows).sum::<u64>();
        }
    }
    counts
}

#[test]
fn elements_of_one_session_of_many_days_open_few_partitions() {
    let hostile = session("s", 20_000, (0..300).map(|day| day * DAY_MS));
    let counts = imported("hostile", &[hostile]);
    for table in ["user_actions", "user_events", "user_errors"] {
        let (files, rows) = counts[table];
        assert_eq!(rows, 300, "{table}");
        assert!(files <= 16, "{table}: {files} files of one session");
    }
}

#[test]
fn sessions_of_years_and_their_elements_have_the_partitions_of_their_days() {
    // Elements are of the session's day and of the next one.
    let days = (0..100).map(|month| 15_000 + 30 * month);
    let elements = |day: i64| [day * DAY_MS + 7, (day + 1) * DAY_MS].into_iter();
    let lines: Vec<_> = days.map(|day| session(&format!("s{day}"), day, elements(day))).collect();
    let counts = imported("years", &lines);
    assert_eq!(counts["user_sessions"], (100, 100));
    for table in ["user_actions", "user_events", "user_errors"] {
        assert_eq!(counts[table], (200, 200), "{table}");
    }
}
