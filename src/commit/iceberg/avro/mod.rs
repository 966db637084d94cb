//! Avro: the encoding of values, and object container files, as far as manifests need them.
//!
//! ```text
//!  "Obj" 01   metadata (map: avro.schema, avro.codec, the table format's keys)   sync (16 bytes)
//!  rows   length   bytes of the rows                                            sync
//!  …
//! ```
//! Written files are not compressed, have one block, and are the same bytes for the same rows: the sync
//! marker is a hash of them. Files of other writers are read by the schema that they carry, with the
//! codecs null, deflate and zstandard. Fields are found by their `field-id`, as the table format wants
//! it: names of fields changed over time.
//!
//! A file is other people's input. It is read whole or refused: every length is held against the bytes
//! that are left, each item has to have some, and a file that inflates past [`MOST_BYTES`] is refused.
//!
//! Format: <https://avro.apache.org/docs/1.12.0/specification/>.

#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value as Json;

use self::value::{Input, Type, unreadable};
pub(super) use self::value::{Unreadable, Value};
use crate::varint;

/// Most bytes of a file, inflated.
pub(super) const MOST_BYTES: usize = 256 << 20;
const MAGIC: &[u8; 4] = b"Obj\x01";
const SYNC_BYTES: usize = 16;

/// The encoding of values, one after another.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// Appends a `long` or an `int`, which are encoded alike.
    pub(super) fn long(&mut self, value: i64) {
        varint::put_signed(&mut self.0, value);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Appends what was encoded before.
    pub(super) fn encoded(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns what was encoded so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends a value of a union of null and another type, in this order.
    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Encoder, T)) {
        self.long(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Appends an array, or a map whose items write their keys first.
    pub(super) fn items<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Encoder, T),
    ) {
        if items.len() > 0 {
            self.length(items.len());
            items.for_each(|item| write(self, item));
        }
        self.long(0);
    }

    /// Lengths of what is in memory fit.
    fn length(&mut self, length: usize) {
        self.long(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

/// Returns the file with `rows` rows, of the record type that `schema` describes.
pub(super) fn container(
    schema: &str,
    metadata: &[(&str, String)],
    rows: usize,
    body: &Encoder,
) -> Vec<u8> {
    let sync = xxhash_rust::xxh3::xxh3_128(&body.0).to_le_bytes();
    let mut file = Encoder(MAGIC.to_vec());
    let own = [("avro.schema", schema), ("avro.codec", "null")];
    let all: Vec<(&str, &str)> =
        own.into_iter().chain(metadata.iter().map(|(key, value)| (*key, &**value))).collect();
    file.items(all.into_iter(), |file, (key, value)| {
        file.text(key);
        file.text(value);
    });
    file.0.extend_from_slice(&sync);
    if rows > 0 {
        file.length(rows);
        file.bytes(&body.0);
        file.0.extend_from_slice(&sync);
    }
    file.0
}

/// The metadata of a file.
pub(super) type Metadata = BTreeMap<String, Vec<u8>>;

/// Reads the rows of a file.
///
/// # Errors
/// [`Unreadable`]: it is cut, is no such file, or has a type or codec that this version does not read.
pub(super) fn read(file: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let mut rows = Vec::new();
    read_each(file, |row, _| rows.push(row))?;
    Ok(rows)
}

/// Reads a file, hands each row with its bytes to `each`, and returns its metadata.
///
/// # Errors
/// Those of [`read`]; some rows were handed over then.
pub(super) fn read_each(
    file: &[u8],
    mut each: impl FnMut(Value, &[u8]),
) -> Result<Metadata, Unreadable> {
    let Some(rest) = file.strip_prefix(MAGIC) else { return unreadable("it begins otherwise") };
    let mut input = Input { rest };
    let mut metadata = BTreeMap::new();
    input.blocks(|input| {
        let key = input.text()?;
        metadata.insert(key, input.bytes()?.to_vec());
        Ok(())
    })?;
    let sync = input.take(SYNC_BYTES)?;
    let schema = metadata.get("avro.schema").map(Vec::as_slice).unwrap_or_default();
    let Ok(schema) = serde_json::from_slice::<Json>(schema) else {
        return unreadable("its schema is no JSON");
    };
    let schema = Type::parse(&schema)?;
    let codec = metadata.get("avro.codec").map_or("null".into(), |c| String::from_utf8_lossy(c));
    let mut inflated = 0;
    while !input.rest.is_empty() {
        let count = input.long()?;
        let stored = input.bytes()?;
        let block = inflate(&codec, stored, MOST_BYTES - inflated)?;
        inflated += block.len();
        let mut block = Input { rest: &block };
        for _ in 0..block.count(count)? {
            let before = block.rest;
            let row = schema.read(&mut block)?;
            match before.get(..before.len() - block.rest.len()) {
                None | Some([]) => return unreadable("a row has no bytes"),
                Some(bytes) => each(row, bytes),
            }
        }
        if !block.rest.is_empty() || input.take(SYNC_BYTES)? != sync {
            return unreadable("a block ends in the wrong place");
        }
    }
    Ok(metadata)
}

fn inflate(codec: &str, stored: &[u8], most: usize) -> Result<Vec<u8>, Unreadable> {
    let limit = u64::try_from(most).map_or(u64::MAX, |most| most.saturating_add(1));
    let mut block = Vec::new();
    let done = match codec {
        "null" => stored.take(limit).read_to_end(&mut block),
        "deflate" => flate2::read::DeflateDecoder::new(stored).take(limit).read_to_end(&mut block),
        "zstandard" => match zstd::stream::read::Decoder::new(stored) {
            Ok(decoder) => decoder.take(limit).read_to_end(&mut block),
            Err(error) => Err(error),
        },
        other => {
            let other = crate::error_text::shown(other);
            return unreadable(format!("its codec is `{other}`"));
        }
    };
    match done {
        Ok(_) if block.len() > most => unreadable(format!("it has more than {MOST_BYTES} bytes")),
        Ok(_) => Ok(block),
        Err(error) => unreadable(format!("a block cannot be inflated: {error}")),
    }
}
