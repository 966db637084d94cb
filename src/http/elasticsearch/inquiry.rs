//! Answers to the inquiries of Elasticsearch clients.

use serde_json::Value;
use warp::http::StatusCode;

use super::client_request::Inquiry;
use super::response::{error, with_product};
use crate::http::reply::{self, Response};

/// The version that clients are told: they ask for at least 7.14.
const VERSION: &str = "8.19.0";

/// Returns the answer to an inquiry.
pub(in crate::http) fn answer(inquiry: Inquiry<'_>) -> Response {
    let body = match inquiry {
        Inquiry::Info => info(),
        Inquiry::ClusterHealth => health(),
        Inquiry::License => {
            r#"{"license":{"status":"active","type":"basic","mode":"basic"}}"#.to_owned()
        }
        Inquiry::ReadTemplate | Inquiry::IndexExists => "{}".to_owned(),
        Inquiry::WriteTemplate => r#"{"acknowledged":true}"#.to_owned(),
        Inquiry::CreateIndex(index) => {
            let index = Value::from(index);
            format!(r#"{{"acknowledged":true,"shards_acknowledged":true,"index":{index}}}"#)
        }
        Inquiry::InvalidIndex => {
            let reason = "the index is no name that is taken here";
            return error(StatusCode::BAD_REQUEST, "invalid_index_name_exception", reason);
        }
        Inquiry::Unknown => {
            let reason = "sessionlake takes bulks, and what clients ask around them; nothing else";
            return error(StatusCode::NOT_FOUND, "resource_not_found_exception", reason);
        }
    };
    with_product(reply::json(StatusCode::OK, body))
}

fn info() -> String {
    format!(
        r#"{{"name":"sessionlake","cluster_name":"sessionlake","cluster_uuid":"_na_","version":{{"number":"{VERSION}","build_flavor":"default","build_type":"tar","build_hash":"sessionlake","build_date":"2026-01-01T00:00:00.000Z","build_snapshot":false,"lucene_version":"9.12.0","minimum_wire_compatibility_version":"7.17.0","minimum_index_compatibility_version":"7.0.0"}},"tagline":"You Know, for Search"}}"#
    )
}

fn health() -> String {
    r#"{"cluster_name":"sessionlake","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1,"active_primary_shards":0,"active_shards":0,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0}"#.to_owned()
}
