//! The objects of a sealed roll that stand in the lake when the roll is made again.
//!
//! A roll that is made again has the same names and the same rows, and not the same bytes: memory,
//! threads and the codec may be others. So what stands is never put again. An object appears whole,
//! and its rows, size and statistics are read from the lake.
//!
//! When a segment was given up since the seal (`--skip-damaged`), the roll has fewer rows, and may
//! lack whole files. What stands was made of the whole range, and counts as it is.

use parquet::file::metadata::ParquetMetaData;

use super::error::PublishError;
use crate::columnar::statistics::{FileStatistics, Scalar};
use crate::commit::RollId;
use crate::lake::names::{self, ObjectName};
use crate::lake::{Lake, Object};
use crate::record::{Seq, SeqRange};
use crate::roll::data_files::BODIES_DIGEST;
use crate::roll::manifest::{Manifest, ObjectId, Standing, StatisticsBudget, Upload};
use crate::schema::INGEST_ID;

/// Looks for the object of `upload`, which is of `roll`, in the lake. Returns `None` when there is
/// none. Its statistics are kept as long as `budget` has memory for them.
///
/// # Errors
/// The store; an object that is none of the roll's.
pub(super) async fn standing(
    lake: &Lake,
    roll: RollId<'_>,
    upload: &Upload,
    budget: &StatisticsBudget,
) -> Result<Option<Standing>, PublishError> {
    let Some(object) = lake.head(&upload.name).await? else { return Ok(None) };
    let standing = match upload.id {
        ObjectId::Data { .. } => data_file(lake, roll, &object, budget).await?,
        ObjectId::Quarantine { .. } => quarantine_file(lake, &object).await?,
    };
    Ok(Some(standing))
}

/// Reads the facts of a data file from its footer.
async fn data_file(
    lake: &Lake,
    roll: RollId<'_>,
    object: &Object,
    budget: &StatisticsBudget,
) -> Result<Standing, PublishError> {
    let footer = lake.footer(object).await;
    let footer = footer.map_err(|error| PublishError::of_footer(&object.name, error))?;
    let statistics = FileStatistics::of(&footer);
    check_bodies(roll, &object.name, &statistics)?;
    check_digest(roll, &object.name, &footer)?;
    lake.make_durable(&object.name).await?;
    Ok(Standing {
        rows: u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0),
        bytes: object.bytes,
        statistics: budget.keep(statistics),
    })
}

/// Checks that a data file is of the bodies of `roll`, and not of others with the same numbers.
/// Earlier versions have written no digest.
fn check_digest(
    roll: RollId<'_>,
    name: &str,
    footer: &ParquetMetaData,
) -> Result<(), PublishError> {
    let pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
    let theirs = pairs.filter(|pair| pair.key == BODIES_DIGEST).find_map(|pair| pair.value.clone());
    let ours = roll.bodies.map(|digest| digest.to_string());
    match theirs.zip(ours) {
        Some((theirs, ours)) if theirs != ours => {
            let why =
                "it is of other bodies than those that this state directory has under the same \
                       numbers: the directory is an older copy or a clone of another one"
                    .to_owned();
            Err(PublishError::Foreign { name: name.to_owned(), why })
        }
        _ => Ok(()),
    }
}

/// Checks that rows of a data file are of bodies of `roll`, by the bounds of their ids: an older copy
/// of the state directory gives a roll's number to other bodies.
fn check_bodies(
    roll: RollId<'_>,
    name: &str,
    statistics: &FileStatistics,
) -> Result<(), PublishError> {
    let Some(ids) = statistics.column(INGEST_ID) else { return Ok(()) };
    for bound in [&ids.min, &ids.max].into_iter().flatten().filter(|bound| bound.exact) {
        let Scalar::Text(id) = &bound.value else { continue };
        let of_node = id.strip_prefix(roll.node).and_then(|rest| rest.strip_prefix('-'));
        let seq = of_node.and_then(|rest| rest.split_once('-')?.0.parse().ok()).map(Seq);
        if !seq.is_some_and(|seq| (roll.range.first..=roll.range.last).contains(&seq)) {
            let SeqRange { first, last } = roll.range;
            let why = format!("its row {id} is of none of the roll's bodies, {first} to {last}");
            return Err(PublishError::Foreign { name: name.to_owned(), why });
        }
    }
    Ok(())
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
    let (mut found, budget) = (Vec::new(), StatisticsBudget::default());
    let of = RollId {
        node: &manifest.node,
        roll: manifest.roll,
        range: manifest.range,
        bodies: manifest.bodies,
    };
    for (at, made) in manifest.tables.iter().enumerate() {
        for object in lake.list(&made.name).await? {
            let ObjectName::Data { table, partition, node, roll } = ObjectName::parse(&object.name)
            else {
                continue;
            };
            let ours = (table, node, roll) == (&*made.name, &*manifest.node, manifest.roll);
            if ours && made.files.iter().all(|file| file.partition != partition) {
                let standing = data_file(lake, of, &object, &budget).await?;
                let partition = partition.to_owned();
                found.push(Unmade::Data { table: at, partition, standing });
            }
        }
        if made.quarantine.is_none() {
            let name = names::quarantine(&made.name, &manifest.node, manifest.roll);
            if let Some(object) = lake.head(&name).await? {
                let standing = quarantine_file(lake, &object).await?;
                found.push(Unmade::Quarantine { table: at, standing });
            }
        }
    }
    Ok(found)
}
