//! Frames: the bytes of one record. Pure: no I/O, no clock.
//!
//! ```text
//!  0      4      5      6         8             12            16
//!  +------+------+------+---------+-------------+-------------+
//!  | SLf1 | kind | flags| head u16| payload u32 | crc(payload)|
//!  +------+------+------+---------+-------------+-------------+
//!  16            24             32             40            44
//!  +-------------+--------------+--------------+-------------+--------------------------+
//!  | seq u64     | at i64 µs    | group_start  | crc(header) | payload                  |
//!  +-------------+--------------+--------------+-------------+--------------------------+
//!
//!  payload of a body (`head` bytes, then the body as it came, or compressed, or encrypted):
//!  +--------------+----------------+---------+-----------------+-----------+------------+
//!  | key 16       | first_line u64 | form u8 | (inflated u32)  | table …   | body …     |
//!  +--------------+----------------+---------+-----------------+-----------+------------+
//!  an encrypted body:
//!  +----------+---------------------------------------------+--------+
//!  | nonce 12 | ciphertext of the body, compressed or not … | tag 16 |
//!  +----------+---------------------------------------------+--------+
//! ```
//!
//! All integers are little-endian. Checksums are CRC32C. The header's own covers the segment's
//! random *salt* and bytes 0 to 40, hence the payload's checksum too: a frame is whole when both
//! agree. The salt makes sure that no body, whatever its sender put in it, holds bytes that pass
//! for a frame of this segment; so the search for frames behind a bad one can be trusted, and
//! costs one small checksum a candidate.
//!
//! `group_start` is the file offset up to which the segment was known durable when the frame was
//! written. A header with `group_start > X` proves that everything below X was once on disk.
//!
//! `seq` of a body is its own; of a control record, that of the last body before it (0 if none).
//! `at` is when the body was received, or the record made. Flags of a body:
//!
//! | bit | since format | meaning |
//! |---|---|---|
//! | 0 | 1 | `key` is set |
//! | 1 | 2 | the body is a Zstandard frame, and the head has its `inflated` length |
//! | 2 | 3 | the body, compressed or not, is encrypted, with flags and head as associated data |
//!
//! The key is that of the body as it came; in frames that are encrypted, an HMAC of it.

use bytes::Bytes;
use twox_hash::XxHash3_128;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::NewBody;
use super::codec::{Encoding, compression, encryption};
use crate::record::{Form, Micros};

/// The first bytes of every frame.
pub(crate) const MAGIC: [u8; 4] = *b"SLf1";
/// Bytes of a frame before its payload.
pub(crate) const HEADER_BYTES: usize = 44;
/// Bytes of a body's head before the table's name, at most.
const BODY_HEAD_BYTES: usize = 29;
/// Maximum bytes of a table name.
pub(crate) const MAX_TABLE_BYTES: usize = u16::MAX as usize - BODY_HEAD_BYTES;
/// Maximum bytes of a body: payload lengths have 32 bits, and cover the head and what encryption adds.
pub(crate) const MAX_BODY_BYTES: u64 =
    u32::MAX as u64 - u16::MAX as u64 - encryption::OVERHEAD_BYTES as u64;

const FLAG_KEY: u8 = 1;
const FLAG_COMPRESSED: u8 = 2;
const FLAG_ENCRYPTED: u8 = 4;

/// The flags of a frame; none are set in control records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyFlags {
    /// The body's retry key is in its head.
    pub(crate) has_key: bool,
    /// The body is compressed.
    pub(crate) is_compressed: bool,
    /// The body is encrypted, after it was compressed.
    pub(crate) is_encrypted: bool,
}

impl BodyFlags {
    pub(crate) fn to_byte(self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        flag(self.has_key, FLAG_KEY)
            | flag(self.is_compressed, FLAG_COMPRESSED)
            | flag(self.is_encrypted, FLAG_ENCRYPTED)
    }

    /// Decodes the flags; `None` if there are unknown ones among them.
    fn of(byte: u8) -> Option<BodyFlags> {
        let flags = BodyFlags {
            has_key: byte & FLAG_KEY != 0,
            is_compressed: byte & FLAG_COMPRESSED != 0,
            is_encrypted: byte & FLAG_ENCRYPTED != 0,
        };
        (flags.to_byte() == byte).then_some(flags)
    }
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rolls, lost bodies and retry entries of earlier segments, which may be deleted.
    Checkpoint = 1,
    /// A received body.
    Body = 2,
    /// A roll's range and settings.
    Seal = 3,
    /// A roll is in the lake.
    Committed = 4,
    /// The journal was closed in order; all before it is durable.
    Closed = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Checkpoint, Kind::Body, Kind::Seal, Kind::Committed, Kind::Closed]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: BodyFlags,
    /// Bytes of the payload before the body itself; 0 in control records.
    pub(crate) head_bytes: u16,
    pub(crate) payload_bytes: u32,
    pub(crate) payload_crc: u32,
    pub(crate) seq: u64,
    pub(crate) at: Micros,
    pub(crate) group_start: u64,
}

impl Header {
    /// Encodes the header for a segment with this salt.
    pub(crate) fn encode(&self, salt: u64) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.push(self.kind as u8);
        out.push(self.flags.to_byte());
        out.extend_from_slice(&self.head_bytes.to_le_bytes());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&self.group_start.to_le_bytes());
        let crc = salted_crc(&out, salt);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut fixed = [0; HEADER_BYTES];
        fixed.copy_from_slice(&out);
        fixed
    }

    /// Decodes a header at the start of `bytes`; `None` unless it is whole and of this segment.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Header> {
        let covered = bytes.get(..HEADER_BYTES - 4)?;
        let mut rest = ByteReader(bytes.get(..HEADER_BYTES)?);
        if rest.array()? != MAGIC {
            return None;
        }
        let kind = Kind::of(rest.u8()?)?;
        let header = Header {
            kind,
            flags: BodyFlags::of(rest.u8()?)?,
            head_bytes: rest.u16()?,
            payload_bytes: rest.u32()?,
            payload_crc: rest.u32()?,
            seq: rest.u64()?,
            at: Micros(rest.i64()?),
            group_start: rest.u64()?,
        };
        (rest.u32()? == salted_crc(covered, salt)
            && u32::from(header.head_bytes) <= header.payload_bytes)
            .then_some(header)
    }

    /// Returns the bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

fn salted_crc(bytes: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

/// The key by which a retried body is recognised: a hash, seeded per journal, of table, bytes and
/// length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RetryKey {
    pub(crate) hash: u128,
    pub(crate) body_bytes: u32,
}

impl RetryKey {
    /// Hashes a body in one pass, at memory speed.
    pub(crate) fn of(seed: u64, table: &str, body: &[u8]) -> RetryKey {
        let inner = xxh3_64_with_seed(table.as_bytes(), seed) ^ body.len() as u64;
        // Callers have checked the length; a cut one would only make the key weaker.
        RetryKey {
            hash: XxHash3_128::oneshot_with_seed(inner, body),
            body_bytes: body.len() as u32,
        }
    }
}

/// A body that is ready to be written: hashed, encoded and summed.
#[derive(Debug)]
pub(crate) struct PreparedBody {
    pub(crate) head: Vec<u8>,
    /// The body as it is written: compressed and encrypted if the options ask for it.
    pub(crate) bytes: Bytes,
    flags: BodyFlags,
    pub(crate) payload_crc: u32,
    pub(crate) key: Option<RetryKey>,
    pub(crate) received_at: Micros,
}

impl PreparedBody {
    /// Lays out the head, compresses and encrypts the body as `encoding` asks, and sums the payload.
    /// The body and its table are within the limits above, and `key` is the one to be kept. Takes
    /// half a millisecond a megabyte to compress, a millisecond to encrypt. Returns `None` if the
    /// body is too long to be encrypted.
    pub(crate) fn new(
        new: NewBody,
        encoding: Encoding<'_>,
        key: Option<RetryKey>,
        received_at: Micros,
    ) -> Option<PreparedBody> {
        let NewBody { table, form, first_line, bytes } = new;
        let inflated_bytes = bytes.len() as u32;
        let compressed = if encoding.compress { compression::compress(&bytes) } else { None };
        let flags = BodyFlags {
            has_key: key.is_some(),
            is_compressed: compressed.is_some(),
            is_encrypted: encoding.cipher.is_some(),
        };
        let bytes = compressed.unwrap_or(bytes);
        let mut head = Vec::with_capacity(BODY_HEAD_BYTES + table.len());
        head.extend_from_slice(&key.map_or(0, |key| key.hash).to_le_bytes());
        head.extend_from_slice(&first_line.to_le_bytes());
        head.push(match form {
            Form::Ndjson => 0,
            Form::Elasticsearch => 1,
        });
        if flags.is_compressed {
            head.extend_from_slice(&inflated_bytes.to_le_bytes());
        }
        head.extend_from_slice(table.as_bytes());
        let bytes = match encoding.cipher {
            Some(cipher) => cipher.encrypt(flags, &head, &bytes)?,
            None => bytes,
        };
        let payload_crc = crc32c::crc32c_append(crc32c::crc32c(&head), &bytes);
        Some(PreparedBody { head, bytes, flags, payload_crc, key, received_at })
    }

    /// Returns the header of this body as number `seq`.
    pub(crate) fn header(&self, seq: u64, group_start: u64) -> Header {
        Header {
            kind: Kind::Body,
            flags: self.flags,
            head_bytes: self.head.len() as u16,
            payload_bytes: (self.head.len() + self.bytes.len()) as u32,
            payload_crc: self.payload_crc,
            seq,
            at: self.received_at,
            group_start,
        }
    }

    /// Returns the bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (HEADER_BYTES + self.head.len() + self.bytes.len()) as u64
    }
}

/// Returns the header of a control record with this payload.
pub(crate) fn control_header(
    kind: Kind,
    payload: &[u8],
    seq: u64,
    at: Micros,
    group_start: u64,
) -> Header {
    Header {
        kind,
        flags: BodyFlags::default(),
        head_bytes: 0,
        payload_bytes: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
        seq,
        at,
        group_start,
    }
}

/// The head of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyHead<'a> {
    pub(crate) hash: u128,
    pub(crate) first_line: u64,
    pub(crate) form: Form,
    /// The body's length as it came, if it is compressed.
    pub(crate) inflated_bytes: Option<u32>,
    pub(crate) table: &'a str,
}

impl<'a> BodyHead<'a> {
    /// Decodes the head of a body, which has its inflated length if it `is_compressed`.
    pub(crate) fn decode(head: &'a [u8], is_compressed: bool) -> Option<BodyHead<'a>> {
        let mut rest = ByteReader(head);
        Some(BodyHead {
            hash: u128::from_le_bytes(rest.array()?),
            first_line: rest.u64()?,
            form: match rest.u8()? {
                0 => Form::Ndjson,
                1 => Form::Elasticsearch,
                _ => return None,
            },
            inflated_bytes: if is_compressed { Some(rest.u32()?) } else { None },
            table: std::str::from_utf8(rest.0).ok()?,
        })
    }
}

/// Reads little-endian integers off the front of a slice; `None` past its end.
pub(crate) struct ByteReader<'a>(pub(crate) &'a [u8]);

impl<'a> ByteReader<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}
