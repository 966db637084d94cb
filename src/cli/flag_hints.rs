//! Flags of other programs, and the flag that does here what they do there.
//!
//! clap suggests a flag that is spelled alike, which for `--port` is `--path`. These are meant alike. A flag
//! of another command of ours is named as one, and a value below 0 as that: clap takes `-1h` for a flag.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::list::{SERVE, SETTINGS};

/// Flags of other programs, each with what to give instead.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["--port", "-p", "--host", "--bind", "--addr", "--address", "--http", "--interface"],
        "the address is one flag: --listen 127.0.0.1:3000",
    ),
    (
        &[
            "--output",
            "-o",
            "--out",
            "--out-dir",
            "--output-dir",
            "--dir",
            "--data",
            "--data-dir",
            "--dest",
            "--destination",
            "--target",
            "--bucket",
            "--s3",
            "--path-prefix",
            "--prefix",
        ],
        "where rows land is the lake: --lake ./data/lake, or --lake s3://bucket/prefix",
    ),
    (&["--journal", "--wal", "--state-dir", "--wal-dir"], "the journal is in --state"),
    (
        &["--user", "--username", "--password", "--token", "--auth", "--basic-auth", "--api-key"],
        "who may send is in a file: --credentials credentials.toml (see sessionlake passwd)",
    ),
    (&["--tls", "--https", "--ssl", "--cert", "--certificate"], "TLS is --tls-cert and --tls-key"),
    (&["--ca", "--client-ca", "--mtls"], "client certificates are asked for with --tls-client-ca"),
    (&["--endpoint", "--url", "--route"], "the path that takes bodies is --path /export/events"),
    (
        &["--aws-endpoint", "--endpoint-url", "--region", "--access-key", "--secret-key"],
        "options of a store are AWS_… variables, or keys under [storage] in the file of --config",
    ),
    (&["--verbose", "-v", "--debug", "--log-level"], "how much is logged is --log debug"),
    (&["--config-file", "--conf", "-c"], "the file of settings is --config sessionlake.toml"),
    (
        &["--interval", "--flush-interval", "--flush", "--batch-timeout"],
        "how long rows wait for their file is --roll-age 60s",
    ),
    (&["--partition-by", "--partitions"], "partitions are --partition 'date={startTime:%Y-%m-%d}'"),
];

/// Adds a hint to the complaint about a flag that other programs have, in place of clap's own
/// suggestion, if the command of `arguments` has the flag that is meant.
pub(super) fn add(error: &mut clap::Error, arguments: &[OsString]) {
    if error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return };
    let given = given.split('=').next().unwrap_or_default();
    if let Some(hint) = of_ours(given) {
        return suggest(error, hint);
    }
    let hint = HINTS.iter().find(|(flags, _)| flags.contains(&given)).map(|(_, hint)| *hint);
    let command = super::command();
    let command = arguments.get(1).and_then(|name| command.find_subcommand(name));
    if let (Some(hint), Some(command)) = (hint, command)
        && flags_in(hint)
            .any(|flag| command.get_arguments().any(|own| own.get_long() == Some(flag)))
    {
        suggest(error, hint.to_owned());
    }
}

/// Puts `hint` in the place of clap's suggestion.
fn suggest(error: &mut clap::Error, hint: String) {
    error.remove(ContextKind::SuggestedArg);
    let hint = ContextValue::StyledStrs(vec![StyledStr::from(hint)]);
    error.insert(ContextKind::Suggested, hint);
}

/// Returns a hint about a flag of another command, or about a value below 0.
fn of_ours(given: &str) -> Option<String> {
    let digits = given.strip_prefix('-').unwrap_or_default();
    if digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Some("no setting takes a value below 0".to_owned());
    }
    let setting = SETTINGS.iter().find(|setting| setting.flag() == given)?;
    let command = match setting.commands & SERVE {
        0 => "import",
        _ => "serve",
    };
    Some(format!("{given} is a setting of `sessionlake {command}`, and does nothing here"))
}

/// Returns the flags that a hint names, without their hyphens.
fn flags_in(hint: &str) -> impl Iterator<Item = &str> {
    hint.split([' ', ',', ':']).filter_map(|word| word.strip_prefix("--"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, command};

    fn said(arguments: &[&str]) -> String {
        let mut error = Cli::try_parse_from(arguments).unwrap_err();
        add(&mut error, &arguments.iter().map(OsString::from).collect::<Vec<_>>());
        error.to_string()
    }

    #[test]
    fn flags_of_other_programs_are_answered_with_ours() {
        let text = said(&["sessionlake", "serve", "--port", "3000"]);
        assert!(text.contains("unexpected argument '--port' found"), "{text}");
        assert!(text.contains("tip: the address is one flag: --listen 127.0.0.1:3000"), "{text}");
        let text = said(&["sessionlake", "serve", "--output=x"]);
        assert!(text.contains("--lake s3://bucket/prefix"), "{text}");
        let text = said(&["sessionlake", "import", "--verbose", "f"]);
        assert!(text.contains("--log debug"), "{text}");
        let text = said(&["sessionlake", "import", "--port", "f"]);
        assert!(!text.contains("--listen"), "import has none: {text}");
        let text = said(&["sessionlake", "import", "--promote", "auto", "f"]);
        assert!(text.contains("tip: --promote is a setting of `sessionlake serve`, and"), "{text}");
        assert!(!text.contains("'-- --promote'"), "{text}");
        let text = said(&["sessionlake", "import", "--dedup-max-rows", "5", "f"]);
        assert!(text.contains("tip: --dedup-max-rows is a setting of"), "{text}");
        let text = said(&["sessionlake", "serve", "--dedup", "-1h"]);
        assert!(text.contains("tip: no setting takes a value below 0"), "{text}");
        let text = said(&["sessionlake", "serve", "--lakke", "x"]);
        assert!(text.contains("'--lake'"), "clap's own: {text}");
    }

    #[test]
    fn hints_name_flags_that_exist_and_stand_for_none_that_do() {
        let command = command();
        let serve = command.find_subcommand("serve").unwrap();
        let flags: Vec<String> = serve
            .get_arguments()
            .filter_map(|arg| arg.get_long())
            .map(|l| format!("--{l}"))
            .collect();
        for (foreign, hint) in HINTS {
            assert!(foreign.iter().all(|flag| !flags.iter().any(|own| own == flag)), "{foreign:?}");
            for flag in flags_in(hint) {
                let flag = format!("--{flag}");
                assert!(flags.contains(&flag), "{flag} in {hint:?}");
            }
            assert!(hint.len() + "  tip: ".len() <= 100, "{hint:?}");
        }
    }
}
