//! An HTTP server and the client of a bucket on it, for tests of what stores answer.

use std::net::SocketAddr;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Starts a server that answers each request by its first line, with all that goes over the wire, and
/// keeps these lines.
pub(super) async fn server(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let n = socket.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..n]).into_owned();
            let line = head.lines().next().unwrap_or_default().to_owned();
            let answer = answer(&line);
            seen.lock().push(line);
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (address, lines)
}

/// Returns the answer with `status`, a code and a word, and `body`.
pub(super) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Returns the client of a bucket at `endpoint`.
pub(super) fn bucket(endpoint: impl Into<String>) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name("b")
        .with_access_key_id("k")
        .with_secret_access_key("s")
}
