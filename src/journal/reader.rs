//! Readers: durable bodies in order, as they come.
//!
//! A reader has a file handle of its own and never reads past the durable mark: every body that it
//! returns would be there after a power cut. It reads ahead up to [`READ_AHEAD_BYTES`] at a time and hands
//! out slices of what it read, without another copy; a body larger than that gets an allocation of
//! its own, as does one that was compressed. A body that was not keeps the chunk it was read with in
//! memory as long as it lives.
//!
//! The reader that lands bodies takes those from memory that are handed on ([`Reader::taking_handed`]),
//! and reads the others. It goes by the durable mark as well.
//!
//! A body larger than a limit ([`Reader::holding_at_most`]) is checked piece by piece and stays in its
//! file, from which it is read as it is decoded.
//!
//! The position is the number of the next body, and the file and offset follow from it: so a
//! switch of segments, or the deletion of one that was read, can neither skip nor repeat a body.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::codec::{DecodeError, EncodedBody, is_encrypted};
use super::disk::{DiskFile, read_full_at};
use super::frame::{BodyHead, HEADER_BYTES, Header, Kind};
use super::handed::FrameEnd;
use super::state::{Segment, State};
use super::{Journal, JournalError, control};
use crate::metrics as names;
use crate::record::{BodiesDigest, Body, BodyHasher, Seq, StoredText};

/// Bytes that are read ahead.
const READ_AHEAD_BYTES: u64 = 2 << 20;

/// The outcome of [`Reader::next`].
#[derive(Debug)]
pub enum Next {
    /// The next body.
    Body(Body),
    /// Nothing became durable in time.
    TimedOut,
    /// The journal is closed and all its bodies were handed out.
    Closed,
}

/// Hands out durable bodies in order. Keeps the journal open.
pub struct Reader {
    journal: Journal,
    next: Seq,
    cursor: Option<Cursor>,
    /// The last body's table: most bodies share it.
    table: Arc<str>,
    /// Bodies of more bytes than this are not read into memory.
    most_held_bytes: u64,
    takes_handed: bool,
    /// The durable mark, when it was last looked at.
    durable_seq: u64,
    /// The end of the last body that was taken from memory.
    handed_end: Option<FrameEnd>,
}

/// Bytes of a stored body that are checked at a time.
const CHECKED_BYTES: usize = 256 << 10;

/// A position in a segment.
struct Cursor {
    first_seq: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    format: u32,
    salt: u64,
    /// Offset of the next frame, and of the buffer's first byte.
    offset: u64,
    /// Offset up to which the file may be read.
    durable: u64,
    buffer: Bytes,
}

/// The state of the next body.
enum NextBody {
    Durable(u64, Segment),
    Pending,
    Closed,
}

impl Reader {
    pub(crate) fn new(journal: Journal, from: Seq) -> Reader {
        let next = from.max(Seq::FIRST);
        Reader {
            journal,
            next,
            cursor: None,
            table: Arc::from(""),
            most_held_bytes: u64::MAX,
            takes_handed: false,
            durable_seq: 0,
            handed_end: None,
        }
    }

    /// Returns bodies of more than `most_bytes` as they are stored ([`Body::stored`]), checked and not
    /// held in memory. Those that are compressed or encrypted are held all the same.
    #[must_use]
    pub fn holding_at_most(mut self, most_bytes: u64) -> Reader {
        self.most_held_bytes = most_bytes;
        self
    }

    /// Takes bodies that are handed on in memory ([`Options::hand_on_bytes`](super::Options::hand_on_bytes)), each of
    /// them for good: meant for one reader, the one that lands. They are equal to those on disk.
    #[must_use]
    pub fn taking_handed(mut self) -> Reader {
        self.takes_handed = true;
        self
    }

    /// Returns the number of the body that [`next`](Self::next) returns next, lost ones aside.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.next
    }

    /// Returns the next body, and waits for it at most `timeout`. Blocks.
    ///
    /// # Errors
    /// [`JournalError::Released`] if the next body was committed and deleted,
    /// [`JournalError::Damaged`] if its bytes have changed on disk, [`JournalError::NoKey`] or
    /// [`JournalError::WrongKey`] if it cannot be decrypted, [`JournalError::Poisoned`] when
    /// all durable bodies were handed out and no more will come, [`JournalError::Io`]. The position
    /// stays: asking again gives the same.
    pub fn next(&mut self, timeout: Duration) -> Result<Next, JournalError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(body) = self.take_handed() {
                return Ok(Next::Body(body));
            }
            if let Some(body) = self.read()? {
                if self.takes_handed {
                    let handed = &self.journal.inner.shared.handed;
                    handed.read_from_disk(body.text_bytes());
                    count_read("disk");
                }
                return Ok(Next::Body(body));
            }
            match self.find(deadline)? {
                NextBody::Durable(first_seq, segment) => {
                    if let Some(body) = self.take_handed() {
                        return Ok(Next::Body(body));
                    }
                    self.go_to(first_seq, segment)?;
                }
                NextBody::Pending => return Ok(Next::TimedOut),
                NextBody::Closed => return Ok(Next::Closed),
            }
        }
    }

    /// Takes the next body from memory, if it is durable and was handed on.
    fn take_handed(&mut self) -> Option<Body> {
        if !self.takes_handed || self.next.0 > self.durable_seq {
            return None;
        }
        let (body, end) = self.journal.inner.shared.handed.take(self.next)?;
        self.handed_end = Some(end);
        match &mut self.cursor {
            Some(cursor) if cursor.first_seq == end.first_seq => cursor.go_on_at(end.offset),
            cursor => *cursor = None,
        }
        self.next = body.seq.next();
        count_read("memory");
        Some(body)
    }

    /// Waits until the next body is durable, and finds its segment.
    fn find(&mut self, deadline: Option<Instant>) -> Result<NextBody, JournalError> {
        let shared = &self.journal.inner.shared;
        let mut state = shared.state();
        loop {
            self.next = control::skip_lost(&state.lost, self.next);
            self.durable_seq = state.last_seq;
            if let Some(cursor) = &self.cursor
                && !state.segments.contains_key(&cursor.first_seq)
            {
                // Its file has no name any more, and takes up space until it is closed.
                self.cursor = None;
            }
            if self.next.0 <= state.last_seq {
                return segment_of(&state, self.next)
                    .map(|(first, it)| NextBody::Durable(first, it));
            }
            if let Some(reason) = &state.poisoned {
                return Err(JournalError::Poisoned { reason: reason.clone() });
            }
            if state.closed {
                return Ok(NextBody::Closed);
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                return Ok(NextBody::Pending);
            }
            shared.changed.wait_for(&mut state, left);
        }
    }

    /// Moves the cursor to the segment that has the next body, at its first unread frame.
    fn go_to(&mut self, first_seq: u64, segment: Segment) -> Result<(), JournalError> {
        if let Some(cursor) = &mut self.cursor
            && cursor.first_seq == first_seq
        {
            if cursor.offset >= segment.durable {
                let why = format!("body {} should be here, and is not", self.next);
                return Err(cursor.damaged(cursor.offset, why));
            }
            cursor.durable = segment.durable;
            return Ok(());
        }
        self.cursor = None;
        let shared = &self.journal.inner.shared;
        let file = match shared.disk.open(&segment.path) {
            Ok(file) => file,
            // Released between the look-up and the opening: the next look-up says so.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && !shared.state().segments.contains_key(&first_seq) =>
            {
                return Ok(());
            }
            Err(source) => {
                return Err(JournalError::Io { what: "open", path: segment.path, source });
            }
        };
        let handed_end = self.handed_end.filter(|end| end.first_seq == first_seq);
        self.cursor = Some(Cursor {
            first_seq,
            path: segment.path,
            file: file.into(),
            format: segment.format,
            salt: segment.salt,
            offset: handed_end.map_or(segment.frames_at, |end| end.offset),
            durable: segment.durable,
            buffer: Bytes::new(),
        });
        Ok(())
    }

    /// Reads up to the next body, within the durable part of the file.
    fn read(&mut self) -> Result<Option<Body>, JournalError> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        while cursor.offset < cursor.durable {
            let offset = cursor.offset;
            let header = cursor.header()?;
            let seq = Seq(header.seq);
            if header.kind != Kind::Body || seq < self.next {
                cursor.skip(header.frame_bytes());
                continue;
            }
            if seq != self.next {
                let why = format!("body {seq} stands where {} should", self.next);
                return Err(cursor.damaged(offset, why));
            }
            let is_large = u64::from(header.payload_bytes) > self.most_held_bytes;
            if is_large && let Some(body) = cursor.stored(&header, &mut self.table)? {
                cursor.skip(header.frame_bytes());
                self.next = seq.next();
                return Ok(Some(body));
            }
            let mut payload = cursor.payload(&header)?;
            let head_bytes = payload.split_to(usize::from(header.head_bytes));
            let Some(head) = BodyHead::decode(&head_bytes, header.flags.is_compressed) else {
                return Err(cursor.damaged(offset, "a body's head makes no sense".into()));
            };
            let encoded = EncodedBody {
                format: cursor.format,
                flags: header.flags,
                head_bytes: &head_bytes,
                head: &head,
                body: payload,
            };
            let cipher = self.journal.inner.shared.options.cipher.as_ref();
            let bytes = encoded.decode(cipher).map_err(|error| cursor.undecodable(seq, error))?;
            if *self.table != *head.table {
                self.table = Arc::from(head.table);
            }
            let body = Body {
                seq,
                received_at: header.at,
                table: Arc::clone(&self.table),
                form: head.form,
                first_line: head.first_line,
                bytes,
                stored: None,
            };
            cursor.skip(header.frame_bytes());
            self.next = seq.next();
            return Ok(Some(body));
        }
        Ok(None)
    }
}

/// Counts a body that was handed out by the reader that lands.
fn count_read(from: &'static str) {
    metrics::counter!(names::JOURNAL_READ_BODIES, "from" => from).increment(1);
}

/// Returns the segment of a durable body.
fn segment_of(state: &State, seq: Seq) -> Result<(u64, Segment), JournalError> {
    match state.segments.range(..=seq.0).next_back() {
        Some((first, segment)) if seq.0 <= segment.last_seq => Ok((*first, segment.clone())),
        _ => {
            let later = state.segments.range(seq.0..).next();
            let first = Seq(later.map_or(state.last_seq + 1, |(first, _)| *first));
            Err(JournalError::Released { seq, first })
        }
    }
}

impl Cursor {
    fn header(&mut self) -> Result<Header, JournalError> {
        let bytes = self.peek(HEADER_BYTES as u64)?;
        match Header::decode(&bytes, self.salt) {
            Some(header) if self.offset + header.frame_bytes() <= self.durable => Ok(header),
            Some(_) => Err(self.damaged(self.offset, "a frame runs past the durable end".into())),
            None => {
                let why = "a frame's header does not match its checksum";
                Err(self.damaged(self.offset, why.into()))
            }
        }
    }

    fn payload(&mut self, header: &Header) -> Result<Bytes, JournalError> {
        let mut frame = self.peek(header.frame_bytes())?;
        frame.advance(HEADER_BYTES);
        if crc32c::crc32c(&frame) != header.payload_crc {
            let why = "a frame's payload does not match its checksum";
            return Err(self.damaged(self.offset, why.into()));
        }
        Ok(frame)
    }

    /// Returns the next `want` bytes, all of them below the durable mark.
    fn peek(&mut self, want: u64) -> Result<Bytes, JournalError> {
        let left = self.durable - self.offset;
        if want > left {
            return Err(self.damaged(self.offset, "a frame is cut short".into()));
        }
        if (self.buffer.len() as u64) < want {
            let size = want.max(left.min(READ_AHEAD_BYTES)) as usize;
            let mut buffer = BytesMut::zeroed(size);
            let held = self.buffer.len();
            let (old, fresh) = buffer.split_at_mut(held);
            old.copy_from_slice(&self.buffer);
            let read =
                read_full_at(&*self.file, fresh, self.offset + held as u64).map_err(|source| {
                    JournalError::Io { what: "read", path: self.path.clone(), source }
                })?;
            buffer.truncate(held + read);
            self.buffer = buffer.freeze();
        }
        let want = want as usize;
        if self.buffer.len() < want {
            return Err(self.damaged(self.offset, "the file is shorter than it was".into()));
        }
        Ok(self.buffer.slice(..want))
    }

    /// Returns the next body without holding it, once it matches its checksum; `None` if it is compressed
    /// or encrypted.
    fn stored(
        &mut self,
        header: &Header,
        table: &mut Arc<str>,
    ) -> Result<Option<Body>, JournalError> {
        let head_bytes = u64::from(header.head_bytes);
        let mut before = self.peek(HEADER_BYTES as u64 + head_bytes)?;
        before.advance(HEADER_BYTES);
        let Some(head) = BodyHead::decode(&before, header.flags.is_compressed) else {
            return Err(self.damaged(self.offset, "a body's head makes no sense".into()));
        };
        let at = self.offset + HEADER_BYTES as u64 + head_bytes;
        let bytes = u64::from(header.payload_bytes) - head_bytes;
        let mut buffer = vec![0; CHECKED_BYTES];
        let first = self.read_at(&mut buffer, at, bytes)?;
        if header.flags.is_compressed || is_encrypted(self.format, header.flags, first) {
            return Ok(None);
        }
        if **table != *head.table {
            *table = Arc::from(head.table);
        }
        let mut body = Body {
            seq: Seq(header.seq),
            received_at: header.at,
            table: Arc::clone(table),
            form: head.form,
            first_line: head.first_line,
            bytes: Bytes::new(),
            stored: None,
        };
        let mut hasher = BodyHasher::new(&body);
        let (mut crc, mut read, mut last_byte) = (crc32c::crc32c(&before), 0, None);
        while read < bytes {
            let piece = self.read_at(&mut buffer, at + read, bytes - read)?;
            crc = crc32c::crc32c_append(crc, piece);
            hasher.update(piece);
            last_byte = piece.trim_ascii_end().last().copied().or(last_byte);
            read += piece.len() as u64;
        }
        if crc != header.payload_crc {
            let why = "a frame's payload does not match its checksum";
            return Err(self.damaged(self.offset, why.into()));
        }
        let (file, digest) = (Arc::clone(&self.file), hasher.digest());
        body.stored = Some(Arc::new(StoredBody { file, at, bytes, digest, last_byte }));
        Ok(Some(body))
    }

    /// Fills `buffer` with bytes of the file at `at`, at most `most_bytes`.
    fn read_at<'b>(
        &self,
        buffer: &'b mut [u8],
        at: u64,
        most_bytes: u64,
    ) -> Result<&'b [u8], JournalError> {
        let want = usize::try_from(most_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..want).unwrap_or_default();
        let read = read_full_at(&*self.file, piece, at).map_err(|source| JournalError::Io {
            what: "read",
            path: self.path.clone(),
            source,
        })?;
        if read < want {
            return Err(self.damaged(self.offset, "the file is shorter than it was".into()));
        }
        Ok(piece)
    }

    /// Moves on to a later frame.
    fn go_on_at(&mut self, offset: u64) {
        self.skip(offset.saturating_sub(self.offset));
    }

    fn skip(&mut self, bytes: u64) {
        self.offset += bytes;
        match usize::try_from(bytes) {
            Ok(bytes) if bytes < self.buffer.len() => self.buffer.advance(bytes),
            _ => self.buffer = Bytes::new(),
        }
    }

    /// Returns the error for body `seq`, whose frame is whole.
    fn undecodable(&self, seq: Seq, error: DecodeError) -> JournalError {
        let path = self.path.clone();
        match error {
            DecodeError::NoKey => JournalError::NoKey { seq, path },
            DecodeError::WrongKey => JournalError::WrongKey { seq, path },
            DecodeError::Decompress => {
                let why = "a body that was compressed cannot be decompressed";
                self.damaged(self.offset, why.into())
            }
        }
    }

    fn damaged(&self, offset: u64, why: String) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset, why }
    }
}

/// A body in its segment. The segment may lose its name meanwhile.
struct StoredBody {
    file: Arc<dyn DiskFile>,
    /// Offset of its first byte.
    at: u64,
    bytes: u64,
    digest: BodiesDigest,
    last_byte: Option<u8>,
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.bytes, self.at)
    }
}

impl StoredText for StoredBody {
    fn text_bytes(&self) -> u64 {
        self.bytes
    }

    fn digest(&self) -> BodiesDigest {
        self.digest
    }

    fn last_byte(&self) -> Option<u8> {
        self.last_byte
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        read_full_at(&*self.file, buffer.get_mut(..most).unwrap_or_default(), self.at + offset)
    }
}
