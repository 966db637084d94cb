//! The reference of the configuration for docs/settings.md, and the example file.
//!
//! Both are made from the lists of settings and of sections.

use std::fmt::Write as _;

use super::list::{SETTINGS, Setting};
use super::sections::list::{
    CATALOG, ENDPOINT, PRIVACY, PROPERTIES, SECTIONS, STORAGE, SectionList, TABLES,
};

/// The line before the reference in docs/settings.md.
pub const BEGIN: &str = "<!-- settings:begin -->";
/// The line after the reference in docs/settings.md.
pub const END: &str = "<!-- settings:end -->";

/// Chapters of the example file after those of the settings. `[storage]` comes last: its header is
/// no comment.
const EXAMPLE_CHAPTERS: &[(&str, &[&SectionList])] = &[
    ("Endpoints, more tables, personal data", &[&ENDPOINT, &TABLES, &PRIVACY, &PROPERTIES]),
    ("Catalog of Iceberg tables", &[&CATALOG]),
    ("Object stores", &[&STORAGE]),
];

/// Returns the reference as Markdown, a table for each chapter and section, without the markers.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for (chapter, settings) in chapters() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "**{chapter}**\n");
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
    sections_markdown(&mut text);
    text.push_str(
        "The environment variable of a setting is its key in capitals after `SESSIONLAKE_`: \
         `SESSIONLAKE_ROLL_AGE`; that of a key of `[catalog]` is `SESSIONLAKE_CATALOG_` and the key \
         in capitals. With `_FILE` after it, the variable of a secret names a file that has it: \
         `SESSIONLAKE_CATALOG_TOKEN_FILE`, and of the clouds' `AWS_ACCESS_KEY_ID_FILE`, \
         `AWS_SECRET_ACCESS_KEY_FILE`, `AWS_SESSION_TOKEN_FILE`, `GOOGLE_SERVICE_ACCOUNT_KEY_FILE`, \
         `GOOGLE_BEARER_TOKEN_FILE`, `AZURE_STORAGE_ACCOUNT_KEY_FILE`, `AZURE_STORAGE_SAS_TOKEN_FILE`, \
         `AZURE_CLIENT_ID_FILE`, `AZURE_CLIENT_SECRET_FILE`; so does the key in `[storage]` or \
         `[catalog]` with `_file`: `aws_secret_access_key_file`. A line feed at the end of the file is \
         no part of the secret. A flag outranks the environment, the environment the file, the \
         file the default.\n",
    );
    text
}

/// Returns the example file: every key with its default and what it does. Keys without a default and
/// sections are comments.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of sessionlake, each with its default.\n\
         #\n\
         # Use it with --config FILE or SESSIONLAKE_CONFIG=FILE. Flags and SESSIONLAKE_… variables\n\
         # outrank what stands here. Relative paths start from the working directory.\n",
    );
    for (chapter, settings) in chapters() {
        let _ = writeln!(text, "\n# ── {chapter} {}", "─".repeat(92 - chapter.len()));
        for setting in settings.iter().filter(|setting| setting.in_file()) {
            let _ = writeln!(text);
            for line in wrapped(&prose(setting), 96) {
                let _ = writeln!(text, "# {line}");
            }
            let _ = match setting.default {
                Some(default) => writeln!(text, "{}", setting.assignment(default)),
                None => writeln!(text, "# {}", setting.assignment(setting.example)),
            };
        }
    }
    for (title, sections) in EXAMPLE_CHAPTERS {
        let _ = writeln!(text, "\n# ── {title} {}", "─".repeat(92 - title.len()));
        for section in *sections {
            section_example(&mut text, section);
        }
    }
    text
}

/// Appends the tables of the sections' keys.
fn sections_markdown(text: &mut String) {
    let _ = writeln!(text, "**Sections of the file**\n");
    for section in SECTIONS {
        let _ = writeln!(text, "`{}`: {}\n", section.header(), section.help);
        text.push_str("| key | default | example | what it does |\n|---|---|---|---|\n");
        for key in section.keys {
            let default = if key.default.is_empty() { "—" } else { key.default };
            let _ = writeln!(
                text,
                "| `{}` | {default} | `{}` | {} |",
                key.name,
                key.example,
                key.help.replace('|', "\\|")
            );
        }
        text.push('\n');
    }
}

/// Appends a section as comments, but for the header of `[storage]`, under which anything that is
/// uncommented belongs.
fn section_example(text: &mut String, section: &SectionList) {
    let _ = writeln!(text);
    for line in wrapped(section.help, 96) {
        let _ = writeln!(text, "# {line}");
    }
    let mut explained = Vec::new();
    for (number, keys) in section.examples.iter().enumerate() {
        if number > 0 && !section.repeated {
            let _ = writeln!(text, "#   or, in place of its like:");
            for (name, value) in *keys {
                let _ = writeln!(text, "#   {name} = {value}");
            }
            continue;
        }
        if number > 0 {
            let _ = writeln!(text, "#");
        }
        let comment = if section.name == STORAGE.name { "" } else { "# " };
        let _ = writeln!(text, "{comment}{}", section.header());
        for (name, value) in *keys {
            let assignment = format!("# {name} = {value}");
            let note = section.key(name).map_or("", |key| key.note);
            let _ = match note {
                "" => writeln!(text, "{assignment}"),
                _ if explained.contains(name) => writeln!(text, "{assignment}"),
                note => writeln!(text, "{assignment:<34} # {note}"),
            };
            explained.push(name);
        }
    }
}

fn prose(setting: &Setting) -> String {
    match setting.more {
        "" => setting.help.to_owned(),
        more => format!("{} {more}", setting.help),
    }
}

/// Returns the settings by chapter, in the order of the list.
fn chapters() -> Vec<(&'static str, Vec<&'static Setting>)> {
    let mut chapters: Vec<(&str, Vec<&Setting>)> = Vec::new();
    for setting in SETTINGS {
        match chapters.last_mut() {
            Some((name, settings)) if *name == setting.heading => settings.push(setting),
            _ => chapters.push((setting.heading, vec![setting])),
        }
    }
    chapters
}

/// Breaks `text` into lines of at most `width` characters, at spaces.
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
