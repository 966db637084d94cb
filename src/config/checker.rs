//! From what was typed to what holds.
//!
//! All problems are gathered before giving up; settings are held against each other only once each
//! is right by itself.

mod access;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{Error, Problem};
use super::forms::{is_within, node_prefix, resolve, table_name};
use super::list::{self, Kind, Setting};
use super::raw::{Raw, Source, Typed};
use super::value;
use crate::encode::Compression;
use crate::http::Endpoint;
use crate::import::Input;
use crate::lake::Location;
use crate::schema::{self, TableSchema};
use crate::table::{Spec, Template};
use crate::tls::TlsFiles;
use crate::{http, import, journal, lake, roll, server};

/// Checks the settings of a server; returns them with the filter of the log.
pub(super) fn server(raw: &Raw) -> Result<(server::Settings, String), Error> {
    let mut checker = Checker { raw, problems: Vec::new() };
    let checked = (checker.server(), checker.log());
    checker.done(checked)
}

/// Checks the options of an import; returns them with the filter of the log.
pub(super) fn import(
    raw: &Raw,
    files: &[PathBuf],
    again: bool,
    quiet: bool,
) -> Result<(import::Options, String), Error> {
    let mut checker = Checker { raw, problems: Vec::new() };
    let input = |file: &PathBuf| match file.as_os_str() == "-" {
        true => Input::Stdin,
        false => Input::File(file.clone()),
    };
    let inputs: Vec<Input> = files.iter().map(input).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        checker.refuse("FILE".to_owned(), "standard input (-) can be read once only");
    }
    let lake = checker.lake();
    let (table, _) = checker.tables();
    let privacy_key = checker.file(&list::PRIVACY_KEY);
    let roll = checker.roll();
    let options = import::Options { inputs, again, quiet, lake, table, privacy_key, roll };
    let checked = (options, checker.log());
    checker.done(checked)
}

/// Checks the options of a lake.
pub(super) fn lake(raw: &Raw) -> Result<lake::Options, Error> {
    let mut checker = Checker { raw, problems: Vec::new() };
    let lake = checker.lake();
    checker.done(lake)
}

/// Reads settings off [`Raw`]. A value that is wrong is noted and stands in as something harmless
/// that nobody gets to see.
struct Checker<'a> {
    raw: &'a Raw,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn done<T>(self, checked: T) -> Result<T, Error> {
        match Error::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(checked),
        }
    }

    fn server(&mut self) -> server::Settings {
        let (listen, addresses) = self.parsed(&list::LISTEN, |text| {
            resolve(text).map(|addresses| (text.to_owned(), addresses))
        });
        let tls = self.tls();
        let credentials = self.file(&list::CREDENTIALS);
        let http = self.http(&listen, credentials.is_some());
        self.loopback_or_secured(&addresses, tls.as_ref(), &http.endpoints);
        let journal = self.journal();
        let lake = self.lake();
        let (first, more) = self.tables();
        let settings = server::Settings {
            listen,
            addresses,
            http,
            credentials,
            tls,
            journal,
            lake,
            tables: std::iter::once(first).chain(more).collect(),
            privacy_key: self.file(&list::PRIVACY_KEY),
            roll: self.roll(),
            roll_age: self.duration(&list::ROLL_AGE),
        };
        if self.problems.is_empty() {
            self.go_together(&settings);
        }
        settings
    }

    /// Holds the settings of a server against each other.
    fn go_together(&mut self, settings: &server::Settings) {
        let (endpoints, journal) = (&settings.http.endpoints, &settings.journal);
        self.tables_exist(endpoints, &settings.tables);
        if journal.encrypt && settings.privacy_key.is_none() {
            let secret = Source::Flag.example(&list::PRIVACY_KEY);
            let why = format!("needs a secret: {secret}");
            self.refuse(self.place(&list::ENCRYPT_JOURNAL), why);
        }
        let body = self.size(&list::BODY_LIMIT);
        self.not_below(&list::INFLATED_LIMIT, &list::BODY_LIMIT, body);
        self.not_below(&list::JOURNAL_QUOTA, &list::JOURNAL_SEGMENT, journal.segment_bytes);
        let inflated = endpoints.iter().map(|e| e.inflated_limit_bytes).max();
        let inflated = inflated.unwrap_or_default();
        self.not_below(&list::JOURNAL_QUOTA, &list::INFLATED_LIMIT, inflated);
        let (state, staging) = (settings.state(), settings.staging());
        if let Location::Local(lake) = &settings.lake.location
            && is_within(lake, &staging)
        {
            let (lake, staging) = (lake.display(), staging.display());
            let why = format!("{lake} lies in {staging}, which every start empties");
            self.refuse(self.place(&list::LAKE), why);
        } else if let Location::Local(lake) = &settings.lake.location
            && is_within(state, lake)
        {
            let place = self.place(&list::STATE);
            let why = format!(
                "the state directory {} lies in the lake {}, where readers would find the \
                 journal; put them side by side",
                state.display(),
                lake.display()
            );
            self.refuse(place, why);
        }
    }

    fn journal(&mut self) -> journal::Options {
        let mut options = journal::Options::new(self.path(&list::STATE));
        options.node_prefix = self.parsed(&list::NODE, node_prefix);
        options.segment_bytes = self.size(&list::JOURNAL_SEGMENT);
        options.quota_bytes = self.size(&list::JOURNAL_QUOTA);
        options.reserve_bytes = self.size(&list::DISK_RESERVE);
        options.retry_window = self.duration(&list::RETRY_WINDOW);
        options.skip_damaged = self.switch(&list::SKIP_DAMAGED);
        if !self.switch(&list::JOURNAL_COMPRESSION) {
            options.compress_from_bytes = None;
        }
        options.encrypt = self.switch(&list::ENCRYPT_JOURNAL);
        options
    }

    fn http(&mut self, listen: &str, credentials: bool) -> http::Options {
        let count = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        let named = self.raw.get(&list::HOST_NAMES).map(|typed| typed.text.clone());
        let host = listen.rsplit_once(':').map_or("", |(host, _)| host);
        let names = named.iter().flat_map(|names| names.split(',')).chain([host]);
        let host_names = names.map(str::trim).filter(|name| !name.is_empty());
        http::Options {
            endpoints: self.endpoints(credentials),
            host_names: host_names.map(str::to_owned).collect(),
            requests_per_second: self
                .count(&list::REQUESTS_PER_SECOND)
                .and_then(|n| u32::try_from(n).ok()),
            header_timeout: self.duration(&list::HEADER_TIMEOUT),
            body_timeout: self.duration(&list::BODY_TIMEOUT),
            answer_timeout: http::ANSWER_TIMEOUT,
            idle_timeout: http::IDLE_TIMEOUT,
            drain_timeout: self.duration(&list::DRAIN_TIMEOUT),
            handshake_timeout: self.duration(&list::HANDSHAKE_TIMEOUT),
            max_connections: count(self.count(&list::MAX_CONNECTIONS)).unwrap_or(1),
            max_connections_per_peer: count(self.count(&list::MAX_CONNECTIONS_PER_PEER)),
        }
    }

    /// Refuses to listen beyond loopback without encryption and authentication, unless that is
    /// allowed in so many words.
    fn loopback_or_secured(
        &mut self,
        addresses: &[SocketAddr],
        tls: Option<&TlsFiles>,
        endpoints: &[Endpoint],
    ) {
        let insecure = self.switch(&list::INSECURE_LISTEN);
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        let certified = tls.is_some_and(|tls| tls.client_ca.is_some());
        let asked = certified || endpoints.iter().all(|endpoint| endpoint.auth.is_asked());
        let lacking = match (tls.is_some(), asked) {
            (true, true) => None,
            (false, false) => Some("neither encryption nor authentication"),
            (false, true) => Some("authentication but no encryption"),
            (true, false) => Some("encryption but no authentication"),
        };
        if let (Some(open), Some(lacking), false) = (open, lacking, insecure) {
            let place = self.place(&list::LISTEN);
            let why = format!(
                "{} can be reached from other machines, with {lacking}; listen on 127.0.0.1, give \
                 it both (tls_cert, tls_key, credentials), or allow it: {}",
                open.ip(),
                self.source_of(&list::LISTEN).example(&list::INSECURE_LISTEN)
            );
            self.refuse(place, why);
        }
    }

    fn lake(&mut self) -> lake::Options {
        let location = self.lake_location();
        let timeout = self.duration(&list::STORE_TIMEOUT);
        let mut options = Vec::new();
        for entry in &self.raw.storage {
            match lake::Options::check(&location, &entry.key, &entry.value) {
                Ok(option) => options.push(option),
                Err(why) => self.refuse(entry.source.to_string(), why),
            }
        }
        lake::Options { location, options, timeout }
    }

    fn lake_location(&mut self) -> Location {
        let harmless = || Location::Local(PathBuf::new());
        let typed = self.typed(&list::LAKE);
        // A name and password before an @ would be printed with the value.
        if typed.text.contains("://") && typed.text.contains('@') {
            let place = typed.source.place(&list::LAKE);
            let why = "credentials do not belong in the address of the lake; use the [storage] \
                       table or the variables of the cloud, for example AWS_ACCESS_KEY_ID";
            self.refuse(place, why);
            return harmless();
        }
        match Location::parse(&typed.text) {
            Ok(location) => location,
            Err(why) => {
                self.bad(&list::LAKE, &typed, why);
                harmless()
            }
        }
    }

    /// The table of the settings, and those of `[[tables]]`.
    fn tables(&mut self) -> (Spec, Vec<Spec>) {
        let name: Arc<str> = self.parsed(&list::TABLE, table_name).into();
        let file = self.file(&list::SCHEMA);
        let (schema, partition) = self.table(&name, file.as_deref());
        let mut first = Spec::new(name, schema, partition);
        let mut more = self.more_tables(&first.name);
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
        for table in &mut more {
            table.privacy = rules.clone();
        }
        first.privacy = rules;
        (first, more)
    }

    fn roll(&mut self) -> roll::Options {
        let threads = self.count(&list::DECODE_THREADS).and_then(|n| usize::try_from(n).ok());
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let options = roll::Options {
            roll_bytes: self.size(&list::ROLL_BYTES),
            roll_rows: self.count(&list::ROLL_ROWS),
            compression: self
                .optional(&list::COMPRESSION, Compression::parse)
                .unwrap_or(Compression::None),
            row_group_bytes: self.size(&list::ROW_GROUP_BYTES),
            memory_bytes: self.size(&list::MEMORY),
            decode_threads: threads.and_then(NonZeroUsize::new).unwrap_or(cores),
        };
        if self.problems.is_empty() {
            self.not_below(&list::MEMORY, &list::ROW_GROUP_BYTES, options.row_group_bytes);
        }
        options
    }

    /// The columns of the table, and how it is partitioned by them.
    fn table(&mut self, table: &str, file: Option<&Path>) -> (Arc<TableSchema>, Template) {
        let harmless = |schema: Arc<TableSchema>| (schema, Template::default());
        let schema = match file {
            Some(file) => schema::load(file).map(Arc::new).map_err(|error| {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                let why = why.map_or_else(|| error.to_string(), |why| format!("{error}: {why}"));
                (&list::SCHEMA, why)
            }),
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
                // A name that is no table's was refused already.
                if !table.is_empty() {
                    self.refuse(self.place(setting), why);
                }
                return harmless(Arc::new(TableSchema::default()));
            }
        };
        let typed = self.typed(&list::PARTITION);
        match Template::parse(&typed.text, &schema) {
            Ok(template) => (schema, template),
            Err(error) => {
                self.refuse(typed.source.place(&list::PARTITION), error.to_string());
                harmless(schema)
            }
        }
    }

    fn log(&mut self) -> String {
        self.parsed(&list::LOG, |text| {
            log_levels(text)?;
            match tracing_subscriber::EnvFilter::try_new(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => Err("is no log filter".to_owned()),
            }
        })
    }

    /// Two sizes: `high` has at least the bytes of `low`.
    fn not_below(&mut self, high: &Setting, low: &Setting, low_bytes: u64) {
        let high_bytes = self.size(high);
        if high_bytes < low_bytes {
            let why = format!(
                "{} is below {} ({}, {}); raise the one or lower the other",
                value::show_size(high_bytes),
                low.key,
                value::show_size(low_bytes),
                self.source_of(low),
            );
            let place = self.place(high);
            self.refuse(place, why);
        }
    }

    fn typed(&self, setting: &Setting) -> Typed {
        self.raw
            .get(setting)
            .cloned()
            .unwrap_or_else(|| Typed { text: String::new(), source: Source::Default })
    }

    fn source_of(&self, setting: &Setting) -> Source {
        self.typed(setting).source
    }

    fn place(&self, setting: &Setting) -> String {
        self.source_of(setting).place(setting)
    }

    fn refuse(&mut self, place: String, why: impl Into<String>) {
        self.problems.push(Problem::Refused { place, why: why.into() });
    }

    fn bad(&mut self, setting: &Setting, typed: &Typed, why: String) {
        self.problems.push(Problem::BadValue {
            place: typed.source.place(setting),
            found: typed.text.clone(),
            why,
            example: typed.source.example(setting),
        });
    }

    fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let typed = self.typed(setting);
        match parse(&typed.text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.bad(setting, &typed, why);
                None
            }
        }
    }

    fn parsed<T: Default>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.optional(setting, parse).unwrap_or_default()
    }

    fn duration(&mut self, setting: &Setting) -> Duration {
        let Kind::Duration { least_ms, most_ms } = setting.kind else { return Duration::ZERO };
        self.parsed(setting, |text| value::duration(text, least_ms, most_ms))
    }

    fn size(&mut self, setting: &Setting) -> u64 {
        let Kind::Size { least, most } = setting.kind else { return 0 };
        self.parsed(setting, |text| value::size(text, least, most))
    }

    fn count(&mut self, setting: &Setting) -> Option<u64> {
        let Kind::Count { least, most, word } = setting.kind else { return None };
        self.parsed(setting, |text| value::count(text, least, most, word))
    }

    fn switch(&mut self, setting: &Setting) -> bool {
        self.parsed(setting, value::switch)
    }

    fn file(&self, setting: &Setting) -> Option<PathBuf> {
        let typed = self.raw.get(setting).filter(|typed| !typed.text.is_empty());
        typed.map(|typed| PathBuf::from(&typed.text))
    }

    fn path(&mut self, setting: &Setting) -> PathBuf {
        self.parsed(setting, |text| match text {
            "" => Err("is no directory".to_owned()),
            path => Ok(PathBuf::from(path)),
        })
    }
}

/// A word alone is a level. The filter itself would take any other for a module, and be silent about
/// everything else.
fn log_levels(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for word in text.split(',').filter(|word| !word.is_empty() && !word.contains('=')) {
        if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            let nearest = value::nearest(word, LEVELS).unwrap_or_default();
            return Err(format!(
                "has {word:?}, which is no level ({}; the nearest is {nearest}); a module needs one",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}
