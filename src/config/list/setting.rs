//! A setting, and its type.

/// Bit of [`Setting::commands`]: `serve` (and `check`, which takes what `serve` takes).
pub(crate) const SERVE: u8 = 1;
/// Bit of [`Setting::commands`]: `import`.
pub(crate) const IMPORT: u8 = 2;
/// Bit of [`Setting::commands`]: `inspect` and the others whose lake is a positional argument
/// (or `--lake`).
pub(crate) const INSPECT: u8 = 4;
/// Bit of [`Setting::commands`]: `table` and `convert`.
pub(crate) const TABLES: u8 = 8;
pub(crate) const LANDING: u8 = SERVE | IMPORT;

/// Key of the setting that names the file.
pub(crate) const CONFIG_KEY: &str = "config";

/// Prefix of the environment variable of every setting.
pub(crate) const ENVIRONMENT_PREFIX: &str = "SESSIONLAKE_";

/// One setting: its names, its type and range, its default, and its meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Key in the file; the flag and the variable are spelled from it.
    pub(crate) key: &'static str,
    /// Placeholder of the value in help.
    pub(crate) value_name: &'static str,
    /// Type and range.
    pub(crate) kind: Kind,
    /// Value without any other; none if the setting is absent then.
    pub(crate) default: Option<&'static str>,
    /// A correct value, for messages and the reference.
    pub(crate) example: &'static str,
    /// The commands that take it as a flag.
    pub(crate) commands: u8,
    /// Heading in help and in the reference.
    pub(crate) heading: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    /// Further sentences; may be empty.
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
    /// On, off, or this word.
    SwitchOr(&'static str),
    /// Names with commas between them; in the file, a list of names as well.
    Names,
}

impl Setting {
    /// Returns the flag: `--roll-age`.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// Returns the environment variable: `SESSIONLAKE_ROLL_AGE`.
    pub(crate) fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.to_uppercase())
    }

    /// Returns an assignment in the file: `roll_age = "60s"`, with quotes where the type asks for
    /// them.
    pub(crate) fn assignment(&self, value: &str) -> String {
        match self.kind {
            Kind::Switch => format!("{} = {value}", self.key),
            Kind::SwitchOr(word) if value != word => format!("{} = {value}", self.key),
            Kind::Count { .. } if value.parse::<u64>().is_ok() => format!("{} = {value}", self.key),
            Kind::Names => {
                let names = super::names_of(value).map(|name| format!("\"{name}\""));
                format!("{} = [{}]", self.key, names.collect::<Vec<_>>().join(", "))
            }
            _ => format!("{} = {}", self.key, toml::Value::String(value.to_owned())),
        }
    }

    /// Returns true if the file may have the setting. A file cannot name the file to read.
    pub(crate) fn in_file(&self) -> bool {
        self.key != CONFIG_KEY
    }
}

pub(super) const SECOND: u64 = 1_000;
pub(super) const HOUR: u64 = 3_600 * SECOND;
pub(super) const DAY: u64 = 24 * HOUR;
