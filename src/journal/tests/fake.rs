//! A disk in memory that loses what was not synced, and fails where a test plans it.
//!
//! Two ways to fail it: a [`Fault`] hits the next call of its kind, for tests of one shape; a
//! [`PlannedFault`] hits the n-th call that changes or syncs something, whichever that is, for searches.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::journal::disk::{Disk, DiskDir, DiskFile, DiskLock};
use crate::search::Dice;

/// A fault at the next call of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
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
    /// A file can have one name only.
    Link,
    /// A link fails for a reason that passes.
    LinkOnce,
    /// No file can be created or opened, as often as it is tried.
    NoFiles,
}

/// A fault at the n-th call that changes or syncs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedFault {
    /// Counted from the call after [`FakeDisk::plan_fault`], beginning with 1.
    pub(crate) at: u64,
    pub(crate) what: FaultEffect,
    /// Decides how much of the call takes effect before it fails.
    pub(crate) seed: u64,
}

/// The effect of a [`PlannedFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultEffect {
    /// The call fails, after no, some or all of its effect.
    Fail(ErrorKind),
    /// A write says that it wrote less. Other calls are interrupted by nothing.
    Short,
    /// The call takes some effect, and from then on every call fails.
    Off,
    /// Before the call the directory is deleted, and in every second case made again: open files
    /// go on as before. [`FakeDisk::killed`] and [`FakeDisk::power_cut`] are then of the disk as it
    /// was before: what was written to files without a name is nowhere.
    Gone,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Contents {
    /// The bytes that reads return.
    seen: Vec<u8>,
    /// The bytes that a power cut leaves in any case.
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

#[derive(Clone, Default)]
struct FakeState {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    fault: Option<Fault>,
    free_bytes: Option<u64>,
    /// Bytes that all files together may have: the free bytes follow from it.
    capacity: Option<u64>,
    syncs: u64,
    /// Handles from before a power cut do nothing.
    generation: u64,
    planned: Option<PlannedFault>,
    /// The state before the directory was deleted.
    before_gone: Option<Box<FakeState>>,
    /// Counts the directories that had the name.
    directory: u64,
    has_no_directory: bool,
    /// Reads until one fails.
    reads_left: Option<u64>,
    calls: u64,
    /// Planned faults that came.
    hits: u64,
    off: bool,
}

/// Bytes that a disk writes all or nothing of.
const SECTOR: usize = 512;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk {
    state: Arc<Mutex<FakeState>>,
    locked: Arc<Mutex<Arc<AtomicBool>>>,
    /// Syncs wait while it is locked.
    sync_hold: Arc<Mutex<()>>,
    /// Syncs that were begun.
    begun: Arc<AtomicU64>,
}

struct FakeFile {
    disk: FakeDisk,
    id: usize,
    generation: u64,
}

struct FakeLock {
    held: Arc<AtomicBool>,
    disk: FakeDisk,
    directory: u64,
}

impl DiskLock for FakeLock {
    fn is_at(&self, _path: &Path) -> io::Result<bool> {
        let state = self.disk.state();
        state.is_on()?;
        Ok(!state.has_no_directory && state.directory == self.directory)
    }
}

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.held.store(false, Ordering::SeqCst);
    }
}

struct FakeDir(FakeDisk);

impl DiskDir for FakeDir {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.take(Fault::SyncDir)?;
        state.call_or(|_| {})?;
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }
}

impl FakeDisk {
    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock()
    }

    /// The next call of this kind goes wrong.
    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    pub(crate) fn set_free_bytes(&self, free_bytes: u64) {
        self.state().free_bytes = Some(free_bytes);
    }

    /// The free bytes are so many less those of all files.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// Takes back what [`fail`](Self::fail) has asked for.
    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Syncs wait as long as this is held.
    pub(crate) fn hold_syncs(&self) -> MutexGuard<'_, ()> {
        self.sync_hold.lock()
    }

    /// Waits until a sync was begun that had not been when `before` were.
    pub(crate) fn await_sync(&self, before: u64) {
        while self.syncs_begun() <= before {
            std::thread::yield_now();
        }
    }

    pub(crate) fn syncs_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Plans a fault, or none with `None`. Counts calls from here.
    pub(crate) fn plan_fault(&self, planned: Option<PlannedFault>) {
        let mut state = self.state();
        state.planned = planned;
        state.calls = 0;
    }

    /// Deletes the directory under whoever has it open, and makes it again if asked to.
    pub(crate) fn lose_directory(&self, and_make_it_again: bool) {
        self.state().lose_directory(!and_make_it_again);
        if and_make_it_again {
            *self.locked.lock() = Arc::default();
        }
    }

    /// Returns true once the directory was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.state().before_gone.is_some()
    }

    /// The n-th read from here fails.
    pub(crate) fn fail_read(&self, nth: Option<u64>) {
        self.state().reads_left = nth;
    }

    /// Returns the number of planned faults that came so far.
    pub(crate) fn hits(&self) -> u64 {
        self.state().hits
    }

    /// Returns true once every call fails.
    pub(crate) fn is_off(&self) -> bool {
        self.state().off
    }

    /// From now on every call fails.
    pub(crate) fn turn_off(&self) {
        self.state().off = true;
    }

    /// The disk as the next process finds it when this one was killed: nothing is lost, and
    /// nothing more is durable than was. Handles of the killed one do nothing to it.
    pub(crate) fn killed(&self) -> FakeDisk {
        let mut state = self.state().clone();
        if let Some(before) = state.before_gone.take() {
            state = *before;
        }
        (state.planned, state.reads_left, state.off) = (None, None, false);
        let after = FakeDisk::default();
        *after.state() = state;
        after
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[path]].seen.clone()
    }

    /// Returns the bytes of a file, if there is one.
    pub(crate) fn bytes_if_there(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|id| state.files[*id].seen.clone())
    }

    /// Replaces a file's bytes, durably: damage, or the picture of a crash.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.files.len();
        state.files.push(Contents {
            seen: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        });
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    /// The same, on a disk that has no other file.
    pub(crate) fn put_alone(&self, path: &Path, bytes: &[u8]) {
        *self.state() = FakeState::default();
        self.put(path, bytes);
    }

    /// A disk with the same files, all durable.
    pub(crate) fn copy(&self) -> FakeDisk {
        let copy = FakeDisk::default();
        let names: Vec<PathBuf> = self.state().names.keys().cloned().collect();
        for name in names {
            copy.put(&name, &self.bytes(&name));
        }
        copy
    }

    /// Cuts the power: a new disk with all that was synced, and of the rest what `keep` says,
    /// change by change. Changes that are kept stay in order. A write may be kept up to a byte.
    pub(crate) fn power_cut(&self, mut keep: impl FnMut() -> u8) -> FakeDisk {
        self.state().generation += 1;
        let mut state = self.state();
        let before = state.before_gone.take();
        let state = before.as_deref().unwrap_or(&state);
        let mut names = state.durable_names.clone();
        for naming in &state.pending_names {
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
        let mut named: BTreeMap<usize, usize> = BTreeMap::new();
        for (name, id) in names {
            if let Some(id) = named.get(&id) {
                // Another name of the same file.
                let mut after = after.state();
                after.names.insert(name.clone(), *id);
                after.durable_names.insert(name, *id);
                continue;
            }
            named.insert(id, after.state().files.len());
            let contents = &state.files[id];
            let mut bytes = contents.durable.clone();
            for change in &contents.pending {
                match (change, keep()) {
                    (_, 0..85) => {}
                    (Change::Write(at, data), choice) => {
                        let part = match choice {
                            85..128 => data.len() * usize::from(keep()) / 256,
                            128..170 => {
                                keep_sectors(&mut bytes, *at, data, &mut keep);
                                continue;
                            }
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

/// Applies a write sector by sector, each kept or not.
fn keep_sectors(bytes: &mut Vec<u8>, at: usize, data: &[u8], keep: &mut impl FnMut() -> u8) {
    let mut from = 0;
    while from < data.len() {
        let to = (from + SECTOR - (at + from) % SECTOR).min(data.len());
        if keep() >= 128 {
            apply(bytes, &Change::Write(at + from, data[from..to].to_vec()));
        }
        from = to;
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

impl Contents {
    /// A failed sync: of the written pages some reached the disk, and the system has dropped the
    /// others; reads see them all. A changed length is the file system's own, and waits.
    fn lose_pages(&mut self, mut dice: Dice) {
        let pending = std::mem::take(&mut self.pending);
        for change in pending {
            let written = dice.one_in(2);
            match change {
                Change::Truncate(_) => self.pending.push(change),
                Change::Write(..) if !written => {}
                Change::Write(..) if self.pending.is_empty() => apply(&mut self.durable, &change),
                Change::Write(..) => self.pending.push(change),
            }
        }
    }
}

impl FakeState {
    fn take(&mut self, fault: Fault) -> io::Result<()> {
        if self.fault == Some(fault) {
            self.fault = None;
            return Err(match fault {
                Fault::Link => io::Error::from_raw_os_error(rustix::io::Errno::PERM.raw_os_error()),
                _ => io::Error::other(format!("injected: {fault:?}")),
            });
        }
        Ok(())
    }

    /// Counts a call. `Err`: it fails, and the number says how much of it takes effect.
    fn call(&mut self) -> Result<Option<u64>, (io::Error, u64)> {
        if self.off {
            return Err((io::Error::other("the power is off"), 0));
        }
        self.calls += 1;
        let Some(planned) = self.planned.filter(|planned| planned.at == self.calls) else {
            return Ok(None);
        };
        self.planned = None;
        self.hits += 1;
        match planned.what {
            FaultEffect::Gone => {
                self.lose_directory(planned.seed % 2 == 1);
                Ok(None)
            }
            FaultEffect::Short => Ok(Some(planned.seed)),
            FaultEffect::Fail(kind) => Err((kind.into(), planned.seed)),
            FaultEffect::Off => {
                self.off = true;
                Err((io::Error::other("the power went off"), planned.seed))
            }
        }
    }

    fn lose_directory(&mut self, for_good: bool) {
        let before = self.clone();
        self.before_gone.get_or_insert_with(|| Box::new(before));
        self.names.clear();
        self.durable_names.clear();
        self.pending_names.clear();
        self.directory += 1;
        self.has_no_directory = for_good;
    }

    /// Counts a call that takes effect or not.
    fn call_or(&mut self, effect: impl FnOnce(&mut FakeState)) -> io::Result<()> {
        match self.call() {
            Ok(_) => Ok(()),
            Err((error, seed)) => {
                if seed % 2 == 1 {
                    effect(self);
                }
                Err(error)
            }
        }
    }

    fn has_files(&self) -> io::Result<()> {
        if self.fault == Some(Fault::NoFiles) {
            return Err(io::Error::from_raw_os_error(24));
        }
        Ok(())
    }

    fn is_on(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn read(&mut self) -> io::Result<()> {
        self.is_on()?;
        if let Some(left) = &mut self.reads_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.reads_left = None;
                self.hits += 1;
                return Err(io::Error::other("injected: a read"));
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.names.remove(from).ok_or(ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), id);
        self.pending_names.push(Naming::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.names.remove(path).ok_or(ErrorKind::NotFound)?;
        self.pending_names.push(Naming::Clear(path.to_owned()));
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
        let mut state = self.state();
        state.read()?;
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let make = |state: &mut FakeState| {
            let id = state.files.len();
            state.files.push(Contents::default());
            state.names.insert(path.to_owned(), id);
            state.pending_names.push(Naming::Set(path.to_owned(), id));
            id
        };
        state.has_files()?;
        state.call_or(|state| {
            make(state);
        })?;
        if state.has_no_directory {
            return Err(ErrorKind::NotFound.into());
        }
        let id = make(&mut state);
        let generation = state.generation;
        Ok(Box::new(FakeFile { disk: self.clone(), id, generation }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.read()?;
        state.has_files()?;
        let id = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        let generation = state.generation;
        Ok(Box::new(FakeFile { disk: self.clone(), id, generation }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.take(Fault::Rename)?;
        if state.fault == Some(Fault::SecondRename) {
            state.fault = Some(Fault::Rename);
        }
        state.call_or(|state| drop(state.rename(from, to)))?;
        state.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.take(Fault::Remove)?;
        state.call_or(|state| drop(state.remove(path)))?;
        state.remove(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.take(Fault::Link)?;
        state.take(Fault::LinkOnce)?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        let link = |state: &mut FakeState| {
            state.names.insert(to.to_owned(), id);
            state.pending_names.push(Naming::Set(to.to_owned(), id));
        };
        state.call_or(link)?;
        link(&mut state);
        Ok(())
    }

    fn open_dir(&self, _dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        self.state().has_files()?;
        Ok(Box::new(FakeDir(self.clone())))
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state();
        let used: u64 = state.names.values().map(|id| state.files[*id].seen.len() as u64).sum();
        let of_capacity = state.capacity.map(|capacity| capacity.saturating_sub(used));
        Ok(of_capacity.or(state.free_bytes).unwrap_or(u64::MAX))
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let held = self.locked.lock().clone();
        let free = !held.swap(true, Ordering::SeqCst);
        let directory = self.state().directory;
        let lock = || Box::new(FakeLock { held, disk: self.clone(), directory });
        Ok(free.then(|| lock() as Box<dyn DiskLock>))
    }
}

impl DiskFile for FakeFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(state.files[self.id].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.read()?;
        let seen = &state.files[self.id].seen;
        let from = seen.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if self.generation != state.generation {
            return Err(io::Error::other("the power is off"));
        }
        let mut data = Vec::new();
        for slice in slices {
            data.extend_from_slice(slice);
        }
        match state.fault {
            Some(Fault::Write(kind)) => {
                state.fault = None;
                return Err(kind.into());
            }
            Some(Fault::ShortWrite(most)) => {
                state.fault = None;
                data.truncate(most);
            }
            _ => {}
        }
        let failed = match state.call() {
            Ok(None) => None,
            Ok(Some(seed)) => {
                data.truncate(1 + (seed % data.len().max(1) as u64) as usize);
                None
            }
            Err((error, seed)) => {
                data.truncate((seed % (data.len() as u64 + 1)) as usize);
                Some(error)
            }
        };
        // One change a slice: a power cut may keep a later one and lose an earlier one.
        let written = data.len();
        let mut at = offset as usize;
        let mut rest = &data[..];
        for slice in slices {
            let (now, later) = rest.split_at(slice.len().min(rest.len()));
            state.change(self.id, Change::Write(at, now.to_vec()));
            at += now.len();
            rest = later;
        }
        failed.map_or(Ok(written), Err)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let change = Change::Truncate(len as usize);
        state.call_or(|state| state.change(self.id, change.clone()))?;
        state.change(self.id, change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.begun.fetch_add(1, Ordering::SeqCst);
        let _open = self.disk.sync_hold.lock();
        let mut state = self.disk.state();
        if self.generation != state.generation {
            return Err(io::Error::other("the power is off"));
        }
        state.syncs += 1;
        let failed = state.take(Fault::Sync);
        if let Err((error, seed)) = state.call() {
            if state.off {
                return Err(error);
            }
            state.files[self.id].lose_pages(Dice(seed));
            return Err(error);
        }
        let contents = &mut state.files[self.id];
        if failed.is_ok() {
            for change in contents.pending.drain(..) {
                apply(&mut contents.durable, &change);
            }
        }
        contents.pending.clear();
        failed
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let state = self.disk.state();
        state.is_on()?;
        Ok(state.names.get(path) == Some(&self.id))
    }
}
