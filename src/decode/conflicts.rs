//! Conflicts between values: another type than the column's, repeated names, aliases.
//!
//! - Of two values of one name, the first has the column and the others are in `_extra`, in order.
//! - Of an alias and the current name, the current name has the column, whichever came first; the
//!   alias's value is in `_extra` under its own name.
//! - Of two aliases, the first has the column.
//! - A value of another type has its column all the same, as null, so that a later one of the same
//!   name does not come before it; it is in `_extra` under the name it came with.
//! - A null is as good as missing. It is kept only where it says something: after a value.

use super::extra::{LastStep, Path, PathStep, Pointer};
use super::parser::{AliasedColumn, Parsed, Parser, Scratch};
use super::plan::{Column, FieldNames, Name};

/// A value whose name is an alias, or whose column already has a value in this row.
pub(super) struct Conflict<'c> {
    /// The names of the record, or of the object within it that the value is a member of.
    pub(super) names: &'c FieldNames,
    /// The number of the value's name.
    pub(super) id: u16,
    /// The column that the name stands for.
    pub(super) column: &'c mut Column,
    pub(super) row: usize,
    /// The position of the value in the body.
    pub(super) start: usize,
    /// The path of the record.
    pub(super) path: &'c Path<'c>,
    /// The first entry of [`Scratch::aliased`] that is of this record.
    pub(super) first_aliased: usize,
}

/// The value of a conflict with the names that concern it.
struct Names<'c> {
    /// The name that the value came with.
    own: &'c Name,
    /// The pointer of the column's current name.
    current: &'c Pointer,
}

impl Parser<'_> {
    /// Makes `column` null in row `row` for a value of another type, which stands at `at` and goes
    /// to `_extra`; returns the position after it.
    #[cold]
    pub(super) fn type_mismatch(
        &mut self,
        name: &Name,
        column: &mut Column,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        let end = self.skip(at)?;
        column.pad(row + 1);
        self.scratch.extra.push(path, LastStep::Field(&name.pointer), at..end);
        self.check_extra_cost(at)?;
        Ok(end)
    }

    /// Reads the value of a conflict into its column or `_extra`; returns the position after it.
    #[cold]
    #[inline(never)]
    pub(super) fn conflict(&mut self, conflict: Conflict<'_>) -> Parsed<usize> {
        let start = conflict.start;
        let end = self.resolve(conflict)?;
        self.check_extra_cost(start)?;
        Ok(end)
    }

    fn resolve(&mut self, conflict: Conflict<'_>) -> Parsed<usize> {
        let Conflict { names, id, ref column, row, start, path, first_aliased } = conflict;
        let Some((own, current)) =
            names.name(id).and_then(|own| Some((own, names.current(own.field)?)))
        else {
            return self.skip(start);
        };
        let null = self.byte(start) == b'n';
        if column.len() <= row {
            if null {
                return self.literal(start, b"null");
            }
            return self.first_alias(conflict, &Names { own, current });
        }
        let open = self.scratch.aliased.get(first_aliased..).unwrap_or_default();
        let Some(found) = open.iter().position(|aliased| aliased.field == own.field) else {
            let end = self.skip(start)?;
            self.scratch.extra.push(path, LastStep::Field(&own.pointer), start..end);
            return Ok(end);
        };
        let aliased = first_aliased + found;
        if own.alias {
            return self.later_alias(&conflict, &Names { own, current }, aliased);
        }
        if null {
            return self.literal(start, b"null");
        }
        let aliased = self.scratch.aliased.swap_remove(aliased);
        self.displace_alias(&aliased, names, path);
        let column = conflict.column;
        column.truncate(row);
        match self.value(column, row, start, path, PathStep::Field(&own.pointer))? {
            Some(end) => Ok(end),
            None => self.type_mismatch(own, column, row, start, path),
        }
    }

    /// Reads the first value of a column, which comes under an alias.
    fn first_alias(&mut self, conflict: Conflict<'_>, names: &Names<'_>) -> Parsed<usize> {
        let Conflict { column, row, start, path, .. } = conflict;
        let entry = self.scratch.extra.reserve();
        // After every entry: entries within the value could step over the next check.
        self.check_extra_cost(start)?;
        let fitted = self.value(column, row, start, path, PathStep::Field(names.current))?;
        let end = match fitted {
            Some(end) => end,
            None => {
                let end = self.skip(start)?;
                column.pad(row + 1);
                let own = LastStep::Field(&names.own.pointer);
                self.scratch.extra.fill(entry, path, own, start..end);
                end
            }
        };
        let Scratch { extra, aliased, .. } = &mut self.scratch;
        aliased.push(AliasedColumn {
            field: names.own.field,
            alias: names.own.number,
            fitted: fitted.is_some(),
            entries: entry..extra.len(),
            value: start..end,
        });
        Ok(end)
    }

    /// Reads another alias's value of a column that has one, or a repeated value of the same alias.
    /// `aliased` is the entry of [`Scratch::aliased`] for the column.
    fn later_alias(
        &mut self,
        conflict: &Conflict<'_>,
        names: &Names<'_>,
        aliased: usize,
    ) -> Parsed<usize> {
        let Conflict { start, path, .. } = *conflict;
        let end = self.skip(start)?;
        let Scratch { extra, aliased: all, .. } = &mut self.scratch;
        match all.get(aliased).filter(|first| first.alias == names.own.number && first.fitted) {
            // It has to come over the first one, which the column has under the current name.
            Some(first) => {
                extra.push(path, LastStep::Field(names.current), start..end);
                extra.mark_repeat(first.entries.start);
            }
            None => extra.push(path, LastStep::Field(&names.own.pointer), start..end),
        }
        Ok(end)
    }

    /// Moves the value of an alias from its column into `_extra`, under the alias.
    pub(super) fn displace_alias(
        &mut self,
        aliased: &AliasedColumn,
        names: &FieldNames,
        path: &Path<'_>,
    ) {
        let Some(alias) = names.pointer(aliased.alias).filter(|_| aliased.fitted) else { return };
        let extra = &mut self.scratch.extra;
        extra.discard(aliased.entries.start + 1..aliased.entries.end);
        let own = LastStep::Field(alias);
        extra.fill(aliased.entries.start, path, own, aliased.value.clone());
        extra.rename_repeats(aliased.entries.start);
    }
}
