//! The one list of settings.
//!
//! Everything that names a setting is made from this list: the flag (`--roll-age`), the
//! environment variable (`SESSIONLAKE_ROLL_AGE`), the key of the file (`roll_age`), the help, the
//! reference in the README and `examples/sessionlake.toml`. A new setting is one entry here and
//! one line in `checker`.

mod access;
mod keeping;
mod landing;
mod receiving;

pub(crate) use self::access::*;
pub(crate) use self::keeping::*;
pub(crate) use self::landing::*;
pub(crate) use self::receiving::*;

/// Bit of [`Setting::commands`]: `serve` (and `check`, which takes what `serve` takes).
pub(crate) const SERVE: u8 = 1;
/// Bit of [`Setting::commands`]: `import`.
pub(crate) const IMPORT: u8 = 2;
/// Bit of [`Setting::commands`]: `inspect` and the others whose lake is a positional argument
/// (or `--lake`).
pub(crate) const INSPECT: u8 = 4;
const LANDING: u8 = SERVE | IMPORT;

/// What prefixes the environment variable of every setting.
pub(crate) const ENVIRONMENT_PREFIX: &str = "SESSIONLAKE_";

/// One setting: its names, its type and range, its default, and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Key in the file; the flag and the variable are spelled from it.
    pub(crate) key: &'static str,
    /// What help shows for the value.
    pub(crate) value_name: &'static str,
    /// Type and range.
    pub(crate) kind: Kind,
    /// What holds when nothing else says; none when the setting is simply absent then.
    pub(crate) default: Option<&'static str>,
    /// A value that is right, for error messages and the reference.
    pub(crate) example: &'static str,
    /// The commands that take it as a flag.
    pub(crate) commands: u8,
    /// Heading in help and in the reference.
    pub(crate) heading: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    /// What else there is to know; may be empty.
    pub(crate) more: &'static str,
}

/// Type and range of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, checked further where it is used.
    Text,
    /// A time span with a unit; both bounds are allowed.
    Duration { least_ms: u64, most_ms: u64 },
    /// A number of bytes, with or without a unit; both bounds are allowed.
    Size { least: u64, most: u64 },
    /// A whole number, or (where there is one) a word in its stead; both bounds are allowed.
    Count { least: u64, most: u64, word: Option<&'static str> },
    /// On or off.
    Switch,
}

impl Setting {
    /// `--roll-age`
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// `SESSIONLAKE_ROLL_AGE`
    pub(crate) fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.to_uppercase())
    }

    /// `roll_age = "60s"`, with quotes where the type asks for them.
    pub(crate) fn assignment(&self, value: &str) -> String {
        match self.kind {
            Kind::Switch => format!("{} = {value}", self.key),
            Kind::Count { .. } if value.parse::<u64>().is_ok() => format!("{} = {value}", self.key),
            _ => format!("{} = {}", self.key, toml::Value::String(value.to_owned())),
        }
    }

    /// Returns true if the file may have it. A file cannot name the file to read.
    pub(crate) fn in_file(&self) -> bool {
        self.key != CONFIG.key
    }
}

/// The setting with this key.
pub(crate) fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key).copied()
}

/// Every setting, in the order of help, reference and example.
pub(crate) const SETTINGS: &[&Setting] = &[
    &CONFIG,
    &LOG,
    &LISTEN,
    &PATH,
    &HOST_NAMES,
    &INSECURE_LISTEN,
    &BODY_LIMIT,
    &INFLATED_LIMIT,
    &HEADER_TIMEOUT,
    &BODY_TIMEOUT,
    &DRAIN_TIMEOUT,
    &MAX_CONNECTIONS,
    &MAX_CONNECTIONS_PER_PEER,
    &REQUESTS_PER_SECOND,
    &CREDENTIALS,
    &TLS_CERT,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &HANDSHAKE_TIMEOUT,
    &LAKE,
    &STORE_TIMEOUT,
    &TABLE,
    &SCHEMA,
    &PARTITION,
    &ROLL_AGE,
    &ROLL_BYTES,
    &ROLL_ROWS,
    &COMPRESSION,
    &ROW_GROUP_BYTES,
    &MEMORY,
    &DECODE_THREADS,
    &STATE,
    &NODE,
    &JOURNAL_QUOTA,
    &JOURNAL_SEGMENT,
    &JOURNAL_COMPRESSION,
    &DISK_RESERVE,
    &RETRY_WINDOW,
    &SKIP_DAMAGED,
    &PRIVACY_KEY,
    &ENCRYPT_JOURNAL,
];

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
