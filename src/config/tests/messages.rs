//! Messages about keys, types and values.

use super::*;

#[test]
fn unknown_keys_name_file_line_and_the_nearest_key() {
    assert_eq!(
        complaint("# first\nlog = \"info\"\nrol_age = \"60s\"\n"),
        "sessionlake.toml:3: unknown key `rol_age`; did you mean `roll_age`?"
    );
    assert_eq!(
        complaint("roll-age = \"60s\""),
        "sessionlake.toml:1: unknown key `roll-age`; did you mean `roll_age`?"
    );
    assert_eq!(
        complaint("[storage]\naws_acces_key_id = \"hunter2\""),
        "sessionlake.toml:2: unknown key `storage.aws_acces_key_id`; did you mean \
         `aws_access_key_id`?"
    );
    assert_eq!(
        complaint("[storage]\nallow_http = true\nroll_age = \"60s\""),
        "sessionlake.toml:3: unknown key `storage.roll_age`; it is a setting of its own: move it \
         above the line [storage]"
    );
    assert_eq!(
        complaint("[server]\nlisten = \"x\""),
        "sessionlake.toml:1: unknown key `server`; the tables are [storage], [catalog], \
         [privacy], [properties], [[endpoint]] and [[tables]]; settings stand above them without one"
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
        ("--promote=yes", "--promote: \"yes\" is neither auto nor off, for example --promote auto"),
        (
            "--table-format=Delta",
            "--table-format: \"Delta\" is no table format that this version writes: plain, delta and \
             iceberg are, for example --table-format delta",
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
fn every_problem_is_reported_at_once() {
    let said = complaint("rol_age = \"60s\"\nroll_rows = true\n[storage]\nnope = 1\n");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[0].ends_with("the configuration has 3 problems:"), "{said}");
    assert!(lines[1].starts_with("sessionlake.toml:1: unknown key"), "{said}");
    assert!(lines[2].starts_with("sessionlake.toml:2: `roll_rows` is"), "{said}");
    assert!(lines[3].starts_with("sessionlake.toml:4: unknown key `storage.nope`"), "{said}");
    // A key that is not known hides nothing of the rest, in sections too.
    let said = complaint(
        "rol_age = \"60s\"\nmemory = \"1\"\n[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\n\
         partitoin = \"\"\n[[endpoint]]\nname = \"o\"\npath = \"/o\"\ntable = \"orders\"\n",
    );
    let lines: Vec<&str> = said.lines().skip(1).collect();
    let [first, second, third] = &lines[..] else { panic!("{said}") };
    assert!(first.contains(":1: unknown key `rol_age`"), "{said}");
    assert!(second.contains(":6: unknown key `tables.partitoin`"), "{said}");
    assert!(third.contains(":2: memory: \"1\" is not between"), "{said}");
    let error = load(&["--roll-age=1", "--memory=1"], &[], None).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    let error = load(&["--encrypt-journal=maybe"], &[], None).unwrap_err();
    assert_eq!(error.problems().len(), 1, "once");
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
