//! The verdict of a verification, and its figures, as the metrics have them.

use super::report::{ProblemKind, Report};

/// The verdict of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every line that was looked at is accounted for.
    Ok,
    /// Something is missing, damaged, or there twice.
    Damaged,
    /// Not everything could be looked at, and nothing is known to be off.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 3] = [Verdict::Ok, Verdict::Damaged, Verdict::Failed];

    /// Returns the verdict as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Damaged => "damaged",
            Verdict::Failed => "failed",
        }
    }
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [ProblemKind; 10] = [
        ProblemKind::Receipt,
        ProblemKind::Gap,
        ProblemKind::Overlap,
        ProblemKind::Sum,
        ProblemKind::NoFile,
        ProblemKind::NoReceipt,
        ProblemKind::File,
        ProblemKind::Checkpoint,
        ProblemKind::Log,
        ProblemKind::Unread,
    ];

    /// Returns the kind as JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::Receipt => "receipt",
            ProblemKind::Gap => "gap",
            ProblemKind::Overlap => "overlap",
            ProblemKind::Sum => "sum",
            ProblemKind::NoFile => "no_file",
            ProblemKind::NoReceipt => "no_receipt",
            ProblemKind::File => "file",
            ProblemKind::Checkpoint => "checkpoint",
            ProblemKind::Log => "log",
            ProblemKind::Unread => "unread",
        }
    }
}

impl Report {
    /// Returns the verdict. A lake without any receipt is well.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut kinds = self.problems.iter().map(|problem| problem.kind);
        match self.problems.is_empty() {
            true => Verdict::Ok,
            false if kinds.any(|kind| kind != ProblemKind::Unread) => Verdict::Damaged,
            false => Verdict::Failed,
        }
    }

    /// Returns the number of problems of a kind, of those that it keeps.
    #[must_use]
    pub fn count(&self, kind: ProblemKind) -> u64 {
        self.problems.iter().filter(|problem| problem.kind == kind).count() as u64
    }

    /// Returns the sums over all nodes of rolls and of lines.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        let nodes = self.nodes.iter();
        nodes.fold((0, 0), |(rolls, lines), node| (rolls + node.rolls, lines + node.lines))
    }

    /// Adds the problem of the receipt of a roll that has landed, unless there is one of it already.
    pub fn bad_receipt(&mut self, path: &str, why: &str) {
        let is_it = |one: &super::Problem| one.kind == ProblemKind::Receipt && one.path == path;
        if !self.problems.iter().any(is_it) {
            self.problem(ProblemKind::Receipt, path, why);
            self.problems.sort();
        }
    }

    /// Keeps only the problems that `before` has as well, and what could not be looked at: a lake that is
    /// written and maintained meanwhile looks wrong for a moment, and not twice in the same place.
    pub fn confirm(&mut self, before: &Report) {
        self.problems.retain(|problem| {
            let is_same =
                |other: &super::Problem| (other.kind, &other.path) == (problem.kind, &problem.path);
            problem.kind == ProblemKind::Unread || before.problems.iter().any(is_same)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_looked_at_is_no_damage_and_no_proof() {
        let mut report = Report::default();
        assert_eq!(report.verdict(), Verdict::Ok);
        report.problem(ProblemKind::Unread, "t/a.parquet", "away");
        assert_eq!(report.verdict(), Verdict::Failed);
        let before = report.clone();
        report.problem(ProblemKind::NoFile, "t/b.parquet", "gone");
        assert_eq!((report.verdict(), report.count(ProblemKind::NoFile)), (Verdict::Damaged, 1));
        let twice = report.clone();
        report.confirm(&before);
        assert_eq!((report.verdict(), report.problems.len()), (Verdict::Failed, 1));
        let mut confirmed = twice.clone();
        confirmed.confirm(&twice);
        assert_eq!(confirmed.problems, twice.problems);
    }

    #[test]
    fn kinds_are_named_as_in_json() {
        for kind in ProblemKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
    }
}
