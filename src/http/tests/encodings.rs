//! Packed bodies: whole, broken, cut short, and too much.

use async_compression::Level;
use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use futures::{StreamExt as _, stream};
use tokio::io::AsyncRead;

use super::super::body::{self, AnnouncedBody, BodyLimits};
use super::super::body_budget::{BodyBudget, BudgetTimeouts};
use super::super::encoding::Encoding;
use super::super::refusal::Refusal;
use super::*;

/// The header value, the codec, and how a test packs for it.
const PACKERS: &[(&str, Encoding, &str)] = &[
    ("gzip", Encoding::Gzip, "gzip"),
    ("deflate", Encoding::Deflate, "zlib"),
    ("deflate", Encoding::Deflate, "raw"),
    ("zstd", Encoding::Zstd, "zstd"),
    ("br", Encoding::Brotli, "br"),
];

async fn pack(packer: &str, data: &[u8]) -> Vec<u8> {
    let level = Level::Precise(4);
    let mut reader: Box<dyn AsyncRead + Unpin> = match packer {
        "gzip" => Box::new(GzipEncoder::with_quality(data, level)),
        "zlib" => Box::new(ZlibEncoder::with_quality(data, level)),
        "raw" => Box::new(DeflateEncoder::with_quality(data, level)),
        "zstd" => Box::new(ZstdEncoder::with_quality(data, level)),
        "br" => Box::new(BrotliEncoder::with_quality(data, level)),
        other => panic!("{other}"),
    };
    let mut packed = Vec::new();
    reader.read_to_end(&mut packed).await.unwrap();
    packed
}

/// Lines that do not pack to nothing.
fn lines(count: usize) -> Vec<u8> {
    let line =
        |n: usize| format!("{{\"n\":{n},\"h\":{}}}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (0..count).map(line).collect::<String>().into_bytes()
}

async fn read(encoding: Encoding, chunks: Vec<&[u8]>) -> Result<Bytes, Refusal> {
    let chunks: Vec<_> =
        chunks.into_iter().map(|c| Ok::<_, io::Error>(Bytes::copy_from_slice(c))).collect();
    let announced =
        AnnouncedBody { encoding: Some(encoding), length_bytes: None, peer: somebody() };
    let memory = Arc::new(BodyBudget::new(64 << 20));
    let whole = body::read(
        stream::iter(chunks),
        announced,
        BodyLimits::of(&options().endpoints[0]),
        &memory,
    )
    .await?;
    Ok(whole.bytes)
}

#[tokio::test]
async fn each_encoding_is_taken_off() {
    let server = Server::start().await;
    let mut expected = Vec::new();
    for (number, (name, _, packer)) in PACKERS.iter().enumerate() {
        let data = lines(5000 + number);
        let packed = pack(packer, &data).await;
        assert!(packed.len() < data.len());
        let answer = server.ask(put_with(&format!("content-encoding: {name}\r\n"), packed)).await;
        answer.is(200, &ok(5000 + number, data.len(), false));
        expected.push(data);
    }
    assert_eq!(server.bodies(), expected);
}

#[tokio::test]
async fn a_packed_repetition_of_a_plain_body_is_a_duplicate() {
    let server = Server::start().await;
    let data = lines(10);
    server.ask(put(&data)).await.is(200, &ok(10, data.len(), false));
    let packed = pack("gzip", &data).await;
    let answer = server.ask(put_with("content-encoding: x-gzip\r\n", packed)).await;
    answer.is(200, &ok(10, data.len(), true));
}

#[tokio::test]
async fn chunks_of_any_size_inflate_to_the_same() {
    let data = lines(300);
    for (_, encoding, packer) in PACKERS {
        let packed = pack(packer, &data).await;
        for size in [1, 2, 3, 7, 1000, packed.len()] {
            let got = read(*encoding, packed.chunks(size).collect()).await.unwrap();
            assert_eq!(got, data, "{packer} in chunks of {size}");
        }
    }
}

#[tokio::test]
async fn a_packed_body_cut_anywhere_is_broken_and_never_taken_for_less() {
    let data = lines(300);
    for (_, encoding, packer) in PACKERS {
        let packed = pack(packer, &data).await;
        for len in 1..packed.len() {
            let cut = &packed[..len];
            for chunks in [vec![cut], cut.chunks(64).collect()] {
                match read(*encoding, chunks).await {
                    Err(Refusal::BrokenEncoding { .. }) => (),
                    other => panic!("{packer} cut at {len} of {}: {other:?}", packed.len()),
                }
            }
        }
    }
}

#[tokio::test]
async fn bytes_after_the_end_are_broken() {
    let data = lines(300);
    for (_, encoding, packer) in PACKERS {
        let packed = pack(packer, &data).await;
        let (len, more) = (packed.len() as u64, [&packed[..], b"xyz"].concat());
        for chunks in [vec![&more[..]], vec![&packed[..], b"xyz"], more.chunks(1).collect()] {
            match read(*encoding, chunks).await {
                Err(Refusal::BrokenEncoding { at_bytes, inflated_bytes, .. }) => {
                    assert!(at_bytes <= len + 3, "{packer}: {at_bytes}");
                    assert_eq!(inflated_bytes, data.len() as u64, "{packer}");
                }
                other => panic!("{packer}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn several_gzip_members_and_zstd_frames_are_one_body() {
    for (encoding, packer) in [(Encoding::Gzip, "gzip"), (Encoding::Zstd, "zstd")] {
        let parts = [lines(10), lines(200), Vec::new(), lines(3)];
        let mut packed = Vec::new();
        for part in &parts {
            packed.extend(pack(packer, part).await);
        }
        for size in [1, 10, packed.len()] {
            let got = read(encoding, packed.chunks(size).collect()).await.unwrap();
            assert_eq!(got, parts.concat(), "{packer} in chunks of {size}");
        }
    }
}

/// A frame that decoders pass over, as pzstd and seekable zstd write them.
fn skippable(nibble: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[0x50 | nibble, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
}

#[tokio::test]
async fn skippable_zstd_frames_are_passed_over_wherever_they_are() {
    let (one, two) = (lines(10), lines(200));
    let (first, second) = (pack("zstd", &one).await, pack("zstd", &two).await);
    let skip = [skippable(0, b"\x10\0\0\0"), skippable(15, b""), skippable(3, &[7; 100_000])];
    for packed in [
        [&skip[0][..], &first, &skip[0], &second].concat(),
        [&first[..], &skip[1], &skip[2], &second, &skip[2]].concat(),
        [&skip[2][..], &skip[1], &skip[0], &first, &second].concat(),
    ] {
        for size in [1, 10, packed.len()] {
            let got = read(Encoding::Zstd, packed.chunks(size).collect()).await.unwrap();
            assert_eq!(got, [&one[..], &two].concat(), "in chunks of {size}");
        }
    }
    let cut = [&first[..], &skip[2][..50]].concat();
    let error = read(Encoding::Zstd, vec![&cut]).await.unwrap_err();
    assert!(matches!(error, Refusal::BrokenEncoding { .. }), "{error}");
}

#[tokio::test]
async fn zeros_after_a_gzip_member_are_passed_over() {
    let (one, two) = (lines(10), lines(200));
    let (first, second) = (pack("gzip", &one).await, pack("gzip", &two).await);
    for packed in [
        [&first[..], &second, &[0; 512]].concat(),
        [&first[..], &[0], &second].concat(),
        [&first[..], &[0; 100_000], &second, &[0]].concat(),
    ] {
        for size in [1, 10, packed.len()] {
            let got = read(Encoding::Gzip, packed.chunks(size).collect()).await.unwrap();
            assert_eq!(got, [&one[..], &two].concat(), "in chunks of {size}");
        }
    }
    for broken in [
        [&first[..], &[0; 9], b"xyz"].concat(),
        [&first[..], &[0; 9], &second[..20]].concat(),
        [&[0; 9][..], &first].concat(),
    ] {
        let error = read(Encoding::Gzip, vec![&broken]).await.unwrap_err();
        assert!(matches!(error, Refusal::BrokenEncoding { .. }), "{error}");
    }
}

#[tokio::test]
async fn members_joined_within_a_line_are_lines() {
    let server = Server::start().await;
    let data = lines(10);
    for name in ["gzip", "zstd"] {
        let (one, two) = data.split_at(data.len() / 2 + usize::from(name == "zstd"));
        let packed = [pack(name, one).await, pack(name, two).await].concat();
        let answer = server.ask(put_with(&format!("content-encoding: {name}\r\n"), packed)).await;
        answer.is(200, &ok(10, data.len(), name == "zstd"));
    }
    assert_eq!(server.bodies(), [data]);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_400_with_the_place() {
    let server = Server::start().await;
    for (name, _, packer) in PACKERS {
        let mut packed = pack(packer, &lines(300)).await;
        let middle = packed.len() / 2;
        packed.truncate(middle);
        let answer = server.ask(put_with(&format!("content-encoding: {name}\r\n"), &packed)).await;
        answer.is_error(400, &[name, &format!("near byte {middle}"), "nothing was kept"]);
        assert!(!answer.closes(), "the body was read to its end: {answer:?}");
    }
    for name in ["gzip", "zstd"] {
        let answer = server.ask(put_with(&format!("content-encoding: {name}\r\n"), "{}\n{}")).await;
        answer.is_error(400, &[name]);
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn an_encoding_that_is_not_known_is_415_with_those_that_are() {
    let server = Server::start().await;
    for value in ["compress", "gzip, gzip", "utf-8"] {
        let answer = server.ask(put_with(&format!("content-encoding: {value}\r\n"), "{}")).await;
        answer.is_error(415, &[value, "gzip, deflate, zstd, br"]);
        assert_eq!(answer.header("accept-encoding"), Some("gzip, deflate, zstd, br"));
    }
    let answer = server.ask(put_with("content-encoding: identity\r\n", "{}")).await;
    answer.is(200, &ok(1, 2, false));
}

#[tokio::test]
async fn a_bomb_stops_at_the_limit() {
    let server = Server::start().await;
    let zeros = vec![b' '; 64 << 20];
    for (name, _, packer) in PACKERS {
        let packed = pack(packer, &zeros).await;
        assert!(packed.len() < 1 << 20, "{packer}: it has to fit as sent");
        let answer = server.ask(put_with(&format!("content-encoding: {name}\r\n"), packed)).await;
        answer.is_error(413, &["2097152 bytes when inflated"]);
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_inflated_limit_is_taken_and_one_byte_more_is_not() {
    for (_, encoding, packer) in PACKERS {
        let mut data = vec![b'x'; 2 << 20];
        let packed = pack(packer, &data).await;
        assert_eq!(read(*encoding, vec![&packed]).await.unwrap(), data, "{packer}");
        data.push(b'x');
        let packed = pack(packer, &data).await;
        let error = read(*encoding, vec![&packed]).await.unwrap_err();
        assert!(matches!(error, Refusal::InflatedTooLong { .. }), "{packer}: {error}");
    }
}

#[tokio::test]
async fn a_zstd_window_over_8_mib_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    std::io::Write::write_all(&mut encoder, &lines(300)).unwrap();
    let packed = encoder.finish().unwrap();
    let error = read(Encoding::Zstd, vec![&packed]).await.unwrap_err();
    assert!(matches!(error, Refusal::BrokenEncoding { .. }), "{error}");
    assert!(error.to_string().contains("memory"), "{error}");
}

#[tokio::test]
async fn without_memory_it_is_503_and_all_of_it_comes_back() {
    let timeouts = BudgetTimeouts { memory: Duration::from_millis(50), ..BudgetTimeouts::DEFAULT };
    let memory = Arc::new(BodyBudget::with_timeouts(1 << 20, timeouts));
    let announced = AnnouncedBody { encoding: None, length_bytes: None, peer: somebody() };
    let chunk = |len| Ok::<_, io::Error>(Bytes::from(vec![b'x'; len]));
    let settings = BodyLimits::of(&options().endpoints[0]);
    let one = stream::iter([chunk(600 << 10)]);
    let one = body::read(one, announced, settings, &memory).await.unwrap();
    let two = stream::iter([chunk(300 << 10), chunk(300 << 10)]);
    let error = body::read(two, announced, settings, &memory).await.unwrap_err();
    assert!(matches!(error, Refusal::NoMemory), "{error}");
    let response = error.into_response();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    drop(one);
    assert_eq!(memory.free_bytes(), 1 << 20);
}

#[tokio::test]
async fn a_body_in_one_chunk_does_not_keep_the_buffer_that_it_is_a_part_of() {
    let memory = Arc::new(BodyBudget::new(1 << 20));
    let announced = AnnouncedBody { encoding: None, length_bytes: Some(3), peer: somebody() };
    let chunk = Bytes::from(vec![1, 2, 3]);
    let chunks = stream::iter([Ok::<_, io::Error>(chunk.clone()), Ok(Bytes::new())]);
    let whole = body::read(chunks, announced, BodyLimits::of(&options().endpoints[0]), &memory)
        .await
        .unwrap();
    assert_eq!(whole.bytes, chunk);
    assert!(chunk.is_unique());
    assert_eq!(memory.free_bytes(), (1 << 20) - super::super::body_budget::BLOCK_BYTES);
    drop(whole);
    assert_eq!(memory.free_bytes(), 1 << 20);
}

#[tokio::test]
async fn a_sender_that_falls_silent_or_holds_much_for_long_is_not_waited_for() {
    let silence = Duration::from_millis(100);
    let timeouts = BudgetTimeouts { chunk: silence, large: 3 * silence, ..BudgetTimeouts::DEFAULT };
    let memory = Arc::new(BodyBudget::with_timeouts(1 << 20, timeouts));
    let announced = AnnouncedBody { encoding: None, length_bytes: None, peer: somebody() };
    let limits = BodyLimits::of(&options().endpoints[0]);
    let chunk = |len| Ok::<_, io::Error>(Bytes::from(vec![b'x'; len]));
    let silent = stream::iter([chunk(10), chunk(10)]).chain(stream::pending());
    let began = std::time::Instant::now();
    let error = body::read(silent, announced, limits, &memory).await.unwrap_err();
    assert!(matches!(error, Refusal::BodySilent { .. }), "{error}");
    assert!(began.elapsed() < 5 * silence, "{:?}", began.elapsed());
    // Never silent, and never done.
    let drip = || async { tokio::time::sleep(silence / 4).await };
    let dripping = stream::iter([chunk(700 << 10)]).chain(stream::repeat_with(|| chunk(1)).then(
        |one| async {
            drip().await;
            one
        },
    ));
    let dripping = body::read(dripping, announced, limits, &memory);
    let mut dripping = std::pin::pin!(dripping);
    let alone = timeout(8 * silence, dripping.as_mut()).await;
    assert!(alone.is_err(), "nobody waits for what it holds");
    let mut other = memory.reserve(crate::peers::Peer::of([192, 0, 2, 2].into()));
    let (error, served) = tokio::join!(dripping, other.grow_to(1 << 20));
    let error = error.unwrap_err();
    assert!(matches!(error, Refusal::BodyTooLargeToBeSlow), "{error}");
    assert_eq!(served, Ok(()));
    drop(other);
    assert_eq!(error.into_response().status(), 408);
    assert_eq!(memory.free_bytes(), 1 << 20);
}

#[tokio::test]
async fn a_body_at_the_limit_is_encrypted_and_taken_and_its_memory_comes_back() {
    let cipher = crate::journal::BodyCipher::derived(|_| [7; 32]);
    let server = Server::with(|options, of_journal| {
        (of_journal.cipher, of_journal.encrypt) = (cipher, true);
        options.endpoints[0].inflated_limit_bytes = 160 << 20;
    })
    .await;
    let mut body = vec![b' '; 159 << 20];
    body.extend_from_slice(b"{}");
    let packed = pack("gzip", &body).await;
    let began = std::time::Instant::now();
    for duplicate in [false, true] {
        let answer = server.ask(put_with("content-encoding: gzip\r\n", &packed)).await;
        answer.is(200, &ok(1, body.len(), duplicate));
    }
    assert!(began.elapsed() < SOON);
    assert!(server.bodies()[0] == body);
}

/// Were each given what it can get, all would have a part of what they need, and none enough.
#[tokio::test]
async fn many_bodies_at_once_wait_in_turn_and_not_for_one_another() {
    let text = "{\"userSessionId\":\"one\"}\n".repeat((256 << 10) / 24);
    for encoding in [None, Some(Encoding::Gzip)] {
        let sent = match encoding {
            None => text.clone().into_bytes(),
            Some(_) => pack("gzip", text.as_bytes()).await,
        };
        let memory = Arc::new(BodyBudget::new(2 << 20));
        let limits = BodyLimits { body_limit_bytes: 1 << 20, inflated_limit_bytes: 1 << 20 };
        let began = std::time::Instant::now();
        let bodies = (0..32).map(|_| {
            let (memory, sent, text) = (Arc::clone(&memory), sent.clone(), text.clone());
            tokio::spawn(async move {
                let length_bytes = Some(sent.len() as u64);
                let announced = AnnouncedBody { encoding, length_bytes, peer: somebody() };
                let parts: Vec<_> =
                    sent.chunks(sent.len() / 8).map(Bytes::copy_from_slice).collect();
                let chunks = stream::iter(parts).then(|part| async {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok::<_, io::Error>(part)
                });
                let body = body::read(chunks, announced, limits, &memory).await?;
                assert!(body.bytes == text);
                Ok::<_, Refusal>(())
            })
        });
        for body in bodies.collect::<Vec<_>>() {
            body.await.unwrap().unwrap_or_else(|error| panic!("{encoding:?}: {error}"));
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(memory.free_bytes(), 2 << 20);
    }
}
