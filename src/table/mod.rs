//! Tables: specifications, the list of them that a process works with, and its serialised form.
//!
//! * `spec`: the specification of one table.
//! * `tables`: an ordered list of specifications, by id and by name.
//! * [`flat`]: tables that are derived from another: a row for each element of a list.
//! * `serialized`: the one serialised form of a list, in seals, `tables.json` and import manifests.
//! * `next_schema`: tables whose schema gets columns.
//! * `registry`: the tables that a state directory remembers.
//! * [`partition`]: the partition template (`date={startTime:%Y-%m-%d}`), checked against a schema.
//! * [`hive_path`]: paths of partitions, written from their values and read back.
//! * `revision`: the rules by which documents become rows, as sealed.
//! * `partition_limits`: the partitions that bodies may open, as sealed.
//! * `file_names`: the file names that the lake tells apart, as sealed.
//! * `privacy_rules`: paths of personal data, and the action on each.
//! * `rule_pointers`: pointers of such rules that most likely mean another one.
//!
//! A seal carries its tables as text, so that a roll is made again exactly as it was sealed, whatever
//! the configuration says by then.

mod file_names;
pub mod flat;
pub mod hive_path;
mod next_schema;
pub mod partition;
mod partition_limits;
pub(crate) mod privacy_rules;
pub(crate) mod registry;
mod revision;
mod rule_pointers;
mod serialized;
mod spec;
mod tables;

pub use file_names::FileNames;
pub use flat::Flat;
pub(crate) use next_schema::CurrentSchema;
pub use partition::{Template, TemplateError};
pub use partition_limits::{Distance, MAX_PARTITIONS, OutsideWindow, PartitionLimits, TimeWindow};
pub use privacy_rules::{Action, Rules};
pub use revision::Revision;
pub(crate) use rule_pointers::list_without_items;
pub use spec::{Format, LINE_LIMIT_BYTES, Rows, Spec};
pub use tables::{TableId, Tables};
