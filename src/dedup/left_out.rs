//! The rows that a roll leaves out, and their form in its seal.
//!
//! ```text
//! base64 of zstd of: for each body u64 + number of its rows; for each of these u64, and
//!                    0 or 1 + the distance of the body of its first
//! ```
//! Bodies and rows are in order, each as the distance from the one before, and numbers are LEB128. A row
//! has the number that it has among the rows of its body.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::record::Seq;
use crate::varint;

/// Most bytes of a list before it is compressed.
const MOST_BYTES: usize = 64 << 20;

/// The rows that a roll leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut(Vec<Row>);

/// A row that is left out: 32 bytes, of which a roll has hundreds of thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    body: Seq,
    number: u64,
    /// The body of its first if that is of the same roll.
    first: Option<Seq>,
}

impl Row {
    fn place(&self) -> (Seq, u64) {
        (self.body, self.number)
    }
}

impl LeftOut {
    /// Adds a row of a body, which comes after those of its body that were added. Its first is in the body
    /// `first` of the same roll, or in an earlier roll.
    pub(crate) fn add(&mut self, body: Seq, number: u64, first: Option<Seq>) {
        self.0.push(Row { body, number, first });
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true when there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the list as text.
    ///
    /// # Errors
    /// The compressor, of which no failure is known.
    pub(crate) fn to_text(&self) -> std::io::Result<String> {
        // Bodies of several tables are not in order.
        let mut rows = self.0.clone();
        rows.sort_unstable_by_key(Row::place);
        let (mut bytes, mut before) = (Vec::new(), 0);
        for rows in rows.chunk_by(|one, next| one.body == next.body) {
            let Some(Row { body: Seq(body), .. }) = rows.first() else { continue };
            varint::put(&mut bytes, body.saturating_sub(before));
            varint::put(&mut bytes, rows.len() as u64);
            before = *body;
            let mut row_before = 0;
            for Row { number, first, .. } in rows {
                varint::put(&mut bytes, number.saturating_sub(row_before));
                varint::put(&mut bytes, first.map_or(0, |first| 1 + body.saturating_sub(first.0)));
                row_before = *number;
            }
        }
        Ok(STANDARD.encode(zstd::bulk::compress(&bytes, 3)?))
    }

    /// Reads the list.
    ///
    /// # Errors
    /// The text is no such list.
    pub(crate) fn from_text(text: &str) -> anyhow::Result<LeftOut> {
        let bytes = STANDARD.decode(text).context("the rows that are left out are no base64")?;
        let bytes = zstd::bulk::decompress(&bytes, MOST_BYTES);
        let bytes = bytes.context("the rows that are left out cannot be unpacked")?;
        let (mut list, mut rest, mut body) = (LeftOut::default(), &bytes[..], 0_u64);
        while !rest.is_empty() {
            body = body.checked_add(take(&mut rest)?).context(OTHER)?;
            let (rows, mut row) = (take(&mut rest)?, 0_u64);
            for _ in 0..rows {
                row = row.checked_add(take(&mut rest)?).context(OTHER)?;
                let first = match take(&mut rest)? {
                    0 => None,
                    distance => Some(Seq(body.checked_sub(distance - 1).context(OTHER)?)),
                };
                list.add(Seq(body), row, first);
            }
        }
        Ok(list)
    }
}

const OTHER: &str = "the rows that are left out are of another form";

fn take(rest: &mut &[u8]) -> anyhow::Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context(OTHER)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        ensure!(bits << shift >> shift == bits, OTHER);
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    anyhow::bail!(OTHER)
}

/// The rows that a sealed roll leaves out when it is made again.
#[derive(Debug, Default)]
pub(crate) struct Redone {
    /// In order.
    rows: Vec<Row>,
    /// Bodies that have firsts of doubles of the same roll.
    firsts: BTreeSet<Seq>,
    /// Those of them that have given rows to the roll.
    there: BTreeSet<Seq>,
}

impl Redone {
    /// Makes a roll again that left out the rows of `list`.
    pub(crate) fn new(list: LeftOut) -> Redone {
        let LeftOut(mut rows) = list;
        rows.sort_unstable_by_key(Row::place);
        let firsts = rows.iter().filter_map(|row| row.first).collect();
        Redone { rows, firsts, there: BTreeSet::new() }
    }

    /// Takes note that the roll has rows of `body`.
    pub(crate) fn begin(&mut self, body: Seq) {
        if self.firsts.contains(&body) {
            self.there.insert(body);
        }
    }

    /// Tells whether a row of a body that was begun is left out. One whose first is in a body that is
    /// gone or set aside since is not.
    pub(crate) fn leaves_out(&self, body: Seq, row: u64) -> bool {
        let Ok(at) = self.rows.binary_search_by_key(&(body, row), Row::place) else { return false };
        let first = self.rows.get(at).and_then(|row| row.first);
        first.is_none_or(|first| self.there.contains(&first))
    }
}
