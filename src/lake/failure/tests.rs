use futures::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, RetryConfig};

use super::*;
use crate::lake::test_server;

/// Asks a server that answers with `status` and `body`, and returns the error as a lake has it.
fn error_of(status: &str, body: &str) -> StoreError {
    answered(status, body, async |endpoint| ask(&endpoint).await)
}

/// Lists at a server that answers with `status` and `body`.
fn listing_error_of(status: &str, body: &str) -> object_store::Error {
    answered(status, body, async |endpoint| {
        let listed = store(&endpoint).list(Some(&Path::from("p"))).try_next().await;
        listed.unwrap_err()
    })
}

/// Gives `ask` the address of a server that answers with `status` and `body`.
fn answered<T>(status: &str, body: &str, ask: impl AsyncFn(String) -> T) -> T {
    let answer = test_server::answer(status, body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (address, _) = test_server::server(move |_| answer.clone()).await;
        ask(format!("http://{address}")).await
    })
}

async fn ask(endpoint: &str) -> StoreError {
    let error = store(endpoint).put(&Path::from("p/x"), "1".into()).await.unwrap_err();
    StoreError::Object { lake: "s3://b/p".to_owned(), error }
}

fn store(endpoint: &str) -> AmazonS3 {
    test_server::bucket(endpoint)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .unwrap()
}

fn xml(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}\
         </Message><Key>p/x</Key><BucketName>b</BucketName><Resource>/b/p/x</Resource><RequestId>\
         18C1D9B2</RequestId><HostId>dd9025bab4ad464b049177c95eb6ebf3</HostId></Error>"
    )
}

/// Returns the text for a log, and holds it to its form.
fn told(error: &StoreError) -> String {
    let text = one_line(error);
    assert!(text.chars().count() <= MOST_CHARACTERS + 1, "{text}");
    assert!(!text.contains(char::is_control) && !text.contains('<'), "{text}");
    text
}

#[test]
fn a_refusal_is_told_once_by_its_code_and_message() {
    let error = error_of("403 Forbidden", &xml("AccessDenied", "Access Denied."));
    let text = told(&error);
    assert!(text.starts_with("s3://b/p: PUT http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("/b/p/x: 403 Forbidden, AccessDenied: Access Denied"), "{text}");
    assert_eq!(text.matches("403").count(), 1, "{text}");
    assert_eq!(advice(&error), Some(REFUSED));
}

#[test]
fn answers_come_with_advice_by_their_code() {
    for (status, code, advised) in [
        ("404 Not Found", "NoSuchBucket", "no such bucket"),
        ("403 Forbidden", "SignatureDoesNotMatch", "secret key is not the one"),
        ("403 Forbidden", "InvalidAccessKeyId", "does not know this access key"),
        ("403 Forbidden", "RequestTimeTooSkewed", "clock"),
        ("400 Bad Request", "ExpiredToken", "expired"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "AWS_REGION"),
        ("503 Service Unavailable", "SlowDown", "overloaded"),
        ("501 Not Implemented", "NotImplemented", "aws_conditional_put"),
    ] {
        let error = error_of(status, &xml(code, "said\r\nby a store"));
        let text = told(&error);
        assert!(text.contains(&format!("{status}, {code}: said\\r\\nby a store")), "{text}");
        let said = advice(&error).unwrap_or_default();
        assert!(said.contains(advised), "{code}: {said}");
    }
}

#[test]
fn an_answer_that_is_none_of_a_store_is_cut() {
    let error = error_of("500 Internal Server Error", &"no XML \u{1b}[31m ".repeat(500));
    let text = told(&error);
    assert!(text.contains("500 Internal Server Error: no XML \\u{1b}[31m"), "{text}");
    let error = error_of("502 Bad Gateway", "");
    assert!(told(&error).ends_with(": 502 Bad Gateway"), "{}", told(&error));
    assert!(advice(&error).is_some());
}

#[test]
fn a_request_that_is_not_answered_is_told_by_its_last_cause() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(ask("http://127.0.0.1:1"));
    let text = told(&error);
    assert!(text.ends_with("/b/p/x: Connection refused (os error 111)"), "{text}");
    assert!(advice(&error).unwrap_or_default().contains("nobody listens there"));
    let error = runtime.block_on(ask("http://no-such-host.invalid"));
    let text = told(&error);
    assert!(advice(&error).unwrap_or_default().contains("no such host"), "{text}");
}

#[test]
fn a_listing_is_told_as_any_request_and_advice_reaches_through_wrappers() {
    let source = "Error performing list request: Error performing GET http://h/b?list-type=2 in \
                  3.7s, after 5 retries, max_retries: 5, retry_timeout: 60s  - Server returned \
                  non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code></Error>";
    let error = object_store::Error::Generic { store: "S3", source: source.into() };
    let error = StoreError::Object { lake: "s3://b".to_owned(), error };
    let text = "s3://b: GET http://h/b?list-type=2: 403 Forbidden, InvalidAccessKeyId";
    assert_eq!(told(&error), text);
    let wrapped = crate::lake::DataFileError::from(error);
    assert_eq!(one_line(&wrapped), text);
    assert!(advice(&wrapped).unwrap_or_default().contains("AWS_ACCESS_KEY_ID"));
}

#[test]
fn the_services_for_credentials_are_known_by_their_addresses() {
    let failed = |line: &str| {
        let source = format!("Error performing PUT {line} in 3ms - HTTP error: timed out").into();
        object_store::Error::Generic { store: "S3", source }
    };
    let error = failed("http://169.254.169.254/latest/api/token");
    let said = advice(&error).unwrap_or_default();
    assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("profiles"), "{said}");
    assert!(advice(&failed("http://metadata.google.internal/x")).is_some());
    assert_eq!(advice(&failed("http://s3.example.com/x")), None);
}

#[test]
fn answers_of_google_are_read() {
    let body = r#"403 Forbidden: {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no"}}"#;
    assert_eq!(Answer::parse(body).unwrap().text(), "PERMISSION_DENIED: no");
    let body = r#"{"error": "invalid_grant", "error_description": "…"}"#;
    assert_eq!(Answer::parse(body).unwrap().text(), "invalid_grant");
    assert!(Answer::parse("gone").is_none());
}

#[test]
fn errors_of_others_get_no_advice() {
    assert_eq!(advice(&std::io::Error::other("403 Forbidden")), None);
}

#[test]
fn a_listing_that_the_client_is_refused_is_denied() {
    for (status, is) in [("403 Forbidden", true), ("503 Slow Down", false), ("400 Bad", false)] {
        let error = listing_error_of(status, &xml("AccessDenied", "Access Denied."));
        assert!(matches!(error, object_store::Error::Generic { .. }), "{error:?}");
        assert_eq!(is_denied(&error), is, "{error}");
    }
    assert!(is_denied(&denied_listing()), "the fake one is as the client's");
}
