//! Options of the lake, and of rolls.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::builder::Builder;
use crate::config::LakeSettings;
use crate::config::error::Error;
use crate::config::layers::Layers;
use crate::config::list;
use crate::config::sections::SecretText;
use crate::config::value;
use crate::encode::{Compression, Encodings};
use crate::lake::Location;
use crate::{lake, maintain, roll};

/// Builds the options of a lake and its catalog.
///
/// # Errors
/// Every problem of the settings.
pub(in crate::config) fn lake(layers: &Layers) -> Result<LakeSettings, Error> {
    let mut builder = Builder::new(layers);
    let settings = LakeSettings { lake: builder.lake(), catalog: builder.catalog() };
    builder.done(settings)
}

/// Builds the options of work on tables, and the filter of the log. The table of the section `section` of
/// `[[tables]]`, if it is named, comes first.
///
/// # Errors
/// Every problem of the settings.
pub(in crate::config) fn maintain(
    layers: &Layers,
    section: Option<&str>,
) -> Result<(maintain::Options, String), Error> {
    let mut builder = Builder::new(layers);
    let lake = builder.lake();
    let (first, mut more) = builder.tables();
    let first = builder.of_section(section, first, &mut more);
    let tables = std::iter::once(first).chain(more).collect();
    // The format may be given by the command, so a catalog may be for it.
    let catalog = builder.catalog();
    let flat_columns = builder.names(&list::FLAT_COLUMNS);
    let built = (maintain::Options { lake, tables, flat_columns, catalog }, builder.log());
    builder.done(built)
}

impl Builder<'_> {
    pub(super) fn lake(&mut self) -> lake::Options {
        let location = self.lake_location();
        let timeout = self.duration(&list::STORE_TIMEOUT);
        let mut options = Vec::new();
        let layers = self.layers;
        // Of two spellings of one key the later one holds: the section outranks the environment.
        for (key, SecretText(value)) in &layers.store_secrets {
            // Variables of another cloud are for something else.
            options.extend(lake::Options::check(&location, key, value));
        }
        if let Some(section) = &layers.sections.storage {
            for (key, source) in &section.lines {
                let Some(SecretText(value)) = section.values.0.get(key) else { continue };
                match lake::Options::check(&location, key, value) {
                    Ok(option) => options.push(option),
                    Err(why) => self.refuse(source.to_string(), why),
                }
            }
        }
        lake::Options { location, options, timeout }
    }

    fn lake_location(&mut self) -> Location {
        let harmless = || Location::Local(PathBuf::new());
        let given = self.given(&list::LAKE);
        // A name and password before an @ would be printed with the value.
        if given.text.contains("://") && given.text.contains('@') {
            let place = given.source.place(&list::LAKE);
            let why = "credentials do not belong in the address of the lake; use the [storage] \
                       table or the variables of the cloud, for example AWS_ACCESS_KEY_ID";
            self.refuse(place, why);
            return harmless();
        }
        match Location::parse(&given.text) {
            Ok(location) => location,
            Err(why) => {
                self.bad(&list::LAKE, &given, why);
                harmless()
            }
        }
    }

    /// Refuses a limit of lines above a quarter of the memory, which is what bodies that are decoded
    /// take.
    fn memory_takes_lines(&mut self, memory_bytes: u64) {
        let limit_bytes = self.size(&list::LINE_LIMIT);
        if limit_bytes > memory_bytes / 4 {
            let why = format!(
                "{} is above a quarter of memory ({}, {}); lower the one, or raise the other to {}",
                value::show_size(limit_bytes),
                value::show_size(memory_bytes),
                self.source_of(&list::MEMORY),
                value::show_size(limit_bytes * 4),
            );
            self.refuse(self.place(&list::LINE_LIMIT), why);
        }
    }

    pub(super) fn roll(&mut self) -> roll::Options {
        let threads = self.count(&list::DECODE_THREADS).and_then(|n| usize::try_from(n).ok());
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let options = roll::Options {
            roll_bytes: self.size(&list::ROLL_BYTES),
            roll_rows: self.count(&list::ROLL_ROWS),
            compression: self
                .optional(&list::COMPRESSION, Compression::parse)
                .unwrap_or(Compression::None),
            encodings: self
                .optional(&list::ENCODINGS, Encodings::parse)
                .unwrap_or(Encodings::Delta),
            row_group_bytes: self.size(&list::ROW_GROUP_BYTES),
            memory_bytes: self.size(&list::MEMORY),
            disk_reserve_bytes: 0,
            decode_threads: threads.and_then(NonZeroUsize::new).unwrap_or(cores),
        };
        if self.problems.is_empty() {
            self.not_below(&list::MEMORY, &list::ROW_GROUP_BYTES, options.row_group_bytes);
            self.memory_takes_lines(options.memory_bytes);
        }
        options
    }
}
