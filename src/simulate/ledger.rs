//! The ledger: acknowledged ids, one a line; and their comparison with the ids in a lake.
//!
//! ```text
//!  # sessionlake ledger 1
//!  xkqpztrw-ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF-0-1793577600123     acknowledged: is there once
//!  ?xkqpztrw-ZYXWVUTSRQPONMLKJIHGFEDCBAZYXWVU-0-1793577604567    sent and not: may be there, once
//! ```
//! An id is `tenantId-userSessionId-startTime`, as in an Elasticsearch action's `_id`. The ids of a
//! bulk are written in one call after its acknowledgement, so that what is in the ledger is in the
//! lake; a sender that is killed leaves acknowledged bulks out, at most one a connection.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use super::generate::Id;

const HEADER: &str = "# sessionlake ledger 1";

/// A ledger that is being written.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    lines: Vec<u8>,
}

impl Ledger {
    /// Begins a new ledger. One that is there stays as it is: it may be the only word of what was
    /// acknowledged to an earlier run.
    pub(crate) fn create(path: &Path) -> io::Result<Ledger> {
        let mut file = File::create_new(path)?;
        writeln!(file, "{HEADER}")?;
        Ok(Ledger { file, lines: Vec::new() })
    }

    /// Writes the ids of a bulk that was acknowledged.
    pub(crate) fn acked(&mut self, ids: &[Id]) -> io::Result<()> {
        self.write("", ids)
    }

    /// Writes the ids of a bulk that was not, and that may have arrived.
    pub(crate) fn uncertain(&mut self, ids: &[Id]) -> io::Result<()> {
        self.write("?", ids)
    }

    fn write(&mut self, mark: &str, ids: &[Id]) -> io::Result<()> {
        self.lines.clear();
        for id in ids {
            self.lines.extend_from_slice(mark.as_bytes());
            self.lines.extend_from_slice(id.0.as_bytes());
            self.lines.push(b'\n');
        }
        self.file.write_all(&self.lines)
    }
}

/// Ledgers held against a lake: for each id what was promised, and how often it was found.
#[derive(Debug, Default)]
pub struct Comparison {
    ids: HashMap<Box<str>, LedgerEntry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct LedgerEntry {
    acked: bool,
    uncertain: bool,
    found: u32,
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Ids that were acknowledged.
    pub acked: u64,
    /// Ids that were sent and not acknowledged.
    pub uncertain: u64,
    /// Number of the uncertain ids that are in the lake.
    pub uncertain_found: u64,
    /// Rows of the lake.
    pub rows: u64,
    /// Acknowledged, and not in the lake.
    pub missing: Vec<String>,
    /// In the lake more than once.
    pub doubled: Vec<String>,
    /// In the lake, and in no ledger.
    pub unexpected: Vec<String>,
}

impl Verdict {
    /// Tells whether every acknowledged id is there once, and nothing else but uncertain ones.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.doubled.is_empty() && self.unexpected.is_empty()
    }
}

impl Comparison {
    /// Adds a ledger.
    ///
    /// # Errors
    /// It cannot be read, or is no ledger.
    pub fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut file = BufReader::new(File::open(path)?);
        let mut line = String::new();
        file.read_line(&mut line)?;
        if line.trim_end() != HEADER {
            return Err(io::Error::other("this is no ledger: its first line is another"));
        }
        loop {
            line.clear();
            file.read_line(&mut line)?;
            // A line without its end was torn when the sender was killed: its bulk is not all here.
            let Some(line) = line.strip_suffix('\n') else { return Ok(()) };
            match line.strip_prefix('?') {
                Some(id) => self.ids.entry(id.into()).or_default().uncertain = true,
                None => self.ids.entry(line.into()).or_default().acked = true,
            }
        }
    }

    /// Counts a row of the lake.
    pub fn found(&mut self, id: &str) {
        match self.ids.get_mut(id) {
            Some(entry) => entry.found += 1,
            None => {
                self.ids.insert(id.into(), LedgerEntry { found: 1, ..LedgerEntry::default() });
            }
        }
    }

    /// Returns the verdict; the ids in it are sorted.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let mut verdict = Verdict::default();
        for (id, entry) in self.ids {
            verdict.rows += u64::from(entry.found);
            match entry {
                LedgerEntry { acked: true, found, .. } => {
                    verdict.acked += 1;
                    if found == 0 {
                        verdict.missing.push(id.to_string());
                    }
                }
                LedgerEntry { uncertain: true, found, .. } => {
                    verdict.uncertain += 1;
                    verdict.uncertain_found += u64::from(found > 0);
                }
                _ => verdict.unexpected.push(id.to_string()),
            }
            if entry.found > 1 {
                verdict.doubled.push(id.into());
            }
        }
        verdict.missing.sort_unstable();
        verdict.doubled.sort_unstable();
        verdict.unexpected.sort_unstable();
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[&str]) -> Vec<Id> {
        list.iter().map(|id| Id((*id).to_owned())).collect()
    }

    #[test]
    fn what_is_missing_doubled_or_unexpected_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let mut ledger = Ledger::create(&path).unwrap();
        ledger.acked(&ids(&["a", "b", "c"])).unwrap();
        ledger.uncertain(&ids(&["d", "e", "f"])).unwrap();
        drop(ledger);
        let compare = |found: &[&str]| {
            let mut comparison = Comparison::default();
            comparison.read(&path).unwrap();
            found.iter().for_each(|id| comparison.found(id));
            comparison.verdict()
        };
        let good = compare(&["a", "b", "c", "e"]);
        assert!(good.holds());
        assert_eq!((good.acked, good.uncertain, good.uncertain_found, good.rows), (3, 3, 1, 4));
        let bad = compare(&["a", "c", "c", "d", "d", "x"]);
        assert!(!bad.holds());
        assert_eq!(bad.missing, ["b"]);
        assert_eq!(bad.doubled, ["c", "d"]);
        assert_eq!(bad.unexpected, ["x"]);
    }

    #[test]
    fn a_ledger_that_is_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        Ledger::create(&path).unwrap().acked(&ids(&["a"])).unwrap();
        assert_eq!(Ledger::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{HEADER}\na\n"));
    }

    #[test]
    fn a_line_that_was_torn_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("torn");
        std::fs::write(&path, format!("{HEADER}\na-1\na-2\na")).unwrap();
        let mut comparison = Comparison::default();
        comparison.read(&path).unwrap();
        ["a-1", "a-2"].iter().for_each(|id| comparison.found(id));
        assert_eq!(comparison.verdict(), Verdict { acked: 2, rows: 2, ..Verdict::default() });
    }

    #[test]
    fn a_file_that_is_no_ledger_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "a\nb\n").unwrap();
        assert!(Comparison::default().read(&path).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(Comparison::default().read(&path).is_err());
    }
}
