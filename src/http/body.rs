//! Reading one body: counted as sent and as inflated, within the memory that all bodies share, into
//! one contiguous buffer.
//!
//! There is one buffer of the body's own, and a chunk lives only until it has been copied there: nothing
//! is held twice, and no body keeps the buffer of a connection. A decoder
//! runs in steps of [`STEP_BYTES`] and stops at the limit, so that a decompression bomb costs as much
//! as any body of the limit.
//!
//! Memory is reserved before the first byte is read. Bodies that each held a part, and waited for
//! the rest, would block one another: with more of them than there is memory, none would end.
//!
//! A sender that falls silent within its body is refused before the end of the body time-out, and so
//! is one whose body holds more memory than a peer's share for long while others wait.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::peers::Peer;

use super::body_budget::{BLOCK_BYTES, BodyBudget, Reservation};
use super::body_buffers::BodyBuffers;
use super::encoding::Encoding;
use super::endpoint::Endpoint;
use super::refusal::Refusal;

/// Inflated bytes between two checks of the limit and the budget.
const STEP_BYTES: usize = 64 << 10;

/// The largest buffer, in bytes, that is allocated because of a Content-Length. Above it the buffer
/// grows with the bytes that arrive. Bulks of the exporter are below it.
const TRUST_BYTES: u64 = 4 << 20;

/// The least that is reserved before a body is read whose length, or inflated length, is unknown: a
/// bulk of the exporter fits.
const EXPECTED_BYTES: u64 = 1 << 20;

/// The expected ratio of inflated to encoded bytes: sessions have 12.
const EXPECTED_TIMES: u64 = 16;

/// The time between two checks of whether others wait for the memory of a late body.
const CONTENTION_CHECK: Duration = Duration::from_millis(200);

/// A body as its request announces it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnnouncedBody {
    pub(super) encoding: Option<Encoding>,
    /// The Content-Length.
    pub(super) length_bytes: Option<u64>,
    /// The sender.
    pub(super) peer: Peer,
}

impl AnnouncedBody {
    /// Returns the bytes of memory that the body will probably take.
    fn expected_bytes(&self, limit_bytes: u64) -> u64 {
        match (self.encoding, self.length_bytes) {
            (_, Some(0)) => 0,
            (None, length) => length.unwrap_or(EXPECTED_BYTES).min(limit_bytes),
            (Some(encoding), length) => {
                let inflated = length.unwrap_or(0).saturating_mul(EXPECTED_TIMES);
                let inflated = inflated.max(EXPECTED_BYTES).min(limit_bytes);
                // The decoder's window fills as it goes on.
                inflated.saturating_add(encoding.window_bytes().min(inflated))
            }
        }
    }
}

/// A body that has arrived whole.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    pub(super) bytes: Bytes,
    /// Covers `bytes`, and is kept as long as they are.
    pub(super) reservation: Reservation,
}

/// The limits of a body's length.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) body_limit_bytes: u64,
    /// The longest body once inflated, in bytes. Applies to bodies that are not encoded as well.
    pub(super) inflated_limit_bytes: u64,
}

impl BodyLimits {
    /// Returns the limits of an endpoint.
    pub(super) fn of(endpoint: &Endpoint) -> BodyLimits {
        let Endpoint { body_limit_bytes, inflated_limit_bytes, .. } = *endpoint;
        BodyLimits { body_limit_bytes, inflated_limit_bytes }
    }

    /// Returns the most of the memory budget that a single body can need: while it is inflated, or
    /// when there are `copies` of it besides, and an answer of `answer_bytes`.
    pub(super) fn max_memory_bytes(self, copies: u64, answer_bytes: u64) -> u64 {
        let window = Encoding::Brotli.window_bytes() + STEP_BYTES as u64;
        // Each copy is rounded up to a block of the budget.
        let after = copies * (self.inflated_limit_bytes + BLOCK_BYTES) + answer_bytes;
        self.inflated_limit_bytes.saturating_add(window.max(after)) + BLOCK_BYTES
    }
}

/// Reads a body to its end.
///
/// # Errors
/// A [`Refusal`] when a limit is exceeded, the client stops early, the encoding is broken or cut
/// short, or memory cannot be reserved. Nothing of the body is kept; its rest has not been read.
///
/// # Cancel safety
/// Dropping the future drops the bytes that have arrived, and gives their memory back.
pub(super) async fn read<S, B, E>(
    stream: S,
    announced: AnnouncedBody,
    limits: BodyLimits,
    budget: &Arc<BodyBudget>,
) -> Result<ReceivedBody, Refusal>
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf,
    E: std::error::Error,
{
    let limit_bytes = limits.body_limit_bytes;
    if announced.length_bytes.is_some_and(|length| length > limit_bytes) {
        return Err(Refusal::SentTooLong { limit_bytes });
    }
    let sent = AtomicU64::new(0);
    let silence = budget.timeouts.chunk;
    let timely = futures::stream::unfold(Box::pin(stream), move |mut stream| async move {
        let chunk = tokio::time::timeout(silence, stream.next()).await;
        chunk.map_or(Some(Err(())), |chunk| chunk.map(Ok)).map(|chunk| (chunk, stream))
    });
    let chunks = timely.map(|chunk| match chunk.map_err(|()| Refusal::BodySilent { silence })? {
        Ok(mut chunk) => {
            let len = chunk.remaining();
            let total = sent.fetch_add(len as u64, Ordering::Relaxed) + len as u64;
            if total > limit_bytes {
                return Err(Refusal::SentTooLong { limit_bytes });
            }
            Ok(chunk.copy_to_bytes(len)) // no copy: the chunk is a `Bytes`
        }
        Err(error) => Err(Refusal::Interrupted {
            received_bytes: sent.load(Ordering::Relaxed),
            reason: causes(&error),
        }),
    });
    // hyper gives no empty chunks in HTTP/1.1, but HTTP/2 has empty DATA frames.
    let chunks = pin!(chunks.try_filter(|chunk| std::future::ready(!chunk.is_empty())));

    let mut reservation = budget.reserve(announced.peer);
    let limit_bytes = limits.inflated_limit_bytes;
    reservation.reserve_expected(announced.expected_bytes(limit_bytes)).await?;
    let bytes = match announced.encoding {
        None => {
            let length = announced.length_bytes;
            as_sent(chunks, length, limit_bytes, &mut reservation, &budget.buffers).await?
        }
        Some(encoding) => inflated(chunks, encoding, &sent, limit_bytes, &mut reservation).await?,
    };
    // The decoder and its window are dropped.
    reservation.shrink_to(bytes.len() as u64);
    Ok(ReceivedBody { bytes, reservation })
}

/// Reads a body that is not encoded.
async fn as_sent(
    mut chunks: Pin<&mut (impl Stream<Item = Result<Bytes, Refusal>> + Send)>,
    length_bytes: Option<u64>,
    limit_bytes: u64,
    reservation: &mut Reservation,
    buffers: &Arc<BodyBuffers>,
) -> Result<Bytes, Refusal> {
    let Some(first) = chunks.try_next().await? else { return Ok(Bytes::new()) };
    check_inflated(first.len(), limit_bytes)?;
    reservation.grow_to(first.len() as u64).await?;
    let Some(mut chunk) = chunks.try_next().await? else {
        // Held for longer than the request, and the chunk may be a small part of its buffer.
        return Ok(Bytes::copy_from_slice(&first));
    };

    let length = length_bytes.unwrap_or(0).min(TRUST_BYTES) as usize;
    let mut buffer = buffers.take(length.max(2 * (first.len() + chunk.len())));
    buffer.bytes.extend_from_slice(&first);
    drop(first);
    loop {
        let total = buffer.bytes.len() + chunk.len();
        check_inflated(total, limit_bytes)?;
        reservation.grow_to(total as u64).await?;
        buffer.bytes.extend_from_slice(&chunk);
        match in_time(reservation, chunks.try_next()).await?? {
            Some(next) => chunk = next,
            None => return Ok(buffer.into_bytes()),
        }
    }
}

/// Reads and inflates an encoded body.
async fn inflated(
    chunks: Pin<&mut (impl Stream<Item = Result<Bytes, Refusal>> + Send)>,
    encoding: Encoding,
    sent: &AtomicU64,
    limit_bytes: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut encoded = StreamReader::new(chunks.map_err(io::Error::other));
    let broken = |error: io::Error, encoded_rest: usize, inflated: usize| {
        // A refusal of the stream below comes back through the decoder.
        error.downcast::<Refusal>().unwrap_or_else(|error| Refusal::BrokenEncoding {
            encoding: encoding.name(),
            reason: match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
                _ => error.to_string(),
            },
            at_bytes: sent.load(Ordering::Relaxed).saturating_sub(encoded_rest as u64),
            inflated_bytes: inflated as u64,
        })
    };

    // Senders' tests send empty bodies with an encoding.
    let first = match encoded.fill_buf().await {
        Ok(bytes) => bytes.first().copied(),
        Err(error) => return Err(broken(error, 0, 0)),
    };
    let Some(first) = first else { return Ok(Bytes::new()) };

    let mut buffer: Vec<u8> = Vec::with_capacity(STEP_BYTES);
    let mut next_member = Some(first);
    while let Some(first) = next_member {
        let mut decoder = encoding.inflate(&mut encoded, first);
        loop {
            // The decoder's window is reserved as it fills.
            let next = buffer.len() + STEP_BYTES;
            let window = encoding.window_bytes().min(next as u64);
            reservation.grow_to(next as u64 + window).await?;
            if buffer.capacity() < next {
                buffer.reserve(STEP_BYTES);
            }
            let mut step = (&mut buffer).limit(STEP_BYTES);
            let read = in_time(reservation, decoder.read_buf(&mut step)).await?;
            check_inflated(buffer.len(), limit_bytes)?;
            tokio::task::coop::consume_budget().await;
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    drop(decoder);
                    let rest = encoded.fill_buf().now_or_never();
                    let rest = rest.and_then(Result::ok).map_or(0, <[u8]>::len);
                    return Err(broken(error, rest, buffer.len()));
                }
            }
        }
        drop(decoder);

        let after = after_member(&mut encoded, encoding.separates_members());
        next_member = match in_time(reservation, after).await? {
            Ok(None) => None,
            Ok(Some((first, _))) if encoding.separates_members() => Some(first),
            Ok(Some((_, rest))) => {
                let error = io::Error::other("there are bytes after its end");
                return Err(broken(error, rest, buffer.len()));
            }
            Err(error) => return Err(broken(error, 0, buffer.len())),
        };
    }
    Ok(buffer.into())
}

/// Returns the first byte after the end of a member and the number of bytes that have arrived from
/// there on, or `None` at the end of the body. With `pass_zeros`, zeros after the member are read.
async fn after_member(
    encoded: &mut (impl AsyncBufRead + Unpin),
    pass_zeros: bool,
) -> io::Result<Option<(u8, usize)>> {
    loop {
        let rest = encoded.fill_buf().await?;
        let zeros = rest.iter().take_while(|byte| pass_zeros && **byte == 0).count();
        match rest.get(zeros) {
            Some(first) => {
                let first = (*first, rest.len() - zeros);
                encoded.consume(zeros);
                return Ok(Some(first));
            }
            None if zeros == 0 => return Ok(None),
            None => encoded.consume(zeros),
        }
    }
}

fn check_inflated(len: usize, limit_bytes: u64) -> Result<(), Refusal> {
    if len as u64 > limit_bytes { Err(Refusal::InflatedTooLong { limit_bytes }) } else { Ok(()) }
}

/// Runs `step` to its end, unless the body is late and others wait for its memory.
///
/// # Errors
/// [`Refusal::BodyTooLargeToBeSlow`].
async fn in_time<T>(
    reservation: &Reservation,
    step: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let Some(mut deadline) = reservation.deadline() else { return Ok(step.await) };
    let mut step = pin!(step);
    loop {
        match tokio::time::timeout_at(deadline.into(), step.as_mut()).await {
            Ok(outcome) => return Ok(outcome),
            Err(_) if reservation.is_contended() => return Err(Refusal::BodyTooLargeToBeSlow),
            Err(_) => deadline = Instant::now() + CONTENTION_CHECK,
        }
    }
}

/// Returns the texts of an error and of its causes, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
