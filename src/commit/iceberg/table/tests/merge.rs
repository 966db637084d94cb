//! Manifests in place of several.

use super::*;
use crate::commit::iceberg::manifest_list::ManifestFile;
use crate::search::Dice;

fn merge_at(world: &World, count: u64) {
    world.catalog.alter(|table| {
        table["properties"]["commit.manifest.min-count-to-merge"] = count.to_string().into();
    });
}

fn manifests(world: &World) -> Vec<ManifestFile> {
    let metadata = world.metadata();
    let snapshots = metadata["snapshots"].as_array().expect("snapshots");
    objects_at::manifests(&world.objects, &snapshots.last().expect("a snapshot")["manifest-list"])
}

/// The files of the table with the sequence numbers of their rows, as readers come to them.
fn numbers(world: &World) -> BTreeMap<String, i64> {
    let mut numbers = BTreeMap::new();
    for manifest in manifests(world) {
        for entry in objects_at::entries(&world.objects, &manifest) {
            let number = entry.sequence_number.unwrap_or(manifest.sequence_number);
            assert!(number >= manifest.min_sequence_number);
            assert!(numbers.insert(entry.path, number).is_none(), "a file is there twice");
        }
    }
    numbers
}

#[test]
fn many_manifests_become_one_with_the_same_files_and_numbers() {
    let world = World::new();
    let table = world.table();
    for roll in 1..=4 {
        assert!(is_added(&table.commit("n1", &[receipt("n1", roll)]), roll));
    }
    let before = numbers(&world);
    assert_eq!(manifests(&world).len(), 4);
    merge_at(&world, 4);
    assert!(is_added(&table.commit("n1", &[receipt("n1", 5)]), 5));
    let merged = manifests(&world);
    let [new, merged] = &*merged else { panic!("{merged:?}") };
    assert_eq!((new.files, new.rows, new.sequence_number), ([2, 0, 0], [20, 0, 0], 5));
    assert_eq!((merged.files, merged.rows), ([0, 8, 0], [0, 80, 0]));
    assert_eq!((merged.sequence_number, merged.min_sequence_number), (5, 1));
    assert_eq!(merged.added_snapshot_id, new.added_snapshot_id);
    assert_eq!(merged.partitions, new.partitions);
    let mut after = numbers(&world);
    after.retain(|path, _| !path.contains("0000000005"));
    assert_eq!(after, before);
    // Merged ones are merged again.
    for roll in 6..=8 {
        assert!(is_added(&table.commit("n1", &[receipt("n1", roll)]), roll));
    }
    let files: Vec<[i64; 3]> = manifests(&world).iter().map(|manifest| manifest.files).collect();
    assert_eq!(files, [[2, 0, 0], [0, 14, 0]]);
    after = numbers(&world);
    after.retain(|path, number| before.get(path) == Some(number));
    assert_eq!(after, before);
    assert_eq!(world.added().len(), 16);
}

#[test]
fn small_manifests_stay_where_the_table_wants_it_so() {
    for (key, value) in
        [("commit.manifest-merge.enabled", "false"), ("commit.manifest.target-size-bytes", "1")]
    {
        let world = World::new();
        let table = world.table();
        assert!(is_added(&table.commit("n1", &[receipt("n1", 1)]), 1));
        merge_at(&world, 2);
        world.catalog.alter(|table| table["properties"][key] = value.into());
        for roll in 2..=6 {
            assert!(is_added(&table.commit("n1", &[receipt("n1", roll)]), roll));
        }
        assert_eq!(manifests(&world).len(), 6, "{key}");
    }
}

#[test]
fn manifests_of_others_and_damaged_ones_are_left_alone() {
    let world = World::new();
    let table = world.table();
    for roll in 1..=3 {
        assert!(is_added(&table.commit("n1", &[receipt("n1", roll)]), roll));
    }
    let mut others = others::Others::default();
    let mut dice = Dice(0);
    while others.own.len() < 3 {
        others.act_with(2, &mut dice, &world.catalog, &world.objects);
    }
    let mut ours = manifests(&world);
    ours.retain(|manifest| !manifest.path.contains("/theirs-"));
    let gone = ours.pop().expect("a manifest");
    merge_at(&world, 3);
    // It stops no commit, and stays in the list: it is not this program's to take it out.
    objects_at::delete(&world.objects, &gone.path);
    assert!(is_added(&table.commit("n1", &[receipt("n1", 4)]), 4));
    let paths: Vec<String> = manifests(&world).into_iter().map(|manifest| manifest.path).collect();
    assert!(paths.contains(&gone.path));
    assert_eq!(paths.iter().filter(|path| path.contains("/theirs-")).count(), 3, "{paths:?}");
    // The other two are merged.
    assert_eq!(paths.len(), 6, "{paths:?}");
}
