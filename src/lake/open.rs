//! Opening a lake: the object store of its location, with names relative to the lake.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use super::http_client::Connector;
use super::local::Local;
#[cfg(test)]
use super::local::Syncs;
use super::requests::CountedStore;
use super::unfinished::{self, UnfinishedUploads};
use super::{Lake, Location, Options, StoreError};

/// Objects from this size on are put in parts of it.
const PART_BYTES: usize = 16 << 20;

impl Lake {
    /// Opens a lake to write to it. A directory is created if it does not exist; a bucket must
    /// exist, and is not asked for anything yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(options: &Options) -> Result<Lake, StoreError> {
        let local = Local::new();
        if let Location::Local(root) = &options.location {
            local.create_root(root)?;
            Local::sweep(root);
        }
        Lake::new(options, local)
    }

    /// Removes the hidden files that killed processes have left in the directory of the lake, as
    /// [`Lake::open`] does. A bucket has none.
    pub fn sweep(&self) {
        if let Location::Local(root) = &self.location {
            Local::sweep(root);
        }
    }

    /// Opens a lake to read it. Creates nothing.
    ///
    /// # Errors
    /// [`StoreError::NoLake`] for a directory that does not exist, else as [`Lake::open`].
    pub fn open_existing(options: &Options) -> Result<Lake, StoreError> {
        match &options.location {
            Location::Local(root) if !root.exists() => {
                Err(StoreError::NoLake { directory: root.clone() })
            }
            _ => Lake::new(options, Local::new()),
        }
    }

    fn new(options: &Options, local: Local) -> Result<Lake, StoreError> {
        let location = options.location.clone();
        let failed = |error| StoreError::Object { lake: location.to_string(), error };
        let prefix = Path::parse(location.prefix().unwrap_or(""));
        let prefix = prefix.map_err(|error| failed(error.into()))?;
        let (store, unfinished) = object_store(options)?;
        let store: Arc<dyn ObjectStore> = Arc::new(CountedStore(store));
        let store = PrefixStore::new(store, prefix);
        let (store, local) = (Arc::new(store), Arc::new(local));
        Ok(Lake {
            store,
            location,
            local,
            part_bytes: PART_BYTES,
            unfinished: unfinished.map(Arc::new),
            has_read: Arc::default(),
            no_conditional_puts: Arc::default(),
            no_conditional_swaps: Arc::default(),
        })
    }

    /// Returns the lake below `lake/` of `store`, as if that were a bucket, with large objects put
    /// in parts of `part_bytes`.
    #[cfg(test)]
    pub(crate) fn on(store: Arc<dyn ObjectStore>, part_bytes: usize) -> Lake {
        Lake { part_bytes, ..Lake::below(store, "lake") }
    }

    /// Returns the lake below `prefix` of `store`, as if that were a bucket.
    #[cfg(test)]
    pub(crate) fn below(store: Arc<dyn ObjectStore>, prefix: &str) -> Lake {
        let location = Location::S3 { bucket: "bucket".into(), prefix: prefix.into() };
        let store = Arc::new(PrefixStore::new(store, prefix));
        Lake {
            store,
            location,
            local: Arc::new(Local::new()),
            part_bytes: PART_BYTES,
            unfinished: None,
            has_read: Arc::default(),
            no_conditional_puts: Arc::default(),
            no_conditional_swaps: Arc::default(),
        }
    }

    /// Returns the same lake with other syncs.
    #[cfg(test)]
    pub(crate) fn syncing(self, syncs: Box<dyn Syncs>) -> Lake {
        Lake { local: Arc::new(Local::with(syncs)), ..self }
    }
}

/// Builds the store whose root is the lake's directory or its bucket, and what looks for unfinished
/// uploads there.
fn object_store(
    options: &Options,
) -> Result<(Arc<dyn ObjectStore>, Option<UnfinishedUploads>), StoreError> {
    let failed = |error| StoreError::Object { lake: options.location.to_string(), error };
    let retry = RetryConfig {
        max_retries: 5,
        retry_timeout: Duration::from_secs(60),
        ..RetryConfig::default()
    };
    let store: Arc<dyn ObjectStore> = match &options.location {
        Location::Local(root) => {
            let store = LocalFileSystem::new_with_prefix(root).map_err(failed)?;
            Arc::new(store.with_fsync(true).with_automatic_cleanup(true))
        }
        Location::S3 { bucket, .. } => {
            let mut builder =
                AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
            for (key, value) in parsed::<AmazonS3ConfigKey>(options)? {
                builder = builder.with_config(key, value);
            }
            let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            if endpoint.is_some_and(|endpoint| !is_address(&endpoint)) {
                // A signed request to it would panic. Its value is not shown: it may hold a password.
                let key = "aws_endpoint (AWS_ENDPOINT_URL)".to_owned();
                let why = "no address such as https://host or http://host:9000 (what is special \
                           in a name or password is written as %40 for @, %20 for a space)";
                return Err(StoreError::Option { key, why: why.to_owned() });
            }
            let (store, unfinished) = unfinished::build(builder).map_err(failed)?;
            return Ok((store, unfinished));
        }
        Location::Google { bucket, .. } => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry)
                .with_http_connector(Connector);
            for (key, value) in parsed::<GoogleConfigKey>(options)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Location::Azure { container, .. } => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(container)
                .with_retry(retry)
                .with_http_connector(Connector);
            for (key, value) in parsed::<AzureConfigKey>(options)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
    };
    Ok((store, None))
}

/// Returns whether `text` is a URL of HTTP with a host, as the client of a store takes it.
fn is_address(text: &str) -> bool {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    // Both of its parsers have to take it; only one looks at the port.
    reqwest::Url::parse(text).is_ok()
        && text.parse().is_ok_and(|uri| {
            *request.uri_mut() = uri;
            let uri = request.uri();
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        })
}

/// Parses the keys of the store's options for the builder that takes keys of type `K`.
fn parsed<K: std::str::FromStr<Err = object_store::Error>>(
    options: &Options,
) -> Result<Vec<(K, String)>, StoreError> {
    let option = |key: &str, value: String| match key.parse::<K>() {
        Ok(parsed) => Ok((parsed, value)),
        Err(why) => Err(StoreError::Option { key: key.to_owned(), why: why.to_string() }),
    };
    // As options and not as a `ClientOptions`, which would drop what the environment said of the
    // client (`AWS_ALLOW_HTTP` among it).
    let timeout = format!("{} ms", options.timeout.as_millis());
    std::iter::once(option("timeout", timeout))
        .chain(options.options.iter().map(|(key, value)| option(key, value.reveal().to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_no_address_is_an_error_without_it() {
        for wrong in [
            "user:SECRET@127.0.0.1:1",
            "http://user:SEC RET@127.0.0.1:1",
            "http:/user:SECRET@127.0.0.1:1",
            "http://user:SECRET@127.0.0.1:99999",
            "ftp://user:SECRET@host",
            "http://",
            "localhost:9000",
        ] {
            assert!(!is_address(wrong), "{wrong}");
        }
        for right in ["http://127.0.0.1:9000", "https://host/", "http://u:a,S@[::1]:9/path"] {
            assert!(is_address(right), "{right}");
        }
    }
}
