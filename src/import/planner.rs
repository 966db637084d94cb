//! The planner: the imports to begin, the ones to go on with, and the files that were imported before.
//!
//! What it reads of the lake are the claims of the files that are given, the imports that they name,
//! and the list of imports that are not done: neither grows with the imports that the lake has seen.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{anyhow, ensure};

use super::claims::Claim;
use super::extent::Progress;
use super::importer::{self, Importer};
use super::inputs::{self, Given, Inputs};
use super::manifest::{ImportManifest, ManifestFile, Manifests};
use super::options::Input;
use super::planned::{Lines, PlannedImport, base_name, numbered};
use super::standing::{Import, Standing, Standings};
use super::{examine, index};
use crate::clock::{Clock as _, SystemClock};

/// Open imports that are looked at for files that have changed.
const OPEN_LOOKED_AT: usize = 64;

/// The plan of a command.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Imports, in the order in which they are to be landed.
    pub(super) imports: Vec<PlannedImport>,
    /// Names of files that were imported before.
    pub(super) known: Vec<String>,
    /// Names of files without any line: there is nothing to import, and nothing to remember.
    pub(super) empty: Vec<String>,
    /// Names of files that are not imported, each with the reason.
    pub(super) refused: Vec<String>,
}

/// Plans the import of `inputs`. Reads every file whole.
///
/// # Errors
/// The lake; with files to import, a lake that has forgotten what was imported.
pub(super) fn plan(importer: &Importer, inputs: &[Input]) -> anyhow::Result<Plan> {
    let manifests = &importer.manifests;
    let again = importer.options.again;
    let Inputs { given, repeated: known, refused } = inputs::identify(inputs);
    let unreadable: HashSet<String> = refused.iter().map(|(name, _)| name.clone()).collect();
    let refused = refused.into_iter().map(|(_, why)| why).collect();
    let mut plan = Plan { known, refused, ..Plan::default() };
    let (empty, given): (Vec<_>, Vec<_>) = given.into_iter().partition(|given| given.empty);
    plan.empty = empty.iter().map(|given| given.name.clone()).collect();
    let (files, streams): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|given| given.content.is_some());
    let files = files.into_iter().filter_map(|given| Some((given.content.clone()?, given)));
    let files: Vec<(String, Given)> = files.collect();
    if !files.is_empty() {
        let forgotten = index::ensure(manifests)?;
        let contents = files.iter().map(|(content, _)| content.clone()).collect();
        let mut standings = Standings::look_up(manifests, contents)?;
        let mut sorted = Sorted { empty, ..Sorted::default() };
        for (content, given) in files {
            let standing = standings.of(&content, again);
            sorted.add(&mut plan, content, given, standing);
        }
        sorted.refuse_what_gives_no_row(&mut plan, importer);
        let groups = sorted.new_imports(&mut plan, manifests, &mut standings, again)?;
        warn_of_changed(manifests, &mut standings, &groups)?;
        if !forgotten.is_empty() && !groups.is_empty() {
            ensure!(again, forgetful(&forgotten));
            index::mark(manifests)?;
        }
        let named: HashSet<String> = groups
            .iter()
            .flat_map(|group| &group.files)
            .map(|file| file.given.name.clone())
            .chain(unreadable)
            .collect();
        sorted.go_on(&mut plan, &standings, &named);
        plan.imports.extend(groups.into_iter().map(|group| group.planned(importer)));
    }
    for stream in streams {
        let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
        let files = vec![NewFile { content: None, given: stream, number: 0 }];
        let group = Group { node: format!("stdin-{number:016x}"), files };
        plan.imports.push(group.planned(importer));
    }
    Ok(plan)
}

/// A file of an import that is to begin.
struct NewFile {
    content: Option<String>,
    given: Given,
    /// Number of its claim.
    number: u64,
}

/// The files of an import that is to begin.
struct Group {
    node: String,
    files: Vec<NewFile>,
}

impl Group {
    fn planned(self, importer: &Importer) -> PlannedImport {
        let (mut files, mut claims, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        for NewFile { content, given: Given { input, name, bytes, .. }, number } in self.files {
            let claim =
                content.clone().map(|content| Claim { content, number, name: name.clone() });
            claims.extend(claim);
            files.push(ManifestFile { bytes, ..ManifestFile::new(name, content) });
            inputs.push(Some(input));
        }
        let new = ImportManifest::new(files, &importer.tables, SystemClock.now());
        let manifest = ImportManifest { chunk_bytes: importer.chunk_bytes, ..new };
        let lines = Lines::Files(inputs);
        PlannedImport { node: self.node, manifest, new: true, claims, lines }
    }
}

/// The files that are given, by their standing.
#[derive(Default)]
struct Sorted {
    /// Files of open imports, by node.
    open: BTreeMap<String, Vec<(String, Given)>>,
    /// Files without any line, which earlier versions remembered as well.
    empty: Vec<Given>,
    /// Files that no import has, with the node that has claimed them and not begun.
    new: Vec<(Option<String>, NewFile)>,
}

impl Sorted {
    fn add(&mut self, plan: &mut Plan, content: String, given: Given, standing: Standing) {
        let (claimed_by, number) = match standing {
            Standing::Open(node) => {
                self.open.entry(node).or_default().push((content, given));
                return;
            }
            Standing::Imported => {
                plan.known.push(given.name);
                return;
            }
            Standing::Forgotten(node) => {
                let names = std::iter::once(&*given.name);
                plan.refused.push(importer::forgotten(&node, names));
                return;
            }
            Standing::Claimed(node, number) => (Some(node), number),
            Standing::Free(number) => (None, number),
        };
        self.new.push((claimed_by, NewFile { content: Some(content), given, number }));
    }

    /// Takes out of the new files those of which no line becomes a row.
    fn refuse_what_gives_no_row(&mut self, plan: &mut Plan, importer: &Importer) {
        self.new.retain(|(_, file)| {
            let name = &file.given.name;
            let why = match examine::refusal(&file.given.input, &importer.options.table) {
                Ok(None) => return true,
                Ok(Some(why)) => format!("{name}: {why}"),
                Err(error) => format!("{error:#}"),
            };
            plan.refused.push(why);
            false
        });
    }

    /// Groups the new files by import, and names each.
    fn new_imports(
        &mut self,
        plan: &mut Plan,
        manifests: &Manifests,
        standings: &mut Standings,
        again: bool,
    ) -> anyhow::Result<Vec<Group>> {
        let mut groups = Vec::new();
        let all = std::mem::take(&mut self.new);
        let base = base_name(all.iter().filter_map(|(_, file)| file.content.as_deref()));
        let claimed: BTreeSet<String> = all.iter().filter_map(|(node, _)| node.clone()).collect();
        // The same command as that of a process that was killed while it claimed.
        if let (1, Some(node)) = (claimed.len(), claimed.first())
            && node.starts_with(&base)
        {
            let (node, files) = (node.clone(), all.into_iter().map(|(_, file)| file).collect());
            return Ok(vec![Group { node, files }]);
        }
        let mut free = Vec::new();
        let mut by_claim: BTreeMap<String, Vec<NewFile>> = BTreeMap::new();
        for (node, file) in all {
            match node {
                Some(node) => by_claim.entry(node).or_default().push(file),
                None => free.push(file),
            }
        }
        groups.extend(by_claim.into_iter().map(|(node, files)| Group { node, files }));
        let base = base_name(free.iter().filter_map(|file| file.content.as_deref()));
        let mut names = numbered(&base);
        while let Some(node) = names.next().filter(|_| !free.is_empty()) {
            standings.add(manifests, BTreeSet::from([node.clone()]))?;
            if standings.import(&node).is_some() {
                // The claims are gone, or it is the same files once more.
                free = self.sort_by(plan, standings, &node, free, again);
            } else if standings.is_forgotten(&node) {
                if !again {
                    let names = free.iter().map(|file| &*file.given.name);
                    plan.refused.push(importer::forgotten(&node, names));
                    free.clear();
                }
            } else {
                groups.push(Group { node, files: std::mem::take(&mut free) });
            }
        }
        Ok(groups)
    }

    /// Sorts files that have no claim by the import `node`. Returns those that it does not have.
    fn sort_by(
        &mut self,
        plan: &mut Plan,
        standings: &Standings,
        node: &str,
        files: Vec<NewFile>,
        again: bool,
    ) -> Vec<NewFile> {
        let mut free = Vec::new();
        for file in files {
            let Some(content) = file.content.clone() else { continue };
            match standings.in_import(node, &content) {
                Some(Standing::Imported) if !again => plan.known.push(file.given.name),
                Some(standing @ Standing::Open(_)) => self.add(plan, content, file.given, standing),
                _ => free.push(file),
            }
        }
        free
    }

    /// Plans to go on with open imports. `named` are the names of files that were given and are not as
    /// they were, or cannot be read: imports go on without them.
    fn go_on(self, plan: &mut Plan, standings: &Standings, named: &HashSet<String>) {
        for (node, mut given) in self.open {
            let Some(import) = standings.import(&node) else { continue };
            for Given { input, name, content, bytes, .. } in &self.empty {
                let Some(content) = content.as_ref().filter(|c| import.file(c).is_some()) else {
                    continue;
                };
                let (input, name) = (input.clone(), name.clone());
                let (content, bytes) = (content.clone(), *bytes);
                let empty =
                    Given { input, name, content: Some(content.clone()), bytes, empty: true };
                given.push((content, empty));
            }
            match missing(import, &given, named) {
                Missing::Nothing => {}
                Missing::Files(files) => {
                    refuse_part(plan, &node, import, given, &files);
                    continue;
                }
                Missing::Broken(why) => {
                    let why = format!(
                        "{why}. `sessionlake import --give-up {node}` ends the import that they \
                         belong to"
                    );
                    let names: Vec<String> = given.into_iter().map(|(_, g)| g.name).collect();
                    plan.refused.push(format!("{}: {why}", names.join(", ")));
                    continue;
                }
            }
            tracing::info!("going on with an interrupted import of {} files", given.len());
            let manifest = import.manifest.clone();
            let mut inputs = vec![None; manifest.files.len()];
            for (content, given) in given {
                let file = import.file(&content);
                if let Some(input) = file.and_then(|file| inputs.get_mut(file)) {
                    *input = Some(given.input);
                }
            }
            let left: Vec<&str> = (0..)
                .zip(&manifest.files)
                .zip(&inputs)
                .filter(|((at, _), input)| input.is_none() && !import.is_in(*at))
                .map(|((_, file), _)| &*file.name)
                .collect();
            if !left.is_empty() {
                tracing::warn!(
                    "the interrupted import {node} goes on without {}, and stays open until they are \
                     given as they were, or it is ended by `sessionlake import --give-up {node}`",
                    left.join(", ")
                );
            }
            let (claims, lines) = (Vec::new(), Lines::Files(inputs));
            plan.imports.push(PlannedImport { node, manifest, new: false, claims, lines });
        }
    }
}

/// The reason why an open import cannot go on.
enum Missing {
    Nothing,
    /// Files that were not given.
    Files(Vec<String>),
    /// Something else.
    Broken(String),
}

/// Returns what the open import lacks when `given` is there of it.
fn missing(import: &Import, given: &[(String, Given)], named: &HashSet<String>) -> Missing {
    let progress = match &import.progress {
        Some(Err(why)) => return Missing::Broken(why.clone()),
        Some(Ok(progress)) => Some(progress),
        None => None,
    };
    let given: HashSet<&str> = given.iter().map(|(content, _)| &**content).collect();
    let here = |content: Option<&str>| content.is_some_and(|content| given.contains(content));
    let sealed = progress.map_or_else(HashSet::new, Progress::sealed_files);
    let mut missing = Vec::new();
    for (at, file) in import.manifest.files.iter().enumerate() {
        if here(file.content.as_deref()) || import.is_in(at) {
            continue;
        }
        match progress {
            // Nothing else can land before that roll, and it is made of what it was made of.
            Some(_) if sealed.contains(&at) => {}
            Some(_) if named.contains(&file.name) => continue,
            _ => {}
        }
        missing.push(file.name.clone());
    }
    match missing.is_empty() {
        true => Missing::Nothing,
        false => Missing::Files(missing),
    }
}

/// Refuses the files of an open import that lacks the files `missing`. Those that are in are known.
fn refuse_part(
    plan: &mut Plan,
    node: &str,
    import: &Import,
    given: Vec<(String, Given)>,
    missing: &[String],
) {
    let mut names = Vec::new();
    for (content, given) in given {
        match import.file(&content).is_some_and(|file| import.is_in(file)) {
            true => plan.known.push(given.name),
            false => names.push(given.name),
        }
    }
    if !names.is_empty() {
        plan.refused.push(format!(
            "{}: of an import that was interrupted, or that another process works at; to finish it, \
             give these as well, as they were: {}. If they are gone or have changed, \
             `sessionlake import --give-up {node}` ends it",
            names.join(", "),
            missing.join(", ")
        ));
    }
}

/// Warns of files that begin and have the name, and not the content, of a file of an open import of
/// which something may have landed.
fn warn_of_changed(
    manifests: &Manifests,
    standings: &mut Standings,
    groups: &[Group],
) -> anyhow::Result<()> {
    let names = groups.iter().flat_map(|group| &group.files).map(|file| &*file.given.name);
    let names: HashSet<&str> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let open = manifests.open_nodes()?.into_iter();
    let new = open.filter(|node| standings.import(node).is_none()).take(OPEN_LOOKED_AT);
    let found = manifests.of(new.collect())?.into_iter();
    let is_named = |file: &ManifestFile| file.content.is_some() && names.contains(&*file.name);
    // How far an import is in, is in as many objects as it has rolls: only of those that matter.
    let named = found.filter(|(_, manifest)| manifest.files.iter().any(is_named));
    standings.add(manifests, named.map(|(node, _)| node).collect())?;
    for (node, import) in standings.open() {
        let progress = import.progress.as_ref().and_then(|progress| progress.as_ref().ok());
        let sealed = progress.map_or_else(HashSet::new, Progress::sealed_files);
        for (at, file) in import.manifest.files.iter().enumerate() {
            let landed = progress.is_none_or(|progress| {
                sealed.contains(&at) || progress.files.get(at).is_some_and(|file| file.chunks > 0)
            });
            if landed && is_named(file) {
                tracing::warn!(
                    "{} has changed since an import of it was interrupted ({node}), and is \
                     imported as a new file: what had landed of it may be there twice. \
                     `sessionlake import --give-up {node}` ends the old import",
                    file.name
                );
            }
        }
    }
    Ok(())
}

/// Says that the lake no longer knows what was imported.
fn forgetful(nodes: &BTreeSet<String>) -> String {
    let some: Vec<&str> = nodes.iter().take(3).map(String::as_str).collect();
    let more = if nodes.len() > some.len() { " and others" } else { "" };
    format!(
        "the lake has receipts of {} imports ({}{more}) whose records are gone from _imports (by a rule \
         that cleans up?), so that files which they have landed are not recognised. Nothing has \
         landed. Restore the records, or give only files that were not imported, with --again: the \
         files after them need no --again",
        nodes.len(),
        some.join(", ")
    )
}
