//! Bulks of sessions, ended where the exporter ends them.
//!
//! ```text
//!  a bulk is full at 1000 sessions, or once it is longer than 896,000 bytes;
//!  one that is not full goes when no session has finished for the flush time
//!
//!  plain          {document}⏎{document}⏎…
//!  Elasticsearch  { "index" : { "_index" : …, "_type" : …, "_id" : … } }⏎{document}⏎…
//! ```

use bytes::Bytes;

use super::faults::BulkFaults;
use super::generate::{Generator, Id};

/// Sessions at which a bulk is full.
pub const BULK_SESSIONS: usize = 1_000;
/// Bytes beyond which a bulk is full.
pub const BULK_BYTES: usize = 896_000;

/// The layout of documents in a bulk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One document a line.
    Plain,
    /// An action line before each document.
    Elasticsearch {
        /// Name of the index.
        index: String,
        /// Type of the documents.
        kind: String,
    },
}

impl Layout {
    /// Appends the action line before the document `id`, with its line feed, to `out`; nothing in
    /// the plain layout.
    pub fn action(&self, id: &str, out: &mut Vec<u8>) {
        let Layout::Elasticsearch { index, kind } = self else { return };
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (index, kind, id) = (quoted(index), quoted(kind), quoted(id));
        out.extend_from_slice(b"{ \"index\" : { \"_index\" : ");
        out.extend_from_slice(index.as_bytes());
        out.extend_from_slice(b", \"_type\" : ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b", \"_id\" : ");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b" } }\n");
    }
}

/// One bulk, ready to be sent. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bulk {
    /// The bulk's number, counted from 0.
    pub(crate) number: u64,
    pub(crate) body: Bytes,
    /// The sessions in it, in order. Broken lines are none.
    pub(crate) ids: Vec<Id>,
    pub(crate) faults: BulkFaults,
}

/// Collects sessions into bulks.
pub(crate) struct Batcher {
    layout: Layout,
    body: Vec<u8>,
    document: Vec<u8>,
    ids: Vec<Id>,
    number: u64,
}

impl Batcher {
    pub(crate) fn new(layout: Layout) -> Batcher {
        Batcher { layout, body: Vec::new(), document: Vec::new(), ids: Vec::new(), number: 0 }
    }

    /// Adds the next session. Returns its bytes.
    pub(crate) fn add(&mut self, generator: &mut Generator) -> usize {
        let before = self.body.len();
        if self.body.capacity() == 0 {
            self.body.reserve(BULK_BYTES + BULK_BYTES / 4);
        }
        match self.layout {
            Layout::Plain => self.ids.push(generator.next(&mut self.body)),
            Layout::Elasticsearch { .. } => {
                self.document.clear();
                let id = generator.next(&mut self.document);
                self.layout.action(&id.0, &mut self.body);
                self.body.extend_from_slice(&self.document);
                self.ids.push(id);
            }
        }
        self.body.len() - before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() >= BULK_SESSIONS || self.body.len() > BULK_BYTES
    }

    /// Returns the bulk so far, and begins the next one. `faults` says whether a line of it is to be broken.
    pub(crate) fn cut(&mut self, faults: BulkFaults) -> Bulk {
        let mut body = std::mem::take(&mut self.body);
        if faults.broken {
            self.layout.action("broken", &mut body);
            body.extend_from_slice(super::faults::broken_line(self.number));
        }
        let number = self.number;
        self.number += 1;
        Bulk { number, body: body.into(), ids: std::mem::take(&mut self.ids), faults }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{Format, Shape};
    use super::*;

    fn generator(format: Format) -> Generator {
        Generator::new(Shape {
            seed: 1,
            format,
            drift_ppm: 0,
            tenants: 1,
            from_ms: 0,
            period_ms: 86_400_000,
            sessions: 10_000,
        })
    }

    fn fill(batcher: &mut Batcher, generator: &mut Generator) -> Bulk {
        while !batcher.is_full() {
            batcher.add(generator);
        }
        batcher.cut(BulkFaults::default())
    }

    #[test]
    fn bulks_are_cut_at_a_thousand_sessions_or_beyond_896000_bytes() {
        let small = fill(&mut Batcher::new(Layout::Plain), &mut generator(Format::Oldest));
        assert_eq!(small.ids.len(), 1_000);
        assert!(small.body.len() < BULK_BYTES);
        let large = fill(&mut Batcher::new(Layout::Plain), &mut generator(Format::Current));
        assert!(large.ids.len() < 1_000 && large.body.len() > BULK_BYTES);
        let last = large.body[..large.body.len() - 1].iter().rposition(|byte| *byte == b'\n');
        assert!(last.is_some_and(|end| end < BULK_BYTES), "no session more than it takes");
    }

    #[test]
    fn action_lines_are_the_documented_ones() {
        let layout = Layout::Elasticsearch { index: "my-index".into(), kind: "_doc".into() };
        let mut line = Vec::new();
        layout.action("umsaywsjuo-744377345-1622107543233", &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{ \"index\" : { \"_index\" : \"my-index\", \"_type\" : \"_doc\", \"_id\" : \
             \"umsaywsjuo-744377345-1622107543233\" } }\n"
        );
        let mut batcher = Batcher::new(layout);
        let bulk = fill(&mut batcher, &mut generator(Format::Current));
        let lines = bulk.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(lines.len(), 2 * bulk.ids.len());
        assert_eq!(lines[0]["index"]["_id"], bulk.ids[0].0.as_str());
        assert!(lines[1]["applicationType"].is_string());
    }

    #[test]
    fn a_broken_line_is_no_session() {
        let mut batcher = Batcher::new(Layout::Plain);
        batcher.add(&mut generator(Format::Oldest));
        let bulk = batcher.cut(BulkFaults { broken: true, ..BulkFaults::default() });
        assert_eq!(bulk.ids.len(), 1);
        assert_eq!(bulk.body.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
