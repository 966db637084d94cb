//! Listings of many objects: several folders at a time, handed on as they come.
//!
//! A directory is walked by a few threads, without a look at the inode of each file where names are
//! all that is wanted. A bucket is asked for a thousand keys at a time, and the next thousand is asked
//! for by the last key of the one before; so its folders are listed side by side, two levels deep:
//! tables, and their first partition key.
//!
//! A link to a directory is followed directly in the lake, where a table may be on another disk, and
//! nowhere else; never one to a directory that holds the lake or is in it. What is not followed, or
//! cannot be read behind a link, is named ([`Skipped`]), and the listing goes on.

use std::fs::FileType;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStore as _;
use object_store::path::Path;
use serde::Serialize;
use tokio::sync::mpsc;

use super::objects::blocking;
use super::{Lake, Location, Object, StoreError};

/// Folders of a bucket that are listed at a time.
const FOLDERS: usize = 16;
/// Threads that walk a directory.
const WALKERS: usize = 4;
/// Objects that a walker hands on at a time.
const CHUNK: usize = 1024;
/// Chunks that wait for the one who counts them.
const CHUNKS: usize = 8;

/// The part of an object that a listing is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The name; the size may be 0.
    Name,
    /// Name and size.
    Size,
}

/// A link or a directory that a listing has left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// Its name, relative to the lake.
    pub path: String,
    /// The reason.
    pub why: String,
}

/// Most of them that are named.
const MOST_SKIPPED: usize = 1000;

impl Lake {
    /// Hands every object below `folder` to `each`, in no order; those of the whole lake if it is
    /// empty. Names directly below `folder` for which `wanted` is false are left out, with all below
    /// them. A listing is not of one moment: objects that come or go meanwhile may be in it or not.
    /// Returns what was not looked into, sorted; of a bucket there is nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_each(
        &self,
        folder: &str,
        detail: Detail,
        wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
        each: impl FnMut(Object),
    ) -> Result<Vec<Skipped>, StoreError> {
        match &self.location {
            Location::Local(root) => walk(root.clone(), folder, detail, wanted, each).await,
            _ => self.list_bucket(folder, wanted, each).await.map(|()| Vec::new()),
        }
    }

    async fn list_bucket(
        &self,
        folder: &str,
        wanted: impl Fn(&str) -> bool,
        mut each: impl FnMut(Object),
    ) -> Result<(), StoreError> {
        let below = |name: &str| {
            let rest = name.strip_prefix(folder).unwrap_or(name).trim_start_matches('/');
            wanted(rest.split('/').next().unwrap_or_default())
        };
        let top = self.children(folder).await?;
        top.objects.into_iter().filter(|object| below(&object.name)).for_each(&mut each);
        let tables: Vec<String> = top.folders.into_iter().filter(|name| below(name)).collect();
        let mut split = stream::iter(tables)
            .map(|table| async move {
                match self.has_folders_first(&table).await? {
                    true => self.children(&table).await,
                    false => Ok(Children { objects: Vec::new(), folders: vec![table] }),
                }
            })
            .buffer_unordered(FOLDERS);
        let mut folders = Vec::new();
        while let Some(children) = split.try_next().await? {
            children.objects.into_iter().for_each(&mut each);
            folders.extend(children.folders);
        }
        drop(split);
        let folders: Vec<Path> =
            folders.iter().map(|name| self.path(name)).collect::<Result<_, _>>()?;
        let mut listed = stream::iter(folders)
            .map(|folder| self.store.list(Some(&folder)))
            .flatten_unordered(FOLDERS);
        while let Some(meta) = listed.try_next().await.map_err(|e| self.failed(e))? {
            each(meta.into());
        }
        Ok(())
    }

    /// Tells whether the first object below `folder` is in a folder of its own. One that has its files
    /// directly in it is not asked for its folders: its files would all be in that answer.
    pub(super) async fn has_folders_first(&self, folder: &str) -> Result<bool, StoreError> {
        let path = self.path(folder)?;
        let first = self.store.list(Some(&path)).try_next().await;
        let first = first.map_err(|e| self.not_answered(folder, e))?;
        Ok(first.is_some_and(|meta| {
            let name = meta.location.as_ref();
            name.get(folder.len() + 1..).is_some_and(|rest| rest.contains('/'))
        }))
    }

    async fn children(&self, folder: &str) -> Result<Children, StoreError> {
        let path = self.path(folder)?;
        let listed = self.store.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|e| self.not_answered(folder, e))?;
        Ok(Children {
            objects: listed.objects.into_iter().map(Object::from).collect(),
            folders: listed.common_prefixes.into_iter().map(String::from).collect(),
        })
    }

    /// Returns the names of the folders directly in `folder`, without it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let children = self.children(folder).await?;
        let names = children.folders.iter().filter_map(|name| name.rsplit('/').next());
        Ok(names.map(str::to_owned).collect())
    }
}

/// The direct entries of a folder of a bucket.
struct Children {
    objects: Vec<Object>,
    folders: Vec<String>,
}

/// Walks the directory `folder` of the lake at `root`.
async fn walk(
    root: PathBuf,
    folder: &str,
    detail: Detail,
    wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    each: impl FnMut(Object),
) -> Result<Vec<Skipped>, StoreError> {
    let (send, mut receive) = mpsc::channel::<Vec<Object>>(CHUNKS);
    let (folder, at) = (folder.to_owned(), root.clone());
    let walked = tokio::task::spawn(blocking(move || {
        let failed = |source| StoreError::Io { path: root.clone(), source };
        let walkers = rayon::ThreadPoolBuilder::new().num_threads(WALKERS).build();
        let walkers = walkers.map_err(|error| failed(io::Error::other(error)))?;
        let (error, skipped) = (parking_lot::Mutex::new(None), parking_lot::Mutex::default());
        let real_root = root.canonicalize().unwrap_or_else(|_| root.clone());
        let root = real_root.as_path();
        let walker = Walker { detail, send, root, error: &error, skipped: &skipped };
        let top = Folder { path: at.join(&folder), name: folder, linked: false };
        walkers.scope(|scope| walker.walk(scope, top, Some(&wanted)));
        let mut skipped: Vec<Skipped> = skipped.into_inner();
        skipped.sort();
        error.into_inner().map_or(Ok(skipped), Err)
    }));
    let mut each = each;
    while let Some(objects) = receive.recv().await {
        objects.into_iter().for_each(&mut each);
    }
    match walked.await {
        Ok(walked) => walked,
        Err(error) => Err(StoreError::Io { path: PathBuf::new(), source: io::Error::other(error) }),
    }
}

/// A directory, and its name relative to the lake.
struct Folder {
    path: PathBuf,
    name: String,
    /// It is behind a link.
    linked: bool,
}

#[derive(Clone)]
struct Walker<'a> {
    detail: Detail,
    send: mpsc::Sender<Vec<Object>>,
    /// The directory of the lake, without links.
    root: &'a FilePath,
    /// The first error; no directory is begun after it.
    error: &'a parking_lot::Mutex<Option<StoreError>>,
    skipped: &'a parking_lot::Mutex<Vec<Skipped>>,
}

impl<'a> Walker<'a> {
    fn walk<'s>(
        &self,
        scope: &rayon::Scope<'s>,
        folder: Folder,
        wanted: Option<&dyn Fn(&str) -> bool>,
    ) where
        'a: 's,
    {
        if self.error.lock().is_some() {
            return;
        }
        let below = |folder: Folder| {
            let walker = self.clone();
            scope.spawn(move |scope| walker.walk(scope, folder, None));
        };
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if let Err(source) = self.read(&folder, wanted, below)
            && !gone.contains(&source.kind())
        {
            if folder.linked {
                return self.skip(folder.name, source.to_string());
            }
            let error = StoreError::Io { path: folder.path, source };
            self.error.lock().get_or_insert(error);
        }
    }

    fn skip(&self, path: String, why: String) {
        let mut skipped = self.skipped.lock();
        if skipped.len() < MOST_SKIPPED {
            skipped.push(Skipped { path, why });
        }
    }

    /// Returns the kind of file that the link at `path` leads to. `None` if it is passed over.
    fn linked(&self, folder: &Folder, path: &FilePath, name: &str) -> Option<FileType> {
        let passed_over = |why: &str| {
            self.skip(name.to_owned(), why.to_owned());
            None
        };
        let kind = match there(std::fs::metadata(path)) {
            Ok(found) => found?.file_type(),
            Err(error) => return passed_over(&format!("a link that leads nowhere: {error}")),
        };
        if !kind.is_dir() {
            return Some(kind);
        }
        if !folder.name.is_empty() {
            return passed_over(
                "a link to a directory, which is followed directly in the lake only",
            );
        }
        match path.canonicalize() {
            Ok(to) if self.root.starts_with(&to) => {
                passed_over("a link to a directory that the lake is in")
            }
            Ok(to) if to.starts_with(self.root) => passed_over("a link to a directory of the lake"),
            Ok(_) => Some(kind),
            Err(error) => passed_over(&format!("a link that leads nowhere: {error}")),
        }
    }

    /// Reads one directory. What is gone since its name was read is left out.
    fn read(
        &self,
        folder: &Folder,
        wanted: Option<&dyn Fn(&str) -> bool>,
        mut below: impl FnMut(Folder),
    ) -> io::Result<()> {
        let mut chunk = Vec::new();
        for entry in std::fs::read_dir(&folder.path)? {
            let entry = entry?;
            let last = entry.file_name();
            let last = last.to_string_lossy();
            if wanted.is_some_and(|wanted| !wanted(&last)) || is_unfinished(&last) {
                continue;
            }
            let name = match folder.name.is_empty() {
                true => last.into_owned(),
                false => format!("{}/{last}", folder.name),
            };
            let mut kind = entry.file_type()?;
            let path = entry.path();
            let mut linked = folder.linked;
            if kind.is_symlink() {
                let Some(of) = self.linked(folder, &path, &name) else { continue };
                (kind, linked) = (of, true);
            }
            if kind.is_dir() {
                below(Folder { path, name, linked });
                continue;
            }
            let bytes = match self.detail {
                Detail::Name => 0,
                Detail::Size => {
                    let Some(metadata) = there(std::fs::metadata(&path))? else { continue };
                    metadata.len()
                }
            };
            if kind.is_file() {
                chunk.push(Object { name, bytes });
            }
            if chunk.len() == CHUNK {
                // The other end is gone when nobody waits for the listing any more.
                let _ = self.send.blocking_send(std::mem::take(&mut chunk));
            }
        }
        let _ = self.send.blocking_send(chunk);
        Ok(())
    }
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Tells whether the store of a directory hides the file `last`: an upload that has not ended.
fn is_unfinished(last: &str) -> bool {
    let number = last.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads the files `names` of the lake at `root` one after the other; `None` for one that is not there.
pub(super) fn read_files(
    root: &FilePath,
    names: &[String],
) -> Vec<Result<Option<Vec<u8>>, StoreError>> {
    let read = |name: &String| {
        let path = root.join(name);
        there(std::fs::read(&path)).map_err(|source| StoreError::Io { path, source })
    };
    names.iter().map(read).collect()
}

#[cfg(test)]
mod tests;
