//! Maps: where the entries of each row are, and their keys and values.

use std::ops::Range;

use arrow::array::{Array as _, ArrayRef, AsArray as _, MapArray};

/// A column of maps.
#[derive(Clone, Debug)]
pub(crate) struct Maps(MapArray);

impl Maps {
    /// Returns `column` as maps; `None` if it is of another type.
    pub(crate) fn of(column: &ArrayRef) -> Option<Maps> {
        Some(Maps(column.as_map_opt()?.clone()))
    }

    /// Returns the places of the entries of a row's map among all entries; none for a null map.
    pub(crate) fn entries(&self, row: usize) -> Range<usize> {
        if self.0.is_null(row) {
            return 0..0;
        }
        let offsets = self.0.value_offsets();
        let ends = offsets.get(row).zip(offsets.get(row + 1));
        ends.map_or(0..0, |(first, last)| *first as usize..*last as usize)
    }

    /// Returns the keys of all entries.
    pub(crate) fn keys(&self) -> &ArrayRef {
        self.0.keys()
    }

    /// Returns the values of all entries.
    pub(crate) fn values(&self) -> &ArrayRef {
        self.0.values()
    }
}
