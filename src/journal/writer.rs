//! The writer: one thread that owns the last segment.
//!
//! It sleeps until a request comes, takes what else waits (up to [`GROUP_BYTES`] or
//! [`GROUP_REQUESTS`]), and for that group makes one vectored write and one sync; then it moves the
//! durable mark, and only then answers. Bodies are not copied on the way. A group that crosses
//! into a new segment is ended before it, so that a group is always within one file.
//!
//! Between the sync and the answers it looks whether the segment and the lock still have their names:
//! nothing is acknowledged that the next start could not find. Every [`TICK`] it does so without
//! a group as well, and tries again to make a segment or room.
//!
//! After a failure nothing is written any more: requests are taken only to be refused.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::active_segment::{ActiveSegment, FailedRotation};
use super::control::{self, Control, MAX_SETTINGS_BYTES};
use super::disk::{write_all_at, write_all_past_cache_at};
use super::frame::{self, Kind};
use super::handed::FrameEnd;
use super::quota::FreeSpace;
use super::request::{Answer, BodyRequest, Request};
use super::state::{Shared, WRITER_GONE};
use super::{AppendError, JournalError, Seal, release};
use crate::metrics as names;
use crate::record::{Roll, Seq};

/// A group is ended when it has this many bytes.
const GROUP_BYTES: u64 = 8 << 20;
/// A group is ended when it has this many requests.
const GROUP_REQUESTS: usize = 1024;
/// The time after which the writer looks after its directory.
const TICK: Duration = Duration::from_secs(1);

/// The group that is being collected.
#[derive(Default)]
pub(super) struct Group {
    /// Headers, heads of bodies and payloads of control records, one after the other.
    small: Vec<u8>,
    /// Ranges of `small`, each followed by a body if there is one.
    slices: Vec<(Range<usize>, Option<Bytes>)>,
    bytes: u64,
    /// Bodies with their numbers and the offsets at which their frames end.
    bodies: Vec<(u64, u64, BodyRequest)>,
    answers: Vec<Answer>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Returns the bytes of the frames whose bodies are handed on.
    fn handed_on_bytes(&self) -> u64 {
        let requests = self.bodies.iter().map(|(_, _, request)| request);
        let handed_on = requests.filter(|request| request.hand_on.is_some());
        handed_on.map(|request| request.body.frame_bytes()).sum()
    }
}

/// The state of the writer's thread.
pub(crate) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) active: ActiveSegment,
    pub(super) group: Group,
    /// The last body that was given a number.
    pub(super) last_seq: u64,
    /// Rolls, including records that are in the group.
    pub(super) control: Control,
    /// Set while the next segment cannot be made.
    pub(super) failed_rotation: Option<FailedRotation>,
    closing: bool,
    /// Set if something was written since the last `closed` record.
    open_ended: bool,
    pub(super) free: FreeSpace,
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
            failed_rotation: None,
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
        let mut last_tick = Instant::now();
        loop {
            let mut next = match requests.recv_timeout(TICK) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut taken = 0;
            while let Some(request) = next {
                taken += 1;
                self.attempt(|writer| writer.take(request));
                let enough = self.group.bytes >= GROUP_BYTES || taken >= GROUP_REQUESTS;
                next = if enough { None } else { requests.try_recv().ok() };
            }
            self.attempt(Writer::flush);
            // Under load as well: nobody else finds out that a refusal is over.
            if last_tick.elapsed() >= TICK {
                self.attempt(|writer| if writer.poisoned() { Ok(()) } else { writer.tick() });
                last_tick = Instant::now();
            }
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

    pub(super) fn take(&mut self, request: Request) -> Result<(), JournalError> {
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
        if let Err(refusal) = self.room_for(bytes)? {
            request.refuse(&refusal);
            return Ok(());
        }
        let has_bodies = self.last_seq >= self.active.first_seq;
        let frames = self.active.len - self.active.frames_at + self.group.bytes;
        if has_bodies && frames + bytes > self.enough_bytes() {
            self.flush()?;
            if let Err(refusal) = self.rotate()? {
                request.refuse(&refusal);
                return Ok(());
            }
        }
        self.last_seq += 1;
        let header = request.body.header(self.last_seq, self.active.len);
        let start = self.group.small.len();
        self.group.small.extend_from_slice(&header.encode(self.active.salt));
        self.group.small.extend_from_slice(&request.body.head);
        let slice = (start..self.group.small.len(), Some(request.body.bytes.clone()));
        self.group.slices.push(slice);
        self.group.bytes += bytes;
        let end = self.active.len + self.group.bytes;
        self.group.bodies.push((self.last_seq, end, request));
        Ok(())
    }

    /// Checks whether a frame of `bytes` may be written, and makes room for it if that is possible.
    fn room_for(&mut self, bytes: u64) -> Result<Result<(), AppendError>, JournalError> {
        let room = self.free.check(&self.shared, self.group.bytes + bytes);
        if room.is_ok() {
            return Ok(room);
        }
        self.flush()?;
        self.make_room()?;
        Ok(self.free.check(&self.shared, bytes))
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
        let options = &self.shared.options;
        let worth_it = self.active.len - self.active.frames_at >= self.enough_bytes() / 4
            || self.shared.state().bytes > options.quota_now_bytes() / 2
            || self.free.check(&self.shared, options.usual_bulk_bytes()).is_err();
        if self.is_committed() && worth_it {
            // The record stands, whether a new segment can be made or not.
            let _ = self.rotate()?;
        }
        let _ = answer.send(Ok(()));
        Ok(())
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
    pub(super) fn flush(&mut self) -> Result<(), JournalError> {
        if self.group.slices.is_empty() {
            return Ok(());
        }
        // By another thread: from then on nothing is written.
        if self.poisoned() {
            return Err(self.shared.poison_error());
        }
        let mut group = std::mem::take(&mut self.group);
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
        // The reader soon reads the rest, from the cache unless it is less than a quarter.
        let is_handed_on = group.handed_on_bytes() > group.bytes / 4 * 3;
        let write = if is_handed_on { write_all_past_cache_at } else { write_all_at };
        let written = write(&*self.active.file, &mut slices, self.active.len)
            .map_err(failed("write"))
            .and_then(|()| self.active.file.sync().map_err(failed("sync")))
            .and_then(|()| self.shared.directory.check_with(&*self.active.file, &self.active.path));
        if let Err(error) = written {
            // The reason first, then the group's requests, which answer with it.
            self.shared.poison(error.to_string());
            drop(group);
            return Err(error);
        }
        metrics::histogram!(names::JOURNAL_SYNC_DURATION).record(began.elapsed());
        if !group.bodies.is_empty() {
            metrics::histogram!(names::JOURNAL_GROUP_BODIES).record(group.bodies.len() as f64);
        }
        self.active.len += group.bytes;
        self.open_ended = true;
        self.free.written(group.bytes);
        self.hand_on(&mut group);
        self.publish(group.bytes);
        self.acknowledge(group);
        Ok(())
    }

    /// Hands on the bodies of a group that is durable. Before the mark moves, so that the reader that it
    /// wakes finds them.
    fn hand_on(&self, group: &mut Group) {
        let first_seq = self.active.first_seq;
        let bodies = group.bodies.iter_mut().filter_map(|(seq, offset, request)| {
            let end = FrameEnd { first_seq, offset: *offset };
            Some((*seq, end, *request.hand_on.take()?))
        });
        self.shared.handed.add(bodies);
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
        let has_many = state.pending_bytes() > self.shared.options.many_pending_bytes();
        drop(state);
        self.shared.has_many_pending.store(has_many, Ordering::Relaxed);
        self.shared.changed.notify_all();
        release::record_size(bytes, segments);
    }

    fn acknowledge(&self, group: Group) {
        let now = self.shared.clock.now();
        let mut window = self.shared.window();
        for (seq, _, request) in &group.bodies {
            if let Some(key) = request.key {
                window.ack(key, Seq(*seq), now);
            }
        }
        drop(window);
        for (seq, _, request) in group.bodies {
            request.acked(Seq(seq));
        }
        for answer in group.answers {
            let _ = answer.send(Ok(()));
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
