//! Reading one body: counted as sent and as inflated, within the memory that all bodies share, into
//! one contiguous buffer.
//!
//! A body that arrives in one chunk and needs no inflating is that chunk, uncopied. Else there is
//! one buffer, and a chunk lives only until it has been put there: nothing is held twice. A decoder
//! is run in steps of [`STEP_BYTES`] and asked to stop at the limit, so a bomb costs what an honest
//! body of the limit costs.
//!
//! Memory is waited for before the first byte is read. Bodies that each held a part, and waited for
//! the rest, would hold up one another: with more of them than there is memory, none would end.
//!
//! A sender that falls silent within its body is not waited for to the end of the body's time, and
//! one whose body holds more memory than a peer's share has to be quick if others wait for it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::peers::Peer;

use super::body_budget::{BLOCK_BYTES, Memory, NoMemory, Reserved};
use super::encoding::Encoding;
use super::reply::Refusal;

/// Inflated between two looks at the limit and the budget.
const STEP_BYTES: usize = 64 << 10;

/// The largest buffer that is made at the word of a client (its Content-Length). Above it the buffer
/// grows with what arrives. Bulks of the exporter are below it.
const TRUST_BYTES: u64 = 4 << 20;

/// What is waited for at least before a body is read that does not say how long it will be, or how
/// long once inflated: a bulk of the exporter fits.
const EXPECTED_BYTES: u64 = 1 << 20;

/// How many times longer an encoded body is expected to be inflated: sessions are 12 times.
const EXPECTED_TIMES: u64 = 16;

/// How often a body that is late looks whether others wait for its memory.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) encoding: Option<Encoding>,
    /// Its Content-Length, if it has one.
    pub(super) length_bytes: Option<u64>,
    /// Who sends it.
    pub(super) peer: Peer,
}

impl Announced {
    /// The memory it will probably take. That it may be much, and nothing of it come, hurts its peer:
    /// no more than the share of that is waited for.
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

/// A body, whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    /// To be kept as long as `bytes`.
    pub(super) reserved: Reserved,
}

/// How long a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) body_limit_bytes: u64,
    /// Applies to bodies that need no inflating as well.
    pub(super) inflated_limit_bytes: u64,
}

impl Limits {
    /// The most of the memory budget that a single body can need: while it is inflated, or when
    /// there are `copies` of it besides, and an answer of `answer_bytes`.
    pub(super) fn most_memory(self, copies: u64, answer_bytes: u64) -> u64 {
        let window = Encoding::Brotli.window_bytes() + STEP_BYTES as u64;
        // Copies are longer by what sealing adds.
        let after = copies * (self.inflated_limit_bytes + BLOCK_BYTES) + answer_bytes;
        self.inflated_limit_bytes.saturating_add(window.max(after)) + BLOCK_BYTES
    }
}

/// Reads a body to its end.
///
/// # Errors
/// A [`Refusal`] when a limit is passed, the client stops early, the encoding is broken or cut
/// short, or memory cannot be had. Nothing of the body is kept then; its rest has not been read.
pub(super) async fn read<S, B, E>(
    stream: S,
    announced: Announced,
    limits: Limits,
    memory: &Arc<Memory>,
) -> Result<Whole, Refusal>
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
    let silence = memory.patience.chunk;
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

    let mut reserved = memory.reserve_nothing(announced.peer);
    let limit_bytes = limits.inflated_limit_bytes;
    reserved.begin_with(announced.expected_bytes(limit_bytes)).await?;
    let bytes = match announced.encoding {
        None => as_sent(chunks, announced.length_bytes, limit_bytes, &mut reserved).await?,
        Some(encoding) => inflated(chunks, encoding, &sent, limit_bytes, &mut reserved).await?,
    };
    // The decoder and its window have gone.
    reserved.shrink_to(bytes.len() as u64);
    Ok(Whole { bytes, reserved })
}

async fn as_sent(
    mut chunks: Pin<&mut (impl Stream<Item = Result<Bytes, Refusal>> + Send)>,
    length_bytes: Option<u64>,
    limit_bytes: u64,
    reserved: &mut Reserved,
) -> Result<Bytes, Refusal> {
    let Some(first) = chunks.try_next().await? else { return Ok(Bytes::new()) };
    check_inflated(first.len(), limit_bytes)?;
    reserved.grow_to(first.len() as u64).await?;
    let Some(mut chunk) = chunks.try_next().await? else { return Ok(first) };

    let length = length_bytes.unwrap_or(0).min(TRUST_BYTES) as usize;
    let mut buffer = Vec::with_capacity(length.max(2 * (first.len() + chunk.len())));
    buffer.extend_from_slice(&first);
    drop(first);
    loop {
        let total = buffer.len() + chunk.len();
        check_inflated(total, limit_bytes)?;
        reserved.grow_to(total as u64).await?;
        buffer.extend_from_slice(&chunk);
        match in_time(reserved, chunks.try_next()).await?? {
            Some(next) => chunk = next,
            None => return Ok(buffer.into()),
        }
    }
}

async fn inflated(
    chunks: Pin<&mut (impl Stream<Item = Result<Bytes, Refusal>> + Send)>,
    encoding: Encoding,
    sent: &AtomicU64,
    limit_bytes: u64,
    reserved: &mut Reserved,
) -> Result<Bytes, Refusal> {
    let mut packed = StreamReader::new(chunks.map_err(io::Error::other));
    let broken = |error: io::Error, packed_rest: usize, inflated: usize| {
        // Our own stream's refusals come back through the decoder as they went in.
        error.downcast::<Refusal>().unwrap_or_else(|error| Refusal::BrokenEncoding {
            encoding: encoding.name(),
            reason: match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
                _ => error.to_string(),
            },
            at_bytes: sent.load(Ordering::Relaxed).saturating_sub(packed_rest as u64),
            inflated_bytes: inflated as u64,
        })
    };

    // An empty body is an empty body, however it is said to be packed: senders' tests send such.
    let first = match packed.fill_buf().await {
        Ok(bytes) => bytes.first().copied(),
        Err(error) => return Err(broken(error, 0, 0)),
    };
    let Some(first) = first else { return Ok(Bytes::new()) };

    let mut buffer: Vec<u8> = Vec::with_capacity(STEP_BYTES);
    let mut decoder = encoding.inflate(&mut packed, first);
    loop {
        // The decoder keeps a window of what it has put out; it is paid for as it fills.
        let next = buffer.len() + STEP_BYTES;
        let window = encoding.window_bytes().min(next as u64);
        reserved.grow_to(next as u64 + window).await?;
        if buffer.capacity() < next {
            buffer.reserve(STEP_BYTES);
        }
        let mut step = (&mut buffer).limit(STEP_BYTES);
        let read = in_time(reserved, decoder.read_buf(&mut step)).await?;
        check_inflated(buffer.len(), limit_bytes)?;
        match read {
            Ok(0) => break,
            Ok(_) => tokio::task::coop::consume_budget().await,
            Err(error) => {
                drop(decoder);
                let rest = packed.fill_buf().now_or_never();
                let rest = rest.and_then(Result::ok).map_or(0, <[u8]>::len);
                return Err(broken(error, rest, buffer.len()));
            }
        }
    }
    drop(decoder);

    let rest = match packed.fill_buf().await {
        Ok(rest) => rest.len(),
        Err(error) => return Err(broken(error, 0, buffer.len())),
    };
    if rest > 0 {
        let error = io::Error::other("there are bytes after its end");
        return Err(broken(error, rest, buffer.len()));
    }
    Ok(buffer.into())
}

fn check_inflated(len: usize, limit_bytes: u64) -> Result<(), Refusal> {
    if len as u64 > limit_bytes { Err(Refusal::InflatedTooLong { limit_bytes }) } else { Ok(()) }
}

/// What comes of `step`, unless it is too late and others wait for what the body holds.
async fn in_time<T>(reserved: &Reserved, step: impl Future<Output = T>) -> Result<T, Refusal> {
    let Some(mut deadline) = reserved.deadline() else { return Ok(step.await) };
    let mut step = pin!(step);
    loop {
        match tokio::time::timeout_at(deadline.into(), step.as_mut()).await {
            Ok(outcome) => return Ok(outcome),
            Err(_) if reserved.is_waited_for() => return Err(Refusal::BodyTooLargeToBeSlow),
            Err(_) => deadline = Instant::now() + LOOK_AGAIN,
        }
    }
}

impl From<NoMemory> for Refusal {
    fn from(none: NoMemory) -> Self {
        match none {
            NoMemory::Late => Refusal::NoMemory,
            NoMemory::Never => Refusal::NeverFits,
        }
    }
}

/// An error and what caused it, on one line.
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
