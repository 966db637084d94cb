//! Standard output.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::{Failure, Outcome};
use crate::error_text;

/// Prints `text` and returns success. A reader that has gone away is no failure.
pub(super) fn print(text: &str) -> Outcome {
    write(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a report for people as [`write`] does. Names and texts in it are of the lake: no character
/// of them steers the terminal.
pub(super) fn report(text: &str) -> Result<(), Failure> {
    write(&error_text::printable(text))
}

/// Prints JSON as [`write`] does. Texts of lakes and senders in it steer no terminal, and it reads the same.
pub(super) fn json(text: &str) -> Result<(), Failure> {
    write(&error_text::in_json(text))
}

/// Prints `text`, for commands with an exit code of their own. A reader that has gone away is no
/// failure.
pub(super) fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("cannot write to standard output");
            Err(Failure::Running(error))
        }
        _ => Ok(()),
    }
}
