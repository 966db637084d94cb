//! The levels of a row group below one list, made once for all columns there.
//!
//! Parquet gives each column two numbers for each of its places: whether a list goes on (repetition), and
//! how much of the way to the value exists (definition). Columns within the same list have the same
//! repetition levels, and the same definition levels where something above them is missing. A [`Shape`]
//! holds both once, and what is made of them: the levels of a page in the format's RLE form, and whole pages
//! of columns without a value, which differ in nothing.
//!
//! ```text
//! rows:         [a, b]  null  []  [c]
//! repetition:    0  1    0     0   0
//! definition:    p  p    0     1   p        p: present; its level is the column's own
//! elements:      a  b              c
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::{BooleanBuffer, NullBuffer};
use parking_lot::Mutex;
use parquet::errors::ParquetError;

use super::hybrid;
use super::pages::NullPages;
use crate::columnar::nesting::Lists;

/// Marks a place in which everything down to this shape exists.
const PRESENT: u8 = u8::MAX;
/// Rows after which a page ends.
pub(super) const PAGE_ROWS: usize = 20_000;
/// Places after which a page ends with the row.
const PAGE_SLOTS: usize = 1 << 17;

/// The levels below one list of a row group, or of its rows.
#[derive(Debug)]
pub(super) struct Shape {
    /// The repetition level of each place; empty outside of lists.
    repetition: Vec<u8>,
    max_repetition: u8,
    /// The definition level of each place, or [`PRESENT`]; empty if every place is present.
    definition: Vec<u8>,
    slots: usize,
    /// The elements that stand in the present places: of each batch, ranges of its arrays at this depth.
    elements: Vec<Vec<Range<usize>>>,
    pages: Vec<Page>,
    made: Mutex<Made>,
}

/// The places of a page. Pages end with a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) rows: usize,
    /// Places, absent ones included.
    pub(super) slots: Range<usize>,
    /// Those of them that are present, counted over all present ones.
    pub(super) present: Range<usize>,
}

/// The levels of each page in the RLE form.
pub(super) type PageLevels = Arc<Vec<Vec<u8>>>;

/// Levels and pages that were made of a shape for one column, and are the same for others.
#[derive(Debug, Default)]
struct Made {
    /// By the width of a level in bits.
    repetition: HashMap<u8, PageLevels>,
    /// By the level of present places and the width.
    definition: HashMap<(u8, u8), PageLevels>,
    nulls: HashMap<Widths, Arc<NullPages>>,
}

/// Facts on which pages of a column without values depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Widths {
    /// The definition level of present places.
    pub(super) level: u8,
    /// Bits of a definition level, none if there is but one.
    pub(super) definition: u8,
    /// Bits of a repetition level, none outside of lists.
    pub(super) repetition: u8,
}

impl Shape {
    /// Returns the shape of the rows of batches of so many rows.
    pub(super) fn of_rows(batches: impl Iterator<Item = usize>) -> Shape {
        let elements: Vec<_> = batches
            .map(|rows| std::iter::once(0..rows).filter(|all| !all.is_empty()).collect())
            .collect();
        let slots = elements.iter().flatten().map(Range::len).sum();
        Shape::new(Vec::new(), 0, Vec::new(), slots, elements)
    }

    /// Returns the shape of rows that repeat those of batches: of each row so many.
    pub(super) fn of_repeated(batches: &[&[usize]]) -> Shape {
        let repeated = |rows: &&[usize]| {
            let rows = rows.iter().enumerate();
            rows.flat_map(|(at, times)| std::iter::repeat_n(at..at + 1, *times)).collect()
        };
        let elements: Vec<Vec<Range<usize>>> = batches.iter().map(repeated).collect();
        let slots = elements.iter().map(Vec::len).sum();
        Shape::new(Vec::new(), 0, Vec::new(), slots, elements)
    }

    fn new(
        repetition: Vec<u8>,
        max_repetition: u8,
        definition: Vec<u8>,
        slots: usize,
        elements: Vec<Vec<Range<usize>>>,
    ) -> Shape {
        let made = Mutex::default();
        let mut shape =
            Shape { repetition, max_repetition, definition, slots, elements, pages: vec![], made };
        shape.pages = shape.cut(&(0..slots), PAGE_ROWS, |places| places.slots >= PAGE_SLOTS);
        shape
    }

    /// Returns the shape of the elements of `lists`, which stand in the present places, whose level is
    /// `level`. An empty list has the level after that, or the same if lists cannot be null.
    ///
    /// # Errors
    /// Lists of another number of batches or of fewer elements.
    pub(super) fn of_lists(
        &self,
        level: u8,
        is_nullable: bool,
        lists: &[Lists<'_>],
    ) -> Result<Shape, ParquetError> {
        let max_repetition = self.max_repetition + 1;
        let empty = level + u8::from(is_nullable);
        let mut repetition = Vec::with_capacity(self.slots * 2);
        let mut definition = Vec::with_capacity(self.slots * 2);
        let mut elements = Vec::with_capacity(self.elements.len());
        let mut absent = Absent { shape: self, at: 0 };
        for (batch, ranges) in self.elements.iter().enumerate() {
            let (offsets, nulls) = lists.get(batch).ok_or_else(other)?;
            let mut of_batch: Vec<Range<usize>> = Vec::new();
            for element in ranges.iter().cloned().flatten() {
                let first_repetition = absent.copy(&mut repetition, &mut definition);
                if nulls.is_some_and(|nulls| nulls.is_null(element)) {
                    repetition.push(first_repetition);
                    definition.push(level);
                    continue;
                }
                let ends = offsets.get(element).zip(offsets.get(element + 1));
                let (start, end) = ends.ok_or_else(other)?;
                let (start, end) = (*start as usize, *end as usize);
                repetition.push(first_repetition);
                if start == end {
                    definition.push(empty);
                    continue;
                }
                repetition.resize(repetition.len() + (end - start - 1), max_repetition);
                definition.resize(definition.len() + (end - start), PRESENT);
                match of_batch.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => of_batch.push(start..end),
                }
            }
            elements.push(of_batch);
        }
        absent.copy_rest(&mut repetition, &mut definition);
        if definition.iter().all(|level| *level == PRESENT) {
            definition = Vec::new();
        }
        let slots = repetition.len();
        Ok(Shape::new(repetition, max_repetition, definition, slots, elements))
    }

    /// Returns the shape of those present places in which the record is not null; the others have the
    /// definition level `level`.
    pub(super) fn of_records(&self, level: u8, nulls: &[Option<&NullBuffer>]) -> Shape {
        let mut definition = Vec::with_capacity(self.slots);
        let mut elements = Vec::with_capacity(self.elements.len());
        let mut places = self.definition.iter();
        for (batch, ranges) in self.elements.iter().enumerate() {
            let nulls = nulls.get(batch).copied().flatten();
            let mut of_batch: Vec<Range<usize>> = Vec::new();
            for element in ranges.iter().cloned().flatten() {
                // Absent places before this one.
                definition.extend(places.by_ref().copied().take_while(|place| *place != PRESENT));
                if nulls.is_some_and(|nulls| nulls.is_null(element)) {
                    definition.push(level);
                    continue;
                }
                definition.push(PRESENT);
                match of_batch.last_mut() {
                    Some(last) if last.end == element => last.end += 1,
                    _ => of_batch.push(element..element + 1),
                }
            }
            elements.push(of_batch);
        }
        definition.extend(places.copied());
        Shape::new(self.repetition.clone(), self.max_repetition, definition, self.slots, elements)
    }

    /// Returns the elements in the present places: of each batch, ranges of its arrays.
    pub(super) fn elements(&self) -> &[Vec<Range<usize>>] {
        &self.elements
    }

    /// Returns the number of places.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the number of present places.
    pub(super) fn present(&self) -> usize {
        self.pages.last().map_or(0, |page| page.present.end)
    }

    /// Returns the pages that columns have unless their values are long.
    pub(super) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Cuts places into pages: one ends with the row in which it has so many rows, or in which `is_full`.
    pub(super) fn cut(
        &self,
        slots: &Range<usize>,
        rows: usize,
        mut is_full: impl FnMut(&Places) -> bool,
    ) -> Vec<Page> {
        let (mut pages, mut page) = (Vec::new(), Page::default());
        let before = self.definition.get(..slots.start).unwrap_or_default();
        let before = match self.definition.is_empty() {
            true => slots.start,
            false => before.iter().filter(|place| **place == PRESENT).count(),
        };
        page.slots = slots.start..slots.start;
        page.present = before..before;
        if self.repetition.is_empty() && self.definition.is_empty() && slots.len() <= rows {
            // A row has one place, which is there.
            let all = Places { slots: slots.len(), present: slots.clone() };
            if !is_full(&all) {
                let whole =
                    Page { rows: slots.len(), slots: slots.clone(), present: slots.clone() };
                return if slots.is_empty() { vec![] } else { vec![whole] };
            }
        }
        let is_row = |slot: usize| self.repetition.get(slot).is_none_or(|level| *level == 0);
        for slot in slots.clone() {
            if is_row(slot) {
                let places = Places { slots: page.slots.len(), present: page.present.clone() };
                if page.rows >= rows || page.rows > 0 && is_full(&places) {
                    let next = Page {
                        rows: 0,
                        slots: slot..slot,
                        present: page.present.end..page.present.end,
                    };
                    pages.push(std::mem::replace(&mut page, next));
                }
                page.rows += 1;
            }
            page.slots.end += 1;
            page.present.end += usize::from(self.is_present(slot));
        }
        if page.rows > 0 {
            pages.push(page);
        }
        pages
    }

    fn is_present(&self, slot: usize) -> bool {
        self.definition.get(slot).is_none_or(|place| *place == PRESENT)
    }

    /// Returns the repetition levels of the pages in so many bits.
    pub(super) fn repetition(&self, width: u8) -> PageLevels {
        let mut made = self.made.lock();
        let levels = made.repetition.entry(width);
        Arc::clone(levels.or_insert_with(|| {
            let pages = self.pages.iter();
            Arc::new(pages.map(|page| self.repetition_of(page, width)).collect())
        }))
    }

    /// Returns the repetition levels of one page in so many bits.
    pub(super) fn repetition_of(&self, page: &Page, width: u8) -> Vec<u8> {
        let mut out = Vec::new();
        match self.repetition.get(page.slots.clone()) {
            Some(levels) => hybrid::levels(&mut out, levels, width),
            // A column of lists that are all missing: of each row there is one place.
            None => hybrid::run(&mut out, 0, page.slots.len(), u32::from(width)),
        }
        out
    }

    /// Returns the definition levels of the pages in so many bits, of a column with the level `level` in all
    /// present places.
    pub(super) fn definition(&self, level: u8, width: u8) -> PageLevels {
        let mut made = self.made.lock();
        let levels = made.definition.entry((level, width));
        Arc::clone(levels.or_insert_with(|| {
            let pages = self.pages.iter();
            Arc::new(pages.map(|page| self.definition_of(page, level, width)).collect())
        }))
    }

    /// Returns the definition levels of one page in so many bits, likewise.
    pub(super) fn definition_of(&self, page: &Page, level: u8, width: u8) -> Vec<u8> {
        let mut out = Vec::new();
        if self.definition.is_empty() {
            hybrid::run(&mut out, u32::from(level), page.slots.len(), u32::from(width));
            return out;
        }
        let places = self.definition.get(page.slots.clone()).unwrap_or_default();
        let of = |place: &u8| if *place == PRESENT { level } else { *place };
        let levels: Vec<u8> = places.iter().map(of).collect();
        hybrid::levels(&mut out, &levels, width);
        out
    }

    /// Returns the definition levels of one page in so many bits, of a column that is null in the present
    /// places of which `valid` says so, with `level` there and the next one in the others.
    pub(super) fn definition_by(
        &self,
        page: &Page,
        valid: &BooleanBuffer,
        level: u8,
        width: u8,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let valid = valid.slice(page.present.start, page.present.len());
        if self.definition.is_empty() && level == 0 && width == 1 {
            hybrid::bits(&mut out, &valid);
            return out;
        }
        let mut bits = hybrid::bytes_of_bits(&valid);
        bits.iter_mut().for_each(|bit| *bit += level);
        let levels = match self.definition.get(page.slots.clone()) {
            Some(places) if !self.definition.is_empty() => {
                let mut bits = bits.into_iter();
                let mut next = || bits.next().unwrap_or(level);
                let of = |place: &u8| if *place == PRESENT { next() } else { *place };
                places.iter().map(of).collect()
            }
            _ => bits,
        };
        hybrid::levels(&mut out, &levels, width);
        out
    }

    /// Returns the pages of a column without values, made by `make` if no other column was like it.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn nulls(
        &self,
        widths: Widths,
        make: impl FnOnce() -> Result<NullPages, ParquetError>,
    ) -> Result<Arc<NullPages>, ParquetError> {
        let found = self.made.lock().nulls.get(&widths).map(Arc::clone);
        match found {
            Some(pages) => Ok(pages),
            // Two threads may make the same at once.
            None => {
                let pages = Arc::new(make()?);
                self.made.lock().nulls.insert(widths, Arc::clone(&pages));
                Ok(pages)
            }
        }
    }
}

/// Places of a page that is being cut.
pub(super) struct Places {
    slots: usize,
    /// The present ones, counted over all.
    pub(super) present: Range<usize>,
}

/// Copies the absent places between those of elements.
struct Absent<'a> {
    shape: &'a Shape,
    at: usize,
}

impl Absent<'_> {
    /// Copies the absent places before the next element, and returns the repetition level of its place.
    fn copy(&mut self, repetition: &mut Vec<u8>, definition: &mut Vec<u8>) -> u8 {
        while let Some(place) = self.shape.definition.get(self.at).filter(|p| **p != PRESENT) {
            repetition.push(self.level());
            definition.push(*place);
            self.at += 1;
        }
        let level = self.level();
        self.at += 1;
        level
    }

    fn copy_rest(&mut self, repetition: &mut Vec<u8>, definition: &mut Vec<u8>) {
        while let Some(place) = self.shape.definition.get(self.at) {
            repetition.push(self.level());
            definition.push(*place);
            self.at += 1;
        }
    }

    fn level(&self) -> u8 {
        self.shape.repetition.get(self.at).copied().unwrap_or(0)
    }
}

/// Returns the error for arrays that do not belong together.
fn other() -> ParquetError {
    ParquetError::General("lists of other rows".to_owned())
}
