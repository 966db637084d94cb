//! Bodies that are made of rejects.

use super::super::unread::UNREAD_BYTES;
use super::*;
use crate::record::{StoredText, TextInMemory};
use crate::table::Revision;

/// Checks that the rejects are `came` from where reading ended, whole; returns their number of entries.
fn rest_of<'a>(decoded: &'a Decoded, came: &[u8]) -> Vec<&'a Reject> {
    let rest = decoded.rejects.iter().filter(|reject| reject.code == RejectCode::NotRead);
    let rest: Vec<&Reject> = rest.collect();
    let text: Vec<u8> = rest.iter().flat_map(|r| [&r.raw[..], b"\n"].concat()).collect();
    let end = came.trim_ascii_end();
    assert!(end.ends_with(text.trim_ascii_end()), "not the rest of the body");
    rest
}

#[test]
fn lines_of_two_bytes_are_read_a_hundred_times_and_kept_whole() {
    for line in ["{\n", "x\n", "\"\n", "{}x\n", "{\"a\n", "{\"a\":\n", "]\n", "\u{1}\n", "{\r\n"] {
        let lines = 200_000;
        let came = line.repeat(lines);
        let decoded = decode(&came);
        assert!(decoded.rejects.len() < 170, "{line:?}: {} entries", decoded.rejects.len());
        assert_eq!((decoded.counts.rows, decoded.counts.lines), (0, lines as u64), "{line:?}");
        let [rest] = rest_of(&decoded, came.as_bytes())[..] else { panic!("{line:?}") };
        assert_eq!(rest.last_line, lines as u64, "{line:?}");
        assert_eq!(rest.last_line - rest.line + 1, rest.lines, "{line:?}");
        assert!(rest.reason.starts_with("not read"), "{}", rest.reason);
    }
}

#[test]
fn what_is_not_read_is_cut_at_ends_of_lines_into_pieces_of_a_bound() {
    let came = "{\n".repeat(5 * UNREAD_BYTES / 2);
    let decoded = decode(&came);
    let rest = rest_of(&decoded, came.as_bytes());
    assert_eq!(rest.len(), 5);
    assert!(rest.iter().all(|reject| reject.raw.len() <= UNREAD_BYTES + 2));
    assert_eq!(decoded.counts.lines, came.len() as u64 / 2);
    // Without an end of a line.
    let came = "x\n".repeat(200) + &"y".repeat(5 * UNREAD_BYTES);
    let decoded = decode(&came);
    let rest = decoded.rejects.iter().filter(|reject| reject.code == RejectCode::NotRead);
    let bytes: Vec<usize> = rest.map(|reject| reject.raw.len()).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= 2 * UNREAD_BYTES), "{bytes:?}");
    assert_eq!(bytes.iter().sum::<usize>(), came.len() - 2 * (decoded.rejects.len() - bytes.len()));
}

#[test]
fn elements_and_bulks_are_no_exception() {
    let came = format!("[{}1]", "1,".repeat(100_000));
    let decoded = decode(&came);
    assert!(decoded.rejects.len() < 120, "{}", decoded.rejects.len());
    rest_of(&decoded, came.as_bytes());

    let came = "{\"index\":{}}\nx\n".repeat(50_000);
    let decoded = decode_form(Form::Elasticsearch, came.as_bytes());
    // Every action has its document, so that the rest begins with an action.
    let rest = rest_of(&decoded, came.as_bytes());
    assert!(rest.is_empty() || rest[0].raw.starts_with(b"{\"index\""));
    let came = "x\n".repeat(50_000);
    let decoded = decode_form(Form::Elasticsearch, came.as_bytes());
    assert!(decoded.rejects.len() < 120, "{}", decoded.rejects.len());
    assert_eq!(decoded.counts.rejects, 50_000);
}

#[test]
fn a_body_with_documents_is_read_to_its_end() {
    // Half of the lines are broken, and they are as short as documents get.
    let came = "{\"n\":1}\n{\"s\":\"some\n{\"n\":2}\n".repeat(20_000);
    let decoded = decode(&came);
    assert_eq!((decoded.counts.rows, decoded.counts.rejects), (40_000, 20_000));
    assert!(decoded.rejects.iter().all(|reject| reject.code != RejectCode::NotRead));
    // However long it is broken before.
    let came = "{\"s\":\"a broken document\n".repeat(20_000) + "{\"n\":1}\n";
    let decoded = decode(&came);
    assert_eq!((decoded.counts.rows, decoded.counts.rejects), (1, 20_000));
    // A hundred of any kind.
    let came = "x\n".repeat(100) + "{\"n\":1}\n";
    assert_eq!(decode(&came).counts.rows, 1);
}

/// A roll that an earlier build sealed has the rows and rejects of that build.
#[test]
fn earlier_revisions_read_every_line() {
    for revision in [Revision::First, Revision::Second, Revision::Third] {
        let mut decoder = Decoder::new(small(), "node".into()).by_revision(revision);
        decoder.push(&body(Form::Ndjson, "{}x\n".repeat(1000).as_bytes()));
        let decoded = decoder.finish();
        assert_eq!(decoded.rejects.len(), 1000, "{revision:?}");
    }
}

#[test]
fn nothing_is_read_on_in_the_next_part_and_blank_lines_count_for_nothing() {
    let came = "x\n\n \n".repeat(1000) + &" \n".repeat(1000);
    // `decode` reads it in parts as well.
    let decoded = decode(&came);
    assert_eq!((decoded.counts.rows, decoded.counts.rejects), (0, 1000));
    let ended = decode(&("x\n".repeat(200) + &"\n".repeat(3 * UNREAD_BYTES)));
    assert_eq!(ended.counts.rejects, 200);
}

/// A body that is read in windows has the rejects of one that is held.
#[test]
fn windows_make_no_difference() {
    let came = "{}x\n".repeat(1000) + &"{\n".repeat(9 * UNREAD_BYTES / 4);
    let whole = decode_as(&small(), came.as_bytes());
    let stored: Arc<dyn StoredText> = Arc::new(TextInMemory(came.clone().into_bytes()));
    let decoder = Decoder::new(small(), "node".into());
    let mut decoder = decoder.with_line_limit(Some(1000));
    let (mut progress, mut ended, mut most) = (Progress::NEW, false, 0);
    while !ended {
        if progress.is_starved() || progress.window().is_empty() {
            let rest = progress.slide().len();
            let start = usize::try_from(progress.window_start()).unwrap();
            let end = came.len().min(start + rest + UNREAD_BYTES + 7);
            most = most.max(end - start);
            progress.set_window(Bytes::copy_from_slice(&came.as_bytes()[start..end]));
        }
        let bytes = progress.window().clone();
        let stored = Some(Arc::clone(&stored));
        let window = Body { bytes, stored, ..body(Form::Ndjson, b"") };
        ended = decoder.read(&window, &mut progress, ReadLimit::NONE);
    }
    let decoded = decoder.finish();
    assert_eq!((decoded.rejects, decoded.counts), (whole.rejects, whole.counts));
    assert!(most < 4 * UNREAD_BYTES, "{most}");
}
