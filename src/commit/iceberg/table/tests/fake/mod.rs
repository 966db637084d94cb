//! A catalog in memory that answers as real ones do, and fails as they do.
//!
//! It is as strict as the reference in Java: ids of columns are its own, requirements that do not hold are
//! 409, snapshots out of order are 400.
//!
//! Outcomes of a change: it works; it is refused, and nothing has happened; it has happened and the answer is
//! lost, or another one: 409 also; it happens twice, and the second answer comes; it happens later, when
//! it was perhaps asked for again; it works and happens once more much later; the catalog goes away. Of a
//! load: it works; no answer; a state that is the last one no longer.

mod changes;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use self::changes::{committed, created};
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

impl Faults {
    /// Adds those of another catalog.
    pub(crate) fn add(&mut self, other: Faults) {
        self.refused += other.refused;
        self.lost_answers += other.lost_answers;
        self.other_answers += other.other_answers;
        self.doubled += other.doubled;
        self.late += other.late;
        self.replayed += other.replayed;
        self.stale += other.stale;
        self.away += other.away;
    }
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
            path if path.starts_with("namespaces/db/tables/") => {
                let named = path.rsplit('/').next();
                assert_eq!(post.body["identifier"], json!({"namespace": ["db"], "name": named}));
                let Some(table) = &self.table else { return error(404, "NoSuchTableException") };
                match committed(table, &post.body) {
                    Ok(new) => {
                        self.before = self.table.replace(new);
                        self.note(&post.body, objects);
                        (200, loaded(self.table.as_ref()))
                    }
                    Err((status, why)) => {
                        if status == 400 {
                            // A refusal is final if the state is the same: see `IcebergTable::change`.
                            self.before = None;
                        }
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
