//! How fast documents become columns, and columns Parquet, on one core.
//!
//! `cargo bench --bench decode [-- MB [OUT]]` makes about MB (100) megabytes of sessions of the
//! current format, some 16 kB and 12 user actions each, in bodies of the exporter's size, and
//! prints the median of five runs for batches of several sizes. With OUT it writes the documents
//! to that file and stops.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod common;

use std::sync::Arc;

use common::{Outcome, bodies, decode, median};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sessionlake::decode::Decoder;
use sessionlake::schema::TableSchema;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
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
