//! The scan of one segment, from its head to its end or its first fault.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::JournalError;
use super::codec::encryption::OVERHEAD_BYTES;
use super::codec::is_encrypted;
use super::control::{self, Control};
use super::disk::DiskFile;
use super::frame::{BodyHead, HEADER_BYTES, Kind, RetryKey};
use super::retry_window::RetryEntry;
use super::segment::{self, FrameScanner, HeadError, ScannedFrame, SegmentHead};
use crate::record::{Seq, SeqRange};

/// A segment that has not been scanned.
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) len: u64,
    pub(crate) first_seq: u64,
}

impl SegmentFile {
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

/// The first thing wrong with a segment.
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) why: String,
    /// A crash in the middle of a write can leave this: bytes are missing or are others.
    pub(crate) may_be_torn: bool,
}

impl Fault {
    pub(crate) fn damage(offset: u64, why: impl Into<String>) -> Fault {
        Fault { offset, why: why.into(), may_be_torn: false }
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
        Err(HeadError::Damaged(why)) => return Ok(Err(Fault::damage(0, why))),
        Err(HeadError::Format(found)) => {
            let path = it.path.clone();
            return Err(JournalError::Version { path, found, known: segment::FORMAT });
        }
    };
    if head.first_seq != it.first_seq {
        let why = format!("its header says that it begins at body {}", head.first_seq);
        return Ok(Err(Fault::damage(0, why)));
    }
    if let Some((node, seed)) = identity
        && (*node != head.node || *seed != head.seed)
    {
        let why = format!("it belongs to node {}, this journal is of node {node}", head.node);
        return Ok(Err(Fault::damage(0, why)));
    }
    let mut scanner = FrameScanner::new(&*it.file, it.len, head.salt);
    let frame = match scanner.frame(frames_at).map_err(io())? {
        Ok(frame) => frame,
        Err(why) => return Ok(Err(Fault::damage(frames_at, format!("in the checkpoint: {why}")))),
    };
    let decoded = match frame.header.kind {
        Kind::Checkpoint => control::decode_checkpoint(&frame.kept),
        _ => None,
    };
    let Some((control, window)) = decoded else {
        return Ok(Err(Fault::damage(frames_at, "the checkpoint makes no sense")));
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
pub(crate) fn scan_frames(it: &SegmentFile, scan: &mut Scan) -> io::Result<Option<Fault>> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, scan.head.salt);
    while scan.end < it.len {
        let offset = scan.end;
        let frame = match scanner.frame(offset)? {
            Ok(frame) => frame,
            Err(why) => return Ok(Some(Fault { offset, why: why.into(), may_be_torn: true })),
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
            let (head, prefix) =
                frame.kept.split_at_checked(header.head_bytes.into()).ok_or(SENSELESS)?;
            let head = BodyHead::decode(head, header.flags.is_compressed).ok_or(SENSELESS)?;
            scan.last_seq = header.seq;
            match scan.tables.get_mut(head.table) {
                Some(last) => *last = header.seq,
                None => drop(scan.tables.insert(head.table.to_owned(), header.seq)),
            }
            if is_encrypted(scan.head.format, header.flags, prefix) {
                let seq = Seq(header.seq);
                let first = scan.encrypted.map_or(seq, |range| range.first);
                scan.encrypted = Some(SeqRange { first, last: seq });
            }
            if header.flags.has_key {
                let overhead_bytes =
                    if header.flags.is_encrypted { OVERHEAD_BYTES as u32 } else { 0 };
                let stored_bytes = (header.payload_bytes - u32::from(header.head_bytes))
                    .checked_sub(overhead_bytes)
                    .ok_or(SENSELESS)?;
                let body_bytes = head.inflated_bytes.unwrap_or(stored_bytes);
                let key = RetryKey { hash: head.hash, body_bytes };
                scan.window.push(RetryEntry { key, seq: Seq(header.seq), at: header.at });
            }
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

/// Adds to `scan` the rolls and numbers that can still be read behind a fault, and returns the number
/// of bytes that could not be read.
pub(crate) fn salvage(it: &SegmentFile, scan: &mut Scan) -> io::Result<u64> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, scan.head.salt);
    let (mut offset, mut unread_bytes) = (scan.end, 0);
    while let Some((at, header)) = scanner.next_header(offset)? {
        unread_bytes += at - offset;
        scan.last_seq = scan.last_seq.max(header.seq);
        let Ok(frame) = scanner.frame(at)? else {
            // Its payload may be behind the next good header, or not be there at all.
            unread_bytes += HEADER_BYTES as u64;
            offset = at + HEADER_BYTES as u64;
            continue;
        };
        offset = frame.end;
        match header.kind {
            Kind::Seal => {
                if let Some(seal) = control::decode_seal(&frame.kept) {
                    scan.control.salvage_seal(seal);
                }
            }
            Kind::Committed => {
                if let Some(roll) = control::decode_committed(&frame.kept) {
                    scan.control.salvage_commit(roll);
                }
            }
            Kind::Body | Kind::Checkpoint | Kind::Closed => {}
        }
    }
    Ok(unread_bytes + it.len.saturating_sub(offset))
}
