//! Options of an import.

use std::path::PathBuf;

use super::builder::Builder;
use crate::config::error::Error;
use crate::config::layers::Layers;
use crate::config::list;
use crate::import::{Input, Options};
use crate::table::Spec;

/// Builds the options of an import, and the filter of the log. `section` is the table of `[[tables]]` that
/// the files are for; without it, they are for that of the settings.
///
/// # Errors
/// Every problem of the settings.
pub(in crate::config) fn import(
    layers: &Layers,
    section: Option<&str>,
    files: &[PathBuf],
    again: bool,
    quiet: bool,
) -> Result<(Options, String), Error> {
    let mut builder = Builder::new(layers);
    let input = |file: &PathBuf| match file.as_os_str() == "-" {
        true => Input::Stdin,
        false => Input::File(file.clone()),
    };
    let inputs: Vec<Input> = files.iter().map(input).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        builder.refuse("FILE".to_owned(), "standard input (-) can be read once only");
    }
    let lake = builder.lake();
    let (first, mut more) = builder.tables();
    let table = builder.of_section(section, first, &mut more);
    let all: Vec<&Spec> = std::iter::once(&table).chain(&more).collect();
    let catalog = builder.catalog_of(&all);
    let privacy_key = builder.file(&list::PRIVACY_KEY);
    let roll = builder.roll();
    let is_flat = |flat: &Spec| flat.rows.parent().is_some_and(|parent| *parent == table.name);
    let flat = more.into_iter().filter(is_flat).collect();
    let options = Options { flat, inputs, again, quiet, lake, table, catalog, privacy_key, roll };
    let built = (options, builder.log());
    builder.done(built)
}
