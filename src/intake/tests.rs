//! Bodies as a source other than HTTP hands them in.

use super::*;
use crate::clock::SystemClock;
use crate::journal::{Next, Options, RealDisk};
use crate::record::{Body, Seq};
use std::time::Duration;

fn journal(dir: &tempfile::TempDir) -> Journal {
    let mut options = Options::new(dir.path().join("journal"));
    options.reserve_bytes = 0;
    Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), options).unwrap().0
}

/// Reads the first `count` bodies of the journal.
fn bodies(journal: &Journal, count: u64) -> Vec<Body> {
    assert_eq!(journal.status().last_seq, Seq(count));
    let mut reader = journal.reader(Seq::FIRST);
    let read = (0..count).map(|_| match reader.next(Duration::from_secs(20)).unwrap() {
        Next::Body(body) => body,
        other => panic!("{other:?}"),
    });
    read.collect()
}

#[tokio::test]
async fn a_receipt_counts_and_its_body_is_in_the_journal_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&dir);
    let (intake, table) = (Intake::new(journal.clone()), "orders".into());
    let body = Bytes::from_static(b"{\"a\":1}\n\n{\"a\":2}\n");
    for duplicate in [false, true] {
        let receipt = intake.accept(&table, Form::Ndjson, body.clone()).await.unwrap();
        assert_eq!(receipt, Receipt { lines: 2, bytes: 17, duplicate });
    }
    let bulk =
        Bytes::from_static(b"{\"index\":{\"_index\":\"x\"}}\n{}\n{\"delete\":{\"_id\":\"1\"}}\n");
    let receipt = intake.accept(&table, Form::Elasticsearch, bulk.clone()).await.unwrap();
    assert_eq!(receipt, Receipt { lines: 1, bytes: bulk.len() as u64, duplicate: false });
    let kept = bodies(&journal, 2);
    assert_eq!(kept[0].bytes, body);
    assert_eq!((&*kept[1].table, kept[1].form), ("orders", Form::Elasticsearch));
    assert_eq!(kept[1].bytes, bulk);
}

#[tokio::test]
async fn a_body_without_documents_is_stored_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&dir);
    let (intake, table) = (Intake::new(journal.clone()), "orders".into());
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let receipt = intake.accept(&table, form, Bytes::from_static(b"\r\n \n")).await.unwrap();
        assert_eq!(receipt, Receipt { lines: 0, bytes: 4, duplicate: false });
    }
    assert_eq!(journal.status().last_seq, Seq(0));
}

#[tokio::test]
async fn refusals_say_what_the_sender_must_do() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&dir);
    let (intake, table) = (Intake::new(journal.clone()), "orders".into());
    let kind = async |form, bytes: &'static [u8]| {
        let refusal = intake.accept(&table, form, Bytes::from_static(bytes)).await.unwrap_err();
        (refusal.kind(), refusal.retry_after().is_some())
    };
    let no_bulk = kind(Form::Elasticsearch, b"{\"a\":1}").await;
    assert_eq!(no_bulk, (RefusalKind::Invalid, false));
    assert_eq!(intake.accepting(), Ok(()));
    journal.close();
    assert_eq!(kind(Form::Ndjson, b"{}").await, (RefusalKind::Unavailable, true));
    assert_eq!(intake.accepting(), Err(AppendError::Closed));
    let too_large = Refusal::from(AppendError::TooLarge { bytes: 2, limit_bytes: 1 });
    assert_eq!((too_large.kind(), too_large.retry_after()), (RefusalKind::TooLarge, None));
}

#[tokio::test]
async fn bodies_that_look_like_encrypted_ones_of_older_journals_are_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&dir);
    let (intake, table) = (Intake::new(journal.clone()), "orders".into());
    let body = Bytes::from_static(b"\0SLE1 and no more\n");
    let receipt = intake.accept(&table, Form::Ndjson, body.clone()).await.unwrap();
    assert_eq!(receipt.lines, 1);
    assert_eq!(bodies(&journal, 1)[0].bytes, body);
}
