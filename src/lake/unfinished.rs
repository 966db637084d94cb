//! Unfinished uploads of a bucket: begun in parts, and neither completed nor aborted.
//!
//! A process that is killed within an upload leaves it, and its parts are billed until somebody aborts
//! it. Nothing of it is remembered here, since the bucket does that: before an object is put again, the
//! uploads under its name are listed and aborted. Names of objects hold the node and the roll, so these
//! are uploads of earlier attempts at the same object, of which none is under way any more. One whose
//! completion was asked for, and whose answer was lost, either is an object by then or never becomes
//! one.
//!
//! Listing is a request that the client of the store does not have: it is signed by its signer and sent
//! by its HTTP client. Failures are logged once and keep nothing from landing. What is never put again
//! (a roll that nobody makes again, credentials without these rights) is left to a lifecycle rule of
//! the bucket. Only S3 has this: Azure drops what is unfinished after a week, and buckets of Google
//! have lifecycle rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer as _};
use object_store::{ClientOptions, MultipartId};
use parking_lot::Mutex;
use serde::Deserialize;

use super::failure::describe;
use super::http_client::Connector;
use crate::error_text::{MOST_CHARACTERS, bounded, one_line};

/// Time for which a signed request is valid.
const VALID_FOR: Duration = Duration::from_secs(300);
/// Listings of one name: each has up to a thousand uploads.
const LISTINGS: usize = 10;

/// Looks for unfinished uploads in the bucket of a store, and aborts them.
#[derive(Debug)]
pub(super) struct UnfinishedUploads {
    s3: Arc<AmazonS3>,
    http: HttpClient,
    /// A failure was logged.
    has_failed: AtomicBool,
}

/// Keeps the HTTP client that a store is built with.
#[derive(Clone, Debug, Default)]
struct KeepsClient(Arc<Mutex<Option<HttpClient>>>);

impl HttpConnector for KeepsClient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Connector.connect(options)?;
        // Clients for credentials are built first: the last one is that of the store.
        *self.0.lock() = Some(client.clone());
        Ok(client)
    }
}

/// The answer to a listing of uploads.
#[derive(Debug, Deserialize)]
struct Listing {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: MultipartId,
}

/// Builds a store, and what looks for its unfinished uploads; `None` for requests without signature.
///
/// # Errors
/// The builder's.
pub(super) fn build(
    builder: AmazonS3Builder,
) -> object_store::Result<(Arc<AmazonS3>, Option<UnfinishedUploads>)> {
    let unsigned = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
    let client = KeepsClient::default();
    let s3 = Arc::new(builder.with_http_connector(client.clone()).build()?);
    let client = client.0.lock().take().filter(|_| unsigned.as_deref() != Some("true"));
    let uploads = client.map(|http| UnfinishedUploads {
        s3: Arc::clone(&s3),
        http,
        has_failed: AtomicBool::new(false),
    });
    Ok((s3, uploads))
}

impl UnfinishedUploads {
    /// Aborts the unfinished uploads of the object `key`, which nobody puts meanwhile. Logs the first
    /// failure.
    pub(super) async fn abort(&self, key: &Path) {
        let Err(why) = self.try_abort(key).await else { return };
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "unfinished uploads of {key} cannot be aborted: {why}. If there are any, their parts \
                 are billed until a lifecycle rule of the bucket removes them; the rights are \
                 s3:ListBucketMultipartUploads and s3:AbortMultipartUpload"
            );
        }
    }

    async fn try_abort(&self, key: &Path) -> Result<(), String> {
        for _ in 0..LISTINGS {
            let listing = self.list(key).await?;
            for upload in listing.uploads.iter().filter(|upload| is(key, &upload.key)) {
                let aborted = self.s3.abort_multipart(key, &upload.upload_id).await;
                match aborted {
                    Ok(()) => tracing::info!("aborted an unfinished upload of {key}"),
                    // Somebody else has.
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(describe(&error)),
                }
            }
            if !listing.is_truncated {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lists the unfinished uploads of names that begin with `key`.
    async fn list(&self, key: &Path) -> Result<Listing, String> {
        let query = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", key.as_ref())]);
        let bucket = Path::default();
        let url = self.s3.signed_url_opts(Method::GET, &bucket, VALID_FOR, &query).await;
        let url = url.map_err(|error| describe(&error))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|_| "no address".to_owned())?;
        let answer = self.http.execute(request).await.map_err(|error| one_line(&error))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| one_line(&error))?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(bounded(&format!("{status}: {text}"), MOST_CHARACTERS));
        }
        let listing = quick_xml::de::from_str(&text);
        listing.map_err(|error| format!("not a list of uploads: {}", one_line(&error)))
    }
}

/// Returns whether a listed name is that of the object. Some servers list with a slash in front.
fn is(key: &Path, listed: &str) -> bool {
    listed.strip_prefix('/').unwrap_or(listed) == key.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::test_server;

    /// A server that answers each request by its first line, and keeps these lines.
    async fn server(
        answer: fn(&str) -> (u16, String),
    ) -> (UnfinishedUploads, Arc<Mutex<Vec<String>>>) {
        let answer = move |line: &str| {
            let (status, body) = answer(line);
            test_server::answer(&format!("{status} x"), &body)
        };
        let (address, lines) = test_server::server(answer).await;
        let builder = test_server::bucket(format!("http://{address}"));
        (build(builder).unwrap().1.unwrap(), lines)
    }

    #[tokio::test]
    async fn uploads_of_the_name_are_aborted_and_no_others() {
        let (uploads, lines) = server(|line| match line.starts_with("GET") {
            true => (
                200,
                "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/\
                 doc/2006-03-01/\"><Bucket>b</Bucket><IsTruncated>false</IsTruncated>\
                 <Upload><Key>l/t/a&amp;b=1/n-1.parquet</Key><UploadId>one</UploadId>\
                 <Initiated>2026-11-28T00:00:00Z</Initiated></Upload>\
                 <Upload><Key>l/t/a&amp;b=1/n-1.parquet.other</Key><UploadId>two</UploadId></Upload>\
                 <Upload><Key>/l/t/a&amp;b=1/n-1.parquet</Key><UploadId>three</UploadId></Upload>\
                 </ListMultipartUploadsResult>"
                    .to_owned(),
            ),
            // One was aborted by somebody else meanwhile.
            false if line.contains("three") => (404, "<Error><Code>NoSuchUpload</Code></Error>".into()),
            false => (204, String::new()),
        })
        .await;
        let key = Path::parse("l/t/a&b=1/n-1.parquet").unwrap();
        uploads.try_abort(&key).await.unwrap();
        let lines = lines.lock();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("GET /b/?") && lines[0].contains("uploads="), "{lines:?}");
        assert!(lines[0].contains("prefix=l%2Ft%2Fa%26b%3D1%2Fn-1.parquet"), "{lines:?}");
        assert!(lines[1].starts_with("DELETE /b/l/t/a") && lines[1].contains("uploadId=one"));
        assert!(lines[2].contains("uploadId=three"), "{lines:?}");
    }

    #[tokio::test]
    async fn a_bucket_without_uploads_is_left_alone_and_a_refusal_is_told() {
        let (uploads, lines) =
            server(|_| (200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>".into()))
                .await;
        uploads.try_abort(&Path::from("x")).await.unwrap();
        assert_eq!(lines.lock().len(), 1);
        let (uploads, _) = server(|_| (403, "<Error>no</Error>".into())).await;
        let why = uploads.try_abort(&Path::from("x")).await.unwrap_err();
        assert!(why.starts_with("403"), "{why}");
        uploads.abort(&Path::from("x")).await;
        assert!(uploads.has_failed.load(Ordering::Relaxed));
    }
}
