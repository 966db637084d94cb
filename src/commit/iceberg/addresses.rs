//! Addresses of the objects of a lake, as manifests and catalogs have them: whole, and not escaped.

use crate::lake::Location;

/// The addresses of a lake's objects.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The address of the lake, without a slash at its end.
    root: String,
    /// Roots that other writers put before the names of the same objects.
    others: Vec<String>,
}

impl Addresses {
    /// Returns those of the lake at `location`.
    ///
    /// # Errors
    /// Readers of Iceberg tables do not read such addresses.
    pub(super) fn of(location: &Location) -> Result<Addresses, String> {
        let of = |scheme: &str, name: &str, prefix: &str| {
            format!("{scheme}://{name}/{prefix}").trim_end_matches('/').to_owned()
        };
        let (root, others) = match location {
            Location::Local(path) => {
                let path = std::path::absolute(path)
                    .map_err(|error| format!("the directory of the lake: {error}"))?;
                let Some(path) = path.to_str() else {
                    return Err("the directory of the lake has a name that is no text".to_owned());
                };
                let path = path.trim_end_matches('/');
                (format!("file://{path}"), vec![format!("file:{path}"), path.to_owned()])
            }
            Location::S3 { bucket, prefix } => {
                let others = ["s3a", "s3n"].map(|scheme| of(scheme, bucket, prefix));
                (of("s3", bucket, prefix), others.to_vec())
            }
            Location::Google { bucket, prefix } => (of("gs", bucket, prefix), Vec::new()),
            Location::Azure { .. } => {
                return Err(
                    "the lake is in Azure, for which this version writes no Iceberg tables: use \
                            format = \"delta\""
                        .to_owned(),
                );
            }
        };
        Ok(Addresses { root, others })
    }

    /// Returns the address of an object, by its name in the lake.
    pub(super) fn of_name(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// Returns the name in the lake of an object; none of one elsewhere.
    pub(super) fn name_of<'a>(&self, address: &'a str) -> Option<&'a str> {
        let mut roots = std::iter::once(&self.root).chain(&self.others);
        let name = roots.find_map(|root| address.strip_prefix(&**root)?.strip_prefix('/'))?;
        Some(name.trim_start_matches('/')).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_location_of_the_lake_and_the_name() {
        for (lake, name, address) in [
            ("s3://b", "t/a", "s3://b/t/a"),
            ("s3a://b/x/y/", "t/d=a%2Fb c/a", "s3://b/x/y/t/d=a%2Fb c/a"),
            ("gs://b/x", "t/a", "gs://b/x/t/a"),
            ("/srv/lake/", "t/a", "file:///srv/lake/t/a"),
        ] {
            let addresses = Addresses::of(&Location::parse(lake).unwrap()).unwrap();
            assert_eq!(addresses.of_name(name), address);
            assert_eq!(addresses.name_of(address), Some(name));
        }
        let relative = Addresses::of(&Location::parse("lake").unwrap()).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(relative.of_name("a"), format!("file://{}/lake/a", here.display()));
        assert!(Addresses::of(&Location::parse("az://b").unwrap()).is_err());
    }

    #[test]
    fn addresses_of_other_writers_lead_to_the_same_objects() {
        let of = |lake: &str, address: &str| {
            let addresses = Addresses::of(&Location::parse(lake).unwrap()).unwrap();
            addresses.name_of(address).map(str::to_owned)
        };
        assert_eq!(of("s3://b/x", "s3a://b/x/t/a").as_deref(), Some("t/a"));
        assert_eq!(of("/srv", "file:/srv/t/a").as_deref(), Some("t/a"));
        assert_eq!(of("/srv", "/srv/t/a").as_deref(), Some("t/a"));
        for address in ["s3://b/xx/t", "s3://other/x/t", "s3://b/x/", "s3://b/x", "/srv/t/a"] {
            assert_eq!(of("s3://b/x", address), None, "{address}");
        }
    }
}
