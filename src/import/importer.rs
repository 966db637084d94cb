//! The importer: lands one import through the engine that `serve` uses.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::runtime::Handle;

use super::chunk_source::{ChunkOptions, ChunkSource, Origin};
use super::manifest::{ImportManifest, LakeRollLog, ManifestFile, Manifests};
use super::options::Options;
use super::report::Report;
use super::staging::Staging;
use crate::clock::{Clock, SystemClock};
use crate::lake::Lake;
use crate::privacy;
use crate::publish::publisher::Publisher;
use crate::record::{Micros, Roll, Seq};
use crate::roll::RollLimits;
use crate::roll::engine::{Engine, Mode};
use crate::roll::source::Source;
use crate::status::{LogObserver, Observer, Observers, Readiness};
use crate::table::Tables;

/// Lands files and lines of one table in one lake.
pub(super) struct Importer {
    pub(super) options: Options,
    pub(super) manifests: Manifests,
    pub(super) key: Option<privacy::Key>,
    /// The table of the options, alone.
    pub(super) tables: Tables,
}

impl Importer {
    /// Opens the lake. Requests run on `runtime`.
    ///
    /// # Errors
    /// The lake or the privacy key.
    pub(super) fn open(options: Options, runtime: Handle) -> anyhow::Result<Importer> {
        let lake = Lake::open(&options.lake)?;
        Importer::with_lake(options, lake, runtime)
    }

    /// Makes an importer into `lake`, whatever the location in `options`.
    ///
    /// # Errors
    /// The privacy key.
    pub(super) fn with_lake(
        options: Options,
        lake: Lake,
        runtime: Handle,
    ) -> anyhow::Result<Importer> {
        let key = options.privacy_key.as_deref().map(privacy::Key::read).transpose()?;
        let tables = Tables::new(vec![options.table.clone()])?;
        let tables = tables.with_file_names(lake.file_names()?);
        privacy::Applied::by_table(&tables, key.as_ref())?;
        let manifests = Manifests::new(lake, runtime)?;
        Ok(Importer { options, manifests, key, tables })
    }

    /// Lands the import `node` from where it has got to, or from its beginning if it is `new`. Returns
    /// its manifest as it is in the lake then.
    ///
    /// # Errors
    /// Another process has taken up the import; a chunk that cannot be read; the lake.
    pub(super) fn run(
        &self,
        node: &str,
        manifest: ImportManifest,
        new: bool,
        origin: Origin,
        report: &Report,
    ) -> anyhow::Result<ImportManifest> {
        self.check_partitions(&manifest)?;
        let staging = Staging::take(&self.options.lake.location, node)?;
        let mut manifest = self.begin(node, manifest, new)?;
        let again = match manifest.files.first() {
            Some(ManifestFile { content: None, .. }) if manifest.entries.is_none() => {
                "the import is not complete; what has landed stays, and would land twice"
            }
            _ => "the import is not complete; give the same command again to go on with it",
        };
        let first_chunks = self.land(node, &manifest, origin, &staging, report).context(again)?;
        for (file, first) in manifest.files.iter_mut().zip(first_chunks) {
            file.first_seq = Some(first.0);
        }
        manifest.done = true;
        self.manifests.put(node, &manifest)?;
        Ok(manifest)
    }

    /// Compares the partition columns of the import's table with those of the lake, before anything of
    /// it is there.
    ///
    /// # Errors
    /// They differ; the lake.
    fn check_partitions(&self, manifest: &ImportManifest) -> anyhow::Result<()> {
        let tables = Tables::from_json(manifest.tables.as_bytes())?;
        for table in tables.specs() {
            let lake = &self.manifests.lake;
            let compared = lake.check_partitions(&table.name, &table.partition);
            self.manifests.runtime.block_on(compared)?;
        }
        Ok(())
    }

    /// Creates the manifest of a new import. Of one that goes on, checks that it is still open: it was
    /// read before the lock was taken.
    fn begin(
        &self,
        node: &str,
        manifest: ImportManifest,
        new: bool,
    ) -> anyhow::Result<ImportManifest> {
        let ours = if new {
            self.manifests.create(node, &manifest)?
        } else {
            self.manifests.get(node)?.is_some_and(|there| there.is_open())
        };
        ensure!(
            ours,
            "another process has taken up the same import ({node}) meanwhile; give the command \
             again to see how far it has come"
        );
        // Read and written again: an older version may have spelt the same table otherwise.
        let tables = Tables::from_json(manifest.tables.as_bytes())?.latest();
        let file_names = self.tables.specs().first().map(|table| table.file_names);
        let tables = tables.with_file_names(file_names.unwrap_or_default());
        if tables.to_json() != self.tables.to_json() {
            tracing::warn!(
                "{node} goes on with the table, schema and partitions that it began with, which \
                 are not those of this command"
            );
        }
        Ok(manifest)
    }

    /// Ends the interrupted import `node` for good. Returns the names of its files.
    ///
    /// # Errors
    /// There is no such import, or it is under way; the lake.
    pub(super) fn give_up(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let open = || anyhow::Ok(self.manifests.get(node)?.filter(ImportManifest::is_open));
        // Looked up before the lock is taken: a name that somebody typed is no name of a file yet.
        let _staging = match open()? {
            Some(_) => Some(Staging::take(&self.options.lake.location, node)?),
            None => None,
        };
        let Some(mut manifest) = open()? else {
            let all = self.manifests.all()?;
            let open = all.into_iter().filter(|(_, manifest)| manifest.is_open());
            let mut open: Vec<String> = open.map(|(node, _)| node).collect();
            open.sort();
            let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            bail!("no interrupted import has the name {node}; in this lake there are: {open}");
        };
        manifest.given_up = true;
        self.manifests.put(node, &manifest)?;
        Ok(manifest.files.into_iter().map(|file| file.name).collect())
    }

    /// Lands what has no receipt yet: a roll that was sealed as it was sealed, then the rest. Returns
    /// the first chunk of each file.
    fn land(
        &self,
        node: &str,
        manifest: &ImportManifest,
        origin: Origin,
        staging: &Staging,
        report: &Report,
    ) -> anyhow::Result<Vec<Seq>> {
        let tables = Tables::from_json(manifest.tables.as_bytes())?;
        let table = tables.specs().first().ok_or_else(|| anyhow!("no table"))?;
        let table = Arc::clone(&table.name);
        let receipts = self.manifests.receipts(node)?;
        let mut roll = Roll(receipts.len() as u64 + 1);
        let options = ChunkOptions {
            table,
            received_at: Micros(manifest.started_at_us),
            chunk_bytes: manifest.chunk_bytes,
            rule: manifest.chunk_rule(),
        };
        let mut source = ChunkSource::new(origin, options);
        source.from = receipts.last().map_or(Seq::FIRST, |last| Seq(last.last_seq).next());
        if let Some(range) = self.manifests.sealed(node, roll)? {
            source.from = range.first;
            source.last = Some(range.last);
            let mode = Mode::Redo(roll, range);
            self.engine(&tables, node, &mut source, staging, report, mode)?;
            source.last = None;
            roll = roll.next();
        }
        self.engine(&tables, node, &mut source, staging, report, Mode::Live(roll))?;
        Ok(source.first_chunks)
    }

    /// Makes and publishes rolls of `source` until it ends.
    fn engine(
        &self,
        tables: &Tables,
        node: &str,
        source: &mut dyn Source,
        staging: &Staging,
        report: &Report,
        mode: Mode,
    ) -> anyhow::Result<()> {
        let options = &self.options.roll;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let observers: Vec<Arc<dyn Observer>> =
            vec![Arc::new(LogObserver::quiet()), report.lines()];
        let observers = Observers::new(Arc::clone(&clock), observers);
        let limits = RollLimits {
            age_us: i64::MAX,
            file_bytes: options.roll_bytes,
            rows: options.roll_rows.unwrap_or(u64::MAX),
            source_bytes: u64::MAX,
        };
        let engine = Engine {
            options,
            node: node.into(),
            limits,
            tables,
            privacy_key: self.key.as_ref(),
            staging: &staging.files,
            clock,
            observers: &observers,
        };
        let publisher = Publisher::new(
            self.manifests.lake.clone(),
            node.into(),
            tables,
            self.manifests.runtime.clone(),
            Arc::new(Readiness::new()),
            observers.clone(),
        );
        let mut log = LakeRollLog { manifests: &self.manifests, node };
        let again = matches!(mode, Mode::Redo(..));
        engine.run(source, mode, &mut |manifest| {
            publisher.publish(&mut log, manifest, again).map(drop)
        })
    }
}
