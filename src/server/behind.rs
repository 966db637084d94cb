//! The parts behind the receiver: the journal, the tables, the lake.

use std::sync::Arc;

use super::{Settings, landable};
use crate::clock::Clock;
use crate::dedup;
use crate::journal::{Journal, MAX_SETTINGS_BYTES, RealDisk, Recovery, ReplayProgress};
use crate::lake::Lake;
use crate::privacy;
use crate::publish::fence;
use crate::publish::lake_file::LakeFile;
use crate::publish::promotion::Promotion;
use crate::table::{FileNames, Tables, registry};

/// The opened parts. They hold the lock of the state directory.
pub(super) struct Behind {
    pub(super) journal: Journal,
    pub(super) recovery: Recovery,
    pub(super) lake: Lake,
    pub(super) tables: Tables,
    pub(super) dedup: Option<Arc<dedup::Index>>,
    pub(super) promotion: Arc<Promotion>,
}

impl Behind {
    /// Opens everything that `settings` name. Blocks: the whole journal is read and checked, which
    /// `progress` shows and can end.
    ///
    /// Errors in the address of the lake are found before the journal is opened.
    ///
    /// # Errors
    /// A file or directory that cannot be read or does not hold what it must; a state directory
    /// that another server has; a damaged journal; bodies in it that can never land by these
    /// settings. Nothing was lost.
    pub(super) fn open(
        settings: &Settings,
        key: Option<&privacy::Key>,
        configured: Tables,
        clock: &Arc<dyn Clock>,
        progress: &Arc<ReplayProgress>,
    ) -> anyhow::Result<Behind> {
        let lake = open_lake(settings)?;
        let options = settings.journal_options(key)?;
        let (disk, clock) = (Arc::new(RealDisk), Arc::clone(clock));
        let (journal, recovery) = Journal::replay(disk, clock, options, progress)?;
        log_recovery(&recovery);
        let waiting = recovery.unsealed_from < recovery.next;
        let tables = registry::remember(settings.state(), configured, waiting, MAX_SETTINGS_BYTES)?;
        let tables = tables.with_file_names(file_names(&lake));
        let lake_file = LakeFile::new(Arc::new(RealDisk), settings.state());
        let promotion = Promotion::open(&lake_file, tables)?
            .after(settings.promote_after.clone())
            .with_catalog(settings.catalog.clone());
        let tables = Tables::clone(&promotion.tables());
        landable::check(settings.state(), &recovery, &tables, key)?;
        landable::remember_key(settings.state(), key)?;
        let dedup = open_dedup(settings, &tables, journal.node())?;
        Ok(Behind { journal, recovery, lake, tables, dedup, promotion: Arc::new(promotion) })
    }
}

/// Returns the file names that the lake tells apart, or those that need no telling if it cannot be asked.
fn file_names(lake: &Lake) -> FileNames {
    lake.file_names().unwrap_or_else(|error| {
        tracing::warn!(
            "cannot try the lake, so capital letters in partitions are escaped: {error}"
        );
        FileNames::Folded
    })
}

/// Opens the lake of `settings`. One that the state directory remembers is not created, and a
/// directory is checked to be that lake.
///
/// # Errors
/// The lake; it is another one, or none.
fn open_lake(settings: &Settings) -> anyhow::Result<Lake> {
    let file = LakeFile::new(Arc::new(RealDisk), settings.state());
    fence::open_lake(&settings.lake, &file)
}

/// Opens the index of rows that have landed if a table leaves doubles out, and deletes it otherwise.
///
/// # Errors
/// It is not needed, and cannot be deleted.
fn open_dedup(
    settings: &Settings,
    tables: &Tables,
    node: &str,
) -> anyhow::Result<Option<Arc<dedup::Index>>> {
    let windows = tables.specs().iter().filter_map(|spec| spec.dedup_window_ms);
    let Some(window_ms) = windows.max() else {
        dedup::remove(settings.state())?;
        return Ok(None);
    };
    let options = dedup::IndexOptions {
        window_us: i64::try_from(window_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
        max_rows: settings.dedup_max_rows,
        memory_bytes: settings.roll.memory_bytes,
    };
    dedup::Index::open(settings.state(), node, options).map(|index| Some(Arc::new(index)))
}

fn log_recovery(recovery: &Recovery) {
    for skipped in &recovery.skipped {
        for lost in &skipped.lost {
            tracing::error!("bodies {} to {} are lost: {}", lost.first, lost.last, skipped.why);
        }
        if let Some(path) = &skipped.path {
            let (path, kept) = (path.display(), skipped.kept);
            tracing::warn!("{kept} bodies of a damaged segment are kept, and the file is {path}");
        }
    }
    if recovery.torn_bytes > 0 {
        tracing::info!("cut {} bytes that were never acknowledged", recovery.torn_bytes);
    }
}
