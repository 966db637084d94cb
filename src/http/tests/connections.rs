//! Keep-alive, time-outs, clients that stop or leave, and many at once.

use super::*;

const GET_LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn a_thousand_requests_on_one_connection() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for number in 0..1000 {
        let body = format!("{{\"n\":{number}}}");
        client.send(put(&body)).await;
        client.answer().await.is(200, &ok(1, body.len(), false));
    }
    assert_eq!(server.bodies().len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_connections_at_once() {
    let server = Server::start().await;
    let senders: Vec<_> = (0..64)
        .map(|sender| {
            let address = server.address;
            tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut client = Client { stream: BufReader::new(stream) };
                for number in 0..20 {
                    let body = format!("{{\"sender\":{sender},\"n\":{number}}}").repeat(400);
                    client.send(put(&body)).await;
                    client.answer().await.is(200, &ok(1, body.len(), false));
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let mut bodies = server.bodies();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), 64 * 20);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send([put("{}"), put("{}\n{}"), GET_LIVE.into()].concat()).await;
    client.answer().await.is(200, &ok(1, 2, false));
    client.answer().await.is(200, &ok(2, 5, false));
    client.answer().await.is(200, r#"{"status":"live"}"#);
}

#[tokio::test]
async fn what_follows_a_refused_body_is_not_taken_for_a_request() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let refused = put_with("content-type: text/html\r\n", "{}");
    client.send([refused, put("{\"smuggled\":1}")].concat()).await;
    let answer = client.answer().await;
    answer.is_error(415, &["text/html"]);
    assert!(answer.closes());
    assert!(client.is_closed().await);
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_malformed_head_is_answered_and_closed() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"PUT /export/events\x01 HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_head_over_64_kib_is_answered_431() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\nx: {}", "y".repeat(80 << 10));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn expect_100_continue_is_met_when_the_body_is_wanted() {
    let server = Server::start().await;
    let head = |len: usize| {
        format!(
            "PUT {PATH} HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: {len}\r\n\r\n"
        )
    };
    let mut client = server.client().await;
    client.send(head(2)).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("{}").await;
    client.answer().await.is(200, &ok(1, 2, false));

    let mut client = server.client().await;
    client.send(head(10 << 20)).await;
    client.answer().await.is_error(413, &["as sent"]);
}

#[tokio::test]
async fn a_slow_head_is_408_and_a_silent_client_is_closed() {
    let server =
        Server::with(|options, _| options.header_timeout = Duration::from_millis(200)).await;

    let mut slow = server.client().await;
    slow.send(format!("PUT {PATH} HTTP/1.1\r\nhost")).await;
    let answer = slow.answer().await;
    answer.is_error(408, &["head"]);
    assert!(answer.closes());
    assert!(slow.is_closed().await);

    // A byte now and then does not help.
    let mut dripping = server.client().await;
    let began = std::time::Instant::now();
    for byte in format!("PUT {PATH} HTTP/1.1\r\n").bytes() {
        if dripping.stream.get_mut().write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
        if began.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    dripping.answer().await.is_error(408, &["head"]);

    for start in ["", "PRI * HTTP/2.0\r\n"] {
        let mut silent = server.client().await;
        silent.send(start).await;
        assert!(silent.is_closed().await, "{start:?}");
    }
}

#[tokio::test]
async fn the_deadline_of_a_head_begins_with_its_first_byte_and_not_with_the_last_answer() {
    let server =
        Server::with(|options, _| options.header_timeout = Duration::from_millis(200)).await;
    let mut client = server.client().await;
    for number in 0..3 {
        client.send(put(format!("{number}"))).await;
        client.answer().await.is(200, &ok(1, 1, false));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    client.send("PUT ").await;
    client.answer().await.is_error(408, &["head"]);
}

#[tokio::test]
async fn a_body_that_takes_longer_than_a_head_may_is_taken() {
    let server =
        Server::with(|options, _| options.header_timeout = Duration::from_millis(200)).await;
    let mut client = server.client().await;
    client.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n")).await;
    for byte in ["{", "}", "\n", "{", "}"] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(byte).await;
    }
    client.answer().await.is(200, &ok(2, 5, false));
    client.send(GET_LIVE).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_slow_body_is_408_even_if_it_never_stops() {
    let server = Server::with(|options, _| options.body_timeout = Duration::from_millis(200)).await;
    let mut client = server.client().await;
    client.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 900\r\n\r\n")).await;
    for _ in 0..8 {
        client.send("x").await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let answer = client.answer().await;
    answer.is_error(408, &["0.2 s"]);
    assert!(answer.closes());
    assert!(client.is_closed().await);
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_body_whose_client_leaves_is_not_kept() {
    let server = Server::start().await;
    for start in [
        "content-length: 900\r\n\r\n{}\n{}\n",
        "transfer-encoding: chunked\r\n\r\n6\r\n{}\n{}\n\r\n",
    ] {
        let mut client = server.client().await;
        client.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\n{start}")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(client);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(server.bodies().is_empty());
    server.ask(put("{}")).await.is(200, &ok(1, 2, false));
}

#[tokio::test]
async fn a_client_that_leaves_without_its_answer_leaves_its_body_once() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(put("{\"a\":1}")).await;
    drop(client);
    for _ in 0..200 {
        if !server.bodies().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.ask(put("{\"a\":1}")).await.is(200, &ok(1, 7, true));
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test]
async fn more_senders_than_places_wait_for_one_and_health_does_not() {
    let server = Server::with(|options, _| options.max_connections = 1).await;
    let mut first = server.client().await;
    first.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{{")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let mut second = server.client().await;
    second.send(put("{}")).await;
    let early = timeout(Duration::from_millis(500), second.stream.fill_buf()).await;
    assert!(early.is_err(), "the second was served with the only place taken");
    assert_eq!(server.ask(GET_LIVE).await.status, 200);
    first.send("}").await;
    first.answer().await.is(200, &ok(1, 2, false));
    // The first has no request any more, and makes room.
    second.answer().await.is(200, &ok(1, 2, true));
    assert!(first.is_closed().await);
}

#[tokio::test]
async fn connections_that_ask_for_nothing_make_room_for_those_that_send() {
    let server = Server::with(|options, _| options.max_connections = 4).await;
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut client = server.client().await;
        if number % 2 == 0 {
            client.send(&put("{}")[..number / 2]).await;
        }
        idle.push(client);
    }
    for number in 0..20 {
        let body = format!("{{\"n\":{number}}}");
        let asked = timeout(Duration::from_secs(2), server.ask(put(&body))).await;
        asked.expect("held up").is(200, &ok(1, body.len(), false));
    }
    assert_eq!(server.bodies().len(), 20);
}

#[tokio::test]
async fn a_sender_that_gets_no_place_is_refused_and_told_when_to_come_back() {
    let server = Server::with(|options, _| options.max_connections = 1).await;
    let mut first = server.client().await;
    first.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{{")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = server.client().await;
    second.send(put("{}")).await;
    let answer = second.answer().await;
    answer.is_error(503, &["too many connections"]);
    assert!(answer.header("retry-after").is_some() && answer.closes());
}

/// Its clients send a bulk again after 429, and give up what is answered 503.
#[tokio::test]
async fn an_elasticsearch_client_that_gets_no_place_is_told_so_in_its_words() {
    let with = |change: fn(&mut Options)| {
        Server::with(move |options, _| {
            let elasticsearch = Endpoint {
                name: "es".into(),
                path: "/es".into(),
                form: crate::record::Form::Elasticsearch,
                ..options.endpoints[0].clone()
            };
            options.endpoints.push(elasticsearch);
            change(options);
        })
    };
    let bulk = "POST /es/_bulk HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n";
    let is_of_elasticsearch = |answer: &Answer, says: &str| {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(answer.body.contains("es_rejected_execution_exception"), "{answer:?}");
        assert!(answer.body.contains(says), "{answer:?}");
        assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
        assert!(answer.header("retry-after").is_some());
    };
    let server = with(|options| options.max_connections = 1).await;
    let mut first = server.client().await;
    first.send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{{")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = server.client().await;
    second.send(bulk).await;
    is_of_elasticsearch(&second.answer().await, "too many connections");
    // The rate of a peer is looked at before the endpoint is.
    let server = with(|options| options.requests_per_second = Some(1)).await;
    let mut client = server.client().await;
    let mut answers = Vec::new();
    for _ in 0..9 {
        client.send(bulk).await;
        answers.push(client.answer().await);
    }
    let refused = answers.iter().find(|answer| answer.status == 429);
    is_of_elasticsearch(refused.expect("nine within a second"), "too many requests");
}
