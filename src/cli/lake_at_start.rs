//! The lake at the start of a server: tried once, so that one which cannot be written is told of at
//! once, and not when the first roll is due.
//!
//! A directory that cannot be written by this user will not be by waiting: the start is refused. A
//! store that is away, or a disk that is full, is a loud warning and trouble in readiness, and is
//! tried again until it can be written: bodies are taken meanwhile, and kept in the journal.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::error_text::causes;
use crate::lake::{Lake, Left, Location, StoreError};
use crate::status::Readiness;

use super::error_report;

/// The part of the program in readiness.
const PART: &str = "lake_at_start";
/// The pauses between attempts: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tries a lake on local disk.
///
/// # Errors
/// This user cannot write it, whatever time passes.
pub(super) async fn check_directory(lake: &Lake) -> anyhow::Result<()> {
    if !matches!(lake.location(), Location::Local(_)) {
        return Ok(());
    }
    match probe(lake).await {
        Err(error) if is_lasting(&error) => Err(error).context(
            "the lake cannot be written: give this user the right to write there, or give another \
             lake",
        ),
        // Landing tries again, and so does `watch`.
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Tries a lake until it can be written, and reports it as trouble until then.
///
/// # Cancel safety
/// Dropped, it may leave the object that it was trying with.
pub(super) async fn watch(lake: Lake, readiness: Arc<Readiness>) {
    let mut pause = FIRST_PAUSE;
    let mut failed = false;
    while let Err(error) = probe(&lake).await {
        let advice = error_report::advice(&error).map(|advice| format!("; {advice}"));
        let lines = error_report::lines(&error).join(": ");
        let text = format!("{lines}{}", advice.unwrap_or_default());
        if !failed {
            tracing::error!(
                "{text}; bodies are taken and kept in the journal until the lake can be written"
            );
        }
        failed = true;
        readiness.set_trouble(PART, Err(text));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if failed {
        readiness.set_trouble(PART, Ok(()));
        tracing::info!("{} can be written", lake.location());
    }
}

async fn probe(lake: &Lake) -> anyhow::Result<()> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random number: {error}"))?;
    let probe = lake.probe(&format!("{number:016x}")).await?;
    // Landing deletes nothing.
    if let Some(Left { name, why }) = probe.left {
        let lake = lake.location();
        tracing::warn!("{lake} was tried, and what it was tried with stays: {name} ({why})");
    }
    Ok(())
}

/// Returns whether the failure stays as it is until somebody changes something.
fn is_lasting(error: &anyhow::Error) -> bool {
    let refused = [
        ErrorKind::PermissionDenied,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::NotADirectory,
        ErrorKind::NotFound,
    ];
    of_system(error.as_ref()).is_some_and(|kind| refused.contains(&kind))
}

/// Returns the kind of the system's error among the error and its causes.
fn of_system(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    causes(error).find_map(|cause| match cause.downcast_ref::<StoreError>() {
        // Its text has all that the store said, so it names no cause.
        Some(StoreError::Object { error, .. }) => of_system(error),
        _ => cause.downcast_ref::<io::Error>().map(io::Error::kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_does_not_mend_is_lasting() {
        let with = |kind: ErrorKind| {
            anyhow::Error::new(io::Error::from(kind)).context("cannot write to ./data/lake")
        };
        assert!(is_lasting(&with(ErrorKind::PermissionDenied)));
        assert!(is_lasting(&with(ErrorKind::ReadOnlyFilesystem)));
        let source = Box::new(io::Error::from(ErrorKind::NotADirectory));
        let error = object_store::Error::Generic { store: "LocalFileSystem", source };
        let of_store = StoreError::Object { lake: "afile".to_owned(), error };
        assert!(is_lasting(&anyhow::Error::new(of_store).context("cannot look into the lake")));
        assert!(!is_lasting(&with(ErrorKind::StorageFull)));
        assert!(!is_lasting(&with(ErrorKind::TimedOut)));
        assert!(!is_lasting(&anyhow::anyhow!("Connection refused")));
    }
}
