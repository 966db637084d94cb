//! Routing: a pure function from a request's method and path to the route that answers it.
//!
//! | path | class | methods |
//! |---|---|---|
//! | `/health/live`, `/health/ready` | public | GET, HEAD |
//! | `/metrics` | operator | GET, HEAD |
//! | `/oauth2/token`, if there are clients | endpoint | POST |
//! | an endpoint's path; below it too for the form `elasticsearch` | endpoint | PUT, POST as configured |
//! | anything else | endpoint | |
//!
//! The program's own paths come first. An endpoint with a longer path comes before one with a
//! shorter path, so that an endpoint at the root gets what no other has. One trailing slash makes
//! no difference.
//!
//! A method that the path does not take is part of the route and not an error: the handler refuses
//! it only to clients that were admitted.

use std::sync::Arc;

use warp::http::Method;

use crate::metrics::NO_ENDPOINT;
use crate::record::Form;

use super::elasticsearch::ClientRequest;
use super::endpoint::{Endpoint, trimmed};
use super::refusal::Refusal;

/// The path of the token endpoint.
pub(super) const TOKEN_PATH: &str = "/oauth2/token";

/// `Allow` of paths that are only read.
const READ_METHODS: &str = "GET, HEAD";

/// The program's own paths, and the `Allow` of each.
const OWN_PATHS: [(&str, Target<'static>, &str); 4] = [
    ("/health/live", Target::Live, READ_METHODS),
    ("/health/ready", Target::Ready, READ_METHODS),
    ("/metrics", Target::Metrics, READ_METHODS),
    (TOKEN_PATH, Target::Token, "POST"),
];

/// Returns whether a request for `path` is a probe's or an operator's, which are answered also when
/// there is no capacity for senders.
pub(super) fn is_watched(path: &str) -> bool {
    let path = trimmed(path);
    OWN_PATHS.iter().any(|(own, _, allow)| *own == path && *allow == READ_METHODS)
}

/// Returns the path of the route that answers `path`, as the configuration or the program has it.
#[cfg(feature = "otlp")]
pub(super) fn path_of_route<'e>(path: &str, endpoints: &'e [Endpoint]) -> Option<&'e str> {
    let own = OWN_PATHS.iter().map(|(own, ..)| *own).find(|own| *own == trimmed(path));
    own.or_else(|| Addressee::of(path, endpoints).endpoint.map(|endpoint| endpoint.path.as_str()))
}

/// The target of a path, whatever the method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee<'e> {
    /// The label of the route in metrics.
    pub(super) route: &'static str,
    /// The endpoint, if it is one.
    pub(super) endpoint: Option<&'e Endpoint>,
}

impl<'e> Addressee<'e> {
    /// Returns what `path` addresses.
    pub(super) fn of(path: &str, endpoints: &'e [Endpoint]) -> Addressee<'e> {
        let (route, endpoint) = match route(&Method::POST, path, endpoints, true).target {
            Target::Live | Target::Ready => ("health", None),
            Target::Metrics => ("metrics", None),
            Target::Token => ("token", None),
            Target::Endpoint { index, .. } => ("ingest", endpoints.get(index)),
            Target::Unknown => ("other", None),
        };
        Addressee { route, endpoint }
    }

    /// Returns the form in which the client reads a refusal.
    pub(super) fn form(self) -> Form {
        self.endpoint.map_or(Form::Ndjson, |endpoint| endpoint.form)
    }

    /// Returns the label of the endpoint in metrics.
    pub(super) fn endpoint_name(self) -> Arc<str> {
        self.endpoint.map_or_else(|| NO_ENDPOINT.into(), |endpoint| Arc::clone(&endpoint.name))
    }
}

/// The group of clients that a route is for. It decides about web pages and admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Probes: anybody may ask, and learns nothing about the installation.
    Public,
    /// Operators: the route reads the state of the installation.
    Operator,
    /// Senders, which are programs. Unknown paths are in this class, as their answer names an
    /// endpoint.
    Endpoint,
}

/// The handler of a request, and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'p> {
    /// Liveness.
    Live,
    /// Readiness.
    Ready,
    /// Prometheus metrics.
    Metrics,
    /// The token endpoint.
    Token,
    /// An endpoint of the configuration.
    Endpoint {
        /// Its position in the list of endpoints.
        index: usize,
        /// The request to it.
        request: EndpointRequest<'p>,
    },
    /// No handler: the path is unknown.
    Unknown,
}

/// A request to an endpoint, in the endpoint's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointRequest<'p> {
    /// A body of documents, one a line.
    Documents,
    /// A request of an Elasticsearch client.
    Elasticsearch(ClientRequest<'p>),
}

/// The route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'p> {
    pub(super) target: Target<'p>,
    /// `Allow` of the path, if the request's method is not in it.
    pub(super) not_allowed: Option<&'static str>,
}

impl Route<'_> {
    /// Returns the class of clients that the route is for.
    pub(super) fn class(&self) -> Class {
        match self.target {
            Target::Live | Target::Ready => Class::Public,
            Target::Metrics => Class::Operator,
            Target::Token | Target::Endpoint { .. } | Target::Unknown => Class::Endpoint,
        }
    }

    /// Checks the method of a request that reads.
    ///
    /// # Errors
    /// [`Refusal::NotGet`].
    pub(super) fn check_read(&self, method: &Method) -> Result<(), Refusal> {
        match self.not_allowed {
            None => Ok(()),
            Some(_) => Err(Refusal::NotGet { method: method.clone() }),
        }
    }
}

/// Returns the route of a request for `path`, which is as it stands in the request (not decoded).
/// `has_clients` says whether there is a token endpoint.
pub(super) fn route<'p>(
    method: &Method,
    path: &'p str,
    endpoints: &[Endpoint],
    has_clients: bool,
) -> Route<'p> {
    let path = trimmed(path);
    let mut own = OWN_PATHS.iter().filter(|(_, target, _)| has_clients || *target != Target::Token);
    if let Some((_, target, allow)) = own.find(|(own, ..)| *own == path) {
        let allowed = allow.split(", ").any(|allowed| allowed == method.as_str());
        return Route { target: *target, not_allowed: (!allowed).then_some(*allow) };
    }
    let owners = endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.owns(path));
    let owner = owners.max_by_key(|(_, endpoint)| trimmed(&endpoint.path).len());
    let Some((index, endpoint)) = owner else {
        return Route { target: Target::Unknown, not_allowed: None };
    };
    let request = match endpoint.form {
        Form::Ndjson => EndpointRequest::Documents,
        Form::Elasticsearch => {
            let below = endpoint.below(path).unwrap_or_default();
            EndpointRequest::Elasticsearch(ClientRequest::of(method, below))
        }
    };
    let inquiry = matches!(request, EndpointRequest::Elasticsearch(ClientRequest::Inquiry(_)));
    let allowed = inquiry || endpoint.takes(method);
    let target = Target::Endpoint { index, request };
    Route { target, not_allowed: (!allowed).then(|| endpoint.methods()) }
}

#[cfg(test)]
mod tests {
    use super::super::elasticsearch::client_request::Inquiry;
    use super::*;

    fn endpoint(path: &str, form: Form, put: bool, post: bool) -> Endpoint {
        Endpoint {
            name: path.into(),
            path: path.into(),
            put,
            post,
            form,
            table: "t".into(),
            indices: Vec::new(),
            body_limit_bytes: 0,
            inflated_limit_bytes: 0,
            requests_per_second: None,
            peers: Vec::new(),
            auth: crate::auth::Rules::nobody_is_asked(),
        }
    }

    fn endpoints() -> Vec<Endpoint> {
        vec![
            endpoint("/export/events", Form::Ndjson, true, true),
            endpoint("/post/", Form::Ndjson, false, true),
            endpoint("/es", Form::Elasticsearch, true, true),
            endpoint("/es/deep", Form::Elasticsearch, true, false),
            endpoint("/es/plain", Form::Ndjson, true, true),
        ]
    }

    /// Checks the target, the class and the `Allow` of a refused method, for each method and path.
    #[track_caller]
    fn assert_routes(
        endpoints: &[Endpoint],
        has_clients: bool,
        rows: &[(&str, &str, Target<'_>, Class, Option<&'static str>)],
    ) {
        for (method, path, target, class, not_allowed) in rows {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = route(&method, path, endpoints, has_clients);
            let expected = Route { target: *target, not_allowed: *not_allowed };
            assert_eq!(found, expected, "{method} {path}");
            assert_eq!(found.class(), *class, "{method} {path}");
        }
    }

    #[test]
    fn the_programs_own_paths_have_their_class_and_methods() {
        use Class::{Endpoint, Operator, Public};
        let read = Some("GET, HEAD");
        let rows = [
            ("GET", "/health/live", Target::Live, Public, None),
            ("HEAD", "/health/live/", Target::Live, Public, None),
            ("POST", "/health/live", Target::Live, Public, read),
            ("GET", "/health/ready", Target::Ready, Public, None),
            ("HEAD", "/health/ready", Target::Ready, Public, None),
            ("DELETE", "/health/ready/", Target::Ready, Public, read),
            ("GET", "/metrics", Target::Metrics, Operator, None),
            ("HEAD", "/metrics/", Target::Metrics, Operator, None),
            ("PUT", "/metrics", Target::Metrics, Operator, read),
            ("GETS", "/metrics", Target::Metrics, Operator, read),
            ("POST", "/oauth2/token", Target::Token, Endpoint, None),
            ("POST", "/oauth2/token/", Target::Token, Endpoint, None),
            ("GET", "/oauth2/token", Target::Token, Endpoint, Some("POST")),
        ];
        assert_routes(&endpoints(), true, &rows);
        let root = [endpoint("/", Form::Elasticsearch, true, true)];
        assert_routes(&root, true, &rows);
    }

    #[test]
    fn without_clients_there_is_no_token_endpoint() {
        let unknown = ("POST", "/oauth2/token", Target::Unknown, Class::Endpoint, None);
        assert_routes(&endpoints(), false, &[unknown]);
    }

    #[test]
    fn endpoints_are_matched_whole_and_the_longest_path_wins() {
        let documents = |index| Target::Endpoint { index, request: EndpointRequest::Documents };
        let bulk = |index, name| Target::Endpoint {
            index,
            request: EndpointRequest::Elasticsearch(ClientRequest::Bulk { index: name }),
        };
        let inquiry = |index, inquiry| Target::Endpoint {
            index,
            request: EndpointRequest::Elasticsearch(ClientRequest::Inquiry(inquiry)),
        };
        let class = Class::Endpoint;
        assert_routes(
            &endpoints(),
            false,
            &[
                ("PUT", "/export/events", documents(0), class, None),
                ("POST", "/export/events/", documents(0), class, None),
                ("GET", "/export/events", documents(0), class, Some("PUT, POST")),
                ("POST", "/post", documents(1), class, None),
                ("PUT", "/post/", documents(1), class, Some("POST")),
                ("PUT", "/export/events//", Target::Unknown, class, None),
                ("PUT", "/export/events/more", Target::Unknown, class, None),
                ("PUT", "/export/eventsx", Target::Unknown, class, None),
                ("PUT", "/Export/events", Target::Unknown, class, None),
                ("PUT", "//export/events", Target::Unknown, class, None),
                ("PUT", "/export", Target::Unknown, class, None),
                ("GET", "/", Target::Unknown, class, None),
                ("GET", "", Target::Unknown, class, None),
                ("GET", "/health", Target::Unknown, class, None),
                ("GET", "/health/live/x", Target::Unknown, class, None),
                ("GET", "/es", inquiry(2, Inquiry::Info), class, None),
                ("GET", "/es/", inquiry(2, Inquiry::Info), class, None),
                ("POST", "/es/_bulk", bulk(2, None), class, None),
                ("PUT", "/es/_bulk/", bulk(2, None), class, None),
                ("GET", "/es/_bulk", bulk(2, None), class, Some("PUT, POST")),
                ("POST", "/es/s-1/_bulk", bulk(2, Some("s-1")), class, None),
                ("POST", "/es/deep/_bulk", bulk(3, None), class, Some("PUT")),
                ("PUT", "/es/deep/s/_bulk", bulk(3, Some("s")), class, None),
                ("PUT", "/es/deeper/_bulk", bulk(2, Some("deeper")), class, None),
                ("PUT", "/es/plain", documents(4), class, None),
                ("PUT", "/es/plain/_bulk", bulk(2, Some("plain")), class, None),
                ("PUT", "/esx/_bulk", Target::Unknown, class, None),
            ],
        );
    }

    #[test]
    fn an_elasticsearch_endpoint_at_the_root_gets_what_no_other_has() {
        let mut endpoints = endpoints();
        endpoints.insert(0, endpoint("/", Form::Elasticsearch, true, true));
        let request = |index, request| Target::Endpoint {
            index,
            request: EndpointRequest::Elasticsearch(request),
        };
        let unknown = ClientRequest::Inquiry(Inquiry::Unknown);
        let class = Class::Endpoint;
        assert_routes(
            &endpoints,
            false,
            &[
                ("GET", "/", request(0, ClientRequest::Inquiry(Inquiry::Info)), class, None),
                ("POST", "/_bulk", request(0, ClientRequest::Bulk { index: None }), class, None),
                ("POST", "/es/_bulk", request(3, ClientRequest::Bulk { index: None }), class, None),
                ("POST", "/oauth2/token", request(0, unknown), class, None),
                ("GET", "/health/live", Target::Live, Class::Public, None),
                ("GET", "/metrics", Target::Metrics, Class::Operator, None),
                (
                    "PUT",
                    "/export/events",
                    Target::Endpoint { index: 1, request: EndpointRequest::Documents },
                    class,
                    None,
                ),
                ("GET", "/no/such/path", request(0, unknown), class, None),
            ],
        );
    }
}
