//! Fields that become columns while rolls are made: each value is in one place, whatever fails and when.

use std::sync::Arc;

use super::harness::{Harness, Landed, RUNTIME, land, line, with_plan};
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::lake::{Claimed, ColumnClaim, Lake};
use crate::schema::ColumnType;

/// Returns a harness of rolls of 3 rows, in which a field of 4 rows becomes a column.
fn harness(seed: u64) -> Harness {
    Harness { rows: 3, promote_after: Some(4), ..Harness::new(seed) }
}

fn texts(numbers: std::ops::Range<u64>) -> Vec<String> {
    let ids = numbers.map(|number| format!("b{number}"));
    ids.map(|id| with_plan(&line(&id, 1, false), &id)).collect()
}

/// Appends bodies of one row each, lands them, and stops in order.
fn run(harness: &Harness, numbers: std::ops::Range<u64>) {
    let (journal, recovery) = harness.open().unwrap();
    let supervisor = harness.supervisor(&journal, &recovery);
    for appended in harness.append_all(&journal, &texts(numbers)) {
        appended.unwrap();
    }
    journal.close();
    supervisor.run().unwrap();
}

/// Checks that each of so many rows is there once, with its value in one place.
fn check(landed: &Landed, rows: u64) {
    assert_eq!(landed.rows.len() as u64, rows);
    for (id, count) in &landed.rows {
        assert_eq!((*count, &landed.plans[id]), (1, &vec![id.clone()]), "{id}");
    }
    landed.check_receipts();
}

/// Claims the column as another node does.
fn claim(harness: &Harness, column: ColumnType) {
    let lake = Lake::on(Arc::new(harness.store.clone()), 1 << 20);
    let (table, path) = (&*harness.table.name, ["plan".to_owned()]);
    let claim = ColumnClaim { table, path: &path, pointer: "/plan" };
    let claimed = RUNTIME.block_on(lake.claim_column(claim, column)).unwrap();
    assert_eq!(claimed, Claimed::By(column));
}

/// Returns the first row, by number, that is in a file with the column.
fn first_in_column(landed: &Landed) -> Option<u64> {
    landed.in_column.iter().map(|id| id[1..].parse().unwrap()).min()
}

#[test]
fn a_field_is_a_column_from_the_roll_after_the_boundary_on_and_after_a_restart() {
    let mut harness = harness(1);
    run(&harness, 0..14);
    let landed = harness.landed();
    check(&landed, 14);
    // 4 rows had it by the end of the second roll.
    assert_eq!(first_in_column(&landed), Some(6));
    let schemas: Vec<&str> = landed.receipts.iter().map(|r| &*r.tables[0].schema).collect();
    assert_eq!(schemas[0], schemas[1]);
    assert!(schemas[1] != schemas[2] && schemas[2..].iter().all(|schema| *schema == schemas[2]));
    // Receipts of before count the field, those of after do not.
    let counted = |at: usize| landed.receipts[at].tables[0].fields.is_some();
    assert!(counted(0) && counted(1) && !counted(2));
    // The next start knows it without having counted anything.
    harness.promote_after = Some(u64::MAX);
    run(&harness, 14..20);
    let landed = harness.landed();
    check(&landed, 20);
    assert_eq!(landed.in_column.len(), 14);
    // So it does when the column was configured by now.
    let own = &harness.table.schema;
    harness.table.schema = Arc::new(own.promote("/plan", ColumnType::String).unwrap());
    run(&harness, 20..22);
    check(&harness.landed(), 22);
}

/// At every call to the disk and to the store, the process dies; what it has acknowledged is in the lake after
/// two more starts, each value in one place.
#[test]
fn a_value_is_in_one_place_wherever_the_process_dies() {
    let mut promoted = [0, 0];
    for at in (1..140).step_by(2) {
        let mut harness = harness(at);
        let disk = Arc::clone(&harness.disk);
        let what = FaultEffect::Off;
        match at % 4 {
            1 => disk.plan_fault(Some(PlannedFault { at, what, seed: at })),
            _ => harness.store.die_at(Some(at / 2), &disk),
        }
        let mut acked = 0;
        if let Ok((journal, recovery)) = harness.open() {
            let supervisor = harness.supervisor(&journal, &recovery);
            let appended = harness.append_all(&journal, &texts(0..14));
            acked = appended.into_iter().take_while(Result::is_ok).count() as u64;
            journal.close();
            let _ = land(&supervisor, &disk);
        }
        promoted[0] += u64::from(!harness.landed().in_column.is_empty());
        harness.disk = Arc::new(disk.killed());
        harness.store.next_process();
        harness.store.die_at(None, &harness.disk);
        harness.drain();
        run(&harness, 100..110);
        let landed = harness.landed();
        let rows = landed.rows.len() as u64;
        assert!(rows >= acked + 10, "{at}: {rows} of {acked}");
        check(&landed, rows);
        promoted[1] += u64::from(!landed.in_column.is_empty());
    }
    assert!(promoted[0] > 0 && promoted[1] == 70, "{promoted:?}");
}

#[test]
fn the_type_that_another_node_has_claimed_is_taken_and_values_that_do_not_fit_stay_in_extra() {
    let harness = harness(3);
    claim(&harness, ColumnType::Long);
    run(&harness, 0..14);
    let landed = harness.landed();
    check(&landed, 14);
    // There is a column, and all texts are beside it.
    assert_eq!(first_in_column(&landed), Some(6));
    let fields = landed.receipts.last().unwrap().tables[0].fields.clone().unwrap();
    assert!(fields.of[0].misfit, "{fields:?}");
}

#[test]
fn a_column_that_the_lake_has_with_another_type_is_not_made() {
    let mut harness = harness(4);
    let own = Arc::clone(&harness.table.schema);
    harness.table.schema = Arc::new(own.promote("/plan", ColumnType::Long).unwrap());
    harness.promote_after = None;
    run(&harness, 0..3);
    // Another node, which has no such column.
    harness.disk = Arc::default();
    (harness.table.schema, harness.promote_after) = (own, Some(4));
    run(&harness, 3..17);
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 17);
    assert!(landed.plans.iter().all(|(id, plans)| *plans == [id.clone()]), "{:?}", landed.plans);
    assert_eq!(landed.in_column.len(), 3);
}

#[test]
fn the_type_that_another_node_has_claimed_and_landed_is_taken() {
    let mut harness = harness(5);
    let own = Arc::clone(&harness.table.schema);
    claim(&harness, ColumnType::Long);
    harness.table.schema = Arc::new(own.promote("/plan", ColumnType::Long).unwrap());
    harness.promote_after = None;
    run(&harness, 0..3);
    // Another node, which has no such column, and texts in the field.
    harness.disk = Arc::default();
    (harness.table.schema, harness.promote_after) = (own, Some(4));
    run(&harness, 3..17);
    let landed = harness.landed();
    assert!(landed.plans.iter().all(|(id, plans)| *plans == [id.clone()]), "{:?}", landed.plans);
    let schemas: Vec<&str> = landed.receipts.iter().map(|r| &*r.tables[0].schema).collect();
    let taken = schemas.iter().filter(|schema| **schema == schemas[0]).count();
    assert!(taken > 1 && taken < schemas.len(), "{schemas:?}");
}

#[test]
fn a_lake_that_was_set_back_gets_its_claims_again_and_another_nodes_claim_stands() {
    let harness = harness(6);
    run(&harness, 0..14);
    let claims = || harness.all_objects().keys().filter(|name| name.contains("/columns/")).count();
    assert_eq!(claims(), 1);
    assert_eq!(harness.delete(|name| name.contains("/columns/")), 1);
    run(&harness, 14..16);
    assert_eq!(claims(), 1);
    check(&harness.landed(), 16);
    let in_column = harness.landed().in_column.len();
    harness.delete(|name| name.contains("/columns/"));
    claim(&harness, ColumnType::Long);
    run(&harness, 16..30);
    let landed = harness.landed();
    check(&landed, 30);
    // The files have texts, and the claim is for numbers: neither is a column of this node any more.
    assert_eq!(landed.in_column.len(), in_column);
    run(&harness, 30..32);
    check(&harness.landed(), 32);
    assert_eq!(harness.landed().in_column.len(), in_column);
}

#[test]
fn credentials_that_may_not_list_promote() {
    let harness = harness(7);
    harness.store.hide_what_is_missing();
    run(&harness, 0..14);
    let landed = harness.landed();
    check(&landed, 14);
    assert_eq!(first_in_column(&landed), Some(6));
    run(&harness, 14..16);
    check(&harness.landed(), 16);
}
