//! Documents that would be hundreds of times their bytes as columns.

use super::*;

fn builtin() -> Arc<TableSchema> {
    TableSchema::builtin("user_sessions").unwrap()
}

/// The parts of a body, read as the engine reads: bytes in memory, counts, reasons.
fn parts(bytes: String) -> Vec<(usize, Counts, Vec<String>)> {
    let mut decoder = Decoder::new(builtin(), "node".into());
    let body = body(Form::Ndjson, bytes.as_bytes());
    let limit = ReadLimit { lines: 32_768, bytes: 8 << 20, column_bytes: 8 << 20 };
    let (mut progress, mut parts, mut ended) = (Progress::NEW, Vec::new(), false);
    while !ended {
        ended = decoder.read(&body, &mut progress, limit);
        let part = decoder.finish();
        let reasons = part.rejects.into_iter().map(|reject| reject.reason).collect();
        parts.push((crate::columnar::sizes::held_bytes(&part.batch), part.counts, reasons));
    }
    parts
}

#[test]
fn a_million_short_elements_or_fields_are_no_row() {
    let many = |item: &str, count: usize| vec![item; count].join(",");
    for document in [
        format!(r#"{{"startTime":1,"userActions":[{}]}}"#, many("{}", 1 << 20)),
        format!(r#"{{"startTime":1,"userActions":[{}]}}"#, many("null", 1 << 20)),
        format!(r#"{{"startTime":1,"userActions":[{}]}}"#, many("1", 1 << 20)),
        format!(r#"{{"startTime":1,"userActions":[[{}]]}}"#, many("{}", 1 << 20)),
        format!(r#"{{"userActions":[{{"stringProperties":[{}]}}]}}"#, many("{}", 1 << 22)),
        format!(r#"{{"startTime":1,{}}}"#, many(r#""":1"#, 800_000)),
        format!(r#"{{"startTime":1,{}}}"#, many(r#""\u0061":1"#, 800_000)),
        format!(r#"{{"startTime":1,{}}}"#, many(r#""startTime":1"#, 800_000)),
        format!(r#"{{"startTime":1,{}}}"#, many(r#""duration":"""#, 800_000)),
        format!(r#"{{"stringTags":{{{}}}}}"#, many(r#""":"""#, 800_000)),
        format!(
            r#"{{"numTags":{{{}}}}}"#,
            (0..400_000).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(",")
        ),
    ] {
        let text = format!("{{\"duration\":1}}\n{document}\n{{\"duration\":2}}\n");
        let start: String = document.chars().take(50).collect();
        let mut total = Counts::default();
        for (bytes, counts, reasons) in parts(text) {
            assert!(bytes < 64 << 20, "{} MiB: {start}", bytes >> 20);
            assert!(
                reasons.iter().all(|reason| reason.contains("too many elements")),
                "{reasons:?}"
            );
            total += counts;
        }
        assert_eq!(total.lines, 3, "{start}");
        assert!(total.rows >= 2, "{start}");
    }
}

#[test]
fn rows_of_many_short_elements_end_a_part_early() {
    let line = format!("{{\"startTime\":1,\"userActions\":[{}]}}\n", vec!["{}"; 20_000].join(","));
    let parts = parts(line.repeat(400));
    for (bytes, counts, _) in &parts {
        assert!(*bytes < 128 << 20, "{} MiB of {counts:?}", bytes >> 20);
    }
    assert_eq!(parts.iter().map(|part| part.1.rows).sum::<u64>(), 400);
}

#[test]
fn a_long_document_of_real_actions_is_a_row() {
    let action = format!(
        r#"{{"name":"click on \"Buy\" on page /checkout","type":"Xhr","startTime":1793534400000,"endTime":1793534401000,"duration":1000,"new":{{"a":1}},"stringProperties":[{}]}}"#,
        vec![r#"{"key":"sorting","value":"price"}"#; 20].join(",")
    );
    let array = format!("{{\"userActions\":[{}]}}", vec![action; 50_000].join(","));
    let total: u64 = parts(array).iter().map(|part| part.1.rows).sum();
    assert_eq!(total, 1);
}
