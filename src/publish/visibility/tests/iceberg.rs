//! Iceberg tables beside what waits for them: a catalog that is away, one that does not let the program
//! in, and tables of two formats.

use std::time::Instant;

use parking_lot::Mutex;

use super::*;
use crate::commit::CatalogOptions;
use crate::commit::iceberg::Catalog;
use crate::commit::iceberg::table::tests::fake::FakeCatalog;

const TEMPLATE: &str = "day={at:%Y-%m-%d}";
const SOON: Duration = Duration::from_secs(30);

/// A table by its name; `t` is the one of [`FakeCatalog`].
fn table(name: &str, format: Format) -> Spec {
    let avsc = r#"{"type": "record", "name": "t", "fields": [
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]}]}"#;
    let schema = Arc::new(TableSchema::parse(avsc).expect("a schema"));
    let partition = Template::parse(TEMPLATE, &schema).expect("a template");
    Spec { format, ..Spec::new(name, schema, partition) }
}

fn file(table: &str, node: &str, roll: u64) -> FileReceipt {
    let path = names::data(table, "day=2026-11-29", node, Roll(roll));
    FileReceipt::in_partition(path, "day", "2026-11-29")
}

/// A lake with a store and a catalog in memory, and the thread of a server.
struct World {
    store: FakeStore,
    lake: Lake,
    catalog: Arc<FakeCatalog>,
    readiness: Arc<Readiness>,
    keeper: Keeper,
}

impl World {
    fn start(tables: &[Spec]) -> World {
        let store = FakeStore::new(1);
        let catalog = FakeCatalog::new(1, Arc::clone(&store.objects));
        let client = catalog.client(Arc::new(crate::clock::SystemClock));
        World::with(store, tables, catalog, &client)
    }

    fn with(
        store: FakeStore,
        tables: &[Spec],
        catalog: Arc<FakeCatalog>,
        client: &Arc<Catalog>,
    ) -> World {
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let logs = LogTables::in_catalog(&lake, tables, Some(client), RUNTIME.handle());
        let logs = logs.expect("places").expect("some with a log");
        let readiness = Arc::new(Readiness::new());
        let keeper = Keeper::start(logs, "n1".into(), Arc::clone(&readiness), Arc::default())
            .expect("a thread");
        World { store, lake, catalog, readiness, keeper }
    }

    /// Lands a roll with a file of each of `tables`, and tells the thread.
    fn land(&self, roll: u64, tables: &[&str]) {
        let mut receipt = Receipt::of_files("n1", roll, tables[0], Vec::new());
        let one = receipt.tables.remove(0);
        for table in tables {
            let mut one = one.clone();
            one.table = (*table).to_owned();
            one.partition_template = TEMPLATE.to_owned();
            one.files = vec![file(table, "n1", roll)];
            receipt.tables.push(one);
        }
        land(&self.lake, &receipt);
        let event = RollEvent::Committed {
            roll: Roll(roll),
            rows: 1,
            rejects: 0,
            doubled: 0,
            files: 1,
            bytes: 1,
        };
        self.keeper.observer().observe(Micros(7), &event);
    }

    /// Returns the number of snapshots of the Iceberg table, and that of files which they have added.
    fn commits(&self) -> (u64, usize) {
        let state = self.catalog.state.lock();
        let table = state.table.as_ref();
        let snapshots = table.and_then(|table| table["last-sequence-number"].as_u64());
        (snapshots.unwrap_or(0), state.added.concat().len())
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_catalog_that_is_away_costs_nothing_and_one_commit_takes_all_that_waits() {
    let world = World::start(&[table("t", Format::Iceberg)]);
    world.land(1, &["t"]);
    wait_for("the first commit", || world.commits() == (1, 1));
    world.catalog.go_away(u64::MAX);
    for roll in 2..=10 {
        world.land(roll, &["t"]);
    }
    wait_for("trouble in readiness", || !world.readiness.trouble().is_empty());
    let trouble = world.readiness.trouble();
    assert!(trouble[0].1.contains("db.t") && trouble[0].1.contains("503"), "{trouble:?}");
    assert!(trouble[0].1.contains("9 rolls of this node have landed"), "{trouble:?}");
    assert_eq!(world.readiness.check(), Ok(()), "bodies are taken");
    assert_eq!(world.commits(), (1, 1));
    world.catalog.go_away(0);
    wait_for("the second commit", || world.commits().0 > 1);
    assert_eq!(world.commits(), (2, 10), "one commit took all that waited");
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
    assert_eq!(world.readiness.trouble(), []);
}

#[test]
fn a_catalog_that_does_not_know_the_program_is_told_of_at_once() {
    let store = FakeStore::new(1);
    let asked = Arc::new(Mutex::new(0_u32));
    let (count, clock) = (Arc::clone(&asked), Arc::new(crate::clock::SystemClock));
    let client =
        Catalog::new(CatalogOptions::new("http://localhost", "db"), clock).expect("options");
    let client = client.with_fake(Arc::new(move |_| {
        *count.lock() += 1;
        Some((
            401,
            br#"{"error": {"message": "who?", "type": "NotAuthorized", "code": 401}}"#.to_vec(),
        ))
    }));
    let catalog = FakeCatalog::new(1, Arc::clone(&store.objects));
    let world = World::with(store, &[table("t", Format::Iceberg)], catalog, &Arc::new(client));
    wait_for("trouble in readiness", || !world.readiness.trouble().is_empty());
    // The very first answer is told, whatever comes after it.
    assert!(*asked.lock() <= 2, "{asked:?}");
    let trouble = world.readiness.trouble();
    for part in ["401", "who?", "credential", "[catalog]"] {
        assert!(trouble[0].1.contains(part), "{trouble:?}");
    }
    assert_eq!(world.readiness.check(), Ok(()));
    world.land(1, &["t"]);
    // Nothing that waiting mends keeps a server from its end.
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
}

#[test]
fn a_catalog_that_is_away_keeps_no_roll_from_a_delta_table() {
    let world = World::start(&[table("t", Format::Iceberg), table("u", Format::Delta)]);
    world.catalog.go_away(u64::MAX);
    world.land(1, &["t", "u"]);
    let in_delta = || {
        let log = "lake/u/_delta_log/00000000000000000001.json";
        objects(&world.store.objects).contains_key(log)
    };
    wait_for("the Delta table", in_delta);
    assert_eq!(world.commits(), (0, 0));
    world.catalog.go_away(0);
    wait_for("the Iceberg table", || world.commits() == (1, 1));
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
}

#[test]
fn a_table_that_is_set_back_gets_again_what_it_lacks() {
    let world = World::start(&[table("t", Format::Iceberg)]);
    world.land(1, &["t"]);
    wait_for("the first commit", || world.commits() == (1, 1));
    let copy = world.catalog.state.lock().table.clone().expect("a table");
    for roll in 2..=3 {
        world.land(roll, &["t"]);
        wait_for("a commit", || world.commits().0 == roll);
    }
    // As a catalog that is restored from a copy. A mark at 4 would hide that 2 and 3 are not there.
    world.catalog.alter(|table| *table = copy);
    world.land(4, &["t"]);
    wait_for("another commit", || world.commits().0 == 2);
    let added = world.catalog.state.lock().added.last().cloned().expect("a commit");
    assert_eq!(added.len(), 3, "{added:?}");
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
}

#[test]
fn rolls_of_another_node_that_were_refused_are_tried_again() {
    let store = FakeStore::new(1);
    let name = object_store::path::Path::from(format!("lake/{}", names::receipt("gone", Roll(1))));
    let put = |bytes: Vec<u8>| {
        let put = store.objects.put(&name, bytes.into());
        RUNTIME.block_on(put).expect("memory");
    };
    put(b"{".to_vec());
    let catalog = FakeCatalog::new(1, Arc::clone(&store.objects));
    let client = catalog.client(Arc::new(crate::clock::SystemClock));
    let world = World::with(store.clone(), &[table("t", Format::Iceberg)], catalog, &client);
    world.land(1, &["t"]);
    wait_for("the own roll", || world.commits() == (1, 1));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.readiness.trouble(), [], "it is none of this node");
    let mut receipt = Receipt::of_files("gone", 1, "t", vec![file("t", "gone", 1)]);
    receipt.tables[0].partition_template = TEMPLATE.to_owned();
    put(serde_json::to_vec(&receipt).expect("JSON"));
    wait_for("the roll of the other node", || world.commits() == (2, 2));
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
}

#[test]
fn a_look_changes_nothing_and_says_what_a_commit_would_do() {
    let world = World::start(&[table("t", Format::Iceberg)]);
    let look = |tables: &[Spec]| {
        let client = world.catalog.client(Arc::new(crate::clock::SystemClock));
        let logs = LogTables::in_catalog(&world.lake, tables, Some(&client), RUNTIME.handle());
        let looked = logs.expect("places").expect("some with a log").look();
        looked.into_iter().map(|(_, looked)| looked).next().expect("one")
    };
    let iceberg = || look(&[table("t", Format::Iceberg)]);
    let before = objects(&world.store.objects);
    let said = iceberg();
    assert!(
        matches!(&said, Looked::Can(said) if said.contains("the first commit creates")),
        "{said:?}"
    );
    assert_eq!(objects(&world.store.objects), before);
    assert!(world.catalog.state.lock().table.is_none());
    let said = look(&[table("u", Format::Delta)]);
    assert!(
        matches!(&said, Looked::Can(said) if said.contains("the first commit begins")),
        "{said:?}"
    );
    world.land(1, &["t"]);
    wait_for("the first commit", || world.commits() == (1, 1));
    let said = iceberg();
    assert!(
        matches!(&said, Looked::Can(said) if said.contains("at sequence number 1")),
        "{said:?}"
    );
    let mut other = table("t", Format::Iceberg);
    other.partition = Template::default();
    let said = look(&[other]);
    assert!(
        matches!(&said, Looked::Refused(why) if why.contains("is not partitioned by")),
        "{said:?}"
    );
    world.catalog.go_away(u64::MAX);
    let said = iceberg();
    assert!(matches!(&said, Looked::Away(why) if why.contains("503")), "{said:?}");
    world.catalog.go_away(0);
    assert!(RUNTIME.block_on(world.keeper.finish(SOON)));
}

#[test]
fn an_iceberg_table_without_a_catalog_is_refused_with_what_to_do() {
    let lake = Lake::on(Arc::new(FakeStore::new(1)), 1 << 20);
    let tables = [table("t", Format::Iceberg)];
    let refused = LogTables::of(&lake, &tables, None, RUNTIME.handle()).err().expect("refused");
    assert!(refused.to_string().contains("SESSIONLAKE_CATALOG_URI"), "{refused:#}");
}
