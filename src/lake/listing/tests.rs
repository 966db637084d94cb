//! Directories with links in them, and names of any kind.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::lake::Options;
use crate::lake::options::Secret;

async fn listed(root: &FilePath) -> (Vec<String>, Vec<String>) {
    let location = Location::Local(root.to_owned());
    let options: Vec<(String, Secret)> = Vec::new();
    let options = Options { location, options, timeout: std::time::Duration::from_secs(5) };
    let lake = Lake::open_existing(&options).unwrap();
    let mut names = Vec::new();
    let add = |object: Object| names.push(object.name);
    let skipped = lake.list_each("", Detail::Size, |_| true, add).await.unwrap();
    names.sort();
    let mut all = lake.list("").await.unwrap().into_iter().map(|o| o.name).collect::<Vec<_>>();
    all.sort();
    assert_eq!(names, all);
    (names, skipped.into_iter().map(|skipped| skipped.path).collect())
}

#[tokio::test]
async fn links_are_followed_to_tables_elsewhere_and_into_no_circle() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = dir.path().join("lake");
    fs::create_dir_all(root.join("t/date=1")).unwrap();
    fs::write(root.join("t/date=1/a.parquet"), "a").unwrap();
    fs::write(elsewhere.path().join("b.parquet"), "b").unwrap();
    symlink(elsewhere.path(), elsewhere.path().join("again")).unwrap();
    symlink(elsewhere.path(), root.join("u")).unwrap();
    symlink(elsewhere.path().join("b.parquet"), root.join("t/c.parquet")).unwrap();
    symlink("/", root.join("all")).unwrap();
    symlink(dir.path(), root.join("above")).unwrap();
    symlink(&root, root.join("self")).unwrap();
    symlink(root.join("t"), root.join("t/within")).unwrap();
    symlink("/etc", root.join("t/etc")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("gone")).unwrap();
    let (names, skipped) = listed(&root).await;
    assert_eq!(names, ["t/c.parquet", "t/date=1/a.parquet", "u/b.parquet"]);
    assert_eq!(skipped, ["above", "all", "loop", "self", "t/etc", "t/within", "u/again"]);
}

#[tokio::test]
async fn a_lake_that_is_reached_by_a_link_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("real/t")).unwrap();
    fs::write(dir.path().join("real/t/a\u{1b}[2J\n.parquet"), "a").unwrap();
    symlink(dir.path().join("real"), dir.path().join("lake")).unwrap();
    let (names, skipped) = listed(&dir.path().join("lake")).await;
    assert_eq!(names, ["t/a\u{1b}[2J\n.parquet"]);
    assert!(skipped.is_empty(), "{skipped:?}");
}
