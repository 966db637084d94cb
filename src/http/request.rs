//! The head of a request, as the handlers see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use warp::filters::path::FullPath;
use warp::http::{HeaderMap, Method};

use super::live_rules::RequestRules;

/// The address of a client, the host that it asks for, and when. An extension of every request.
#[derive(Clone, Debug)]
pub(super) struct PeerInfo {
    pub(super) address: SocketAddr,
    /// The host that the request's target names: always in HTTP/2, seldom in HTTP/1.1.
    pub(super) authority: Option<String>,
    /// The time at which its head was read.
    pub(super) began: Instant,
    /// The connection was opened after the receiver had begun to drain.
    pub(super) is_late: bool,
    /// The rules that were in force then. All of the request is judged by them.
    pub(super) rules: Arc<RequestRules>,
}

/// A request without its body.
pub(super) struct RequestHead {
    pub(super) path: FullPath,
    pub(super) query: String,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) peer: PeerInfo,
}
