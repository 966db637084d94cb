//! The modules that each module may name: the arrows of docs/design.md, held against the sources.
//!
//! A module is what stands directly below `src/`. It names another one with `crate::other`, in a
//! `use` line or within code. Code that is compiled for tests only may name anything. [`ARROWS`] has
//! for each module the ones that it may name; what is in [`SHARED`] may be named by every module.
//! A module that is in neither is new, and fails the test until it has a line.

#![allow(clippy::expect_used, reason = "sources that cannot be read fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Words, types and figures that every module may use. They name only one another.
const SHARED: &[&str] = &[
    "clock",
    "columnar",
    "error_text",
    "fields",
    "foreign_format",
    "json",
    "metrics",
    "packed_lines",
    "peers",
    "record",
    "rfc3339",
    "schema",
    "secret_path",
    "spelling",
    "status",
    "table",
    "varint",
    "zstd_context",
];

/// The modules that each module may name besides [`SHARED`].
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli", "config"]),
    (
        "cli",
        &[
            "audit",
            "auth",
            "bulk_action",
            "cgroup",
            "config",
            "decode",
            "descriptors",
            "http",
            "import",
            "journal",
            "lake",
            "maintain",
            "otlp",
            "privacy",
            "server",
            "simulate",
            "tls",
            "views",
        ],
    ),
    (
        "config",
        &[
            "auth", "commit", "dedup", "encode", "http", "import", "journal", "lake", "maintain",
            "privacy", "roll", "server", "tls",
        ],
    ),
    (
        "server",
        &[
            "auth", "commit", "dedup", "http", "intake", "journal", "lake", "otlp", "privacy",
            "publish", "roll", "tls",
        ],
    ),
    // Sources of bodies.
    ("http", &["auth", "bulk_action", "intake", "otlp", "tls"]),
    ("auth", &[]),
    ("tls", &[]),
    ("intake", &["bulk_action", "journal"]),
    ("journal", &[]),
    // From bodies to a visible roll.
    ("publish", &["commit", "dedup", "encode", "journal", "lake", "privacy", "roll"]),
    ("roll", &["batch", "decode", "dedup", "derive", "encode", "lake", "privacy"]),
    ("dedup", &[]),
    ("decode", &["bulk_action"]),
    ("privacy", &["decode"]),
    ("derive", &[]),
    ("batch", &[]),
    ("encode", &[]),
    ("commit", &["lake", "roll"]),
    ("lake", &["encode"]),
    // Work on a lake beside the receiver.
    ("import", &["bulk_action", "commit", "decode", "dedup", "lake", "privacy", "publish", "roll"]),
    ("maintain", &["commit", "lake", "publish"]),
    ("audit", &["commit", "decode", "lake", "simulate"]),
    // SQL for readers.
    ("views", &[]),
    // An outsider that shares only the schema.
    ("simulate", &[]),
    ("bulk_action", &[]),
    ("descriptors", &[]),
    ("cgroup", &[]),
    // With the feature of its name.
    ("otlp", &[]),
];

/// A place in the sources that names a module which its own may not name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wrong {
    file: String,
    line: usize,
    from: String,
    to: String,
}

#[test]
fn modules_name_only_what_the_arrows_allow() {
    let (mut wrong, mut unknown) = (Vec::new(), BTreeSet::new());
    for (file, text) in sources() {
        let from = module_of(&file);
        if !is_known(&from) && !matches!(&*from, "lib" | "search") {
            unknown.insert(from.clone());
        }
        if from != "lib" {
            wrong.extend(check(&file, &text));
        }
    }
    let mut report = String::new();
    for Wrong { file, line, from, to } in &wrong {
        let _ = writeln!(report, "{file}:{line}: {from} may not use {to}");
    }
    assert!(unknown.is_empty(), "modules without a line in ARROWS: {unknown:?}");
    assert!(wrong.is_empty(), "{} wrong arrows:\n{report}", wrong.len());
}

#[test]
fn modules_name_one_another_in_one_direction() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources() {
        let from = module_of(&file);
        let named = names(&file, &text).into_iter().map(|(_, to)| to).filter(|to| *to != from);
        arrows.entry(from.clone()).or_default().extend(named);
    }
    arrows.remove("lib");
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "modules that name one another in a circle: {circles:?}");
}

/// Files of one directory that name one another in a circle, each with its reason.
const RECURSION: &[(&str, &str)] = &[];

#[test]
fn files_of_a_module_name_one_another_in_one_direction() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources() {
        let siblings = siblings(&file, &text);
        arrows.entry(file).or_default().extend(siblings);
    }
    let known: BTreeSet<&str> = RECURSION.iter().map(|(file, _)| *file).collect();
    let mut circles = circles(&arrows);
    circles.retain(|circle| !circle.iter().all(|file| known.contains(file.as_str())));
    assert!(circles.is_empty(), "files that name one another in a circle: {circles:#?}");
}

#[test]
fn a_wrong_use_is_named_with_its_place() {
    let wrong = |file: &str, text: &str| {
        let found = check(file, text).into_iter();
        found.map(|w| format!("{}:{} {} > {}", w.file, w.line, w.from, w.to)).collect::<Vec<_>>()
    };
    let file = "src/journal/writer.rs";
    assert_eq!(wrong(file, "use crate::record::Seq;\n"), [""; 0]);
    assert_eq!(
        wrong(file, "\nuse crate::http::Options;\n"),
        ["src/journal/writer.rs:2 journal > http"]
    );
    let several = "use crate::{\n    record::Seq,\n    lake::{Lake, names},\n    config,\n};\n";
    assert_eq!(
        wrong(file, several),
        ["src/journal/writer.rs:3 journal > lake", "src/journal/writer.rs:4 journal > config"]
    );
    let inline = "fn f() -> crate::config::Error { super::super::schema::x() }\n";
    assert_eq!(wrong(file, inline), ["src/journal/writer.rs:1 journal > config"]);
    assert_eq!(
        wrong(file, "use super::super::http::x;\n"),
        ["src/journal/writer.rs:1 journal > http"]
    );
    // Comments, and what is compiled for tests only.
    assert_eq!(wrong(file, "// crate::http\n/// [`crate::http`]\n"), [""; 0]);
    let tested = "#[cfg(test)]\nmod tests {\n    use crate::http::x;\n}\n";
    assert_eq!(wrong(file, tested), [""; 0]);
    assert_eq!(wrong("src/journal/tests/search.rs", "use crate::http::x;\n"), [""; 0]);
    let one = "#[cfg(test)]\nuse crate::http::x;\nuse crate::lake::y;\n";
    assert_eq!(wrong(file, one), ["src/journal/writer.rs:3 journal > lake"]);
    let circle = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["a"]), ("d", vec!["a"])];
    let arrows =
        circle.map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect()));
    assert_eq!(circles(&arrows.into()), [["a", "b", "c"]]);
    let text = "use super::disk::Disk;\nuse super::{error::E, frame};\nuse super::Journal;\n";
    let found = siblings("src/journal/writer.rs", text);
    assert_eq!(found, ["src/journal/disk.rs", "src/journal/error.rs", "src/journal/frame.rs"]);
}

/// The sources that are compiled into the program, by path from the root of the project.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        (name, text)
    };
    files.into_iter().map(read).filter(|(name, _)| !is_test(name)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("tests.rs") || file.ends_with("/fuzz.rs")
}

fn module_of(file: &str) -> String {
    let below = file.strip_prefix("src/").unwrap_or(file);
    let first = below.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

fn is_known(module: &str) -> bool {
    SHARED.contains(&module) || ARROWS.iter().any(|(from, _)| *from == module)
}

fn check(file: &str, text: &str) -> Vec<Wrong> {
    let from = module_of(file);
    let own = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, to)| *to);
    let allowed = |to: &str| to == from || SHARED.contains(&to) || own.contains(&to);
    let named = names(file, text).into_iter().filter(|(_, to)| is_known(to) && !allowed(to));
    named.map(|(line, to)| Wrong { file: file.to_owned(), line, from: from.clone(), to }).collect()
}

/// The modules that a file names, each with its line.
fn names(file: &str, text: &str) -> Vec<(usize, String)> {
    if is_test(file) {
        return Vec::new();
    }
    // How often `super` has to stand for it to be the crate.
    let below = file.strip_prefix("src/").unwrap_or(file);
    let parts = below.split('/').count();
    let depth = if below.ends_with("/mod.rs") { parts - 1 } else { parts };
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    let code = code(text);
    for prefix in ["crate::", "sessionlake::", climb.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let after = &code[at + prefix.len()..];
            for (offset, name) in heads(after) {
                let line = code[..at + prefix.len() + offset].matches('\n').count() + 1;
                found.push((line, name));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The other files of its directory that a file names by `super::`.
fn siblings(file: &str, text: &str) -> Vec<String> {
    let Some((directory, name)) = file.rsplit_once('/') else { return Vec::new() };
    // A `mod.rs` names the files below it by declaring them.
    if name == "mod.rs" || directory == "src" {
        return Vec::new();
    }
    let code = code(text);
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("super::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let after = &code[at + prefix.len()..];
        for (_, name) in heads(after).into_iter().filter(|(_, name)| name != "super") {
            if name.chars().next().is_some_and(char::is_lowercase) {
                found.insert(format!("{directory}/{name}.rs"));
            }
        }
    }
    found.remove(file);
    found.into_iter().collect()
}

/// The first names of a path, or of each path of a group in braces, with their offsets.
fn heads(text: &str) -> Vec<(usize, String)> {
    if !text.starts_with('{') {
        return name_at(text, 0).into_iter().collect();
    }
    let (mut found, mut depth, mut expects) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' => {
                depth += 1;
                expects = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' => expects = depth == 1,
            c if c.is_whitespace() => {}
            _ if expects => {
                found.extend(name_at(text, at));
                expects = false;
            }
            _ => {}
        }
    }
    found
}

fn name_at(text: &str, at: usize) -> Option<(usize, String)> {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let name: String = text.get(at..)?.chars().take_while(is_name).collect();
    (!name.is_empty()).then_some((at, name))
}

/// The text without comments and without what is compiled for tests only; lines stay lines.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    let mut tests_only = false;
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        if bare == "#[cfg(test)]" {
            tests_only = true;
            out.push('\n');
            continue;
        }
        if std::mem::take(&mut tests_only) {
            if bare.starts_with("#[") {
                tests_only = true;
            } else if bare.ends_with('{') {
                // To the brace that closes the item: rustfmt puts it below the item's beginning.
                let close = format!("{}}}", &line[..line.len() - bare.len()]);
                out.push('\n');
                for inner in lines.by_ref() {
                    out.push('\n');
                    if inner == close {
                        break;
                    }
                }
                continue;
            } else if !bare.ends_with([';', ',', '}']) {
                tests_only = true;
            }
            out.push('\n');
            continue;
        }
        let kept = if bare.starts_with("//") { "" } else { line };
        out.push_str(kept.split(" // ").next().unwrap_or_default());
        out.push('\n');
    }
    out
}

/// Groups of names that can be reached from one another, each sorted.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(name) = open.pop() {
            for next in arrows.get(&name).into_iter().flatten() {
                if arrows.contains_key(next) && seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|name| (name, reach(name))).collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (name, there) in &reached {
        if there.contains(*name) && !circles.iter().any(|circle| circle.contains(name)) {
            let back =
                |other: &&&String| reached[**other].contains(*name) && there.contains(**other);
            circles.push(reached.keys().filter(back).map(|other| (*other).clone()).collect());
        }
    }
    circles
}
