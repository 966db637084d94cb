//! What is checked beside the settings: TLS, endpoints, more tables, rules for personal data.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::endpoints::{self, Defaults};
use super::super::forms::{http_path, table_name};
use super::super::list;
use super::super::raw::Source;
use super::super::sections::{self, Lines};
use super::Checker;
use crate::http::Endpoint;
use crate::privacy;
use crate::schema::{self, TableSchema};
use crate::table::{Spec, Template};
use crate::tls::TlsFiles;

impl Checker<'_> {
    pub(super) fn tls(&mut self) -> Option<TlsFiles> {
        let (cert, key) = (self.file(&list::TLS_CERT), self.file(&list::TLS_KEY));
        let client_ca = self.file(&list::TLS_CLIENT_CA);
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca }),
            (None, None) if client_ca.is_none() => None,
            (cert, _) => {
                let missing = if cert.is_none() { &list::TLS_CERT } else { &list::TLS_KEY };
                let place = self.place(missing);
                let why = format!("TLS needs it as well: {}", Source::Flag.example(missing));
                self.refuse(place, why);
                None
            }
        }
    }

    pub(super) fn endpoints(&mut self, credentials: bool) -> Vec<Endpoint> {
        let defaults = Defaults {
            path: self.parsed(&list::PATH, http_path),
            // What may be wrong with it is said once, where the table is made.
            table: table_name(&self.typed(&list::TABLE).text).unwrap_or_default().into(),
            body_limit_bytes: self.size(&list::BODY_LIMIT),
            inflated_limit_bytes: self.size(&list::INFLATED_LIMIT),
            credentials,
        };
        let sections = self.raw.sections.iter().filter(|s| s.kind == sections::ENDPOINT);
        let (endpoints, problems) = endpoints::check(sections.clone(), &defaults);
        // A file may have both, as the example file has; who typed the path meant it.
        let typed = !matches!(self.source_of(&list::PATH), Source::File { .. } | Source::Default);
        if typed && sections.count() > 0 && endpoints.iter().all(|e| e.path != defaults.path) {
            let why = "no [[endpoint]] of the file takes sessions there: leave it out, or give one \
                       of them this path";
            self.refuse(self.place(&list::PATH), why);
        }
        self.problems.extend(problems);
        endpoints
    }

    pub(super) fn tables_exist(&mut self, endpoints: &[Endpoint], tables: &[Spec]) {
        for endpoint in endpoints {
            for table in endpoint.tables() {
                if !tables.iter().any(|known| known.name == *table) {
                    let why = format!(
                        "there is no table {table}; add a section [[tables]] with its name, \
                         schema and partition"
                    );
                    self.refuse(format!("endpoint {}", endpoint.name), why);
                }
            }
        }
    }

    pub(super) fn more_tables(&mut self, first: &str) -> Vec<Spec> {
        let mut tables: Vec<Spec> = Vec::new();
        for section in self.raw.sections.iter().filter(|s| s.kind == sections::TABLES) {
            let mut lines = Lines::of(section);
            let name = lines.text("name", "\"orders\"", table_name);
            let path = |text: &str| Ok(PathBuf::from(text));
            let file = lines.text("schema", "\"examples/orders.avsc\"", path);
            let partition = lines.text("partition", "\"date={at:%Y-%m-%d}\"", |t| Ok(t.to_owned()));
            let Some(name) = name else {
                if lines.problems.is_empty() {
                    lines.refuse("name", "a table needs a name");
                }
                self.problems.extend(lines.done());
                continue;
            };
            if name == first || tables.iter().any(|table| *table.name == *name) {
                lines.refuse("name", format!("there is a table {name} already"));
            }
            let schema = match &file {
                Some(file) => schema::load(file).map(Arc::new).map_err(|error| error.to_string()),
                None => TableSchema::builtin(&name).ok_or_else(|| {
                    format!("no schema of the table {name} is built in; name a file")
                }),
            };
            match schema {
                Err(why) => lines.refuse("schema", why),
                Ok(schema) => match Template::parse(partition.as_deref().unwrap_or(""), &schema) {
                    Err(error) => lines.refuse("partition", error.to_string()),
                    Ok(partition) => tables.push(Spec::new(name, schema, partition)),
                },
            }
            self.problems.extend(lines.done());
        }
        tables
    }

    pub(super) fn privacy(&mut self, schemas: &[&TableSchema]) -> privacy::Rules {
        let mut rules = privacy::Rules::default();
        for section in self.raw.sections.iter().filter(|s| s.kind == sections::PRIVACY) {
            for entry in &section.entries {
                let place = format!("{}: privacy.{}", entry.source, entry.key);
                let sections::Given::Text(action) = &entry.given else {
                    let why = "should be keep, drop, hash or truncate, in quotes; a column within \
                               another is one quoted key: \"userActions.targetUrl\" = \"drop\"";
                    self.refuse(place, why);
                    continue;
                };
                if let Err(why) = rules.add(&entry.key, action, schemas) {
                    self.refuse(place, why);
                }
            }
        }
        rules
    }
}
