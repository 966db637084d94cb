//! The elements of a batch's lists, as runs: elements that follow one another in one list.

use std::ops::Range;

use anyhow::Context as _;
use arrow::array::{ArrayRef, RecordBatch};

use super::child::{Child, Source};
use crate::columnar::lists::RecordLists;

/// Elements of one list, none of them null, that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The parent's row.
    pub(super) row: usize,
    /// The index of the list among those of the flat table.
    pub(super) source: usize,
    /// The action that has the list: its position, and its index among all actions.
    pub(super) action: Option<(usize, usize)>,
    /// The position in the list of the first of them.
    pub(super) position: usize,
    /// Their indexes among all elements of the column.
    pub(super) elements: Range<usize>,
}

/// The lists of a batch that a flat table is made of.
#[derive(Debug)]
pub(super) struct Lists {
    /// Those of the flat table, in its order.
    pub(super) sources: Vec<RecordLists>,
    pub(super) actions: Option<RecordLists>,
}

impl Lists {
    pub(super) fn new(child: &Child, batch: &RecordBatch) -> anyhow::Result<Lists> {
        let lists = |column: Option<&ArrayRef>| {
            column.and_then(RecordLists::of).context("a list is not in the batch: a bug")
        };
        let actions = child.actions.as_ref();
        let actions = actions.map(|actions| lists(batch.columns().get(actions.column)));
        let actions = actions.transpose()?;
        let source = |source: &Source| match (source.is_of_actions, &actions) {
            (true, Some(actions)) => lists(actions.member(source.column)),
            (true, None) => lists(None),
            (false, _) => lists(batch.columns().get(source.column)),
        };
        let sources = child.lists.iter().map(source).collect::<anyhow::Result<_>>()?;
        Ok(Lists { sources, actions })
    }

    /// Returns the elements of `rows` rows: by row, those of the session's lists, list by list, then
    /// those of each action's.
    pub(super) fn runs(&self, child: &Child, rows: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let of = |actions: bool| {
            let all = self.sources.iter().zip(&child.lists).enumerate();
            all.filter(move |(_, (_, source))| source.is_of_actions == actions)
        };
        for row in 0..rows {
            for (source, (lists, _)) in of(false) {
                add(&mut runs, lists, lists.elements(row), (row, source, None));
            }
            let Some(actions) = &self.actions else { continue };
            let elements = actions.elements(row);
            let first = elements.start;
            for action in elements {
                // What a null record has below it is nobody's.
                if actions.next_null(action..action + 1) == action {
                    continue;
                }
                for (source, (lists, _)) in of(true) {
                    let of = (row, source, Some((action - first, action)));
                    add(&mut runs, lists, lists.elements(action), of);
                }
            }
        }
        runs
    }
}

/// Adds the elements of one list, in runs between its nulls.
fn add(
    runs: &mut Vec<Run>,
    lists: &RecordLists,
    elements: Range<usize>,
    (row, source, action): (usize, usize, Option<(usize, usize)>),
) {
    let first = elements.start;
    let mut at = elements.start;
    while at < elements.end {
        let end = lists.next_null(at..elements.end);
        if at < end {
            runs.push(Run { row, source, action, position: at - first, elements: at..end });
        }
        at = end + 1;
    }
}
