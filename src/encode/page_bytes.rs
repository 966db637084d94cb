//! The bytes of a page before compression, and where they are of another kind.

/// Bytes of a page. Each part has statistics of its own: repetition levels, definition levels, indexes,
/// lengths, texts. Where a codec can do so it makes a code for each of them, which takes a tenth off pages of
/// lists.
#[derive(Debug, Default)]
pub(super) struct PageBytes {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
}

impl PageBytes {
    /// Removes all bytes.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
    }

    /// Ends a part: what is written next is of another kind.
    pub(super) fn cut(&mut self) {
        self.cuts.push(self.bytes.len());
    }

    /// Returns the bytes, to append to.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns all bytes.
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns where parts end, in ascending order.
    pub(super) fn cuts(&self) -> &[usize] {
        &self.cuts
    }

    /// Returns the number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}
