//! How fast bodies become durable, and how fast a start reads them back.
//!
//! `cargo bench --bench journal [-- DIR]` appends bodies of the exporter's size and of 1 KB with 1,
//! 16 and 256 writers at once to a journal below DIR (the system's folder for temporary files), on
//! the real disk, every append synced before it is answered; then opens the journal again. Last it
//! says what it would cost and bring to compress what is written: the journal does not.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use common::{Outcome, bodies, median};
use sessionlake::clock::SystemClock;
use sessionlake::journal::{Journal, NewBody, Options, RealDisk};
use sessionlake::record::Form;

fn main() -> Outcome<()> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let below = argument.map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:>10} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "bytes", "writers", "MB/s", "a second", "p50 ms", "p99 ms"
    );
    for (bytes, total) in [(896_000, 300_000_000), (1_000, 8_000_000)] {
        for writers in [1, 16, 256] {
            // A lone writer waits for a sync each time.
            let bodies = if writers == 1 { total / bytes / 4 } else { total / bytes };
            append(&below, bytes, writers, bodies as u64)?;
        }
    }
    recover(&below)?;
    compress()
}

fn open(dir: &std::path::Path) -> Outcome<Journal> {
    let (journal, _) =
        Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), Options::new(dir.to_owned()))?;
    Ok(journal)
}

/// No two are equal: retries are answered without a write.
fn body(bytes: usize, number: u64) -> NewBody {
    let mut text = vec![b'x'; bytes];
    text[..8].copy_from_slice(&number.to_le_bytes());
    let (table, form) = (Arc::from("user_sessions"), Form::Ndjson);
    NewBody { table, form, first_line: 1, bytes: Bytes::from(text) }
}

fn append(below: &std::path::Path, bytes: usize, writers: usize, bodies: u64) -> Outcome<()> {
    let dir = tempfile::tempdir_in(below)?;
    let journal = open(dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (journal, next) = (journal.clone(), Arc::clone(&next));
            runtime.spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= bodies {
                        return Ok(took);
                    }
                    let body = body(bytes, number);
                    let start = Instant::now();
                    journal.append(body).await.map_err(|error| error.to_string())?;
                    took.push(start.elapsed().as_secs_f64() * 1e3);
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        let done: Result<Vec<f64>, String> = runtime.block_on(task)?;
        took.extend(done?);
    }
    let seconds = start.elapsed().as_secs_f64();
    journal.close();
    took.sort_by(f64::total_cmp);
    let (speed, rate) = (bodies as f64 * bytes as f64 / seconds / 1e6, bodies as f64 / seconds);
    let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{bytes:10} {writers:8} {speed:9.1} {rate:9.0} {half:9.2} {most:9.2}");
    Ok(())
}

fn recover(below: &std::path::Path) -> Outcome<()> {
    let dir = tempfile::tempdir_in(below)?;
    let journal = open(dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (bytes, bodies) = (896_000, 600);
    for number in 0..bodies {
        runtime.block_on(journal.append(body(bytes, number)))?;
    }
    journal.close();
    drop(journal);
    let start = Instant::now();
    let journal = open(dir.path())?;
    let seconds = start.elapsed().as_secs_f64();
    journal.close();
    let megabytes = bodies as f64 * bytes as f64 / 1e6;
    println!("recovery of {megabytes:.0} MB in the cache: {:.0} MB/s", megabytes / seconds);
    Ok(())
}

/// On one core. A disk slower than the last column takes a body faster when it is compressed
/// before, if the processor has nothing else to do.
fn compress() -> Outcome<()> {
    let bodies = bodies(50_000_000);
    let total: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    println!(
        "\n{:>10} {:>9} {:>14} {:>16} {:>12} {:>17}",
        "frames", "ratio", "compress MB/s", "decompress MB/s", "CPU s per GB", "disks below MB/s"
    );
    let row = |name: &str, pack: &mut Codec<'_>, unpack: &mut Codec<'_>| -> Outcome<()> {
        let mut packed = Vec::new();
        for body in &bodies {
            packed.push(pack(&body.bytes, body.bytes.len())?);
        }
        let size: usize = packed.iter().map(Vec::len).sum();
        let (packing, _) = median(|| {
            bodies
                .iter()
                .try_fold(0, |sum, body| Ok(sum + pack(&body.bytes, body.bytes.len())?.len()))
        })?;
        let (unpacking, length) = median(|| {
            let pairs = packed.iter().zip(&bodies);
            pairs.into_iter().try_fold(0, |sum, (packed, body)| {
                Ok(sum + unpack(packed, body.bytes.len())?.len())
            })
        })?;
        if length != total {
            return Err(format!("{name}: {length} bytes of {total} came back").into());
        }
        let ratio = total as f64 / size as f64;
        let speed = |seconds: f64| total as f64 / seconds / 1e6;
        let cost = (packing + unpacking) / total as f64 * 1e9;
        let pays_below = speed(packing) * (1.0 - 1.0 / ratio);
        println!(
            "{name:>10} {ratio:9.2} {:14.0} {:16.0} {cost:12.2} {pays_below:17.0}",
            speed(packing),
            speed(unpacking)
        );
        Ok(())
    };
    row("lz4", &mut |bytes, _| Ok(lz4_flex::block::compress(bytes)), &mut |bytes, length| {
        Ok(lz4_flex::block::decompress(bytes, length)?)
    })?;
    for level in [-7, -3, -1, 1] {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        let mut decompressor = zstd::bulk::Decompressor::new()?;
        row(
            &format!("zstd:{level}"),
            &mut |bytes, _| Ok(compressor.compress(bytes)?),
            &mut |bytes, length| Ok(decompressor.decompress(bytes, length)?),
        )?;
    }
    Ok(())
}

/// Bytes and the length of the body to bytes.
type Codec<'a> = dyn FnMut(&[u8], usize) -> Outcome<Vec<u8>> + 'a;
