//! The exporter against a collector in the process.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode, Version};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::settings::Settings;
use super::wire::{Fields, Value};
use super::{Begun, Exporter, Sources};
use crate::metrics;
use crate::record::{Micros, Roll};
use crate::status::{Observer as _, Readiness, RollEvent};

/// A request that a collector got: its head, and its body without compression.
type Got = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Starts a collector that gives `answer` to each request, or none at all. Returns its URL.
async fn collector(answer: Option<&'static str>) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let got = Got::default();
    let keeps = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let keeps = Arc::clone(&keeps);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let (head, mut body) = loop {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                        continue;
                    };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap();
                    let length: usize = length.lines().next().unwrap().parse().unwrap();
                    let body = &bytes[end + 4..];
                    if body.len() == length {
                        break (head, body.to_vec());
                    }
                };
                if head.contains("content-encoding: gzip") {
                    let mut plain = Vec::new();
                    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                    body = plain;
                }
                keeps.lock().push((head, body));
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => std::future::pending().await,
                }
            });
        }
    });
    (url, got)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn start(variables: &[(&str, &str)], readiness: &Arc<Readiness>) -> (Exporter, Sources) {
    let settings = Settings::read(|name| {
        variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).as_ref())
    });
    assert_eq!(settings.problems, [""; 0]);
    let node = Arc::new(OnceLock::from("node-1".to_owned()));
    let mut sources = None;
    let (handle, readiness) = (metrics::install(), Arc::clone(readiness));
    let exporter = Exporter::with(settings, handle, readiness, node, |of| sources = Some(of));
    (exporter.unwrap(), sources.unwrap())
}

fn put<'r>(route: &'r str, traceparent: Option<&'r HeaderValue>) -> Begun<'r> {
    Begun {
        method: &Method::PUT,
        route: Some(route),
        is_encrypted: false,
        version: Version::HTTP_11,
        traceparent,
        is_watched: false,
    }
}

/// Returns the messages below `message` at a path of field numbers.
fn at<'b>(message: &'b [u8], path: &[u32]) -> Vec<&'b [u8]> {
    let Some((field, rest)) = path.split_first() else { return vec![message] };
    let inner = Fields(message).filter_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == *field => Some(bytes),
        _ => None,
    });
    inner.flat_map(|inner| at(inner, rest)).collect()
}

fn texts(message: &[u8], path: &[u32]) -> Vec<String> {
    at(message, path).into_iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_and_traced_arrives_whole_at_the_end() {
    let (url, got) = collector(Some(TAKEN)).await;
    let (exporter, sources) = start(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Api-Token%20SECRET"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "lake-of-tests"),
        ],
        &Arc::default(),
    );
    let parent =
        HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    sources.requests.begin(&put("/export/events", Some(&parent))).answered(StatusCode::OK);
    // Its client goes away.
    drop(sources.requests.begin(&put("/export/events", None)));
    // A probe has no span.
    let probe = Begun { is_watched: true, ..put("/health/live", None) };
    sources.requests.begin(&probe).answered(StatusCode::OK);
    let held = sources.requests.begin(&put("/other", None));
    let rolls = sources.rolls.unwrap();
    let committed =
        RollEvent::Committed { roll: Roll(3), rows: 5, rejects: 0, doubled: 0, files: 1, bytes: 9 };
    rolls.observe(Micros(10), &RollEvent::Opened { roll: Roll(3) });
    rolls.observe(Micros(90), &committed);
    let began = Instant::now();
    exporter.end().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(held);

    let got = got.lock();
    assert!(got.iter().all(|(head, _)| head.contains("application/x-protobuf")
        && head.contains("authorization: api-token secret")));
    let of = |path: &str| {
        let found = got.iter().rev().find(|(head, _)| head.starts_with(&format!("post {path} ")));
        found.unwrap_or_else(|| panic!("{path}: {:?}", got.len())).1.clone()
    };
    let (metrics, traces) = (of("/v1/metrics"), of("/v1/traces"));
    let resource = texts(&metrics, &[1, 1, 1, 2, 1]);
    assert!(resource.contains(&"lake-of-tests".to_owned()), "{resource:?}");
    assert!(resource.contains(&"node-1".to_owned()), "{resource:?}");
    assert_eq!(resource, texts(&traces, &[1, 1, 1, 2, 1]));
    let names = texts(&metrics, &[1, 2, 2, 1]);
    for name in [
        metrics::ROLL_DURATION,
        metrics::HTTP_REQUESTS,
        super::DROPPED_SPANS,
        super::EXPORTS,
        "process_resident_memory_bytes",
        "http.server.request.duration",
        "http.server.active_requests",
    ] {
        assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{name}: {names:?}");
    }
    let all = at(&metrics, &[1, 2, 2]);
    let metric = |name: &str| *all.iter().find(|m| texts(m, &[1]) == [name]).unwrap();
    let durations = at(metric("http.server.request.duration"), &[9, 1]);
    assert_eq!(durations.len(), 3, "answered, given up, probe");
    for point in durations {
        assert!(Fields(point).any(|field| field == (4, Value::Fixed(1))), "{point:?}");
        let counts = at(point, &[6])[0];
        assert_eq!(counts.len(), 15 * 8);
    }
    let active = at(metric("http.server.active_requests"), &[7, 1]);
    assert!(active.len() == 1 && Fields(active[0]).any(|field| field == (6, Value::Fixed(1))));

    let spans = at(&traces, &[1, 2, 2]);
    let mut names: Vec<_> = spans.iter().map(|span| texts(span, &[5]).concat()).collect();
    names.sort();
    assert_eq!(names, ["PUT /export/events", "PUT /export/events", "roll"]);
    let is_child = |span: &&&[u8]| at(span, &[4]) == [&0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()[..]];
    let child: Vec<_> = spans.iter().filter(is_child).collect();
    assert_eq!(child.len(), 1);
    assert_eq!(at(child[0], &[1])[0][..2], [0x4b, 0xf9]);
    let shown = String::from_utf8_lossy(&traces).to_lowercase();
    assert!(!shown.contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_keeps_nobody_and_what_is_dropped_is_counted() {
    let (url, got) = collector(None).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    let (exporter, sources) = start(&variables, &Arc::default());
    let before = dropped();
    let began = Instant::now();
    for _ in 0..1000 {
        sources.requests.begin(&put("/export/events", None)).answered(StatusCode::OK);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // A batch is under way, another waits in the exporter, and the queue is full.
    assert!(dropped() - before >= 1000 - 8 - 4 - 4, "{}", dropped() - before);
    while got.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    exporter.end().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_is_trouble_with_advice_until_it_takes_exports() {
    let readiness = Arc::new(Readiness::new());
    let (url, got) = collector(Some(REFUSED)).await;
    let variables =
        [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*url), ("OTEL_METRIC_EXPORT_INTERVAL", "20")];
    let (exporter, sources) = start(&variables, &readiness);
    assert!(sources.rolls.is_none());
    while got.lock().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let [(part, why)] = &readiness.trouble()[..] else { panic!("{:?}", readiness.trouble()) };
    assert_eq!(*part, "otlp");
    assert!(why.contains("403") && why.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{why}");
    assert_eq!(readiness.check(), Ok(()), "bodies are taken meanwhile");
    exporter.end().await;
}

/// Returns the count of dropped spans.
fn dropped() -> u64 {
    let text = metrics::install().render();
    let line = text.lines().find_map(|line| line.strip_prefix(super::DROPPED_SPANS));
    line.map_or(0, |value| value.trim().parse().unwrap())
}
