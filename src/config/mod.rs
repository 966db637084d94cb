//! Settings: layers of text, checked and built into the options of every station.
//!
//! ```text
//!  flags ─────────┐
//!  SESSIONLAKE_… ─┼─▶ layers: text, source ─▶ build ─┬─▶ server::Settings | import::Options | lake::Options
//!  file.toml ─────┤                                  └─▶ Error: every problem with its place
//!  defaults ──────┘
//! ```
//!
//! Promises:
//! - One list (`list`) names every setting, and one (`sections`) every section of the file and its
//!   keys. Flag, variable, key, help, messages, reference and example file are made from them.
//! - A flag outranks the environment, the environment the file, the file the default.
//! - Nothing misspelt is silently without effect: an unknown flag or key is an error, an unknown
//!   `SESSIONLAKE_…` variable a warning, each with the nearest name that is known.
//! - No secret is printed, in `Debug`, in errors or in warnings.
//! - Nothing below the command line imports this module: options belong to the stations that they
//!   are of, and are built here.
//!
//! Checking resolves the host of `listen`, compares the names of the state and lake directories, and
//! reads the configuration file and schema files. It creates nothing.

mod build;
mod environment;
mod error;
mod file;
mod flags;
mod idle;
mod layers;
pub(crate) mod list;
mod names;
mod paths;
pub mod reference;
pub(crate) mod secret_files;
mod section_digests;
mod sections;
mod snapshot;
mod source;
pub(crate) mod value;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(crate) use names::table_name as check_table_name;

pub use environment::Environment;
pub use error::{Error, Problem};
pub(crate) use flags::Flags;
pub(crate) use snapshot::Snapshot;

use layers::Layers;

use crate::commit::CatalogOptions;
use crate::{import, lake, maintain, server};

/// Checked settings of a command.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    /// The settings.
    pub(crate) settings: T,
    /// Filter of the log for `tracing-subscriber`, known to parse; empty for commands without one.
    pub(crate) log: String,
    /// Form of the log: `text` or `json`.
    pub(crate) log_format: String,
    /// Warnings for standard error: sentences about settings that are accepted and may be a
    /// mistake.
    pub(crate) warnings: Vec<String>,
    /// The file of the setting `schema`; `None` if the schema of the setting `table` is built in.
    pub(crate) schema_file: Option<PathBuf>,
    /// The settings, to be compared with those that are read later.
    pub(crate) snapshot: Snapshot,
}

/// Settings of the commands that look at a lake.
#[derive(Debug)]
pub(crate) struct LakeSettings {
    /// The lake.
    pub(crate) lake: lake::Options,
    /// The catalog of its Iceberg tables, if one is configured.
    pub(crate) catalog: Option<CatalogOptions>,
}

/// Loads the settings of `serve`.
pub(crate) fn serve(
    flags: &Flags<{ list::SERVE }>,
    environment: &Environment,
) -> Result<Loaded<server::Settings>, Error> {
    let mut layers = Layers::gather(flags, environment)?;
    let built = build::server(&layers);
    let (settings, log) = layers.checked(built)?;
    let mut layers = layers.with_schema_warnings();
    layers.warnings.extend(idle::warnings(&settings, &layers));
    Ok(loaded(settings, log, layers))
}

/// Returns the form of the log that `serve` has, as far as it can be told while settings are wrong.
pub(crate) fn log_format(flags: &Flags<{ list::SERVE }>, environment: &Environment) -> String {
    let layers = Layers::gather(flags, environment).ok();
    let given = layers.and_then(|layers| Some(layers.get(&list::LOG_FORMAT)?.text.clone()));
    let flag = || flags.get(&list::LOG_FORMAT);
    let variable = || environment.value(&list::LOG_FORMAT).ok().flatten();
    given.or_else(flag).or_else(variable).unwrap_or_default()
}

/// Loads the options of `import` for `files`.
pub(crate) fn import(
    flags: &Flags<{ list::IMPORT }>,
    environment: &Environment,
    files: &[PathBuf],
    again: bool,
    quiet: bool,
) -> Result<Loaded<import::Options>, Error> {
    let mut layers = Layers::gather(flags, environment)?;
    let section = layers.take_named_section();
    let built = build::import(&layers, section.as_deref(), files, again, quiet);
    let (settings, log) = layers.checked(built)?;
    Ok(loaded(settings, log, layers.with_schema_warnings()))
}

/// Loads the options of work on tables.
pub(crate) fn tables(
    flags: &Flags<{ list::TABLES }>,
    environment: &Environment,
) -> Result<Loaded<maintain::Options>, Error> {
    let mut layers = Layers::gather(flags, environment)?;
    let section = layers.take_named_section();
    let built = build::maintain(&layers, section.as_deref());
    let (settings, log) = layers.checked(built)?;
    Ok(loaded(settings, log, layers.with_schema_warnings()))
}

/// Loads the options of a lake and its catalog. `named`, the argument of the command, outranks every layer.
pub(crate) fn lake(
    flags: &Flags<{ list::INSPECT }>,
    environment: &Environment,
    named: Option<String>,
) -> Result<Loaded<LakeSettings>, Error> {
    let mut layers = Layers::gather(flags, environment)?;
    if let Some(named) = named {
        if flags.get(&list::LAKE).is_some() {
            let why = format!("the lake is given as {named} already: give it once");
            return Err(Problem::Refused { place: list::LAKE.flag(), why }.into());
        }
        layers.set(&list::LAKE, named);
    }
    let built = build::lake(&layers);
    Ok(loaded(layers.checked(built)?, String::new(), layers))
}

/// Loads the options of a lake and the tables of the configuration.
pub(crate) fn lake_and_tables(
    flags: &Flags<{ list::INSPECT }>,
    environment: &Environment,
) -> Result<Loaded<maintain::Options>, Error> {
    let mut layers = Layers::gather(flags, environment)?;
    let built = build::maintain(&layers, None);
    let (settings, log) = layers.checked(built)?;
    Ok(loaded(settings, log, layers))
}

fn loaded<T>(settings: T, log: String, layers: Layers) -> Loaded<T> {
    let schema = layers.get(&list::SCHEMA).filter(|given| !given.text.is_empty());
    let schema_file = schema.map(|given| PathBuf::from(&given.text));
    let snapshot = Snapshot::of(&layers);
    let log_format = layers.get(&list::LOG_FORMAT).map(|given| given.text.clone());
    let log_format = log_format.unwrap_or_default();
    Loaded { settings, log, log_format, warnings: layers.warnings, schema_file, snapshot }
}
