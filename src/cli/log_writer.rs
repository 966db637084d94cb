//! Standard error as the log writes to it: an event is one line of bounded length.
//!
//! Events hold texts of stores, lakes and senders. These are cut and escaped where they come in; what
//! was missed there, and in the events of libraries, is caught here. So whatever a line says, it is
//! one: it cannot begin another one, turn itself around, steer a terminal, or be of megabytes.
//!
//! Where standard error leads to the journal of systemd, a line begins with its priority (`<4>`), which that
//! takes off again.

use std::ffi::OsStr;
use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::error_text;

/// Most bytes of a line.
const LINE_BYTES: usize = 8 << 10;

/// Writes events to standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogWriter {
    /// The formatter colours its own words. It escapes the character that begins a colour in the text
    /// of events itself.
    pub(super) coloured: bool,
    /// The formatter writes JSON, and bounds and escapes the texts in it.
    pub(super) is_json: bool,
    /// Standard error leads to the journal of systemd.
    pub(super) is_journal: bool,
    /// Priority of the event, as syslog counts.
    pub(super) priority: u8,
}

impl MakeWriter<'_> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        *self
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> LogWriter {
        LogWriter { priority: priority(*metadata.level()), ..*self }
    }
}

/// Returns the priority of a level, as syslog counts.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Returns whether standard error leads to the journal of systemd: `stream`, its variable JOURNAL_STREAM, names
/// device and inode of the socket. One that was redirected has others.
pub(super) fn leads_to_journal(stream: Option<&OsStr>) -> bool {
    let own =
        rustix::fs::fstat(io::stderr()).map(|found| format!("{}:{}", found.st_dev, found.st_ino));
    match (stream.and_then(OsStr::to_str), own) {
        (Some(stream), Ok(own)) => stream == own,
        _ => false,
    }
}

impl Write for LogWriter {
    /// Writes an event, whole: the formatter hands it over in one piece.
    ///
    /// An event that cannot be written is lost, since nobody reads it: the formatter would tell standard
    /// error of the failure, and panic in the middle of a request when that fails as well.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut text = match self.is_json {
            true => String::from_utf8_lossy(event).into_owned(),
            false => line(event, self.coloured),
        };
        if self.is_journal {
            text.insert_str(0, &format!("<{}>", self.priority));
        }
        let _ = io::stderr().lock().write_all(text.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Returns the line of an event.
fn line(event: &[u8], coloured: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let kept: &[char] = if coloured { &['\u{1b}', '\t'] } else { &['\t'] };
    let mut line = error_text::line(text, LINE_BYTES, kept);
    // A cut may have left out the end of a colour.
    if coloured && line.ends_with('…') {
        line.push_str("\u{1b}[0m");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let forged = "INFO said: a\n2026-11-28T00:00:00Z ERROR \u{1b}[31mred\u{202e}\r\n";
        let shown = line(forged.as_bytes(), false);
        assert_eq!(shown, "INFO said: a\\n2026-11-28T00:00:00Z ERROR \\u{1b}[31mred\\u{202e}\\r\n");
        let megabytes = line(&vec![b'x'; 3 << 20], false);
        assert!(megabytes.len() < LINE_BYTES + 8 && megabytes.ends_with("…\n"));
        let secret = line(b"GET http://user:SECRET@host/ failed\n", false);
        assert_eq!(secret, "GET http://[hidden]@host/ failed\n");
    }

    #[test]
    fn colours_of_the_formatter_are_kept_and_no_line_feed() {
        let shown = line("\u{1b}[32m INFO\u{1b}[0m a\nb\n".as_bytes(), true);
        assert_eq!(shown, "\u{1b}[32m INFO\u{1b}[0m a\\nb\n");
    }
}
