use super::*;
use crate::record::{Roll, Seq, SeqRange};
use crate::status::rejects::tests::rejected;
use crate::status::{Observer as _, RollEvent};

const NOW: Micros = Micros(1_796_000_000_000_000);

#[test]
fn a_report_has_every_member_and_no_more_than_was_asked_for() {
    let readiness = Arc::new(Readiness::new());
    let boards = Boards::default();
    let settings = InForce::new(vec![ShownSetting {
        key: "roll_age",
        value: "5m".into(),
        origin: "default".into(),
    }]);
    let (node, lake) = (std::sync::Arc::new("n".to_owned().into()), "/lake".to_owned());
    let queries =
        vec![ShownQuery { table: "t".into(), engine: "duckdb", text: "SELECT 1;".into() }];
    let about = About { node, lake, started: NOW, settings, queries };
    let monitor = Monitor::new(about, names::install(), Arc::clone(&readiness), boards.clone());
    let range = SeqRange { first: Seq(1), last: Seq(2) };
    boards.rolls.observe(NOW, &RollEvent::Opened { roll: Roll(7) });
    boards.rolls.observe(NOW, &RollEvent::Sealed { roll: Roll(7), range });
    readiness.set_trouble("lake", Err("is away: look".into()));
    for second in 0..20 {
        monitor.sample(Micros(NOW.0 + second * 1_000_000), vec![]);
    }
    let report: Value = serde_json::from_str(&monitor.report(0)).unwrap();
    assert_eq!((&report["version"], &report["state"]["ready"]), (&json!(1), &json!(true)));
    assert_eq!(report["history"]["seconds"].as_array().unwrap().len(), 19);
    assert_eq!(report["rolls"][0]["state"], "sealed");
    assert_eq!(report["trouble"][0]["reason"], "is away: look");
    assert_eq!(
        report["settings"][0],
        json!({"key": "roll_age", "value": "5m", "origin": "default"})
    );
    let stations: Vec<_> = report["stations"].as_array().unwrap().iter().collect();
    let stations: Vec<_> =
        stations.iter().map(|station| station["name"].as_str().unwrap()).collect();
    assert_eq!(stations, ["receive", "journal", "roll", "lake", "table"]);
    let after = NOW.0 / 1_000_000 + 17;
    boards.rejects.observe(NOW, &rejected("t", "not_json", 3));
    assert_eq!(monitor.report(after), monitor.report(after), "made once a second");
    let reasons = vec![("journal", "is full".to_owned())];
    monitor.sample(Micros(NOW.0 + 20_000_000), reasons);
    let report: Value = serde_json::from_str(&monitor.report(after)).unwrap();
    assert_eq!(report["history"]["seconds"].as_array().unwrap().len(), 3);
    let reject = report["rejects"].as_array().unwrap().iter().find(|one| one["table"] == "t");
    assert_eq!(reject.unwrap()["decoded"], 3);
    assert_eq!(report["reject_samples"][0]["masked"], "»aaaaaa");
    assert_eq!(report["queries"][0]["engine"], "duckdb");
    assert_eq!(report["hours"].as_array().unwrap().len(), 1);
    let event: Value = serde_json::from_str(&monitor.event()).unwrap();
    assert_eq!(event["history"]["seconds"].as_array().unwrap().len(), 1);
    assert_eq!((&event["state"], &event["settings"]), (&report["state"], &Value::Null));
    let (last, rejects) = monitor.rejects_after(0).unwrap();
    let rejects: Value = serde_json::from_str(&rejects).unwrap();
    assert_eq!(last, 1);
    assert_eq!((&rejects["skipped"], &rejects["rejects"][0]["id"]), (&json!(0), &json!(1)));
    assert_eq!((monitor.rejects_after(1), monitor.last_reject()), (None, 1));
    assert_eq!(report["state"]["reasons"], json!([{"part": "journal", "reason": "is full"}]));
}
