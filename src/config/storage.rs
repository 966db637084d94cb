//! Options of object stores: the table `[storage]`.
//!
//! The keys are those of the `object_store` crate, checked here because its own builders take
//! some of them wrongly spelled without a word. Values are secrets, all of them: which ones are
//! harmless is not worth a list that may be wrong.

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::raw::Source;
use crate::lake::{Location, Secret};

/// One line of `[storage]`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Secret,
    pub(crate) source: Source,
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

/// Tells whether `location`'s kind of store has the option `key`. A directory takes them all, so that
/// a file made for a bucket can be tried on local disk.
fn takes(location: &Location, key: &str) -> bool {
    match location {
        Location::Local(_) => true,
        Location::S3 { .. } => key == PATH_STYLE || key.parse::<AmazonS3ConfigKey>().is_ok(),
        Location::Google { .. } => key.parse::<GoogleConfigKey>().is_ok(),
        Location::Azure { .. } => key.parse::<AzureConfigKey>().is_ok(),
    }
}

/// The entry as `location` takes it, or why it does not.
///
/// # Errors
///
/// What is wrong and what to do, without the value.
pub(super) fn option_for(location: &Location, entry: &Entry) -> Result<(String, Secret), String> {
    let key = entry.key.as_str();
    if !takes(location, key) {
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
