//! Settings from environment variables.
//!
//! A variable that is empty counts as not set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::error::Problem;
use super::list::{ENVIRONMENT_PREFIX, SETTINGS, Setting};
use super::secret_files::{self, SUFFIX};
use super::sections::list::{CATALOG, KeyKind};
use super::sections::{CatalogSection, Section};
use super::source::Source;
use super::value;

/// Returns the variable of a key of the section `[catalog]`.
pub(super) fn catalog_variable(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}_{}", CATALOG.name, key).to_uppercase()
}

/// Variables that commands read besides the settings.
const OF_COMMANDS: [&str; 4] = [
    "SESSIONLAKE_OPERATOR_USER",
    "SESSIONLAKE_OPERATOR_USER_FILE",
    "SESSIONLAKE_OPERATOR_TOKEN",
    "SESSIONLAKE_OPERATOR_TOKEN_FILE",
];

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
        self.text(setting.variable())
    }

    /// Returns a variable that is not of this program, if it is set.
    pub(crate) fn foreign(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name)).map(OsString::as_os_str);
        value.filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable that is not of this program, if it is set.
    ///
    /// # Errors
    /// The value is not UTF-8.
    fn text(&self, name: String) -> Result<Option<String>, Problem> {
        match self.variables.get(OsStr::new(&name)).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(|value| Some(value.to_owned())).ok_or_else(|| {
                Problem::Refused { place: name, why: "its value is not UTF-8".to_owned() }
            }),
        }
    }

    /// Returns the value of a variable that is a secret, or the secret in the file that `<name>_FILE` names.
    ///
    /// # Errors
    /// The value is not UTF-8, the file cannot be read, or there are both.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<String>, Problem> {
        let of_file = format!("{name}{}", SUFFIX.to_uppercase());
        let given = self.text(name.to_owned())?;
        let Some(path) = self.text(of_file.clone())? else { return Ok(given) };
        let refused = |why| Problem::Refused { place: of_file.clone(), why };
        match given {
            Some(_) => Err(refused(format!("{name} is given as well: give one of them"))),
            None => secret_files::read(&path).map(Some).map_err(refused),
        }
    }

    /// Returns the secrets of object stores that are in files, by the key of `[storage]`. A variable of the
    /// cloud itself is read by the library of the store.
    pub(super) fn secrets_of_stores(&self, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
        let mut secrets = Vec::new();
        for key in secret_files::OF_STORES {
            let name = key.to_uppercase();
            if self.variables.contains_key(OsStr::new(&format!("{name}{}", SUFFIX.to_uppercase())))
            {
                match self.secret(&name) {
                    Ok(secret) => secrets.extend(secret.map(|secret| (key.to_owned(), secret))),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        secrets
    }

    /// Lays the variables of a catalog's keys over the section of the file, and those of AWS below it.
    pub(super) fn lay_over(
        &self,
        section: &mut Option<Section<CatalogSection>>,
        problems: &mut Vec<Problem>,
    ) {
        for key in CATALOG.keys {
            let name = catalog_variable(key.name);
            let read = match key.kind {
                KeyKind::Secret => self.secret(&name),
                _ => self.text(name),
            };
            match read {
                Err(problem) => problems.push(problem),
                Ok(None) => {}
                Ok(Some(text)) => {
                    let section = section.get_or_insert_with(|| Section {
                        list: &CATALOG,
                        source: Source::Environment,
                        lines: Vec::new(),
                        values: CatalogSection::default(),
                    });
                    section.put(key.name, text, Source::Environment);
                }
            }
        }
        if let Some(section) = section
            && section.has("signing_name")
        {
            self.lay_under(section, problems);
        }
    }

    /// Gives the section of a catalog of AWS what it lacks and the variables of the cloud have: the region,
    /// and a key, whole or not at all.
    fn lay_under(&self, section: &mut Section<CatalogSection>, problems: &mut Vec<Problem>) {
        let has_key = ["access_key_id", "secret_access_key", "session_token"]
            .into_iter()
            .any(|key| section.has(key));
        for (key, variable, is_wanted) in [
            ("region", "AWS_REGION", true),
            ("region", "AWS_DEFAULT_REGION", true),
            ("access_key_id", "AWS_ACCESS_KEY_ID", !has_key),
            ("secret_access_key", "AWS_SECRET_ACCESS_KEY", !has_key),
            ("session_token", "AWS_SESSION_TOKEN", !has_key),
        ] {
            match self.secret(variable) {
                Err(problem) => problems.push(problem),
                Ok(Some(text)) if is_wanted && !section.has(key) => {
                    section.put(key, text, Source::Environment);
                }
                Ok(_) => {}
            }
        }
    }

    /// Returns a sentence about each `SESSIONLAKE_…` variable that no setting reads.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let is_known = |name: &str| OF_COMMANDS.contains(&name);
        let settings = SETTINGS.iter().map(|setting| setting.key.to_owned());
        let keys = CATALOG.keys.iter().map(|key| format!("{}_{}", CATALOG.name, key.name));
        let files = CATALOG.keys.iter().filter(|key| key.kind == KeyKind::Secret);
        let files = files.map(|key| format!("{}_{}{SUFFIX}", CATALOG.name, key.name));
        let keys: Vec<String> = settings.chain(keys).chain(files).collect();
        let variable = |key: &str| format!("{ENVIRONMENT_PREFIX}{}", key.to_uppercase());
        let known: Vec<String> = keys.iter().map(|key| variable(key)).collect();
        self.variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.to_string_lossy())
            .filter(|name| name.starts_with(ENVIRONMENT_PREFIX) && !is_known(name))
            .filter(|name| !known.iter().any(|k| k == name))
            .map(|name| {
                let key = name.trim_start_matches(ENVIRONMENT_PREFIX);
                let nearest = value::nearest(key, keys.iter().map(String::as_str));
                let nearest = nearest.map(variable);
                format!(
                    "the environment variable {name} is not read; the nearest name that is read \
                     is {}",
                    nearest.unwrap_or_default()
                )
            })
            .collect()
    }
}
