//! Queries of the configured tables for DuckDB, Spark and Trino, to be copied: with the lake as it is, and
//! without any credentials.

use std::path::Path;

use super::Settings;
use crate::commit::CatalogOptions;
use crate::error_text::without_userinfo;
use crate::lake::Location;
use crate::schema::render::{literal, quoted, spark_literal};
use crate::status::ShownQuery;
use crate::table::{Format, Spec};

/// Options of a bucket that say where it is.
const ENDPOINTS: [&str; 5] =
    ["aws_endpoint", "aws_endpoint_url", "endpoint", "endpoint_url", "aws_endpoint_url_s3"];

/// Returns three queries for each table of `settings`.
pub(super) fn queries(settings: &Settings) -> Vec<ShownQuery> {
    let place = Place::of(settings);
    let of = |spec: &Spec| {
        let query =
            |engine, text: String| ShownQuery { table: spec.name.to_string(), engine, text };
        [
            query("duckdb", place.duckdb(spec)),
            query("spark", place.spark(spec)),
            query("trino", place.trino(spec)),
        ]
    };
    settings.tables.iter().flat_map(of).collect()
}

/// The lake and the catalog as queries name them.
struct Place<'a> {
    lake: String,
    /// Settings of DuckDB for the bucket; none for a directory.
    bucket: Option<String>,
    catalog: Option<&'a CatalogOptions>,
}

impl<'a> Place<'a> {
    fn of(settings: &'a Settings) -> Place<'a> {
        let location = &settings.lake.location;
        let lake = match location {
            // From wherever the query is run.
            Location::Local(path) => absolute(path),
            bucket => bucket.to_string(),
        };
        let bucket = match location {
            Location::Local(_) => None,
            Location::S3 { .. } => Some(s3(settings)),
            Location::Google { .. } => {
                Some("CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…');".to_owned())
            }
            Location::Azure { .. } => {
                Some("CREATE SECRET (TYPE azure, CONNECTION_STRING '…');".to_owned())
            }
        };
        Place { lake, bucket, catalog: settings.catalog.as_ref() }
    }

    fn path(&self, spec: &Spec) -> String {
        format!("{}/{}", self.lake.trim_end_matches('/'), spec.name)
    }

    /// Returns the name of a table in its catalog, in quotes of the engine.
    fn in_catalog(&self, spec: &Spec, quote: impl Fn(&str) -> String) -> String {
        let namespace =
            self.catalog.map(|catalog| catalog.namespace.as_slice()).unwrap_or_default();
        let levels = namespace.iter().map(String::as_str).chain([&*spec.name]);
        levels.map(quote).collect::<Vec<_>>().join(".")
    }

    fn duckdb(&self, spec: &Spec) -> String {
        let mut text = String::new();
        if let Some(bucket) = &self.bucket {
            text.push_str(&format!("-- once, with your own credentials: {bucket}\n"));
        }
        let source = match spec.format {
            Format::Plain => format!(
                "read_parquet({},\n  hive_partitioning = true, union_by_name = true)",
                literal(&format!("{}/**/*.parquet", self.path(spec)))
            ),
            Format::Delta => {
                text.push_str("INSTALL delta; LOAD delta;\n");
                format!("delta_scan({})", literal(&self.path(spec)))
            }
            Format::Iceberg => {
                let (uri, warehouse) = self.catalog.map_or_else(Default::default, |catalog| {
                    (catalog.uri.clone(), catalog.warehouse.clone().unwrap_or_default())
                });
                text.push_str(&format!(
                    "INSTALL iceberg; LOAD iceberg;\n-- once, with your own credentials: CREATE SECRET \
                     (TYPE iceberg, TOKEN '…');\nATTACH {} AS lake (TYPE iceberg, ENDPOINT {});\n",
                    literal(&warehouse),
                    literal(&without_userinfo(&uri))
                ));
                format!("lake.{}", self.in_catalog(spec, quoted))
            }
        };
        format!("{text}SELECT * FROM {source}\nLIMIT 10;")
    }

    fn spark(&self, spec: &Spec) -> String {
        let path = self.path(spec);
        let path = match path.strip_prefix("s3://") {
            Some(rest) => format!("s3a://{rest}"),
            None => path,
        };
        let name = |name: &str| format!("`{}`", name.replace('`', "``"));
        match spec.format {
            Format::Plain => format!(
                "CREATE TEMPORARY VIEW {} USING parquet\n  OPTIONS (path {}, mergeSchema 'true');\n\
                 SELECT * FROM {} LIMIT 10;",
                name(&spec.name),
                spark_literal(&path),
                name(&spec.name)
            ),
            Format::Delta => {
                format!("-- with delta-spark\nSELECT * FROM delta.{} LIMIT 10;", name(&path))
            }
            Format::Iceberg => {
                let uri = self.catalog.map(|catalog| catalog.uri.clone()).unwrap_or_default();
                format!(
                    "-- with iceberg-spark-runtime, and the catalog lake: type rest, uri {}\n\
                     SELECT * FROM lake.{} LIMIT 10;",
                    without_userinfo(&uri),
                    self.in_catalog(spec, name)
                )
            }
        }
    }

    fn trino(&self, spec: &Spec) -> String {
        let (table, path) = (quoted(&spec.name), literal(&self.path(spec)));
        let select = format!("SELECT * FROM {table} LIMIT 10;");
        match spec.format {
            Format::Plain => format!(
                "-- once: the statement of `sessionlake schema --format trino`, with\n\
                 -- external_location = {path};\n\
                 -- for new partitions: CALL system.sync_partition_metadata('default', {}, 'ADD');\n\
                 {select}",
                literal(&spec.name)
            ),
            Format::Delta => format!(
                "-- once: CALL system.register_table(schema_name => 'default',\n\
                 --   table_name => {}, table_location => {path});\n{select}",
                literal(&spec.name)
            ),
            Format::Iceberg => {
                let uri = self.catalog.map(|catalog| catalog.uri.clone()).unwrap_or_default();
                format!(
                    "-- in a catalog of the iceberg connector with iceberg.catalog.type = rest,\n\
                     -- iceberg.rest-catalog.uri = {}\nSELECT * FROM {} LIMIT 10;",
                    without_userinfo(&uri),
                    self.in_catalog(spec, quoted)
                )
            }
        }
    }
}

/// Returns the statement by which DuckDB reads the bucket, without credentials.
fn s3(settings: &Settings) -> String {
    let mut text = "CREATE SECRET (TYPE s3, KEY_ID '…', SECRET '…'".to_owned();
    let options = settings.lake.options.iter();
    // The only option that is shown: an address, without what may stand before its host.
    let endpoint = options.rev().find(|(key, _)| ENDPOINTS.contains(&key.to_lowercase().as_str()));
    if let Some((_, endpoint)) = endpoint {
        let endpoint = endpoint.reveal();
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        text.push_str(&format!(", ENDPOINT {}, URL_STYLE 'path'", literal(host)));
        if scheme.eq_ignore_ascii_case("http") {
            text.push_str(", USE_SSL false");
        }
    } else {
        text.push_str(", REGION '…'");
    }
    text.push_str(");");
    if endpoint.is_none() {
        text.push_str("\n-- (of another store than AWS also ENDPOINT '…', URL_STYLE 'path')");
    }
    text
}

/// Returns a path from the root, without links and dots if it is there already.
fn absolute(path: &Path) -> String {
    let found = path.canonicalize().or_else(|_| std::path::absolute(path));
    found.map_or_else(|_| path.display().to_string(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::Secret;
    use crate::server::tests::settings;

    fn of(settings: &Settings) -> Vec<String> {
        queries(settings)
            .into_iter()
            .map(|query| format!("{}: {}", query.engine, query.text))
            .collect()
    }

    #[test]
    fn queries_name_the_lake_and_no_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(&dir);
        let [duckdb, spark, trino] = &of(&settings)[..] else { panic!("three") };
        let path = dir.path().canonicalize().unwrap().join("lake/visits");
        let path = path.display().to_string();
        assert!([duckdb, spark, trino].iter().all(|query| query.contains(&path)), "{duckdb}");
        settings.lake.location = Location::parse("s3://bucket/a'b").unwrap();
        let secret = |text: &str| Secret::new(text.to_owned());
        settings.lake.options = vec![
            ("aws_secret_access_key".into(), secret("hunter2")),
            ("aws_endpoint".into(), secret("http://me:hunter2@127.0.0.1:9000/x?y=hunter2")),
        ];
        for format in [Format::Plain, Format::Delta, Format::Iceberg] {
            settings.tables[0].format = format;
            let mut catalog = CatalogOptions::new("https://me:hunter2@catalog.example", "ns");
            catalog.warehouse = Some("w".to_owned());
            settings.catalog = (format == Format::Iceberg).then_some(catalog);
            let all = of(&settings);
            assert!(all.iter().all(|query| !query.contains("hunter2")), "{all:#?}");
            assert!(all[0].contains("ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false"));
            let place = if format == Format::Iceberg {
                "lake.\"ns\".\"visits\""
            } else {
                "s3://bucket/a''b"
            };
            assert!(all[0].contains(place), "{}", all[0]);
        }
    }
}
