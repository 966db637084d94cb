//! Appending a body, from the caller's thread to the writer's queue.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::codec::Encoding;
use super::codec::encryption::FORMAT_2_OVERHEAD_BYTES;
use super::frame::{MAX_TABLE_BYTES, PreparedBody, RetryKey};
use super::handed::{MemoryGuard, Share, ToHandOn};
use super::request::{BodyRequest, Request};
use super::retry_window::Lookup;
use super::state::{self, Shared};
use super::{AppendError, BUSY_AFTER, Journal, NewBody, Receipt};
use crate::record::{Micros, Seq};

/// A longer body is encrypted on a thread for blocking work, since it would keep others waiting
/// for milliseconds.
const INLINE_BYTES: usize = 1 << 20;

impl Journal {
    /// Records a body. Returns when it is durable, or when it is known to be a retry of one that is.
    ///
    /// # Cancel safety
    /// Dropped while it waits for memory to be handed on in (up to a second) or for a share of the queue (up
    /// to [`BUSY_AFTER`]), or while a body over 1 MiB is encrypted, nothing is recorded. Dropped after that,
    /// the body is recorded once all the same, and a retry of it is recognised as one.
    ///
    /// # Errors
    /// See [`AppendError`]. A retry of a body still in flight shares that one's outcome.
    ///
    /// Needs a Tokio runtime with time enabled. Hashes and sums the body on the caller's thread,
    /// at some GB/s, and compresses one of up to 8 MiB there, in 5 ms at most. Encrypts one of up
    /// to 1 MiB there, a longer one on a thread for blocking work.
    pub async fn append(&self, new: NewBody) -> Result<Receipt, AppendError> {
        self.append_counted(new, None).await
    }

    /// Records a body whose memory `guard` counts, as [`append`](Self::append) does.
    ///
    /// # Cancel safety
    /// As for [`append`](Self::append).
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_counted(
        &self,
        new: NewBody,
        guard: Option<MemoryGuard>,
    ) -> Result<Receipt, AppendError> {
        let shared = &self.inner.shared;
        if let Some(refusal) = shared.refusal() {
            return Err(refusal);
        }
        let body_bytes = new.bytes.len() as u64;
        let limit_bytes = shared.options.body_limit_bytes();
        let too_large = AppendError::TooLarge { bytes: body_bytes, limit_bytes };
        if body_bytes > limit_bytes || new.table.len() > MAX_TABLE_BYTES {
            return Err(too_large);
        }
        let mut keys = None;
        if !shared.options.retry_window.is_zero() {
            let plain = RetryKey::of(shared.seed, &new.table, &new.bytes);
            let kept = shared.options.encrypt_with().map_or(plain, |it| it.retry_key(plain));
            // A retry needs no permit, so it is looked up before waiting for one.
            let known = shared.window().look_up(kept, shared.clock.now());
            if let Some(outcome) = self.known(known).await {
                return outcome;
            }
            if let Some(seq) = self.acked_by_earlier_start(plain) {
                return Ok(Receipt { seq, duplicate: true });
            }
            keys = Some((plain, kept));
        }
        let share = shared.handed.share(body_bytes).await;
        let kib = u32::try_from(body_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let kib = kib.clamp(1, shared.options.queue_kib());
        let permit = Arc::clone(&shared.queue_permits).acquire_many_owned(kib);
        let permit = match tokio::time::timeout(BUSY_AFTER, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_closed)) => return Err(shared.refusal().unwrap_or(AppendError::Closed)),
            Err(_elapsed) => return Err(AppendError::Busy),
        };
        // Under the permit, since a compressed or encrypted body is a second copy until the first is
        // dropped; and so is one that is encrypted to be recognised.
        if let Some((plain, _)) = keys
            && let Some(seq) = self.acked_by_format_2(plain, &new).await
        {
            return Ok(Receipt { seq, duplicate: true });
        }
        let key = keys.map(|(_, kept)| kept);
        // After all waiting, so that times are in the order of numbers but for moments: rows are compared with
        // those that were received within a window before them, and older ones are forgotten by the newest.
        let received_at = shared.clock.now();
        let encrypts = shared.options.encrypt_with().is_some();
        let preparing = Arc::clone(shared);
        let prepare = move || (prepare(&preparing, new, guard, share, key, received_at), permit);
        let (prepared, permit) = if encrypts && body_bytes > INLINE_BYTES as u64 {
            let prepared = tokio::task::spawn_blocking(prepare);
            prepared.await.map_err(|_| self.gone())?
        } else {
            prepare()
        };
        let Prepared { body, hand_on, guard } = prepared.ok_or(too_large)?;
        let (answer, outcome) = oneshot::channel();
        let request = BodyRequest::new(
            body,
            hand_on.map(Box::new),
            guard,
            answer,
            permit,
            Arc::clone(shared),
        );
        match self.hand_over(request, key) {
            Lookup::Unknown => outcome.await.unwrap_or_else(|_| Err(self.gone())),
            known => self.known(known).await.unwrap_or_else(|| Err(self.gone())),
        }
    }

    /// Looks for a body under the keys that it would have had in a start with other settings.
    /// `plain` is its key in a journal that is not encrypted.
    fn acked_by_earlier_start(&self, plain: RetryKey) -> Option<Seq> {
        let shared = &self.inner.shared;
        let cipher = shared.options.cipher.as_ref()?;
        let window = shared.window();
        [plain, cipher.retry_key(plain)].into_iter().find_map(|key| window.acked(key))
    }

    /// Looks for a body under the key that it would have had if a version before format 3 had
    /// encrypted it. `plain` is its key in a journal that is not encrypted. Needs a permit for the
    /// body, which it encrypts if one of its length may be known.
    async fn acked_by_format_2(&self, plain: RetryKey, new: &NewBody) -> Option<Seq> {
        let shared = &self.inner.shared;
        let cipher = shared.options.cipher.as_ref()?;
        let sealed_bytes = plain.body_bytes.saturating_add(FORMAT_2_OVERHEAD_BYTES as u32);
        if !shared.window().may_be_earlier(sealed_bytes) {
            return None;
        }
        let (cipher, seed) = (cipher.clone(), shared.seed);
        let (table, bytes) = (Arc::clone(&new.table), new.bytes.clone());
        let of_format_2 = move || Some(RetryKey::of(seed, &table, &cipher.seal_format_2(&bytes)?));
        let key = if new.bytes.len() > INLINE_BYTES {
            tokio::task::spawn_blocking(of_format_2).await.ok()?
        } else {
            of_format_2()
        };
        shared.window().acked(key?)
    }

    /// Sends a body to the writer, unless an equal one came first. One step under the window's
    /// lock, without waiting: an in-flight entry always has a request behind it that will be
    /// answered.
    fn hand_over(&self, request: BodyRequest, key: Option<RetryKey>) -> Lookup {
        let Some(key) = key else {
            self.send(Request::Body(request));
            return Lookup::Unknown;
        };
        let now = self.inner.shared.clock.now();
        let mut window = self.inner.shared.window();
        let known = window.look_up(key, now);
        let unsent = if matches!(known, Lookup::Unknown) {
            window.begin(key);
            self.send(Request::Body(request))
        } else {
            Some(Request::Body(request.withdrawn()))
        };
        // An unsent request answers as it is dropped, and takes the window's lock for that.
        drop(window);
        drop(unsent);
        known
    }

    /// Returns the outcome of a body that the window knows.
    async fn known(&self, known: Lookup) -> Option<Result<Receipt, AppendError>> {
        match known {
            Lookup::Unknown => None,
            Lookup::Acknowledged(seq) => Some(Ok(Receipt { seq, duplicate: true })),
            Lookup::InFlight(outcome) => Some(outcome.await.unwrap_or_else(|_| Err(self.gone()))),
        }
    }

    /// Returns the error for a body whose request the writer dropped.
    fn gone(&self) -> AppendError {
        self.inner
            .shared
            .refusal()
            .unwrap_or_else(|| AppendError::Poisoned { reason: state::WRITER_GONE.into() })
    }
}

/// A body that is ready to be queued.
struct Prepared {
    body: PreparedBody,
    hand_on: Option<ToHandOn>,
    guard: Option<MemoryGuard>,
}

/// Encodes a body as the options ask.
fn prepare(
    shared: &Shared,
    new: NewBody,
    guard: Option<MemoryGuard>,
    share: Option<Share>,
    key: Option<RetryKey>,
    received_at: Micros,
) -> Option<Prepared> {
    let compress = shared.compresses(new.bytes.len());
    let encoding = Encoding { compress, cipher: shared.options.encrypt_with() };
    let hand_on = share.map(|share| ToHandOn::new(&new, received_at, share));
    let came = new.bytes.as_ptr();
    let body = PreparedBody::new(new, encoding, key, received_at)?;
    // The guard stays with a body that is written as it came and is counted nowhere else: a copy is bounded by the
    // queue, and a share counts what is handed on.
    let guard = guard.filter(|_| body.bytes.as_ptr() == came && hand_on.is_none());
    Some(Prepared { body, hand_on, guard })
}
