//! Values that come in the forms of their field, and become columns like others of their kind.

use super::{ColumnBuilder, PrimitiveBuilder};
use crate::schema::Form;

/// The builder of a column of numbers, booleans or times whose field says in which forms they come.
#[derive(Debug)]
pub(crate) struct FormedBuilder<R> {
    /// The forms.
    pub(crate) forms: Forms,
    /// The values, of the kind of the field.
    pub(crate) column: ColumnBuilder<R>,
    /// The nanoseconds that each time has beyond its microseconds, where a field takes them. It has a
    /// row for each time that is not null.
    pub(crate) nanos: Option<PrimitiveBuilder<i64>>,
}

/// The forms of a field, for the reader.
#[derive(Debug)]
pub(crate) struct Forms {
    /// Numbers or booleans, as JSON has them.
    pub(crate) plain: bool,
    /// The same as text.
    pub(crate) text: bool,
    /// Text by RFC 3339.
    pub(crate) rfc3339: bool,
    /// The unit of the numbers of a time.
    pub(crate) unit_ns: i64,
}

impl<R> FormedBuilder<R> {
    pub(super) fn new(column: ColumnBuilder<R>, from: &[Form]) -> FormedBuilder<R> {
        let unit_ns = from.iter().find_map(|form| form.unit_ns());
        let plain = |form: &Form| matches!(form, Form::Number | Form::Boolean);
        let forms = Forms {
            plain: unit_ns.is_some() || from.iter().any(plain),
            text: from.contains(&Form::Text),
            rfc3339: from.contains(&Form::Iso8601),
            unit_ns: unit_ns.unwrap_or(1_000_000),
        };
        FormedBuilder { forms, column, nanos: None }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.column.truncate(rows);
        if let Some(nanos) = &mut self.nanos {
            nanos.truncate(rows);
        }
    }
}
