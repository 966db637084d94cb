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
//! authorities of clients, and the level of the log. Credentials and certificates are read again without
//! a signal too, when their files change; a signal does it at once, and says whether it went well.

use tokio::signal::unix::Signal;

use super::error_report;
use super::log_level::LogLevel;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, Flags, Snapshot, list};
use crate::http::Access;
use crate::metrics as names;
use crate::status::{ReloadRequests, Reloaded};

/// The parts that a reload reads again, and the settings that it compares.
pub(super) struct Reloader {
    pub(super) flags: Flags<{ list::SERVE }>,
    pub(super) environment: Environment,
    /// The settings in force.
    pub(super) in_force: Snapshot,
    /// Those of senders, and those of operators.
    pub(super) access: [Access; 2],
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
        let read = config::serve(&self.flags, &self.environment)?;
        let filter = LogLevel::parse(&read.log)?;
        let mut files = Vec::new();
        for (Access { auth, tls }, whose) in self.access.iter().zip(["", " of operators"]) {
            let credentials = auth.as_ref().map(|auth| auth.read()).transpose()?;
            let certificate = tls.as_ref().map(|tls| tls.read()).transpose()?;
            files.push((auth.as_ref().zip(credentials), tls.as_ref().zip(certificate), whose));
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
        let changed = self.in_force.changed(&read.snapshot);
        if changed.contains(&list::LOG.key) {
            self.log.set(filter);
            reloaded.push(format!("{} = {:?}", list::LOG.key, read.log));
        }
        let needs_restart = changed.into_iter().filter(|name| *name != list::LOG.key);
        let needs_restart = needs_restart.map(str::to_owned).collect();
        self.in_force.take(list::LOG.key, &read.snapshot);
        Ok(Reloaded { reloaded, needs_restart })
    }
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
        Some(error) => error.problems().iter().map(ToString::to_string).collect(),
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
}
