//! Reading one segment by itself: one that was set aside, or whatever is left of a journal.
//!
//! Nothing is locked or written. Which bodies have landed is known as far as the segment says it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::JournalError;
use super::codec::encryption::BodyCipher;
use super::codec::{DecodeError, EncodedBody};
use super::control::Control;
use super::disk::{Disk, read_full_at};
use super::frame::{BodyHead, HEADER_BYTES, Header};
use super::progress::ReplayProgress;
use super::salvage::{missing, salvage};
use super::scan::{Scan, SegmentFile, read_head, scan_frames};
use super::segment::{HeadError, SegmentHead};
use crate::record::{Body, Seq, SeqRange};

/// The contents of a segment.
#[derive(Clone, Debug)]
pub struct Rescued {
    /// The node that wrote it.
    pub node: String,
    /// Bodies that are whole.
    pub whole: Vec<SeqRange>,
    /// Bodies that are damaged, between whole ones or with a header that can be read.
    pub damaged: Vec<SeqRange>,
    /// The most bodies that may have stood behind the last one that can be told.
    pub unknown_at_end: u64,
    /// The last body that had landed when the segment was written; 0 if none had.
    pub landed_to: Seq,
}

/// Reads the whole bodies of the segment `path` in order, and hands each to `take`. Bodies that had
/// landed by the segment's own records are left out.
///
/// # Errors
/// [`JournalError::Damaged`] if not even the head can be read, [`JournalError::NoKey`],
/// [`JournalError::WrongKey`], [`JournalError::Version`], [`JournalError::Io`], and those of `take`.
pub fn rescue<E: From<JournalError>>(
    disk: &dyn Disk,
    path: &Path,
    cipher: Option<&BodyCipher>,
    mut take: impl FnMut(Body) -> Result<(), E>,
) -> Result<Rescued, E> {
    let (it, mut scan) = open(disk, path)?;
    let found = salvage(&it, &mut scan, None).map_err(it.cannot("read"))?;
    let landed_to = Seq(scan.control.committed_seq);
    for run in &found.runs {
        for (seq, offset) in (run.range.first.0..).map(Seq).zip(&run.offsets) {
            if seq > landed_to {
                take(read(&it, &scan.head, *offset, cipher)?)?;
            }
        }
    }
    Ok(Rescued {
        node: scan.head.node.clone(),
        whole: found.runs.iter().map(|run| run.range).collect(),
        damaged: missing(it.first_seq..scan.last_seq + 1, &found.runs),
        unknown_at_end: found.unread_frames_at_end,
        landed_to,
    })
}

/// Opens a segment whatever its name is, and reads it to its first fault.
fn open(disk: &dyn Disk, path: &Path) -> Result<(SegmentFile, Scan), JournalError> {
    let mut it = SegmentFile::open(disk, path.to_owned(), 0)?;
    let head = match SegmentHead::read(&*it.file).map_err(it.cannot("read"))? {
        Ok(head) => Some(head),
        Err(HeadError::Damaged(_)) => {
            SegmentHead::read_corrected(&*it.file).map_err(it.cannot("read"))?
        }
        Err(HeadError::Format(_)) => None,
    };
    it.first_seq = head.as_ref().map_or(0, |(head, _)| head.first_seq);
    match read_head(&it, None)? {
        Ok(mut scan) => {
            scan_frames(&it, &mut scan, &ReplayProgress::default()).map_err(it.cannot("read"))?;
            Ok((it, scan))
        }
        Err(fault) => match (fault.scan, fault.head) {
            (Some(scan), _) => Ok((it, *scan)),
            (None, Some((head, frames_at))) => {
                let control = Control::guess(head.first_seq);
                let scan = Scan::without_checkpoint(head, frames_at, control, Vec::new());
                Ok((it, scan))
            }
            (None, None) => {
                let path = it.path;
                Err(JournalError::Unreadable { path, why: fault.why })
            }
        },
    }
}

fn read(
    it: &SegmentFile,
    head: &SegmentHead,
    offset: u64,
    cipher: Option<&BodyCipher>,
) -> Result<Body, JournalError> {
    let changed =
        |why: &str| JournalError::Unreadable { path: it.path.clone(), why: why.to_owned() };
    let mut bytes = vec![0; HEADER_BYTES];
    read_full_at(&*it.file, &mut bytes, offset).map_err(it.cannot("read"))?;
    let header = Header::decode(&bytes, head.salt).ok_or_else(|| changed("it changes"))?;
    let mut payload = vec![0; header.payload_bytes as usize];
    let from = offset + HEADER_BYTES as u64;
    read_full_at(&*it.file, &mut payload, from).map_err(it.cannot("read"))?;
    if crc32c::crc32c(&payload) != header.payload_crc {
        return Err(changed("it changes while it is read"));
    }
    let mut payload = Bytes::from(payload);
    let head_bytes = payload.split_to(header.head_bytes.into());
    let body_head = BodyHead::decode(&head_bytes, header.flags.is_compressed)
        .ok_or_else(|| changed("a body's head makes no sense"))?;
    let encoded = EncodedBody {
        format: head.format,
        flags: header.flags,
        head_bytes: &head_bytes,
        head: &body_head,
        body: payload,
    };
    let seq = Seq(header.seq);
    let path = || it.path.clone();
    let bytes = encoded.decode(cipher).map_err(|error| match error {
        DecodeError::NoKey => JournalError::NoKey { seq, path: path() },
        DecodeError::WrongKey => JournalError::WrongKey { seq, path: path() },
        DecodeError::Decompress => changed("a body cannot be decompressed"),
    })?;
    Ok(Body {
        seq,
        received_at: header.at,
        table: Arc::from(body_head.table),
        form: body_head.form,
        first_line: body_head.first_line,
        bytes,
        stored: None,
    })
}
