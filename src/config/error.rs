//! Problems of a configuration, each with its place and a remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Refusal of a configuration, with every problem that was found; at least one.
///
/// The exit code is 2. One problem is displayed as itself, several as a list.
#[derive(Debug)]
pub struct Error {
    problems: Vec<Problem>,
}

/// One problem.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file, as named.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The file is not TOML. The text of the line is left out: it may hold a secret.
    #[error("{file}:{line}: this is not TOML: {message}")]
    Syntax {
        /// The file, as named.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// Message of the parser.
        message: String,
    },
    /// A key appears a second time in its table, or a table a second time in the file.
    #[error("{file}:{line}: `{key}` is set twice; keep one of them")]
    Twice {
        /// The file, as named.
        file: String,
        /// Line of the second one, counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A key that no setting has.
    #[error("{file}:{line}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// The file, as named.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// The key, with its table before it.
        key: String,
        /// Remedy, beginning with `; `; may be empty.
        hint: String,
    },
    /// A value of another TOML type.
    #[error("{file}:{line}: `{key}` is {found}, and should be {expected}, for example {example}")]
    WrongType {
        /// The file, as named.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// The type that was found, with the value where it is no secret.
        found: String,
        /// The type that was expected.
        expected: &'static str,
        /// A correct assignment.
        example: String,
    },
    /// A value that cannot be parsed, or is out of range.
    #[error("{place}: \"{found}\" {why}, for example {example}")]
    BadValue {
        /// Flag, variable, or file, line and key.
        place: String,
        /// The value.
        found: String,
        /// Fault, without a full stop.
        why: String,
        /// A correct assignment to the same setting.
        example: String,
    },
    /// A value that cannot be shown, or settings that do not go together.
    #[error("{place}: {why}")]
    Refused {
        /// Flag, variable, or file, line and key.
        place: String,
        /// Fault and remedy.
        why: String,
    },
}

impl Problem {
    /// Tells whether everything else of the configuration means what it means without the problem.
    pub(crate) fn leaves_the_rest(&self) -> bool {
        matches!(self, Problem::UnknownKey { .. })
    }
}

impl Error {
    /// Returns an error of `problems`, `None` if there are none.
    pub(crate) fn from_problems(problems: Vec<Problem>) -> Option<Error> {
        (!problems.is_empty()).then_some(Error { problems })
    }

    /// Returns `built`, unless there are `problems` of before: they come before its own.
    pub(crate) fn unless<T>(
        mut problems: Vec<Problem>,
        built: Result<T, Error>,
    ) -> Result<T, Error> {
        match built {
            Ok(built) => Error::from_problems(problems).map_or(Ok(built), Err),
            Err(error) => {
                problems.extend(error.problems);
                Err(Error { problems })
            }
        }
    }

    /// Returns every problem, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        Error { problems: vec![problem] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => only.fmt(f),
            several => {
                write!(f, "the configuration has {} problems:", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.problems.as_slice() {
            [only] => only.source(),
            _ => None,
        }
    }
}
