//! Groups, modes and access lists of files in a lake that is shared.

use super::super::*;

/// Runs only as root, which can give a directory a group that it is not in: elsewhere it says so.
#[test]
fn a_file_has_the_group_and_the_mode_of_its_folder_and_not_of_the_staging_file() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    fs::create_dir(&root).unwrap();
    if chown(&root, None, Some(4321)).is_err() {
        eprintln!("left out: only root gives a directory a group that it is not in");
        return;
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2775)).unwrap();
    let staged = dir.path().join("staged");
    fs::write(&staged, b"rows").unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o600)).unwrap();
    let local = Local::new();
    local.put_bytes(&root, "_receipts/n/1.json", b"{}").unwrap();
    local.create_file(&root, "t/date=x/n-1.parquet", &staged).unwrap();
    let of = |name: &str| {
        let found = root.join(name).metadata().unwrap();
        (found.gid(), found.mode())
    };
    assert_eq!(of("t/date=x/n-1.parquet"), of("_receipts/n/1.json"));
    assert_eq!(of("t/date=x/n-1.parquet").0, 4321);
    // A table of another group keeps it.
    fs::create_dir(root.join("u")).unwrap();
    chown(root.join("u"), None, Some(4322)).unwrap();
    fs::set_permissions(root.join("u"), fs::Permissions::from_mode(0o2775)).unwrap();
    local.create_file(&root, "u/date=x/n-1.parquet", &staged).unwrap();
    assert_eq!(of("u/date=x/n-1.parquet").0, 4322);
    // Also when a file was placed there before.
    local.create_file(&root, "u/date=x/n-2.parquet", &staged).unwrap();
    assert_eq!(of("u/date=x/n-2.parquet"), of("u/date=x/n-1.parquet"));
}

#[cfg(target_os = "linux")]
#[test]
fn files_are_linked_where_a_link_is_like_a_file_of_the_folder_and_only_there() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    fs::create_dir(&root).unwrap();
    let local = Local::new();
    let place_in = |folder: &str, number: u32| {
        let staged = dir.path().join(format!("staged-{number}"));
        fs::write(&staged, b"rows").unwrap();
        let name = format!("{folder}/n-{number}.parquet");
        assert!(local.create_file(&root, &name, &staged).unwrap());
        staged.metadata().unwrap().ino() == root.join(name).metadata().unwrap().ino()
    };
    let place = |number: u32| place_in("t", number);
    assert!(!place(1), "nothing is known of the folder yet");
    assert!(place(2) && place(3));
    // A folder that has become another one is compared again; it hands its access on to nothing here.
    fs::set_permissions(root.join("t"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(!place(4));
    assert!(place(5));
    // Another folder with the same has the same for its files: nothing is copied there.
    assert!(place_in("t2", 10), "a mode of which one was copied before");
    // One with another mode, or another access list, has not.
    for (folder, change) in [("t3", 0o711), ("t4", 0o2755)] {
        fs::create_dir(root.join(folder)).unwrap();
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(change)).unwrap();
        assert!(!place_in(folder, 20 + change), "{folder}");
    }
    fs::create_dir(root.join("t5")).unwrap();
    if give_access(&root.join("t5")) {
        assert!(!place_in("t5", 30) && !place_in("t5", 31));
    } else {
        eprintln!("left out: the file system of {} has no access lists", root.display());
    }
    // Nor one in another folder, which may hand on what shows in neither.
    assert!(!place_in("u2/t", 40) && place_in("u2/t", 41));
    // Nor has a staging file with an attribute, or one of another directory, which may be unlike those before.
    let staged = dir.path().join("staged-50");
    fs::write(&staged, b"rows").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&staged, "user.marked", b"1", flags).is_ok() {
        assert!(local.create_file(&root, "t7/n.parquet", &staged).unwrap());
        let names = &mut [0; 256][..];
        assert_eq!(rustix::fs::listxattr(root.join("t7/n.parquet"), names), Ok(0));
    } else {
        eprintln!("left out: the file system of {} has no attributes", root.display());
    }
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::create_dir(root.join("t6")).unwrap();
    let staged = dir.path().join("other/staged");
    fs::write(&staged, b"rows").unwrap();
    assert!(local.create_file(&root, "t6/n.parquet", &staged).unwrap());
    let inode = |path: &Path| path.metadata().unwrap().ino();
    assert_ne!(inode(&staged), inode(&root.join("t6/n.parquet")));
    // A staging file that is not like the files of the folder.
    let staged = dir.path().join("staged-6");
    fs::write(&staged, b"rows").unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(local.create_file(&root, "u/n-6.parquet", &staged).unwrap());
    assert!(local.create_file(&root, "u/n-7.parquet", &staged).unwrap());
    assert_ne!(root.join("u/n-7.parquet").metadata().unwrap().mode() & 0o777, 0o600);
}

/// The access list of a folder that hands `user 4321 reads` on to files.
#[cfg(target_os = "linux")]
fn give_access(folder: &Path) -> bool {
    const WITHOUT_ID: u32 = u32::MAX;
    let mut list = 2_u32.to_le_bytes().to_vec();
    // Owner, a user, group, mask, others: tag, permissions, id.
    for (tag, permissions, id) in [
        (0x01_u16, 6_u16, WITHOUT_ID),
        (0x02, 4, 4321),
        (0x04, 4, WITHOUT_ID),
        (0x10, 4, WITHOUT_ID),
        (0x20, 4, WITHOUT_ID),
    ] {
        list.extend(
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat(),
        );
    }
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(folder, "system.posix_acl_default", &list, flags).is_ok()
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_has_the_access_list_that_its_folder_hands_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    fs::create_dir_all(root.join("t")).unwrap();
    if !give_access(&root.join("t")) {
        eprintln!("left out: the file system of {} has no access lists", root.display());
        return;
    }
    let (local, staged) = (Local::new(), dir.path().join("staged"));
    fs::write(&staged, b"rows").unwrap();
    for number in 1..=3 {
        let name = format!("t/n-{number}.parquet");
        assert!(local.create_file(&root, &name, &staged).unwrap());
        let mut list = [0; 256];
        let len = rustix::fs::getxattr(root.join(&name), "system.posix_acl_access", &mut list[..]);
        assert!(len.unwrap() > 4, "{name}");
    }
}
