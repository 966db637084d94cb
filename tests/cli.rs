//! The binary itself: exit codes, what goes to which stream, and help.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the binary in `dir` with nothing of the caller's own `SESSIONLAKE_…` in its environment.
fn run_with(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessionlake"));
    command.current_dir(dir).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SESSIONLAKE_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    run_with(dir.path(), arguments, &[])
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_is_a_manual_page_on_standard_output() {
    let output = run(&["--help"]);
    assert_eq!(code(&output), Some(0));
    let text = stdout(&output);
    for part in ["Usage: ", "Commands:", "Examples:", "Configuration:", "Exit status:"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    for command in ["serve", "import", "inspect", "schema", "check", "convert"] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is not in\n{text}");
        let output = run(&[command, "--help"]);
        assert_eq!(code(&output), Some(0));
        let manual = stdout(&output);
        for part in ["Usage: ", "Examples:\n  sessionlake ", "Exit status:\n  0  "] {
            assert!(manual.contains(part), "{part} is not in\n{manual}");
        }
        assert!(stderr(&output).is_empty());
    }
    assert!(!text.contains("config-reference"), "it is for those who work on the program");
}

#[test]
fn the_manual_page_of_serve_has_sections_variables_and_defaults() {
    let text = stdout(&run(&["serve", "--help"]));
    for part in [
        "\nGeneral:\n",
        "\nReceiving:\n",
        "\nLake:\n",
        "\nRolls and files:\n",
        "\nResources:\n",
        "\nJournal:\n",
        "      --roll-age <DURATION>\n",
        "[env: SESSIONLAKE_ROLL_AGE]\n          [default: 60s]\n",
        "[default: 127.0.0.1:3000]",
        "--skip-damaged[=<BOOL>]",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn version_is_printed() {
    let output = run(&["--version"]);
    assert_eq!(code(&output), Some(0));
    assert_eq!(stdout(&output), format!("sessionlake {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_2_and_leaves_standard_output_alone() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["serve", "--no-such-flag"],
        &["serve", "--roll-age"],
        &["serve", "--roll-age", "60"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--config", "missing.toml"],
        &["import"],
        &["import", "--memory", "1", "a.ndjson"],
        &["inspect", "ftp://x/y"],
        &["schema", "--format", "cobol"],
        &["schema", "no_such_table"],
        &["check", "--state", "./data/lake/x"],
        &["serve", "--log", "inof"],
        &["serve", "--credentials", "missing.toml"],
        &["serve", "--tls-cert", "missing.pem", "--tls-key", "missing.pem"],
        &["serve", "--privacy-key", "missing.key"],
        &["unseal", "--privacy-key", "missing.key"],
        &["inspect", "--lake", "ftp://x/y"],
        &["verify", "--lake", "a", "b"],
        &["simulate", "--timeout", "0s"],
        &["simulate", "--duration", "0s"],
        &["sample", "--sessions", "0"],
        &["sample", "--days", "0"],
        &["cert", "--self-signed", "tls", "--name", ""],
        &["cert", "--self-signed", "tls", "--name", "a b"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_error_is_reported_with_its_causes() {
    let output = run(&["serve", "--config", "missing.toml"]);
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "error: cannot read the configuration file missing.toml");
    assert!(lines[1].starts_with("  caused by: No such file or directory"), "{said}");
}

/// A store that must not be spoken to, since its address is plain http://.
const PLAIN_STORE: [(&str, &str); 4] = [
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("AWS_ACCESS_KEY_ID", "a"),
    ("AWS_SECRET_ACCESS_KEY", "b"),
    ("AWS_REGION", "us-east-1"),
];

#[test]
fn a_failure_of_a_store_is_reported_once_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let output = run_with(dir.path(), &["inspect", "s3://bucket/prefix"], &PLAIN_STORE);
    assert_eq!(code(&output), Some(1));
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "error: cannot list the lake s3://bucket/prefix");
    assert!(lines[1].contains("AWS_ALLOW_HTTP=true"), "{said}");
    assert!(lines.len() <= 4, "{said}");
    assert_eq!(said.matches("GET http://127.0.0.1:9/").count(), 1, "{said}");
}

#[test]
fn a_lake_that_is_not_there_is_said_so() {
    let dir = TempDir::new().unwrap();
    for arguments in [&["verify", "nowhere"][..], &["sample", "--lake", "nowhere"]] {
        let output = run_with(dir.path(), arguments, &[]);
        assert_eq!(code(&output), Some(1), "{arguments:?}");
        assert_eq!(
            stderr(&output),
            "error: there is no lake at nowhere; `serve` or `import` makes one\n"
        );
    }
}

#[test]
fn a_lake_is_named_by_an_argument_or_a_flag() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("lake")).unwrap();
    for command in [&["inspect"][..], &["verify"], &["sample"], &["quarantine", "list"]] {
        let by = |lake: &[&str]| run_with(dir.path(), &[command, lake].concat(), &[]);
        let (argument, flag) = (by(&["lake"]), by(&["--lake", "lake"]));
        assert_eq!(code(&flag), code(&argument), "{command:?}: {}", stderr(&flag));
        assert_eq!(stdout(&flag), stdout(&argument), "{command:?}");
        let both = by(&["lake", "--lake", "lake"]);
        assert_eq!(code(&both), Some(2), "{command:?}");
        assert!(stderr(&both).contains("give it once"), "{}", stderr(&both));
    }
}

/// The lines of a manual page between `Examples:` and `Exit status:`, and the commands in them.
fn examples(manual: &str) -> (Vec<&str>, String) {
    let from = manual.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines: Vec<&str> = from.take_while(|line| !line.ends_with(':')).collect();
    let mut commands = String::new();
    let mut goes_on = false;
    for line in &lines {
        // What is said of a command is indented further, and so are its own further lines.
        if goes_on || (line.starts_with("  ") && !line.starts_with("   ")) {
            commands.push_str(line);
            commands.push('\n');
            goes_on = line.ends_with(['\\', '|']);
        }
    }
    (lines, commands)
}

#[test]
fn examples_can_be_pasted_from_a_narrow_terminal() {
    for command in [
        &[][..],
        &["serve"],
        &["import"],
        &["inspect"],
        &["simulate"],
        &["sample"],
        &["schema"],
        &["verify"],
        &["quarantine", "list"],
        &["quarantine", "show"],
        &["quarantine", "replay"],
        &["check"],
        &["admin"],
        &["top"],
        &["tap"],
        &["passwd"],
        &["cert"],
        &["unseal"],
    ] {
        let dir = TempDir::new().unwrap();
        let arguments = [command, &["--help"]].concat();
        let at = |columns: &str| stdout(&run_with(dir.path(), &arguments, &[("COLUMNS", columns)]));
        let (narrow, wide) = (at("60"), at("200"));
        let (lines, commands) = examples(&narrow);
        assert!(!commands.is_empty(), "{command:?} has no example:\n{narrow}");
        // What is said of them may be broken; a command may not.
        assert_eq!(commands, examples(&wide).1, "{command:?} is broken at 60 columns");
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{command:?}: {lines:#?}");
        let bash = Command::new("bash").args(["-n", "-c", &commands]).output().unwrap();
        assert!(bash.status.success(), "{commands}{}", stderr(&bash));
    }
}

#[test]
fn a_ledger_or_a_certificate_that_is_there_is_not_replaced() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("l.2"), "mine").unwrap();
    let to = ["--to=http://127.0.0.1:9/a", "--to=http://127.0.0.1:9/b"];
    let arguments = [&["simulate", "--quiet", "--ledger=l"], &to[..]].concat();
    let output = run_with(dir.path(), &arguments, &[]);
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is a ledger l.2 already"), "{}", stderr(&output));
    assert!(!dir.path().join("l").exists());

    let cert = || run_with(dir.path(), &["cert", "--self-signed", "tls"], &[]);
    assert_eq!(code(&cert()), Some(0));
    std::fs::remove_file(dir.path().join("tls/key.pem")).unwrap();
    let again = cert();
    assert_eq!(code(&again), Some(1));
    assert!(stderr(&again).contains("tls/cert.pem is there already: give another"));
    assert!(!dir.path().join("tls/key.pem").exists(), "a key without its certificate");
}

#[test]
fn what_an_endpoint_that_is_given_up_was_never_sent_is_counted_apart() {
    let dir = TempDir::new().unwrap();
    let arguments = [
        "simulate",
        "--to=http://127.0.0.1:9/export/events",
        "--sessions=9000",
        "--pause=1ms",
        "--ledger=l",
    ];
    let output = run_with(dir.path(), &arguments, &[]);
    assert_eq!(code(&output), Some(1));
    let said = stderr(&output);
    let number = |before: &str| -> u64 {
        let text = said.split(before).next().unwrap_or_default();
        text.rsplit([' ', '\n']).next().unwrap_or_default().parse().unwrap()
    };
    assert_eq!(number(" bulks sent"), number(" discarded,"), "{said}");
    assert!(number(" never sent") > 0, "{said}");
}

#[test]
fn check_tells_a_start_that_cannot_land_from_none_at_all() {
    let dir = TempDir::new().unwrap();
    let arguments = ["check", "--state=state", "--listen=127.0.0.1:0", "--lake=s3://bucket/x"];
    let output = run_with(dir.path(), &arguments, &PLAIN_STORE);
    assert_eq!(code(&output), Some(1));
    let said = stdout(&output);
    assert!(
        said.contains("\nThis configuration would start, but could not write to the lake"),
        "{said}"
    );
    assert!(said.contains("AWS_ALLOW_HTTP=true"), "{said}");
    assert!(said.contains(", partitioned by date={startTime:%Y-%m-%d}, plain files\n"), "{said}");

    let segment = dir.path().join("state/00000000000000000001.seg");
    std::fs::create_dir(dir.path().join("state")).unwrap();
    std::fs::write(&segment, "no segment at all").unwrap();
    let arguments = ["check", "--state=state", "--listen=127.0.0.1:0"];
    let output = run_with(dir.path(), &arguments, &[]);
    assert_eq!(code(&output), Some(1));
    let said = stdout(&output);
    assert!(
        said.contains("\nfailed  journal   state/00000000000000000001.seg is damaged"),
        "{said}"
    );
    assert!(said.ends_with("\nThis configuration would not start.\n"), "{said}");
    assert_eq!(std::fs::read(&segment).unwrap(), b"no segment at all");
    let left = std::fs::read_dir(dir.path().join("state")).unwrap().count();
    assert_eq!(left, 1, "check left something behind");
}

#[test]
fn variables_of_the_environment_count_and_strange_ones_are_warned_about() {
    let dir = TempDir::new().unwrap();
    let variables = [
        ("SESSIONLAKE_LISTEN", "127.0.0.1:0"),
        ("SESSIONLAKE_STATE", "here/state"),
        ("SESSIONLAKE_LAKE", ""),
        ("SESSIONLAKE_LISTENS", "1"),
    ];
    let output = run_with(dir.path(), &["check"], &variables);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("\nok      state     here/state can be written"));
    assert!(stdout(&output).contains("\nok      lake      ./data/lake: "));
    assert_eq!(
        stderr(&output),
        "warning: the environment variable SESSIONLAKE_LISTENS is not read; the nearest name \
         that is read is SESSIONLAKE_LISTEN\n"
    );
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "check left {left:?} behind");
}

#[test]
fn check_says_what_would_keep_serve_from_starting() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::fs::write(dir.path().join("other"), "").unwrap();
    let arguments = ["--state=file/state", "--lake=other", "--listen"];
    let arguments = [&["check"], arguments.as_slice(), &[address.as_str()]].concat();
    let output = run_with(dir.path(), &arguments, &[]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    for part in [
        "ok      settings ",
        &format!("failed  listen    cannot listen on {address}, where another program listens"),
        "failed  state     cannot make file/state: ",
        "failed  lake      cannot make other: ",
        "ok      schema    user_sessions with 66 columns (built in)",
        "\nThis configuration would not start.\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn a_schema_of_ones_own_is_printed_and_promoted() {
    let dir = TempDir::new().unwrap();
    let own = r#"{"type": "record", "name": "own", "fields": [
        {"name": "id", "type": ["null", "string"], "default": null}]}"#;
    std::fs::write(dir.path().join("own.avsc"), own).unwrap();
    std::fs::write(dir.path().join("c.toml"), "schema = \"own.avsc\"\n").unwrap();
    let run = |arguments: &[&str]| run_with(dir.path(), arguments, &[]);
    let ddl = run(&["schema", "--schema", "own.avsc", "--format", "duckdb"]);
    assert!(stdout(&ddl).contains("'data/lake/own/**/*.parquet'"), "{}", stderr(&ddl));
    let ddl = run(&["schema", "--schema", "own.avsc", "--table", "t", "--format", "duckdb"]);
    assert!(stdout(&ddl).contains("'data/lake/t/**/*.parquet'"), "{}", stderr(&ddl));
    let next = run(&["schema", "promote", "/x", "--type", "long", "--config", "c.toml"]);
    assert!(stdout(&next).contains("\"name\": \"own\""), "{}", stderr(&next));
    assert!(stdout(&next).contains("Promoted from /x."), "{}", stdout(&next));
    for (arguments, exit, said) in [
        (&["schema", "--schema", "none.avsc"][..], 2, "cannot read the schema file none.avsc"),
        (&["schema", "user_session"], 2, "did you mean user_sessions?"),
        (&["schema", "promote", "x"], 2, "\"x\" is no pointer to a field"),
        (&["schema", "promote", "/ip"], 2, "/ip has a column already"),
        (&["schema", "promote", "/x"], 1, "without one, give --type"),
        (&["schema", "infer", "--table", "Own", "own.avsc"], 2, "--table: \"Own\" is not 1 to 64"),
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), Some(exit), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{}", stdout(&output));
    }
}

#[test]
fn check_refuses_a_schema_or_template_that_cannot_be_used() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("bad.avsc"), "{").unwrap();
    for (argument, said) in [
        ("--schema=bad.avsc", "error: --schema: the schema file bad.avsc cannot be used: "),
        ("--schema=none.avsc", "error: --schema: cannot read the schema file none.avsc: "),
        ("--table=orders", "error: --table: no schema of the table orders is built in"),
        (
            "--partition=date={startTime}",
            "error: --partition: partition template `date={startTime}`: ",
        ),
        ("--partition=date={strtTime:%Y}", "strtTime"),
    ] {
        for command in ["check", "serve"] {
            let output = run_with(dir.path(), &[command, argument], &[]);
            assert_eq!(code(&output), Some(2), "{}", stderr(&output));
            assert!(stderr(&output).contains(said), "{}", stderr(&output));
        }
    }
}

#[test]
fn check_sees_that_another_process_has_the_state_directory() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let lock = std::fs::File::create(dir.path().join("state/lock")).unwrap();
    lock.lock().unwrap();
    let arguments = ["check", "--state=state", "--listen=127.0.0.1:0"];
    let output = run_with(dir.path(), &arguments, &[]);
    assert_eq!(code(&output), Some(1));
    let said = stdout(&output);
    assert!(said.contains("failed  state     state is used by another process\n"), "{said}");
    drop(lock);
    // A child that another test starts at this very moment has the lock's file until it begins to
    // run its program.
    let free = || code(&run_with(dir.path(), &arguments, &[])) == Some(0);
    let soon = std::iter::repeat_with(|| std::thread::sleep(std::time::Duration::from_millis(50)));
    assert!(free() || soon.take(40).any(|()| free()));
}

#[test]
fn inspect_looks_at_lakes_and_files_on_disk() {
    let dir = TempDir::new().unwrap();
    let output = run_with(dir.path(), &["inspect"], &[]);
    assert_eq!(code(&output), Some(1));
    assert!(
        stderr(&output)
            .starts_with("error: there is neither a lake nor a file at ./data/lake\n  caused by: ")
    );

    let partition = dir.path().join("data/lake/t/at=10%3A00");
    std::fs::create_dir_all(&partition).unwrap();
    let file = partition.join("n-1.parquet");
    std::fs::write(&file, parquet()).unwrap();
    let output = run_with(dir.path(), &["inspect"], &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 table, 1 file, 3 rows, "), "{}", stdout(&output));
    assert!(stdout(&output).contains("\n  at=10%3A00 "), "{}", stdout(&output));

    let output = run_with(dir.path(), &["inspect", "--json", "--files", "data/lake"], &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["tables"][0]["partitions"][0]["rows"], 3);
    assert_eq!(report["tables"][0]["partitions"][0]["file_list"][0]["row_groups"], 1);

    let name = "data/lake/t/at=10%3A00/n-1.parquet";
    let output = run_with(dir.path(), &["inspect", name], &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Row groups: 1\n"), "{}", stdout(&output));
    let output = run_with(dir.path(), &["inspect", "--json", name], &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["columns"][0]["path"], "n");

    std::fs::write(partition.join("n-2.parquet"), b"PAR1 and no more").unwrap();
    let output = run_with(dir.path(), &["inspect"], &[]);
    assert_eq!(code(&output), Some(1), "a broken file is not fatal, and not fine");
    assert!(stdout(&output).contains("1 table, 1 file, 3 rows, "));
    assert!(stdout(&output).contains("\nBroken: 1 file\n  t/at=10%3A00/n-2.parquet\n"));
}

fn parquet() -> Vec<u8> {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let numbers: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn schema_prints_every_format() {
    let output = run(&["schema"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let avro: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(avro["name"], "user_sessions");
    for format in ["arrow", "spark", "trino", "duckdb", "elasticsearch"] {
        let output = run(&["schema", "user_sessions", "--format", format]);
        assert_eq!(code(&output), Some(0), "{format}: {}", stderr(&output));
        assert!(stdout(&output).contains("startTime"), "{format}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    for arguments in [&["serve", "--help"][..], &["config-reference", "--example"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sessionlake"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), Some(0), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

/// A plain lake in `lake` below the returned directory, with one session.
fn plain_lake() -> TempDir {
    let dir = TempDir::new().unwrap();
    let line = r#"{"userSessionId":"a","startTime":1793534400000}"#;
    std::fs::write(dir.path().join("a.ndjson"), line).unwrap();
    let output = run_with(dir.path(), &["import", "a.ndjson", "--lake", "lake"], &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    dir
}

#[test]
fn a_lake_is_converted_once_it_is_said_to_what() {
    let dir = plain_lake();
    let convert =
        |more: &[&str]| run_with(dir.path(), &[&["convert", "--lake", "lake"], more].concat(), &[]);
    for (more, part) in [
        (&[][..], "give --to, or set table_format"),
        (&["--to", "plain"], "plain has none"),
        (&["--to", "parquet"], "`parquet` is no table format"),
        (&["--to", "delta", "orders"], "there is no table orders"),
        (&["--to", "delta", "--partition", "startTime={startTime:%Y}"], "startTime"),
    ] {
        let output = convert(more);
        assert!(matches!(code(&output), Some(1 | 2)), "{more:?}");
        assert!(stderr(&output).contains(part), "{more:?}: {}", stderr(&output));
        assert!(
            stdout(&output).is_empty()
                && !dir.path().join("lake/user_sessions/_delta_log").exists()
        );
    }
    let output = convert(&["--to", "delta"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("created; 1 roll (1 files, 1 rows) of 1 node added"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("set table_format = \"delta\""), "{}", stderr(&output));
    let output = convert(&["--table-format", "delta"]);
    assert!(stdout(&output).contains("no roll waited") && stderr(&output).is_empty());
    // A roll that cannot be added is told of, and no exit code says that all is well.
    let output = run_with(
        dir.path(),
        &["import", "a.ndjson", "--again", "--lake", "lake", "--table-format", "delta"],
        &[],
    );
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    for node in std::fs::read_dir(dir.path().join("lake/_receipts")).unwrap() {
        std::fs::write(node.unwrap().path().join("00000002.json"), "{").unwrap();
    }
    let output = convert(&["--to", "delta"]);
    assert_eq!(code(&output), Some(1));
    assert!(stdout(&output).contains("not added: rolls of import-"), "{}", stdout(&output));
}

#[test]
fn a_lake_that_is_not_there_is_not_converted() {
    let output = run(&["convert", "--to", "delta"]);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("there is no lake"), "{}", stderr(&output));
}

#[test]
fn tables_are_created_and_upgraded_by_name() {
    let dir = TempDir::new().unwrap();
    let table = |arguments: &[&str]| {
        run_with(dir.path(), &[&["table"], arguments, &["--lake", "lake"]].concat(), &[])
    };
    let refused = table(&["create"]);
    assert_eq!(code(&refused), Some(2));
    assert!(stderr(&refused).contains("--table-format"), "{}", stderr(&refused));
    let delta = ["--table-format", "delta"];
    let created = table(&[&["create", "--dry-run"][..], &delta].concat());
    assert!(stdout(&created).contains("would be created") && !dir.path().join("lake").exists());
    let created = table(&[&["create"][..], &delta].concat());
    assert_eq!(code(&created), Some(0), "{}", stderr(&created));
    assert!(stdout(&created).contains("created, without a row (version 0)"));
    let upgraded = table(&[&["upgrade"][..], &delta].concat());
    assert!(stdout(&upgraded).contains("is there, with all columns (version 0)"));
    let missing = table(
        &[&["upgrade", "--table", "user_actions", "--schema", "x.avsc"][..], &delta].concat(),
    );
    assert_eq!(code(&missing), Some(2), "there is no such schema");
    std::fs::write(
        dir.path().join("x.avsc"),
        r#"{"type":"record","name":"x","fields":[{"name":"a","type":["null","string"]}]}"#,
    )
    .unwrap();
    let more = ["--table", "x", "--schema", "x.avsc", "--partition", ""];
    let missing = table(&[&["upgrade"][..], &more, &delta].concat());
    assert_eq!(code(&missing), Some(1));
    assert!(stdout(&missing).contains("is not there: `sessionlake table create` creates it"));
}
