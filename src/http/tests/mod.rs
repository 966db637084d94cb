//! The receiver as its clients see it: a real listener, a real journal, and bytes on a socket.

mod abuse;
mod answers;
mod connections;
mod encodings;
mod http2;
mod reload;
mod shutdown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::SystemClock;
use crate::intake::Intake;
use crate::journal::{self, Journal, Next, RealDisk};
use crate::record::Seq;

use super::*;

const PATH: &str = "/export/events";
/// Longer than anything here takes; shorter than a test run may hang.
const SOON: Duration = Duration::from_secs(20);

/// A peer, where it does not matter which.
fn somebody() -> crate::peers::Peer {
    crate::peers::Peer::of([192, 0, 2, 1].into())
}

fn options() -> Options {
    Options {
        endpoints: vec![Endpoint {
            name: "default".into(),
            path: PATH.into(),
            put: true,
            post: true,
            form: crate::record::Form::Ndjson,
            table: "user_sessions".into(),
            indices: Vec::new(),
            body_limit_bytes: 1 << 20,
            inflated_limit_bytes: 2 << 20,
            requests_per_second: None,
            peers: Vec::new(),
            auth: crate::auth::Rules::nobody_is_asked(),
        }],
        host_names: vec!["test".into(), "t".into()],
        requests_per_second: None,
        body_memory_bytes: BODY_MEMORY_BYTES,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        answer_timeout: ANSWER_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        drain_timeout: Duration::from_secs(10),
        handshake_timeout: Duration::from_secs(10),
        max_connections: 256,
        max_connections_per_peer: None,
    }
}

struct Server {
    rules: LiveRules,
    address: SocketAddr,
    journal: Journal,
    readiness: Arc<Readiness>,
    gate: Gate,
    ending: Ending,
    running: JoinHandle<io::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Server {
        Server::with(|_, _| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options, &mut journal::Options)) -> Server {
        let server = Server::with_closed_gate(change).await;
        server.gate.open(Intake::new(server.journal.clone()));
        server.readiness.set_stage(crate::status::Stage::Running);
        server
    }

    async fn with_closed_gate(change: impl FnOnce(&mut Options, &mut journal::Options)) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options();
        let mut of_journal = journal::Options::new(dir.path().join("journal"));
        of_journal.reserve_bytes = 0;
        change(&mut options, &mut of_journal);
        let (journal, _) =
            Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), of_journal).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Arc::new(Readiness::new());
        let (gate, ending) = (Gate::default(), Ending::default());
        let rules = LiveRules::new(options, Access::default());
        let running = tokio::spawn(run(
            listener,
            rules.clone(),
            gate.clone(),
            readiness.clone(),
            metrics::install(),
            ending.clone(),
        ));
        Server { rules, address, journal, readiness, gate, ending, running, _dir: dir }
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// Returns the bodies in the journal, in order.
    fn bodies(&self) -> Vec<Bytes> {
        let last = self.journal.status().last_seq;
        let mut bodies = Vec::new();
        if last >= Seq::FIRST {
            let mut reader = self.journal.reader(Seq::FIRST);
            while bodies.len() < last.0 as usize {
                match reader.next(SOON).unwrap() {
                    Next::Body(body) => bodies.push(body.bytes),
                    other => panic!("{other:?}"),
                }
            }
        }
        bodies
    }

    fn begin_shutdown(&self) {
        self.ending.stop.cancel();
    }

    async fn ended(self) {
        self.ending.end.cancel();
        timeout(SOON, self.running).await.expect("run has not returned").unwrap().unwrap();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body), "{self:?}");
    }

    /// An error of ours, whose text has all of these words.
    #[track_caller]
    fn is_error(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(json["status"], "error");
        let text = json["error"].as_str().unwrap();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }

    fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        timeout(SOON, self.read_answer()).await.expect("no answer")
    }

    async fn read_answer(&mut self) -> Answer {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            let len = self.stream.read_line(&mut line).await.unwrap();
            assert!(len > 0, "closed before the end of a head: {head:?}");
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = head[1..]
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        let len = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        if status != 100 {
            let server = concat!("sessionlake/", env!("CARGO_PKG_VERSION"));
            assert_eq!(answer.header("server"), Some(server), "{answer:?}");
        }
        answer
    }

    /// Returns whether the server closes now, without another byte and without a reset.
    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(SOON, self.stream.read_to_end(&mut rest)).await.expect("not closed");
        read.is_ok_and(|len| len == 0)
    }
}

/// A PUT with a Content-Length and these further header lines.
fn put_with(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let len = body.len();
    let mut request =
        format!("PUT {PATH} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {len}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

fn put(body: impl AsRef<[u8]>) -> Vec<u8> {
    put_with("content-type: application/json\r\n", body)
}

fn ok(lines: usize, bytes: usize, duplicate: bool) -> String {
    format!(r#"{{"status":"OK","lines":{lines},"bytes":{bytes},"duplicate":{duplicate}}}"#)
}
