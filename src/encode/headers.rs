//! The headers of pages, in Thrift's compact protocol
//! (<https://parquet.apache.org/docs/file-format/data-pages/>).

use parquet::basic::{Encoding, PageType};
use parquet::errors::ParquetError;

use crate::varint;

/// The first byte of a field that is an i32 and has the number after that of the field before it.
const NEXT_I32: u8 = 0x15;
/// The first byte of a record that is field 5, after field 3, and of one that is field 7.
const DATA_PAGE_HEADER: u8 = 0x2c;
const DICTIONARY_PAGE_HEADER: u8 = 0x4c;

/// Returns the header of a data page (version 1) of so many bytes before and after compression, with so
/// many places.
///
/// # Errors
/// A page of 2 GiB.
pub(super) fn data_header(
    uncompressed: usize,
    compressed: usize,
    slots: usize,
    encoding: Encoding,
) -> Result<Vec<u8>, ParquetError> {
    let mut out = begin(PageType::DATA_PAGE, uncompressed, compressed)?;
    out.push(DATA_PAGE_HEADER);
    number(&mut out, slots)?;
    // The encoding of the values, and of both kinds of levels.
    for encoding in [encoding, Encoding::RLE, Encoding::RLE] {
        number(&mut out, encoding as usize)?;
    }
    // The ends of both records.
    out.extend([0, 0]);
    Ok(out)
}

/// Returns the header of a dictionary page of so many values.
///
/// # Errors
/// A page of 2 GiB.
pub(super) fn dictionary_header(
    uncompressed: usize,
    compressed: usize,
    values: usize,
) -> Result<Vec<u8>, ParquetError> {
    let mut out = begin(PageType::DICTIONARY_PAGE, uncompressed, compressed)?;
    out.push(DICTIONARY_PAGE_HEADER);
    number(&mut out, values)?;
    number(&mut out, Encoding::PLAIN as usize)?;
    out.extend([0, 0]);
    Ok(out)
}

fn begin(page: PageType, uncompressed: usize, compressed: usize) -> Result<Vec<u8>, ParquetError> {
    let mut out = Vec::with_capacity(32);
    number(&mut out, page as usize)?;
    number(&mut out, uncompressed)?;
    number(&mut out, compressed)?;
    Ok(out)
}

fn number(out: &mut Vec<u8>, number: usize) -> Result<(), ParquetError> {
    let number = i32::try_from(number).map_err(|_| unexpected("a page of 2 GiB"))?;
    out.push(NEXT_I32);
    varint::put_signed(out, i64::from(number));
    Ok(())
}

/// Returns the error for what the format has no place for.
pub(super) fn unexpected(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} cannot be written"))
}
