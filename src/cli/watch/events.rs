//! Server-sent events, read from an answer.

use std::collections::VecDeque;

use anyhow::{Context as _, ensure};
use reqwest::Response;
use serde_json::Value;

/// The most bytes of an event.
const EVENT_BYTES: usize = 4 << 20;

/// An event.
#[derive(Debug, PartialEq)]
pub(in crate::cli) struct Event {
    /// Its name.
    pub(in crate::cli) name: String,
    /// The number of the last reject, when it was sent.
    pub(in crate::cli) id: Option<u64>,
    /// Its JSON.
    pub(in crate::cli) data: Value,
}

/// A stream of events.
pub(in crate::cli) struct Events {
    answer: Response,
    text: Text,
    ready: VecDeque<Event>,
}

impl Events {
    pub(super) fn of(answer: Response) -> Events {
        Events { answer, text: Text::default(), ready: VecDeque::new() }
    }

    /// Returns the next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection broke, nothing came for a while, or this is no stream of events.
    pub(in crate::cli) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        while self.ready.is_empty() {
            let Some(bytes) = self.answer.chunk().await.context("the stream of events broke")?
            else {
                return Ok(None);
            };
            self.ready.extend(self.text.add(&bytes)?);
        }
        Ok(self.ready.pop_front())
    }
}

/// The text of a stream that has not been read as events.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    /// Adds bytes, and returns the events that end in them.
    fn add(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        self.0.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.0.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.0.drain(..end + 2).collect();
            events.extend(event_of(&String::from_utf8_lossy(&event))?);
        }
        ensure!(self.0.len() <= EVENT_BYTES, "an event is too long");
        Ok(events)
    }
}

/// Reads one event; none of a comment.
fn event_of(text: &str) -> anyhow::Result<Option<Event>> {
    let of = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let value = lines.find(|(key, _)| *key == name).map(|(_, value)| value)?;
        Some(value.strip_prefix(' ').unwrap_or(value))
    };
    let Some(data) = of("data") else { return Ok(None) };
    let data = serde_json::from_str(data).context("an event is no JSON")?;
    let (name, id) = (of("event").unwrap_or_default(), of("id").and_then(|id| id.parse().ok()));
    Ok(Some(Event { name: name.to_owned(), id, data }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_in_whatever_pieces_they_come() {
        let stream =
            b"event:state\ndata:{\"a\":1}\nid:5\nretry:1000\n\n:\n\nevent: rejects\ndata: [1]\n\n";
        for size in [1, 7, 100] {
            let mut text = Text::default();
            let events: Vec<Event> =
                stream.chunks(size).flat_map(|bytes| text.add(bytes).unwrap()).collect();
            let [state, rejects] = &events[..] else { panic!("{events:?}") };
            assert_eq!((&*state.name, state.id, &state.data), ("state", Some(5), &json!({"a": 1})));
            assert_eq!((&*rejects.name, rejects.id, &rejects.data), ("rejects", None, &json!([1])));
        }
        assert!(Text::default().add(b"data:{\n\n").is_err());
        assert!(Text::default().add(&[b'x'; EVENT_BYTES + 1]).is_err());
    }
}
