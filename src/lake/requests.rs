//! Requests to the store, counted and timed.
//!
//! [`CountedStore`] stands in front of the library's store: what it makes of one request (new tries,
//! pages of a listing) counts as one. Writes in a local lake do not go through the library, and are
//! counted by [`counted_put`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::metrics as names;

/// A request under way. It counts when it is dropped, by what was seen of it.
struct Request {
    op: &'static str,
    began: Instant,
    result: &'static str,
}

impl Request {
    fn begin(op: &'static str) -> Request {
        Request { op, began: Instant::now(), result: "ok" }
    }

    fn saw<T>(&mut self, result: &Result<T>) {
        if let Err(error) = result {
            self.result = match error {
                Error::NotFound { .. } => "not_found",
                Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. } => "conflict",
                Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => "denied",
                _ => "error",
            };
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let (op, result) = (self.op, self.result);
        metrics::counter!(names::STORE_REQUESTS, "op" => op, "result" => result).increment(1);
        metrics::histogram!(names::STORE_REQUEST_DURATION, "op" => op).record(self.began.elapsed());
    }
}

async fn counted<T>(op: &'static str, request: impl Future<Output = Result<T>>) -> Result<T> {
    let mut counted = Request::begin(op);
    let result = request.await;
    counted.saw(&result);
    result
}

/// Counts a write in a local lake.
pub(super) async fn counted_put<T, E>(
    write: impl Future<Output = std::result::Result<T, E>>,
) -> std::result::Result<T, E> {
    let mut counted = Request::begin("put");
    let result = write.await;
    if result.is_err() {
        counted.result = "error";
    }
    result
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(super) struct CountedStore(pub(super) Arc<dyn ObjectStore>);

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        counted("put", self.0.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = counted("put", self.0.put_multipart_opts(path, options)).await?;
        Ok(Box::new(CountedUpload(upload)))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { "head" } else { "get" };
        counted(op, self.0.get_opts(path, options)).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        counted("get", self.0.get_ranges(path, ranges)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let mut request = Request::begin("delete");
        self.0.delete_stream(paths).inspect(move |result| request.saw(result)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let mut request = Request::begin("list");
        self.0.list(prefix).inspect(move |result| request.saw(result)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let mut request = Request::begin("list");
        let listed = self.0.list_with_offset(prefix, offset);
        listed.inspect(move |result| request.saw(result)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        counted("list", self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        counted("copy", self.0.copy_opts(from, to, options)).await
    }
}

/// An upload in parts. Each part is a request, and so is its end.
#[derive(Debug)]
struct CountedUpload(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        Box::pin(counted("put", self.0.put_part(payload)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        counted("put", self.0.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        counted("delete", self.0.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt as _, PutMode};

    use super::*;

    #[test]
    fn requests_are_counted_by_what_became_of_them() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let store = CountedStore(Arc::new(InMemory::new()));
        let (a, b) = (Path::from("a"), Path::from("b"));
        metrics::with_local_recorder(&recorder, || {
            futures::executor::block_on(async {
                store.put(&a, "1".into()).await.unwrap();
                store.put_opts(&a, "2".into(), PutMode::Create.into()).await.unwrap_err();
                store.head(&a).await.unwrap();
                store.get(&b).await.unwrap_err();
                assert_eq!(store.list(None).count().await, 1);
                let mut upload = store.put_multipart(&b).await.unwrap();
                upload.put_part("3".into()).await.unwrap();
                upload.complete().await.unwrap();
                store.delete(&a).await.unwrap();
            });
        });
        let text = handle.render();
        for (op, result, count) in [
            ("put", "ok", 4),
            ("put", "conflict", 1),
            ("head", "ok", 1),
            ("get", "not_found", 1),
            ("list", "ok", 1),
            ("delete", "ok", 1),
        ] {
            let name = names::STORE_REQUESTS;
            let line = format!("{name}{{op=\"{op}\",result=\"{result}\"}} {count}\n");
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
