//! `sessionlake` receives exported user sessions over HTTP, answers once they are safe on disk,
//! and lands them as partitioned Parquet on local disk or in an S3-compatible bucket.
//!
//! # The way of a record
//!
//! ```text
//!  sender ─PUT/POST─▶ receive ─body─▶ journal ─Receipt─▶ receive ─200─▶ sender
//!                                       │ Seq
//!                                       ▼
//!             decode ─▶ batch (partition, roll) ─▶ encode ─▶ store ─▶ commit ─▶ journal release
//!                └─ rejects ─▶ quarantine ───────────────────────────────┘
//! ```
//!
//! The modules stand in that order. [`pipeline`] is the one that knows every station; no station
//! knows the one after it.

pub mod cli;
pub mod config;
pub mod inspect;
pub mod pipeline;
pub mod verify;

pub mod receive;

pub mod journal;

pub mod decode;

pub mod privacy;

mod arrays;
mod bulk;
mod lock;
mod squeeze;

pub mod batch;

pub mod encode;

pub mod store;

pub mod commit;

pub mod auth;
pub mod clock;
pub mod metrics;
pub mod peers;
pub mod record;
pub mod sample;
pub mod schema;
#[cfg(test)]
mod search;
pub mod simulate;
pub mod status;
pub mod tls;
