//! Free space of the staging directory's disk.

use std::io;
use std::path::Path;

use crate::record::Roll;

/// What the free space allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The roll may go on.
    Enough,
    /// The roll ends as soon as it can, since it takes much of what is left.
    Scarce,
}

/// There is too little free space to make a roll.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of the staging directory has {free_bytes} bytes free, and {least_bytes}, a quarter of \
     disk_reserve, must stay free: free some space, or lower the reserve"
)]
pub(crate) struct NoRoom {
    free_bytes: u64,
    least_bytes: u64,
}

/// Decides what `free` bytes allow, of which `reserve` are to stay free and a quarter must, for a roll
/// that has `staged` bytes there.
///
/// A roll that is small beside what is free goes on below the reserve: something else has taken it, and
/// rolls that end all the time would be many small files.
///
/// # Errors
/// The quarter is touched, and the roll has nothing there.
pub(crate) fn room(free: u64, reserve: u64, staged: u64) -> Result<Room, NoRoom> {
    let least_bytes = reserve / 4;
    if free < least_bytes && staged == 0 {
        return Err(NoRoom { free_bytes: free, least_bytes });
    }
    let is_much = staged >= free / 4;
    let is_scarce = free < least_bytes || (free < reserve && is_much);
    Ok(if is_scarce { Room::Scarce } else { Room::Enough })
}

/// Returns the bytes of the staging files of a roll. Those that cannot be looked at count for nothing.
pub(crate) fn staged_bytes(roll: Roll, staging: &Path) -> u64 {
    let prefix = format!("{roll}-");
    let files = std::fs::read_dir(staging).into_iter().flatten().flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().starts_with(&prefix));
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Returns the bytes that the process may still write to the file system of `directory`.
///
/// # Errors
/// The directory is not there, or the system does not say.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_ends_before_the_reserve_is_taken_and_none_begins_in_its_last_quarter() {
        let reserve = 1000;
        assert_eq!(room(1000, reserve, 10_000), Ok(Room::Enough));
        // It has taken what is missing.
        assert_eq!(room(999, reserve, 10_000), Ok(Room::Scarce));
        // Something else has: the roll goes on until it takes a part itself.
        assert_eq!(room(600, reserve, 100), Ok(Room::Enough));
        assert_eq!(room(600, reserve, 150), Ok(Room::Scarce));
        assert_eq!(room(250, reserve, 0), Ok(Room::Enough));
        assert_eq!(room(249, reserve, 1), Ok(Room::Scarce));
        let refused = room(249, reserve, 0).unwrap_err().to_string();
        assert!(
            refused.contains("249 bytes free") && refused.contains("disk_reserve"),
            "{refused}"
        );
    }

    #[test]
    fn only_files_of_the_roll_count() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [("1-1.parquet", 10), ("1-2.ndjson", 5), ("11-1.parquet", 100)] {
            std::fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
        }
        assert_eq!(staged_bytes(Roll(1), dir.path()), 15);
        assert_eq!(staged_bytes(Roll(2), &dir.path().join("gone")), 0);
    }
}
