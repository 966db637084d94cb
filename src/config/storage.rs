//! Options of object stores: the table `[storage]`, and where a lake is.
//!
//! The keys are those of the `object_store` crate, checked here because its own builders take
//! some of them wrongly spelled without a word. Values are secrets, all of them: which ones are
//! harmless is not worth a list that may be wrong.

use std::fmt;
use std::path::PathBuf;

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::raw::Source;

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text. Whoever asks must not print it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// One line of `[storage]`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Secret,
    pub(crate) source: Source,
}

/// Where a lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory, as it was typed.
    Local(PathBuf),
    /// A bucket of an S3-compatible store.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// Key prefix without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage.
    Google {
        /// Name of the bucket.
        bucket: String,
        /// Key prefix without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// Name of the container.
        container: String,
        /// Key prefix without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl Location {
    /// Reads a directory, `file://`, `s3://` (`s3a://`), `gs://` or `az://`.
    ///
    /// # Errors
    ///
    /// The half sentence that follows the value: `is not …`. It never repeats the value.
    pub fn parse(text: &str) -> Result<Location, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err("is no directory".to_owned());
            }
            return Ok(Location::Local(PathBuf::from(text)));
        };
        if scheme.eq_ignore_ascii_case("file") {
            return match rest.starts_with('/') {
                true => Ok(Location::Local(PathBuf::from(rest))),
                false => Err("is not an absolute path after file://".to_owned()),
            };
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err("does not name a bucket after its ://".to_owned());
        }
        let (name, prefix) = (name.to_owned(), prefix.trim_matches('/').to_owned());
        if prefix.split('/').any(|part| part == "." || part == "..") {
            return Err("has . or .. in its prefix".to_owned());
        }
        match scheme.to_ascii_lowercase().as_str() {
            // Spark's spelling of the same thing; people paste it.
            "s3" | "s3a" => Ok(Location::S3 { bucket: name, prefix }),
            "gs" => Ok(Location::Google { bucket: name, prefix }),
            "az" => Ok(Location::Azure { container: name, prefix }),
            _ => Err("is none of a directory, s3://, gs:// and az://".to_owned()),
        }
    }

    /// The prefix within the bucket; `None` for a directory.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Location::Local(_) => None,
            Location::S3 { prefix, .. }
            | Location::Google { prefix, .. }
            | Location::Azure { prefix, .. } => Some(prefix),
        }
    }

    /// Whether `key` of `[storage]` means something to this kind of store. A directory takes them
    /// all, so that a file made for a bucket can be tried on local disk.
    fn takes(&self, key: &str) -> bool {
        match self {
            Location::Local(_) => true,
            Location::S3 { .. } => key == PATH_STYLE || key.parse::<AmazonS3ConfigKey>().is_ok(),
            Location::Google { .. } => key.parse::<GoogleConfigKey>().is_ok(),
            Location::Azure { .. } => key.parse::<AzureConfigKey>().is_ok(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, name, prefix) = match self {
            Location::Local(path) => return path.display().fmt(f),
            Location::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Location::Google { bucket, prefix } => ("gs", bucket, prefix),
            Location::Azure { container, prefix } => ("az", container, prefix),
        };
        let slash = if prefix.is_empty() { "" } else { "/" };
        write!(f, "{scheme}://{name}{slash}{prefix}")
    }
}

/// Our one key that `object_store` does not have: buckets in the path instead of the host name.
const PATH_STYLE: &str = "path_style";

/// Whether any of the three clouds has this key.
pub(crate) fn known(key: &str) -> bool {
    key == PATH_STYLE
        || key.parse::<AmazonS3ConfigKey>().is_ok()
        || key.parse::<GoogleConfigKey>().is_ok()
        || key.parse::<AzureConfigKey>().is_ok()
}

/// Keys to suggest. Not every alias: what the documentation of the clouds calls them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

const NAMES: &[&str] = &[
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region",
    "aws_default_region",
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_virtual_hosted_style_request",
    "aws_unsigned_payload",
    "aws_checksum_algorithm",
    "aws_conditional_put",
    "aws_skip_signature",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_web_identity_token_file",
    "aws_server_side_encryption",
    "aws_sse_kms_key_id",
    "aws_request_payer",
    PATH_STYLE,
    "google_service_account",
    "google_service_account_key",
    "google_application_credentials",
    "google_bearer_token",
    "azure_storage_account_name",
    "azure_storage_account_key",
    "azure_storage_sas_token",
    "azure_storage_use_emulator",
    "azure_storage_endpoint",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http1_only",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
    "randomize_addresses",
    "user_agent",
];

/// The entry as `location` takes it, or why it does not.
///
/// # Errors
///
/// What is wrong and what to do, without the value.
pub(super) fn option_for(location: &Location, entry: &Entry) -> Result<(String, Secret), String> {
    let key = entry.key.as_str();
    if !location.takes(key) {
        return Err(format!("`{key}` is no option of {location}; remove it"));
    }
    let names_bucket = matches!(key.parse(), Ok(AmazonS3ConfigKey::Bucket))
        || matches!(key.parse(), Ok(GoogleConfigKey::Bucket))
        || matches!(key.parse(), Ok(AzureConfigKey::ContainerName));
    if names_bucket {
        return Err(format!("`{key}`: the bucket is named by the setting lake; remove it"));
    }
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    if key.parse::<AmazonS3ConfigKey>().is_ok_and(|parsed| parsed == timeout) {
        return Err(format!("`{key}`: use the setting store_timeout instead"));
    }
    if key != PATH_STYLE {
        return Ok((key.to_owned(), entry.value.clone()));
    }
    match entry.value.reveal() {
        "true" => Ok((VIRTUAL_HOST.to_owned(), Secret::new("false".to_owned()))),
        "false" => Ok((VIRTUAL_HOST.to_owned(), Secret::new("true".to_owned()))),
        _ => Err(format!("`{key}` is neither true nor false")),
    }
}

const VIRTUAL_HOST: &str = "aws_virtual_hosted_style_request";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str) -> Entry {
        Entry { key: key.to_owned(), value: Secret::new(value.to_owned()), source: Source::Default }
    }

    #[test]
    fn every_suggested_name_is_a_key() {
        for name in names() {
            assert!(known(name), "{name}");
        }
        assert!(!known("aws_acces_key_id"));
    }

    #[test]
    fn locations_are_read_and_shown() {
        for (text, shown) in [
            ("./data/lake", "./data/lake"),
            ("file:///srv/lake", "/srv/lake"),
            ("s3://b", "s3://b"),
            ("s3a://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/x", "gs://bucket/x"),
            ("az://container/x", "az://container/x"),
        ] {
            assert_eq!(Location::parse(text).map(|l| l.to_string()), Ok(shown.to_owned()));
        }
        for text in
            ["", "s3://", "s3:///x", "s3://key:word@b/x", "http://m:9/b", "file://x", "s3://b/../c"]
        {
            assert!(Location::parse(text).is_err(), "{text} passed");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", entry("aws_secret_access_key", "hunter2"));
        assert!(shown.contains("[hidden]") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn options_are_those_of_the_store() {
        let s3 = Location::parse("s3://b/x").unwrap();
        let local = Location::parse("./x").unwrap();
        let azure = Location::parse("az://c").unwrap();
        assert!(option_for(&s3, &entry("aws_region", "eu")).is_ok());
        assert!(option_for(&local, &entry("aws_region", "eu")).is_ok());
        assert!(option_for(&azure, &entry("aws_region", "eu")).is_err());
        assert!(option_for(&s3, &entry("aws_bucket", "b")).is_err());
        assert!(option_for(&s3, &entry("timeout", "5s")).is_err());
        let (key, value) = option_for(&s3, &entry("path_style", "true")).unwrap();
        assert_eq!((key.as_str(), value.reveal()), (VIRTUAL_HOST, "false"));
        assert!(option_for(&s3, &entry("path_style", "yes")).is_err());
    }
}
