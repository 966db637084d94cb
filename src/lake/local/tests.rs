//! Files that are placed whole, durably and once.

mod access;

use std::sync::Arc;

use super::*;

/// Remembers what was synced, in order, and fails the syncs of one path once.
#[derive(Clone, Debug, Default)]
struct RecordedSyncs {
    seen: Arc<Mutex<Vec<PathBuf>>>,
    fails: Arc<Mutex<Option<PathBuf>>>,
}

impl RecordedSyncs {
    fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.seen.lock())
    }

    fn fail(&self, path: &Path) {
        *self.fails.lock() = Some(path.to_owned());
    }
}

impl Syncs for RecordedSyncs {
    fn sync(&self, path: &Path) -> io::Result<()> {
        let shown = without_process(path);
        self.seen.lock().push(shown.clone());
        let mut fails = self.fails.lock();
        if fails.as_deref() == Some(&*shown) {
            *fails = None;
            return Err(io::Error::other("I/O error"));
        }
        File::open(path)?.sync_all()
    }
}

/// Leaves the process and the number out of a hidden name: `.<process>-<n>.<name>.tmp`.
fn without_process(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    match name.strip_prefix('.').filter(|rest| rest.ends_with(".tmp")) {
        Some(rest) => path.with_file_name(format!(".{}", rest.split_once('.').unwrap().1)),
        None => path.to_owned(),
    }
}

fn recorded() -> (Local, RecordedSyncs) {
    let syncs = RecordedSyncs::default();
    (Local::with(Box::new(syncs.clone())), syncs)
}

#[test]
fn a_file_is_placed_whole_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let staged = dir.path().join("staged");
    fs::write(&staged, b"rows").unwrap();
    let root = dir.path().join("a/lake");
    let (local, syncs) = recorded();
    local.create_root(&root).unwrap();
    let name = "t/date=x/n-1.parquet";
    assert!(local.create_file(&root, name, &staged).unwrap());
    let other = dir.path().join("other");
    fs::write(&other, b"other rows").unwrap();
    syncs.take();
    assert!(!local.create_file(&root, name, &other).unwrap());
    assert_eq!(syncs.take(), [root.join("t/date=x")], "the process before may have died");
    assert_eq!(fs::read(root.join(name)).unwrap(), b"rows");
    assert_eq!(fs::read_dir(root.join("t/date=x")).unwrap().count(), 1);
    assert!(staged.exists() && other.exists());
}

#[test]
fn a_file_whose_directory_cannot_be_synced_is_not_believed_by_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let staged = dir.path().join("staged");
    fs::write(&staged, b"rows").unwrap();
    let (local, syncs) = recorded();
    local.put_bytes(dir.path(), "t/other", b"").unwrap();
    syncs.fail(&dir.path().join("t"));
    local.create_file(dir.path(), "t/n-1.parquet", &staged).unwrap_err();
    assert!(!dir.path().join("t/n-1.parquet").exists());
    assert!(local.create_file(dir.path(), "t/n-1.parquet", &staged).unwrap());
}

#[test]
fn a_file_is_created_once() {
    let (dir, local) = (tempfile::tempdir().unwrap(), Local::new());
    assert!(local.create_bytes(dir.path(), "a/s.json", b"first").unwrap());
    assert!(!local.create_bytes(dir.path(), "a/s.json", b"second").unwrap());
    assert_eq!(fs::read(dir.path().join("a/s.json")).unwrap(), b"first");
    assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
}

#[test]
fn of_many_that_create_a_file_the_one_whose_bytes_it_has_gets_true() {
    let (dir, local) = (tempfile::tempdir().unwrap(), Local::new());
    for round in 0..20 {
        let name = format!("a/s{round}.json");
        let created: Vec<(String, bool)> = std::thread::scope(|scope| {
            let attempts: Vec<_> = (0..8)
                .map(|n| {
                    let (local, root, name) = (&local, dir.path(), &name);
                    scope.spawn(move || {
                        let bytes = format!("bytes of {n}");
                        let created = local.create_bytes(root, name, bytes.as_bytes());
                        (bytes, created.unwrap())
                    })
                })
                .collect();
            attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
        });
        let there = fs::read_to_string(dir.path().join(&name)).unwrap();
        let winners: Vec<&String> =
            created.iter().filter(|(_, created)| *created).map(|(bytes, _)| bytes).collect();
        assert_eq!(winners, [&there]);
    }
    assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 20);
}

#[test]
fn what_a_crash_left_under_the_hidden_name_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".r.json.tmp"), b"torn").unwrap();
    Local::new().put_bytes(dir.path(), "r.json", b"{}").unwrap();
    assert_eq!(fs::read(dir.path().join("r.json")).unwrap(), b"{}");
    assert!(!dir.path().join(".r.json.tmp").exists());
}

#[test]
fn a_failed_sync_of_a_file_or_its_directory_has_an_error_of_its_own() {
    for failing in ["lake/t/.n-1.parquet.tmp", "lake/t"] {
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");
        fs::write(&staged, b"rows").unwrap();
        let root = dir.path().join("lake");
        fs::create_dir_all(root.join("t")).unwrap();
        let (local, syncs) = recorded();
        local.put_bytes(&root, "t/other", b"").unwrap();
        syncs.fail(&dir.path().join(failing));
        let error = local.create_file(&root, "t/n-1.parquet", &staged).unwrap_err();
        let StoreError::Unsynced { path, .. } = &error else { panic!("{failing}: {error}") };
        assert!(without_process(path).ends_with(failing), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn directories_that_are_there_are_synced_up_to_the_root_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    // As a process leaves them that was killed before it synced anything.
    fs::create_dir_all(root.join("t/date=x")).unwrap();
    let (local, syncs) = recorded();
    local.create_root(&root).unwrap();
    assert_eq!(syncs.take(), [dir.path()]);
    local.put_bytes(&root, "t/date=x/a", b"").unwrap();
    let leaf = root.join("t/date=x");
    let hidden = leaf.join(".a.tmp");
    assert_eq!(syncs.take(), [root.clone(), root.join("t"), hidden.clone(), leaf.clone()]);
    local.put_bytes(&root, "t/date=x/a", b"").unwrap();
    assert_eq!(syncs.take(), [hidden, leaf]);
}

#[test]
fn directories_of_many_files_are_made_with_one_sync_for_each_that_is_above() {
    let (local, syncs) = recorded();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    fs::create_dir(&root).unwrap();
    let name = |app: u32, day: u32| format!("t/app={app}/day={day}/n-1.parquet");
    let names: Vec<String> =
        (0..30).map(|at| name(at / 10, at % 10)).chain(["top.parquet".to_owned()]).collect();
    // One that cannot be synced: what was made in it is made again by the next attempt, and nothing below.
    syncs.fail(&root.join("t"));
    let error = local.create_dirs(&root, &names).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == root.join("t")), "{error}");
    assert!(!root.join("t/app=0").exists());
    syncs.take();
    local.create_dirs(&root, &names).unwrap();
    let above = |made: &[&str]| made.iter().map(|name| root.join(name)).collect::<Vec<_>>();
    assert_eq!(syncs.take(), above(&["t", "t/app=0", "t/app=1", "t/app=2"]));
    assert!(names.iter().all(|name| root.join(name).parent().unwrap().is_dir()));
    // Files do without a sync of their own for them, and another attempt has nothing to do.
    local.create_dirs(&root, &names).unwrap();
    assert_eq!(syncs.take(), above(&[]));
    local.put_bytes(&root, &name(1, 1), b"rows").unwrap();
    assert!(!syncs.take().iter().any(|path| path.ends_with("t") || path.ends_with("t/app=1")));
    // A directory that somebody removed is made again, and not believed in before it is synced.
    fs::remove_dir_all(root.join("t/app=2")).unwrap();
    syncs.fail(&root.join("t/app=2"));
    local.create_dirs(&root, &names).unwrap_err();
    assert_eq!(syncs.take(), above(&["t", "t/app=2"]));
    fs::create_dir(root.join("t/app=2/day=3")).unwrap();
    local.create_dirs(&root, &names).unwrap();
    assert_eq!(syncs.take(), above(&["t/app=2"]));
    // Where one is not made durable, none is left that was not: also not beside it.
    let (again, syncs) = recorded();
    fs::remove_dir_all(root.join("t")).unwrap();
    syncs.fail(&root.join("t/app=0"));
    again.create_dirs(&root, &names).unwrap_err();
    assert_eq!(syncs.take(), [root.clone(), root.join("t"), root.join("t/app=0")]);
    assert!(root.join("t/app=1").is_dir() && !root.join("t/app=1/day=0").exists());
    // A file where a directory should be is an error that names it; what was made beside it goes again.
    fs::write(root.join("t/app=2/day=5"), b"").unwrap();
    let error = again.create_dirs(&root, &names).unwrap_err();
    let at = root.join("t/app=2/day=5");
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == at), "{error}");
    assert!(!root.join("t/app=1/day=0").exists());
}

#[test]
fn a_directory_whose_parent_cannot_be_synced_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let (local, syncs) = recorded();
    syncs.fail(&root.join("t"));
    local.put_bytes(&root, "t/date=x/a", b"").unwrap_err();
    assert!(!root.join("t/date=x").exists(), "believed by the next attempt");
    syncs.take();
    local.put_bytes(&root, "t/date=x/a", b"").unwrap();
    assert!(syncs.take().contains(&root.join("t")));
}

/// A file system that takes names for one that differ in the case of ASCII, or has each `é` as two
/// characters.
#[derive(Debug)]
struct Folding {
    root: PathBuf,
    fold: fn(&str) -> String,
}

impl Syncs for Folding {
    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn stored(&self, path: PathBuf) -> PathBuf {
        let below = path.strip_prefix(&self.root).unwrap().to_str().unwrap();
        self.root.join((self.fold)(below))
    }
}

#[test]
fn names_that_the_file_system_folds_are_found_out_and_nothing_is_left() {
    for (fold, expected) in [
        ((|name| name.to_owned()) as fn(&str) -> String, FileNames::Exact),
        (|name| name.to_ascii_lowercase(), FileNames::Folded),
        (|name| name.replace('\u{e9}', "e\u{301}"), FileNames::Folded),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::with(Box::new(Folding { root: dir.path().to_owned(), fold }));
        assert_eq!(local.file_names(dir.path()).unwrap(), expected);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(local.file_names(Path::new("gone")).unwrap(), expected, "found out once");
    }
    Local::new().file_names(Path::new("gone")).unwrap_err();
}

#[test]
fn a_file_is_not_replaced_by_one_whose_name_is_folded_to_its() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    fs::create_dir(&root).unwrap();
    let folding = Folding { root: root.clone(), fold: str::to_ascii_lowercase };
    let local = Local::with(Box::new(folding));
    let staged = dir.path().join("staged");
    for (land, created) in [("Germany", true), ("GERMANY", false), ("germany", false)] {
        fs::write(&staged, land).unwrap();
        let name = format!("t/land={land}/n-1.parquet");
        assert_eq!(local.create_file(&root, &name, &staged).unwrap(), created, "{land}");
    }
    assert_eq!(fs::read(root.join("t/land=germany/n-1.parquet")).unwrap(), b"Germany");
    assert_eq!(fs::read_dir(root.join("t/land=germany")).unwrap().count(), 1);
}

#[test]
fn where_there_are_no_links_a_file_is_created_once_too() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    for (bytes, created) in [(b"first", true), (b"other", false)] {
        let hidden = dir.path().join(".hidden.tmp");
        fs::write(&hidden, bytes).unwrap();
        let renamed = rename_new(&hidden, &target);
        assert_eq!(
            renamed.map_err(|error| error.kind()),
            match created {
                true => Ok(()),
                false => Err(io::ErrorKind::AlreadyExists),
            }
        );
    }
    assert_eq!(fs::read(target).unwrap(), b"first");
}

#[test]
fn of_many_that_put_one_file_each_places_its_own_bytes_whole() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    let staged: Vec<PathBuf> = (0..8_u8)
        .map(|n| {
            let path = dir.path().join(n.to_string());
            fs::write(&path, vec![n; 1 << 20]).unwrap();
            path
        })
        .collect();
    let locals: Vec<Local> = staged.iter().map(|_| Local::new()).collect();
    locals[0].create_root(&root).unwrap();
    for round in 0..4 {
        let name = format!("t/n-{round}.parquet");
        let created: usize = std::thread::scope(|scope| {
            let put = |(local, staged): (&Local, &PathBuf)| {
                usize::from(local.create_file(&root, &name, staged).unwrap())
            };
            let all: Vec<_> =
                locals.iter().zip(&staged).map(|one| scope.spawn(move || put(one))).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        let bytes = fs::read(root.join(&name)).unwrap();
        assert_eq!((created, bytes.len()), (1, 1 << 20));
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    }
    assert_eq!(fs::read_dir(root.join("t")).unwrap().count(), 4);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
}
