//! The planner: the imports to begin, the ones to go on with, and the files that were imported before.

use std::collections::{HashMap, HashSet};

use anyhow::{anyhow, bail};
use xxhash_rust::xxh3::xxh3_128;

use super::manifest::{ImportManifest, ManifestFile, Manifests};
use super::options::{Input, Options};
use super::{content_hash, examine, report};
use crate::clock::{Clock as _, SystemClock};
use crate::record::Micros;
use crate::table::Tables;

/// The plan of a command.
pub(super) struct Plan {
    /// Imports, in the order in which they are to be landed.
    pub(super) imports: Vec<PlannedImport>,
    /// Names of files that were imported before.
    pub(super) known: Vec<String>,
    /// Names of files without any line: there is nothing to import, and nothing to remember.
    pub(super) empty: Vec<String>,
    /// Names of files that cannot be imported, each with the reason.
    pub(super) refused: Vec<String>,
}

/// An import to begin or to go on with.
pub(super) struct PlannedImport {
    /// Name of its node in receipts and files.
    pub(super) node: String,
    pub(super) manifest: ImportManifest,
    /// Its manifest is not in the lake yet.
    pub(super) new: bool,
    /// Its files, in the order of the manifest.
    pub(super) inputs: Vec<Input>,
}

/// A file that was given, and the hash of its content.
struct Given {
    input: Input,
    name: String,
    content: Option<String>,
    /// True when the file has no line but blank ones.
    empty: bool,
}

/// The inputs of a command.
struct Inputs {
    /// Each content once.
    given: Vec<Given>,
    /// Names of inputs that repeat another one.
    repeated: Vec<String>,
    /// Names of files that cannot be read, each with the reason.
    refused: Vec<String>,
}

/// Plans the import of the inputs of `options` into the lake of `manifests`. Reads every file whole.
///
/// # Errors
/// An interrupted import of which only some files are given; the lake.
pub(super) fn plan(
    options: &Options,
    manifests: &Manifests,
    tables: &Tables,
) -> anyhow::Result<Plan> {
    let Inputs { mut given, repeated: mut known, mut refused } = identify(&options.inputs);
    let before = manifests.all()?;
    // Interrupted imports first: their files are partly in the lake.
    let mut imports = Vec::new();
    let mut open: Vec<_> = before.iter().filter(|(_, manifest)| manifest.is_open()).collect();
    open.sort_by_key(|(node, _)| node.as_str());
    for (node, manifest) in &open {
        if let Some(inputs) = take(&mut given, node, manifest)? {
            tracing::info!("going on with an interrupted import of {} files", inputs.len());
            let (node, manifest) = ((*node).clone(), (*manifest).clone());
            imports.push(PlannedImport { node, manifest, new: false, inputs });
        }
    }
    warn_of_changed(&given, &open);
    let done: HashSet<&str> = before
        .values()
        .filter(|manifest| manifest.done)
        .flat_map(|manifest| &manifest.files)
        .filter_map(|file| file.content.as_deref())
        .collect();
    let (mut files, mut streams, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for given in given {
        match &given.content {
            None => streams.push(given),
            Some(_) if given.empty => empty.push(given.name),
            Some(content) if done.contains(content.as_str()) && !options.again => {
                known.push(given.name);
            }
            Some(_) => match examine::refusal(&given.input, &options.table) {
                Ok(None) => files.push(given),
                Ok(Some(why)) => refused.push(format!("{}: {why}", given.name)),
                Err(error) => refused.push(format!("{error:#}")),
            },
        }
    }
    let now = SystemClock.now();
    if !files.is_empty() {
        let contents: Vec<&str> = files.iter().filter_map(|f| f.content.as_deref()).collect();
        let hash = xxh3_128(contents.concat().as_bytes());
        let node = free_node(&format!("import-{hash:032x}"), &before);
        imports.push(begin(node, files, tables, now));
    }
    for stream in streams {
        let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
        imports.push(begin(format!("stdin-{number:016x}"), vec![stream], tables, now));
    }
    Ok(Plan { imports, known, empty, refused })
}

/// Hashes every input.
fn identify(inputs: &[Input]) -> Inputs {
    let (mut given, mut repeated, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for input in inputs {
        let name = report::name(input);
        let content = match content_hash::of(input) {
            Ok(content) => content,
            Err(error) => {
                refused.push(format!("{error:#}"));
                continue;
            }
        };
        let empty = content.as_ref().is_some_and(|content| content.blank);
        let content = content.map(|content| content.hash);
        let repeats = content.as_ref().is_some_and(|content| !seen.insert(content.clone()));
        if repeats && !empty {
            repeated.push(format!("{name} (the same as another one here)"));
            continue;
        }
        given.push(Given { input: input.clone(), name, content, empty });
    }
    Inputs { given, repeated, refused }
}

/// Warns of files with the name, and not the content, of a file of an interrupted import.
fn warn_of_changed(given: &[Given], open: &[(&String, &ImportManifest)]) {
    for (node, manifest) in open {
        let changed = given.iter().find(|one| {
            let was = |file: &ManifestFile| file.name == one.name && file.content.is_some();
            manifest.files.iter().any(was) && one.content.is_some()
        });
        if let Some(Given { name, .. }) = changed {
            tracing::warn!(
                "{name} has changed since an import of it was interrupted ({node}), and is \
                 imported as a new file: what had landed of it may be there twice. \
                 `sessionlake import --give-up {node}` ends the old import"
            );
        }
    }
}

/// Plans a new import of `given`.
fn begin(node: String, given: Vec<Given>, tables: &Tables, now: Micros) -> PlannedImport {
    let (mut files, mut inputs) = (Vec::new(), Vec::new());
    for Given { input, name, content, .. } in given {
        files.push(ManifestFile { name, content, first_seq: None });
        inputs.push(input);
    }
    let manifest = ImportManifest::new(files, tables, now);
    PlannedImport { node, manifest, new: true, inputs }
}

/// Returns `base`, or `base` with a number behind it, such that no import of `before` has the name.
pub(super) fn free_node(base: &str, before: &HashMap<String, ImportManifest>) -> String {
    let again = (2u64..).map(|n| format!("{base}-{n}"));
    let mut names = std::iter::once(base.to_owned()).chain(again);
    names.find(|node| !before.contains_key(node)).unwrap_or_default()
}

/// Takes the files of the interrupted import `node` out of `given`. Returns `None` if none of them is
/// there.
///
/// # Errors
/// Only some of them are there.
fn take(
    given: &mut Vec<Given>,
    node: &str,
    manifest: &ImportManifest,
) -> anyhow::Result<Option<Vec<Input>>> {
    let of_import = |one: &Given| {
        !one.empty
            && one.content.is_some()
            && manifest.files.iter().any(|file| file.content == one.content)
    };
    if !given.iter().any(of_import) {
        return Ok(None);
    }
    let missing: Vec<&str> = manifest
        .files
        .iter()
        .filter(|file| !given.iter().any(|one| one.content == file.content))
        .map(|file| file.name.as_str())
        .collect();
    if !missing.is_empty() {
        bail!(
            "some of these files belong to an import that was interrupted; to finish it, give \
             these as well, as they were: {}. If they are gone or have changed, \
             `sessionlake import --give-up {node}` ends it",
            missing.join(", ")
        );
    }
    let mut inputs = Vec::new();
    for file in &manifest.files {
        if let Some(at) = given.iter().position(|one| one.content == file.content) {
            inputs.push(given.remove(at).input);
        }
    }
    Ok(Some(inputs))
}
