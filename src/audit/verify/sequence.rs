//! The receipts of a node in the order of its rolls: sums, and bodies without a gap.

use super::report::{NodeReport, ProblemKind, Report};
use crate::json::MOST;
use crate::lake::{Receipt, names};
use crate::record::{Roll, Seq};

/// The receipts of one node up to some roll.
#[derive(Debug)]
pub(super) struct Sequence {
    sums: NodeReport,
    /// The first body that the next receipt should have, if that is known.
    next: Option<Seq>,
}

impl Sequence {
    /// Begins with the first roll of `node`.
    pub(super) fn first(node: &str) -> Sequence {
        let sums = NodeReport { node: node.to_owned(), ..NodeReport::default() };
        Sequence { sums, next: Some(Seq::FIRST) }
    }

    /// Goes on after `roll`, whose receipt is `before` if it can be read; sums are of what comes.
    pub(super) fn after(node: &str, roll: Roll, before: Option<&Receipt>) -> Sequence {
        let mut sequence = Sequence::first(node);
        if roll >= Roll::FIRST {
            sequence.sums.last_roll = roll.0;
            sequence.sums.after_roll = roll.0;
            sequence.next = before.map(|receipt| Seq(receipt.last_seq).next());
            sequence.sums.last_seq = before.map_or(0, |receipt| receipt.last_seq);
        }
        sequence
    }

    /// Goes on from what a checkpoint says.
    pub(super) fn from_checkpoint(sums: NodeReport) -> Sequence {
        let next = Some(Seq(sums.last_seq).next());
        Sequence { sums: NodeReport { after_roll: sums.last_roll, ..sums }, next }
    }

    /// Returns the last roll that has a receipt, or 0.
    pub(super) fn last_roll(&self) -> u64 {
        self.sums.last_roll
    }

    /// Returns the roll after which it begins, or 0.
    pub(super) fn after_roll(&self) -> u64 {
        self.sums.after_roll
    }

    /// Takes note that the next receipt is of a roll that waits for the log of a table: a checkpoint goes
    /// no further.
    pub(super) fn waits(&mut self) {
        if self.sums.visible.is_none() {
            self.sums.visible = Some(Box::new(self.sums.clone()));
        }
    }

    pub(super) fn report(self) -> NodeReport {
        self.sums
    }

    /// Checks the bodies of the next receipt: one roll after the other, none left out, none twice.
    pub(super) fn push(&mut self, report: &mut Report, receipt: &Receipt) {
        let path = names::receipt(&receipt.node, Roll(receipt.roll));
        let (first, last) = (Seq(receipt.first_seq), Seq(receipt.last_seq));
        let next = self.next.unwrap_or(first);
        let sums = &mut self.sums;
        let mut gap_from = next;
        for lost in &receipt.lost {
            let (lost_first, lost_last) = (Seq(lost.first_seq), Seq(lost.last_seq));
            if lost_first <= gap_from && lost_last >= gap_from && gap_from < first {
                gap_from = lost_last.next();
            }
            let counted = lost_first.0.max(next.0);
            let lost_bodies = (lost_last.0 + 1).min(last.0 + 1).saturating_sub(counted);
            sums.lost_bodies = sums.lost_bodies.saturating_add(lost_bodies);
            sums.lost.push(*lost);
        }
        if last < first {
            report.problem(
                ProblemKind::Receipt,
                &path,
                format!("bodies {first} to {last} are none"),
            );
        } else if first > gap_from {
            let why = format!("no receipt has bodies {gap_from} to {}", Seq(first.0 - 1));
            report.problem(ProblemKind::Gap, &path, why);
        } else if first < next {
            let why = format!("bodies {first} to {} are in two rolls", Seq(next.0 - 1));
            report.problem(ProblemKind::Overlap, &path, why);
        }
        let next = next.max(last.next());
        self.next = Some(next);
        let files = receipt.tables.iter().map(|table| table.files.len() as u64).sum::<u64>();
        let counts = [
            (&mut sums.rolls, 1),
            (&mut sums.lines, receipt.lines),
            (&mut sums.rows, receipt.rows),
            (&mut sums.rejects, receipt.rejects),
            (&mut sums.doubled, receipt.doubled),
            (&mut sums.actions, receipt.actions),
            (&mut sums.files, files),
        ];
        for (sum, more) in counts {
            *sum = sum.saturating_add(more);
            // A checkpoint with it could not be read.
            if *sum > MOST {
                let why = "the sums of the node go beyond what is counted";
                report.problem(ProblemKind::Sum, &path, why);
            }
        }
        sums.last_roll = receipt.roll;
        sums.last_seq = next.0 - 1;
    }
}
