use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::clock::SystemClock;
use crate::journal::{Journal, NewBody, RealDisk, Seal};
use crate::record::{Form, Roll, Seq, SeqRange};
use crate::server::Settings;
use crate::server::tests::{open, settings};
use crate::table::{Rules, Tables};

/// Settings of a table with a rule, and of a key of this text.
fn with_key(dir: &TempDir, key: &str) -> Settings {
    let path = dir.path().join("privacy.key");
    std::fs::write(&path, key.repeat(32)).unwrap();
    let mut settings = settings(dir);
    settings.tables[0].privacy = Rules::parse("id=hash").unwrap();
    settings.privacy_key = Some(path);
    settings
}

/// Starts a server of `settings`, which leaves its files in the state directory, and ends it.
fn started(settings: &Settings) {
    open(settings).unwrap();
}

/// Returns the error of a start.
fn refused(settings: &Settings) -> String {
    match open(settings) {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

/// Appends a body of `table`, and seals it by `sealed`.
fn append(settings: &Settings, table: &str, sealed: Option<&[u8]>) {
    let options = settings.journal_options(None).unwrap();
    let (journal, _) = Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options).unwrap();
    let bytes = Bytes::from_static(b"{\"id\":\"a\"}\n");
    let body = NewBody { table: table.into(), form: Form::Ndjson, first_line: 1, bytes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(journal.append(body)).unwrap();
    if let Some(sealed) = sealed {
        let range = SeqRange { first: Seq(1), last: Seq(1) };
        journal.seal(&Seal { roll: Roll(1), range, settings: sealed.to_vec() }).unwrap();
    }
}

fn tables(settings: &Settings) -> Vec<u8> {
    Tables::new(settings.tables.clone()).unwrap().to_json()
}

#[test]
fn a_roll_whose_sealed_settings_cannot_be_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let newer = String::from_utf8(tables(&settings)).unwrap();
    let newer = newer.replacen('{', "{\"format\":\"newer\",", 1);
    append(&settings, "visits", Some(newer.as_bytes()));
    let error = refused(&settings);
    for part in ["roll 1 (bodies 1 to 1)", "state", "`newer`", "start the version"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_roll_that_was_sealed_with_a_key_stops_the_start_without_that_key() {
    let dir = tempfile::tempdir().unwrap();
    let right = with_key(&dir, "right");
    started(&right);
    append(&right, "visits", Some(&tables(&right)));
    let mut without = right.clone();
    without.privacy_key = None;
    without.tables[0].privacy = Rules::default();
    let error = refused(&without);
    assert!(error.contains("roll 1 (bodies 1 to 1)") && error.contains("privacy_key"), "{error}");
    let wrong = with_key(&dir, "wrong");
    let error = refused(&wrong);
    assert!(error.contains("another secret") && error.contains("privacy-key.id"), "{error}");
    // Refused again: a start that failed remembers nothing.
    assert_eq!(refused(&wrong), error);
    started(&with_key(&dir, "right"));
}

#[test]
fn another_key_is_taken_when_nothing_is_sealed_with_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let old = with_key(&dir, "old");
    started(&old);
    append(&old, "visits", None);
    let new = with_key(&dir, "new");
    started(&new);
    // From now on the new one counts.
    append(&new, "visits", Some(&tables(&new)));
    assert!(refused(&with_key(&dir, "old")).contains("another secret"));
    started(&with_key(&dir, "new"));
}

#[test]
fn bodies_of_a_table_that_nobody_knows_any_more_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    append(&settings, "orders", None);
    let error = refused(&settings);
    for part in ["bodies from 1 on", "state", "orders", "configure them again"] {
        assert!(error.contains(part), "{error}");
    }
    std::fs::write(settings.state().join("tables.json"), "[{").unwrap();
    let error = refused(&settings);
    assert!(error.contains("tables.json") && error.contains("bring it back"), "{error}");
}
