//! The configuration in prose: the table of the README, and the example file, from the list.

use std::fmt::Write as _;

use super::file;
use super::list::{SETTINGS, Setting};

/// The line before the reference in the README.
pub const BEGIN: &str = "<!-- settings:begin -->";
/// The line after the reference in the README.
pub const END: &str = "<!-- settings:end -->";

/// The reference as Markdown, one table a section, without the markers.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for (section, settings) in sections() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "**{section}**\n");
        text.push_str("| flag | key | default | what it does |\n|---|---|---|---|\n");
        for setting in settings {
            let key = match setting.in_file() {
                true => format!("`{}`", setting.key),
                false => "—".to_owned(),
            };
            let default = match setting.default {
                None | Some("") => "—".to_owned(),
                Some(default) => format!("`{default}`"),
            };
            let _ = writeln!(text, "| `{}` | {key} | {default} | {} |", setting.flag(), {
                prose(setting).replace('|', "\\|")
            });
        }
        text.push('\n');
    }
    text.push_str(
        "The environment variable of a setting is its key in capitals after `SESSIONLAKE_`: \
         `SESSIONLAKE_ROLL_AGE`. A flag outranks the environment, the environment the file, the \
         file the default.\n",
    );
    text
}

/// The example file: every key with its default and what it does. Keys without a default are
/// there as comments.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of sessionlake, each with its default.\n\
         #\n\
         # Use it with --config FILE or SESSIONLAKE_CONFIG=FILE. Flags and SESSIONLAKE_… variables\n\
         # outrank what stands here. Relative paths start from the working directory.\n",
    );
    for (section, settings) in sections() {
        let _ = writeln!(text, "\n# ── {section} {}", "─".repeat(92 - section.len()));
        for setting in settings.iter().filter(|setting| setting.in_file()) {
            let _ = writeln!(text);
            for line in wrapped(&prose(setting), 96) {
                let _ = writeln!(text, "# {line}");
            }
            let _ = match setting.default {
                Some(default) => writeln!(text, "{}", file::assignment(setting, default)),
                None => writeln!(text, "# {}", file::assignment(setting, setting.example)),
            };
        }
    }
    text.push_str(SECTIONS_EXAMPLE);
    text.push_str(STORAGE_EXAMPLE);
    text
}

const SECTIONS_EXAMPLE: &str = r#"
# ── Endpoints, more tables, personal data ───────────────────────────────────────────────────────

# Any number of places to send to. With one of these, the settings above describe none; a key that
# is not given is as they say.
# [[endpoint]]
# name = "sessions"                # label of its metrics
# path = "/export/events"
# methods = ["PUT", "POST"]
# form = "ndjson"                  # or elasticsearch: /_bulk and what clients ask around it
# table = "user_sessions"
# auth = ["basic", "token", "oauth2", "jwt"]    # or "none"
# allow = ["exporter"]             # names in the file of credentials
# scope = "sessions.write"         # that OAuth 2.0 tokens must have
# peers = ["10.0.0.0/8", "::1"]    # who may come, by address
# body_limit = "32MiB"
# inflated_limit = "256MiB"
# requests_per_second = 200        # of one peer
#
# [[endpoint]]
# path = "/elastic"
# form = "elasticsearch"
# indices = { "sessions-*" = "user_sessions" }  # without it, all go to `table`

# Tables besides the first, for endpoints to name. One without a `partition` has no directories
# below it.
# [[tables]]
# name = "orders"
# schema = "examples/orders.avsc"
# partition = "date={at:%Y-%m-%d}"

# What is done to values before they are landed: keep, drop, hash or truncate (addresses).
# [privacy]
# ip = "truncate"
# userId = "hash"
# "userActions.targetUrl" = "drop"
# "stringProperties.email" = "hash"
"#;

const STORAGE_EXAMPLE: &str = r#"
# ── Object stores ───────────────────────────────────────────────────────────────────────────────

# Options of the store that the lake is in, for what the variables of the cloud (AWS_REGION,
# AWS_ACCESS_KEY_ID, …) do not say already. This table comes last: a key after it belongs to it.
[storage]
# aws_endpoint = "http://127.0.0.1:9000"
# allow_http = true
# path_style = true
# aws_region = "eu-central-1"
# aws_access_key_id = "…"
# aws_secret_access_key = "…"
"#;

fn prose(setting: &Setting) -> String {
    match setting.more {
        "" => setting.help.to_owned(),
        more => format!("{} {more}", setting.help),
    }
}

/// The settings by section, in the order of the list.
fn sections() -> Vec<(&'static str, Vec<&'static Setting>)> {
    let mut sections: Vec<(&str, Vec<&Setting>)> = Vec::new();
    for setting in SETTINGS {
        match sections.last_mut() {
            Some((name, settings)) if *name == setting.section => settings.push(setting),
            _ => sections.push((setting.section, vec![setting])),
        }
    }
    sections
}

/// `text` in lines of at most `width` characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
