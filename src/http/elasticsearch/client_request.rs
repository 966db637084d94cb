//! Requests of Elasticsearch clients, as data: bulks, and the inquiries around them.

use warp::http::Method;

use crate::intake::is_index_name;

/// A request of an Elasticsearch client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum ClientRequest<'p> {
    /// A bulk, whose actions are about `index` if they name none.
    Bulk {
        /// A checked index name.
        index: Option<&'p str>,
    },
    /// A request without a body that is stored.
    Inquiry(Inquiry<'p>),
}

/// A request that is answered from nothing but itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Inquiry<'p> {
    /// Name and version of the server.
    Info,
    /// Health of the cluster.
    ClusterHealth,
    /// The licence.
    License,
    /// An index template, a pipeline or a policy is read.
    ReadTemplate,
    /// An index template, a pipeline or a policy is written.
    WriteTemplate,
    /// The existence of an index.
    IndexExists,
    /// An index, of a checked name, is created.
    CreateIndex(&'p str),
    /// A bulk for an index whose name is none.
    InvalidIndex,
    /// Anything else.
    Unknown,
}

impl<'p> ClientRequest<'p> {
    /// Returns the request that `method` makes at `path`, which is below the endpoint's path and
    /// has no trailing slash.
    pub(in crate::http) fn of(method: &Method, path: &'p str) -> ClientRequest<'p> {
        let mut parts = path.split('/').skip(1);
        let parts = (parts.next(), parts.next(), parts.next());
        let reads = method == Method::GET || method == Method::HEAD;
        let writes = method == Method::PUT || method == Method::POST;
        ClientRequest::Inquiry(match parts {
            (Some("_bulk"), None, _) => return ClientRequest::Bulk { index: None },
            (Some(index), Some("_bulk"), None) if is_index_name(index) => {
                return ClientRequest::Bulk { index: Some(index) };
            }
            (Some(_), Some("_bulk"), None) => Inquiry::InvalidIndex,
            (None, ..) if reads => Inquiry::Info,
            (Some("_cluster"), Some("health"), _) if reads => Inquiry::ClusterHealth,
            (Some("_license"), None, _) if reads => Inquiry::License,
            (
                Some("_index_template" | "_component_template" | "_template" | "_ilm" | "_ingest"),
                Some(_),
                _,
            ) => match reads {
                true => Inquiry::ReadTemplate,
                false if writes => Inquiry::WriteTemplate,
                false => Inquiry::Unknown,
            },
            (Some(index), None, _) if is_index_name(index) && method == Method::HEAD => {
                Inquiry::IndexExists
            }
            (Some(index), None, _) if is_index_name(index) && method == Method::PUT => {
                Inquiry::CreateIndex(index)
            }
            _ => Inquiry::Unknown,
        })
    }
}
