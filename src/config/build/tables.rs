//! Tables, and the rules for personal data in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::builder::Builder;
use crate::config::list;
use crate::config::names::table_name;
use crate::config::sections::{Section, SectionReader, TableSection, Text};
use crate::config::source::Source;
use crate::config::value;
use crate::dedup;
use crate::http::Endpoint;
use crate::privacy;
use crate::schema::{self, EXTRA, Kind, TableSchema};
use crate::table::{
    Format, OutsideWindow, PartitionLimits, Spec, Template, TemplateError, list_without_items,
};

/// Parses a template that somebody has written.
fn new_template(text: &str, schema: &TableSchema) -> Result<Template, TemplateError> {
    let template = Template::parse(text, schema)?;
    template.check_formats()?;
    Ok(template)
}

/// Loads a schema file. An error has its cause.
fn load(file: &Path) -> Result<Arc<TableSchema>, String> {
    schema::load(file).map(Arc::new).map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        why.map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
    })
}

/// Returns what to give in place of a default of `partition` that the schema does not take.
fn own_partitions(schema: &TableSchema) -> String {
    let mut fields = schema.fields.iter();
    let time = fields.find(|field| field.kind == Kind::TimestampMillis).map(|field| &field.name);
    let by_day = time.map(|time| format!("--partition 'date={{{time}:%Y-%m-%d}}', or "));
    format!("; give {}--partition '' for no directories", by_day.unwrap_or_default())
}

/// Parses the window of `dedup`, in milliseconds.
fn dedup_window(text: &str) -> Result<Option<u64>, String> {
    if text.trim() == "off" {
        return Ok(None);
    }
    let window = value::duration(text, 60_000, 366 * 86_400_000);
    let window = window.map_err(|why| format!("{why}, or `off`"))?;
    Ok(u64::try_from(window.as_millis()).ok())
}

fn check_dedup(window_ms: Option<u64>, schema: &TableSchema) -> Result<(), String> {
    window_ms.map_or(Ok(()), |_| dedup::check_table(schema)).map_err(|column| {
        format!(
            "the table has no column {column}, by which documents are compared (with {})",
            dedup::KEY.join(", ")
        )
    })
}

/// Parses the word that says whether fields become columns.
fn promotes(word: &str) -> Result<bool, String> {
    match word {
        "auto" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither auto nor off".to_owned()),
    }
}

/// The reason why nothing becomes a column where `_extra` is dropped.
const NO_EXTRA: &str = "[privacy] drops _extra, and with it every field that has no column before it is \
                        counted: none would become one. Give off, or drop single fields by their \
                        pointers (\"/mail\" = \"drop\") instead of _extra";

impl Builder<'_> {
    /// Builds the table of the settings, and those of `[[tables]]`.
    pub(super) fn tables(&mut self) -> (Spec, Vec<Spec>) {
        let name: Arc<str> = self.parsed(&list::TABLE, table_name).into();
        let file = self.file(&list::SCHEMA);
        let (schema, partition) = self.table(&name, file.as_deref());
        let format = self.parsed(&list::TABLE_FORMAT, Format::parse);
        if let Err(why) = format.check(&schema, &partition) {
            self.refuse(self.place(&list::PARTITION), why);
        }
        let dedup_window_ms = self.parsed(&list::DEDUP, dedup_window);
        if let Err(why) = check_dedup(dedup_window_ms, &schema) {
            self.refuse(self.place(&list::DEDUP), format!("{why}: leave the setting out"));
        }
        let mut first = Spec { format, dedup_window_ms, ..Spec::new(name, schema, partition) };
        let mut more = self.more_tables(&first.name, format, dedup_window_ms);
        self.lift_properties(std::iter::once(&mut first).chain(&mut more).collect());
        let mut schemas = vec![&*first.schema];
        schemas.extend(more.iter().map(|table| &*table.schema));
        let rules = self.privacy(&schemas);
        if !rules.is_empty() && self.file(&list::PRIVACY_KEY).is_none() {
            let why = format!(
                "the [privacy] table needs a secret: {}",
                Source::Flag.example(&list::PRIVACY_KEY)
            );
            self.refuse(self.place(&list::PRIVACY_KEY), why);
        }
        let compared = std::iter::once(&first).chain(&more).filter(|t| t.dedup_window_ms.is_some());
        let compared: Vec<_> = compared.collect();
        let dropped =
            |column: &&&str| compared.iter().any(|table| rules.drops_column(&table.schema, column));
        if let Some(column) = dedup::KEY.iter().find(dropped) {
            let why = format!("[privacy] drops {column}, without which no document is compared");
            self.refuse(self.place(&list::DEDUP), why);
        }
        let limit = Some(self.size(&list::LINE_LIMIT));
        for table in &mut more {
            (table.privacy, table.line_limit_bytes) = (rules.clone(), limit);
        }
        (first.privacy, first.line_limit_bytes) = (rules, limit);
        let flat = self.flat_tables(&first, &more);
        more.extend(flat);
        (first, more)
    }

    /// Returns the table of the section `section` of `[[tables]]`, whose place among `more` is then that of
    /// `first`; `first` if there is no such section. Flags are refused that the section has no use for.
    pub(super) fn of_section(
        &mut self,
        section: Option<&str>,
        first: Spec,
        more: &mut [Spec],
    ) -> Spec {
        let Some(name) = section else { return first };
        let layers = self.layers;
        let is =
            |of: &&Section<TableSection>| matches!(&of.values.name, Some(Text(own)) if own == name);
        if let Some(section) = layers.sections.tables.iter().find(is) {
            let keys = &section.values;
            for (setting, is_known) in [
                (&list::SCHEMA, true),
                (&list::PARTITION, true),
                (&list::TABLE_FORMAT, keys.format.is_some()),
                (&list::DEDUP, keys.dedup.is_some()),
            ] {
                if is_known && self.source_of(setting) == Source::Flag {
                    let why = format!(
                        "the section [[tables]] of {} describes the table {name}: leave the flag out, \
                         or change the section",
                        section.source
                    );
                    self.refuse(setting.flag(), why);
                }
            }
        }
        // Where there is none, the problem of the section is told already.
        match more.iter_mut().find(|table| *table.name == *name) {
            Some(table) => std::mem::replace(table, first),
            None => first,
        }
    }

    /// Loads the schema of the settings' table and parses its partition template.
    fn table(&mut self, table: &str, file: Option<&Path>) -> (Arc<TableSchema>, Template) {
        let harmless = |schema: Arc<TableSchema>| (schema, Template::default());
        let schema = match file {
            Some(file) => load(file).map_err(|why| (&list::SCHEMA, why)),
            None => TableSchema::builtin(table).ok_or_else(|| {
                let why = format!(
                    "no schema of the table {table} is built in (there is {}); name a file: {}",
                    schema::BUILTIN.join(", "),
                    self.source_of(&list::TABLE).example(&list::SCHEMA),
                );
                (&list::TABLE, why)
            }),
        };
        let schema = match schema {
            Ok(schema) => schema,
            Err((setting, why)) => {
                // A name that is no table's was refused already, and that of a section will be.
                let is = |name: &Option<Text>| matches!(name, Some(Text(name)) if name == table);
                let sections = &self.layers.sections.tables;
                if !table.is_empty() && !sections.iter().any(|of| is(&of.values.name)) {
                    self.refuse(self.place(setting), why);
                }
                return harmless(Arc::new(TableSchema::default()));
            }
        };
        let given = self.given(&list::PARTITION);
        let own = schema.own_partition().filter(|_| given.source == Source::Default);
        match new_template(own.as_deref().unwrap_or(&given.text), &schema) {
            Ok(template) => (schema, template),
            Err(error) => {
                let remedy = match given.source {
                    Source::Default => own_partitions(&schema),
                    _ => String::new(),
                };
                self.refuse(given.source.place(&list::PARTITION), format!("{error}{remedy}"));
                harmless(schema)
            }
        }
    }

    /// Builds the limits on partitions that bodies may open.
    pub(super) fn partition_limits(&mut self) -> PartitionLimits {
        let max_partitions = self.count(&list::MAX_PARTITIONS);
        let window = self.duration(&list::TIME_WINDOW);
        PartitionLimits {
            max_partitions: max_partitions.and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX),
            time_window_ms: Some(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)),
            outside_window: self.parsed(&list::OUTSIDE_WINDOW, OutsideWindow::parse),
        }
    }

    /// Builds the rows after which a field becomes a column, by table that promotes; `first` is the
    /// settings' table.
    pub(super) fn promote_after(&mut self, first: &Spec) -> BTreeMap<Arc<str>, u64> {
        let usual = self.parsed(&list::PROMOTE, promotes);
        let after = self.count(&list::PROMOTE_AFTER).unwrap_or(u64::MAX);
        let no_extra = first.privacy.drops(EXTRA);
        let mut promoting = BTreeMap::new();
        if usual {
            promoting.insert(Arc::clone(&first.name), after);
            if no_extra {
                self.refuse(self.place(&list::PROMOTE), NO_EXTRA.to_owned());
            }
        }
        let layers = self.layers;
        for section in &layers.sections.tables {
            let mut reader = SectionReader::new(section);
            let keys = reader.values();
            let own = reader.parse("promote", keys.promote.as_ref(), promotes);
            if no_extra && !usual && own == Some(true) {
                reader.refuse("promote", NO_EXTRA);
            }
            if let Some(Text(name)) = &keys.name
                && own.unwrap_or(usual)
            {
                promoting.insert(name.as_str().into(), after);
            }
            self.problems.extend(reader.problems);
        }
        promoting
    }

    /// Refuses endpoints whose tables are not among `tables`.
    pub(super) fn tables_exist(&mut self, endpoints: &[Endpoint], tables: &[Spec]) {
        for endpoint in endpoints {
            for table in endpoint.tables() {
                let known = tables.iter().find(|known| known.name == *table);
                if let Some(parent) = known.and_then(|known| known.rows.parent()) {
                    let why = format!(
                        "{table} is a flat table, whose rows come from those of {parent}, and takes no \
                         documents"
                    );
                    self.refuse(format!("endpoint {}", endpoint.name), why);
                } else if known.is_none() {
                    let why = format!(
                        "there is no table {table}; add a section [[tables]] with its name, \
                         schema and partition"
                    );
                    self.refuse(format!("endpoint {}", endpoint.name), why);
                }
            }
        }
    }

    /// Builds the tables of `[[tables]]`; `first` is the name of the settings' table, `usual` its
    /// format and `usual_dedup` its window of `dedup`.
    fn more_tables(&mut self, first: &str, usual: Format, usual_dedup: Option<u64>) -> Vec<Spec> {
        let mut tables: Vec<Spec> = Vec::new();
        let layers = self.layers;
        for section in &layers.sections.tables {
            let mut reader = SectionReader::new(section);
            let keys = reader.values();
            let name = reader.parse("name", keys.name.as_ref(), table_name);
            let Some(name) = name else {
                if reader.problems.is_empty() {
                    reader.refuse("name", "a table needs a name");
                }
                self.problems.extend(reader.problems);
                continue;
            };
            if name == first {
                let by = self.place(&list::TABLE);
                let why = format!(
                    "there is a table {name} already, by {by}: leave one of them out, or give it another \
                     name"
                );
                reader.refuse("name", why);
            } else if tables.iter().any(|table| *table.name == *name) {
                reader.refuse("name", format!("there is a section of the table {name} already"));
            }
            let schema = match &keys.schema {
                Some(Text(file)) => load(Path::new(file)),
                None => TableSchema::builtin(&name).ok_or_else(|| {
                    let known = schema::BUILTIN.join(", ");
                    format!(
                        "no schema of the table {name} is built in (there is {known}); name a file: \
                         schema = \"examples/orders.avsc\""
                    )
                }),
            };
            let own = schema.as_ref().ok().and_then(|schema| schema.own_partition());
            let own = own.filter(|_| keys.schema.is_none()).unwrap_or_default();
            let partition = keys.partition.as_ref().map_or(&*own, |Text(template)| template);
            let format = reader.parse("format", keys.format.as_ref(), Format::parse);
            let format = format.unwrap_or(usual);
            let dedup = reader.parse("dedup", keys.dedup.as_ref(), dedup_window);
            let dedup = dedup.unwrap_or(usual_dedup);
            match schema {
                Err(why) => reader.refuse("schema", why),
                Ok(schema) => match new_template(partition, &schema) {
                    Err(error) => reader.refuse("partition", error.to_string()),
                    Ok(partition) => {
                        if let Err(why) = format.check(&schema, &partition) {
                            reader.refuse("partition", why);
                        }
                        if let Err(why) = check_dedup(dedup, &schema) {
                            reader.refuse("dedup", format!("{why}: give dedup = \"off\""));
                        }
                        let spec = Spec::new(name, schema, partition);
                        tables.push(Spec { format, dedup_window_ms: dedup, ..spec });
                    }
                },
            }
            self.problems.extend(reader.problems);
        }
        tables
    }

    /// Builds the rules of `[privacy]`, each for a column of one of `schemas`.
    fn privacy(&mut self, schemas: &[&TableSchema]) -> privacy::Rules {
        let mut rules = privacy::Rules::default();
        let layers = self.layers;
        let Some(section) = &layers.sections.privacy else { return rules };
        for (path, source) in &section.lines {
            let Some(action) = section.values.0.get(path) else { continue };
            if schemas.iter().any(|schema| schema.is_property(path)) {
                let why = "is a column of [properties], which has what rules leave of the property: \
                           name that, as in \"stringProperties.plan\"";
                self.refuse(format!("{source}: privacy.{path}"), why);
                continue;
            }
            if let Some(list) = list_without_items(schemas, path) {
                let why = format!("{list} is a list, whose items are {list}/*");
                self.refuse(format!("{source}: privacy.{path}"), why);
                continue;
            }
            if let Err(why) = rules.add(path, action, schemas) {
                self.refuse(format!("{source}: privacy.{path}"), why);
            }
        }
        rules
    }
}
