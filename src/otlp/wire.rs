//! The wire format of Protocol Buffers, as far as OTLP over HTTP needs it.
//!
//! A message is its fields, one after the other: a tag (number and type), then the value. A field with its
//! default value is left out, but for members of a `oneof`.

use crate::varint;

/// The type of a field: a varint, eight bytes, or a length and as many bytes.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message that is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Returns the bytes of a message whose fields `write` writes.
    pub(super) fn of(write: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        write(&mut message);
        message.0
    }

    fn varint(&mut self, value: u64) {
        varint::put(&mut self.0, value);
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    /// Writes an enum, a bool or an integer that is a varint, also when it is zero.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// Writes a `fixed64` or `sfixed64`, also when it is zero.
    pub(super) fn fixed(&mut self, field: u32, value: u64) {
        self.tag(field, EIGHT_BYTES);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a `double`, also when it is zero.
    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.fixed(field, value.to_bits());
    }

    /// Writes bytes, unless there are none.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.tag(field, BYTES);
            self.varint(value.len() as u64);
            self.0.extend_from_slice(value);
        }
    }

    /// Writes a string, unless it is empty.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// Writes a string, also when it is empty.
    pub(super) fn member_text(&mut self, field: u32, value: &str) {
        self.tag(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Writes a message, also when it is empty.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let inner = Message::of(write);
        self.tag(field, BYTES);
        self.varint(inner.len() as u64);
        self.0.extend_from_slice(&inner);
    }

    /// Writes a packed list of eight bytes each, unless it is empty.
    pub(super) fn packed(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let bytes: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
        self.bytes(field, &bytes);
    }
}

/// The value of a field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'b> {
    Number(u64),
    Fixed(u64),
    Bytes(&'b [u8]),
}

/// Reads the fields of a message. Ends at what is no field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = (u32, Value<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let mut take = |bytes: usize| {
            let (taken, rest) = self.0.split_at_checked(bytes)?;
            self.0 = rest;
            Some(taken)
        };
        let little =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let value = match tag & 7 {
            EIGHT_BYTES => Value::Fixed(little(take(8)?)),
            FOUR_BYTES => Value::Fixed(little(take(4)?)),
            VARINT => Value::Number(self.varint()?),
            BYTES => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                let (taken, rest) = self.0.split_at_checked(bytes)?;
                self.0 = rest;
                Value::Bytes(taken)
            }
            _ => return None,
        };
        Some((u32::try_from(tag >> 3).ok()?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_as_the_specification_has_it_and_is_read_again() {
        // The examples of the format's own documentation.
        assert_eq!(Message::of(|m| m.number(1, 150)), [0x08, 0x96, 0x01]);
        let text = Message::of(|m| m.text(2, "testing"));
        assert_eq!(text, [&[0x12, 0x07][..], b"testing"].concat());
        let inner = Message::of(|m| m.message(3, |m| m.number(1, 150)));
        assert_eq!(inner, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let all = Message::of(|m| {
            m.double(16, 1.5);
            m.packed(6, [1, 2].into_iter());
            m.text(1, "");
            m.member_text(1, "");
            m.number(4, u64::MAX);
        });
        let read: Vec<_> = Fields(&all).collect();
        let packed = [1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat();
        let expected = [
            (16, Value::Fixed(1.5_f64.to_bits())),
            (6, Value::Bytes(&packed)),
            (1, Value::Bytes(b"")),
            (4, Value::Number(u64::MAX)),
        ];
        assert_eq!(read, expected);
        for cut in 0..all.len() {
            assert!(Fields(&all[..cut]).count() < expected.len());
        }
        assert_eq!(Fields(&[0xff; 20]).count(), 0);
    }
}
