//! What was typed, and where: one text for each setting, with the layer that it came from.
//!
//! The layers, the first that has a value wins: flag, environment, file, default. Nothing is
//! interpreted here but the layering itself, so that every layer is checked by the same code
//! ([`checked`](super::checked)) and a complaint can name its place.
//!
//! An environment variable that is empty counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::{Error, Problem};
use super::file;
use super::list::{self, CONFIG, ENVIRONMENT_PREFIX, Kind, SETTINGS, Setting};
use super::sections::Section;
use super::value;
use crate::lake::Secret;

/// The settings given as flags to one command; `COMMANDS` is its bit in
/// [`Setting::commands`](list::Setting). As clap arguments they are made from the list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags<const COMMANDS: u8> {
    typed: Vec<(&'static Setting, String)>,
}

/// The environment of the process, or of a test.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

/// Every setting that has a value, as text, and the `[storage]` table.
#[derive(Debug)]
pub(crate) struct Raw {
    values: BTreeMap<&'static str, Typed>,
    /// Entries of the `[storage]` table, in the order of their keys.
    pub(crate) storage: Vec<StorageEntry>,
    /// `[[endpoint]]`, `[[tables]]` and `[privacy]`, in the order of the file.
    pub(crate) sections: Vec<Section>,
    /// What is odd and yet no error, for standard error.
    pub(crate) warnings: Vec<String>,
}

/// One value as it was typed.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// One line of the `[storage]` table.
#[derive(Clone, Debug)]
pub(crate) struct StorageEntry {
    pub(crate) key: String,
    pub(crate) value: Secret,
    pub(crate) source: Source,
}

/// Where a value was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Environment,
    /// The file as it was named, and a line counted from 1.
    File {
        file: String,
        line: usize,
    },
    Default,
}

impl Source {
    /// The place of `setting` in this layer, as its user knows it.
    pub(crate) fn place(&self, setting: &Setting) -> String {
        match self {
            Source::Flag => setting.flag(),
            Source::Environment => setting.variable(),
            Source::File { file, line } => format!("{file}:{line}: {}", setting.key),
            Source::Default => format!("the default of {}", setting.key),
        }
    }

    /// An assignment to `setting` that is right, spelled as in this layer.
    pub(crate) fn example(&self, setting: &Setting) -> String {
        match self {
            Source::Flag | Source::Default if setting.kind == Kind::Switch => setting.flag(),
            Source::Flag | Source::Default => format!("{} {}", setting.flag(), setting.example),
            Source::Environment => format!("{}={}", setting.variable(), setting.example),
            Source::File { .. } => file::assignment(setting, setting.example),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Environment => f.write_str("environment"),
            Source::File { file, line } => write!(f, "{file}:{line}"),
            Source::Default => f.write_str("default"),
        }
    }
}

impl Environment {
    /// From pairs of name and value, as `std::env::vars_os` gives them.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Environment {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment { variables: variables.collect() }
    }

    fn value(&self, setting: &Setting) -> Result<Option<String>, Problem> {
        let name = setting.variable();
        match self.variables.get(std::ffi::OsStr::new(&name)).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(|value| Some(value.to_owned())).ok_or_else(|| {
                Problem::Refused { place: name, why: "its value is not UTF-8".to_owned() }
            }),
        }
    }

    /// A sentence about each `SESSIONLAKE_…` variable that no setting reads.
    fn strangers(&self) -> Vec<String> {
        let known: Vec<String> = SETTINGS.iter().map(|setting| setting.variable()).collect();
        self.variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.to_string_lossy())
            .filter(|name| name.starts_with(ENVIRONMENT_PREFIX) && !known.iter().any(|k| k == name))
            .map(|name| {
                let key = name.trim_start_matches(ENVIRONMENT_PREFIX);
                let nearest = value::nearest(key, SETTINGS.iter().map(|setting| setting.key));
                let nearest = nearest.and_then(list::by_key).map(Setting::variable);
                format!(
                    "the environment variable {name} is not read; the nearest name that is read \
                     is {}",
                    nearest.unwrap_or_default()
                )
            })
            .collect()
    }
}

impl Raw {
    /// Lays the four layers over each other.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not TOML, or has keys or types that no setting has; a variable
    /// is not UTF-8.
    pub(crate) fn gather<const COMMANDS: u8>(
        flags: &Flags<COMMANDS>,
        environment: &Environment,
    ) -> Result<Raw, Error> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let flag = flags.get(setting).map(|text| (text, Source::Flag));
            let typed = match flag {
                Some(flag) => Some(flag),
                None => match environment.value(setting) {
                    Ok(text) => text.map(|text| (text, Source::Environment)),
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                },
            };
            if let Some((text, source)) = typed {
                values.insert(setting.key, Typed { text, source });
            }
        }
        let (mut storage, mut sections) = (Vec::new(), Vec::new());
        if let Some(path) = values.get(CONFIG.key) {
            let read = file::read(Path::new(&path.text));
            problems.extend(read.problems);
            storage = read.storage;
            sections = read.sections;
            for (key, typed) in read.values {
                values.entry(key).or_insert(typed);
            }
        }
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                values
                    .entry(setting.key)
                    .or_insert(Typed { text: default.to_owned(), source: Source::Default });
            }
        }
        match Error::from_problems(problems) {
            Some(error) => Err(error),
            None => Ok(Raw { values, storage, sections, warnings: environment.strangers() }),
        }
    }

    /// Puts `text` above every layer: an argument that stands for the setting.
    pub(crate) fn name(&mut self, setting: &Setting, text: String) {
        self.values.insert(setting.key, Typed { text, source: Source::Flag });
    }

    /// The value of `setting`, if any layer has one.
    pub(crate) fn get(&self, setting: &Setting) -> Option<&Typed> {
        self.values.get(setting.key)
    }
}

impl<const COMMANDS: u8> Flags<COMMANDS> {
    pub(super) fn get(&self, setting: &Setting) -> Option<String> {
        let found = self.typed.iter().find(|(typed, _)| typed.key == setting.key);
        found.map(|(_, text)| text.clone())
    }

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().copied().filter(|setting| setting.commands & COMMANDS != 0)
    }

    /// Whether the setting is the lake of a command that has an argument for it; the flag is for
    /// those who are used to it from the others.
    fn has_an_argument(setting: &Setting) -> bool {
        COMMANDS == list::INSPECT && setting.key == list::LAKE.key
    }

    /// What clap knows it by; the argument LAKE may have the name of the key.
    fn id(setting: &Setting) -> &'static str {
        if Self::has_an_argument(setting) { "lake_flag" } else { setting.key }
    }
}

/// A setting as a clap argument. Clap takes the text of the flag and shows help; it neither reads
/// the environment nor fills in defaults: the layering is ours.
fn argument(setting: &'static Setting) -> Arg {
    let more = if setting.more.is_empty() { String::new() } else { format!(" {}", setting.more) };
    let default = match (setting.kind, setting.default) {
        (Kind::Switch, _) | (_, None | Some("")) => String::new(),
        (_, Some(default)) => format!("[default: {default}]"),
    };
    let short = format!("{} {default}", setting.help.trim_end_matches('.'));
    let long = format!("{}{more}\n\n[env: {}]\n{default}", setting.help, setting.variable());
    let arg = Arg::new(setting.key)
        .long(setting.flag().trim_start_matches('-').to_owned())
        .value_name(setting.value_name)
        .help(short.trim_end().to_owned())
        .long_help(long.trim_end().to_owned())
        .help_heading(setting.section)
        .action(ArgAction::Set)
        // So that a negative number meets the setting's own check, not "unexpected argument".
        .allow_negative_numbers(true);
    match setting.kind {
        // `--flag` alone is on; `--flag=false` outranks a file that says true.
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

impl<const COMMANDS: u8> clap::Args for Flags<COMMANDS> {
    fn augment_args(command: Command) -> Command {
        let argument =
            |setting| argument(setting).id(Self::id(setting)).hide(Self::has_an_argument(setting));
        Self::settings().map(argument).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const COMMANDS: u8> clap::FromArgMatches for Flags<COMMANDS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = Vec::new();
        for setting in Self::settings() {
            let id = Self::id(setting);
            if matches.value_source(id) == Some(ValueSource::CommandLine)
                && let Some(text) = matches.get_one::<String>(id)
            {
                typed.push((setting, text.clone()));
            }
        }
        Ok(Flags { typed })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
