//! `[[endpoint]]` sections, checked. Without one, there is the endpoint that the settings describe.

use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::error::Problem;
use super::forms::{http_path, table_name};
use super::sections::{Lines, Section};
use super::value::{self, GIB, KIB};
use crate::auth::{Rules, Scheme};
use crate::http::{Endpoint, IndexPattern};
use crate::record::Form;

/// What holds where a section says nothing.
pub(super) struct Defaults {
    pub(super) path: String,
    pub(super) table: Arc<str>,
    pub(super) body_limit_bytes: u64,
    pub(super) inflated_limit_bytes: u64,
    /// Whether there is a file of credentials.
    pub(super) credentials: bool,
}

/// The endpoints, never none, and what is wrong with them.
pub(super) fn check<'a>(
    sections: impl Iterator<Item = &'a Section>,
    defaults: &Defaults,
) -> (Vec<Endpoint>, Vec<Problem>) {
    let (mut endpoints, mut problems) = (Vec::<Endpoint>::new(), Vec::new());
    for section in sections {
        let mut lines = Lines::of(section);
        let endpoint = one(&mut lines, defaults);
        if let Some(other) = endpoints.iter().find(|other| other.overlaps(&endpoint)) {
            let why = format!("{} is taken by the endpoint {}", endpoint.path, other.name);
            lines.refuse("path", why);
        }
        if endpoints.iter().any(|other| other.name == endpoint.name) {
            lines.refuse("name", format!("there is an endpoint {} already", endpoint.name));
        }
        endpoints.push(endpoint);
        problems.extend(lines.done());
    }
    if endpoints.is_empty() {
        endpoints.push(default(defaults));
    }
    (endpoints, problems)
}

fn default(defaults: &Defaults) -> Endpoint {
    Endpoint {
        name: "default".into(),
        path: defaults.path.clone(),
        put: true,
        post: true,
        form: Form::Ndjson,
        table: Arc::clone(&defaults.table),
        indices: Vec::new(),
        body_limit_bytes: defaults.body_limit_bytes,
        inflated_limit_bytes: defaults.inflated_limit_bytes,
        requests_per_second: None,
        peers: Vec::new(),
        auth: if defaults.credentials { Rules::any() } else { Rules::nobody_is_asked() },
    }
}

fn one(lines: &mut Lines<'_>, defaults: &Defaults) -> Endpoint {
    let mut endpoint = default(defaults);
    let form = lines.text("form", "\"elasticsearch\"", |text| match text {
        "ndjson" => Ok(Form::Ndjson),
        "elasticsearch" => Ok(Form::Elasticsearch),
        _ => Err("is neither ndjson nor elasticsearch".to_owned()),
    });
    endpoint.form = form.unwrap_or(Form::Ndjson);
    let elastic = endpoint.form == Form::Elasticsearch;
    let path = lines.text("path", "\"/export/events\"", |text| match text {
        "/" if elastic => Ok("/".to_owned()),
        "/" => Err("is for the form elasticsearch only".to_owned()),
        text => http_path(text),
    });
    match path {
        Some(path) => endpoint.path = path,
        None if elastic => "/".clone_into(&mut endpoint.path),
        None => {}
    }
    endpoint.name = match lines.text("name", "\"sessions\"", label) {
        Some(name) => name.into(),
        None => label_of(&endpoint.path).into(),
    };
    if let Some(methods) = lines.list("methods", "[\"PUT\", \"POST\"]", |text| match text {
        "PUT" | "POST" => Ok(text.to_owned()),
        _ => Err("is neither PUT nor POST".to_owned()),
    }) {
        endpoint.put = methods.iter().any(|method| method == "PUT");
        endpoint.post = methods.iter().any(|method| method == "POST");
        if methods.is_empty() {
            lines.refuse("methods", "is empty: nothing could be sent here");
        }
    }
    if let Some(table) = lines.text("table", "\"user_sessions\"", table_name) {
        endpoint.table = table.into();
    }
    for (pattern, table) in lines.pairs("indices", "{ \"sessions-*\" = \"user_sessions\" }") {
        match (IndexPattern::parse(&pattern), table_name(&table)) {
            (Some(pattern), Ok(table)) => endpoint.indices.push((pattern, table.into())),
            (None, _) => lines.refuse(
                "indices",
                format!(
                    "\"{pattern}\" is no index name (a-z, 0-9, -, _ and ., perhaps * at the end)"
                ),
            ),
            (_, Err(why)) => lines.refuse("indices", format!("\"{table}\" {why}")),
        }
    }
    if !elastic && !endpoint.indices.is_empty() {
        lines.refuse("indices", "is for the form elasticsearch only");
    }
    let size = |text: &str| value::size(text, KIB, GIB);
    if let Some(bytes) = lines.text("body_limit", "\"32MiB\"", size) {
        endpoint.body_limit_bytes = bytes;
        endpoint.inflated_limit_bytes = endpoint.inflated_limit_bytes.max(bytes);
    }
    if let Some(bytes) = lines.text("inflated_limit", "\"256MiB\"", size) {
        endpoint.inflated_limit_bytes = bytes;
        if bytes < endpoint.body_limit_bytes {
            lines.refuse("inflated_limit", "is below the endpoint's body_limit");
        }
    }
    let rate = |text: &str| value::count(text, 1, 1_000_000, None);
    if let Some(Some(rate)) = lines.text("requests_per_second", "200", rate) {
        endpoint.requests_per_second = u32::try_from(rate).ok();
    }
    if let Some(peers) = lines.list("peers", "[\"10.0.0.0/8\", \"::1\"]", net) {
        if peers.is_empty() && lines.problems.is_empty() {
            lines
                .refuse("peers", "is empty: nobody could come; leave it out to let everybody come");
        }
        endpoint.peers = peers;
    }
    auth(lines, defaults, &mut endpoint);
    endpoint
}

fn auth(lines: &mut Lines<'_>, defaults: &Defaults, endpoint: &mut Endpoint) {
    let schemes = lines.list("auth", "[\"basic\", \"token\", \"oauth2\", \"jwt\"]", Scheme::parse);
    if let Some(schemes) = schemes {
        let asked: Vec<Scheme> = schemes.iter().flatten().copied().collect();
        if schemes.is_empty() || (asked.len() != schemes.len() && !asked.is_empty()) {
            lines.refuse("auth", "is \"none\" alone, or what is taken");
        }
        if !asked.is_empty() && !defaults.credentials {
            lines.refuse("auth", "needs a file of credentials: credentials = \"credentials.toml\"");
        }
        endpoint.auth = Rules::of(asked);
    }
    if let Some(allow) = lines.list("allow", "[\"exporter\"]", |name| Ok(name.to_owned())) {
        endpoint.auth.allow = Some(allow);
    }
    if let Some(scope) = lines.text("scope", "\"sessions.write\"", |text| Ok(text.to_owned())) {
        endpoint.auth.scope = Some(scope);
    }
    if !endpoint.auth.is_asked() && (endpoint.auth.allow.is_some() || endpoint.auth.scope.is_some())
    {
        lines.refuse("auth", "nobody is asked who they are, so `allow` and `scope` mean nothing");
    }
}

/// A network, or an address as one. IPv4 written as IPv6 is IPv4, as which its peers come.
fn net(text: &str) -> Result<IpNet, String> {
    let alone = || text.parse::<std::net::IpAddr>().map(|address| address.to_canonical().into());
    let net: IpNet = text.parse().or_else(|_| alone()).map_err(|_| "is no address or network")?;
    let IpNet::V6(v6) = net else { return Ok(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Ok(net) };
    let prefix = v6.prefix_len().checked_sub(96).and_then(|len| Ipv4Net::new(v4, len).ok());
    prefix.map(IpNet::V4).ok_or("takes in more than IPv4 written as IPv6".to_owned())
}

/// A name that can be a label of metrics.
fn label(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match (1..=64).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("is not 1 to 64 letters, digits and -_.".to_owned()),
    }
}

/// The path as a name.
fn label_of(path: &str) -> String {
    let text: String = path.trim_matches('/').replace('/', "-").chars().take(64).collect();
    if text.is_empty() { "root".to_owned() } else { text }
}
