//! Settings that hold: right types, in range, and going together.
//!
//! Whoever has one of these values need not check it again; `checker` is what makes them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::Endpoint;
use crate::lake;
use crate::privacy;
use crate::roll;
use crate::schema::TableSchema;
use crate::table::{Spec, Tables, Template};
use crate::tls::TlsFiles;

/// What `serve` (and `check`) go by.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Receiving over HTTP.
    pub receive: Receive,
    /// The journal.
    pub journal: Journal,
    /// Where files go.
    pub lake: lake::Options,
    /// What the files are like.
    pub landing: Landing,
    /// When files are written: at this age of their oldest row.
    pub roll_age: Duration,
    /// What to log: a filter of `tracing-subscriber`, already known to parse.
    pub log: String,
}

/// What `import` goes by.
#[derive(Clone, Debug)]
pub struct Import {
    /// What to read, in order.
    pub inputs: Vec<Input>,
    /// Import a file although it was imported before.
    pub again: bool,
    /// Print nothing but errors: no progress and no summary.
    pub quiet: bool,
    /// Where files go.
    pub lake: lake::Options,
    /// What the files are like.
    pub landing: Landing,
    /// What to log: a filter of `tracing-subscriber`, already known to parse.
    pub log: String,
}

/// One thing to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, typed as `-`.
    Stdin,
    /// A file. Whether it exists is found out when it is opened.
    File(PathBuf),
}

/// Receiving over HTTP.
#[derive(Clone, Debug)]
pub struct Receive {
    /// The address as it was typed, for messages.
    pub listen: String,
    /// What it resolved to, IPv4 first, never empty. Bind the first that can be bound. All of
    /// them are loopback, unless listening elsewhere was allowed in so many words.
    pub addresses: Vec<SocketAddr>,
    /// Names that it is known by, that of `listen` among them.
    pub host_names: Vec<String>,
    /// Where sessions are taken; never none, with different paths and names.
    pub endpoints: Vec<Endpoint>,
    /// Whom to believe; none for nobody being asked.
    pub credentials: Option<PathBuf>,
    /// What TLS is spoken with; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Longest time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Most connections of one peer at a time; at least 1.
    pub max_connections_per_peer: Option<usize>,
    /// Most requests of one peer in a second, over all endpoints; at least 1.
    pub requests_per_second: Option<u32>,
    /// Longest time for the headers of a request.
    pub header_timeout: Duration,
    /// Longest time for the body of a request.
    pub body_timeout: Duration,
    /// Longest time for requests under way at a stop; zero cuts them off.
    pub drain_timeout: Duration,
    /// Most connections at a time; at least 1.
    pub max_connections: usize,
}

/// The journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Its directory; not within a local lake.
    pub dir: PathBuf,
    /// What the node's name begins with: `[a-z0-9-]{0,32}`.
    pub node_prefix: String,
    /// Bytes of a segment file after which a new one is begun.
    pub segment_bytes: u64,
    /// Most bytes on disk that have not landed; not below a segment or an inflated body.
    pub quota_bytes: u64,
    /// Compress bodies; encrypted ones never are.
    pub compress: bool,
    /// Bytes to leave free on its disk.
    pub reserve_bytes: u64,
    /// How long a body is remembered to recognise its retry; zero never.
    pub retry_window: Duration,
    /// Set damaged segments aside instead of refusing to start.
    pub skip_damaged: bool,
    /// Encrypt bodies; then there is a privacy key.
    pub encrypt: bool,
}

impl Journal {
    /// Where files of the open roll are made. Emptied at every start, so under a name that nobody
    /// else has.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.dir.join(".sessionlake-staging")
    }
}

/// What the files are like, and how many resources making them takes.
#[derive(Clone, Debug)]
pub struct Landing {
    /// Name of the table: `[a-z0-9_]{1,64}`, not beginning with `_`.
    pub table: Arc<str>,
    /// Its columns.
    pub schema: Arc<TableSchema>,
    /// File of its Avro schema; none when it is built in.
    pub schema_file: Option<PathBuf>,
    /// Partition template, of columns of the schema.
    pub partition: Template,
    /// The other tables, by names that differ from `table` and each other.
    pub more_tables: Vec<Table>,
    /// What is done to personal data, in all tables.
    pub privacy: privacy::Rules,
    /// File of the secret that `privacy` hashes with; there when it has any rule.
    pub privacy_key: Option<PathBuf>,
    /// How rolls are made.
    pub roll: roll::Options,
}

impl Landing {
    /// All tables, with the privacy rules, which hold for each.
    ///
    /// # Errors
    /// [`Tables::new`]'s.
    pub fn tables(&self) -> anyhow::Result<Tables> {
        let spec = |name: &Arc<str>, schema: &Arc<TableSchema>, partition: &Template| Spec {
            privacy: self.privacy.clone(),
            ..Spec::new(Arc::clone(name), Arc::clone(schema), partition.clone())
        };
        let first = spec(&self.table, &self.schema, &self.partition);
        let more = self.more_tables.iter();
        let more = more.map(|table| spec(&table.name, &table.schema, &table.partition));
        Tables::new(std::iter::once(first).chain(more).collect())
    }

    /// Reads the secret of the privacy rules, if one is configured.
    ///
    /// # Errors
    /// [`privacy::Key::read`]'s.
    pub fn read_privacy_key(&self) -> anyhow::Result<Option<privacy::Key>> {
        Ok(self.privacy_key.as_deref().map(privacy::Key::read).transpose()?)
    }
}

/// A table besides the first.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, of the same form as the first's.
    pub name: Arc<str>,
    /// Its columns.
    pub schema: Arc<TableSchema>,
    /// Partition template, of columns of the schema.
    pub partition: Template,
}
