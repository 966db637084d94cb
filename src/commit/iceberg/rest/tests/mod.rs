//! A client against a server that answers as it is told.

mod server;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use self::server::{Got, Server};
use super::options::OAuth2;
use super::protocol::{Commit, CreateTable, Requirement, Snapshot, SortOrder, Update};
use super::sigv4::Keys;
use super::{Catalog, Credentials, Options, RestError};
use crate::clock::ManualClock;
use crate::commit::iceberg::partition::{PartitionField, Spec};
use crate::commit::iceberg::schema::Schema;
use crate::schema::TableSchema;

fn error_body(kind: &str, message: &str) -> String {
    json!({"error": {"message": message, "type": kind, "code": 1}}).to_string()
}

/// Answers a question about configuration; other requests as `answer` does.
fn configured(
    answer: impl Fn(&Got) -> (u16, String) + Send + Sync + 'static,
) -> impl Fn(&Got, usize) -> (u16, String) + Send + Sync + 'static {
    move |got, _| match got.line.contains("/v1/config") {
        true => (200, r#"{"defaults":{},"overrides":{"prefix":"p/1"}}"#.to_owned()),
        false => answer(got),
    }
}

fn metadata() -> Json {
    json!({
        "format-version": 2, "table-uuid": "u-1", "location": "s3://b/t",
        "last-sequence-number": 34, "last-updated-ms": 1, "last-column-id": 2,
        "current-schema-id": 1, "default-spec-id": 0, "last-partition-id": 1000,
        "schemas": [
            {"type": "struct", "schema-id": 0, "fields": []},
            {"type": "struct", "schema-id": 1, "fields": [
                {"id": 7, "name": "at", "required": false, "type": "timestamptz", "doc": "d"}]}],
        "partition-specs": [{"spec-id": 0, "fields": [
            {"name": "date", "transform": "day", "source-id": 7, "field-id": 1000}]}],
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {"sessionlake.roll.n": "5"},
        "current-snapshot-id": 8,
        "snapshots": [{"snapshot-id": 8, "sequence-number": 34, "timestamp-ms": 5,
            "manifest-list": "s3://b/t/l.avro", "summary": {"operation": "append"}, "schema-id": 1}],
        "refs": {"main": {"snapshot-id": 8, "type": "branch"}}, "statistics": []
    })
}

fn loaded() -> String {
    json!({"metadata-location": "s3://b/t/1.json", "metadata": metadata(), "config": {}})
        .to_string()
}

fn commit() -> Commit {
    let snapshot = Snapshot {
        snapshot_id: 9,
        parent_snapshot_id: Some(8),
        sequence_number: 35,
        timestamp_ms: 6,
        manifest_list: Some("s3://b/t/m.avro".to_owned()),
        summary: BTreeMap::from([("operation".to_owned(), "append".to_owned())]),
        schema_id: Some(1),
    };
    let updates = BTreeMap::from([("sessionlake.roll.n".to_owned(), "6".to_owned())]);
    Commit {
        requirements: vec![
            Requirement::AssertTableUuid { uuid: "u-1".to_owned() },
            Requirement::AssertRefSnapshotId { name: "main".to_owned(), snapshot_id: None },
        ],
        updates: vec![
            Update::AddSnapshot { snapshot },
            Update::set_main(9),
            Update::SetProperties { updates },
        ],
    }
}

#[tokio::test]
async fn a_table_is_loaded_under_the_prefix_of_the_catalog() {
    let server = Server::start(configured(|_| (200, loaded()))).await;
    let catalog = server.catalog(Credentials::Token("secret".to_owned()));
    let table = catalog.load("t/1").await.unwrap().unwrap().metadata;
    assert_eq!((table.main_id(), table.main().unwrap().sequence_number), (Some(8), 34));
    let (schema, json) = table.schema().unwrap();
    assert_eq!((schema.id_of("at"), json["schema-id"].as_i64()), (Some(7), Some(1)));
    assert_eq!(table.partition_specs[0].fields[0].transform, "day");
    assert_eq!(table.properties["sessionlake.roll.n"], "5");
    catalog.load("t").await.unwrap();
    // The configuration is asked for once.
    assert_eq!(
        server.lines(),
        [
            "GET /base/v1/config?warehouse=s3%3A%2F%2Fw%2F",
            "GET /base/v1/p/1/namespaces/db%1Fa%20b/tables/t%2F1?snapshots=refs",
            "GET /base/v1/p/1/namespaces/db%1Fa%20b/tables/t?snapshots=refs",
        ]
    );
    assert!(server.got.lock().iter().all(|g| g.header("authorization") == Some("Bearer secret")));
    assert!(!format!("{catalog:?}").contains("secret"));
}

#[tokio::test]
async fn a_table_is_missing_only_if_the_catalog_says_so() {
    let body = error_body("NoSuchTableException", "no t");
    let server = Server::start(configured(move |_| (404, body.clone()))).await;
    assert!(server.catalog(Credentials::None).load("t").await.unwrap().is_none());
    let server = Server::start(configured(|_| (404, "<html>\u{1b}[2J".to_owned()))).await;
    let error = server.catalog(Credentials::None).load("t").await.unwrap_err();
    let why = "the catalog answers 404 Not Found: <html>\\u{1b}[2J";
    assert_eq!(error, RestError::Refused(why.to_owned()));
    // A page is no table.
    let server = Server::start(configured(|_| (200, "<html>".to_owned()))).await;
    let error = server.catalog(Credentials::None).load("t").await.unwrap_err();
    assert!(matches!(error, RestError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_commit_has_the_json_of_the_protocol() {
    let server = Server::start(configured(|_| (200, loaded()))).await;
    server.catalog(Credentials::None).commit("t", &commit()).await.unwrap();
    let got = server.got.lock().last().unwrap().clone();
    assert_eq!(got.line, "POST /base/v1/p/1/namespaces/db%1Fa%20b/tables/t");
    let expected = json!({
        "identifier": {"namespace": ["db", "a b"], "name": "t"},
        "requirements": [
            {"type": "assert-table-uuid", "uuid": "u-1"},
            {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": null}],
        "updates": [
            {"action": "add-snapshot", "snapshot": {
                "snapshot-id": 9, "parent-snapshot-id": 8, "sequence-number": 35, "timestamp-ms": 6,
                "manifest-list": "s3://b/t/m.avro", "summary": {"operation": "append"},
                "schema-id": 1}},
            {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 9},
            {"action": "set-properties", "updates": {"sessionlake.roll.n": "6"}}]
    });
    assert_eq!(serde_json::from_str::<Json>(&got.body).unwrap(), expected);
    let text = |update: Update| serde_json::to_value(update).unwrap().to_string();
    let schema = Schema::of(&TableSchema::default());
    let added = text(Update::AddSchema { schema, last_column_id: 9 });
    assert!(added.starts_with(r#"{"action":"add-schema","last-column-id":9,"schema":"#), "{added}");
    let set = text(Update::SetCurrentSchema { schema_id: -1 });
    assert_eq!(set, r#"{"action":"set-current-schema","schema-id":-1}"#);
    let spec = text(Update::AddSpec { spec: Spec::default() });
    assert_eq!(spec, r#"{"action":"add-spec","spec":{"fields":[],"spec-id":0}}"#);
}

#[tokio::test]
async fn only_answers_that_prove_it_say_that_a_commit_did_not_happen() {
    use RestError::{Conflict, Refused, Unknown};
    let kind = |error: &RestError| match error {
        Conflict(_) => "conflict",
        Unknown(_) => "unknown",
        Refused(_) => "refused",
        RestError::Away(_) => "away",
    };
    for (status, body, expected) in [
        (409, error_body("CommitFailedException", "stale"), "conflict"),
        (400, error_body("BadRequestException", "no"), "refused"),
        (401, String::new(), "refused"),
        (403, String::new(), "refused"),
        (404, String::new(), "refused"),
        (302, String::new(), "unknown"),
        (408, String::new(), "unknown"),
        (418, String::new(), "unknown"),
        (429, String::new(), "unknown"),
        (500, error_body("CommitStateUnknownException", "?"), "unknown"),
        (502, "x".repeat(1 << 20), "unknown"),
        (503, String::new(), "unknown"),
        (504, String::new(), "unknown"),
        // A page of a proxy, JSON of something else, a cut answer, none, and one that never comes.
        (200, "<html>".to_owned(), "unknown"),
        (200, "{}".to_owned(), "unknown"),
        (204, String::new(), "unknown"),
        (1, loaded(), "unknown"),
        (0, String::new(), "unknown"),
        (2, String::new(), "unknown"),
    ] {
        let server = Server::start(configured(move |_| (status, body.clone()))).await;
        let error = server.catalog(Credentials::None).commit("t", &commit()).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{status}: {error}");
        assert!(error.to_string().len() < 2_000, "{}", error.to_string().len());
        // No commit is sent twice.
        assert_eq!(server.lines().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_catalog_that_does_not_answer_is_away_and_asked_anew() {
    let server = Server::start(|got, number| match number {
        0 => (503, String::new()),
        1 => (200, "{}".to_owned()),
        _ if got.line.contains("config") => (500, String::new()),
        _ => (200, loaded()),
    });
    let server = server.await;
    let catalog = server.catalog(Credentials::None);
    let error = catalog.load("t").await.unwrap_err();
    assert_eq!(error, RestError::Away("the catalog answers 503 Service Unavailable".to_owned()));
    assert!(catalog.load("t").await.unwrap().is_some());
    // Nobody listens there: nothing was sent, so a commit did not happen.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = Options::new(&format!("http://{nobody}"), "db");
    let catalog = Catalog::new(options, Arc::new(ManualClock::default())).unwrap();
    let error = catalog.commit("t", &commit()).await.unwrap_err();
    assert!(matches!(error, RestError::Away(_)), "{error:?}");
}

#[tokio::test]
async fn a_wrong_address_or_warehouse_is_refused_with_what_to_look_at() {
    for status in [400, 404, 405] {
        let server = Server::start(move |_, _| (status, "no such page".to_owned())).await;
        let error = server.catalog(Credentials::None).load("t").await.unwrap_err();
        let RestError::Refused(why) = &error else { panic!("{error:?}") };
        let asked =
            format!("http://{}/base/v1/config: the catalog answers {status}", server.address);
        assert!(why.contains(&asked) && why.contains("warehouse"), "{why}");
        let known = server.catalog(Credentials::None).has_namespace().await;
        assert!(matches!(known, Err(RestError::Refused(_))), "{known:?}");
    }
    let server = Server::start(configured(|_| (403, error_body("Forbidden", "no")))).await;
    let error = server.catalog(Credentials::None).load("t").await.unwrap_err().to_string();
    assert!(error.contains("let the credentials under [catalog]"), "{error}");
}

#[tokio::test]
async fn requests_to_aws_are_signed_with_the_host_that_is_sent() {
    let server = Server::start(configured(|_| (200, loaded()))).await;
    let keys = Keys {
        access_key_id: "AK".to_owned(),
        secret_access_key: "S".to_owned(),
        session_token: Some("T".to_owned()),
        region: "eu-central-1".to_owned(),
        service: "glue".to_owned(),
    };
    server.catalog(Credentials::SigV4(keys)).commit("t", &commit()).await.unwrap();
    let got = server.got.lock().last().unwrap().clone();
    assert_eq!(got.header("host"), Some(&*server.address.to_string()));
    assert_eq!(got.header("x-amz-date"), Some("20150830T123600Z"));
    assert_eq!(got.header("x-amz-security-token"), Some("T"));
    let header = got.header("authorization").unwrap();
    let begin = "AWS4-HMAC-SHA256 Credential=AK/20150830/eu-central-1/glue/aws4_request, ";
    assert!(header.starts_with(begin), "{header}");
}

#[tokio::test]
async fn a_namespace_and_a_table_are_created() {
    let server = Server::start(configured(|got| match &*got.body {
        r#"{"namespace":["db"],"properties":{}}"# => {
            (409, error_body("AlreadyExistsException", "db"))
        }
        _ if got.line.ends_with("/tables") => (200, loaded()),
        _ => (200, "{}".to_owned()),
    }))
    .await;
    let catalog = server.catalog(Credentials::None);
    catalog.create_namespace().await.unwrap();
    let field = PartitionField {
        source_id: 2,
        field_id: 1000,
        name: "date".to_owned(),
        transform: "day".to_owned(),
    };
    let table = CreateTable {
        name: "t".to_owned(),
        location: None,
        schema: Schema::of(&TableSchema::default()),
        partition_spec: Spec { spec_id: 0, fields: vec![field] },
        write_order: Some(SortOrder::by(2)),
        properties: BTreeMap::from([("format-version".to_owned(), "2".to_owned())]),
    };
    assert_eq!(catalog.create(&table).await.unwrap().metadata.table_uuid, "u-1");
    let got = server.got.lock().clone();
    assert_eq!(got[2].body, r#"{"namespace":["db","a b"],"properties":{}}"#);
    let body: Json = serde_json::from_str(&got[3].body).unwrap();
    assert_eq!(body["name"], "t");
    // The server in Java wants a number of the spec.
    let spec = json!({"spec-id": 0, "fields": [
        {"source-id": 2, "field-id": 1000, "name": "date", "transform": "day"}]});
    assert_eq!(body["partition-spec"], spec);
    let order = json!({"order-id": 1, "fields": [{"transform": "identity", "source-id": 2,
        "direction": "asc", "null-order": "nulls-first"}]});
    assert_eq!(body["write-order"], order);
    assert!(body.get("location").is_none());
}

/// The same test in a process whose environment has a proxy, at which nobody listens.
#[test]
fn no_proxy_is_told_what_is_sent_without_tls() {
    let test = "commit::iceberg::rest::tests::tokens::a_token_is_fetched_once_and_renewed_when_it_is_refused";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(name, "http://127.0.0.1:9");
    }
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        again.env_remove(name);
    }
    let done = again.args(["--exact", test]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn credentials_go_to_no_address_that_others_can_read() {
    let of = |uri: &str, allow_http| {
        let options = Options { allow_http, ..Options::new(uri, "db") };
        Catalog::new(options, Arc::new(ManualClock::default())).map(drop)
    };
    for uri in ["https://c.example/x", "http://localhost:8181", "http://[::1]:1"] {
        assert_eq!(of(uri, false), Ok(()), "{uri}");
    }
    assert!(of("http://c.example", false).unwrap_err().contains("use https"));
    assert_eq!(of("http://c.example", true), Ok(()));
    for uri in ["https://u:p@c", "ftp://c", "c", "https://c?x=1"] {
        let why = of(uri, true).unwrap_err();
        assert!(!why.contains("u:p"), "{why}");
    }
    let mut options = Options::new("https://c", "db");
    let endpoint = Some("http://elsewhere/token".to_owned());
    options.credentials = Credentials::OAuth2(OAuth2 { endpoint, ..OAuth2::parse("secret") });
    let why = Catalog::new(options, Arc::new(ManualClock::default())).unwrap_err();
    assert!(why.starts_with("the token endpoint: anybody"), "{why}");
}

#[tokio::test]
async fn a_catalog_cannot_lead_the_client_elsewhere() {
    for prefix in ["%2e%2e/%2e%2e", "../..", "x?y"] {
        let config = json!({"overrides": {"prefix": prefix, "uri": "http://evil"}}).to_string();
        let server = Server::start(move |_, _| (200, config.clone())).await;
        let error = server.catalog(Credentials::None).load("t").await.unwrap_err();
        assert!(matches!(error, RestError::Refused(_)), "{prefix}: {error:?}");
        assert_eq!(server.lines().len(), 1);
    }
}
