//! The replay: lands lines of the quarantine again.
//!
//! A line is identified by its file, which never changes once it is there, and its number in it: an entry
//! has as many numbers as it has lines, which is one but for joined lines and text that was not read.
//! Lines that the decoder takes now, and that no replay took before, are one import; its manifest
//! names the file and the numbers. The other lines are left alone: nothing of them is written, so
//! that a replay in vain leaves no trace and can be tried again after the next upgrade.
//!
//! A body that was set aside is one import of all its lines, as the body that it was. If one of them is
//! a row now, those that are none are entries of this import's quarantine. A body on which the decoder
//! fails still is left alone; one of which no roll can be made leaves its import open, which the next
//! replay goes on with. Neither stops anything else.
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
use super::whole_body;
use crate::bulk_action;
use crate::clock::{Clock as _, SystemClock};
use crate::decode::Decoder;
use crate::error_text::{self, shown};
use crate::lake::{QuarantineEntry, texts_of};
use crate::privacy;
use crate::record::{Body, Micros, Seq};
use crate::roll::care::RollFailure;

/// Bytes that are tried at a time.
const TRIED_BYTES: usize = 4 << 20;
/// Lines that are tried at a time.
const TRIED_LINES: usize = 32_768;

/// Most characters of the reason for which a body did not land.
const REASON_CHARACTERS: usize = 200;

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
    /// Left in quarantine: of bodies that were set aside, and failed again. The log has the reasons.
    pub failed: u64,
}

impl std::ops::AddAssign for Replayed {
    fn add_assign(&mut self, more: Replayed) {
        self.landed += more.landed;
        self.known += more.known;
        self.left += more.left;
        self.closed += more.closed;
        self.failed += more.failed;
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
                match self.land(node, manifest, false, lines)? {
                    Ok(()) => replayed.landed += numbers.count(),
                    Err(NoRoll) => replayed.failed += numbers.count(),
                }
            } else {
                replayed.known += numbers.count();
            }
        }
        let mut tried = Tried::default();
        let (mut numbers, mut lines) = (Vec::new(), Vec::new());
        let mut bodies = Vec::new();
        for (first, entry) in numbered_entries(entries) {
            let asked = reason.is_none_or(|reason| entry.reason.contains(reason));
            if !asked || entry.lines == 1 && taken.has(first) {
                continue;
            }
            if entry.is_set_aside() {
                if !taken.has_any(first, first.saturating_add(entry.lines)) {
                    bodies.push((first, entry));
                }
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
                    tried.push(number, Line { number: entry.line, bytes: raw, body: None });
                }
            }
            // The part that is tried at a time is bounded; the body that lands is not.
            if tried.is_full() {
                replayed.left += self.documents(&mut tried, &mut numbers, &mut lines)?;
            }
        }
        replayed.left += self.documents(&mut tried, &mut numbers, &mut lines)?;
        let mut nodes: HashSet<String> = replays.into_iter().map(|(node, _)| node).collect();
        let mut node = || {
            let node = planned::numbered(&base).find(|node| !nodes.contains(node));
            let node = node.unwrap_or_default();
            nodes.insert(node.clone());
            node
        };
        if !lines.is_empty() {
            replayed.landed += lines.len() as u64;
            let manifest = self.manifest(path, ranges(numbers.into_iter()));
            // Lines alone are an error, and no outcome, when they do not land.
            let _ = self.land(node(), manifest, true, lines)?;
        }
        for (first, entry) in bodies {
            replayed += self.body(path, first, entry, &mut node)?;
        }
        Ok(replayed)
    }

    fn manifest(&self, path: &str, entries: Vec<(u64, u64)>) -> ImportManifest {
        let file = ManifestFile::new(path.to_owned(), None);
        let new = ImportManifest::new(vec![file], &self.importer.tables, SystemClock.now());
        ImportManifest { entries: Some(entries), ..new }
    }

    /// Lands a body that was set aside, whose first line has the number `first`, as an import of its own
    /// with the name that `node` returns.
    fn body(
        &self,
        path: &str,
        first: u64,
        entry: &QuarantineEntry,
        node: &mut dyn FnMut() -> String,
    ) -> anyhow::Result<Replayed> {
        let (lines, none) = (entry.lines, Replayed::default());
        let Some(text) = opened_body(entry, self.importer.key.as_ref()) else {
            return Ok(Replayed { closed: lines, ..none });
        };
        let line = whole_body::line(entry.line, text);
        let table =
            self.importer.tables.of_documents().next().ok_or_else(|| anyhow!("no table"))?;
        let counts = match whole_body::tried(table, &line) {
            Ok(counts) => counts,
            Err(why) => {
                let why = error_text::bounded(&why, REASON_CHARACTERS);
                tracing::error!(
                    "body {} of {} was set aside and cannot be decoded now: {why}. It stays in \
                     quarantine",
                    entry.seq,
                    shown(path)
                );
                return Ok(Replayed { failed: lines, ..none });
            }
        };
        if counts.rows == 0 {
            return Ok(Replayed { left: lines, ..none });
        }
        let last = first.saturating_add(lines).saturating_sub(1);
        let manifest = self.manifest(path, vec![(first, last)]);
        // A document may have several lines, and none of them be known as a reject.
        let left = counts.rejects.min(lines.saturating_sub(1));
        Ok(match self.land(node(), manifest, true, vec![line])? {
            Ok(()) => Replayed { landed: lines - left, left, ..none },
            Err(NoRoll) => Replayed { failed: lines, ..none },
        })
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

    /// Lands lines, or a body that was set aside: if no roll can be made of it, that is an outcome.
    ///
    /// # Errors
    /// The lake; no roll can be made of the lines.
    fn land(
        &self,
        node: String,
        manifest: ImportManifest,
        new: bool,
        lines: Vec<Line>,
    ) -> anyhow::Result<Result<(), NoRoll>> {
        let report = Report::new(&[], true);
        let is_body = lines.iter().any(|line| line.body.is_some());
        let (claims, lines) = (Vec::new(), Lines::Quarantine(lines));
        let name = node.clone();
        let planned = PlannedImport { node, manifest, new, claims, lines };
        match self.importer.run(planned, &report) {
            Ok(_) => Ok(Ok(())),
            Err(error) if is_body && error.is::<RollFailure>() => {
                let why = error_text::one_line(error.as_ref());
                let why = error_text::bounded(&why, REASON_CHARACTERS);
                tracing::error!(
                    "a body that was set aside has not landed: {why}. The import {name} stays open, \
                     and the next replay goes on with it"
                );
                Ok(Err(NoRoll))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the lines with these numbers.
    ///
    /// # Errors
    /// There is no such line; it is sealed, and the privacy key does not open it.
    fn lines(&self, entries: &[QuarantineEntry], numbers: &Numbers) -> anyhow::Result<Vec<Line>> {
        let (mut lines, mut found) = (Vec::new(), 0_u64);
        let key = self.importer.key.as_ref();
        for (first, entry) in numbered_entries(entries) {
            if !numbers.has_any(first, first.saturating_add(entry.lines)) {
                continue;
            }
            let closed = || anyhow!("line {first} is sealed, and privacy_key does not open it");
            if entry.is_set_aside() {
                let text = opened_body(entry, key).ok_or_else(closed)?;
                lines.push(whole_body::line(entry.line, text));
                found = found.saturating_add(entry.lines);
                continue;
            }
            let opened = opened(entry, key).ok_or_else(closed)?;
            let before = lines.len();
            let of_entry = (first..).zip(opened).filter(|(number, _)| numbers.has(*number));
            lines.extend(of_entry.map(|(_, bytes)| Line { number: entry.line, bytes, body: None }));
            found = found.saturating_add((lines.len() - before) as u64);
        }
        ensure!(found == numbers.count(), "it names lines that are not there");
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
        let table = self.importer.tables.of_documents().next();
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

/// A body of which no roll could be made. The log has the reason.
struct NoRoll;

/// Returns the lines as they came, or `None` if they are sealed and the key does not open them, or are
/// not as many as the entry says.
fn opened(entry: &QuarantineEntry, key: Option<&privacy::Key>) -> Option<Vec<Bytes>> {
    entry.lines_of(opened_texts(entry, key)?)
}

/// Returns the text of a body that was set aside, or `None` as [`opened`] does.
fn opened_body(entry: &QuarantineEntry, key: Option<&privacy::Key>) -> Option<Bytes> {
    let mut texts = opened_texts(entry, key)?;
    texts.pop().filter(|_| texts.is_empty())
}

fn opened_texts(entry: &QuarantineEntry, key: Option<&privacy::Key>) -> Option<Vec<Bytes>> {
    match entry.raw.as_str().and_then(privacy::sealed) {
        Some(sealed) => texts_of(key?.open(&sealed.text)?, sealed.form.as_deref()),
        None => entry.texts(),
    }
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
