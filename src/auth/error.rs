//! Errors of credentials: those that cannot be used, and those that do not admit a client.

use std::path::PathBuf;
use std::time::Duration;

/// The reason for which credentials cannot be used. No text of the file is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not TOML of this form.
    #[error("{}:{line}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: usize,
        /// The mistake.
        what: String,
    },
    /// The file is TOML, and its content cannot be used.
    #[error("{}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The mistake, and the correction.
        what: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// The reason for which a client is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credentials, or wrong ones; the answer does not say which.
    Unauthorized,
    /// Too many wrong ones: worth trying again after this time.
    TooMany(Duration),
    /// Too many passwords wait to be verified.
    Busy,
}

/// The outcome of an attempt that did not authenticate a client.
pub(super) enum Rejection {
    /// Wrong credentials, for which the peer's budget of failures has not been charged.
    Uncharged,
    /// Wrong credentials, for which it has been charged.
    Charged,
    /// No attempt, or none that was verified.
    Denied(Denied),
}

impl From<Denied> for Rejection {
    fn from(denied: Denied) -> Rejection {
        Rejection::Denied(denied)
    }
}
