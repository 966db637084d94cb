//! Seeded random numbers: the same seed gives the same draws on every machine and in every version.
//!
//! The generator is written out here because the streams of libraries may change with their
//! versions, and a seed is a promise: one multiplication a draw (wyrand), no state but 64 bits.

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates the stream of `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        Random(mix(seed))
    }

    /// Draws 64 random bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        ((wide >> 64) as u64) ^ (wide as u64)
    }

    /// Draws a number below `limit`; 0 for a limit of 0.
    #[inline]
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// Draws a number from `least` to `most`, both allowed.
    #[inline]
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    /// Draws true with the probability `per_million` millionths.
    #[inline]
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million
    }

    /// Draws an entry of a table, by its share. The table is not empty.
    #[inline]
    pub(crate) fn pick<'a, T>(&mut self, table: &'a [(u32, T)]) -> &'a T {
        let total = table.iter().map(|(share, _)| share).sum();
        let mut left = self.below(total);
        for (share, value) in table {
            if left < *share {
                return value;
            }
            left -= share;
        }
        &table[0].1
    }

    /// Draws a word of a table, by its share. The table is not empty.
    #[inline]
    pub(crate) fn word(&mut self, table: &[(u32, &'static str)]) -> &'static str {
        let word: &&'static str = self.pick(table);
        word
    }

    /// Draws an entry of a list, all with the same probability. The list is not empty.
    #[inline]
    pub(crate) fn any<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u32) as usize]
    }
}

/// Maps a number to another by a bijection that scatters (splitmix64's finish): distinct numbers
/// give distinct numbers.
#[inline]
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STEPS: usize = 1024;

/// A distribution of whole numbers whose logarithm is nearly normal, by a table: a draw takes no
/// floating point.
///
/// The normal is the sum of four uniform draws, which ends at 3.46 deviations: the largest value is
/// `median · exp(3.46 · sigma)`.
#[derive(Clone, Debug)]
pub(crate) struct LogNormal(Box<[u32]>);

impl LogNormal {
    pub(crate) fn new(median: f64, sigma: f64) -> LogNormal {
        let value = |step: usize| {
            let sum = step as f64 / STEPS as f64 * 4.0;
            (median * (sigma * (sum - 2.0) * 3f64.sqrt()).exp()).round() as u32
        };
        LogNormal((0..=STEPS).map(value).collect())
    }

    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        let (step, part) = ((sum >> 8) as usize, (sum & 0xff) as i64);
        let (low, high) = (i64::from(self.0[step]), i64::from(self.0[step + 1]));
        (low + (((high - low) * part) >> 8)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_promise() {
        let mut random = Random::new(1);
        let drawn = [random.bits(), random.bits(), u64::from(random.below(1000))];
        assert_eq!(drawn, [10_988_358_893_986_739_035, 9_408_502_731_514_849_100, 53]);
    }

    #[test]
    fn shares_are_kept() {
        let mut random = Random::new(7);
        let table = [(70, 'a'), (25, 'b'), (5, 'c')];
        let mut counts = [0; 3];
        for _ in 0..100_000 {
            counts[*random.pick(&table) as usize - 'a' as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([70_000, 25_000, 5_000]) {
            assert!((*count as i64 - expected).abs() < 1_000, "{counts:?}");
        }
    }

    #[test]
    fn log_normal_draws_have_their_median_and_spread() {
        let mut random = Random::new(3);
        let distribution = LogNormal::new(200.0, 0.8);
        let mut drawn: Vec<u32> = (0..100_000).map(|_| distribution.draw(&mut random)).collect();
        drawn.sort_unstable();
        let (p50, p90) = (drawn[50_000], drawn[90_000]);
        assert!((195..205).contains(&p50), "{p50}");
        // exp(0.8 · 1.2816) = 2.79
        assert!((540..580).contains(&p90), "{p90}");
        assert!(drawn[0] > 0 && drawn[99_999] < 200 * 17);
    }
}
