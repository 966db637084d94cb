//! The state of the running program, for load balancers, logs, metrics and status pages.
//!
//! * [`Readiness`]: readiness and trouble of each part.
//! * [`RollEvent`]: the steps of a roll, from its first row to its commit.
//! * [`Observers`]: the fan-out that hands each event to every [`Observer`].
//! * [`LogObserver`], [`MetricsObserver`], [`Board`]: observers that log, count, and keep the last rolls.
//!
//! The stations that make and publish rolls emit events and know none of the observers.

mod board;
mod counters;
mod events;
mod log;
mod observers;
mod readiness;
mod repeated_failure;

pub use board::{Board, RollState, RollStatus};
pub use counters::MetricsObserver;
pub use events::RollEvent;
pub use log::LogObserver;
pub use observers::{Observer, Observers};
pub use readiness::Readiness;
