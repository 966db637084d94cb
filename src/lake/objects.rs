//! Objects of a lake by name: put, create, get, list.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart,
};
use tokio::io::AsyncReadExt as _;

use super::failure::{is_denied, is_not_implemented};
use super::names::ObjectName;
use super::requests::counted_put;
use super::{Detail, Lake, Location, StoreError};

/// The object of an earlier attempt may have been this many times as large: with another codec.
const SMALLER: u64 = 4;

/// An object of a lake, as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its name, relative to the lake.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl From<ObjectMeta> for Object {
    fn from(meta: ObjectMeta) -> Object {
        Object { name: meta.location.into(), bytes: meta.size }
    }
}

/// Earlier attempts at putting an object, whose outcome may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// There was none.
    None,
    /// Of the same staging file: the same bytes.
    SameFile,
    /// Of another process, with the same rows and perhaps other bytes. What it put stays.
    OtherFile,
}

/// The outcome of creating an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    Created,
    /// There is an object of this name, which may be of an earlier attempt whose answer was lost.
    Exists,
    /// The store is configured not to support conditions.
    Unsupported,
}

impl Lake {
    /// Puts a staging file in place under `name` if there is no such object, with at most `parts` of
    /// its parts under way at a time. Returns false if there is one, which may be of an earlier
    /// attempt whose answer was lost; it is durable. The staging file stays.
    ///
    /// An object is never replaced, also when two put it at once. The exception are objects of
    /// several parts, for which stores take no condition: they are looked up before. Unfinished uploads
    /// of `earlier` attempts are aborted where that can be.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe, except after [`StoreError::Unsynced`]: then the staging
    /// file has to be written anew.
    ///
    /// # Cancel safety
    /// The object appears whole or not at all. Parts of a dropped upload stay in the bucket until the
    /// object is put again, or its lifecycle rules remove them.
    pub async fn create_file(
        &self,
        name: &str,
        staged: &FilePath,
        parts: usize,
        earlier: Earlier,
    ) -> Result<bool, StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, file) = (Arc::clone(&self.local), staged.to_owned());
            let (root, name) = (root.clone(), name.to_owned());
            return counted_put(blocking(move || local.create_file(&root, &name, &file))).await;
        }
        self.upload(name, staged, parts, &PutMode::Create, earlier).await
    }

    /// Creates the directories of objects of these names in a local lake; a bucket has none. Objects are put
    /// without that as well; then each new directory has a sync of the one above it for itself.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn create_folders(&self, names: &Arc<[String]>) -> Result<(), StoreError> {
        let Location::Local(root) = &self.location else { return Ok(()) };
        let (local, root, names) = (Arc::clone(&self.local), root.clone(), Arc::clone(names));
        blocking(move || local.create_dirs(&root, &names)).await
    }

    /// Puts a staging file in place under `name`, over another object or not. For the holder of a
    /// lease.
    ///
    /// # Errors and cancel safety
    /// Those of [`Lake::create_file`].
    pub(super) async fn put_file(
        &self,
        name: &str,
        staged: &FilePath,
        parts: usize,
    ) -> Result<(), StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, file) = (Arc::clone(&self.local), staged.to_owned());
            let (root, name) = (root.clone(), name.to_owned());
            return counted_put(blocking(move || local.put_file(&root, &name, &file))).await;
        }
        self.upload(name, staged, parts, &PutMode::Overwrite, Earlier::None).await.map(drop)
    }

    /// Uploads a staging file to a bucket. Returns false if it is to be created and exists.
    async fn upload(
        &self,
        name: &str,
        staged: &FilePath,
        parts: usize,
        mode: &PutMode,
        earlier: Earlier,
    ) -> Result<bool, StoreError> {
        let (local, file) = (Arc::clone(&self.local), staged.to_owned());
        blocking(move || local.sync_staged(&file)).await?;
        let io = |source| StoreError::Io { path: staged.to_owned(), source };
        let path = self.path(name)?;
        let mut file = tokio::fs::File::open(staged).await.map_err(io)?;
        let bytes = file.metadata().await.map_err(io)?.len();
        let sweep = earlier != Earlier::None && bytes >= self.part_bytes as u64 / SMALLER;
        if bytes <= self.part_bytes as u64 {
            if sweep {
                self.abort_unfinished(&path).await;
            }
            let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut whole).await.map_err(io)?;
            return match mode {
                PutMode::Create => self.create_bytes(name, whole).await,
                _ => self.put_object(&path, whole).await.map(|()| true),
            };
        }
        if *mode == PutMode::Create {
            match self.head(name).await {
                Ok(None) => {}
                // Credentials without the right to list are denied names that are not there. Those
                // without the right to read are denied all, and an object of other bytes may stand.
                Err(StoreError::Denied { .. })
                    if earlier != Earlier::OtherFile || self.has_read.load(Ordering::Relaxed) => {}
                Ok(Some(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if sweep {
            self.abort_unfinished(&path).await;
        }
        let upload = self.store.put_multipart(&path).await.map_err(|e| self.failed(e))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, self.part_bytes);
        let written: Result<(), StoreError> = async {
            loop {
                let mut buffer = vec![0; self.part_bytes.min(1 << 20)];
                let n = file.read(&mut buffer).await.map_err(io)?;
                if n == 0 {
                    return Ok(());
                }
                buffer.truncate(n);
                writer.wait_for_capacity(parts.max(1)).await.map_err(|e| self.failed(e))?;
                writer.put(buffer.into());
            }
        }
        .await;
        if written.is_err() {
            // The upload never becomes an object; its parts are cleaned up if they can be.
            let _ = writer.abort().await;
            return written.map(|()| true);
        }
        writer.finish().await.map_err(|e| self.failed(e))?;
        Ok(true)
    }

    /// Aborts the unfinished uploads of the object at `path`, where that can be.
    async fn abort_unfinished(&self, path: &Path) {
        let Some(unfinished) = &self.unfinished else { return };
        let prefix = self.location.prefix().unwrap_or_default();
        if let Ok(key) = Path::parse(format!("{prefix}/{path}").trim_start_matches('/')) {
            unfinished.abort(&key).await;
        }
    }

    /// Makes an object that another process has put durable: it may have died before it synced the
    /// directory. Objects of a bucket are durable once they are there.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn make_durable(&self, name: &str) -> Result<(), StoreError> {
        let Location::Local(root) = &self.location else { return Ok(()) };
        let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
        blocking(move || local.make_durable(&root, &name)).await
    }

    /// Puts a small object in place under `name`.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn put_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
            return counted_put(blocking(move || local.put_bytes(&root, &name, &bytes))).await;
        }
        self.put_object(&self.path(name)?, bytes).await
    }

    /// Puts a small object in place under `name` if there is none. Returns false if there is one,
    /// which may be of an earlier attempt whose answer was lost.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn create_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let bytes = Bytes::from(bytes);
        match self.create(name, bytes.clone()).await? {
            Creation::Created => Ok(true),
            Creation::Exists => Ok(false),
            // All that is left is to look first.
            Creation::Unsupported => match self.head(name).await? {
                Some(_) => Ok(false),
                None => self.put_object(&self.path(name)?, bytes).await.map(|()| true),
            },
        }
    }

    pub(super) async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
            let created = blocking(move || local.create_bytes(&root, &name, &bytes));
            let created = counted_put(created).await?;
            return Ok(if created { Creation::Created } else { Creation::Exists });
        }
        if self.no_conditional_puts.load(Ordering::Relaxed) {
            return Ok(Creation::Unsupported);
        }
        let payload = PutPayload::from(bytes);
        match self.store.put_opts(&self.path(name)?, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(Creation::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Creation::Exists),
            Err(error) if is_not_implemented(&error) => {
                self.warn_of_conditions();
                Ok(Creation::Unsupported)
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Remembers that the store takes no condition on a put, and logs it once.
    pub(super) fn warn_of_conditions(&self) {
        if !self.no_conditional_puts.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} does not create objects conditionally: they are looked up before they are put. \
                 Set aws_conditional_put = \"disabled\" in [storage] to say so from the start",
                self.location
            );
        }
    }

    /// Returns the bytes under `name`, or `None` when there is no such object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.store.get(&self.path(name)?).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(|e| self.failed(e))?.to_vec();
                self.has_read.store(true, Ordering::Relaxed);
                Ok(Some(bytes))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.not_answered(name, source)),
        }
    }

    /// Returns the object `name` without its bytes, or `None` when there is no such object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn head(&self, name: &str) -> Result<Option<Object>, StoreError> {
        match self.store.head(&self.path(name)?).await {
            Ok(meta) => {
                self.has_read.store(true, Ordering::Relaxed);
                Ok(Some(meta.into()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.not_answered(name, source)),
        }
    }

    /// Lists the objects below `folder`, in no order; those of the whole lake if it is empty. A
    /// listing is not of one moment: objects that come or go meanwhile may be in it or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, folder: &str) -> Result<Vec<Object>, StoreError> {
        if let Location::Local(_) = &self.location {
            let mut listed = Vec::new();
            let _ = self
                .list_each(folder, Detail::Size, |_| true, |object| listed.push(object))
                .await?;
            return Ok(listed);
        }
        let folder = self.path(folder)?;
        let listed = self.store.list(Some(&folder)).map_ok(Object::from).try_collect().await;
        listed.map_err(|e| self.failed(e))
    }

    /// Returns the name of the object below `folder` that was written first, the first by name of
    /// several; `None` if there is none. Lists all of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest(&self, folder: &str) -> Result<Option<String>, StoreError> {
        let folder = self.path(folder)?;
        let listed = self.store.list(Some(&folder)).map_ok(|meta| (meta.last_modified, meta));
        let oldest = listed.try_fold(None::<(_, ObjectMeta)>, async |oldest, (at, meta)| {
            Ok(match oldest {
                Some((first, there)) if (first, &there.location) <= (at, &meta.location) => {
                    Some((first, there))
                }
                _ => Some((at, meta)),
            })
        });
        let oldest = oldest.await.map_err(|e| self.failed(e))?;
        Ok(oldest.map(|(_, meta)| meta.location.into()))
    }

    /// Deletes the note that the import `node` is open. Credentials may lack the right to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_open_import(&self, node: &str) -> Result<(), StoreError> {
        self.remove(&ObjectName::ImportOpen { node }.to_string()).await
    }

    /// Deletes the object `name`, if there is one.
    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
            return blocking(move || local.remove(&root, &name)).await;
        }
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub(super) fn path(&self, name: &str) -> Result<Path, StoreError> {
        Path::parse(name).map_err(|e| self.failed(e.into()))
    }

    pub(super) async fn put_object(
        &self,
        path: &Path,
        bytes: impl Into<Bytes>,
    ) -> Result<(), StoreError> {
        self.store.put(path, PutPayload::from(bytes.into())).await.map_err(|e| self.failed(e))?;
        Ok(())
    }

    /// Makes the error of looking for the object or the folder `name`.
    pub(super) fn not_answered(&self, name: &str, source: object_store::Error) -> StoreError {
        if !is_denied(&source) {
            return self.failed(source);
        }
        let (lake, name) = (self.location.to_string(), name.to_owned());
        StoreError::Denied { lake, name, error: source }
    }

    pub(super) fn failed(&self, source: object_store::Error) -> StoreError {
        StoreError::Object { lake: self.location.to_string(), error: source }
    }
}

pub(super) async fn blocking<F, T>(work: F) -> Result<T, StoreError>
where
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => Err(StoreError::Io {
            path: PathBuf::new(),
            source: std::io::Error::other(panic.to_string()),
        }),
    }
}
