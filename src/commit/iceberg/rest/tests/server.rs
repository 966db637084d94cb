//! A server that answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::{Catalog, Credentials, Options};
use crate::clock::ManualClock;
use crate::record::Micros;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Got {
    /// Method and path.
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) got: Arc<Mutex<Vec<Got>>>,
}

impl Server {
    /// Starts a server. A status of 0 closes the connection without an answer, of 1 in the middle of one,
    /// and of 2 never answers.
    pub(super) async fn start(
        answer: impl Fn(&Got, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&got), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let request = loop {
                        let mut more = [0; 4096];
                        let n = socket.read(&mut more).await.unwrap_or(0);
                        bytes.extend_from_slice(&more[..n]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else {
                            assert_ne!(n, 0, "a request that is cut");
                            continue;
                        };
                        let line = head.lines().next().unwrap().replace(" HTTP/1.1", "");
                        let got = Got { line, head: head.to_owned(), body: body.to_owned() };
                        let length = got.header("content-length").map_or(0, |n| n.parse().unwrap());
                        if body.len() >= length {
                            break got;
                        }
                    };
                    let number = seen.lock().len();
                    let (status, body) = answer(&request, number);
                    seen.lock().push(request);
                    let length = body.len() + usize::from(status == 1);
                    let code = if status == 1 { 200 } else { status };
                    let text = format!(
                        "HTTP/1.1 {code} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                    match status {
                        0 => {}
                        2 => tokio::time::sleep(Duration::from_secs(60)).await,
                        _ => drop(socket.write_all(text.as_bytes()).await),
                    }
                    let _ = socket.shutdown().await;
                });
            }
        });
        Server { address, got }
    }

    pub(super) fn catalog(&self, credentials: Credentials) -> Catalog {
        let mut options = Options::new(&format!("http://{}/base/", self.address), "db");
        options.namespace.push("a b".to_owned());
        options.warehouse = Some("s3://w/".to_owned());
        options.credentials = credentials;
        options.timeout = Duration::from_millis(500);
        let clock = ManualClock::at(Micros(1_440_938_160_000_000));
        Catalog::new(options, Arc::new(clock)).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.got.lock().iter().map(|got| got.line.clone()).collect()
    }
}
