//! Settings from environment variables.
//!
//! A variable that is empty counts as not set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::error::Problem;
use super::list::{self, ENVIRONMENT_PREFIX, SETTINGS, Setting};
use super::value;

/// The environment variables of a process.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Takes pairs of name and value, as `std::env::vars_os` gives them.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Environment {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment { variables: variables.collect() }
    }

    /// Returns the value of the variable of `setting`, if it is set.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub(super) fn value(&self, setting: &Setting) -> Result<Option<String>, Problem> {
        let name = setting.variable();
        match self.variables.get(OsStr::new(&name)).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(|value| Some(value.to_owned())).ok_or_else(|| {
                Problem::Refused { place: name, why: "its value is not UTF-8".to_owned() }
            }),
        }
    }

    /// Returns a sentence about each `SESSIONLAKE_…` variable that no setting reads.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
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
