//! Endpoints: those of `[[endpoint]]`, or the one that the settings describe.

use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::builder::Builder;
use crate::auth::{Rules, Scheme};
use crate::config::list;
use crate::config::names::{http_path, table_name};
use crate::config::sections::{EndpointSection, SectionReader};
use crate::config::source::Source;
use crate::config::value::{self, GIB, KIB};
use crate::http::{Endpoint, IndexPattern};
use crate::record::Form;

/// Values of an endpoint whose section has no key for them.
struct Defaults {
    path: String,
    table: Arc<str>,
    body_limit_bytes: u64,
    inflated_limit_bytes: u64,
    /// There is a file of credentials.
    credentials: bool,
}

impl Builder<'_> {
    /// Builds the endpoints, at least one; `credentials` if there is a file of them.
    pub(super) fn endpoints(&mut self, credentials: bool) -> Vec<Endpoint> {
        let defaults = Defaults {
            path: self.parsed(&list::PATH, http_path),
            // A wrong name is reported once, where the table is built.
            table: table_name(&self.given(&list::TABLE).text).unwrap_or_default().into(),
            body_limit_bytes: self.size(&list::BODY_LIMIT),
            inflated_limit_bytes: self.size(&list::INFLATED_LIMIT),
            credentials,
        };
        let mut endpoints: Vec<Endpoint> = Vec::new();
        let layers = self.layers;
        for section in &layers.sections.endpoints {
            let mut reader = SectionReader::new(section);
            let endpoint = one(&mut reader, &defaults);
            if let Some(other) = endpoints.iter().find(|other| other.overlaps(&endpoint)) {
                let why = format!("{} is taken by the endpoint {}", endpoint.path, other.name);
                reader.refuse("path", why);
            }
            if endpoints.iter().any(|other| other.name == endpoint.name) {
                reader.refuse("name", format!("there is an endpoint {} already", endpoint.name));
            }
            endpoints.push(endpoint);
            self.problems.extend(reader.problems);
        }
        // A path that only stands in the file may be that of the example file; one that was given
        // on the command line or in the environment is meant.
        let meant = !matches!(self.source_of(&list::PATH), Source::File { .. } | Source::Default);
        if meant && !endpoints.is_empty() && endpoints.iter().all(|e| e.path != defaults.path) {
            let why = "no [[endpoint]] of the file takes sessions there: leave it out, or give one \
                       of them this path";
            self.refuse(self.place(&list::PATH), why);
        }
        if endpoints.is_empty() {
            endpoints.push(default(&defaults));
        }
        endpoints
    }
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

fn one(reader: &mut SectionReader<'_, EndpointSection>, defaults: &Defaults) -> Endpoint {
    let keys = reader.values();
    let mut endpoint = default(defaults);
    let form = reader.parse("form", keys.form.as_ref(), |text| match text {
        "ndjson" => Ok(Form::Ndjson),
        "elasticsearch" => Ok(Form::Elasticsearch),
        _ => Err("is neither ndjson nor elasticsearch".to_owned()),
    });
    endpoint.form = form.unwrap_or(Form::Ndjson);
    let elastic = endpoint.form == Form::Elasticsearch;
    let path = reader.parse("path", keys.path.as_ref(), |text| match text {
        "/" if elastic => Ok("/".to_owned()),
        "/" => Err("is for the form elasticsearch only".to_owned()),
        text => http_path(text),
    });
    match path {
        Some(path) => endpoint.path = path,
        None if elastic => "/".clone_into(&mut endpoint.path),
        None => {}
    }
    endpoint.name = match reader.parse("name", keys.name.as_ref(), label) {
        Some(name) => name.into(),
        None => label_of(&endpoint.path).into(),
    };
    if let Some(methods) = reader.parse_each("methods", keys.methods.as_ref(), |text| match text {
        "PUT" | "POST" => Ok(text.to_owned()),
        _ => Err("is neither PUT nor POST".to_owned()),
    }) {
        endpoint.put = methods.iter().any(|method| method == "PUT");
        endpoint.post = methods.iter().any(|method| method == "POST");
        if methods.is_empty() {
            reader.refuse("methods", "is empty: nothing could be sent here");
        }
    }
    if let Some(table) = reader.parse("table", keys.table.as_ref(), table_name) {
        endpoint.table = table.into();
    }
    for (pattern, table) in &keys.indices {
        match (IndexPattern::parse(pattern), table_name(table)) {
            (Some(pattern), Ok(table)) => endpoint.indices.push((pattern, table.into())),
            (None, _) => reader.refuse(
                "indices",
                format!(
                    "\"{pattern}\" is no index name (a-z, 0-9, -, _ and ., perhaps * at the end)"
                ),
            ),
            (_, Err(why)) => reader.refuse("indices", format!("\"{table}\" {why}")),
        }
    }
    if !elastic && !endpoint.indices.is_empty() {
        reader.refuse("indices", "is for the form elasticsearch only");
    }
    let size = |text: &str| value::size(text, KIB, GIB);
    if let Some(bytes) = reader.parse("body_limit", keys.body_limit.as_ref(), size) {
        endpoint.body_limit_bytes = bytes;
        endpoint.inflated_limit_bytes = endpoint.inflated_limit_bytes.max(bytes);
    }
    if let Some(bytes) = reader.parse("inflated_limit", keys.inflated_limit.as_ref(), size) {
        endpoint.inflated_limit_bytes = bytes;
        if bytes < endpoint.body_limit_bytes {
            reader.refuse("inflated_limit", "is below the endpoint's body_limit");
        }
    }
    let rate = |text: &str| value::count(text, 1, 1_000_000, None);
    if let Some(Some(rate)) =
        reader.parse("requests_per_second", keys.requests_per_second.as_ref(), rate)
    {
        endpoint.requests_per_second = u32::try_from(rate).ok();
    }
    if let Some(peers) = reader.parse_each("peers", keys.peers.as_ref(), net) {
        if peers.is_empty() && reader.problems.is_empty() {
            reader
                .refuse("peers", "is empty: nobody could come; leave it out to let everybody come");
        }
        endpoint.peers = peers;
    }
    auth(reader, defaults, &mut endpoint);
    endpoint
}

fn auth(
    reader: &mut SectionReader<'_, EndpointSection>,
    defaults: &Defaults,
    endpoint: &mut Endpoint,
) {
    let keys = reader.values();
    let schemes = reader.parse_each("auth", keys.auth.as_ref(), Scheme::parse);
    if let Some(schemes) = schemes {
        let asked: Vec<Scheme> = schemes.iter().flatten().copied().collect();
        if schemes.is_empty() || (asked.len() != schemes.len() && !asked.is_empty()) {
            reader.refuse("auth", "is \"none\" alone, or what is taken");
        }
        if !asked.is_empty() && !defaults.credentials {
            reader
                .refuse("auth", "needs a file of credentials: credentials = \"credentials.toml\"");
        }
        endpoint.auth = Rules::of(asked);
    }
    if let Some(allow) = reader.parse_each("allow", keys.allow.as_ref(), |name| Ok(name.to_owned()))
    {
        endpoint.auth.allow = Some(allow);
    }
    if let Some(scope) = reader.parse("scope", keys.scope.as_ref(), |text| Ok(text.to_owned())) {
        endpoint.auth.scope = Some(scope);
    }
    if !endpoint.auth.is_asked() && (endpoint.auth.allow.is_some() || endpoint.auth.scope.is_some())
    {
        reader.refuse("auth", "authentication is off here, so `allow` and `scope` have no effect");
    }
}

/// Parses a network, or an address as the network of it alone. IPv4 written as IPv6 becomes IPv4,
/// which is how its peers' addresses arrive.
fn net(text: &str) -> Result<IpNet, String> {
    let alone = || text.parse::<std::net::IpAddr>().map(|address| address.to_canonical().into());
    let net: IpNet = text.parse().or_else(|_| alone()).map_err(|_| "is no address or network")?;
    let IpNet::V6(v6) = net else { return Ok(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Ok(net) };
    let prefix = v6.prefix_len().checked_sub(96).and_then(|len| Ipv4Net::new(v4, len).ok());
    prefix.map(IpNet::V4).ok_or("takes in more than IPv4 written as IPv6".to_owned())
}

/// Checks a name, which has to be a label of metrics.
fn label(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match (1..=64).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("is not 1 to 64 letters, digits and -_.".to_owned()),
    }
}

/// Returns the name of an endpoint that has none, made from its path.
fn label_of(path: &str) -> String {
    let text: String = path.trim_matches('/').replace('/', "-").chars().take(64).collect();
    if text.is_empty() { "root".to_owned() } else { text }
}
