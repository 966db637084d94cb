//! The objects of a sealed roll that stand in the lake when the roll is made again.
//!
//! A roll that is made again has the same names and the same rows, and not the same bytes: memory,
//! threads and the codec may be others. So what stands is never put again. An object appears whole,
//! and its rows, size and statistics are read from the lake.
//!
//! When a segment was given up since the seal (`--skip-damaged`), the roll has fewer rows, and may
//! lack whole files. What stands was made of the whole range, and counts as it is.

use crate::lake::names::{self, ObjectName};
use crate::lake::{Lake, Object};
use crate::roll::manifest::{Manifest, ObjectId, Standing, Upload};

use super::error::PublishError;
use crate::columnar::statistics::FileStatistics;

/// Looks for the object of `upload` in the lake. Returns `None` when there is none.
///
/// # Errors
/// The store; an object that is none of this program's.
pub(super) async fn standing(
    lake: &Lake,
    upload: &Upload,
) -> Result<Option<Standing>, PublishError> {
    let Some(object) = lake.head(&upload.name).await? else { return Ok(None) };
    let standing = match upload.id {
        ObjectId::Data { .. } => data_file(lake, &object).await?,
        ObjectId::Quarantine { .. } => quarantine_file(lake, &object).await?,
    };
    Ok(Some(standing))
}

/// Reads the facts of a data file from its footer.
async fn data_file(lake: &Lake, object: &Object) -> Result<Standing, PublishError> {
    let footer = lake.footer(object).await;
    let footer = footer.map_err(|error| PublishError::of_footer(&object.name, error))?;
    lake.make_durable(&object.name).await?;
    Ok(Standing {
        rows: u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0),
        bytes: object.bytes,
        statistics: Some(FileStatistics::of(&footer)),
    })
}

/// Counts the entries of a quarantine file.
async fn quarantine_file(lake: &Lake, object: &Object) -> Result<Standing, PublishError> {
    let entries = lake.quarantine_count(&object.name).await?;
    let rows = entries.ok_or_else(|| PublishError::Vanished(object.name.clone()))?;
    lake.make_durable(&object.name).await?;
    Ok(Standing { rows, bytes: object.bytes, statistics: None })
}

/// A file of the roll that stands in the lake and that this attempt has not made.
#[derive(Debug)]
pub(super) enum Unmade {
    Data { table: usize, partition: String, standing: Standing },
    Quarantine { table: usize, standing: Standing },
}

/// Looks for files of the roll that `manifest` does not have: all their rows are lost. Lists the
/// tables of the roll, which is slow in a large lake, and rare.
///
/// # Errors
/// The store; an object that is none of this program's.
pub(super) async fn unmade(lake: &Lake, manifest: &Manifest) -> Result<Vec<Unmade>, PublishError> {
    let mut found = Vec::new();
    for (table, made) in manifest.tables.iter().enumerate() {
        for object in lake.list(&made.name).await? {
            let ObjectName::Data { table: of, partition, node, roll } =
                ObjectName::parse(&object.name)
            else {
                continue;
            };
            let ours = (of, node, roll) == (&*made.name, &*manifest.node, manifest.roll);
            if ours && made.files.iter().all(|file| file.partition != partition) {
                let standing = data_file(lake, &object).await?;
                let partition = partition.to_owned();
                found.push(Unmade::Data { table, partition, standing });
            }
        }
        if made.quarantine.is_none() {
            let name = names::quarantine(&made.name, &manifest.node, manifest.roll);
            if let Some(object) = lake.head(&name).await? {
                let standing = quarantine_file(lake, &object).await?;
                found.push(Unmade::Quarantine { table, standing });
            }
        }
    }
    Ok(found)
}
