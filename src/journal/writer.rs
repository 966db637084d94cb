//! The writer: one thread that owns the last segment.
//!
//! It sleeps until a request comes, takes what else waits (up to [`GROUP_BYTES`] or
//! [`GROUP_REQUESTS`]), and for that group makes one vectored write and one sync; then it moves the
//! durable mark, and only then answers. Bodies are not copied on the way. A group that crosses
//! into a new segment is ended before it, so that a group is always within one file.
//!
//! After a failure nothing is written any more: requests are taken only to be refused.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::control::{self, Control, MAX_SETTINGS_BYTES};
use super::disk::{DiskFile, write_all_at};
use super::frame::{self, Kind};
use super::quota::FreeSpace;
use super::request::{Answer, BodyRequest, Request};
use super::segment::{self, SegmentHead};
use super::state::{Segment, Shared, WRITER_GONE};
use super::{AppendError, JournalError, Seal, identity, release};
use crate::record::{Roll, Seq};

/// A group is ended when it has this many bytes.
const GROUP_BYTES: u64 = 8 << 20;
/// A group is ended when it has this many requests.
const GROUP_REQUESTS: usize = 1024;

/// The segment being written.
pub(crate) struct ActiveSegment {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: std::path::PathBuf,
    pub(crate) first_seq: u64,
    pub(crate) salt: u64,
    pub(crate) frames_at: u64,
    /// Bytes that are written and durable.
    pub(crate) len: u64,
}

/// A head up to this size is no reason to make a segment longer.
const LARGE_HEAD_BYTES: u64 = 1 << 20;

/// Returns the bytes of frames after which a segment ends, if it is to have `segment_bytes` and begins
/// with a head and a checkpoint of `head_bytes`. A full retry window makes a checkpoint of 36 MB,
/// which a segment of the usual size would not be worth.
pub(crate) fn enough_bytes(segment_bytes: u64, head_bytes: u64) -> u64 {
    if head_bytes > LARGE_HEAD_BYTES { segment_bytes.max(2 * head_bytes) } else { segment_bytes }
}

/// The group that is being collected.
#[derive(Default)]
struct Group {
    /// Headers, heads of bodies and payloads of control records, one after the other.
    small: Vec<u8>,
    /// Ranges of `small`, each followed by a body if there is one.
    slices: Vec<(Range<usize>, Option<Bytes>)>,
    bytes: u64,
    bodies: Vec<(u64, BodyRequest)>,
    answers: Vec<Answer>,
}

/// The state of the writer's thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: ActiveSegment,
    group: Group,
    /// The last body that was given a number.
    last_seq: u64,
    /// Rolls, including records that are in the group.
    control: Control,
    closing: bool,
    /// Set if something was written since the last `closed` record.
    open_ended: bool,
    free: FreeSpace,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, active: ActiveSegment, control: Control) -> Writer {
        let last_seq = active.first_seq - 1;
        Writer {
            shared,
            active,
            group: Group::default(),
            last_seq,
            control,
            closing: false,
            open_ended: false,
            free: FreeSpace::default(),
        }
    }

    /// Starts the thread. It ends when every sender is gone.
    pub(crate) fn start(self) -> Result<(Sender<Request>, JoinHandle<()>), JournalError> {
        // Unbounded, since the semaphore bounds the bytes in it.
        let (sender, requests) = crossbeam_channel::unbounded();
        let path = self.shared.options.dir.clone();
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || self.run(&requests))
            .map_err(|source| JournalError::Io { what: "start a writer for", path, source })?;
        Ok((sender, thread))
    }

    fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut next = Some(first);
            let mut taken = 0;
            while let Some(request) = next {
                taken += 1;
                self.attempt(|writer| writer.take(request));
                let enough = self.group.bytes >= GROUP_BYTES || taken >= GROUP_REQUESTS;
                next = if enough { None } else { requests.try_recv().ok() };
            }
            self.attempt(Writer::flush);
        }
        self.attempt(Writer::write_closed);
    }

    /// Runs a step. A failure poisons the journal.
    fn attempt(&mut self, step: impl FnOnce(&mut Writer) -> Result<(), JournalError>) {
        if let Err(error) = step(self) {
            self.shared.poison(error.to_string());
            // Dropped requests answer for themselves, now that the reason is known.
            self.group = Group::default();
        }
    }

    fn poisoned(&self) -> bool {
        self.shared.state().poisoned.is_some()
    }

    fn take(&mut self, request: Request) -> Result<(), JournalError> {
        match request {
            // Refused as poisoned by its drop; so is every answer that is dropped.
            _ if self.poisoned() => Ok(()),
            Request::Body(request) => self.take_body(request),
            Request::Seal(seal, answer) => self.take_seal(seal, answer),
            Request::Committed(roll, answer) => self.take_committed(roll, answer),
            Request::Close(answer) => {
                self.closing = true;
                self.write_closed()?;
                self.shared.state().closed = true;
                self.shared.changed.notify_all();
                let _ = answer.send(Ok(()));
                Ok(())
            }
        }
    }

    fn take_body(&mut self, request: BodyRequest) -> Result<(), JournalError> {
        if self.closing {
            request.refuse(&AppendError::Closed);
            return Ok(());
        }
        let bytes = request.body.frame_bytes();
        if let Err(refusal) = self.free.check(&self.shared, self.group.bytes + bytes) {
            request.refuse(&refusal);
            return Ok(());
        }
        let has_bodies = self.last_seq >= self.active.first_seq;
        let frames = self.active.len - self.active.frames_at + self.group.bytes;
        if has_bodies && frames + bytes > self.enough_bytes() {
            self.flush()?;
            self.rotate()?;
        }
        self.last_seq += 1;
        let header = request.body.header(self.last_seq, self.active.len);
        let start = self.group.small.len();
        self.group.small.extend_from_slice(&header.encode(self.active.salt));
        self.group.small.extend_from_slice(&request.body.head);
        let slice = (start..self.group.small.len(), Some(request.body.bytes.clone()));
        self.group.slices.push(slice);
        self.group.bytes += bytes;
        self.group.bodies.push((self.last_seq, request));
        Ok(())
    }

    fn take_seal(&mut self, seal: Seal, answer: Answer) -> Result<(), JournalError> {
        let last_durable = self.shared.state().last_seq;
        let payload = control::encode_seal(&seal);
        let outcome = if seal.settings.len() > MAX_SETTINGS_BYTES {
            Err(format!("settings of roll {} are over {MAX_SETTINGS_BYTES} bytes", seal.roll))
        } else {
            self.control.seal(seal, last_durable)
        };
        match outcome {
            Ok(()) => {
                self.put_control(Kind::Seal, &payload);
                self.group.answers.push(answer);
            }
            Err(why) => {
                let _ = answer.send(Err(JournalError::OutOfOrder(why)));
            }
        }
        Ok(())
    }

    fn take_committed(&mut self, roll: Roll, answer: Answer) -> Result<(), JournalError> {
        if let Err(why) = self.control.commit(roll) {
            let _ = answer.send(Err(JournalError::OutOfOrder(why)));
            return Ok(());
        }
        self.put_control(Kind::Committed, &control::encode_committed(roll));
        self.flush()?;
        // A segment that is all committed could be deleted if it were not the one being written:
        // so it ends here, when that gives back enough to be worth a new file.
        let has_bodies = self.last_seq >= self.active.first_seq;
        let options = &self.shared.options;
        let worth_it = self.active.len - self.active.frames_at >= self.enough_bytes() / 4
            || self.shared.state().bytes > options.quota_bytes / 2;
        if has_bodies && self.last_seq <= self.control.committed_seq && worth_it {
            self.rotate()?;
        }
        let _ = answer.send(Ok(()));
        Ok(())
    }

    fn enough_bytes(&self) -> u64 {
        enough_bytes(self.shared.options.segment_bytes, self.active.frames_at)
    }

    fn write_closed(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        if self.open_ended && !self.poisoned() {
            self.put_control(Kind::Closed, &[]);
            self.flush()?;
            self.open_ended = false;
        }
        Ok(())
    }

    fn put_control(&mut self, kind: Kind, payload: &[u8]) {
        let at = self.shared.clock.now();
        let header = frame::control_header(kind, payload, self.last_seq, at, self.active.len);
        let start = self.group.small.len();
        self.group.small.extend_from_slice(&header.encode(self.active.salt));
        self.group.small.extend_from_slice(payload);
        self.group.slices.push((start..self.group.small.len(), None));
        self.group.bytes += header.frame_bytes();
    }

    /// Writes and syncs the group, moves the durable mark, answers.
    fn flush(&mut self) -> Result<(), JournalError> {
        if self.group.slices.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let mut slices = Vec::with_capacity(2 * group.slices.len());
        for (small, body) in &group.slices {
            slices.push(IoSlice::new(group.small.get(small.clone()).unwrap_or_default()));
            slices.extend(body.as_ref().map(|body| IoSlice::new(body)));
        }
        let began = Instant::now();
        let failed = |what| {
            let path = self.active.path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        let written = write_all_at(&*self.active.file, &mut slices, self.active.len)
            .map_err(failed("write"))
            .and_then(|()| self.active.file.sync().map_err(failed("sync")));
        if let Err(error) = written {
            // The reason first, then the group's requests, which answer with it.
            self.shared.poison(error.to_string());
            drop(group);
            return Err(error);
        }
        metrics::histogram!("sessionlake_journal_sync_seconds").record(began.elapsed());
        if !group.bodies.is_empty() {
            metrics::histogram!("sessionlake_journal_group_bodies")
                .record(group.bodies.len() as f64);
        }
        self.active.len += group.bytes;
        self.open_ended = true;
        self.free.written(group.bytes);
        self.publish(group.bytes);
        self.acknowledge(group);
        Ok(())
    }

    fn publish(&mut self, written: u64) {
        let mut state = self.shared.state();
        state.bytes += written;
        state.last_seq = self.last_seq;
        state.committed_seq = self.control.committed_seq;
        if let Some(segment) = state.segments.get_mut(&self.active.first_seq) {
            segment.durable = self.active.len;
            segment.last_seq = self.last_seq;
        }
        let (bytes, segments) = (state.bytes, state.segments.len());
        drop(state);
        self.shared.changed.notify_all();
        release::record_size(bytes, segments);
    }

    fn acknowledge(&self, group: Group) {
        let now = self.shared.clock.now();
        let mut window = self.shared.window();
        for (seq, request) in &group.bodies {
            if let Some(key) = request.key {
                window.ack(key, Seq(*seq), now);
            }
        }
        drop(window);
        for (seq, request) in group.bodies {
            request.acked(Seq(seq));
        }
        for answer in group.answers {
            let _ = answer.send(Ok(()));
        }
    }

    /// Begins the next segment. Everything before it is durable, and so is its own head.
    fn rotate(&mut self) -> Result<(), JournalError> {
        match begin_segment(&self.shared, self.last_seq + 1, &self.control) {
            Ok(active) => {
                self.free.written(active.len);
                self.active = active;
                Ok(())
            }
            Err(error) => {
                // Now, so that the request this was for is refused with the reason.
                self.shared.poison(error.to_string());
                Err(error)
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.poison(format!("{WRITER_GONE} by a panic"));
        }
    }
}

/// Makes a segment that begins with body `first_seq`, and enters it in the state.
pub(crate) fn begin_segment(
    shared: &Shared,
    first_seq: u64,
    control: &Control,
) -> Result<ActiveSegment, JournalError> {
    let now = shared.clock.now();
    let salt = identity::random(&shared.options.dir)?;
    let head = SegmentHead {
        format: segment::FORMAT,
        node: shared.node.clone(),
        seed: shared.seed,
        salt,
        first_seq,
        created_at: now,
    };
    let window = shared.window().entries(now);
    let checkpoint = control::encode_checkpoint(control, &window);
    let new = segment::create(&*shared.disk, &shared.options.dir, &head, &checkpoint)?;
    let entry = Segment {
        path: new.path.clone(),
        format: segment::FORMAT,
        salt,
        frames_at: new.len,
        durable: new.len,
        last_seq: first_seq - 1,
    };
    let mut state = shared.state();
    let replaced = state.segments.insert(first_seq, entry).map_or(0, |old| old.durable);
    state.bytes = (state.bytes + new.len).saturating_sub(replaced);
    state.lost.clone_from(&control.lost);
    let (bytes, segments) = (state.bytes, state.segments.len());
    drop(state);
    release::record_size(bytes, segments);
    shared.changed.notify_all();
    Ok(ActiveSegment {
        file: new.file,
        path: new.path,
        first_seq,
        salt,
        frames_at: new.len,
        len: new.len,
    })
}
