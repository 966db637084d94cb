//! The four layers, complaints, and the three things that are made from the list.

use std::time::Duration;

use clap::{Args as _, FromArgMatches as _};

use super::list::{IMPORT, Kind, SERVE, SETTINGS, Setting};
use super::*;

fn flags<const C: u8>(typed: &[&str]) -> Flags<C> {
    let command = Flags::<C>::augment_args(clap::Command::new("test"));
    let arguments = std::iter::once("test").chain(typed.iter().copied());
    let matches = command.try_get_matches_from(arguments).unwrap();
    Flags::from_arg_matches(&matches).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().copied())
}

/// `serve` with these flags, these variables, and a file with this text.
fn load(
    typed: &[&str],
    variables: &[(&str, &str)],
    text: Option<&str>,
) -> Result<Loaded<server::Settings>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut typed: Vec<&str> = typed.to_vec();
    let path = dir.path().join("sessionlake.toml");
    let config;
    if let Some(text) = text {
        std::fs::write(&path, text).unwrap();
        config = format!("--config={}", path.display());
        typed.push(&config);
    }
    serve(&flags::<SERVE>(&typed), &environment(variables))
}

/// What is said about a file with this text, with the directory of the file left out.
fn complaint(text: &str) -> String {
    let said = load(&[], &[], Some(text)).unwrap_err().to_string();
    let at = said.find("sessionlake.toml").unwrap_or(0);
    let list = if said.starts_with("the configuration has") { said.find(":\n") } else { None };
    let head = list.map_or("", |end| &said[..=end]);
    let mut lines = String::from(head);
    for line in said[if head.is_empty() { at } else { head.len() }..].lines() {
        lines.push_str(line.find("sessionlake.toml").map_or(line, |at| &line[at..]));
        lines.push('\n');
    }
    lines.trim_end().to_owned()
}

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
fn unknown_keys_name_file_line_and_the_nearest_key() {
    assert_eq!(
        complaint("# first\nlog = \"info\"\nrol_age = \"60s\"\n"),
        "sessionlake.toml:3: unknown key `rol_age`; the nearest known key is `roll_age`"
    );
    assert_eq!(
        complaint("roll-age = \"60s\""),
        "sessionlake.toml:1: unknown key `roll-age`; the nearest known key is `roll_age`"
    );
    assert_eq!(
        complaint("[storage]\naws_acces_key_id = \"hunter2\""),
        "sessionlake.toml:2: unknown key `storage.aws_acces_key_id`; the nearest known key is \
         `aws_access_key_id`"
    );
    assert_eq!(
        complaint("[storage]\nallow_http = true\nroll_age = \"60s\""),
        "sessionlake.toml:3: unknown key `storage.roll_age`; it is a setting of its own: move it \
         above the line [storage]"
    );
    assert_eq!(
        complaint("[server]\nlisten = \"x\""),
        "sessionlake.toml:1: unknown key `server`; the tables are [storage], [privacy], \
         [[endpoint]] and [[tables]]; settings stand above them without one"
    );
    assert_eq!(
        complaint("aws_secret_access_key = \"hunter2\""),
        "sessionlake.toml:1: unknown key `aws_secret_access_key`; it belongs under the line \
         [storage]"
    );
    assert_eq!(
        complaint("config = \"x\""),
        "sessionlake.toml:1: unknown key `config`; it is named on the command line or by \
         SESSIONLAKE_CONFIG"
    );
}

#[test]
fn what_is_set_twice_and_what_is_not_toml_have_their_lines() {
    assert_eq!(
        complaint("table = \"a\"\nlog = \"info\"\ntable = \"b\""),
        "sessionlake.toml:3: `table` is set twice; keep one of them"
    );
    assert_eq!(
        complaint("[storage]\nallow_http = true\n\n[storage]\n"),
        "sessionlake.toml:4: `storage` is set twice; keep one of them"
    );
    let said = complaint("log = \"info\"\naws_secret_access_key = hunter2 hunter3\n");
    assert!(said.starts_with("sessionlake.toml:2: this is not TOML: "), "{said}");
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn wrong_types_say_what_was_found_and_expected() {
    for (text, said) in [
        (
            "roll_age = 60",
            "`roll_age` is an integer (60), and should be a duration in quotes, for example \
             roll_age = \"60s\"",
        ),
        (
            "roll_bytes = 1.5",
            "`roll_bytes` is a number with a fraction (1.5), and should be a size in quotes or a \
             number of bytes, for example roll_bytes = \"128MiB\"",
        ),
        (
            "skip_damaged = \"yes\"",
            "`skip_damaged` is a string (\"yes\"), and should be true or false, for example \
             skip_damaged = true",
        ),
        (
            "max_connections = true",
            "`max_connections` is a boolean (true), and should be a whole number, for example \
             max_connections = 1024",
        ),
        (
            "lake = [\"a\"]",
            "`lake` is an array, and should be a string, for example lake = \"s3://bucket/prefix\"",
        ),
        (
            "[storage]\naws_region = [\"hunter2\"]",
            "`storage.aws_region` is an array, and should be a string, for example \
             aws_region = \"…\"",
        ),
    ] {
        let complaint = complaint(text);
        let (_, rest) = complaint.split_once(": ").unwrap();
        assert_eq!(rest, said);
    }
}

#[test]
fn bad_values_say_why_and_how_it_would_be_right() {
    for (flag, said) in [
        (
            "--listen=3000",
            "--listen: \"3000\" is not HOST:PORT, for example --listen 127.0.0.1:3000",
        ),
        (
            "--path=export",
            "--path: \"export\" is not a path of letters, digits and -_.~ that begins with /, for \
             example --path /export/events",
        ),
        (
            "--path=/health/live",
            "--path: \"/health/live\" is a path of the program's own, for example --path \
             /export/events",
        ),
        (
            "--path=//x",
            "--path: \"//x\" has an empty part, . or .., for example --path /export/events",
        ),
        (
            "--lake=ftp://x/y",
            "--lake: \"ftp://x/y\" is none of a directory, s3://, gs:// and az://, for example \
             --lake s3://bucket/prefix",
        ),
        (
            "--table=_hidden",
            "--table: \"_hidden\" is not 1 to 64 of a-z, 0-9 and _, beginning without _, for \
             example --table user_sessions",
        ),
        ("--node=EU", "--node: \"EU\" is not up to 32 of a-z, 0-9 and -, for example --node eu-1"),
        (
            "--roll-age=60",
            "--roll-age: \"60\" is not a duration (a number and a unit: ms, s, min, h), for \
             example --roll-age 60s",
        ),
        (
            "--roll-bytes=1KiB",
            "--roll-bytes: \"1KiB\" is not between 1MiB and 64GiB, for example --roll-bytes 128MiB",
        ),
        (
            "--roll-rows=0",
            "--roll-rows: \"0\" is not between 1 and 1000000000000 or the word none, for example \
             --roll-rows 1000000",
        ),
        (
            "--compression=zstd:40",
            "--compression: \"zstd:40\" has no level from 1 to 22 after zstd:, for example \
             --compression zstd:3",
        ),
        (
            "--compression=brotli",
            "--compression: \"brotli\" is none of zstd:LEVEL, snappy, lz4 and none, for example \
             --compression zstd:3",
        ),
        (
            "--memory=32MiB",
            "--memory: \"32MiB\" is not between 64MiB and 1TiB, for example --memory 256MiB",
        ),
        (
            "--decode-threads=many",
            "--decode-threads: \"many\" is not a whole number above 0 or the word auto, for \
             example --decode-threads 4",
        ),
        (
            "--skip-damaged=maybe",
            "--skip-damaged: \"maybe\" is neither true nor false, for example --skip-damaged",
        ),
        (
            "--log=info,=",
            "--log: \"info,=\" is no log filter, for example --log info,sessionlake::journal=debug",
        ),
        ("--state=", "--state: \"\" is no directory, for example --state /var/lib/sessionlake"),
    ] {
        let error = load(&[flag], &[], None).map(|loaded| loaded.settings).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn the_place_is_named_as_its_user_knows_it() {
    assert_eq!(
        load(&[], &[("SESSIONLAKE_MEMORY", "1")], None).unwrap_err().to_string(),
        "SESSIONLAKE_MEMORY: \"1\" is not between 64MiB and 1TiB, for example \
         SESSIONLAKE_MEMORY=256MiB"
    );
    assert_eq!(
        complaint("\nmemory = 1"),
        "sessionlake.toml:2: memory: \"1\" is not between 64MiB and 1TiB, for example \
         memory = \"256MiB\""
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let said = complaint("rol_age = \"60s\"\nroll_rows = true\n[storage]\nnope = 1\n");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[0].ends_with("the configuration has 3 problems:"), "{said}");
    assert!(lines[1].starts_with("sessionlake.toml:1: unknown key"), "{said}");
    assert!(lines[2].starts_with("sessionlake.toml:2: `roll_rows` is"), "{said}");
    assert!(lines[3].starts_with("sessionlake.toml:4: unknown key `storage.nope`"), "{said}");
    let error = load(&["--roll-age=1", "--memory=1"], &[], None).unwrap_err();
    assert_eq!(error.problems().len(), 2);
}

#[test]
fn settings_have_to_go_together() {
    let said = |typed: &[&str]| load(typed, &[], None).unwrap_err().to_string();
    assert_eq!(
        said(&["--inflated-limit=1MiB"]),
        "--inflated-limit: 1MiB is below body_limit (32MiB, default); raise the one or lower the \
         other"
    );
    assert_eq!(
        said(&["--row-group-bytes=512MiB"]),
        "the default of memory: 256MiB is below row_group_bytes (512MiB, flag); raise the one or \
         lower the other"
    );
    assert!(said(&["--journal-quota=2MiB"]).contains("is below journal_segment"));
    assert!(said(&["--state=./data/lake/state"]).contains("lies in the lake ./data/lake"));
    assert!(said(&["--state=data/x/../lake"]).contains("lies in the lake"));
    let staging = load(&[], &[], None).unwrap().settings.staging();
    for lake in [staging.clone(), staging.join("x"), staging.join("../.sessionlake-staging")] {
        let lake = format!("--lake={}", lake.display());
        assert!(said(&[&lake]).contains("which every start empties"), "{lake}");
    }
    let named = load(&["--state=./data/x", "--lake=./data/x/staging"], &[], None);
    assert!(named.is_ok(), "any other name is the user's");
    assert!(load(&["--state=./data/lake-state"], &[], None).is_ok(), "a common prefix of names");
    assert!(load(&["--state=./data/lake/x", "--lake=s3://data/lake"], &[], None).is_ok());
    assert_eq!(
        said(&["--table=orders"]),
        "--table: no schema of the table orders is built in (there is user_sessions); name a \
         file: --schema examples/orders.avsc"
    );
    let own = ["--table=orders", "--schema=examples/orders.avsc", "--partition=at={at:%Y}"];
    let error = load(&own, &[], None).unwrap_err().to_string();
    assert!(error.contains("`at` is a column of table orders as well"), "{error}");
    let own = ["--table=orders", "--schema=examples/orders.avsc", "--partition=year={at:%Y}"];
    assert!(load(&own, &[], None).is_ok());
}

#[cfg(unix)]
#[test]
fn the_state_directory_is_found_in_the_lake_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, link) = (dir.path().join("lake"), dir.path().join("link"));
    std::fs::create_dir(&lake).unwrap();
    std::os::unix::fs::symlink(&lake, &link).unwrap();
    let lake = format!("--lake={}", lake.display());
    let state = format!("--state={}/state", link.display());
    assert!(load(&[&lake, &state], &[], None).is_err());
}

#[test]
fn only_an_explicit_word_opens_the_listener_to_others() {
    let error = load(&["--listen=0.0.0.0:3000"], &[], None).unwrap_err().to_string();
    assert_eq!(
        error,
        "--listen: 0.0.0.0 can be reached from other machines, with neither encryption nor \
         authentication; listen on 127.0.0.1, give it both (tls_cert, tls_key, credentials), or \
         allow it: --insecure-listen"
    );
    assert!(complaint("listen = \"[::]:80\"").ends_with("allow it: insecure_listen = true"));
    assert!(load(&["--listen=0.0.0.0:3000", "--insecure-listen"], &[], None).is_ok());
    for loopback in ["127.0.0.1:0", "127.8.9.1:1", "[::1]:3000", "localhost:3000"] {
        let loaded = load(&["--listen", loopback], &[], None);
        assert!(!loaded.unwrap().settings.addresses.is_empty(), "{loopback}");
    }
}

#[test]
fn no_secret_is_shown() {
    let text = "lake = \"s3://bucket/x\"\n[storage]\naws_secret_access_key = \"hunter2\"\n";
    let settings = load(&[], &[], Some(text)).unwrap().settings;
    assert_eq!(settings.lake.options[0].1.reveal(), "hunter2");
    let shown = format!("{settings:?}");
    assert!(shown.contains("aws_secret_access_key") && !shown.contains("hunter"), "{shown}");

    let error = load(&["--lake=s3://key:hunter2@bucket/x"], &[], None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
    let bad = "lake = \"s3://b\"\n[storage]\npath_style = \"hunter2\"\ntimeout = \"hunter3\"\n";
    let error = load(&[], &[], Some(bad)).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
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

/// A value other than the default for every key, and what `Debug` shows of it in the settings.
const EVERYTHING: &[(&str, &str, &str)] = &[
    ("log", "\"debug\"", "log: \"debug\""),
    ("listen", "\"127.0.0.1:4000\"", "listen: \"127.0.0.1:4000\", addresses: [127.0.0.1:4000]"),
    ("path", "\"/in\"", "path: \"/in\""),
    ("host_names", "\"a.test, b.test\"", "host_names: [\"a.test\", \"b.test\", \"127.0.0.1\"]"),
    ("insecure_listen", "true", "Settings"),
    ("body_limit", "\"1MB\"", "body_limit_bytes: 1000000"),
    ("inflated_limit", "0x200000", "inflated_limit_bytes: 2097152"),
    ("header_timeout", "\"1s\"", "header_timeout: 1s"),
    ("body_timeout", "\"2s\"", "body_timeout: 2s"),
    ("drain_timeout", "\"0s\"", "drain_timeout: 0ns"),
    ("max_connections", "5", "max_connections: 5"),
    ("max_connections_per_peer", "4", "max_connections_per_peer: Some(4)"),
    ("requests_per_second", "6", "requests_per_second: Some(6)"),
    ("credentials", "\"c.toml\"", "credentials: Some(\"c.toml\")"),
    ("tls_cert", "\"cert.pem\"", "cert: \"cert.pem\""),
    ("tls_key", "\"key.pem\"", "key: \"key.pem\""),
    ("tls_client_ca", "\"ca.pem\"", "client_ca: Some(\"ca.pem\")"),
    ("handshake_timeout", "\"3s\"", "handshake_timeout: 3s"),
    ("lake", "\"s3://b/p\"", "location: S3 { bucket: \"b\", prefix: \"p\" }"),
    ("store_timeout", "\"9s\"", "timeout: 9s"),
    ("table", "\"orders\"", "table: \"orders\""),
    ("schema", "\"examples/orders.avsc\"", "schema: TableSchema { name: \"orders\""),
    ("partition", "\"day={at:%d}\"", "partition: Template { text: \"day={at:%d}\""),
    ("roll_age", "\"1h\"", "roll_age: 3600s"),
    ("roll_bytes", "\"2MiB\"", "roll_bytes: 2097152"),
    ("roll_rows", "3", "roll_rows: Some(3)"),
    ("compression", "\"snappy\"", "compression: Snappy"),
    ("row_group_bytes", "\"3MiB\"", "row_group_bytes: 3145728"),
    ("memory", "\"100MiB\"", "memory_bytes: 104857600"),
    ("decode_threads", "2", "decode_threads: 2"),
    ("state", "\"/s\"", "dir: \"/s\""),
    ("node", "\"eu\"", "node_prefix: \"eu\""),
    ("journal_quota", "\"1GiB\"", "quota_bytes: 1073741824"),
    ("journal_segment", "\"1MiB\"", "segment_bytes: 1048576"),
    ("journal_compression", "false", "compress_from_bytes: None"),
    ("disk_reserve", "0", "reserve_bytes: 0"),
    ("retry_window", "\"0s\"", "retry_window: 0ns"),
    ("skip_damaged", "true", "skip_damaged: true"),
    ("privacy_key", "\"p.key\"", "privacy_key: Some(\"p.key\")"),
    ("encrypt_journal", "true", "encrypt: true"),
];

#[test]
fn a_file_with_every_key_arrives_whole() {
    let keys: Vec<&str> = EVERYTHING.iter().map(|(key, _, _)| *key).collect();
    let all: Vec<&str> = SETTINGS.iter().filter(|s| s.in_file()).map(|s| s.key).collect();
    assert_eq!(keys, all, "a new setting belongs in EVERYTHING as well");
    let text: String =
        EVERYTHING.iter().map(|(key, value, _)| format!("{key} = {value}\n")).collect();
    let text = format!("{text}[storage]\npath_style = true\naws_region = \"eu-1\"\n");
    let loaded = load(&[], &[], Some(&text)).unwrap();
    let (settings, shown) = (&loaded.settings, format!("{loaded:?}"));
    for (key, _, arrived) in EVERYTHING {
        assert!(shown.contains(arrived), "{key}: no {arrived} in {shown}");
    }
    assert_eq!(settings.lake.options.len(), 2);
}

#[test]
fn every_default_and_every_example_is_right_by_itself() {
    let check = |setting: &Setting, text: &str| match setting.kind {
        Kind::Duration { least_ms, most_ms } => value::duration(text, least_ms, most_ms).map(drop),
        Kind::Size { least, most } => value::size(text, least, most).map(drop),
        Kind::Count { least, most, word } => value::count(text, least, most, word).map(drop),
        Kind::Switch => value::switch(text).map(drop),
        Kind::Text => Ok(()),
    };
    for setting in SETTINGS {
        assert_eq!(check(setting, setting.example), Ok(()), "{}", setting.key);
        assert_eq!(setting.default.map_or(Ok(()), |d| check(setting, d)), Ok(()));
        assert!(setting.help.ends_with('.'), "{}", setting.key);
        assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{}", setting.key);
    }
    assert!(load(&[], &[], None).is_ok(), "the defaults go together");
}

#[test]
fn names_are_spelled_from_the_key() {
    let setting = list::by_key("roll_age").unwrap();
    assert_eq!(setting.flag(), "--roll-age");
    assert_eq!(setting.variable(), "SESSIONLAKE_ROLL_AGE");
    let command = Flags::<SERVE>::augment_args(clap::Command::new("test"));
    for setting in SETTINGS {
        let argument = command.get_arguments().find(|a| a.get_id() == setting.key);
        let argument = argument.unwrap_or_else(|| panic!("serve lacks {}", setting.key));
        assert_eq!(argument.get_long(), Some(setting.flag().trim_start_matches('-')));
        let help = argument.get_long_help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help.contains(&format!("[env: {}]", setting.variable())), "{help}");
    }
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_example_file_is_what_the_code_makes() {
    let path = format!("{ROOT}/examples/sessionlake.toml");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == reference::example(),
        "examples/sessionlake.toml is out of date; make it anew with\n  cargo run --release -q -- \
         config-reference --example > examples/sessionlake.toml"
    );
    let defaults = load(&[], &[], None).unwrap();
    let example = load(&[], &[], Some(&kept)).unwrap();
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"), "it holds the defaults");
}

#[test]
fn the_example_shows_only_options_that_exist() {
    let text = reference::example();
    let (_, storage) = text.split_once("[storage]\n").unwrap();
    let uncommented = storage.replace("# ", "");
    let text = format!("lake = \"s3://b\"\n[storage]\n{uncommented}");
    assert_eq!(load(&[], &[], Some(&text)).unwrap().settings.lake.options.len(), 6);
}

/// Fails on a README without the block, or with an old one. There is nothing to compare where
/// there is no README, as in a package made of the crate alone.
#[test]
fn the_readme_has_the_reference_that_the_code_makes() {
    let Ok(readme) = std::fs::read_to_string(format!("{ROOT}/README.md")) else { return };
    let block = readme
        .split_once(reference::BEGIN)
        .and_then(|(_, rest)| rest.split_once(reference::END))
        .map(|(block, _)| block.trim());
    assert!(
        block == Some(reference::markdown().trim()),
        "between {} and {}, README.md is to have what this prints:\n  cargo run --release -q -- \
         config-reference",
        reference::BEGIN,
        reference::END
    );
}

#[test]
fn endpoints_are_as_their_sections_say_and_else_as_the_settings_do() {
    let text = r#"
body_limit = "2MiB"
credentials = "c.toml"
[[endpoint]]
path = "/export/events"
[[endpoint]]
name = "elastic"
form = "elasticsearch"
path = "/"
methods = ["POST"]
auth = ["basic", "token"]
allow = ["ann"]
peers = ["10.0.0.0/8", "::1"]
body_limit = "1MiB"
requests_per_second = 5
indices = { "orders-*" = "orders", "*" = "user_sessions" }
[[endpoint]]
name = "open"
path = "/open"
auth = "none"
[[tables]]
name = "orders"
schema = "examples/orders.avsc"
[privacy]
ip = "truncate"
"userActions.targetUrl" = "drop"
"#;
    let key = "privacy_key = \"p.key\"\n";
    let settings = load(&[], &[], Some(&format!("{key}{text}"))).unwrap().settings;
    let [first, elastic, open] = &settings.http.endpoints[..] else { panic!() };
    assert_eq!((&*first.name, &*first.path), ("export-events", "/export/events"));
    assert!(first.put && first.post && first.auth == crate::auth::Rules::any());
    assert_eq!(first.body_limit_bytes, 2 << 20);
    assert_eq!((elastic.put, elastic.post, elastic.body_limit_bytes), (false, true, 1 << 20));
    assert_eq!(elastic.form, crate::record::Form::Elasticsearch);
    assert_eq!(elastic.peers.len(), 2);
    assert_eq!(elastic.requests_per_second, Some(5));
    let tables: Vec<_> = elastic.tables().map(|table| &**table).collect();
    assert_eq!(tables, ["user_sessions", "orders"], "by name of the index");
    assert!(!open.auth.is_asked());
    assert_eq!(settings.tables.len(), 2);
    for table in &settings.tables {
        assert_eq!(table.privacy.to_string(), "ip=truncate;userActions.targetUrl=drop");
    }

    let error = complaint(text);
    assert!(error.contains("needs a secret"), "{error}");
}

#[test]
fn sections_that_cannot_be_are_refused_with_their_line() {
    for (text, said) in [
        ("[[endpoint]]\npath = \"/\"", ":2: endpoint.path: \"/\" is for the form elasticsearch"),
        (
            "[[endpoint]]\npth = \"/a\"",
            ":2: unknown key `endpoint.pth`; the nearest known key is `path`",
        ),
        (
            "[[endpoint]]\nmethods = [\"GET\"]",
            ":2: endpoint.methods: \"GET\" is neither PUT nor POST",
        ),
        ("[[endpoint]]\nauth = \"basic\"", ":2: endpoint.auth: needs a file of credentials"),
        ("[[endpoint]]\npeers = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is no address or network"),
        ("[[endpoint]]\npeers = []", ":2: endpoint.peers: is empty: nobody could come"),
        ("[[endpoint]]\npeers = [\"::ffff:0:0/90\"]", "takes in more than IPv4"),
        ("[[endpoint]]\npath = \"/oauth2/token\"", "is a path of the program's own"),
        ("[[endpoint]]\ntable = \"orders\"", "there is no table orders; add a section [[tables]]"),
        ("[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"", "is taken by the endpoint a"),
        ("[[endpoint]]\nindices = { \"../x\" = \"user_sessions\" }", "\"../x\" is no index name"),
        ("[[tables]]\nname = \"user_sessions\"", "there is a table user_sessions already"),
        ("[endpoint]\npath = \"/a\"", "of which there may be several: [[endpoint]]"),
        ("privacy_key = \"k\"\n[privacy]\nduration = \"hash\"", ":3: privacy.duration: only text"),
        ("encrypt_journal = true", ":1: encrypt_journal: needs a secret: --privacy-key"),
        ("tls_cert = \"cert.pem\"", "TLS needs it as well: --tls-key"),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(said), "{text}: {complaint}");
    }
}

#[test]
fn the_sections_of_the_example_file_hold_when_they_are_uncommented() {
    let example = reference::example();
    let needed = ["# credentials = ", "# privacy_key = "];
    let mut sections = false;
    let text: Vec<&str> = example
        .lines()
        .filter_map(|line| {
            sections |= line.starts_with("# ── Endpoints");
            let code = line.strip_prefix("# ").filter(|code| {
                code.starts_with('[')
                    || code.split_once(" = ").is_some_and(|(key, _)| {
                        key.trim_matches('"')
                            .chars()
                            .all(|c| c.is_alphanumeric() || "_.".contains(c))
                    })
            });
            let wanted = sections || needed.iter().any(|key| line.starts_with(key));
            code.filter(|_| wanted).or_else(|| (!line.starts_with('#')).then_some(line))
        })
        .collect();
    let settings = load(&[], &[], Some(&text.join("\n"))).unwrap().settings;
    assert_eq!(settings.http.endpoints.len(), 2);
    assert_eq!(settings.tables.len(), 2);
    assert_eq!(settings.tables[1].partition.as_str(), "date={at:%Y-%m-%d}");
    assert!(!settings.tables[0].privacy.is_empty());
}

#[test]
fn a_path_that_no_endpoint_has_is_refused() {
    let file = Some("path = \"/file\"\n[[endpoint]]\npath = \"/a\"");
    assert!(load(&[], &[], file).is_ok(), "as in the example file");
    let error = load(&["--path=/b"], &[], file).unwrap_err().to_string();
    assert!(error.starts_with("--path: no [[endpoint]] of the file"), "{error}");
    let error = load(&[], &[("SESSIONLAKE_PATH", "/b")], file).unwrap_err().to_string();
    assert!(error.starts_with("SESSIONLAKE_PATH: "), "{error}");
    let inherits = Some("[[endpoint]]\nname = \"a\"");
    assert!(load(&["--path=/b"], &[], inherits).is_ok());
    assert!(load(&["--path=/b"], &[], None).is_ok());
}

#[test]
fn a_misspelt_level_of_the_log_is_refused() {
    let error = load(&["--log=inof"], &[], None).unwrap_err().to_string();
    assert!(
        error.starts_with("--log: \"inof\" has \"inof\", which is no level (error, "),
        "{error}"
    );
    assert!(error.contains("the nearest is info"), "{error}");
    assert!(load(&["--log=info,sessionlake"], &[], None).is_err());
    assert!(load(&["--log=info,sessionlake=loud"], &[], None).is_err());
    for good in ["off", "INFO", "warn,sessionlake::journal=debug", "sessionlake=trace,error"] {
        assert!(load(&[&format!("--log={good}")], &[], None).is_ok(), "{good}");
    }
}

#[test]
fn with_tls_and_credentials_for_all_anybody_may_be_listened_to() {
    let tls = ["--listen=0.0.0.0:3000", "--tls-cert=c", "--tls-key=k"];
    let error = load(&tls, &[], None).unwrap_err().to_string();
    assert!(error.contains("encryption but no authentication"), "{error}");
    let mut both = tls.to_vec();
    both.push("--credentials=c.toml");
    assert!(load(&both, &[], None).is_ok());
    let mut certified = tls.to_vec();
    certified.push("--tls-client-ca=ca");
    assert!(load(&certified, &[], None).is_ok());
    let open = Some("[[endpoint]]\nauth = \"none\"");
    assert!(load(&both, &[], open).is_err(), "one endpoint asks nobody");
    let error = load(&["--listen=0.0.0.0:3000", "--credentials=c.toml"], &[], None).unwrap_err();
    assert!(error.to_string().contains("authentication but no encryption"), "{error}");
}

#[test]
fn an_ipv4_network_is_one_however_it_is_written() {
    let text = "[[endpoint]]\npeers = [\"::ffff:10.0.0.0/104\", \"::ffff:192.0.2.7\", \"::1\"]";
    let settings = load(&[], &[], Some(text)).unwrap().settings;
    let peers: Vec<_> = settings.http.endpoints[0].peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.0/8", "192.0.2.7/32", "::1/128"]);
}
