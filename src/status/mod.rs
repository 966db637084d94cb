//! The state of the running program, for load balancers, logs, metrics and status pages.
//!
//! * [`Readiness`]: readiness and trouble of each part, and the [`Stage`] of the server's life.
//! * [`RollEvent`]: the steps of a roll, from its first row to its commit.
//! * [`Observers`]: the fan-out that hands each event to every [`Observer`].
//! * [`LogObserver`], [`MetricsObserver`], [`Board`], [`LastRoll`]: observers that log, count, keep the last
//!   rolls, and the time of the last.
//! * [`RejectBoard`], [`Totals`]: observers that keep the last rejects without their values, and what has
//!   landed by table.
//!
//! * [`Control`]: what operators ask of a server besides.
//! * [`Monitor`]: what a status page shows, with its history.
//!
//! The stations that make and publish rolls emit events and know none of the observers.

mod board;
mod control;
mod counters;
mod events;
mod history;
pub(crate) mod kept_file;
mod last_roll;
mod log;
mod monitor;
mod observers;
mod readiness;
mod reading;
mod rejects;
mod repeated_failure;
mod report;
mod sentence;
mod stage;
mod totals;

pub use board::{Board, RollState, RollStatus};
pub use control::{Control, ReloadAnswer, ReloadRequests, Reloaded, RollControl};
pub use counters::MetricsObserver;
pub(crate) use counters::causes;
pub use events::{RejectSample, RollEvent};
pub use last_roll::LastRoll;
pub use log::LogObserver;
pub use monitor::{About, Boards, InForce, Monitor, ShownQuery, ShownSetting};
pub use observers::{Observer, Observers};
pub use readiness::{Readiness, Trouble};
pub use rejects::RejectBoard;
pub(crate) use sentence::long;
pub use stage::Stage;
pub use totals::{SMALL_FILE_BYTES, Totals};
