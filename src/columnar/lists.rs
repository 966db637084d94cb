//! Lists of records: where the elements of each row are, and which of them are null.

use std::ops::Range;

use arrow::array::{Array as _, ArrayRef, AsArray as _, ListArray, StructArray};

/// A column of lists of records.
#[derive(Clone, Debug)]
pub(crate) struct RecordLists {
    lists: ListArray,
    records: StructArray,
}

impl RecordLists {
    /// Returns `column` as lists of records; `None` if it is of another type.
    pub(crate) fn of(column: &ArrayRef) -> Option<RecordLists> {
        let lists = column.as_list_opt::<i32>()?.clone();
        let records = lists.values().as_struct_opt()?.clone();
        Some(RecordLists { lists, records })
    }

    /// Returns the places of the elements of a row's list among all elements; none for a null list.
    pub(crate) fn elements(&self, row: usize) -> Range<usize> {
        if self.lists.is_null(row) {
            return 0..0;
        }
        let offsets = self.lists.value_offsets();
        let ends = offsets.get(row).zip(offsets.get(row + 1));
        ends.map_or(0..0, |(first, last)| *first as usize..*last as usize)
    }

    /// Returns the first of these elements that is null itself; their end if none is.
    pub(crate) fn next_null(&self, elements: Range<usize>) -> usize {
        let end = elements.end;
        match self.records.nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => elements.into_iter().find(|at| nulls.is_null(*at)).unwrap_or(end),
            None => end,
        }
    }

    /// Returns true if the element at this place is null itself.
    pub(crate) fn is_null(&self, element: usize) -> bool {
        self.records.is_null(element)
    }

    /// Returns the number of all elements, those that are in no list included.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the member of all elements at an index of their fields.
    pub(crate) fn member(&self, field: usize) -> Option<&ArrayRef> {
        self.records.columns().get(field)
    }
}
