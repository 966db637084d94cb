//! A catalog in memory that answers as real ones do, and fails as they do.
//!
//! It is as strict as the reference in Java: ids of columns are its own, requirements that do not hold are
//! 409, snapshots out of order are 400.
//!
//! Outcomes of a change: it works; it is refused, and nothing has happened; it has happened and the answer is
//! lost, or another one: 409 also; it happens twice, and the second answer comes; it happens later, when
//! it was perhaps asked for again; it works and happens once more much later; the catalog goes away. Of a
//! load: it works; no answer; a state that is the last one no longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::objects_at;
use crate::clock::Clock;
use crate::commit::iceberg::rest::{Catalog, Options};
use crate::search::Dice;

/// Counts of faults so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) refused: u64,
    pub(crate) lost_answers: u64,
    pub(crate) other_answers: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
    pub(crate) replayed: u64,
    pub(crate) stale: u64,
    pub(crate) away: u64,
}

/// A change, as it came.
#[derive(Clone, Debug)]
struct Post {
    path: String,
    body: Json,
}

pub(crate) struct State {
    dice: Dice,
    one_in: u64,
    away: u64,
    has_namespace: bool,
    /// Tables begin at its own addresses, as those of SeaweedFS do.
    pub(crate) has_own_addresses: bool,
    /// The metadata of the table.
    pub(crate) table: Option<Json>,
    before: Option<Json>,
    late: Vec<Post>,
    done: Vec<Post>,
    /// The data files that each commit has added.
    pub(crate) added: Vec<Vec<String>>,
    /// The sequence number of each of them.
    pub(crate) numbers: BTreeMap<String, i64>,
    /// Manifests that have taken the place of others.
    pub(crate) merges: u64,
    pub(crate) faults: Faults,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

/// See the module.
pub(crate) struct FakeCatalog {
    pub(crate) state: Mutex<State>,
    objects: Arc<InMemory>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl FakeCatalog {
    pub(crate) fn new(seed: u64, objects: Arc<InMemory>) -> Arc<FakeCatalog> {
        let state = State {
            dice: Dice(seed),
            one_in: 0,
            away: 0,
            has_namespace: false,
            has_own_addresses: false,
            table: None,
            before: None,
            late: Vec::new(),
            done: Vec::new(),
            added: Vec::new(),
            numbers: BTreeMap::new(),
            merges: 0,
            faults: Faults::default(),
        };
        let (state, meanwhile) = (Mutex::new(state), Mutex::default());
        Arc::new(FakeCatalog { state, objects, meanwhile })
    }

    /// A client of it.
    pub(crate) fn client(self: &Arc<FakeCatalog>, clock: Arc<dyn Clock>) -> Arc<Catalog> {
        let catalog = Catalog::new(Options::new("http://localhost", "db"), clock).expect("options");
        let fake = Arc::clone(self);
        Arc::new(catalog.with_fake(Arc::new(move |request| {
            let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or(b"null");
            let path = request.url().path().trim_start_matches("/v1/").to_owned();
            let body = serde_json::from_slice(body).expect("JSON");
            let (status, answer) = match request.method().as_str() {
                "GET" => fake.get(&path),
                _ => fake.post(Post { path, body }),
            }?;
            let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            Some((status, text.into_bytes()))
        })))
    }

    /// One request in so many goes wrong from now on; 0: none.
    pub(crate) fn inject_faults(&self, one_in: u64) {
        let mut state = self.state.lock();
        (state.one_in, state.away) = (one_in, 0);
    }

    /// Answers so many requests with 503.
    pub(crate) fn go_away(&self, requests: u64) {
        self.state.lock().away = requests;
    }

    /// Carries out what was given up, and forgets what was to be done meanwhile.
    pub(crate) fn settle(&self) {
        *self.meanwhile.lock() = None;
        let mut state = self.state.lock();
        for post in std::mem::take(&mut state.late) {
            state.apply(&post, &self.objects);
        }
    }

    /// Does something else right before the next change is carried out.
    pub(crate) fn meanwhile(&self, work: Meanwhile) {
        *self.meanwhile.lock() = Some(work);
    }

    /// Changes the metadata as another writer does.
    pub(crate) fn alter(&self, change: impl FnOnce(&mut Json)) {
        let mut state = self.state.lock();
        state.before = state.table.clone();
        if let Some(table) = &mut state.table {
            change(table);
        }
    }

    fn get(&self, path: &str) -> Option<(u16, Json)> {
        let mut state = self.state.lock();
        if path == "config" {
            return Some((200, json!({})));
        }
        state.late_ones(&self.objects);
        if state.is_away() {
            return Some((503, json!("")));
        }
        if state.goes_wrong() {
            match state.dice.below(3) {
                0 => {
                    state.faults.refused += 1;
                    return Some((503, json!("")));
                }
                1 => return None,
                _ if state.before.is_some() => {
                    state.faults.stale += 1;
                    return Some((200, loaded(state.before.as_ref())));
                }
                _ => {}
            }
        }
        match &state.table {
            Some(table) => Some((200, loaded(Some(table)))),
            None => Some(error(404, "NoSuchTableException")),
        }
    }

    fn post(&self, post: Post) -> Option<(u16, Json)> {
        let due = self.meanwhile.lock().take();
        if let Some(work) = due {
            work();
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        state.late_ones(&self.objects);
        if state.is_away() {
            return Some((503, json!("")));
        }
        if !state.goes_wrong() {
            return Some(state.apply(&post, &self.objects));
        }
        let status = [500, 502, 503, 504, 429][state.dice.below(5) as usize];
        match state.dice.below(10) {
            0 => {
                state.faults.refused += 1;
                (!state.dice.one_in(3)).then(|| (status, json!("")))
            }
            1 | 2 => {
                state.faults.lost_answers += 1;
                state.apply(&post, &self.objects);
                None
            }
            3 | 4 => {
                state.faults.other_answers += 1;
                state.apply(&post, &self.objects);
                let others = [(409, "CommitFailedException"), (400, "ValidationException")];
                Some(match state.dice.below(4) {
                    0 => (status, json!("")),
                    1 => (200, json!("<html>")),
                    at => {
                        state.before = None;
                        let (status, kind) = others[at as usize - 2];
                        error(status, kind)
                    }
                })
            }
            5 => {
                state.faults.doubled += 1;
                state.apply(&post, &self.objects);
                Some(state.apply(&post, &self.objects))
            }
            6 | 7 => {
                state.faults.late += 1;
                state.late.push(post);
                state.dice.one_in(2).then(|| (504, json!("")))
            }
            8 => {
                state.done.push(post.clone());
                Some(state.apply(&post, &self.objects))
            }
            _ => {
                state.away = state.dice.below(8);
                Some((503, json!("")))
            }
        }
    }
}

fn error(status: u16, kind: &str) -> (u16, Json) {
    (status, json!({"error": {"message": "", "type": kind, "code": status}}))
}

/// The answer to a load of the snapshots that have a reference.
fn loaded(table: Option<&Json>) -> Json {
    let mut table = table.cloned().unwrap_or_default();
    let referenced: Vec<Json> = match table["refs"].as_object() {
        Some(refs) => refs.values().map(|r| r["snapshot-id"].clone()).collect(),
        None => Vec::new(),
    };
    if let Some(snapshots) = table["snapshots"].as_array_mut() {
        snapshots.retain(|snapshot| referenced.contains(&snapshot["snapshot-id"]));
    }
    json!({"metadata-location": "m", "metadata": table, "config": {}})
}

impl State {
    fn goes_wrong(&mut self) -> bool {
        self.one_in > 0 && self.dice.one_in(self.one_in)
    }

    fn is_away(&mut self) -> bool {
        let is_away = self.away > 0;
        self.away = self.away.saturating_sub(1);
        self.faults.away += u64::from(is_away);
        is_away
    }

    /// Carries out what was given up, or was carried out before.
    fn late_ones(&mut self, objects: &InMemory) {
        if !self.late.is_empty() && self.dice.one_in(3) {
            let at = self.dice.below(self.late.len() as u64) as usize;
            let post = self.late.swap_remove(at);
            self.apply(&post, objects);
        }
        if self.one_in > 0 && !self.done.is_empty() && self.dice.one_in(4) {
            let at = self.dice.below(self.done.len() as u64) as usize;
            let post = self.done[at].clone();
            self.faults.replayed += 1;
            self.apply(&post, objects);
        }
    }

    fn apply(&mut self, post: &Post, objects: &InMemory) -> (u16, Json) {
        match &*post.path {
            "namespaces" if self.has_namespace => error(409, "AlreadyExistsException"),
            "namespaces" => {
                self.has_namespace = true;
                (200, json!({}))
            }
            "namespaces/db/tables" if !self.has_namespace => error(404, "NoSuchNamespaceException"),
            "namespaces/db/tables" if self.table.is_some() => error(409, "AlreadyExistsException"),
            "namespaces/db/tables"
                if self.has_own_addresses && post.body.get("location").is_some() =>
            {
                error(400, "BadRequestException")
            }
            "namespaces/db/tables" => {
                self.table = Some(created(&post.body, self.dice.roll()));
                (200, loaded(self.table.as_ref()))
            }
            "namespaces/db/tables/t" => {
                let Some(table) = &self.table else { return error(404, "NoSuchTableException") };
                match committed(table, &post.body) {
                    Ok(new) => {
                        self.before = self.table.replace(new);
                        self.note(&post.body, objects);
                        (200, loaded(self.table.as_ref()))
                    }
                    Err((status, why)) => {
                        (status, json!({"error": {"message": why, "type": "E", "code": status}}))
                    }
                }
            }
            other => panic!("{other}"),
        }
    }

    /// Notes the files that a commit adds. All objects that it names have to be there.
    fn note(&mut self, body: &Json, objects: &InMemory) {
        for update in body["updates"].as_array().expect("updates") {
            if update["action"] == "add-snapshot" {
                let snapshot = &update["snapshot"];
                let id = snapshot["snapshot-id"].as_i64().expect("an id");
                let manifests = objects_at::manifests(objects, &snapshot["manifest-list"]);
                let mut added = Vec::new();
                for manifest in manifests.iter().filter(|m| m.added_snapshot_id == id) {
                    self.merges += u64::from(manifest.files[1] > 0);
                    for entry in objects_at::entries(objects, manifest) {
                        if entry.is_added {
                            self.numbers.insert(entry.path.clone(), manifest.sequence_number);
                            added.push(entry.path);
                        }
                    }
                }
                self.added.push(added);
            }
        }
    }
}

/// Gives new ids, from 11 on: those of a struct's members before those below them.
fn renew(fields: &mut Json, last: &mut i64, ids: &mut BTreeMap<i64, i64>) {
    let fields = fields.as_array_mut().expect("fields");
    for field in &mut *fields {
        *last += 1;
        ids.insert(field["id"].as_i64().expect("an id"), *last);
        field["id"] = (*last).into();
    }
    for field in fields {
        renew_type(&mut field["type"], last, ids);
    }
}

fn renew_type(of: &mut Json, last: &mut i64, ids: &mut BTreeMap<i64, i64>) {
    if of["type"] == "struct" {
        renew(&mut of["fields"], last, ids);
    }
    for (id, below) in [("element-id", "element"), ("key-id", "key"), ("value-id", "value")] {
        if of.get(id).is_some() {
            *last += 1;
            of[id] = (*last).into();
            renew_type(&mut of[below], last, ids);
        }
    }
}

fn created(body: &Json, number: u64) -> Json {
    let (mut schema, mut last, mut ids) = (body["schema"].clone(), 10, Default::default());
    renew(&mut schema["fields"], &mut last, &mut ids);
    let mut spec = body["partition-spec"].clone();
    assert!(spec["spec-id"].is_number(), "Java wants one: {spec}");
    for field in spec["fields"].as_array_mut().expect("fields") {
        field["source-id"] = ids[&field["source-id"].as_i64().expect("an id")].into();
    }
    assert_eq!(body["properties"]["format-version"], "2");
    let location = body.get("location").cloned().unwrap_or_else(|| json!("s3://tables/db/t"));
    let mut properties = body["properties"].clone();
    properties.as_object_mut().expect("an object").remove("format-version");
    json!({
        "format-version": 2, "table-uuid": format!("u-{number}"), "location": location,
        "last-sequence-number": 0, "last-updated-ms": 1_000, "last-column-id": last,
        "current-schema-id": 0, "schemas": [schema], "default-spec-id": 0,
        "partition-specs": [spec], "last-partition-id": 1000, "sort-orders": [],
        "properties": properties, "current-snapshot-id": -1, "snapshots": [], "refs": {}
    })
}

/// Returns the table after a commit, or the refusal.
pub(crate) fn committed(table: &Json, body: &Json) -> Result<Json, (u16, &'static str)> {
    assert_eq!(body["identifier"], json!({"namespace": ["db"], "name": "t"}));
    let main = table["refs"]["main"]["snapshot-id"].clone();
    for requirement in body["requirements"].as_array().expect("requirements") {
        let holds = |key: &str| requirement[key] == table[key];
        let holds = match requirement["type"].as_str().expect("a type") {
            "assert-table-uuid" => requirement["uuid"] == table["table-uuid"],
            "assert-ref-snapshot-id" => {
                requirement["ref"] == "main" && requirement["snapshot-id"] == main
            }
            "assert-current-schema-id" => holds("current-schema-id"),
            "assert-last-assigned-field-id" => {
                requirement["last-assigned-field-id"] == table["last-column-id"]
            }
            "assert-default-spec-id" => holds("default-spec-id"),
            other => panic!("{other}"),
        };
        if !holds {
            return Err((409, "a requirement does not hold"));
        }
    }
    let mut table = table.clone();
    let updated = table["last-updated-ms"].as_i64().expect("a time");
    table["last-updated-ms"] = (updated + 1).into();
    for update in body["updates"].as_array().expect("updates") {
        match update["action"].as_str().expect("an action") {
            "add-snapshot" => add_snapshot(&mut table, &update["snapshot"], updated)?,
            "set-snapshot-ref" => {
                let id = &update["snapshot-id"];
                if !table["snapshots"]
                    .as_array()
                    .expect("all")
                    .iter()
                    .any(|s| s["snapshot-id"] == *id)
                {
                    return Err((400, "no such snapshot"));
                }
                assert_eq!(
                    (&update["ref-name"], &update["type"]),
                    (&json!("main"), &json!("branch"))
                );
                table["refs"]["main"] = json!({"snapshot-id": id, "type": "branch"});
                table["current-snapshot-id"] = id.clone();
            }
            "set-properties" => {
                for (key, value) in update["updates"].as_object().expect("properties") {
                    assert!(value.is_string());
                    table["properties"][key] = value.clone();
                }
            }
            "add-schema" => {
                let mut schema = update["schema"].clone();
                let last = update["last-column-id"].as_i64();
                if last < table["last-column-id"].as_i64() {
                    return Err((400, "a last column id that was"));
                }
                schema["schema-id"] = table["schemas"].as_array().expect("all").len().into();
                table["last-column-id"] = update["last-column-id"].clone();
                table["schemas"].as_array_mut().expect("all").push(schema);
            }
            "set-current-schema" => {
                assert_eq!(update["schema-id"], -1);
                table["current-schema-id"] =
                    (table["schemas"].as_array().expect("all").len() - 1).into();
            }
            "add-spec" => {
                let specs = table["partition-specs"].as_array_mut().expect("specs");
                let mut spec = update["spec"].clone();
                assert!(spec["spec-id"].is_number(), "Java wants one: {spec}");
                if !specs.iter().any(|other| other["fields"] == spec["fields"]) {
                    // Another one than it was asked for.
                    spec["spec-id"] = (specs.len() + 4).into();
                    specs.push(spec);
                }
            }
            "set-location" => table["location"] = update["location"].clone(),
            other => panic!("{other}"),
        }
    }
    Ok(table)
}

fn add_snapshot(
    table: &mut Json,
    snapshot: &Json,
    updated: i64,
) -> Result<(), (u16, &'static str)> {
    let snapshots = table["snapshots"].as_array_mut().expect("all");
    if snapshots.iter().any(|other| other["snapshot-id"] == snapshot["snapshot-id"]) {
        return Err((400, "a snapshot that is there"));
    }
    snapshots.push(snapshot.clone());
    let time = snapshot["timestamp-ms"].as_i64().expect("a time");
    if snapshot["sequence-number"].as_i64() <= table["last-sequence-number"].as_i64() {
        return Err((400, "a sequence number that was"));
    }
    if time < updated {
        return Err((400, "a time that was"));
    }
    assert_eq!(snapshot["schema-id"], table["current-schema-id"]);
    table["last-sequence-number"] = snapshot["sequence-number"].clone();
    table["last-updated-ms"] = time.into();
    Ok(())
}
