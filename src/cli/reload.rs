//! SIGHUP: what can be read again without a restart is.
//!
//! # Promises
//! - *All or nothing.* Configuration, credentials and certificate are read and checked before any of
//!   them is put to use. If one is wrong, everything stays as it was, the log says what is wrong, and
//!   `sessionlake_reload_last_success` is 0 until a reload succeeds.
//! - *Nothing is passed over.* Settings that have changed and need a restart are named, at each reload,
//!   until they are as they were or the program was started again.
//! - *Nothing is interrupted.* Open connections keep the certificate they began with.
//!
//! Reloaded are the credentials (with the files that they name), the certificate with its key and its
//! authorities of clients, the level of the log, the endpoints with their limits, and the journal's quota
//! ([`LIVE`]). Credentials and certificates are read again without a signal too, when their files change; a
//! signal does it at once, and says whether it went well.
//!
//! A request is judged by the endpoints and limits that were in force when its head was read. What they
//! rest on is as at the start: while the address, the credentials, TLS or the tables of the configuration are
//! others than those in force ([`GROUND`]), endpoints and limits wait for the restart with them. Otherwise an
//! endpoint that is right on loopback would be opened to the network that the process still listens on.

use std::sync::Arc;

use anyhow::bail;
use tokio::signal::unix::Signal;

use super::error_report;
use super::log_level::LogLevel;
use super::memory;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, Flags, Snapshot, list};
use crate::error_text;
use crate::http::{Access, Endpoint, LiveRules};
use crate::metrics as names;
use crate::server::{Settings, source_bytes};
use crate::status::{ReloadRequests, Reloaded, RollControl};

/// Settings that a reload puts in force, besides the level of the log.
const LIVE: [&str; 7] = [
    list::PATH.key,
    list::BODY_LIMIT.key,
    list::INFLATED_LIMIT.key,
    list::BODY_TIMEOUT.key,
    list::REQUESTS_PER_SECOND.key,
    list::JOURNAL_QUOTA.key,
    ENDPOINTS,
];
/// The sections of endpoints.
const ENDPOINTS: &str = "[[endpoint]]";
/// Settings that those of [`LIVE`] are checked against, and that only a start puts in force.
const GROUND: [&str; 8] = [
    list::LISTEN.key,
    list::INSECURE_LISTEN.key,
    list::CREDENTIALS.key,
    list::TLS_CERT.key,
    list::TLS_KEY.key,
    list::TLS_CLIENT_CA.key,
    list::TABLE.key,
    list::JOURNAL_SEGMENT.key,
];

/// The parts that a reload reads again, and the settings that it compares.
pub(super) struct Reloader {
    pub(super) flags: Flags<{ list::SERVE }>,
    pub(super) environment: Environment,
    /// The settings in force.
    pub(super) in_force: Snapshot,
    /// Those of the start.
    pub(super) settings: Settings,
    /// Those of senders, and those of operators.
    pub(super) access: [Access; 2],
    /// Endpoints and limits.
    pub(super) rules: LiveRules,
    /// Limits of rolls, of which one follows the journal's quota.
    pub(super) rolls: Arc<RollControl>,
    pub(super) log: LogLevel,
}

impl Reloader {
    /// Reloads at each signal and at each request of an operator. Returns only when no more can come.
    ///
    /// # Cancel safety
    /// Dropped, a reload that has begun ends.
    pub(super) async fn run(self, mut hangup: Signal, mut requests: ReloadRequests) {
        succeeded(true);
        let mut reloader = Some(self);
        while let Some(mut one) = reloader.take() {
            let asked = tokio::select! {
                Some(()) = hangup.recv() => None,
                Some(asked) = requests.recv() => Some(asked),
                else => return,
            };
            let reload = move || {
                let reloaded = one.reload();
                (one, reloaded)
            };
            // A panic there ends reloading, and stands in the log.
            let Ok((one, reloaded)) = tokio::task::spawn_blocking(reload).await else { return };
            reloader = Some(one);
            succeeded(reloaded.is_ok());
            match reloaded {
                Ok(ref reloaded) => tracing::info!("{}", said(reloaded)),
                Err(ref error) => {
                    tracing::error!("reload failed, and everything stays as it was: {error:#}");
                }
            }
            if let Some(asked) = asked {
                // Who asked may be gone.
                let _ = asked.send(reloaded.map_err(|error| problems(&error)));
            }
        }
    }

    /// Reads everything again. Returns what has changed. Blocks.
    ///
    /// # Errors
    /// Something cannot be used. Nothing has changed.
    fn reload(&mut self) -> anyhow::Result<Reloaded> {
        let mut read = config::serve(&self.flags, &self.environment)?;
        // As at the start.
        memory::fit(&mut read.settings);
        let filter = LogLevel::parse(&read.log)?;
        let mut files = Vec::new();
        for (Access { auth, tls }, whose) in self.access.iter().zip(["", " of operators"]) {
            let credentials = auth.as_ref().map(|auth| auth.read()).transpose()?;
            let certificate = tls.as_ref().map(|tls| tls.read()).transpose()?;
            files.push((auth.as_ref().zip(credentials), tls.as_ref().zip(certificate), whose));
        }
        let changed = self.in_force.changed(&read.snapshot);
        let is_grounded = !changed.iter().any(|name| GROUND.contains(name));
        let live = changed.iter().filter(|name| is_grounded && LIVE.contains(name));
        let live: Vec<&str> = live.copied().collect();
        let is_needed = !live.is_empty();
        if is_needed {
            self.check_tables(&read.settings)?;
        }
        // From here on nothing fails.
        let mut reloaded = Vec::new();
        for (credentials, certificate, whose) in files {
            if let Some((auth, read)) = credentials
                && let Some(summary) = auth.put(read)
            {
                reloaded.push(format!("credentials{whose} ({summary})"));
            }
            if let Some((tls, read)) = certificate
                && tls.put(read)
            {
                reloaded.push(format!("the certificate{whose}"));
            }
        }
        if changed.contains(&list::LOG.key) {
            self.log.set(filter);
            reloaded.push(format!("{} = {:?}", list::LOG.key, read.log));
        }
        if is_needed {
            reloaded.extend(self.put(&live, &read.settings));
        }
        let taken: Vec<&str> = live.into_iter().chain([list::LOG.key]).collect();
        let needs_restart = changed.iter().filter(|name| !taken.contains(name));
        let needs_restart = needs_restart.map(|name| (*name).to_owned()).collect();
        self.settings.shown.take(&taken, &read.settings.shown);
        let taken: Vec<String> = taken.into_iter().map(str::to_owned).collect();
        taken.iter().for_each(|name| self.in_force.take(name, &read.snapshot));
        Ok(Reloaded { reloaded, needs_restart })
    }
}

impl Reloader {
    /// Checks that the tables of new endpoints are in force.
    ///
    /// # Errors
    /// One is not.
    fn check_tables(&self, new: &Settings) -> anyhow::Result<()> {
        let known = |table: &str| self.settings.tables.iter().any(|spec| *spec.name == *table);
        for endpoint in &new.http.endpoints {
            if let Some(table) = endpoint.tables().find(|table| !known(table)) {
                bail!(
                    "the endpoint {} lands in the table {table}, which is not among those in force: a \
                     new table needs a restart, and until then no endpoint can have it",
                    endpoint.name
                );
            }
        }
        Ok(())
    }

    /// Puts endpoints, limits and quota in force. Returns what is new of the settings and sections `names`.
    fn put(&self, names: &[&str], new: &Settings) -> Vec<String> {
        let before = self.rules.endpoints();
        self.rules.replace(&new.http);
        let quota_bytes = new.journal.quota_bytes;
        self.settings.journal.new_quota.set(quota_bytes);
        self.rolls.set_source_bytes(source_bytes(quota_bytes));
        let shown = new.shown.list();
        let value = |name: &&str| shown.iter().find(|setting| setting.key == *name);
        let settings = names.iter().filter_map(value);
        let settings = settings.map(|setting| format!("{} = {:?}", setting.key, setting.value));
        settings.chain(endpoints_changed(&before, &new.http.endpoints)).collect()
    }
}

/// Returns which endpoints have come, changed and gone, as a phrase.
fn endpoints_changed(before: &[Endpoint], now: &[Endpoint]) -> Option<String> {
    let find = |list: &[Endpoint], name: &str| list.iter().find(|one| *one.name == *name).cloned();
    let same = |one: &Endpoint, other: &Endpoint| format!("{one:?}") == format!("{other:?}");
    let mut phrases = Vec::new();
    for endpoint in now {
        match find(before, &endpoint.name) {
            None => phrases.push(format!("{} is new", endpoint.name)),
            Some(old) if !same(&old, endpoint) => {
                phrases.push(format!("{} changed", endpoint.name))
            }
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|endpoint| find(now, &endpoint.name).is_none());
    phrases.extend(gone.map(|endpoint| format!("{} is gone", endpoint.name)));
    (!phrases.is_empty()).then(|| format!("endpoints ({})", phrases.join(", ")))
}

/// Returns what a reload has done, as a sentence.
fn said(Reloaded { reloaded, needs_restart }: &Reloaded) -> String {
    let mut said = match reloaded.is_empty() {
        true => "reloaded: nothing that can be reloaded has changed".to_owned(),
        false => format!("reloaded: {}", reloaded.join(", ")),
    };
    if !needs_restart.is_empty() {
        let names = needs_restart.join(", ");
        said.push_str(&format!("; these have changed and need a restart: {names}"));
    }
    said
}

/// Returns every problem of a reload that failed.
fn problems(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<config::Error>() {
        // With its cause: that of a file that cannot be read is not in its own text.
        Some(error) => {
            let problems = error.problems().iter().map(|one| error_text::lines(one).join(": "));
            problems.map(|text| error_text::printable_error(&text)).collect()
        }
        None => vec![error_report::lines(error).join(": ")],
    }
}

fn succeeded(is_success: bool) {
    metrics::gauge!(names::RELOAD_SUCCESS).set(f64::from(u8::from(is_success)));
    if is_success {
        metrics::gauge!(names::RELOAD_SUCCESS_AT).set(names::timestamp(SystemClock.now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;

    const TOKEN: &str = "[[token]]\nname = \"a\"\ntoken_hash = \"sha256:";

    #[test]
    fn a_reload_takes_all_or_nothing_and_names_what_needs_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (file, credentials) = (dir.path().join("s.toml"), dir.path().join("c.toml"));
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let hash = |digit: &str| {
            std::fs::write(&credentials, format!("{TOKEN}{}\"\n", digit.repeat(64))).unwrap();
        };
        let named = format!("credentials = {:?}\n", credentials.to_str().unwrap());
        write(&named);
        hash("a");
        let environment = Environment::new([("SESSIONLAKE_CONFIG", file.as_os_str())]);
        let flags = Flags::default();
        let loaded = config::serve(&flags, &environment).unwrap();
        let auth = Auth::open(&credentials, dir.path()).unwrap();
        let mut reloader = Reloader {
            flags,
            environment,
            in_force: loaded.snapshot,
            rules: LiveRules::new(loaded.settings.http.clone(), Access::default()),
            settings: loaded.settings,
            rolls: Arc::default(),
            access: [Access { auth: Some(auth), tls: None }, Access::default()],
            log: LogLevel::default(),
        };
        assert_eq!(
            said(&reloader.reload().unwrap()),
            "reloaded: nothing that can be reloaded has changed"
        );

        hash("b");
        write(&format!(
            "{named}roll_age = \"7s\"\nlog = \"debug\"\n[storage]\nallow_http = \"true\"\n"
        ));
        let rest = "; these have changed and need a restart: [storage], roll_age";
        assert_eq!(
            said(&reloader.reload().unwrap()),
            format!(
                "reloaded: credentials (0 users, 1 tokens, 0 clients, 0 issuers), log = \"debug\"{rest}"
            )
        );
        let again = said(&reloader.reload().unwrap());
        assert_eq!(again, format!("reloaded: nothing that can be reloaded has changed{rest}"));

        // The credentials are right, and the file is not: neither is taken.
        hash("c");
        write("roll_age = \"seven\"\n");
        let error = reloader.reload().unwrap_err().to_string();
        assert!(error.contains("s.toml:1") && error.contains("roll_age"), "{error}");
        // The other way round.
        write(&named);
        std::fs::write(&credentials, "[[token]]\n").unwrap();
        let error = reloader.reload().unwrap_err().to_string();
        assert!(error.contains("c.toml"), "{error}");
        hash("c");
        let said = said(&reloader.reload().unwrap());
        assert!(said.starts_with("reloaded: credentials (") && said.contains("log = "), "{said}");
    }

    #[test]
    fn endpoints_and_limits_are_reloaded_unless_what_they_rest_on_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let one = "[[endpoint]]\nname = \"one\"\npath = \"/one\"\n";
        write(one);
        let environment = Environment::new([("SESSIONLAKE_CONFIG", file.as_os_str())]);
        let flags = Flags::default();
        let loaded = config::serve(&flags, &environment).unwrap();
        let rules = LiveRules::new(loaded.settings.http.clone(), Access::default());
        let mut reloader = Reloader {
            flags,
            environment,
            in_force: loaded.snapshot,
            rules: rules.clone(),
            settings: loaded.settings,
            rolls: Arc::default(),
            access: [Access::default(), Access::default()],
            log: LogLevel::default(),
        };
        let names = || rules.endpoints().iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        let two = "[[endpoint]]\nname = \"two\"\npath = \"/two\"\n";
        write(&format!(
            "requests_per_second = 7\njournal_quota = \"3GiB\"\n{one}body_limit = \"1MiB\"\n{two}"
        ));
        assert_eq!(
            said(&reloader.reload().unwrap()),
            "reloaded: journal_quota = \"3GiB\", requests_per_second = \"7\", endpoints (one changed, two \
             is new)"
        );
        assert_eq!(names(), ["one", "two"]);
        assert_eq!(reloader.rolls.source_bytes(), (3 << 30) / 4);
        let shown = reloader.settings.shown.list();
        let quota = shown.iter().find(|setting| setting.key == "journal_quota").unwrap();
        assert_eq!(quota.value, "3GiB");
        assert_eq!(
            said(&reloader.reload().unwrap()),
            "reloaded: nothing that can be reloaded has changed"
        );

        // What cannot be read says why.
        std::fs::remove_file(&file).unwrap();
        let [why] = &problems(&reloader.reload().unwrap_err())[..] else { panic!("one problem") };
        assert!(why.contains("s.toml: No such file"), "{why}");

        // A table that is not in force: nothing changes, the quota neither.
        write(&format!(
            "{two}table = \"visits\"\n[[tables]]\nname = \"visits\"\nschema = \"examples/orders.avsc\"\npartition = \"\"\n"
        ));
        let error = reloader.reload().unwrap_err().to_string();
        assert!(error.contains("two lands in the table visits"), "{error}");
        assert_eq!(names(), ["one", "two"]);
        assert_eq!(reloader.rolls.source_bytes(), (3 << 30) / 4);

        // Endpoints wait with the address.
        write(&format!("listen = \"127.0.0.1:9\"\n{two}"));
        let again = reloader.reload().unwrap();
        assert_eq!(again.reloaded, [""; 0]);
        let waits = ["[[endpoint]]", "journal_quota", "listen", "requests_per_second"];
        assert_eq!(again.needs_restart, waits);
        assert_eq!(names(), ["one", "two"]);
        write(two);
        let again = said(&reloader.reload().unwrap());
        assert!(
            again.ends_with("endpoints (one is gone)") || again.contains("one is gone"),
            "{again}"
        );
        assert_eq!(names(), ["two"]);
    }
}
