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
    assert_eq!(
        said(&["--line-limit=65MiB"]),
        "--line-limit: 65MiB is above a quarter of memory (256MiB, default); lower the one, or raise \
         the other to 260MiB"
    );
    assert!(load(&["--line-limit=65MiB", "--memory=260MiB"], &[], None).is_ok());
    assert_eq!(
        said(&["--status-listen=127.0.0.1:3000"]),
        "--status-listen: 127.0.0.1:3000 is taken by listen; give another port"
    );
    assert!(said(&["--verify-every=1ms"]).contains("is below 1s"));
    for own in ["127.0.0.2:3000", "127.0.0.1:3001", "127.0.0.1:0", "[::1]:3000"] {
        assert!(load(&["--status-listen", own], &[], None).is_ok(), "{own}");
    }
    assert!(said(&["--journal-quota=2MiB"]).contains("is below journal_segment"));
    let said_of_limit = said(&["--drain-limit=5s", "--drain-delay=5s"]);
    assert!(said_of_limit.contains("is not above drain_delay (5s)"), "{said_of_limit}");
    assert!(load(&["--drain-limit=5s", "--drain-delay=4s"], &[], None).is_ok());
    assert_eq!(
        said(&["--journal-quota=300MiB"]),
        "--journal-quota: a journal of 300MiB takes bodies of half of that, and inflated_limit lets \
         bodies of 256MiB through (default); raise the quota to 512MiB, or lower inflated_limit"
    );
    assert!(load(&["--journal-quota=512MiB"], &[], None).is_ok());
    assert!(load(&["--journal-quota=300MiB", "--inflated-limit=150MiB"], &[], None).is_ok());
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
        "--table: no schema of the table orders is built in (there is user_sessions, \
         grail_user_sessions, grail_user_events); name a file: --schema examples/orders.avsc"
    );
    assert_eq!(
        said(&["--table=orders", "--schema=examples/orders.avsc"]),
        "the default of partition: partition template `date={startTime:%Y-%m-%d}`: table orders has no \
         column `startTime`; give --partition 'date={at:%Y-%m-%d}', or --partition '' for no directories"
    );
    let own = ["--table=orders", "--schema=examples/orders.avsc", "--partition=at={at:%Y}"];
    let error = load(&own, &[], None).unwrap_err().to_string();
    assert!(error.contains("`at` is a column of table orders as well"), "{error}");
    let own = ["--table=orders", "--schema=examples/orders.avsc", "--partition=year={at:%Y}"];
    assert!(load(&own, &[], None).is_ok());
}

#[test]
fn tables_of_grail_are_partitioned_by_their_own_time() {
    let by = |typed: &[&str], text: &str| {
        let settings = load(typed, &[], Some(text)).unwrap().settings;
        settings.tables.iter().map(|table| table.partition.as_str().to_owned()).collect::<Vec<_>>()
    };
    let own = "date={start_time:%Y-%m-%d}";
    assert_eq!(by(&["--table=grail_user_sessions"], ""), [own]);
    assert_eq!(
        by(&["--table=grail_user_events", "--partition=y={end_time:%Y}"], ""),
        ["y={end_time:%Y}"]
    );
    let more = "[[tables]]\nname = \"grail_user_events\"";
    assert_eq!(by(&[], more), ["date={startTime:%Y-%m-%d}", own]);
    assert_eq!(by(&[], &format!("{more}\npartition = \"\"")), ["date={startTime:%Y-%m-%d}", ""]);
    let error = load(
        &["--table=grail_user_sessions"],
        &[],
        Some("partition = \"date={startTime:%Y-%m-%d}\""),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("has no column `startTime`; did you mean `start_time`?"), "{error}");
}

#[test]
fn a_flat_table_that_there_is_not_is_refused_with_those_that_there_are() {
    let said = |typed: &[&str]| load(typed, &[], None).unwrap_err().to_string();
    assert_eq!(
        said(&["--flat-tables=user_action"]),
        "--flat-tables: there is no flat table user_action; did you mean `user_actions`?"
    );
    assert_eq!(
        said(&["--flat-tables=all"]),
        "--flat-tables: there is no flat table all; those of this configuration are user_actions, \
         user_events, user_errors, user_properties"
    );
    assert_eq!(
        said(&["--table=grail_user_sessions", "--flat-tables=user_actions"]),
        "--flat-tables: there is no flat table user_actions; no table has the lists of sessions that they \
         are made of"
    );
}

#[test]
fn a_partition_that_is_text_alone_is_refused() {
    let said = |partition: &str| load(&[partition], &[], None).unwrap_err().to_string();
    let error = said("--partition=date={startTime:YYYY-MM-DD}");
    assert!(error.starts_with("--partition: partition template `date={startTime:Y"), "{error}");
    assert!(error.ends_with("write `%Y-%m-%d`"), "{error}");
    assert!(said("--partition=date={startTime:2026}").contains("no part of the time"));
    assert!(said("--partition=date=%Y-%m-%d").contains("holds no column"));
    let error = said("--partition=date={starttime:%Y}");
    assert!(error.ends_with("has no column `starttime`; did you mean `startTime`?"), "{error}");
    assert!(said("--partition=t={visitId}").ends_with("did you mean `userSessionId`?"));
}

#[test]
fn half_an_address_is_refused_as_a_directory() {
    let said = |flag: &str| load(&[flag], &[], None).unwrap_err().to_string();
    let error = said("--lake=s3:/bucket/prefix");
    assert!(error.starts_with("--lake: \"s3:/bucket/prefix\" is no address"), "{error}");
    assert!(error.ends_with("--lake s3://bucket/prefix"), "{error}");
    assert!(said("--lake=gs:bucket").contains("is no address"));
    assert!(said("--state=s3://bucket/state").contains("has to be a directory"));
    assert!(load(&["--lake=./s3:/bucket"], &[], None).is_ok());
}

#[test]
fn fields_without_null_are_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.avsc");
    std::fs::write(
        &file,
        r#"{"type": "record", "name": "own", "fields": [
            {"name": "id", "type": "string"}, {"name": "n", "type": "long"}]}"#,
    )
    .unwrap();
    let schema = format!("--schema={}", file.display());
    let loaded = load(&["--table=own", &schema, "--partition="], &[], None).unwrap();
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert!(warning.contains("declares `id` and 1 more without null"), "{warning}");
    let own = ["--table=orders", "--schema=examples/orders.avsc", "--partition="];
    assert!(load(&own, &[], None).unwrap().warnings.is_empty());
}

#[test]
fn settings_without_the_one_they_go_with_are_warned_about() {
    let idle = ["--flat-columns=startTime", "--promote-after=5", "--dedup-max-rows=1000"];
    let warnings = load(&idle, &[], None).unwrap().warnings;
    let [flat, promote, dedup] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(flat, "--flat-columns: has no effect without flat_tables, which no table has");
    assert!(promote.contains("--promote-after") && promote.contains("promote,"), "{promote}");
    assert!(dedup.contains("--dedup-max-rows") && dedup.contains("dedup,"), "{dedup}");
    assert!(load(&["--promote-after=1000"], &[], None).unwrap().warnings.is_empty(), "the default");
    let used = ["--flat-tables=user_actions", "--promote=auto", "--dedup=1h"];
    let used: Vec<&str> = idle.into_iter().chain(used).collect();
    assert_eq!(load(&used, &[], None).unwrap().warnings, Vec::<String>::new());
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
