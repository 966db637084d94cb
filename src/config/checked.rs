//! Settings that hold: right types, in range, and going together.
//!
//! Whoever has one of these values need not check it again. All problems are gathered before
//! giving up; settings are held against each other only once each is right by itself.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{Error, Problem};
use super::list::{self, Kind, Setting};
use super::raw::{Raw, Typed};
use super::storage::{self, Location, Secret};
use super::value;
use crate::schema;

/// What `serve` (and `check`) go by.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Receiving over HTTP.
    pub receive: Receive,
    /// The journal.
    pub journal: Journal,
    /// Where files go.
    pub lake: Lake,
    /// What the files are like.
    pub landing: Landing,
    /// When files are written: at this age of their oldest row.
    pub roll_age: Duration,
    /// What to log: a filter of `tracing-subscriber`, already known to parse.
    pub log: String,
}

/// What `import` goes by.
#[derive(Clone, Debug)]
pub struct Import {
    /// What to read, in order.
    pub inputs: Vec<Input>,
    /// Import a file although it was imported before.
    pub again: bool,
    /// Print nothing but errors: no progress and no summary.
    pub quiet: bool,
    /// Where files go.
    pub lake: Lake,
    /// What the files are like.
    pub landing: Landing,
    /// What to log: a filter of `tracing-subscriber`, already known to parse.
    pub log: String,
}

/// One thing to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, typed as `-`.
    Stdin,
    /// A file. Whether it exists is found out when it is opened.
    File(PathBuf),
}

/// Receiving over HTTP.
#[derive(Clone, Debug)]
pub struct Receive {
    /// The address as it was typed, for messages.
    pub listen: String,
    /// What it resolved to, IPv4 first, never empty. Bind the first that can be bound. All of
    /// them are loopback, unless listening elsewhere was allowed in so many words.
    pub addresses: Vec<SocketAddr>,
    /// The path that sessions are sent to; begins with `/`.
    pub path: String,
    /// Most bytes of a body as sent.
    pub body_limit_bytes: u64,
    /// Most bytes of a body once inflated; not below `body_limit_bytes`.
    pub inflated_limit_bytes: u64,
    /// Longest time for the headers of a request.
    pub header_timeout: Duration,
    /// Longest time for the body of a request.
    pub body_timeout: Duration,
    /// Longest time for requests under way at a stop; zero cuts them off.
    pub drain_timeout: Duration,
    /// Most connections at a time; at least 1.
    pub max_connections: usize,
}

/// The journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Its directory; not within a local lake.
    pub dir: PathBuf,
    /// What the node's name begins with: `[a-z0-9-]{0,32}`.
    pub node_prefix: String,
    /// Bytes of a segment file after which a new one is begun.
    pub segment_bytes: u64,
    /// Most bytes on disk that have not landed; not below a segment or an inflated body.
    pub quota_bytes: u64,
    /// Bytes to leave free on its disk.
    pub reserve_bytes: u64,
    /// How long a body is remembered to recognise its retry; zero never.
    pub retry_window: Duration,
    /// Set damaged segments aside instead of refusing to start.
    pub skip_damaged: bool,
}

/// Where files go. `Debug` shows no credentials.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Directory or bucket.
    pub location: Location,
    /// Options for the builder of the object store, named as its `FromStr` keys; each is known to
    /// be one of this kind of store (for a directory: of any). They outrank the variables of the
    /// cloud.
    pub options: Vec<(String, Secret)>,
    /// Longest time for one request to the store, before it is tried again.
    pub timeout: Duration,
}

/// What the files are like, and how many resources making them takes.
#[derive(Clone, Debug)]
pub struct Landing {
    /// Name of the table: `[a-z0-9_]{1,64}`, not beginning with `_`.
    pub table: Arc<str>,
    /// File of its Avro schema; without one, the built-in schema of that name.
    pub schema: Option<PathBuf>,
    /// Partition template, as typed.
    pub partition: String,
    /// Bytes of Parquet after which files are written.
    pub roll_bytes: u64,
    /// Rows after which files are written.
    pub roll_rows: Option<u64>,
    /// How pages are compressed.
    pub compression: Compression,
    /// Bytes of memory after which a row group is closed; not above `memory_bytes`.
    pub row_group_bytes: u64,
    /// Most bytes of rows held in memory before they are written.
    pub memory_bytes: u64,
    /// Threads that decode.
    pub decode_threads: NonZeroUsize,
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard with a level from 1 to 22.
    Zstd(i32),
    /// Snappy.
    Snappy,
    /// LZ4 without a frame (`LZ4_RAW`).
    Lz4,
    /// Not at all.
    None,
}

impl Compression {
    fn parse(text: &str) -> Result<Compression, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("zstd", "") => Ok(Compression::Zstd(1)),
            ("zstd", level) => match level.parse() {
                Ok(level) if (1..=22).contains(&level) => Ok(Compression::Zstd(level)),
                _ => Err("has no level from 1 to 22 after zstd:".to_owned()),
            },
            ("snappy", "") => Ok(Compression::Snappy),
            ("lz4", "") => Ok(Compression::Lz4),
            ("none", "") => Ok(Compression::None),
            _ => Err("is none of zstd:LEVEL, snappy, lz4 and none".to_owned()),
        }
    }
}

impl Serve {
    pub(super) fn check(raw: &Raw) -> Result<Serve, Error> {
        let mut checker = Checker { raw, problems: Vec::new() };
        let serve = checker.serve();
        checker.done(serve)
    }
}

impl Import {
    pub(super) fn check(
        raw: &Raw,
        files: &[PathBuf],
        again: bool,
        quiet: bool,
    ) -> Result<Import, Error> {
        let mut checker = Checker { raw, problems: Vec::new() };
        let input = |file: &PathBuf| match file.as_os_str() == "-" {
            true => Input::Stdin,
            false => Input::File(file.clone()),
        };
        let inputs: Vec<Input> = files.iter().map(input).collect();
        if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
            checker.refuse("FILE".to_owned(), "standard input (-) can be read once only");
        }
        let import = Import {
            inputs,
            again,
            quiet,
            lake: checker.lake(),
            landing: checker.landing(),
            log: checker.log(),
        };
        checker.done(import)
    }
}

impl Lake {
    pub(super) fn check(raw: &Raw) -> Result<Lake, Error> {
        let mut checker = Checker { raw, problems: Vec::new() };
        let lake = checker.lake();
        checker.done(lake)
    }
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

    fn serve(&mut self) -> Serve {
        let serve = Serve {
            receive: self.receive(),
            journal: Journal {
                dir: self.path(&list::STATE),
                node_prefix: self.parsed(&list::NODE, node_prefix),
                segment_bytes: self.size(&list::JOURNAL_SEGMENT),
                quota_bytes: self.size(&list::JOURNAL_QUOTA),
                reserve_bytes: self.size(&list::DISK_RESERVE),
                retry_window: self.duration(&list::RETRY_WINDOW),
                skip_damaged: self.switch(&list::SKIP_DAMAGED),
            },
            lake: self.lake(),
            landing: self.landing(),
            roll_age: self.duration(&list::ROLL_AGE),
            log: self.log(),
        };
        if self.problems.is_empty() {
            let (receive, journal) = (&serve.receive, &serve.journal);
            let body = receive.body_limit_bytes;
            self.not_below(&list::INFLATED_LIMIT, &list::BODY_LIMIT, body);
            self.not_below(&list::JOURNAL_QUOTA, &list::JOURNAL_SEGMENT, journal.segment_bytes);
            let inflated = receive.inflated_limit_bytes;
            self.not_below(&list::JOURNAL_QUOTA, &list::INFLATED_LIMIT, inflated);
            if let Location::Local(lake) = &serve.lake.location
                && is_within(&journal.dir, lake)
            {
                let place = self.place(&list::STATE);
                let why = format!(
                    "the state directory {} lies in the lake {}, where readers would find the \
                     journal; put them side by side",
                    journal.dir.display(),
                    lake.display()
                );
                self.refuse(place, why);
            }
        }
        serve
    }

    fn receive(&mut self) -> Receive {
        let insecure = self.switch(&list::INSECURE_LISTEN);
        let (listen, addresses) = self.parsed(&list::LISTEN, |text| {
            resolve(text).map(|addresses| (text.to_owned(), addresses))
        });
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        if let (Some(open), false) = (open, insecure) {
            let place = self.place(&list::LISTEN);
            let why = format!(
                "{} can be reached from other machines, with neither encryption nor \
                 authentication; listen on 127.0.0.1, or allow it: {}",
                open.ip(),
                self.source_of(&list::LISTEN).example(&list::INSECURE_LISTEN)
            );
            self.refuse(place, why);
        }
        Receive {
            listen,
            addresses,
            path: self.parsed(&list::PATH, http_path),
            body_limit_bytes: self.size(&list::BODY_LIMIT),
            inflated_limit_bytes: self.size(&list::INFLATED_LIMIT),
            header_timeout: self.duration(&list::HEADER_TIMEOUT),
            body_timeout: self.duration(&list::BODY_TIMEOUT),
            drain_timeout: self.duration(&list::DRAIN_TIMEOUT),
            max_connections: self
                .count(&list::MAX_CONNECTIONS)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(1),
        }
    }

    fn lake(&mut self) -> Lake {
        let location = self.lake_location();
        let timeout = self.duration(&list::STORE_TIMEOUT);
        let mut options = Vec::new();
        for entry in &self.raw.storage {
            match storage::option_for(&location, entry) {
                Ok(option) => options.push(option),
                Err(why) => self.refuse(entry.source.to_string(), why),
            }
        }
        Lake { location, options, timeout }
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

    fn landing(&mut self) -> Landing {
        let roll_rows = self.count(&list::ROLL_ROWS);
        let threads = self.count(&list::DECODE_THREADS).and_then(|n| usize::try_from(n).ok());
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let landing = Landing {
            table: self.parsed(&list::TABLE, table_name).into(),
            schema: self
                .raw
                .get(&list::SCHEMA)
                .filter(|typed| !typed.text.is_empty())
                .map(|typed| PathBuf::from(&typed.text)),
            partition: self.typed(&list::PARTITION).text,
            roll_bytes: self.size(&list::ROLL_BYTES),
            roll_rows,
            compression: self
                .optional(&list::COMPRESSION, Compression::parse)
                .unwrap_or(Compression::None),
            row_group_bytes: self.size(&list::ROW_GROUP_BYTES),
            memory_bytes: self.size(&list::MEMORY),
            decode_threads: threads.and_then(NonZeroUsize::new).unwrap_or(cores),
        };
        if self.problems.is_empty() {
            self.not_below(&list::MEMORY, &list::ROW_GROUP_BYTES, landing.row_group_bytes);
            if landing.schema.is_none() && !schema::BUILTIN.contains(&&*landing.table) {
                let why = format!(
                    "no schema of the table {} is built in (there is {}); name a file: {}",
                    landing.table,
                    schema::BUILTIN.join(", "),
                    self.source_of(&list::TABLE).example(&list::SCHEMA),
                );
                let place = self.place(&list::TABLE);
                self.refuse(place, why);
            }
        }
        landing
    }

    fn log(&mut self) -> String {
        self.parsed(&list::LOG, |text| match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("is no log filter".to_owned()),
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
            .unwrap_or_else(|| Typed { text: String::new(), source: super::raw::Source::Default })
    }

    fn source_of(&self, setting: &Setting) -> super::raw::Source {
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

    fn path(&mut self, setting: &Setting) -> PathBuf {
        self.parsed(setting, |text| match text {
            "" => Err("is no directory".to_owned()),
            path => Ok(PathBuf::from(path)),
        })
    }
}

fn resolve(text: &str) -> Result<Vec<SocketAddr>, String> {
    let shaped = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok() && !host.contains("//")
    });
    if !shaped {
        return Err("is not HOST:PORT".to_owned());
    }
    let mut addresses: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("has a host that cannot be resolved ({error})"))?
        .collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    match addresses.is_empty() {
        true => Err("has a host that resolves to no address".to_owned()),
        false => Ok(addresses),
    }
}

fn http_path(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    if !text.starts_with('/') || !text.chars().all(plain) {
        return Err("is not a path of letters, digits and -_.~ that begins with /".to_owned());
    }
    let mut parts = text.trim_start_matches('/').split('/');
    if text == "/" || parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err("has an empty part, . or ..".to_owned());
    }
    if text == "/metrics" || text == "/health" || text.starts_with("/health/") {
        return Err("is a path of the program's own".to_owned());
    }
    Ok(text.to_owned())
}

fn table_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let named = (1..=64).contains(&text.len()) && text.chars().all(plain);
    match named && !text.starts_with('_') {
        true => Ok(text.to_owned()),
        false => Err("is not 1 to 64 of a-z, 0-9 and _, beginning without _".to_owned()),
    }
}

fn node_prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text.len() <= 32 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("is not up to 32 of a-z, 0-9 and -".to_owned()),
    }
}

/// Whether `inner` is `outer` or lies in it, by name and through links, though neither need exist.
fn is_within(inner: &Path, outer: &Path) -> bool {
    real(inner).starts_with(real(outer))
}

/// The path without links, `.` and `..`, as far as it exists; the rest by name.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                real.pop();
            }
            other => {
                real.push(other);
                if let Ok(resolved) = std::fs::canonicalize(&real) {
                    real = resolved;
                }
            }
        }
    }
    real
}
