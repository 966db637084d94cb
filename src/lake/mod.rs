//! Where files go: a directory or a bucket; and the one maker of object names.
//!
//! A file appears whole or not at all. In a directory it is written under a hidden name, synced,
//! renamed, and every directory on its way synced; objects appear whole by themselves, and are read
//! from a staging file that was synced before. Putting the same name again replaces it with the
//! same rows, so that a roll can be made again.

mod local;
mod location;
pub mod names;
pub mod options;
pub mod receipt;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig, WriteMultipart,
};
use tokio::io::AsyncReadExt as _;

use self::local::Local;
#[cfg(test)]
pub(crate) use self::local::Syncs;
pub use self::location::Location;
pub use self::options::{Options, Secret};
pub use self::receipt::{FileReceipt, LostBodies, QuarantineReceipt, Receipt, TableReceipt};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A directory of the lake, or a staging file.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A sync failed. That is final for the staging file: a second sync of it proves nothing.
    #[error("cannot sync {path}: {source}")]
    Unsynced {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The object store.
    #[error("{lake}: {source}")]
    Object {
        /// The lake.
        lake: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// An option that the store's builder does not take.
    #[error("[storage] {key}: {why}")]
    Option {
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
}

/// An open lake. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Lake {
    /// The store; its root is the lake's directory or the bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The lake within the store.
    pub prefix: Path,
    location: Location,
    local: Arc<Local>,
    /// Objects from this size on are put in parts of it.
    part_bytes: usize,
}

/// Objects from this size on are put in parts of it.
const PART_BYTES: usize = 16 << 20;

impl Lake {
    /// Opens a lake. A directory is made if it is not there; a bucket must exist, and is not asked
    /// for anything yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(lake: &Options) -> Result<Lake, StoreError> {
        let retry = RetryConfig {
            max_retries: 5,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let object = |source| StoreError::Object { lake: lake.location.to_string(), source };
        let local = Arc::new(Local::new());
        let store: Arc<dyn ObjectStore> = match &lake.location {
            Location::Local(root) => {
                local.create_root(root)?;
                Arc::new(LocalFileSystem::new_with_prefix(root).map_err(object)?.with_fsync(true))
            }
            Location::S3 { bucket, .. } => {
                let mut builder =
                    AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
                for (key, value) in options::<AmazonS3ConfigKey>(lake)? {
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(object)?)
            }
            Location::Google { bucket, .. } => {
                let mut builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry);
                for (key, value) in options::<GoogleConfigKey>(lake)? {
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(object)?)
            }
            Location::Azure { container, .. } => {
                let mut builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(container)
                    .with_retry(retry);
                for (key, value) in options::<AzureConfigKey>(lake)? {
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(object)?)
            }
        };
        let prefix = match &lake.location {
            Location::Local(_) => Path::default(),
            bucket => Path::parse(bucket.prefix().unwrap_or("")).map_err(|e| object(e.into()))?,
        };
        let location = lake.location.clone();
        Ok(Lake { store, prefix, location, local, part_bytes: PART_BYTES })
    }

    /// A bucket that is `store`, with large objects put in parts of `part_bytes`.
    #[cfg(test)]
    pub(crate) fn on(store: Arc<dyn ObjectStore>, part_bytes: usize) -> Lake {
        let location = Location::S3 { bucket: "bucket".into(), prefix: "lake".into() };
        let local = Arc::new(Local::new());
        Lake { store, prefix: Path::from("lake"), location, local, part_bytes }
    }

    /// The same lake, with other syncs.
    #[cfg(test)]
    pub(crate) fn syncing(self, syncs: Box<dyn Syncs>) -> Lake {
        Lake { local: Arc::new(Local::with(syncs)), ..self }
    }

    /// The lake as people write it.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Puts a staging file in place under `name`, relative to the lake, with at most `parts` of its
    /// parts under way at a time. The staging file stays.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe, except after [`StoreError::Unsynced`]: then the staging
    /// file has to be written anew.
    pub async fn put_file(
        &self,
        name: &str,
        staged: &FilePath,
        parts: usize,
    ) -> Result<(), StoreError> {
        let (local, file) = (Arc::clone(&self.local), staged.to_owned());
        if let Location::Local(root) = &self.location {
            let (root, name) = (root.clone(), name.to_owned());
            return blocking(move || local.put_file(&root, &name, &file)).await;
        }
        blocking(move || local.settle(&file)).await?;
        let io = |source| StoreError::Io { path: staged.to_owned(), source };
        let path = self.path(name)?;
        let mut file = tokio::fs::File::open(staged).await.map_err(io)?;
        let bytes = file.metadata().await.map_err(io)?.len();
        if bytes <= self.part_bytes as u64 {
            let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut whole).await.map_err(io)?;
            return self.put_object(&path, whole).await;
        }
        let upload = self.store.put_multipart(&path).await.map_err(|e| self.object(e))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, self.part_bytes);
        let fed: Result<(), StoreError> = async {
            loop {
                let mut piece = vec![0; self.part_bytes.min(1 << 20)];
                let n = file.read(&mut piece).await.map_err(io)?;
                if n == 0 {
                    return Ok(());
                }
                piece.truncate(n);
                writer.wait_for_capacity(parts.max(1)).await.map_err(|e| self.object(e))?;
                writer.put(piece.into());
            }
        }
        .await;
        if fed.is_err() {
            // The upload never becomes an object; its parts are cleaned up if they can be.
            let _ = writer.abort().await;
            return fed;
        }
        writer.finish().await.map_err(|e| self.object(e))?;
        Ok(())
    }

    /// Puts a small file in place under `name`, relative to the lake.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn put_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
            return blocking(move || local.put_bytes(&root, &name, &bytes)).await;
        }
        self.put_object(&self.path(name)?, bytes).await
    }

    /// Puts a small file in place under `name` if there is none. False: there is one, which may be
    /// of an earlier attempt whose answer was lost.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn create_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        if let Location::Local(root) = &self.location {
            let (local, root, name) = (Arc::clone(&self.local), root.clone(), name.to_owned());
            return blocking(move || local.create_bytes(&root, &name, &bytes)).await;
        }
        let payload = PutPayload::from(bytes.clone());
        match self.store.put_opts(&self.path(name)?, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            // Told not to ask the store for it, one can only look first.
            Err(object_store::Error::NotImplemented { .. }) => match self.get(name).await? {
                Some(_) => Ok(false),
                None => self.put_bytes(name, bytes).await.map(|()| true),
            },
            Err(source) => Err(self.object(source)),
        }
    }

    /// The bytes under `name`, or `None` when there is nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.store.get(&self.path(name)?).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|e| self.object(e))?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.object(source)),
        }
    }

    /// Names below `folder`, relative to the lake.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let below = self.path(folder)?;
        let mut found = self.store.list(Some(&below));
        let mut names = Vec::new();
        while let Some(meta) = found.next().await {
            let location = meta.map_err(|e| self.object(e))?.location;
            let name = location.as_ref();
            let name = name.strip_prefix(self.prefix.as_ref()).unwrap_or(name);
            names.push(name.trim_start_matches('/').to_owned());
        }
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<Path, StoreError> {
        let prefix = self.prefix.as_ref();
        let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Path::parse(&whole).map_err(|e| self.object(e.into()))
    }

    async fn put_object(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.store.put(path, PutPayload::from(bytes)).await.map_err(|e| self.object(e))?;
        Ok(())
    }

    fn object(&self, source: object_store::Error) -> StoreError {
        StoreError::Object { lake: self.location.to_string(), source }
    }
}

fn options<K: std::str::FromStr<Err = object_store::Error>>(
    lake: &Options,
) -> Result<Vec<(K, String)>, StoreError> {
    let option = |key: &str, value: String| match key.parse::<K>() {
        Ok(parsed) => Ok((parsed, value)),
        Err(why) => Err(StoreError::Option { key: key.to_owned(), why: why.to_string() }),
    };
    // As options and not as a `ClientOptions`, which would drop what the environment said of the
    // client (`AWS_ALLOW_HTTP` among it).
    let timeout = format!("{} ms", lake.timeout.as_millis());
    std::iter::once(option("timeout", timeout))
        .chain(lake.options.iter().map(|(key, value)| option(key, value.reveal().to_owned())))
        .collect()
}

async fn blocking<F, T>(work: F) -> Result<T, StoreError>
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
