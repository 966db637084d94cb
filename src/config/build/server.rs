//! Settings of a server: the receiver, the journal, and how they go together.

use std::net::SocketAddr;
use std::time::Duration;

use super::builder::Builder;
use crate::config::error::Error;
use crate::config::layers::Layers;
use crate::config::list::{self, Setting};
use crate::config::names::{node_prefix, resolve};
use crate::config::paths::is_within;
use crate::config::source::Source;
use crate::config::value::{self, show_size};
use crate::error_text;
use crate::http::Endpoint;
use crate::lake::Location;
use crate::status::{InForce, ShownSetting};
use crate::table::Spec;
use crate::tls::TlsFiles;
use crate::{http, journal, roll, server};

/// Builds the settings of a server, and the filter of the log.
///
/// # Errors
/// Every problem of the settings.
pub(in crate::config) fn server(layers: &Layers) -> Result<(server::Settings, String), Error> {
    let mut builder = Builder::new(layers);
    let built = (builder.server(), builder.log());
    builder.done(built)
}

impl Builder<'_> {
    /// Builds the settings of a server.
    pub(super) fn server(&mut self) -> server::Settings {
        let (listen, addresses) = self.parsed(&list::LISTEN, |text| {
            resolve(text).map(|addresses| (text.to_owned(), addresses))
        });
        let tls = self.tls();
        let credentials = self.file(&list::CREDENTIALS);
        let http = self.http(&listen, credentials.is_some());
        self.loopback_or_secured(&addresses, tls.as_ref(), &http.endpoints);
        let journal = self.journal();
        let lake = self.lake();
        let (first, more) = self.tables();
        let all: Vec<&Spec> = std::iter::once(&first).chain(&more).collect();
        let catalog = self.catalog_of(&all);
        let limits = self.partition_limits();
        let promote_after = self.promote_after(&first);
        let tables = std::iter::once(first).chain(more);
        let roll_age = self.duration(&list::ROLL_AGE);
        let (verify_every, verify_window) = self.verify();
        let status = self.status(tls.as_ref());
        let settings = server::Settings {
            status,
            shown: self.shown(),
            listen,
            addresses,
            http,
            credentials,
            tls,
            journal,
            lake,
            tables: tables.map(|table| Spec { partition_limits: limits, ..table }).collect(),
            promote_after,
            catalog,
            dedup_max_rows: self.count(&list::DEDUP_MAX_ROWS).unwrap_or_default(),
            privacy_key: self.file(&list::PRIVACY_KEY),
            roll: self.serve_roll(),
            roll_age,
            drain_delay: self.duration(&list::DRAIN_DELAY),
            drain_limit: self.drain_limit(),
            overdue_after: self.overdue_after(roll_age),
            verify_every,
            verify_window,
        };
        if self.problems.is_empty() {
            self.check_together(&settings);
        }
        settings
    }

    /// Refuses settings that are right by themselves and do not go together.
    fn check_together(&mut self, settings: &server::Settings) {
        let (endpoints, journal) = (&settings.http.endpoints, &settings.journal);
        self.tables_exist(endpoints, &settings.tables);
        if let Some(status) = &settings.status
            && status.addresses.iter().any(|one| settings.addresses.iter().any(|of| clash(one, of)))
        {
            let why = format!("{} is taken by listen; give another port", status.listen);
            self.refuse(self.place(&list::STATUS_LISTEN), why);
        }
        if journal.encrypt && settings.privacy_key.is_none() {
            let secret = Source::Flag.example(&list::PRIVACY_KEY);
            let why = format!("needs a secret: {secret}");
            self.refuse(self.place(&list::ENCRYPT_JOURNAL), why);
        }
        let body = self.size(&list::BODY_LIMIT);
        self.not_below(&list::INFLATED_LIMIT, &list::BODY_LIMIT, body);
        self.not_below(&list::JOURNAL_QUOTA, &list::JOURNAL_SEGMENT, journal.segment_bytes);
        let inflated = endpoints.iter().map(|e| e.inflated_limit_bytes).max();
        let inflated = inflated.unwrap_or_default();
        self.quota_takes(inflated);
        let (state, staging) = (settings.state(), settings.staging());
        if let Location::Local(lake) = &settings.lake.location
            && is_within(lake, &staging)
        {
            let (lake, staging) = (lake.display(), staging.display());
            let why = format!("{lake} lies in {staging}, which every start empties");
            self.refuse(self.place(&list::LAKE), why);
        } else if let Location::Local(lake) = &settings.lake.location
            && is_within(state, lake)
        {
            let place = self.place(&list::STATE);
            let why = format!(
                "the state directory {} lies in the lake {}, where readers would find the \
                 journal; put them side by side",
                state.display(),
                lake.display()
            );
            self.refuse(place, why);
        }
    }

    /// Returns the limit of a stop, which leaves time for more than its delay.
    fn drain_limit(&mut self) -> Option<Duration> {
        let delay = self.duration(&list::DRAIN_DELAY);
        let limit = self.duration(&list::DRAIN_LIMIT);
        if !limit.is_zero() && limit <= delay {
            let why =
                format!("is not above drain_delay ({delay:?}), after which a stop begins to land");
            self.refuse(self.place(&list::DRAIN_LIMIT), why);
        }
        (!limit.is_zero()).then_some(limit)
    }

    /// Returns the age from which on a body is overdue. It follows `roll_age` unless it is given: each
    /// body waits that long in any case.
    fn overdue_after(&mut self, roll_age: Duration) -> Duration {
        if self.layers.get(&list::OVERDUE_AFTER).is_none() {
            return roll_age * 3 + Duration::from_secs(300);
        }
        let overdue_after = self.duration(&list::OVERDUE_AFTER);
        if overdue_after <= roll_age && overdue_after > Duration::ZERO {
            let why = format!("is not above roll_age ({roll_age:?}), which every body may wait");
            self.refuse(self.place(&list::OVERDUE_AFTER), why);
        }
        overdue_after
    }

    /// Returns how often the lake is verified, if it is, and the age of the rolls that are looked at. A
    /// window that two runs do not share could leave rolls between them.
    fn verify(&mut self) -> (Option<Duration>, Duration) {
        let every = self.duration(&list::VERIFY_EVERY);
        if !every.is_zero() && every < Duration::from_secs(1) {
            let why = format!("{every:?} is below 1s; 0s verifies nothing");
            self.refuse(self.place(&list::VERIFY_EVERY), why);
        }
        if self.layers.get(&list::VERIFY_WINDOW).is_none() {
            let window = (every * 2).max(Duration::from_secs(24 * 3600));
            return ((!every.is_zero()).then_some(every), window);
        }
        let window = self.duration(&list::VERIFY_WINDOW);
        if window < every * 2 && !window.is_zero() {
            let why = format!(
                "is below twice verify_every ({every:?}): rolls could lie between two runs"
            );
            self.refuse(self.place(&list::VERIFY_WINDOW), why);
        }
        ((!every.is_zero()).then_some(every), window)
    }

    /// Refuses a quota that would never take the largest body that an endpoint lets through.
    fn quota_takes(&mut self, inflated_bytes: u64) {
        let quota_bytes = self.size(&list::JOURNAL_QUOTA);
        let needed_bytes = journal::quota_for_body(inflated_bytes);
        if quota_bytes < needed_bytes {
            let why = format!(
                "a journal of {} takes bodies of half of that, and inflated_limit lets bodies of {} \
                 through ({}); raise the quota to {}, or lower inflated_limit",
                show_size(quota_bytes),
                show_size(inflated_bytes),
                self.source_of(&list::INFLATED_LIMIT),
                show_size(needed_bytes),
            );
            self.refuse(self.place(&list::JOURNAL_QUOTA), why);
        }
    }

    /// Builds the options of rolls whose staging directory is on the journal's disk.
    fn serve_roll(&mut self) -> roll::Options {
        let disk_reserve_bytes = self.size(&list::DISK_RESERVE);
        roll::Options { disk_reserve_bytes, ..self.roll() }
    }

    /// Builds the options of the journal.
    fn journal(&mut self) -> journal::Options {
        let mut options = journal::Options::new(self.path(&list::STATE));
        options.node_prefix = self.parsed(&list::NODE, node_prefix);
        options.segment_bytes = self.size(&list::JOURNAL_SEGMENT);
        options.quota_bytes = self.size(&list::JOURNAL_QUOTA);
        options.reserve_bytes = self.size(&list::DISK_RESERVE);
        options.retry_window = self.duration(&list::RETRY_WINDOW);
        options.skip_damaged = self.switch(&list::SKIP_DAMAGED);
        let compress =
            self.parsed(&list::JOURNAL_COMPRESSION, |text| value::switch_or(text, "auto"));
        if compress == Some(false) {
            options.compress_from_bytes = None;
        }
        options.compress_always = compress == Some(true);
        options.encrypt = self.switch(&list::ENCRYPT_JOURNAL);
        options
    }

    /// Builds the options of the receiver; `credentials` if there is a file of them.
    fn http(&mut self, listen: &str, credentials: bool) -> http::Options {
        let count = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        let named = self.layers.get(&list::HOST_NAMES).map(|given| given.text.clone());
        let host = listen.rsplit_once(':').map_or("", |(host, _)| host);
        let names = named.iter().flat_map(|names| names.split(',')).chain([host]);
        let host_names = names.map(str::trim).filter(|name| !name.is_empty());
        http::Options {
            body_memory_bytes: http::BODY_MEMORY_BYTES,
            endpoints: self.endpoints(credentials),
            host_names: host_names.map(str::to_owned).collect(),
            requests_per_second: self
                .count(&list::REQUESTS_PER_SECOND)
                .and_then(|n| u32::try_from(n).ok()),
            header_timeout: self.duration(&list::HEADER_TIMEOUT),
            body_timeout: self.duration(&list::BODY_TIMEOUT),
            answer_timeout: http::ANSWER_TIMEOUT,
            idle_timeout: http::IDLE_TIMEOUT,
            drain_timeout: self.duration(&list::DRAIN_TIMEOUT),
            handshake_timeout: self.duration(&list::HANDSHAKE_TIMEOUT),
            max_connections: count(self.count(&list::MAX_CONNECTIONS)).unwrap_or(1),
            max_connections_per_peer: count(self.count(&list::MAX_CONNECTIONS_PER_PEER)),
        }
    }

    /// Builds the settings of the listener of operators, if there is to be one.
    fn status(&mut self, tls: Option<&TlsFiles>) -> Option<server::StatusSettings> {
        let credentials = self.file(&list::STATUS_CREDENTIALS);
        let given = self.layers.get(&list::STATUS_LISTEN).filter(|given| !given.text.is_empty());
        if given.is_none() {
            if credentials.is_some() {
                let needed = Source::Flag.example(&list::STATUS_LISTEN);
                let why = format!("is for the listener of operators, and there is none: {needed}");
                self.refuse(self.place(&list::STATUS_CREDENTIALS), why);
            }
            return None;
        }
        let (listen, addresses) = self.parsed(&list::STATUS_LISTEN, |text| {
            resolve(text).map(|addresses| (text.to_owned(), addresses))
        });
        let insecure = self.switch(&list::INSECURE_LISTEN);
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        let lacking = match (tls.is_some(), credentials.is_some()) {
            (true, true) => None,
            (false, false) => Some("neither encryption nor authentication"),
            (false, true) => Some("authentication but no encryption"),
            (true, false) => Some("encryption but no authentication"),
        };
        if let (Some(open), Some(lacking), false) = (open, lacking, insecure) {
            let why = format!(
                "{} can be reached from other machines, with {lacking}; listen on 127.0.0.1, give \
                 it both (tls_cert, tls_key, status_credentials), or allow it: {}",
                open.ip(),
                self.source_of(&list::STATUS_LISTEN).example(&list::INSECURE_LISTEN)
            );
            self.refuse(self.place(&list::STATUS_LISTEN), why);
        }
        Some(server::StatusSettings { listen, tls: open.and(tls).cloned(), addresses, credentials })
    }

    /// Returns the settings in force, each with its origin, for a status page. Sections of the file, which may
    /// hold secrets, are not among them.
    fn shown(&self) -> InForce {
        let of = |setting: &&'static Setting| {
            let given = self.layers.get(setting)?;
            let (value, origin) = (error_text::shown(&given.text), given.source.to_string());
            Some(ShownSetting { key: setting.key, value, origin })
        };
        InForce::new(list::SETTINGS.iter().filter_map(of).collect())
    }

    /// Refuses addresses beyond loopback without encryption and authentication, unless
    /// `insecure_listen` allows them.
    fn loopback_or_secured(
        &mut self,
        addresses: &[SocketAddr],
        tls: Option<&TlsFiles>,
        endpoints: &[Endpoint],
    ) {
        let insecure = self.switch(&list::INSECURE_LISTEN);
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        let certified = tls.is_some_and(|tls| tls.client_ca.is_some());
        let asked = certified || endpoints.iter().all(|endpoint| endpoint.auth.is_asked());
        let lacking = match (tls.is_some(), asked) {
            (true, true) => None,
            (false, false) => Some("neither encryption nor authentication"),
            (false, true) => Some("authentication but no encryption"),
            (true, false) => Some("encryption but no authentication"),
        };
        if let (Some(open), Some(lacking), false) = (open, lacking, insecure) {
            let place = self.place(&list::LISTEN);
            let why = format!(
                "{} can be reached from other machines, with {lacking}; listen on 127.0.0.1, give \
                 it both (tls_cert, tls_key, credentials), or allow it: {}",
                open.ip(),
                self.source_of(&list::LISTEN).example(&list::INSECURE_LISTEN)
            );
            self.refuse(place, why);
        }
    }

    /// Names the files of TLS, if it is configured.
    fn tls(&mut self) -> Option<TlsFiles> {
        let (cert, key) = (self.file(&list::TLS_CERT), self.file(&list::TLS_KEY));
        let client_ca = self.file(&list::TLS_CLIENT_CA);
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca }),
            (None, None) if client_ca.is_none() => None,
            (cert, key) => {
                let missing = if cert.is_none() { &list::TLS_CERT } else { &list::TLS_KEY };
                let (given, file) = match (cert, key) {
                    (Some(_), _) => (&list::TLS_CERT, "a private key"),
                    (None, Some(_)) => (&list::TLS_KEY, "a certificate"),
                    (None, None) => (&list::TLS_CLIENT_CA, "a certificate and a private key"),
                };
                let place = self.place(given);
                let why = format!("it needs {file} as well: {}", Source::Flag.example(missing));
                self.refuse(place, why);
                None
            }
        }
    }
}

/// Returns whether two listeners cannot have these addresses together.
fn clash(one: &SocketAddr, other: &SocketAddr) -> bool {
    let (ip, of) = (one.ip(), other.ip());
    let same =
        ip == of || (ip.is_ipv4() == of.is_ipv4() && (ip.is_unspecified() || of.is_unspecified()));
    one.port() != 0 && one.port() == other.port() && same
}
