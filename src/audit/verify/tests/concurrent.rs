//! A lake that is written while it is verified.

use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use object_store::{ObjectMeta, ObjectStore};

use super::*;

/// A lake in which a roll lands once its files, and once its receipts, have been listed.
#[derive(Debug)]
struct Busy {
    objects: Arc<InMemory>,
    before_receipts: parking_lot::Mutex<Vec<(Path, PutPayload)>>,
    after_receipts: Arc<parking_lot::Mutex<Vec<(Path, PutPayload)>>>,
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

type Done<T> = Result<T, object_store::Error>;

#[async_trait::async_trait]
impl ObjectStore for Busy {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: object_store::PutOptions,
    ) -> Done<object_store::PutResult> {
        self.objects.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: object_store::PutMultipartOptions,
    ) -> Done<Box<dyn object_store::MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(
        &self,
        path: &Path,
        options: object_store::GetOptions,
    ) -> Done<object_store::GetResult> {
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: stream::BoxStream<'static, Done<Path>>,
    ) -> stream::BoxStream<'static, Done<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> stream::BoxStream<'static, Done<ObjectMeta>> {
        let objects = Arc::clone(&self.objects);
        let prefix = prefix.cloned();
        let within = |folder: &str| prefix.as_ref().is_some_and(|p| p.as_ref().starts_with(folder));
        let before = match within("lake/_receipts") {
            true => std::mem::take(&mut *self.before_receipts.lock()),
            false => Vec::new(),
        };
        let after = within("lake/_receipts/").then(|| Arc::clone(&self.after_receipts));
        let land = |objects: Arc<InMemory>, more: Vec<(Path, PutPayload)>| async move {
            for (path, payload) in more {
                objects.put(&path, payload).await?;
            }
            Ok::<_, object_store::Error>(objects)
        };
        let listing =
            land(Arc::clone(&objects), before).map_ok(move |objects| objects.list(prefix.as_ref()));
        // Only a listing that is read to its end.
        let landing = async move {
            let more = after.map(|after| std::mem::take(&mut *after.lock()));
            land(objects, more.unwrap_or_default()).await.map(|_| stream::empty())
        };
        let listed = stream::once(listing).try_flatten();
        listed.chain(stream::once(landing).try_flatten()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Done<object_store::ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: object_store::CopyOptions,
    ) -> Done<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

impl Bench {
    /// Returns the objects of a roll without putting them.
    fn taken(&self, roll: u64, first: u64, last: u64) -> Vec<(Path, PutPayload)> {
        self.roll(roll, first, last, 1);
        let names = [
            names::data("t", "date=2026-11-01", NODE, Roll(roll)),
            names::quarantine("t", NODE, Roll(roll)),
            names::receipt(NODE, Roll(roll)),
        ];
        let taken = names.map(|name| {
            let path = Path::from(format!("lake/{name}"));
            let bytes = self.runtime.block_on(async {
                self.store.get(&path).await.expect("there").bytes().await.expect("memory")
            });
            self.remove(&name);
            (path, PutPayload::from(bytes))
        });
        taken.to_vec()
    }
}

#[test]
fn a_lake_that_is_written_meanwhile_is_well() {
    let bench = Bench::new();
    let (third, fourth) = (bench.taken(3, 6, 6), bench.taken(4, 7, 7));
    // The receipt of the third comes behind the list of receipts, that of the fourth is in it.
    let (files, receipt) = third.split_at(2);
    let before = [files, &fourth].concat();
    bench.put("_receipts/eu-abcd2345/.00000005.json.tmp", "{\"version\":1,");
    bench.put("_quarantine/t/.eu-abcd2345-00000005.ndjson.tmp", "{");
    let busy = Busy {
        objects: Arc::new(bench.store.fork()),
        before_receipts: parking_lot::Mutex::new(before),
        after_receipts: Arc::new(parking_lot::Mutex::new(receipt.to_vec())),
    };
    let lake = Lake::below(Arc::new(busy), "lake");
    let report = bench.runtime.block_on(verified(&lake, Scope::All, Depth::Rows)).expect("memory");
    assert!(report.is_well(), "{report:#?}");
    assert_eq!((report.nodes[0].rolls, report.nodes[0].last_seq, report.rows_read), (4, 7, 14));
    assert_eq!(report.foreign, 0);
}

#[test]
fn rolls_that_land_after_the_receipts_were_listed_are_on_their_way() {
    let bench = Bench::new();
    let (third, fourth) = (bench.taken(3, 6, 6), bench.taken(4, 7, 7));
    // The fifth has no receipt yet.
    let fifth = bench.taken(5, 8, 8);
    let (files, _) = fifth.split_at(2);
    let busy = |after| {
        let lake = Busy {
            objects: Arc::new(bench.store.fork()),
            before_receipts: parking_lot::Mutex::default(),
            after_receipts: Arc::new(parking_lot::Mutex::new(after)),
        };
        Lake::below(Arc::new(lake), "lake")
    };
    let verify = |lake: &Lake| {
        let verified = verified(lake, Scope::SinceCheckpoint, Depth::Sizes);
        bench.runtime.block_on(verified).expect("memory")
    };
    let lake = busy([&third, &fourth, files].concat());
    let report = verify(&lake);
    assert!(report.is_well(), "{report:#?}");
    assert_eq!((report.nodes[0].last_roll, report.pending_files), (2, 2));
    assert_eq!(report.pending_rolls, [format!("{NODE}-00000005")]);
    // A roll beyond the one on its way is nobody's.
    let report = verify(&busy([&third, files].concat()));
    let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::NoReceipt, ProblemKind::NoReceipt], "{report:#?}");
}
