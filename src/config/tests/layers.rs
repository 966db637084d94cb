//! Flags, environment, file and defaults.

use std::time::Duration;

use super::*;
use crate::config::list::IMPORT;
use crate::table::Format;

#[test]
fn each_layer_outranks_the_one_below() {
    let file = Some("roll_age = \"2s\"");
    let variable = [("SESSIONLAKE_ROLL_AGE", "3s")];
    let age = |loaded: Result<Loaded<server::Settings>, Error>| {
        loaded.unwrap().settings.roll_age.as_secs()
    };
    assert_eq!(age(load(&[], &[], None)), 60);
    assert_eq!(age(load(&[], &[], file)), 2);
    assert_eq!(age(load(&[], &variable, file)), 3);
    assert_eq!(age(load(&["--roll-age=4s"], &variable, file)), 4);
    assert_eq!(age(load(&["--roll-age=4s"], &[], file)), 4);
    assert_eq!(age(load(&["--roll-age=4s"], &[], None)), 4);
    assert_eq!(age(load(&[], &variable, None)), 3);
}

#[test]
fn a_flag_given_as_its_default_still_outranks_the_file() {
    let loaded = load(&["--roll-age", "60s"], &[], Some("roll_age = \"2s\"")).unwrap();
    assert_eq!(loaded.settings.roll_age, Duration::from_secs(60));
}

#[test]
fn an_empty_variable_is_not_set() {
    let variable = [("SESSIONLAKE_ROLL_AGE", ""), ("SESSIONLAKE_CONFIG", "")];
    let loaded = load(&[], &variable, Some("roll_age = \"2s\"")).unwrap();
    assert_eq!(loaded.settings.roll_age, Duration::from_secs(2));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_switch_is_turned_on_and_off_in_every_layer() {
    let on = |typed: &[&str], variables: &[(&str, &str)], file: Option<&str>| {
        load(typed, variables, file).unwrap().settings.journal.skip_damaged
    };
    assert!(!on(&[], &[], None));
    assert!(on(&["--skip-damaged"], &[], None));
    assert!(on(&[], &[("SESSIONLAKE_SKIP_DAMAGED", "true")], None));
    assert!(on(&[], &[], Some("skip_damaged = true")));
    assert!(!on(&["--skip-damaged=false"], &[], Some("skip_damaged = true")));
    assert!(!on(&[], &[("SESSIONLAKE_SKIP_DAMAGED", "false")], Some("skip_damaged = true")));
}

#[test]
fn the_file_is_named_by_a_variable_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, "path = \"/other\"").unwrap();
    let loaded = load(&[], &[("SESSIONLAKE_CONFIG", path.to_str().unwrap())], None).unwrap();
    assert_eq!(loaded.settings.http.endpoints[0].path, "/other");
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_cause() {
    let error = load(&["--config=/no/such.toml"], &[], None).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file /no/such.toml");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("No such file"), "{cause}");
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let loaded = load(&[], &[("SESSIONLAKE_ROLLAGE", "5s"), ("OTHER_LAKE", "x")], None).unwrap();
    assert_eq!(
        loaded.warnings,
        ["the environment variable SESSIONLAKE_ROLLAGE is not read; the nearest name that is \
          read is SESSIONLAKE_ROLL_AGE"]
    );
}

#[test]
fn import_takes_its_own_keys_and_accepts_those_of_serve() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("both.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\nroll_rows = 7\n").unwrap();
    let config = format!("--config={}", path.display());
    let files = [PathBuf::from("a.ndjson"), PathBuf::from("-")];
    let loaded =
        super::import(&flags::<IMPORT>(&[&config]), &environment(&[]), &files, true, false);
    let settings = loaded.unwrap().settings;
    assert_eq!(settings.roll.roll_rows, Some(7));
    assert_eq!(settings.inputs, [import::Input::File("a.ndjson".into()), import::Input::Stdin]);
    assert!(settings.again && !settings.quiet);
    let twice = [PathBuf::from("-"), PathBuf::from("-")];
    assert!(super::import(&flags::<IMPORT>(&[]), &environment(&[]), &twice, false, false).is_err());
}

#[test]
fn import_may_name_a_table_of_a_section() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("both.toml");
    let text = "privacy_key = \"k\"\ndedup = \"24h\"\n[privacy]\nip = \"drop\"\n[[tables]]\n\
                name = \"orders\"\nschema = \"examples/orders.avsc\"\npartition = \"d={at:%Y-%m-%d}\"\n\
                format = \"delta\"\ndedup = \"off\"\n[[tables]]\nname = \"grail_user_events\"\ndedup = \"off\"";
    std::fs::write(&path, text).unwrap();
    let config = format!("--config={}", path.display());
    let load = |typed: &[&str], variables: &[(&str, &str)]| {
        let typed = [&[&*config], typed].concat();
        super::import(&flags::<IMPORT>(&typed), &environment(variables), &[], false, false)
            .map(|loaded| loaded.settings.table)
    };
    assert_eq!(&*load(&[], &[]).unwrap().name, "user_sessions");
    for table in [load(&["--table=orders"], &[]), load(&[], &[("SESSIONLAKE_TABLE", "orders")])] {
        let table = table.unwrap();
        assert_eq!((&*table.name, table.partition.as_str()), ("orders", "d={at:%Y-%m-%d}"));
        assert_eq!((table.format, table.dedup_window_ms), (Format::Delta, None));
        assert!(!table.privacy.is_empty(), "the rules are those of the file, as in serve");
    }
    let events = load(&["--table=grail_user_events", "--table-format=delta"], &[]).unwrap();
    assert_eq!(events.format, Format::Delta, "where the section says none");
    for flag in ["--schema=x.avsc", "--partition=", "--table-format=plain", "--dedup=1h"] {
        let refused = load(&["--table=orders", flag], &[]).unwrap_err().to_string();
        let name = flag.split('=').next().unwrap();
        assert!(refused.contains(&format!("{name}: the section [[tables]] of ")), "{refused}");
        assert!(refused.contains("both.toml:5 describes the table orders: leave"), "{refused}");
    }
}

#[test]
fn overdue_after_follows_roll_age_and_lies_above_it() {
    let overdue = |arguments: &[&str]| load(arguments, &[], None).map(|l| l.settings.overdue_after);
    assert_eq!(overdue(&[]).unwrap(), Duration::from_secs(480));
    assert_eq!(overdue(&["--roll-age", "1h"]).unwrap(), Duration::from_secs(3 * 3600 + 300));
    assert_eq!(overdue(&["--overdue-after", "61s"]).unwrap(), Duration::from_secs(61));
    let refused = overdue(&["--overdue-after", "60s"]).unwrap_err().to_string();
    assert!(refused.contains("overdue-after") && refused.contains("roll_age"), "{refused}");
}
