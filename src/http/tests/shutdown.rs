//! The begin and the end: a gate that is closed; what is under way finishes, what is idle closes, what
//! does not end is cut.

use super::*;

const GET_LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n";

/// Checks that bodies are refused for now, and that health and metrics are answered.
async fn takes_no_bodies(server: &Server, word: &str) {
    let refused = server.ask(put("{}")).await;
    refused.is_error(503, &[word]);
    assert_eq!(refused.header("retry-after"), Some("5"), "{refused:?}");
    assert_eq!(server.ask(GET_LIVE).await.status, 200);
    let metrics = server.ask("GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(metrics.status, 200);
    assert_eq!(server.bodies(), [""; 0]);
}

#[tokio::test]
async fn before_the_gate_is_open_bodies_are_refused_and_health_is_answered() {
    let server = Server::with_closed_gate(|_, _| ()).await;
    takes_no_bodies(&server, "is starting").await;
    let mut early = server.client().await;
    early.send(GET_LIVE).await;
    assert_eq!(early.answer().await.status, 200);
    server.gate.open(Intake::new(server.journal.clone()));
    // Also on a connection of before.
    early.send(put("{}")).await;
    assert_eq!(early.answer().await.status, 200);
    assert_eq!(server.bodies(), ["{}"]);
}

#[tokio::test]
async fn health_and_metrics_are_answered_until_the_very_end() {
    let server = Server::start().await;
    server.begin_shutdown();
    timeout(SOON, server.ending.drained.cancelled()).await.expect("nothing is under way");
    takes_no_bodies(&server, "is stopping").await;
    let mut last = server.client().await;
    last.send(GET_LIVE).await;
    assert_eq!(last.answer().await.status, 200);
    let address = server.address;
    server.ended().await;
    assert!(last.is_closed().await);
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_request_under_way_finishes_and_new_ones_are_not_taken() {
    let server = Server::start().await;
    let mut idle = server.client().await;
    idle.send(GET_LIVE).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut under_way = server.client().await;
    under_way
        .send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n{{}}"))
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    server.begin_shutdown();
    assert!(idle.is_closed().await);
    server.ask(put("{}")).await.is_error(503, &["is stopping"]);
    assert!(!server.ending.drained.is_cancelled());

    under_way.send("\n{}").await;
    let answer = under_way.answer().await;
    answer.is(200, &ok(2, 5, false));
    assert!(answer.closes());
    assert!(under_way.is_closed().await);
    assert_eq!(server.bodies(), ["{}\n{}"]);
    timeout(SOON, server.ending.drained.cancelled()).await.expect("nothing is under way");
    server.ended().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_after_the_drain_time() {
    let server =
        Server::with(|options, _| options.drain_timeout = Duration::from_millis(200)).await;
    let mut stuck = server.client().await;
    stuck.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n{{}}")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.begin_shutdown();
    let journal = server.journal.clone();
    let began = std::time::Instant::now();
    server.ended().await;
    assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
    assert_eq!(journal.status().last_seq, Seq(0));
}

#[tokio::test]
async fn silent_connections_close_at_once_and_half_a_head_has_its_usual_time() {
    let server =
        Server::with(|options, _| options.header_timeout = Duration::from_millis(500)).await;
    let mut silent = server.client().await;
    let mut half = server.client().await;
    half.send("PUT /exp").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = std::time::Instant::now();
    server.begin_shutdown();
    assert!(silent.is_closed().await);
    server.ended().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
