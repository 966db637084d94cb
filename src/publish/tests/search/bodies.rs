//! The bodies of a history.

use super::super::harness::{SECOND, TABLE, line, session, with_plan};
use super::History;
use crate::clock::Clock as _;
use crate::record::Micros;

/// A body, and its outcome.
pub(super) struct Asked {
    pub(super) table: &'static str,
    pub(super) text: String,
    pub(super) lines: Vec<Line>,
    /// The time at which it was asked for.
    pub(super) at: Micros,
    pub(super) acked: bool,
    pub(super) faulty: bool,
}

pub(super) struct Line {
    pub(super) id: String,
    /// Other bodies may have it too.
    pub(super) is_shared: bool,
}

impl Asked {
    /// Returns the ids of lines that no other body has.
    pub(super) fn own(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| !line.is_shared).map(|line| &*line.id)
    }
}

impl History {
    fn line(&self, id: &str, day: u64, broken: bool) -> String {
        let has_sessions = self.harness.table.schema.fields.iter().any(|f| f.name == "events");
        let line = if has_sessions { session(id, day, broken) } else { line(id, day, broken) };
        match self.harness.promote_after {
            Some(_) if !broken => with_plan(&line, id),
            _ => line,
        }
    }

    /// A new body, or one that was asked for before.
    pub(super) fn body(&mut self) -> usize {
        let since = self.doubles.asked_since();
        if self.dice.one_in(4) && self.asked.len() > since {
            let among = self.asked.len() as u64;
            return (among - 1 - self.dice.below((among - since as u64).min(6))) as usize;
        }
        let number = self.asked.len();
        let among = self.faults.len() as u64;
        let faulty = among > 0 && self.dice.one_in(12);
        let fault =
            if faulty { self.faults[self.dice.below(among) as usize] } else { Default::default() };
        let mut lines = Vec::new();
        for at in 0..1 + self.dice.below(6) {
            let id = format!("b{number}{fault}-{at}");
            let (day, broken) = (self.dice.below(3), !faulty && self.dice.one_in(8));
            let text = self.line(&id, day, broken);
            lines.push((Line { id, is_shared: false }, text));
        }
        self.add(lines, faulty)
    }

    /// Adds a body of these lines and of sessions that others have too.
    fn add(&mut self, mut lines: Vec<(Line, String)>, faulty: bool) -> usize {
        let second = self.harness.second.is_some() && self.doubles.dice.one_in(2);
        for number in self.doubles.sessions() {
            let (id, is_shared) = (format!("s{number}"), true);
            let mut text = self.line(&id, number % 3, false);
            if number % 2 == 1 {
                // One without the field that becomes a column.
                text = session(&id, number % 3, false);
            }
            let at = self.doubles.dice.below(lines.len() as u64 + 1) as usize;
            lines.insert(at, (Line { id, is_shared }, text));
        }
        let (lines, texts): (Vec<Line>, Vec<String>) = lines.into_iter().unzip();
        let (table, text) = (if second { SECOND } else { TABLE }, texts.concat());
        let at = self.harness.clock.now();
        self.asked.push(Asked { table, text, lines, at, acked: false, faulty });
        self.asked.len() - 1
    }

    /// A body that was not asked for before.
    pub(super) fn fresh(&mut self) -> usize {
        let id = format!("c{}-0", self.asked.len());
        let day = self.dice.below(3);
        let text = self.line(&id, day, false);
        self.add(vec![(Line { id, is_shared: false }, text)], false)
    }
}
