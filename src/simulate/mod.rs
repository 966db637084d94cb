//! The sender, in the box: sessions that look real, sent as the exporter sends them.

mod generate;

pub use generate::{Format, Generator, Id, Shape};
