//! A store that refuses at length, and one that sends requests elsewhere.

use object_store::path::Path;
use object_store::{ObjectStoreExt as _, RetryConfig};

use super::*;
use crate::lake::failure::{advice, describe};
use crate::lake::test_server::{bucket, server};

fn store(endpoint: &str) -> impl object_store::ObjectStore {
    bucket(endpoint)
        .with_http_connector(Connector)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .unwrap()
}

#[tokio::test]
async fn of_a_refusal_of_megabytes_little_is_read_and_less_is_shown() {
    let body = format!("\u{1b}[2J\nERROR forged\n{}", "x".repeat(3 << 20));
    let length = body.len();
    let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n\r\n{body}");
    let (address, _) = server(move |_| answer.clone()).await;
    let error = store(&format!("http://{address}")).head(&Path::from("x")).await.unwrap_err();
    assert!(error.to_string().len() < REFUSAL_BYTES + 4096, "{}", error.to_string().len());
    let got = store(&format!("http://{address}")).get(&Path::from("x")).await.unwrap_err();
    let said = describe(&got);
    assert!(said.contains("403 Forbidden") && said.contains("\\u{1b}[2J\\nERROR"), "{said}");
    assert!(said.len() < 500, "{said}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (other, asked) = server(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into()).await;
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"]
    {
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: http://{other}/there\r\ncontent-length: 0\r\n\r\n"
        );
        let (address, _) = server(move |_| answer.clone()).await;
        let store = store(&format!("http://{address}"));
        let error = store.put(&Path::from("x"), "row".into()).await.unwrap_err();
        let (said, advice) = (describe(&error), advice(&error).unwrap_or_default());
        assert!(said.contains(status), "{said}");
        assert!(advice.contains("no redirect is followed"), "{advice}");
        assert!(store.get(&Path::from("x")).await.is_err());
    }
    assert!(asked.lock().is_empty(), "{:?}", asked.lock());
}

#[tokio::test]
async fn a_password_in_the_address_of_the_store_is_not_shown() {
    let (address, _) = server(|_| "HTTP/1.1 403 no\r\ncontent-length: 0\r\n\r\n".into()).await;
    for host in [&*address.to_string(), "127.0.0.1:1"] {
        let store = store(&format!("http://user:SECRET@{host}"));
        let error = store.get(&Path::from("x")).await.unwrap_err();
        let wrapped = crate::lake::StoreError::Object { lake: "s3://b".into(), error };
        assert!(wrapped.to_string().contains("http://[hidden]@127.0.0.1"), "{wrapped}");
        assert!(!wrapped.to_string().contains("SECRET"), "{wrapped}");
    }
}

#[test]
fn every_option_is_taken_from_the_options_of_the_store() {
    use ClientConfigKey as Key;
    let options = ClientOptions::default()
        .with_config(Key::Timeout, "7 s")
        .with_config(Key::ConnectTimeout, "1500ms")
        .with_config(Key::ReadTimeout, "3 s")
        .with_config(Key::AllowHttp, "yes")
        .with_config(Key::PoolMaxIdlePerHost, "3")
        .with_config(Key::Http2MaxFrameSize, "20000");
    let shown = format!("{:?}", build(&Values(&options)).unwrap());
    for part in ["timeout: 7s", "connect_timeout: 1.5s", "Policy(None)", "http1_only: true"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let wrong = ClientOptions::default().with_config(Key::AllowHttp, "SECRET");
    let error = build(&Values(&wrong)).map(drop).unwrap_err().to_string();
    assert!(error.contains("allow_http") && !error.contains("SECRET"), "{error}");
}
