//! Fields that are not plain: values that do not fit, repeated names, aliases.
//!
//! - Of two values of one name, the first has the column and the others are in `_extra`, in order.
//! - Of an alias and the current name, the current name has the column, whichever came first; the
//!   alias's value is in `_extra` under its own name.
//! - Of two aliases, the first has the column.
//! - A value that does not fit has its column all the same, as null, so that a later one of the
//!   same name does not come before it; it is in `_extra` under the name it came with.
//! - A null is as good as missing. It is kept only where it says something: after a value.

use std::ops::Range;

use super::columns::Column;
use super::extra::{Last, Path, Segment};
use super::parse::{Parsed, Parser, Scratch};
use super::plan::{Name, Scope};

/// A column that was filled (or made null) under an alias. If the current name comes, it takes
/// over.
#[derive(Debug)]
pub(super) struct Fill {
    field: usize,
    alias: u16,
    /// Whether the value fitted; if not, it is in `_extra` under its own name already.
    fitted: bool,
    /// Entries of `_extra`: the first is reserved for the value, the others lie within it.
    entries: Range<usize>,
    /// The value, in the body.
    value: Range<usize>,
}

impl Parser<'_> {
    /// A value that does not fit its column: null there, and itself in `_extra`.
    #[cold]
    pub(super) fn misfit(
        &mut self,
        name: &Name,
        column: &mut Column,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        let end = self.skip(at)?;
        column.pad(row + 1);
        self.scratch.extra.push(path, Last::Key(name.text.as_bytes()), at..end);
        self.weigh_extra(at)?;
        Ok(end)
    }

    /// The value of an alias, or of a name whose column has a value in this row. The record's own
    /// fills are those from `fills` on.
    #[cold]
    #[inline(never)]
    #[allow(clippy::too_many_arguments, reason = "all the circumstances of a field")]
    pub(super) fn odd(
        &mut self,
        scope: &Scope,
        id: u16,
        column: &mut Column,
        row: usize,
        at: usize,
        path: &Path<'_>,
        fills: usize,
    ) -> Parsed<usize> {
        let end = self.odd_value(scope, id, column, row, at, path, fills)?;
        self.weigh_extra(at)?;
        Ok(end)
    }

    #[allow(clippy::too_many_arguments, reason = "all the circumstances of a field")]
    fn odd_value(
        &mut self,
        scope: &Scope,
        id: u16,
        column: &mut Column,
        row: usize,
        at: usize,
        path: &Path<'_>,
        fills: usize,
    ) -> Parsed<usize> {
        // Current names have the numbers of their fields.
        let Some((name, current)) =
            scope.name(id).and_then(|name| Some((name, scope.name(name.field as u16)?)))
        else {
            return self.skip(at);
        };
        let null = self.byte(at) == b'n';
        if column.len() <= row {
            if null {
                return self.literal(at, b"null");
            }
            return self.alias(name, current, id, column, row, at, path);
        }
        let open = self.scratch.fills.get(fills..).unwrap_or_default();
        let Some(place) = open.iter().position(|fill| fill.field == name.field) else {
            let end = self.skip(at)?;
            self.scratch.extra.push(path, Last::Key(name.text.as_bytes()), at..end);
            return Ok(end);
        };
        if name.alias {
            return self.second_alias(name, current, id, fills + place, at, path);
        }
        if null {
            return self.literal(at, b"null");
        }
        let fill = self.scratch.fills.swap_remove(fills + place);
        self.oust(&fill, scope, path);
        column.truncate(row);
        match self.value(column, row, at, path, Segment::Field(name))? {
            Some(after) => Ok(after),
            None => self.misfit(name, column, row, at, path),
        }
    }

    /// The first value of a column, under an alias.
    #[allow(clippy::too_many_arguments, reason = "all the circumstances of a field")]
    fn alias(
        &mut self,
        name: &Name,
        current: &Name,
        id: u16,
        column: &mut Column,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        let entry = self.scratch.extra.reserve();
        // After every entry: what comes within the value could pass over the next count.
        self.weigh_extra(at)?;
        let fitted = self.value(column, row, at, path, Segment::Field(current))?;
        let end = match fitted {
            Some(end) => end,
            None => {
                let end = self.skip(at)?;
                column.pad(row + 1);
                self.scratch.extra.fill(entry, path, Last::Key(name.text.as_bytes()), at..end);
                end
            }
        };
        let Scratch { extra, fills, .. } = &mut self.scratch;
        fills.push(Fill {
            field: name.field,
            alias: id,
            fitted: fitted.is_some(),
            entries: entry..extra.len(),
            value: at..end,
        });
        Ok(end)
    }

    /// Another value of a column that an alias has: of the same alias or of another one.
    fn second_alias(
        &mut self,
        name: &Name,
        current: &Name,
        id: u16,
        fill: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        let end = self.skip(at)?;
        let Scratch { extra, fills, .. } = &mut self.scratch;
        match fills.get(fill).filter(|fill| fill.alias == id && fill.fitted) {
            // It has to come over the first one, which the column has under the current name.
            Some(fill) => {
                extra.push(path, Last::Key(current.text.as_bytes()), at..end);
                extra.mark_repeat(fill.entries.start);
            }
            None => extra.push(path, Last::Key(name.text.as_bytes()), at..end),
        }
        Ok(end)
    }

    /// Moves what an alias filled into `_extra`, under the alias.
    fn oust(&mut self, fill: &Fill, scope: &Scope, path: &Path<'_>) {
        let Some(alias) = scope.name(fill.alias).filter(|_| fill.fitted) else { return };
        let extra = &mut self.scratch.extra;
        extra.kill(fill.entries.start + 1..fill.entries.end);
        let own = Last::Key(alias.text.as_bytes());
        extra.fill(fill.entries.start, path, own, fill.value.clone());
        extra.rename_repeats(fill.entries.start);
    }
}
