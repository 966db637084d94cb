//! Small bodies that cost much: a corpus that every run sends again, and the search that found them.
//!
//! A receiver of its own (the real program, its settings as they come) gets a body of a shape, lands
//! it and ends. Its time on a processor, its memory and the bytes that it had on disk are held against
//! the bounds of docs/security.md:
//!
//! * a body takes no more than [`CPU_S_PER_MB`] on a processor;
//! * its files, staging and lake together but without the journal, take no more than [`DISK_FACTOR`]
//!   times its bytes, besides a file for each partition that any body may open;
//! * the process stays below [`MEMORY_BYTES`], whatever is landed.
//!
//! Machines differ, and builds without optimization more: time is told in that of usual sessions
//! of the same number of bytes in the same run.
//!
//! `tests/data/shapes/corpus.tsv` has the shapes that cost most, by hand and by search; how they are
//! written is in `shape.rs`. Every run sends each of them ([`the_worst_shapes_stay_within_the_bounds`]).
//! `tests/run shapes` goes on from there for an hour (`SESSIONLAKE_SHAPES_MINUTES`), and prints what
//! it found beyond a bound as lines for the corpus.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "it is a test")]
#![allow(clippy::indexing_slicing, reason = "it is a test")]

#[path = "../../benches/common/mod.rs"]
mod common;
mod evolve;
mod receiver;
mod search;
mod shape;

use std::time::SystemTime;

use receiver::{Cost, measure};
use shape::{Form, Setup, Shape};

/// The bound on time on a processor for a megabyte of a body, of an optimized build.
pub(crate) const CPU_S_PER_MB: f64 = 0.1;
/// The time that usual sessions take for a megabyte, in one large body, of an optimized build on the
/// machine of docs/performance.md: the bound is 15 times that.
pub(crate) const USUAL_S_PER_MB: f64 = 0.0065;
/// The bound on files.
pub(crate) const DISK_FACTOR: f64 = 3.0;
/// Bytes of a roll that do not depend on what is in it: its receipt, and the entries of quarantine that
/// every body gets.
pub(crate) const DISK_BASE_BYTES: f64 = (512 << 10) as f64;
/// Bytes of a file with few rows, whose footer has 170 columns: 46 KiB, in the staging directory and in
/// the lake until the roll has landed.
const FILE_BYTES: f64 = (96 << 10) as f64;
/// The bound on resident memory.
pub(crate) const MEMORY_BYTES: u64 = 512 << 20;

/// Returns the shapes of the corpus, or of the file that `SESSIONLAKE_SHAPES` names instead.
pub(crate) fn corpus() -> Vec<Shape> {
    match std::env::var_os("SESSIONLAKE_SHAPES") {
        Some(path) => shapes(&std::fs::read_to_string(path).expect("a file of shapes")),
        None => shapes(include_str!("../data/shapes/corpus.tsv")),
    }
}

/// Returns the shapes of a text, one a line; lines that begin with `#` are comments.
pub(crate) fn shapes(text: &str) -> Vec<Shape> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Shape::parse(line).unwrap_or_else(|| panic!("no shape: {line}"))).collect()
}

/// Returns milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("a time of today")
}

/// The cost of usual sessions in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    /// Of a body of one session: what every body costs, and the end of the program.
    base_s: f64,
    /// Of a megabyte more.
    s_per_mb: f64,
    /// Of a file more.
    s_per_file: f64,
}

impl Usual {
    /// Measures it.
    pub(crate) fn measure() -> Usual {
        let median = |body: &[u8]| {
            let run = || {
                let cost = measure(Form::Ndjson, Setup::Plain, body);
                assert!(cost.status == 200 && cost.landed, "usual sessions do not land: {cost:?}");
                (cost.cpu_s, cost.files)
            };
            let mut runs = [run(), run(), run()];
            runs.sort_by(|a, b| a.0.total_cmp(&b.0));
            runs[1]
        };
        let cost = |size: usize| {
            let bodies = common::bodies(size);
            let body: Vec<u8> = bodies.iter().flat_map(|body| body.bytes.to_vec()).collect();
            (median(&body).0, body.len() as f64 / 1e6)
        };
        let (few_s, few_mb) = cost(1);
        // A processor's time is told in hundredths of a second: as many as it takes for dozens.
        let mut sizes = [2_000_000, 8_000_000, 32_000_000].into_iter().map(cost);
        let (many_s, many_mb) = sizes.find(|(s, _)| s - few_s > 0.15).expect("it takes some time");
        let s_per_mb = ((many_s - few_s) / (many_mb - few_mb)).max(0.001);
        let days =
            (0..28).map(|day| format!("{{\"startTime\":{}}}\n", now_ms() - day * 86_400_000));
        let (days_s, files) = median(days.collect::<String>().as_bytes());
        assert!(files == 28, "{files} files of 28 days");
        let s_per_file = ((days_s - few_s) / (files - 1) as f64).max(0.0);
        Usual { base_s: few_s, s_per_mb, s_per_file }
    }
}

/// Returns the number of partitions that a body may open in a roll, however small it is.
fn any_body_may_open(setup: Setup) -> usize {
    match setup {
        // The days of the window, tomorrow, some that are far away, and the one of all others.
        Setup::Plain | Setup::Sealed => 31 + 8 + 1,
        // A quarter of `max_partitions`, and the one of all others.
        Setup::ByCountry => 250 + 1,
    }
}

/// A cost as shares of the bounds: above 1 it is beyond one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) cpu: f64,
    pub(crate) disk: f64,
    pub(crate) memory: f64,
}

impl Shares {
    pub(crate) fn of(cost: &Cost, setup: Setup, body_bytes: usize, usual: Usual) -> Shares {
        // Of a few bytes it is the cost of a body that would be divided by them.
        let body_bytes = body_bytes.max(LEAST_BYTES);
        let mb = body_bytes as f64 / 1e6;
        // Partitions cost a file each, however few bytes they have: those that any body may open are
        // bounded by number (docs/security.md).
        let files = cost.files.min(any_body_may_open(setup)) as f64;
        // What one takes was measured with a few, in hundredths of a second: half as much again.
        let base_s = usual.base_s + (files - 1.0).max(0.0) * usual.s_per_file * 1.5;
        let times_usual = (cost.cpu_s - base_s) / mb / usual.s_per_mb;
        Shares {
            cpu: times_usual * USUAL_S_PER_MB / CPU_S_PER_MB,
            disk: (cost.disk_bytes as f64 - DISK_BASE_BYTES - files * FILE_BYTES)
                / body_bytes as f64
                / DISK_FACTOR,
            memory: cost.peak_bytes as f64 / MEMORY_BYTES as f64,
        }
    }

    /// Returns what is beyond its bound by more than the factor `margin` for time.
    pub(crate) fn beyond(&self, margin: f64) -> Vec<String> {
        let named = [("CPU", self.cpu / margin), ("disk", self.disk), ("memory", self.memory)];
        let beyond = named.into_iter().filter(|(_, share)| *share > 1.0);
        beyond.map(|(name, share)| format!("{share:.2} of the bound on {name}")).collect()
    }
}

/// The bytes that a body counts for at least.
const LEAST_BYTES: usize = 100_000;

/// The factor by which the corpus may be beyond its bound on time: machines are busy, and a few of its
/// shapes are known to be somewhat beyond it (docs/security.md).
const MARGIN: f64 = 3.0;

/// Every shape of the corpus, at a size that takes moments.
#[test]
fn the_worst_shapes_stay_within_the_bounds() {
    let size = if cfg!(debug_assertions) { 300_000 } else { 2_000_000 };
    let usual = Usual::measure();
    println!("usual: {usual:?}");
    let mut wrong = Vec::new();
    for shape in corpus() {
        let body = shape.body(size, now_ms());
        let cost = measure(shape.form, shape.setup, &body);
        let shares = Shares::of(&cost, shape.setup, body.len(), usual);
        println!("{}", line(&shape, &cost, &shares));
        if !cost.landed || !shares.beyond(MARGIN).is_empty() {
            wrong.push(line(&shape, &cost, &shares));
        }
    }
    assert!(wrong.is_empty(), "beyond a bound:\n{}", wrong.join("\n"));
}

/// Returns a cost and its shape, for people.
pub(crate) fn line(shape: &Shape, cost: &Cost, shares: &Shares) -> String {
    let Shares { cpu, disk, memory } = shares;
    let Cost { status, cpu_s, peak_bytes, disk_bytes, landed, files } = cost;
    let (peak, disk_kb) = (peak_bytes >> 20, disk_bytes >> 10);
    let ended = if *landed { "" } else { " DID NOT LAND" };
    format!(
        "CPU {cpu:6.2}  disk {disk:6.2}  memory {memory:5.2}  ({status}, {cpu_s:.2} s, {peak} MiB, \
         {disk_kb} KiB in {files} files{ended})  {shape}"
    )
}

#[test]
fn a_shape_is_read_as_it_is_written() {
    for shape in corpus() {
        let text = shape.to_string();
        assert_eq!(Shape::parse(&text).as_ref(), Some(&shape), "{text}");
        assert_eq!(shape.body(5_000, 1 << 40), shape.body(5_000, 1 << 40));
    }
    for wrong in
        ["", "ndjson", "ndjson\tplain\t\t\t", "ndjson\tplain\t\t«x»", "ndjson\tplain\t\t«3×a\t"]
    {
        assert!(Shape::parse(wrong).is_none(), "{wrong}");
    }
    let shape = Shape::parse("ndjson\tplain\ta«x00ff»\t«2×«n»,»⏎\tz").unwrap();
    assert_eq!(shape.body(14, 0), b"a\0\xff1,2,\n3,4,\nz");
}
