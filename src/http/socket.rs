//! A client's socket, with the deadlines that hyper does not keep.
//!
//! - **Head**: from the opening of the connection, and then from the first byte of each request, a
//!   head has `header_timeout` to be whole. (hyper's own timer runs from the end of the last
//!   request: it cannot tell an idle connection from a slow head, and it does not run while hyper
//!   waits to learn which protocol is spoken.) In HTTP/2 this ends with the first request; from
//!   there on pings find dead peers.
//! - **Answer**: a client that takes no byte of its answer for [`STALL`] is cut off. (One that reads
//!   HTTP/2's control frames and no answers is found by [`ConnectionState`].)
//! - **Closing**: where the client may still be sending (its body was refused, its head was late),
//!   the socket is closed in steps: the answer, the end of our side, then what comes is read and
//!   dropped until the client closes or [`LINGER`] has passed. Closing with bytes unread makes the
//!   kernel send a reset, which can destroy the answer on its way.
//!
//! It stands directly on TCP. TLS goes on top of it: the head's deadline then covers the handshake
//! too, and the late answer, which is plain text, is left out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::connection_state::ConnectionState;
use super::reply::SERVER;
use super::slots::Slot;

/// The longest that a client may read no byte of its answer.
const STALL: Duration = Duration::from_secs(30);
/// The longest that the bytes of a refused client are read and dropped.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The text of the answer to a head that did not arrive whole.
pub(super) const LATE_HEAD: &str = "the head of the request did not arrive in time: send it again";

/// Returns the answer to a head that did not arrive whole: hyper has no request to answer.
fn late_answer() -> String {
    let body = format!(r#"{{"status":"error","error":"{LATE_HEAD}"}}"#);
    format!(
        "HTTP/1.1 408 Request Timeout\r\nserver: {SERVER}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The deadline of the head that is being waited for.
#[derive(Debug)]
struct HeadDeadline {
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// The number of requests that had begun when the timer was set. The timer is void once more
    /// have.
    set_at: Option<u64>,
    /// Bytes of the head have arrived, and they could be the beginning of HTTP/1.1.
    heard_h1: bool,
}

/// A client's socket. It holds the slot of its connection: what closes in steps is still open.
#[derive(Debug)]
pub(super) struct Socket {
    /// `None` only while dropping.
    open: Option<(TcpStream, Arc<Slot>)>,
    state: Arc<ConnectionState>,
    head: HeadDeadline,
    stalled: Option<Pin<Box<Sleep>>>,
    tls: bool,
    late: bool,
}

impl Socket {
    /// Creates the socket of a connection whose first head is due within `header_timeout`.
    pub(super) fn new(
        stream: TcpStream,
        slot: Arc<Slot>,
        state: Arc<ConnectionState>,
        header_timeout: Duration,
        tls: bool,
    ) -> Self {
        let timer = Box::pin(sleep(header_timeout));
        let head =
            HeadDeadline { timeout: header_timeout, timer, set_at: Some(0), heard_h1: false };
        Socket { open: Some((stream, slot)), state, head, stalled: None, tls, late: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.open {
            Some((stream, _)) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sets the deadline of a head whose first bytes have arrived.
    fn heard(&mut self, bytes: &[u8]) {
        if !self.state.awaits_head() {
            return;
        }
        let begun = self.state.begun();
        if self.head.set_at != Some(begun) {
            self.head.set_at = Some(begun);
            self.head.timer.as_mut().reset(Instant::now() + self.head.timeout);
            self.head.heard_h1 = false;
        }
        // "PRI" opens HTTP/2, which no HTTP/1.1 answer is for.
        self.head.heard_h1 |= !self.tls && !bytes.starts_with(b"PRI");
    }

    /// Fails once the head that is waited for is overdue.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.state.awaits_head() || self.head.set_at != Some(self.state.begun()) {
            return Poll::Pending;
        }
        ready!(self.head.timer.as_mut().poll(cx));
        self.late = self.head.heard_h1;
        if self.late {
            self.state.head_is_late();
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns the outcome of a write, or fails once the client has read nothing for too long.
    fn poll_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match self.stream()?.poll_read(cx, buf) {
            Poll::Ready(result) => {
                let bytes = buf.filled().get(before..).unwrap_or_default();
                if !bytes.is_empty() {
                    self.heard(bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_overdue(cx),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, buf);
        self.poll_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, bufs);
        self.poll_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.late && !self.state.has_unread_body() {
            return;
        }
        let Some((stream, slot)) = self.open.take() else { return };
        // Outside a runtime the process is ending, and the socket is closed at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let last_words = if self.late { late_answer() } else { String::new() };
            runtime.spawn(async move {
                tokio::select! {
                    _ = tokio::time::timeout(LINGER, linger(stream, &last_words)) => {}
                    () = slot.is_to_leave() => {}
                }
                drop(slot);
            });
        }
    }
}

/// Sends `last_words` and the end of the stream, then reads and drops what the client still sends.
async fn linger(mut stream: TcpStream, last_words: &str) -> io::Result<()> {
    stream.write_all(last_words.as_bytes()).await?;
    stream.shutdown().await?;
    let mut drain = vec![0; 16 << 10];
    while stream.read(&mut drain).await? > 0 {}
    Ok(())
}
