//! Joins short rejects of a body, so that the quarantine takes at most twice what was rejected.
//!
//! An entry of the quarantine takes some 130 bytes besides the line, which is much for `{` and little for
//! a session. So a long reject stands alone, and so do the first short ones of a body as long as the table
//! has the allowance ([`super::entry_allowance`]); further ones with one code are joined into one
//! reject, whatever stands between them. It gives every line back (`crate::packed_lines`), and knows how
//! many they are, the first one's line and reason and the last one's line.
//!
//! Rejects are joined before they are sealed, and never across bodies or parts. A part that ends before
//! the body has a megabyte of it or thousands of lines.

use std::collections::BTreeMap;

use super::entry_allowance::EntryAllowance;
use crate::decode::{RawForm, Reject};
use crate::packed_lines;
use crate::record::Seq;
use crate::table::TableId;

/// The least bytes of a reject that always stands alone.
const LONG_BYTES: usize = 512;
/// The most short rejects of a body that stand alone.
const MOST_ALONE: u64 = 100;
/// The bytes at which a joined reject is complete.
const JOINED_BYTES: usize = 64 << 10;

/// Joins rejects, part by part.
pub(crate) struct Joiner<'a> {
    allowance: &'a EntryAllowance,
    /// Of each table, the body of the last short reject, and how many of it stand alone.
    alone: BTreeMap<TableId, (Seq, u64)>,
}

impl<'a> Joiner<'a> {
    /// Makes a joiner for the rejects of one thread.
    pub(crate) fn new(allowance: &'a EntryAllowance) -> Joiner<'a> {
        Joiner { allowance, alone: BTreeMap::new() }
    }

    /// Joins the rejects of a part, which are of `table` and in the order of bodies.
    pub(crate) fn join(&mut self, table: TableId, rejects: Vec<Reject>) -> Vec<Reject> {
        let mut joined = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut body = None;
        for reject in rejects {
            if body.replace(reject.seq) != Some(reject.seq) {
                joined.extend(groups.drain(..).map(Group::finish));
            }
            let is_short =
                reject.raw.len() < LONG_BYTES && reject.lines == 1 && reject.stored.is_none();
            if !is_short || self.stands_alone(table, reject.seq) {
                joined.push(reject);
                continue;
            }
            match groups.iter().position(|group| group.first.code == reject.code) {
                None => groups.push(Group::of(reject)),
                Some(at) => {
                    let complete = groups.get_mut(at).is_some_and(|group| group.push(&reject));
                    if complete {
                        joined.push(groups.swap_remove(at).finish());
                    }
                }
            }
        }
        joined.extend(groups.into_iter().map(Group::finish));
        joined
    }

    fn stands_alone(&mut self, table: TableId, seq: Seq) -> bool {
        let (body, alone) = self.alone.entry(table).or_insert((seq, 0));
        if *body != seq {
            (*body, *alone) = (seq, 0);
        }
        *alone += 1;
        *alone <= MOST_ALONE && self.allowance.take(table)
    }
}

/// Rejects of one body and code.
struct Group {
    first: Reject,
    lines: u64,
    last_line: u64,
    has_one_reason: bool,
    packed: Vec<u8>,
}

impl Group {
    fn of(first: Reject) -> Group {
        let mut packed = Vec::new();
        packed_lines::push(&mut packed, &first.raw);
        let last_line = first.last_line;
        Group { first, lines: 1, last_line, has_one_reason: true, packed }
    }

    /// Adds a reject; returns whether the group is complete.
    fn push(&mut self, reject: &Reject) -> bool {
        packed_lines::push(&mut self.packed, &reject.raw);
        self.lines += reject.lines;
        self.last_line = self.last_line.max(reject.last_line);
        self.has_one_reason &= self.first.reason == reject.reason;
        self.packed.len() >= JOINED_BYTES
    }

    fn finish(self) -> Reject {
        let Group { first, lines, last_line, has_one_reason, packed } = self;
        if lines == 1 {
            return first;
        }
        let reason = match has_one_reason {
            true => first.reason,
            false => format!("{} (of the first line; others differ)", first.reason),
        };
        let (raw, form) = (packed.into(), RawForm::Packed);
        Reject { lines, last_line, reason, raw, form, ..first }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::clock::ManualClock;
    use crate::decode::{Decoder, RejectCode};
    use crate::record::{Body, Form, Micros};
    use crate::schema::TableSchema;
    use crate::table::{Spec, Tables, Template};

    fn tables() -> Tables {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        Tables::new(vec![Spec::new("a", schema, Template::default())]).unwrap()
    }

    fn allowance() -> EntryAllowance {
        EntryAllowance::new(Arc::new(ManualClock::at(Micros(0))))
    }

    /// Rejects of a body of these lines.
    fn rejects(seq: u64, lines: &[u8]) -> Vec<Reject> {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let mut decoder = Decoder::new(schema, "n".into());
        decoder.push(&Body {
            seq: Seq(seq),
            received_at: Micros(0),
            table: "a".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::copy_from_slice(lines),
            stored: None,
        });
        decoder.finish().rejects
    }

    fn lines_of(reject: &Reject) -> Vec<Bytes> {
        match reject.form {
            RawForm::Text => vec![reject.raw.clone()],
            RawForm::Packed => packed_lines::unpack(&reject.raw).unwrap(),
        }
    }

    #[test]
    fn the_first_hundred_of_a_body_stand_alone_and_the_others_are_one_of_each_code() {
        let (allowance, table) = (allowance(), tables().id("a").unwrap());
        let mut joiner = Joiner::new(&allowance);
        // Rows between them, so that the body is read to its end.
        let row = format!("{{\"userId\":\"{}\"}}\n", "u".repeat(40));
        let text: String = (0..150).map(|n| format!("{row}no {n}\n{row}{{\"a\" {n}\n")).collect();
        let came = rejects(1, text.as_bytes());
        assert_eq!(came.len(), 300);
        // In parts, the hundred are of the body and not of the part.
        let (first, second) = came.split_at(60);
        let first = joiner.join(table, first.to_vec());
        assert_eq!(first, came[..60]);
        let second = joiner.join(table, second.to_vec());
        assert_eq!(second[..40], came[60..100]);
        let [objects, others] = &second[40..] else { panic!("{} entries", second.len()) };
        let (others, objects) = match objects.code {
            RejectCode::NotObject => (objects, others),
            _ => (others, objects),
        };
        assert_eq!((others.code, others.lines), (RejectCode::NotObject, 100));
        assert_eq!((others.line, others.last_line), (202, 598));
        assert_eq!(others.reason, "not a JSON object at byte 1");
        let text: Vec<Bytes> = (50..150).map(|n| format!("no {n}").into()).collect();
        assert_eq!(lines_of(others), text);
        assert_eq!((objects.code, objects.lines), (RejectCode::NotJson, 100));
        // The next body has a hundred of its own.
        assert_eq!(joiner.join(table, rejects(2, b"x\ny\n")).len(), 2);
    }

    #[test]
    fn without_allowance_short_lines_are_joined_from_the_first_and_long_ones_never() {
        let (allowance, table) = (allowance(), tables().id("a").unwrap());
        while allowance.take(table) {}
        let mut joiner = Joiner::new(&allowance);
        let long = "y".repeat(LONG_BYTES);
        let mut came = rejects(1, format!("x\n{long}\nxx\n").as_bytes());
        came.extend(rejects(2, b"x\n"));
        let joined = joiner.join(table, came);
        let found: Vec<_> =
            joined.iter().map(|r| (r.seq.0, r.lines, r.line, r.last_line)).collect();
        assert_eq!(found, [(1, 1, 2, 2), (1, 2, 1, 3), (2, 1, 1, 1)]);
        assert_eq!((joined[2].form, &*joined[2].raw), (RawForm::Text, &b"x"[..]));
        assert_eq!(lines_of(&joined[1]), ["x", "xx"]);
    }

    #[test]
    fn reasons_that_differ_are_said_to_and_a_joined_reject_has_a_bound() {
        let (allowance, table) = (allowance(), tables().id("a").unwrap());
        while allowance.take(table) {}
        let joined = Joiner::new(&allowance).join(table, rejects(1, b"{\"a\" 1\n{\"ab\" 1\n"));
        assert_eq!(joined.len(), 1);
        let reason =
            "expected ':' after the field name at byte 6 (of the first line; others differ)";
        assert_eq!(joined[0].reason, reason);

        let line = format!("{}\n", "z".repeat(400));
        let joined = Joiner::new(&allowance).join(table, rejects(1, line.repeat(1000).as_bytes()));
        assert!((7..9).contains(&joined.len()), "{}", joined.len());
        assert_eq!(joined.iter().map(|reject| reject.lines).sum::<u64>(), 1000);
        assert!(joined.iter().all(|reject| reject.raw.len() < JOINED_BYTES + 512));
    }
}
