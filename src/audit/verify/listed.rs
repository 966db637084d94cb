//! The files of a listing, in a few bytes each: a lake has millions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lake::names::{self, ObjectName};
use crate::record::Roll;

/// Data and quarantine files of rolls by node, roll and folder, which are all that their names have.
#[derive(Debug, Default)]
pub(super) struct Listed {
    nodes: Names,
    folders: Names,
    files: Vec<File>,
    /// Of each file, whether a receipt names it.
    named: Vec<bool>,
    /// Of each file, whether the log of its table names it.
    live: Vec<bool>,
}

/// Ordered by node and roll, so that a roll's files are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    node: u32,
    folder: u32,
    roll: u64,
    bytes: u64,
}

impl File {
    fn key(self) -> (u32, u64, u32) {
        (self.node, self.roll, self.folder)
    }
}

/// The entry of a listing for a file that a receipt names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there with so many bytes.
    Bytes(u64),
    /// Another receipt names it, too.
    Again,
    /// It is not in the listing.
    Absent,
}

/// The entry of a listing for a file that the log of its table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    /// It is there with so many bytes, and a receipt names it.
    Named(u64),
    /// It is there with so many bytes, and no receipt names it.
    Unnamed(u64),
    /// The log names it twice.
    Again,
    /// It is not in the listing.
    Absent,
}

/// A file that no receipt names, or no log.
#[derive(Debug)]
pub(super) struct Unnamed<'a> {
    pub(super) path: String,
    pub(super) node: &'a str,
    pub(super) roll: Roll,
    /// The log of its table names it.
    pub(super) is_live: bool,
}

impl Listed {
    /// Adds a file of a roll. Returns false for another program's file.
    pub(super) fn add(&mut self, path: &str, bytes: u64) -> bool {
        let Some((folder, node, roll)) = parts(path) else { return false };
        let (node, folder) = (self.nodes.id(node), self.folders.id(folder));
        self.files.push(File { node, folder, roll, bytes });
        true
    }

    /// Puts the files in order. None is added after it.
    pub(super) fn sort(&mut self) {
        self.files.sort_unstable_by_key(|file| file.key());
        self.files.dedup_by_key(|file| file.key());
        self.named = vec![false; self.files.len()];
        self.live = vec![false; self.files.len()];
    }

    /// Looks for the file `path`, and notes that a receipt names it.
    pub(super) fn take(&mut self, path: &str) -> Found {
        let at = self.find(path);
        let found = at.and_then(|at| Some((self.files.get(at)?, self.named.get_mut(at)?)));
        match found {
            None => Found::Absent,
            Some((_, named)) if *named => Found::Again,
            Some((file, named)) => {
                *named = true;
                Found::Bytes(file.bytes)
            }
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        let (folder, node, roll) = parts(path)?;
        let key = (self.nodes.get(node)?, roll, self.folders.get(folder)?);
        self.files.binary_search_by_key(&key, |file| file.key()).ok()
    }

    /// Looks for the file `path`, and notes that the log of its table names it.
    pub(super) fn live(&mut self, path: &str) -> Live {
        let Some(at) = self.find(path) else { return Live::Absent };
        match (self.files.get(at), self.named.get(at), self.live.get_mut(at)) {
            (_, _, Some(live)) if *live => Live::Again,
            (Some(file), Some(named), Some(live)) => {
                *live = true;
                if *named { Live::Named(file.bytes) } else { Live::Unnamed(file.bytes) }
            }
            _ => Live::Absent,
        }
    }

    /// Returns the data files of `table` that a receipt names and its log does not, in the order of nodes
    /// and rolls.
    pub(super) fn not_live(&self, table: &str) -> impl Iterator<Item = Unnamed<'_>> {
        let flags = self.named.iter().zip(&self.live);
        let files = self.files.iter().zip(flags).filter(|(_, (named, live))| **named && !**live);
        let files = files.filter_map(|(file, _)| self.file(*file, false));
        files.filter(move |file| is_of(&file.path, table))
    }

    /// Returns the files that no receipt names, in the order of nodes and rolls.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = Unnamed<'_>> {
        let flags = self.named.iter().zip(&self.live);
        let files = self.files.iter().zip(flags).filter(|(_, (named, _))| !**named);
        files.filter_map(|(file, (_, live))| self.file(*file, *live))
    }

    /// Returns the data files of `table` that no receipt names, in the order of nodes and rolls.
    pub(super) fn unnamed_of(&self, table: &str) -> impl Iterator<Item = Unnamed<'_>> {
        self.unnamed().filter(move |file| is_of(&file.path, table))
    }

    /// Notes of all data files of `table` that a receipt names them.
    pub(super) fn take_all_of(&mut self, table: &str) {
        let paths: Vec<usize> = self
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| self.file(**file, false).is_some_and(|f| is_of(&f.path, table)))
            .map(|(at, _)| at)
            .collect();
        for at in paths {
            if let Some(named) = self.named.get_mut(at) {
                *named = true;
            }
        }
    }

    fn file(&self, file: File, is_live: bool) -> Option<Unnamed<'_>> {
        let (folder, node) = (self.folders.name(file.folder)?, self.nodes.name(file.node)?);
        let roll = Roll(file.roll);
        // As the name was made: quarantine files have their table as the folder.
        let path = match folder.strip_prefix(names::QUARANTINE) {
            Some(table) => names::quarantine(table.trim_start_matches('/'), node, roll),
            None => names::data(folder, "", node, roll),
        };
        Some(Unnamed { path, node, roll, is_live })
    }
}

/// Tells whether a file is a data file of `table`.
fn is_of(path: &str, table: &str) -> bool {
    matches!(ObjectName::parse(path), ObjectName::Data { table: of, .. } if of == table)
}

/// Returns folder, node and roll of a roll's file.
fn parts(path: &str) -> Option<(&str, &str, u64)> {
    match ObjectName::parse(path) {
        ObjectName::Data { node, roll, .. } | ObjectName::Quarantine { node, roll, .. } => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Some((folder, node, roll.0))
        }
        _ => None,
    }
}

/// Names that occur often, each once.
#[derive(Debug, Default)]
struct Names {
    ids: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.get(name) {
            return id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id as usize).map(AsRef::as_ref)
    }
}
