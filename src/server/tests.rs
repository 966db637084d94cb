//! Servers that run on a listener and in directories of the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::behind::Behind;
use super::*;
use crate::encode::{Compression, Encodings};
use crate::http::Endpoint;
use crate::journal;
use crate::lake::{Location, Receipt};
use crate::record::Form;
use crate::schema::TableSchema;
use crate::status::RollState;
use crate::table::{Spec, Template};

const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null}
]}"#;
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(30);

pub(super) fn settings(dir: &TempDir) -> Settings {
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let partition = Template::parse("", &schema).unwrap();
    let endpoint = Endpoint {
        name: "default".into(),
        path: "/visits".into(),
        put: true,
        post: true,
        form: Form::Ndjson,
        table: "visits".into(),
        indices: Vec::new(),
        body_limit_bytes: 1 << 20,
        inflated_limit_bytes: 1 << 20,
        requests_per_second: None,
        peers: Vec::new(),
        auth: crate::auth::Rules::nobody_is_asked(),
    };
    Settings {
        listen: String::new(),
        addresses: Vec::new(),
        http: http::Options {
            endpoints: vec![endpoint],
            host_names: Vec::new(),
            requests_per_second: None,
            body_memory_bytes: crate::http::BODY_MEMORY_BYTES,
            header_timeout: SOON,
            body_timeout: SOON,
            answer_timeout: SOON,
            idle_timeout: SOON,
            drain_timeout: SOON,
            handshake_timeout: SOON,
            max_connections: 16,
            max_connections_per_peer: None,
        },
        credentials: None,
        tls: None,
        journal: journal::Options {
            reserve_bytes: 0,
            ..journal::Options::new(dir.path().join("state"))
        },
        lake: crate::lake::Options {
            location: Location::Local(dir.path().join("lake")),
            options: Vec::new(),
            timeout: SOON,
        },
        tables: vec![Spec::new("visits", schema, partition)],
        promote_after: [].into(),
        catalog: None,
        dedup_max_rows: 1_000,
        privacy_key: None,
        roll: crate::roll::Options {
            roll_bytes: 1 << 30,
            roll_rows: None,
            compression: Compression::None,
            encodings: Encodings::Delta,
            row_group_bytes: 1 << 20,
            memory_bytes: 1 << 26,
            disk_reserve_bytes: 0,
            decode_threads: 1.try_into().unwrap(),
        },
        roll_age: Duration::from_secs(3600),
        status: None,
        shown: crate::status::InForce::default(),
        overdue_after: Duration::from_secs(3600),
        drain_delay: Duration::ZERO,
        drain_limit: None,
        verify_every: None,
        verify_window: Duration::from_secs(3600),
    }
}

/// Opens what a start opens, and nothing runs.
pub(super) fn open(settings: &Settings) -> anyhow::Result<Behind> {
    let Server { settings, key, configured, clock, .. } =
        Server::build(settings.clone(), metrics::install())?;
    Behind::open(&settings, key.as_ref(), configured, &clock, &Arc::default())
}

/// A server that runs.
struct Running {
    /// Keeps its connection open.
    client: reqwest::Client,
    address: SocketAddr,
    board: Arc<Board>,
    readiness: Arc<Readiness>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
    /// Verifies the lake, if the settings ask for it.
    _watch: Option<AbortOnDropHandle<()>>,
}

impl Running {
    /// Starts a server, and waits until it takes bodies.
    async fn start(settings: Settings) -> Running {
        let running = Running::begin(settings).await;
        let began = Instant::now();
        while running.readiness.stage() != Stage::Running {
            assert!(began.elapsed() < SOON && !running.task.is_finished(), "it does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running
    }

    async fn begin(settings: Settings) -> Running {
        let server = Server::build(settings.clone(), metrics::install()).unwrap();
        let watch = verifying::watch(settings, &server);
        let (board, readiness) = (server.board(), server.readiness());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(listener, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::new();
        Running { client, address, board, readiness, stop, task, _watch: watch }
    }

    async fn put(&self, body: &'static str) -> u16 {
        let request = self.client.put(format!("http://{}/visits", self.address)).body(body);
        request.send().await.unwrap().status().as_u16()
    }

    async fn live(&self) -> u16 {
        let request = self.client.get(format!("http://{}/health/live", self.address));
        request.send().await.unwrap().status().as_u16()
    }

    async fn ended(self) -> Result<(), RunError> {
        let _ = self.stop.send(());
        tokio::time::timeout(SOON, self.task).await.expect("it ends").unwrap()
    }
}

/// Names of all files below `dir`, relative to it.
fn files(dir: &Path) -> Vec<String> {
    let (mut names, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                names.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names
}

/// The receipts of a lake, in order.
fn receipts(dir: &TempDir) -> Vec<Receipt> {
    let lake = dir.path().join("lake");
    let names = files(&lake).into_iter().filter(|name| name.starts_with("_receipts/"));
    names
        .map(|name| serde_json::from_slice(&std::fs::read(lake.join(name)).unwrap()).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_has_landed_when_a_server_ends() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n{\"id\":\"b\"}\n").await, 200);
    assert!(receipts(&dir).is_empty(), "nothing is due yet");
    let board = Arc::clone(&server.board);
    server.ended().await.unwrap();
    let [receipt] = &receipts(&dir)[..] else { panic!("one roll") };
    assert_eq!((receipt.rows, receipt.rejects), (2, 0));
    let [file] = &receipt.tables[0].files[..] else { panic!("one file") };
    assert!(dir.path().join("lake").join(&file.path).is_file(), "{file:?}");
    let states: Vec<_> = board.rolls().iter().map(|roll| (roll.state, roll.rows)).collect();
    assert_eq!(states, [(RollState::Committed, 2)]);
    // The state directory is free again at once.
    open(&settings(&dir)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_frees_the_state_directory_and_the_next_lands_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    let Running { task, client: _idle_connection, .. } = server;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let began = Instant::now();
    while let Err(error) = open(&settings(&dir)) {
        assert!(began.elapsed() < SOON, "{error:#}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(receipts(&dir).is_empty(), "it stopped landing");
    Running::start(settings(&dir)).await.ended().await.unwrap();
    let rows: Vec<u64> = receipts(&dir).iter().map(|receipt| receipt.rows).collect();
    assert_eq!(rows, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_run_in_one_process() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Running::start(settings(&dirs[0])).await;
    let two = Running::start(settings(&dirs[1])).await;
    assert_eq!(one.put("{\"id\":\"a\"}\n").await, 200);
    assert_eq!(two.put("{\"id\":\"b\"}\n{\"id\":\"c\"}\n").await, 200);
    let again = open(&settings(&dirs[0]));
    assert!(again.is_err(), "the state directory is taken");
    one.ended().await.unwrap();
    // The other one is not touched by that.
    assert_eq!(two.put("{\"id\":\"d\"}\n").await, 200);
    two.ended().await.unwrap();
    let rows = dirs.each_ref().map(|dir| receipts(dir).iter().map(|r| r.rows).sum::<u64>());
    assert_eq!(rows, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_waits_for_too_long_is_trouble_and_leaves_a_server_ready() {
    let dir = tempfile::tempdir().unwrap();
    let overdue_after = Duration::from_secs(1);
    let server = Running::start(Settings { overdue_after, ..settings(&dir) }).await;
    assert_eq!(server.readiness.oldest_pending(), None);
    let before = SystemClock.now();
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    let began = Instant::now();
    while server.readiness.trouble().is_empty() {
        assert!(began.elapsed() < SOON, "it is not overdue");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let oldest = server.readiness.oldest_pending().unwrap();
    assert!((before..=SystemClock.now()).contains(&oldest), "{oldest:?}");
    let [(part, why)] = &server.readiness.trouble()[..] else { panic!("one") };
    assert!(*part == "overdue" && why.contains(&oldest.rfc3339().unwrap()), "{part}: {why}");
    assert_eq!(server.readiness.check(), Ok(()));
    let readiness = Arc::clone(&server.readiness);
    server.ended().await.unwrap();
    assert_eq!(readiness.oldest_pending(), None, "all has landed");
}

/// Returns the text of the error with which a start is refused.
fn refused(dir: &TempDir) -> String {
    let Err(error) = open(&settings(dir)) else { panic!("it starts") };
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_not_there_or_is_another_one_is_refused_and_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    server.ended().await.unwrap();
    let (lake, away) = (dir.path().join("lake"), dir.path().join("away"));
    // Deleted, or on a file system that is not mounted.
    std::fs::rename(&lake, &away).unwrap();
    let said = refused(&dir);
    assert!(said.contains("is the lake not mounted") && said.contains("lake.json"), "{said}");
    assert!(!lake.exists(), "it was made");
    std::fs::create_dir(&lake).unwrap();
    assert!(refused(&dir).contains("there is no _lake.json"));
    assert_eq!(files(&lake), [""; 0]);
    // Another one.
    std::fs::write(lake.join("_lake.json"), r#"{"version":1,"id":"ff"}"#).unwrap();
    assert!(refused(&dir).contains("says that it is lake ff"));
    assert_eq!(files(&lake), ["_lake.json"]);
    // Mounted again.
    std::fs::remove_dir_all(&lake).unwrap();
    std::fs::rename(&away, &lake).unwrap();
    Running::start(settings(&dir)).await.ended().await.unwrap();
    // A new one, on purpose.
    std::fs::remove_dir_all(&lake).unwrap();
    std::fs::remove_file(dir.path().join("state/lake.json")).unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"b\"}\n").await, 200);
    server.ended().await.unwrap();
    assert_eq!(receipts(&dir).iter().map(|receipt| receipt.rows).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_start_removes_what_a_killed_process_left_hidden_in_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    Running::start(settings(&dir)).await.ended().await.unwrap();
    let lake = dir.path().join("lake");
    let hidden = ".00000000000000ab-1.n-00000001.parquet.tmp";
    std::fs::write(lake.join(hidden), b"rows").unwrap();
    let list = lake.join(".00000000000000ab-2.writing.tmp");
    std::fs::write(list, format!("{hidden}\n")).unwrap();
    Running::start(settings(&dir)).await.ended().await.unwrap();
    let left: Vec<_> = files(&lake).into_iter().filter(|name| name.contains("00ab-")).collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_whose_identity_was_deleted_is_the_same_lake_by_its_fence() {
    let dir = tempfile::tempdir().unwrap();
    Running::start(settings(&dir)).await.ended().await.unwrap();
    let identity = dir.path().join("lake/_lake.json");
    let before = std::fs::read(&identity).unwrap();
    std::fs::remove_file(&identity).unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    server.ended().await.unwrap();
    assert_eq!(std::fs::read(&identity).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_goes_while_a_server_runs_is_waited_for_and_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    let (lake, away) = (dir.path().join("lake"), dir.path().join("away"));
    let began = Instant::now();
    while !files(&lake).iter().any(|name| name.starts_with("_nodes/")) {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The start has ended.
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::rename(&lake, &away).unwrap();
    // As a mount point is without its file system.
    std::fs::create_dir(&lake).unwrap();
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    let Running { task, stop, .. } = server;
    let _ = stop.send(());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!task.is_finished(), "it landed nowhere, or gave up");
    assert_eq!(files(&lake), [""; 0]);
    std::fs::remove_dir(&lake).unwrap();
    std::fs::rename(&away, &lake).unwrap();
    tokio::time::timeout(SOON, task).await.expect("it ends").unwrap().unwrap();
    assert_eq!(receipts(&dir).iter().map(|receipt| receipt.rows).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_state_directory_takes_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    server.ended().await.unwrap();
    let (state, copy) = (dir.path().join("state"), dir.path().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    for name in files(&state) {
        if !name.contains('/') {
            std::fs::copy(state.join(&name), copy.join(&name)).unwrap();
        }
    }
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    server.ended().await.unwrap();
    let before = files(&dir.path().join("lake"));
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&copy, &state).unwrap();
    let server = Server::build(settings(&dir), metrics::install()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = server.run(listener, std::future::pending()).await;
    let said = format!("{:#}", anyhow::Error::new(ended.unwrap_err()));
    assert!(said.contains("an older copy or a clone"), "{said}");
    assert_eq!(files(&dir.path().join("lake")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_journal_is_open_takes_nothing_and_lands_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(settings(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    server.task.abort();
    assert!(server.task.await.unwrap_err().is_cancelled());
    while open(&settings(&dir)).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let next = Server::build(settings(&dir), metrics::install()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    next.run(listener, std::future::ready(())).await.unwrap();
    assert!(receipts(&dir).is_empty());
    Running::start(settings(&dir)).await.ended().await.unwrap();
    assert_eq!(receipts(&dir).iter().map(|receipt| receipt.rows).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_bodies_are_taken_for_the_delay_while_ready_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let drain_delay = Duration::from_secs(3);
    let mut server = Running::start(Settings { drain_delay, ..settings(&dir) }).await;
    let (stop, _) = oneshot::channel();
    std::mem::replace(&mut server.stop, stop).send(()).unwrap();
    while server.readiness.check().is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // On a connection that is opened now.
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    assert!(matches!(server.readiness.stage(), Stage::Stopping(_)));
    tokio::time::timeout(SOON, server.task).await.expect("it ends").unwrap().unwrap();
    assert_eq!(receipts(&dir).iter().map(|receipt| receipt.rows).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_takes_longer_than_its_limit_ends_and_the_next_start_lands_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let drain_limit = Some(Duration::from_secs(4));
    let mut server = Running::start(Settings { drain_limit, ..settings(&dir) }).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    let (lake, away) = (dir.path().join("lake"), dir.path().join("away"));
    std::fs::rename(&lake, &away).unwrap();
    let (stop, _) = oneshot::channel();
    std::mem::replace(&mut server.stop, stop).send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Until the very end.
    assert_eq!(server.live().await, 200);
    assert_eq!(server.put("{\"id\":\"b\"}\n").await, 503);
    let said = server.readiness.sentence();
    assert!(said.starts_with("stopping: 1 body waits for ") && said.contains("lake: "), "{said}");
    let ended = tokio::time::timeout(SOON, server.task).await.expect("it ends").unwrap();
    let said = ended.as_ref().unwrap_err().to_string();
    assert!(matches!(ended, Err(RunError::DrainLimit { .. })), "{said}");
    assert!(said.contains("drain_limit (4s): 1 body waits for "), "{said}");
    std::fs::rename(&away, &lake).unwrap();
    while open(&settings(&dir)).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Running::start(settings(&dir)).await.ended().await.unwrap();
    assert_eq!(receipts(&dir).iter().map(|receipt| receipt.rows).collect::<Vec<_>>(), [1]);
}

mod verifying;
