//! The importer: lands one import through the engine that `serve` uses.

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use tokio::runtime::Handle;

use super::extent::Progress;
use super::files::{Failure, Files, Part};
use super::landing::{Landed, Landing};
use super::manifest::{CHUNK_BYTES, ImportManifest, Manifests};
use super::options::{Input, Options};
use super::planned::PlannedImport;
use super::report::Report;
use super::staging::Staging;
use super::{claims, index};
use crate::lake::{ColumnError, Lake};
use crate::privacy;
use crate::publish::pauses::Pauses;
use crate::publish::promoted_columns::with_columns_of;
use crate::publish::visibility::{LogTables, Looked};
use crate::record::Roll;
use crate::table::{Format, PartitionLimits, Tables};

/// Lands files and lines of one table in one lake.
pub(super) struct Importer {
    pub(super) options: Options,
    pub(super) manifests: Manifests,
    pub(super) key: Option<privacy::Key>,
    /// The table of the options, and its flat tables.
    pub(super) tables: Tables,
    /// Bytes of a chunk of a new import.
    pub(super) chunk_bytes: usize,
    /// Pauses between attempts at the store.
    pub(super) pauses: Pauses,
}

/// The outcome of a planned import.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Its manifest, unless other processes have taken all of it.
    pub(super) manifest: Option<ImportManifest>,
    /// Files that have not landed, or not whole, each with the reason.
    pub(super) failed: Vec<String>,
    /// Files that were to be of an import which another process has begun without them.
    pub(super) retry: Vec<Input>,
}

/// An import that was given up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Names of files that had landed whole: they count as imported.
    pub imported: Vec<String>,
    /// Names of the other files: they do not, though lines of them may have landed.
    pub not_imported: Vec<String>,
    /// The start of the names of data files that no receipt accounts for, if some were put: they are
    /// of a roll that was under way.
    pub unfinished: Option<String>,
}

impl Importer {
    /// Opens the lake, and reads which columns were promoted there. Requests run on `runtime`.
    ///
    /// # Errors
    /// The lake or the privacy key.
    pub(super) fn open(options: Options, runtime: Handle) -> anyhow::Result<Importer> {
        let lake = Lake::open(&options.lake)?;
        Importer::with_lake(options, lake, runtime)?.with_promoted_columns()
    }

    /// Adds the columns that receivers of the lake have promoted to the tables of new imports.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn with_promoted_columns(self) -> anyhow::Result<Importer> {
        let Manifests { lake, runtime, .. } = &self.manifests;
        let tables = with_columns_of(lake, self.tables.clone(), runtime)?;
        Ok(Importer { tables, ..self })
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
        let table = std::iter::once(&options.table);
        let tables = Tables::new(table.chain(&options.flat).cloned().collect())?;
        // Files span years, and who imports them has chosen them.
        let tables = tables.with_partition_limits(PartitionLimits::IMPORTED);
        let tables = tables.with_file_names(lake.file_names()?);
        privacy::Applied::by_table(&tables, key.as_ref())?;
        let manifests = Manifests::new(lake, runtime)?;
        let (chunk_bytes, pauses) = (CHUNK_BYTES, Pauses::USUAL);
        Ok(Importer { options, manifests, key, tables, chunk_bytes, pauses })
    }

    /// Lands a planned import from where it has got to, or from its beginning if it is new.
    ///
    /// # Errors
    /// Another process has taken up the import; the lake. What has landed stays.
    pub(super) fn run(&self, mut planned: PlannedImport, report: &Report) -> anyhow::Result<Run> {
        self.check_partitions(&planned)?;
        let staging = Staging::take(&self.options.lake.location, &planned.node)?;
        self.manifests.identify()?;
        let mut run = Run::default();
        let stream = if planned.manifest.is_of_stream() {
            Some(open_stream(&planned, report.bar())?)
        } else {
            None
        };
        if planned.new {
            self.claim(&mut planned, &mut run)?;
            if planned.manifest.files.is_empty() || !self.create(&mut planned, &mut run)? {
                return Ok(run);
            }
        }
        let PlannedImport { node, manifest, lines, .. } = planned;
        let mut progress = self.begin(&node, &manifest)?;
        let is_of_stream = stream.is_some();
        let again = if is_of_stream {
            "the import is not complete; what has landed stays, and would land twice"
        } else {
            "the import is not complete; give the same command again to go on with it"
        };
        let tables = self.tables_of(&manifest).context(again)?;
        let landing = Landing {
            manifests: &self.manifests,
            options: &self.options.roll,
            key: self.key.as_ref(),
            pauses: self.pauses,
            node: &node,
            tables: &tables,
            staging: &staging,
            report,
        };
        let landed = landing.land(&manifest, lines, stream, &mut progress).context(again);
        if landed.is_err() && is_of_stream {
            self.close_stream(&node, &manifest);
        }
        let landed = landed?;
        self.make_visible(&node, &tables)?;
        self.finish(&node, manifest, &progress, landed, &mut run)?;
        Ok(run)
    }

    /// Returns the tables of an import. One that was begun with plain files goes on in a table that has
    /// got a log meanwhile.
    ///
    /// # Errors
    /// The lake; tables that are not there or cannot be read.
    fn tables_of(&self, manifest: &ImportManifest) -> anyhow::Result<Tables> {
        let tables = self.manifests.tables(manifest, &self.tables)?;
        Ok(match self.options.table.format {
            Format::Plain => tables,
            format => tables.with_format(format),
        })
    }

    /// Commits the rolls of the import to its table, if that has a log: before the import is done, so
    /// that an interrupted one is gone on with. Then those of other nodes that landed before the table
    /// had a log, which nobody else commits if no server runs; what cannot be added is told of, and is no
    /// failure of this import.
    ///
    /// # Errors
    /// The table cannot take the rolls of the import.
    fn make_visible(&self, node: &str, tables: &Tables) -> anyhow::Result<()> {
        let Manifests { lake, runtime, .. } = &self.manifests;
        let catalog = self.options.catalog.as_ref();
        let Some(logs) = LogTables::of(lake, tables.specs(), catalog, runtime)? else {
            return Ok(());
        };
        // Not known is not new; the commit tells what is wrong.
        let is_new = logs.is_new().unwrap_or(false);
        logs.commit_all(&node.into()).context(
            "all rows have landed, and readers of the table do not see them yet; give the same \
             command again once the table is mended",
        )?;
        let (added, wait) = logs.commit_left_behind(node, is_new);
        if added > 0 {
            tracing::info!(
                "added rolls of {added} other nodes that had landed before the table had a log"
            );
        }
        for why in wait {
            tracing::warn!("{why}; `sessionlake convert` tries again");
        }
        Ok(())
    }

    /// Looks at the table of an import that has a log, before anything lands.
    ///
    /// # Errors
    /// The table cannot take the rolls. One that is away is waited for once they have landed.
    fn check_log(&self, tables: &Tables) -> anyhow::Result<()> {
        let Manifests { lake, runtime, .. } = &self.manifests;
        let logs = LogTables::of(lake, tables.specs(), self.options.catalog.as_ref(), runtime)?;
        for (table, looked) in logs.map(|logs| logs.look()).unwrap_or_default() {
            match looked {
                Looked::Can(_) => {}
                Looked::Refused(why) => anyhow::bail!("table {table}: {why}"),
                Looked::Away(why) => tracing::warn!(
                    "table {table} cannot be committed to yet: {why}; rows land, and wait for it"
                ),
            }
        }
        Ok(())
    }

    /// Compares the partition columns of the import's table, and the types of all columns, with those of
    /// the lake, before anything of it is there.
    ///
    /// # Errors
    /// They differ; the lake.
    fn check_partitions(&self, planned: &PlannedImport) -> anyhow::Result<()> {
        let tables = self.tables_of(&planned.manifest)?;
        for table in tables.specs() {
            let lake = &self.manifests.lake;
            if let Ok(Some(conflict)) = self.manifests.runtime.block_on(lake.check_format(table)) {
                return Err(conflict.into());
            }
            let compared = lake.check_partitions(&table.name, &table.partition);
            self.manifests.runtime.block_on(compared)?;
            let compared = lake.check_columns(&table.name, &table.schema);
            match self.manifests.runtime.block_on(compared) {
                Err(ColumnError::Conflict(conflict)) => return Err((*conflict).into()),
                // Who may not list can land.
                Err(ColumnError::Store(_)) | Ok(()) => {}
            }
        }
        self.check_log(&tables)
    }

    /// Claims the files of a new import, and takes those out of it that another import has.
    fn claim(&self, planned: &mut PlannedImport, run: &mut Run) -> anyhow::Result<()> {
        let Manifests { lake, runtime, .. } = &self.manifests;
        let owners = claims::claim(lake, runtime, &planned.node, &planned.claims)?;
        let lost = std::mem::take(&mut planned.claims).into_iter().zip(owners);
        for (claim, owner) in lost {
            let Some(owner) = owner else { continue };
            planned.take_out(&claim.content);
            run.failed.push(format!(
                "{}: another process has begun to import it meanwhile ({owner}); give it again to see \
                 how far that has come",
                claim.name
            ));
        }
        Ok(())
    }

    /// Creates the manifest of a new import. Returns false if another process has created one that has
    /// none of the files: they are free again, whatever they were claimed as.
    ///
    /// # Errors
    /// Another process has taken up the import; the lake has receipts of it already.
    fn create(&self, planned: &mut PlannedImport, run: &mut Run) -> anyhow::Result<bool> {
        let (node, files) = (&planned.node, &planned.manifest.files);
        if self.manifests.has_receipt(node)? {
            let known = self.manifests.get(node)?.is_some();
            ensure!(known, forgotten(node, files.iter().map(|file| &*file.name)));
        }
        let created = self.manifests.create(node, &planned.manifest, &self.tables)?;
        let Some(there) = created else { return Ok(true) };
        let taken = |content: &String| there.file(content).is_some();
        let contents: Vec<String> = files.iter().filter_map(|file| file.content.clone()).collect();
        ensure!(!contents.is_empty() && !contents.iter().all(taken), taken_up(node));
        for content in contents {
            let at = planned.manifest.file(&content);
            let file = at.and_then(|at| planned.manifest.files.get(at));
            let name = file.map(|file| file.name.clone()).unwrap_or_default();
            let input = planned.take_out(&content);
            match taken(&content) {
                true => run.failed.push(format!("{name}: {}", taken_up(&planned.node))),
                false => run.retry.extend(input),
            }
        }
        Ok(false)
    }

    /// Checks that an import is open, which was read before the lock was taken, and reads how far it
    /// is in.
    fn begin(&self, node: &str, manifest: &ImportManifest) -> anyhow::Result<Progress> {
        ensure!(self.manifests.get(node)?.is_some_and(|there| there.is_open()), taken_up(node));
        let progress = self.manifests.progress(node, manifest)?;
        ensure!(!progress.closed, "the import {node} was given up meanwhile");
        // Read and written again: an older version may have spelt the same table otherwise.
        let tables = self.tables_of(manifest)?.latest();
        let file_names = self.tables.specs().first().map(|table| table.file_names);
        let tables = tables.with_file_names(file_names.unwrap_or_default());
        let tables = tables.with_partition_limits(PartitionLimits::IMPORTED);
        if tables.to_json() != self.tables.to_json() {
            tracing::warn!(
                "{node} goes on with the table, schema and partitions that it began with, which \
                 are not those of this command"
            );
        }
        Ok(progress)
    }

    /// Gives up the import of what can be read only once, since nothing can go on with it.
    fn close_stream(&self, node: &str, manifest: &ImportManifest) {
        let given_up = ImportManifest { given_up: true, ..manifest.clone() };
        if let Err(error) = self.manifests.put(node, &given_up) {
            tracing::debug!("{node} stays open: {error:#}");
        }
    }

    /// Marks an import as done if it is, and names the files that were not read to their end.
    fn finish(
        &self,
        node: &str,
        mut manifest: ImportManifest,
        progress: &Progress,
        landed: Landed,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        for Failure { file, lines, error } in landed.failures {
            let landed = match progress.files.get(file).map_or(0, |file| file.chunks) {
                0 => "nothing of it has landed".to_owned(),
                _ if lines == 0 => "a part of it has landed".to_owned(),
                _ => format!("its first {lines} lines have landed"),
            };
            let name = manifest.files.get(file).map_or("", |file| &file.name);
            run.failed.push(format!(
                "{name}: {error:#}; {landed}. Give it again as it was to land the rest; if it is gone \
                 or has changed, `sessionlake import --give-up {node}` ends the import"
            ));
        }
        for (index, file) in manifest.files.iter_mut().enumerate() {
            file.first_seq = landed.first_chunks.get(index).copied().flatten();
            let ranges = progress.files.get(index).map(|file| file.ranges.clone());
            file.ranges = ranges.filter(|ranges| ranges.len() > 1).unwrap_or_default();
        }
        manifest.done = landed.complete;
        if manifest.done {
            self.manifests.put(node, &manifest)?;
        }
        run.manifest = Some(manifest);
        Ok(())
    }

    /// Ends the interrupted import `node` for good.
    ///
    /// # Errors
    /// There is no such import, or it is under way; the lake.
    pub(super) fn give_up(&self, node: &str) -> anyhow::Result<GivenUp> {
        let open = || anyhow::Ok(self.manifests.get(node)?.filter(ImportManifest::is_open));
        // Looked up before the lock is taken: a name that somebody typed is no name of a file yet.
        let _staging = match open()? {
            Some(_) => Some(Staging::take(&self.options.lake.location, node)?),
            None => None,
        };
        let Some(mut manifest) = open()? else {
            index::ensure(&self.manifests)?;
            let nodes = self.manifests.open_nodes()?.into_iter().collect();
            let open = self.manifests.of(nodes)?.into_iter();
            let open = open.filter(|(_, manifest)| manifest.is_open());
            let mut open: Vec<String> = open.map(|(node, _)| node).collect();
            open.sort();
            let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            bail!("no interrupted import has the name {node}; in this lake there are: {open}");
        };
        let begun = self.manifests.progress(node, &manifest)?;
        // From here on no process seals a roll of it.
        self.manifests.close(node, begun.next_roll)?;
        let progress = self.manifests.progress(node, &manifest)?;
        manifest.given_up = true;
        self.manifests.put(node, &manifest)?;
        let mut given_up = GivenUp::default();
        for (index, file) in manifest.files.into_iter().enumerate() {
            match progress.is_in(index) {
                true => given_up.imported.push(file.name),
                false => given_up.not_imported.push(file.name),
            }
        }
        let Roll(roll) = progress.next_roll;
        given_up.unfinished = progress.sealed.map(|_| format!("{node}-{roll:08}"));
        Ok(given_up)
    }
}

/// Opens the input of an import that can be read only once, before anything of it is written.
fn open_stream(planned: &PlannedImport, bar: ProgressBar) -> anyhow::Result<Files> {
    let part = |input| Part { file: 0, input, content: None, bytes: None, skip: 0, chunks: None };
    let parts = planned.inputs().into_iter().map(part).collect();
    let mut files = Files::new(parts, true, bar);
    files.open_first(planned.manifest.chunk_rule())?;
    Ok(files)
}

/// Says that another process lands the import `node`.
fn taken_up(node: &str) -> String {
    format!(
        "another process has taken up the same import ({node}) meanwhile; give the command again to \
         see how far it has come"
    )
}

/// Says that `files` are of an import of which only the receipts are left.
pub(super) fn forgotten<'a>(node: &str, files: impl Iterator<Item = &'a str>) -> String {
    format!(
        "{}: imported before, in whole or in part: the receipts of {node} are in the lake, and its \
         record is gone from _imports (by a rule that cleans up?). Nothing of it has landed now. \
         `sessionlake verify` counts what had; to land it once more, give --again",
        files.collect::<Vec<_>>().join(", ")
    )
}
