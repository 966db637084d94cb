//! Parsing of settings, with a place and an example for each that is wrong.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::{Error, Problem};
use crate::config::layers::Layers;
use crate::config::list::{self, Kind, Setting};
use crate::config::source::{Source, SourcedText};
use crate::config::value;
use crate::lake::Location;

/// Builds options from settings and collects what is wrong with them. In place of a wrong value a
/// harmless one is built into options that are then dropped.
pub(super) struct Builder<'a> {
    pub(super) layers: &'a Layers,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Builder { layers, problems: Vec::new() }
    }

    /// Returns `built`, unless there are problems.
    pub(super) fn done<T>(self, built: T) -> Result<T, Error> {
        match Error::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(built),
        }
    }

    /// Parses the filter of the log.
    pub(super) fn log(&mut self) -> String {
        self.parsed(&list::LOG_FORMAT, |text| match text {
            "text" | "json" => Ok(()),
            _ => Err("is neither text nor json".to_owned()),
        });
        self.parsed(&list::LOG, |text| {
            log_levels(text)?;
            match tracing_subscriber::EnvFilter::try_new(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => Err("is no log filter".to_owned()),
            }
        })
    }

    /// Refuses a size `high` below that of `low`, which is `low_bytes`.
    pub(super) fn not_below(&mut self, high: &Setting, low: &Setting, low_bytes: u64) {
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

    /// Returns the text of `setting`, empty if it has none.
    pub(super) fn given(&self, setting: &Setting) -> SourcedText {
        self.layers
            .get(setting)
            .cloned()
            .unwrap_or_else(|| SourcedText { text: String::new(), source: Source::Default })
    }

    pub(super) fn source_of(&self, setting: &Setting) -> Source {
        self.given(setting).source
    }

    pub(super) fn place(&self, setting: &Setting) -> String {
        self.source_of(setting).place(setting)
    }

    pub(super) fn refuse(&mut self, place: String, why: impl Into<String>) {
        self.problems.push(Problem::Refused { place, why: why.into() });
    }

    pub(super) fn bad(&mut self, setting: &Setting, given: &SourcedText, why: String) {
        self.problems.push(Problem::BadValue {
            place: given.source.place(setting),
            found: given.text.clone(),
            why,
            example: given.source.example(setting),
        });
    }

    /// Parses `setting`. Returns `None` and records a problem if it is wrong.
    pub(super) fn optional<T>(
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

    /// Parses `setting`. Returns the default of the type and records a problem if it is wrong.
    pub(super) fn parsed<T: Default>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.optional(setting, parse).unwrap_or_default()
    }

    pub(super) fn duration(&mut self, setting: &Setting) -> Duration {
        let Kind::Duration { least_ms, most_ms } = setting.kind else { return Duration::ZERO };
        self.parsed(setting, |text| value::duration(text, least_ms, most_ms))
    }

    pub(super) fn size(&mut self, setting: &Setting) -> u64 {
        let Kind::Size { least, most } = setting.kind else { return 0 };
        self.parsed(setting, |text| value::size(text, least, most))
    }

    /// Parses a number; `None` for the word in its place.
    pub(super) fn count(&mut self, setting: &Setting) -> Option<u64> {
        let Kind::Count { least, most, word } = setting.kind else { return None };
        self.parsed(setting, |text| value::count(text, least, most, word))
    }

    pub(super) fn switch(&mut self, setting: &Setting) -> bool {
        self.parsed(setting, value::switch)
    }

    /// Returns the names of a list.
    pub(super) fn names(&self, setting: &Setting) -> Vec<String> {
        list::names_of(&self.given(setting).text).map(str::to_owned).collect()
    }

    /// Returns the path of a file, if the setting has one.
    pub(super) fn file(&self, setting: &Setting) -> Option<PathBuf> {
        let given = self.layers.get(setting).filter(|given| !given.text.is_empty());
        given.map(|given| PathBuf::from(&given.text))
    }

    pub(super) fn path(&mut self, setting: &Setting) -> PathBuf {
        self.parsed(setting, |text| match text {
            "" => Err("is no directory".to_owned()),
            address if address.contains("://") || Location::is_half_an_address(address) => {
                Err("is an address, and has to be a directory on a disk of this machine".to_owned())
            }
            path => Ok(PathBuf::from(path)),
        })
    }
}

/// Refuses a word alone that is no level. The filter itself would take it for a module, and drop
/// every other event.
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
