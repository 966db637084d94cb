//! The memory that a state directory has of its lake: `<state>/lake.json`.
//!
//! ```text
//! {"version":1,"lake":"9f86…","epochs":["…"]}
//! ```
//! `lake` is the identity of the lake that the node lands in, `epochs` are those under which its fence
//! may stand there: the one that it has, and those that starts tried to give it, of which it is not
//! known whether they came to be. An epoch is here before it is in the lake. So an unknown epoch in
//! the lake is never this directory's.
//!
//! A `lake` of `null` makes the next start take the lake as it finds it, and its fence by the epochs.
//! Without the file a fence that stands is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::state_file::StateFile;
use crate::journal::Disk;
use crate::lake::LakeId;

/// Name of the file.
const NAME: &str = "lake.json";
/// Version of its form.
const VERSION: u32 = 1;
/// Epochs that are remembered. More are tried in vain only by a store without conditional puts.
const MOST_EPOCHS: usize = 32;

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LakeMemory {
    version: u32,
    /// The lake; none before the first start that reached it.
    pub(crate) lake: Option<LakeId>,
    /// Epochs of the node's fence, the latest last. The one that was found standing last is moved to the
    /// end, so that it is not among those that are dropped.
    #[serde(default)]
    pub(crate) epochs: Vec<String>,
}

/// The file, on the disk of the journal.
#[derive(Clone)]
pub(crate) struct LakeFile(StateFile);

impl LakeFile {
    /// Returns the file of the state directory `dir`, which may not be there.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> LakeFile {
        LakeFile(StateFile::new(disk, dir, NAME))
    }

    /// Returns another file of the same directory.
    pub(super) fn beside(&self, name: &'static str) -> StateFile {
        self.0.beside(name)
    }

    /// Returns the path, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Reads the file. One that is not there remembers nothing.
    ///
    /// # Errors
    /// The file cannot be read, or is of a later version.
    pub(crate) fn read(&self) -> anyhow::Result<LakeMemory> {
        let path = self.path();
        let failed = || format!("cannot read {}", path.display());
        let Some(bytes) = self.0.read().with_context(failed)? else {
            return Ok(LakeMemory::default());
        };
        let memory: LakeMemory = serde_json::from_slice(&bytes).with_context(failed)?;
        anyhow::ensure!(
            memory.version <= VERSION,
            "{} was written by a newer version of this program; use that version",
            path.display()
        );
        Ok(memory)
    }

    /// Replaces the file; durable on return. After an error the old one or the new one is there.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn write(&self, memory: &LakeMemory) -> io::Result<()> {
        let mut memory = LakeMemory { version: VERSION, ..memory.clone() };
        let most = memory.epochs.len().saturating_sub(MOST_EPOCHS);
        memory.epochs.drain(..most);
        let mut text = serde_json::to_vec(&memory)?;
        text.push(b'\n');
        self.0.write(&text)
    }
}
