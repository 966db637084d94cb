//! Lines, arrays, bulk actions, and what is rejected.

use serde_json::json;

use super::*;
use crate::schema::INGEST_TIME;
use crate::table::Revision;
use arrow::datatypes::TimestampMicrosecondType;

#[test]
fn documents_stand_one_a_line_however_lines_end() {
    for text in [
        "{\"n\":1}\n{\"n\":2}\n",
        "{\"n\":1}\n{\"n\":2}",
        "{\"n\":1}\r\n{\"n\":2}\r\n",
        "\u{feff}{\"n\":1}\n{\"n\":2}\n \t\r\n",
        " {\"n\":1} \n\t{ \"n\" : 2 }\r",
    ] {
        let decoded = decode(text);
        assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})], "{text:?}");
        assert_eq!(lines(&decoded), ["1", "2"]);
        assert_eq!(decoded.counts.lines, 2);
    }
}

/// Files that begin with the mark are joined.
#[test]
fn a_byte_order_mark_may_begin_any_line() {
    for text in [
        "{\"n\":1}\n\u{feff}{\"n\":2}\n",
        "\u{feff}{\"n\":1}\r\n\u{feff} {\"n\":2}\n\u{feff}\n\u{feff}",
    ] {
        let decoded = decode(text);
        assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})], "{text:?}");
        assert_eq!((lines(&decoded), decoded.counts.lines), (vec!["1".into(), "2".into()], 2));
    }
    let bulk =
        "{\"index\":{}}\n\u{feff}{\"n\":1}\n\u{feff}{\"create\":{\"_id\":\"x\"}}\n{\"n\":2}\n";
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let decoded = decode_form(form, bulk.as_bytes());
        assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})]);
        assert!(texts(&decoded, EXTRA)[1].as_ref().unwrap().contains("\"x\""));
        assert_eq!((lines(&decoded), decoded.counts.actions), (vec!["2".into(), "4".into()], 2));
    }
    let mut decoder = Decoder::new(small(), "node".into()).by_revision(Revision::First);
    decoder.push(&body(Form::Ndjson, bulk.as_bytes()));
    assert_eq!(
        decoder.finish().counts,
        Counts { lines: 3, rows: 1, rejects: 2, actions: 1, ..Counts::default() }
    );
    let twice = decode("{\"n\":1}\n{\u{feff}}\n\u{feff}\u{feff}{}");
    assert_eq!(rejects(&twice).len(), 2, "only at the beginning, and once");
}

#[test]
fn blank_lines_count_as_positions_only() {
    let decoded = decode("\n\n{\"n\":1}\n \r\n{\"n\":2}\n\nx\n");
    assert_eq!(lines(&decoded), ["3", "5"]);
    assert_eq!(rejects(&decoded), [(7, "not a JSON object at byte 1", "x".into())]);
    for empty in ["", "\n", "\r\n \n", "\u{feff}", "\u{feff}\n"] {
        assert_eq!(decode(empty).counts, Counts::default(), "{empty:?}");
    }
}

#[test]
fn lineage_names_the_body_and_the_line_of_the_file() {
    let mut decoder = Decoder::new(small(), "eu-abc".into());
    let mut first = body(Form::Ndjson, b"{}\n{}\n");
    first.first_line = 100;
    decoder.push(&first);
    let second = Body { seq: Seq(8), received_at: Micros(5), ..body(Form::Ndjson, b"[{},1,{}]") };
    decoder.push(&second);
    let decoded = decoder.finish();
    let ids: Vec<_> = texts(&decoded, INGEST_ID).into_iter().flatten().collect();
    assert_eq!(ids, ["eu-abc-7-100", "eu-abc-7-101", "eu-abc-8-1", "eu-abc-8-3"]);
    let times = decoded.batch.column_by_name(INGEST_TIME).unwrap();
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    assert_eq!(times.as_ref(), [1_700_000_000_000_001, 1_700_000_000_000_001, 5, 5]);
    assert_eq!(decoded.batch.schema(), small().arrow());
    assert_eq!(texts(&decoded, EXTRA), [None, None, None, None]);
    assert_eq!((decoded.rejects[0].seq, decoded.rejects[0].line), (Seq(8), 2));
}

#[test]
fn a_finished_batch_leaves_nothing_in_the_next() {
    let mut decoder = Decoder::new(small(), "node".into());
    for round in 0..3 {
        let text =
            format!("{{\"n\":{round},\"items\":[{{\"v\":1}},null],\"m\":{{\"a\":\"b\"}}}}\nx");
        decoder.push(&body(Form::Ndjson, text.as_bytes()));
        let decoded = decoder.finish();
        let expected = json!({"n":round,"items":[{"v":1.0},null],"m":{"a":"b"}});
        assert_eq!(documents(&decoded), [expected]);
        assert_eq!(decoded.counts, Counts { lines: 2, rows: 1, rejects: 1, ..Counts::default() });
    }
    let empty = decoder.finish();
    assert_eq!((empty.batch.num_rows(), empty.counts), (0, Counts::default()));
    assert_eq!(empty.batch.schema(), small().arrow());
}

#[test]
fn every_fault_is_named_with_its_place() {
    let deep = format!("{{\"u\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for (line, reason) in [
        (r#"  {"n":1} x"#, "trailing characters after the document at byte 11"),
        ("5", "not a JSON object at byte 1"),
        ("\"s\"", "not a JSON object at byte 1"),
        (r#"{"n":1"#, "unexpected end of the line at byte 7"),
        (r#"{"s":"abc"#, "unexpected end of the line at byte 10"),
        (r#"{"s":"abc\"#, "unexpected end of the line at byte 11"),
        (r#"{"s":"\u12"#, "unexpected end of the line at byte 11"),
        (r#"{"n":"#, "unexpected end of the line at byte 6"),
        ("{", "unexpected end of the line at byte 2"),
        (r#"{"n":1,}"#, "expected a field name in quotes at byte 8"),
        (r#"{,"n":1}"#, "expected a field name in quotes at byte 2"),
        (r#"{n:1}"#, "expected a field name in quotes at byte 2"),
        (r#"{"n" 1}"#, "expected ':' after the field name at byte 6"),
        (r#"{"n":1 "s":2}"#, "expected ',' or '}' at byte 8"),
        (r#"{"n":1]"#, "expected ',' or '}' at byte 7"),
        (r#"{"ss":["a" "b"]}"#, "expected ',' or ']' at byte 12"),
        (r#"{"ss":["a",]}"#, "expected a value at byte 12"),
        (r#"{"u":[1}}"#, "expected ',' or ']' at byte 8"),
        (r#"{"u":{"a":1]}"#, "expected ',' or '}' at byte 12"),
        (r#"{"n":}"#, "expected a value at byte 6"),
        (r#"{"n":01}"#, "malformed number at byte 7"),
        (r#"{"n":-}"#, "malformed number at byte 7"),
        (r#"{"d":1.}"#, "malformed number at byte 8"),
        (r#"{"u":1e}"#, "malformed number at byte 8"),
        (r#"{"n":+1}"#, "expected a value at byte 6"),
        (r#"{"n":NaN}"#, "expected a value at byte 6"),
        (r#"{"n":nul}"#, "expected true, false or null at byte 6"),
        (r#"{"b":True}"#, "expected a value at byte 6"),
        (r#"{"b":truf}"#, "expected true, false or null at byte 6"),
        (r#"{"s":"a\xb"}"#, "unknown escape in a string at byte 8"),
        (r#"{"s":"\u00g0"}"#, "unknown escape in a string at byte 7"),
        (r#"{"s":"a\ud800b"}"#, "lone surrogate escape at byte 8"),
        (r#"{"s":"a\udc00\ud800"}"#, "lone surrogate escape at byte 8"),
        (r#"{"u":"\ud800\u0041"}"#, "lone surrogate escape at byte 7"),
        (r#"{"\ud800":1}"#, "lone surrogate escape at byte 3"),
        ("{\"s\":\"a\tb\"}", "control character in a string at byte 8"),
        ("{\"a\0\":1}", "control character in a string at byte 4"),
        (&deep, "nested deeper than 128 levels at byte 133"),
        (r#"{'n':1}"#, "expected a field name in quotes at byte 2"),
        ("{\"n\":1}/* */", "trailing characters after the document at byte 8"),
    ] {
        let text = format!("{{\"n\":1,\"ss\":[\"a\"]}}\n{line}\n{{\"n\":2,\"ss\":[\"b\"]}}\n");
        let decoded = decode(&text);
        assert_eq!(rejects(&decoded), [(2, reason, line.to_owned())], "{line}");
        let expected = [json!({"n":1,"ss":["a"]}), json!({"n":2,"ss":["b"]})];
        assert_eq!(documents(&decoded), expected, "{line}");
    }
}

#[test]
fn what_is_not_utf8_is_rejected_line_by_line() {
    let decoded = decode(
        b"{\"s\":\"\xc3\xa4\"}\n{\"s\":\"\xff\"}\n{\"s\":\"ok\"}\n\xfe\xff\0{\n{\"u\":\"\xc3\"}",
    );
    assert_eq!(documents(&decoded), [json!({"s":"ä"}), json!({"s":"ok"})]);
    let reasons: Vec<_> = rejects(&decoded).iter().map(|r| (r.0, r.1)).collect();
    let expected =
        [(2, "not UTF-8 at byte 7"), (4, "not UTF-8 at byte 1"), (5, "not UTF-8 at byte 7")];
    assert_eq!(reasons, expected);
    assert_eq!(decoded.rejects[0].raw, &b"{\"s\":\"\xff\"}"[..]);

    let decoded = decode(b"[{\"s\":\"a\"},{\"s\":\"\xff\"},{\"s\":\"b\"}]");
    assert_eq!(documents(&decoded), [json!({"s":"a"}), json!({"s":"b"})]);
    assert_eq!((decoded.rejects[0].line, &*decoded.rejects[0].reason), (2, "not UTF-8 at byte 7"));
}

#[test]
fn depth_is_limited_to_128_levels_and_costs_no_stack() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{{\"u\":{}1{}}}\n", open.repeat(levels), close.repeat(levels))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert_eq!(decode(nested(open, close, 127)).counts.rows, 1);
        assert_eq!(decode(nested(open, close, 128)).counts.rejects, 1);
        let text = nested(open, close, 100_000) + "{\"n\":1}";
        assert_eq!(documents(&decode(&text)), [json!({"n":1})]);
        assert_eq!(decode("[".repeat(100_000)).counts.rejects, 1);
    }
    // Within columns the levels count just so: a list of lists in a record of the schema.
    let text = format!("{{\"p\":{{\"z\":{{\"u\":{}{}}}}}}}", "[".repeat(125), "]".repeat(125));
    assert_eq!(decode(&text).counts.rows, 1);
    let text = format!("{{\"p\":{{\"z\":{{\"u\":{}{}}}}}}}", "[".repeat(126), "]".repeat(126));
    assert_eq!(decode(&text).counts.rejects, 1);
}

#[test]
fn an_array_is_its_elements() {
    for text in [
        r#"[{"n":1},{"n":2}]"#,
        "\u{feff} \n[\n {\"n\": 1},\n {\n\"n\": 2}\n]\n\n",
        "[{\"n\":1}\r\n,{\"n\":2}]",
    ] {
        let decoded = decode(text);
        assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})], "{text}");
        assert_eq!(lines(&decoded), ["1", "2"]);
        assert_eq!(rejects(&decoded), []);
    }
    assert_eq!(decode("[]").counts, Counts::default());
    assert_eq!(decode(" [ ] \n").counts, Counts::default());
}

#[test]
fn an_element_that_is_no_document_is_one_reject() {
    let decoded = decode(r#"[{"n":1},5,[{"n":9}],"x",null,{"s":"\ud800"},{"n":2}]"#);
    assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})]);
    assert_eq!(lines(&decoded), ["1", "7"]);
    let none = "not a JSON object at byte 1";
    assert_eq!(
        rejects(&decoded),
        [
            (2, none, "5".into()),
            (3, none, r#"[{"n":9}]"#.into()),
            (4, none, "\"x\"".into()),
            (5, none, "null".into()),
            (6, "lone surrogate escape at byte 7", r#"{"s":"\ud800"}"#.into()),
        ]
    );
}

#[test]
fn from_a_broken_element_on_an_array_is_one_reject() {
    for (text, rows, reason, raw) in [
        (
            r#"[{"n":1},{"n":2,},{"n":3}]"#,
            1,
            "expected a field name in quotes at byte 8",
            r#"{"n":2,},{"n":3}]"#,
        ),
        (r#"[{"n":1},{"n":"#, 1, "unexpected end of the body at byte 6", r#"{"n":"#),
        (r#"[{"n":1} {"n":2}]"#, 1, "expected ',' or ']' at byte 1", r#"{"n":2}]"#),
        (r#"[{"n":1},]"#, 1, "expected a value at byte 1", "]"),
        (r#"[{"n":1},"#, 1, "unexpected end of the body at byte 1", ""),
        (r#"[{"n":1}"#, 1, "the array is not closed: unexpected end of the body at byte 1", ""),
        (r#"[{"n":1}] x"#, 1, "trailing characters after the array at byte 1", "x"),
        ("[", 0, "unexpected end of the body at byte 1", ""),
        ("[,]", 0, "expected a value at byte 1", ",]"),
    ] {
        let decoded = decode(text);
        assert_eq!(decoded.counts.rows, rows, "{text}");
        assert_eq!(rejects(&decoded), [(rows + 1, reason, raw.to_owned())], "{text}");
    }
}

#[test]
fn an_element_whose_end_is_sure_leaves_its_neighbours_alone() {
    let deep = format!("{{\"u\":{}[{{}}]{}}}", "{\"a\":".repeat(300), "}".repeat(300));
    for (element, reason) in [
        (r#"{"s":"a\xb"}"#, "unknown escape in a string at byte 8"),
        (r#"{"s":"\u00g0\\"}"#, "unknown escape in a string at byte 7"),
        (r#"{"s":"\u12"}"#, "unknown escape in a string at byte 7"),
        (r#"{"u":[1,{"s":"\ud800\""}]}"#, "lone surrogate escape at byte 15"),
        ("{\"s\":\"a\tb\\\"\"}", "control character in a string at byte 8"),
        (r#"{"n":-001.5,"s":"a"}"#, "malformed number at byte 8"),
        (&deep, "nested deeper than 128 levels at byte 641"),
    ] {
        for between in ["", "\n"] {
            let text = format!("[{{\"n\":1}},{between}{element},{between}{{\"n\":2}}]");
            let decoded = decode(&text);
            assert_eq!(documents(&decoded), [json!({"n":1}), json!({"n":2})], "{text}");
            assert_eq!(rejects(&decoded), [(2, reason, element.to_owned())]);
        }
    }
    // Where a quote may be missing, what follows could be within or without a string.
    for text in ["[{\"s\":\"a\n\"},{\"n\":2}]", r#"[{"s":"a\x,"n":1},{"n":2}]"#, r#"[{"s":"\x"]}]"#]
    {
        let decoded = decode(text);
        assert_eq!((decoded.counts.rows, decoded.counts.rejects), (0, 1), "{text}");
    }
}

#[test]
fn a_line_that_begins_like_an_array_leaves_its_neighbours_alone() {
    let (one, two) = (json!({"n":1}), json!({"n":2}));
    let none = "not a JSON object at byte 1";
    for (text, rows, numbers, broken) in [
        ("[1]\n{\"n\":1}\n{\"n\":2}", vec![&one, &two], vec!["2", "3"], vec![(1, none, "1")]),
        ("[{\"n\":1}]\n{\"n\":2}\n", vec![&one, &two], vec!["1", "2"], vec![]),
        ("[]\r\n\n{\"n\":2}", vec![&two], vec!["3"], vec![]),
        (
            "[1,{\"n\":1}]\n\n\nx\n[{\"n\":9}]\n{\"n\":2}",
            vec![&one, &two],
            vec!["2", "6"],
            vec![(1, none, "1"), (4, none, "x"), (5, none, "[{\"n\":9}]")],
        ),
        (
            "[{\"n\":1},5,6]\n{\"n\":2}",
            vec![&one, &two],
            vec!["1", "4"],
            vec![(2, none, "5"), (3, none, "6")],
        ),
        (
            "[{\"n\":1}] x\n{\"n\":2}",
            vec![&one, &two],
            vec!["1", "3"],
            vec![(2, "trailing characters after the array at byte 1", "x")],
        ),
        (
            "[info] started\n[warn] late\n{\"n\":2}\n",
            vec![&two],
            vec!["3"],
            vec![(1, "expected a value at byte 1", "info] started"), (2, none, "[warn] late")],
        ),
        (
            "[{\"n\":,\n{\"n\":2}\n[3]",
            vec![&two],
            vec!["2"],
            vec![(1, "expected a value at byte 6", "{\"n\":,"), (3, none, "[3]")],
        ),
        ("[{\"n\":1}\n{\"n\":2}\n", vec![&one, &two], vec!["1", "2"], vec![]),
        ("[ \n{\"n\":1}\n\n{\"n\":2}\n", vec![&one, &two], vec!["1", "4"], vec![]),
    ] {
        let decoded = decode(text);
        assert_eq!(documents(&decoded).iter().collect::<Vec<_>>(), rows, "{text:?}");
        assert_eq!(lines(&decoded), numbers, "{text:?}");
        let broken: Vec<_> = broken.into_iter().map(|(n, why, raw)| (n, why, raw.into())).collect();
        assert_eq!(rejects(&decoded), broken, "{text:?}");
    }
    // An array that breaks off is not taken apart into what is none of its elements.
    let decoded = decode("[{\"n\":1,},\n{\"n\":2},\n{\"n\":3}]");
    assert_eq!((decoded.counts.rows, decoded.rejects.len()), (0, 1));
}

#[test]
fn a_later_chunk_of_a_file_is_lines() {
    let mut decoder = Decoder::new(small(), "node".into());
    let mut chunk = body(Form::Ndjson, b"[1]\n{\"n\":1}\n{\"n\":2}");
    chunk.first_line = 5;
    decoder.push(&chunk);
    chunk.bytes = Bytes::from_static(b"\xef\xbb\xbf{}\n{\"n\":3}");
    decoder.push(&chunk);
    let decoded = decoder.finish();
    assert_eq!(lines(&decoded), ["6", "7", "5", "6"]);
    let none = "not a JSON object at byte 1";
    assert_eq!(rejects(&decoded), [(5, none, "[1]".into())]);
}

#[test]
fn one_document_over_several_lines_is_a_document() {
    let pretty = "\n{\n  \"n\": 1,\n  \"ss\": [\n    \"a\"\n  ],\n  \"u\": {\n \"x\": 1}\n}\n\n";
    let decoded = decode(pretty);
    assert_eq!(documents(&decoded), [json!({"n":1,"ss":["a"],"u":{"x":1}})]);
    assert_eq!(lines(&decoded), ["2"]);
    assert_eq!(decoded.counts.lines, 1);

    let decoded = decode("{\"n\":1,\n{\"n\":2}\n");
    assert_eq!(documents(&decoded), [json!({"n":2})]);
}

#[test]
fn bulk_actions_are_left_out_or_rejected() {
    let text = "{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{\"n\":1}\n\
                { \"create\" : { } }\r\n{\"n\":2}\n\
                {\"delete\":{\"_id\":\"3\"}}\n\
                {\"update\":{\"_id\":\"4\"}}\n\n{\"doc\":{\"n\":4}}\n\
                {\"index\":{}}\n{\"n\":5}\n{\"index\":{\"n\":6}}\n{\"delete\":5,\"n\":7}\n{\"n\":8,\"index\":{}}";
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let decoded = decode_form(form, text.as_bytes());
        assert_eq!(
            documents(&decoded),
            [
                json!({"n":1}),
                json!({"n":2}),
                json!({"n":5}),
                json!({"index":{"n":6}}),
                json!({"delete":5,"n":7}),
                json!({"n":8,"index":{}}),
            ]
        );
        assert_eq!(decoded.counts.actions, 3);
        let got: Vec<_> = rejects(&decoded).into_iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(
            got,
            [
                (5, "a delete action: an append-only table takes index and create"),
                (6, "an update action: an append-only table takes index and create"),
                (8, "the document of an update action, which is not taken"),
            ]
        );
    }
    let broken = decode("{\"index\":{\"_id\":\"1\"}\n{\"n\":1}\n");
    assert_eq!(broken.counts, Counts { lines: 2, rows: 1, rejects: 1, ..Counts::default() });
}

#[test]
fn the_line_after_an_action_is_its_document_whatever_it_says() {
    let text = "{\"index\":{\"_id\":\"1\"}}\n\n \r\n{\"index\":{}}\n\
                { \"cre\\u0061te\":{}}\n{\"update\":{}}\n\
                {\"index\":{}}\n{\"delete\":{\"_id\":\"1\"}}\n{\"n\":1}\n";
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let decoded = decode_form(form, text.as_bytes());
        let expected = [
            json!({"index":{}}),
            json!({"update":{}}),
            json!({"delete":{"_id":"1"}}),
            json!({"n":1}),
        ];
        assert_eq!(documents(&decoded), expected);
        assert_eq!(decoded.counts.actions, 3);
        assert_eq!(lines(&decoded), ["4", "6", "8", "9"]);
    }
}

#[test]
fn a_field_of_the_schema_is_no_action_but_in_a_bulk() {
    let mut schema = (*small()).clone();
    schema.fields.push(field("index", &[], Kind::Map(Box::new(Kind::String))));
    let schema = Arc::new(schema);
    let text = b"{\"index\":{\"version\":\"3\"}}\n{\"n\":1}\n";
    for (form, expected) in [
        (Form::Ndjson, vec![json!({"index":{"version":"3"}}), json!({"n":1})]),
        (Form::Elasticsearch, vec![json!({"n":1})]),
    ] {
        let mut decoder = Decoder::new(Arc::clone(&schema), "node".into());
        decoder.push(&body(form, text));
        let decoded = decoder.finish();
        let document = |row| to_document(&decoded.batch, row, &schema).unwrap();
        let documents = (0..decoded.batch.num_rows()).map(document);
        let documents: Vec<_> = documents.map(|d| serde_json::to_value(d).unwrap()).collect();
        assert_eq!(documents, expected);
    }
}

#[test]
fn the_id_of_an_action_is_no_member_of_its_document() {
    let action = r#"{"index":{"_id":"a\u0062\"c"}}"#;
    let text =
        format!("{action}\n{{\"n\":1}}\n{action}\n{{\"_id\":\"own\"}}\n{{\"_id\":\"own\"}}\n");
    let decoded = decode(&text);
    let own = json!({"_id":"own"});
    assert_eq!(documents(&decoded), [json!({"n":1}), own.clone(), own]);
    let id = r#""_id":"a\u0062\"c""#;
    let expected = [
        Some(format!("{{{id}}}")),
        Some(format!(r#"{{"/_id":"own",{id}}}"#)),
        Some(r#"{"/_id":"own"}"#.into()),
    ];
    assert_eq!(texts(&decoded, EXTRA), expected);
    let ids: Vec<_> = (0..3)
        .map(|row| {
            to_document(&decoded.batch, row, &small()).unwrap().action_id().map(String::from)
        })
        .collect();
    assert_eq!(ids, [Some("ab\"c".into()), Some("ab\"c".into()), None]);

    for field in [field("_id", &[], Kind::String), field("doc", &["_id"], Kind::String)] {
        let mut schema = (*small()).clone();
        let name = field.name.clone();
        schema.fields.push(field);
        let mut decoder = Decoder::new(Arc::new(schema), "node".into());
        decoder.push(&body(Form::Ndjson, text.as_bytes()));
        let decoded = decoder.finish();
        let own = Some("own".to_owned());
        assert_eq!(texts(&decoded, &name), [Some("ab\"c".into()), own.clone(), own]);
        assert_eq!(texts(&decoded, EXTRA), [None, Some(format!("{{{id}}}")), None]);
    }
}

#[test]
fn an_array_in_the_bulk_form_is_no_array_of_documents() {
    let decoded = decode_form(Form::Elasticsearch, b"[{\"n\":1}]\n{\"n\":2}\n");
    assert_eq!(documents(&decoded), [json!({"n":2})]);
}

#[test]
fn one_broken_line_among_999_good_ones() {
    let line = |i: usize| format!("{{\"n\":{i},\"s\":\"line {i}\",\"items\":[{{\"v\":{i}}}]}}\n");
    let mut text: String = (1..=500).map(line).collect();
    text += "{\"n\":501,\"s\":\"line 501\",\"items\":[{\"v\":501},{\"k\":\"broken}]}\n";
    text.extend((502..=1000).map(line));
    let decoded = decode(&text);
    assert_eq!(decoded.counts, Counts { lines: 1000, rows: 999, rejects: 1, ..Counts::default() });
    assert_eq!(decoded.rejects[0].line, 501);
    let expected = (1..=1000).filter(|i| *i != 501);
    for (document, i) in documents(&decoded).into_iter().zip(expected) {
        assert_eq!(document, json!({"n":i,"s":format!("line {i}"),"items":[{"v":i as f64}]}));
    }
}

#[test]
fn case_06_the_source_of_a_dumped_line_is_the_document_and_its_id_is_kept() {
    let line = r#"{"_index": "sessions", "_id": "t_0", "_score": 1, "_source": {"s": "ed0", "t": 1764000000000}}"#;
    // As newer dumps have it, with a type, and spaces and the source elsewhere.
    let other =
        r#" { "_index":"i","_type":"_doc","_source":{"n":7,"u":{"v":1}} , "_id":"1","sort":[3] } "#;
    let text = format!("\u{feff}{line}\r\n{other}\n");
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let decoded = decode_form(form, text.as_bytes());
        assert_eq!(rejects(&decoded), []);
        let time = 1_764_000_000_000_i64;
        assert_eq!(
            documents(&decoded),
            [json!({"s": "ed0", "t": time}), json!({"n": 7, "u": {"v": 1}})]
        );
        let extras =
            [r#"{"_id":"t_0"}"#, r#"{"/u":{"v":1},"_id":"1"}"#].map(|text| Some(text.into()));
        assert_eq!(texts(&decoded, EXTRA), extras);
    }
}

#[test]
fn a_line_that_is_no_dumped_document_is_a_document_as_it_is() {
    for (line, row) in [
        // No source, one that is no object, or one that is there twice.
        (r#"{"_index":"i","s":"x"}"#, true),
        (r#"{"_index":"i","_source":5,"s":"x"}"#, true),
        (r#"{"_index":5,"_source":{"s":"y"},"s":"x"}"#, true),
        (r#"{"_index":"i","_source":{"s":"y"},"_source":{"s":"z"},"s":"x"}"#, true),
        (r#"{"s":"x","_index":"i","_source":{"s":"y"}}"#, true),
        (r#"{"_index":"i","_source":{"s":"y"}"#, false),
        (r#"{"_index":"i","_source":{"s":"\ud800"}}"#, false),
    ] {
        let decoded = decode(line);
        assert_eq!(decoded.counts.rows, u64::from(row), "{line}");
        if row {
            assert_eq!(documents(&decoded)[0]["s"], "x", "{line}");
        } else {
            assert_eq!(decoded.rejects[0].raw, line.as_bytes(), "the whole line");
        }
    }
    // The line after an action is its document, whatever it says.
    let decoded =
        decode("{\"index\":{}}\n{\"_index\":\"i\",\"_source\":{\"s\":\"y\"},\"s\":\"x\"}");
    assert_eq!(documents(&decoded)[0]["s"], "x");
}
