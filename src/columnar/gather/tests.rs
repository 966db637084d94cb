use arrow::compute::interleave_record_batch;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::TableSchema;

const SCHEMA: &str = r#"{"type":"record","name":"t","fields":[
    {"name":"text","type":["null","string"]},
    {"name":"long","type":["null","long"]},
    {"name":"yes","type":["null","boolean"]},
    {"name":"double","type":["null","double"]},
    {"name":"time","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"tags","type":["null",{"type":"map","values":["null","string"]}]},
    {"name":"items","type":["null",{"type":"array","items":["null",{"type":"record","name":"i","fields":[
        {"name":"name","type":["null","string"]},
        {"name":"n","type":["null","long"]},
        {"name":"numbers","type":["null",{"type":"array","items":["null","long"]}]}
    ]}]}]}
]}"#;

fn batch(lines: &str) -> RecordBatch {
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let mut decoder = Decoder::new(schema, Arc::from("node"));
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(0),
        table: Arc::from("t"),
        form: Form::Ndjson,
        first_line: 1,
        bytes: Bytes::from(lines.to_owned()),
        stored: None,
    });
    let decoded = decoder.finish();
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    decoded.batch
}

/// Rows that have everything, nothing, nulls, empty lists, and text of several bytes a character.
fn line(n: u64) -> String {
    let part = |shift: u32, of: u64| n >> shift & (of - 1);
    let mut parts = Vec::new();
    if part(0, 2) == 0 {
        parts.push(format!(r#""text":"{}""#, "tür ".repeat(part(1, 4) as usize)));
    }
    if part(3, 2) == 0 {
        parts.push(format!(r#""long":{n},"yes":{},"unknown":{n}"#, part(4, 2) == 0));
    }
    if part(5, 2) == 0 {
        parts.push(format!(r#""double":{n}.5,"time":{}"#, part(6, 8)));
    }
    if part(9, 2) == 0 {
        let tags: Vec<String> = (0..part(10, 4))
            .map(|k| format!(r#""k{k}":{}"#, if k == 1 { "null" } else { r#""v""# }))
            .collect();
        parts.push(format!(r#""tags":{{{}}}"#, tags.join(",")));
    }
    if part(12, 2) == 0 {
        let items: Vec<String> = (0..part(13, 8))
            .map(|k| match (n >> 16).wrapping_add(k) % 4 {
                0 => "null".to_owned(),
                1 => "{}".to_owned(),
                2 => format!(r#"{{"name":"item {k}","numbers":[]}}"#),
                _ => format!(r#"{{"n":{k},"numbers":[1,null,{n}]}}"#),
            })
            .collect();
        parts.push(format!(r#""items":[{}]"#, items.join(",")));
    }
    format!("{{{}}}\n", parts.join(","))
}

proptest! {
    #[test]
    fn it_gives_what_interleave_gives(
        rows in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..30), 1..4),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..9), 0..30),
        cut in any::<bool>(),
    ) {
        let mut batches: Vec<RecordBatch> =
            rows.iter().map(|rows| batch(&rows.iter().map(|n| line(*n)).collect::<String>())).collect();
        if cut {
            // Slices have offsets of their own.
            for batch in &mut batches {
                *batch = batch.slice(batch.num_rows() / 3, batch.num_rows() - batch.num_rows() / 3);
            }
        }
        let runs: Vec<Run> = picks
            .iter()
            .map(|(batch, start, len)| {
                let at = batch.index(batches.len());
                let rows = batches[at].num_rows();
                let start = start.index(rows);
                Run { batch: at, rows: start..(start + len).min(rows) }
            })
            .collect();
        let places: Vec<(usize, usize)> =
            runs.iter().flat_map(|run| run.rows.clone().map(|row| (run.batch, row))).collect();
        let got = gather(&batches[0].schema(), &batches, &runs).unwrap();
        let all: Vec<&RecordBatch> = batches.iter().collect();
        if places.is_empty() {
            prop_assert_eq!(got.num_rows(), 0);
        } else {
            prop_assert_eq!(got, interleave_record_batch(&all, &places).unwrap());
        }
    }
}

#[test]
fn runs_beyond_a_batch_are_refused() {
    let batch = batch("{\"long\":1}\n{\"long\":2}\n");
    let schema = batch.schema();
    for run in [Run { batch: 0, rows: 1..3 }, Run { batch: 1, rows: 0..1 }] {
        assert!(gather(&schema, std::slice::from_ref(&batch), &[run]).is_err());
    }
}
