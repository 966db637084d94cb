//! What clients ask around their bulks.

use serde_json::Value;
use warp::http::{Method, StatusCode};

use crate::intake::is_index_name;

use super::super::reply::{self, Response};
use super::{error, product};

/// The version that clients are told: they ask for at least 7.14.
const VERSION: &str = "8.19.0";

/// What a request is about.
pub(in crate::http) enum Asked<'a> {
    /// A bulk, whose actions are about this index if they do not say.
    Bulk { index: Option<&'a str> },
    /// Something else: the answer.
    Else(Response),
}

/// What `method` at `path` (below the endpoint's, without a slash at its end) is about.
pub(in crate::http) fn asked<'a>(method: &Method, path: &'a str) -> Asked<'a> {
    let mut parts = path.split('/').skip(1);
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    let reads = method == Method::GET || method == Method::HEAD;
    let writes = method == Method::PUT || method == Method::POST;
    if third.is_none() {
        match (first, second) {
            (Some("_bulk"), None) => return Asked::Bulk { index: None },
            (Some(index), Some("_bulk")) if is_index_name(index) => {
                return Asked::Bulk { index: Some(index) };
            }
            (Some(_), Some("_bulk")) => {
                let reason = "the index is no name that is taken here";
                let status = StatusCode::BAD_REQUEST;
                return Asked::Else(error(status, "invalid_index_name_exception", reason));
            }
            _ => {}
        }
    }
    let body = match (first, second) {
        (None, _) if reads => info(),
        (Some("_cluster"), Some("health")) if reads => health(),
        (Some("_license"), None) if reads => {
            r#"{"license":{"status":"active","type":"basic","mode":"basic"}}"#.to_owned()
        }
        (
            Some("_index_template" | "_component_template" | "_template" | "_ilm" | "_ingest"),
            Some(_),
        ) => match reads {
            true => "{}".to_owned(),
            false if writes => r#"{"acknowledged":true}"#.to_owned(),
            false => return Asked::Else(nothing_here()),
        },
        (Some(index), None) if is_index_name(index) && method == Method::HEAD => "{}".to_owned(),
        (Some(index), None) if is_index_name(index) && method == Method::PUT => {
            let index = Value::from(index);
            format!(r#"{{"acknowledged":true,"shards_acknowledged":true,"index":{index}}}"#)
        }
        _ => return Asked::Else(nothing_here()),
    };
    Asked::Else(product(reply::json(StatusCode::OK, body)))
}

fn info() -> String {
    format!(
        r#"{{"name":"sessionlake","cluster_name":"sessionlake","cluster_uuid":"_na_","version":{{"number":"{VERSION}","build_flavor":"default","build_type":"tar","build_hash":"sessionlake","build_date":"2026-01-01T00:00:00.000Z","build_snapshot":false,"lucene_version":"9.12.0","minimum_wire_compatibility_version":"7.17.0","minimum_index_compatibility_version":"7.0.0"}},"tagline":"You Know, for Search"}}"#
    )
}

fn health() -> String {
    r#"{"cluster_name":"sessionlake","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1,"active_primary_shards":0,"active_shards":0,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0}"#.to_owned()
}

fn nothing_here() -> Response {
    let reason = "sessionlake takes bulks, and what clients ask around them; nothing else";
    error(StatusCode::NOT_FOUND, "resource_not_found_exception", reason)
}
