//! The steps of a roll.

use std::time::Duration;

use crate::record::{Roll, Seq, SeqRange};

/// One step of a roll, or of the engine that makes rolls.
///
/// A roll that goes well emits `Opened`, `Filling` (many), `Finished`, `Sealed`, `Landed`,
/// `Committed`, in this order; `TableLanded` follows for each of its tables, and `Unmatched`,
/// `UnknownFields`, `Overflowed` and `SetAside` may. Steps of a roll and of the next one interleave,
/// since a roll is filled while the one before it is published.
///
/// `Redone` begins the steps of a roll that an earlier attempt has sealed; no `Sealed` follows.
/// After `EngineFailed` every roll that is not sealed begins anew, under the same number.
#[derive(Clone, Debug, PartialEq)]
pub enum RollEvent {
    /// The first body was taken into the roll.
    Opened {
        /// The number of the roll.
        roll: Roll,
    },
    /// Rows were taken into the open roll, or time has passed. Emitted after every job of the
    /// decoders and at least ten times a second.
    Filling {
        /// The number of the roll.
        roll: Roll,
        /// Lines taken into the roll since the last `Filling`.
        lines: u64,
        /// Arrow bytes of the rows that wait in memory.
        buffered_bytes: u64,
        /// Files that the roll has so far.
        open_partitions: usize,
    },
    /// The roll ended, and its files are finished in the staging directory.
    Finished {
        /// The number of the roll.
        roll: Roll,
        /// Its bodies.
        range: SeqRange,
        /// The limit that ended it, by the name that logs use: `age`, `bytes`, `rows`, …
        reason: &'static str,
        /// Its lines: rows and rejects.
        lines: u64,
        /// Its rows.
        rows: u64,
        /// Its lines in quarantine.
        rejects: u64,
        /// Its data files.
        files: usize,
        /// Bytes of its data files.
        bytes: u64,
    },
    /// A stage of the roll ended well.
    Stage {
        /// The number of the roll.
        roll: Roll,
        /// The stage: `encode`, `upload` or `commit`.
        stage: &'static str,
        /// Its duration, with pauses and new tries.
        took: Duration,
    },
    /// The number and range of the roll are durable: from here on it can only be made again as it is.
    Sealed {
        /// The number of the roll.
        roll: Roll,
        /// Its bodies.
        range: SeqRange,
    },
    /// Lines of the roll were no rows. A roll that is made again tells of them again.
    Rejected {
        /// The number of the roll.
        roll: Roll,
        /// The table.
        table: String,
        /// Lines by the code of their defect.
        lines: Vec<(&'static str, u64)>,
        /// Some of them, without their values.
        samples: Vec<RejectSample>,
    },
    /// A roll that was sealed and not committed is being made again.
    Redone {
        /// The number of the roll.
        roll: Roll,
        /// Its bodies.
        range: SeqRange,
    },
    /// A roll that is made again lacks bodies, which a segment that was given up had.
    BodiesLost {
        /// The number of the roll.
        roll: Roll,
        /// The bodies that are gone.
        lost: Vec<SeqRange>,
    },
    /// A roll that is made again has its receipt in the lake: nothing of it is put.
    AlreadyLanded {
        /// The number of the roll.
        roll: Roll,
    },
    /// A request to the lake failed and is made again after a pause.
    Retrying {
        /// The number of the roll.
        roll: Roll,
        /// The step that failed, as a verb with its object: `upload the files of`.
        step: &'static str,
        /// Failures of this step so far, from 1.
        tries: u64,
        /// The longest pause before the next try.
        pause: Duration,
        /// The error, with its causes.
        error: String,
    },
    /// A step succeeded after it had failed.
    Recovered {
        /// The number of the roll.
        roll: Roll,
        /// The step, as of `Retrying`.
        step: &'static str,
        /// Failures of this step before.
        tries: u64,
    },
    /// All files of the roll and its receipt are in the lake.
    Landed {
        /// The number of the roll.
        roll: Roll,
    },
    /// The roll is over: its bodies are no longer needed.
    Committed {
        /// The number of the roll.
        roll: Roll,
        /// Its rows.
        rows: u64,
        /// Its lines in quarantine.
        rejects: u64,
        /// Its rows that were left out, since they equal one that has landed.
        doubled: u64,
        /// Its data files.
        files: usize,
        /// Bytes of its data files.
        bytes: u64,
    },
    /// The roll is over, and has landed this in a table.
    TableLanded {
        /// The number of the roll.
        roll: Roll,
        /// The table.
        table: String,
        /// Its rows.
        rows: u64,
        /// Its data files.
        files: usize,
        /// Bytes of its data files.
        bytes: u64,
        /// Its data files of less than [`SMALL_FILE_BYTES`](super::SMALL_FILE_BYTES).
        small_files: usize,
        /// Its rows that were left out, since they equal one that has landed.
        doubled: u64,
        /// Its lines in quarantine by the code of their defect; none for lines that an earlier attempt
        /// has put.
        rejects: Vec<(Option<&'static str>, u64)>,
    },
    /// The roll is over, and some of its rows are null in every column: their documents have no name
    /// of the table's, or none with a value that fits.
    Unmatched {
        /// The number of the roll.
        roll: Roll,
        /// Its rows.
        rows: u64,
        /// Those of them that are null in every column.
        unmatched: u64,
    },
    /// The roll is over, and rows of a table have fields that it has no column for, or values that did not
    /// fit their column.
    UnknownFields {
        /// The number of the roll.
        roll: Roll,
        /// The table.
        table: String,
        /// Rows with at least one such field.
        rows: u64,
        /// Rows by field: patterns of JSON Pointers, those of the most rows first.
        fields: Vec<(String, u64)>,
        /// Values of fields that are not among them.
        others: u64,
    },
    /// The roll is over, and rows of a table are in its overflow partition: their bodies were of times
    /// far from their receipt, or had more partitions than they may open.
    Overflowed {
        /// The number of the roll.
        roll: Roll,
        /// The table.
        table: String,
        /// Hive path of its overflow partition.
        partition: String,
        /// Its rows there.
        rows: u64,
    },
    /// A body of which no roll could be made is in quarantine, whole, and its roll is over.
    SetAside {
        /// The number of the roll.
        roll: Roll,
        /// The body.
        seq: Seq,
        /// The reason.
        why: String,
    },
    /// The engine failed. It begins anew from the journal after `pause`.
    EngineFailed {
        /// The error, with its causes.
        error: String,
        /// The pause before the engine begins anew.
        pause: Duration,
    },
    /// The engine ended for good: the journal cannot be written, or the lake refused a roll in a way
    /// that only a person can mend.
    EngineStopped {
        /// The failure, with its causes.
        reason: String,
    },
}

/// A line that is no row, as people may see it: nothing of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectSample {
    /// The code of its defect.
    pub code: &'static str,
    /// Its defect, for people.
    pub reason: String,
    /// The body it came in.
    pub seq: Seq,
    /// Its number in the body, counted from 1.
    pub line: u64,
    /// The lines that it stands for.
    pub lines: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its structure and types; none where the privacy rules have sealed it, or it is too long to be held.
    pub masked: Option<String>,
}

impl RollEvent {
    /// Returns the number of the roll, or `None` for an event of the engine.
    #[must_use]
    pub fn roll(&self) -> Option<Roll> {
        match self {
            RollEvent::Opened { roll }
            | RollEvent::Filling { roll, .. }
            | RollEvent::Finished { roll, .. }
            | RollEvent::Stage { roll, .. }
            | RollEvent::Sealed { roll, .. }
            | RollEvent::Rejected { roll, .. }
            | RollEvent::Redone { roll, .. }
            | RollEvent::BodiesLost { roll, .. }
            | RollEvent::AlreadyLanded { roll }
            | RollEvent::Retrying { roll, .. }
            | RollEvent::Recovered { roll, .. }
            | RollEvent::Landed { roll }
            | RollEvent::Committed { roll, .. }
            | RollEvent::TableLanded { roll, .. }
            | RollEvent::SetAside { roll, .. }
            | RollEvent::Unmatched { roll, .. }
            | RollEvent::UnknownFields { roll, .. }
            | RollEvent::Overflowed { roll, .. } => Some(*roll),
            RollEvent::EngineFailed { .. } | RollEvent::EngineStopped { .. } => None,
        }
    }
}
