//! Sessions into a file or a pipe instead of over the network.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use super::feed::{Made, Plan, feed};

/// Writes the bulks of `plan`. A reader that goes away ends it, and is no error.
///
/// # Errors
/// The error of the writer.
pub fn write(plan: &Plan, stop: &AtomicBool, out: &mut dyn Write) -> io::Result<Made> {
    let mut failed = None;
    let made = feed(plan, stop, |bulk| match out.write_all(&bulk.body) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    match failed {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => out.flush().or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        }),
    }
    .map(|()| made)
}
