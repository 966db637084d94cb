//! `_extra`: the values without a column, as a JSON object keyed by JSON Pointer.
//!
//! Values are kept as ranges of the body while a row is read, and copied, as they stood, when the
//! row is complete. Entries stay in the order of the document, so that overlaying them on the
//! columns one after another gives the document of a parser that lets the last of equal keys win.
//!
//! One key is no pointer, as it has no slash: `_id`, which the bulk action before the document gave
//! it. It is no member of the document, which may have an `_id` of its own.

use std::io::Write;
use std::ops::Range;

use super::{cost, scan};

/// The key of the `_id` that an action gave its document. It is no pointer, since it has no slash.
pub(super) const ACTION_ID: &str = "_id";

/// The JSON Pointer of a member from its record on, as it stands in a JSON string.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointer(Box<[u8]>);

impl Pointer {
    /// Creates the pointer of the member at `path`.
    pub(super) fn new(path: &[String]) -> Pointer {
        let mut pointer = Vec::new();
        path.iter().for_each(|name| write_key(name.as_bytes(), &mut pointer));
        Pointer(pointer.into())
    }
}

/// The path of a value in a document: a chain from the value up to the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    /// The path that it continues and its last step; `None` at the root.
    pub(super) parent: Option<(&'a Path<'a>, PathStep<'a>)>,
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum PathStep<'a> {
    /// The member of a record with this pointer.
    Field(&'a Pointer),
    /// The element with this number, counted from 0.
    Index(usize),
}

impl<'a> Path<'a> {
    /// The path of the document itself.
    pub(super) const ROOT: Path<'static> = Path { parent: None };

    /// Returns the path one step further down.
    pub(super) fn to(&'a self, step: PathStep<'a>) -> Path<'a> {
        Path { parent: Some((self, step)) }
    }

    /// Writes the path as a JSON Pointer within a JSON string. Recurses as deep as the schema,
    /// never as deep as a document.
    fn write(&self, out: &mut Vec<u8>) {
        if let Some((parent, step)) = self.parent {
            parent.write(out);
            match step {
                PathStep::Field(pointer) => out.extend_from_slice(&pointer.0),
                PathStep::Index(index) => write_index(index, out),
            }
        }
    }
}

/// The last step to a value without a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum LastStep<'a> {
    /// The field with this name, decoded.
    Key(&'a [u8]),
    /// The member of a record with this pointer.
    Field(&'a Pointer),
    /// The element with this number, counted from 0.
    Index(usize),
}

/// A value without a column, or a slot reserved for one.
#[derive(Debug)]
struct ExtraEntry {
    /// Its pointer, in [`Extra::pointers`].
    pointer: Range<usize>,
    /// Its value, in the body.
    value: Range<usize>,
    /// True for an entry that is written; reserved and discarded entries are not.
    live: bool,
    /// The reserved entry whose alias this one repeats, if it does.
    repeats: Option<usize>,
}

/// The entries of the row that is being read.
#[derive(Debug, Default)]
pub(super) struct Extra {
    entries: Vec<ExtraEntry>,
    /// The pointers, each as `"pointer":`.
    pointers: Vec<u8>,
    /// The bytes of the pointers alone.
    pointer_bytes: usize,
}

/// The beginning, in [`Extra`], of the pointers of one record's members, once there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix(Option<Range<usize>>);

impl Extra {
    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.pointers.clear();
        self.pointer_bytes = 0;
    }

    /// Returns the number of entries, live or not.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the bytes that the entries and their pointers take, now and in the row.
    #[inline]
    pub(super) fn cost(&self) -> usize {
        self.entries.len() * cost::EXTRA_ENTRY_BYTES + self.pointer_bytes * 2
    }

    /// Appends the value at `value` of the body, which stands at `last` below `path`.
    pub(super) fn push(&mut self, path: &Path<'_>, last: LastStep<'_>, value: Range<usize>) {
        let pointer = self.pointer(path, last);
        self.entries.push(ExtraEntry { pointer, value, live: true, repeats: None });
    }

    /// Appends the value at `value` of the body `src`, whose name is at `key` of it, without escapes,
    /// in the record at `path`. `prefix` is that of the record.
    pub(super) fn push_member(
        &mut self,
        path: &Path<'_>,
        prefix: &mut Prefix,
        src: &[u8],
        key: Range<usize>,
        value: Range<usize>,
    ) {
        let start = self.open();
        match &prefix.0 {
            Some(known) => self.pointers.extend_from_within(known.clone()),
            None => {
                path.write(&mut self.pointers);
                prefix.0 = Some(start + 1..self.pointers.len());
            }
        }
        if scan::holds(src, key.clone(), b'~', b'/') {
            write_key(src.get(key).unwrap_or_default(), &mut self.pointers);
        } else {
            self.pointers.push(b'/');
            scan::append_text(src, key, &mut self.pointers);
        }
        let pointer = self.close(start);
        self.entries.push(ExtraEntry { pointer, value, live: true, repeats: None });
    }

    /// Appends the value at `value` of the body, which is no member of the document, under a name
    /// that is no pointer.
    pub(super) fn push_named(&mut self, name: &str, value: Range<usize>) {
        let start = self.open();
        self.pointers.extend_from_slice(name.as_bytes());
        let pointer = self.close(start);
        self.entries.push(ExtraEntry { pointer, value, live: true, repeats: None });
    }

    /// Reserves an entry for a value that is in a column and may have to leave it; returns its
    /// index.
    pub(super) fn reserve(&mut self) -> usize {
        self.entries.push(ExtraEntry { pointer: 0..0, value: 0..0, live: false, repeats: None });
        self.entries.len() - 1
    }

    /// Fills the reserved entry `entry`.
    pub(super) fn fill(
        &mut self,
        entry: usize,
        path: &Path<'_>,
        last: LastStep<'_>,
        value: Range<usize>,
    ) {
        let pointer = self.pointer(path, last);
        if let Some(entry) = self.entries.get_mut(entry) {
            *entry = ExtraEntry { pointer, value, live: true, repeats: None };
        }
    }

    /// Discards these entries: they lie within a value that left its column.
    pub(super) fn discard(&mut self, entries: Range<usize>) {
        for entry in self.entries.get_mut(entries).unwrap_or_default() {
            entry.live = false;
        }
    }

    /// Marks the last entry as one that repeats the alias of the reserved entry `first`.
    pub(super) fn mark_repeat(&mut self, first: usize) {
        if let Some(entry) = self.entries.last_mut() {
            entry.repeats = Some(first);
        }
    }

    /// Gives the entries that repeat the reserved entry `first` its pointer.
    pub(super) fn rename_repeats(&mut self, first: usize) {
        let Some(pointer) = self.entries.get(first).map(|entry| entry.pointer.clone()) else {
            return;
        };
        for entry in self.entries.iter_mut().skip(first).filter(|e| e.repeats == Some(first)) {
            entry.pointer = pointer.clone();
        }
    }

    /// Begins a pointer; returns its start.
    #[inline]
    fn open(&mut self) -> usize {
        self.pointers.push(b'"');
        self.pointers.len() - 1
    }

    /// Ends the pointer that begins at `start`.
    #[inline]
    fn close(&mut self, start: usize) -> Range<usize> {
        self.pointer_bytes += self.pointers.len() - start - 1;
        self.pointers.extend_from_slice(b"\":");
        start..self.pointers.len()
    }

    fn pointer(&mut self, path: &Path<'_>, last: LastStep<'_>) -> Range<usize> {
        let start = self.open();
        path.write(&mut self.pointers);
        match last {
            LastStep::Key(key) => write_key(key, &mut self.pointers),
            LastStep::Field(pointer) => self.pointers.extend_from_slice(&pointer.0),
            LastStep::Index(index) => write_index(index, &mut self.pointers),
        }
        self.close(start)
    }

    /// Appends the JSON object to `out` and returns true, if there is a live entry. `src` is the
    /// body.
    pub(super) fn write(&self, src: &[u8], out: &mut Vec<u8>) -> bool {
        let mut before = b'{';
        for entry in self.entries.iter().filter(|entry| entry.live) {
            out.push(before);
            scan::append_text(&self.pointers, entry.pointer.clone(), out);
            scan::append_text(src, entry.value.clone(), out);
            before = b',';
        }
        if before == b',' {
            out.push(b'}');
        }
        before == b','
    }
}

fn write_index(index: usize, out: &mut Vec<u8>) {
    out.push(b'/');
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
}

/// Writes `/` and the key, escaped once for JSON Pointer (RFC 6901) and once for JSON.
fn write_key(key: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    if !key.iter().any(|byte| matches!(byte, 0..0x20 | b'~' | b'/' | b'"' | b'\\')) {
        return out.extend_from_slice(key);
    }
    for byte in key {
        match byte {
            b'~' => out.extend(b"~0"),
            b'/' => out.extend(b"~1"),
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0..0x20 => {
                // Writing to a vector does not fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(*byte),
        }
    }
}
