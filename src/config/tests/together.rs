//! Settings that do not go together.

use super::*;

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
