//! Settings of a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::commit::CatalogOptions;
use crate::journal::{self, BodyCipher};
use crate::status::InForce;
use crate::tls::TlsFiles;
use crate::{http, lake, privacy, roll, table};

/// The share of `memory` for bodies that go from the journal to the decoder in memory: an eighth.
const HANDED_SHARE: u64 = 8;

/// Settings of a server: the options of its stations.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The listening address as it was typed, for messages.
    pub listen: String,
    /// The addresses that `listen` resolved to, IPv4 first, at least one. The first that can be
    /// bound is.
    pub addresses: Vec<SocketAddr>,
    /// The listener of operators, if there is one.
    pub status: Option<StatusSettings>,
    /// Settings in force, for a status page.
    pub shown: InForce,
    /// The receiver.
    pub http: http::Options,
    /// File of credentials; none when no request is asked for any.
    pub credentials: Option<PathBuf>,
    /// Files of TLS; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The journal. Its directory is the state directory, which does not lie in a local lake. Its
    /// cipher is made from `privacy_key`, which it needs to encrypt.
    pub journal: journal::Options,
    /// The lake.
    pub lake: lake::Options,
    /// The tables, with different names; at least one.
    pub tables: Vec<table::Spec>,
    /// Rows that a field without a column must be in to become one, by table that promotes.
    pub promote_after: BTreeMap<Arc<str>, u64>,
    /// The catalog of Iceberg tables; required if a table is one.
    pub catalog: Option<CatalogOptions>,
    /// Most rows that `dedup` remembers.
    pub dedup_max_rows: u64,
    /// File of the secret of the privacy rules and of the journal's encryption; required if a
    /// table has such rules.
    pub privacy_key: Option<PathBuf>,
    /// Rolls and their files.
    pub roll: roll::Options,
    /// Age of the oldest row at which a roll ends.
    pub roll_age: Duration,
    /// Time for which bodies are taken after a stop was asked for.
    pub drain_delay: Duration,
    /// The most time of a stop; none if it may take as long as the lake is away.
    pub drain_limit: Option<Duration>,
    /// Age of the oldest body that has not landed from which on it is reported as trouble.
    pub overdue_after: Duration,
    /// Time between two verifications of the lake; none if there are to be none.
    pub verify_every: Option<Duration>,
    /// Age of the receipts up to which a verification looks at them.
    pub verify_window: Duration,
}

/// Settings of the listener of operators.
#[derive(Clone, Debug)]
pub struct StatusSettings {
    /// The listening address as it was typed, for messages.
    pub listen: String,
    /// The addresses that `listen` resolved to, at least one. The first that can be bound is.
    pub addresses: Vec<SocketAddr>,
    /// Files of TLS; none for plain HTTP, as on loopback.
    pub tls: Option<TlsFiles>,
    /// File of the credentials of operators; none when none are asked for.
    pub credentials: Option<PathBuf>,
}

impl Settings {
    /// Returns the state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.journal.dir
    }

    /// Returns the connections that are taken besides those of senders: for health and metrics, and those of
    /// the listener of operators if there is one.
    pub(crate) fn spare_connections(&self) -> usize {
        let status = self.status.as_ref().map_or(0, |_| http::MOST_STATUS_CONNECTIONS);
        http::SPARE_CONNECTIONS + status
    }

    /// Returns the journal's options with the cipher of `key`, and memory for bodies that are handed on. The cipher is there also if the journal
    /// is not to encrypt: bodies may wait from when it was.
    ///
    /// # Errors
    /// The cryptographic library refuses the key.
    pub(crate) fn journal_options(
        &self,
        key: Option<&privacy::Key>,
    ) -> anyhow::Result<journal::Options> {
        let cipher = key.map(|key| {
            BodyCipher::derived(|purpose| key.derive(purpose))
                .context("the privacy key cannot be used")
        });
        let hand_on_bytes = self.roll.memory_bytes / HANDED_SHARE;
        Ok(journal::Options { cipher: cipher.transpose()?, hand_on_bytes, ..self.journal.clone() })
    }

    /// Returns the directory for files of the open roll. Every start empties it, so it has a name
    /// of the program's own.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.state().join(".sessionlake-staging")
    }
}
