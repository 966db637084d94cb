//! A file that crashes, for an index.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// A file in memory: its bytes, and those that a power cut leaves. Clones are of one file.
#[derive(Clone, Default)]
pub(crate) struct FakeFile(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<Write>,
    /// The call that fails, counted down, and what happens then.
    fails_in: Option<u64>,
    on_failure: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Nothing is read or written any more.
    is_off: bool,
    /// Tells whether the process is dead for another reason.
    is_dead: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    hits: u64,
}

#[derive(Clone)]
enum Write {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Write::Length(length) => bytes.resize(*length, 0),
            Write::Bytes(at, written) => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(written);
            }
        }
    }
}

impl std::fmt::Debug for FakeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeFile")
    }
}

impl FakeFile {
    /// Makes the `nth` call that changes the file fail. With `on_failure`, which is told, all calls after it
    /// fail as well.
    pub(crate) fn fail_at(
        &self,
        nth: Option<u64>,
        on_failure: Option<Arc<dyn Fn() + Send + Sync>>,
    ) {
        let mut state = self.0.lock();
        (state.fails_in, state.on_failure) = (nth, on_failure);
    }

    /// Nothing is read or written once `is_dead` is true.
    pub(crate) fn dies_with(&self, is_dead: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.lock().is_dead = Some(Arc::new(is_dead));
    }

    /// Returns the number of calls that failed as they were to.
    pub(crate) fn hits(&self) -> u64 {
        self.0.lock().hits
    }

    /// Returns the file as the next process finds it: all that was written.
    pub(crate) fn killed(&self) -> FakeFile {
        FakeFile::of(self.0.lock().bytes.clone())
    }

    /// Returns the file as it is after a power cut: what was synced, and those other writes for which
    /// `keeps` says so.
    pub(crate) fn power_cut(&self, mut keeps: impl FnMut() -> bool) -> FakeFile {
        let state = self.0.lock();
        let mut bytes = state.synced.clone();
        state.unsynced.iter().filter(|_| keeps()).for_each(|write| write.apply(&mut bytes));
        FakeFile::of(bytes)
    }

    fn of(bytes: Vec<u8>) -> FakeFile {
        let synced = bytes.clone();
        FakeFile(Arc::new(Mutex::new(State { bytes, synced, ..State::default() })))
    }

    /// Deletes it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        (state.bytes, state.synced, state.unsynced) = Default::default();
        Ok(())
    }

    /// Damages it.
    pub(crate) fn damage(&self, at: usize, bytes: &[u8]) {
        let mut state = self.0.lock();
        Write::Bytes(at, bytes.to_vec()).apply(&mut state.bytes);
        state.synced = state.bytes.clone();
    }

    /// Returns its length.
    pub(crate) fn length(&self) -> usize {
        self.0.lock().bytes.len()
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.fails_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.fails_in = None;
                self.hits += 1;
                if let Some(on_failure) = self.on_failure.take() {
                    self.is_off = true;
                    on_failure();
                }
                return Err(io::Error::other("planned"));
            }
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        match self.is_off || self.is_dead.as_ref().is_some_and(|is_dead| is_dead()) {
            true => Err(io::Error::other("the process is dead")),
            false => Ok(()),
        }
    }

    fn change(&mut self, write: Write) -> io::Result<()> {
        self.step()?;
        write.apply(&mut self.bytes);
        self.unsynced.push(write);
        Ok(())
    }
}

impl StorageBackend for FakeFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock();
        state.alive()?;
        let at = usize::try_from(offset).unwrap();
        let bytes = state.bytes.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().change(Write::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.synced = state.bytes.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.0.lock().change(Write::Bytes(at, data.to_vec()))
    }
}
