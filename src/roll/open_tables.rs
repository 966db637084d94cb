//! The tables of the open roll, by id.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::options::Options;
use super::quarantine_writer::{Rejects, StagedRejects};
use crate::batch::Router;
use crate::decode::Reject;
use crate::encode::{FileForm, Layout, MapGroup};
use crate::table::flat::{session_columns_of, session_time};
use crate::table::{Revision, Spec, TableId, Tables};

/// One table of the open roll.
pub(crate) struct OpenTable {
    /// Routes its rows to partitions.
    pub(crate) router: Router,
    /// The layout of its files.
    pub(crate) layout: Layout,
    /// Its quarantine file, once the roll has a reject of it.
    quarantine: Option<Rejects>,
}

impl OpenTable {
    fn new(
        spec: &Spec,
        options: &Options,
        node: &str,
        threads: &Arc<rayon::ThreadPool>,
    ) -> anyhow::Result<OpenTable> {
        let privacy = spec.privacy.to_string();
        let metadata = [
            ("sessionlake.version", env!("CARGO_PKG_VERSION")),
            ("sessionlake.node", node),
            ("sessionlake.schema", spec.schema.fingerprint.as_str()),
            ("sessionlake.partition", spec.partition.as_str()),
            ("sessionlake.privacy", privacy.as_str()),
        ];
        let form = FileForm {
            compression: options.compression,
            encodings: options.encodings,
            maps: match spec.revision {
                Revision::First => MapGroup::Entries,
                _ => MapGroup::KeyValue,
            },
        };
        let layout = match spec.rows.is_derived() {
            true => Layout::flat(&spec.schema, form, &metadata, session_columns_of(spec)?),
            false => Layout::new(&spec.schema, form, &metadata),
        };
        let layout = layout.with_context(|| format!("table {}", spec.name))?;
        let layout = layout.with_threads(Arc::clone(threads));
        // One session of an import would open as many partitions as all of its files otherwise.
        let is_of_any_time = spec.partition_limits.time_window_ms.is_none();
        let session_time = (spec.rows.is_derived() && is_of_any_time)
            .then(|| session_time(&spec.schema))
            .flatten();
        let router = Router::new(spec.partition.clone())
            .by_rules(spec.path_rules())
            .with_limits(spec.partition_limits)
            .by_session(session_time);
        Ok(OpenTable { router, layout, quarantine: None })
    }

    /// Writes rejects to the quarantine file, which is created at `path` if there is none yet.
    pub(crate) fn quarantine(
        &mut self,
        rejects: &[Reject],
        path: impl FnOnce() -> PathBuf,
    ) -> anyhow::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let file = match &mut self.quarantine {
            Some(file) => file,
            none => none.insert(Rejects::create(path())?),
        };
        file.write(rejects)
    }

    /// Finishes the quarantine file, if there is one, and begins the next roll.
    fn finish(&mut self) -> anyhow::Result<Option<StagedRejects>> {
        self.router.begin();
        self.quarantine.take().map(Rejects::finish).transpose()
    }
}

/// All tables of the open roll, in the order of their ids.
pub(crate) struct OpenTables(Vec<(TableId, OpenTable)>);

impl OpenTables {
    /// Opens every table of `tables`. `node` goes into the footers; `threads` encode.
    ///
    /// # Errors
    /// A schema that Parquet cannot hold.
    pub(crate) fn new(
        tables: &Tables,
        options: &Options,
        node: &str,
        threads: &Arc<rayon::ThreadPool>,
    ) -> anyhow::Result<OpenTables> {
        let open = tables
            .iter()
            .map(|(id, spec)| anyhow::Ok((id, OpenTable::new(spec, options, node, threads)?)));
        Ok(OpenTables(open.collect::<anyhow::Result<_>>()?))
    }

    /// Returns the table with `id`.
    ///
    /// # Errors
    /// The id is of another list of tables: a bug.
    pub(crate) fn get_mut(&mut self, id: TableId) -> anyhow::Result<&mut OpenTable> {
        self.0.get_mut(id.index()).map(|(_, table)| table).with_context(|| no_table(id))
    }

    /// Returns the layout of the table's files.
    ///
    /// # Errors
    /// The id is of another list of tables: a bug.
    pub(crate) fn layout(&self, id: TableId) -> anyhow::Result<&Layout> {
        self.0.get(id.index()).map(|(_, table)| &table.layout).with_context(|| no_table(id))
    }

    /// Finishes the quarantine files, and begins the next roll.
    ///
    /// # Errors
    /// A quarantine file cannot be written.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Vec<(TableId, StagedRejects)>> {
        let mut finished = Vec::new();
        for (id, table) in &mut self.0 {
            finished.extend(table.finish()?.map(|staged| (*id, staged)));
        }
        Ok(finished)
    }
}

fn no_table(id: TableId) -> String {
    format!("the roll has no table with the id {}", id.index())
}
