//! The stages of a server's life.

use crate::error_text::shown;

/// The stage of a server's life, with a sentence for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It takes no bodies yet; how far it is.
    Starting(String),
    /// It takes bodies, unless a part is not ready.
    #[default]
    Running,
    /// It was stopped; what is left to do.
    Stopping(String),
}

impl Stage {
    /// Returns the stage with a sentence of one line and bounded length.
    pub(super) fn shown(self) -> Stage {
        match self {
            Stage::Starting(why) => Stage::Starting(shown(&why)),
            Stage::Running => Stage::Running,
            Stage::Stopping(why) => Stage::Stopping(shown(&why)),
        }
    }
}
