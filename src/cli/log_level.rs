//! The level of the log, which can be changed while the program runs.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

/// The filter of the log. The default is that of no log.
#[derive(Default)]
pub(super) struct LogLevel {
    set: Option<Box<dyn Fn(EnvFilter) + Send + Sync>>,
}

impl LogLevel {
    /// Takes the handle of the filter.
    pub(super) fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> LogLevel {
        // It fails when the log is gone.
        LogLevel { set: Some(Box::new(move |filter| drop(handle.reload(filter)))) }
    }

    /// Parses a filter.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn parse(text: &str) -> anyhow::Result<EnvFilter> {
        Ok(EnvFilter::try_new(text)?)
    }

    /// Replaces the filter.
    pub(super) fn set(&self, filter: EnvFilter) {
        if let Some(set) = &self.set {
            set(filter);
        }
    }
}
