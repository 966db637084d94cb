//! Arrow arrays by their types. No other module matches on `DataType` or casts arrays by type
//! (`columnar/tests.rs` reads the sources and holds them to it).
//!
//! # A new column type: the files to touch, in this order
//! | file | matter |
//! |---|---|
//! | `schema` (`Kind`, its parser, fingerprint, texts) | the type in a schema, and its name in each text |
//! | [`types`] | [`Kind`](crate::schema::Kind) → Arrow type |
//! | `builders` | buffers that the decoder appends to, and the array they become |
//! | `null_arrays` | an array of nulls that takes no memory |
//! | `sizes` | bytes in memory, of rows, and in plain pages |
//! | [`gather`] | rows of several batches, copied in runs |
//! | `run_ends`, `folded` | (nothing: what a flat table repeats of the session, of any type) |
//! | `repeat` | rows repeated, if flat tables may have it of the session |
//! | `spill_format` | bytes of a spilled batch |
//! | `rewrite` | replacing what is below it, if it is nested |
//! | `row_bytes` | bytes by which rows are told apart |
//! | [`statistics`] | bounds of a column, from a footer |
//! | `values`, `forms` | a cell as JSON |
//! | `describe` | its name in reports about files |
//! | `decode::value` | the JSON that it takes |
//! | `table::partition`, `table::privacy_rules` | whether it can be in a partition, and which rules are for it |
//! | `nesting`, `leaf_values` | what is below it, if it is nested; its values, if it is a leaf |
//! | `encode` (`plain`, `choice`, `leaf`, `pages`) | its bytes in a page, encodings to choose from, bounds and statistics |

pub(crate) mod builders;
pub(crate) mod compare;
pub(crate) mod describe;
pub(crate) mod folded;
mod forms;
pub mod gather;
pub(crate) mod leaf_values;
pub(crate) mod lists;
pub(crate) mod maps;
pub(crate) mod nesting;
pub(crate) mod null_arrays;
pub(crate) mod repeat;
pub(crate) mod rewrite;
pub(crate) mod row_bytes;
mod run_ends;
pub(crate) mod sizes;
pub(crate) mod spill_format;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod types;
pub(crate) mod value;
pub(crate) mod values;
