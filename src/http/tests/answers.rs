//! The answers to requests.

use super::*;
use crate::record::Micros;

#[tokio::test]
async fn a_body_is_durable_under_its_table_when_200_has_come() {
    let server = Server::start().await;
    let body = "{\"a\":1}\r\n\r\n{\"a\":2}\n  \n{\"a\":3}";
    let answer = server.ask(put(body)).await;
    answer.is(200, &ok(3, body.len(), false));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(!answer.closes());

    let Next::Body(kept) = server.journal.reader(Seq::FIRST).next(SOON).unwrap() else {
        panic!("nothing was kept")
    };
    assert_eq!(kept.bytes, body.as_bytes());
    assert_eq!((&*kept.table, kept.first_line), ("user_sessions", 1));
    assert_eq!(kept.form, crate::record::Form::Ndjson);
}

#[tokio::test]
async fn post_and_a_trailing_slash_are_taken() {
    let server = Server::start().await;
    for (number, start) in
        ["POST /export/events", "POST /export/events/", "PUT /export/events/?x=1"]
            .iter()
            .enumerate()
    {
        let request =
            format!("{start} HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\n\r\n{number}");
        server.ask(request).await.is(200, &ok(1, 1, false));
    }
    assert_eq!(server.bodies(), ["0", "1", "2"]);
}

#[tokio::test]
async fn the_content_types_that_senders_use_are_taken_and_others_refused() {
    let server = Server::start().await;
    for taken in [
        "",
        "content-type:\r\n",
        "content-type: application/json\r\n",
        "content-type: application/json; charset=utf-8\r\n",
        "content-type: Application/X-NDJSON\r\n",
        "content-type: application/ndjson\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: text/plain;charset=UTF-8\r\n",
        "content-type: application/octet-stream\r\n",
        "content-type: application/jsonl\r\n",
        "content-type: application/x-jsonlines; charset=\"UTF-8\"\r\n",
        "content-type: application/json-lines\r\n",
        "content-type: application/jsonlines\r\n",
        "content-type: text/jsonl; charset=us-ascii\r\n",
    ] {
        let answer = server.ask(put_with(taken, "{}")).await;
        assert_eq!(answer.status, 200, "{taken:?}");
    }
    for refused in ["multipart/form-data; boundary=x", "text/html", "json", "application/jsonx"] {
        let answer = server.ask(put_with(&format!("content-type: {refused}\r\n"), "{}")).await;
        let name = refused.split(';').next().unwrap();
        answer.is_error(415, &[name, "application/json", "application/x-ndjson"]);
    }
}

#[tokio::test]
async fn a_charset_other_than_utf_8_is_415_with_the_reason() {
    let server = Server::start().await;
    for charset in ["utf-16", "ISO-8859-1", "\"windows-1252\"", "UTF-32LE"] {
        let said = format!("content-type: application/json; x=y; Charset={charset}\r\n");
        let answer = server.ask(put_with(&said, "{}")).await;
        answer.is_error(415, &[charset.trim_matches('"'), "UTF-8"]);
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_coding_below_chunked_is_501_with_the_reason() {
    let server = Server::start().await;
    for coding in ["gzip, chunked", "deflate,chunked", "x-unheard-of, chunked"] {
        let request = format!(
            "PUT {PATH} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: {coding}\r\n\r\n\
             2\r\n{{}}\r\n0\r\n\r\n"
        );
        let answer = server.ask(request).await;
        answer.is_error(501, &[coding, "Content-Encoding"]);
    }
    assert!(server.bodies().is_empty());
}

/// Taken, they would be shreds in quarantine, and their sender would have forgotten its copy.
#[tokio::test]
async fn a_body_that_is_packed_without_a_word_or_no_utf_8_is_415_with_the_reason() {
    let server = Server::start().await;
    let text = "{\"userSessionId\":\"one\"}\n";
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
    let gzip = packer.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let skippable = [b"\x50\x2a\x4d\x18\x04\0\0\0....", &zstd[..]].concat();
    for (body, name) in [(&gzip, "gzip"), (&zstd, "zstd"), (&skippable, "zstd")] {
        let answer = server.ask(put(body)).await;
        answer.is_error(415, &[&format!("the header Content-Encoding: {name}"), "nothing"]);
        assert!(answer.header("accept-encoding").is_some());
    }
    let twice = zstd::encode_all(&gzip[..], 1).unwrap();
    let answer = server.ask(put_with("content-encoding: zstd\r\n", twice)).await;
    answer.is_error(415, &["the body is gzip", "unpack it"]);
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, name) in [
        (&utf_16[..], "UTF-16"),
        (b"BZh91AY&SY....", "bzip2"),
        (b"PK\x03\x04{}\n", "zip"),
        (b"PAR1{}", "Parquet"),
    ] {
        server.ask(put(body)).await.is_error(415, &[name, "UTF-8", "nothing was kept"]);
    }
    assert!(server.bodies().is_empty());
    let answer = server.ask(put_with("content-encoding: gzip\r\n", gzip)).await;
    answer.is(200, &ok(1, text.len(), false));
}

#[tokio::test]
async fn an_empty_or_blank_body_is_fine_and_kept_nowhere() {
    let server = Server::start().await;
    server.ask(put("")).await.is(200, &ok(0, 0, false));
    server.ask(put("\r\n \n\n")).await.is(200, &ok(0, 5, false));
    server.ask(put_with("content-encoding: gzip\r\n", "")).await.is(200, &ok(0, 0, false));
    let unsized_ = format!("PUT {PATH} HTTP/1.1\r\nhost: test\r\n\r\n");
    server.ask(unsized_).await.is(200, &ok(0, 0, false));
    let chunked =
        format!("PUT {PATH} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    let answer = server.ask(chunked).await;
    answer.is(200, &ok(0, 0, false));
    assert!(!answer.closes());
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_repeated_body_is_flagged_and_kept_once() {
    let server = Server::start().await;
    server.ask(put("{\"a\":1}\n")).await.is(200, &ok(1, 8, false));
    server.ask(put("{\"a\":1}\n")).await.is(200, &ok(1, 8, true));
    server.ask(put("{\"a\":2}\n")).await.is(200, &ok(1, 8, false));
    assert_eq!(server.bodies().len(), 2);
}

#[tokio::test]
async fn other_paths_say_where_to_send() {
    let server = Server::start().await;
    for asked in ["/", "/export", "/export/events/more", "/export/eventsx", "//export/events"] {
        let answer = server.ask(format!("GET {asked} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        answer.is_error(404, &[&format!("nothing is at {asked}:"), PATH, "PUT or POST"]);
        assert!(!answer.closes());
    }
    let body = "POST /export HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n";
    let answer = server.ask(body).await;
    answer.is_error(404, &[PATH]);
    assert!(answer.closes(), "a body was left unread");
}

#[tokio::test]
async fn other_methods_say_which_and_how() {
    let server = Server::start().await;
    for method in ["GET", "DELETE", "PATCH", "OPTIONS"] {
        let answer = server.ask(format!("{method} {PATH} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        answer.is_error(405, &[method, "curl -X PUT --data-binary"]);
        assert_eq!(answer.header("allow"), Some("PUT, POST"));
    }
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let answer = server.ask(format!("DELETE {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        answer.is_error(405, &["DELETE", "GET"]);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn a_body_too_long_as_sent_is_refused_early_by_its_length() {
    let server = Server::start().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: test\r\ncontent-length: 1048577\r\n\r\n");
    let mut client = server.client().await;
    client.send(head).await;
    let answer = client.answer().await;
    answer.is_error(413, &["1048576 bytes as sent"]);
    assert!(answer.closes());
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let server = Server::start().await;
    let body = vec![b'x'; 1 << 20];
    server.ask(put(&body)).await.is(200, &ok(1, 1 << 20, false));
    assert_eq!(server.bodies(), [&body[..]]);

    let mut chunked = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n100001\r\n"
    )
    .into_bytes();
    chunked.extend_from_slice(&body);
    chunked.extend_from_slice(b"x\r\n0\r\n\r\n");
    server.ask(chunked).await.is_error(413, &["1048576 bytes as sent"]);
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test]
async fn a_refused_client_that_goes_on_sending_still_reads_its_answer() {
    let server = Server::start().await;
    let mut client = server.client().await;
    // More than all the buffers on the way: it must be read by somebody or the send blocks.
    client.send(put(vec![b'x'; 16 << 20])).await;
    client.answer().await.is_error(413, &["1048576"]);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn chunks_are_put_together() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .send(format!("PUT {PATH} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"))
        .await;
    for chunk in ["{\"a\"", ":1}\n{", "\"a\":2}"] {
        client.send(format!("{:x}\r\n{chunk}\r\n", chunk.len())).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.send("0\r\n\r\n").await;
    client.answer().await.is(200, &ok(2, 15, false));
    assert_eq!(server.bodies(), ["{\"a\":1}\n{\"a\":2}"]);
}

#[tokio::test]
async fn a_full_journal_is_503_with_a_time_to_come_back() {
    let server = Server::with(|_, options| {
        options.quota_bytes = 256 << 10;
        options.segment_bytes = 64 << 10;
        // Of these letters nothing would be left.
        options.compress_from_bytes = None;
    })
    .await;
    let mut refused = None;
    for number in 0..8 {
        let mut body = vec![b'x'; 60 << 10];
        body[0] = b'0' + number;
        let answer = server.ask(put(body)).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("eight bodies of 60 KiB in a quota of 256 KiB");
    refused.is_error(503, &["journal is full"]);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert!(!refused.closes(), "the body was read: the connection can go on");

    server.ask(put(vec![b'x'; 200 << 10])).await.is_error(413, &["204800 bytes"]);
}

#[tokio::test]
async fn a_closed_journal_is_503_and_not_ready() {
    let server = Server::start().await;
    server.ask(put("{}")).await.is(200, &ok(1, 2, false));
    server.journal.close();
    let answer = server.ask(put("{\"a\":1}")).await;
    answer.is_error(503, &["closed"]);
    assert!(answer.header("retry-after").is_some());

    let ready = server.ask("GET /health/ready HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains(r#""part":"journal""#), "{}", ready.body);
}

#[tokio::test]
async fn health_says_which_part_is_not_ready() {
    let server = Server::start().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    server.ask(get("/health/live")).await.is(200, r#"{"status":"live"}"#);
    server.ask(get("/health/ready")).await.is(200, r#"{"status":"ready"}"#);

    server.readiness.set("store", Err("says \"no\"".into()));
    let expected = r#"{"status":"not ready","parts":[{"part":"store","reason":"says \"no\""}]}"#;
    server.ask(get("/health/ready")).await.is(503, expected);
    server.ask(get("/health/live")).await.is(200, r#"{"status":"live"}"#);

    server.readiness.set("store", Ok(()));
    server.readiness.set_trouble("lake", Err("is away".into()));
    let expected = r#"{"status":"ready","trouble":[{"part":"lake","reason":"is away"}]}"#;
    server.ask(get("/health/ready")).await.is(200, expected);

    server.readiness.set_trouble("lake", Ok(()));
    server.readiness.set_oldest_pending(Some(Micros(1_764_364_800_000_000)));
    let expected = r#"{"status":"ready","oldest_pending":"2025-11-28T21:20:00Z"}"#;
    server.ask(get("/health/ready")).await.is(200, expected);
    server.readiness.set_oldest_pending(None);
    server.ask(get("/health/ready/")).await.is(200, r#"{"status":"ready"}"#);
}

#[tokio::test]
async fn metrics_count_what_was_taken() {
    let server = Server::start().await;
    server.ask(put("{}\n{}")).await.is(200, &ok(2, 5, false));
    let answer = server.ask("GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    // Other tests of this process count too: at least ours.
    let value = |series: &str| -> f64 {
        let line = answer.body.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
    };
    assert!(value("sessionlake_http_requests_total{route=\"ingest\",code=\"200\"}") >= 1.0);
    assert!(value("sessionlake_received_lines_total{endpoint=\"default\"}") >= 2.0);
    assert!(value("sessionlake_received_bytes_total{endpoint=\"default\"}") >= 5.0);
    assert!(value("sessionlake_ack_duration_seconds_count{endpoint=\"default\"}") >= 1.0);
    assert!(value("sessionlake_ready{part=\"receive\"}") >= 0.0);
    assert!(value("sessionlake_http_connections") >= 1.0);
}
