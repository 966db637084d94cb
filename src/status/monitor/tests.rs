use super::*;
use crate::record::{Roll, Seq, SeqRange};
use crate::status::{Observer as _, RollEvent};

const NOW: Micros = Micros(1_796_000_000_000_000);

fn facts() -> Facts {
    Facts {
        reasons: Vec::new(),
        trouble: None,
        lines_per_second: 0.0,
        oldest: None,
        pending_bytes: 0.0,
        now: NOW,
    }
}

#[test]
fn the_sentence_says_what_comes_what_has_landed_and_what_is_wrong() {
    assert_eq!(sentence(&facts()), "Ready, and nothing comes; all landed");
    let receiving = Facts {
        lines_per_second: 412.3,
        oldest: Some(Micros(NOW.0 - 70_000_000)),
        pending_bytes: 3e6,
        ..facts()
    };
    let time = Micros(NOW.0 - 70_000_000).rfc3339().unwrap();
    let time = &time[11..19];
    let expected = format!("Receiving 412 lines/s; all landed up to {time}; 3.0 MB wait");
    assert_eq!(sentence(&receiving), expected);
    let away = Facts { trouble: Some((Micros(0), "lake")), ..facts() };
    let expected =
        "Ready, and nothing comes; all landed; in trouble since 1970-01-01 00:00:00Z: lake";
    assert_eq!(sentence(&away), expected);
    let full = Facts { reasons: vec!["the journal is full".to_owned()], ..facts() };
    assert_eq!(sentence(&full), "Takes no bodies: the journal is full; all landed");
}

#[test]
fn a_report_has_every_member_and_no_more_than_was_asked_for() {
    let (readiness, board) = (Arc::new(Readiness::new()), Arc::new(Board::default()));
    let settings = InForce::new(vec![ShownSetting {
        key: "roll_age",
        value: "5m".into(),
        origin: "default".into(),
    }]);
    let (node, lake) = (std::sync::Arc::new("n".to_owned().into()), "/lake".to_owned());
    let about = About { node, lake, started: NOW, settings };
    let monitor = Monitor::new(about, names::install(), Arc::clone(&readiness), Arc::clone(&board));
    let range = SeqRange { first: Seq(1), last: Seq(2) };
    board.observe(NOW, &RollEvent::Opened { roll: Roll(7) });
    board.observe(NOW, &RollEvent::Sealed { roll: Roll(7), range });
    readiness.set_trouble("lake", Err("is away: look".into()));
    for second in 0..20 {
        monitor.sample(Micros(NOW.0 + second * 1_000_000));
    }
    let now = Micros(NOW.0 + 20_000_000);
    let report: Value = serde_json::from_str(&monitor.report(now, 0, &[])).unwrap();
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
    let reasons = [("journal", "is full".to_owned())];
    let report: Value = serde_json::from_str(&monitor.report(now, after, &reasons)).unwrap();
    assert_eq!(report["history"]["seconds"].as_array().unwrap().len(), 2);
    assert_eq!(report["state"]["reasons"], json!([{"part": "journal", "reason": "is full"}]));
}
