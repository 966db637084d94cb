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
//! The modules stand in that order. [`server`] is the one that knows every station.

pub mod audit;
pub mod auth;
pub mod batch;
mod bulk_action;
pub mod cli;
pub mod clock;
pub mod columnar;
pub mod commit;
pub mod config;
pub mod decode;
pub mod encode;
pub mod http;
pub mod import;
pub mod intake;
pub mod journal;
mod json;
pub mod lake;
pub mod metrics;
pub mod peers;
pub mod privacy;
pub mod publish;
pub mod record;
pub mod roll;
pub mod schema;
#[cfg(test)]
mod search;
mod secret_path;
pub mod server;
pub mod simulate;
pub mod status;
pub mod table;
pub mod tls;
mod zstd_context;
