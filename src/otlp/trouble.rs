//! Trouble with the collector: a line of the log when it begins, one when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::status::Readiness;

/// The part that is in trouble.
const PART: &str = "otlp";

/// What fails, by signal.
#[derive(Debug)]
pub(super) struct Trouble {
    readiness: Arc<Readiness>,
    // Held for a look at two entries.
    failing: Mutex<BTreeMap<&'static str, String>>,
}

impl Trouble {
    pub(super) fn new(readiness: Arc<Readiness>) -> Trouble {
        Trouble { readiness, failing: Mutex::default() }
    }

    /// Takes note of an export of `signal`.
    pub(super) fn note(&self, signal: &'static str, result: Result<(), &str>) {
        let mut failing = self.failing.lock();
        match result {
            Ok(()) => {
                if failing.remove(signal).is_some() && failing.is_empty() {
                    tracing::info!("the collector takes exports again");
                    self.readiness.set_trouble(PART, Ok(()));
                }
            }
            Err(why) => {
                let is_first = failing.is_empty();
                failing.insert(signal, why.to_owned());
                if is_first {
                    tracing::warn!(
                        "cannot export {signal}: {why}. It is tried again; sessions are received and \
                         landed meanwhile, and /metrics has all metrics"
                    );
                }
                let all: Vec<_> =
                    failing.iter().map(|(signal, why)| format!("{signal}: {why}")).collect();
                self.readiness.set_trouble(PART, Err(all.join("; ")));
            }
        }
    }
}
