//! Files that are written past the system's cache.

use std::fs::File;
use std::io::IoSlice;

use super::*;
use crate::journal::direct::RealFile;
use crate::journal::disk::write_all_past_cache_at;
use crate::search::Dice;

/// Bytes of a block.
const BLOCK_BYTES: u64 = 4096;

/// Appends groups of slices of all sizes, some of them through the cache, and reads all back.
fn check(dir: &Path, seed: u64) {
    let mut dice = Dice(seed);
    let path = dir.join("file");
    let file = RealDisk.create(&path).expect("created");
    let mut expected: Vec<u8> = Vec::new();
    for _ in 0..30 {
        let slices: Vec<Vec<u8>> = (0..1 + dice.below(6))
            .map(|_| {
                let most = [50, 5_000, 70_000, 1_500_000][dice.below(4) as usize];
                let len = match dice.one_in(4) {
                    // Ends of blocks, and next to them.
                    true => (dice.below(20) * BLOCK_BYTES + dice.below(3)).saturating_sub(1),
                    false => dice.below(most),
                };
                let first = dice.byte();
                (0..len).map(|at| first.wrapping_add((at / 7) as u8)).collect()
            })
            .collect();
        let mut all: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let offset = expected.len() as u64;
        if dice.one_in(4) {
            write_all_at(&*file, &mut all, offset).expect("written");
        } else {
            write_all_past_cache_at(&*file, &mut all, offset).expect("written");
        }
        slices.iter().for_each(|slice| expected.extend_from_slice(slice));
        if dice.one_in(3) {
            file.sync().expect("synced");
        }
        assert_eq!(file.length().expect("a length"), expected.len() as u64);
        if dice.one_in(3) {
            // Read by another handle, as a reader of the journal does.
            let other = RealDisk.open(&path).expect("opened");
            let mut found = vec![0; expected.len()];
            assert_eq!(read_full_at(&*other, &mut found, 0).expect("read"), found.len());
            assert!(found == expected);
        }
    }
    assert!(std::fs::read(&path).expect("read") == expected);
}

#[test]
fn a_file_has_the_bytes_that_were_written_whichever_way_they_went() {
    // On a real file system, and on whatever the system has for temporary files.
    let beside = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    for seed in 1..=6 {
        check(beside.path(), seed);
        check(other.path(), seed);
    }
}

#[test]
fn where_the_system_refuses_it_goes_through_the_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = RealFile::through_cache(open().expect("opened"));
    let bytes = vec![7; 300_000];
    write_all_past_cache_at(&file, &mut [IoSlice::new(&bytes)], 3).expect("written");
    assert_eq!(std::fs::read(&path).expect("read")[3..], bytes);
}
