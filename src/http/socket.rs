//! One client's socket, with the deadlines that hyper does not keep.
//!
//! - **Head**: from the opening of the connection, and then from the first byte of each request, a
//!   head has `header_timeout` to be whole. (hyper's own timer runs from the end of the last
//!   request: it cannot tell an idle connection from a slow head, and it does not run while hyper
//!   waits to learn which protocol is spoken.) In HTTP/2 this ends with the first request; from
//!   there on pings find dead peers.
//! - **Answer**: a client that takes no byte of its answer for [`STALL`] is cut off. (One that reads
//!   what HTTP/2 says and takes no answers is found by [`Watch`].)
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
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use crate::metrics::HTTP_CONNECTIONS;
use crate::peers::OpenOne;

use super::connection_state::Watch;
use super::reply::SERVER;

/// The longest that a client may take no byte of its answer.
const STALL: Duration = Duration::from_secs(30);
/// The longest that a refused client is listened to.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The answer to a head that never became whole: hyper has no request that it could answer.
fn late_answer() -> String {
    let body = r#"{"status":"error","error":"the head of the request did not arrive in time: send it again"}"#;
    format!(
        "HTTP/1.1 408 Request Timeout\r\nserver: {SERVER}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A place among the connections. Freed with the socket, not with the protocol on it.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _of_peer: Option<OpenOne>,
}

impl Place {
    pub(super) fn taken(permit: OwnedSemaphorePermit, of_peer: Option<OpenOne>) -> Self {
        metrics::gauge!(HTTP_CONNECTIONS).increment(1.0);
        Place { _permit: permit, _of_peer: of_peer }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(HTTP_CONNECTIONS).decrement(1.0);
    }
}

/// The deadline of the head that is being waited for.
#[derive(Debug)]
struct Head {
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// How many requests had begun when the timer was set. It means nothing once more have.
    set_at: Option<u64>,
    /// Whether a byte of the head has come, and if they could be the beginning of HTTP/1.1.
    heard_h1: bool,
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// `None` only once it has been dropped.
    open: Option<(TcpStream, Place)>,
    watch: Arc<Watch>,
    head: Head,
    stalled: Option<Pin<Box<Sleep>>>,
    tls: bool,
    late: bool,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        place: Place,
        watch: Arc<Watch>,
        header_timeout: Duration,
        tls: bool,
    ) -> Self {
        let timer = Box::pin(sleep(header_timeout));
        let head = Head { timeout: header_timeout, timer, set_at: Some(0), heard_h1: false };
        Socket { open: Some((stream, place)), watch, head, stalled: None, tls, late: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.open {
            Some((stream, _)) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Bytes have come.
    fn heard(&mut self, bytes: &[u8]) {
        if !self.watch.awaits_head() {
            return;
        }
        let begun = self.watch.begun();
        if self.head.set_at != Some(begun) {
            self.head.set_at = Some(begun);
            self.head.timer.as_mut().reset(Instant::now() + self.head.timeout);
            self.head.heard_h1 = false;
        }
        // "PRI" opens HTTP/2. Whatever it becomes, an HTTP/1.1 answer is not for it.
        self.head.heard_h1 |= !self.tls && !bytes.starts_with(b"PRI");
    }

    /// No bytes are there: is a head overdue?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.watch.awaits_head() || self.head.set_at != Some(self.watch.begun()) {
            return Poll::Pending;
        }
        ready!(self.head.timer.as_mut().poll(cx));
        self.late = self.head.heard_h1;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

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
        if !self.late && !self.watch.is_unread() {
            return;
        }
        let Some((stream, place)) = self.open.take() else { return };
        // Outside a runtime the process is ending: there is nobody left to be gentle.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let last_words = if self.late { late_answer() } else { String::new() };
            runtime.spawn(async move {
                let _ = tokio::time::timeout(LINGER, linger(stream, &last_words)).await;
                drop(place);
            });
        }
    }
}

async fn linger(mut stream: TcpStream, last_words: &str) -> io::Result<()> {
    stream.write_all(last_words.as_bytes()).await?;
    stream.shutdown().await?;
    let mut waste = vec![0; 16 << 10];
    while stream.read(&mut waste).await? > 0 {}
    Ok(())
}
