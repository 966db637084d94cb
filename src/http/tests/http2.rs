//! HTTP/2 with prior knowledge.

use h2::client::{SendRequest, handshake};
use hyper::Request;

use super::*;

async fn connect(server: &Server) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn send(
    client: &SendRequest<Bytes>,
    path: &str,
    body: Bytes,
) -> (u16, Option<String>, String) {
    let mut client = client.clone().ready().await.unwrap();
    let request = Request::put(format!("http://test{path}")).body(()).unwrap();
    let (response, mut sending) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        // A refused body is reset while it is being sent: that is for the answer to tell.
        let _ = sending.send_data(body, true);
    }
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let server = response.headers().get("server").map(|s| s.to_str().unwrap().to_owned());
    assert!(response.headers().get("connection").is_none());
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        let _ = body.flow_control().release_capacity(chunk.len());
        text.extend_from_slice(&chunk);
    }
    (status, server, String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn many_streams_on_one_connection() {
    let server = Server::start().await;
    let (client, _connection) = connect(&server).await;
    let bodies: Vec<_> = (0..100).map(|n| format!("{{\"n\":{n}}}\n").repeat(500)).collect();
    let sends = bodies.iter().map(|body| send(&client, PATH, Bytes::from(body.clone())));
    for ((status, name, text), body) in futures::future::join_all(sends).await.iter().zip(&bodies) {
        assert_eq!((*status, text), (200, &ok(500, body.len(), false)));
        assert_eq!(name.as_deref(), Some(concat!("sessionlake/", env!("CARGO_PKG_VERSION"))));
    }
    assert_eq!(server.bodies().len(), 100);
}

#[tokio::test]
async fn a_refused_stream_leaves_the_others_alone() {
    let server = Server::start().await;
    let (client, _connection) = connect(&server).await;
    let (status, _, text) = send(&client, PATH, vec![b'x'; 3 << 20].into()).await;
    assert_eq!(status, 413, "{text}");
    let (status, _, text) = send(&client, "/elsewhere", "{}".into()).await;
    assert_eq!(status, 404, "{text}");
    assert!(text.contains(PATH), "{text}");
    let (status, _, text) = send(&client, PATH, Bytes::new()).await;
    assert_eq!((status, text), (200, ok(0, 0, false)));
    let (status, _, text) = send(&client, PATH, "{}".into()).await;
    assert_eq!((status, text), (200, ok(1, 2, false)));
}

#[tokio::test]
async fn a_refused_client_that_goes_on_sending_is_not_reset() {
    let server = Server::start().await;
    let (mut client, _connection) = connect(&server).await;
    let request = Request::put(format!("http://test{PATH}")).header("content-type", "text/html");
    let (response, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
    sending.send_data(vec![b'x'; 3 << 20].into(), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 415);

    let reset = std::future::poll_fn(|cx| sending.poll_reset(cx));
    let reset = timeout(Duration::from_millis(200), reset).await;
    assert!(reset.is_err(), "{reset:?}");
    sending.send_data("x".into(), true).unwrap();
    assert_eq!(send(&client, PATH, "{}".into()).await.0, 200);
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_of_a_head() {
    let server =
        Server::with(|options, _| options.header_timeout = Duration::from_millis(200)).await;
    let (client, _connection) = connect(&server).await;
    for number in 0..3 {
        let (status, _, _) = send(&client, PATH, format!("{number}").into()).await;
        assert_eq!(status, 200);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

#[tokio::test]
async fn a_shutdown_lets_a_stream_finish_and_closes_the_connection() {
    let server = Server::start().await;
    let (mut client, connection) = connect(&server).await;
    let request = Request::put(format!("http://test{PATH}")).body(()).unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    sending.send_data("{}".into(), false).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.begin_shutdown();
    tokio::time::sleep(Duration::from_millis(50)).await;
    sending.send_data("\n{}".into(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    drop(client);
    timeout(SOON, connection).await.expect("the connection stays open").unwrap().unwrap();
    assert_eq!(server.bodies(), ["{}\n{}"]);
    server.ended().await;
}

/// A client with no window: it gets the status of requests, and takes no byte of an answer.
async fn connect_taking_nothing(
    server: &Server,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(stream);
    let (client, connection) = handshake.await.unwrap();
    (client, tokio::spawn(connection))
}

async fn status(client: &SendRequest<Bytes>) -> (u16, h2::RecvStream) {
    ask(client, Request::get("http://test/health/live")).await
}

async fn ask(
    client: &SendRequest<Bytes>,
    request: hyper::http::request::Builder,
) -> (u16, h2::RecvStream) {
    let mut client = client.clone().ready().await.unwrap();
    let request = request.body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    (response.status().as_u16(), response.into_body())
}

#[tokio::test]
async fn answers_that_nobody_takes_end_the_connection() {
    let server =
        Server::with(|options, _| options.answer_timeout = Duration::from_millis(300)).await;
    let (client, connection) = connect_taking_nothing(&server).await;
    let (taken, _) = connect(&server).await;
    let unread = [status(&client).await, status(&client).await];
    assert_eq!(unread.each_ref().map(|(status, _)| *status), [200, 200]);
    let ended = timeout(Duration::from_secs(5), connection).await;
    let _ = ended.expect("it is held for as long as its client likes").unwrap();
    assert_eq!(send(&taken, PATH, "{}".into()).await.0, 200, "others go on");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = Server::with(|options, _| options.idle_timeout = Duration::from_millis(300)).await;
    let (client, connection) = connect(&server).await;
    for number in 0..4 {
        let (status, _, _) = send(&client, PATH, format!("{number}").into()).await;
        assert_eq!(status, 200);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let ended = timeout(Duration::from_secs(5), connection).await;
    ended.expect("it stays open").unwrap().unwrap();
}

#[tokio::test]
async fn requests_of_a_peer_are_in_flight_only_so_many_at_a_time() {
    let server = Server::start().await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(connect_taking_nothing(&server).await);
    }
    let empty = || Request::put(format!("http://test{PATH}"));
    let asked =
        connections.iter().flat_map(|(client, _)| (0..200).map(move |_| ask(client, empty())));
    let answers = futures::future::join_all(asked).await;
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    let refused = answers.iter().filter(|(status, _)| *status == 503).count();
    assert_eq!((served, refused), (512, 88));
    let (client, _connection) = connect(&server).await;
    assert_eq!(ask(&client, empty()).await.0, 503);
    assert_eq!(status(&client).await.0, 200, "health has places of its own");
    drop((answers, connections));
    for _ in 0..200 {
        if ask(&client, empty()).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("places are not given back");
}
