//! The last lines that were no rows, without their values, for a status page.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::events::RollEvent;
use super::observers::Observer;
use crate::record::Micros;

/// Samples that are kept.
const MOST_KEPT: usize = 64;
/// The most tables and codes of which the last sample is kept.
const MOST_LAST: usize = 256;

/// Keeps the last samples, and the last one of each table and code. Bounded.
#[derive(Debug, Default)]
pub struct RejectBoard {
    // A mutex: written for parts that have rejects, read once a second. The critical sections touch
    // memory only.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Samples that there were.
    count: u64,
    /// Each with its number, counted from 1.
    samples: VecDeque<(u64, Value)>,
    /// Lines so far and the last sample, by table and code.
    last: BTreeMap<(String, &'static str), (u64, Value)>,
}

impl RejectBoard {
    /// Returns the number of the last sample; 0 before the first.
    pub(super) fn count(&self) -> u64 {
        self.kept.lock().count
    }

    /// Returns the samples after the number `after`, the newest `most` at most, the oldest first; and how
    /// many after it are not among them.
    pub(super) fn after(&self, after: u64, most: usize) -> (Vec<Value>, u64) {
        let kept = self.kept.lock();
        let newer = kept.samples.iter().rev().take_while(|(number, _)| *number > after);
        let mut newer: Vec<Value> = newer.take(most).map(|(_, sample)| sample.clone()).collect();
        newer.reverse();
        let all = kept.count.saturating_sub(after);
        (newer.clone(), all.saturating_sub(newer.len() as u64))
    }

    /// Returns the last sample of each table and code, with the lines that were decoded since the start.
    pub(super) fn by_reason(&self) -> Vec<(String, &'static str, u64, Value)> {
        let kept = self.kept.lock();
        let last = kept.last.iter();
        last.map(|((table, code), (lines, sample))| (table.clone(), *code, *lines, sample.clone()))
            .collect()
    }
}

impl Observer for RejectBoard {
    fn observe(&self, at: Micros, event: &RollEvent) {
        let RollEvent::Rejected { table, lines, samples, .. } = event else { return };
        let mut kept = self.kept.lock();
        for sample in samples {
            kept.count += 1;
            let number = kept.count;
            let value = json!({
                "id": number, "at": at.rfc3339(), "table": table, "reason": sample.code,
                "text": sample.reason, "body": sample.seq.0, "line": sample.line,
                "lines": sample.lines, "bytes": sample.bytes, "masked": sample.masked,
            });
            let key = (table.clone(), sample.code);
            if kept.last.len() < MOST_LAST || kept.last.contains_key(&key) {
                kept.last.entry(key).or_default().1 = value.clone();
            }
            if kept.samples.len() >= MOST_KEPT {
                kept.samples.pop_front();
            }
            kept.samples.push_back((number, value));
        }
        for (code, lines) in lines {
            if let Some((counted, _)) = kept.last.get_mut(&(table.clone(), *code)) {
                *counted += lines;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::{Roll, Seq};
    use crate::status::RejectSample;

    pub(in crate::status) fn rejected(table: &str, code: &'static str, lines: u64) -> RollEvent {
        let sample = RejectSample {
            code,
            reason: "not a JSON object at byte 1".to_owned(),
            seq: Seq(7),
            line: 3,
            lines: 1,
            bytes: 11,
            masked: Some("»aaaaaa".to_owned()),
        };
        let (lines, samples) = (vec![(code, lines)], vec![sample]);
        RollEvent::Rejected { roll: Roll(1), table: table.to_owned(), lines, samples }
    }

    #[test]
    fn the_last_samples_are_kept_and_told_once() {
        let board = RejectBoard::default();
        for n in 0..100_u32 {
            let code = if n % 2 == 0 { "not_object" } else { "not_json" };
            board.observe(Micros(i64::from(n)), &rejected("t", code, 10));
        }
        assert_eq!(board.count(), 100);
        let (newest, skipped) = board.after(98, 20);
        assert_eq!((newest.len(), skipped), (2, 0));
        assert_eq!((&newest[0]["id"], &newest[1]["reason"]), (&json!(99), &json!("not_json")));
        let (newest, skipped) = board.after(0, 20);
        assert_eq!((newest.len(), skipped, &newest[19]["id"]), (20, 80, &json!(100)));
        assert_eq!(board.after(100, 20), (vec![], 0));
        let reasons = board.by_reason();
        assert_eq!(reasons.len(), 2);
        let (table, code, lines, sample) = &reasons[1];
        assert_eq!((&**table, *code, *lines, &sample["id"]), ("t", "not_object", 500, &json!(99)));
        for n in 0..1000 {
            board.observe(Micros(0), &rejected(&format!("t{n}"), "not_json", 1));
        }
        assert!(board.by_reason().len() <= MOST_LAST);
    }
}
