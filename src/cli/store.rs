//! The object store of a lake that is only looked at, or tried.

use std::path::Path as FilePath;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::lake::{Lake, Location, Options};

/// A store and the prefix of the lake in it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
}

/// Opens a lake. A directory must exist: looking at a lake makes none.
pub(super) fn open(lake: &Options) -> anyhow::Result<Opened> {
    match &lake.location {
        Location::Local(directory) => {
            ensure!(
                directory.exists(),
                "there is no lake at {}; `serve` or `import` makes one",
                directory.display()
            );
            local(directory)
        }
        _ => {
            let lake = Lake::open(lake)?;
            Ok(Opened { store: lake.store, prefix: lake.prefix })
        }
    }
}

/// The store whose root is `directory`.
pub(super) fn local(directory: &FilePath) -> anyhow::Result<Opened> {
    let store = LocalFileSystem::new_with_prefix(directory)
        .with_context(|| format!("cannot open the directory {}", directory.display()))?
        .with_fsync(true)
        .with_automatic_cleanup(true);
    Ok(Opened { store: Arc::new(store), prefix: Path::default() })
}

/// A runtime for a command that waits for a store and does nothing else meanwhile.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}
