//! Addresses of lakes.

use std::fmt;
use std::path::PathBuf;

/// Schemes that people write, those of other programs among them.
const SCHEMES: [&str; 16] = [
    "s3", "s3a", "s3n", "gs", "gcs", "az", "adl", "abfs", "abfss", "wasb", "wasbs", "azure",
    "hdfs", "http", "https", "file",
];

/// The address of a lake: a directory, or a bucket with a key prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory, spelled as in the settings.
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
    /// Parses a directory or a URL with `file://`, `s3://` (`s3a://`), `gs://` or `az://`.
    ///
    /// # Errors
    /// Half a sentence to follow the value, which it never repeats: `is not …`.
    pub fn parse(text: &str) -> Result<Location, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err("is no directory".to_owned());
            }
            if Location::is_half_an_address(text) {
                return Err("is no address and would be a directory of that name: an address has \
                            :// after its scheme (and such a directory is given with ./ before \
                            it)"
                .to_owned());
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

    /// Returns true for a text that is meant as an address and lacks a part of its `://`, such as
    /// `s3:/bucket`. As a path it would be a directory of that name.
    #[must_use]
    pub fn is_half_an_address(text: &str) -> bool {
        let (first, rest) = text.split_once(['/', '\\']).unwrap_or((text, ""));
        let (scheme, colon) = match first.split_once(':') {
            Some((scheme, after)) => (scheme, Some(after)),
            None => (first, None),
        };
        let known = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
        let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        match colon {
            // `s3:/bucket`, and any other scheme in that place.
            Some("") => known || (scheme.len() > 1 && scheme.chars().all(letters)),
            // `s3:bucket`.
            Some(_) => known,
            // `s3//bucket`.
            None => known && rest.starts_with('/'),
        }
    }

    /// Returns the key prefix within the bucket, `None` for a directory.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Location::Local(_) => None,
            Location::S3 { prefix, .. }
            | Location::Google { prefix, .. }
            | Location::Azure { prefix, .. } => Some(prefix),
        }
    }
}

impl Location {
    /// Splits the location of a file into that of its folder and its name. `None` when there is no
    /// name, or none that is a text.
    #[must_use]
    pub fn parent_and_name(&self) -> Option<(Location, String)> {
        let mut parent = self.clone();
        let name = match &mut parent {
            Location::Local(path) => {
                let name = path.file_name()?.to_str()?.to_owned();
                path.pop();
                if path.as_os_str().is_empty() {
                    path.push(".");
                }
                name
            }
            Location::S3 { prefix, .. }
            | Location::Google { prefix, .. }
            | Location::Azure { prefix, .. } => {
                let (folder, name) = match prefix.rsplit_once('/') {
                    Some((folder, name)) => (folder.to_owned(), name.to_owned()),
                    None => (String::new(), std::mem::take(prefix)),
                };
                *prefix = folder;
                name
            }
        };
        (!name.is_empty()).then_some((parent, name))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_from_its_folder() {
        for (text, split) in [
            ("lake/t/a.parquet", Some(("lake/t", "a.parquet"))),
            ("a.parquet", Some((".", "a.parquet"))),
            ("s3://b/t/a.parquet", Some(("s3://b/t", "a.parquet"))),
            ("gs://b/a.parquet", Some(("gs://b", "a.parquet"))),
            ("az://b", None),
        ] {
            let parent = Location::parse(text).unwrap().parent_and_name();
            let parent = parent.map(|(parent, name)| (parent.to_string(), name));
            assert_eq!(parent, split.map(|(parent, name)| (parent.to_owned(), name.to_owned())));
        }
    }

    #[test]
    fn directories_with_colons_are_directories() {
        for text in
            ["./s3:/bucket", "/srv/s3:/bucket", "lake:2026/x", "s3", "s3/lake", "a:b", "C:/x"]
        {
            assert!(matches!(Location::parse(text), Ok(Location::Local(_))), "{text}");
        }
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
        for text in [
            "",
            "s3://",
            "s3:///x",
            "s3:/bucket/prefix",
            "s3:bucket",
            "S3//bucket",
            "gs:/b",
            "file:/srv/lake",
            "abfss:/c",
            "minio:/b",
            "s3:\\\\bucket",
            "s3://key:word@b/x",
            "http://m:9/b",
            "file://x",
            "s3://b/../c",
        ] {
            assert!(Location::parse(text).is_err(), "{text} passed");
        }
    }
}
