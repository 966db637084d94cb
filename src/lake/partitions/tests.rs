//! Partition columns that are compared with those of a lake on disk and in a bucket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::memory::InMemory;

use super::*;
use crate::lake::tests::LosesAnswers;
use crate::lake::{Options, denied_listing};
use crate::schema::TableSchema;

fn template(text: &str) -> Template {
    Template::parse(text, &TableSchema::builtin("user_sessions").unwrap()).unwrap()
}

/// A lake on disk and one in a bucket, both empty.
fn lakes(root: &FilePath) -> [Lake; 2] {
    let location = Location::Local(root.to_owned());
    let options = Options { location, options: Vec::new(), timeout: Duration::from_secs(60) };
    [Lake::open(&options).unwrap(), Lake::below(Arc::new(InMemory::new()), "lake")]
}

async fn conflict(lake: &Lake, text: &str) -> Option<String> {
    match lake.check_partitions("t", &template(text)).await {
        Ok(()) => None,
        Err(PartitionError::Conflict(conflict)) => Some(conflict.to_string()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_table_of_an_earlier_version_has_the_columns_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    for lake in lakes(dir.path()) {
        for text in ["", "date={startTime:%Y-%m-%d}", "c={country}/d={startTime:%d}"] {
            assert_eq!(conflict(&lake, text).await, None, "an empty lake takes any");
        }
        let file = "t/c=Peru/d=1/n-00000001.parquet";
        for name in ["u/x=1/n-00000001.parquet", "t/_delta_log/x=1/0.parquet", file] {
            lake.put_bytes(name, b"rows".to_vec()).await.unwrap();
        }
        for same in ["c={country}/d={startTime:%d}", "c=x{city}/d={startTime:%Y}"] {
            assert_eq!(conflict(&lake, same).await, None, "other values of the same columns");
        }
        for other in ["", "c={country}", "d={startTime:%d}/c={country}", "C={country}/d={city}"] {
            let told = conflict(&lake, other).await.unwrap_or_else(|| panic!("{other} passed"));
            for part in ["table t ", "c, d", file, &format!("\"{other}\""), "another name"] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn a_table_that_has_both_already_goes_on_with_either() {
    let dir = tempfile::tempdir().unwrap();
    for lake in lakes(dir.path()) {
        for name in ["t/c=Peru/n-00000001.parquet", "t/date=1/n-00000002.parquet"] {
            lake.put_bytes(name, b"rows".to_vec()).await.unwrap();
        }
        for there in ["c={country}", "date={startTime:%d}"] {
            assert_eq!(conflict(&lake, there).await, None);
        }
        assert!(conflict(&lake, "").await.is_some());
    }
}

#[tokio::test]
async fn the_first_claim_is_recorded_and_tells_the_next_the_template() {
    let dir = tempfile::tempdir().unwrap();
    let (date, land) = (template("date={startTime:%Y-%m-%d}"), template("land={country}"));
    for lake in lakes(dir.path()) {
        lake.claim_partitions("t", &date).await.unwrap();
        lake.claim_partitions("t", &date).await.unwrap();
        let record = lake.get("_tables/t.json").await.unwrap().unwrap();
        let expected =
            r#"{"version":1,"partition_template":"date={startTime:%Y-%m-%d}","columns":["date"]}"#;
        assert_eq!(String::from_utf8(record).unwrap(), expected);
        // Nothing has landed: the table has no columns yet.
        lake.claim_partitions("t", &land).await.unwrap();
        lake.claim_partitions("t", &date).await.unwrap();
        lake.put_bytes("t/date=1/n-00000001.parquet", b"rows".to_vec()).await.unwrap();
        let refused = lake.claim_partitions("t", &land).await.unwrap_err().to_string();
        assert!(
            refused.contains("Set partition = \"date={startTime:%Y-%m-%d}\" as the lake has it"),
            "{refused}"
        );
        // Years by months are read as before.
        let months = template("date={startTime:%Y-%m}");
        lake.claim_partitions("t", &months).await.unwrap();
        assert_eq!(lake.get("_tables/t.json").await.unwrap().unwrap(), expected.as_bytes());
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for lake in lakes(dir.path()) {
        lake.put_bytes("_tables/t.json", b"torn".to_vec()).await.unwrap();
        assert_eq!(conflict(&lake, "c={country}").await, None);
        lake.put_bytes("t/c=Peru/n-00000001.parquet", b"rows".to_vec()).await.unwrap();
        lake.claim_partitions("t", &template("c={country}")).await.unwrap();
        assert!(conflict(&lake, "date={startTime:%d}").await.is_some());
    }
}

/// A store that answers 403 for what is not there and for listings, as S3 does to credentials without
/// s3:ListBucket.
fn hiding() -> Arc<LosesAnswers> {
    let store = LosesAnswers::default();
    store.hides.store(true, Ordering::Relaxed);
    Arc::new(store)
}

#[tokio::test]
async fn credentials_that_may_not_list_begin_a_table_and_are_told_of_its_columns_after_that() {
    let (date, land) = (template("date={startTime:%Y-%m-%d}"), template("land={country}"));
    for text in ["", "date={startTime:%Y-%m-%d}"] {
        let lake = Lake::below(hiding(), "lake");
        assert_eq!(conflict(&lake, text).await, None, "a look that is denied keeps nobody out");
        assert!(lake.claim_partitions("t", &template(text)).await.unwrap(), "it is recorded");
        assert!(lake.claim_partitions("t", &template(text)).await.unwrap());
        assert!(conflict(&lake, "land={country}").await.is_some());
    }
    // The record of another node that is no record.
    let lake = Lake::below(hiding(), "lake");
    lake.put_bytes("_tables/t.json", b"torn".to_vec()).await.unwrap();
    assert!(!lake.claim_partitions("t", &date).await.unwrap(), "tried again at the next roll");
    assert!(!lake.claim_partitions("t", &land).await.unwrap());
}

#[tokio::test]
async fn a_refused_listing_is_denied_and_a_failed_one_is_not() {
    let lake = Lake::below(hiding(), "lake");
    let denied = lake.files("t", &["date"]).await.err();
    assert!(matches!(denied, Some(StoreError::Denied { .. })), "{denied:?}");
    let away = "Error performing list request: Error performing GET http://x/y in 1ms - Server \
                returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>";
    let away = object_store::Error::Generic { store: "S3", source: away.into() };
    assert!(matches!(lake.not_answered("t", away), StoreError::Object { .. }));
    assert!(matches!(lake.not_answered("t", denied_listing()), StoreError::Denied { .. }));
}
