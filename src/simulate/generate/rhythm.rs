//! The rhythm of the day: the times at which sessions begin, and the locations where it is day
//! then.

use super::random::Random;
use super::{DAY_MS, HOUR_MS, shares};

/// The distribution of sessions over time and locations: for each hour of UTC the sessions of all
/// locations, summed up.
///
/// Time is measured in what happens: so many sessions an hour, each counting as an hour's
/// milliseconds, so that it can be cut without rounding.
pub(super) struct Rhythm {
    /// Sessions of the day before each hour, and at last those of the whole day.
    hours: [i128; 25],
    /// For each hour and each location, the sessions of the locations up to it.
    places: Vec<Vec<u32>>,
}

impl Rhythm {
    pub(super) fn new() -> Rhythm {
        let (mut hours, mut places) = ([0; 25], Vec::new());
        for hour in 0..24 {
            let mut at_hour = 0;
            let row = shares::PLACES.iter().map(|(share, place)| {
                let local = (hour as i32 * 60 + place.offset_min).div_euclid(60).rem_euclid(24);
                at_hour += share * shares::HOURS[local as usize];
                at_hour
            });
            places.push(row.collect());
            hours[hour + 1] = hours[hour] + i128::from(at_hour);
        }
        Rhythm { hours, places }
    }

    /// Returns the sessions up to `ms` since the epoch.
    pub(super) fn happened(&self, ms: i64) -> i128 {
        let (day, hour) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS) / HOUR_MS);
        let (begin, end) = (self.hours[hour as usize], self.hours[hour as usize + 1]);
        (i128::from(day) * self.hours[24] + begin) * i128::from(HOUR_MS)
            + (end - begin) * i128::from(ms.rem_euclid(HOUR_MS))
    }

    /// Returns the time, in milliseconds since the epoch, at which that number of sessions has
    /// happened.
    pub(super) fn when(&self, happened: i128) -> i64 {
        let day = happened.div_euclid(self.hours[24] * i128::from(HOUR_MS));
        let left = happened.rem_euclid(self.hours[24] * i128::from(HOUR_MS));
        let hour = self.hours.partition_point(|begin| begin * i128::from(HOUR_MS) <= left) - 1;
        let hour = hour.min(23);
        let within = left - self.hours[hour] * i128::from(HOUR_MS);
        let ms = within / (self.hours[hour + 1] - self.hours[hour]);
        day as i64 * DAY_MS + hour as i64 * HOUR_MS + ms as i64
    }

    pub(super) fn place(&self, ms: i64, random: &mut Random) -> usize {
        let row = &self.places[(ms.rem_euclid(DAY_MS) / HOUR_MS) as usize];
        let at = random.below(row.last().copied().unwrap_or(1));
        row.partition_point(|sum| *sum <= at).min(shares::PLACES.len() - 1)
    }
}
