//! `sessionlake` receives exported user sessions over HTTP, answers once they are safe on disk,
//! and lands them as partitioned Parquet on local disk or in an S3-compatible bucket.
//!
//! # The path of a record
//!
//! ```text
//!  sender ─PUT/POST─▶ http ─▶ intake ─body─▶ journal ─Receipt─▶ intake ─▶ http ─200─▶ sender
//!                                              │ bodies in sequence order
//!                                              ▼
//!   roll:      decode, privacy, derive ─▶ batch ─▶ encode ─▶ manifest of a finished roll
//!                 └─ rejects ─▶ quarantine file ─┘        │
//!                                                         ▼
//!   publish:   seal ─▶ put objects (lake) ─▶ commit ─▶ journal release
//! ```
//!
//! # Modules
//! * Commands: [`cli`], which parses arguments and runs one; [`config`], which builds the options of
//!   every module from flags, environment and file.
//! * Receiving: [`server`] (a receiver with all that is behind it), [`http`] with [`auth`], [`tls`]
//!   and [`peers`], [`intake`], [`journal`].
//! * Landing: [`roll`] with [`decode`], [`privacy`], [`derive`](mod@derive), [`batch`] and [`encode`]; [`publish`]
//!   with [`commit`]; [`lake`].
//! * Beside the receiver: [`import`], [`audit`] (`verify`, `inspect`, `sample`), `maintain` (`table`,
//!   `convert`), [`simulate`].
//! * Of the process: `descriptors`, its limit of open files and sockets, and no core dumps; `cgroup`, its
//!   limit of memory; `otlp`, the export of metrics and traces, with the feature of that name.
//! * For readers: [`views`], SQL over a table of sessions.
//! * Shared: [`table`], [`schema`], [`columnar`], [`record`], [`clock`], [`metrics`], [`status`].
//!
//! `docs/design.md` says who may use whom (`tests/arrows.rs` holds the sources to it) and where a new
//! capability goes.

pub mod audit;
pub mod auth;
pub mod batch;
mod bulk_action;
mod cgroup;
pub mod cli;
pub mod clock;
pub mod columnar;
pub mod commit;
pub mod config;
pub mod decode;
mod dedup;
pub mod derive;
mod descriptors;
pub mod encode;
mod error_text;
pub mod fields;
mod foreign_format;
pub mod http;
pub mod import;
pub mod intake;
pub mod journal;
mod json;
pub mod lake;
mod maintain;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod packed_lines;
pub mod peers;
pub mod privacy;
pub mod publish;
pub mod record;
mod rfc3339;
pub mod roll;
pub mod schema;
#[cfg(test)]
mod search;
mod secret_path;
pub mod server;
pub mod simulate;
mod spelling;
pub mod status;
pub mod table;
pub mod tls;
mod varint;
pub mod views;
mod zstd_context;
