//! Arrow arrays by their types: nulls, sizes, gathering rows, and the form of spilled batches.

pub(crate) mod arrays;
pub mod gather;
pub(crate) mod spill_format;
pub mod statistics;
