//! Lines of the quarantine, landed again.
//!
//! An entry is known by its place: its file, which never changes once it is there, and its number in
//! it. Those that the decoder takes now, and that no replay took before, are a run; its mark names
//! the file and the numbers. The other entries are left alone: nothing of them is written, so that
//! a replay in vain leaves no trace and can be tried again after the next upgrade.
//!
//! Lines go from the lake to the decoder in memory and as they came. What privacy rules have sealed
//! is in the clear nowhere else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use serde::de::IgnoredAny;
use xxhash_rust::xxh3::xxh3_128;

use super::chunk_source::{Line, Origin};
use super::manifest::{FileMark, Run};
use super::{Import, planner, report, runtime};
use crate::bulk_action;
use crate::decode::Decoder;
use crate::lake::Entry;
use crate::privacy;
use crate::record::{Body, Micros, Seq};

/// Bytes and lines that are tried at a time.
const TRIED_BYTES: usize = 4 << 20;
const TRIED_LINES: usize = 32_768;

/// What a replay made of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Rows now.
    pub landed: u64,
    /// Rows since an earlier replay.
    pub known: u64,
    /// No documents, now as before.
    pub left: u64,
    /// Sealed, and not to be opened with the key that there is.
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
    import: Import,
    /// Replays before, by node.
    before: HashMap<String, Run>,
    _runtime: tokio::runtime::Runtime,
}

impl Replay {
    /// Looks which replays there were.
    ///
    /// # Errors
    /// The lake, or the privacy key.
    pub fn new(options: super::Options) -> anyhow::Result<Replay> {
        let runtime = runtime()?;
        let import = Import::open(options, runtime.handle().clone())?;
        Replay::on(import, runtime)
    }

    pub(super) fn on(import: Import, runtime: tokio::runtime::Runtime) -> anyhow::Result<Replay> {
        let mut before = import.marks.runs()?;
        before.retain(|_, run| run.entries.is_some());
        Ok(Replay { import, before, _runtime: runtime })
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
        entries: &[Entry],
        reason: Option<&str>,
    ) -> anyhow::Result<Replayed> {
        let mut replayed = Replayed::default();
        let mut taken = HashSet::new();
        let mut of_file: Vec<(String, Run)> = self
            .before
            .iter()
            .filter(|(_, run)| !run.given_up && run.files.iter().any(|file| file.name == path))
            .map(|(node, run)| (node.clone(), run.clone()))
            .collect();
        of_file.sort_by(|a, b| a.0.cmp(&b.0));
        for (node, run) in of_file {
            let numbers: Vec<u64> =
                run.entries.iter().flatten().flat_map(|(first, last)| *first..=*last).collect();
            taken.extend(numbers.iter().copied());
            if run.is_open() {
                let line = |number: &u64| self.line(entries, *number);
                let lines: anyhow::Result<Vec<Line>> = numbers.iter().map(line).collect();
                let lines = lines.with_context(|| format!("cannot go on with {node}"))?;
                replayed.landed += lines.len() as u64;
                self.land(node, run, false, lines)?;
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
            match opened(entry, self.import.key.as_ref()) {
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
            let file = FileMark { name: path.to_owned(), content: None, first_seq: None };
            let run = Run { entries: Some(entries), ..self.import.new_mark(vec![file]) };
            let hash = xxh3_128(path.as_bytes());
            let node = planner::free(&format!("replay-{hash:032x}"), &self.before);
            self.land(node, run, true, lines)?;
        }
        Ok(replayed)
    }

    fn land(&mut self, node: String, run: Run, new: bool, lines: Vec<Line>) -> anyhow::Result<()> {
        let report = report::Report::new(&[], true);
        let origin = Origin::Lines(lines.into_iter());
        let run = self.import.run(&node, run, new, origin, &report)?;
        self.before.insert(node, run);
        Ok(())
    }

    /// The entry `number` as it was landed before.
    fn line(&self, entries: &[Entry], number: u64) -> anyhow::Result<Line> {
        let at = usize::try_from(number.saturating_sub(1))?;
        let entry = entries.get(at).ok_or_else(|| anyhow!("there is no entry {number}"))?;
        let raw = opened(entry, self.import.key.as_ref())
            .ok_or_else(|| anyhow!("entry {number} is sealed, and privacy_key does not open it"))?;
        Ok(Line { number: entry.line, bytes: raw.into() })
    }

    /// Which of the lines (by their places) are still no documents.
    fn rejected(&self, lines: &[Line]) -> anyhow::Result<HashSet<usize>> {
        let table = self.import.tables.specs().first();
        let table = table.ok_or_else(|| anyhow!("no table"))?;
        let mut decoder = Decoder::new(Arc::clone(&table.schema), "replay".into());
        let (mut rejected, mut bytes) = (HashSet::new(), 0);
        for (at, line) in lines.iter().enumerate() {
            decoder.push(&Body {
                seq: Seq(at as u64),
                received_at: Micros(0),
                table: Arc::clone(&table.name),
                form: line.form(),
                first_line: line.number,
                bytes: Bytes::clone(&line.bytes),
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

/// The line as it came; none when it is sealed and the key does not open it.
fn opened(entry: &Entry, key: Option<&privacy::Key>) -> Option<Vec<u8>> {
    match entry.raw.as_str().and_then(privacy::sealed) {
        Some(sealed) => key?.open(&sealed),
        None => Some(entry.bytes()),
    }
}

/// Whether it is worth trying: one line, or a document that it took several lines to write. The
/// rest of a broken array is neither, since none of its lines came as a line.
fn may_be_document(raw: &[u8]) -> bool {
    let lines = memchr::memchr(b'\n', raw).is_some();
    let whole = !lines || serde_json::from_slice::<IgnoredAny>(raw).is_ok();
    whole && !raw.trim_ascii().is_empty() && bulk_action::read(raw).is_none()
}

/// Numbers in order as ranges, first to last.
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
