//! Arrow's types are matched in this module and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

/// Text that only a match over Arrow's types, or a cast of an array by its type, has.
const BY_TYPE: &[&str] = &[
    "DataType::",
    "ArrowDataType",
    ".as_primitive",
    ".as_string",
    ".as_boolean",
    ".as_list",
    ".as_struct",
    ".as_map",
    "Array>()",
];

/// The Rust files below `folder` that are no tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            found.push(path);
        }
    }
}

/// The lines of a source that match on types, with their numbers; its tests are left out.
fn by_type(text: &str) -> Vec<(usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let lines = lines.filter(|(_, line)| BY_TYPE.iter().any(|text| line.contains(text)));
    lines.map(|(at, line)| (at + 1, line.trim())).collect()
}

#[test]
fn no_other_module_matches_on_arrow_types() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // The types there are those of the log and its library; its arrays are the actions of a commit.
    files.retain(|path| !path.starts_with(src.join("commit/delta")));
    let (inside, outside): (Vec<_>, Vec<_>) =
        files.iter().partition(|path| path.starts_with(src.join("columnar")));
    let found = |files: &[&PathBuf]| {
        let mut found = Vec::new();
        for path in files {
            let text = fs::read_to_string(path).unwrap();
            let lines = by_type(&text).into_iter();
            found.extend(lines.map(|(at, line)| format!("{}:{at}: {line}", path.display())));
        }
        found
    };
    assert!(found(&inside).len() > 50, "the search finds nothing any more");
    assert_eq!(found(&outside), [""; 0], "matches over Arrow's types belong into src/columnar");
}

#[test]
fn a_match_outside_would_be_found() {
    let bad = "match field.data_type() {\n    DataType::Utf8 => 1,\n}\n// DataType::Utf8\n";
    assert_eq!(by_type(bad), [(2, "DataType::Utf8 => 1,")]);
    let cast = "let texts = column.as_string_opt::<i32>();";
    assert_eq!(by_type(cast), [(1, cast)]);
    assert_eq!(by_type("fn f() {}\n#[cfg(test)]\nmod tests {\n    use DataType::Utf8;\n}"), []);
}
