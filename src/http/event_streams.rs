//! Streams of server-sent events to operators: few, and none of them waits for another.
//!
//! What is sent is made once for all of them. A stream holds [`MOST_WAITING`] events at most that its
//! client has not taken: one that takes none for longer is cut with its connection. A stream ends by itself
//! after [`LONGEST_STREAM`]: its client comes again, with credentials that are checked again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use warp::sse;

/// The most streams at a time.
pub(super) const MOST_STREAMS: usize = 16;
/// The most events that wait in a stream.
const MOST_WAITING: usize = 10;
/// The longest time of a stream: less than that of its connection.
pub(super) const LONGEST_STREAM: Duration = Duration::from_secs(240);

/// The time after which a client comes again when its stream has ended.
const RETRY: Duration = Duration::from_secs(1);

/// An event. A clone copies no text.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// The number by which a client that comes again says what it knows.
    pub id: u64,
    /// Its JSON.
    pub data: Arc<str>,
}

impl Event {
    fn written(&self) -> sse::Event {
        let event = sse::Event::default().event(self.name).id(self.id.to_string());
        event.retry(RETRY).data(&*self.data)
    }
}

/// The open streams.
#[derive(Debug, Default)]
pub struct EventStreams {
    // A mutex: locked once a second, and when a stream begins. Nothing is awaited below it.
    streams: Mutex<Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    events: mpsc::Sender<Event>,
    /// Ends the connection.
    cut: CancellationToken,
}

impl EventStreams {
    /// Begins a stream of the time `longest` with the events `first`; `None` if there are [`MOST_STREAMS`]. `cut` is cancelled
    /// when its client takes no events.
    pub(super) fn begin(
        &self,
        first: Vec<Event>,
        cut: &CancellationToken,
        longest: Duration,
    ) -> Option<impl Stream<Item = Result<sse::Event, Infallible>> + use<>> {
        let mut streams = self.streams.lock();
        streams.retain(|open| !open.events.is_closed());
        if streams.len() >= MOST_STREAMS {
            return None;
        }
        let (events, taken) = mpsc::channel(MOST_WAITING);
        streams.push(Open { events, cut: cut.clone() });
        let until = tokio::time::Instant::now() + longest;
        let rest = stream::unfold(taken, move |mut taken| async move {
            let event = tokio::time::timeout_at(until, taken.recv()).await.ok()??;
            Some((Ok(event.written()), taken))
        });
        Some(stream::iter(first).map(|event| Ok(event.written())).chain(rest))
    }

    /// Sends events to all streams. Never waits.
    pub fn send(&self, events: &[Event]) {
        self.streams.lock().retain(|open| {
            for event in events {
                match open.events.try_send(event.clone()) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Closed(_)) => return false,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        open.cut.cancel();
                        return false;
                    }
                }
            }
            true
        });
    }

    /// Returns true while nobody looks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.lock().iter().all(|open| open.events.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> Event {
        Event { name: "state", id: 1, data: data.into() }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_and_others_are_not() {
        let streams = EventStreams::default();
        let (reader, sleeper) = (CancellationToken::new(), CancellationToken::new());
        let mut read =
            Box::pin(streams.begin(vec![event("first")], &reader, LONGEST_STREAM).unwrap());
        let mut asleep = Box::pin(streams.begin(Vec::new(), &sleeper, LONGEST_STREAM).unwrap());
        assert!(read.next().await.unwrap().unwrap().to_string().contains("first"));
        for _ in 0..=MOST_WAITING {
            streams.send(&[event("x")]);
            assert!(read.next().await.unwrap().unwrap().to_string().contains('x'));
        }
        assert!(sleeper.is_cancelled() && !reader.is_cancelled());
        for _ in 0..MOST_WAITING {
            assert!(asleep.next().await.is_some());
        }
        assert!(asleep.next().await.is_none(), "it has ended");
        drop(read);
        assert!(streams.is_empty());
    }

    #[tokio::test]
    async fn streams_are_few_and_end() {
        let streams = EventStreams::default();
        let cut = CancellationToken::new();
        let begin = |longest| streams.begin(Vec::new(), &cut, longest).map(Box::pin);
        let mut open: Vec<_> = (1..MOST_STREAMS).map(|_| begin(LONGEST_STREAM).unwrap()).collect();
        open.push(begin(Duration::from_millis(1)).unwrap());
        assert!(begin(LONGEST_STREAM).is_none());
        let mut last = open.pop().unwrap();
        assert!(last.next().await.is_none(), "after a while, without an event");
        drop(last);
        assert!(begin(LONGEST_STREAM).is_some());
        assert!(!cut.is_cancelled());
    }
}
