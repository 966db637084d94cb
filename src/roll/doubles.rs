//! The rows of a roll that are left out, since they equal others ([`crate::dedup`]).

use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::decode_workers::TableRows;
use crate::dedup::{Candidate, Fingerprints, Index, LeftOut, Redone};
use crate::record::{BodyRows, Roll, Seq};
use crate::table::{TableId, Tables};

/// Rows that are left out at which a roll ends.
const MANY_LEFT_OUT: usize = 300_000;
/// Most rows that a roll leaves out: its seal names them, in a third of what a seal may have. A roll ends
/// between bodies, and a body may have millions.
const MOST_LEFT_OUT: usize = 400_000;

/// The way in which it is decided what a roll leaves out.
#[derive(Clone, Default)]
pub(crate) enum Dedup {
    /// Nothing is left out.
    #[default]
    Off,
    /// An index decides. Rolls are filled for the first time.
    Decide(Arc<Index>),
    /// A sealed roll leaves out these rows.
    Sealed(LeftOut),
}

impl Dedup {
    /// Returns what makes the fingerprints of each table, by id; none of tables that have no use for them.
    pub(super) fn fingerprints(&self, tables: &Tables) -> Vec<Option<Fingerprints>> {
        let Dedup::Decide(index) = self else { return Vec::new() };
        let specs = tables.specs().iter();
        let of = |name: &str| Fingerprints::new(name, index.key());
        specs.map(|spec| spec.dedup_window_ms.map(|_| of(&spec.name))).collect()
    }
}

/// Leaves out rows of one roll after the other.
pub(super) struct Doubles {
    how: How,
    /// By id.
    tables: Vec<(TableId, TableDoubles)>,
}

enum How {
    Off,
    /// At most `most` rows are left out of a roll.
    Decide {
        index: Arc<Index>,
        left_out: LeftOut,
        most: usize,
    },
    Sealed(Redone),
}

/// The state of one table.
#[derive(Clone, Debug, Default)]
struct TableDoubles {
    /// The window, in microseconds; none for a table of which nothing is left out.
    window_us: Option<i64>,
    /// The last body, and its rows so far.
    last: Option<(Seq, u64)>,
    /// Rows of the open roll that were left out.
    left_out: u64,
    /// The table that its rows are made from, if it is a flat one.
    parent: Option<TableId>,
    /// Rows of the part's batch that stay; none if all of them do.
    stays: Option<Vec<bool>>,
}

impl Doubles {
    pub(super) fn new(dedup: Dedup, tables: &Tables) -> Doubles {
        let how = match dedup {
            Dedup::Off => How::Off,
            Dedup::Decide(index) => {
                How::Decide { index, left_out: LeftOut::default(), most: MOST_LEFT_OUT }
            }
            Dedup::Sealed(list) => How::Sealed(Redone::new(list)),
        };
        let window_us = |ms: u64| i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX);
        let all = tables;
        let tables = tables.iter().map(|(id, spec)| {
            let window_us = spec.dedup_window_ms.map(window_us);
            let parent = spec.rows.parent().and_then(|parent| all.id(parent));
            (id, TableDoubles { window_us, parent, ..TableDoubles::default() })
        });
        Doubles { how, tables: tables.collect() }
    }

    /// Begins the next part.
    pub(super) fn begin_part(&mut self) {
        self.tables.iter_mut().for_each(|(_, table)| table.stays = None);
    }

    /// Leaves out doubles among rows of `roll`, and rows of flat tables that were made of them. Returns how
    /// many documents.
    ///
    /// # Errors
    /// Arrow's; a table of another list.
    pub(super) fn leave_out(&mut self, roll: Roll, rows: &mut TableRows) -> anyhow::Result<u64> {
        if let Some(of) = &mut rows.of {
            return leave_out_of(&self.tables, rows.table, of, &mut rows.batch, &mut rows.bodies);
        }
        let table = self.tables.get_mut(rows.table.index());
        let (_, table) = table.context("a table of another list")?;
        let doubles = match &mut self.how {
            How::Off => return Ok(0),
            How::Decide { index, left_out, most } => {
                let Some(window_us) = table.window_us else { return Ok(0) };
                let numbered = numbered(&rows.bodies, &mut table.last);
                let rows = candidates(&numbered, &rows.fingerprints);
                let mut doubles = index.decide(roll, window_us, &rows);
                // The others land.
                doubles.truncate(most.saturating_sub(left_out.len()));
                for (at, first) in &doubles {
                    let Some((body, number)) = numbered.get(*at) else { continue };
                    left_out.add(body.seq, *number, *first);
                }
                doubles.into_iter().map(|(at, _)| at).collect()
            }
            How::Sealed(redone) => sealed(redone, &numbered(&rows.bodies, &mut table.last)),
        };
        if !doubles.is_empty() {
            let mut stays = vec![true; rows.batch.num_rows()];
            for row in &doubles {
                if let Some(stays) = stays.get_mut(*row) {
                    *stays = false;
                }
            }
            keep(&stays, &mut rows.batch, &mut rows.bodies)?;
            table.stays = Some(stays);
        }
        let count = doubles.len() as u64;
        table.left_out += count;
        Ok(count)
    }

    /// Returns true when the roll ends, as it has as many rows as may be held or left out.
    pub(super) fn is_full(&self, roll: Roll) -> bool {
        match &self.how {
            How::Decide { index, left_out, .. } => {
                left_out.len() >= MANY_LEFT_OUT || index.open_rows(roll) >= index.most_open_rows()
            }
            How::Off | How::Sealed(_) => false,
        }
    }

    /// Ends the roll. Returns the rows that it leaves out, and their number by table.
    pub(super) fn finish(&mut self) -> (LeftOut, Vec<(TableId, u64)>) {
        let counts = self.tables.iter_mut();
        let counts = counts.map(|(table, doubles)| (*table, std::mem::take(&mut doubles.left_out)));
        let counts = counts.collect();
        let left_out = match &mut self.how {
            How::Decide { left_out, .. } => std::mem::take(left_out),
            How::Off | How::Sealed(_) => LeftOut::default(),
        };
        (left_out, counts)
    }
}

/// Numbers rows within their bodies, the first of which may have begun before.
fn numbered(bodies: &[BodyRows], last: &mut Option<(Seq, u64)>) -> Vec<(BodyRows, u64)> {
    let mut all = Vec::with_capacity(bodies.iter().map(|body| body.rows).sum());
    for body in bodies {
        let before = last.filter(|(seq, _)| *seq == body.seq).map_or(0, |(_, rows)| rows);
        let rows = body.rows as u64;
        all.extend((before..before + rows).map(|number| (*body, number)));
        *last = Some((body.seq, before + rows));
    }
    all
}

fn candidates(rows: &[(BodyRows, u64)], fingerprints: &[Option<u128>]) -> Vec<Option<Candidate>> {
    let pairs = rows.iter().zip(fingerprints);
    let candidate = |((body, _), fingerprint): (&(BodyRows, u64), &Option<u128>)| {
        let fingerprint = (*fingerprint)?;
        Some(Candidate { fingerprint, seq: body.seq, received_at: body.received_at })
    };
    pairs.map(candidate).collect()
}

fn sealed(redone: &mut Redone, rows: &[(BodyRows, u64)]) -> Vec<usize> {
    let mut left_out = Vec::new();
    for (at, (body, number)) in rows.iter().enumerate() {
        redone.begin(body.seq);
        if redone.leaves_out(body.seq, *number) {
            left_out.push(at);
        }
    }
    left_out
}

/// Leaves out rows of the flat table `table` whose parents, the rows `of`, are left out.
fn leave_out_of(
    tables: &[(TableId, TableDoubles)],
    table: TableId,
    of: &mut Vec<u32>,
    batch: &mut RecordBatch,
    bodies: &mut Vec<BodyRows>,
) -> anyhow::Result<u64> {
    let get = |table: TableId| tables.get(table.index()).map(|(_, table)| table);
    let parent = get(table).and_then(|table| table.parent);
    let Some(parents) = parent.and_then(get).and_then(|parent| parent.stays.as_ref()) else {
        return Ok(0);
    };
    let stays = |parent: &u32| parents.get(*parent as usize).copied().unwrap_or(true);
    let kept: Vec<bool> = of.iter().map(stays).collect();
    keep(&kept, batch, bodies)?;
    of.retain(stays);
    Ok(0)
}

/// Keeps the rows that stay.
fn keep(stays: &[bool], batch: &mut RecordBatch, bodies: &mut Vec<BodyRows>) -> anyhow::Result<()> {
    let mut from = 0;
    for body in bodies.iter_mut() {
        let end = from + body.rows;
        body.rows = stays.get(from..end).unwrap_or_default().iter().filter(|stays| **stays).count();
        from = end;
    }
    bodies.retain(|body| body.rows > 0);
    *batch = filter_record_batch(batch, &BooleanArray::from(stays.to_vec()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoder;
    use crate::dedup::IndexOptions;
    use crate::dedup::tests::fake::FakeFile;
    use crate::record::{Body, Form, Micros};
    use crate::schema::TableSchema;
    use crate::search::Dice;
    use crate::table::{Rows, Spec, Template};

    /// Decodes one row for each of `bodies`.
    fn rows(table: TableId, bodies: &[u64], of: Option<Vec<u32>>) -> TableRows {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let mut decoder = Decoder::new(schema, "n".into());
        for seq in bodies {
            decoder.push(&Body {
                seq: Seq(*seq),
                received_at: Micros(0),
                table: "p".into(),
                form: Form::Ndjson,
                first_line: 1,
                bytes: format!("{{\"userId\":\"{seq}\"}}").into(),
                stored: None,
            });
        }
        let decoded = decoder.finish();
        let (batch, bodies) = (decoded.batch, decoded.bodies);
        TableRows { table, batch, bodies, of, fingerprints: Vec::new() }
    }

    fn seqs(rows: &TableRows) -> Vec<(u64, usize)> {
        rows.bodies.iter().map(|body| (body.seq.0, body.rows)).collect()
    }

    #[test]
    fn rows_of_flat_tables_go_with_their_parents_of_the_same_part() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let spec = |name: &str| Spec::new(name, Arc::clone(&schema), Template::default());
        let from = Rows::Exploded { parent: "p".into(), column: "userActions".into() };
        let specs = vec![spec("p"), Spec { rows: from, ..spec("c") }, spec("other")];
        let tables = Tables::new(specs).unwrap();
        let id = |name: &str| tables.id(name).unwrap();
        let mut list = LeftOut::default();
        list.add(Seq(2), 0, None);
        list.add(Seq(7), 1, None);
        let mut doubles = Doubles::new(Dedup::Sealed(list), &tables);
        doubles.begin_part();
        let mut parents = rows(id("p"), &[1, 2, 3, 7], None);
        assert_eq!(doubles.leave_out(Roll(1), &mut parents).unwrap(), 1);
        assert_eq!((seqs(&parents), parents.batch.num_rows()), (vec![(1, 1), (3, 1), (7, 1)], 3));
        let mut children = rows(id("c"), &[1, 1, 2, 2, 3], Some(vec![0, 0, 1, 1, 2]));
        assert_eq!(doubles.leave_out(Roll(1), &mut children).unwrap(), 0);
        assert_eq!((seqs(&children), children.batch.num_rows()), (vec![(1, 2), (3, 1)], 3));
        assert_eq!(children.of, Some(vec![0, 0, 2]));
        let mut all_gone = rows(id("c"), &[2], Some(vec![1]));
        doubles.leave_out(Roll(1), &mut all_gone).unwrap();
        assert_eq!((seqs(&all_gone), all_gone.batch.num_rows()), (vec![], 0));
        // Body 7 goes on in the next part, with its second row.
        doubles.begin_part();
        let mut parents = rows(id("p"), &[7, 8], None);
        assert_eq!(doubles.leave_out(Roll(1), &mut parents).unwrap(), 1);
        assert_eq!(seqs(&parents), [(8, 1)]);
        let mut children = rows(id("c"), &[7, 8], Some(vec![0, 1]));
        doubles.leave_out(Roll(1), &mut children).unwrap();
        assert_eq!(seqs(&children), [(8, 1)]);
        let (_, counts) = doubles.finish();
        assert_eq!(counts.iter().find(|(table, _)| *table == id("p")), Some(&(id("p"), 2)));
        assert_eq!(counts.iter().map(|(_, rows)| rows).sum::<u64>(), 2, "documents are counted");
    }

    #[test]
    fn a_roll_leaves_out_no_more_rows_than_its_seal_can_name() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let spec = Spec::new("p", Arc::clone(&schema), Template::default());
        let tables = Tables::new(vec![Spec { dedup_window_ms: Some(1_000), ..spec }]).unwrap();
        let options = IndexOptions { window_us: 1_000_000, max_rows: 1_000, memory_bytes: 1 << 26 };
        let index = Index::on_fake(FakeFile::default(), "n", options);
        index.begin(Seq(1)).unwrap();
        let mut doubles = Doubles::new(Dedup::Decide(Arc::new(index)), &tables);
        if let How::Decide { most, .. } = &mut doubles.how {
            *most = 3;
        }
        let mut leave_out = |bodies: &[u64]| {
            doubles.begin_part();
            let mut rows = rows(TableId::FIRST, bodies, None);
            rows.fingerprints = vec![Some(7); bodies.len()];
            let left_out = doubles.leave_out(Roll(1), &mut rows).unwrap();
            (left_out, seqs(&rows))
        };
        assert_eq!(leave_out(&[1, 2, 3]), (2, vec![(1, 1)]));
        assert_eq!(leave_out(&[4, 5, 6]), (1, vec![(5, 1), (6, 1)]), "the others land");
        let (list, counts) = doubles.finish();
        assert_eq!((list.len(), counts[0].1), (3, 3));
    }

    #[test]
    fn the_longest_list_takes_half_of_a_seal_at_most() {
        let (mut list, mut dice) = (LeftOut::default(), Dice(1));
        // The worst case: each in a body of its own, far behind its first.
        for at in 0..MOST_LEFT_OUT as u64 {
            let body = at * 300 + dice.below(300) + (1 << 40);
            list.add(Seq(body), dice.below(1 << 20), Some(Seq(body - dice.below(1 << 28))));
        }
        let bytes = list.to_text().unwrap().len();
        assert!(bytes < 8 << 20, "{bytes}");
        assert_eq!(LeftOut::from_text(&list.to_text().unwrap()).unwrap(), list);
    }
}
