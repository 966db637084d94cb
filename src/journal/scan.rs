//! The scan of one segment, from its head to its end or its first fault.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::JournalError;
use super::codec::encryption::OVERHEAD_BYTES;
use super::codec::is_encrypted;
use super::control::{self, Control};
use super::disk::{Disk, DiskFile, read_full_at, write_all_at};
use super::frame::{BodyHead, Kind, RetryKey};
use super::progress::ReplayProgress;
use super::retry_window::RetryEntry;
use super::segment::{self, FrameScanner, HeadError, ScannedFrame, SegmentHead};
use crate::record::{Seq, SeqRange};

/// Bytes that are rewritten at a time.
const REWRITE_BYTES: usize = 1 << 20;

/// A segment that has not been scanned.
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) len: u64,
    pub(crate) first_seq: u64,
}

impl SegmentFile {
    pub(crate) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        first_seq: u64,
    ) -> Result<SegmentFile, JournalError> {
        let io = |what| {
            let path = path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        let file = disk.open(&path).map_err(io("open"))?;
        let len = file.length().map_err(io("read the length of"))?;
        Ok(SegmentFile { path, file, len, first_seq })
    }

    /// Makes the last segment durable as scanned: cut at the end of its whole frames, and every byte
    /// that was not known durable written again and synced.
    pub(crate) fn settle(&mut self, scan: &Scan) -> Result<(), JournalError> {
        let path = self.path.clone();
        if self.len > scan.end {
            self.file.truncate(scan.end).map_err(self.cannot("truncate"))?;
            self.len = scan.end;
        }
        let mut buffer = vec![0; REWRITE_BYTES];
        let mut offset = scan.durable;
        while offset < scan.end {
            let want = usize::try_from(scan.end - offset).unwrap_or(usize::MAX).min(REWRITE_BYTES);
            let chunk = buffer.get_mut(..want).unwrap_or_default();
            let read = read_full_at(&*self.file, chunk, offset).map_err(self.cannot("read"))?;
            if read < want {
                let why = "the file became shorter while it was read".into();
                return Err(JournalError::Damaged { path, offset, why });
            }
            write_all_at(&*self.file, &mut [io::IoSlice::new(chunk)], offset)
                .map_err(self.cannot("write"))?;
            offset += want as u64;
        }
        self.file.sync().map_err(self.cannot("sync"))
    }

    /// Turns an I/O error into one that names the file.
    pub(crate) fn cannot(&self, what: &'static str) -> impl FnOnce(io::Error) -> JournalError {
        let path = self.path.clone();
        move |source| JournalError::Io { what, path, source }
    }
}

/// The content of a segment, up to its end or its first fault.
pub(crate) struct Scan {
    pub(crate) head: SegmentHead,
    pub(crate) control: Control,
    pub(crate) window: Vec<RetryEntry>,
    /// The tables of the bodies, each with its last one.
    pub(crate) tables: BTreeMap<String, u64>,
    /// The first and the last body that is encrypted.
    pub(crate) encrypted: Option<SeqRange>,
    pub(crate) frames_at: u64,
    pub(crate) end: u64,
    pub(crate) last_seq: u64,
    /// Offset up to which its own frames prove it durable.
    pub(crate) durable: u64,
}

impl Scan {
    /// A scan of a segment whose checkpoint cannot be read, up to its first frame.
    pub(crate) fn without_checkpoint(
        head: SegmentHead,
        frames_at: u64,
        control: Control,
        window: Vec<RetryEntry>,
    ) -> Scan {
        Scan {
            last_seq: head.first_seq - 1,
            head,
            control,
            window,
            tables: BTreeMap::new(),
            encrypted: None,
            frames_at,
            end: frames_at,
            durable: 0,
        }
    }
}

/// The first thing wrong with a segment.
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) why: String,
    /// A crash in the middle of a write can leave this: bytes are missing or are others.
    pub(crate) may_be_torn: bool,
    /// The segment's head and its length, if the checkpoint cannot be read, and frames can be told by
    /// the head all the same.
    pub(crate) head: Option<(SegmentHead, u64)>,
    /// The segment's content up to its first frame, if the fault is one bit of its head.
    pub(crate) scan: Option<Box<Scan>>,
    /// The segment is whole, and is of another place or another journal.
    pub(crate) is_misplaced: bool,
}

impl Fault {
    pub(crate) fn damage(offset: u64, why: impl Into<String>) -> Fault {
        let (head, scan) = (None, None);
        Fault { offset, why: why.into(), may_be_torn: false, head, scan, is_misplaced: false }
    }

    pub(crate) fn misplaced(why: String) -> Fault {
        Fault { is_misplaced: true, ..Fault::damage(0, why) }
    }
}

/// Tells whether a fault in the last segment is the rest of an unsynced write: nothing behind it was
/// written at a time when it was known durable.
pub(crate) fn is_torn(it: &SegmentFile, scan: &Scan, fault: &Fault) -> Result<bool, JournalError> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, scan.head.salt);
    Ok(fault.may_be_torn && !scanner.proves_durable(fault.offset).map_err(it.cannot("read"))?)
}

/// Reads a segment's head and checkpoint.
pub(crate) fn read_head(
    it: &SegmentFile,
    identity: Option<&(String, u64)>,
) -> Result<Result<Scan, Fault>, JournalError> {
    let io = || it.cannot("read");
    let (head, frames_at) = match SegmentHead::read(&*it.file).map_err(io())? {
        Ok(head) => head,
        Err(HeadError::Damaged(why)) => {
            let head = SegmentHead::read_corrected(&*it.file).map_err(io())?;
            let is_ours = |(head, _): &(SegmentHead, u64)| {
                head.first_seq == it.first_seq
                    && identity.is_none_or(|(node, _)| *node == head.node)
            };
            let fault = Fault::damage(0, why);
            let Some((head, frames_at)) = head.filter(is_ours) else { return Ok(Err(fault)) };
            return Ok(Err(match read_checkpoint(it, head, frames_at)? {
                Ok(scan) => Fault { scan: Some(Box::new(scan)), ..fault },
                Err(second) => Fault { head: second.head, ..fault },
            }));
        }
        Err(HeadError::Format(found)) => {
            let path = it.path.clone();
            return Err(JournalError::Version { path, found, known: segment::FORMAT });
        }
    };
    if head.first_seq != it.first_seq {
        let why = format!("its header says that it begins at body {}", head.first_seq);
        return Ok(Err(Fault::misplaced(why)));
    }
    if let Some((node, seed)) = identity
        && (*node != head.node || *seed != head.seed)
    {
        let why = format!("it belongs to node {}, this journal is of node {node}", head.node);
        return Ok(Err(Fault::misplaced(why)));
    }
    read_checkpoint(it, head, frames_at)
}

/// Reads the checkpoint behind a head of `frames_at` bytes.
fn read_checkpoint(
    it: &SegmentFile,
    head: SegmentHead,
    frames_at: u64,
) -> Result<Result<Scan, Fault>, JournalError> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, head.salt);
    let frame = match scanner.frame(frames_at).map_err(it.cannot("read"))? {
        Ok(frame) => frame,
        Err(why) => {
            let why = format!("in the checkpoint: {why}");
            let head = Some((head, frames_at));
            return Ok(Err(Fault { head, ..Fault::damage(frames_at, why) }));
        }
    };
    let decoded = match frame.header.kind {
        Kind::Checkpoint => control::decode_checkpoint(&frame.kept),
        _ => None,
    };
    let Some((control, window)) = decoded else {
        let head = Some((head, frames_at));
        let why = "the checkpoint makes no sense";
        return Ok(Err(Fault { head, ..Fault::damage(frames_at, why) }));
    };
    Ok(Ok(Scan {
        last_seq: head.first_seq - 1,
        head,
        control,
        window,
        tables: BTreeMap::new(),
        encrypted: None,
        frames_at: frame.end,
        end: frame.end,
        durable: 0,
    }))
}

/// Reads a segment's frames up to its end or the first fault.
pub(crate) fn scan_frames(
    it: &SegmentFile,
    scan: &mut Scan,
    progress: &ReplayProgress,
) -> io::Result<Option<Fault>> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, scan.head.salt).watched_by(progress);
    while scan.end < it.len {
        let offset = scan.end;
        let frame = match scanner.frame(offset)? {
            Ok(frame) => frame,
            Err(why) => {
                let fault = Fault::damage(offset, why);
                return Ok(Some(Fault { may_be_torn: true, ..fault }));
            }
        };
        if let Err(why) = apply(scan, &frame) {
            return Ok(Some(Fault::damage(offset, why)));
        }
        scan.durable = scan.durable.max(frame.header.group_start);
        scan.end = frame.end;
    }
    Ok(None)
}

/// Applies a whole frame to the scan, if it follows from those before it.
fn apply(scan: &mut Scan, frame: &ScannedFrame) -> Result<(), String> {
    const SENSELESS: &str = "a record is whole and makes no sense";
    let header = &frame.header;
    match header.kind {
        Kind::Body => {
            if header.seq != scan.last_seq + 1 {
                return Err(format!("body {} follows body {}", header.seq, scan.last_seq));
            }
            add_body(scan, frame).ok_or(SENSELESS)?;
            scan.last_seq = header.seq;
            Ok(())
        }
        Kind::Seal => {
            let seal = control::decode_seal(&frame.kept).ok_or(SENSELESS)?;
            scan.control.seal(seal, scan.last_seq)
        }
        Kind::Committed => {
            scan.control.commit(control::decode_committed(&frame.kept).ok_or(SENSELESS)?)
        }
        Kind::Closed => Ok(()),
        Kind::Checkpoint => Err("a checkpoint stands in the middle".into()),
    }
}

/// Adds a whole body to the retry keys, the tables and the bodies that are encrypted. `None` if its
/// head makes no sense.
pub(crate) fn add_body(scan: &mut Scan, frame: &ScannedFrame) -> Option<()> {
    let header = &frame.header;
    let (head, prefix) = frame.kept.split_at_checked(header.head_bytes.into())?;
    let head = BodyHead::decode(head, header.flags.is_compressed)?;
    let seq = Seq(header.seq);
    if header.flags.has_key {
        let overhead_bytes = if header.flags.is_encrypted { OVERHEAD_BYTES as u32 } else { 0 };
        let stored_bytes =
            (header.payload_bytes - u32::from(header.head_bytes)).checked_sub(overhead_bytes)?;
        let body_bytes = head.inflated_bytes.unwrap_or(stored_bytes);
        let key = RetryKey { hash: head.hash, body_bytes };
        scan.window.push(RetryEntry { key, seq, at: header.at });
    }
    match scan.tables.get_mut(head.table) {
        Some(last) => *last = header.seq,
        None => drop(scan.tables.insert(head.table.to_owned(), header.seq)),
    }
    if is_encrypted(scan.head.format, header.flags, prefix) {
        let first = scan.encrypted.map_or(seq, |range| range.first);
        scan.encrypted = Some(SeqRange { first, last: seq });
    }
    Some(())
}
