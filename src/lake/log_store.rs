//! An object store for libraries that keep the log of a table in the lake.
//!
//! Names are relative to the lake, as everywhere here. A put that must not replace anything, and a put
//! that may, are those of [`Lake`]: in a directory the object is written under a hidden name, synced,
//! renamed, and its directories synced, before the put returns. Everything else is the lake's own
//! store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::objects::Creation;
use super::{Lake, Location, StoreError};

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

    /// Returns the first part of the URL of an object, for libraries that name objects by URL:
    /// `scheme://host/`. The names that they ask [`Lake::log_store`] for are relative to the lake.
    #[must_use]
    pub fn log_root(&self) -> String {
        match &self.location {
            // Not `file`: such a URL is looked for from the root of the file system. The listing of
            // a directory is in no order, and callers know that of names with this ending.
            Location::Local(_) => "lake://directory--x-s3/".to_owned(),
            // A bucket's name tells whether its listings are in order.
            Location::S3 { bucket, .. } => format!("s3://{bucket}/"),
            Location::Google { bucket, .. } => format!("gs://{bucket}/"),
            Location::Azure { container, .. } => format!("az://{container}/"),
        }
    }
}

impl LogStore {
    async fn put_durably(&self, name: &str, bytes: Bytes, mode: &PutMode) -> Result<PutResult> {
        let done = match mode {
            PutMode::Create => match self.lake.create(name, bytes).await {
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
        self.lake.store.put_multipart_opts(path, options).await
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
        self.lake.store.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lake.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lake.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.lake.store.copy_opts(from, to, options).await
    }
}
