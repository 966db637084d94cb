//! The standing of files: what the claims and manifests in the lake say of each.

use std::collections::{BTreeSet, HashMap};

use super::claims;
use super::extent::Progress;
use super::manifest::{ImportManifest, Manifests};

/// The standing of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No import has it. The next claim of it has this number.
    Free(u64),
    /// An import has claimed it by this number, and not begun.
    Claimed(String, u64),
    /// It belongs to an import that was interrupted or is under way.
    Open(String),
    /// It is in the lake, whole.
    Imported,
    /// An import has claimed it of which only receipts are left.
    Forgotten(String),
}

/// An import in the lake.
pub(super) struct Import {
    pub(super) manifest: ImportManifest,
    /// Indices of its files by content.
    files: HashMap<String, usize>,
    /// How far it is in, if that decides anything; or why that cannot be read.
    pub(super) progress: Option<Result<Progress, String>>,
}

/// The claims of files, and their imports.
pub(super) struct Standings {
    /// Nodes of the claims by file, in the order of their numbers.
    claims: HashMap<String, Vec<String>>,
    imports: HashMap<String, Import>,
    /// Nodes without a manifest that have receipts.
    forgotten: BTreeSet<String>,
}

impl Standings {
    /// Looks up the files with these contents.
    ///
    /// # Errors
    /// The lake; a claim or manifest that cannot be read, or is of a newer version.
    pub(super) fn look_up(
        manifests: &Manifests,
        contents: Vec<String>,
    ) -> anyhow::Result<Standings> {
        let claims = claims::look_up(&manifests.lake, &manifests.runtime, contents)?;
        let (imports, forgotten) = (HashMap::new(), BTreeSet::new());
        let mut standings = Standings { claims, imports, forgotten };
        let nodes: BTreeSet<String> = standings.claims.values().flatten().cloned().collect();
        standings.add(manifests, nodes)?;
        Ok(standings)
    }

    /// Adds imports, which need not have claims.
    ///
    /// # Errors
    /// As of [`Standings::look_up`].
    pub(super) fn add(
        &mut self,
        manifests: &Manifests,
        nodes: BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let mut found = manifests.of(nodes.clone())?;
        for node in nodes {
            if found.contains_key(&node) || !manifests.has_receipt(&node)? {
                continue;
            }
            // Another process may have begun it, and landed, since its manifest was asked for.
            match manifests.get(&node)? {
                Some(manifest) => drop(found.insert(node, manifest)),
                None => drop(self.forgotten.insert(node)),
            }
        }
        for (node, manifest) in found {
            let asked = manifest.has_extents() && !manifest.done;
            let progress = asked.then(|| {
                let progress = manifests.progress(&node, &manifest);
                progress.map_err(|error| format!("{error:#}"))
            });
            let files = (0..).zip(&manifest.files);
            let files = files.filter_map(|(at, file)| Some((file.content.clone()?, at))).collect();
            self.imports.insert(node, Import { manifest, files, progress });
        }
        Ok(())
    }

    /// Returns the import `node`.
    pub(super) fn import(&self, node: &str) -> Option<&Import> {
        self.imports.get(node)
    }

    /// Returns whether only receipts are left of the import `node`.
    pub(super) fn is_forgotten(&self, node: &str) -> bool {
        self.forgotten.contains(node)
    }

    /// Returns the imports that are open, by node.
    pub(super) fn open(&self) -> impl Iterator<Item = (&String, &Import)> {
        self.imports.iter().filter(|(_, import)| import.is_open())
    }

    /// Returns the standing of the file with this content. One that is to be imported `again` is not
    /// imported, and imports that are forgotten do not count.
    ///
    /// An import that is open counts before all others, as one that was given with --again and
    /// interrupted. A claim alone counts last: who made it may have been told to import again.
    pub(super) fn of(&self, content: &str, again: bool) -> Standing {
        let claims = self.claims.get(content).map_or(&[][..], Vec::as_slice);
        let (mut imported, mut forgotten, mut claimed) = (false, None, None);
        for (number, node) in (1..).zip(claims) {
            match self.imports.get(node) {
                Some(import) => match import.standing(content) {
                    FileStanding::In => imported = true,
                    FileStanding::Open => return Standing::Open(node.clone()),
                    FileStanding::Out => {}
                },
                None if self.forgotten.contains(node) => forgotten = Some(node.clone()),
                None => claimed = Some((node.clone(), number)),
            }
        }
        match (imported && !again, forgotten.filter(|_| !again), claimed) {
            (true, _, _) => Standing::Imported,
            (false, Some(node), _) => Standing::Forgotten(node),
            (false, None, Some((node, number))) => Standing::Claimed(node, number),
            (false, None, None) => Standing::Free(claims.len() as u64 + 1),
        }
    }

    /// Returns the standing of the file in the import `node`, whether it has a claim of it or not.
    pub(super) fn in_import(&self, node: &str, content: &str) -> Option<Standing> {
        match self.imports.get(node)?.standing(content) {
            FileStanding::In => Some(Standing::Imported),
            FileStanding::Open => Some(Standing::Open(node.to_owned())),
            FileStanding::Out => None,
        }
    }
}

enum FileStanding {
    In,
    Open,
    /// Not in, and nothing more of it lands.
    Out,
}

impl Import {
    /// Returns whether it was interrupted or is under way.
    pub(super) fn is_open(&self) -> bool {
        let closed = matches!(&self.progress, Some(Ok(progress)) if progress.closed);
        self.manifest.is_open() && !closed
    }

    /// Returns the index of the file with this content.
    pub(super) fn file(&self, content: &str) -> Option<usize> {
        self.files.get(content).copied()
    }

    /// Returns whether the file is in, whole.
    pub(super) fn is_in(&self, file: usize) -> bool {
        let ended = matches!(&self.progress, Some(Ok(progress)) if progress.is_in(file));
        self.manifest.done || ended
    }

    fn standing(&self, content: &str) -> FileStanding {
        match self.file(content) {
            None => FileStanding::Out,
            // A file of an open import is taken with the import, in or not.
            Some(_) if self.is_open() => FileStanding::Open,
            Some(file) if self.is_in(file) => FileStanding::In,
            // Unknown, and nobody may conclude that it is not in.
            Some(_) if matches!(self.progress, Some(Err(_))) => FileStanding::Open,
            Some(_) => FileStanding::Out,
        }
    }
}
