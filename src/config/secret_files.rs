//! Secrets in files of their own: `X_FILE` in the place of the variable `X`, `x_file` in that of the key `x`.
//!
//! A file has the secret and nothing else; a line feed at its end is no part of it. It is read at the
//! start and at each reload. What it holds is in no message; its name is.

use std::path::Path;

use crate::config::sections::list::{CATALOG, KeyKind};
use crate::secret_path::{self, Kept};

/// End of the name of a key or variable that names a file.
pub(super) const SUFFIX: &str = "_file";
/// Most bytes of a secret.
const MOST_BYTES: usize = 64 << 10;

/// Secrets of object stores, as keys of `[storage]`; in capitals they are the variables of the clouds.
pub(super) const OF_STORES: [&str; 9] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "google_service_account_key",
    "google_bearer_token",
    "azure_storage_account_key",
    "azure_storage_sas_token",
    "azure_client_id",
    "azure_client_secret",
];

/// Returns the key of `[storage]` whose secret `name` names the file of.
pub(super) fn of_store(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX).filter(|key| OF_STORES.contains(key))
}

/// Returns the key of `[catalog]` whose secret `name` names the file of.
pub(super) fn of_catalog(name: &str) -> Option<&str> {
    let key = name.strip_suffix(SUFFIX)?;
    let is_secret = |key: &str| CATALOG.key(key).is_some_and(|key| key.kind == KeyKind::Secret);
    Some(key).filter(|key| is_secret(key))
}

/// Reads the secret in the file `path`.
///
/// # Errors
/// A sentence with the name of the file, and without what it holds.
pub(crate) fn read(path: &str) -> Result<String, String> {
    let failed = |why: &str| format!("the file {path} {why}");
    let bytes = secret_path::read(Path::new(path), Kept::Secret).map_err(|error| {
        // What is no file may be the secret itself, put where the name of its file belongs.
        match secret_path::may_be_shown(&error) || path.starts_with(['/', '.']) {
            true => format!("cannot read the file {path}: {error}"),
            false => format!("it names no file ({error}); the secret itself belongs in the file"),
        }
    })?;
    if bytes.len() > MOST_BYTES {
        return Err(failed("is too long for a secret"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| failed("is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    match text.is_empty() {
        true => Err(failed("is empty")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Flags};

    #[test]
    fn a_secret_is_its_file_without_the_line_feed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let name = path.to_str().unwrap();
        for (held, expected) in
            [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a", " a")]
        {
            std::fs::write(&path, held).unwrap();
            assert_eq!(read(name).as_deref(), Ok(expected), "{held:?}");
        }
        for (held, why) in [(&b""[..], "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8")]
        {
            std::fs::write(&path, held).unwrap();
            let error = read(name).unwrap_err();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(name).unwrap_err().contains(name));
        let error = read("hunter2").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_section_outranks_the_file_of_a_variable_whatever_spelling_its_key_has() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join("s.toml"), dir.path().join("secret"));
        std::fs::write(&file, "lake = \"s3://b\"\n[storage]\naccess_key_id = \"own\"\n").unwrap();
        std::fs::write(&secret, "file's").unwrap();
        let variables = [("SESSIONLAKE_CONFIG", &file), ("AWS_ACCESS_KEY_ID_FILE", &secret)];
        let environment = Environment::new(variables.map(|(name, path)| (name, path.as_os_str())));
        let settings = config::serve(&Flags::default(), &environment).unwrap().settings;
        // Both are the same key to the store, which takes the last one.
        let values: Vec<_> =
            settings.lake.options.iter().map(|(_, value)| value.reveal().to_owned()).collect();
        assert_eq!(values.last().map(String::as_str), Some("own"), "{} values", values.len());
    }

    #[test]
    fn other_keys_that_end_so_are_their_own() {
        assert_eq!(of_store("aws_secret_access_key_file"), Some("aws_secret_access_key"));
        assert_eq!(of_store("aws_web_identity_token_file"), None);
        assert_eq!(of_catalog("token_file"), Some("token"));
        assert_eq!(of_catalog("uri_file"), None);
    }
}
