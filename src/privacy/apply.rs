//! Rules applied to batches and rejects.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, RecordBatch, StringBuilder, new_null_array,
};
use arrow::compute::{interleave, nullif};
use arrow::error::ArrowError;
use zstd::stream::Encoder;

use super::address::network;
use super::{Action, Key, Rules};
use crate::columnar::rewrite;
use crate::columnar::values::strings;
use crate::decode::{Decoded, RawForm, Reject};
use crate::json::{Members, pointer_tokens};
use crate::schema::{EXTRA, JsonPath, TableSchema};
use crate::table::privacy_rules::{Step, TAG_EVENTS};
use crate::table::{Revision, Spec, Tables};

/// Bytes of a stored line that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The bytes from which on a rejected line is compressed before it is sealed.
const COMPRESSED_FROM_BYTES: usize = 256 << 10;
/// The level at which that is done: it is to cost little.
const COMPRESSION_LEVEL: i32 = 1;

/// The end of a sealed line that was compressed.
const COMPRESSED_END: &str = "\",\"form\":\"zstd\"}";

/// Returns what is kept of a line of so many bytes that cannot be sealed.
fn withheld(bytes: u64) -> String {
    format!("{{\"withheld_bytes\":{bytes}}}")
}

/// The rules of one table.
#[derive(Clone, Debug)]
pub struct Applied {
    rules: Vec<(Vec<Step>, Action)>,
    key: Key,
    revision: Revision,
    /// True where a dot in the name of a member may as well be an object around it.
    dotted: bool,
}

/// The overlap of an entry of `_extra` with the value that a rule is for.
enum Overlap {
    /// The entry is that value.
    Whole,
    /// The entry lies within that value, or holds it among others.
    Partial,
    /// They have nothing in common.
    None,
}

impl Applied {
    /// Prepares `rules` for batches of `schema`, to be applied by the rules of `revision`.
    #[must_use]
    pub fn new(rules: &Rules, schema: &TableSchema, key: Key, revision: Revision) -> Applied {
        Applied { rules: rules.resolve(schema), key, revision, dotted: schema.has_members() }
    }

    /// Prepares the rules of every table of `tables`, by table id; `None` for a table without rules,
    /// and for a flat one, whose rows are made of treated ones.
    ///
    /// # Errors
    /// A table has rules and there is no key.
    pub fn by_table(tables: &Tables, key: Option<&Key>) -> anyhow::Result<Vec<Option<Applied>>> {
        let prepare = |spec: &Spec| match (spec.privacy.is_empty() || spec.rows.is_derived(), key) {
            (true, _) => Ok(None),
            (false, Some(key)) => {
                let (rules, schema) = (&spec.privacy, &spec.schema);
                Ok(Some(Applied::new(rules, schema, key.clone(), spec.revision)))
            }
            (false, None) => anyhow::bail!(
                "table {} has privacy rules ({}), and privacy_key names no secret for them",
                spec.name,
                spec.privacy
            ),
        };
        tables.specs().iter().map(prepare).collect()
    }

    /// Applies the rules to everything that came of decoding.
    ///
    /// # Errors
    /// The arrays do not go together: a bug, and nothing is passed on.
    pub fn apply(&self, decoded: &mut Decoded) -> Result<(), ArrowError> {
        for reject in &mut decoded.rejects {
            match reject.stored.take() {
                None => self.seal(reject),
                Some(stored) => {
                    let mut compressor = Encoder::new(Vec::new(), COMPRESSION_LEVEL)?;
                    stored.read(PIECE_BYTES, |piece| compressor.write_all(piece))?;
                    let compressed = compressor.finish()?;
                    let sealed = self.sealed(&compressed, COMPRESSED_END);
                    reject.raw = sealed
                        .unwrap_or_else(|| withheld(stored.range.end - stored.range.start))
                        .into();
                }
            }
        }
        if self.rules.is_empty() || decoded.batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = &decoded.batch;
        let mut columns = batch.columns().to_vec();
        for (steps, action) in &self.rules {
            let (place, rest) = match steps.split_first() {
                Some((Step::Field(place, _), rest)) => (place, rest.to_vec()),
                Some((Step::Prefixed { column, key, .. }, _)) => {
                    (column, key.iter().cloned().map(Step::Entry).collect())
                }
                _ => continue,
            };
            let rest = rest.as_slice();
            if let Some(column) = columns.get_mut(*place) {
                *column = match self.rows_with_keys_in_extra(batch, steps) {
                    None => self.treat(column, rest, *action, false)?,
                    Some(with_keys) => {
                        let plain = self.treat(column, rest, *action, false)?;
                        let every = self.treat(column, rest, *action, true)?;
                        let rows = with_keys
                            .iter()
                            .enumerate()
                            .map(|(row, with_keys)| (usize::from(*with_keys), row));
                        interleave(&[&plain, &every], &rows.collect::<Vec<_>>())?
                    }
                };
            }
        }
        if let Ok(place) = batch.schema().index_of(EXTRA)
            && let Some(column) = columns.get_mut(place)
        {
            *column = self.extras(column);
        }
        decoded.batch = RecordBatch::try_new(batch.schema(), columns)?;
        Ok(())
    }

    /// Seals a rejected line, which could hold anything. A large one is compressed before.
    fn seal(&self, reject: &mut Reject) {
        // Base64 needs no escapes.
        let sealed = match reject.form {
            RawForm::Packed => self.sealed(&reject.raw, "\",\"form\":\"packed\"}"),
            RawForm::Text if reject.raw.len() >= COMPRESSED_FROM_BYTES => {
                let compressed = zstd::stream::encode_all(&*reject.raw, COMPRESSION_LEVEL).ok();
                compressed.and_then(|raw| self.sealed(&raw, COMPRESSED_END))
            }
            RawForm::Text => self.sealed(&reject.raw, "\"}"),
        };
        let sealed = sealed.unwrap_or_else(|| withheld(reject.raw.len() as u64));
        (reject.raw, reject.form) = (sealed.into(), RawForm::Text);
    }

    fn sealed(&self, raw: &[u8], end: &str) -> Option<String> {
        self.key.seal_between("{\"sealed\":\"", raw, end)
    }

    /// For the rule of a property, returns a mask of the rows in which `_extra` has a key of one; `None`
    /// without such rows. There, the keys in the column are not all keys of the property. The type of
    /// an event is the key for the rule of the user tag.
    fn rows_with_keys_in_extra(&self, batch: &RecordBatch, steps: &[Step]) -> Option<Vec<bool>> {
        let Some(Step::Property { .. } | Step::Tag { .. }) = steps.last() else { return None };
        let extras = strings(batch.column_by_name(EXTRA)?)?;
        let with_keys = |extra: Option<&str>| {
            let Some(extra) = extra else { return false };
            // What cannot be read could be anything.
            let Ok(Members(entries)) = serde_json::from_str(extra) else { return true };
            entries.iter().any(|(pointer, _)| is_key(pointer, steps, self.dotted))
        };
        let with_keys: Vec<bool> = extras.iter().map(with_keys).collect();
        with_keys.contains(&true).then_some(with_keys)
    }

    /// Treats the values that the steps lead to; of properties, `every` one.
    fn treat(
        &self,
        array: &ArrayRef,
        steps: &[Step],
        action: Action,
        every: bool,
    ) -> Result<ArrayRef, ArrowError> {
        let Some((step, rest)) = steps.split_first() else { return self.leaf(array, action) };
        match step {
            Step::Field(place, _) => rewrite::members(array, |columns| {
                if let Some(column) = columns.get_mut(*place) {
                    *column = self.treat(column, rest, action, every)?;
                }
                Ok(())
            }),
            Step::Prefixed { column, key, .. } => rewrite::members(array, |columns| {
                let entry: Vec<Step> = key.iter().cloned().map(Step::Entry).collect();
                if let Some(column) = columns.get_mut(*column) {
                    *column = self.treat(column, &entry, action, every)?;
                }
                Ok(())
            }),
            Step::Elements => {
                rewrite::elements(array, |values| self.treat(values, rest, action, every))
            }
            Step::Property { key, value, name, .. } => rewrite::members(array, |columns| {
                let mask = columns.get(*key).map(|keys| named(keys, &[name], every));
                if let (Some(mask), Some(column)) = (mask, columns.get_mut(*value)) {
                    *column = self.masked(column, &mask, action)?;
                }
                Ok(())
            }),
            Step::Tag { kind, value, .. } => rewrite::members(array, |columns| {
                let mask = columns.get(*kind).map(|kinds| named(kinds, &TAG_EVENTS, every));
                if let (Some(mask), Some(column)) = (mask, columns.get_mut(*value)) {
                    *column = self.masked(column, &mask, action)?;
                }
                Ok(())
            }),
            Step::Entry(name) => rewrite::map_values(array, |keys, values| {
                self.masked(values, &named(keys, &[name], every), action)
            }),
        }
    }

    fn leaf(&self, array: &ArrayRef, action: Action) -> Result<ArrayRef, ArrowError> {
        let every = BooleanArray::from(vec![true; array.len()]);
        self.masked(array, &every, action)
    }

    /// Treats the values where `mask` is true.
    fn masked(
        &self,
        array: &ArrayRef,
        mask: &BooleanArray,
        action: Action,
    ) -> Result<ArrayRef, ArrowError> {
        if action == Action::Drop {
            return match mask.true_count() == array.len() {
                true => Ok(new_null_array(array.data_type(), array.len())),
                false => nullif(array, mask),
            };
        }
        // Checked with the configuration: only strings come here.
        let Some(texts) = strings(array) else {
            return nullif(array, mask);
        };
        let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 32);
        let mut text = String::new();
        for (value, masked) in texts.iter().zip(mask.iter()) {
            match value {
                Some(value) if masked == Some(true) => match self.text(value, action, &mut text) {
                    true => out.append_value(&text),
                    false => out.append_null(),
                },
                value => out.append_option(value),
            }
        }
        Ok(Arc::new(out.finish()))
    }

    /// Writes the treated `value` into `out`; returns false if it becomes null.
    fn text(&self, value: &str, action: Action, out: &mut String) -> bool {
        out.clear();
        match action {
            Action::Drop => return false,
            Action::Hash => self.key.hash(value.as_bytes(), out),
            Action::Truncate => match value.trim().parse() {
                // Writing to a String cannot fail.
                Ok(address) => drop(write!(out, "{}", network(address, self.revision))),
                Err(_) => return false,
            },
        }
        true
    }

    fn extras(&self, column: &ArrayRef) -> ArrayRef {
        let Some(texts) = strings(column) else {
            return new_null_array(column.data_type(), column.len());
        };
        let mut out = StringBuilder::with_capacity(texts.len(), 0);
        for value in texts {
            match value.map(|value| self.extra(value)) {
                Some(Some(text)) => out.append_value(text),
                _ => out.append_null(),
            }
        }
        Arc::new(out.finish())
    }

    /// Returns one row's `_extra`, treated; `None` when nothing is left.
    fn extra(&self, text: &str) -> Option<String> {
        // The decoder wrote it: what cannot be read is not passed on.
        let Members(entries) = serde_json::from_str(text).ok()?;
        let mut out = String::new();
        // A key that is no pointer is the `_id` of an action.
        for (pointer, value) in entries.iter().filter(|(pointer, _)| pointer.starts_with('/')) {
            let mut kept = Some(value.get().to_owned());
            for (steps, action) in &self.rules {
                kept = match (overlap(pointer, steps, self.dotted), action) {
                    (Overlap::None, _) => continue,
                    (Overlap::Whole, Action::Drop) | (Overlap::Partial, _) => None,
                    (Overlap::Whole, action) => {
                        let text: Result<String, _> = serde_json::from_str(value.get());
                        let text = text.unwrap_or_else(|_| value.get().to_owned());
                        let mut treated = String::new();
                        self.text(&text, *action, &mut treated)
                            .then(|| serde_json::Value::from(treated).to_string())
                    }
                };
                break;
            }
            if let Some(value) = kept {
                let between = if out.is_empty() { '{' } else { ',' };
                let pointer = serde_json::Value::from(pointer.as_str());
                let _ = write!(out, "{between}{pointer}:{value}");
            }
        }
        (!out.is_empty()).then(|| out + "}")
    }
}

/// Selects the values that are called any of `names` or may be: those without a key may be.
fn named(keys: &ArrayRef, names: &[&str], every: bool) -> BooleanArray {
    match strings(keys) {
        Some(keys) if !every => {
            keys.iter().map(|key| Some(key.is_none_or(|key| names.contains(&key)))).collect()
        }
        _ => BooleanArray::from(vec![true; keys.len()]),
    }
}

/// What a step makes of the rest of a pointer.
enum Met<'p> {
    /// The pointer goes this way, and this is what follows.
    On(&'p [String]),
    /// The pointer ends before: its value holds the one that the step leads to, and others with it.
    Above,
    /// The pointer goes another way.
    Not,
}

/// Follows a step along the tokens of a pointer.
fn meet<'p>(step: &Step, tokens: &'p [String], dotted: bool) -> Met<'p> {
    let Some((first, rest)) = tokens.split_first() else { return Met::Above };
    let one = |met: bool| if met { Met::On(rest) } else { Met::Not };
    match step {
        Step::Field(_, names)
        | Step::Property { names, .. }
        | Step::Tag { kind_names: names, .. } => meet_names(names, tokens, dotted),
        Step::Prefixed { prefix, key: Some(key), .. } => {
            meet_dotted(&format!("{prefix}{key}"), false, tokens)
        }
        Step::Prefixed { prefix, key: None, .. } => meet_dotted(prefix, true, tokens),
        Step::Elements => one(first.bytes().all(|b| b.is_ascii_digit())),
        Step::Entry(name) => one(first == name),
    }
}

fn meet_names<'p>(names: &[JsonPath], tokens: &'p [String], dotted: bool) -> Met<'p> {
    let rest = names.iter().find_map(|path| tokens.strip_prefix(path.as_slice()));
    match rest {
        Some(rest) => Met::On(rest),
        None if names.iter().any(|path| path.starts_with(tokens)) => Met::Above,
        None if dotted => {
            let mut met = names.iter().map(|path| meet_dotted(&path.join("."), false, tokens));
            met.find(|met| !matches!(met, Met::Not)).unwrap_or(Met::Not)
        }
        None => Met::Not,
    }
}

/// Follows the member `name`, or those whose names begin so, along tokens. The same value may be sent as
/// `{"a.b": …}` and as `{"a": {"b": …}}`; that which the schema does not name is in `_extra`.
fn meet_dotted<'p>(name: &str, is_prefix: bool, tokens: &'p [String]) -> Met<'p> {
    let mut joined = String::new();
    for (at, token) in tokens.iter().enumerate() {
        joined.push_str(token);
        if joined == name || (is_prefix && joined.starts_with(name)) {
            return Met::On(tokens.get(at + 1..).unwrap_or_default());
        }
        joined.push('.');
        if !name.starts_with(&joined) {
            return Met::Not;
        }
    }
    Met::Above
}

/// Tells whether the value at `pointer` of `_extra` is a key of one of the properties that the steps
/// lead to, or may hold one.
fn is_key(pointer: &str, steps: &[Step], dotted: bool) -> bool {
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let mut tokens = tokens.as_slice();
    for step in steps {
        match meet(step, tokens, dotted) {
            Met::On(rest) => tokens = rest,
            // A whole object of `_extra` may hold the key.
            Met::Above => return !tokens.is_empty(),
            Met::Not => return false,
        }
    }
    true
}

/// Returns the overlap of the value at `pointer` of `_extra` with the rule of these steps.
fn overlap(pointer: &str, steps: &[Step], dotted: bool) -> Overlap {
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let mut tokens = tokens.as_slice();
    for step in steps {
        if tokens.is_empty() {
            // The pointer ends above the value: it holds it, and others with it.
            return Overlap::Partial;
        }
        // Which property it is, an entry does not say.
        if matches!(step, Step::Property { .. }) {
            return Overlap::Partial;
        }
        // Of an event, only the name may be a tag.
        if let Step::Tag { value_names, .. } = step {
            return match meet_names(value_names, tokens, dotted) {
                Met::On(_) | Met::Above => Overlap::Partial,
                Met::Not => Overlap::None,
            };
        }
        match meet(step, tokens, dotted) {
            Met::On(rest) => tokens = rest,
            Met::Above => return Overlap::Partial,
            Met::Not => return Overlap::None,
        }
    }
    if tokens.is_empty() { Overlap::Whole } else { Overlap::Partial }
}
