//! The header of a page.
//!
//! A page is a header and the bytes that follow it. The header
//! (<https://parquet.apache.org/docs/file-format/data-pages/>, in Thrift's compact protocol) begins
//! with the type of the page and its two lengths; the second, that of the compressed bytes, is
//! rewritten. A header that does not begin so is an error and never gets into a file.

use parquet::errors::ParquetError;

/// The type of a data page (version 1), as the format numbers it.
pub(super) const DATA_PAGE: u32 = 0;
/// The type of a dictionary page, as the format numbers it.
pub(super) const DICTIONARY_PAGE: u32 = 2;

/// The first byte of a field that is an i32 and has the number after that of the field before it.
const NEXT_I32: u8 = 0x15;

/// A page's header, split around the length of the compressed page.
pub(super) struct Header<'a> {
    pub(super) page_type: u32,
    /// The length of the page before compression.
    pub(super) uncompressed: u32,
    pub(super) before: &'a [u8],
    pub(super) after: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses the header of a page that has `len` bytes.
    pub(super) fn read(header: &'a [u8], len: usize) -> Result<Header<'a>, ParquetError> {
        let mut rest = header;
        let page_type = field(&mut rest)?;
        let uncompressed = field(&mut rest)?;
        let before = header.len() - rest.len() + 1;
        let compressed = field(&mut rest)?;
        // The next would be a checksum of the page.
        if compressed as usize != len || rest.first() == Some(&NEXT_I32) {
            return Err(unexpected("a header of another page"));
        }
        let before = header.get(..before).unwrap_or_default();
        Ok(Header { page_type, uncompressed, before, after: rest })
    }

    /// Returns the header, with the new length, and the page `bytes`.
    pub(super) fn with(&self, bytes: &[u8]) -> Vec<u8> {
        let most = self.before.len() + 10 + self.after.len() + bytes.len();
        let mut out = Vec::with_capacity(most);
        out.extend_from_slice(self.before);
        // Zigzag: a length is not negative.
        let mut number = (bytes.len() as u64) << 1;
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
        out.extend_from_slice(self.after);
        out.extend_from_slice(bytes);
        out
    }
}

/// Reads a field of Thrift's compact protocol that is an i32, has the number after that of the
/// field before it, and is not negative.
fn field(from: &mut &[u8]) -> Result<u32, ParquetError> {
    let wrong = || unexpected("a header of another form");
    let (&NEXT_I32, rest) = from.split_first().ok_or_else(wrong)? else { return Err(wrong()) };
    let (mut number, mut rest) = (0_u64, rest);
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(wrong)?;
        rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            *from = rest;
            let even = (number & 1 == 0).then_some(number >> 1);
            return even.and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong);
        }
    }
    Err(wrong())
}

/// Returns the header of a data page (version 1) of dictionary indexes, split around the length of the
/// compressed page: what is before that length, and what is behind it.
pub(super) fn data_header(uncompressed: usize, rows: usize) -> (Vec<u8>, Vec<u8>) {
    let number = |out: &mut Vec<u8>, number: usize| {
        out.push(NEXT_I32);
        // Zigzag: not negative.
        let mut number = (number as u64) << 1;
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    number(&mut before, DATA_PAGE as usize);
    number(&mut before, uncompressed);
    before.push(NEXT_I32);
    // Field 5, a record: its values, their encoding, and that of both kinds of levels.
    after.push(0x2c);
    number(&mut after, rows);
    for encoding in [RLE_DICTIONARY, RLE, RLE] {
        number(&mut after, encoding);
    }
    // The ends of both records.
    after.extend([0, 0]);
    (before, after)
}

/// Encodings, as the format numbers them.
const RLE: usize = 3;
const RLE_DICTIONARY: usize = 8;

/// Returns the error for what no column writer gives.
pub(super) fn unexpected(what: &str) -> ParquetError {
    ParquetError::General(format!("the column writer gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_long_its_page_has_become() {
        // Kind 0, 300 bytes, 300 bytes, then the header of a data page.
        let header = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0xd8, 4, 0x2c, 0x15, 2, 0, 0];
        let read = Header::read(&header, 300).unwrap();
        assert_eq!(read.page_type, DATA_PAGE);
        assert_eq!(
            read.with(&[7; 5]),
            [0x15, 0, 0x15, 0xd8, 4, 0x15, 10, 0x2c, 0x15, 2, 0, 0, 7, 7, 7, 7, 7]
        );
        let out = read.with(&[7; 300]);
        assert_eq!(out[..header.len()], header);
        assert_eq!(out.len(), header.len() + 300);
    }

    #[test]
    fn what_is_no_such_header_is_an_error() {
        let header = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0xd8, 4, 0x2c];
        assert!(Header::read(&header, 300).is_ok());
        assert!(Header::read(&header, 301).is_err());
        for end in 0..8 {
            assert!(Header::read(&header[..end], 300).is_err(), "{end} bytes of it");
        }
        for (at, byte) in [(0, 0x25), (2, 0x16), (3, 0xd9), (6, 0), (7, 5), (8, NEXT_I32)] {
            let mut other = header;
            other[at] = byte;
            assert!(Header::read(&other, 300).is_err(), "{byte} at {at}");
        }
        assert!(Header::read(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0x15], 0).is_err());
    }
}
