use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::lake::names;
use crate::record::Seq;
use crate::schema::TableSchema;

fn receipt(first: u64, last: u64) -> Receipt {
    let text = format!(
        r#"{{"version":1,"node":"n","roll":7,"first_seq":{first},"last_seq":{last},
            "lines":0,"rows":0,"rejects":0,"actions":0,"tables":[]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn id(first: u64, last: u64) -> RollId<'static> {
    RollId {
        node: "n",
        roll: Roll(7),
        range: SeqRange { first: Seq(first), last: Seq(last) },
        bodies: None,
    }
}

fn lake() -> Lake {
    Lake::on(Arc::new(InMemory::new()), 1 << 20)
}

#[tokio::test]
async fn a_roll_is_committed_once_and_then_found() {
    let lake = lake();
    assert!(Committer::Plain.look_up(&lake, id(1, 4)).await.is_none());
    let outcome = Committer::Plain.commit(&lake, &receipt(1, 4)).await;
    assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    // The rows that the first attempt counted stay.
    let other = Receipt { rows: 5, lines: 5, ..receipt(1, 4) };
    let again = Committer::Plain.commit(&lake, &other).await;
    assert!(matches!(again, Outcome::Already(found) if *found == receipt(1, 4)));
    let found = Committer::Plain.look_up(&lake, id(1, 4)).await;
    assert!(matches!(found, Some(Outcome::Already(found)) if *found == receipt(1, 4)));
}

#[tokio::test]
async fn a_receipt_of_other_bodies_is_a_conflict_and_stays() {
    let lake = lake();
    Committer::Plain.commit(&lake, &receipt(1, 4)).await;
    let before = lake.get(&names::receipt("n", Roll(7))).await.unwrap();
    let outcome = Committer::Plain.commit(&lake, &receipt(1, 6)).await;
    let Outcome::Conflict(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("bodies 1 to 4") && why.contains("bodies 1 to 6"), "{why}");
    let found = Committer::Plain.look_up(&lake, id(1, 6)).await;
    assert!(matches!(found, Some(Outcome::Conflict(_))), "{found:?}");
    assert_eq!(lake.get(&names::receipt("n", Roll(7))).await.unwrap(), before);
}

#[tokio::test]
async fn what_is_no_receipt_or_a_newer_one_is_refused_and_stays() {
    let newer = Receipt { version: 2, ..receipt(1, 4) };
    for bytes in [b"{".to_vec(), serde_json::to_vec(&newer).unwrap()] {
        let lake = lake();
        let name = names::receipt("n", Roll(7));
        assert!(lake.create_bytes(&name, bytes.clone()).await.unwrap());
        let outcome = Committer::Plain.commit(&lake, &receipt(1, 4)).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        assert_eq!(lake.get(&name).await.unwrap(), Some(bytes));
    }
}

/// A runtime of several threads.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The schema of a table t with these fields.
pub(super) fn schema(fields: &str) -> Arc<TableSchema> {
    let text = format!(r#"{{"type":"record","name":"t","fields":[{fields}]}}"#);
    Arc::new(TableSchema::parse(&text).expect("a schema"))
}
