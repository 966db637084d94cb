//! The behaviour of a lake, on every backend that a test can have: a directory, and a bucket in
//! memory. The S3 protocol is tested end to end.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::record::{Micros, Roll};

const MINUTE: Duration = Duration::from_secs(60);

fn at(minutes: i64) -> Micros {
    Micros(1_000_000_000 + minutes * 60_000_000)
}

/// Runs `test` on each backend, with a directory for staging files.
fn on_each(test: impl AsyncFn(Lake, &FilePath)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("a/lake"));
        let options = Options { location, options: Vec::new(), timeout: MINUTE };
        assert!(matches!(Lake::open_existing(&options), Err(StoreError::NoLake { .. })));
        assert!(!dir.path().join("a").exists(), "looking at a lake makes none");
        test(Lake::open(&options).unwrap(), dir.path()).await;
        Lake::open_existing(&options).unwrap();

        let store = Arc::new(InMemory::new());
        for neighbour in ["lakeside/t/x.parquet", "other/_receipts/n/00000001.json", "lake"] {
            store.put(&Path::from(neighbour), PutPayload::from_static(b"x")).await.unwrap();
        }
        test(Lake::on(store.clone(), 1 << 10), dir.path()).await;
        let prefix = Path::from("lake");
        let left = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(left.objects.len(), 1, "nothing is written beside the lake: {prefix}");
    });
}

/// 100 rows, ten a row group.
fn parquet() -> Vec<u8> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["name"; 100]));
    let batch = RecordBatch::try_from_iter([("number", numbers), ("name", names)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn names_of(mut objects: Vec<Object>) -> Vec<String> {
    objects.sort();
    objects.into_iter().map(|object| object.name).collect()
}

#[test]
fn objects_are_put_created_read_and_listed_by_names_relative_to_the_lake() {
    on_each(async |lake, dir| {
        let data = names::data("t", "d=a%2Fb", "n", Roll(1));
        let staged = dir.join("staged");
        for bytes in [vec![1; 10], vec![2; 5000], vec![3; 20]] {
            std::fs::write(&staged, &bytes).unwrap();
            lake.put_file(&data, &staged, 2).await.unwrap();
            assert_eq!(lake.get(&data).await.unwrap(), Some(bytes.clone()));
            let object = lake.head(&data).await.unwrap().unwrap();
            assert_eq!((object.name, object.bytes), (data.clone(), bytes.len() as u64));
        }
        for bytes in [vec![4; 10], vec![5; 5000]] {
            // Another file: an object of a directory may be a link to its staging file.
            let staged = dir.join(format!("staged-{}", bytes.len()));
            std::fs::write(&staged, &bytes).unwrap();
            assert!(!lake.create_file(&data, &staged, 2, Earlier::None).await.unwrap());
            let new = format!("created/{}", bytes.len());
            assert!(lake.create_file(&new, &staged, 2, Earlier::None).await.unwrap());
            assert_eq!(lake.get(&new).await.unwrap(), Some(bytes));
            lake.make_durable(&new).await.unwrap();
        }
        assert_eq!(lake.get(&data).await.unwrap(), Some(vec![3; 20]));
        assert!(staged.exists());
        assert_eq!(lake.get("t/none").await.unwrap(), None);
        assert_eq!(lake.head("t/none").await.unwrap(), None);

        assert!(lake.create_bytes("_x/new", b"first".to_vec()).await.unwrap());
        assert!(!lake.create_bytes("_x/new", b"second".to_vec()).await.unwrap());
        assert_eq!(lake.get("_x/new").await.unwrap(), Some(b"first".to_vec()));
        lake.put_bytes("_x/new", b"third".to_vec()).await.unwrap();
        assert_eq!(lake.get("_x/new").await.unwrap(), Some(b"third".to_vec()));

        lake.put_bytes("t2/other", Vec::new()).await.unwrap();
        assert_eq!(names_of(lake.list("t").await.unwrap()), [&*data]);
        let all = names_of(lake.list("").await.unwrap());
        assert_eq!(all, ["_x/new", "created/10", "created/5000", &data, "t2/other"]);
        assert!(lake.list("nothing").await.unwrap().is_empty());
        let probe = lake.probe("00ff").await.unwrap();
        assert!(probe.tells_absent && probe.is_conditional && probe.left.is_none(), "{probe:?}");
        assert_eq!(lake.list("").await.unwrap().len(), all.len(), "a probe leaves nothing behind");
    });
}

#[test]
fn footers_and_rows_are_read_from_parts_of_a_file() {
    on_each(async |lake, _| {
        lake.put_bytes("t/a.parquet", parquet()).await.unwrap();
        let object = lake.head("t/a.parquet").await.unwrap().unwrap();
        assert_eq!(lake.row_count(&object).await.unwrap(), 100);
        let file = DataFile::open(&lake, object.clone()).await.unwrap();
        let read = async |columns: Option<&[&str]>, rows: Option<&[usize]>| {
            let mut batches = file.batches(&lake, columns, rows).unwrap();
            let (mut numbers, mut columns) = (Vec::new(), 0);
            while let Some(batch) = batches.next().await.unwrap() {
                columns = batch.num_columns();
                let column = batch.column_by_name("number").unwrap();
                numbers.extend_from_slice(column.as_primitive::<Int64Type>().values());
            }
            (numbers, columns)
        };
        assert_eq!(read(Some(&["number", "unknown"]), None).await, ((0..100).collect(), 1));
        assert_eq!(read(None, Some(&[3, 4, 19, 99])).await, (vec![3, 4, 19, 99], 2));

        for (bytes, expected) in [(&b""[..], "it has 0 bytes"), (b"no Parquet at all", "no whole")]
        {
            lake.put_bytes("t/b.parquet", bytes.to_vec()).await.unwrap();
            let object = lake.head("t/b.parquet").await.unwrap().unwrap();
            let error = lake.footer(&object).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let gone = Object { name: "t/gone.parquet".into(), bytes: 100 };
        assert!(matches!(lake.footer(&gone).await, Err(DataFileError::Store(_))));
    });
}

#[test]
fn receipts_come_by_node_and_in_order() {
    on_each(async |lake, _| {
        for (node, roll) in [("b", 2), ("a", 1), ("b", 1), ("b", 4)] {
            let receipt = serde_json::json!({
                "version": 1, "node": node, "roll": roll, "first_seq": 1, "last_seq": 1,
                "lines": 0, "rows": 0, "rejects": 0, "actions": 0, "tables": [],
            });
            let bytes = serde_json::to_vec(&receipt).unwrap();
            lake.put_bytes(&names::receipt(node, Roll(roll)), bytes.clone()).await.unwrap();
            lake.put_bytes(&names::receipt("c", Roll(roll)), bytes).await.unwrap();
        }
        lake.put_bytes(&names::receipt("a", Roll(2)), b"{".to_vec()).await.unwrap();
        let named = lake.receipt_names().await.unwrap();
        assert!(named.unreadable.is_empty(), "{named:?}");
        // The third of b may have been passed over by the listing, and is asked for.
        assert_eq!(named.by_node["b"], [1, 2, 3, 4]);
        let wanted = named.by_node.iter().flat_map(|(node, rolls)| {
            let node: Arc<str> = node.as_str().into();
            rolls.iter().map(move |roll| (Arc::clone(&node), Roll(*roll)))
        });
        let chunks: Vec<Vec<ReadReceipt>> = lake.read_receipts(wanted).try_collect().await.unwrap();
        let all: Vec<ReadReceipt> = chunks.into_iter().flatten().collect();
        let rolls = |node: &str| -> Vec<u64> {
            let of = all.iter().filter(|read| &*read.node == node);
            of.filter_map(|read| read.receipt.as_ref().ok()?.as_ref().map(|r| r.roll)).collect()
        };
        assert_eq!((rolls("a"), rolls("b"), rolls("c")), (vec![1], vec![1, 2, 4], vec![]));
        let unreadable = all.iter().filter(|read| read.receipt.is_err()).count();
        assert_eq!(unreadable, 4, "three of another node, one that is none");
        let mut nodes = lake.receipt_nodes().await.unwrap();
        nodes.sort_unstable();
        assert_eq!(nodes, ["a", "b", "c"]);
        assert_eq!(lake.rolls_after("b", Roll(1)).await.unwrap(), [2, 3, 4]);
        assert_eq!(lake.rolls_after("b", Roll(4)).await.unwrap(), [0; 0]);
        assert_eq!(
            lake.receipts_of("b").await.unwrap().len(),
            2,
            "up to the first that is missing"
        );
        assert_eq!(lake.receipt("z", Roll(1)).await.unwrap(), None);
        assert!(matches!(lake.receipt("a", Roll(2)).await, Err(ReceiptError::Malformed { .. })));
    });
}

#[test]
fn the_last_roll_before_a_time_is_found_with_and_without_holes() {
    on_each(async |lake, _| {
        let put = async |roll| {
            lake.put_bytes(&names::receipt("n", Roll(roll)), b"{}".to_vec()).await.unwrap();
        };
        // More than are listed at once.
        for roll in (1..=50).filter(|roll| roll % 7 != 0) {
            put(roll).await;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        let name = names::receipt("n", Roll(50));
        let path = lake.path(&name).unwrap();
        let written = lake.store.head(&path).await.unwrap().last_modified;
        let middle = written + chrono::Duration::milliseconds(10);
        for roll in 52..=60 {
            put(roll).await;
        }
        let before = async |time| lake.rolls_since("n", time).await.unwrap().0.0;
        assert_eq!(before(middle).await, 50);
        assert_eq!(before(chrono::DateTime::UNIX_EPOCH).await, 0);
        assert_eq!(before(middle + chrono::Duration::days(1)).await, 60);
        assert_eq!(lake.rolls_since("nobody", middle).await.unwrap(), (Roll(0), vec![]));
        let later: Vec<u64> = (51..=60).collect();
        assert_eq!(lake.rolls_since("n", middle).await.unwrap(), (Roll(50), later));
    });
}

#[test]
fn a_listing_in_parts_has_what_a_listing_has() {
    on_each(async |lake, _| {
        let mut names = vec![
            "top.parquet".to_owned(),
            "flat/a.parquet".to_owned(),
            "flat/b=1/c.parquet".to_owned(),
            "_receipts/n/00000001.json".to_owned(),
            "_quarantine/t/n-00000001.ndjson".to_owned(),
        ];
        for number in 0..40 {
            names.push(format!("t/b={}/c={}/n-{number:08}.parquet", number % 5, number % 3));
        }
        for (at, name) in names.iter().enumerate() {
            lake.put_bytes(name, vec![0; at]).await.unwrap();
        }
        let list = async |folder: &str, wanted: fn(&str) -> bool| {
            let mut found = Vec::new();
            let each = |object: Object| found.push(object);
            lake.list_each(folder, Detail::Size, wanted, each).await.unwrap();
            found.sort();
            found
        };
        let mut all = lake.list("").await.unwrap();
        all.sort();
        assert_eq!(all.len(), names.len());
        assert_eq!(list("", |_| true).await, all);
        let without: Vec<Object> =
            all.iter().filter(|object| !object.name.starts_with("_receipts")).cloned().collect();
        assert_eq!(list("", |top| top != "_receipts").await, without);
        for folder in ["t", "t/b=1", "flat", "_quarantine", "absent"] {
            let mut below = lake.list(folder).await.unwrap();
            below.sort();
            assert_eq!(list(folder, |_| true).await, below, "{folder}");
        }
    });
}

#[track_caller]
fn held(acquisition: Acquisition) -> Lease {
    match acquisition {
        Acquisition::Held(lease) => lease,
        busy => panic!("{busy:?}"),
    }
}

#[test]
fn objects_are_replaced_and_deleted_under_a_lease() {
    on_each(async |lake, dir| {
        let staged = dir.join("staged");
        std::fs::write(&staged, b"new").unwrap();
        lake.put_bytes("t/old", b"old".to_vec()).await.unwrap();
        let lease = held(lake.acquire_lease("compact", "p1", 5 * MINUTE, at(0)).await.unwrap());
        lake.replace_file(&lease, at(4), "t/old", &staged, 1).await.unwrap();
        assert_eq!(lake.get("t/old").await.unwrap(), Some(b"new".to_vec()));

        // Expired: nothing is touched.
        let late = lake.replace_file(&lease, at(5), "t/old", &staged, 1).await;
        assert!(matches!(late, Err(LeaseError::Expired { .. })), "{late:?}");
        let late = lake.delete(&lease, at(5), "t/old").await;
        assert!(matches!(late, Err(LeaseError::Expired { .. })), "{late:?}");
        assert!(lake.head("t/old").await.unwrap().is_some());

        let mut lease = lease;
        lake.renew_lease(&mut lease, 5 * MINUTE, at(5)).await.unwrap();
        lake.delete(&lease, at(9), "t/old").await.unwrap();
        lake.delete(&lease, at(9), "t/old").await.unwrap();
        assert_eq!(lake.get("t/old").await.unwrap(), None);

        let other = Lake::below(Arc::new(InMemory::new()), "other");
        let astray = other.delete(&lease, at(9), "t/old").await;
        assert!(matches!(astray, Err(LeaseError::OtherLake { .. })), "{astray:?}");
    });
}

#[test]
fn a_lease_has_one_holder_until_it_ends() {
    on_each(async |lake, _| {
        let acquire = async |holder: &str, now| {
            lake.acquire_lease("compact", holder, 5 * MINUTE, now).await.unwrap()
        };
        let mut first = held(acquire("p1", at(0)).await);
        let busy = Acquisition::Busy { holder: "p1".into(), expires_at: at(5) };
        assert_eq!(acquire("p2", at(1)).await, busy);
        assert_eq!(held(acquire("p1", at(1)).await), first, "asked again after a lost answer");
        // It has ended for its holder, and for others it will when clocks that are behind say so.
        assert_eq!(acquire("p2", at(5)).await, busy);

        let mut second = held(acquire("p2", at(6)).await);
        let lost = lake.renew_lease(&mut first, 5 * MINUTE, at(6)).await;
        assert!(matches!(lost, Err(LeaseError::Lost { .. })), "{lost:?}");
        lake.release_lease(first).await.unwrap();
        lake.renew_lease(&mut second, 5 * MINUTE, at(7)).await.unwrap();
        assert_eq!(second.expires_at(), at(12));
        lake.release_lease(second).await.unwrap();
        held(acquire("p3", at(8)).await);
        let left = names_of(lake.list(names::LEASES).await.unwrap());
        assert_eq!(left.len(), 1, "earlier epochs are deleted: {left:?}");

        // Leases by other names are other leases.
        held(lake.acquire_lease("vacuum", "p2", MINUTE, at(8)).await.unwrap());
    });
}

#[test]
fn of_many_that_want_a_lease_at_once_one_gets_it() {
    on_each(async |lake, _| {
        for round in 0..5_i64 {
            let now = at(round * 10);
            let holders: Vec<String> = (0..8).map(|n| format!("p{round}-{n}")).collect();
            let wanted = holders.iter().map(|h| lake.acquire_lease("x", h, 5 * MINUTE, now));
            let got = futures::future::join_all(wanted).await;
            let held = got.iter().filter(|got| matches!(got, Ok(Acquisition::Held(_)))).count();
            assert_eq!(held, 1, "{got:?}");
        }
    });
}

/// A store in memory that loses the answer to its next put, or takes no condition on puts.
#[derive(Debug, Default)]
pub(super) struct LosesAnswers {
    pub(super) objects: InMemory,
    next: AtomicBool,
    unconditional: AtomicBool,
    /// Objects are not replaced conditionally: 501.
    unswappable: AtomicBool,
    /// Objects that are there are not replaced: 403.
    unreplaceable: AtomicBool,
    /// Objects that are not there, and listings, are answered 403.
    pub(super) hides: AtomicBool,
    /// Conditions on puts are ignored.
    overwrites: AtomicBool,
    /// Objects are replaced whatever version is asked for.
    ignores_versions: AtomicBool,
    /// Nothing may be deleted.
    keeps: AtomicBool,
    /// Conditional puts that were refused for that.
    refused: AtomicU64,
}

impl fmt::Display for LosesAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LosesAnswers")
    }
}

#[async_trait]
impl ObjectStore for LosesAnswers {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        let updates = matches!(how.mode, PutMode::Update(_));
        if how.mode != PutMode::Create
            && self.unreplaceable.load(Ordering::Relaxed)
            && self.objects.head(at).await.is_ok()
        {
            return Err(Error::PermissionDenied { path: at.to_string(), source: "403".into() });
        }
        if how.mode != PutMode::Overwrite && self.unconditional.load(Ordering::Relaxed)
            || updates && self.unswappable.load(Ordering::Relaxed)
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let said = "Error performing PUT http://x/y in 1ms - Server returned non-2xx status \
                        code: 501 Not Implemented: <Code>NotImplemented</Code>";
            return Err(Error::Generic { store: "S3", source: said.into() });
        }
        let ignored = updates && self.ignores_versions.load(Ordering::Relaxed);
        let how = match ignored || self.overwrites.load(Ordering::Relaxed) {
            true => PutOptions::default(),
            false => how,
        };
        let put = self.objects.put_opts(at, bytes, how).await;
        match self.next.swap(false, Ordering::Relaxed) {
            true => Err(Error::Generic { store: "LosesAnswers", source: "time-out".into() }),
            false => put,
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        match self.objects.get_opts(at, how).await {
            Err(Error::NotFound { path, source }) if self.hides.load(Ordering::Relaxed) => {
                Err(Error::PermissionDenied { path, source })
            }
            got => got,
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if self.keeps.load(Ordering::Relaxed) {
            let refused = |path: Path| Error::PermissionDenied {
                path: path.into(),
                source:
                    "Error performing DELETE http://x/y in 1ms - Server returned non-2xx status \
                         code: 403 Forbidden: <Code>AccessDenied</Code>"
                        .into(),
            };
            return paths.map(move |path| path.and_then(|path| Err(refused(path)))).boxed();
        }
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.hides.load(Ordering::Relaxed) {
            true => stream::once(async { Err(denied_listing()) }).boxed(),
            false => self.objects.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.hides.load(Ordering::Relaxed) {
            true => Err(denied_listing()),
            false => self.objects.list_with_delimiter(prefix).await,
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, how).await
    }
}

#[test]
fn a_store_that_takes_no_condition_is_looked_into_before_a_put() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(LosesAnswers::default());
        store.unconditional.store(true, Ordering::Relaxed);
        let lake = Lake::below(store.clone(), "lake");
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");
        std::fs::write(&staged, b"rows").unwrap();
        assert!(lake.create_file("t/n-00000001.parquet", &staged, 1, Earlier::None).await.unwrap());
        std::fs::write(&staged, b"other rows").unwrap();
        assert!(
            !lake.create_file("t/n-00000001.parquet", &staged, 1, Earlier::None).await.unwrap()
        );
        assert!(lake.create_bytes("_receipts/n/00000001.json", b"{}".to_vec()).await.unwrap());
        assert!(!lake.create_bytes("_receipts/n/00000001.json", b"[]".to_vec()).await.unwrap());
        let there = |name| lake.get(name);
        assert_eq!(there("t/n-00000001.parquet").await.unwrap().unwrap(), b"rows");
        assert_eq!(there("_receipts/n/00000001.json").await.unwrap().unwrap(), b"{}");
        let fence = |token: &str| Fence::new("e".into(), 0, token.into());
        assert!(lake.create_fence("n", &fence("a")).await.unwrap());
        let standing = lake.fence("n").await.unwrap().unwrap();
        let swap =
            async |token: &str| lake.swap_fence("n", &standing, &fence(token)).await.unwrap();
        assert!(matches!(swap("b").await, Swap::Done));
        assert!(matches!(swap("c").await, Swap::Moved));
        assert_eq!(store.refused.load(Ordering::Relaxed), 1, "asked once, and remembered");
    });
}

#[test]
fn a_store_that_does_not_swap_conditionally_still_creates_conditionally() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(LosesAnswers::default());
        store.unswappable.store(true, Ordering::Relaxed);
        let lake = Lake::below(store.clone(), "lake");
        let fence = |token: &str| Fence::new("e".into(), 0, token.into());
        assert!(lake.create_fence("n", &fence("a")).await.unwrap());
        let standing = lake.fence("n").await.unwrap().unwrap();
        lake.swap_fence("n", &standing, &fence("b")).await.unwrap();
        assert_eq!(lake.fence("n").await.unwrap().unwrap().fence.token, "b");
        // Without conditions it would have to be looked up, and is denied.
        store.hides.store(true, Ordering::Relaxed);
        assert!(lake.create_bytes("_receipts/n/00000001.json", b"{}".to_vec()).await.unwrap());
    });
}

#[test]
fn a_denied_name_is_put_over_only_when_what_is_there_could_be_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(LosesAnswers::default());
        store.hides.store(true, Ordering::Relaxed);
        // Each file in parts, for which there is no condition.
        let lake = Lake::on(store.clone(), 2);
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");
        std::fs::write(&staged, b"rows").unwrap();
        let put = async |name: &str, earlier| lake.create_file(name, &staged, 1, earlier).await;
        let denied = put("t/a", Earlier::OtherFile).await;
        assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
        assert!(put("t/b", Earlier::None).await.unwrap());
        assert!(put("t/c", Earlier::SameFile).await.unwrap());
        lake.get("t/b").await.unwrap().unwrap();
        assert!(put("t/a", Earlier::OtherFile).await.unwrap());
        assert!(!put("t/a", Earlier::OtherFile).await.unwrap());
    });
}

#[test]
fn a_probe_tells_what_a_store_can_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let probe = async |store: LosesAnswers| {
            let store = Arc::new(store);
            let probe = Lake::below(store.clone(), "lake").probe("00ff").await;
            let left = store.objects.list(None).collect::<Vec<_>>().await.len();
            (probe, left)
        };
        let on = || AtomicBool::new(true);
        let (found, left) = probe(LosesAnswers { hides: on(), ..Default::default() }).await;
        let found = found.unwrap();
        assert!(!found.tells_absent && found.is_conditional && left == 0, "{found:?}");
        let (found, left) = probe(LosesAnswers { unconditional: on(), ..Default::default() }).await;
        let found = found.unwrap();
        assert!(found.tells_absent && !found.is_conditional && left == 0, "{found:?}");
        assert_eq!(found.replacement, Replacement::Unconditional);
        let (found, left) = probe(LosesAnswers { unswappable: on(), ..Default::default() }).await;
        let found = found.unwrap();
        assert!(found.is_conditional && left == 0, "{found:?}");
        assert_eq!(found.replacement, Replacement::Unconditional);
        let ignores = LosesAnswers { ignores_versions: on(), ..Default::default() };
        let (found, left) = probe(ignores).await;
        let found = found.unwrap();
        assert!(found.is_conditional && left == 0, "{found:?}");
        assert_eq!(found.replacement, Replacement::Unconditional, "If-Match is ignored");
        let (found, left) = probe(LosesAnswers { unreplaceable: on(), ..Default::default() }).await;
        let found = found.unwrap();
        assert!(found.is_conditional && left == 0, "{found:?}");
        assert_eq!(found.replacement, Replacement::Denied);
        let (found, _) = probe(LosesAnswers::default()).await;
        assert_eq!(found.unwrap().replacement, Replacement::Conditional);
        let blind = LosesAnswers { unconditional: on(), hides: on(), ..Default::default() };
        let (found, left) = probe(blind).await;
        assert!(matches!(found, Err(ProbeError::Blind { .. })) && left == 0, "{found:?}");
        let (found, left) = probe(LosesAnswers { overwrites: on(), ..Default::default() }).await;
        assert!(matches!(found, Err(ProbeError::Overwrites { .. })) && left == 0, "{found:?}");
        let (found, left) = probe(LosesAnswers { keeps: on(), ..Default::default() }).await;
        let kept = found.unwrap().left.unwrap();
        assert!(kept.name.ends_with("00ff") && kept.why.contains("AccessDenied"), "{kept:?}");
        assert_eq!(left, 1);
    });
}

#[test]
fn a_probe_deletes_what_killed_ones_have_left_and_not_what_others_are_trying_with() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().to_owned());
        let options = Options { location, options: Vec::new(), timeout: MINUTE };
        let lake = Lake::open(&options).unwrap();
        let others = ["_sessionlake_check/aa", "_sessionlake_check/bb"];
        for name in others {
            lake.put_bytes(name, b"x".to_vec()).await.unwrap();
        }
        let old = std::fs::File::open(dir.path().join(others[0])).unwrap();
        let now = old.metadata().unwrap().modified().unwrap();
        old.set_modified(now - 120 * MINUTE).unwrap();
        assert!(lake.probe("cc").await.unwrap().left.is_none());
        assert_eq!(names_of(lake.list(names::PROBES).await.unwrap()), others[1..]);
    });
}

#[test]
fn an_answer_that_was_lost_is_looked_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(LosesAnswers::default());
        let lake = Lake::below(store.clone(), "lake");
        store.next.store(true, Ordering::Relaxed);
        let mut lease = held(lake.acquire_lease("x", "p1", 5 * MINUTE, at(0)).await.unwrap());
        store.next.store(true, Ordering::Relaxed);
        lake.renew_lease(&mut lease, 5 * MINUTE, at(1)).await.unwrap();
        assert_eq!(lease.expires_at(), at(6));
        // The answer to a renewal came to nobody: the next one goes on from what it did.
        let mut forgotten = lease.clone();
        lake.renew_lease(&mut forgotten, 5 * MINUTE, at(2)).await.unwrap();
        lake.renew_lease(&mut lease, 5 * MINUTE, at(3)).await.unwrap();
        assert_eq!(lease, forgotten);
        store.next.store(true, Ordering::Relaxed);
        lake.release_lease(lease).await.unwrap();
        held(lake.acquire_lease("x", "p2", MINUTE, at(3)).await.unwrap());
    });
}

#[test]
fn a_holder_that_goes_by_an_old_listing_does_not_hold_the_lease() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let lake = Lake::below(Arc::new(InMemory::new()), "lake");
        let mut old = held(lake.acquire_lease("x", "p1", MINUTE, at(0)).await.unwrap());
        // Taken over and renewed, so that the epoch after the old one is deleted, and free again.
        let mut new = held(lake.acquire_lease("x", "p2", 5 * MINUTE, at(3)).await.unwrap());
        lake.renew_lease(&mut new, 5 * MINUTE, at(4)).await.unwrap();
        let lost = lake.renew_lease(&mut old, 5 * MINUTE, at(5)).await;
        assert!(matches!(lost, Err(LeaseError::Lost { .. })), "{lost:?}");
        lake.renew_lease(&mut new, 5 * MINUTE, at(5)).await.unwrap();
    });
}

#[test]
fn a_lake_has_one_identity_and_a_fence_is_swapped_by_one_of_those_who_read_it() {
    on_each(async |lake, _| {
        assert_eq!(lake.identity().await.unwrap(), None);
        let [one, other] = [(); 2].map(|()| LakeId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(lake.identify(&one).await.unwrap(), one);
        assert_eq!(lake.identify(&other).await.unwrap(), one);
        assert_eq!(lake.identity().await.unwrap(), Some(one));

        let fence = |roll: u64, token: &str| Fence::new("e".into(), roll, token.into());
        assert!(lake.fence("n").await.unwrap().is_none());
        assert!(lake.create_fence("n", &fence(0, "a")).await.unwrap());
        assert!(!lake.create_fence("n", &fence(0, "b")).await.unwrap());
        let standing = lake.fence("n").await.unwrap().unwrap();
        assert_eq!(standing.fence, fence(0, "a"));
        let swaps = (0..8).map(|at| {
            let (lake, standing) = (lake.clone(), standing.clone());
            async move {
                let fence = Fence::new("e".into(), 1, format!("t{at}"));
                let swap = lake.swap_fence("n", &standing, &fence).await;
                swap.map(|swap| matches!(swap, Swap::Done))
            }
        });
        let swapped = futures::future::join_all(swaps).await;
        let mut won = (0..8).filter(|at| *swapped[*at].as_ref().unwrap());
        let (winner, none) = (won.next(), won.next());
        assert_eq!(none, None, "two have swapped it");
        let standing = lake.fence("n").await.unwrap().unwrap();
        assert_eq!(Some(standing.fence.token), winner.map(|at| format!("t{at}")));
    });
}
