//! From settings to the options of every station.
//!
//! All problems are gathered before giving up. Settings are held against each other only once each
//! is right by itself.

mod builder;
mod catalog;
mod endpoints;
mod flat;
mod import;
mod lake;
mod properties;
mod server;
mod tables;

pub(super) use self::import::import;
pub(super) use self::lake::{lake, maintain};
pub(super) use self::server::server;
