//! Segment files: names, heads, creation and scanning.
//!
//! ```text
//!  0          8            12            16            24
//!  +----------+------------+-------------+-------------+
//!  | SLJOURNL | format u32 | head u32    | first u64   |   head: bytes up to and with the CRC
//!  +----------+------------+-------------+-------------+
//!  24           32           40          48            50
//!  +------------+------------+-----------+-------------+--------+-----+
//!  | created µs | seed u64   | salt u64  | node u16    | node … | CRC |
//!  +------------+------------+-----------+-------------+--------+-----+
//!  then a checkpoint frame, then frames to the end of the file
//! ```
//!
//! `seed` belongs to the journal (retry keys), `salt` to the segment (frame checksums). A segment
//! is written and synced under `<name>.new`, then renamed and the directory synced: a file named
//! `.seg` has a whole head, or is damaged.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use super::JournalError;
use super::codec::encryption::FORMAT_2_PREFIX;
use super::directory::Directory;
use super::disk::{Disk, DiskFile, read_full_at, write_all_at};
use super::frame::{self, ByteReader, HEADER_BYTES, Header, Kind};
use super::progress::ReplayProgress;
use crate::record::Micros;

const MAGIC: [u8; 8] = *b"SLJOURNL";
/// The format this version writes. It reads those before it: 1 has no compressed bodies, and in 1
/// and 2 a body that is encrypted has no flag.
pub(crate) const FORMAT: u32 = 3;
const FIXED_BYTES: usize = 50;
/// Bytes of the longest head: node names have a prefix of 64 bytes at most.
const MAX_HEAD_BYTES: usize = 160;
/// Bytes read at a time by a scan.
const SCAN_BYTES: usize = 1 << 20;
/// Suffix of a segment that is being made.
pub(crate) const NEW_SUFFIX: &str = ".new";
/// Suffix of a segment that was set aside.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// The head of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// The format of its frames: [`FORMAT`] unless an earlier version wrote it.
    pub(crate) format: u32,
    pub(crate) node: String,
    pub(crate) seed: u64,
    pub(crate) salt: u64,
    pub(crate) first_seq: u64,
    pub(crate) created_at: Micros,
}

/// The reason why a head cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// A later version wrote it.
    Format(u32),
    /// Its bytes are not those that were written.
    Damaged(&'static str),
}

impl SegmentHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head_bytes = FIXED_BYTES + self.node.len() + 4;
        let mut out = Vec::with_capacity(head_bytes);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.format.to_le_bytes());
        out.extend_from_slice(&(head_bytes as u32).to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.created_at.0.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&(self.node.len() as u16).to_le_bytes());
        out.extend_from_slice(self.node.as_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes a head at the start of `bytes`, and returns its length too.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(SegmentHead, u64), HeadError> {
        const SHORT: HeadError = HeadError::Damaged("the segment's header is cut short");
        let mut rest = ByteReader(bytes);
        if rest.array().ok_or(SHORT)? != MAGIC {
            return Err(HeadError::Damaged("this is not a segment: its first bytes are others"));
        }
        let format = rest.u32().ok_or(SHORT)?;
        let head_bytes = rest.u32().ok_or(SHORT)? as usize;
        let whole = bytes.get(..head_bytes).ok_or(SHORT)?;
        let (covered, crc) = whole.split_last_chunk().ok_or(SHORT)?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return Err(HeadError::Damaged("the segment's header does not match its checksum"));
        }
        if !(1..=FORMAT).contains(&format) {
            return Err(HeadError::Format(format));
        }
        let first_seq = rest.u64().ok_or(SHORT)?;
        let created_at = Micros(rest.i64().ok_or(SHORT)?);
        let (seed, salt) = (rest.u64().ok_or(SHORT)?, rest.u64().ok_or(SHORT)?);
        let node_bytes = rest.u16().ok_or(SHORT)?.into();
        let node = rest.bytes(node_bytes).ok_or(SHORT)?;
        let node = std::str::from_utf8(node)
            .map_err(|_| HeadError::Damaged("the node's name is not UTF-8"))?
            .to_owned();
        Ok((SegmentHead { format, node, seed, salt, first_seq, created_at }, head_bytes as u64))
    }

    /// Reads the head of a file in which one bit is not as it was written. The checksum says which:
    /// among the heads that differ in one bit, at most one fits it.
    pub(crate) fn read_corrected(file: &dyn DiskFile) -> io::Result<Option<(SegmentHead, u64)>> {
        let mut bytes = vec![0; MAX_HEAD_BYTES];
        let read = read_full_at(file, &mut bytes, 0)?;
        bytes.truncate(read);
        for bit in 0..8 * bytes.len() {
            let flip = |bytes: &mut Vec<u8>| {
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            };
            flip(&mut bytes);
            if let Ok(found) = SegmentHead::decode(&bytes) {
                return Ok(Some(found));
            }
            flip(&mut bytes);
        }
        Ok(None)
    }

    /// Reads the head of a file.
    pub(crate) fn read(file: &dyn DiskFile) -> io::Result<Result<(SegmentHead, u64), HeadError>> {
        let mut bytes = vec![0; 4096];
        let read = read_full_at(file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(SegmentHead::decode(&bytes))
    }
}

/// Returns the name of a segment: its first sequence number, so that names sort as bodies do.
pub(crate) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// Parses the first sequence number out of a segment's name; `None` for other files.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok()).flatten()
}

/// A segment that was just made.
pub(crate) struct NewSegment {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    /// Bytes of the head and the checkpoint.
    pub(crate) len: u64,
}

/// The reason why a segment was not made, by what it leaves behind.
pub(crate) enum NotMade {
    /// The directory is as it was, but for a file that the next start removes.
    NoContent(JournalError),
    /// The same, unless the rename has taken effect although it failed.
    NotRenamed(JournalError),
    /// The segment is there, and may be gone after a power cut.
    NameNotSynced(JournalError),
}

impl From<NotMade> for JournalError {
    fn from(not_made: NotMade) -> JournalError {
        let (NotMade::NoContent(error)
        | NotMade::NotRenamed(error)
        | NotMade::NameNotSynced(error)) = not_made;
        error
    }
}

/// Makes a segment with its head and checkpoint. File and name are durable on return. Replaces a
/// segment of the same name, which can only be one without bodies.
pub(crate) fn create(
    disk: &dyn Disk,
    directory: &Directory,
    head: &SegmentHead,
    checkpoint: &[u8],
) -> Result<NewSegment, NotMade> {
    let name = file_name(head.first_seq);
    let path = directory.path().join(&name);
    let new = directory.path().join(name + NEW_SUFFIX);
    let (file, len) = write_new(disk, &new, head, checkpoint).map_err(|error| {
        // Emptied by the next try, if it cannot be removed.
        let _ = disk.remove(&new);
        NotMade::NoContent(error)
    })?;
    disk.rename(&new, &path).map_err(|source| {
        NotMade::NotRenamed(JournalError::Io { what: "rename", path: new, source })
    })?;
    directory.sync().map_err(NotMade::NameNotSynced)?;
    Ok(NewSegment { path, file, len })
}

/// Writes and syncs the head and the checkpoint of a segment as the file `new`, and returns it and
/// its length.
pub(crate) fn write_new(
    disk: &dyn Disk,
    new: &Path,
    head: &SegmentHead,
    checkpoint: &[u8],
) -> Result<(Box<dyn DiskFile>, u64), JournalError> {
    if u32::try_from(checkpoint.len()).is_err() {
        let why = "the checkpoint has grown past 4 GiB: too many rolls wait to be committed";
        return Err(JournalError::Options(why.into()));
    }
    let seq = head.first_seq - 1;
    let head_bytes = head.encode();
    let header = frame::control_header(Kind::Checkpoint, checkpoint, seq, head.created_at, 0)
        .encode(head.salt);
    let io = |what| {
        let path = new.to_owned();
        move |source| JournalError::Io { what, path, source }
    };
    let file = disk.create(new).map_err(io("create"))?;
    let mut slices = [&head_bytes, &header[..], checkpoint].map(IoSlice::new);
    write_all_at(&*file, &mut slices, 0).map_err(io("write"))?;
    file.sync().map_err(io("sync"))?;
    Ok((file, (head_bytes.len() + HEADER_BYTES + checkpoint.len()) as u64))
}

/// A whole frame.
pub(crate) struct ScannedFrame {
    pub(crate) header: Header,
    /// The head of a body and its first bytes, the whole payload of a control record.
    pub(crate) kept: Vec<u8>,
    /// Offset of the next frame.
    pub(crate) end: u64,
}

/// Reads a segment front to back in bounded memory.
pub(crate) struct FrameScanner<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    salt: u64,
    buffer: Vec<u8>,
    /// File offset of the buffer, and the number of its bytes that are valid.
    at: u64,
    good: usize,
    progress: Option<&'a ReplayProgress>,
}

impl<'a> FrameScanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, len: u64, salt: u64) -> Self {
        let buffer = vec![0; SCAN_BYTES];
        FrameScanner { file, len, salt, buffer, at: 0, good: 0, progress: None }
    }

    /// Shows to `progress` what is read, and stops when it says so.
    pub(crate) fn watched_by(self, progress: &'a ReplayProgress) -> Self {
        FrameScanner { progress: Some(progress), ..self }
    }

    /// Returns the bytes at `offset`: at least `want` of them unless the file ends before.
    fn bytes(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let held = offset >= self.at && offset + want as u64 <= self.at + self.good as u64;
        let at_end = offset >= self.at && self.at + self.good as u64 >= self.len;
        if !held && !at_end {
            if let Some(progress) = self.progress {
                progress.at(offset)?;
            }
            self.at = offset;
            self.good = 0;
            self.good = read_full_at(self.file, &mut self.buffer, offset)?;
        }
        let skip = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        Ok(self.buffer.get(skip..self.good).unwrap_or_default())
    }

    /// Reads and checks the frame at `offset`. Returns the frame, or the reason why it is not whole.
    pub(crate) fn frame(&mut self, offset: u64) -> io::Result<Result<ScannedFrame, &'static str>> {
        if self.len - offset < HEADER_BYTES as u64 {
            return Ok(Err("a frame is cut short"));
        }
        let salt = self.salt;
        let Some(header) = Header::decode(self.bytes(offset, HEADER_BYTES)?, salt) else {
            return Ok(Err("a frame's header does not match its checksum"));
        };
        let end = offset + header.frame_bytes();
        if end > self.len {
            return Ok(Err("a frame runs past the end of the file"));
        }
        if header.group_start > offset {
            return Ok(Err("a frame stands before the group it belongs to"));
        }
        let keep = match header.kind {
            Kind::Body => {
                let with_prefix = u32::from(header.head_bytes) + FORMAT_2_PREFIX.len() as u32;
                with_prefix.min(header.payload_bytes) as usize
            }
            _ => header.payload_bytes as usize,
        };
        let mut kept = Vec::with_capacity(keep);
        let (mut crc, mut next) = (0, offset + HEADER_BYTES as u64);
        while next < end {
            let chunk = self.bytes(next, 1)?;
            let left = usize::try_from(end - next).unwrap_or(usize::MAX);
            let chunk = chunk.get(..left).unwrap_or(chunk);
            if chunk.is_empty() {
                return Ok(Err("the file became shorter while it was read"));
            }
            crc = crc32c::crc32c_append(crc, chunk);
            let missing = (keep - kept.len()).min(chunk.len());
            kept.extend_from_slice(chunk.get(..missing).unwrap_or_default());
            next += chunk.len() as u64;
        }
        if crc != header.payload_crc {
            return Ok(Err("a frame's payload does not match its checksum"));
        }
        Ok(Ok(ScannedFrame { header, kept, end }))
    }

    /// Returns the first whole header of a frame at or behind `offset`. Its payload is not checked.
    pub(crate) fn next_header(&mut self, mut offset: u64) -> io::Result<Option<(u64, Header)>> {
        let finder = Finder::new(&frame::MAGIC);
        let salt = self.salt;
        while self.len.saturating_sub(offset) >= HEADER_BYTES as u64 {
            let bytes = self.bytes(offset, HEADER_BYTES)?;
            let found = finder.find_iter(bytes).find_map(|skip| {
                let header = Header::decode(bytes.get(skip..)?, salt)?;
                let at = offset + skip as u64;
                (header.group_start <= at).then_some((at, header))
            });
            if found.is_some() {
                return Ok(found);
            }
            if bytes.len() < HEADER_BYTES {
                break;
            }
            // A header may begin in the last bytes of this chunk and end in the next.
            offset += (bytes.len() - HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// Tells whether a frame behind `offset` was written when `offset` was known durable.
    pub(crate) fn proves_durable(&mut self, offset: u64) -> io::Result<bool> {
        let mut from = offset + 1;
        while let Some((at, header)) = self.next_header(from)? {
            if header.group_start > offset {
                return Ok(true);
            }
            from = at + 1;
        }
        Ok(false)
    }
}
