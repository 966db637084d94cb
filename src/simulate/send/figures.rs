//! Counters of a run, which connections add to and the progress line reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::send_error::SendError;

/// Counters of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) sent_bulks: AtomicU64,
    pub(crate) acked_bulks: AtomicU64,
    pub(crate) acked_sessions: AtomicU64,
    pub(crate) acked_bytes: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) discarded_bulks: AtomicU64,
    pub(crate) discarded_sessions: AtomicU64,
    /// Bulks that were made for an endpoint that was given up by then.
    pub(crate) unsent_bulks: AtomicU64,
    /// True once the endpoint is given up, since nothing gets through.
    pub(crate) given_up: AtomicBool,
    // Short: taken once an answer.
    latencies: Mutex<Latencies>,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Figures {
    pub(crate) fn acked(&self, sessions: usize, bytes: usize, latency: Duration) {
        self.acked_bulks.fetch_add(1, Ordering::Relaxed);
        self.acked_sessions.fetch_add(sessions as u64, Ordering::Relaxed);
        self.acked_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.latencies.lock().add(latency);
    }

    pub(crate) fn discarded(&self, sessions: usize) {
        self.discarded_bulks.fetch_add(1, Ordering::Relaxed);
        self.discarded_sessions.fetch_add(sessions as u64, Ordering::Relaxed);
    }

    /// Counts an error. Returns true if it is the first of its kind.
    pub(crate) fn count_error(&self, error: &SendError) -> bool {
        let mut errors = self.errors.lock();
        let count = errors.entry(error.kind()).or_default();
        *count += 1;
        *count == 1
    }

    /// Returns the kinds of errors, and the number of each.
    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        self.errors.lock().clone().into_iter().collect()
    }

    /// Returns the time within which `percent` of a hundred acknowledgements came.
    pub(crate) fn ack(&self, percent: u64) -> Option<Duration> {
        self.latencies.lock().percentile(percent)
    }
}

/// Times in steps of 2 %, from 1 µs to beyond an hour.
#[derive(Debug, Default)]
struct Latencies {
    counts: Vec<u64>,
    sum: u64,
}

const STEP: f64 = 1.02;

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let micros = latency.as_micros().max(1) as f64;
        let at = (micros.ln() / STEP.ln()) as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.sum += 1;
    }

    fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.sum * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(STEP.powf(at as f64 + 0.5) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_two_percent() {
        let figures = Figures::default();
        assert_eq!(figures.ack(50), None);
        for ms in 1..=1_000 {
            figures.acked(1, 1, Duration::from_millis(ms));
        }
        for (percent, expected) in [(50, 500.0), (99, 990.0), (100, 1_000.0)] {
            let ms = figures.ack(percent).unwrap().as_secs_f64() * 1e3;
            assert!((ms / expected - 1.0).abs() < 0.02, "p{percent}: {ms}");
        }
    }
}
