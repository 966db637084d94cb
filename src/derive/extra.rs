//! The part of a session's `_extra` that is of an element: `/userActions/3/x` is `/x` of the fourth
//! action.
//!
//! What is of the list as a whole, or an element that is no record, is of no row.

use std::collections::HashMap;
use std::fmt::Write as _;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::error::ArrowError;
use memchr::memmem;

use super::child::{Child, Source};
use super::runs::Run;
use crate::columnar::null_arrays::null_array;
use crate::columnar::values::strings;
use crate::json::Members;
use crate::schema::Kind;

/// An element: the list among those of the flat table, the position of the action that has it, and its
/// own.
type Element = (usize, Option<usize>, usize);

/// The parts of `_extra` that are of elements, by the parent's row.
#[derive(Debug, Default)]
pub(super) struct Extras(HashMap<usize, HashMap<Element, String>>);

impl Extras {
    /// Reads the column `_extra` of the parent.
    pub(super) fn of(child: &Child, column: &ArrayRef) -> Extras {
        let mut extras = Extras::default();
        let Some(texts) = strings(column) else { return extras };
        let names: Vec<String> = child.lists.iter().map(|list| format!("{}/", list.name)).collect();
        // A name that JSON has another spelling for is found by reading alone.
        let is_plain =
            |name: &String| name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let finders: Option<Vec<_>> =
            names.iter().all(is_plain).then(|| names.iter().map(memmem::Finder::new).collect());
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            let may_have = |finders: &Vec<memmem::Finder<'_>>| {
                finders.iter().any(|finder| finder.find(text.as_bytes()).is_some())
            };
            if finders.as_ref().is_none_or(may_have) {
                let elements = elements(child, text);
                if !elements.is_empty() {
                    extras.0.insert(row, elements);
                }
            }
        }
        extras
    }

    /// Returns the column of the elements of `runs`.
    ///
    /// # Errors
    /// None that is known of.
    pub(super) fn column(&self, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
        let len = runs.iter().map(|run| run.elements.len()).sum();
        if !runs.iter().any(|run| self.0.contains_key(&run.row)) {
            return null_array(&Kind::String.arrow(), len);
        }
        let mut column = StringBuilder::with_capacity(len, 0);
        for run in runs {
            let Some(elements) = self.0.get(&run.row) else {
                column.append_nulls(run.elements.len());
                continue;
            };
            for at in 0..run.elements.len() {
                let action = run.action.map(|(position, _)| position);
                column.append_option(elements.get(&(run.source, action, run.position + at)));
            }
        }
        Ok(std::sync::Arc::new(column.finish()))
    }
}

/// Returns the parts of one row's `_extra`, each a JSON object of its own.
fn elements(child: &Child, text: &str) -> HashMap<Element, String> {
    let mut elements: HashMap<Element, String> = HashMap::new();
    // The decoder wrote it: what cannot be read is not passed on.
    let Ok(Members(entries)) = serde_json::from_str(text) else { return elements };
    for (pointer, value) in &entries {
        let Some((element, rest)) = element(child, pointer) else { continue };
        let object = elements.entry(element).or_default();
        let between = if object.is_empty() { '{' } else { ',' };
        // Writing to a string does not fail.
        let _ = write!(object, "{between}{}:{}", serde_json::Value::from(rest), value.get());
    }
    elements.values_mut().for_each(|object| object.push('}'));
    elements
}

/// Returns the element that a pointer leads into, and the rest of the pointer.
fn element<'a>(child: &Child, pointer: &'a str) -> Option<(Element, &'a str)> {
    let actions = child.actions.as_ref();
    let of_action = actions.and_then(|actions| indexed(pointer, &actions.name));
    let found = |(at, list): (usize, &Source)| {
        let (action, within) = match (list.is_of_actions, of_action) {
            (true, Some((action, within))) => (Some(action), within),
            (true, None) => return None,
            (false, _) => (None, pointer),
        };
        let (position, rest) = indexed(within, &list.name)?;
        Some(((at, action, position), rest))
    };
    child.lists.iter().enumerate().find_map(found).filter(|(_, rest)| !rest.is_empty())
}

/// Returns the index in the list `name` that a pointer begins with, and the rest.
fn indexed<'a>(pointer: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let after = pointer.strip_prefix(name)?.strip_prefix('/')?;
    let end = after.find('/').unwrap_or(after.len());
    let (index, rest) = after.split_at(end);
    Some((index.parse().ok()?, rest))
}
