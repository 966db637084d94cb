//! The last rolls, for a status page.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::events::RollEvent;
use super::observers::Observer;
use crate::error_text::shown;
use crate::record::{Micros, Roll, SeqRange};

/// The furthest step that a roll has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollState {
    /// Rows are taken into it.
    Open,
    /// Its files are finished in the staging directory.
    Finished,
    /// Its number and range are durable.
    Sealed,
    /// Its files and receipt are in the lake.
    Landed,
    /// It is over.
    Committed,
    /// The engine failed before it was sealed; its bodies go into later rolls.
    Discarded,
}

/// A roll as the board shows it. Figures are zero until the roll is finished.
#[derive(Clone, Debug, PartialEq)]
pub struct RollStatus {
    /// The number of the roll.
    pub roll: Roll,
    /// The furthest step that it has reached.
    pub state: RollState,
    /// Its bodies; none before it is finished.
    pub range: Option<SeqRange>,
    /// The limit that ended it; none before it is finished.
    pub reason: Option<&'static str>,
    /// Its lines: rows and rejects. Grows while it is open.
    pub lines: u64,
    /// Its rows.
    pub rows: u64,
    /// Its lines in quarantine.
    pub rejects: u64,
    /// Its data files.
    pub files: usize,
    /// Bytes of its data files.
    pub bytes: u64,
    /// Requests to the lake that failed and were made again.
    pub retries: u64,
    /// The last of those failures, with its causes; none once the roll is committed.
    pub error: Option<String>,
    /// It is made again, after an earlier attempt has sealed it.
    pub redone: bool,
    /// The time of its first event.
    pub opened_at: Micros,
    /// The time of its last event. Of a committed roll, the time of the commit.
    pub changed_at: Micros,
}

/// Keeps the last rolls. Bounded: the oldest roll goes when another one begins.
#[derive(Debug)]
pub struct Board {
    most: usize,
    // A mutex: written a few dozen times a second by two threads, read when a page is asked for.
    // The critical sections touch memory only.
    rolls: Mutex<VecDeque<RollStatus>>,
}

impl Board {
    /// Default number of rolls that a board keeps.
    pub const ROLLS: usize = 50;

    /// Makes an empty board that keeps `most` rolls, and at least one.
    #[must_use]
    pub fn new(most: usize) -> Board {
        Board { most: most.max(1), rolls: Mutex::default() }
    }

    /// Returns the rolls that are kept, the one that began last first.
    #[must_use]
    pub fn rolls(&self) -> Vec<RollStatus> {
        self.locked().iter().rev().cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<RollStatus>> {
        self.rolls.lock()
    }

    /// Applies `change` to the entry of `roll`, which is made if there is none.
    fn update(&self, roll: Roll, at: Micros, change: impl FnOnce(&mut RollStatus)) {
        let mut rolls = self.locked();
        // From the back: the roll is the last or the one before it.
        let known = rolls.iter().rposition(|status| status.roll == roll);
        if known.is_none() {
            if rolls.len() >= self.most {
                rolls.pop_front();
            }
            rolls.push_back(RollStatus::new(roll, at));
        }
        let status = match known {
            Some(index) => rolls.get_mut(index),
            None => rolls.back_mut(),
        };
        if let Some(status) = status {
            status.changed_at = at;
            change(status);
        }
    }
}

impl Default for Board {
    fn default() -> Board {
        Board::new(Board::ROLLS)
    }
}

impl RollStatus {
    fn new(roll: Roll, at: Micros) -> RollStatus {
        RollStatus {
            roll,
            state: RollState::Open,
            range: None,
            reason: None,
            lines: 0,
            rows: 0,
            rejects: 0,
            files: 0,
            bytes: 0,
            retries: 0,
            error: None,
            redone: false,
            opened_at: at,
            changed_at: at,
        }
    }
}

impl Observer for Board {
    fn observe(&self, at: Micros, event: &RollEvent) {
        match *event {
            RollEvent::Redone { roll, range } => {
                self.update(roll, at, |status| {
                    let begun = RollStatus::new(roll, at);
                    *status = RollStatus { redone: true, range: Some(range), ..begun };
                });
            }
            RollEvent::Opened { roll } => {
                // The number of a roll that was discarded is given again.
                self.update(roll, at, |status| {
                    if status.state != RollState::Open {
                        *status = RollStatus::new(roll, at);
                    }
                });
            }
            // Emitted ten times a second without any row, too: that alone makes no entry.
            RollEvent::Filling { lines: 0, .. } => {}
            RollEvent::Filling { roll, lines, .. } => {
                self.update(roll, at, |status| status.lines += lines);
            }
            RollEvent::Finished { roll, range, reason, lines, rows, rejects, files, bytes } => {
                self.update(roll, at, |status| {
                    status.state = RollState::Finished;
                    (status.range, status.reason) = (Some(range), Some(reason));
                    (status.lines, status.rows, status.rejects) = (lines, rows, rejects);
                    (status.files, status.bytes) = (files, bytes);
                });
            }
            RollEvent::Sealed { roll, .. } => {
                self.update(roll, at, |status| status.state = RollState::Sealed);
            }
            RollEvent::AlreadyLanded { roll } | RollEvent::Landed { roll } => {
                self.update(roll, at, |status| status.state = RollState::Landed);
            }
            RollEvent::Rejected { .. } | RollEvent::Stage { .. } => {}
            RollEvent::BodiesLost { roll, .. }
            | RollEvent::Recovered { roll, .. }
            | RollEvent::SetAside { roll, .. }
            | RollEvent::TableLanded { roll, .. }
            | RollEvent::Unmatched { roll, .. }
            | RollEvent::UnknownFields { roll, .. }
            | RollEvent::Overflowed { roll, .. } => {
                self.update(roll, at, |_| {});
            }
            RollEvent::Retrying { roll, ref error, .. } => {
                self.update(roll, at, |status| {
                    status.retries += 1;
                    status.error = Some(shown(error));
                });
            }
            RollEvent::Committed { roll, rows, rejects, files, bytes, .. } => {
                self.update(roll, at, |status| {
                    status.state = RollState::Committed;
                    (status.rows, status.rejects) = (rows, rejects);
                    (status.files, status.bytes) = (files, bytes);
                    status.error = None;
                });
            }
            RollEvent::EngineFailed { ref error, .. }
            | RollEvent::EngineStopped { reason: ref error } => {
                let over = |status: &RollStatus| {
                    matches!(status.state, RollState::Committed | RollState::Discarded)
                };
                for status in self.locked().iter_mut().filter(|status| !over(status)) {
                    if matches!(status.state, RollState::Open | RollState::Finished) {
                        status.state = RollState::Discarded;
                    }
                    status.error = Some(shown(error));
                    status.changed_at = at;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Seq;

    const RANGE: SeqRange = SeqRange { first: Seq(1), last: Seq(9) };

    fn finished(roll: Roll) -> RollEvent {
        RollEvent::Finished {
            roll,
            range: RANGE,
            reason: "age",
            lines: 12,
            rows: 10,
            rejects: 2,
            files: 3,
            bytes: 700,
        }
    }

    fn failed() -> RollEvent {
        RollEvent::EngineFailed { error: "disk full".into(), pause: Duration::ZERO }
    }

    /// Shows `events` to the board, one a microsecond from 1 on.
    fn show(board: &Board, events: &[RollEvent]) {
        for (at, event) in (1..).zip(events) {
            board.observe(Micros(at), event);
        }
    }

    #[test]
    fn a_roll_is_followed_from_its_first_row_to_its_commit() {
        let (board, roll) = (Board::default(), Roll(7));
        let filling = RollEvent::Filling { roll, lines: 6, buffered_bytes: 9, open_partitions: 1 };
        show(&board, &[RollEvent::Opened { roll }, filling.clone(), filling]);
        let [open] = &board.rolls()[..] else { panic!("one roll") };
        assert_eq!((open.state, open.lines, open.range), (RollState::Open, 12, None));
        let retrying = RollEvent::Retrying {
            roll,
            step: "commit",
            tries: 1,
            pause: Duration::ZERO,
            error: "away".into(),
        };
        show(&board, &[finished(roll), RollEvent::Sealed { roll, range: RANGE }, retrying]);
        let [sealed] = &board.rolls()[..] else { panic!("one roll") };
        assert_eq!((sealed.state, sealed.retries), (RollState::Sealed, 1));
        assert_eq!(sealed.error.as_deref(), Some("away"));
        let committed =
            RollEvent::Committed { roll, rows: 10, rejects: 2, doubled: 0, files: 3, bytes: 700 };
        board.observe(Micros(50), &RollEvent::Landed { roll });
        board.observe(Micros(60), &committed);
        let expected = RollStatus {
            roll,
            state: RollState::Committed,
            range: Some(RANGE),
            reason: Some("age"),
            lines: 12,
            rows: 10,
            rejects: 2,
            files: 3,
            bytes: 700,
            retries: 1,
            error: None,
            redone: false,
            opened_at: Micros(1),
            changed_at: Micros(60),
        };
        assert_eq!(board.rolls(), [expected]);
    }

    #[test]
    fn the_oldest_roll_goes_and_the_newest_comes_first() {
        let board = Board::new(3);
        for number in 1..=10 {
            board.observe(Micros(1), &RollEvent::Opened { roll: Roll(number) });
        }
        let numbers: Vec<u64> = board.rolls().iter().map(|status| status.roll.0).collect();
        assert_eq!(numbers, [10, 9, 8]);
    }

    #[test]
    fn an_engine_that_fails_discards_what_is_not_sealed_and_its_number_begins_anew() {
        let board = Board::default();
        let (one, two) = (Roll(1), Roll(2));
        let sealed = RollEvent::Sealed { roll: one, range: RANGE };
        show(&board, &[RollEvent::Opened { roll: one }, finished(one), sealed]);
        show(&board, &[RollEvent::Opened { roll: two }, failed()]);
        let states: Vec<_> = board.rolls().iter().map(|status| status.state).collect();
        assert_eq!(states, [RollState::Discarded, RollState::Sealed]);
        assert!(board.rolls().iter().all(|status| status.error.is_some()));
        let redone = RollEvent::Redone { roll: one, range: RANGE };
        show(&board, &[redone, RollEvent::Opened { roll: one }, RollEvent::Opened { roll: two }]);
        let rolls = board.rolls();
        let states: Vec<_> = rolls.iter().map(|status| (status.state, status.redone)).collect();
        assert_eq!(states, [(RollState::Open, false), (RollState::Open, true)]);
        assert!(rolls.iter().all(|status| status.error.is_none()));
    }

    #[test]
    fn time_that_passes_makes_no_roll() {
        let (board, roll) = (Board::default(), Roll(1));
        let idle = RollEvent::Filling { roll, lines: 0, buffered_bytes: 0, open_partitions: 0 };
        board.observe(Micros(1), &idle);
        assert_eq!(board.rolls(), []);
    }
}
