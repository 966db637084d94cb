//! The section `[catalog]`, and its variables.

use std::time::Duration;

use super::*;
use crate::commit::{CatalogCredentials, CatalogOptions};
use crate::table::Format;

const ICEBERG: &str = "table_format = \"iceberg\"\n[catalog]\n";
const URI: &str = "uri = \"http://127.0.0.1:8181\"\n";

/// Returns the catalog of an Iceberg table with these further lines and variables.
fn catalog(lines: &str, variables: &[(&str, &str)]) -> Result<CatalogOptions, String> {
    let loaded = load(&[], variables, Some(&format!("{ICEBERG}{URI}{lines}")));
    let settings = loaded.map_err(|error| error.to_string())?.settings;
    assert_eq!(settings.tables[0].format, Format::Iceberg);
    Ok(settings.catalog.unwrap())
}

#[test]
fn a_catalog_is_built_of_its_section() {
    let usual = catalog("", &[]).unwrap();
    assert_eq!(
        (&*usual.uri, &*usual.namespace),
        ("http://127.0.0.1:8181", &["sessionlake".into()][..])
    );
    assert!(matches!(usual.credentials, CatalogCredentials::None));
    assert_eq!((usual.allow_http, usual.timeout), (false, Duration::from_secs(60)));
    let text = "warehouse = \"s3://w/\"\nnamespace = \"prod.sessions\"\nprefix = \"main\"\n\
                credential = \"id:se:cret\"\nscope = \"PRINCIPAL_ROLE:ALL\"\n\
                oauth2_uri = \"https://login.test/token\"\nallow_http = true\ntimeout = \"5s\"\n\
                connect_timeout = \"500ms\"\n";
    let all = catalog(text, &[]).unwrap();
    assert_eq!(all.namespace, ["prod", "sessions"]);
    assert_eq!((all.warehouse.as_deref(), all.prefix.as_deref()), (Some("s3://w/"), Some("main")));
    assert_eq!(
        (all.timeout, all.connect_timeout),
        (Duration::from_secs(5), Duration::from_millis(500))
    );
    assert!(all.allow_http);
    let CatalogCredentials::OAuth2(client) = &all.credentials else { panic!("{all:?}") };
    assert_eq!((client.client_id.as_deref(), &*client.client_secret), (Some("id"), "se:cret"));
    assert_eq!(client.scope, "PRINCIPAL_ROLE:ALL");
    assert_eq!(client.endpoint.as_deref(), Some("https://login.test/token"));
    let token = catalog("token = \"abc\"\n", &[]).unwrap();
    assert!(matches!(&token.credentials, CatalogCredentials::Token(token) if token == "abc"));
}

#[test]
fn secrets_are_shown_nowhere() {
    for text in [
        "credential = \"id:hunter2\"\n",
        "token = \"hunter2\"\n",
        "signing_name = \"glue\"\nregion = \"eu\"\naccess_key_id = \"hunter2\"\n\
         secret_access_key = \"hunter2\"\nsession_token = \"hunter2\"\n",
    ] {
        let loaded = load(&[], &[], Some(&format!("{ICEBERG}{URI}{text}"))).unwrap();
        let shown =
            format!("{loaded:?} {:?}", loaded.settings.catalog.as_ref().unwrap().credentials);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (text, wrong) in [
        ("token = \"hunter2 \"\n", "catalog.token: it has spaces"),
        ("credential = \"id:\"\n", "catalog.credential: it lacks the id or the secret"),
        ("token = [\"hunter2\"]\n", "`catalog.token` is an array, and should be a string"),
        ("token = \"hunter2\"\ncredential = \"id:hunter2\"\n", "there is credential as well"),
        (
            "signing_name = \"glue\"\nregion = \"eu\"\naccess_key_id = \"hunter2\"\n",
            "secret_access_key",
        ),
    ] {
        let said = catalog(text, &[]).unwrap_err();
        assert!(said.contains(wrong) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn variables_outrank_the_section_and_stand_alone() {
    let said = catalog("token = \"a\"\n", &[("SESSIONLAKE_CATALOG_TOKEN", "b")]).unwrap();
    assert!(matches!(&said.credentials, CatalogCredentials::Token(token) if token == "b"));
    let alone = [
        ("SESSIONLAKE_CATALOG_URI", "https://catalog.test/api"),
        ("SESSIONLAKE_CATALOG_CREDENTIAL", "id:secret"),
        ("SESSIONLAKE_CATALOG_ALLOW_HTTP", "true"),
    ];
    let loaded = load(&["--table-format=iceberg"], &alone, None).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let catalog = loaded.settings.catalog.unwrap();
    assert_eq!((&*catalog.uri, catalog.allow_http), ("https://catalog.test/api", true));
    let wrong = [("SESSIONLAKE_CATALOG_TIMEOUT", "5"), alone[0]];
    let said = load(&["--table-format=iceberg"], &wrong, None).unwrap_err().to_string();
    assert!(said.starts_with("SESSIONLAKE_CATALOG_TIMEOUT: \"5\" is not a duration"), "{said}");
    assert!(said.ends_with("SESSIONLAKE_CATALOG_TIMEOUT=60s"), "{said}");
    let unknown = [("SESSIONLAKE_CATALOG_URL", "x")];
    let warned = load(&[], &unknown, None).unwrap().warnings;
    assert!(
        warned[0].ends_with("the nearest name that is read is SESSIONLAKE_CATALOG_URI"),
        "{warned:?}"
    );
}

#[test]
fn a_key_of_aws_may_come_from_the_variables_of_the_cloud() {
    let cloud = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "t"),
    ];
    let keys = |lines: &str| {
        let CatalogCredentials::SigV4(keys) = catalog(lines, &cloud).unwrap().credentials else {
            panic!("other credentials")
        };
        (keys.access_key_id, keys.region, keys.session_token, keys.service)
    };
    let of = |id: &str, region: &str, token: Option<&str>| {
        (id.to_owned(), region.to_owned(), token.map(str::to_owned), "glue".to_owned())
    };
    assert_eq!(keys("signing_name = \"glue\"\n"), of("AKIA", "eu-central-1", Some("t")));
    // The token belongs to the other key.
    let own = "signing_name = \"glue\"\nregion = \"us\"\naccess_key_id = \"own\"\n\
               secret_access_key = \"s\"\n";
    assert_eq!(keys(own), of("own", "us", None));
    let other = catalog("token = \"a\"\n", &cloud).unwrap();
    assert!(matches!(other.credentials, CatalogCredentials::Token(_)), "nobody signs by chance");
}

#[test]
fn what_does_not_go_together_is_refused_with_what_to_do() {
    for (text, said) in [
        (
            "table_format = \"iceberg\"",
            "sessionlake.toml:1: table_format: table user_sessions is an Iceberg table, which needs a \
             catalog: give its address, as `uri = \"https://catalog.example.com/api/catalog\"` below the \
             line [catalog] of the file, or SESSIONLAKE_CATALOG_URI",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\nformat = \"iceberg\"",
            ":1: tables.format: table orders is an Iceberg table, which needs a catalog",
        ),
        ("[catalog]\nuri = \"http://[::1]\"", ":1: [catalog]: no table is an Iceberg table"),
        (
            "table_format = \"iceberg\"\n[catalog]\ntoken = \"a\"",
            ":2: [catalog]: a catalog needs its",
        ),
        ("[catalog]\nurl = \"x\"", ":2: unknown key `catalog.url`; did you mean `uri`?"),
        ("[catalogue]\nuri = \"x\"", "did you mean [catalog]?"),
        ("warehouse = \"x\"", "it is a key of [catalog]: move it below that line"),
        (
            "[catalog]\nallow_http = \"yes\"",
            "`catalog.allow_http` is a string (\"yes\"), and should be true or false",
        ),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(said), "{text}: {complaint}");
    }
    for (lines, said) in [
        ("oauth2_uri = \"https://a.test\"\n", ":4: catalog.oauth2_uri: it is for credential alone"),
        ("scope = \"a\"\ntoken = \"b\"\n", ":4: catalog.scope: it is for credential alone"),
        (
            "token = \"b\"\nsigning_name = \"glue\"\n",
            "catalog.signing_name: there is token as well",
        ),
        ("signing_name = \"s3\"\n", "catalog.signing_name: \"s3\" is none of glue, s3tables"),
        ("region = \"eu\"\n", "catalog.region: it needs signing_name as well"),
        ("signing_name = \"glue\"\n", "it needs access_key_id as well"),
        ("namespace = \"a..b\"\n", ":4: catalog.namespace: `` is no level of a namespace"),
        ("namespace = \"\"\n", ":4: catalog.namespace: it is empty"),
        ("prefix = \"../x\"\n", ":4: catalog.prefix: its prefix"),
        ("timeout = \"1\"\n", ":4: catalog.timeout: \"1\" is not a duration"),
    ] {
        let complaint = catalog(lines, &[]).unwrap_err();
        assert!(complaint.contains(said), "{lines}: {complaint}");
    }
    for (uri, said) in [
        ("http://catalog.test", ":3: catalog.uri: anybody could read its credentials without TLS"),
        (
            "https://id:hunter2@catalog.test",
            ":3: catalog.uri: a name or a password does not belong",
        ),
        ("catalog.test:8181", ":3: catalog.uri: "),
        ("", ":3: catalog.uri: it is empty"),
    ] {
        let complaint = complaint(&format!("{ICEBERG}uri = \"{uri}\"\n"));
        assert!(complaint.contains(said) && !complaint.contains("hunter2"), "{uri}: {complaint}");
    }
}

#[test]
fn an_iceberg_table_is_partitioned_by_what_iceberg_knows() {
    let said = |partition: &str| {
        let partition = format!("--partition={partition}");
        let variables = [("SESSIONLAKE_CATALOG_URI", "http://127.0.0.1:1")];
        load(&["--table-format=iceberg", &partition], &variables, None)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for partition in
        ["", "date={startTime:%Y-%m-%d}", "tenant={tenantId}/h={startTime:%Y-%m-%d-%H}"]
    {
        assert_eq!(said(partition), Ok(()), "{partition}");
    }
    for (partition, why) in [
        ("hour={startTime:%H}", "--partition: partition `hour`: its format shows something else"),
        ("a=x{tenantId}", "--partition: partition `a`: it has several parts"),
        ("_extra={tenantId}", "no partition name"),
    ] {
        let said = said(partition).unwrap_err();
        assert!(said.contains(why), "{partition}: {said}");
    }
}

#[test]
fn commands_that_look_at_a_lake_have_its_catalog() {
    let of = |variables: &[(&str, &str)]| {
        lake(&flags(&[]), &environment(variables), Some("s3://b".to_owned())).unwrap().settings
    };
    assert!(of(&[]).catalog.is_none());
    let found = of(&[
        ("SESSIONLAKE_CATALOG_URI", "http://127.0.0.1:1"),
        ("SESSIONLAKE_CATALOG_WAREHOUSE", "w"),
    ]);
    assert_eq!(found.catalog.unwrap().warehouse.as_deref(), Some("w"));
}
