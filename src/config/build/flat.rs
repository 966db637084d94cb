//! Flat tables, of the tables that documents are for.

use super::builder::Builder;
use crate::config::list;
use crate::config::names::table_name;
use crate::config::source::Source;
use crate::spelling;
use crate::table::Spec;
use crate::table::flat::{self, Flat};

impl Builder<'_> {
    /// Builds the flat tables of `first` and `more`.
    pub(super) fn flat_tables(&mut self, first: &Spec, more: &[Spec]) -> Vec<Spec> {
        let names = self.names(&list::FLAT_TABLES);
        // The errors of a table are told already.
        let parents = || std::iter::once(first).chain(more).filter(|t| !t.schema.fields.is_empty());
        if names.is_empty() || parents().next().is_none() {
            return Vec::new();
        }
        let place = self.place(&list::FLAT_TABLES);
        let all: Vec<(String, &Spec, Flat)> = parents()
            .flat_map(|parent| Flat::ALL.map(|flat| (flat.table(&parent.name), parent, flat)))
            .collect();
        let columns = self.names(&list::FLAT_COLUMNS);
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut made: Vec<Spec> = Vec::new();
        let mut used: Vec<&Spec> = Vec::new();
        for name in &names {
            let Some((_, parent, flat)) = all.iter().find(|(flat, ..)| flat == name) else {
                let can = |of: &&(String, &Spec, Flat)| of.2.spec(of.1, &columns).is_ok();
                let known: Vec<&str> = all.iter().filter(can).map(|of| of.0.as_str()).collect();
                let why = match spelling::meant(name, known.iter().map(|known| (*known, *known))) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if known.is_empty() => {
                        "no table has the lists of sessions that they are made of".to_owned()
                    }
                    None => format!("those of this configuration are {}", known.join(", ")),
                };
                self.refuse(place.clone(), format!("there is no flat table {name}; {why}"));
                continue;
            };
            let taken = |table: &Spec| *table.name == **name;
            if made.iter().any(taken) {
                continue;
            }
            let spec = if parents().any(taken) {
                Err("there is a table of documents with this name already".to_owned())
            } else {
                table_name(name).and_then(|_| flat.spec(parent, &columns))
            };
            match spec {
                Ok(spec) => {
                    used.push(parent);
                    made.push(spec);
                }
                Err(why) => self.refuse(place.clone(), format!("{name}: {why}")),
            }
        }
        self.flat_columns(&columns, &used);
        made
    }

    /// Refuses columns that none of `parents` can repeat, unless they are those of the default.
    fn flat_columns(&mut self, columns: &[&str], parents: &[&Spec]) {
        if parents.is_empty() || matches!(self.source_of(&list::FLAT_COLUMNS), Source::Default) {
            return;
        }
        for name in columns {
            let fields = || parents.iter().flat_map(|parent| &parent.schema.fields);
            if fields().any(|field| field.name == *name && flat::is_flat_column(field)) {
                continue;
            }
            let why = match fields().any(|field| field.name == *name) {
                true => format!("{name} is a list or a record, and no row can repeat it"),
                false => {
                    let known = fields().filter(|field| flat::is_flat_column(field));
                    let known = known.map(|field| (field.name.as_str(), field.name.as_str()));
                    let meant = spelling::meant(name, known);
                    let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
                    format!("no table has a column {name}{}", meant.unwrap_or_default())
                }
            };
            self.refuse(self.place(&list::FLAT_COLUMNS), why);
        }
    }
}
