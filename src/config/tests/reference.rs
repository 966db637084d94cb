//! Everything that is made from the list of settings.

use super::*;
use crate::config::list::{self, Kind, SETTINGS, Setting};
use crate::config::{reference, value};

/// A value other than the default for every key, and what `Debug` shows of it in the settings.
const EVERYTHING: &[(&str, &str, &str)] = &[
    ("log", "\"debug\"", "log: \"debug\""),
    ("log_format", "\"json\"", "log_format: \"json\""),
    ("listen", "\"127.0.0.1:4000\"", "listen: \"127.0.0.1:4000\", addresses: [127.0.0.1:4000]"),
    ("path", "\"/in\"", "path: \"/in\""),
    ("host_names", "\"a.test, b.test\"", "host_names: [\"a.test\", \"b.test\", \"127.0.0.1\"]"),
    ("insecure_listen", "true", "Settings"),
    ("body_limit", "\"1MB\"", "body_limit_bytes: 1000000"),
    ("inflated_limit", "0x200000", "inflated_limit_bytes: 2097152"),
    ("header_timeout", "\"1s\"", "header_timeout: 1s"),
    ("body_timeout", "\"2s\"", "body_timeout: 2s"),
    ("drain_timeout", "\"0s\"", "drain_timeout: 0ns"),
    ("drain_delay", "\"1s\"", "drain_delay: 1s"),
    ("drain_limit", "\"9s\"", "drain_limit: Some(9s)"),
    ("max_connections", "5", "max_connections: 5"),
    ("max_connections_per_peer", "4", "max_connections_per_peer: Some(4)"),
    ("requests_per_second", "6", "requests_per_second: Some(6)"),
    ("credentials", "\"c.toml\"", "credentials: Some(\"c.toml\")"),
    ("tls_cert", "\"cert.pem\"", "cert: \"cert.pem\""),
    ("tls_key", "\"key.pem\"", "key: \"key.pem\""),
    ("tls_client_ca", "\"ca.pem\"", "client_ca: Some(\"ca.pem\")"),
    ("handshake_timeout", "\"3s\"", "handshake_timeout: 3s"),
    (
        "status_listen",
        "\"127.0.0.1:4001\"",
        "status: Some(StatusSettings { listen: \"127.0.0.1:4001\"",
    ),
    ("status_credentials", "\"o.toml\"", "credentials: Some(\"o.toml\")"),
    ("lake", "\"s3://b/p\"", "location: S3 { bucket: \"b\", prefix: \"p\" }"),
    ("store_timeout", "\"9s\"", "timeout: 9s"),
    ("table", "\"orders\"", "table: \"orders\""),
    ("schema", "\"examples/orders.avsc\"", "schema: TableSchema { name: \"orders\""),
    ("partition", "\"day={at:%d}\"", "partition: Template { text: \"day={at:%d}\""),
    ("table_format", "\"delta\"", "format: Delta"),
    ("flat_tables", "[]", "Settings"),
    ("flat_columns", "[\"at\"]", "Settings"),
    ("line_limit", "\"2MiB\"", "line_limit_bytes: Some(2097152)"),
    ("dedup", "\"off\"", "dedup_window_ms: None"),
    ("dedup_max_rows", "5000", "dedup_max_rows: 5000"),
    ("max_partitions", "7", "max_partitions: 7"),
    ("time_window", "\"2days\"", "time_window_ms: Some(172800000)"),
    ("outside_window", "\"quarantine\"", "outside_window: Quarantine"),
    ("promote", "\"auto\"", "promote_after: {\"orders\""),
    ("promote_after", "7", "\"orders\": 7"),
    ("roll_age", "\"1h\"", "roll_age: 3600s"),
    ("overdue_after", "\"2h\"", "overdue_after: 7200s"),
    ("verify_every", "\"1h\"", "verify_every: Some(3600s)"),
    ("verify_window", "\"3days\"", "verify_window: 259200s"),
    ("roll_bytes", "\"2MiB\"", "roll_bytes: 2097152"),
    ("roll_rows", "3", "roll_rows: Some(3)"),
    ("compression", "\"snappy\"", "compression: Snappy"),
    ("encodings", "\"plain\"", "encodings: Plain"),
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
        Kind::SwitchOr(word) => value::switch_or(text, word).map(drop),
        Kind::Text | Kind::Names => Ok(()),
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

/// Fails on a page without the block, or with an old one. There is nothing to compare where there
/// is no page, as in a package made of the crate alone.
#[test]
fn the_page_of_settings_has_the_reference_that_the_code_makes() {
    let Ok(page) = std::fs::read_to_string(format!("{ROOT}/docs/settings.md")) else { return };
    let block = page
        .split_once(reference::BEGIN)
        .and_then(|(_, rest)| rest.split_once(reference::END))
        .map(|(block, _)| block.trim());
    assert!(
        block == Some(reference::markdown().trim()),
        "between {} and {}, docs/settings.md is to have what this prints:\n  cargo run --release -q \
         -- config-reference",
        reference::BEGIN,
        reference::END
    );
}
