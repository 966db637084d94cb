//! What can be wrong with a configuration, said with its place and a way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration was refused: every problem that was found, never none.
///
/// Exit code 2. With one problem this reads as that problem; with more, as a list.
#[derive(Debug)]
pub struct Error {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file, as named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML. The text of the line is left out: it may hold a secret.
    #[error("{file}:{line}: this is not TOML: {message}")]
    Syntax {
        /// The file, as named.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What the parser said.
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
        /// What to do, beginning with `; `.
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
        /// A whole assignment that is right.
        example: String,
    },
    /// A value that does not mean anything, or is out of range.
    #[error("{place}: \"{found}\" {why}, for example {example}")]
    BadValue {
        /// Flag, variable, or file, line and key.
        place: String,
        /// The value.
        found: String,
        /// What is wrong with it, without a full stop.
        why: String,
        /// The same setting with a value that is right.
        example: String,
    },
    /// A value that cannot be shown, or settings that do not go together.
    #[error("{place}: {why}")]
    Refused {
        /// Flag, variable, or file, line and key.
        place: String,
        /// The whole of it: what is wrong, and what to do.
        why: String,
    },
}

impl Error {
    /// `None` where there is no problem.
    pub(crate) fn from_problems(problems: Vec<Problem>) -> Option<Error> {
        (!problems.is_empty()).then_some(Error { problems })
    }

    /// Every problem, in the order they were found.
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
