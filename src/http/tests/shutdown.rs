//! The end: what is under way finishes, what is idle closes, what does not end is cut.

use super::*;

const GET_LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn a_request_under_way_finishes_and_new_ones_are_not_taken() {
    let mut server = Server::start().await;
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
    assert!(TcpStream::connect(server.address).await.is_err(), "it still listens");
    assert!(!server.running.is_finished());

    under_way.send("\n{}").await;
    let answer = under_way.answer().await;
    answer.is(200, &ok(2, 5, false));
    assert!(answer.closes());
    assert!(under_way.is_closed().await);
    assert_eq!(server.bodies(), ["{}\n{}"]);
    assert_eq!(server.readiness.check(), Err(vec![("receive", "is shutting down".into())]));
    server.ended().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_after_the_drain_time() {
    let mut server =
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
    let mut server =
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
