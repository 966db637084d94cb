//! The replay: lands lines of the quarantine again.
//!
//! An entry is identified by its file, which never changes once it is there, and its number in it.
//! Entries that the decoder takes now, and that no replay took before, are one import; its manifest
//! names the file and the numbers. The other entries are left alone: nothing of them is written, so
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
use crate::lake::QuarantineEntry;
use crate::privacy;
use crate::record::{Body, Micros, Seq};

/// Bytes that are tried at a time.
const TRIED_BYTES: usize = 4 << 20;
/// Lines that are tried at a time.
const TRIED_LINES: usize = 32_768;

/// The outcomes of entries that were replayed, counted.
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
        let mut taken = HashSet::new();
        let base = format!("replay-{:032x}", xxh3_128(path.as_bytes()));
        let replays = self.replays_of(&base)?;
        for (node, manifest) in replays.clone() {
            if manifest.given_up {
                continue;
            }
            let ranges = manifest.entries.iter().flatten();
            let entries_there = entries.len() as u64;
            ensure!(
                ranges.clone().all(|(first, last)| *first >= 1 && *last <= entries_there),
                "the mark of {node} names entries that {path} does not have"
            );
            let numbers: Vec<u64> = ranges.flat_map(|(first, last)| *first..=*last).collect();
            taken.extend(numbers.iter().copied());
            if manifest.is_open() {
                let line = |number: &u64| self.line(entries, *number);
                let lines: anyhow::Result<Vec<Line>> = numbers.iter().map(line).collect();
                let lines = lines.with_context(|| format!("cannot go on with {node}"))?;
                replayed.landed += lines.len() as u64;
                self.land(node, manifest, false, lines)?;
            } else {
                replayed.known += numbers.len() as u64;
            }
        }
        let (mut numbers, mut lines) = (Vec::new(), Vec::new());
        for (number, entry) in (1..).zip(entries) {
            let asked = reason.is_none_or(|reason| entry.reason.contains(reason));
            if !asked || taken.contains(&number) {
                continue;
            }
            match opened(entry, self.importer.key.as_ref()) {
                None => replayed.closed += 1,
                Some(raw) if entry.is_of_update() || !may_be_document(&raw) => replayed.left += 1,
                Some(raw) => {
                    numbers.push(number);
                    lines.push(Line { number: entry.line, bytes: raw.into() });
                }
            }
        }
        let rejected = self.rejected(&lines)?;
        replayed.left += rejected.len() as u64;
        let document = |at: &usize| !rejected.contains(at);
        let keep: Vec<usize> = (0..lines.len()).filter(document).collect();
        let numbers = keep.iter().filter_map(|at| numbers.get(*at).copied());
        let entries = ranges(numbers);
        let lines: Vec<Line> = keep.iter().filter_map(|at| lines.get(*at).cloned()).collect();
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

    /// Returns the line of the entry `number`.
    ///
    /// # Errors
    /// There is no such entry; it is sealed, and the privacy key does not open it.
    fn line(&self, entries: &[QuarantineEntry], number: u64) -> anyhow::Result<Line> {
        let at = usize::try_from(number.saturating_sub(1))?;
        let entry = entries.get(at).ok_or_else(|| anyhow!("there is no entry {number}"))?;
        let raw = opened(entry, self.importer.key.as_ref())
            .ok_or_else(|| anyhow!("entry {number} is sealed, and privacy_key does not open it"))?;
        Ok(Line { number: entry.line, bytes: raw.into() })
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

/// Returns the line as it came, or `None` if it is sealed and the key does not open it.
fn opened(entry: &QuarantineEntry, key: Option<&privacy::Key>) -> Option<Vec<u8>> {
    match entry.raw.as_str().and_then(privacy::sealed) {
        Some(sealed) => key?.open(&sealed),
        None => Some(entry.bytes()),
    }
}

/// Returns whether `raw` is worth decoding: one line, or one document that spans several. The rest of
/// a broken array is neither, since none of its lines came as a line.
fn may_be_document(raw: &[u8]) -> bool {
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
