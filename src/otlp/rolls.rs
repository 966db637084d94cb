//! A trace for each roll: from its first body to its commit, with the stages that `/metrics` times.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::messages::{Attributes, Kind, Span, int, text};
use super::spans::{SpanQueue, random};
use crate::record::{Micros, Roll};
use crate::status::{Observer, RollEvent};

/// Rolls that are remembered at a time. There are as many under way as the engine is ahead of the publisher.
const MOST_ROLLS: usize = 64;

/// Makes the spans of rolls of their events.
#[derive(Debug)]
pub(super) struct RollSpans {
    queue: SpanQueue,
    node: Arc<OnceLock<String>>,
    // Held for a look at a small map.
    rolls: Mutex<BTreeMap<Roll, Open>>,
}

/// A roll under way.
#[derive(Debug, Default)]
struct Open {
    begin: Option<Micros>,
    attributes: Attributes,
    stages: Vec<(&'static str, Micros, Micros)>,
    retries: u64,
}

impl RollSpans {
    pub(super) fn new(queue: SpanQueue, node: Arc<OnceLock<String>>) -> RollSpans {
        RollSpans { queue, node, rolls: Mutex::default() }
    }

    fn with(&self, roll: Roll, at: Micros, change: impl FnOnce(&mut Open)) {
        let mut rolls = self.rolls.lock();
        if rolls.len() >= MOST_ROLLS && !rolls.contains_key(&roll) {
            rolls.pop_first();
        }
        let open = rolls.entry(roll).or_default();
        open.begin.get_or_insert(at);
        change(open);
    }

    /// Puts the spans of a roll that is over.
    fn put(&self, roll: Roll, open: Open, end: Micros, error: Option<&'static str>) {
        let Some((trace, root)) = random().zip(random()) else { return };
        let starts = open.stages.iter().map(|(_, begin, _)| *begin).chain(open.begin);
        let begin = starts.min().unwrap_or(end);
        for (stage, begin, end) in open.stages {
            let Some(span) = random() else { return };
            self.queue.put(Span {
                trace,
                span,
                parent: Some(root),
                name: stage.into(),
                kind: Kind::Internal,
                begin,
                end,
                attributes: vec![int("sessionlake.roll", roll.0)],
                error: None,
            });
        }
        let mut attributes = vec![int("sessionlake.roll", roll.0)];
        attributes.extend(self.node.get().map(|node| text("sessionlake.node", node.clone())));
        attributes.extend(open.attributes);
        attributes.push(int("sessionlake.roll.retries", open.retries));
        self.queue.put(Span {
            trace,
            span: root,
            parent: None,
            name: "roll".into(),
            kind: Kind::Internal,
            begin,
            end,
            attributes,
            error,
        });
    }
}

impl Observer for RollSpans {
    fn observe(&self, at: Micros, event: &RollEvent) {
        match event {
            RollEvent::Opened { roll } => self.with(*roll, at, |_| ()),
            RollEvent::Redone { roll, .. } => self.with(*roll, at, |open| {
                open.attributes.push(text("sessionlake.roll.cause", "redone"));
            }),
            RollEvent::Finished { roll, reason, lines, .. } => self.with(*roll, at, |open| {
                let cause = "sessionlake.roll.cause";
                if open.attributes.iter().all(|(key, _)| key != cause) {
                    open.attributes.push(text(cause, *reason));
                }
                open.attributes.push(int("sessionlake.roll.lines", *lines));
            }),
            RollEvent::Stage { roll, stage, took } => self.with(*roll, at, |open| {
                let us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
                open.stages.push((stage, Micros(at.0.saturating_sub(us)), at));
            }),
            RollEvent::Retrying { roll, .. } => self.with(*roll, at, |open| open.retries += 1),
            RollEvent::Committed { roll, rows, rejects, doubled, files, bytes } => {
                let Some(mut open) = self.rolls.lock().remove(roll) else { return };
                open.attributes.extend([
                    int("sessionlake.roll.rows", *rows),
                    int("sessionlake.roll.rejects", *rejects),
                    int("sessionlake.roll.doubled", *doubled),
                    int("sessionlake.roll.files", *files as u64),
                    int("sessionlake.roll.bytes", *bytes),
                ]);
                self.put(*roll, open, at, None);
            }
            RollEvent::EngineFailed { .. } | RollEvent::EngineStopped { .. } => {
                // Their texts may name objects, and with them values of partitions.
                let rolls = std::mem::take(&mut *self.rolls.lock());
                for (roll, open) in rolls {
                    self.put(roll, open, at, Some("landing failed; the log says why"));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::otlp::messages::Value;

    fn of(events: &[(i64, RollEvent)]) -> Vec<Span> {
        let (queue, mut received) = SpanQueue::new(100);
        let spans = RollSpans::new(queue, Arc::new(OnceLock::from("n1".to_owned())));
        events.iter().for_each(|(at, event)| spans.observe(Micros(*at), event));
        std::iter::from_fn(|| received.try_recv().ok()).collect()
    }

    #[test]
    fn a_roll_is_a_trace_of_its_stages() {
        let roll = Roll(7);
        let stage = |stage, us| RollEvent::Stage { roll, stage, took: Duration::from_micros(us) };
        let range =
            crate::record::SeqRange { first: crate::record::Seq(1), last: crate::record::Seq(2) };
        let (rows, rejects, files, bytes) = (9, 1, 2, 512);
        let spans = of(&[
            (100, RollEvent::Opened { roll }),
            (500, stage("encode", 50)),
            (
                501,
                RollEvent::Finished {
                    roll,
                    range,
                    reason: "age",
                    lines: 10,
                    rows,
                    rejects,
                    files,
                    bytes,
                },
            ),
            (900, stage("upload", 300)),
            (950, stage("commit", 40)),
            (960, RollEvent::Committed { roll, rows, rejects, doubled: 0, files, bytes }),
        ]);
        let shown: Vec<_> =
            spans.iter().map(|s| (&*s.name, s.begin.0, s.end.0, s.parent.is_some())).collect();
        let expected = [
            ("encode", 450, 500, true),
            ("upload", 600, 900, true),
            ("commit", 910, 950, true),
            ("roll", 100, 960, false),
        ];
        assert_eq!(shown, expected);
        let root = &spans[3];
        assert!(spans[..3].iter().all(|s| s.parent == Some(root.span) && s.trace == root.trace));
        let value = |key: &str| root.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v);
        assert_eq!(value("sessionlake.roll.cause"), Some(&Value::Text("age".into())));
        assert_eq!(value("sessionlake.roll.rows"), Some(&Value::Int(9)));
        assert_eq!(value("sessionlake.node"), Some(&Value::Text("n1".into())));
        assert_eq!(root.error, None);
    }

    #[test]
    fn a_failure_ends_rolls_without_its_text() {
        let events = [
            (5, RollEvent::Opened { roll: Roll(1) }),
            (9, RollEvent::EngineFailed { error: "tenant=SECRET".into(), pause: Duration::ZERO }),
            (10, RollEvent::Opened { roll: Roll(1) }),
        ];
        let [span] = &of(&events)[..] else { panic!("one span") };
        assert!(span.error.is_some() && !format!("{span:?}").contains("SECRET"));
    }

    #[test]
    fn rolls_that_never_end_are_forgotten() {
        let (queue, _received) = SpanQueue::new(1);
        let spans = RollSpans::new(queue, Arc::default());
        for roll in 0..1000 {
            spans.observe(Micros(0), &RollEvent::Opened { roll: Roll(roll) });
        }
        assert_eq!(spans.rolls.lock().len(), MOST_ROLLS);
    }
}
