//! Options of a lake: its location, the object store's options, the timeout.
//!
//! The keys of object-store options are those of the `object_store` crate, and are checked here
//! because its own builders ignore some that are misspelt. Every value is a [`Secret`]: no list of
//! harmless keys has to be kept.

use std::fmt;
use std::time::Duration;

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::Location;

/// Options of a lake. `Debug` shows no credentials.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory or bucket.
    pub location: Location,
    /// Options of the object store by key, each returned by [`Options::check`]. They outrank the
    /// environment variables of the cloud. A directory ignores them.
    pub options: Vec<(String, Secret)>,
    /// Longest time of one request to the store before it is tried again.
    pub timeout: Duration,
}

impl Options {
    /// Checks an option for a lake at `location` and returns it as the store's builder takes it.
    /// A directory takes the options of all clouds, so that the settings of a bucket can be tried
    /// on local disk.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do, without the value.
    pub fn check(
        location: &Location,
        key: &str,
        value: &Secret,
    ) -> Result<(String, Secret), String> {
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
            return Ok((key.to_owned(), value.clone()));
        }
        match value.reveal() {
            "true" => Ok((VIRTUAL_HOST.to_owned(), Secret::new("false".to_owned()))),
            "false" => Ok((VIRTUAL_HOST.to_owned(), Secret::new("true".to_owned()))),
            _ => Err(format!("`{key}` is neither true nor false")),
        }
    }
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the text. It must not be printed.
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

/// The one key that `object_store` does not have: buckets in the path instead of the host name.
const PATH_STYLE: &str = "path_style";

const VIRTUAL_HOST: &str = "aws_virtual_hosted_style_request";

/// Returns true if `key` is an option of any of the three clouds.
#[must_use]
pub fn is_option(key: &str) -> bool {
    key == PATH_STYLE
        || key.parse::<AmazonS3ConfigKey>().is_ok()
        || key.parse::<GoogleConfigKey>().is_ok()
        || key.parse::<AzureConfigKey>().is_ok()
}

/// Returns true if the store at `location` has the option `key`.
fn takes(location: &Location, key: &str) -> bool {
    match location {
        Location::Local(_) => true,
        Location::S3 { .. } => key == PATH_STYLE || key.parse::<AmazonS3ConfigKey>().is_ok(),
        Location::Google { .. } => key.parse::<GoogleConfigKey>().is_ok(),
        Location::Azure { .. } => key.parse::<AzureConfigKey>().is_ok(),
    }
}

/// Option keys to suggest: the documented spelling of each, without the aliases.
pub const OPTION_KEYS: &[&str] = &[
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(location: &Location, key: &str, value: &str) -> Result<(String, Secret), String> {
        Options::check(location, key, &Secret::new(value.to_owned()))
    }

    #[test]
    fn every_suggested_name_is_a_key() {
        for key in OPTION_KEYS {
            assert!(is_option(key), "{key}");
        }
        assert!(!is_option("aws_acces_key_id"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", ("aws_secret_access_key", Secret::new("hunter2".to_owned())));
        assert!(shown.contains("[hidden]") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn options_are_those_of_the_store() {
        let s3 = Location::parse("s3://b/x").unwrap();
        let local = Location::parse("./x").unwrap();
        let azure = Location::parse("az://c").unwrap();
        assert!(check(&s3, "aws_region", "eu").is_ok());
        assert!(check(&local, "aws_region", "eu").is_ok());
        assert!(check(&azure, "aws_region", "eu").is_err());
        assert!(check(&s3, "aws_bucket", "b").is_err());
        assert!(check(&s3, "timeout", "5s").is_err());
        let (key, value) = check(&s3, "path_style", "true").unwrap();
        assert_eq!((key.as_str(), value.reveal()), (VIRTUAL_HOST, "false"));
        assert!(check(&s3, "path_style", "yes").is_err());
    }
}
