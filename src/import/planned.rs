//! Planned imports, and the names of their nodes.

use xxhash_rust::xxh3::xxh3_128;

use super::chunk_source::Line;
use super::claims::Claim;
use super::manifest::ImportManifest;
use super::options::Input;

/// An import to begin or to go on with.
#[derive(Debug)]
pub(super) struct PlannedImport {
    /// Name of its node in receipts and files.
    pub(super) node: String,
    pub(super) manifest: ImportManifest,
    /// Its manifest is not in the lake yet.
    pub(super) new: bool,
    /// Claims that it needs if it is new; none for what is identified by nothing.
    pub(super) claims: Vec<Claim>,
    pub(super) lines: Lines,
}

/// The lines of a planned import.
#[derive(Debug)]
pub(super) enum Lines {
    /// Its files, in the order of the manifest; none for those that are not there any more.
    Files(Vec<Option<Input>>),
    /// Lines of the quarantine.
    Quarantine(Vec<Line>),
}

impl PlannedImport {
    /// Returns the inputs that are there.
    pub(super) fn inputs(&self) -> Vec<Input> {
        match &self.lines {
            Lines::Files(inputs) => inputs.iter().flatten().cloned().collect(),
            Lines::Quarantine(_) => Vec::new(),
        }
    }

    /// Takes a file out of a new import.
    pub(super) fn take_out(&mut self, content: &str) -> Option<Input> {
        let at = self.manifest.file(content)?;
        self.manifest.files.remove(at);
        match &mut self.lines {
            Lines::Files(inputs) if at < inputs.len() => inputs.remove(at),
            _ => None,
        }
    }
}

/// Returns the name of the import of files with these contents.
pub(super) fn base_name<'a>(contents: impl Iterator<Item = &'a str>) -> String {
    let contents: String = contents.collect();
    format!("import-{:032x}", xxh3_128(contents.as_bytes()))
}

/// Returns `base`, `base-2`, `base-3` …
pub(super) fn numbered(base: &str) -> impl Iterator<Item = String> {
    let again = (2u64..).map(move |n| format!("{base}-{n}"));
    std::iter::once(base.to_owned()).chain(again)
}
