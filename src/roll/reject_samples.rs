//! Samples of rejects for those who watch: some lines of a roll that are no rows, without their values.
//!
//! The rejects come as the privacy rules left them. What is kept is bounded, whatever comes: the lines by
//! table and code, and a few samples of each.

use std::collections::{BTreeMap, HashSet};

use crate::decode::{RawForm, Reject, RejectCode};
use crate::fields::masked_line;
use crate::packed_lines;
use crate::privacy;
use crate::record::Roll;
use crate::schema::{Field, Kind, TableSchema};
use crate::status::{RejectSample, RollEvent};
use crate::table::{TableId, Tables};

/// Samples of a table between two times that they are taken.
const MOST_SAMPLES: usize = 8;
/// Of one code.
const MOST_OF_CODE: usize = 3;
/// The reason of a body that was set aside: its own may hold the text of any error.
const SET_ASIDE: &str = "no roll could be made of this body; the log says why";

/// Rejects since they were last taken.
#[derive(Default)]
pub(super) struct RejectSamples {
    found: BTreeMap<TableId, Found>,
    /// Names of fields by table, of those that had rejects.
    names: BTreeMap<TableId, HashSet<String>>,
}

#[derive(Default)]
struct Found {
    lines: BTreeMap<RejectCode, u64>,
    samples: Vec<(RejectCode, RejectSample)>,
}

impl RejectSamples {
    /// Takes note of rejects of a table.
    pub(super) fn add(&mut self, table: TableId, schema: Option<&TableSchema>, rejects: &[Reject]) {
        let found = self.found.entry(table).or_default();
        let names = self.names.entry(table).or_insert_with(|| {
            let mut names = HashSet::new();
            schema.into_iter().for_each(|schema| collect(&schema.fields, &mut names));
            names
        });
        for reject in rejects {
            *found.lines.entry(reject.code).or_default() += reject.lines;
            let of_code = found.samples.iter().filter(|(code, _)| *code == reject.code).count();
            if found.samples.len() < MOST_SAMPLES && of_code < MOST_OF_CODE {
                found.samples.push((reject.code, sample(reject, names)));
            }
        }
    }

    /// Returns what was noted since the last call, as events of `roll`.
    pub(super) fn take(&mut self, roll: Roll, tables: &Tables) -> Vec<RollEvent> {
        let found = std::mem::take(&mut self.found).into_iter();
        let events = found.filter_map(|(id, found)| {
            let table = tables.get(id)?.name.to_string();
            let lines = found.lines.iter().map(|(code, lines)| (code.as_str(), *lines)).collect();
            let samples = found.samples.into_iter().map(|(_, sample)| sample).collect();
            Some(RollEvent::Rejected { roll, table, lines, samples })
        });
        events.collect()
    }
}

fn sample(reject: &Reject, names: &HashSet<String>) -> RejectSample {
    let reason = match reject.code {
        RejectCode::SetAside => SET_ASIDE.to_owned(),
        _ => reject.reason.clone(),
    };
    let first = match reject.form {
        RawForm::Text => Some(reject.raw.clone()),
        RawForm::Packed => packed_lines::first(&reject.raw),
    };
    let is_sealed =
        std::str::from_utf8(&reject.raw).is_ok_and(|raw| privacy::sealed(raw).is_some());
    let masked = first.filter(|_| reject.stored.is_none() && !is_sealed).map(|line| {
        let fault = byte_of(&reason).filter(|_| reject.code != RejectCode::SetAside);
        masked_line(&line, fault, |name| names.contains(name))
    });
    let bytes = match &reject.stored {
        Some(stored) => stored.range.end - stored.range.start,
        None => reject.raw.len() as u64,
    };
    RejectSample {
        code: reject.code.as_str(),
        reason,
        seq: reject.seq,
        line: reject.line,
        lines: reject.lines,
        bytes,
        masked,
    }
}

/// Returns the byte that a reason names, counted from 0.
fn byte_of(reason: &str) -> Option<usize> {
    let (_, rest) = reason.split_once(" at byte ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// Collects the names by which documents may have these fields.
fn collect(fields: &[Field], names: &mut HashSet<String>) {
    for field in fields {
        names.insert(field.name.clone());
        names.extend(field.aliases.iter().cloned());
        let mut kind = &field.kind;
        while let Kind::List(of) = kind {
            kind = of;
        }
        if let Kind::Struct(fields) = kind {
            collect(fields, names);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::Seq;
    use crate::table::Spec;

    fn reject(code: RejectCode, reason: &str, raw: &str) -> Reject {
        Reject {
            seq: Seq(7),
            lines: 1,
            line: 3,
            last_line: 3,
            code,
            reason: reason.to_owned(),
            raw: Bytes::copy_from_slice(raw.as_bytes()),
            stored: None,
            form: RawForm::Text,
        }
    }

    fn tables() -> Tables {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let partition =
            crate::table::Template::parse("date={startTime:%Y-%m-%d}", &schema).unwrap();
        Tables::new(vec![Spec::new("user_sessions", schema, partition)]).unwrap()
    }

    #[test]
    fn samples_are_few_and_show_no_value() {
        let (tables, mut samples) = (tables(), RejectSamples::default());
        let id = tables.id("user_sessions").unwrap();
        let schema = Arc::clone(&tables.get(id).unwrap().schema);
        let broken = reject(
            RejectCode::NotJson,
            "expected ':' after the field name at byte 31",
            r#"{"userId":"ann","userActions" [{"name":"geheim"}]}"#,
        );
        let mut packed = Vec::new();
        ["geheim", "ann"].iter().for_each(|line| packed_lines::push(&mut packed, line.as_bytes()));
        let mut joined = reject(RejectCode::NotObject, "not a JSON object at byte 1", "");
        (joined.raw, joined.form, joined.lines) = (packed.into(), RawForm::Packed, 2);
        let sealed = reject(RejectCode::Truncated, "unexpected end", r#"{"sealed":"ann"}"#);
        let aside = reject(RejectCode::SetAside, "the body was set aside whole: ann", "ann");
        let all = [vec![broken; 100], vec![joined, sealed, aside]].concat();
        samples.add(id, Some(&schema), &all);
        let events = samples.take(Roll(4), &tables);
        let [RollEvent::Rejected { roll, table, lines, samples: shown }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((*roll, &**table), (Roll(4), "user_sessions"));
        let counted = [("not_object", 2), ("not_json", 100), ("truncated", 1), ("set_aside", 1)];
        assert_eq!(lines[..], counted);
        let masked: Vec<_> = shown.iter().map(|sample| sample.masked.as_deref()).collect();
        let broken = Some(r#"{"userId":"…","…" »[{"name":"…"}]}"#);
        assert_eq!(masked, [broken, broken, broken, Some("»aaaaaa"), None, Some("aaa")]);
        let text = format!("{events:?}");
        assert!(!text.contains("ann") && !text.contains("geheim"), "{text}");
        assert!(samples.take(Roll(4), &tables).is_empty(), "taken");
    }

    #[test]
    fn the_byte_is_that_of_the_reason() {
        assert_eq!(byte_of("malformed number at byte 17"), Some(16));
        assert_eq!(byte_of("trailing characters at byte 9 (two documents?)"), Some(8));
        assert_eq!(byte_of("not UTF-8"), None);
    }
}
