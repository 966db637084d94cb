//! Throughput of documents → columns, and columns → Parquet, on one core.
//!
//! `cargo bench --bench decode [-- MB [OUT]]` makes about MB (100) megabytes of sessions of the
//! current format, some 16 kB and 12 user actions each, in bodies of the exporter's size, and
//! prints the median of five runs for batches of several sizes. With OUT it writes the documents
//! to that file and stops. `-- FILE…` decodes the sessions of these files instead, four bodies a
//! batch, as the program does.

#![allow(clippy::print_stdout, reason = "it prints its measurements")]

mod common;

use std::sync::Arc;

use common::{Outcome, bodies, decode, median, median_of};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sessionlake::decode::{Decoder, Progress, ReadLimit};
use sessionlake::record::Body;
use sessionlake::schema::TableSchema;
use sessionlake::table::Revision;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let files: Vec<String> =
        std::env::args().skip(1).filter(|name| std::path::Path::new(name).is_file()).collect();
    if !files.is_empty() {
        return files.iter().try_for_each(|file| of_file(file));
    }
    let megabytes = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let bodies = bodies(megabytes * 1_000_000);
    if let Some(out) = arguments.next() {
        let all: Vec<&[u8]> = bodies.iter().map(|body| body.bytes.as_ref()).collect();
        std::fs::write(out, all.concat())?;
        return Ok(());
    }
    let total: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    println!("{:.1} MB of JSON in {} bodies", total as f64 / 1e6, bodies.len());
    let schema = TableSchema::builtin("user_sessions").ok_or("no such schema")?;
    for bodies_per_batch in [1, 4, 16, 64, 128] {
        let mut decoder = Decoder::new(schema.clone(), Arc::from("bench"));
        let (decode, rows) =
            median(|| decode(&mut decoder, &bodies, bodies_per_batch, |_| Ok(())))?;
        println!(
            "decode, {bodies_per_batch:3} bodies a batch: {:7.1} MB/s ({rows} rows)",
            total as f64 / decode / 1e6
        );
    }
    forms(&schema, &bodies)?;
    kinds(&schema)?;
    for bodies_per_batch in [16, 64] {
        let mut decoder = Decoder::new(schema.clone(), Arc::from("bench"));
        let mut parquet_bytes = 0;
        let (both, _) = median(|| {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                .build();
            let mut writer = ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties))?;
            let rows =
                decode(&mut decoder, &bodies, bodies_per_batch, |batch| Ok(writer.write(&batch)?))?;
            parquet_bytes = writer.into_inner()?.len();
            Ok(rows)
        })?;
        println!(
            "decode and Parquet zstd(1), {bodies_per_batch} bodies a batch: {:.1} MB/s ({:.1} MB)",
            total as f64 / both / 1e6,
            parquet_bytes as f64 / 1e6
        );
    }
    Ok(())
}

/// Measures the sessions of a file.
fn of_file(file: &str) -> Outcome<()> {
    let bodies = common::bodies_of(file)?;
    let schema = TableSchema::builtin("user_sessions").ok_or("no such schema")?;
    let mut decoder = Decoder::new(schema, Arc::from("bench"));
    let (seconds, rows) = median(|| decode(&mut decoder, &bodies, 4, |_| Ok(())))?;
    let total: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    println!("decode, {file}: {:7.1} MB/s ({rows} rows)", total as f64 / seconds / 1e6);
    Ok(())
}

/// Measures the same sessions in each form: one a line by the rules before documents might stand in a row,
/// and by today's; in a row; over several lines. Runs take turns, so that a busy machine slows all alike.
fn forms(schema: &Arc<TableSchema>, bodies: &[Body]) -> Outcome<()> {
    let joined = |change: &dyn Fn(&[u8]) -> Outcome<Vec<u8>>| -> Outcome<Vec<Body>> {
        let changed =
            bodies.iter().map(|body| Ok(common::body(body.seq.0, change(&body.bytes)?.into())));
        changed.collect()
    };
    let in_a_row =
        joined(&|text| Ok(text.iter().copied().filter(|byte| *byte != b'\n').collect()))?;
    let over_lines = joined(&|text| {
        let documents = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
        let pretty = documents.map(|document| Ok(serde_json::to_vec_pretty(&document?)?));
        Ok(pretty.collect::<Outcome<Vec<_>>>()?.join(&b'\n'))
    })?;
    let forms: [(&str, Revision, &[Body]); 4] = [
        ("one a line, before", Revision::Second, bodies),
        ("one a line", Revision::LATEST, bodies),
        ("in a row", Revision::LATEST, &in_a_row),
        ("over lines", Revision::LATEST, &over_lines),
    ];
    let mut decoders: Vec<Decoder> = forms
        .iter()
        .map(|form| Decoder::new(Arc::clone(schema), Arc::from("bench")).by_revision(form.1))
        .collect();
    let mut seconds = vec![Vec::new(); forms.len()];
    for _ in 0..9 {
        for ((form, decoder), seconds) in forms.iter().zip(&mut decoders).zip(&mut seconds) {
            seconds.push(median_of(1, || decode(decoder, form.2, 16, |_| Ok(())))?.0);
        }
    }
    for ((name, _, bodies), seconds) in forms.iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        let bytes: usize = bodies.iter().map(|body| body.bytes.len()).sum();
        let (median, least) = (seconds[seconds.len() / 2], seconds[0]);
        println!(
            "decode, {name:18}: {:7.1} MB/s, {median:.3} s, at best {least:.3} s",
            bytes as f64 / median / 1e6
        );
    }
    Ok(())
}

/// Measures documents that are hard in one way each, some 20 MB of them.
fn kinds(schema: &Arc<TableSchema>) -> Outcome<()> {
    let long = "x".repeat(4000);
    let escaped = r#"a \"quoted\" word, \u00fc\n"#.repeat(60);
    let kinds: [(&str, String); 8] = [
        ("empty", "{}".into()),
        ("small", r#"{"tenantId":"a","startTime":1622107543233,"duration":5}"#.into()),
        ("long string", format!(r#"{{"ip":"{long}"}}"#)),
        ("escapes", format!(r#"{{"ip":"{escaped}"}}"#)),
        (
            "integers",
            format!(
                r#"{{"userActions":[{{"networkTime":123}}{}]}}"#,
                r#",{"networkTime":45678,"serverTime":9}"#.repeat(60)
            ),
        ),
        (
            "doubles",
            format!(
                r#"{{"userActions":[{{"cumulativeLayoutShift":0.25}}{}]}}"#,
                r#",{"cumulativeLayoutShift":0.123456789}"#.repeat(60)
            ),
        ),
        (
            "unknown fields",
            format!(
                r#"{{"tenantId":"a"{}}}"#,
                (0..100).map(|n| format!(r#","new{n}":{{"a":[{n},null]}}"#)).collect::<String>()
            ),
        ),
        ("no JSON", "<html><body>no session at all</body></html>".into()),
    ];
    for (name, line) in kinds {
        let text = format!("{line}\n").repeat(20_000_000 / (line.len() + 1));
        let body = common::body(1, text.into());
        let mut decoder = Decoder::new(Arc::clone(schema), Arc::from("bench"));
        let (seconds, lines) = median(|| {
            let mut progress = Progress::NEW;
            let limit = ReadLimit { lines: 32_768, bytes: 4 << 20, column_bytes: 32 << 20 };
            let mut lines = 0;
            while !decoder.read(&body, &mut progress, limit) {
                lines += decoder.finish().counts.lines;
            }
            Ok((lines + decoder.finish().counts.lines) as usize)
        })?;
        let (speed, rate) = (body.bytes.len() as f64 / seconds / 1e6, lines as f64 / seconds / 1e3);
        println!("decode, {name:15} {speed:7.1} MB/s, {rate:8.0} thousand documents a second");
    }
    Ok(())
}
