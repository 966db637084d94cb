//! Merging of manifests: readers open each one, and a commit adds one.
//!
//! Once a table has as many small manifests of this program as its property
//! `commit.manifest.min-count-to-merge` says (100), the commit that is under way lists one in place of them,
//! with the same files. The merged ones stay in the lake for the snapshots that have them, and go with those
//! (`expire_snapshots`). Manifests of other writers, and those with deleted entries, are left alone.
//!
//! Nothing depends on it: if a manifest cannot be read, nothing is merged, and the commit goes on.

use std::sync::atomic::Ordering;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::IcebergTable;
use super::evolve::Fitting;
use crate::commit::iceberg::manifest::{Existing, Manifest, Table};
use crate::commit::iceberg::manifest_list::ManifestFile;
use crate::commit::iceberg::partition::Spec;
use crate::commit::iceberg::rest::protocol::Metadata;

/// Bytes from which a manifest is not small, unless the table says otherwise.
pub(super) const TARGET_BYTES: i64 = 8 << 20;
const MIN_COUNT: usize = 100;
/// Manifests that are read at once.
const READS: usize = 8;

/// The properties of a table that are about its manifests.
#[derive(Clone, Copy, Debug)]
struct Settings {
    merges: bool,
    target_bytes: i64,
    min_count: usize,
}

impl Settings {
    fn of(table: &Metadata) -> Settings {
        let text = |key: &str| table.properties.get(&format!("commit.{key}"));
        let target = text("manifest.target-size-bytes").and_then(|text| text.parse().ok());
        let count = text("manifest.min-count-to-merge").and_then(|text| text.parse().ok());
        Settings {
            merges: text("manifest-merge.enabled").is_none_or(|text| text != "false"),
            // What others allow themselves would be held in memory here.
            target_bytes: target.unwrap_or(TARGET_BYTES).clamp(1, 4 * TARGET_BYTES),
            min_count: count.unwrap_or(MIN_COUNT).max(2),
        }
    }
}

impl IcebergTable {
    /// Takes small manifests out of `manifests`, the newest of which are first, and returns those that take
    /// their place.
    pub(super) async fn merge(
        &self,
        table: &Metadata,
        fitting: &Fitting<'_>,
        manifests: &mut Vec<ManifestFile>,
    ) -> Vec<Manifest> {
        let settings = Settings::of(table);
        let version = table.last_sequence_number;
        if !settings.merges || version < self.merges_from.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let unpartitioned =
            fitting.unpartitioned.filter(|spec| spec.spec_id != fitting.spec.spec_id);
        let mut merged = Vec::new();
        for spec in [fitting.spec].into_iter().chain(unpartitioned) {
            let small = self.small(manifests, spec, settings);
            if small.is_empty() {
                continue;
            }
            let parts =
                Table { schema: fitting.schema_json, schema_id: fitting.schema.schema_id, spec };
            match self.merged(&small, parts, settings).await {
                Some((manifest, paths)) => {
                    manifests.retain(|manifest| !paths.contains(&manifest.path));
                    merged.push(manifest);
                }
                None => {
                    // Not with every commit.
                    let pause = i64::try_from(settings.min_count).unwrap_or(i64::MAX);
                    self.merges_from.store(version.saturating_add(pause), Ordering::Relaxed);
                }
            }
        }
        merged
    }

    /// Returns the small manifests of a spec if there are enough: the oldest ones, up to the target.
    fn small(
        &self,
        manifests: &[ManifestFile],
        spec: &Spec,
        settings: Settings,
    ) -> Vec<ManifestFile> {
        let is_small = |manifest: &&ManifestFile| {
            manifest.is_of_data()
                && manifest.spec_id == i64::from(spec.spec_id)
                && (1..settings.target_bytes).contains(&manifest.length)
                && manifest.files[2] == 0
                && manifest.key_metadata.is_none()
                && self.addresses.name_of(&manifest.path).is_some_and(|name| self.is_ours(name))
        };
        let mut small: Vec<ManifestFile> = manifests.iter().filter(is_small).cloned().collect();
        if small.len() < settings.min_count {
            return Vec::new();
        }
        small.sort_by_key(|manifest| manifest.sequence_number);
        let mut bytes = 0_i64;
        let below = small.iter().take_while(|manifest| {
            let fits = bytes < settings.target_bytes;
            bytes = bytes.saturating_add(manifest.length);
            fits
        });
        let count = below.count();
        small.truncate(count);
        small
    }

    /// Makes one manifest of several, and returns it with the paths of those that it has. None: fewer than
    /// two can be.
    async fn merged(
        &self,
        small: &[ManifestFile],
        parts: Table<'_>,
        settings: Settings,
    ) -> Option<(Manifest, Vec<String>)> {
        let reads = small.iter().map(|listed| async move {
            let name = self.addresses.name_of(&listed.path).unwrap_or_default();
            let bytes = self.lake.get(name).await;
            bytes.map(|bytes| (listed, bytes))
        });
        let all = stream::iter(reads).buffered(READS).try_fold(
            (Vec::new(), Vec::new()),
            async |(mut all, mut paths), (listed, bytes)| {
                let existing = bytes.and_then(|bytes| Existing::of(&bytes, listed, parts));
                if let Some(existing) = existing {
                    all.push(existing);
                    paths.push(listed.path.clone());
                }
                Ok((all, paths))
            },
        );
        let (all, paths) = match all.await {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(table = &*self.name, "manifests are not merged: {error}");
                return None;
            }
        };
        // A few of many would be read again with each commit.
        if paths.len() < settings.min_count.div_ceil(2).max(2) {
            return None;
        }
        Some((Manifest::merged(parts, &all).ok()?, paths))
    }
}
