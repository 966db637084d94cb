//! The quarantine: files of lines that are no rows, their entries, and the lines as they came.
//!
//! A file is NDJSON, an entry a line: `{"code":"…","reason":"…","seq":7,"line":3,"raw":"…"}`. Entries
//! of builds up to 0.1.0 have no code. An entry may be of several lines of a body, and has their number in
//! `lines` then; counts are of lines.
//!
//! | `raw` | the bytes |
//! |---|---|
//! | `"…"` | a text; with several `lines`, that many that are not blank |
//! | `{"base64":"…"}` | as above, when they are no text |
//! | `{"zstd":"…"}` | as above, compressed, in base64 |
//! | `["…","…"]` | several lines |
//! | `{"packed":"…"}` | several lines, each its length as LEB128 and its bytes, in base64 |
//! | `"{\"sealed\":\"…\",\"form\":\"…\"}"` | what the key opens; `form` is `zstd`, `packed`, or left out |

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};

use super::names::{self, ObjectName};
use super::{Lake, StoreError};
use crate::error_text::shown;
use crate::json::number;
use crate::packed_lines;

/// The most bytes of an entry, decompressed: more than any body has.
const MOST_RAW_BYTES: u64 = 1 << 30;
/// The bytes at the beginning of an entry that are looked at for its number of lines.
const HEAD_BYTES: usize = 4 << 10;

/// One file of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineFile {
    /// Its name, relative to the lake.
    pub path: String,
    /// The table that its lines were sent to.
    pub table: String,
    /// The node that received them.
    pub node: String,
    /// The roll that they were part of.
    pub roll: u64,
    /// Its size.
    pub bytes: u64,
}

/// A line in quarantine, or several of one body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// The kind of the line's defect: one of the decoder's codes, or one of a later version. `None`
    /// in entries that were written before there were codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason for people.
    pub reason: String,
    /// The body it came in.
    #[serde(deserialize_with = "number")]
    pub seq: u64,
    /// Its number in the body, counted from 1; of several, the first one's.
    #[serde(deserialize_with = "number")]
    pub line: u64,
    /// Of several lines, the last one's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<u64>,
    /// The number of its lines.
    #[serde(default = "one", deserialize_with = "number", skip_serializing_if = "is_one")]
    pub lines: u64,
    /// The bytes, in one of the forms of the module's documentation.
    pub raw: serde_json::Value,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(lines: &u64) -> bool {
    *lines == 1
}

/// Code of a body that was set aside whole.
const SET_ASIDE: &str = "set_aside";
/// Code of an update's document. By itself such a line passes for a document.
const UPDATE_DOCUMENT: &str = "update_document";
/// The beginning of the reason of an update's document, in entries that have no code.
const UPDATE_DOCUMENT_REASON: &str = "the document of an update action";

impl QuarantineEntry {
    /// Tells whether the line belongs to an update action, which is an entry of its own.
    #[must_use]
    pub fn is_of_update(&self) -> bool {
        match &self.code {
            Some(code) => code == UPDATE_DOCUMENT,
            None => self.reason.starts_with(UPDATE_DOCUMENT_REASON),
        }
    }

    /// Tells whether it is a whole body, of which no roll could be made.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.code.as_deref() == Some(SET_ASIDE)
    }

    /// Returns what came, as it came: the line; of joined lines, each of them; of text that was not read,
    /// all of it, and so of a body that was set
    /// aside. Returns `None` when `raw` has no form that this version knows, or is broken.
    ///
    /// A sealed line is given as the text that it is kept as.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<Bytes>> {
        let decoded = |text: &serde_json::Value| STANDARD.decode(text.as_str()?).ok();
        match &self.raw {
            serde_json::Value::String(text) => Some(vec![Bytes::copy_from_slice(text.as_bytes())]),
            serde_json::Value::Array(texts) => {
                texts.iter().map(|text| Some(text.as_str()?.to_owned().into())).collect()
            }
            serde_json::Value::Object(raw) => match raw.iter().next()? {
                (form, text) if form == "base64" => texts_of(decoded(text)?, None),
                (form, text) => texts_of(decoded(text)?, Some(form)),
            },
            _ => None,
        }
    }

    /// Returns each of its lines out of `texts`, which are what came ([`QuarantineEntry::texts`]): as many
    /// as it says, or `None`.
    #[must_use]
    pub fn lines_of(&self, texts: Vec<Bytes>) -> Option<Vec<Bytes>> {
        let lines = match (texts.as_slice(), self.lines) {
            (_, 1) => texts,
            ([text], _) => {
                let blank = |line: &&[u8]| line.trim_ascii().is_empty();
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !blank(line));
                lines.map(|line| text.slice_ref(line)).collect()
            }
            _ => texts,
        };
        (lines.len() as u64 == self.lines).then_some(lines)
    }

    /// Replaces `raw` by what came, in the clear and not compressed: a text or a list of texts, with
    /// `{"base64": …}` for what is none.
    pub fn show(&mut self, texts: &[Bytes]) {
        let shown = |text: &Bytes| match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({ "base64": STANDARD.encode(text) }),
        };
        self.raw = match texts {
            [text] => shown(text),
            texts => texts.iter().map(shown).collect(),
        };
    }
}

/// Returns what came out of `raw`, which has this form: `zstd`, `packed`, or `None` for one text. `None` for
/// another form, or anything broken.
#[must_use]
pub fn texts_of(raw: Vec<u8>, form: Option<&str>) -> Option<Vec<Bytes>> {
    match form {
        None => Some(vec![raw.into()]),
        Some("zstd") => {
            let decoder = zstd::stream::read::Decoder::new(&*raw).ok()?;
            let mut text = Vec::new();
            decoder.take(MOST_RAW_BYTES + 1).read_to_end(&mut text).ok()?;
            (text.len() as u64 <= MOST_RAW_BYTES).then(|| vec![text.into()])
        }
        Some("packed") => packed_lines::unpack(&raw.into()),
        Some(_) => None,
    }
}

/// Counts of lines by code and by reason.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quarantined {
    /// Number of lines of each code; those without one are in no count.
    pub codes: BTreeMap<String, u64>,
    /// Number of lines of each reason.
    pub reasons: BTreeMap<String, u64>,
    /// Number of lines.
    pub entries: u64,
}

impl Quarantined {
    /// Counts the lines of an entry.
    pub fn add(&mut self, entry: &QuarantineEntry) {
        let add = |count: &mut u64| *count = count.saturating_add(entry.lines);
        if let Some(code) = &entry.code {
            add(self.codes.entry(code.clone()).or_default());
        }
        add(self.reasons.entry(entry.reason.clone()).or_default());
        add(&mut self.entries);
    }
}

/// A quarantine file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The store would not read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// A line of the file is no entry.
    #[error("line {line} is no entry: {}", shown(&source.to_string()))]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
}

impl Lake {
    /// Lists the files of the quarantine by name; those of one table if `table` is given.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn quarantine(&self, table: Option<&str>) -> Result<Vec<QuarantineFile>, StoreError> {
        let listed = self.list(names::QUARANTINE).await?;
        let mut found: Vec<QuarantineFile> = listed
            .into_iter()
            .filter_map(|object| match ObjectName::parse(&object.name) {
                ObjectName::Quarantine { table: of, node, roll }
                    if table.is_none_or(|table| table == of) =>
                {
                    Some(QuarantineFile {
                        table: of.to_owned(),
                        node: node.to_owned(),
                        roll: roll.0,
                        bytes: object.bytes,
                        path: object.name,
                    })
                }
                _ => None,
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Returns the entries of the quarantine file `path`. Reads it whole.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub async fn quarantine_entries(
        &self,
        path: &str,
    ) -> Result<Vec<QuarantineEntry>, QuarantineError> {
        let bytes = self.get(path).await?.ok_or(QuarantineError::Missing)?;
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| {
                serde_json::from_slice(line)
                    .map_err(|source| QuarantineError::Malformed { line: at + 1, source })
            })
            .collect()
    }

    /// Returns the number of lines that the entries of the quarantine file `path` have, or `None` when
    /// there is no such file. Holds a part of the file at a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn quarantine_count(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let mut bytes = match self.store.get(&self.path(path)?).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(|e| self.failed(e))?.into_stream(),
        };
        let mut count = LineCount::default();
        while let Some(some) = bytes.try_next().await.map_err(|e| self.failed(e))? {
            count.read(&some);
        }
        Ok(Some(count.lines))
    }
}

/// Counts lines of entries, whose file is read part by part.
#[derive(Default)]
struct LineCount {
    lines: u64,
    /// The beginning of the entry that is being read.
    head: Vec<u8>,
}

impl LineCount {
    fn read(&mut self, part: &[u8]) {
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', part) {
            self.begin(part.get(at..end).unwrap_or_default());
            self.lines = self.lines.saturating_add(lines_of_head(&self.head));
            self.head.clear();
            at = end + 1;
        }
        self.begin(part.get(at..).unwrap_or_default());
    }

    fn begin(&mut self, some: &[u8]) {
        let kept = some.len().min(HEAD_BYTES - self.head.len().min(HEAD_BYTES));
        self.head.extend_from_slice(some.get(..kept).unwrap_or_default());
    }
}

/// Returns the number of lines of the entry that begins with `head`: it stands before `raw`, which is
/// last, if it is not 1.
fn lines_of_head(head: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default = "one")]
        lines: u64,
    }
    // In a text its quotes would be escaped.
    let Some(end) = memchr::memmem::find(head, b",\"raw\":") else { return 1 };
    let mut head = head.get(..end).unwrap_or_default().to_vec();
    head.push(b'}');
    serde_json::from_slice(&head).map_or(1, |Head { lines }| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_what_entries_say_of_them_however_the_file_is_read() {
        let long = "x".repeat(3 * HEAD_BYTES);
        let file = format!(
            "{{\"reason\":\"r\",\"seq\":1,\"line\":2,\"raw\":\"lines\"}}\n\
             {{\"code\":\"c\",\"reason\":\"r\",\"seq\":1,\"line\":3,\"last_line\":9,\"lines\":5,\"raw\":[\"a\"]}}\n\
             {{\"code\":\"c\",\"reason\":\",\\\"raw\\\":\",\"seq\":1,\"line\":3,\"lines\":7,\"raw\":\"{long}\"}}\n\
             {{\"code\":\"c\",\"reason\":\"r\",\"seq\":1,\"line\":3,\"raw\":\",\\\"lines\\\":9\"}}\n"
        );
        for size in [1, 7, 1000, file.len()] {
            let mut count = LineCount::default();
            file.as_bytes().chunks(size).for_each(|part| count.read(part));
            assert_eq!(count.lines, 1 + 5 + 7 + 1, "{size}");
        }
    }

    #[test]
    fn text_that_was_not_read_has_as_many_lines_as_it_says() {
        let entry: QuarantineEntry = serde_json::from_str(
            r#"{"code":"not_read","reason":"r","seq":1,"line":3,"last_line":6,"lines":2,"raw":"a\n \r\n\nb"}"#,
        )
        .unwrap();
        let texts = entry.texts().unwrap();
        assert_eq!(texts, ["a\n \r\n\nb"]);
        assert_eq!(entry.lines_of(texts.clone()).unwrap(), ["a", "b"]);
        assert_eq!(QuarantineEntry { lines: 3, ..entry }.lines_of(texts), None);
    }

    #[test]
    fn forms_of_later_versions_and_broken_ones_are_none() {
        for raw in
            [r#"{"zip":"AAAA"}"#, r#"{"zstd":"AAAA"}"#, r#"{"base64":"?"}"#, "[1]", "{}", "null"]
        {
            let entry = format!(r#"{{"reason":"r","seq":1,"line":3,"raw":{raw}}}"#);
            let entry: QuarantineEntry = serde_json::from_str(&entry).unwrap();
            assert_eq!(entry.texts(), None, "{raw}");
        }
    }
}
