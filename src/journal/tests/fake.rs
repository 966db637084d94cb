//! A disk in memory that loses what was not synced, and fails where it is told to.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::journal::disk::{Disk, DiskFile, DiskLock};

/// What to do at the next call of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Write nothing and fail.
    Write(ErrorKind),
    /// Write this many bytes and say so.
    ShortWrite(usize),
    /// Fail, and drop what was not synced from what will ever be: later reads still see it.
    Sync,
    SyncDir,
    Rename,
    SecondRename,
    Remove,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Contents {
    /// What reads see.
    seen: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// Changes since: a power cut keeps any of them.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Naming {
    Set(PathBuf, usize),
    Clear(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

#[derive(Default)]
struct World {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    fault: Option<Fault>,
    free_bytes: Option<u64>,
    syncs: u64,
    /// Handles from before a power cut do nothing.
    generation: u64,
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct FakeDisk {
    world: Arc<Mutex<World>>,
    locked: Arc<Mutex<Arc<AtomicBool>>>,
    /// Held shut, syncs wait.
    gate: Arc<Mutex<()>>,
    /// Syncs that were begun.
    begun: Arc<AtomicU64>,
}

struct FakeFile {
    disk: FakeDisk,
    id: usize,
    generation: u64,
}

struct FakeLock(Arc<AtomicBool>);

impl DiskLock for FakeLock {}

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl FakeDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("the world")
    }

    /// The next call of this kind goes wrong.
    pub(super) fn fail(&self, fault: Fault) {
        self.world().fault = Some(fault);
    }

    pub(super) fn set_free_bytes(&self, free_bytes: u64) {
        self.world().free_bytes = Some(free_bytes);
    }

    pub(super) fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// Syncs wait as long as this is held.
    pub(super) fn hold_syncs(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().expect("the gate")
    }

    /// Waits until a sync was begun that had not been when `before` were.
    pub(super) fn await_sync(&self, before: u64) {
        while self.syncs_begun() <= before {
            std::thread::yield_now();
        }
    }

    pub(super) fn syncs_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.files[world.names[path]].seen.clone()
    }

    /// Replaces a file's bytes, durably: damage, or the picture of a crash.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.world();
        let id = world.files.len();
        world.files.push(Contents {
            seen: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        });
        world.names.insert(path.to_owned(), id);
        world.durable_names.insert(path.to_owned(), id);
    }

    /// A disk with the same files, all durable.
    pub(super) fn copy(&self) -> FakeDisk {
        let copy = FakeDisk::default();
        let names: Vec<PathBuf> = self.world().names.keys().cloned().collect();
        for name in names {
            copy.put(&name, &self.bytes(&name));
        }
        copy
    }

    /// Cuts the power: a new disk with all that was synced, and of the rest what `keep` says,
    /// change by change. Changes that are kept stay in order. A write may be kept up to a byte.
    pub(super) fn power_cut(&self, mut keep: impl FnMut() -> u8) -> FakeDisk {
        let mut world = self.world();
        world.generation += 1;
        let mut names = world.durable_names.clone();
        for naming in &world.pending_names {
            if keep() < 128 {
                continue;
            }
            match naming {
                Naming::Set(path, id) => drop(names.insert(path.clone(), *id)),
                Naming::Clear(path) => drop(names.remove(path)),
                Naming::Rename(from, to, id) => {
                    names.remove(from);
                    names.insert(to.clone(), *id);
                }
            }
        }
        let after = FakeDisk::default();
        for (name, id) in names {
            let contents = &world.files[id];
            let mut bytes = contents.durable.clone();
            for change in &contents.pending {
                match (change, keep()) {
                    (_, 0..85) => {}
                    (Change::Write(at, data), choice) => {
                        let part = match choice {
                            85..170 => data.len() * usize::from(keep()) / 256,
                            _ => data.len(),
                        };
                        apply(&mut bytes, &Change::Write(*at, data[..part].to_vec()));
                    }
                    (change, _) => apply(&mut bytes, change),
                }
            }
            after.put(&name, &bytes);
        }
        after
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, data) => {
            let end = at + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(data);
        }
        Change::Truncate(len) => bytes.truncate(*len),
    }
}

impl World {
    fn take(&mut self, fault: Fault) -> io::Result<()> {
        if self.fault == Some(fault) {
            self.fault = None;
            return Err(io::Error::other(format!("injected: {fault:?}")));
        }
        Ok(())
    }

    fn change(&mut self, id: usize, change: Change) {
        let contents = &mut self.files[id];
        apply(&mut contents.seen, &change);
        contents.pending.push(change);
    }
}

impl Disk for FakeDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let names = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        let id = world.files.len();
        world.files.push(Contents::default());
        world.names.insert(path.to_owned(), id);
        world.pending_names.push(Naming::Set(path.to_owned(), id));
        let generation = world.generation;
        Ok(Box::new(FakeFile { disk: self.clone(), id, generation }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let world = self.world();
        let id = *world.names.get(path).ok_or(ErrorKind::NotFound)?;
        let generation = world.generation;
        Ok(Box::new(FakeFile { disk: self.clone(), id, generation }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.take(Fault::Rename)?;
        if world.fault == Some(Fault::SecondRename) {
            world.fault = Some(Fault::Rename);
        }
        let id = world.names.remove(from).ok_or(ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), id);
        world.pending_names.push(Naming::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.take(Fault::Remove)?;
        world.names.remove(path).ok_or(ErrorKind::NotFound)?;
        world.pending_names.push(Naming::Clear(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.take(Fault::SyncDir)?;
        world.durable_names = world.names.clone();
        world.pending_names.clear();
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.world().free_bytes.unwrap_or(u64::MAX))
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let held = self.locked.lock().expect("the lock").clone();
        let free = !held.swap(true, Ordering::SeqCst);
        Ok(free.then(|| Box::new(FakeLock(held)) as Box<dyn DiskLock>))
    }
}

impl DiskFile for FakeFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.world().files[self.id].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let seen = &world.files[self.id].seen;
        let from = seen.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        if self.generation != world.generation {
            return Err(io::Error::other("the power is off"));
        }
        let mut data = Vec::new();
        for slice in slices {
            data.extend_from_slice(slice);
        }
        match world.fault {
            Some(Fault::Write(kind)) => {
                world.fault = None;
                return Err(kind.into());
            }
            Some(Fault::ShortWrite(most)) => {
                world.fault = None;
                data.truncate(most);
            }
            _ => {}
        }
        // One change a slice: a power cut may keep a later one and lose an earlier one.
        let written = data.len();
        let mut at = offset as usize;
        let mut rest = &data[..];
        for slice in slices {
            let (now, later) = rest.split_at(slice.len().min(rest.len()));
            world.change(self.id, Change::Write(at, now.to_vec()));
            at += now.len();
            rest = later;
        }
        Ok(written)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.world().change(self.id, Change::Truncate(len as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.begun.fetch_add(1, Ordering::SeqCst);
        let _open = self.disk.gate.lock().expect("the gate");
        let mut world = self.disk.world();
        if self.generation != world.generation {
            return Err(io::Error::other("the power is off"));
        }
        world.syncs += 1;
        let failed = world.take(Fault::Sync);
        let contents = &mut world.files[self.id];
        if failed.is_ok() {
            for change in contents.pending.drain(..) {
                apply(&mut contents.durable, &change);
            }
        }
        contents.pending.clear();
        failed
    }
}
