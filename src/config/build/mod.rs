//! From settings to the options of every station.
//!
//! All problems are gathered before giving up. Settings are held against each other only once each
//! is right by itself.

mod endpoints;
mod lake;
mod server;
mod tables;

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Error, Problem};
use super::layers::Layers;
use super::list::{self, Kind, Setting};
use super::source::{Source, SourcedText};
use super::value;
use crate::import;
use crate::import::Input;

/// Checks the settings of a server; returns them with the filter of the log.
pub(super) fn server(layers: &Layers) -> Result<(crate::server::Settings, String), Error> {
    let mut builder = Builder { layers, problems: Vec::new() };
    let checked = (builder.server(), builder.log());
    builder.done(checked)
}

/// Checks the options of an import; returns them with the filter of the log.
pub(super) fn import(
    layers: &Layers,
    files: &[PathBuf],
    again: bool,
    quiet: bool,
) -> Result<(import::Options, String), Error> {
    let mut builder = Builder { layers, problems: Vec::new() };
    let input = |file: &PathBuf| match file.as_os_str() == "-" {
        true => Input::Stdin,
        false => Input::File(file.clone()),
    };
    let inputs: Vec<Input> = files.iter().map(input).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        builder.refuse("FILE".to_owned(), "standard input (-) can be read once only");
    }
    let lake = builder.lake();
    let (table, _) = builder.tables();
    let privacy_key = builder.file(&list::PRIVACY_KEY);
    let roll = builder.roll();
    let options = import::Options { inputs, again, quiet, lake, table, privacy_key, roll };
    let checked = (options, builder.log());
    builder.done(checked)
}

/// Checks the options of a lake.
pub(super) fn lake(layers: &Layers) -> Result<crate::lake::Options, Error> {
    let mut builder = Builder { layers, problems: Vec::new() };
    let lake = builder.lake();
    builder.done(lake)
}

/// Builds options from settings and collects what is wrong with them. In place of a wrong value a
/// harmless one is built into options that are then dropped.
struct Builder<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    /// Returns `built`, unless there are problems.
    fn done<T>(self, built: T) -> Result<T, Error> {
        match Error::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(built),
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

    fn given(&self, setting: &Setting) -> SourcedText {
        self.layers
            .get(setting)
            .cloned()
            .unwrap_or_else(|| SourcedText { text: String::new(), source: Source::Default })
    }

    fn source_of(&self, setting: &Setting) -> Source {
        self.given(setting).source
    }

    fn place(&self, setting: &Setting) -> String {
        self.source_of(setting).place(setting)
    }

    fn refuse(&mut self, place: String, why: impl Into<String>) {
        self.problems.push(Problem::Refused { place, why: why.into() });
    }

    fn bad(&mut self, setting: &Setting, given: &SourcedText, why: String) {
        self.problems.push(Problem::BadValue {
            place: given.source.place(setting),
            found: given.text.clone(),
            why,
            example: given.source.example(setting),
        });
    }

    fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.given(setting);
        match parse(&given.text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.bad(setting, &given, why);
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
        let given = self.layers.get(setting).filter(|given| !given.text.is_empty());
        given.map(|given| PathBuf::from(&given.text))
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
