//! The command `sessionlake check`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use super::check_report::{CheckResult, Scope, Verdict, invalid, json, report};
use super::check_tables::check_tables;
use super::created::TemporaryDirectory;
use super::read_only_disk::ReadOnlyDisk;
use super::{Outcome, listen, manual, out, runtime, warn};
use crate::audit::inspect::human;
use crate::auth::Auth;
use crate::clock::SystemClock;
use crate::config::value::show_size;
use crate::config::{self, Environment, Flags, list};
use crate::descriptors;
use crate::journal::{Disk as _, Journal, LOCK, RealDisk, Recovery};
use crate::lake::{ColumnError, Lake, Left, Location, PartitionError, Probe, Replacement};
use crate::privacy;
use crate::schema::TableSchema;
use crate::server::{Settings, check_lake, check_settings};
use crate::table::{Format, Spec};
use crate::tls::Tls;

/// Say whether serve would start with a configuration, and why not.
///
/// Takes the settings of serve. Reads the configuration, binds the address, reads certificates,
/// credentials and keys, writes to the state directory and takes its lock, reads the journal, creates,
/// replaces, reads back and deletes an object in the lake, looks at the tables that have a log or are in
/// a catalog, and reads the schemas; says for each how it went. Nothing is left behind: directories that
/// were made for it are removed, and an object that may not be deleted is named.
///
/// While only the lake cannot be written, serve would start and keep what comes in its journal;
/// this says so, with exit code 1 as well. A configuration that cannot be read has exit code 2, and
/// with --json a report as well. With a server already running on the same
/// configuration, address and state directory are taken, and this says so: with --running it looks at
/// neither. With --offline it looks at files alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake check --config sessionlake.toml
      Before a start, or a change.

  sessionlake check --offline --json --config new.toml
      In a pipeline that tests configurations."))]
pub(super) struct Args {
    /// Look at the configuration and the files that it names alone: no address, state directory or lake.
    #[arg(long, conflicts_with = "running")]
    offline: bool,

    /// A server is running on this configuration: leave its address and its state directory alone.
    #[arg(long)]
    running: bool,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: Flags<{ list::SERVE }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = match config::serve(&args.flags, environment) {
        Err(error) if args.json => {
            out::json(&invalid(&error))?;
            return Ok(ExitCode::from(2));
        }
        loaded => loaded?,
    };
    warn(&loaded.warnings);
    let settings = &loaded.settings;
    let mut checks: Vec<(&'static str, CheckResult)> =
        vec![("settings", CheckResult::Passed("valid and consistent".to_owned()))];
    let scope = match (args.offline, args.running) {
        (true, _) => Scope::Files,
        (false, true) => Scope::BesideServer,
        (false, false) => Scope::All,
    };
    let is_alone = scope == Scope::All;
    if is_alone {
        checks.push(("listen", check_listen(settings).into()));
        checks.push(("limits", CheckResult::Passed(limits(settings))));
    }
    checks.push(("access", check_access(settings).into()));
    if is_alone {
        let state = check_state(settings);
        // Of a directory that cannot be used or is in use, nothing can be said.
        let journal = if state.is_ok() { check_journal(settings) } else { None };
        checks.push(("state", state.into()));
        checks.extend(journal.map(|found| ("journal", found.into())));
    }
    if !args.offline {
        let lake = check_store(settings);
        // Of a lake that cannot be opened, no table can be.
        let is_open = !matches!(lake, CheckResult::Fatal(_));
        checks.push(("lake", lake));
        let tables = if is_open { check_tables(settings) } else { Vec::new() };
        checks.extend(tables.into_iter().map(|looked| ("table", looked)));
    }
    // The settings' table is the first.
    let files = std::iter::once(loaded.schema_file.as_deref()).chain(std::iter::repeat(None));
    let schemas = settings.tables.iter().zip(files).map(|(table, file)| schema(table, file));
    checks.extend(schemas.map(|said| ("schema", CheckResult::Passed(said))));
    let verdict = Verdict::of(&checks, scope);
    match args.json {
        true => out::json(&json(&checks, verdict))?,
        false => out::report(&report(&checks, verdict))?,
    }
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Binds the listening address.
fn check_listen(settings: &Settings) -> anyhow::Result<String> {
    let address = listen::address(&listen::bind(settings)?)?;
    listen::bind_status(settings)?;
    Ok(match settings.addresses.iter().any(|address| address.port() == 0) {
        true => format!("{} takes a free port at the start", settings.listen),
        false => format!("{address} can be listened on"),
    })
}

/// Returns the connections that `serve` would take, by the limit of descriptors.
fn limits(settings: &Settings) -> String {
    let wanted = settings.http.max_connections;
    let limit = descriptors::raise();
    let fit = descriptors::connections(wanted, settings.spare_connections(), limit);
    let below = if fit < wanted { format!(" and not {wanted}") } else { String::new() };
    format!("{fit} connections at a time{below}; {limit} files and sockets can be open")
}

/// Reads certificates, credentials and the privacy key. Says nothing of their contents.
pub(super) fn check_access(settings: &Settings) -> anyhow::Result<String> {
    let tls = match &settings.tls {
        Some(files) => {
            Tls::open(files)?;
            "TLS"
        }
        None => "no TLS",
    };
    let known = match &settings.credentials {
        Some(path) => Auth::inspect(path)?,
        None => "authentication is off".to_owned(),
    };
    if let Some(path) = settings.status.as_ref().and_then(|status| status.credentials.as_deref()) {
        Auth::inspect(path)?;
    }
    if let Some(path) = &settings.privacy_key {
        privacy::Key::read(path)?;
    }
    Ok(format!("{tls}; {known}"))
}

/// Writes to the state directory, takes its lock, and asks for the space.
fn check_state(settings: &Settings) -> anyhow::Result<String> {
    let (dir, reserve) = (settings.state(), settings.journal.reserve_bytes);
    let name = dir.display();
    let made = TemporaryDirectory::make(dir).with_context(|| format!("cannot make {name}"))?;
    let scratch = dir.join(format!(".check-{}", random()?));
    let written = write_synced(&scratch);
    let removed = fs::remove_file(&scratch);
    written.with_context(|| format!("cannot write to {name}"))?;
    removed.with_context(|| format!("cannot delete in {name}"))?;
    let lock = dir.join(LOCK);
    if lock.exists() {
        let file = File::options().read(true).write(true).open(&lock);
        let file = file.with_context(|| format!("cannot open {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("{name} is used by another process"),
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock.display()));
            }
        }
    }
    let free =
        RealDisk.free_bytes(dir).with_context(|| format!("cannot ask for the space at {name}"))?;
    ensure!(
        free >= reserve,
        "{name} has {} free, and disk_reserve keeps {} of it",
        human(free),
        show_size(reserve)
    );
    drop(made);
    Ok(format!("{name} can be written and is not in use; {} free", human(free)))
}

/// Opens the journal as serve would, on a disk that stays as it is. Returns `None` if there is no
/// state directory, and if the privacy key cannot be read, which [`check_access`] reports.
fn check_journal(settings: &Settings) -> Option<anyhow::Result<String>> {
    if !settings.state().exists() {
        return None;
    }
    let said = |opened: &Journal, recovery: &Recovery| {
        let status = opened.status();
        match recovery.skipped.len() {
            0 => {
                let waiting = status.last_seq.0 - status.committed_seq.0;
                format!("can be read; {waiting} bodies wait to be landed")
            }
            some => {
                let lost = recovery.skipped.iter().flat_map(|skipped| &skipped.lost);
                let lost: u64 = lost.map(|range| range.last.0 - range.first.0 + 1).sum();
                let kept: u64 = recovery.skipped.iter().map(|skipped| skipped.kept).sum();
                format!(
                    "{some} damaged segments would be set aside: {kept} bodies kept, at most {lost} \
                     lost"
                )
            }
        }
    };
    let key = settings.privacy_key.as_deref().map(privacy::Key::read).transpose().ok()?;
    let opened = settings.journal_options(key.as_ref()).and_then(|options| {
        let opened = Journal::open(Arc::new(ReadOnlyDisk), Arc::new(SystemClock), options);
        opened.map_err(anyhow::Error::new)
    });
    Some(opened.and_then(|(opened, recovery)| {
        check_settings(settings, &recovery, key.as_ref())?;
        Ok(said(&opened, &recovery))
    }))
}

fn write_synced(path: &FilePath) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(b"check\n")?;
    file.sync_all()
}

/// Writes, reads back and deletes one object in the lake, and compares the partition columns of the
/// tables with those that they have there.
fn check_store(settings: &Settings) -> CheckResult {
    let options = &settings.lake;
    let name = &options.location;
    let remembered = runtime::current_thread();
    let remembered = remembered.and_then(|runtime| runtime.block_on(check_lake(settings)));
    if let Err(error) = remembered {
        return CheckResult::Fatal(error);
    }
    let made = match name {
        Location::Local(dir) => {
            TemporaryDirectory::make(dir).with_context(|| format!("cannot make {name}")).map(Some)
        }
        _ => Ok(None),
    };
    // As far as serve goes at its start; what comes after is tried again and again.
    let opened = made.and_then(|made| Ok((made, Lake::open_existing(options)?)));
    match opened {
        Err(error) => CheckResult::Fatal(error),
        Ok((_made, lake)) => match (try_lake(&lake), compare_tables(&lake, &settings.tables)) {
            (_, Err(conflict @ CheckResult::Fatal(_))) => conflict,
            (Err(error), _) => CheckResult::NotLanding(error),
            (Ok(_), Err(away)) => away,
            (Ok(said), Ok(())) => CheckResult::Passed(said),
        },
    }
}

/// Asks for, creates, reads back and deletes one object.
fn try_lake(lake: &Lake) -> anyhow::Result<String> {
    let token = random()?;
    let probe = runtime::current_thread()?.block_on(lake.probe(&token))?;
    let folded = match lake.file_names()?.are_folded() {
        true => "; names that differ in the case of letters are one file there",
        false => "",
    };
    Ok(format!("{}{folded}", probed(&lake.location().to_string(), &probe)))
}

/// Compares the tables with those of the lake, as landing does before its first roll.
///
/// # Errors
/// The result that is not a pass: a conflict before a comparison that failed, which keeps rows from
/// landing.
fn compare_tables(lake: &Lake, tables: &[Spec]) -> Result<(), CheckResult> {
    let runtime = runtime::current_thread().map_err(CheckResult::Fatal)?;
    let mut compared = Ok(());
    for table in tables {
        match runtime.block_on(lake.check_partitions(&table.name, &table.partition)) {
            Ok(()) => {}
            Err(PartitionError::Conflict(conflict)) => {
                return Err(CheckResult::Fatal(anyhow::Error::new(*conflict)));
            }
            Err(PartitionError::Store(error)) => {
                compared = Err(CheckResult::NotLanding(anyhow::Error::new(error)));
            }
        }
        match runtime.block_on(lake.check_columns(&table.name, &table.schema)) {
            Err(ColumnError::Conflict(conflict)) => {
                return Err(CheckResult::Fatal(anyhow::Error::new(*conflict)));
            }
            // Landing goes on without.
            Err(ColumnError::Store(_)) | Ok(()) => {}
        }
        if let Ok(Some(conflict)) = runtime.block_on(lake.check_format(table)) {
            return Err(CheckResult::Fatal(anyhow::Error::new(conflict)));
        }
    }
    compared
}

/// Returns the report on a lake that rows can land in.
fn probed(lake: &str, probe: &Probe) -> String {
    let deleted = if probe.left.is_none() { "wrote, read and deleted" } else { "wrote and read" };
    let mut said = format!("{lake}: {deleted} an object");
    if let Some(Left { name, why }) = &probe.left {
        let _ = write!(
            said,
            "; could not delete {name}, which stays there ({why}): serve and import need no right to \
             delete"
        );
    }
    if !probe.tells_absent {
        said.push_str(
            "; the store does not tell these credentials whether a name is there (403: they lack \
             s3:ListBucket): rows land all the same, and verify, inspect and import need it",
        );
    }
    if !probe.is_conditional {
        said.push_str(
            "; the store takes no condition on a put (If-None-Match): names are looked up before they \
             are put, which aws_conditional_put = \"disabled\" under [storage] says from the start",
        );
    }
    said.push_str(match probe.replacement {
        Replacement::Conditional => "",
        Replacement::Unconditional => {
            "; the store does not replace objects conditionally (If-Match): of two copies of the state \
             directory that start or seal within the same moment both may go on"
        }
        Replacement::Denied => {
            "; these credentials, or the bucket, do not let an object be replaced (403; Google: \
             storage.objects.delete is missing, or a retention policy holds it): rows land all the \
             same, and a copy of the state directory is noticed by receipts alone"
        }
    });
    said
}

/// Tells whether `schema` is `plain` and columns of properties.
fn has_all(schema: &TableSchema, plain: &TableSchema) -> bool {
    let own = schema.fields.iter().filter(|field| field.json.property.is_none());
    own.map(|field| &field.name).eq(plain.fields.iter().map(|field| &field.name))
}

/// Returns a line about a table, whose schema was read from `file` if that is known.
fn schema(table: &Spec, file: Option<&FilePath>) -> String {
    let origin = match (file, TableSchema::builtin(&table.name)) {
        (Some(file), _) => file.display().to_string(),
        (None, Some(builtin)) if *builtin == *table.schema => "built in".to_owned(),
        (None, Some(builtin)) if has_all(&table.schema, &builtin) => {
            "built in, with [properties]".to_owned()
        }
        (None, _) => match table.rows.parent() {
            Some(parent) => format!("flat, of {parent}"),
            None => "from a file".to_owned(),
        },
    };
    let partition = match table.partition.as_str() {
        "" => "no partitions".to_owned(),
        template => format!("partitioned by {template}"),
    };
    let (name, columns) = (&table.name, table.schema.fields.len());
    let format = match table.format {
        Format::Plain => "plain files",
        format => format.phrase(),
    };
    let mut said = format!("{name} with {columns} columns ({origin}), {partition}, {format}");
    let untreated = table.privacy.untreated(&table.schema);
    if !untreated.is_empty() {
        let _ = write!(
            said,
            "; personal data that no rule of [privacy] treats: {}",
            untreated.join(", ")
        );
    }
    let without: Vec<String> = table
        .privacy
        .without_column(&table.schema)
        .into_iter()
        .map(|(pointer, meant)| match meant {
            Some(meant) => format!("{pointer} (did you mean {meant}?)"),
            None => pointer.to_owned(),
        })
        .collect();
    if !without.is_empty() && !table.rows.is_derived() {
        let _ = write!(said, "; rules for fields that no column has: {}", without.join(", "));
    }
    said
}

/// Returns 16 random hex digits, for a name that no other run uses.
fn random() -> anyhow::Result<String> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random number: {error}"))?;
    Ok(format!("{number:016x}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::journal::NewBody;
    use crate::publish::tests::store::FakeStore;
    use crate::record::Form;

    /// Loads settings with this state directory and these further arguments.
    fn settings(state: &FilePath, more: &[&str]) -> Settings {
        let state = format!("--state={}", state.display());
        let arguments = ["sessionlake", "check", &state].into_iter().chain(more.iter().copied());
        let Command::Check(args) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command")
        };
        config::serve(&args.flags, &Environment::new::<&str, &str>([])).unwrap().settings
    }

    #[test]
    fn a_schema_is_reported_with_its_file() {
        let arguments = [
            "sessionlake",
            "check",
            "--table=orders",
            "--schema=examples/orders.avsc",
            "--partition=",
        ];
        let Command::Check(args) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command")
        };
        let loaded = config::serve(&args.flags, &Environment::new::<&str, &str>([])).unwrap();
        let said = schema(&loaded.settings.tables[0], loaded.schema_file.as_deref());
        assert_eq!(
            said,
            "orders with 5 columns (examples/orders.avsc), no partitions, plain files"
        );
    }

    #[test]
    fn a_lake_that_is_not_the_remembered_one_is_fatal_and_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let (state, lake) = (dir.path().join("state"), dir.path().join("lake"));
        fs::create_dir(&state).unwrap();
        let remembered = r#"{"version":1,"lake":"ff","epochs":[]}"#;
        fs::write(state.join("lake.json"), remembered).unwrap();
        let flag = format!("--lake={}", lake.display());
        let checked = check_store(&settings(&state, &[&flag]));
        let CheckResult::Fatal(error) = checked else { panic!("it passed") };
        assert!(format!("{error:#}").contains("is the lake not mounted"), "{error:#}");
        assert!(!lake.exists());
    }

    #[test]
    fn tables_are_compared_as_landing_does() {
        let dir = tempfile::tempdir().unwrap();
        let tables = settings(dir.path(), &[]).tables;
        let store = FakeStore::new(7);
        let lake = Lake::below(Arc::new(store.clone()), "lake");
        assert!(compare_tables(&lake, &tables).is_ok());
        store.go_away(2);
        let away = compare_tables(&lake, &tables);
        assert!(matches!(away, Err(CheckResult::NotLanding(_))), "its first roll would not land");
        store.hide_what_is_missing();
        assert!(compare_tables(&lake, &tables).is_ok(), "who may not list lands");
    }

    #[test]
    fn an_encrypted_journal_is_opened_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, name.repeat(32)).unwrap();
            format!("--privacy-key={}", path.display())
        };
        let (right, wrong, missing) = (key("right"), key("wrong"), "--privacy-key=missing");
        let state = dir.path().join("state");
        let written = settings(&state, &["--encrypt-journal", "--disk-reserve=0", &right]);
        let secret = privacy::Key::read(written.privacy_key.as_deref().unwrap()).unwrap();
        let options = written.journal_options(Some(&secret)).unwrap();
        let (journal, _) =
            Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options).unwrap();
        let body = NewBody {
            table: "user_sessions".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: "{}".into(),
        };
        runtime::current_thread().unwrap().block_on(journal.append(body)).unwrap();
        drop(journal);
        let check = |more: &[&str]| {
            let found = check_journal(&settings(&state, more));
            found.map(|found| found.unwrap_or_else(|error| format!("{error:#}")))
        };
        for more in [&[&*right, "--encrypt-journal"][..], &[&*right]] {
            let found = check(more);
            assert_eq!(found.as_deref(), Some("can be read; 1 bodies wait to be landed"));
        }
        let found = check(&[&wrong, "--encrypt-journal"]).unwrap();
        assert!(found.contains("privacy_key does not open it"), "{found}");
        let found = check(&[]).unwrap();
        assert!(found.contains("there is no key"), "{found}");
        assert_eq!(check(&[missing]), None, "the check of access says so");
    }
}
