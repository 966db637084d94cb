//! Pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::record::Roll;

/// The longest pause while the process is about to end: it waits for nothing but the lake.
const HURRIED: Duration = Duration::from_secs(1);

/// Lengths of the pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// The pause after the store's first failure. Doubled after each further one.
    pub(crate) store: Duration,
    /// The pause before an engine that failed is started again. Doubled likewise.
    pub(crate) restart: Duration,
    /// The longest pause.
    pub(crate) most: Duration,
}

impl Pauses {
    /// The pauses of the program.
    pub(crate) const USUAL: Pauses = Pauses {
        store: Duration::from_millis(250),
        restart: Duration::from_secs(1),
        most: Duration::from_secs(30),
    };

    /// Builds the pauses between attempts of one step of `roll`, without end. Each is between half
    /// its length and all of it, by node and roll, so that nodes that lost the store together do not
    /// all come back at one moment.
    pub(super) fn between_attempts(&self, node: &str, roll: Roll) -> ExponentialBuilder {
        // The jitter adds up to the pause itself.
        exponential(self.store / 2, self.most / 2)
            .with_jitter()
            .with_jitter_seed(xxh3_64_with_seed(node.as_bytes(), roll.0))
    }

    /// Returns the pauses before an engine is started again, without end.
    pub(super) fn between_restarts(&self) -> impl Iterator<Item = Duration> + use<> {
        exponential(self.restart, self.most).build()
    }
}

/// Sleeps for `pause`, or for [`HURRIED`] at most from the cancellation of `hurry` on. The pause in
/// which that comes ends at once. A timer takes a millisecond at least, so that no pause takes none.
pub(super) async fn sleep(pause: Duration, hurry: CancellationToken) {
    if hurry.is_cancelled() && !pause.is_zero() {
        tokio::time::sleep(pause.min(HURRIED)).await;
    } else if !pause.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurry.cancelled() => {}
        }
    }
}

fn exponential(first: Duration, most: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_factor(2.0)
        .with_min_delay(first)
        .with_max_delay(most)
        .without_max_times()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_is_cut_short_when_the_process_is_about_to_end() {
        let hurry = CancellationToken::new();
        let slept = async |pause| {
            let began = std::time::Instant::now();
            sleep(pause, hurry.clone()).await;
            began.elapsed()
        };
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
        assert!(slept(short).await >= short);
        let later = async {
            tokio::time::sleep(short).await;
            hurry.cancel();
        };
        let cut = tokio::join!(slept(long), later).0;
        assert!((short..long / 2).contains(&cut), "{cut:?}");
        let hurried = slept(long).await;
        assert!((HURRIED..long / 2).contains(&hurried), "{hurried:?}");
        assert!(slept(Duration::ZERO).await < short);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_by_node() {
        let pauses = Pauses::USUAL;
        let of = |node, roll| {
            pauses.between_attempts(node, Roll(roll)).build().take(50).collect::<Vec<_>>()
        };
        let (one, other) = (of("a", 1), of("b", 1));
        assert_eq!(one.len(), 50);
        assert_eq!(one, of("a", 1));
        assert_ne!(one, other);
        assert_ne!(one, of("a", 2));
        let mut whole = pauses.store;
        for pause in one {
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(pauses.most);
        }
        let restarts: Vec<u64> = pauses.between_restarts().take(7).map(|p| p.as_secs()).collect();
        assert_eq!(restarts, [1, 2, 4, 8, 16, 30, 30]);
        let none = Pauses { store: Duration::ZERO, restart: Duration::ZERO, most: Duration::ZERO };
        assert!(none.between_restarts().take(9).all(|pause| pause.is_zero()));
    }
}
