//! Which runs to make of the files that were given, which to go on with, and what was imported
//! before.

use std::collections::{HashMap, HashSet};

use anyhow::{anyhow, bail};
use xxhash_rust::xxh3::xxh3_128;

use super::manifest::{self, FileMark, Run};
use super::options::Input;
use super::{Import, PIECE_BYTES, report};
use crate::clock::{Clock as _, SystemClock};

/// What to do.
pub(super) struct Plan {
    pub(super) runs: Vec<Planned>,
    /// Names of those that were imported before.
    pub(super) known: Vec<String>,
}

/// A run to be made or to go on with.
pub(super) struct Planned {
    pub(super) node: String,
    pub(super) run: Run,
    /// Whether it has no mark yet.
    pub(super) new: bool,
    pub(super) inputs: Vec<Input>,
}

/// A file that was given, and the hash of its content.
struct Given {
    input: Input,
    name: String,
    content: Option<String>,
}

impl Import {
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        let mut given = Vec::new();
        let mut seen = HashSet::new();
        let mut known = Vec::new();
        for input in &self.options.inputs {
            let name = report::name(input);
            let content = manifest::content(input)?;
            if content.as_ref().is_some_and(|content| !seen.insert(content.clone())) {
                known.push(format!("{name} (the same as another one here)"));
                continue;
            }
            given.push(Given { input: input.clone(), name, content });
        }
        let before = self.marks.runs()?;
        let mut runs = Vec::new();

        // Interrupted runs first: their files are partly in the lake.
        let mut open: Vec<_> = before.iter().filter(|(_, run)| run.is_open()).collect();
        open.sort_by_key(|(node, _)| node.as_str());
        for (node, run) in open {
            if let Some(inputs) = take(&mut given, node, run)? {
                tracing::info!("going on with an interrupted import of {} files", inputs.len());
                runs.push(Planned { node: node.clone(), run: run.clone(), new: false, inputs });
            }
        }
        for (node, run) in before.iter().filter(|(_, run)| run.is_open()) {
            let changed = given.iter().find(|one| {
                let was = |file: &FileMark| file.name == one.name && file.content.is_some();
                run.files.iter().any(was) && one.content.is_some()
            });
            if let Some(Given { name, .. }) = changed {
                tracing::warn!(
                    "{name} has changed since an import of it was interrupted ({node}), and is \
                     imported as a new file: what had landed of it may be there twice. \
                     `sessionlake import --give-up {node}` ends the old import"
                );
            }
        }
        let done: HashSet<&str> = before
            .values()
            .filter(|run| run.done)
            .flat_map(|run| &run.files)
            .filter_map(|f| f.content.as_deref())
            .collect();
        let (mut files, mut streams) = (Vec::new(), Vec::new());
        for given in given {
            match &given.content {
                None => streams.push(given),
                Some(content) if done.contains(content.as_str()) && !self.options.again => {
                    known.push(given.name);
                }
                Some(_) => files.push(given),
            }
        }
        if !files.is_empty() {
            let contents: Vec<&str> = files.iter().filter_map(|f| f.content.as_deref()).collect();
            let hash = xxh3_128(contents.concat().as_bytes());
            let node = free(&format!("import-{hash:032x}"), &before);
            runs.push(self.new_run(node, files));
        }
        for stream in streams {
            let number = getrandom::u64().map_err(|e| anyhow!("no random number: {e}"))?;
            runs.push(self.new_run(format!("stdin-{number:016x}"), vec![stream]));
        }
        Ok(Plan { runs, known })
    }

    fn new_run(&self, node: String, given: Vec<Given>) -> Planned {
        let (mut files, mut inputs) = (Vec::new(), Vec::new());
        for Given { input, name, content } in given {
            files.push(FileMark { name, content, first_seq: None });
            inputs.push(input);
        }
        Planned { node, run: self.new_mark(files), new: true, inputs }
    }

    /// The mark that a run of `files` begins with.
    pub(super) fn new_mark(&self, files: Vec<FileMark>) -> Run {
        Run {
            version: manifest::VERSION,
            done: false,
            given_up: false,
            started_at_us: SystemClock.now().0,
            piece_bytes: PIECE_BYTES,
            files,
            entries: None,
            tables: String::from_utf8(self.tables.to_json()).unwrap_or_default(),
        }
    }
}

/// `base`, or with a number behind it, so that no run has the name.
pub(super) fn free(base: &str, before: &HashMap<String, Run>) -> String {
    let again = (2u64..).map(|n| format!("{base}-{n}"));
    let mut names = std::iter::once(base.to_owned()).chain(again);
    names.find(|node| !before.contains_key(node)).unwrap_or_default()
}

/// Takes the files of an interrupted run out of those given; none when none of them is given.
fn take(given: &mut Vec<Given>, node: &str, run: &Run) -> anyhow::Result<Option<Vec<Input>>> {
    let of_run = |one: &Given| {
        one.content.is_some() && run.files.iter().any(|file| file.content == one.content)
    };
    if !given.iter().any(of_run) {
        return Ok(None);
    }
    let missing: Vec<&str> = run
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
    for file in &run.files {
        if let Some(at) = given.iter().position(|one| one.content == file.content) {
            inputs.push(given.remove(at).input);
        }
    }
    Ok(Some(inputs))
}
