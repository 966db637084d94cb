//! The log of refusals: a warning a peer and reason, with the text of the answer.
//!
//! Senders show their users the status alone, at best, and throw a body away after a few tries. So
//! the log has what was refused, to whom and why, whatever the status.
//!
//! - The first refusal of a peer for a reason is logged at once. More of them are counted, and logged
//!   with their number by a timer: first after [`FIRST_FLUSH`], then every [`FLUSH`]. After that time
//!   without any, the next is a first one again. What is counted when the receiver ends is logged then.
//! - Memory and lines are bounded, however many addresses are used: [`MAX_ENTRIES`] peers and reasons
//!   are told apart, and the rest is counted by reason.
//! - A line is one line: control characters are escaped, and a text ends after [`MAX_TEXT`] characters.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::warn;
use warp::http::StatusCode;

use crate::error_text::bounded;
use crate::metrics::{NO_ENDPOINT, REQUESTS_REFUSED};
use crate::peers::Peer;

use super::refusal_reason::Reason;
use super::reply::Response;

/// The interval of the timer.
const TICK: Duration = Duration::from_secs(1);
/// The time after the first line at which the rest is logged.
const FIRST_FLUSH: Duration = Duration::from_secs(5);
/// The least time between later lines about a peer and reason.
const FLUSH: Duration = Duration::from_secs(60);
/// The most peers and reasons that are told apart.
const MAX_ENTRIES: usize = 64;
/// The most characters of a text.
const MAX_TEXT: usize = 500;

/// A refusal, as an extension of the response that it is answered with.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) text: String,
}

/// The log of refusals.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    entries: HashMap<(Peer, Reason), Entry>,
    /// Refusals of peers without an entry.
    others: HashMap<Reason, Entry>,
}

/// Refusals for one reason.
#[derive(Debug)]
struct Entry {
    count: u64,
    last: Said,
    logged_at: Instant,
    flush_after: Duration,
}

/// The last refusal of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    address: IpAddr,
    status: Option<u16>,
    text: String,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    First(Reason, Said),
    More(Reason, Said, u64),
    Others(Reason, Said, u64),
}

impl RefusalLog {
    /// Records the refusal that a response carries, if it is one.
    pub(super) fn record_response(&self, address: IpAddr, endpoint: &str, response: &Response) {
        if let Some(Refused { reason, text }) = response.extensions().get() {
            self.record_of(endpoint, address, *reason, Some(response.status()), text);
        }
    }

    /// Records a refusal that no endpoint has made; `status` is that of its answer, if there is one.
    pub(super) fn record(
        &self,
        address: IpAddr,
        reason: Reason,
        status: Option<StatusCode>,
        text: &str,
    ) {
        self.record_of(NO_ENDPOINT, address, reason, status, text);
    }

    fn record_of(
        &self,
        endpoint: &str,
        address: IpAddr,
        reason: Reason,
        status: Option<StatusCode>,
        text: &str,
    ) {
        let (endpoint, label) = (endpoint.to_owned(), reason.label());
        metrics::counter!(REQUESTS_REFUSED, "endpoint" => endpoint, "reason" => label).increment(1);
        let status = status.map(|status| status.as_u16());
        let said = Said { address, status, text: bounded(text, MAX_TEXT) };
        if let Some(line) = self.0.lock().count(reason, said, Instant::now()) {
            line.log();
        }
    }

    /// Logs what is counted, as it becomes due. Never returns.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing that [`RefusalLog::flush`] does not log.
    pub(super) async fn keep_flushing(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            let due = self.0.lock().due(Some(Instant::now()));
            due.iter().for_each(Line::log);
        }
    }

    /// Logs what is counted.
    pub(super) fn flush(&self) {
        let due = self.0.lock().due(None);
        due.iter().for_each(Line::log);
    }
}

impl Unlogged {
    /// Counts a refusal; returns the line that is due at once.
    fn count(&mut self, reason: Reason, said: Said, now: Instant) -> Option<Line> {
        let key = (Peer::of(said.address), reason);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.add(said);
            return None;
        }
        let (logged_at, flush_after) = (now, FIRST_FLUSH);
        if self.entries.len() < MAX_ENTRIES {
            let entry = Entry { count: 0, last: said.clone(), logged_at, flush_after };
            self.entries.insert(key, entry);
            return Some(Line::First(reason, said));
        }
        let entry = Entry { count: 0, last: said.clone(), logged_at, flush_after };
        self.others.entry(reason).or_insert(entry).add(said);
        None
    }

    /// Takes the lines that are due at `now`, or all of them.
    fn due(&mut self, now: Option<Instant>) -> Vec<Line> {
        let mut lines = Vec::new();
        self.entries.retain(|(_, reason), entry| {
            entry.keep(now, |said, count| lines.push(Line::More(*reason, said, count)))
        });
        self.others.retain(|reason, entry| {
            entry.keep(now, |said, count| lines.push(Line::Others(*reason, said, count)))
        });
        lines
    }
}

impl Entry {
    fn add(&mut self, said: Said) {
        self.count += 1;
        self.last = said;
    }

    /// Tells what is counted, if that is due. Returns false for an entry that is to be forgotten.
    fn keep(&mut self, now: Option<Instant>, tell: impl FnOnce(Said, u64)) -> bool {
        let quiet = now.map(|now| now.saturating_duration_since(self.logged_at));
        if self.count > 0 && quiet.is_none_or(|quiet| quiet >= self.flush_after) {
            tell(self.last.clone(), std::mem::take(&mut self.count));
            self.logged_at = now.unwrap_or(self.logged_at);
            self.flush_after = FLUSH;
            return now.is_some();
        }
        self.count > 0 || quiet.is_some_and(|quiet| quiet < FLUSH)
    }
}

impl Line {
    fn log(&self) {
        let (Line::First(reason, said)
        | Line::More(reason, said, _)
        | Line::Others(reason, said, _)) = self;
        let (peer, reason, text) = (said.address, reason.label(), &said.text);
        let status = said.status;
        match self {
            Line::First(..) => warn!(%peer, status, reason, "refused: {text}"),
            Line::More(_, _, count) => {
                warn!(%peer, status, reason, count, "refused {count} more, the last with: {text}");
            }
            Line::Others(_, _, count) => {
                warn!(
                    last_peer = %peer,
                    status,
                    reason,
                    count,
                    "refused {count} of more peers than are told apart, the last with: {text}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(last: u8, text: &str) -> Said {
        Said { address: [192, 0, 2, last].into(), status: Some(415), text: text.to_owned() }
    }

    #[test]
    fn eleven_in_a_burst_are_a_line_at_once_and_one_for_the_rest() {
        let (mut log, start) = (Unlogged::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = log.count(Reason::MediaType, said(1, "a"), start);
        assert_eq!(first, Some(Line::First(Reason::MediaType, said(1, "a"))));
        for _ in 0..10 {
            assert_eq!(log.count(Reason::MediaType, said(1, "b"), at(1)), None);
        }
        assert_eq!(log.due(Some(at(2))), []);
        assert_eq!(log.due(Some(at(5))), [Line::More(Reason::MediaType, said(1, "b"), 10)]);
        // One that goes on is a line a minute.
        assert_eq!(log.count(Reason::MediaType, said(1, "c"), at(6)), None);
        assert_eq!(log.due(Some(at(64))), []);
        assert_eq!(log.due(Some(at(65))), [Line::More(Reason::MediaType, said(1, "c"), 1)]);
        // One that has come to an end is forgotten.
        assert_eq!(log.due(Some(at(126))), []);
        assert!(log.entries.is_empty());
        assert!(log.count(Reason::MediaType, said(1, "d"), at(127)).is_some());
    }

    #[test]
    fn another_reason_and_another_peer_are_lines_of_their_own() {
        let (mut log, now) = (Unlogged::default(), Instant::now());
        assert!(log.count(Reason::MediaType, said(1, "a"), now).is_some());
        assert!(log.count(Reason::TooLarge, said(1, "b"), now).is_some());
        assert!(log.count(Reason::MediaType, said(2, "a"), now).is_some());
    }

    #[test]
    fn many_addresses_are_counted_together_and_need_no_more_memory() {
        let (mut log, start) = (Unlogged::default(), Instant::now());
        let lines = (0..10_000_u32).filter_map(|number| {
            let address = IpAddr::from(number.to_be_bytes());
            log.count(Reason::Credentials, Said { address, ..said(0, "who") }, start)
        });
        assert_eq!(lines.count(), MAX_ENTRIES);
        assert_eq!((log.entries.len(), log.others.len()), (MAX_ENTRIES, 1));
        let [Line::Others(Reason::Credentials, _, 9_936)] = &log.due(Some(start + FIRST_FLUSH))[..]
        else {
            panic!("one line")
        };
    }

    #[test]
    fn what_is_counted_at_the_end_is_logged_then() {
        let (mut log, start) = (Unlogged::default(), Instant::now());
        for _ in 0..3 {
            let _ = log.count(Reason::Journal, said(1, "full"), start);
        }
        assert_eq!(log.due(None), [Line::More(Reason::Journal, said(1, "full"), 2)]);
        assert_eq!(log.due(None), []);
    }

    #[test]
    fn a_text_is_one_line() {
        let forged = "Content-Type \"a\"\n2026-11-28T00:00:00Z ERROR \u{1b}[31mred\u{2028}\u{202e}";
        let line = bounded(forged, MAX_TEXT);
        assert!(line.starts_with("Content-Type \"a\"\\n2026"), "{line}");
        assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{line}");
        assert_eq!(bounded(&"x".repeat(9999), MAX_TEXT).chars().count(), MAX_TEXT + 1);
    }
}
