//! Throughput of durable appends, and of reading them back at a start.
//!
//! `cargo bench --bench journal [-- DIR]` appends bodies of the exporter's size and of 1 KB with 1,
//! 16 and 256 writers at once to a journal below DIR (the system's folder for temporary files), on
//! the real disk, every append synced before it is answered; then opens the journal again. Then it
//! prints the cost and the gain of compressing bodies, by codec, and how fast sessions become
//! durable with and without that on disks of several speeds, which are this one made slower.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod common;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use common::slow::SlowDisk;
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
    compress()?;
    slow_disks(&below)
}

/// Opens a journal without compression: bodies that are not about compression are of one letter.
fn open(dir: &Path) -> Outcome<Journal> {
    let options = Options { compress_from_bytes: None, ..Options::new(dir.to_owned()) };
    let (journal, _) = Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options)?;
    Ok(journal)
}

/// Returns a body that differs from those with another number: retries are answered without a
/// write.
fn body(bytes: usize, number: u64) -> NewBody {
    let mut text = vec![b'x'; bytes];
    text[..8].copy_from_slice(&number.to_le_bytes());
    let (table, form) = (Arc::from("user_sessions"), Form::Ndjson);
    NewBody { table, form, first_line: 1, bytes: Bytes::from(text) }
}

fn append(below: &Path, bytes: usize, writers: usize, bodies: u64) -> Outcome<()> {
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

fn recover(below: &Path) -> Outcome<()> {
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

/// Measures codecs on one core. A disk slower than the last column takes a body faster when it is
/// compressed before, if the processor is idle otherwise.
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
    // As senders compress: to keep that would save nothing but the time to compress it again.
    row(
        "gzip:6",
        &mut |bytes, _| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            gzip.write_all(bytes)?;
            Ok(gzip.finish()?)
        },
        &mut |bytes, length| {
            let mut out = Vec::with_capacity(length);
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)?;
            Ok(out)
        },
    )?;
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

/// Measures 16 writers with bodies of sessions.
fn slow_disks(below: &Path) -> Outcome<()> {
    println!("\n{:>14} {:>12} {:>9} {:>9}", "disk MB/s", "compressed", "MB/s", "written");
    for megabytes_per_s in [60, 125, 250, 500, 1000, 0] {
        let total = match megabytes_per_s {
            0 | 1000 => 600_000_000,
            slow => slow as usize * 3_000_000,
        };
        for is_compressed in [false, true] {
            let disk = match megabytes_per_s {
                0 => "as it is".into(),
                speed => speed.to_string(),
            };
            let (speed, share) =
                sessions(below, megabytes_per_s * 1_000_000, is_compressed, total)?;
            println!(
                "{disk:>14} {:>12} {speed:9.0} {:8.0} %",
                if is_compressed { "yes" } else { "no" },
                100.0 * share
            );
        }
    }
    Ok(())
}

/// Returns the MB of sessions that became durable a second, and the part of their bytes that was
/// written.
fn sessions(
    below: &Path,
    bytes_per_s: u64,
    is_compressed: bool,
    total: usize,
) -> Outcome<(f64, f64)> {
    const WRITERS: usize = 16;
    let dir = tempfile::tempdir_in(below)?;
    let usual = Options::new(dir.path().to_owned());
    let options = Options {
        compress_from_bytes: usual.compress_from_bytes.filter(|_| is_compressed),
        // The same bodies go round.
        retry_window: std::time::Duration::ZERO,
        ..usual
    };
    let disk = Arc::new(SlowDisk { bytes_per_s });
    let (journal, _) = Journal::open(disk, Arc::new(SystemClock), options)?;
    let before = journal.status().backlog_bytes;
    let bodies = Arc::new(bodies(20_000_000));
    let each = total / 20_000_000 * bodies.len() / WRITERS;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (journal, bodies) = (journal.clone(), Arc::clone(&bodies));
            runtime.spawn(async move {
                let mut bytes = 0;
                for number in 0..each {
                    let body = &bodies[(writer + number * WRITERS) % bodies.len()];
                    bytes += body.bytes.len();
                    let new = NewBody {
                        table: Arc::clone(&body.table),
                        form: body.form,
                        first_line: 1,
                        bytes: body.bytes.clone(),
                    };
                    journal.append(new).await.map_err(|error| error.to_string())?;
                }
                Ok(bytes)
            })
        })
        .collect();
    let mut sent = 0;
    for task in tasks {
        let bytes: Result<usize, String> = runtime.block_on(task)?;
        sent += bytes?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let written = journal.status().backlog_bytes - before;
    journal.close();
    Ok((sent as f64 / seconds / 1e6, written as f64 / sent as f64))
}

/// A function from bytes and the length of the body to bytes.
type Codec<'a> = dyn FnMut(&[u8], usize) -> Outcome<Vec<u8>> + 'a;
