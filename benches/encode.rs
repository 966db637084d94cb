//! Throughput and size of columns → Parquet, on one core, setting by setting.
//!
//! `cargo bench --bench encode [-- MB|FILE.ndjson]` decodes sessions into batches once, and prints
//! for each way to write them the median of five runs in MB of JSON a second, and the size. The
//! first line is the program's own.

#![allow(clippy::print_stdout, reason = "it prints its measurements")]

mod common;

use std::sync::Arc;

use arrow::array::RecordBatch;
use common::{Outcome, bodies, bodies_of, decode, median};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use sessionlake::decode::Decoder;
use sessionlake::encode::{Compression as PageCompression, Encoder, Layout};
use sessionlake::schema::TableSchema;

fn main() -> Outcome<()> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let bodies = match argument.as_deref().map(|text| (text, text.parse::<usize>())) {
        None => bodies(100_000_000),
        Some((_, Ok(megabytes))) => bodies(megabytes * 1_000_000),
        Some((file, Err(_))) => bodies_of(file)?,
    };
    let total: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    let schema = TableSchema::builtin("user_sessions").ok_or("no such schema")?;
    let mut decoder = Decoder::new(Arc::clone(&schema), Arc::from("bench"));
    let mut batches = Vec::new();
    decode(&mut decoder, &bodies, 12, |batch| {
        batches.push(batch);
        Ok(())
    })?;
    println!("{:.1} MB of JSON in {} batches", total as f64 / 1e6, batches.len());

    let layout = Layout::new(&schema, PageCompression::Zstd(1), &[])?;
    let ours = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(None)
        .build();
    let run = |name: &str, properties: &WriterProperties| -> Outcome<()> {
        let mut size = 0;
        let (seconds, _) = median(|| {
            size = write(&batches, properties)?;
            Ok(size)
        })?;
        let speed = total as f64 / seconds / 1e6;
        println!("{name:44} {speed:7.1} MB/s {:7.2} MB", size as f64 / 1e6);
        Ok(())
    };
    let staging = tempfile::tempdir()?;
    let mut size = 0;
    let (seconds, _) = median(|| {
        let path =
            staging.path().join(format!("{size}-{}", std::fs::read_dir(staging.path())?.count()));
        let mut encoder = Encoder::create(&path, &layout)?;
        batches.chunks(8).try_for_each(|group| encoder.row_group(group))?;
        size = usize::try_from(encoder.finish()?.bytes)?;
        Ok(size)
    })?;
    let speed = total as f64 / seconds / 1e6;
    println!(
        "{:44} {speed:7.1} MB/s {:7.2} MB",
        "as the program writes, a leaf at a time",
        size as f64 / 1e6
    );
    run("the library's writer", &ours)?;
    let zstd = |level| {
        Ok::<_, parquet::errors::ParquetError>(Compression::ZSTD(ZstdLevel::try_new(level)?))
    };
    let of_library = || -> Outcome<WriterPropertiesBuilder> {
        Ok(WriterProperties::builder().set_compression(zstd(1)?).set_max_row_group_row_count(None))
    };
    run("the library's defaults, zstd:1", &of_library()?.build())?;
    let from = || ours.clone().into_builder();
    run("zstd:3", &from().set_compression(zstd(3)?).build())?;
    run("zstd:6", &from().set_compression(zstd(6)?).build())?;
    run("snappy", &from().set_compression(Compression::SNAPPY).build())?;
    run("lz4", &from().set_compression(Compression::LZ4_RAW).build())?;
    run("none", &from().set_compression(Compression::UNCOMPRESSED).build())?;
    for values in [256, 1024, 4096, 16_384] {
        run(&format!("write batch of {values}"), &from().set_write_batch_size(values).build())?;
    }
    for kib in [64, 256, 1024, 4096] {
        let properties = from().set_data_page_size_limit(kib << 10).build();
        run(&format!("pages of {kib} KiB"), &properties)?;
        let properties = from().set_dictionary_page_size_limit(kib << 10).build();
        run(&format!("dictionaries of {kib} KiB"), &properties)?;
    }
    for rows in [5_000, 100_000, 1_000_000] {
        let properties = from().set_data_page_row_count_limit(rows).build();
        run(&format!("pages of {rows} rows"), &properties)?;
    }
    let chunk = from().set_statistics_enabled(EnabledStatistics::Chunk).build();
    run("statistics of chunks only", &chunk)?;
    let none = from().set_statistics_enabled(EnabledStatistics::None).build();
    run("no statistics", &none)?;
    run("no dictionaries", &from().set_dictionary_enabled(false).build())?;

    let columns = parquet::arrow::ArrowSchemaConverter::new().convert(&layout.batches)?;
    for (name, physical, encoding) in [
        ("longs by delta", parquet::basic::Type::INT64, Encoding::DELTA_BINARY_PACKED),
        ("longs plain", parquet::basic::Type::INT64, Encoding::PLAIN),
        ("doubles plain", parquet::basic::Type::DOUBLE, Encoding::PLAIN),
        ("strings by delta", parquet::basic::Type::BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY),
    ] {
        let mut properties = from();
        for column in columns.columns().iter().filter(|c| c.physical_type() == physical) {
            properties = properties
                .set_column_dictionary_enabled(column.path().clone(), false)
                .set_column_encoding(column.path().clone(), encoding);
        }
        run(name, &properties.build())?;
    }
    Ok(())
}

/// Writes row groups of eight batches, as the program does; returns the size of the file.
fn write(batches: &[RecordBatch], properties: &WriterProperties) -> Outcome<usize> {
    let Some(first) = batches.first() else { return Err("nothing to write".into()) };
    let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), Some(properties.clone()))?;
    for group in batches.chunks(8) {
        for batch in group {
            writer.write(batch)?;
        }
        writer.flush()?;
    }
    Ok(writer.into_inner()?.len())
}
