//! Options of the catalog.

use std::time::Duration;

use super::builder::Builder;
use crate::commit::{AwsKeys, CatalogClient, CatalogCredentials, CatalogOptions};
use crate::config::environment::catalog_variable;
use crate::config::error::Problem;
use crate::config::list;
use crate::config::sections::list::CATALOG;
use crate::config::sections::{CatalogSection, SecretText, Section, TableSection, Text};
use crate::config::source::Source;
use crate::config::value;
use crate::table::{Format, Spec};

/// The namespace of tables without another one.
const NAMESPACE: &str = "sessionlake";
/// Services of AWS that catalogs are.
const SIGNING_NAMES: [&str; 3] = ["glue", "s3tables", "execute-api"];
/// Keys of the credentials of AWS.
const AWS: [&str; 5] =
    ["signing_name", "region", "access_key_id", "secret_access_key", "session_token"];
/// Bounds of time-outs, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (100, 3_600_000);

impl Builder<'_> {
    /// Builds the options of the catalog, if there is one, without a look at the tables.
    pub(super) fn catalog(&mut self) -> Option<CatalogOptions> {
        let section = self.layers.sections.catalog.as_ref()?;
        let mut reader = Reader { section, problems: Vec::new() };
        let options = reader.options();
        if reader.problems.is_empty()
            && let Err((key, why)) = options.check()
        {
            reader.refuse(key, why);
        }
        self.problems.extend(reader.problems);
        Some(options)
    }

    /// Builds the options of the catalog that `tables` need, if they need one.
    pub(super) fn catalog_of(&mut self, tables: &[&Spec]) -> Option<CatalogOptions> {
        let options = self.catalog();
        let needs = |table: &&&Spec| table.format == Format::Iceberg;
        match (tables.iter().find(needs), &self.layers.sections.catalog) {
            (Some(table), None) => {
                let place = self.place_of_iceberg(table);
                let why = format!(
                    "table {} is an Iceberg table, which needs a catalog: give its address, as \
                     `{}` below the line {} of the file, or {}",
                    table.name,
                    CATALOG.assignment("uri"),
                    CATALOG.header(),
                    catalog_variable("uri"),
                );
                self.refuse(place, why);
            }
            (None, Some(section)) => {
                let place = Reader { section, problems: Vec::new() }.place_of_section();
                let why = format!(
                    "no table is an Iceberg table, and a catalog is for no other: set table_format = \
                     \"{0}\" (or format, in [[tables]]), or take the catalog out",
                    Format::Iceberg.as_str()
                );
                self.refuse(place, why);
            }
            _ => {}
        }
        options
    }

    /// Returns the place where the format of `table` is given.
    fn place_of_iceberg(&self, table: &Spec) -> String {
        let named = |section: &&Section<TableSection>| {
            let TableSection { name, format, .. } = &section.values;
            name.as_ref().is_some_and(|Text(name)| **name == *table.name) && format.is_some()
        };
        match self.layers.sections.tables.iter().find(named) {
            Some(section) => format!("{}: tables.format", section.source),
            None => self.place(&list::TABLE_FORMAT),
        }
    }
}

/// Parses the values of `[catalog]`. Those of secret keys are in no message.
struct Reader<'a> {
    section: &'a Section<CatalogSection>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn options(&mut self) -> CatalogOptions {
        let uri = self.text("uri");
        if uri.is_none() {
            let why = format!("a catalog needs its address: {}", self.example("uri"));
            self.problems.push(Problem::Refused { place: self.place_of_section(), why });
        }
        let namespace = self.text("namespace").unwrap_or_else(|| NAMESPACE.to_owned());
        let usual = CatalogOptions::new(&uri.unwrap_or_default(), NAMESPACE);
        CatalogOptions {
            warehouse: self.text("warehouse"),
            prefix: self.text("prefix"),
            namespace: namespace.split('.').map(str::to_owned).collect(),
            credentials: self.credentials(),
            allow_http: self.switch("allow_http"),
            timeout: self.duration("timeout").unwrap_or(usual.timeout),
            connect_timeout: self.duration("connect_timeout").unwrap_or(usual.connect_timeout),
            ..usual
        }
    }

    fn credentials(&mut self) -> CatalogCredentials {
        let section = self.section;
        let first = |keys: &[&'static str]| keys.iter().copied().find(|key| section.has(key));
        let kinds: [&[&'static str]; 3] = [&["credential"], &["token"], &AWS];
        let given: Vec<&str> = kinds.into_iter().filter_map(first).collect();
        if let [first, second, ..] = &given[..] {
            let why = format!(
                "there is {first} as well: give one, since a request has one kind of credentials \
                 (credential, token, or signing_name with a key of AWS)"
            );
            self.refuse(second, why);
            return CatalogCredentials::None;
        }
        for key in ["oauth2_uri", "scope"] {
            if self.section.has(key) && !self.section.has("credential") {
                let why = format!("it is for credential alone: {}", self.example("credential"));
                self.refuse(key, why);
            }
        }
        match &given[..] {
            [] => CatalogCredentials::None,
            ["credential"] => self.oauth2(),
            ["token"] => {
                let token = self.text("token").unwrap_or_default();
                if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    self.refuse("token", "it has spaces or characters that no header can have");
                }
                CatalogCredentials::Token(token)
            }
            _ => self.aws(),
        }
    }

    fn oauth2(&mut self) -> CatalogCredentials {
        let mut client = CatalogClient::parse(&self.text("credential").unwrap_or_default());
        if client.client_secret.is_empty()
            || client.client_id.as_ref().is_some_and(String::is_empty)
        {
            let why = format!("it lacks the id or the secret: {}", self.example("credential"));
            self.refuse("credential", why);
        }
        if let Some(scope) = self.text("scope") {
            client.scope = scope;
        }
        client.endpoint = self.text("oauth2_uri");
        CatalogCredentials::OAuth2(client)
    }

    fn aws(&mut self) -> CatalogCredentials {
        let service = self.needed("signing_name", "");
        if !service.is_empty() && !SIGNING_NAMES.contains(&&*service) {
            self.bad("signing_name", format!("is none of {}", SIGNING_NAMES.join(", ")));
        }
        CatalogCredentials::SigV4(AwsKeys {
            access_key_id: self.needed("access_key_id", ", or AWS_ACCESS_KEY_ID"),
            secret_access_key: self.needed("secret_access_key", ", or AWS_SECRET_ACCESS_KEY"),
            session_token: self.text("session_token"),
            region: self.needed("region", ", or AWS_REGION"),
            service,
        })
    }

    /// Returns a value that the credentials of AWS need.
    fn needed(&mut self, key: &str, or: &str) -> String {
        if let Some(text) = self.text(key) {
            return text;
        }
        if !self.section.has(key) {
            let first = AWS.into_iter().find(|key| self.section.has(key)).unwrap_or("signing_name");
            let why = format!("it needs {key} as well: {}{or}", self.example(key));
            self.refuse(first, why);
        }
        String::new()
    }

    /// Returns the value of `key`, if there is one. An empty one is a problem.
    fn text(&mut self, key: &str) -> Option<String> {
        let SecretText(text) = self.section.values.0.get(key)?;
        let text = text.reveal();
        if text.is_empty() && !self.is_told(key) {
            self.refuse(key, format!("it is empty: {}", self.example(key)));
        }
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    fn is_told(&self, key: &str) -> bool {
        let place = self.place(key);
        self.problems.iter().any(
            |problem| matches!(problem, Problem::Refused { place: told, .. } if *told == place),
        )
    }

    fn switch(&mut self, key: &str) -> bool {
        let Some(text) = self.text(key) else { return false };
        value::switch(&text).unwrap_or_else(|why| {
            self.bad(key, why);
            false
        })
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        value::duration(&text, TIMEOUT_MS.0, TIMEOUT_MS.1).map_err(|why| self.bad(key, why)).ok()
    }

    /// Records that the value of `key`, which is no secret, is wrong.
    fn bad(&mut self, key: &str, why: String) {
        let found = self.section.values.0.get(key);
        let found = found.map(|SecretText(text)| text.reveal().to_owned()).unwrap_or_default();
        let (place, example) = (self.place(key), self.example(key));
        self.problems.push(Problem::BadValue { place, found, why, example });
    }

    fn refuse(&mut self, key: &str, why: impl Into<String>) {
        let (place, why) = (self.place(key), why.into());
        self.problems.push(Problem::Refused { place, why });
    }

    fn place(&self, key: &str) -> String {
        let line = self.section.lines.iter().find(|(name, _)| name == key);
        match line.map_or(&self.section.source, |(_, source)| source) {
            Source::Environment => catalog_variable(key),
            source => format!("{source}: {}.{key}", CATALOG.name),
        }
    }

    fn place_of_section(&self) -> String {
        match (&self.section.source, self.section.lines.first()) {
            (Source::Environment, Some((key, _))) => catalog_variable(key),
            (source, _) => format!("{source}: {}", CATALOG.header()),
        }
    }

    /// Returns a correct assignment to `key`, where the section is.
    fn example(&self, key: &str) -> String {
        match self.section.source {
            Source::Environment => {
                let example = CATALOG.key(key).map_or("", |key| key.example);
                format!("{}={}", catalog_variable(key), example.trim_matches('"'))
            }
            _ => CATALOG.assignment(key),
        }
    }
}
