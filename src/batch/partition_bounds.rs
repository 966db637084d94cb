//! The decision on the partitions that a roll opens.
//!
//! A partition that is open takes every row of it, whoever opened it. A row of one that is not opens it
//! if its body and the roll may; otherwise it goes to the overflow partition, and a later row, of
//! another body, may still open it.
//!
//! | times of the row, by when its body was received | of a body | of a table in a roll |
//! |---|---|---|
//! | within a day, and no text in the template | all | all |
//! | back to the window, or text in the template | a quarter of `max_partitions`, and the body's worth | `max_partitions`, and the roll's worth |
//! | elsewhere | [`FAR_OF_BODY`], and the body's worth | [`FAR_OF_ROLL`], and the roll's worth |
//!
//! The worth of bytes is a partition for each [`WORTH_BYTES`]: so many cost about as much as they do
//! anyway. The first [`RECENT_OF_BODY`] partitions of the last day that a body opens are always opened,
//! so that no other sender's names keep today's rows out. [`MAX_PARTITIONS`] is a limit on all.
//!
//! Without a window, as for an import, all times are within it, and a body has the limits of a roll. Rows of
//! flat tables are then held against the time of their session instead of the receipt: what is within a day
//! of it is as the session is, and the rest is elsewhere.
//!
//! Nothing here depends on how rows are batched, nor on a clock: the decision follows from the order
//! of rows, their bodies, and the limits that are sealed with the roll.

use std::time::Duration;

use crate::record::{BodyRows, Seq};
use crate::table::{Distance, MAX_PARTITIONS, PartitionLimits};

/// Bytes of a body that are worth a partition.
pub const WORTH_BYTES: u64 = 64 << 10;
/// Partitions of far times that a body opens, besides its worth.
pub const FAR_OF_BODY: usize = 8;
/// Partitions of far times that a table has in a roll, besides its worth.
pub const FAR_OF_ROLL: usize = 32;
/// Partitions of the last day that a body opens whatever others have opened.
pub const RECENT_OF_BODY: usize = 2;
/// Partitions that were opened.
#[derive(Clone, Copy, Debug, Default)]
struct Opened {
    /// Partitions of the last day, and of the window.
    near: usize,
    far: usize,
    /// Bytes of the bodies so far.
    bytes: u64,
}

impl Opened {
    fn worth(&self) -> usize {
        usize::try_from(self.bytes / WORTH_BYTES).unwrap_or(usize::MAX)
    }
}

/// The bounds of one table in one roll.
#[derive(Debug)]
pub struct PartitionBounds {
    limits: PartitionLimits,
    /// The template holds text, so that there is no end of partitions of a day.
    text: bool,
    roll: Opened,
    body: Opened,
    seq: Option<Seq>,
}

impl PartitionBounds {
    /// Begins a roll. `text` is true if the template holds a text column.
    #[must_use]
    pub fn new(limits: PartitionLimits, text: bool) -> PartitionBounds {
        let (roll, body) = (Opened::default(), Opened::default());
        PartitionBounds { limits, text, roll, body, seq: None }
    }

    /// Begins the next roll.
    pub fn begin(&mut self) {
        *self = PartitionBounds::new(self.limits, self.text);
    }

    /// Goes on with rows of a body: the one before, in another batch, or the next.
    pub fn enter(&mut self, body: &BodyRows) {
        if self.seq != Some(body.seq) {
            self.seq = Some(body.seq);
            self.body = Opened { bytes: body.bytes, ..Opened::default() };
            self.roll.bytes = self.roll.bytes.saturating_add(body.bytes);
        }
    }

    /// Returns the window of times.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        self.limits.time_window()
    }

    /// Decides on a partition that is not open, for a row at `distance` of the body that was entered
    /// last; `open` is the number of those that are. Counts it if it is opened.
    pub fn opens(&mut self, distance: Distance, open: usize) -> bool {
        let max = self.limits.max_partitions as usize;
        let of_body = if self.limits.time_window_ms.is_some() { max / 4 } else { max };
        let below = |count: usize, most: usize, worth: usize| count < most.saturating_add(worth);
        let (body, roll) = (self.body, self.roll);
        let opens = match distance {
            Distance::Recent if !self.text || body.near < RECENT_OF_BODY => true,
            Distance::Recent | Distance::Late => {
                below(body.near, of_body.max(1), body.worth())
                    && below(roll.near, max, roll.worth())
            }
            Distance::Far => {
                below(body.far, FAR_OF_BODY.min(max), body.worth())
                    && below(roll.far, FAR_OF_ROLL.min(max), roll.worth())
            }
        };
        let opens = opens && open < MAX_PARTITIONS;
        if opens {
            for opened in [&mut self.body, &mut self.roll] {
                match distance {
                    Distance::Recent if !self.text => {}
                    Distance::Recent | Distance::Late => opened.near += 1,
                    Distance::Far => opened.far += 1,
                }
            }
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Micros;

    const LIMITS: PartitionLimits = PartitionLimits::RECEIVED;

    fn body(seq: u64, bytes: u64) -> BodyRows {
        BodyRows { seq: Seq(seq), received_at: Micros(0), bytes, rows: 1 }
    }

    /// Counts the partitions that one body opens of so many at a distance.
    fn opened(bounds: &mut PartitionBounds, distance: Distance, of: usize, open: usize) -> usize {
        (0..of).fold(0, |opened, _| opened + usize::from(bounds.opens(distance, open + opened)))
    }

    #[test]
    fn far_times_of_a_small_body_open_few_partitions_and_so_do_those_of_many() {
        let mut bounds = PartitionBounds::new(LIMITS, false);
        bounds.enter(&body(1, 300));
        assert_eq!(opened(&mut bounds, Distance::Far, 10_050, 0), FAR_OF_BODY);
        // In another batch, the body is the same.
        bounds.enter(&body(1, 300));
        assert_eq!(opened(&mut bounds, Distance::Far, 10, FAR_OF_BODY), 0);
        let mut all = FAR_OF_BODY;
        for seq in 2..100 {
            bounds.enter(&body(seq, 300));
            all += opened(&mut bounds, Distance::Far, 10, all);
        }
        assert_eq!(all, FAR_OF_ROLL);
        // Today's are opened all the same, and so are those of late data.
        assert_eq!(opened(&mut bounds, Distance::Recent, 48, all), 48);
        assert_eq!(opened(&mut bounds, Distance::Late, 30, all + 48), 30);
        bounds.begin();
        bounds.enter(&body(1, 300));
        assert_eq!(opened(&mut bounds, Distance::Far, 10, 0), FAR_OF_BODY);
    }

    #[test]
    fn bytes_are_worth_partitions_to_their_own_body_and_to_the_roll() {
        let mut bounds = PartitionBounds::new(LIMITS, false);
        bounds.enter(&body(1, 100 * WORTH_BYTES));
        let many = opened(&mut bounds, Distance::Far, 10_000, 0);
        assert_eq!(many, FAR_OF_BODY + 100);
        bounds.enter(&body(2, 10));
        // The roll has room for 24 more by now, the body for 8.
        assert_eq!(opened(&mut bounds, Distance::Far, 100, many), FAR_OF_BODY);
    }

    #[test]
    fn names_of_one_sender_leave_todays_first_partitions_of_others_alone() {
        let mut bounds = PartitionBounds::new(LIMITS, true);
        let mut all = 0;
        for seq in 1..=10 {
            bounds.enter(&body(seq, 300));
            let opened = opened(&mut bounds, Distance::Recent, 2000, all);
            assert_eq!(opened, if seq <= 4 { 250 } else { RECENT_OF_BODY }, "body {seq}");
            all += opened;
        }
        assert_eq!(opened(&mut bounds, Distance::Late, 10, all), 0);
        // And no more than a roll can hold.
        bounds.enter(&body(11, 300));
        assert!(!bounds.opens(Distance::Recent, MAX_PARTITIONS));
    }

    #[test]
    fn an_import_opens_partitions_of_any_time_up_to_the_most_of_a_roll() {
        let mut bounds = PartitionBounds::new(PartitionLimits::IMPORTED, true);
        bounds.enter(&body(1, 300));
        assert_eq!(opened(&mut bounds, Distance::Late, 20_000, 0), MAX_PARTITIONS);
    }

    #[test]
    fn low_limits_hold_for_far_times_as_well() {
        let limits = PartitionLimits { max_partitions: 1, ..LIMITS };
        let mut bounds = PartitionBounds::new(limits, false);
        bounds.enter(&body(1, 300));
        assert_eq!(opened(&mut bounds, Distance::Late, 10, 0), 1);
        assert_eq!(opened(&mut bounds, Distance::Far, 10, 1), 1);
        assert_eq!(opened(&mut bounds, Distance::Recent, 10, 2), 10);
    }
}
