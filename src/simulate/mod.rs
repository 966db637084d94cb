//! The simulated sender: sessions that look real, sent as the exporter sends them.
//!
//! It shares the schema with the rest of the program, and knows nothing of the receiver but its
//! URL.
//!
//! ```text
//!  generate ─▶ bulk ─▶ feed (rate, limits, faults) ─┬─▶ send ─▶ endpoints, ledger
//!                                                   └─▶ out: a file or a pipe
//! ```
//! Promises: the same seed and settings give the same bytes; a bulk counts as acknowledged after
//! 200 and nothing else; an id is in the ledger only after its acknowledgement.

mod bulk;
mod faults;
mod feed;
mod generate;
pub mod ledger;
mod out;
mod profile;
mod send;

pub use bulk::{BULK_BYTES, BULK_SESSIONS, Layout};
pub use faults::{Faults, share_ppm};
pub use feed::{Made, Plan, Rate, RunLimits};
pub use generate::{Format, Generator, Id, Shape};
pub use out::write;
pub use profile::profile;
pub use send::{
    Auth, Http, Outcome, Sending, TEST_EXPORT_SESSIONS, Transport, ledger_path, send, test_export,
};
