//! Errors of a lake.

use std::path::PathBuf;

use super::failure::describe;
use crate::error_text::{self, shown};

/// An operation on a lake that failed.
///
/// Trying again is safe and may help, but for [`StoreError::Unsynced`], which asks for a new staging
/// file, and [`StoreError::NoLake`] and [`StoreError::Option`], which ask for other settings.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation on a directory of the lake or on a staging file.
    #[error("{}: {source}", error_text::path(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A sync failed. That is final for the staging file: a second sync of it proves nothing.
    #[error("cannot sync {}: {source}", error_text::path(path))]
    Unsynced {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The object store refused an operation, or gave no answer.
    #[error("{lake}: {}", describe(.error))]
    Object {
        /// The lake.
        lake: String,
        /// The store's error: not a source, since the text above has all of it that is worth telling.
        error: object_store::Error,
    },
    /// The object store refuses to tell whether an object is there.
    #[error(
        "{lake} does not tell whether {} is there: {}. Credentials that may not list the \
         bucket (s3:ListBucket) hear this of every object that is not there",
        shown(name),
        describe(.error)
    )]
    Denied {
        /// The lake.
        lake: String,
        /// The object.
        name: String,
        /// The store's error.
        error: object_store::Error,
    },
    /// The directory is no longer that of the lake: it was unmounted, deleted or replaced.
    #[error(
        "{directory} is not the lake {id} any more: {why}. Nothing is written there: is it not \
         mounted?"
    )]
    Gone {
        /// The directory.
        directory: PathBuf,
        /// The lake that it was.
        id: String,
        /// The finding.
        why: String,
    },
    /// The directory of a lake that is to be read does not exist.
    #[error("there is no lake at {directory}; `serve` or `import` makes one")]
    NoLake {
        /// The directory.
        directory: PathBuf,
    },
    /// The store's builder does not take an option.
    #[error("[storage] {key}: {why}")]
    Option {
        /// The key.
        key: String,
        /// The builder's reason.
        why: String,
    },
}

/// A small record of the lake, its identity or a fence, that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store would not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is no such record.
    #[error(
        "{} stands in the lake and is nothing that this version reads ({}); look where it comes from",
        shown(name),
        shown(&source.to_string())
    )]
    Malformed {
        /// The object.
        name: String,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
    /// The object is of a later version.
    #[error(
        "{} in the lake was written by a newer version of this program; use that version",
        shown(name)
    )]
    Newer {
        /// The object.
        name: String,
    },
}
