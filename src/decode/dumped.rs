//! Lines of a dump of an Elasticsearch index: `{"_index":"i","_id":"1","_source":{…}}`.
//!
//! Dump tools write the hits of a search, one a line. The document is in `_source`; everything else is
//! about the index, like the metadata of a bulk action.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::BodyReader;
use super::parser::Parsed;
use crate::table::Revision;

/// A hit, as far as it matters. A member that is there twice makes it none.
#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(borrow, rename = "_index")]
    _index: std::borrow::Cow<'a, str>,
    #[serde(borrow, rename = "_id", default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "_source")]
    source: &'a RawValue,
}

/// The parts of a dumped line, as ranges of the body.
pub(super) struct Dumped {
    /// The document.
    pub(super) source: Range<usize>,
    /// Its `_id`, if that is a string.
    pub(super) id: Option<Range<usize>>,
}

impl BodyReader<'_> {
    /// Returns the parts of the line at `at`, whose first byte that is not blank is at `start`, if it
    /// is a dumped one.
    pub(super) fn dumped_line(&self, at: usize, start: usize) -> Option<Dumped> {
        if !self.may_be_dumped(start) {
            return None;
        }
        let (kept, _) = self.line_end(at);
        self.dumped(start, kept)
    }

    /// Returns whether the object at `start` begins with `_index`. Where the table has a column of that
    /// name or `_source`, none does.
    pub(super) fn may_be_dumped(&self, start: usize) -> bool {
        let object = self.rest(start).strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        if !object.is_some_and(|object| object.starts_with(b"\"_index\""))
            || self.rows.revision < Revision::Second
        {
            return false;
        }
        let names = &self.rows.root.reader.names;
        names.find(b"_index").is_none() && names.find(b"_source").is_none()
    }

    /// Returns the parts of the object from `start` up to `end`, which begins with `_index`, if that is a
    /// string and it has an object `_source`.
    pub(super) fn dumped(&self, start: usize, end: usize) -> Option<Dumped> {
        let line = self.parser.src.get(start..end)?;
        let hit: Hit<'_> = serde_json::from_slice(line).ok()?;
        // Wherever the same text stands first, it says the same.
        let range = |raw: &RawValue| {
            let found = memchr::memmem::find(line, raw.get().as_bytes())?;
            Some(start + found..start + found + raw.get().len())
        };
        let source = range(hit.source).filter(|_| hit.source.get().starts_with('{'))?;
        let id = hit.id.filter(|id| id.get().starts_with('"')).and_then(range);
        Some(Dumped { source, id })
    }

    /// Reads the document of a dumped line into a row or a reject of the whole line, which begins at
    /// `at`. Returns the beginning of the next line.
    pub(super) fn dumped_document(&mut self, dumped: Dumped, at: usize, line: u64) -> usize {
        let start = dumped.source.start;
        if self.source(&dumped.source).is_ok() && self.complete_with_id(dumped.id, start, line) {
            return self.line_end(at).1 + 1;
        }
        self.reject_line(at, line, self.parser.fault)
    }

    pub(super) fn source(&mut self, source: &Range<usize>) -> Parsed<usize> {
        if !self.progress.utf8 {
            self.check_utf8(source.start, source.end)?;
        }
        self.parser.document(&mut self.rows.root, self.rows.count, source.start)
    }
}
