//! Makes rolls: bodies in sequence order become finished files in the staging directory.
//!
//! * `engine`: the threads, and the end of rolls.
//! * `source`: the source that bodies come from.
//! * `dispatcher`: cuts bodies into jobs and sends each to a decode worker.
//! * `decode_workers`: the threads that decode, part by part.
//! * `stored_window`: the windows in which they decode what is too large to be held.
//! * `joined_rejects`: short rejects, joined; `entry_allowance`: those that may stand alone.
//! * `open_roll`: the rows and rejects of the roll that is being filled.
//! * `doubles`: the rows that it leaves out.
//! * `open_tables`: its tables, by id.
//! * `data_files`: its Parquet files.
//! * `manifest`: its files, once it is finished.
//! * `quarantine_writer`: its quarantine files.
//! * `reject_samples`: some of its lines that are no rows, without their values.
//! * `spill`: its rows that do not fit in memory.
//! * `disk_space`: free space of the staging directory's disk.
//! * `care`: bodies of which no roll can be made.
//! * `set_aside`: the reject that such a body becomes.
//! * `options`: the options of all of these.

pub(crate) mod care;
pub(crate) mod data_files;
pub(crate) mod decode_workers;
pub(crate) mod disk_space;
pub(crate) mod dispatcher;
pub(crate) mod doubles;
pub(crate) mod engine;
mod entry_allowance;
mod joined_rejects;
pub(crate) mod manifest;
pub(crate) mod open_roll;
mod open_tables;
pub(crate) mod options;
pub(crate) mod quarantine_writer;
mod reject_samples;
mod set_aside;
pub(crate) mod source;
pub(crate) mod spill;
mod stored_window;
#[cfg(test)]
pub(crate) mod test_faults;

pub use options::Options;

/// The limits at which a roll ends.
pub use crate::batch::RollLimits;

use crate::batch::RollReason;
use crate::decode::RejectCode;
use crate::metrics::UNKNOWN_REASON;

/// Starts the metrics of rolls of these tables at zero.
pub(crate) fn start_metrics<'t>(tables: impl IntoIterator<Item = &'t str>) {
    crate::metrics::start_rolls(crate::status::causes(&RollReason::ALL.map(RollReason::as_str)));
    let codes = RejectCode::ALL.map(RejectCode::as_str);
    for table in tables {
        crate::metrics::start_table(table, codes.into_iter().chain([UNKNOWN_REASON]));
    }
}
