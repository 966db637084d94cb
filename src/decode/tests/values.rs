//! Values by their outcome: in a column, or in `_extra`.

use serde_json::json;

use super::*;

/// Decodes one document and gives it back.
fn back(document: &str) -> Value {
    let decoded = decode(document);
    assert_eq!(rejects(&decoded), [], "{document}");
    documents(&decoded).remove(0)
}

#[test]
fn values_that_fit_are_in_their_columns() {
    let text =
        r#"{"s":"a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00ö","n":-12,"d":1.5,"b":true,"t":1622107543233,
        "ss":["x","",null],"ll":[[1,2],[],null,[null]],"m":{"a":"b","c":null},"mn":{"k":7},
        "p":{"x":1,"y":"y","z":{"w":0.25}},
        "items":[{"k":"k","v":2,"tags":[],"subs":[{"q":1},{},null]},null,{}]}"#
            .replace('\n', " ");
    let decoded = decode(&text);
    assert_eq!(texts(&decoded, EXTRA), [None]);
    assert_eq!(
        documents(&decoded),
        [json!({
            "s":"a\"\\/\u{8}\u{c}\n\r\tä😀ö","n":-12,"d":1.5,"b":true,"t":1_622_107_543_233i64,
            "ss":["x","",null],"ll":[[1,2],[],null,[null]],"m":{"a":"b","c":null},"mn":{"k":7},
            "p":{"x":1,"y":"y","z":{"w":0.25}},
            "items":[{"k":"k","v":2.0,"tags":[],"subs":[{"q":1},{},null]},null,{}]
        })]
    );
    let times = decoded.batch.column_by_name("t").unwrap();
    let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_622_107_543_233_000);
}

#[test]
fn empty_is_not_null() {
    let decoded = decode("{\"ss\":[],\"m\":{},\"p\":{}}\n{\"ss\":null,\"m\":null,\"p\":null}\n{}");
    let expected = [json!({"ss":[],"m":{},"p":{}}), json!({}), json!({})];
    assert_eq!(documents(&decoded), expected);
    assert_eq!(texts(&decoded, EXTRA), [None, None, None]);
}

#[test]
fn what_does_not_fit_is_kept_as_it_stood() {
    for (document, expected) in [
        (r#"{"n":5.7}"#, r#"{"/n":5.7}"#),
        (r#"{"n":"42"}"#, r#"{"/n":"42"}"#),
        (r#"{"n":9223372036854775808}"#, r#"{"/n":9223372036854775808}"#),
        (r#"{"n":true}"#, r#"{"/n":true}"#),
        (r#"{"n":[ 1, 2 ]}"#, r#"{"/n":[ 1, 2 ]}"#),
        (r#"{"d":9007199254740993}"#, r#"{"/d":9007199254740993}"#),
        (r#"{"d":1e999}"#, r#"{"/d":1e999}"#),
        (r#"{"d":"1"}"#, r#"{"/d":"1"}"#),
        (r#"{"b":"true"}"#, r#"{"/b":"true"}"#),
        (r#"{"b":1}"#, r#"{"/b":1}"#),
        (r#"{"s":5}"#, r#"{"/s":5}"#),
        (r#"{"t":1.5}"#, r#"{"/t":1.5}"#),
        (r#"{"t":9223372036854775807}"#, r#"{"/t":9223372036854775807}"#),
        (r#"{"t":"2021-05-27T09:25:43Z"}"#, r#"{"/t":"2021-05-27T09:25:43Z"}"#),
        (r#"{"ss":"x"}"#, r#"{"/ss":"x"}"#),
        (r#"{"ss":["x",{"a":1},"y"]}"#, r#"{"/ss/1":{"a":1}}"#),
        (r#"{"ll":[[1,"x"],5]}"#, r#"{"/ll/0/1":"x","/ll/1":5}"#),
        (r#"{"m":[]}"#, r#"{"/m":[]}"#),
        (r#"{"m":{"plan":5,"a":"b"}}"#, r#"{"/m/plan":5}"#),
        (r#"{"p":5}"#, r#"{"/p":5}"#),
        (r#"{"p":{"z":{"w":"x"}}}"#, r#"{"/p/z/w":"x"}"#),
        (r#"{"items":{}}"#, r#"{"/items":{}}"#),
        (r#"{"items":[5,{"v":"x"},[]]}"#, r#"{"/items/0":5,"/items/1/v":"x","/items/2":[]}"#),
    ] {
        assert_eq!(extra(document).as_deref(), Some(expected), "{document}");
        if !document.contains("1e999") {
            let value: Value = serde_json::from_str(document).unwrap();
            assert_eq!(back(document), value, "{document}");
        }
    }
}

#[test]
fn numbers_without_a_column_come_back_as_they_were_written() {
    let text = r#"{"d":1e999,"n":123456789012345678901234567890,"u":{"x":[0.1234567890123456789,-1E400]}}"#;
    let decoded = decode(text);
    let document = to_document(&decoded.batch, 0, &small()).unwrap();
    assert_eq!(serde_json::to_string(&document).unwrap(), text);
    let error = to_document(&decoded.batch, 1, &small()).unwrap_err();
    assert!(matches!(error, DocumentError::Row { row: 1, rows: 1 }), "{error}");
}

#[test]
fn a_batch_of_an_older_schema_gives_its_documents() {
    let text = r#"{"n":1,"p":{"x":2},"items":[{"k":"a"}],"u":3}"#;
    let decoded = decode(text);
    let mut newer = (*small()).clone();
    newer.fields.push(field("later", &[], Kind::Long));
    for at in newer.fields.iter_mut() {
        match &mut at.kind {
            Kind::Struct(fields) => fields.push(field("later", &[], Kind::String)),
            Kind::List(element) => {
                if let Kind::Struct(fields) = element.as_mut() {
                    fields.push(field("later", &[], Kind::String));
                }
            }
            _ => {}
        }
    }
    let document = to_document(&decoded.batch, 0, &newer).unwrap();
    let expected: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(document).unwrap(), expected);
}

#[test]
fn integers_however_written_are_in_the_columns() {
    for (document, expected) in [
        (r#"{"n":5.0}"#, json!({"n":5})),
        (r#"{"n":1e3}"#, json!({"n":1000})),
        (r#"{"n":-0}"#, json!({"n":0})),
        (r#"{"n":12.50e1}"#, json!({"n":125})),
        (r#"{"n":-9223372036854775808}"#, json!({"n":i64::MIN})),
        (r#"{"t":1.622107543233e12}"#, json!({"t":1_622_107_543_233i64})),
        (r#"{"t":-1}"#, json!({"t":-1})),
        (r#"{"d":9007199254740992}"#, json!({"d":9_007_199_254_740_992.0})),
    ] {
        assert_eq!(extra(document), None, "{document}");
        assert_eq!(back(document), expected, "{document}");
    }
}

#[test]
fn unknown_fields_are_kept_at_every_level_null_ones_too() {
    let text = r#"{"u":null,"s":"x","":{ "a" : [1] },"a/b~c":1,"q\"\\\n\u0001ä":2,"p":{"u":1,"z":{"u":{}}},"items":[{},{"k":"k","u":[]},{"subs":[{"u":true}]}]}"#;
    let expected = "{\"/u\":null,\"/\":{ \"a\" : [1] },\"/a~1b~0c\":1,\"/q\\\"\\\\\\u000a\\u0001ä\":2,\"/p/u\":1,\
                    \"/p/z/u\":{},\"/items/1/u\":[],\"/items/2/subs/0/u\":true}";
    assert_eq!(extra(text).as_deref(), Some(expected));
    let mut value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(back(text), value);
    value["u"] = json!(1);
    assert_ne!(back(text), value, "the comparison compares");
}

#[test]
fn escaped_names_are_the_same_names() {
    assert_eq!(extra(r#"{"\u006e":5,"p":{"\u0078":1},"m":{"\u0061":"b"}}"#), None);
    assert_eq!(back(r#"{"\u006e":5,"m":{"\u0061":"b"}}"#), json!({"n":5,"m":{"a":"b"}}));
    assert_eq!(extra(r#"{"n":1,"\u006e":5}"#).as_deref(), Some(r#"{"/n":5}"#));
}

#[test]
fn of_repeated_names_the_first_has_the_column_and_the_last_comes_back() {
    for (document, expected) in [
        (r#"{"n":1,"n":2,"n":3}"#, Some(r#"{"/n":2,"/n":3}"#)),
        (r#"{"n":1,"n":null}"#, Some(r#"{"/n":null}"#)),
        (r#"{"n":null,"n":1}"#, None),
        (r#"{"n":"x","n":1}"#, Some(r#"{"/n":"x","/n":1}"#)),
        (r#"{"n":1,"n":"x"}"#, Some(r#"{"/n":"x"}"#)),
        (r#"{"ss":["a"],"ss":[]}"#, Some(r#"{"/ss":[]}"#)),
        (
            r#"{"items":[{"u":1}],"items":[{"v":"x"}]}"#,
            Some(r#"{"/items/0/u":1,"/items":[{"v":"x"}]}"#),
        ),
        (r#"{"p":{"x":1,"x":2},"p":{"y":"z"}}"#, Some(r#"{"/p/x":2,"/p":{"y":"z"}}"#)),
        (r#"{"u":1,"u":2}"#, Some(r#"{"/u":1,"/u":2}"#)),
        (r#"{"m":{"a":"1","a":"2","b":"3"}}"#, Some(r#"{"/m/a":"2"}"#)),
        (r#"{"m":{"a":1,"a":"2"}}"#, Some(r#"{"/m/a":1,"/m/a":"2"}"#)),
        (r#"{"m":{"a":null,"a":"2"}}"#, Some(r#"{"/m/a":"2"}"#)),
        (r#"{"items":[{"k":"a","k":"b"},{"k":"c"}]}"#, Some(r#"{"/items/0/k":"b"}"#)),
    ] {
        assert_eq!(extra(document).as_deref(), expected, "{document}");
        let mut value: Value = serde_json::from_str(document).unwrap();
        if value["n"].is_null() {
            value.as_object_mut().unwrap().remove("n");
        }
        let mut got = back(document);
        if got["n"].is_null() {
            got.as_object_mut().unwrap().remove("n");
        }
        assert_eq!(got, value, "{document}");
    }
}

#[test]
fn a_current_name_comes_before_its_aliases() {
    for (document, expected, kept) in [
        (r#"{"old_s":"a"}"#, json!({"s":"a"}), None),
        (r#"{"old_s":"a","s":"b"}"#, json!({"s":"b","old_s":"a"}), Some(r#"{"/old_s":"a"}"#)),
        (r#"{"s":"b","old_s":"a"}"#, json!({"s":"b","old_s":"a"}), Some(r#"{"/old_s":"a"}"#)),
        (
            r#"{"old_s":"a","older_s":"b"}"#,
            json!({"s":"a","older_s":"b"}),
            Some(r#"{"/older_s":"b"}"#),
        ),
        (
            r#"{"older_s":"a","old_s":"b","s":"c"}"#,
            json!({"s":"c","old_s":"b","older_s":"a"}),
            Some(r#"{"/older_s":"a","/old_s":"b"}"#),
        ),
        (r#"{"old_s":null,"s":"b"}"#, json!({"s":"b"}), None),
        (r#"{"old_s":"a","s":null}"#, json!({"s":"a"}), None),
        (r#"{"old_n":"a"}"#, json!({"old_n":"a"}), Some(r#"{"/old_n":"a"}"#)),
        (r#"{"old_n":"a","n":5}"#, json!({"old_n":"a","n":5}), Some(r#"{"/old_n":"a"}"#)),
        (r#"{"old_n":"a","old_n":5}"#, json!({"old_n":5}), Some(r#"{"/old_n":"a","/old_n":5}"#)),
        (r#"{"old_n":5,"n":"a"}"#, json!({"old_n":5,"n":"a"}), Some(r#"{"/old_n":5,"/n":"a"}"#)),
        (r#"{"old_n":5,"old_n":6}"#, json!({"n":6}), Some(r#"{"/n":6}"#)),
        (
            r#"{"old_n":5,"old_n":6,"n":7}"#,
            json!({"n":7,"old_n":6}),
            Some(r#"{"/old_n":5,"/old_n":6}"#),
        ),
        (r#"{"old_n":5,"n":6,"n":7}"#, json!({"n":7,"old_n":5}), Some(r#"{"/old_n":5,"/n":7}"#)),
        (
            r#"{"old_n":5,"n":6,"old_n":7}"#,
            json!({"n":6,"old_n":7}),
            Some(r#"{"/old_n":5,"/old_n":7}"#),
        ),
        (
            r#"{"old_items":[{"u":1,"value":2}]}"#,
            json!({"items":[{"u":1,"v":2.0}]}),
            Some(r#"{"/items/0/u":1}"#),
        ),
        (
            r#"{"old_items":[{"u":1,"value":2}],"w":1,"items":[{"v":3,"u":4}]}"#,
            json!({"items":[{"v":3.0,"u":4}],"w":1,"old_items":[{"u":1,"value":2}]}),
            Some(r#"{"/old_items":[{"u":1,"value":2}],"/w":1,"/items/0/u":4}"#),
        ),
        (
            r#"{"old_m":{"a":"b"},"m":{"c":"d"}}"#,
            json!({"m":{"c":"d"},"old_m":{"a":"b"}}),
            Some(r#"{"/old_m":{"a":"b"}}"#),
        ),
        (
            r#"{"items":[{"value":1,"v":2},{"value":3},{"v":4,"value":5}]}"#,
            json!({"items":[{"v":2.0,"value":1},{"v":3.0},{"v":4.0,"value":5}]}),
            Some(r#"{"/items/0/value":1,"/items/2/value":5}"#),
        ),
    ] {
        assert_eq!(extra(document).as_deref(), kept, "{document}");
        assert_eq!(back(document), expected, "{document}");
        // What follows in the same column is not disturbed.
        let decoded = decode(format!("{document}\n{{\"s\":\"z\",\"n\":9}}\n{document}"));
        assert_eq!(documents(&decoded)[1], json!({"s":"z","n":9}));
        assert_eq!(documents(&decoded)[2], expected, "{document}");
    }
}

#[test]
fn the_samples_land() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let text = r#"{"visitorId":"1480BOIF3R8OD6R0E4NQALJO","visitId":"16229530","startTime":1480463779085,"endTime":1480463784889,"visitType":"SYNTHETIC"}
{"tenantId":"xxx","userSessionId":"1394_1008","startTime":1511441593539,"geolocationCountryName":"United States","stringTags":{ },"numTags":{ },"userActions":[ { "name":"Checkout","type":"Custom","speedIndex":null,"errorCount":0,"hasCrash":false } ],"events":[ { "type":"UserTag","startTime":1511441593562 } ]}
{"tenantId":"u","userSessionId":"7","startTime":1622107543233,"bounce":false,"userActions":[{"name":"click","cumulativeLayoutShift":0.25,"stringProperties":[{"key":"k","value":"v"}]}],"syntheticEvents":[{"name":"navigate","sequenceNumber":1,"timestamp":1622107547988}]}"#;
    let mut decoder = Decoder::new(schema.clone(), "node".into());
    decoder.push(&body(Form::Ndjson, text.as_bytes()));
    let decoded = decoder.finish();
    assert_eq!(rejects(&decoded), []);
    assert_eq!(texts(&decoded, EXTRA), [None, None, None]);
    let rows: Vec<_> = (0..3)
        .map(|row| {
            serde_json::to_value(to_document(&decoded.batch, row, &schema).unwrap()).unwrap()
        })
        .collect();
    assert_eq!(rows[0]["userSessionId"], "16229530");
    assert_eq!(rows[0]["userType"], "SYNTHETIC");
    assert_eq!(rows[1]["country"], "United States");
    assert_eq!(rows[1]["userActions"][0]["errorCount"], 0);
    assert_eq!(rows[2], serde_json::from_str::<Value>(text.lines().nth(2).unwrap()).unwrap());
}

#[test]
fn a_time_outside_the_years_1_to_9999_is_null_and_its_value_in_extra() {
    // Microseconds taken for milliseconds are of the year 57868, which no reader can show.
    for (time, fits) in [
        ("1764000000000", true),
        ("1764000000000000", false),
        ("-1764000000000000", false),
        ("-62135596800000", true),
        ("-62135596800001", false),
        ("-62135596800001.0", false),
        ("-99999999999999", false),
        ("-6.21355968e13", true),
        ("253402300799999", true),
        ("253402300800000", false),
        ("2.534023008e14", false),
    ] {
        // With and without the bytes after the number that the fast path needs.
        for rest in ["", r#","s":"some more text""#] {
            let document = format!(r#"{{"t":{time}{rest}}}"#);
            let decoded = decode(&document);
            let column = decoded.batch.column_by_name("t").unwrap();
            assert_eq!(column.is_valid(0), fits, "{document}");
            let expected = (!fits).then(|| format!(r#"{{"/t":{time}}}"#));
            assert_eq!(texts(&decoded, EXTRA), [expected], "{document}");
        }
    }
}

#[test]
fn case_01_a_session_whose_time_is_in_microseconds() {
    let decoded = decode_as(
        &TableSchema::builtin("user_sessions").unwrap(),
        br#"{"userSessionId":"bad","startTime":1764000000000000,"userActions":[{"name":"b","startTime":1764000000000000}]}"#,
    );
    assert_eq!(
        texts(&decoded, EXTRA),
        [Some(
            r#"{"/startTime":1764000000000000,"/userActions/0/startTime":1764000000000000}"#.into()
        )]
    );
    assert!(decoded.batch.column_by_name("startTime").unwrap().is_null(0));
}

#[test]
fn case_13_older_names_are_in_the_columns_of_the_current_ones() {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let decoded = decode_as(
        &schema,
        br#"{"userSessionId":"c1","browserTypeName":"Desktop Browser","browserFamilyName":"Firefox","browserMajorVersionName":"Firefox 57","newVisitor":true,"hasVisualReplay":false,"sessionTag":"jane","userActions":[{"encodedApplicationId":"APPLICATION-1","applicationId":"shop"}],"events":[{"encodedApplicationId":"APPLICATION-1","applicationId":"shop"}]}"#,
    );
    assert_eq!(texts(&decoded, EXTRA), [None]);
    let document = serde_json::to_value(to_document(&decoded.batch, 0, &schema).unwrap()).unwrap();
    let part = json!([{"internalApplicationId": "APPLICATION-1", "application": "shop"}]);
    assert_eq!(
        document,
        json!({
            "userSessionId": "c1", "browserType": "Desktop Browser", "browserFamily": "Firefox",
            "browserMajorVersion": "Firefox 57", "newUser": true, "hasSessionReplay": false,
            "userId": "jane", "userActions": part, "events": part
        })
    );
}
