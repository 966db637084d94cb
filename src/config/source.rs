//! Layers that a value can come from.

use std::fmt;

use super::list::{Kind, Setting};

/// The layer of a value, with its place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag, or an argument that stands for one.
    Flag,
    /// An environment variable.
    Environment,
    /// A line of the configuration file.
    File {
        /// The file as it was named.
        file: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// The default of the setting.
    Default,
}

/// A value as text, with its source.
#[derive(Clone, Debug)]
pub(crate) struct SourcedText {
    pub(crate) text: String,
    pub(crate) source: Source,
}

impl Source {
    /// Returns the place of `setting` in this layer, as error messages name it.
    pub(crate) fn place(&self, setting: &Setting) -> String {
        match self {
            Source::Flag => setting.flag(),
            Source::Environment => setting.variable(),
            Source::File { file, line } => format!("{file}:{line}: {}", setting.key),
            Source::Default => format!("the default of {}", setting.key),
        }
    }

    /// Returns a correct assignment to `setting` in the spelling of this layer.
    pub(crate) fn example(&self, setting: &Setting) -> String {
        match self {
            Source::Flag | Source::Default if setting.kind == Kind::Switch => setting.flag(),
            Source::Flag | Source::Default => format!("{} {}", setting.flag(), setting.example),
            Source::Environment => format!("{}={}", setting.variable(), setting.example),
            Source::File { .. } => setting.assignment(setting.example),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Environment => f.write_str("environment"),
            Source::File { file, line } => write!(f, "{file}:{line}"),
            Source::Default => f.write_str("default"),
        }
    }
}
