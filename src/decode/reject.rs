//! Lines that are no rows: the defect of each, a code for programs, and a reason for people.

use std::fmt;

use bytes::Bytes;

use crate::record::{Seq, StoredRange};

/// A line that did not become a row, as it came; or several of one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The body it came in.
    pub seq: Seq,
    /// The number of lines that it counts for: of text that was not read, those that are not blank.
    pub lines: u64,
    /// The line that it begins on in the body or the imported file, counted from 1; of an array, its
    /// element.
    pub line: u64,
    /// The kind of its defect.
    pub code: RejectCode,
    /// The line that the last of them begins on.
    pub last_line: u64,
    /// Its defect, and the byte of `raw` (counted from 1) where it is.
    pub reason: String,
    /// Its bytes, without the line's end: a part of the body, not a copy.
    pub raw: Bytes,
    /// Its bytes where they are stored, if there are too many for `raw`, which is empty then.
    pub stored: Option<StoredRange>,
    /// The form of `raw`.
    pub form: RawForm,
}

/// The form of the bytes of a reject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawForm {
    /// As they stood in the body.
    #[default]
    Text,
    /// Those of several rejects, joined: `packed_lines`.
    Packed,
}

/// The kind of a line's defect. The set is closed, and a code keeps its text for ever: entries of
/// the quarantine have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectCode {
    /// JSON, or something else, but no object.
    NotObject,
    /// Begins as a JSON object and breaks the grammar of JSON.
    NotJson,
    /// Not UTF-8.
    NotUtf8,
    /// The line or the body ends within the document.
    Truncated,
    /// Characters follow the document or the array.
    Trailing,
    /// Nested too deeply.
    TooDeep,
    /// Does not fit into the batch.
    TooLarge,
    /// Takes far more memory as columns than as text.
    Amplification,
    /// Longer than the limit of lines and documents; not parsed.
    TooLong,
    /// A time of its partition is too far from when it was received, and the settings say quarantine.
    FarTime,
    /// A delete action, which an append-only table does not take.
    DeleteAction,
    /// An update action, which an append-only table does not take.
    UpdateAction,
    /// The document of an update action.
    UpdateDocument,
    /// No line, but a body that no roll could be made of, whole.
    SetAside,
    /// Not read: text of a body that has far too many rejects.
    NotRead,
}

impl RejectCode {
    /// All codes.
    pub const ALL: [RejectCode; 15] = [
        RejectCode::NotObject,
        RejectCode::NotJson,
        RejectCode::NotUtf8,
        RejectCode::Truncated,
        RejectCode::Trailing,
        RejectCode::TooDeep,
        RejectCode::TooLarge,
        RejectCode::Amplification,
        RejectCode::TooLong,
        RejectCode::FarTime,
        RejectCode::DeleteAction,
        RejectCode::UpdateAction,
        RejectCode::UpdateDocument,
        RejectCode::SetAside,
        RejectCode::NotRead,
    ];

    /// Returns the text that entries of the quarantine have.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectCode::NotObject => "not_object",
            RejectCode::NotJson => "not_json",
            RejectCode::NotUtf8 => "not_utf8",
            RejectCode::Truncated => "truncated",
            RejectCode::Trailing => "trailing",
            RejectCode::TooDeep => "too_deep",
            RejectCode::TooLarge => "too_large",
            RejectCode::Amplification => "amplification",
            RejectCode::TooLong => "too_long",
            RejectCode::FarTime => "far_time",
            RejectCode::DeleteAction => "delete_action",
            RejectCode::UpdateAction => "update_action",
            RejectCode::UpdateDocument => "update_document",
            RejectCode::SetAside => "set_aside",
            RejectCode::NotRead => "not_read",
        }
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A defect that keeps a line from becoming a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    NotObject,
    EndOfLine,
    EndOfBody,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Value,
    Number,
    Literal,
    Escape,
    Surrogate,
    Control,
    TooDeep,
    Trailing,
    AfterDocument,
    AfterArray,
    OpenArray,
    NotUtf8,
    BatchFull,
    Amplification,
    TooLong,
    FarTime,
    DeleteAction,
    UpdateAction,
    UpdateDocument,
    NotRead,
}

impl Defect {
    fn code(self) -> RejectCode {
        match self {
            Defect::NotObject => RejectCode::NotObject,
            Defect::EndOfLine | Defect::EndOfBody | Defect::OpenArray => RejectCode::Truncated,
            Defect::Key
            | Defect::Colon
            | Defect::CommaOrBrace
            | Defect::CommaOrBracket
            | Defect::Value
            | Defect::Number
            | Defect::Literal
            | Defect::Escape
            | Defect::Surrogate
            | Defect::Control => RejectCode::NotJson,
            Defect::TooDeep => RejectCode::TooDeep,
            Defect::Trailing | Defect::AfterDocument | Defect::AfterArray => RejectCode::Trailing,
            Defect::NotUtf8 => RejectCode::NotUtf8,
            Defect::BatchFull => RejectCode::TooLarge,
            Defect::Amplification => RejectCode::Amplification,
            Defect::TooLong => RejectCode::TooLong,
            Defect::FarTime => RejectCode::FarTime,
            Defect::DeleteAction => RejectCode::DeleteAction,
            Defect::UpdateAction => RejectCode::UpdateAction,
            Defect::UpdateDocument => RejectCode::UpdateDocument,
            Defect::NotRead => RejectCode::NotRead,
        }
    }
}

/// A defect, and the byte of the body (counted from 0) where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) defect: Defect,
    pub(super) at: usize,
}

impl Fault {
    /// Returns the code that programs go by.
    pub(super) fn code(self) -> RejectCode {
        self.defect.code()
    }

    /// Returns the reason for people, with the byte counted from `start`, where the kept bytes begin.
    pub(super) fn reason(self, start: usize) -> String {
        let byte = self.at.saturating_sub(start).saturating_add(1);
        let (text, hint) = match self.defect {
            Defect::NotObject => ("not a JSON object", ""),
            Defect::EndOfLine => ("unexpected end of the line", ""),
            Defect::EndOfBody => ("unexpected end of the body", ""),
            Defect::Key => ("expected a field name in quotes", ""),
            Defect::Colon => ("expected ':' after the field name", ""),
            Defect::CommaOrBrace => ("expected ',' or '}'", ""),
            Defect::CommaOrBracket => ("expected ',' or ']'", ""),
            Defect::Value => ("expected a value", ""),
            Defect::Number => ("malformed number", ""),
            Defect::Literal => ("expected true, false or null", ""),
            Defect::Escape => ("unknown escape in a string", ""),
            Defect::Surrogate => ("lone surrogate escape", ""),
            Defect::Control => ("control character in a string", ""),
            Defect::TooDeep => ("nested deeper than 128 levels", ""),
            Defect::Trailing => (
                "trailing characters after the document",
                " (two documents in one line? send it with --data-binary)",
            ),
            Defect::AfterDocument => ("trailing characters after the document", ""),
            Defect::AfterArray => ("trailing characters after the array", ""),
            Defect::OpenArray => ("the array is not closed: unexpected end of the body", ""),
            Defect::NotUtf8 => ("not UTF-8", ""),
            Defect::BatchFull => ("no room: the batch holds 2 GiB in one column", ""),
            Defect::Amplification => (
                "too many elements and fields without a column for so short a document",
                " (as columns they would take hundreds of times its bytes)",
            ),
            Defect::TooLong => ("longer than line_limit", ""),
            Defect::FarTime => {
                return "its time is further from when it was received than time_window; `sessionlake \
                        import` takes any time"
                    .into();
            }
            Defect::DeleteAction => {
                return "a delete action: an append-only table takes index and create".into();
            }
            Defect::UpdateAction => {
                return "an update action: an append-only table takes index and create".into();
            }
            Defect::UpdateDocument => {
                return "the document of an update action, which is not taken".into();
            }
            Defect::NotRead => {
                return "not read: almost everything before it in the body was no document".into();
            }
        };
        format!("{text} at byte {byte}{hint}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::sync::Arc;

    use super::*;
    use crate::decode::Decoder;
    use crate::record::{Body, Form, Micros};
    use crate::schema::TableSchema;

    fn codes(form: Form, lines: &[u8]) -> Vec<&'static str> {
        let schema = r#"{"type":"record","name":"t","fields":[
            {"name":"id","type":["null","string"],"default":null}]}"#;
        let mut decoder = Decoder::new(Arc::new(TableSchema::parse(schema).unwrap()), "n".into());
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(0),
            table: "t".into(),
            form,
            first_line: 1,
            bytes: Bytes::copy_from_slice(lines),
            stored: None,
        });
        decoder.finish().rejects.iter().map(|reject| reject.code.as_str()).collect()
    }

    #[test]
    fn each_defect_has_its_code() {
        let deep = [&b"{\"a\":"[..], &[b'['; 200]].concat();
        for (line, code) in [
            (&b"17"[..], "not_object"),
            (b"\"a text\"", "not_object"),
            (b"{broken", "not_json"),
            (b"{\"id\" 1}", "not_json"),
            (b"{\"id\":01}", "not_json"),
            (b"{\"id\":\"\\q\"}", "not_json"),
            (b"{\"id\":\"\xff\"}", "not_utf8"),
            (b"{\"id\":1", "truncated"),
            (b"{} x", "trailing"),
            (&deep, "too_deep"),
        ] {
            assert_eq!(codes(Form::Ndjson, line), [code], "{}", String::from_utf8_lossy(line));
        }
        let bulk = b"{\"delete\":{}}\n{\"update\":{}}\n{\"doc\":{}}\n";
        let expected = ["delete_action", "update_action", "update_document"];
        assert_eq!(codes(Form::Elasticsearch, bulk), expected);
    }

    #[test]
    fn codes_have_distinct_texts() {
        let texts: BTreeSet<&str> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), RejectCode::ALL.len());
        for text in texts {
            assert!(
                text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'8'))
            );
        }
    }
}
