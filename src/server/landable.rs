//! What waits in the journal and can never land, found at the start.
//!
//! A roll that was sealed has to be made again as it was sealed: with the tables in its seal, and with
//! the secret of their privacy rules. Other bodies land as the tables are configured or remembered.
//! Where one of these is gone, nothing behind it lands either, for as long as it is gone, while the
//! receiver goes on taking bodies: so the server does not start, and says what to bring back.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Settings;
use crate::journal::{MAX_SETTINGS_BYTES, Recovery, Seal};
use crate::privacy;
use crate::publish::sealed_settings::SealedSettings;
use crate::table::{Tables, registry};

/// Checks that a server of `settings` could land what `recovery` has found, without starting one.
/// Writes nothing.
///
/// # Errors
/// Those that a start would have.
pub(crate) fn check_settings(
    settings: &Settings,
    recovery: &Recovery,
    key: Option<&privacy::Key>,
) -> anyhow::Result<()> {
    let (state, configured) = (settings.state(), Tables::new(settings.tables.clone())?);
    let waiting = recovery.unsealed_from < recovery.next;
    let tables = registry::recall(state, configured, waiting, MAX_SETTINGS_BYTES)?;
    check(state, recovery, &tables, key)
}

/// Checks that everything that waits can land by `tables` and `key`. Writes nothing.
///
/// # Errors
/// Something cannot: what, where, and what to do. Nothing was lost.
pub(super) fn check(
    state: &Path,
    recovery: &Recovery,
    tables: &Tables,
    key: Option<&privacy::Key>,
) -> anyhow::Result<()> {
    for seal in &recovery.sealed {
        check_seal(state, seal, key).with_context(|| {
            let (first, last) = (seal.range.first, seal.range.last);
            format!(
                "roll {} (bodies {first} to {last}) waits in {}, sealed and not committed, and \
                 cannot be made again",
                seal.roll,
                state.display()
            )
        })?;
    }
    let unknown: Vec<&str> = recovery.waiting_tables.iter().map(String::as_str).collect();
    let unknown: Vec<&str> =
        unknown.into_iter().filter(|name| tables.by_name(name).is_none()).collect();
    if !unknown.is_empty() {
        bail!(
            "bodies from {} on wait in {} for tables that are neither configured nor in \
             tables.json there: {}; configure them again, as they were ([[table]], or table and \
             schema), until their bodies have landed",
            recovery.unsealed_from,
            state.display(),
            unknown.join(", ")
        );
    }
    // A table that is remembered may have rules whose key was taken out of the configuration.
    privacy::Applied::by_table(tables, key).context(
        "bodies may wait for it: give privacy_key until they have landed, which a stop in order \
         sees to",
    )?;
    Ok(())
}

fn check_seal(state: &Path, seal: &Seal, key: Option<&privacy::Key>) -> anyhow::Result<()> {
    let SealedSettings { tables, .. } = SealedSettings::from_json(&seal.settings).context(
        "the tables it was sealed with cannot be read: start the version of this program that \
         sealed it, and stop that in order once the roll has landed",
    )?;
    privacy::Applied::by_table(&tables, key).context(
        "it was sealed with rules of [privacy]: give privacy_key the secret of that time until the \
         roll has landed",
    )?;
    let has_rules = tables.specs().iter().any(|spec| !spec.privacy.is_empty());
    if let Some(key) = key
        && has_rules
        && stored(state)?.is_some_and(|stored| stored != id(key))
    {
        bail!(
            "it was sealed with rules of [privacy] and another secret than the one that \
             privacy_key names: give the one of that time until the roll has landed; {} was made of \
             it",
            path(state).display()
        );
    }
    Ok(())
}

/// Stores the identity of the secret with which rolls will be sealed from now on. Durable on return.
///
/// # Errors
/// The state directory cannot be written.
pub(super) fn remember_key(state: &Path, key: Option<&privacy::Key>) -> anyhow::Result<()> {
    let Some(key) = key else { return Ok(()) };
    let id = id(key);
    if stored(state)?.as_deref() == Some(&id) {
        return Ok(());
    }
    let (path, new) = (path(state), state.join("privacy-key.id.new"));
    let write = || -> std::io::Result<()> {
        std::fs::write(&new, format!("{id}\n"))?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(state)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the identity of the secret of the last start, if it had one.
fn stored(state: &Path) -> anyhow::Result<Option<String>> {
    let path = path(state);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("privacy-key.id")
}

/// Returns 128 bits that tell a secret from others and reveal nothing of it.
fn id(key: &privacy::Key) -> String {
    use std::fmt::Write as _;
    let derived = key.derive(b"sessionlake key id 1");
    derived.iter().take(16).fold(String::new(), |mut id, byte| {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}
