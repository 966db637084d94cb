use std::io;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::{ObjectStoreExt as _, WriteMultipart};

use super::*;
use crate::lake::Options;
use crate::lake::Syncs;

/// Syncs of directories that fail while the switch is on.
#[derive(Debug)]
struct FailingSyncs(Arc<AtomicBool>);

impl Syncs for FailingSyncs {
    fn sync(&self, path: &FilePath) -> io::Result<()> {
        match path.is_dir() && self.0.load(Ordering::SeqCst) {
            true => Err(io::Error::other("EIO")),
            false => Ok(()),
        }
    }
}

fn lake_in(dir: &FilePath) -> Lake {
    let location = Location::Local(dir.to_owned());
    Lake::open(&Options {
        location,
        options: Vec::new(),
        timeout: std::time::Duration::from_secs(60),
    })
    .expect("a directory")
}

fn create() -> PutOptions {
    PutMode::Create.into()
}

#[tokio::test]
async fn an_entry_is_never_replaced_and_never_taken_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let failing = Arc::new(AtomicBool::new(false));
    let lake = lake_in(dir.path()).syncing(Box::new(FailingSyncs(Arc::clone(&failing))));
    let store = lake.log_store();
    let path = Path::from("t/_delta_log/0.json");
    store.put_opts(&path, "a".into(), create()).await.expect("created");
    let again = store.put_opts(&path, "b".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    failing.store(true, Ordering::SeqCst);
    let next = Path::from("t/_delta_log/1.json");
    assert!(store.put_opts(&next, "a".into(), create()).await.is_err(), "the sync failed");
    failing.store(false, Ordering::SeqCst);
    // Another process may have put 2.json already.
    let again = store.put_opts(&next, "b".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let text = store.get(&next).await.expect("there").bytes().await.expect("bytes");
    assert_eq!(&*text, b"a");
}

#[tokio::test]
async fn an_upload_in_parts_is_hidden_until_it_is_complete() {
    let dir = tempfile::tempdir().expect("a directory");
    let lake = lake_in(dir.path());
    let store = lake.log_store();
    let path = Path::from("t/_delta_log/1.checkpoint.parquet");
    let visible = || {
        let entries = std::fs::read_dir(dir.path().join("t/_delta_log")).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name().into_string().expect("text"));
        names.filter(|name| !name.starts_with('.')).collect::<Vec<_>>()
    };
    let mut upload =
        WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await.expect("begun"), 10);
    upload.write(&[7; 95]);
    assert!(visible().is_empty(), "{:?}", visible());
    upload.finish().await.expect("complete");
    assert_eq!(visible(), ["1.checkpoint.parquet"]);
    let all = std::fs::read_dir(dir.path().join("t/_delta_log")).expect("a directory").count();
    assert_eq!(all, 1, "nothing is left");
    let bytes = store.get(&path).await.expect("there").bytes().await.expect("bytes");
    assert_eq!(&*bytes, [7; 95]);
}

#[tokio::test]
async fn listings_are_in_order_and_without_hidden_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = lake_in(dir.path()).log_store();
    for name in [5, 3, 1, 4, 2] {
        let path = Path::from(format!("t/_delta_log/{name}.json"));
        store.put_opts(&path, "a".into(), create()).await.expect("created");
    }
    std::fs::write(dir.path().join("t/_delta_log/.6.json.tmp"), "a").expect("written");
    let names = async |offset: Option<&str>| {
        let prefix = Path::from("t/_delta_log");
        let listed = match offset {
            Some(offset) => store.list_with_offset(Some(&prefix), &Path::from(offset)),
            None => store.list(Some(&prefix)),
        };
        let all: Vec<ObjectMeta> = listed.try_collect().await.expect("listed");
        let name = |meta: &ObjectMeta| meta.location.filename().unwrap_or_default().to_owned();
        all.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(None).await, "1.json 2.json 3.json 4.json 5.json");
    assert_eq!(names(Some("t/_delta_log/3.json")).await, "4.json 5.json");
}

/// The listing of a directory of our own has what the library's has.
#[tokio::test]
async fn a_listing_after_a_name_is_that_of_the_library() {
    let dir = tempfile::tempdir().expect("a directory");
    let lake = lake_in(dir.path());
    let store = lake.log_store();
    let log = Path::from("t/_delta_log");
    let all = async |store: &dyn ObjectStore, after: &str| -> Vec<ObjectMeta> {
        let listed = store.list_with_offset(Some(&log), &Path::from(after));
        let mut listed: Vec<ObjectMeta> = listed.try_collect().await.expect("listed");
        listed.iter_mut().for_each(|meta| meta.e_tag = None);
        listed
    };
    assert_eq!(all(&store, "t/_delta_log").await, []);
    let mut names: Vec<String> =
        (0..300).flat_map(|n| [format!("{n:020}.json"), format!("{n:020}.crc")]).collect();
    for name in ["_last_checkpoint", "_sidecars/a.parquet", "00000000000000000100/x"] {
        names.push(name.to_owned());
    }
    for odd in [None, Some("ö dd.json"), Some("link")] {
        for name in &names {
            store
                .put(&Path::from(format!("{log}/{name}")), name.clone().into())
                .await
                .expect("put");
        }
        names.clear();
        let folder = dir.path().join("t/_delta_log");
        match odd {
            Some("link") => {
                std::os::unix::fs::symlink(folder.join("_last_checkpoint"), folder.join("link"))
                    .expect("a link")
            }
            Some(name) => std::fs::write(folder.join(name), "x").expect("a file"),
            None => {}
        }
        for after in [
            "",
            "/00000000000000000100.json",
            "/00000000000000000100",
            "/00000000000000000299.json",
            "/_",
            "/~",
        ] {
            let after = format!("t/_delta_log{after}");
            let mut wanted = all(&lake.store, &after).await;
            wanted.sort_by(|a, b| a.location.cmp(&b.location));
            assert_eq!(all(&store, &after).await, wanted, "{odd:?} {after}");
            assert!(wanted.len() > 1 || after.ends_with('~'), "{after}: {wanted:?}");
        }
    }
}
