//! Recovery: from the files on disk to a journal that can be written.
//!
//! Segments are scanned in order, every checksum verified. The newest readable one is read
//! before that, since it says which bodies are committed (their segments are not read, and may be
//! missing) and which are known to be lost. The table of what a start makes of a crash is in the
//! module's page.

mod damage;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::active_segment::begin_segment;
use super::control::{self, Control};
use super::directory::Directory;
use super::disk::Disk;
use super::progress::ReplayProgress;
use super::retry_window::{RetryEntry, RetryWindow};
use super::salvage::salvage;
use super::scan::{Fault, Scan, SegmentFile, is_torn, read_head, scan_frames};
use super::segment::{self, NEW_SUFFIX};
use super::set_aside::Aside;
use super::state::{Segment, Shared, State};
use super::writer::Writer;
use super::{JournalError, Options, Recovery, SkippedSegment, identity};
use crate::clock::Clock;
use crate::record::{Roll, Seq, SeqRange};

/// A journal ready to run.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) recovery: Recovery,
    /// The first body that is encrypted and has not landed.
    pub(crate) encrypted_from: Option<Seq>,
}

/// Locks the directory, recovers it and begins a new segment.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    options: Options,
    progress: &Arc<ReplayProgress>,
) -> Result<Opened, JournalError> {
    options.check()?;
    let dir = options.dir.clone();
    let directory = Directory::open(&*disk, &dir)?;
    let replay = Replay::run(Arc::clone(&disk), options.clone(), Arc::clone(progress))?;
    let (encrypted, waiting_tables) = (replay.encrypted_from(), replay.waiting_tables());
    if let Some((seq, path)) = &encrypted
        && options.cipher.is_none()
    {
        return Err(JournalError::NoKey { seq: *seq, path: path.clone() });
    }
    let (node, seed) = match replay.identity {
        Some(identity) => identity,
        None => (identity::new_node(&options.node_prefix, &dir)?, identity::random(&dir)?),
    };
    let recovery = Recovery {
        next: Seq(replay.next),
        next_roll: Roll(replay.control.next_roll),
        unsealed_from: replay.control.unsealed_from(),
        waiting_tables,
        sealed: replay.control.sealed.iter().cloned().collect(),
        torn_bytes: replay.torn_bytes,
        skipped: replay.skipped,
    };
    let state = State {
        bytes: replay.segments.values().map(|segment| segment.durable).sum(),
        segments: replay.segments,
        last_seq: replay.next - 1,
        committed_seq: replay.control.committed_seq,
        lost: replay.control.lost.clone(),
        no_segment: None,
        poisoned: None,
        closing: false,
        closed: false,
    };
    let mut window = RetryWindow::new(options.retry_window, clock.now(), replay.window);
    if options.cipher.is_some() {
        window.keep_lengths();
    }
    let shared = Shared::new(disk, clock, options, node, seed, state, window, directory);
    let shared = Arc::new(shared);
    let active = begin_segment(&shared, replay.next, &replay.control)?;
    // Only now, since the new checkpoint says what these still said: a crash before it finds them.
    for aside in replay.asides {
        aside.set_aside(&shared, &replay.control)?;
    }
    // A segment that was read is durable only if it still has its name: nobody is to act on it otherwise.
    shared.directory.check_with(&*active.file, &active.path)?;
    let writer = Writer::new(Arc::clone(&shared), active, replay.control);
    Ok(Opened { shared, writer, recovery, encrypted_from: encrypted.map(|(seq, _)| seq) })
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}

/// The state of the scan, which goes through the segments in order.
struct Replay {
    disk: Arc<dyn Disk>,
    options: Options,
    progress: Arc<ReplayProgress>,
    identity: Option<(String, u64)>,
    segments: BTreeMap<u64, Segment>,
    control: Control,
    window: Vec<RetryEntry>,
    /// The tables of all bodies that were scanned, each with its last one.
    tables: BTreeMap<String, u64>,
    /// Segments with bodies that are encrypted: the first and the last of these.
    encrypted: Vec<(SeqRange, PathBuf)>,
    /// The number after the last body that is held, committed or given up.
    next: u64,
    /// The number before which no further segment may begin.
    floor: u64,
    torn_bytes: u64,
    skipped: Vec<SkippedSegment>,
    /// Damaged segments.
    asides: Vec<Aside>,
    /// Names in the directory.
    names: Vec<String>,
    /// No checkpoint of any segment can be read.
    is_without_checkpoint: bool,
    /// The most records of rolls that may stand unread since the last checkpoint that was read.
    unread: u64,
}

impl Replay {
    fn run(
        disk: Arc<dyn Disk>,
        options: Options,
        progress: Arc<ReplayProgress>,
    ) -> Result<Replay, JournalError> {
        let mut replay = Replay {
            disk,
            options,
            progress,
            identity: None,
            segments: BTreeMap::new(),
            control: Control::new(),
            window: Vec::new(),
            tables: BTreeMap::new(),
            encrypted: Vec::new(),
            next: Seq::FIRST.0,
            floor: Seq::FIRST.0,
            torn_bytes: 0,
            skipped: Vec::new(),
            asides: Vec::new(),
            names: Vec::new(),
            is_without_checkpoint: false,
            unread: 0,
        };
        let firsts = replay.list()?;
        replay.expect(&firsts)?;
        let newest = replay.newest(&firsts)?;
        if let Some(newest) = &newest {
            replay.identity = Some((newest.head.node.clone(), newest.head.seed));
            replay.next = newest.control.committed_seq + 1;
        } else if let Some(first) = firsts.first() {
            // No checkpoint: whether something before was released cannot be known.
            replay.next = *first;
            replay.is_without_checkpoint = true;
            replay.control = Control::guess(*first);
        }
        // Where to begin from: a segment that is scanned later says more, one whose head cannot be
        // read says nothing, and those before it may only be passed over.
        if let Some(newest) = newest {
            replay.control = newest.control;
            replay.window = newest.window;
        }
        let known = replay.control.clone();
        let mut lost = Vec::new();
        for (at, first_seq) in firsts.iter().enumerate() {
            let following = firsts.get(at + 1).copied();
            if following.is_some_and(|following| following <= known.committed_seq + 1) {
                replay.pass_over(*first_seq, following)?;
                continue;
            }
            lost.extend(replay.gap_before(*first_seq, &known)?);
            lost.extend(replay.segment(*first_seq, following)?);
        }
        lost.extend(replay.before_the_first(firsts.first().copied()));
        replay.settle_rolls();
        for range in lost {
            replay.control.lose(range);
        }
        replay.pass_over_landed();
        let lost = &replay.control.lost;
        replay.window.retain(|entry| control::skip_lost(lost, entry.seq) == entry.seq);
        Ok(replay)
    }

    /// Returns the first numbers of all segments, in order. Removes unfinished ones.
    fn list(&mut self) -> Result<Vec<u64>, JournalError> {
        let dir = &self.options.dir;
        let mut firsts = Vec::new();
        for name in self.disk.list(dir).map_err(io_error("list", dir))? {
            if let Some(made) = name.strip_suffix(NEW_SUFFIX)
                && segment::parse_name(made).is_some()
            {
                let path = dir.join(&name);
                self.disk.remove(&path).map_err(io_error("remove", &path))?;
            }
            firsts.extend(segment::parse_name(&name));
            self.names.push(name);
        }
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// Sums up the bytes that are to be read.
    fn expect(&self, firsts: &[u64]) -> Result<(), JournalError> {
        for first_seq in firsts {
            self.progress.expect(self.candidate(*first_seq)?.len);
        }
        if let Some(newest) = firsts.last() {
            self.progress.expect(self.candidate(*newest)?.len);
        }
        Ok(())
    }

    /// Scans the newest segment whose head and checkpoint can be read: its rolls are the latest that
    /// are known.
    fn newest(&mut self, firsts: &[u64]) -> Result<Option<Scan>, JournalError> {
        for first_seq in firsts.iter().rev() {
            let it = self.candidate(*first_seq)?;
            let mut scan = match read_head(&it, None)? {
                Ok(scan) => scan,
                Err(Fault { scan: Some(scan), .. }) => *scan,
                Err(fault) => {
                    let head = fault.head.map(|(head, _)| (head.node, head.seed));
                    self.identity = self.identity.take().or(head);
                    continue;
                }
            };
            let fault = scan_frames(&it, &mut scan, &self.progress).map_err(it.cannot("read"))?;
            self.progress.finish(it.len);
            if let Some(fault) = fault
                && !is_torn(&it, &scan, &fault)?
            {
                salvage(&it, &mut scan, None).map_err(it.cannot("read"))?;
            }
            return Ok(Some(scan));
        }
        Ok(None)
    }

    fn candidate(&self, first_seq: u64) -> Result<SegmentFile, JournalError> {
        let path = self.options.dir.join(segment::file_name(first_seq));
        SegmentFile::open(&*self.disk, path, first_seq)
    }

    /// Enters a segment whose bodies are all committed: it is about to be released.
    fn pass_over(&mut self, first_seq: u64, following: Option<u64>) -> Result<(), JournalError> {
        let it = self.candidate(first_seq)?;
        self.progress.finish(it.len);
        let last_seq = following.map_or(first_seq, |following| following - 1);
        self.enter(it, segment::FORMAT, 0, 0, last_seq);
        self.floor = last_seq + 1;
        Ok(())
    }

    fn enter(&mut self, it: SegmentFile, format: u32, salt: u64, frames_at: u64, last_seq: u64) {
        let segment = Segment { path: it.path, format, salt, frames_at, durable: it.len, last_seq };
        self.segments.insert(it.first_seq, segment);
    }

    /// Scans a segment and takes over its content. Returns the bodies that are lost with it.
    fn segment(
        &mut self,
        first_seq: u64,
        following: Option<u64>,
    ) -> Result<Vec<SeqRange>, JournalError> {
        let mut it = self.candidate(first_seq)?;
        let read = read_head(&it, self.identity.as_ref())?;
        let (scan, fault) = match read {
            Ok(scan) if first_seq < self.floor => {
                let why = format!("it begins at body {first_seq}, before body {}", self.floor);
                (Some(scan), Some(Fault::misplaced(why)))
            }
            Ok(mut scan) => {
                let fault =
                    scan_frames(&it, &mut scan, &self.progress).map_err(it.cannot("read"))?;
                (Some(scan), fault)
            }
            Err(mut fault) => (fault.scan.take().map(|scan| *scan), Some(fault)),
        };
        self.progress.finish(it.len);
        let is_last = following.is_none();
        match (scan, fault) {
            (Some(scan), None) => {
                if is_last {
                    it.settle(&scan)?;
                }
                self.take_over(it, scan);
                Ok(Vec::new())
            }
            (Some(scan), Some(fault)) if is_last && is_torn(&it, &scan, &fault)? => {
                self.torn_bytes = it.len - scan.end;
                tracing::warn!(
                    path = %it.path.display(), offset = scan.end, bytes = self.torn_bytes,
                    "cut a torn tail, which was never acknowledged"
                );
                it.settle(&scan)?;
                self.take_over(it, scan);
                Ok(Vec::new())
            }
            (scan, Some(fault)) => self.set_aside(it, scan, fault, following),
            // A segment that was not scanned has a fault.
            (None, None) => Ok(Vec::new()),
        }
    }

    fn take_over(&mut self, it: SegmentFile, scan: Scan) {
        self.next = scan.last_seq + 1;
        self.floor = self.next;
        self.control = scan.control;
        self.unread = 0;
        self.window = scan.window;
        // Segments are scanned in order: the last one counts.
        self.tables.extend(scan.tables);
        self.encrypted.extend(scan.encrypted.map(|range| (range, it.path.clone())));
        self.enter(it, scan.head.format, scan.head.salt, scan.frames_at, scan.last_seq);
    }

    /// Returns the tables of bodies that are in no seal.
    fn waiting_tables(&self) -> Vec<String> {
        let from = self.control.unsealed_from().0;
        let waiting = self.tables.iter().filter(|(_, last)| **last >= from);
        waiting.map(|(table, _)| table.clone()).collect()
    }

    /// Returns the first body that is encrypted and not committed, and its segment. Within a
    /// segment either all bodies are encrypted or none.
    fn encrypted_from(&self) -> Option<(Seq, PathBuf)> {
        let committed = Seq(self.control.committed_seq);
        let waiting = self.encrypted.iter().find(|(range, _)| range.last > committed);
        waiting.map(|(range, path)| (range.first.max(committed.next()), path.clone()))
    }
}
