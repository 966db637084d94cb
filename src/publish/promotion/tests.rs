//! Bounds of promotion, whatever senders name.

use object_store::memory::InMemory;

use super::*;
use crate::fields::{Counts, FieldCounts};
use crate::journal::tests::fake::FakeDisk;
use crate::publish::lake_file::LakeFile;
use crate::schema::TableSchema;
use crate::table::{Spec, Template};

struct Bench {
    promotion: Promotion,
    lake: Lake,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Bench {
        let schema = r#"{"type": "record", "name": "t", "fields": [
            {"name": "a", "type": ["null", "string"], "default": null}]}"#;
        let schema = Arc::new(TableSchema::parse(schema).unwrap());
        let tables = Tables::new(vec![Spec::new("t", schema, Template::default())]).unwrap();
        let disk: Arc<FakeDisk> = Arc::default();
        let file = LakeFile::new(disk, std::path::Path::new("/state"));
        let promotion = Promotion::open(&file, tables).unwrap();
        Bench {
            promotion: promotion.after([("t".into(), 1)].into()),
            lake: Lake::below(Arc::new(InMemory::new()), "lake"),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    /// Counts fields, and promotes as at a roll's boundary.
    fn roll(&self, pointers: impl Iterator<Item = String>) {
        let of = |pointer| FieldCounts {
            pointer,
            rows: 7,
            types: vec!["string".to_owned()],
            ..FieldCounts::default()
        };
        let counts = Counts { rows: 7, others: 0, of: pointers.map(of).collect() };
        self.promotion.state.lock().sums.entry("t".into()).or_default().add(&counts);
        self.promotion.promote(&self.lake, self.runtime.handle()).unwrap();
    }

    fn columns(&self) -> usize {
        self.promotion.tables().by_name("t").unwrap().schema.promoted().len()
    }

    fn is_any_due(&self) -> bool {
        let state = self.promotion.state.lock();
        self.promotion.candidates(&state).next().is_some()
    }
}

#[test]
fn a_table_gets_a_bounded_number_of_columns_and_few_at_a_boundary() {
    let bench = Bench::new();
    let names = |roll: usize| (0..200).map(move |at| format!("/r{roll}f{at}"));
    for roll in 0..20 {
        let before = bench.columns();
        bench.roll(names(roll));
        assert_eq!(bench.columns(), (before + AT_ONCE).min(MOST_COLUMNS));
    }
    assert_eq!(bench.columns(), MOST_COLUMNS);
    assert!(!bench.is_any_due(), "the engine is not ended for what is no column anyway");
    assert!(bench.promotion.state.lock().refused.is_empty());
}

#[test]
fn names_that_cannot_be_columns_are_remembered_up_to_a_bound() {
    let bench = Bench::new();
    for roll in 0..80 {
        bench.roll((0..200).map(|at| format!("/*{roll}-{at}")));
    }
    assert_eq!(bench.promotion.state.lock().refused.len(), MOST_REFUSED);
    assert!(!bench.is_any_due());
    bench.roll(["/plan".to_owned()].into_iter());
    assert_eq!(bench.columns(), 0);
}
