//! Requests that nobody should send, and peers that may not.

use super::*;

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {len}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_web_page_can_neither_write_nor_read() {
    let server = Server::start().await;
    // What a browser sends for a page of somebody else's, without asking first.
    let page = "host: localhost\r\norigin: https://evil.test\r\ncontent-type: text/plain\r\n";
    let answer = server.ask(request("POST", PATH, page, "{}")).await;
    answer.is_error(403, &["web page"]);
    let newer = "host: localhost\r\nsec-fetch-site: cross-site\r\n";
    server.ask(request("PUT", PATH, newer, "{}")).await.is_error(403, &["web page"]);
    // Before its body is there.
    let mut client = server.client().await;
    client.send(format!("PUT {PATH} HTTP/1.1\r\n{page}content-length: 5\r\n\r\n")).await;
    let answer = client.answer().await;
    answer.is_error(403, &["web page"]);
    assert!(answer.closes());
    // A name that was made to mean loopback.
    let rebound = "host: evil.test:3000\r\n";
    server
        .ask(request("POST", PATH, rebound, "{}"))
        .await
        .is_error(403, &["evil.test", "localhost"]);
    server.ask(request("GET", "/metrics", rebound, "")).await.is_error(403, &["evil.test"]);
    let absolute = format!("http://evil.test{PATH}");
    server.ask(request("PUT", &absolute, "host: t\r\n", "{}")).await.is_error(403, &["evil.test"]);
    assert!(server.bodies().is_empty());
    // By hand, and as programs do.
    let by_hand = "host: t\r\nsec-fetch-site: none\r\n";
    assert_eq!(server.ask(request("GET", "/metrics", by_hand, "")).await.status, 200);
    server
        .ask(request("PUT", PATH, "host: 127.0.0.1:3000\r\n", "{}"))
        .await
        .is(200, &ok(1, 2, false));
    assert_eq!(server.ask(request("GET", "/health/live", rebound, "")).await.status, 200);
}

#[tokio::test]
async fn a_page_of_our_own_reads_metrics_and_sends_nothing() {
    let server = Server::start().await;
    let own = "host: localhost:3000\r\nsec-fetch-site: same-origin\r\n";
    let with_origin = format!("{own}origin: http://localhost:3000\r\n");
    for headers in [own, &with_origin] {
        for method in ["GET", "HEAD"] {
            // HEAD has no body, whatever its Content-Length says.
            let mut client = server.client().await;
            client.send(request(method, "/metrics", headers, "")).await;
            let mut line = String::new();
            client.stream.read_line(&mut line).await.unwrap();
            assert_eq!(line.trim_end(), "HTTP/1.1 200 OK", "{method} {headers}");
        }
        assert_eq!(server.ask(request("GET", "/health/ready", headers, "")).await.status, 200);
        for (method, path) in [
            ("POST", "/metrics"),
            ("OPTIONS", "/metrics"),
            ("GET", "/"),
            ("GET", PATH),
            ("PUT", PATH),
        ] {
            server.ask(request(method, path, headers, "")).await.is_error(403, &["web page"]);
        }
    }
    for (headers, word) in [
        // A page of another port, and one whose own name was made to mean this address.
        (
            "host: localhost:3000\r\nsec-fetch-site: same-origin\r\norigin: http://localhost:80\r\n",
            "web page",
        ),
        ("host: localhost:3000\r\nsec-fetch-site: same-site\r\n", "web page"),
        ("host: localhost:3000\r\norigin: http://localhost:3000\r\n", "web page"),
        ("host: evil.test:3000\r\nsec-fetch-site: same-origin\r\n", "evil.test"),
        (
            "host: evil.test:3000\r\nsec-fetch-site: same-origin\r\norigin: http://evil.test:3000\r\n",
            "evil.test",
        ),
    ] {
        server.ask(request("GET", "/metrics", headers, "")).await.is_error(403, &[word]);
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn who_may_come_to_no_endpoint_may_not_look_at_metrics() {
    let server = Server::with(|options, _| {
        options.endpoints[0].peers = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    let ask = |method: &str, path: &str| request(method, path, "host: t\r\n", "");
    assert_eq!(server.ask(ask("PUT", PATH)).await.status, 403);
    assert_eq!(server.ask(ask("GET", "/metrics")).await.status, 403);
    assert_eq!(server.ask(ask("GET", "/health/ready")).await.status, 200);
    let open = Server::with(|options, _| {
        let mut other = options.endpoints[0].clone();
        (other.name, other.path) = ("other".into(), "/other".into());
        other.peers = vec!["192.0.2.0/24".parse().unwrap()];
        options.endpoints.push(other);
    })
    .await;
    assert_eq!(open.ask(ask("PUT", "/other")).await.status, 403);
    assert_eq!(open.ask(ask("GET", "/metrics")).await.status, 200);
}
