//! `sessionlake check`

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::{Outcome, manual, out, store, warn};
use crate::auth::Auth;
use crate::config::value::show_size;
use crate::config::{self, Environment, Flags, Lake, Landing, Location, Serve, list};
use crate::inspect::human;
use crate::journal::{Disk as _, LOCK, RealDisk};
use crate::privacy;
use crate::tls::Tls;

/// Say whether serve would start with a configuration, and why not.
///
/// Takes the settings of serve. Reads the configuration, binds the address, writes to the state
/// directory and takes its lock, writes, reads back and deletes an object in the lake, and reads
/// the schema; says for each how it went. Nothing is left behind: directories that were made for
/// it are removed.
///
/// With a server already running on the same configuration, address and state directory are
/// taken, and this says so.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake check --config sessionlake.toml
      Before a start, or a change."))]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags<{ list::SERVE }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::serve(&args.flags, environment)?;
    warn(&loaded.warnings);
    let settings = &loaded.settings;
    let checks: [(&str, anyhow::Result<String>); 6] = [
        ("settings", Ok("read, in range, and going together".to_owned())),
        ("listen", check_listen(settings)),
        ("access", check_access(settings)),
        ("state", check_state(settings)),
        ("lake", check_store(&settings.lake)),
        ("schema", Ok(schema(&settings.landing))),
    ];
    let mut text = String::new();
    for (name, outcome) in &checks {
        // Writing to a String cannot fail.
        let _ = match outcome {
            Ok(said) => writeln!(text, "ok      {name:<9} {said}"),
            Err(error) => writeln!(text, "failed  {name:<9} {error:#}"),
        };
    }
    let failed = checks.iter().filter(|(_, outcome)| outcome.is_err()).count();
    let _ = match failed {
        0 => writeln!(text, "This configuration would start."),
        _ => writeln!(text, "This configuration would not start."),
    };
    out::write(&text)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_listen(settings: &Serve) -> anyhow::Result<String> {
    let receive = &settings.receive;
    let listener = TcpListener::bind(receive.addresses.as_slice())
        .with_context(|| format!("cannot listen on {}", receive.listen))?;
    let address = listener.local_addr().context("cannot ask for the address")?;
    Ok(match receive.addresses.iter().any(|address| address.port() == 0) {
        true => format!("{} takes a free port at the start", receive.listen),
        false => format!("{address} can be listened on"),
    })
}

/// Certificates, credentials and the privacy key: whether they can be used, and nothing of them.
fn check_access(settings: &Serve) -> anyhow::Result<String> {
    let receive = &settings.receive;
    let tls = match &receive.tls {
        Some(files) => {
            Tls::open(files)?;
            "TLS"
        }
        None => "no TLS",
    };
    let known = match &receive.credentials {
        Some(path) => Auth::inspect(path)?,
        None => "nobody is asked who they are".to_owned(),
    };
    if let Some(path) = &settings.landing.privacy_key {
        privacy::Key::read(path)?;
    }
    Ok(format!("{tls}; {known}"))
}

fn check_state(settings: &Serve) -> anyhow::Result<String> {
    let (dir, reserve) = (&settings.journal.dir, settings.journal.reserve_bytes);
    let name = dir.display();
    let made = Made::directory(dir).with_context(|| format!("cannot make {name}"))?;
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

fn write_synced(path: &FilePath) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(b"check\n")?;
    file.sync_all()
}

/// Writes, reads back and deletes one object in the lake.
fn check_store(lake: &Lake) -> anyhow::Result<String> {
    let name = &lake.location;
    let _made = match name {
        Location::Local(dir) => {
            Some(Made::directory(dir).with_context(|| format!("cannot make {name}"))?)
        }
        _ => None,
    };
    let opened = store::open(lake)?;
    let path: Path =
        opened.prefix.parts().chain(["_sessionlake_check".into(), random()?.into()]).collect();
    let sent = format!("written by sessionlake check as {path}\n").into_bytes();
    let runtime = store::runtime()?;
    runtime.block_on(async {
        let store = opened.store.as_ref();
        let written = store.put(&path, PutPayload::from(sent.clone())).await;
        written.with_context(|| format!("cannot write to {name}"))?;
        let read = async { store.get(&path).await?.bytes().await }.await;
        // Deleted before anything is said of the reading, so that nothing is left behind.
        let deleted = store.delete(&path).await;
        let read = read.with_context(|| format!("cannot read from {name}"))?;
        deleted.with_context(|| format!("cannot delete in {name}; {path} is left there"))?;
        ensure!(read == sent, "{name} gave back something else than was written");
        Ok(format!("{name}: wrote, read and deleted an object"))
    })
}

fn schema(landing: &Landing) -> String {
    let origin = landing.schema_file.as_ref();
    let origin = origin.map_or("built in".to_owned(), |file| file.display().to_string());
    format!("{} with {} columns ({origin})", landing.table, landing.schema.fields.len())
}

/// 16 hex digits that no other run has.
fn random() -> anyhow::Result<String> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random number: {error}"))?;
    Ok(format!("{number:016x}"))
}

/// A directory that was made for a check, and is removed with those parents that were made, as far
/// as they are empty.
struct Made {
    directories: Vec<PathBuf>,
}

impl Made {
    fn directory(path: &FilePath) -> std::io::Result<Made> {
        let missing = path.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        let made = Made { directories: missing.map(FilePath::to_owned).collect() };
        fs::create_dir_all(path)?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Fails on a directory that somebody else has begun to use: it stays then.
            let _ = fs::remove_dir(directory);
        }
    }
}
