//! An object store for libraries that keep the log of a table in the lake.
//!
//! Names are relative to the lake, as everywhere here. A put that must not replace anything, and a put
//! that may, are those of [`Lake`]: in a directory the object is written under a hidden name, synced,
//! renamed, and its directories synced, before the put returns. An upload in parts is written to a
//! hidden file, and put in place like this when it is complete. Listings are in the order of names, also
//! those of a directory, and hidden files are not in them. Everything else is the lake's own store.
//!
//! An entry of a log that was created is never taken back, also when its name could not be synced:
//! another process may have read it, and have put the next entry after it.

mod directory;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::names::ObjectName;
use super::objects::{Creation, blocking};
use super::{Lake, Location, StoreError, names, random_hex};

/// The store. Clones of the lake share its connections.
#[derive(Clone, Debug)]
pub(super) struct LogStore {
    lake: Lake,
}

impl Lake {
    /// Returns an object store over the lake, for the log of a table.
    #[must_use]
    pub fn log_store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(LogStore { lake: self.clone() })
    }

    /// Returns the same lake, in a store that has said that it takes no condition on a put.
    #[cfg(test)]
    pub(crate) fn without_conditional_puts(self) -> Lake {
        self.no_conditional_puts.store(true, std::sync::atomic::Ordering::Relaxed);
        self
    }

    /// Returns the first part of the URL of an object, for libraries that name objects by URL:
    /// `scheme://host/`. The names that they ask [`Lake::log_store`] for are relative to the lake.
    #[must_use]
    pub fn log_root(&self) -> String {
        match &self.location {
            // Not file://, for which libraries look at the file system themselves.
            Location::Local(_) => "lake://directory/".to_owned(),
            // A bucket's name tells whether its listings are in order.
            Location::S3 { bucket, .. } => format!("s3://{bucket}/"),
            Location::Google { bucket, .. } => format!("gs://{bucket}/"),
            Location::Azure { container, .. } => format!("az://{container}/"),
        }
    }
}

impl LogStore {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        let Location::Local(root) = &self.lake.location else {
            return self.lake.create(name, bytes).await;
        };
        let (local, root) = (Arc::clone(&self.lake.local), root.clone());
        let name = name.to_owned();
        let created = blocking(move || local.create_bytes_for_good(&root, &name, &bytes)).await?;
        Ok(if created { Creation::Created } else { Creation::Exists })
    }

    async fn put_durably(&self, name: &str, bytes: Bytes, mode: &PutMode) -> Result<PutResult> {
        let done = match mode {
            PutMode::Create => match self.create(name, bytes).await {
                Ok(Creation::Created) => Ok(()),
                Ok(Creation::Exists) => Err(Error::AlreadyExists {
                    path: name.to_owned(),
                    source: "an object of this name is there".into(),
                }),
                Ok(Creation::Unsupported) => Err(unsupported()),
                Err(error) => Err(failed(error)),
            },
            PutMode::Overwrite => self.lake.put_bytes(name, bytes.to_vec()).await.map_err(failed),
            PutMode::Update(_) => Err(unsupported()),
        };
        done.map(|()| PutResult { e_tag: None, version: None, extensions: Default::default() })
    }
}

impl LogStore {
    /// Returns a listing without hidden files, in the order of names: that of a directory is in none.
    fn in_order(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let shown = |meta: &ObjectMeta| {
            !matches!(ObjectName::parse(meta.location.as_ref()), ObjectName::Staging(_))
        };
        let listed = listed.try_filter(move |meta| std::future::ready(shown(meta))).boxed();
        if !matches!(self.lake.location, Location::Local(_)) {
            return listed;
        }
        let sorted = async {
            let mut all: Vec<ObjectMeta> = listed.try_collect().await?;
            all.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(stream::iter(all).map(Ok))
        };
        sorted.try_flatten_stream().boxed()
    }
}

/// The log of a table needs puts that replace nothing.
fn unsupported() -> Error {
    Error::NotImplemented {
        operation: "a put that replaces nothing".into(),
        implementer: "the store of the lake".into(),
    }
}

fn failed(error: StoreError) -> Error {
    match error {
        StoreError::Object { error, .. } | StoreError::Denied { error, .. } => error,
        other => Error::Generic { store: "lake", source: Box::new(other) },
    }
}

/// An upload in parts to a directory: of a hidden file, until it is complete.
#[derive(Debug)]
struct LocalUpload {
    lake: Lake,
    name: String,
    staged: PathBuf,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let placed = self.lake.put_file(&self.name, &self.staged, 1).await;
        // A killed process leaves it, and the next start removes it.
        let _ = tokio::fs::remove_file(&self.staged).await;
        placed.map(|()| result).map_err(failed)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

impl fmt::Display for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log in {}", self.lake.location)
    }
}

#[async_trait]
impl ObjectStore for LogStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.put_durably(path.as_ref(), payload.into(), &options.mode).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let Location::Local(root) = &self.lake.location else {
            return self.lake.store.put_multipart_opts(path, options).await;
        };
        let name = path.as_ref().to_owned();
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
        let hidden = names::staging(&format!("{file}.{}", random_hex().map_err(failed)?));
        let hidden = match folder {
            "" => hidden,
            folder => format!("{folder}/{hidden}"),
        };
        let staged = root.join(&hidden);
        let path = Path::parse(&hidden)?;
        let upload = self.lake.store.put_multipart_opts(&path, options).await?;
        Ok(Box::new(LocalUpload { lake: self.lake.clone(), name, staged, upload }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.lake.store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.lake.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.in_order(self.lake.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (Location::Local(root), Some(prefix)) = (&self.lake.location, prefix) else {
            return self.in_order(self.lake.store.list_with_offset(prefix, offset));
        };
        let (root, prefix, offset) = (root.clone(), prefix.clone(), offset.clone());
        let store = Arc::clone(&self.lake.store);
        let listed = async move {
            let general = store.list_with_offset(Some(&prefix), &offset);
            let path = root.join(prefix.as_ref());
            let listed = blocking(move || {
                directory::list_after(&root, &prefix, &offset)
                    .map_err(|source| StoreError::Io { path, source })
            });
            Ok(match listed.await.map_err(failed)? {
                Some(listed) => stream::iter(listed).map(Ok).boxed(),
                None => general,
            })
        };
        self.in_order(listed.try_flatten_stream().boxed())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lake.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.lake.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
