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

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::journal::{Disk, DiskFile, read_full_at, write_all_at};
use crate::lake::LakeId;

/// Name of the file.
const NAME: &str = "lake.json";
/// Version of its form.
const VERSION: u32 = 1;
/// Epochs that are remembered. More are tried in vain only by a store without conditional puts.
const MOST_EPOCHS: usize = 32;
/// Bytes past which the file is none of this program's.
const MOST_BYTES: u64 = 1 << 20;

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
pub(crate) struct LakeFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl LakeFile {
    /// Returns the file of the state directory `dir`, which may not be there.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> LakeFile {
        LakeFile { disk, dir: dir.to_owned() }
    }

    /// Returns the path, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Reads the file. One that is not there remembers nothing.
    ///
    /// # Errors
    /// The file cannot be read, or is of a later version.
    pub(crate) fn read(&self) -> anyhow::Result<LakeMemory> {
        let path = self.path();
        let failed = || format!("cannot read {}", path.display());
        let file = match self.disk.open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(LakeMemory::default());
            }
            Err(error) => return Err(error).with_context(failed),
        };
        let bytes = whole(&*file).with_context(failed)?;
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
        let (new, path) = (self.dir.join("lake.json.new"), self.path());
        let file = self.disk.create(&new)?;
        write_all_at(&*file, &mut [IoSlice::new(&text)], 0)?;
        file.sync()?;
        self.disk.rename(&new, &path)?;
        self.disk.sync_dir(&self.dir)
    }
}

fn whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let bytes = file.length()?;
    if bytes > MOST_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is far too long"));
    }
    let mut whole = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let read = read_full_at(file, &mut whole, 0)?;
    whole.truncate(read);
    Ok(whole)
}
