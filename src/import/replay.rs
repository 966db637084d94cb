//! The replay: lands lines of the quarantine again.
//!
//! A line is identified by its file, which never changes once it is there, and its number in it: an entry
//! has as many numbers as it has lines, which is one but for joined lines and text that was not read.
//! Lines that the decoder takes now, and that no replay took before, are one import; its manifest
//! names the file and the numbers. The other lines are left alone: nothing of them is written, so
//! that a replay in vain leaves no trace and can be tried again after the next upgrade.
//!
//! Lines go from the lake to the decoder in memory and as they came. What privacy rules have sealed
//! is in the clear nowhere else.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::runtime::{Builder, Runtime};
use xxhash_rust::xxh3::xxh3_128;

use super::chunk_source::Line;
use super::chunker::ChunkRule;
use super::importer::Importer;
use super::manifest::{ImportManifest, ManifestFile};
use super::options::Options;
use super::planned::{self, Lines, PlannedImport};
use super::report::Report;
use crate::bulk_action;
use crate::clock::{Clock as _, SystemClock};
use crate::decode::Decoder;
use crate::lake::{QuarantineEntry, texts_of};
use crate::privacy;
use crate::record::{Body, Micros, Seq};

/// Bytes that are tried at a time.
const TRIED_BYTES: usize = 4 << 20;
/// Lines that are tried at a time.
const TRIED_LINES: usize = 32_768;

/// The outcomes of lines that were replayed, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Landed as rows.
    pub landed: u64,
    /// Landed by an earlier replay.
    pub known: u64,
    /// Left in quarantine: still no documents.
    pub left: u64,
    /// Left in quarantine: sealed, and the privacy key does not open them.
    pub closed: u64,
}

impl std::ops::AddAssign for Replayed {
    fn add_assign(&mut self, more: Replayed) {
        self.landed += more.landed;
        self.known += more.known;
        self.left += more.left;
        self.closed += more.closed;
    }
}

/// Lands files of the quarantine again, one after the other.
pub struct Replay {
    importer: Importer,
    _runtime: Runtime,
}

impl Replay {
    /// Opens the lake and reads the manifests of earlier replays.
    ///
    /// # Errors
    /// The lake, or the privacy key.
    pub fn new(options: Options) -> anyhow::Result<Replay> {
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start the asynchronous runtime")?;
        let importer = Importer::open(options, runtime.handle().clone())?;
        Replay::with_importer(importer, runtime)
    }

    /// Makes a replay that lands through `importer`, whose requests run on `runtime`.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn with_importer(importer: Importer, runtime: Runtime) -> anyhow::Result<Replay> {
        Ok(Replay { importer, _runtime: runtime })
    }

    /// Lands entries of the file `path`, which are given whole and in order; only those whose
    /// reason has the text `reason` in it, if one is given. A replay of the file that was
    /// interrupted is finished first, whatever the reason.
    ///
    /// # Errors
    /// The lake; an interrupted replay whose entries can no longer be opened.
    pub fn file(
        &mut self,
        path: &str,
        entries: &[QuarantineEntry],
        reason: Option<&str>,
    ) -> anyhow::Result<Replayed> {
        let mut replayed = Replayed::default();
        let mut taken = Numbers::default();
        let base = format!("replay-{:032x}", xxh3_128(path.as_bytes()));
        let replays = self.replays_of(&base)?;
        for (node, manifest) in replays.clone() {
            if manifest.given_up {
                continue;
            }
            let numbers = Numbers::of(manifest.entries.iter().flatten().copied());
            let there = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.lines));
            ensure!(
                numbers.are_within(there),
                "the mark of {node} names entries that {path} does not have"
            );
            taken.add(&numbers);
            if manifest.is_open() {
                let lines = self.lines(entries, &numbers);
                let lines = lines.with_context(|| format!("cannot go on with {node}"))?;
                replayed.landed += lines.len() as u64;
                self.land(node, manifest, false, lines)?;
            } else {
                replayed.known += numbers.count();
            }
        }
        let mut tried = Tried::default();
        let (mut numbers, mut lines) = (Vec::new(), Vec::new());
        for (first, entry) in numbered_entries(entries) {
            let asked = reason.is_none_or(|reason| entry.reason.contains(reason));
            if !asked || entry.lines == 1 && taken.has(first) {
                continue;
            }
            let Some(opened) = opened(entry, self.importer.key.as_ref()) else {
                replayed.closed += entry.lines;
                continue;
            };
            for (number, raw) in (first..).zip(opened) {
                if taken.has(number) {
                    continue;
                }
                if entry.is_of_update() || !may_be_document(&raw, entry) {
                    replayed.left += 1;
                } else {
                    tried.push(number, Line { number: entry.line, bytes: raw });
                }
            }
            // What is tried at a time is bounded; what lands is not.
            if tried.is_full() {
                replayed.left += self.documents(&mut tried, &mut numbers, &mut lines)?;
            }
        }
        replayed.left += self.documents(&mut tried, &mut numbers, &mut lines)?;
        let entries = ranges(numbers.into_iter());
        if !lines.is_empty() {
            replayed.landed += lines.len() as u64;
            let file = ManifestFile::new(path.to_owned(), None);
            let now = SystemClock.now();
            let new = ImportManifest::new(vec![file], &self.importer.tables, now);
            let manifest = ImportManifest { entries: Some(entries), ..new };
            let free = |node: &String| !replays.iter().any(|(replay, _)| replay == node);
            let node = planned::numbered(&base).find(free).unwrap_or_default();
            self.land(node, manifest, true, lines)?;
        }
        Ok(replayed)
    }

    /// Returns the earlier replays of a file, whose nodes are `base`, `base-2` …, in order.
    fn replays_of(&self, base: &str) -> anyhow::Result<Vec<(String, ImportManifest)>> {
        let mut replays = Vec::new();
        for node in planned::numbered(base) {
            let Some(manifest) = self.importer.manifests.get(&node)? else { break };
            replays.push((node, manifest));
        }
        Ok(replays)
    }

    fn land(
        &self,
        node: String,
        manifest: ImportManifest,
        new: bool,
        lines: Vec<Line>,
    ) -> anyhow::Result<()> {
        let report = Report::new(&[], true);
        let (claims, lines) = (Vec::new(), Lines::Quarantine(lines));
        let planned = PlannedImport { node, manifest, new, claims, lines };
        self.importer.run(planned, &report).map(drop)
    }

    /// Returns the lines with these numbers.
    ///
    /// # Errors
    /// There is no such line; it is sealed, and the privacy key does not open it.
    fn lines(&self, entries: &[QuarantineEntry], numbers: &Numbers) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (first, entry) in numbered_entries(entries) {
            if !numbers.has_any(first, first.saturating_add(entry.lines)) {
                continue;
            }
            let opened = opened(entry, self.importer.key.as_ref()).ok_or_else(|| {
                anyhow!("line {first} is sealed, and privacy_key does not open it")
            })?;
            let of_entry = (first..).zip(opened).filter(|(number, _)| numbers.has(*number));
            lines.extend(of_entry.map(|(_, bytes)| Line { number: entry.line, bytes }));
        }
        ensure!(lines.len() as u64 == numbers.count(), "it names lines that are not there");
        Ok(lines)
    }

    /// Adds those of the lines that were collected which are documents, with their numbers. Returns the
    /// number of the others.
    fn documents(
        &self,
        tried: &mut Tried,
        numbers: &mut Vec<u64>,
        lines: &mut Vec<Line>,
    ) -> anyhow::Result<u64> {
        let tried = std::mem::take(tried);
        let rejected = self.rejected(&tried.lines)?;
        let all = tried.numbers.into_iter().zip(tried.lines).enumerate();
        for (_, (number, line)) in all.filter(|(at, _)| !rejected.contains(at)) {
            numbers.push(number);
            lines.push(line);
        }
        Ok(rejected.len() as u64)
    }

    /// Decodes the lines and returns the indices of those that are rejected.
    fn rejected(&self, lines: &[Line]) -> anyhow::Result<HashSet<usize>> {
        let table = self.importer.tables.specs().first();
        let table = table.ok_or_else(|| anyhow!("no table"))?;
        let decoder = Decoder::new(Arc::clone(&table.schema), "replay".into());
        let mut decoder = decoder.with_line_limit(table.line_limit_bytes);
        let (mut rejected, mut bytes) = (HashSet::new(), 0);
        for (at, line) in lines.iter().enumerate() {
            decoder.push(&Body {
                seq: Seq(at as u64),
                received_at: Micros(0),
                table: Arc::clone(&table.name),
                form: line.form(ChunkRule::Documents),
                first_line: line.number,
                bytes: Bytes::clone(&line.bytes),
                stored: None,
            });
            bytes += line.bytes.len();
            if bytes >= TRIED_BYTES || at % TRIED_LINES == 0 || at + 1 == lines.len() {
                bytes = 0;
                let rejects = decoder.finish().rejects.into_iter();
                rejected.extend(rejects.filter_map(|reject| usize::try_from(reject.seq.0).ok()));
            }
        }
        Ok(rejected)
    }
}

/// Numbers of lines, as ranges, first to last: what a mark says is not believed before it is looked at.
#[derive(Default)]
struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    fn of(ranges: impl Iterator<Item = (u64, u64)>) -> Numbers {
        let mut ranges: Vec<(u64, u64)> = ranges.collect();
        ranges.sort_unstable();
        Numbers(ranges)
    }

    fn add(&mut self, more: &Numbers) {
        self.0.extend_from_slice(&more.0);
        self.0.sort_unstable();
    }

    fn are_within(&self, most: u64) -> bool {
        self.0.iter().all(|(first, last)| *first >= 1 && *last <= most)
    }

    fn count(&self) -> u64 {
        let count = |(first, last): &(u64, u64)| last.saturating_add(1).saturating_sub(*first);
        self.0.iter().map(count).fold(0, u64::saturating_add)
    }

    fn has(&self, number: u64) -> bool {
        self.has_any(number, number.saturating_add(1))
    }

    /// Tells whether there is one from `first` up to and without `end`.
    fn has_any(&self, first: u64, end: u64) -> bool {
        let before = self.0.partition_point(|(from, _)| *from < end);
        before.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| *last >= first)
    }
}

/// Lines that are to be tried together, with their numbers.
#[derive(Default)]
struct Tried {
    numbers: Vec<u64>,
    lines: Vec<Line>,
    bytes: usize,
}

impl Tried {
    fn push(&mut self, number: u64, line: Line) {
        self.bytes += line.bytes.len();
        self.numbers.push(number);
        self.lines.push(line);
    }

    fn is_full(&self) -> bool {
        self.bytes >= TRIED_BYTES || self.lines.len() >= TRIED_LINES
    }
}

/// Returns the entries, each with the number of its first line.
fn numbered_entries(entries: &[QuarantineEntry]) -> impl Iterator<Item = (u64, &QuarantineEntry)> {
    entries.iter().scan(1_u64, |next, entry| {
        let first = *next;
        *next = next.saturating_add(entry.lines);
        Some((first, entry))
    })
}

/// Returns the lines as they came, or `None` if they are sealed and the key does not open them, or are
/// not as many as the entry says.
fn opened(entry: &QuarantineEntry, key: Option<&privacy::Key>) -> Option<Vec<Bytes>> {
    let texts = match entry.raw.as_str().and_then(privacy::sealed) {
        Some(sealed) => texts_of(key?.open(&sealed.text)?, sealed.form.as_deref()),
        None => entry.texts(),
    };
    entry.lines_of(texts?)
}

/// Returns whether `raw`, a line of `entry`, is worth decoding: one line, or one document that spans
/// several. The rest of a broken array is neither, since none of its lines came as a line. Of several
/// lines, which are most often noise, one that can be no object is not.
fn may_be_document(raw: &[u8], entry: &QuarantineEntry) -> bool {
    if entry.lines != 1 && !raw.trim_ascii_end().ends_with(b"}") {
        return false;
    }
    let lines = memchr::memchr(b'\n', raw).is_some();
    let whole = !lines || serde_json::from_slice::<IgnoredAny>(raw).is_ok();
    whole && !raw.trim_ascii().is_empty() && bulk_action::read(raw).is_none()
}

/// Returns ascending numbers as ranges, first to last.
fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}
